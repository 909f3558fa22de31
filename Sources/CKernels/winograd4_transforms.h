// F(4 x 4, 3 x 3): the points 0, P, -P, Q, -Q, ∞. Every function transforms one row or column; s and
// t are the steps between its elements. The rows of two opposite points are the sum and the difference
// of an even and an odd part.
//
// P = 11/16 and Q = 11/8 round a quarter as much as the usual 1 and 2: the powers of all points are of like size.
// They, and the products below, are exact in fp32.

#define P 0.6875f
#define Q 1.375f
#define P2 (P * P)
#define Q2 (Q * Q)
// 1 / N of winograd5_transforms.h at 0, ±P and ±Q.
#define AT_0 (1 / (P2 * Q2))
#define AT_P (1 / (2 * P2 * (P2 - Q2)))
#define AT_Q (1 / (2 * Q2 * (Q2 - P2)))

// d = Bᵀ d, in place.
CNN_INLINE void ISA(winograd_input)(WVEC *d, const int s) {
  const WVEC d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s], d5 = d[5 * s];
  const WVEC even_p = FMA(d2, (WVEC)-Q2, d4), odd_p = FMA(d1, (WVEC)-Q2, d3);
  const WVEC even_q = FMA(d2, (WVEC)-P2, d4), odd_q = FMA(d1, (WVEC)-P2, d3);
  d[0] = FMA(d0, (WVEC)(P2 * Q2), FMA(d2, (WVEC)(-P2 - Q2), d4));
  d[s] = FMA(odd_p, (WVEC)P, even_p);
  d[2 * s] = FMA(odd_p, (WVEC)-P, even_p);
  d[3 * s] = FMA(odd_q, (WVEC)Q, even_q);
  d[4 * s] = FMA(odd_q, (WVEC)-Q, even_q);
  d[5 * s] = FMA(d1, (WVEC)(P2 * Q2), FMA(d3, (WVEC)(-P2 - Q2), d5));
}

// o = Aᵀ m.
CNN_INLINE void ISA(winograd_output)(WVEC *o, const int t, const WVEC *m, const int s) {
  const WVEC even_p = m[s] + m[2 * s], odd_p = m[s] - m[2 * s];
  const WVEC even_q = m[3 * s] + m[4 * s], odd_q = m[3 * s] - m[4 * s];
  o[0] = m[0] + even_p + even_q;
  o[t] = FMA(odd_q, (WVEC)Q, odd_p * P);
  o[2 * t] = FMA(even_q, (WVEC)Q2, even_p * P2);
  o[3 * t] = FMA(odd_q, (WVEC)(Q2 * Q), FMA(odd_p, (WVEC)(P2 * P), m[5 * s]));
}

// o = A y.
CNN_INLINE void ISA(winograd_gradient)(WVEC *o, const int t, const WVEC *y, const int s) {
  const WVEC y0 = y[0], y1 = y[s], y2 = y[2 * s], y3 = y[3 * s];
  const WVEC even_p = FMA(y2, (WVEC)P2, y0), odd_p = FMA(y3, (WVEC)P2, y1);
  const WVEC even_q = FMA(y2, (WVEC)Q2, y0), odd_q = FMA(y3, (WVEC)Q2, y1);
  o[0] = y0;
  o[t] = FMA(odd_p, (WVEC)P, even_p);
  o[2 * t] = FMA(odd_p, (WVEC)-P, even_p);
  o[3 * t] = FMA(odd_q, (WVEC)Q, even_q);
  o[4 * t] = FMA(odd_q, (WVEC)-Q, even_q);
  o[5 * t] = y3;
}

// o = G g.
CNN_INLINE void ISA(winograd_weight)(WVEC *o, const int t, const WVEC *g, const int s) {
  const WVEC g0 = g[0], g1 = g[s], g2 = g[2 * s];
  const WVEC even_p = FMA(g2, (WVEC)P2, g0) * AT_P, odd_p = g1 * (AT_P * P);
  const WVEC even_q = FMA(g2, (WVEC)Q2, g0) * AT_Q, odd_q = g1 * (AT_Q * Q);
  o[0] = g0 * AT_0;
  o[t] = even_p + odd_p;
  o[2 * t] = even_p - odd_p;
  o[3 * t] = even_q + odd_q;
  o[4 * t] = even_q - odd_q;
  o[5 * t] = g2;
}

// o = Gᵀ u.
CNN_INLINE void ISA(winograd_weight_gradient)(WVEC *o, const int t, const WVEC *u, const int s) {
  const WVEC even_p = (u[s] + u[2 * s]) * AT_P, odd_p = (u[s] - u[2 * s]) * AT_P;
  const WVEC even_q = (u[3 * s] + u[4 * s]) * AT_Q, odd_q = (u[3 * s] - u[4 * s]) * AT_Q;
  o[0] = FMA(u[0], (WVEC)AT_0, even_p + even_q);
  o[t] = FMA(odd_q, (WVEC)Q, odd_p * P);
  o[2 * t] = FMA(even_q, (WVEC)Q2, FMA(even_p, (WVEC)P2, u[5 * s]));
}

#undef P
#undef Q
#undef P2
#undef Q2
#undef AT_0
#undef AT_P
#undef AT_Q

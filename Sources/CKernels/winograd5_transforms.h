// F(5 x 5, 3 x 3): the points 0, 1, -1, 2, -2, 1/2, ∞. Every function transforms one row or column; s
// and t are the steps between its elements.
//
// By Cook and Toom, for finite points a(j): row j of Bᵀ holds the coefficients of Π (x - a(k)) over
// k ≠ j, row j of G the powers of a(j) over N(j) = Π (a(j) - a(k)), column j of Aᵀ the powers of a(j).
// The row of ∞ is Π (x - a(k)) in Bᵀ, and the highest power alone in G and A.

// d = Bᵀ d, in place. All rows but that of 1/2 have the factor x - 1/2. Multiplied by it, the seven
// inputs become the six of F(4 x 4); the row of 1/2 is the last one of F(4 x 4).
CNN_INLINE void ISA(winograd_input)(WVEC *d, const int s) {
  const WVEC d1 = d[s], d3 = d[3 * s], d5 = d[5 * s];
  const WVEC h0 = FMA(d[0], (WVEC)-0.5f, d1), h1 = FMA(d1, (WVEC)-0.5f, d[2 * s]);
  const WVEC h2 = FMA(d[2 * s], (WVEC)-0.5f, d3), h3 = FMA(d3, (WVEC)-0.5f, d[4 * s]);
  const WVEC h4 = FMA(d[4 * s], (WVEC)-0.5f, d5), h5 = FMA(d5, (WVEC)-0.5f, d[6 * s]);
  const WVEC even1 = FMA(h2, (WVEC)-4, h4), odd1 = FMA(h1, (WVEC)-4, h3);
  const WVEC even2 = h4 - h2, odd2 = (h3 - h1) * 2.0f;
  d[0] = FMA(h0, (WVEC)4, FMA(h2, (WVEC)-5, h4));
  d[s] = even1 + odd1;
  d[2 * s] = even1 - odd1;
  d[3 * s] = even2 + odd2;
  d[4 * s] = even2 - odd2;
  d[5 * s] = FMA(d1, (WVEC)4, FMA(d3, (WVEC)-5, d5));
  d[6 * s] = FMA(h1, (WVEC)4, FMA(h3, (WVEC)-5, h5));
}

// o = Aᵀ m.
CNN_INLINE void ISA(winograd_output)(WVEC *o, const int t, const WVEC *m, const int s) {
  const WVEC even1 = m[s] + m[2 * s], odd1 = m[s] - m[2 * s];
  const WVEC even2 = m[3 * s] + m[4 * s], odd2 = m[3 * s] - m[4 * s];
  const WVEC half = m[5 * s];
  o[0] = m[0] + even1 + even2 + half;
  o[t] = FMA(half, (WVEC)0.5f, FMA(odd2, (WVEC)2, odd1));
  o[2 * t] = FMA(half, (WVEC)0.25f, FMA(even2, (WVEC)4, even1));
  o[3 * t] = FMA(half, (WVEC)0.125f, FMA(odd2, (WVEC)8, odd1));
  o[4 * t] = FMA(half, (WVEC)0.0625f, FMA(even2, (WVEC)16, even1)) + m[6 * s];
}

// o = A y.
CNN_INLINE void ISA(winograd_gradient)(WVEC *o, const int t, const WVEC *y, const int s) {
  const WVEC y0 = y[0], y1 = y[s], y2 = y[2 * s], y3 = y[3 * s], y4 = y[4 * s];
  const WVEC even1 = y0 + y2 + y4, odd1 = y1 + y3;
  const WVEC even2 = FMA(y4, (WVEC)16, FMA(y2, (WVEC)4, y0)), odd2 = FMA(y3, (WVEC)8, y1 * 2.0f);
  const WVEC tail = FMA(FMA(y4, (WVEC)0.5f, y3), (WVEC)0.5f, y2);
  o[0] = y0;
  o[t] = even1 + odd1;
  o[2 * t] = even1 - odd1;
  o[3 * t] = even2 + odd2;
  o[4 * t] = even2 - odd2;
  o[5 * t] = FMA(FMA(tail, (WVEC)0.5f, y1), (WVEC)0.5f, y0);
  o[6 * t] = y4;
}

// o = G g. N is -2, -3, 9, 36, -60 and 45/32.
CNN_INLINE void ISA(winograd_weight)(WVEC *o, const int t, const WVEC *g, const int s) {
  const WVEC g0 = g[0], g1 = g[s], g2 = g[2 * s];
  const WVEC even1 = g0 + g2, even2 = FMA(g2, (WVEC)4, g0), odd2 = g1 * 2.0f;
  const WVEC half = FMA(FMA(g2, (WVEC)0.5f, g1), (WVEC)0.5f, g0);
  o[0] = g0 * -0.5f;
  o[t] = (even1 + g1) * (-1.0f / 3);
  o[2 * t] = (even1 - g1) * (1.0f / 9);
  o[3 * t] = (even2 + odd2) * (1.0f / 36);
  o[4 * t] = (even2 - odd2) * (-1.0f / 60);
  o[5 * t] = half * (32.0f / 45);
  o[6 * t] = g2;
}

// o = Gᵀ u.
CNN_INLINE void ISA(winograd_weight_gradient)(WVEC *o, const int t, const WVEC *u, const int s) {
  const WVEC u1 = u[s] * (-1.0f / 3), u2 = u[2 * s] * (1.0f / 9);
  const WVEC u3 = u[3 * s] * (1.0f / 36), u4 = u[4 * s] * (-1.0f / 60), half = u[5 * s] * (32.0f / 45);
  const WVEC even1 = u1 + u2, odd1 = u1 - u2, even2 = u3 + u4, odd2 = u3 - u4;
  o[0] = FMA(u[0], (WVEC)-0.5f, even1 + even2) + half;
  o[t] = FMA(half, (WVEC)0.5f, FMA(odd2, (WVEC)2, odd1));
  o[2 * t] = FMA(half, (WVEC)0.25f, FMA(even2, (WVEC)4, even1)) + u[6 * s];
}

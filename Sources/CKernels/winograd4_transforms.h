// F(4 x 4, 3 x 3): the points 0, 1, -1, 2, -2, ∞. Every function transforms one row or column; s and
// t are the steps between its elements. The rows of two opposite points are the sum and the difference
// of an even and an odd part.

// d = Bᵀ d, in place.
CNN_INLINE void ISA(winograd_input)(WVEC *d, const int s) {
  const WVEC d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s], d5 = d[5 * s];
  const WVEC even1 = FMA(d2, (WVEC)-4, d4), odd1 = FMA(d1, (WVEC)-4, d3);
  const WVEC even2 = d4 - d2, odd2 = (d3 - d1) * 2.0f;
  d[0] = FMA(d0, (WVEC)4, FMA(d2, (WVEC)-5, d4));
  d[s] = even1 + odd1;
  d[2 * s] = even1 - odd1;
  d[3 * s] = even2 + odd2;
  d[4 * s] = even2 - odd2;
  d[5 * s] = FMA(d1, (WVEC)4, FMA(d3, (WVEC)-5, d5));
}

// o = Aᵀ m.
CNN_INLINE void ISA(winograd_output)(WVEC *o, const int t, const WVEC *m, const int s) {
  const WVEC even1 = m[s] + m[2 * s], odd1 = m[s] - m[2 * s];
  const WVEC even2 = m[3 * s] + m[4 * s], odd2 = m[3 * s] - m[4 * s];
  o[0] = m[0] + even1 + even2;
  o[t] = FMA(odd2, (WVEC)2, odd1);
  o[2 * t] = FMA(even2, (WVEC)4, even1);
  o[3 * t] = FMA(odd2, (WVEC)8, odd1) + m[5 * s];
}

// o = A y.
CNN_INLINE void ISA(winograd_gradient)(WVEC *o, const int t, const WVEC *y, const int s) {
  const WVEC y0 = y[0], y1 = y[s], y2 = y[2 * s], y3 = y[3 * s];
  const WVEC even1 = y0 + y2, odd1 = y1 + y3;
  const WVEC even2 = FMA(y2, (WVEC)4, y0), odd2 = FMA(y3, (WVEC)8, y1 * 2.0f);
  o[0] = y0;
  o[t] = even1 + odd1;
  o[2 * t] = even1 - odd1;
  o[3 * t] = even2 + odd2;
  o[4 * t] = even2 - odd2;
  o[5 * t] = y3;
}

// o = G g.
CNN_INLINE void ISA(winograd_weight)(WVEC *o, const int t, const WVEC *g, const int s) {
  const WVEC g0 = g[0], g1 = g[s], g2 = g[2 * s];
  const WVEC even1 = (g0 + g2) * (-1.0f / 6), odd1 = g1 * (-1.0f / 6);
  const WVEC even2 = FMA(g0, (WVEC)(1.0f / 24), g2 * (1.0f / 6)), odd2 = g1 * (1.0f / 12);
  o[0] = g0 * 0.25f;
  o[t] = even1 + odd1;
  o[2 * t] = even1 - odd1;
  o[3 * t] = even2 + odd2;
  o[4 * t] = even2 - odd2;
  o[5 * t] = g2;
}

// o = Gᵀ u.
CNN_INLINE void ISA(winograd_weight_gradient)(WVEC *o, const int t, const WVEC *u, const int s) {
  const WVEC even1 = (u[s] + u[2 * s]) * (-1.0f / 6), odd1 = (u[s] - u[2 * s]) * (-1.0f / 6);
  const WVEC even2 = u[3 * s] + u[4 * s], odd2 = u[3 * s] - u[4 * s];
  o[0] = FMA(even2, (WVEC)(1.0f / 24), FMA(u[0], (WVEC)0.25f, even1));
  o[t] = FMA(odd2, (WVEC)(1.0f / 12), odd1);
  o[2 * t] = FMA(even2, (WVEC)(1.0f / 6), even1) + u[5 * s];
}

// F(2 x 2, 3 x 3): the points 0, 1, -1, ∞. Every function transforms one row or column; s and t are
// the steps between its elements.

// d = Bᵀ d, in place.
CNN_INLINE void ISA(winograd_input)(WVEC *d, const int s) {
  const WVEC d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s];
  d[0] = d0 - d2;
  d[s] = d2 + d1;
  d[2 * s] = d2 - d1;
  d[3 * s] = d3 - d1;
}

// o = Aᵀ m.
CNN_INLINE void ISA(winograd_output)(WVEC *o, const int t, const WVEC *m, const int s) {
  o[0] = m[0] + m[s] + m[2 * s];
  o[t] = m[s] - m[2 * s] + m[3 * s];
}

// o = A y.
CNN_INLINE void ISA(winograd_gradient)(WVEC *o, const int t, const WVEC *y, const int s) {
  const WVEC y0 = y[0], y1 = y[s];
  o[0] = y0;
  o[t] = y0 + y1;
  o[2 * t] = y0 - y1;
  o[3 * t] = y1;
}

// o = G g.
CNN_INLINE void ISA(winograd_weight)(WVEC *o, const int t, const WVEC *g, const int s) {
  const WVEC even = (g[0] + g[2 * s]) * 0.5f, odd = g[s] * 0.5f;
  o[0] = g[0];
  o[t] = even + odd;
  o[2 * t] = even - odd;
  o[3 * t] = g[2 * s];
}

// o = Gᵀ u.
CNN_INLINE void ISA(winograd_weight_gradient)(WVEC *o, const int t, const WVEC *u, const int s) {
  const WVEC even = (u[s] + u[2 * s]) * 0.5f;
  o[0] = u[0] + even;
  o[t] = (u[s] - u[2 * s]) * 0.5f;
  o[2 * t] = even + u[3 * s];
}

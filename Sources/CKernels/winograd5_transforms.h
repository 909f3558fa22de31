// F(5 x 5, 3 x 3): the points ±A, ±B, ±C, ∞. Every function transforms one row or column; s and t are the
// steps between its elements. The rows of two opposite points are the sum and the difference of an even
// and an odd part.
//
// By Cook and Toom, for finite points a(j): row j of Bᵀ holds the coefficients of Π (x - a(k)) over
// k ≠ j, row j of G the powers of a(j) over N(j) = Π (a(j) - a(k)), column j of Aᵀ the powers of a(j).
// The row of ∞ is Π (x - a(k)) in Bᵀ, and the highest power alone in G and A. For -A, -B and -C the
// signs of Bᵀ and N are changed.
//
// A = 3/8, B = 7/8, C = 3/2 round 0.4 times as much as the usual 0, ±1, ±2, 1/2. They, and the products below, are
// exact in fp32.

#define A 0.375f
#define B 0.875f
#define C 1.5f
#define A2 (A * A)
#define B2 (B * B)
#define C2 (C * C)
// 1 / N.
#define AT_A (1 / (2 * A * (A2 - B2) * (A2 - C2)))
#define AT_B (1 / (2 * B * (B2 - A2) * (B2 - C2)))
#define AT_C (1 / (2 * C * (C2 - A2) * (C2 - B2)))

// The rows of ±point, from the squares of the other two.
CNN_INLINE void ISA(winograd_input_pair)(WVEC *plus, WVEC *minus, const WVEC *d, const int s, float point,
                                         float square1, float square2) {
  const WVEC sum = square1 + square2, product = square1 * square2;
  const WVEC even = FMA(d[0], product, FMA(d[2 * s], -sum, d[4 * s])) * point;
  const WVEC odd = FMA(d[s], product, FMA(d[3 * s], -sum, d[5 * s]));
  *plus = even + odd;
  *minus = even - odd;
}

// d = Bᵀ d, in place.
CNN_INLINE void ISA(winograd_input)(WVEC *d, const int s) {
  WVEC r[6];
  ISA(winograd_input_pair)(&r[0], &r[1], d, s, A, B2, C2);
  ISA(winograd_input_pair)(&r[2], &r[3], d, s, B, A2, C2);
  ISA(winograd_input_pair)(&r[4], &r[5], d, s, C, A2, B2);
  const WVEC d4 = FMA(d[4 * s], (WVEC)(-A2 - B2 - C2), d[6 * s]);
  d[6 * s] = FMA(d[0], (WVEC)(-A2 * B2 * C2), FMA(d[2 * s], (WVEC)(A2 * B2 + A2 * C2 + B2 * C2), d4));
#pragma clang loop unroll(full)
  for (int j = 0; j < 6; j++) d[j * s] = r[j];
}

// o = Aᵀ m.
CNN_INLINE void ISA(winograd_output)(WVEC *o, const int t, const WVEC *m, const int s) {
  const WVEC even_a = m[0] + m[s], odd_a = (m[0] - m[s]) * A;
  const WVEC even_b = m[2 * s] + m[3 * s], odd_b = (m[2 * s] - m[3 * s]) * B;
  const WVEC even_c = m[4 * s] + m[5 * s], odd_c = (m[4 * s] - m[5 * s]) * C;
  o[0] = even_a + even_b + even_c;
  o[t] = odd_a + odd_b + odd_c;
  o[2 * t] = FMA(even_c, (WVEC)C2, FMA(even_b, (WVEC)B2, even_a * A2));
  o[3 * t] = FMA(odd_c, (WVEC)C2, FMA(odd_b, (WVEC)B2, odd_a * A2));
  o[4 * t] = FMA(even_c, (WVEC)(C2 * C2), FMA(even_b, (WVEC)(B2 * B2), FMA(even_a, (WVEC)(A2 * A2), m[6 * s])));
}

// The rows of ±point.
CNN_INLINE void ISA(winograd_gradient_pair)(WVEC *plus, WVEC *minus, const WVEC *y, const int s, float point) {
  const WVEC square = point * point;
  const WVEC even = FMA(FMA(y[4 * s], square, y[2 * s]), square, y[0]), odd = FMA(y[3 * s], square, y[s]) * point;
  *plus = even + odd;
  *minus = even - odd;
}

// o = A y.
CNN_INLINE void ISA(winograd_gradient)(WVEC *o, const int t, const WVEC *y, const int s) {
  ISA(winograd_gradient_pair)(&o[0], &o[t], y, s, A);
  ISA(winograd_gradient_pair)(&o[2 * t], &o[3 * t], y, s, B);
  ISA(winograd_gradient_pair)(&o[4 * t], &o[5 * t], y, s, C);
  o[6 * t] = y[4 * s];
}

// The rows of ±point.
CNN_INLINE void ISA(winograd_weight_pair)(WVEC *plus, WVEC *minus, const WVEC *g, const int s, float point,
                                          float scale) {
  const WVEC even = FMA(g[2 * s], (WVEC)(point * point), g[0]) * scale, odd = g[s] * (point * scale);
  *plus = even + odd;
  *minus = even - odd;
}

// o = G g.
CNN_INLINE void ISA(winograd_weight)(WVEC *o, const int t, const WVEC *g, const int s) {
  ISA(winograd_weight_pair)(&o[0], &o[t], g, s, A, AT_A);
  ISA(winograd_weight_pair)(&o[2 * t], &o[3 * t], g, s, B, AT_B);
  ISA(winograd_weight_pair)(&o[4 * t], &o[5 * t], g, s, C, AT_C);
  o[6 * t] = g[2 * s];
}

// o = Gᵀ u.
CNN_INLINE void ISA(winograd_weight_gradient)(WVEC *o, const int t, const WVEC *u, const int s) {
  const WVEC even_a = (u[0] + u[s]) * AT_A, odd_a = (u[0] - u[s]) * AT_A;
  const WVEC even_b = (u[2 * s] + u[3 * s]) * AT_B, odd_b = (u[2 * s] - u[3 * s]) * AT_B;
  const WVEC even_c = (u[4 * s] + u[5 * s]) * AT_C, odd_c = (u[4 * s] - u[5 * s]) * AT_C;
  o[0] = even_a + even_b + even_c;
  o[t] = FMA(odd_c, (WVEC)C, FMA(odd_b, (WVEC)B, odd_a * A));
  o[2 * t] = FMA(even_c, (WVEC)C2, FMA(even_b, (WVEC)B2, FMA(even_a, (WVEC)A2, u[6 * s])));
}

#undef A
#undef B
#undef C
#undef A2
#undef B2
#undef C2
#undef AT_A
#undef AT_B
#undef AT_C

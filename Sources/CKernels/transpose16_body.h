// Transposes 16 x 16 floats in registers: four rounds, each of which interleaves row i with row i + 8.
// Rows beyond `rows` of x count as zeros; `columns` rows of y are written.
CNN_INLINE void ISA(transpose16)(float *y, ptrdiff_t y_row, ptrdiff_t columns, const float *x,
                                 ptrdiff_t x_row, ptrdiff_t rows) {
  f32x16 even[16], odd[16];
  for (int i = 0; i < 16; i++) even[i] = i < rows ? LOAD(x + i * x_row) : (f32x16)0;
#define ROUND(to, from)                                                                                 \
  for (int i = 0; i < 8; i++) {                                                                         \
    to[2 * i] = __builtin_shufflevector(from[i], from[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, \
                                        6, 22, 7, 23);                                                  \
    to[2 * i + 1] = __builtin_shufflevector(from[i], from[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, \
                                            13, 29, 14, 30, 15, 31);                                    \
  }
  ROUND(odd, even) ROUND(even, odd) ROUND(odd, even) ROUND(even, odd)
#undef ROUND
  for (int i = 0; i < 16; i++)
    if (i < columns) STORE(y + i * y_row, even[i]);
}

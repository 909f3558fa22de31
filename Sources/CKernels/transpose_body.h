// Tiles of 16 x 16: each cache line of x and y is touched while it is still in L1.
static void ISA(transpose)(float *restrict y, const float *restrict x, ptrdiff_t matrices, ptrdiff_t rows,
                           ptrdiff_t columns) {
  for (ptrdiff_t m = 0; m < matrices; m++, x += rows * columns, y += rows * columns)
    for (ptrdiff_t i0 = 0; i0 < rows; i0 += CNN_LANES)
      for (ptrdiff_t j0 = 0; j0 < columns; j0 += CNN_LANES) {
        const ptrdiff_t i1 = i0 + CNN_LANES < rows ? i0 + CNN_LANES : rows;
        const ptrdiff_t j1 = j0 + CNN_LANES < columns ? j0 + CNN_LANES : columns;
        for (ptrdiff_t j = j0; j < j1; j++)
          for (ptrdiff_t i = i0; i < i1; i++) y[j * rows + i] = x[i * columns + j];
      }
}

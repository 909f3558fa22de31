// The two register tiles that all convolutions are made of. Every output is one chain of fused
// multiply-adds in the order of (tap, k) or of the points, so its bits depend on neither the other
// rows of a tile nor on how many rows a call has.
//
// `rows`, `vectors`, `a_row` and `b_row` must be constants where these are inlined.

// One k: a column of A times a row of B, added to the tile.
CNN_INLINE void ISA(tile_nn_step)(const int rows, const int vectors, const ptrdiff_t a_row, f32x16 sum[][2],
                                  const float *a, const float *b) {
  f32x16 right[2];
#pragma clang loop unroll(full)
  for (int j = 0; j < vectors; j++) right[j] = LOAD(b + j * CNN_LANES);
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
    const f32x16 left = a[r * a_row];
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) sum[r][j] = FMA(left, right[j], sum[r][j]);
  }
}

// C[r][16 j ...] = start[16 j ...] + sum over taps and k of A[r][k] * B[k][16 j ...].
// start may be NULL (zeros); it is one row, the same for all (a bias). Overwrites C, or adds to it.
// Before each block of 16 products a few lines of what comes next are fetched; `fetch` may be NULL.
CNN_INLINE void ISA(tile_nn)(const int rows, const int vectors, const ptrdiff_t a_row, const ptrdiff_t b_row,
                             const tile_nn *t, const float *a, const float *b, float *c, const float *start,
                             tile_fetch *fetch) {
  f32x16 sum[ISA(tile_nn_rows)][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++)
      if (t->add) sum[r][j] = LOAD(c + r * t->c_row + j * t->c_vector);
      else sum[r][j] = start ? LOAD(start + j * CNN_LANES) : (f32x16)0;

  for (ptrdiff_t h = 0; h < t->taps_h; h++)
    for (ptrdiff_t w = 0; w < t->taps_w; w++) {
      const float *from_a = a + h * t->a_tap_h + w * t->a_tap_w;
      const float *from_b = b + h * t->b_tap_h + w * t->b_tap_w;
      for (ptrdiff_t block = t->depth / CNN_LANES; block > 0; block--, from_a += t->a_block) {
        if (fetch) tile_fetch_some(fetch);
#pragma clang loop unroll_count(4)
        for (int k = 0; k < CNN_LANES; k++, from_b += b_row)
          ISA(tile_nn_step)(rows, vectors, a_row, sum, from_a + k, from_b);
      }
#pragma clang loop unroll(disable)
      for (ptrdiff_t k = 0; k < t->depth % CNN_LANES; k++, from_b += b_row)
        ISA(tile_nn_step)(rows, vectors, a_row, sum, from_a + k, from_b);
    }

#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) STORE(c + r * t->c_row + j * t->c_vector, sum[r][j]);
}

// tile_nn for 1 ... tile_nn_rows rows.
CNN_INLINE void ISA(tile_nn_rows_of)(ptrdiff_t rows, const int vectors, const ptrdiff_t a_row,
                                     const ptrdiff_t b_row, const tile_nn *t, const float *a, const float *b,
                                     float *c, const float *start, tile_fetch *fetch) {
  switch (rows) {
#define CASE(count)                                                                                  \
  case count:                                                                                        \
    if (count <= ISA(tile_nn_rows)) ISA(tile_nn)(count, vectors, a_row, b_row, t, a, b, c, start, fetch); \
    break;
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
    CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#undef CASE
  }
}

// Any number of rows times a panel of `width` (32 or 16) columns, in tiles of nearly equal height.
CNN_INLINE void ISA(tile_nn_run)(ptrdiff_t rows, const ptrdiff_t width, const ptrdiff_t a_row,
                                 const tile_nn *t, const float *a, const float *b, float *c,
                                 const float *start, tile_fetch *fetch) {
  const int vectors = width < CNN_LANES * ISA(tile_nn_vectors) ? 1 : ISA(tile_nn_vectors);
  const ptrdiff_t tiles = (rows + ISA(tile_nn_rows) - 1) / ISA(tile_nn_rows);
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    const ptrdiff_t height = rows / tiles + (tile < rows % tiles);
    for (ptrdiff_t j = 0; j < width / CNN_LANES; j += vectors)
      ISA(tile_nn_rows_of)(height, vectors, a_row, width, t, a, b + j * CNN_LANES, c + j * t->c_vector,
                           start ? start + j * CNN_LANES : NULL, fetch);
    a += height * a_row;
    c += height * t->c_row;
  }
}

// A panel of 32 or 16 columns with rows of A 16 floats apart, as they lie in a blocked activation.
static inline __attribute__((noinline)) void ISA(tile_nn_panel)(ptrdiff_t rows, ptrdiff_t width,
                                                                const tile_nn *t, const float *a,
                                                                const float *b, float *c,
                                                                const float *start) {
  if (width == 32) ISA(tile_nn_run)(rows, 32, CNN_LANES, t, a, b, c, start, NULL);
  else ISA(tile_nn_run)(rows, 16, CNN_LANES, t, a, b, c, start, NULL);
}

// D[i][16 j ...] = (accumulate ? D : 0) + sum over points of A[p][i] * B[p][16 j ...], which is added to `others`, one
// after the other, before it is written. Where `streams`, a constant, D is written past the caches: it is larger than
// they are, and nobody reads it soon.
CNN_INLINE void ISA(tile_tn_to)(const bool streams, const int rows, const int vectors, const tile_tn *t,
                                const float *a, const float *b, float *d, bool accumulate, tile_others others) {
  f32x16 sum[ISA(tile_tn_rows)][2];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++)
      sum[i][j] = accumulate ? LOAD(d + i * t->d_row + j * t->d_vector) : (f32x16)0;
  for (ptrdiff_t line = 0; line < t->lines; line++) {
    const float *from_a = a + line * t->a_line, *from_b = b + line * t->b_line;
#pragma clang loop unroll_count(4)
    for (ptrdiff_t p = 0; p < t->count; p++, from_a += t->a_point, from_b += t->b_point) {
      f32x16 right[2];
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++) right[j] = LOAD(from_b + j * t->b_vector);
#pragma clang loop unroll(full)
      for (int i = 0; i < rows; i++) {
        const f32x16 left = from_a[i];
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) sum[i][j] = FMA(left, right[j], sum[i][j]);
      }
    }
  }
#pragma clang loop unroll(disable)
  for (; others.count > 0; others.count--, others.last -= tile_cell)
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++) sum[i][j] += LOAD(others.last + i * t->d_row + j * t->d_vector);
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) {
      float *to = d + i * t->d_row + j * t->d_vector;
      if (streams) __builtin_nontemporal_store(sum[i][j], (f32x16 *)to);
      else STORE(to, sum[i][j]);
    }
}

CNN_INLINE void ISA(tile_tn)(const int rows, const int vectors, const tile_tn *t, const float *a,
                             const float *b, float *d, bool accumulate) {
  ISA(tile_tn_to)(false, rows, vectors, t, a, b, d, accumulate, (tile_others){0});
}

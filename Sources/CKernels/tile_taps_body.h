// The register tile of convolutions over pictures (packing.h): as tile_nn, but taps lie anywhere, and
// narrow outputs share a tile, several lines of them. Every output is one chain of fused
// multiply-adds in the order (tap, k).

CNN_INLINE void ISA(tile_taps_step)(const int lines, const int rows, const int vectors, ptrdiff_t a_line,
                                    f32x16 sum[][2], const float *a, const float *b) {
  f32x16 right[2];
#pragma clang loop unroll(full)
  for (int j = 0; j < vectors; j++) right[j] = LOAD(b + j * CNN_LANES);
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++)
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      const f32x16 left = a[l * a_line + r * CNN_LANES];
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++) sum[l * rows + r][j] = FMA(left, right[j], sum[l * rows + r][j]);
    }
}

// C[l][r][16 j ...] = start[16 j ...] + sum over taps and k. start may be NULL (zeros). Overwrites C.
CNN_INLINE void ISA(tile_taps)(const int lines, const int rows, const int vectors, const ptrdiff_t b_row,
                               const tile_taps *t, const float *a, const float *b, float *c,
                               const float *start) {
  f32x16 sum[ISA(tile_nn_rows)][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < lines * rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) sum[r][j] = start ? LOAD(start + j * CNN_LANES) : (f32x16)0;

  for (ptrdiff_t tap = 0; tap < t->taps; tap++) {
    const float *from = a + t->a_taps[tap];
    for (ptrdiff_t block = t->depth / CNN_LANES; block > 0; block--, from += t->a_block) {
#pragma clang loop unroll_count(4)
      for (int k = 0; k < CNN_LANES; k++, b += b_row)
        ISA(tile_taps_step)(lines, rows, vectors, t->a_line, sum, from + k, b);
    }
#pragma clang loop unroll(disable)
    for (ptrdiff_t k = 0; k < t->depth % CNN_LANES; k++, b += b_row)
      ISA(tile_taps_step)(lines, rows, vectors, t->a_line, sum, from + k, b);
  }

#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++)
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++)
        STORE(c + l * t->c_line + r * t->c_row + j * t->c_vector, sum[l * rows + r][j]);
}

// The most lines, of at most `wanted`, that a tile of `rows` rows a line is compiled for.
CNN_INLINE ptrdiff_t ISA(tile_taps_lines)(ptrdiff_t rows, ptrdiff_t wanted) {
  const ptrdiff_t most = smaller(ISA(tile_nn_rows) / rows, wanted);
  return most >= 14 ? 14 : most >= 7 ? 7 : most > 4 ? 4 : most;
}

// `lines` lines of `rows` rows times a panel of `width` (32 or 16) columns.
CNN_INLINE void ISA(tile_taps_panel)(ptrdiff_t lines, ptrdiff_t rows, const ptrdiff_t width,
                                     const tile_taps *t, const float *a, const float *b, float *c,
                                     const float *start) {
  const int vectors = width < CNN_LANES * ISA(tile_nn_vectors) ? 1 : ISA(tile_nn_vectors);
  for (ptrdiff_t j = 0; j < width / CNN_LANES; j += vectors) {
    const float *right = b + j * CNN_LANES, *from = start ? start + j * CNN_LANES : NULL;
    float *to = c + j * t->c_vector;
    switch (lines * 16 + rows) {
#define CASE(l, r)                                                                                       \
  case l * 16 + r:                                                                                       \
    if (l * r <= ISA(tile_nn_rows)) ISA(tile_taps)(l, r, vectors, width, t, a, right, to, from);         \
    break;
      CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(7, 1) CASE(14, 1)
      CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2) CASE(7, 2)
      CASE(1, 3) CASE(2, 3) CASE(3, 3) CASE(4, 3)
      CASE(1, 4) CASE(2, 4) CASE(3, 4)
      CASE(1, 5) CASE(2, 5) CASE(1, 6) CASE(2, 6) CASE(1, 7) CASE(2, 7)
      CASE(1, 8) CASE(1, 9) CASE(1, 10) CASE(1, 11) CASE(1, 12) CASE(1, 13) CASE(1, 14)
#undef CASE
    }
  }
}

// The outputs of a sweep for one panel: wide lines in tiles of nearly equal width, narrow ones
// several to a tile, of several images where there are enough.
CNN_INLINE void ISA(tile_sweep_width)(const tile_sweep *s, const ptrdiff_t width, const float *a,
                                      const float *b, float *c, const float *start) {
  const ptrdiff_t tiles = ceiling(s->columns, ISA(tile_nn_rows));
  const ptrdiff_t together = larger(1, ISA(tile_nn_rows) / s->columns);
  const bool across = together > 1 && s->images >= together;
  tile_taps tile = s->tile;
  if (across) tile.a_line = s->a_image, tile.c_line = s->c_image;
  const ptrdiff_t outer = across ? s->lines : s->images, inner = across ? s->images : s->lines;
  const ptrdiff_t a_outer = across ? s->tile.a_line : s->a_image;
  const ptrdiff_t c_outer = across ? s->tile.c_line : s->c_image;
  for (ptrdiff_t i = 0; i < outer; i++)
    for (ptrdiff_t j = 0, lines; j < inner; j += lines) {
      const float *from = a + i * a_outer + j * tile.a_line;
      float *to = c + i * c_outer + j * tile.c_line;
      const ptrdiff_t left = inner - j;
      lines = tiles > 1 ? 1 : ISA(tile_taps_lines)(s->columns, ceiling(left, ceiling(left, together)));
      for (ptrdiff_t t = 0; t < tiles; t++) {
        const ptrdiff_t columns = s->columns / tiles + (t < s->columns % tiles);
        ISA(tile_taps_panel)(lines, columns, width, &tile, from, b, to, start);
        from += columns * CNN_LANES;
        to += columns * tile.c_row;
      }
    }
}

static void ISA(tile_sweep)(const tile_sweep *s, ptrdiff_t width, const float *a, const float *b, float *c,
                            const float *start) {
  if (width == 32) ISA(tile_sweep_width)(s, 32, a, b, c, start);
  else ISA(tile_sweep_width)(s, 16, a, b, c, start);
}

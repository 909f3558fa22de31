// `rows` rows of D, `width` (32 or 16) columns, in tiles of tile_tn of nearly equal height: the gradient of
// one tap between neighbouring inputs and a panel of outputs. t->d_vector is 16.
static void ISA(tile_gradient)(const tile_tn *t, ptrdiff_t rows, ptrdiff_t width, const float *a,
                               const float *b, float *d, bool accumulate) {
  const int vectors = ISA(tile_tn_vectors);
  const ptrdiff_t tiles = ceiling(rows, ISA(tile_tn_rows));
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    const ptrdiff_t height = rows / tiles + (tile < rows % tiles);
    for (ptrdiff_t j = 0; j < width / CNN_LANES; j += vectors) {
      const float *right = b + j * t->b_vector;
      float *to = d + j * CNN_LANES;
      switch (width < vectors * CNN_LANES ? height : height + 8) {
#define CASE(count)                                                                                      \
  case count:                                                                                            \
    if (count <= ISA(tile_tn_rows)) ISA(tile_tn)(count, 1, t, a, right, to, accumulate);             \
    break;                                                                                               \
  case count + 8:                                                                                        \
    if (count <= ISA(tile_tn_rows)) ISA(tile_tn)(count, ISA(tile_tn_vectors), t, a, right, to, accumulate); \
    break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
      }
    }
    a += height;
    d += height * t->d_row;
  }
}

// A new gradient of 16 inputs and a panel of 32 outputs, written past the caches.
CNN_INLINE void ISA(tile_gradient_past)(const tile_tn *t, const float *a, const float *b, float *d) {
  for (int i = 0; i < CNN_BLOCK; i += ISA(tile_tn_rows))
    for (int j = 0; j < 2; j += ISA(tile_tn_vectors))
      ISA(tile_tn_to)(true, ISA(tile_tn_rows), ISA(tile_tn_vectors), t, a + i, b + j * t->b_vector,
                      d + i * t->d_row + j * t->d_vector, false);
}

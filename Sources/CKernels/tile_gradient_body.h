// `rows` rows of D, `width` (32 or 16) columns, in tiles of tile_tn of nearly equal height: the gradient of
// one tap between neighbouring inputs and a panel of outputs. t->d_vector is 16.
static void ISA(tile_gradient_beside)(const tile_tn *t, ptrdiff_t rows, ptrdiff_t width, const float *a,
                                      const float *b, float *d, bool accumulate, tile_others others) {
  const int vectors = ISA(tile_tn_vectors);
  const ptrdiff_t tiles = ceiling(rows, ISA(tile_tn_rows));
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    const ptrdiff_t height = rows / tiles + (tile < rows % tiles);
    for (ptrdiff_t j = 0; j < width / CNN_LANES; j += vectors) {
      const float *right = b + j * t->b_vector;
      float *to = d + j * CNN_LANES;
      const tile_others beside = {others.last + j * CNN_LANES, others.count};
      switch (width < vectors * CNN_LANES ? height : height + 8) {
#define CASE(count)                                                                                      \
  case count:                                                                                          \
    if (count <= ISA(tile_tn_rows))                                                                    \
      ISA(tile_tn_to)(false, count, 1, t, a, right, to, accumulate, beside);                           \
    break;                                                                                             \
  case count + 8:                                                                                      \
    if (count <= ISA(tile_tn_rows))                                                                    \
      ISA(tile_tn_to)(false, count, ISA(tile_tn_vectors), t, a, right, to, accumulate, beside);        \
    break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
      }
    }
    a += height;
    d += height * t->d_row;
    others.last += height * t->d_row;
  }
}

static void ISA(tile_gradient)(const tile_tn *t, ptrdiff_t rows, ptrdiff_t width, const float *a,
                               const float *b, float *d, bool accumulate) {
  ISA(tile_gradient_beside)(t, rows, width, a, b, d, accumulate, (tile_others){d, 0});
}

// A new gradient of 16 inputs and a panel of 32 outputs, written past the caches.
CNN_INLINE void ISA(tile_gradient_past)(const tile_tn *t, const float *a, const float *b, float *d,
                                        tile_others others) {
  for (int i = 0; i < CNN_BLOCK; i += ISA(tile_tn_rows))
    for (int j = 0; j < 2; j += ISA(tile_tn_vectors)) {
      const ptrdiff_t at = i * t->d_row + j * t->d_vector;
      ISA(tile_tn_to)(true, ISA(tile_tn_rows), ISA(tile_tn_vectors), t, a + i, b + j * t->b_vector, d + at, false,
                      (tile_others){others.last + at, others.count});
    }
}

// tile_gradient of each leaf, which are runs of points, added up as their tree does; `streams` where D, a whole cell,
// is to be written past the caches.
static inline __attribute__((noinline)) void ISA(tile_gradient_of_tree)(
    const tile_tn *t, const cnn_leaves *leaves, ptrdiff_t rows, ptrdiff_t width, bool streams, const float *a,
    const float *b, float *d) {
  float waiting[LEAVES_DEPTH][tile_cell] __attribute__((aligned(64)));
  tile_tn tile = *t;
  tile.d_row = width;
  ptrdiff_t depth = 0;
  for (ptrdiff_t leaf = 0; leaf < leaves->count; leaf++) {
    const ptrdiff_t point = leaves->first[leaf] - leaves->first[0], left = leaves_before(leaves, leaf, depth);
    const float *from_a = a + point * t->a_point, *from_b = b + point * t->b_point;
    const tile_others others = {waiting[depth > left ? depth - 1 : 0], depth - left};
    tile.count = leaves->first[leaf + 1] - leaves->first[leaf];
    if (leaf + 1 < leaves->count)
      ISA(tile_gradient_beside)(&tile, rows, width, from_a, from_b, waiting[left], false, others);
    else if (streams) ISA(tile_gradient_past)(&tile, from_a, from_b, d, others);
    else ISA(tile_gradient_beside)(&tile, rows, width, from_a, from_b, d, false, others);
    depth = left + 1;
  }
}

// A 16 x 16 matrix turned in four rounds: round by round the lanes of vectors 8, 4, 2 and 1 apart are
// exchanged in groups of that size.
CNN_INLINE void ISA(turn)(f32x16 v[CNN_LANES]) {
#define ROUND(distance, FIRST, SECOND)                                                   \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < CNN_LANES; i++) {               \
    if (i & (distance)) continue;                                                        \
    const f32x16 low = v[i], high = v[i + (distance)];                                   \
    v[i] = __builtin_shufflevector(low, high, FIRST);                                    \
    v[i + (distance)] = __builtin_shufflevector(low, high, SECOND);                      \
  }
#define LIST(...) __VA_ARGS__
  ROUND(8, LIST(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
        LIST(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
  ROUND(4, LIST(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),
        LIST(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
  ROUND(2, LIST(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
        LIST(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
  ROUND(1, LIST(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),
        LIST(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
#undef ROUND
#undef LIST
}

// y[p][l] = row l of x at p for l < rows, otherwise 0.
static void ISA(rows_to_pixels)(float *y, const float *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t pixels) {
  for (ptrdiff_t p = 0; p < pixels; p += CNN_LANES, y += CNN_LANES * CNN_LANES) {
    const ptrdiff_t count = smaller(CNN_LANES, pixels - p);
    f32x16 tile[CNN_LANES];
    for (int l = 0; l < CNN_LANES; l++) {
      tile[l] = 0;
      if (l < rows && count == CNN_LANES) tile[l] = LOAD(x + l * stride + p);
      else if (l < rows) memcpy(&tile[l], x + l * stride + p, (size_t)count * sizeof *x);
    }
    ISA(turn)(tile);
    if (count == CNN_LANES) memcpy(y, tile, sizeof tile);
    else memcpy(y, tile, (size_t)count * sizeof tile[0]);
  }
}

// Row l of y at p = x[p][l] for l < rows.
static void ISA(pixels_to_rows)(float *y, const float *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t pixels) {
  for (ptrdiff_t p = 0; p < pixels; p += CNN_LANES, x += CNN_LANES * CNN_LANES) {
    const ptrdiff_t count = smaller(CNN_LANES, pixels - p);
    f32x16 tile[CNN_LANES];
    for (int i = 0; i < CNN_LANES; i++) tile[i] = i < count ? LOAD(x + i * CNN_LANES) : (f32x16)0;
    ISA(turn)(tile);
    for (ptrdiff_t l = 0; l < rows; l++) {
      if (count == CNN_LANES) STORE(y + l * stride + p, tile[l]);
      else memcpy(y + l * stride + p, &tile[l], (size_t)count * sizeof *y);
    }
  }
}

static void ISA(transpose_block)(float *y, const float *x, const cnn_blocked *s) {
  const ptrdiff_t plane = s->n * s->area;
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++)
    ISA(rows_to_pixels)(y + run_start(s, block), x + block * CNN_LANES * plane + s->first * s->area, plane,
                        block_lanes(s->channels, block), s->images * s->area);
}

static void ISA(transpose_unblock)(float *x, const float *y, const cnn_blocked *s) {
  const ptrdiff_t plane = s->n * s->area;
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++)
    ISA(pixels_to_rows)(x + block * CNN_LANES * plane + s->first * s->area, y + run_start(s, block), plane,
                        block_lanes(s->channels, block), s->images * s->area);
}

// The features of a block of channels of an image are 16 * area neighbours, `area` whole vectors; only
// of the last block fewer exist.
static void ISA(transpose_flatten)(float *y, const float *x, const cnn_blocked *s, float *scratch) {
  const ptrdiff_t vectors = block_count(s->channels * s->area);
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const ptrdiff_t count = smaller(s->area, vectors - block * s->area);
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
      ISA(pixels_to_rows)(scratch, x + (block * s->n + image) * s->area * CNN_LANES, s->area, CNN_LANES, s->area);
      for (ptrdiff_t v = 0; v < count; v++)
        STORE(y + ((block * s->area + v) * s->n + image) * CNN_LANES, LOAD(scratch + v * CNN_LANES));
    }
  }
}

static void ISA(transpose_unflatten)(float *x, const float *y, const cnn_blocked *s, float *scratch) {
  const ptrdiff_t vectors = block_count(s->channels * s->area);
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const ptrdiff_t count = smaller(s->area, vectors - block * s->area);
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
      for (ptrdiff_t v = 0; v < count; v++)
        STORE(scratch + v * CNN_LANES, LOAD(y + ((block * s->area + v) * s->n + image) * CNN_LANES));
      ISA(rows_to_pixels)(x + (block * s->n + image) * s->area * CNN_LANES, scratch, s->area,
                          block_lanes(s->channels, block), s->area);
    }
  }
}

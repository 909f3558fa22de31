// The greatest of four, NaN if one is: the comparisons may lose a NaN, so it is put back.
#define GREATEST_OF(a, b, c, d)                                                                  \
  ({                                                                                             \
    f32x16 best_ = (b) > (a) ? (b) : (a);                                                        \
    best_ = (c) > best_ ? (c) : best_;                                                           \
    best_ = (d) > best_ ? (d) : best_;                                                           \
    const i32x16 nan_ = ((a) != (a)) | ((b) != (b)) | ((c) != (c)) | ((d) != (d));               \
    nan_ ? (a) + (b) + (c) + (d) : best_;                                                        \
  })

static void ISA(batch_norm_pool)(float *y, const float *x, const batch_norm_map *normal,
                                 const cnn_batch_norm_shape *s, ptrdiff_t block) {
  const batch_norm_map map = *normal;
  const ptrdiff_t oh = s->ih / 2, ow = s->iw / 2, row = s->iw * CNN_LANES;
  const ptrdiff_t first = block * s->x.n + s->x.first;
  for (ptrdiff_t image = first; image < first + s->x.images; image++) {
    float *to = y + image * oh * ow * CNN_LANES;
    for (ptrdiff_t i = 0; i < oh; i++) {
      const float *top = x + image * s->x.area * CNN_LANES + 2 * i * row, *bottom = top + row;
      for (ptrdiff_t j = 0; j < ow; j++, to += CNN_LANES, top += 2 * CNN_LANES, bottom += 2 * CNN_LANES) {
        const f32x16 a = NORM(LOAD(top), map), b = NORM(LOAD(top + CNN_LANES), map);
        const f32x16 c = NORM(LOAD(bottom), map), d = NORM(LOAD(bottom + CNN_LANES), map);
        const f32x16 best = GREATEST_OF(a, b, c, d);
        STORE(to, RELU(best));
      }
    }
  }
}

// A window in backward: the deviations x - mean of its four pixels, and where each got the gradient. The
// winner is the first whose batch norm is the output bit by bit, as in PyTorch's max pooling; where the
// output is 0 the gate is closed, and nobody gets anything.
CNN_INLINE void ISA(batch_norm_window)(f32x16 deviation[4], i32x16 won[4], const float *top,
                                       const float *bottom, const float *y, const batch_norm_map *map) {
  const float *const pixel[4] = {top, top + CNN_LANES, bottom, bottom + CNN_LANES};
  const f32x16 greatest = LOAD(y);
  i32x16 open = greatest > (f32x16)0;
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    deviation[k] = LOAD(pixel[k]) - map->mean;
    won[k] = (deviation[k] * map->scale + map->shift == greatest) & open;
    open &= ~won[k];
  }
}

// sum g and sum g * (y - shift), over runs of pooled pixels.
CNN_INLINE void ISA(batch_norm_pooled_sums)(f64x16 *sum, f64x16 *dot, const float *dy, const float *y,
                                            ptrdiff_t pixels, const batch_norm_map *map) {
  const f32x16 shift = map->shift;
  f64x16 sums = 0, dots = 0;
  for (ptrdiff_t start = 0; start < pixels; start += SUM_RUN) {
    const ptrdiff_t end = smaller(start + SUM_RUN, pixels) * CNN_LANES;
    f32x16 sum0 = 0, sum1 = 0, dot0 = 0, dot1 = 0;
    ptrdiff_t i = start * CNN_LANES;
    for (; i + 2 * CNN_LANES <= end; i += 2 * CNN_LANES) {
      const f32x16 v0 = LOAD(y + i), v1 = LOAD(y + i + CNN_LANES);
      const f32x16 g0 = GATE(LOAD(dy + i), v0), g1 = GATE(LOAD(dy + i + CNN_LANES), v1);
      sum0 += g0, dot0 += g0 * (v0 - shift);
      sum1 += g1, dot1 += g1 * (v1 - shift);
    }
    if (i < end) {
      const f32x16 v = LOAD(y + i), g = GATE(LOAD(dy + i), v);
      sum0 += g, dot0 += g * (v - shift);
    }
    sums += WIDEN(sum0 + sum1);
    dots += WIDEN(dot0 + dot1);
  }
  *sum = sums;
  *dot = dots;
}

// The same from x: a row of windows is a run.
static void ISA(batch_norm_window_sums)(f64x16 *sum, f64x16 *dot, const float *dy, const float *x,
                                        const float *y, const batch_norm_map *map,
                                        const cnn_batch_norm_shape *s, ptrdiff_t block) {
  const ptrdiff_t oh = s->ih / 2, ow = s->iw / 2, row = s->iw * CNN_LANES;
  const ptrdiff_t first = block * s->x.n + s->x.first;
  f64x16 sums = 0, dots = 0;
  for (ptrdiff_t image = first; image < first + s->x.images; image++) {
    for (ptrdiff_t i = 0; i < oh; i++) {
      const ptrdiff_t pooled = (image * oh + i) * ow * CNN_LANES;
      const float *top = x + image * s->x.area * CNN_LANES + 2 * i * row, *bottom = top + row;
      f64x16 row_sum = 0, row_dot = 0;
      for (ptrdiff_t j = 0; j < ow; j++) {
        f32x16 deviation[4];
        i32x16 won[4];
        ISA(batch_norm_window)(deviation, won, top + 2 * j * CNN_LANES, bottom + 2 * j * CNN_LANES,
                               y + pooled + j * CNN_LANES, map);
        const f32x16 g = GATE(LOAD(dy + pooled + j * CNN_LANES), LOAD(y + pooled + j * CNN_LANES));
        f32x16 d = won[0] ? deviation[0] : deviation[3];
        d = won[1] ? deviation[1] : won[2] ? deviation[2] : d;
        row_sum += WIDEN(g);
        row_dot += WIDEN(g * d);
      }
      sums += row_sum;
      dots += row_dot;
    }
  }
  *sum = sums;
  *dot = dots;
}

// (y - shift) / scale is x - mean at the winner, up to rounding: an error of |bias / weight| units in the
// last place of x - mean. That saves reading x, unless the weight is too small beside the bias.
static void ISA(batch_norm_pool_sums)(f64x16 *sum, f64x16 *dot, const float *dy, const float *x,
                                      const float *y, const batch_norm_map *map,
                                      const cnn_batch_norm_affine *affine, const cnn_batch_norm_shape *s,
                                      ptrdiff_t block) {
  const ptrdiff_t lanes = block_lanes(s->x.channels, block), pooled = (s->ih / 2) * (s->iw / 2);
  for (ptrdiff_t c = block * CNN_LANES; affine->weight && c < block * CNN_LANES + lanes; c++) {
    const float weight = affine->weight[c] < 0 ? -affine->weight[c] : affine->weight[c];
    const float bias = affine->bias[c] < 0 ? -affine->bias[c] : affine->bias[c];
    if (weight > 1e-6f && bias <= 16 * weight) continue;
    ISA(batch_norm_window_sums)(sum, dot, dy, x, y, map, s, block);
    return;
  }
  const ptrdiff_t start = (block * s->x.n + s->x.first) * pooled * CNN_LANES;
  ISA(batch_norm_pooled_sums)(sum, dot, dy + start, y + start, s->x.images * pooled, map);
  const i32x16 exists = EXISTS(lanes);
  const f32x16 scale = exists ? map->scale : (f32x16)1;
  *dot /= WIDEN(scale);
}

static void ISA(batch_norm_pool_gradient)(float *dx, const float *dy, const float *x, const float *y,
                                          const batch_norm_map *normal, const batch_norm_line *along,
                                          const cnn_batch_norm_shape *s, ptrdiff_t block) {
  const batch_norm_map map = *normal;
  const batch_norm_line line = *along;
  const ptrdiff_t oh = s->ih / 2, ow = s->iw / 2, row = s->iw * CNN_LANES;
  const ptrdiff_t first = block * s->x.n + s->x.first, size = s->x.area * CNN_LANES;
  dx += gradient_start(s, block);
#define LINE(g, d) (((g) - line.offset - (d) * line.slope) * map.scale)
  for (ptrdiff_t image = first; image < first + s->x.images; image++, dx += size) {
    const float *picture = x + image * size;
    for (ptrdiff_t i = 0; i < oh; i++) {
      const float *top = picture + 2 * i * row, *g = dy + (image * oh + i) * ow * CNN_LANES;
      const float *v = y + (image * oh + i) * ow * CNN_LANES;
      float *to = dx + 2 * i * row;
      for (ptrdiff_t j = 0; j < ow; j++, g += CNN_LANES, v += CNN_LANES) {
        const ptrdiff_t left = 2 * j * CNN_LANES, right = left + CNN_LANES;
        f32x16 d[4];
        i32x16 won[4];
        ISA(batch_norm_window)(d, won, top + left, top + row + left, v, &map);
        const f32x16 gradient = LOAD(g), none = 0;
        STORE(to + left, LINE(won[0] ? gradient : none, d[0]));
        STORE(to + right, LINE(won[1] ? gradient : none, d[1]));
        STORE(to + row + left, LINE(won[2] ? gradient : none, d[2]));
        STORE(to + row + right, LINE(won[3] ? gradient : none, d[3]));
      }
      if (s->iw % 2 == 0) continue;
      const ptrdiff_t last = row - CNN_LANES;
      STORE(to + last, LINE(0, LOAD(top + last) - map.mean));
      STORE(to + row + last, LINE(0, LOAD(top + row + last) - map.mean));
    }
    if (s->ih % 2 == 0) continue;
    for (ptrdiff_t at = (s->ih - 1) * row; at < s->ih * row; at += CNN_LANES)
      STORE(dx + at, LINE(0, LOAD(picture + at) - map.mean));
  }
#undef LINE
}

#undef GREATEST_OF

// Mean and sum of squared deviations of a run, in one pass around a value near the mean: the mean of up
// to 32 pixels spread over the run. The closer it is, the less the subtraction at the end cancels; and
// whatever it is, what it is subtracted from is exact where the data lie far from zero.
CNN_INLINE void ISA(batch_norm_moments)(f64x16 *mean, f64x16 *squares, const float *x, ptrdiff_t pixels) {
  const f32x16 first = LOAD(x);
  const ptrdiff_t samples = smaller(pixels, 32);
  f32x16 spread = 0;
  for (ptrdiff_t i = 0; i < samples; i++) spread += LOAD(x + i * pixels / samples * CNN_LANES) - first;
  const f32x16 centre = first + spread / (float)samples;

  f64x16 sum = 0, square = 0;
  for (ptrdiff_t start = 0; start < pixels; start += SUM_RUN) {
    const ptrdiff_t count = smaller(SUM_RUN, pixels - start);
    const float *p = x + start * CNN_LANES;
    f32x16 sum0 = 0, sum1 = 0, square0 = 0, square1 = 0;
    ptrdiff_t i = 0;
    for (; i + 2 <= count; i += 2, p += 2 * CNN_LANES) {
      const f32x16 d0 = LOAD(p) - centre, d1 = LOAD(p + CNN_LANES) - centre;
      sum0 += d0, square0 += d0 * d0;
      sum1 += d1, square1 += d1 * d1;
    }
    if (i < count) {
      const f32x16 d = LOAD(p) - centre;
      sum0 += d, square0 += d * d;
    }
    sum += WIDEN(sum0 + sum1);
    square += WIDEN(square0 + square1);
  }
  const f64x16 zero = 0, rest = square - sum * (sum / (double)pixels);
  *mean = WIDEN(centre) + sum / (double)pixels;
  *squares = rest < zero ? zero : rest;
}

static void ISA(batch_norm_pool)(float *y, const float *x, const batch_norm_map *map,
                                 const cnn_batch_norm_shape *s, ptrdiff_t block);

CNN_INLINE void ISA(batch_norm_apply_after)(float *y, const float *x, const float *residual, ptrdiff_t count,
                                            const batch_norm_map *to, const cnn_after_norm after) {
  const batch_norm_map map = *to;
  for (ptrdiff_t i = 0; i < count; i += CNN_LANES) {
    f32x16 v = NORM(LOAD(x + i), map);
    if (after == CNN_AFTER_NORM_ADD_RELU || after == CNN_AFTER_NORM_ADD) v += LOAD(residual + i);
    if (after == CNN_AFTER_NORM_RELU || after == CNN_AFTER_NORM_ADD_RELU) v = RELU(v);
    STORE(y + i, ACTIVATE(activation_after(after), v, 0));
  }
}

static void ISA(batch_norm_apply)(float *y, const float *x, const float *residual, const batch_norm_map *map,
                                  const cnn_batch_norm_shape *s, ptrdiff_t block) {
  const ptrdiff_t start = run_start(&s->x, block), count = s->x.images * s->x.area * CNN_LANES;
  switch (s->after) {
    case CNN_AFTER_NORM_NOTHING:
      ISA(batch_norm_apply_after)(y + start, x + start, NULL, count, map, CNN_AFTER_NORM_NOTHING);
      break;
    case CNN_AFTER_NORM_RELU:
      ISA(batch_norm_apply_after)(y + start, x + start, NULL, count, map, CNN_AFTER_NORM_RELU);
      break;
    case CNN_AFTER_NORM_ADD_RELU:
      ISA(batch_norm_apply_after)(y + start, x + start, residual + start, count, map, CNN_AFTER_NORM_ADD_RELU);
      break;
    case CNN_AFTER_NORM_RELU_MAX_POOL: ISA(batch_norm_pool)(y, x, map, s, block); break;
    case CNN_AFTER_NORM_ADD:
      ISA(batch_norm_apply_after)(y + start, x + start, residual + start, count, map, CNN_AFTER_NORM_ADD);
      break;
    case CNN_AFTER_NORM_RELU6:
      ISA(batch_norm_apply_after)(y + start, x + start, NULL, count, map, CNN_AFTER_NORM_RELU6);
      break;
    case CNN_AFTER_NORM_HARDSWISH:
      ISA(batch_norm_apply_after)(y + start, x + start, NULL, count, map, CNN_AFTER_NORM_HARDSWISH);
      break;
    case CNN_AFTER_NORM_SILU:
      ISA(batch_norm_apply_after)(y + start, x + start, NULL, count, map, CNN_AFTER_NORM_SILU);
      break;
  }
}

// sum g and sum g * (x - mean) over a run; g is also stored where the residual wants it.
CNN_INLINE void ISA(batch_norm_sums)(f64x16 *sum, f64x16 *dot, float *dresidual, const float *dy,
                                     const float *x, const float *y, ptrdiff_t pixels,
                                     const batch_norm_map *to, const cnn_after_norm after) {
  const batch_norm_map map = *to;
  f64x16 sums = 0, dots = 0;
  for (ptrdiff_t start = 0; start < pixels; start += SUM_RUN) {
    const ptrdiff_t count = smaller(SUM_RUN, pixels - start) * CNN_LANES, end = start * CNN_LANES + count;
    f32x16 sum_lane[2] = {0, 0}, dot_lane[2] = {0, 0};
// One pixel, in the chain that `lane` says.
#define TERM(i, lane)                                                                           \
  {                                                                                             \
    f32x16 g = LOAD(dy + (i));                                                                  \
    const f32x16 d = LOAD(x + (i)) - map.mean;                                                  \
    if (after == CNN_AFTER_NORM_RELU) g = GATE(g, d * map.scale + map.shift);                   \
    if (after == CNN_AFTER_NORM_ADD_RELU) g = GATE(g, LOAD(y + (i)));                           \
    g = ACTIVATION_GRADIENT(activation_after(after), g, d * map.scale + map.shift, 0);          \
    if (dresidual) STORE(dresidual + (i), g);                                                   \
    sum_lane[lane] += g;                                                                        \
    dot_lane[lane] += g * d;                                                                    \
  }
    ptrdiff_t i = start * CNN_LANES;
    for (; i + 2 * CNN_LANES <= end; i += 2 * CNN_LANES) {
      TERM(i, 0)
      TERM(i + CNN_LANES, 1)
    }
    if (i < end) TERM(i, 0)
#undef TERM
    sums += WIDEN(sum_lane[0] + sum_lane[1]);
    dots += WIDEN(dot_lane[0] + dot_lane[1]);
  }
  *sum = sums;
  *dot = dots;
}

static void ISA(batch_norm_sums_after)(f64x16 *sum, f64x16 *dot, float *dresidual, const float *dy,
                                       const float *x, const float *y, const batch_norm_map *map,
                                       const cnn_batch_norm_shape *s, ptrdiff_t block) {
  const ptrdiff_t start = run_start(&s->x, block), pixels = s->x.images * s->x.area;
  dy += start, x += start;
  if (s->after == CNN_AFTER_NORM_NOTHING)
    ISA(batch_norm_sums)(sum, dot, NULL, dy, x, NULL, pixels, map, CNN_AFTER_NORM_NOTHING);
  else if (s->after == CNN_AFTER_NORM_RELU)
    ISA(batch_norm_sums)(sum, dot, NULL, dy, x, NULL, pixels, map, CNN_AFTER_NORM_RELU);
#define OTHERWISE(what)                                                                        \
  else if (s->after == what) ISA(batch_norm_sums)(sum, dot, NULL, dy, x, NULL, pixels, map, what);
  OTHERWISE(CNN_AFTER_NORM_RELU6)
  OTHERWISE(CNN_AFTER_NORM_HARDSWISH)
  OTHERWISE(CNN_AFTER_NORM_SILU)
#undef OTHERWISE
  else if (s->after == CNN_AFTER_NORM_ADD && dresidual)
    ISA(batch_norm_sums)(sum, dot, dresidual + start, dy, x, NULL, pixels, map, CNN_AFTER_NORM_ADD);
  else if (s->after == CNN_AFTER_NORM_ADD)
    ISA(batch_norm_sums)(sum, dot, NULL, dy, x, NULL, pixels, map, CNN_AFTER_NORM_ADD);
  else if (dresidual)
    ISA(batch_norm_sums)(sum, dot, dresidual + start, dy, x, y + start, pixels, map, CNN_AFTER_NORM_ADD_RELU);
  else ISA(batch_norm_sums)(sum, dot, NULL, dy, x, y + start, pixels, map, CNN_AFTER_NORM_ADD_RELU);
}

CNN_INLINE void ISA(batch_norm_gradient_to)(const bool adds, float *dx, const float *dy, const float *x,
                                            const float *y, ptrdiff_t count, const batch_norm_map *to,
                                            const batch_norm_line *along, const cnn_after_norm after) {
  const batch_norm_map map = *to;
  const batch_norm_line line = *along;
  for (ptrdiff_t i = 0; i < count; i += CNN_LANES) {
    f32x16 g = LOAD(dy + i);
    const f32x16 d = LOAD(x + i) - map.mean;
    if (after == CNN_AFTER_NORM_RELU) g = GATE(g, d * map.scale + map.shift);
    if (after == CNN_AFTER_NORM_ADD_RELU) g = GATE(g, LOAD(y + i));
    g = ACTIVATION_GRADIENT(activation_after(after), g, d * map.scale + map.shift, 0);
    g = (g - line.offset - d * line.slope) * map.scale;
    STORE(dx + i, adds ? LOAD(dx + i) + g : g);
  }
}

CNN_INLINE void ISA(batch_norm_gradient)(bool adds, float *dx, const float *dy, const float *x, const float *y,
                                         ptrdiff_t count, const batch_norm_map *map,
                                         const batch_norm_line *line, const cnn_after_norm after) {
  if (adds) ISA(batch_norm_gradient_to)(true, dx, dy, x, y, count, map, line, after);
  else ISA(batch_norm_gradient_to)(false, dx, dy, x, y, count, map, line, after);
}

static void ISA(batch_norm_gradient_after)(float *dx, const float *dy, const float *x, const float *y,
                                           const batch_norm_map *map, const batch_norm_line *line,
                                           const cnn_batch_norm_shape *s, ptrdiff_t block) {
  const ptrdiff_t start = run_start(&s->x, block), count = s->x.images * s->x.area * CNN_LANES;
  dx += gradient_start(s, block), dy += start, x += start;
#define GRADIENT(y, what) ISA(batch_norm_gradient)(s->adds, dx, dy, x, y, count, map, line, what)
  if (s->after == CNN_AFTER_NORM_RELU) GRADIENT(NULL, CNN_AFTER_NORM_RELU);
  else if (s->after == CNN_AFTER_NORM_ADD_RELU && y) GRADIENT(y + start, CNN_AFTER_NORM_ADD_RELU);
  else if (s->after == CNN_AFTER_NORM_RELU6) GRADIENT(NULL, CNN_AFTER_NORM_RELU6);
  else if (s->after == CNN_AFTER_NORM_HARDSWISH) GRADIENT(NULL, CNN_AFTER_NORM_HARDSWISH);
  else if (s->after == CNN_AFTER_NORM_SILU) GRADIENT(NULL, CNN_AFTER_NORM_SILU);
  else GRADIENT(NULL, CNN_AFTER_NORM_NOTHING);
#undef GRADIENT
}

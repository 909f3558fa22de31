static void ISA(scaling_multiply)(float *y, const float *x, const float *factors, const cnn_blocked *s) {
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++)
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
      const ptrdiff_t start = (block * s->n + image) * s->area * CNN_LANES;
      const f32x16 factor = LOAD(factors + (block * s->n + image) * CNN_LANES);
      for (ptrdiff_t i = start; i < start + s->area * CNN_LANES; i += CNN_LANES)
        STORE(y + i, LOAD(x + i) * factor);
    }
}

// Sum of dy x over pixels; dy `factor` goes to dx, unless that is NULL.
CNN_INLINE void ISA(scaling_sum)(f64x16 *sum, float *dx, const float *dy, const float *x, const f32x16 *factor,
                                 ptrdiff_t pixels) {
  f64x16 total = 0;
  for (ptrdiff_t start = 0; start < pixels; start += SUM_RUN) {
    const ptrdiff_t end = smaller(start + SUM_RUN, pixels) * CNN_LANES;
    f32x16 even = 0, odd = 0;
    ptrdiff_t i = start * CNN_LANES;
#define TERM(sum, i)                                       \
  {                                                        \
    const f32x16 g = LOAD(dy + (i));                       \
    sum += g * LOAD(x + (i));                              \
    if (dx) STORE(dx + (i), g * *factor);                  \
  }
    for (; i + 2 * CNN_LANES <= end; i += 2 * CNN_LANES) {
      TERM(even, i)
      TERM(odd, i + CNN_LANES)
    }
    if (i < end) TERM(even, i)
#undef TERM
    total += WIDEN(even + odd);
  }
  *sum = total;
}

static void ISA(scaling_multiply_backward)(float *dx, float *ds, const float *dy, const float *x,
                                           const float *factors, const cnn_blocked *s) {
  if (!ds) {
    if (dx) ISA(scaling_multiply)(dx, dy, factors, s);
    return;
  }
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++)
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
      const ptrdiff_t place = (block * s->n + image) * CNN_LANES, start = place * s->area;
      const f32x16 factor = LOAD(factors + place);
      f64x16 sum;
      if (dx) ISA(scaling_sum)(&sum, dx + start, dy + start, x + start, &factor, s->area);
      else ISA(scaling_sum)(&sum, NULL, dy + start, x + start, &factor, s->area);
      STORE(ds + place, NARROW(sum));
    }
}

static void ISA(scaling_channels)(float *y, const float *x, const float *gamma, const cnn_blocked *s) {
  const ptrdiff_t count = s->images * s->area * CNN_LANES;
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const ptrdiff_t start = run_start(s, block);
    const f32x16 factor = LOAD(gamma + block * CNN_LANES);
    for (ptrdiff_t i = start; i < start + count; i += CNN_LANES) STORE(y + i, LOAD(x + i) * factor);
  }
}

static void ISA(scaling_channels_gradient)(float *dgamma, const float *dy, const float *x,
                                           const cnn_blocked *s) {
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const ptrdiff_t start = run_start(s, block);
    const f32x16 unused = 0;
    f64x16 sum;
    ISA(scaling_sum)(&sum, NULL, dy + start, x + start, &unused, s->images * s->area);
    STORE(dgamma + block * CNN_LANES, NARROW(sum));
  }
}

static void ISA(scaling_images)(float *y, const float *x, float factor, const cnn_blocked *s) {
  const ptrdiff_t count = s->images * s->area * CNN_LANES;
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const ptrdiff_t start = run_start(s, block);
    if (factor == 0) memset(y + start, 0, (size_t)count * sizeof *y);
    else
      for (ptrdiff_t i = start; i < start + count; i += CNN_LANES) STORE(y + i, LOAD(x + i) * factor);
  }
}

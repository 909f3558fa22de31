// Adds a run of pixels.
CNN_INLINE void ISA(bias_add)(f64x16 *sum, const float *run, ptrdiff_t pixels) {
  f64x16 total = *sum;
  for (ptrdiff_t start = 0; start < pixels; start += SUM_RUN) {
    const ptrdiff_t count = smaller(SUM_RUN, pixels - start);
    const float *p = run + start * CNN_LANES;
    f32x16 even = 0, odd = 0;
    ptrdiff_t i = 0;
    for (; i + 2 <= count; i += 2, p += 2 * CNN_LANES) {
      even += LOAD(p);
      odd += LOAD(p + CNN_LANES);
    }
    if (i < count) even += LOAD(p);
    total += WIDEN(even + odd);
  }
  *sum = total;
}

static void ISA(bias_gradient)(float *dbias, const float *dy, const cnn_blocked *s) {
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++, dbias += CNN_LANES) {
    f64x16 sum = 0;
    ISA(bias_add)(&sum, dy + run_start(s, block), s->images * s->area);
    STORE(dbias, NARROW(sum));
  }
}

static void ISA(bias_gradient_of_part)(float *dbias, double *sums, const float *dy, const cnn_blocked *s,
                                       bool adds) {
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++, dbias += CNN_LANES, sums += CNN_LANES) {
    f64x16 sum = 0;
    if (adds) memcpy(&sum, sums, sizeof sum);
    ISA(bias_add)(&sum, dy + run_start(s, block), s->images * s->area);
    memcpy(sums, &sum, sizeof sum);
    STORE(dbias, NARROW(sum));
  }
}

static void ISA(bias_gradient_of_tree)(float *dbias, const float *dy, const cnn_blocked *s,
                                       const cnn_leaves *leaves) {
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++, dbias += CNN_LANES) {
    f32x16 sums[LEAVES_DEPTH];
    ptrdiff_t depth = 0;
    for (ptrdiff_t leaf = 0; leaf < leaves->count; leaf++, depth++) {
      const ptrdiff_t first = leaves->first[leaf], images = leaves->first[leaf + 1] - first;
      f64x16 sum = 0;
      ISA(bias_add)(&sum, dy + (block * s->n + first) * s->area * CNN_LANES, images * s->area);
      sums[depth] = NARROW(sum);
      for (ptrdiff_t left = leaves_before(leaves, leaf, depth); depth > left; depth--)
        sums[depth - 1] += sums[depth];
    }
    STORE(dbias, sums[0]);
  }
}

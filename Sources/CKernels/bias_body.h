static void ISA(bias_gradient)(float *dbias, const float *dy, const cnn_blocked *s) {
  const ptrdiff_t pixels = s->images * s->area;
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const float *run = dy + run_start(s, block);
    f64x16 total = 0;
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
    STORE(dbias + block * CNN_LANES, NARROW(total));
  }
}

// As many chains as hide the latency of two multiply-add units and fit into the registers.
static double ISA(peak_multiply_adds)(ptrdiff_t rounds, float *sink) {
  enum { chains = ISA(peak_chains), steps = 64 };
  f32x16 sum[chains];
#pragma clang loop unroll(full)
  for (int i = 0; i < chains; i++) sum[i] = (float)i;
  const f32x16 factor = 0.999f, term = 0.001f;
  for (ptrdiff_t round = 0; round < rounds; round++)
    for (int step = 0; step < steps; step++)
#pragma clang loop unroll(full)
      for (int i = 0; i < chains; i++) sum[i] = FMA(sum[i], factor, term);
#pragma clang loop unroll(full)
  for (int i = 1; i < chains; i++) sum[0] += sum[i];
  STORE(sink, sum[0]);
  return 2.0 * CNN_LANES * chains * steps * (double)rounds;
}

static void ISA(peak_triad)(float *a, const float *b, const float *c, float scale, size_t count) {
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) STORE(a + i, FMA((f32x16)scale, LOAD(c + i), LOAD(b + i)));
  for (; i < count; i++) a[i] = b[i] + scale * c[i];
}

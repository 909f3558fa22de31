static void ISA(reduction_add)(float *restrict a, const float *restrict b, size_t count) {
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) STORE(a + i, LOAD(a + i) + LOAD(b + i));
  for (; i < count; i++) a[i] += b[i];
}

static void ISA(reduction_sum)(float *restrict y, const float *restrict a, const float *restrict b, size_t count) {
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) STORE(y + i, LOAD(a + i) + LOAD(b + i));
  for (; i < count; i++) y[i] = a[i] + b[i];
}

static void ISA(elementwise_relu)(float *y, const float *x, size_t count) {
  const f32x16 zero = 0;
  for (size_t i = 0; i < count; i += CNN_LANES) {
    const f32x16 v = LOAD(x + i);
    STORE(y + i, v < zero ? zero : v);
  }
}

static void ISA(elementwise_relu_gradient)(float *dx, const float *dy, const float *y, size_t count) {
  const f32x16 zero = 0;
  for (size_t i = 0; i < count; i += CNN_LANES) STORE(dx + i, LOAD(y + i) <= zero ? zero : LOAD(dy + i));
}

static void ISA(elementwise_add)(float *y, const float *a, const float *b, size_t count, bool relu) {
  const f32x16 zero = 0;
  if (relu) {
    for (size_t i = 0; i < count; i += CNN_LANES) {
      const f32x16 v = LOAD(a + i) + LOAD(b + i);
      STORE(y + i, v < zero ? zero : v);
    }
  } else {
    for (size_t i = 0; i < count; i += CNN_LANES) STORE(y + i, LOAD(a + i) + LOAD(b + i));
  }
}

// Each optimizer is written once, for 16 elements; the last few of a range pass through copies on the
// stack, so that they see the same operations.

CNN_INLINE void ISA(sgd_16)(float *w, const float *gradient, float *b, const cnn_sgd *s) {
  const f32x16 w0 = LOAD(w);
  const f32x16 g = PENALISED(LOAD(gradient), w0, s->l1, s->weight_decay);
  f32x16 movement = g;
  if (b) {
    const f32x16 b1 = LOAD(b) * s->momentum + g;
    STORE(b, b1);
    movement = s->nesterov ? g + s->momentum * b1 : b1;
  }
  STORE(w, w0 - s->learning_rate * movement);
}

CNN_INLINE void ISA(adam_16)(float *w, const float *gradient, float *m, float *v, const cnn_adam *s) {
  const f32x16 w0 = LOAD(w) * s->decay;
  const f32x16 g = PENALISED(LOAD(gradient), w0, s->l1, s->weight_decay);
  const f32x16 m0 = LOAD(m), m1 = LERP(m0, g, s->one_minus_beta1);
  const f32x16 v1 = LOAD(v) * s->beta2 + s->one_minus_beta2 * g * g;
  STORE(m, m1);
  STORE(v, v1);
  const f32x16 d = __builtin_elementwise_sqrt(v1) / s->root_correction2 + s->epsilon;
  STORE(w, w0 - s->step_size * m1 / d);
}

CNN_INLINE void ISA(rmsprop_16)(
    float *w, const float *gradient, float *v, float *mean, float *b, const cnn_rmsprop *s) {
  const f32x16 w0 = LOAD(w);
  const f32x16 g = PENALISED(LOAD(gradient), w0, s->l1, s->weight_decay);
  const f32x16 v1 = LOAD(v) * s->alpha + s->one_minus_alpha * g * g;
  STORE(v, v1);
  f32x16 variance = v1;
  if (mean) {
    const f32x16 mean0 = LOAD(mean), mean1 = LERP(mean0, g, s->one_minus_alpha);
    STORE(mean, mean1);
    // Rounding can take the variance of a constant gradient below zero, where PyTorch gives NaN.
    variance = __builtin_elementwise_max(v1 - mean1 * mean1, (f32x16)0.0f);
  }
  const f32x16 d = __builtin_elementwise_sqrt(variance) + s->epsilon;
  if (b) {
    const f32x16 b1 = LOAD(b) * s->momentum + g / d;
    STORE(b, b1);
    STORE(w, w0 - s->learning_rate * b1);
  } else {
    STORE(w, w0 - s->learning_rate * g / d);
  }
}

static void ISA(optimizer_sgd)(float *w, const float *gradient, float *b, cnn_sgd s, size_t count) {
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) ISA(sgd_16)(w + i, gradient + i, b ? b + i : b, &s);
  if (i == count) return;
  float rest[3][CNN_LANES] = {{0}};
  const size_t bytes = (count - i) * sizeof(float);
  memcpy(rest[0], w + i, bytes), memcpy(rest[1], gradient + i, bytes);
  if (b) memcpy(rest[2], b + i, bytes);
  ISA(sgd_16)(rest[0], rest[1], b ? rest[2] : b, &s);
  memcpy(w + i, rest[0], bytes);
  if (b) memcpy(b + i, rest[2], bytes);
}

static void ISA(optimizer_adam)(float *w, const float *gradient, float *m, float *v, cnn_adam s, size_t count) {
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) ISA(adam_16)(w + i, gradient + i, m + i, v + i, &s);
  if (i == count) return;
  float rest[4][CNN_LANES] = {{0}};
  const size_t bytes = (count - i) * sizeof(float);
  memcpy(rest[0], w + i, bytes), memcpy(rest[1], gradient + i, bytes);
  memcpy(rest[2], m + i, bytes), memcpy(rest[3], v + i, bytes);
  ISA(adam_16)(rest[0], rest[1], rest[2], rest[3], &s);
  memcpy(w + i, rest[0], bytes), memcpy(m + i, rest[2], bytes), memcpy(v + i, rest[3], bytes);
}

static void ISA(optimizer_rmsprop)(
    float *w, const float *gradient, float *v, float *mean, float *b, cnn_rmsprop s, size_t count) {
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES)
    ISA(rmsprop_16)(w + i, gradient + i, v + i, mean ? mean + i : mean, b ? b + i : b, &s);
  if (i == count) return;
  float rest[5][CNN_LANES] = {{0}};
  const size_t bytes = (count - i) * sizeof(float);
  memcpy(rest[0], w + i, bytes), memcpy(rest[1], gradient + i, bytes), memcpy(rest[2], v + i, bytes);
  if (mean) memcpy(rest[3], mean + i, bytes);
  if (b) memcpy(rest[4], b + i, bytes);
  ISA(rmsprop_16)(rest[0], rest[1], rest[2], mean ? rest[3] : mean, b ? rest[4] : b, &s);
  memcpy(w + i, rest[0], bytes), memcpy(v + i, rest[2], bytes);
  if (mean) memcpy(mean + i, rest[3], bytes);
  if (b) memcpy(b + i, rest[4], bytes);
}

static void ISA(optimizer_running)(float *running, const float *sum, double images, double momentum, size_t count) {
  for (size_t i = 0; i < count; i++)
    running[i] = (float)((1.0 - momentum) * (double)running[i] + momentum * ((double)sum[i] / images));
}

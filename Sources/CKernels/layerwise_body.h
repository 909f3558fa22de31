// Sums take sixteen elements at a time into sixteen doubles; the last few elements of a range pass through
// copies on the stack, filled up with zeros, which add nothing.

#define SQUARES(x) ({ const f64x16 d_ = __builtin_convertvector((f32x16)(x), f64x16); d_ * d_; })

// The update of LAMB before its rate.
#define LAMB_UPDATE(w, m, v, s)                                                                            \
  (((m) / (s)->correction1) / (__builtin_elementwise_sqrt(v) / (s)->root_correction2 + (s)->epsilon) +     \
   (s)->weight_decay * (w))

CNN_INLINE double ISA(sum_of_lanes)(const f64x16 *lanes) {
  double each[CNN_LANES], sum = 0;
  memcpy(each, lanes, sizeof each);
  for (int lane = 0; lane < CNN_LANES; lane++) sum += each[lane];
  return sum;
}

static double ISA(layerwise_squares)(const float *x, size_t count) {
  f64x16 sums = 0.0;
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) sums += SQUARES(LOAD(x + i));
  if (i < count) {
    float rest[CNN_LANES] = {0};
    memcpy(rest, x + i, (count - i) * sizeof(float));
    sums += SQUARES(LOAD(rest));
  }
  return ISA(sum_of_lanes)(&sums);
}

static void ISA(layerwise_clamp)(float *x, float limit, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

static void ISA(layerwise_scale)(float *x, float factor, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] *= factor;
}

static void ISA(layerwise_follow)(float *restrict average, const float *restrict x, float share, size_t count) {
  for (size_t i = 0; i < count; i++) average[i] += share * (x[i] - average[i]);
}

CNN_INLINE void ISA(lars_16)(float *w, const float *gradient, float *b, const cnn_lars *s) {
  const f32x16 w0 = LOAD(w);
  const f32x16 g = PENALISED(LOAD(gradient), w0, s->l1, s->weight_decay);
  f32x16 movement = s->rate * g;
  if (b) {
    movement = LOAD(b) * s->momentum + movement;
    STORE(b, movement);
  }
  STORE(w, w0 - movement);
}

static void ISA(layerwise_lars)(float *w, const float *gradient, float *b, cnn_lars s, size_t count) {
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) ISA(lars_16)(w + i, gradient + i, b ? b + i : b, &s);
  if (i == count) return;
  float rest[3][CNN_LANES] = {{0}};
  const size_t bytes = (count - i) * sizeof(float);
  memcpy(rest[0], w + i, bytes), memcpy(rest[1], gradient + i, bytes);
  if (b) memcpy(rest[2], b + i, bytes);
  ISA(lars_16)(rest[0], rest[1], b ? rest[2] : b, &s);
  memcpy(w + i, rest[0], bytes);
  if (b) memcpy(b + i, rest[2], bytes);
}

CNN_INLINE void ISA(lamb_moments_16)(
    const float *w, const float *gradient, float *m, float *v, const cnn_lamb *s, f64x16 sums[2]) {
  const f32x16 w0 = LOAD(w);
  const f32x16 g = PENALISED(LOAD(gradient), w0, s->l1, 0.0f);
  const f32x16 m0 = LOAD(m), m1 = LERP(m0, g, s->one_minus_beta1);
  const f32x16 v1 = LOAD(v) * s->beta2 + s->one_minus_beta2 * g * g;
  STORE(m, m1);
  STORE(v, v1);
  sums[0] += SQUARES(w0);
  sums[1] += SQUARES(LAMB_UPDATE(w0, m1, v1, s));
}

static void ISA(layerwise_lamb_moments)(
    const float *w, const float *gradient, float *m, float *v, cnn_lamb s, double sums[2], size_t count) {
  f64x16 lanes[2] = {0.0, 0.0};
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES)
    ISA(lamb_moments_16)(w + i, gradient + i, m + i, v + i, &s, lanes);
  if (i < count) {
    float rest[4][CNN_LANES] = {{0}};
    const size_t bytes = (count - i) * sizeof(float);
    memcpy(rest[0], w + i, bytes), memcpy(rest[1], gradient + i, bytes);
    memcpy(rest[2], m + i, bytes), memcpy(rest[3], v + i, bytes);
    ISA(lamb_moments_16)(rest[0], rest[1], rest[2], rest[3], &s, lanes);
    memcpy(m + i, rest[2], bytes), memcpy(v + i, rest[3], bytes);
  }
  sums[0] = ISA(sum_of_lanes)(&lanes[0]);
  sums[1] = ISA(sum_of_lanes)(&lanes[1]);
}

CNN_INLINE void ISA(lamb_16)(float *w, const float *m, const float *v, const cnn_lamb *s, float rate) {
  const f32x16 w0 = LOAD(w), m1 = LOAD(m), v1 = LOAD(v);
  STORE(w, w0 - rate * LAMB_UPDATE(w0, m1, v1, s));
}

static void ISA(layerwise_lamb)(
    float *w, const float *m, const float *v, cnn_lamb s, float rate, size_t count) {
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) ISA(lamb_16)(w + i, m + i, v + i, &s, rate);
  if (i == count) return;
  float rest[3][CNN_LANES] = {{0}};
  const size_t bytes = (count - i) * sizeof(float);
  memcpy(rest[0], w + i, bytes), memcpy(rest[1], m + i, bytes), memcpy(rest[2], v + i, bytes);
  ISA(lamb_16)(rest[0], rest[1], rest[2], &s, rate);
  memcpy(w + i, rest[0], bytes);
}

#undef SQUARES
#undef LAMB_UPDATE

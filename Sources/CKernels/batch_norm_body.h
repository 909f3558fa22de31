// Sums run in double over 16 lanes: on values in cache that costs no more than single precision, and
// a mean is then exact to the last bit of its float.

#define WIDEN(v) __builtin_convertvector((v), f64x16)

CNN_INLINE double ISA(batch_norm_total)(const double lane[CNN_LANES]) {
  double total[CNN_LANES];
  memcpy(total, lane, sizeof total);
  for (int half = CNN_LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) total[i] += total[i + half];
  return total[0];
}

// Mean and sum of squared deviations of a run, in one pass: both are taken around the first value.
// That value is itself in the data, so (first - mean)^2 <= sum of squares, and the subtraction at the
// end loses at most a factor `count` of double precision, however far from zero the data lie.
CNN_INLINE void ISA(batch_norm_moments)(double *mean, double *squares, const float *x, size_t count) {
  const double first = x[0];
  f64x16 sum = 0, square = 0;
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) {
    const f64x16 d = WIDEN(LOAD(x + i)) - first;
    sum += d;
    square += d * d;
  }
  double sums[CNN_LANES], squared[CNN_LANES];
  memcpy(sums, &sum, sizeof sums);
  memcpy(squared, &square, sizeof squared);
  for (int lane = 0; i < count; i++, lane++) {
    const double d = x[i] - first;
    sums[lane] += d;
    squared[lane] += d * d;
  }
  const double total = ISA(batch_norm_total)(sums);
  *mean = first + total / (double)count;
  *squares = fmax(0, ISA(batch_norm_total)(squared) - total * (total / (double)count));
}

// Without a branch on NaN: relu lets it pass, as PyTorch does.
CNN_INLINE void ISA(batch_norm_apply)(float *y, const float *x, size_t count, batch_norm_map map, bool relu) {
  const f32x16 zero = 0;
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) {
    f32x16 v = (LOAD(x + i) - map.mean) * map.scale + map.shift;
    if (relu) v = v < zero ? zero : v;
    STORE(y + i, v);
  }
  for (; i < count; i++) {
    const float v = (x[i] - map.mean) * map.scale + map.shift;
    y[i] = relu && v < 0 ? 0 : v;
  }
}

static void ISA(batch_norm_map_run)(float *y, const float *x, size_t count, batch_norm_map map, bool relu) {
  if (relu) ISA(batch_norm_apply)(y, x, count, map, true);
  else ISA(batch_norm_apply)(y, x, count, map, false);
}

static void ISA(batch_norm_forward_training)(float *y, float *mean, float *inverse_deviation,
                                             float *unbiased_variance, const float *x, const float *weight,
                                             const float *bias, const cnn_batch_norm_shape *shape) {
  const size_t count = shape->count;
  for (size_t c = 0; c < shape->channels; c++, x += count, y += count) {
    double centre, squares;
    ISA(batch_norm_moments)(&centre, &squares, x, count);
    mean[c] = (float)centre;
    inverse_deviation[c] = (float)(1 / sqrt(squares / (double)count + (double)shape->epsilon));
    unbiased_variance[c] = (float)(squares / (double)(count - 1));
    const batch_norm_map map = {mean[c], weight ? inverse_deviation[c] * weight[c] : inverse_deviation[c],
                                bias ? bias[c] : 0};
    ISA(batch_norm_map_run)(y, x, count, map, shape->relu);
  }
}

static void ISA(batch_norm_forward_inference)(float *y, const float *x, const float *mean,
                                              const float *variance, const float *weight, const float *bias,
                                              const cnn_batch_norm_shape *shape) {
  const size_t count = shape->count;
  for (size_t c = 0; c < shape->channels; c++, x += count, y += count) {
    const float inverse_deviation = (float)(1 / sqrt((double)variance[c] + (double)shape->epsilon));
    const batch_norm_map map = {mean[c], weight ? inverse_deviation * weight[c] : inverse_deviation,
                                bias ? bias[c] : 0};
    ISA(batch_norm_map_run)(y, x, count, map, shape->relu);
  }
}

// Where the gate is closed dy counts for nothing. Whether it is follows from x by forward's own
// formula, with the same bits, so the output need be neither kept nor read.
#define GATED(relu, dy, v, map, zero) \
  ((relu) ? (((v) * (map).scale + (map).shift) <= (zero) ? (zero) : (dy)) : (dy))

CNN_INLINE void ISA(batch_norm_sums)(double *sum, double *dot, const float *dy, const float *x, size_t count,
                                     batch_norm_map map, bool relu) {
  const f32x16 zero = 0;
  f64x16 sum_lanes = 0, dot_lanes = 0;
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) {
    const f32x16 d = LOAD(x + i) - map.mean;
    const f32x16 g = GATED(relu, LOAD(dy + i), d, map, zero);
    sum_lanes += WIDEN(g);
    dot_lanes += WIDEN(g * d);
  }
  double sums[CNN_LANES], dots[CNN_LANES];
  memcpy(sums, &sum_lanes, sizeof sums);
  memcpy(dots, &dot_lanes, sizeof dots);
  for (int lane = 0; i < count; i++, lane++) {
    const float d = x[i] - map.mean;
    const float g = GATED(relu, dy[i], d, map, 0.0f);
    sums[lane] += g;
    dots[lane] += g * d;
  }
  *sum = ISA(batch_norm_total)(sums);
  *dot = ISA(batch_norm_total)(dots);
}

// dx = (g - offset - (x - mean) * slope) * scale.
CNN_INLINE void ISA(batch_norm_gradient)(float *dx, const float *dy, const float *x, size_t count,
                                         batch_norm_map map, float offset, float slope, bool relu) {
  const f32x16 zero = 0;
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) {
    const f32x16 d = LOAD(x + i) - map.mean;
    const f32x16 g = GATED(relu, LOAD(dy + i), d, map, zero);
    STORE(dx + i, (g - offset - d * slope) * map.scale);
  }
  for (; i < count; i++) {
    const float d = x[i] - map.mean;
    const float g = GATED(relu, dy[i], d, map, 0.0f);
    dx[i] = (g - offset - d * slope) * map.scale;
  }
}

static void ISA(batch_norm_backward)(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                                     const cnn_batch_norm_channels *channels,
                                     const cnn_batch_norm_shape *shape) {
  const size_t count = shape->count;
  for (size_t c = 0; c < shape->channels; c++, x += count, dy += count) {
    const float inverse = channels->inverse_deviation[c];
    const batch_norm_map map = {channels->mean[c], channels->weight ? inverse * channels->weight[c] : inverse,
                                channels->bias ? channels->bias[c] : 0};
    double sum, dot;
    if (shape->relu) ISA(batch_norm_sums)(&sum, &dot, dy, x, count, map, true);
    else ISA(batch_norm_sums)(&sum, &dot, dy, x, count, map, false);
    if (dbias) dbias[c] = (float)sum;
    if (dweight) dweight[c] = (float)(dot * inverse);
    if (!dx) continue;
    const float offset = (float)(sum / (double)count);
    const float slope = (float)(dot * inverse * inverse / (double)count);
    float *out = dx + c * count;
    if (shape->relu) ISA(batch_norm_gradient)(out, dy, x, count, map, offset, slope, true);
    else ISA(batch_norm_gradient)(out, dy, x, count, map, offset, slope, false);
  }
}

#undef WIDEN
#undef GATED

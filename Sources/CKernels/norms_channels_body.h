// Local response norm and softmax: a pixel at a time, its channels in a row.

// d^-beta; a NaN stays one, which the logarithm's arithmetic on bits would lose.
#define INVERSE_POWER(d, beta)                                                                             \
  ({                                                                                                       \
    const f32x16 base_ = (d), root_ = __builtin_elementwise_sqrt(base_);                                   \
    f32x16 power_ = base_;                                                                                 \
    if ((beta) == 0.75f) {                                                                                 \
      power_ = 1.0f / (root_ * __builtin_elementwise_sqrt(root_));                                         \
    } else {                                                                                               \
      const f32x16 exponent_ = -(beta) * CNN_LOG(base_);                                                   \
      power_ = CNN_EXP(exponent_);                                                                         \
    }                                                                                                      \
    base_ == base_ ? power_ : base_;                                                                       \
  })

// The sum of `size` neighbours from `row` on, for 16 channels.
CNN_INLINE void ISA(window_sum)(f32x16 *sum, const float *row, ptrdiff_t size) {
  f32x16 total = LOAD(row);
  for (ptrdiff_t j = 1; j < size; j++) total += LOAD(row + j);
  *sum = total;
}

static void ISA(local_response_forward)(float *y, const float *x, const cnn_response_shape *s, float *scratch) {
  const ptrdiff_t stride = s->x.n * s->x.area * CNN_LANES, blocks = block_count(s->x.channels);
  float *squares = scratch;
  memset(squares, 0, (size_t)response_row(s) * sizeof *squares);
  const float rate = s->alpha / (float)s->size;
  for (ptrdiff_t pixel = s->x.first * s->x.area; pixel < (s->x.first + s->x.images) * s->x.area; pixel++) {
    const float *from = x + pixel * CNN_LANES;
    float *to = y + pixel * CNN_LANES;
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const f32x16 v = LOAD(from + block * stride);
      STORE(squares + s->size / 2 + block * CNN_LANES, v * v);
    }
    for (ptrdiff_t block = 0; block < blocks; block++) {
      f32x16 sum;
      ISA(window_sum)(&sum, squares + block * CNN_LANES, s->size);
      STORE(to + block * stride, LOAD(from + block * stride) * INVERSE_POWER(sum * rate + s->k, s->beta));
    }
  }
}

static void ISA(local_response_backward)(float *dx, const float *dy, const float *x, const cnn_response_shape *s,
                                         float *scratch) {
  const ptrdiff_t stride = s->x.n * s->x.area * CNN_LANES, blocks = block_count(s->x.channels);
  float *squares = scratch, *products = squares + response_row(s), *own = products + response_row(s);
  memset(squares, 0, (size_t)(2 * response_row(s)) * sizeof *squares);
  const float rate = s->alpha / (float)s->size;
  for (ptrdiff_t pixel = s->x.first * s->x.area; pixel < (s->x.first + s->x.images) * s->x.area; pixel++) {
    const float *from = x + pixel * CNN_LANES, *gradient = dy + pixel * CNN_LANES;
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const f32x16 v = LOAD(from + block * stride);
      STORE(squares + s->size / 2 + block * CNN_LANES, v * v);
    }
    for (ptrdiff_t block = 0; block < blocks; block++) {
      f32x16 sum;
      ISA(window_sum)(&sum, squares + block * CNN_LANES, s->size);
      const f32x16 d = sum * rate + s->k;
      const f32x16 direct = LOAD(gradient + block * stride) * INVERSE_POWER(d, s->beta);
      STORE(own + block * CNN_LANES, direct);
      STORE(products + (s->size - 1) / 2 + block * CNN_LANES, direct * LOAD(from + block * stride) / d);
    }
    for (ptrdiff_t block = 0; block < blocks; block++) {
      f32x16 sum;
      ISA(window_sum)(&sum, products + block * CNN_LANES, s->size);
      const f32x16 shared = 2 * rate * s->beta * LOAD(from + block * stride) * sum;
      STORE(dx + pixel * CNN_LANES + block * stride, LOAD(own + block * CNN_LANES) - shared);
    }
  }
}
#undef INVERSE_POWER

// Lanes in pairs, the same order for all.
CNN_INLINE float ISA(lanes_total)(const f32x16 *vector) {
  float lanes[CNN_LANES];
  memcpy(lanes, vector, sizeof lanes);
  for (int half = CNN_LANES / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

static void ISA(channel_softmax)(float *y, const float *x, const cnn_blocked *s) {
  const ptrdiff_t stride = s->n * s->area * CNN_LANES, blocks = block_count(s->channels);
  for (ptrdiff_t pixel = s->first * s->area; pixel < (s->first + s->images) * s->area; pixel++) {
    const float *from = x + pixel * CNN_LANES;
    float *to = y + pixel * CNN_LANES;
    f32x16 best = -INFINITY, lanes = 0;
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const f32x16 v = LOAD(from + block * stride);
      const i32x16 more = (v > best) & EXISTS(block_lanes(s->channels, block));
      best = more ? v : best;
    }
    float greatest = best[0];
    for (int lane = 1; lane < CNN_LANES; lane++) greatest = best[lane] > greatest ? best[lane] : greatest;
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const f32x16 power = CNN_EXP(LOAD(from + block * stride) - greatest);
      const f32x16 e = EXISTS(block_lanes(s->channels, block)) ? power : (f32x16)0;
      lanes += e;
      STORE(to + block * stride, e);
    }
    const float sum = ISA(lanes_total)(&lanes);
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const f32x16 share = LOAD(to + block * stride) / sum;
      STORE(to + block * stride, EXISTS(block_lanes(s->channels, block)) ? share : (f32x16)0);
    }
  }
}

static void ISA(channel_softmax_backward)(float *dx, const float *dy, const float *y, const cnn_blocked *s) {
  const ptrdiff_t stride = s->n * s->area * CNN_LANES, blocks = block_count(s->channels);
  for (ptrdiff_t pixel = s->first * s->area; pixel < (s->first + s->images) * s->area; pixel++) {
    f32x16 lanes = 0;
    for (ptrdiff_t block = 0; block < blocks; block++)
      lanes += LOAD(dy + pixel * CNN_LANES + block * stride) * LOAD(y + pixel * CNN_LANES + block * stride);
    const float sum = ISA(lanes_total)(&lanes);
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const ptrdiff_t at = pixel * CNN_LANES + block * stride;
      STORE(dx + at, LOAD(y + at) * (LOAD(dy + at) - sum));
    }
  }
}

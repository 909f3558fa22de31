// Group norm: sums of each channel first, then of the channels of a group. A channel's values of one image are a
// run of pixels in its lane.

// The mean over the pixels of an image, or with `centre` of (x - centre)^2.
CNN_INLINE void ISA(channel_mean)(f32x16 *mean, const float *x, const f32x16 *centre, ptrdiff_t pixels,
                                  const bool squared) {
  f64x16 total = 0;
  for (ptrdiff_t start = 0; start < pixels; start += SUM_RUN) {
    f32x16 sum = 0;
    for (ptrdiff_t i = start; i < smaller(start + SUM_RUN, pixels); i++) {
      const f32x16 d = LOAD(x + i * CNN_LANES) - *centre;
      sum += squared ? d * d : d;
    }
    total += WIDEN(sum);
  }
  *mean = NARROW(total / (double)pixels);
}

// Of a value for each channel: its mean over each group, for each of its channels.
CNN_INLINE void ISA(spread_over_groups)(float *values, const cnn_norm_shape *s, ptrdiff_t image) {
  const ptrdiff_t size = s->x.channels / s->groups;
  for (ptrdiff_t first = 0; first < s->x.channels; first += size) {
    double total = 0;
    for (ptrdiff_t c = first; c < first + size; c++) total += values[channel_place(&s->x, image, c)];
    for (ptrdiff_t c = first; c < first + size; c++)
      values[channel_place(&s->x, image, c)] = (float)(total / (double)size);
  }
}

static void ISA(group_norm_forward)(float *y, float *means, float *inverses, const float *x,
                                    const cnn_norm_affine *affine, const cnn_norm_shape *s) {
  const ptrdiff_t blocks = block_count(s->x.channels), run = s->x.area * CNN_LANES;
  const f32x16 zero = 0;
  for (ptrdiff_t image = s->x.first; image < s->x.first + s->x.images; image++) {
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const ptrdiff_t place = block * s->x.n + image;
      f32x16 mean;
      ISA(channel_mean)(&mean, x + place * run, &zero, s->x.area, false);
      STORE(means + place * CNN_LANES, mean);
    }
    ISA(spread_over_groups)(means, s, image);
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const ptrdiff_t place = block * s->x.n + image;
      const f32x16 mean = LOAD(means + place * CNN_LANES);
      f32x16 variance;
      ISA(channel_mean)(&variance, x + place * run, &mean, s->x.area, true);
      STORE(inverses + place * CNN_LANES, variance);
    }
    ISA(spread_over_groups)(inverses, s, image);
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const ptrdiff_t place = block * s->x.n + image;
      const i32x16 exists = EXISTS(block_lanes(s->x.channels, block));
      const f64x16 variance = WIDEN(LOAD(inverses + place * CNN_LANES));
      const f32x16 one_over = NARROW(1 / __builtin_elementwise_sqrt(variance + (double)s->epsilon));
      const f32x16 mean = LOAD(means + place * CNN_LANES), inverse = exists ? one_over : zero;
      STORE(inverses + place * CNN_LANES, inverse);
      f32x16 weight, bias;
      ISA(norm_affine)(&weight, &bias, affine, s->x.channels, block);
      const f32x16 scale = inverse * weight;
      for (ptrdiff_t i = place * run; i < (place + 1) * run; i += CNN_LANES)
        STORE(y + i, (LOAD(x + i) - mean) * scale + bias);
    }
  }
}

static void ISA(group_norm_sums)(float *sums, float *dots, const float *dy, const float *x, const float *means,
                                 const float *inverses, const cnn_norm_shape *s) {
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++)
    for (ptrdiff_t image = s->x.first; image < s->x.first + s->x.images; image++) {
      const ptrdiff_t place = block * s->x.n + image, first = place * s->x.area, end = first + s->x.area;
      const f32x16 mean = LOAD(means + place * CNN_LANES);
      f64x16 sum = 0, dot = 0;
      for (ptrdiff_t start = first; start < end; start += SUM_RUN) {
        f32x16 some = 0, products = 0;
        for (ptrdiff_t i = start; i < smaller(start + SUM_RUN, end); i++) {
          const f32x16 g = LOAD(dy + i * CNN_LANES);
          some += g;
          products += g * (LOAD(x + i * CNN_LANES) - mean);
        }
        sum += WIDEN(some);
        dot += WIDEN(products);
      }
      STORE(sums + place * CNN_LANES, NARROW(sum));
      STORE(dots + place * CNN_LANES, NARROW(dot * WIDEN(LOAD(inverses + place * CNN_LANES))));
    }
}

static void ISA(group_norm_parameters)(float *dweight, float *dbias, const float *sums, const float *dots,
                                       const cnn_norm_shape *s) {
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++) {
    f64x16 sum = 0, dot = 0;
    for (ptrdiff_t image = s->x.first; image < s->x.first + s->x.images; image++) {
      const ptrdiff_t place = (block * s->x.n + image) * CNN_LANES;
      sum += WIDEN(LOAD(sums + place));
      dot += WIDEN(LOAD(dots + place));
    }
    STORE(dweight + block * CNN_LANES, NARROW(dot));
    STORE(dbias + block * CNN_LANES, NARROW(sum));
  }
}

// The mean of weight * values over the values of the group that begins at channel `first`.
CNN_INLINE float ISA(group_mean)(const float *values, const cnn_norm_affine *affine, const cnn_norm_shape *s,
                                 ptrdiff_t image, ptrdiff_t first) {
  const ptrdiff_t size = s->x.channels / s->groups;
  double total = 0;
  for (ptrdiff_t c = first; c < first + size; c++)
    total += (double)(affine->weight ? affine->weight[c] : 1) * values[channel_place(&s->x, image, c)];
  return (float)(total / (double)(size * s->x.area));
}

static void ISA(group_norm_backward)(float *dx, const float *dy, const float *x, const float *means,
                                     const float *inverses, const float *sums, const float *dots,
                                     const cnn_norm_affine *affine, const cnn_norm_shape *s) {
  const ptrdiff_t run = s->x.area * CNN_LANES, size = s->x.channels / s->groups;
  for (ptrdiff_t image = s->x.first; image < s->x.first + s->x.images; image++) {
    float sum = 0, dot = 0;
    for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++) {
      const ptrdiff_t place = block * s->x.n + image;
      float offsets[CNN_LANES] = {0}, slopes[CNN_LANES] = {0};
      for (ptrdiff_t lane = 0; lane < block_lanes(s->x.channels, block); lane++) {
        const ptrdiff_t c = block * CNN_LANES + lane;
        if (c % size == 0) {
          sum = ISA(group_mean)(sums, affine, s, image, c);
          dot = ISA(group_mean)(dots, affine, s, image, c);
        }
        offsets[lane] = sum;
        slopes[lane] = dot;
      }
      f32x16 weight, bias;
      ISA(norm_affine)(&weight, &bias, affine, s->x.channels, block);
      const f32x16 mean = LOAD(means + place * CNN_LANES), inverse = LOAD(inverses + place * CNN_LANES);
      const f32x16 offset = LOAD(offsets), slope = LOAD(slopes) * inverse;
      for (ptrdiff_t i = place * run; i < (place + 1) * run; i += CNN_LANES)
        STORE(dx + i, inverse * (LOAD(dy + i) * weight - offset - (LOAD(x + i) - mean) * slope));
    }
  }
}

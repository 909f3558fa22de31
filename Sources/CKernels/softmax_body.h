// One image at a time, a class in each lane. `z` is the image's first vector, `stride` leads from one
// block of classes to the next.

// Lanes in pairs, the same order for all.
#define TOTAL(v)                                                                                \
  ({                                                                                            \
    float lanes_[CNN_LANES];                                                                    \
    const f32x16 vector_ = (v);                                                                 \
    memcpy(lanes_, &vector_, sizeof lanes_);                                                    \
    for (int half_ = CNN_LANES / 2; half_ > 0; half_ /= 2)                                      \
      for (int lane_ = 0; lane_ < half_; lane_++) lanes_[lane_] += lanes_[lane_ + half_];       \
    lanes_[0];                                                                                  \
  })

// The greatest logit, NaN left out, and its class, the first of equals.
CNN_INLINE ptrdiff_t ISA(greatest_logit)(float *greatest, const float *z, ptrdiff_t classes, ptrdiff_t stride) {
  f32x16 best = -INFINITY;
  i32x16 block_of_best = 0;
  for (ptrdiff_t block = 0; block < block_count(classes); block++) {
    const f32x16 v = LOAD(z + block * stride);
    const i32x16 more = (v > best) & EXISTS(block_lanes(classes, block));
    best = more ? v : best;
    block_of_best = more ? (i32x16)(int32_t)block : block_of_best;
  }
  float value = -INFINITY;
  ptrdiff_t first = 0;
  for (int lane = 0; lane < CNN_LANES; lane++) {
    const ptrdiff_t k = block_of_best[lane] * CNN_LANES + lane;
    if (best[lane] > value || (best[lane] == value && value > -INFINITY && k < first))
      value = best[lane], first = k;
  }
  *greatest = value;
  return first;
}

CNN_INLINE void ISA(exponentials)(f32x16 *e, const float *z, const float *greatest, ptrdiff_t classes,
                                  ptrdiff_t block) {
  const f32x16 value = CNN_EXP(LOAD(z) - *greatest);
  *e = EXISTS(block_lanes(classes, block)) ? value : (f32x16)0;
}

static cnn_cross_entropy_sums ISA(cross_entropy)(const cnn_cross_entropy *task, const float *z,
                                                 const int32_t *labels, float *dz) {
  const ptrdiff_t classes = task->classes, blocks = block_count(classes), stride = task->n * CNN_LANES;
  const float smooth = task->smoothing / (float)classes, sharp = 1 - task->smoothing;
  const float *weights = task->class_weights;
  cnn_cross_entropy_sums sums = {0, 0};
  for (ptrdiff_t image = 0; image < task->images; image++) {
    const float *logits = z + (task->first + image) * CNN_LANES;
    const ptrdiff_t label = labels[image], label_at = label / CNN_LANES * stride + label % CNN_LANES;
    float *gradient = dz ? dz + (task->first + image) * CNN_LANES : NULL;
    float greatest;
    sums.correct += ISA(greatest_logit)(&greatest, logits, classes, stride) == label;

    f32x16 sum_lanes = 0, centred_lanes = 0;
    for (ptrdiff_t block = 0; block < blocks; block++) {
      f32x16 e;
      ISA(exponentials)(&e, logits + block * stride, &greatest, classes, block);
      sum_lanes += e;
      // Only when asked for: 0 times a logit of minus infinity would be NaN.
      if (smooth > 0) {
        const f32x16 v = LOAD(logits + block * stride) - greatest;
        const f32x16 weighted = weights ? LOAD(weights + block * CNN_LANES) * v : v;
        centred_lanes += EXISTS(block_lanes(classes, block)) ? weighted : (f32x16)0;
      }
      if (gradient) STORE(gradient + block * stride, e);
    }
    const float sum = TOTAL(sum_lanes), centred = TOTAL(centred_lanes);
    const f32x16 logarithms = CNN_LOG((f32x16)sum);
    // The logarithm's arithmetic on bits would lose a NaN.
    const float logarithm = sum == sum ? logarithms[0] : sum;
    const float coefficient = sharp * (weights ? weights[label] : 1);
    const float total = coefficient + smooth * task->weight_sum;
    const float target = logits[label_at] - greatest;
    sums.loss += total * logarithm - coefficient * target - smooth * centred;
    if (!gradient) continue;

    const float scale = total / sum;
    for (ptrdiff_t block = 0; block < blocks; block++) {
      const f32x16 constant = weights ? smooth * LOAD(weights + block * CNN_LANES) : (f32x16)smooth;
      f32x16 d = LOAD(gradient + block * stride) * scale - constant;
      if (block == label / CNN_LANES) d[label % CNN_LANES] -= coefficient;
      STORE(gradient + block * stride,
            EXISTS(block_lanes(classes, block)) ? d / task->denominator : (f32x16)0);
    }
  }
  return sums;
}

// Of an image's logits over a temperature: the greatest, the sum of exp((z - greatest) / T), and its logarithm.
CNN_INLINE void ISA(tempered_sum)(float *greatest, float *sum, float *logarithm, const float *z, ptrdiff_t classes,
                                  ptrdiff_t stride, float sharpness) {
  ISA(greatest_logit)(greatest, z, classes, stride);
  f32x16 lanes = 0;
  for (ptrdiff_t block = 0; block < block_count(classes); block++) {
    const f32x16 e = CNN_EXP((LOAD(z + block * stride) - *greatest) * sharpness);
    lanes += EXISTS(block_lanes(classes, block)) ? e : (f32x16)0;
  }
  *sum = TOTAL(lanes);
  const f32x16 logarithms = CNN_LOG((f32x16)*sum);
  // The logarithm's arithmetic on bits would lose a NaN.
  *logarithm = *sum == *sum ? logarithms[0] : *sum;
}

static double ISA(distillation)(const cnn_distillation *task, const float *z, const float *t, float *dz) {
  const ptrdiff_t classes = task->classes, stride = task->n * CNN_LANES, teacher_stride = task->teacher_n * CNN_LANES;
  const float sharpness = 1 / task->temperature, rate = task->scale * task->temperature;
  double loss = 0;
  for (ptrdiff_t image = 0; image < task->images; image++) {
    const float *student = z + (task->first + image) * CNN_LANES;
    const float *teacher = t + (task->teacher_first + image) * CNN_LANES;
    float *gradient = dz + (task->first + image) * CNN_LANES;
    float z_greatest, z_sum, z_log, t_greatest, t_sum, t_log;
    ISA(tempered_sum)(&z_greatest, &z_sum, &z_log, student, classes, stride, sharpness);
    ISA(tempered_sum)(&t_greatest, &t_sum, &t_log, teacher, classes, teacher_stride, sharpness);
    f32x16 divergence = 0;
    for (ptrdiff_t block = 0; block < block_count(classes); block++) {
      const i32x16 exists = EXISTS(block_lanes(classes, block));
      const f32x16 a = (LOAD(student + block * stride) - z_greatest) * sharpness;
      const f32x16 b = (LOAD(teacher + block * teacher_stride) - t_greatest) * sharpness;
      const f32x16 p = CNN_EXP(a) / z_sum, q = CNN_EXP(b) / t_sum;
      // A class that the teacher excludes costs nothing, whatever the student thinks: not 0 times infinity.
      const f32x16 term = q == 0 ? (f32x16)0 : q * ((b - t_log) - (a - z_log));
      divergence += exists ? term : (f32x16)0;
      const f32x16 d = LOAD(gradient + block * stride) + rate * (p - q);
      STORE(gradient + block * stride, exists ? d : (f32x16)0);
    }
    loss += (double)(task->temperature * task->temperature) * TOTAL(divergence);
  }
  return loss;
}

static void ISA(softmax)(float *p, const float *z, ptrdiff_t classes, ptrdiff_t n, ptrdiff_t first,
                         ptrdiff_t images) {
  const ptrdiff_t blocks = block_count(classes), stride = n * CNN_LANES;
  for (ptrdiff_t image = first; image < first + images; image++, p += classes) {
    const float *logits = z + image * CNN_LANES;
    float greatest;
    ISA(greatest_logit)(&greatest, logits, classes, stride);
    f32x16 e, lanes = 0;
    for (ptrdiff_t block = 0; block < blocks; block++) {
      ISA(exponentials)(&e, logits + block * stride, &greatest, classes, block);
      lanes += e;
    }
    const float sum = TOTAL(lanes);
    for (ptrdiff_t block = 0; block < blocks; block++) {
      ISA(exponentials)(&e, logits + block * stride, &greatest, classes, block);
      const f32x16 probability = e / sum;
      memcpy(p + block * CNN_LANES, &probability, (size_t)block_lanes(classes, block) * sizeof *p);
    }
  }
}

#undef TOTAL

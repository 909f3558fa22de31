// Sixteen images at a time, one a lane; a short last group leaves lanes unused. Every lane walks the
// classes in their order, so an image's numbers don't depend on its neighbours.
#define LOAD_IMAGES(p) ({ f32x16 v_ = 0; memcpy(&v_, (p), bytes); v_; })
#define STORE_IMAGES(p, v) ({ const f32x16 v_ = (v); memcpy((p), &v_, bytes); })

// The greatest logit of each image, NaN left out, and its class.
#define GREATEST(z, greatest, first)                       \
  f32x16 greatest = LOAD_IMAGES(z);                        \
  i32x16 first = 0;                                        \
  for (ptrdiff_t k = 1; k < classes; k++) {                \
    const f32x16 v = LOAD_IMAGES((z) + k * images);        \
    const i32x16 more = v > greatest;                      \
    greatest = more ? v : greatest;                        \
    first = more ? (i32x16)(int32_t)k : first;             \
  }

static cnn_cross_entropy_sums ISA(cross_entropy)(const cnn_cross_entropy *task, const float *z,
                                                 const int32_t *labels, float *dz) {
  const ptrdiff_t classes = task->classes, images = task->images;
  const float smooth = task->smoothing / (float)classes, sharp = 1 - task->smoothing;
  const float *weights = task->class_weights;
  cnn_cross_entropy_sums sums = {0, 0};
  for (ptrdiff_t n = 0; n < images; n += CNN_LANES) {
    const ptrdiff_t lanes = images - n < CNN_LANES ? images - n : CNN_LANES;
    const size_t bytes = (size_t)lanes * sizeof *z;
    GREATEST(z + n, greatest, first)
    // Coefficient and centred logit of the label, lane by lane.
    f32x16 coefficient = 0, target = 0;
    for (ptrdiff_t lane = 0; lane < lanes; lane++) {
      const int32_t label = labels[n + lane];
      coefficient[lane] = sharp * (weights ? weights[label] : 1);
      target[lane] = z[label * images + n + lane] - greatest[lane];
    }
    f32x16 sum = 0, centred = 0;
    for (ptrdiff_t k = 0; k < classes; k++) {
      const f32x16 v = LOAD_IMAGES(z + k * images + n) - greatest;
      const f32x16 e = CNN_EXP(v);
      sum += e;
      // Only when asked for: 0 times a logit of minus infinity would be NaN.
      if (smooth > 0) centred += (weights ? weights[k] : 1) * v;
      if (dz) STORE_IMAGES(dz + k * images + n, e);
    }
    const f32x16 total = coefficient + smooth * task->weight_sum;
    const f32x16 logarithm = CNN_LOG(sum);
    // The logarithm's arithmetic on bits would lose a NaN.
    const f32x16 nan_kept = sum == sum ? logarithm : sum;
    const f32x16 loss = total * nan_kept - coefficient * target - smooth * centred;
    for (ptrdiff_t lane = 0; lane < lanes; lane++) {
      sums.loss += loss[lane];
      sums.correct += first[lane] == labels[n + lane];
    }
    if (!dz) continue;
    const f32x16 scale = total / sum;
    for (ptrdiff_t k = 0; k < classes; k++) {
      float *to = dz + k * images + n;
      const float c = smooth * (weights ? weights[k] : 1);
      f32x16 d = LOAD_IMAGES(to) * scale - c;
      for (ptrdiff_t lane = 0; lane < lanes; lane++)
        if (labels[n + lane] == k) d[lane] -= coefficient[lane];
      STORE_IMAGES(to, d / task->denominator);
    }
  }
  return sums;
}

static void ISA(softmax)(float *p, const float *z, ptrdiff_t classes, ptrdiff_t images) {
  for (ptrdiff_t n = 0; n < images; n += CNN_LANES) {
    const ptrdiff_t lanes = images - n < CNN_LANES ? images - n : CNN_LANES;
    const size_t bytes = (size_t)lanes * sizeof *z;
    GREATEST(z + n, greatest, first)
    (void)first;
    f32x16 sum = 0;
    for (ptrdiff_t k = 0; k < classes; k++) sum += CNN_EXP(LOAD_IMAGES(z + k * images + n) - greatest);
    for (ptrdiff_t k = 0; k < classes; k++) {
      const f32x16 probability = CNN_EXP(LOAD_IMAGES(z + k * images + n) - greatest) / sum;
      for (ptrdiff_t lane = 0; lane < lanes; lane++) p[(n + lane) * classes + k] = probability[lane];
    }
  }
}

#undef LOAD_IMAGES
#undef STORE_IMAGES
#undef GREATEST

#pragma once
// Optimizers whose rate is scaled layer by layer (LARS, LAMB), and what norms over the flat buffers are
// made of. As in optimizers.h, the bits depend neither on the instruction set nor on how the buffers
// are cut; sums are in double, element i in lane i % 16, the lanes added in order.
#include <stddef.h>
#include "isa.h"

typedef struct {
  float rate;          // learning rate · trust ratio
  float momentum;
  float weight_decay;  // added to the gradient as weight_decay · w
  float l1;            // added to the gradient as l1 · sign(w)
} cnn_lars;

typedef struct {
  float weight_decay;      // added to the update as weight_decay · w
  float l1;                // added to the gradient as l1 · sign(w)
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float correction1;       // 1 − beta1^t
  float root_correction2;  // √(1 − beta2^t)
  float epsilon;
} cnn_lamb;

typedef struct {
  // Σ x[i]².
  double (*squares)(const float *x, size_t count);

  // x[i] = min(max(x[i], −limit), limit); NaN stays. Updates x.
  void (*clamp)(float *x, float limit, size_t count);

  // x[i] ·= factor. Updates x.
  void (*scale)(float *x, float factor, size_t count);

  // average[i] += share · (x[i] − average[i]). Updates average.
  void (*follow)(float *average, const float *x, float share, size_t count);

  // g = gradient + l1 · sign(w) + weight_decay · w;  b = momentum · b + rate · g;  w −= b. Without b:
  // w −= rate · g. Updates w and b; `b` may be null.
  void (*lars)(float *w, const float *gradient, float *b, cnn_lars settings, size_t count);

  // g = gradient + l1 · sign(w);  m += one_minus_beta1 · (g − m);  v = beta2 · v + one_minus_beta2 · g².
  // Updates m and v; overwrites sums by Σ w² and Σ u² for u as below.
  void (*lamb_moments)(
      const float *w, const float *gradient, float *m, float *v, cnn_lamb settings, double sums[2], size_t count);

  // u = m / correction1 / (√v / root_correction2 + epsilon) + weight_decay · w;  w −= rate · u. Updates w.
  void (*lamb)(float *w, const float *m, const float *v, cnn_lamb settings, float rate, size_t count);
} cnn_layerwise_kernels;

const cnn_layerwise_kernels *cnn_layerwise_kernels_for(cnn_isa isa);

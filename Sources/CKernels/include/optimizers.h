#pragma once
// One pass of an optimizer over a range of the flat buffers, by PyTorch's formulas. Element by element
// with plain multiplications, additions, roots and divisions: the bits depend neither on the
// instruction set nor on how the buffers are cut into ranges. Scalars that depend on the step are
// worked out in double by the caller, as PyTorch does, and rounded once.
#include <stddef.h>
#include "isa.h"

typedef struct {
  float learning_rate;
  float momentum;
  float weight_decay;  // L2: added to the gradient as weight_decay · w
  float l1;            // added to the gradient as l1 · sign(w)
  int nesterov;
} cnn_sgd;

typedef struct {
  float decay;              // AdamW: 1 − learning rate · weight decay; Adam: 1
  float weight_decay;       // Adam: L2, added to the gradient; AdamW: 0
  float l1;
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float root_correction2;   // √(1 − beta2^t)
  float epsilon;
  float step_size;          // learning rate / (1 − beta1^t)
} cnn_adam;

typedef struct {
  float learning_rate;
  float momentum;
  float weight_decay;
  float l1;
  float alpha;
  float one_minus_alpha;
  float epsilon;
} cnn_rmsprop;

typedef struct {
  // g = gradient + l1 · sign(w) + weight_decay · w;  b = momentum · b + g;
  // w −= learning_rate · (nesterov ? g + momentum · b : b). Without b: w −= learning_rate · g.
  // Updates w and b; `b` may be null.
  void (*sgd)(float *w, const float *gradient, float *b, cnn_sgd settings, size_t count);

  // w ·= decay;  g = gradient + l1 · sign(w) + weight_decay · w;  m += one_minus_beta1 · (g − m);
  // v = beta2 · v + one_minus_beta2 · g²;
  // w −= step_size · m / (√v / root_correction2 + epsilon). Updates w, m and v.
  void (*adam)(float *w, const float *gradient, float *m, float *v, cnn_adam settings, size_t count);

  // g = gradient + l1 · sign(w) + weight_decay · w;  v = alpha · v + one_minus_alpha · g²;
  // d = √v + epsilon, or with `mean` (centred) mean += one_minus_alpha · (g − mean), d = √(v − mean²) + epsilon;
  // with `b` b = momentum · b + g / d, w −= learning_rate · b, else w −= learning_rate · g / d.
  // Updates w, v, mean and b; `mean` and `b` may be null.
  void (*rmsprop)(float *w, const float *gradient, float *v, float *mean, float *b, cnn_rmsprop settings, size_t count);

  // running = (1 − momentum) · running + momentum · sum / images, in double, rounded once. Updates running.
  void (*running)(float *running, const float *sum, double images, double momentum, size_t count);
} cnn_optimizer_kernels;

const cnn_optimizer_kernels *cnn_optimizer_kernels_for(cnn_isa isa);

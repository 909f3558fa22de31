#pragma once
// Depthwise convolution: groups = ic, and output channel o reads input channel o / (oc / ic) alone.
// A matrix product would have one row; these work on the planes directly.
#include "convolution.h"
#include "isa.h"

// Floats of scratch that each of the kernels needs.
size_t cnn_depthwise_scratch(const cnn_conv_shape *shape);

typedef struct {
  // y[o, n, i, j] = bias[o] + sum of w[o, a, b] * x[c, n, i*sh + a*dh - ph, j*sw + b*dw - pw] over a, b.
  // bias may be NULL. Overwrites y.
  void (*forward)(const cnn_conv_shape *shape, const float *x, const float *w, const float *bias, float *y,
                  float *scratch);
  // dx: the adjoint of forward without bias. Overwrites dx.
  void (*backward_data)(const cnn_conv_shape *shape, const float *dy, const float *w, float *dx,
                        float *scratch);
  // dw[o, a, b] = sum of dy[o, n, i, j] * x[c, n, i*sh + a*dh - ph, j*sw + b*dw - pw]: each image by
  // itself, then the images in their order. Overwrites dw.
  void (*backward_weights)(const cnn_conv_shape *shape, const float *x, const float *dy, float *dw,
                           float *scratch);
} cnn_depthwise_kernels;

const cnn_depthwise_kernels *cnn_depthwise_kernels_for(cnn_isa isa);

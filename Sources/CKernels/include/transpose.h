#pragma once
// Between the orders in which activations lie.
#include "blocked.h"
#include "isa.h"

typedef struct {
  // y (C/16, n, area, 16) = x (C, n, area) of the call's images, zeros in lanes without a channel.
  // Overwrites y of those images.
  void (*block)(float *y, const float *x, const cnn_blocked *shape);
  // x (C, n, area) = y (C/16, n, area, 16) of the call's images. Overwrites x of those images.
  void (*unblock)(float *x, const float *y, const cnn_blocked *shape);
  // y (F/16, n, 16) = x (C/16, n, area, 16) of the call's images, F = C * area features in the order
  // (C, area), zeros in lanes without a feature. Overwrites y of those images. Scratch: 16 * area floats.
  void (*flatten)(float *y, const float *x, const cnn_blocked *shape, float *scratch);
  // The way back. Overwrites x.
  void (*unflatten)(float *x, const float *y, const cnn_blocked *shape, float *scratch);
} cnn_transpose_kernels;

const cnn_transpose_kernels *cnn_transpose_kernels_for(cnn_isa isa);

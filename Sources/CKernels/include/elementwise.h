#pragma once
// Element-wise operators over `count` floats, a multiple of 16 (whole pixels of whole blocks). Where the
// gate of a ReLU is closed, a NaN still passes, as in PyTorch: relu(v) is 0 for v < 0, v otherwise.
#include <stdbool.h>
#include <stddef.h>
#include "isa.h"

typedef struct {
  // y = relu(x). Overwrites y, which may be x.
  void (*relu)(float *y, const float *x, size_t count);
  // dx = dy where not y <= 0, otherwise 0. Overwrites dx, which may be dy.
  void (*relu_gradient)(float *dx, const float *dy, const float *y, size_t count);
  // y = a + b, or relu(a + b). Overwrites y, which may be a.
  void (*add)(float *y, const float *a, const float *b, size_t count, bool relu);
} cnn_elementwise_kernels;

const cnn_elementwise_kernels *cnn_elementwise_kernels_for(cnn_isa isa);

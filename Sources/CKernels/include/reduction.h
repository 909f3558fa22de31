#pragma once
// The additions of the reduction tree, over flat buffers.
#include <stddef.h>
#include "isa.h"

typedef struct {
  // a[i] += b[i]. Accumulates into a.
  void (*add)(float *a, const float *b, size_t count);
  // y[i] = a[i] + b[i]. Overwrites y.
  void (*sum)(float *y, const float *a, const float *b, size_t count);
} cnn_reduction_kernels;

const cnn_reduction_kernels *cnn_reduction_kernels_for(cnn_isa isa);

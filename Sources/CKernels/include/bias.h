#pragma once
// The gradient of the bias of convolutions and linear layers.
#include "blocked.h"
#include "isa.h"

typedef struct {
  // dbias[c] = sum of dy over the pixels of the call's images: runs of 32 pixels in single precision,
  // the runs in double. Overwrites dbias, channels rounded up to 16.
  void (*gradient)(float *dbias, const float *dy, const cnn_blocked *shape);
} cnn_bias_kernels;

const cnn_bias_kernels *cnn_bias_kernels_for(cnn_isa isa);

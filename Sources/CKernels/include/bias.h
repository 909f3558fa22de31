#pragma once
// The bias of convolutions and linear layers.
#include <stddef.h>
#include "isa.h"

typedef struct {
  // y[c][i] = bias[c] for i < count; rows of y are `stride` floats apart. Overwrites y.
  void (*fill)(float *y, ptrdiff_t channels, ptrdiff_t count, ptrdiff_t stride, const float *bias);
  // dbias[c] = sum over images and positions of dy (channels, images, area), summed in double: each
  // image by itself, then the images in their order. Overwrites dbias.
  void (*gradient)(float *dbias, const float *dy, ptrdiff_t channels, ptrdiff_t images, ptrdiff_t area);
} cnn_bias_kernels;

const cnn_bias_kernels *cnn_bias_kernels_for(cnn_isa isa);

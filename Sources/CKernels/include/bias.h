#pragma once
// The gradient of the bias of convolutions and linear layers.
#include <stdbool.h>
#include "blocked.h"
#include "isa.h"

typedef struct {
  // dbias[c] = sum of dy over the pixels of the call's images: runs of 32 pixels in single precision,
  // the runs in double. Overwrites dbias, channels rounded up to 16.
  void (*gradient)(float *dbias, const float *dy, const cnn_blocked *shape);
  // A part of such a sum, as many doubles as dbias has floats: overwrites sums, or `adds` to them. dbias is the sum
  // so far.
  void (*gradient_of_part)(float *dbias, double *sums, const float *dy, const cnn_blocked *shape, bool adds);
  // The same of each leaf, added up in their tree.
  void (*gradient_of_tree)(float *dbias, const float *dy, const cnn_blocked *shape, const cnn_leaves *leaves);
} cnn_bias_kernels;

const cnn_bias_kernels *cnn_bias_kernels_for(cnn_isa isa);

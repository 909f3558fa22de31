#pragma once
// Products with one factor for each channel, for each image, or for each channel of each image.
#include "blocked.h"
#include "isa.h"

// Of the call's images. Sums over pixels: runs of 32 in single precision, the runs in double.
typedef struct {
  // y = x s, s (C/16, n, 16) one factor for each channel of each image. Overwrites y, which may be x.
  void (*multiply)(float *y, const float *x, const float *s, const cnn_blocked *shape);
  // dx = dy s; ds = sum of dy x over the pixels of each image. Overwrites both (NULL: not wanted); dx may be dy.
  void (*multiply_backward)(float *dx, float *ds, const float *dy, const float *x, const float *s,
                            const cnn_blocked *shape);
  // y = x gamma, gamma (C, rounded up to 16). Overwrites y, which may be x.
  void (*channels)(float *y, const float *x, const float *gamma, const cnn_blocked *shape);
  // dgamma = sum of dy x over the pixels of all images. Overwrites dgamma (C, rounded up to 16).
  void (*channels_gradient)(float *dgamma, const float *dy, const float *x, const cnn_blocked *shape);
  // y = x factor, or 0 where factor is 0, whatever x. Overwrites y, which may be x.
  void (*images)(float *y, const float *x, float factor, const cnn_blocked *shape);
} cnn_scaling_kernels;

const cnn_scaling_kernels *cnn_scaling_kernels_for(cnn_isa isa);

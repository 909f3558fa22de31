#pragma once
// Softmax and cross-entropy over logits (K/16, n, 16), K classes. exp and log are the kernels' own
// (mathematics.h), because those of the C library differ from one CPU to another.
#include <stddef.h>
#include <stdint.h>
#include "isa.h"

typedef struct {
  ptrdiff_t classes, n;
  ptrdiff_t first, images;      // the images that a call works on
  float smoothing;              // epsilon of label smoothing, in 0 ... 1
  const float *class_weights;   // w (classes, padded to whole blocks by zeros), or NULL where all are 1
  float weight_sum;             // sum of w over the classes
  float denominator;            // what the gradient is divided by
} cnn_cross_entropy;

typedef struct {
  double loss;         // summed over the images in their order, not divided
  ptrdiff_t correct;   // images whose greatest logit (the first of equals) is their label's
} cnn_cross_entropy_sums;

typedef struct {
  // With l = log sum_k exp z[k] of an image, target y and
  // c[k] = (1 - eps) w[y] [k = y] + eps w[k] / classes:
  //   loss = sum_k c[k] (l - z[k]),  dz[k] = (sum(c) exp(z[k] - l) - c[k]) / denominator.
  // labels[0] belongs to image `first`. Overwrites dz (K/16, n, 16) of the call's images; dz may be
  // NULL. A NaN among an image's logits makes its loss NaN.
  cnn_cross_entropy_sums (*cross_entropy)(const cnn_cross_entropy *task, const float *z,
                                          const int32_t *labels, float *dz);
  // p[image - first][k] = exp(z[k] - l). Overwrites p (images, classes).
  void (*softmax)(float *p, const float *z, ptrdiff_t classes, ptrdiff_t n, ptrdiff_t first,
                  ptrdiff_t images);
} cnn_softmax_kernels;

const cnn_softmax_kernels *cnn_softmax_kernels_for(cnn_isa isa);

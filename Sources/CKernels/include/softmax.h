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
  ptrdiff_t classes, images;
  ptrdiff_t n, first;                  // of the student's images in memory, and the first of them that is meant
  ptrdiff_t teacher_n, teacher_first;  // of the teacher's
  float temperature;                   // T, more than 0
  float scale;                         // what the gradient is multiplied with
} cnn_distillation;

typedef struct {
  // With l = log sum_k exp z[k] of an image, target y and
  // c[k] = (1 - eps) w[y] [k = y] + eps w[k] / classes:
  //   loss = sum_k c[k] (l - z[k]),  dz[k] = (sum(c) exp(z[k] - l) - c[k]) / denominator.
  // labels[0] belongs to image `first`. Overwrites dz (K/16, n, 16) of the call's images; dz may be
  // NULL. A NaN among an image's logits makes its loss NaN.
  cnn_cross_entropy_sums (*cross_entropy)(const cnn_cross_entropy *task, const float *z,
                                          const int32_t *labels, float *dz);
  // With q = softmax(t / T) of the teacher's logits t (K/16, teacher_n, 16) and p = softmax(z / T):
  //   returns the sum over images of T^2 sum_k q[k] (log q[k] - log p[k]),
  //   dz[k] += scale T (p[k] - q[k]).
  // Accumulates into dz (K/16, n, 16) of the call's images. A NaN among either's logits makes the sum NaN.
  double (*distillation)(const cnn_distillation *task, const float *z, const float *t, float *dz);
  // p[image - first][k] = exp(z[k] - l). Overwrites p (images, classes).
  void (*softmax)(float *p, const float *z, ptrdiff_t classes, ptrdiff_t n, ptrdiff_t first,
                  ptrdiff_t images);
} cnn_softmax_kernels;

const cnn_softmax_kernels *cnn_softmax_kernels_for(cnn_isa isa);

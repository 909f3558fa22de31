#pragma once
// Normalisation of each image by itself, and what else runs across the channels of a pixel. Arrays of one value
// per channel are padded to whole blocks by zeros, gradients too.
#include "blocked.h"
#include "isa.h"

// Learned values; NULL for 1 and 0.
typedef struct {
  const float *weight, *bias;
} cnn_norm_affine;

typedef struct {
  cnn_blocked x;
  float epsilon;
  ptrdiff_t groups;  // of neighbouring channels; group norm only
} cnn_norm_shape;

// Local response norm: d[c] = k + alpha / size * sum of x[j]^2, j from c - size / 2 to c + (size - 1) / 2 inside
// 0 ..< channels.
typedef struct {
  cnn_blocked x;
  ptrdiff_t size;
  float alpha, beta, k;
} cnn_response_shape;

// All work on the images of a range.
typedef struct {
  // Layer norm over the channels of each pixel: y = (x - mean) * inverse * weight + bias, inverse =
  // 1 / sqrt(sum (x - mean)^2 / channels + epsilon). Overwrites y, which may be x, and means and inverses (n *
  // area each), one for each pixel.
  void (*layer_forward)(float *y, float *means, float *inverses, const float *x, const cnn_norm_affine *affine,
                        const cnn_norm_shape *shape);
  // dweight = sum dy * (x - mean) * inverse, dbias = sum dy over pixels. Overwrites both.
  void (*layer_sums)(float *dweight, float *dbias, const float *dy, const float *x, const float *means,
                     const float *inverses, const cnn_norm_shape *shape);
  // With g = dy * weight and h = (x - mean) * inverse: dx = inverse * (g - mean of g - h * mean of g h), means over
  // the channels of the pixel. Overwrites dx, which may be dy.
  void (*layer_backward)(float *dx, const float *dy, const float *x, const float *means, const float *inverses,
                         const cnn_norm_affine *affine, const cnn_norm_shape *shape);
  // Group norm, over the channels of a group and the pixels of an image. Overwrites y, which may be x, and means
  // and inverses ((C/16, n, 16) each), one for each channel of each image.
  void (*group_forward)(float *y, float *means, float *inverses, const float *x, const cnn_norm_affine *affine,
                        const cnn_norm_shape *shape);
  // sums = sum dy, dots = sum dy * (x - mean) * inverse over the pixels of each image. Overwrites both, (C/16, n, 16).
  void (*group_sums)(float *sums, float *dots, const float *dy, const float *x, const float *means,
                     const float *inverses, const cnn_norm_shape *shape);
  // dweight = sum of dots, dbias = sum of sums over images. Overwrites both.
  void (*group_parameters)(float *dweight, float *dbias, const float *sums, const float *dots,
                           const cnn_norm_shape *shape);
  // As layer_backward, means over the group, found from sums and dots. Overwrites dx, which may be dy.
  void (*group_backward)(float *dx, const float *dy, const float *x, const float *means, const float *inverses,
                         const float *sums, const float *dots, const cnn_norm_affine *affine,
                         const cnn_norm_shape *shape);
  // y = x * d^-beta. Overwrites y, which may be x. scratch: cnn_response_scratch.
  void (*response_forward)(float *y, const float *x, const cnn_response_shape *shape, float *scratch);
  // dx[c] = dy[c] * d[c]^-beta - 2 alpha beta / size * x[c] * sum of dy[j] x[j] d[j]^(-beta - 1) over the j whose d
  // holds c. Overwrites dx, which may be dy.
  void (*response_backward)(float *dx, const float *dy, const float *x, const cnn_response_shape *shape,
                            float *scratch);
  // y = exp(x) / sum of exp(x) over the channels of each pixel. Overwrites y, which may be x.
  void (*softmax_forward)(float *y, const float *x, const cnn_blocked *shape);
  // dx = y * (dy - sum of dy y). Overwrites dx, which may be dy.
  void (*softmax_backward)(float *dx, const float *dy, const float *y, const cnn_blocked *shape);
} cnn_norm_kernels;

// Floats of scratch that response_forward and response_backward take.
size_t cnn_response_scratch(const cnn_response_shape *shape);

const cnn_norm_kernels *cnn_norm_kernels_for(cnn_isa isa);

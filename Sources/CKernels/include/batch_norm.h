#pragma once
// Batch normalisation (Ioffe & Szegedy 2015) of (C, N, H, W): a channel is one contiguous run.
#include <stdbool.h>
#include <stddef.h>
#include "isa.h"

typedef struct {
  size_t channels;
  size_t count;   // values of a channel: n * h * w
  float epsilon;
  bool relu;      // y = max(0, batch norm), as a ReLU behind it would give bit by bit
} cnn_batch_norm_shape;

// Arrays of one value per channel; weight and bias may be NULL (1 and 0).
typedef struct {
  const float *weight, *bias;
  const float *mean;               // of the microbatch, or running
  const float *inverse_deviation;  // 1 / sqrt(variance + epsilon)
} cnn_batch_norm_channels;

typedef struct {
  // mean[c] = sum x / count, inverse_deviation[c] = 1 / sqrt(sum (x - mean)^2 / count + epsilon),
  // unbiased_variance[c] = sum (x - mean)^2 / (count - 1). Reads one channel.
  // y = (x - mean) * (inverse_deviation * weight) + bias. Overwrites all four; y may be x.
  void (*forward_training)(float *y, float *mean, float *inverse_deviation, float *unbiased_variance,
                           const float *x, const float *weight, const float *bias,
                           const cnn_batch_norm_shape *shape);
  // y = (x - mean) * (weight / sqrt(variance + epsilon)) + bias. Overwrites y, which may be x.
  void (*forward_inference)(float *y, const float *x, const float *mean, const float *variance,
                            const float *weight, const float *bias, const cnn_batch_norm_shape *shape);
  // With dy gated by y > 0 where shape->relu is set:
  // dbias[c] = sum dy, dweight[c] = sum dy * (x - mean) * inverse_deviation,
  // dx = (dy - sum dy / count - (x - mean) * inverse_deviation^2 * sum dy * (x - mean) / count)
  //      * inverse_deviation * weight.
  // Overwrites dx, dweight and dbias, each of which may be NULL (not wanted); dx may be dy.
  void (*backward)(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                   const cnn_batch_norm_channels *channels, const cnn_batch_norm_shape *shape);
} cnn_batch_norm_kernels;

const cnn_batch_norm_kernels *cnn_batch_norm_kernels_for(cnn_isa isa);

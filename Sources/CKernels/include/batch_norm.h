#pragma once
// Batch normalisation (Ioffe & Szegedy 2015), with what often follows it in the same pass over memory.
// Arrays of one value per channel are padded to whole blocks by zeros, gradients too.
#include <stdbool.h>
#include "activations.h"
#include "blocked.h"
#include "isa.h"

typedef enum {
  CNN_AFTER_NORM_NOTHING = 0,
  CNN_AFTER_NORM_RELU = 1,
  // y = relu(batch norm + residual).
  CNN_AFTER_NORM_ADD_RELU = 2,
  // y = max of relu(batch norm) over windows of 2 x 2 side by side; a last odd row or column has none.
  CNN_AFTER_NORM_RELU_MAX_POOL = 3,
  // y = f(batch norm), backward with dy f'(batch norm).
  CNN_AFTER_NORM_RELU6 = 4,
  CNN_AFTER_NORM_HARDSWISH = 5,
  CNN_AFTER_NORM_SILU = 6,
  // y = batch norm + residual.
  CNN_AFTER_NORM_ADD = 7,
} cnn_after_norm;

typedef struct {
  cnn_blocked x;
  ptrdiff_t ih, iw;  // of x; only where pooled
  float epsilon;
  cnn_after_norm after;
  // Backward adds to dx what it would write. Not pooled.
  bool adds;
  // dx holds the call's images alone. For backward_data, where it doesn't add.
  bool dx_alone;
} cnn_batch_norm_shape;

// Learned values; NULL for 1 and 0.
typedef struct {
  const float *weight, *bias;
} cnn_batch_norm_affine;

// Rows of one value per channel that a microbatch keeps for backward.
enum {
  CNN_NORM_MEAN,       // mean[c] = sum x / count, count = images * area
  CNN_NORM_INVERSE,    // inverse[c] = 1 / sqrt(sum (x - mean)^2 / count + epsilon)
  CNN_NORM_UNBIASED,   // sum (x - mean)^2 / (count - 1)
  CNN_NORM_OFFSET,     // sum g / count, by backward_sums
  CNN_NORM_SLOPE,      // sum g * (x - mean) * inverse^2 / count
  CNN_NORM_ROWS,
};

// What microbatches pool, where statistics are over more images than those of a call: two rows of one double
// per channel, padded as the others are.
enum {
  CNN_NORM_POOLED_MEAN,     // forward: mean[c] = sum x / count
  CNN_NORM_POOLED_SQUARES,  // forward: sum (x - mean)^2
  CNN_NORM_POOLED_SUM = 0,  // backward: sum g
  CNN_NORM_POOLED_DOT,      // backward: sum g * (x - mean)
  CNN_NORM_POOLED_ROWS,
};

// All work on the images of a range: a microbatch, in inference any.
typedef struct {
  // batch norm = (x - mean) * (inverse * weight) + bias. Overwrites the first three rows of saved, and y,
  // which may be x unless pooled. residual only where added.
  void (*forward_training)(float *y, float *saved, const float *x, const float *residual,
                           const cnn_batch_norm_affine *affine, const cnn_batch_norm_shape *shape);
  // The same with given mean, and inverse = 1 / sqrt(variance + epsilon). Overwrites y.
  void (*forward_inference)(float *y, const float *x, const float *residual, const float *mean,
                            const float *variance, const cnn_batch_norm_affine *affine,
                            const cnn_batch_norm_shape *shape);
  // With g = dy where the gate of the ReLU is open, otherwise 0 (dy f' for another function), and pooled at the
  // winner alone:
  // dbias = sum g, dweight = sum g * (x - mean) * inverse. Overwrites them (NULL: not wanted), the rows
  // offset and slope of saved, and dresidual = g (only where added; NULL: not wanted). y only where
  // added or pooled. Pooled, z - mean is found again from y, and only where weight is too small beside
  // bias from x. With pooled, overwrites that in place of offset and slope.
  void (*backward_sums)(float *dweight, float *dbias, float *dresidual, float *saved, double *pooled,
                        const float *dy, const float *x, const float *y,
                        const cnn_batch_norm_affine *affine, const cnn_batch_norm_shape *shape);
  // dx = (g - offset - (x - mean) * slope) * (inverse * weight). Overwrites dx, which may be dy unless
  // pooled; or adds to it. Added: with y NULL dy is gated already (dresidual).
  void (*backward_data)(float *dx, const float *saved, const float *dy, const float *x, const float *y,
                        const cnn_batch_norm_affine *affine, const cnn_batch_norm_shape *shape);
  // backward_sums (not pooled) and backward_data block by block, so that the second finds in the cache what the
  // first has read. Overwrites what they do.
  void (*backward)(float *dx, float *dweight, float *dbias, float *dresidual, float *saved, const float *dy,
                   const float *x, const float *y, const cnn_batch_norm_affine *affine,
                   const cnn_batch_norm_shape *shape);
  // Mean and squares of these images. Overwrites pooled.
  void (*moments)(double *pooled, const float *x, const cnn_batch_norm_shape *shape);
  // forward_training with the moments of `count` values per channel, of which these images are a part.
  void (*forward_pooled)(float *y, float *saved, const double *pooled, double count, const float *x,
                         const float *residual, const cnn_batch_norm_affine *affine,
                         const cnn_batch_norm_shape *shape);
  // Offset and slope of the sums over `count` values per channel. Overwrites these two rows of saved.
  void (*pooled_line)(float *saved, const double *pooled, double count, const cnn_batch_norm_shape *shape);
} cnn_batch_norm_kernels;

const cnn_batch_norm_kernels *cnn_batch_norm_kernels_for(cnn_isa isa);

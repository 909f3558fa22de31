#pragma once
// The columns of a convolution, so that it becomes a matrix product: with K = channels * kh * kw,
//   y[oc x positions] = W[oc x K] . col[K x positions].
#include "convolution.h"
#include "isa.h"

typedef struct {
  // col[(c*kh + a)*kw + b][m] = x[c, image, i*sh + a*dh - ph, j*sw + b*dw - pw], or 0 outside the
  // image, for the output positions m = (image, i, j) of the block and the first `channels` channels
  // of x (channels, n, ih, iw). Overwrites col, whose rows hold exactly the block's positions.
  void (*im2col)(const cnn_conv_shape *shape, const cnn_conv_block *block, ptrdiff_t channels, const float *x,
                 float *col);
  // The adjoint: every element of col is added to the element of dx that im2col reads for it.
  // Accumulates into dx (channels, n, ih, iw); what col holds afterwards is undefined.
  void (*col2im)(const cnn_conv_shape *shape, const cnn_conv_block *block, ptrdiff_t channels, float *col,
                 float *dx);
} cnn_im2col_kernels;

const cnn_im2col_kernels *cnn_im2col_kernels_for(cnn_isa isa);

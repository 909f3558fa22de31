#pragma once
// The rows of a convolution, so that it becomes matrix products. With K = kh * kw * (ic / groups), in
// that order as in the panels, O = oc / groups, and P output positions, for each group
//   y (P x O) = rows (P x K) . W (K x O),  d_rows = dy . W^T,  dW = rows^T . dy.
#include "convolution.h"
#include "isa.h"

// The output positions that are multiplied at once: `rows` rows, from first_row on, of each of `images`
// images, from first_image on.
typedef struct {
  ptrdiff_t first_image, images, first_row, rows;
} cnn_conv_block;

typedef struct {
  // rows[m][(a * kw + b) * I + c] = x[channel c of the group, image, i*sh + a*dh - ph, j*sw + b*dw - pw],
  // 0 outside the image, for the positions m = (image, i, j) of the block. x is planar where the shape
  // says so. Overwrites rows.
  void (*im2row)(const cnn_conv_shape *shape, const cnn_conv_block *block, ptrdiff_t group, float *rows,
                 const float *x);
  // The adjoint: every element of rows is added to the element of dx that im2row reads for it.
  // Accumulates into dx, blocked.
  void (*row2im)(const cnn_conv_shape *shape, const cnn_conv_block *block, ptrdiff_t group, float *dx,
                 const float *rows);
  // rows[m][o] = dy[channel o of the group at m]. Overwrites rows.
  void (*read_outputs)(const cnn_conv_shape *shape, const cnn_conv_block *block, ptrdiff_t group, float *rows,
                       const float *dy);
  // y[channel o of the group at m] = rows[m][o] + bias[o of all]; bias may be NULL. Overwrites y of the
  // group, and with the last group the lanes of channels that don't exist by zeros.
  void (*write_outputs)(const cnn_conv_shape *shape, const cnn_conv_block *block, ptrdiff_t group, float *y,
                        const float *rows, const float *bias);
  // [group][K][O] from panels, and back. Overwrite their first argument.
  void (*unpack_weights)(const cnn_conv_shape *shape, float *matrices, const float *weight);
  void (*pack_weights)(const cnn_conv_shape *shape, float *weight, const float *matrices);
} cnn_im2row_kernels;

const cnn_im2row_kernels *cnn_im2row_kernels_for(cnn_isa isa);

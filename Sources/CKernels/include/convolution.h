#pragma once
// What every convolution kernel is told. Activations are channel-major, (C, N, H, W).
#include <stddef.h>

// A convolution in the letters of Naming.md: n images, ic input channels of ih x iw, oc output
// channels of oh x ow, kernel kh x kw, stride sh x sw, dilation dh x dw. ph and pw are the padding
// above and to the left; what is padded below and to the right follows from oh and ow.
typedef struct {
  ptrdiff_t n, ic, ih, iw, oc, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, groups;
} cnn_conv_shape;

// A run of output positions: `rows` rows of each of `images` images. Several images only with all
// their rows.
typedef struct {
  ptrdiff_t first_image, images, first_row, rows;
} cnn_conv_block;

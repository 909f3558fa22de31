#pragma once
// Pooling of planes: the pixels of one image in one block of channels each, (planes, H, W, 16) with
// planes = C/16 * n.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "isa.h"

// Window (i, j) covers rows i * sh - ph + a * dh for 0 <= a < kh, columns likewise; what lies outside
// the plane is left out. Adaptive pooling reads only planes, ih, iw, oh, ow.
typedef struct {
  ptrdiff_t planes, ih, iw, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw;
  bool count_include_pad;  // average: padding (not what lies behind it) counts in the divisor
} cnn_pooling_shape;

typedef struct {
  // y = max of the window; winner = a << 8 | b of the first greatest value, or of the last NaN, for
  // max_backward (NULL: not wanted). Overwrites y and winner, which has a value for each of y's. kh, kw
  // <= 256, no window is empty.
  void (*max_forward)(float *y, uint16_t *winner, const float *x, const cnn_pooling_shape *shape);
  // dx = sum of dy over the windows that the element won. Overwrites dx.
  void (*max_backward)(float *dx, const float *dy, const uint16_t *winner, const cnn_pooling_shape *shape);
  // y = sum of the window / its size, clipped to the plane or, with count_include_pad, to the padded
  // plane. dh = dw = 1. Overwrites y.
  void (*average_forward)(float *y, const float *x, const cnn_pooling_shape *shape);
  // Overwrites dx.
  void (*average_backward)(float *dx, const float *dy, const cnn_pooling_shape *shape);
  // y = mean of rows floor(i * ih / oh) up to ceil((i + 1) * ih / oh), columns likewise, summed in
  // double. Overwrites y.
  void (*adaptive_forward)(float *y, const float *x, const cnn_pooling_shape *shape);
  // Overwrites dx.
  void (*adaptive_backward)(float *dx, const float *dy, const cnn_pooling_shape *shape);
} cnn_pooling_kernels;

const cnn_pooling_kernels *cnn_pooling_kernels_for(cnn_isa isa);

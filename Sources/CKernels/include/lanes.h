#pragma once
// Channels moved from a block of one array to a block of another.
#include <stdbool.h>
#include <stddef.h>
#include "isa.h"

typedef struct {
  // Lanes to ..< to + count of each pixel of y = lanes from ..< from + count of the same pixel of x, for
  // y and x (pixels, 16). Overwrites these lanes of y, and with `others` the others by zeros.
  void (*move)(float *y, const float *x, ptrdiff_t pixels, ptrdiff_t to, ptrdiff_t from, ptrdiff_t count,
               bool others);
} cnn_lanes_kernels;

const cnn_lanes_kernels *cnn_lanes_kernels_for(cnn_isa isa);

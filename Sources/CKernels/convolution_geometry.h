#pragma once
// Where things lie, in the words of convolution.h.
#include "activation_ends.h"
#include "convolution.h"
#include "integers.h"

// Blocks of 16 channels.
static inline ptrdiff_t conv_blocks(ptrdiff_t channels) { return ceiling(channels, CNN_BLOCK); }

// Floats from a block of channels to the next, of x and of y.
static inline ptrdiff_t conv_x_block(const cnn_conv_shape *s) { return s->n * s->ih * s->iw * CNN_BLOCK; }
static inline ptrdiff_t conv_y_block(const cnn_conv_shape *s) { return s->n * s->oh * s->ow * CNN_BLOCK; }

// The first block of an image of x and of y.
static inline ptrdiff_t conv_x_image(const cnn_conv_shape *s, ptrdiff_t image) {
  return image * s->ih * s->iw * CNN_BLOCK;
}
static inline ptrdiff_t conv_y_image(const cnn_conv_shape *s, ptrdiff_t image) {
  return image * s->oh * s->ow * CNN_BLOCK;
}

// The channels of a panel that begins at `first`: 32, or 16 at the end.
static inline ptrdiff_t conv_panel_width(ptrdiff_t channels, ptrdiff_t first) {
  return smaller(CNN_PANEL, conv_blocks(channels) * CNN_BLOCK - first);
}

// Whether anything follows the bias.
static inline bool conv_ends(const cnn_conv_ending *ending) {
  return ending->residual || ending->relu || ending->activation != CNN_IDENTITY;
}

// The greater of two values by PyTorch's rule: a later one wins if it is greater or NaN.
#define CONV_WINNER(best, value) ((((value) > (best)) | ((value) != (value))) ? (value) : (best))

// Where a bias begins that is added to channels from `first` on; NULL for none.
static inline const float *conv_bias(const cnn_conv_ending *ending, ptrdiff_t first) {
  return ending->bias ? ending->bias + first : NULL;
}

// Floats of all weights.
static inline ptrdiff_t conv_weights(const cnn_conv_shape *s) {
  return conv_blocks(s->oc) * CNN_BLOCK * (s->ic / s->groups) * s->kh * s->kw;
}

// The weight of output o and input i of its group, at tap a * kw + b.
static inline ptrdiff_t conv_weight_at(const cnn_conv_shape *s, ptrdiff_t o, ptrdiff_t i, ptrdiff_t tap) {
  const ptrdiff_t inputs = s->ic / s->groups, first = o / CNN_PANEL * CNN_PANEL;
  return first * s->kh * s->kw * inputs + (tap * inputs + i) * conv_panel_width(s->oc, first) + o - first;
}

#pragma once
// The first convolution of a network: few input channels, read from planar images. A picture of an
// image holds its channels interleaved, (row, column, channel), so that a row of the kernel meets kw * ic
// neighbouring floats: K of a product without any copy.
#include "packing.h"

static inline bool stem_fits(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return s->planar && s->groups == 1 && pass != CNN_CONV_BACKWARD_DATA;
}

// Pictures hold the rows for `lines` lines of an image's output. A run is the kernel's part that
// meets neighbouring floats: a row of it, or where columns are dilated one tap.
typedef struct {
  ptrdiff_t lines, rows, columns;
  ptrdiff_t row;          // floats of a picture's row
  ptrdiff_t runs, depth;  // runs of the kernel, floats of a run
  ptrdiff_t products;     // of a run, one for each float or for a pair of them
  ptrdiff_t point, line;  // floats from an output to the next, to the one below
} stem_plan;

// The rows of a picture that `lines` lines of outputs read.
static inline ptrdiff_t stem_rows(const cnn_conv_shape *s, ptrdiff_t lines) {
  return (lines - 1) * s->sh + (s->kh - 1) * s->dh + 1;
}

// `together` floats make a product.
static inline stem_plan stem_plan_of(const cnn_conv_shape *s, ptrdiff_t together) {
  stem_plan p = {.columns = (s->ow - 1) * s->sw + (s->kw - 1) * s->dw + 1};
  p.row = p.columns * s->ic;
  // A picture stays in L2.
  p.lines = ceiling(s->oh, ceiling(s->oh, larger(1, 64 * 1024 / (p.row * s->sh))));
  p.lines += p.lines % 2;  // whole windows of a pool
  p.rows = stem_rows(s, p.lines);
  p.runs = s->dw == 1 ? s->kh : s->kh * s->kw;
  p.depth = s->dw == 1 ? s->kw * s->ic : s->ic;
  p.products = ceiling(p.depth, together);
  p.point = s->sw * s->ic;
  p.line = s->sh * p.row;
  return p;
}

// Floats of two lines of a panel, before they are pooled: the first in forward's scratch.
static inline ptrdiff_t stem_unpooled(const cnn_conv_shape *s) { return 2 * s->ow * CNN_PANEL; }

// Backward to the weights, all runs pass over as many lines of dy as L1 holds.
static inline ptrdiff_t stem_gradient_lines(const cnn_conv_shape *s) { return larger(1, 192 / s->ow); }

// Floats of dy from a block of channels to the next, and where an image of it begins.
static inline ptrdiff_t stem_dy_block(const cnn_conv_shape *s) {
  return (s->dy_alone ? s->images : s->n) * s->oh * s->ow * CNN_BLOCK;
}
static inline ptrdiff_t stem_dy_image(const cnn_conv_shape *s, ptrdiff_t image) {
  return (s->dy_alone ? image - s->first : image) * s->oh * s->ow * CNN_BLOCK;
}

// Where run `run` of the kernel begins in a picture.
static inline ptrdiff_t stem_run(const cnn_conv_shape *s, const stem_plan *p, ptrdiff_t run) {
  if (s->dw == 1) return run * s->dh * p->row;
  return run / s->kw * s->dh * p->row + run % s->kw * s->dw * s->ic;
}

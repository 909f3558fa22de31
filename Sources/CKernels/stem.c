// The first convolution of a network: few input channels, read from planar images. A picture of an
// image holds its channels interleaved, (row, column, channel), so that a row of the kernel meets kw * ic
// neighbouring floats: K of a product without any copy.
#include "convolution_algorithms.h"
#include "packing.h"
#include "tile.h"

static bool stem_fits(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return s->planar && s->groups == 1 && pass != CNN_CONV_BACKWARD_DATA;
}
static size_t stem_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) { return 0; }
static void stem_prepare(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared, const float *weight) {}

// Pictures hold the rows for `lines` lines of an image's output. A run is the kernel's part that
// meets neighbouring floats: a row of it, or where columns are dilated one tap.
typedef struct {
  ptrdiff_t lines, rows, columns;
  ptrdiff_t row;          // floats of a picture's row
  ptrdiff_t runs, depth;  // runs of the kernel, floats of a run
  ptrdiff_t point, line;  // floats from an output to the next, to the one below
} stem_plan;

static stem_plan stem_plan_of(const cnn_conv_shape *s) {
  stem_plan p = {.columns = (s->ow - 1) * s->sw + (s->kw - 1) * s->dw + 1};
  p.row = p.columns * s->ic;
  // A picture stays in L2.
  p.lines = ceiling(s->oh, ceiling(s->oh, larger(1, 64 * 1024 / (p.row * s->sh))));
  p.rows = (p.lines - 1) * s->sh + (s->kh - 1) * s->dh + 1;
  p.runs = s->dw == 1 ? s->kh : s->kh * s->kw;
  p.depth = s->dw == 1 ? s->kw * s->ic : s->ic;
  p.point = s->sw * s->ic;
  p.line = s->sh * p.row;
  return p;
}

// Backward to the weights, all runs pass over as many lines of dy as L1 holds.
static ptrdiff_t stem_gradient_lines(const cnn_conv_shape *s) { return larger(1, 192 / s->ow); }

static size_t stem_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  if (pass == CNN_CONV_BACKWARD_DATA) return 0;
  const stem_plan p = stem_plan_of(s);
  return (size_t)(p.rows * p.row);
}

// Where run `run` of the kernel begins in a picture.
static ptrdiff_t stem_run(const cnn_conv_shape *s, const stem_plan *p, ptrdiff_t run) {
  if (s->dw == 1) return run * s->dh * p->row;
  return run / s->kw * s->dh * p->row + run % s->kw * s->dw * s->ic;
}

#define KERNEL_BODY "stem_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                             \
  {"stem", stem_fits, stem_prepared, stem_prepare, stem_scratch, stem_forward_##isa, NULL,     \
   stem_backward_weights_##isa}
const cnn_conv_algorithm cnn_conv_stem[] = ISA_TABLE(TABLE);

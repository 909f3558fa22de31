// Products of bf16 with sums in fp32: any kernel, stride, dilation and padding without groups.
//
// Images are the rows of the products. So each output takes only the taps that meet the image: padding is
// never multiplied (at 2 x 2 outputs of a 3 x 3 kernel it is more than half), strides cost nothing, and a
// linear layer is the case of one output. Tiles are full where a call has 8 images or more.
//
// What is multiplied is rounded to pairs (each_isa_bf16.h) where it is packed. Forward and backward to the
// data, a pair is channel c and channel c + 16 of every 32; backward to the weights, two images at one pixel,
// which no tap and no stride parts.
#include "convolution_algorithms.h"

#include <string.h>

#include "convolution_geometry.h"
#include "tile.h"
#include "vector.h"

static bool bf16_fits(const cnn_conv_shape *s, cnn_conv_pass pass) { return !s->planar && s->groups == 1; }

// Pairs of channels: 16 for every 32, and a last few whose second number may be missing.
static ptrdiff_t bf16_depth(ptrdiff_t channels) { return channels / 32 * 16 + smaller(16, channels % 32); }

// The prepared weights are panels of pairs, [panel][tap][pair][width], of outputs forward, of inputs backward.
static size_t bf16_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const bool forward = pass == CNN_CONV_FORWARD;
  if (pass == CNN_CONV_BACKWARD_WEIGHTS) return 0;
  return (size_t)(conv_blocks(forward ? s->oc : s->ic) * CNN_BLOCK * s->kh * s->kw *
                  bf16_depth(forward ? s->ic : s->oc));
}

// x or dy: what a pass reads or writes.
typedef struct {
  ptrdiff_t channels, block, height, width;
} bf16_side;

static bf16_side bf16_x(const cnn_conv_shape *s) {
  return (bf16_side){s->ic, conv_x_block(s), s->ih, s->iw};
}
static bf16_side bf16_y(const cnn_conv_shape *s) {
  return (bf16_side){s->oc, conv_y_block(s), s->oh, s->ow};
}

// One direction of a convolution; `back` where dx is made of dy.
typedef struct {
  ptrdiff_t sources, kernel, stride, padding, dilation;
  bool back;
} bf16_axis;

static bf16_axis bf16_rows(const cnn_conv_shape *s, bool back) {
  return (bf16_axis){back ? s->oh : s->ih, s->kh, s->sh, s->ph, s->dh, back};
}
static bf16_axis bf16_columns(const cnn_conv_shape *s, bool back) {
  return (bf16_axis){back ? s->ow : s->iw, s->kw, s->sw, s->pw, s->dw, back};
}

// The taps that reach a result, and the sources that they meet: both go in equal steps.
typedef struct {
  ptrdiff_t count, tap, tap_step, source, source_step;
} bf16_reach;

static bf16_reach bf16_reach_of(const bf16_axis *x, ptrdiff_t result) {
  bf16_reach reach = {0};
  for (ptrdiff_t tap = 0; tap < x->kernel; tap++) {
    const ptrdiff_t shift = tap * x->dilation - x->padding;
    const ptrdiff_t place = x->back ? result - shift : result * x->stride + shift;
    if (place < 0 || (x->back && place % x->stride)) continue;
    const ptrdiff_t source = x->back ? place / x->stride : place;
    if (source >= x->sources) continue;
    if (reach.count == 0) reach.tap = tap, reach.source = source;
    if (reach.count == 1) reach.tap_step = tap - reach.tap, reach.source_step = source - reach.source;
    reach.count++;
  }
  return reach;
}

// The rows of the source that some rows of the result may read, at most.
static ptrdiff_t bf16_span(const bf16_axis *x, ptrdiff_t results) {
  const ptrdiff_t reach = (x->kernel - 1) * x->dilation;
  return smaller(x->sources,
                 x->back ? (results - 1 + reach) / x->stride + 1 : (results - 1) * x->stride + reach + 1);
}

// Those that rows first ..< end read.
static void bf16_sources(const bf16_axis *x, ptrdiff_t first, ptrdiff_t end, ptrdiff_t *low, ptrdiff_t *high) {
  *low = x->sources, *high = 0;
  for (ptrdiff_t row = first; row < end; row++) {
    const bf16_reach reach = bf16_reach_of(x, row);
    const ptrdiff_t last = reach.source + (reach.count - 1) * reach.source_step;
    if (reach.count == 0) continue;
    *low = smaller(*low, smaller(reach.source, last));
    *high = larger(*high, larger(reach.source, last) + 1);
  }
  *low = smaller(*low, *high);
}

enum {
  // Words of packed sources that stay in L2 beside a panel of weights.
  bf16_budget = 128 << 10,
  // Images that fill the largest tile.
  bf16_images = 14,
  // Backward to the weights, points that stay in L1 with a panel, and images that are worked on at once.
  bf16_points = 128,
  bf16_together = 32,
};

// How forward and backward to the data are cut: nearly equal parts of images, and rows of results.
typedef struct {
  ptrdiff_t images, rows;
} bf16_part;

// Words of a row of one packed image.
static ptrdiff_t bf16_row(const bf16_side *from) {
  return ceiling(from->channels, 2 * CNN_BLOCK) * from->width * CNN_BLOCK;
}

static bf16_part bf16_part_of(const cnn_conv_shape *s, const bf16_side *from, const bf16_axis *x,
                              ptrdiff_t results) {
  const ptrdiff_t most = larger(bf16_images, bf16_budget / (bf16_row(from) * from->height));
  const ptrdiff_t images = ceiling(s->images, ceiling(s->images, most));
  ptrdiff_t rows = results;
  for (ptrdiff_t parts = 1; rows > 1 && bf16_span(x, rows) * bf16_row(from) * images > bf16_budget; parts++)
    rows = ceiling(results, parts);
  return (bf16_part){images, rows};
}

// Words of a block of 32 channels. An odd number of cache lines, as in pictures (packing.h).
static ptrdiff_t bf16_block(const bf16_side *from, ptrdiff_t rows, ptrdiff_t images) {
  return (rows * from->width * images | 1) * CNN_BLOCK;
}

// How backward to the weights is cut: images, pairs of them, and rows of dy; x is packed in `columns` columns
// for each phase of the stride.
typedef struct {
  ptrdiff_t pairs, rows, columns;
  ptrdiff_t x_block, y_block;  // words from a block of 16 channels to the next
} bf16_gradient_plan;

static bf16_gradient_plan bf16_gradient_plan_of(const cnn_conv_shape *s, ptrdiff_t images) {
  const bf16_axis axis = bf16_rows(s, false);
  bf16_gradient_plan p = {.pairs = ceiling(images, 2), .columns = ceiling(s->iw, s->sw)};
  p.rows = smaller(s->oh, larger(1, bf16_points / (s->ow * p.pairs)));
  p.x_block = (bf16_span(&axis, p.rows) * s->sw * p.columns * p.pairs | 1) * CNN_BLOCK;
  p.y_block = (p.rows * s->ow * p.pairs | 1) * CNN_BLOCK;
  return p;
}

static size_t bf16_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  if (pass == CNN_CONV_BACKWARD_WEIGHTS) {
    ptrdiff_t most = 0;
    for (ptrdiff_t images = 1; images <= smaller(s->images, bf16_together); images++) {
      const bf16_gradient_plan p = bf16_gradient_plan_of(s, images);
      most = larger(most, conv_blocks(s->ic) * p.x_block + conv_blocks(s->oc) * p.y_block);
    }
    return (size_t)most;
  }
  const bool back = pass == CNN_CONV_BACKWARD_DATA;
  const bf16_side from = back ? bf16_y(s) : bf16_x(s);
  const bf16_axis axis = bf16_rows(s, back);
  const ptrdiff_t least = bf16_span(&axis, 1) * bf16_row(&from) * s->images;
  const ptrdiff_t most = smaller(from.height * bf16_row(&from) * s->images, larger(bf16_budget, least));
  return (size_t)(most + ceiling(from.channels, 2 * CNN_BLOCK) * CNN_BLOCK);
}

// Of rows or columns of dy, those that a tap reads inside the image.
static void bf16_inside(const bf16_axis *x, ptrdiff_t tap, ptrdiff_t *first, ptrdiff_t *end) {
  const ptrdiff_t shift = tap * x->dilation - x->padding, last = x->sources - 1 - shift;
  *first = larger(*first, shift < 0 ? ceiling(-shift, x->stride) : 0);
  *end = larger(*first, smaller(*end, last < 0 ? 0 : last / x->stride + 1));
}

#define KERNEL_BODY "bf16_body.h"
#include "each_isa_bf16.h"

#define ENTRY(name, isa)                                                                       \
  {name, bf16_fits, bf16_prepared, bf16_prepare_##isa, bf16_scratch, bf16_forward_##isa,       \
   bf16_backward_data_##isa, bf16_backward_weights_##isa}
#define TABLE(isa) ENTRY("bf16", isa)
const cnn_conv_algorithm cnn_conv_bf16[] = BF16_TABLE(TABLE);

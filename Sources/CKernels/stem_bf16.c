// The stem (stem.h) with products of bf16 (each_isa_bf16.h).
//
// Forward, each place of a picture holds a pair, itself and its right neighbour: a run of the kernel takes every
// second place, and a last float without a partner meets a weight of zero. Backward to the weights, the pairs
// are two images at one place.
#include "convolution_algorithms.h"
#include "stem.h"
#include "tile.h"

static size_t stem_bf16_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const stem_plan p = stem_plan_of(s, 2);
  if (pass != CNN_CONV_FORWARD) return 0;
  return (size_t)(conv_blocks(s->oc) * CNN_BLOCK * p.runs * p.products);
}

// Floats of a picture, with room for vectors beyond its end.
static ptrdiff_t stem_bf16_picture(const stem_plan *p) { return p->rows * p->row + 2 * CNN_BLOCK; }

// Words of `lines` lines of dy from a block of channels to the next.
static ptrdiff_t stem_bf16_block(const cnn_conv_shape *s, ptrdiff_t lines) {
  return (lines * s->ow | 1) * CNN_BLOCK;
}

static size_t stem_bf16_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const stem_plan p = stem_plan_of(s, 2);
  if (pass == CNN_CONV_BACKWARD_DATA) return 0;
  if (pass == CNN_CONV_FORWARD) return (size_t)(stem_unpooled(s) + stem_bf16_picture(&p));
  const ptrdiff_t lines = smaller(p.lines, stem_gradient_lines(s));
  return (size_t)(2 * stem_bf16_picture(&p) + conv_blocks(s->oc) * stem_bf16_block(s, lines));
}

#define STEM_TOGETHER 2
#define STEM_PANELS prepared
#define STEM_READY(picture, count) ISA(stem_pair_neighbours)(picture, count)

#define KERNEL_BODY "stem_bf16_body.h"
#include "each_isa_bf16.h"

#define TABLE(isa)                                                                                     \
  {"stem_bf16", stem_fits, stem_bf16_prepared, stem_bf16_prepare_##isa, stem_bf16_scratch,             \
   stem_forward_##isa, NULL, stem_bf16_backward_weights_##isa, true, 2}
const cnn_conv_algorithm cnn_conv_stem_bf16[] = BF16_TABLE(TABLE);

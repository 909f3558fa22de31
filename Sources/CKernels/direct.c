// Any kernel, stride, dilation, padding and groups, from pictures of images in scratch.
#include "convolution_algorithms.h"
#include "direct.h"
#include "tile.h"

static bool direct_fits(const cnn_conv_shape *s, cnn_conv_pass pass) { return !s->planar; }

static size_t direct_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const ptrdiff_t taps = s->kh * s->kw;
  if (pass == CNN_CONV_BACKWARD_DATA) return (size_t)direct_panels(s->ic, s->oc, s->groups, taps);
  if (pass == CNN_CONV_BACKWARD_WEIGHTS || direct_is_plain(s)) return 0;
  return (size_t)direct_panels(s->oc, s->ic, s->groups, taps);
}

// Narrow outputs gather the points of a tap first: short lines would cost more than they hold.
static bool direct_gathers(const cnn_conv_shape *s) { return s->ow < 8; }

// Floats of the scratch of backward to the weights that come after the pictures of x: dy of a part, the
// points of a tap, and the spread gradient.
typedef struct {
  ptrdiff_t block, dy, gathered, spread;
} direct_gradient_plan;

static direct_gradient_plan direct_gradient_plan_of(const cnn_conv_shape *s, const direct_plan *plan) {
  const ptrdiff_t points = plan->part.images * plan->part.rows * s->ow, block = (points | 1) * CNN_BLOCK;
  return (direct_gradient_plan){
      block, conv_blocks(s->oc) * block, direct_gathers(s) ? points * CNN_BLOCK : 0,
      direct_is_plain(s) ? 0 : direct_panels(s->oc, s->ic, s->groups, s->kh * s->kw)};
}

static direct_plan direct_plan_of_gradient(const cnn_conv_shape *s) {
  return direct_plan_of_x(s, conv_blocks(s->oc) * s->oh * s->ow * CNN_BLOCK);
}

static size_t direct_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  direct_plan plan = pass == CNN_CONV_BACKWARD_DATA ? direct_plan_of_dy(s) : direct_plan_of_x(s, 0);
  ptrdiff_t others = 0;
  if (pass == CNN_CONV_BACKWARD_WEIGHTS) {
    plan = direct_plan_of_gradient(s);
    const direct_gradient_plan gradient = direct_gradient_plan_of(s, &plan);
    others = gradient.dy + gradient.gathered + gradient.spread;
  }
  return (size_t)(direct_table(s) + plan.part.images * plan.image + others);
}

// The weight between two channels, 0 where they belong to different groups.
static float direct_weight(const cnn_conv_shape *s, const float *weight, ptrdiff_t o, ptrdiff_t i,
                           ptrdiff_t tap) {
  const ptrdiff_t inputs = s->ic / s->groups;
  const bool connected = o < s->oc && i < s->ic && o / (s->oc / s->groups) == i / inputs;
  return connected ? weight[conv_weight_at(s, o, i % inputs, tap)] : 0;
}

// [panel of outputs][tap][span of inputs][width].
static void direct_spread(const cnn_conv_shape *s, float *prepared, const float *weight) {
  for (ptrdiff_t first = 0, width; first < s->oc; first += width) {
    width = direct_panel(s->oc, s->groups, first);
    const direct_span span = direct_span_of(first, width, s->oc, s->ic, s->groups);
    for (ptrdiff_t tap = 0; tap < s->kh * s->kw; tap++)
      for (ptrdiff_t k = 0; k < span.depth; k++)
        for (ptrdiff_t j = 0; j < width; j++)
          *prepared++ = direct_weight(s, weight, first + j, span.block * CNN_BLOCK + k, tap);
  }
}

// The adjoint of direct_spread, for a gradient.
static void direct_collect(const cnn_conv_shape *s, float *dw, const float *spread) {
  const ptrdiff_t inputs = s->ic / s->groups, outputs = s->oc / s->groups;
  memset(dw, 0, (size_t)conv_weights(s) * sizeof *dw);
  for (ptrdiff_t first = 0, width; first < s->oc; first += width) {
    width = direct_panel(s->oc, s->groups, first);
    const direct_span span = direct_span_of(first, width, s->oc, s->ic, s->groups);
    for (ptrdiff_t tap = 0; tap < s->kh * s->kw; tap++)
      for (ptrdiff_t k = 0; k < span.depth; k++)
        for (ptrdiff_t o = first; o < first + width; o++, spread++) {
          const ptrdiff_t i = span.block * CNN_BLOCK + k;
          if (o < s->oc && i < s->ic && o / outputs == i / inputs)
            dw[conv_weight_at(s, o, i % inputs, tap)] = *spread;
        }
  }
}

// A panel of inputs for one tap, [span of outputs][width], of groups.
static void direct_transpose_spread(const cnn_conv_shape *s, float *to, const float *weight, ptrdiff_t first,
                                    ptrdiff_t width, direct_span span, ptrdiff_t tap) {
  for (ptrdiff_t k = 0; k < span.depth; k++)
    for (ptrdiff_t j = 0; j < width; j++)
      *to++ = direct_weight(s, weight, span.block * CNN_BLOCK + k, first + j, tap);
}

#define KERNEL_BODY "direct_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                       \
  {"direct", direct_fits, direct_prepared, direct_prepare_##isa, direct_scratch, direct_forward_##isa,   \
   direct_backward_data_##isa, direct_backward_weights_##isa}
const cnn_conv_algorithm cnn_conv_direct[] = ISA_TABLE(TABLE);

// Depthwise convolution: groups = ic, and output channel o reads input channel o / (oc / ic) alone. The
// 16 outputs of a block stand in the lanes; where several outputs read an input, its value is copied
// to the lanes of all of them first.
#include "convolution_algorithms.h"
#include "direct.h"
#include "tile.h"

static bool depthwise_fits(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return !s->planar && s->groups == s->ic && s->ic > 1;
}
static size_t depthwise_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) { return 0; }
static void depthwise_prepare(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared,
                              const float *weight) {}

static ptrdiff_t depthwise_multiplier(const cnn_conv_shape *s) { return s->oc / s->ic; }

// Pictures hold one block of one image.
static cnn_conv_shape depthwise_block(const cnn_conv_shape *s) {
  cnn_conv_shape block = *s;
  block.ic = block.oc = CNN_BLOCK;
  block.images = 1;
  return block;
}

static direct_plan depthwise_plan_of_x(const cnn_conv_shape *s) {
  const cnn_conv_shape block = depthwise_block(s);
  return direct_plan_of_x(&block, 0);
}
static direct_plan depthwise_plan_of_dy(const cnn_conv_shape *s) {
  const cnn_conv_shape block = depthwise_block(s);
  return direct_plan_of_dy(&block);
}

// Floats of an image as the lanes of a block of outputs see it; none where they see it as it is.
static ptrdiff_t depthwise_widened(const cnn_conv_shape *s) {
  return depthwise_multiplier(s) == 1 ? 0 : s->ih * s->iw * CNN_BLOCK;
}

// Two tables of taps, the widened image, a picture.
static size_t depthwise_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const direct_plan p = pass == CNN_CONV_BACKWARD_DATA ? depthwise_plan_of_dy(s) : depthwise_plan_of_x(s);
  return (size_t)(2 * direct_table(s) + depthwise_widened(s) + p.image);
}

// The weights of a block of outputs: a vector for each tap, `row` floats apart.
static const float *depthwise_weights(const cnn_conv_shape *s, const float *weight, ptrdiff_t block,
                                      ptrdiff_t *row) {
  const ptrdiff_t first = block * CNN_BLOCK / CNN_PANEL * CNN_PANEL;
  *row = conv_panel_width(s->oc, first);
  return weight + first * s->kh * s->kw + block * CNN_BLOCK - first;
}

// The image that a block of outputs reads, in blocked memory: x itself, or its channels copied to lanes.
static const float *depthwise_image(const cnn_conv_shape *s, const float *x, ptrdiff_t image, ptrdiff_t block,
                                    float *widened) {
  const float *from = x + conv_x_image(s, image);
  const ptrdiff_t multiplier = depthwise_multiplier(s);
  if (multiplier == 1) return from + block * conv_x_block(s);
  for (ptrdiff_t lane = 0; lane < CNN_BLOCK; lane++) {
    const ptrdiff_t o = block * CNN_BLOCK + lane, c = o / multiplier;
    const float *channel = from + c / CNN_BLOCK * conv_x_block(s) + c % CNN_BLOCK;
    for (ptrdiff_t i = 0; i < s->ih * s->iw; i++)
      widened[i * CNN_BLOCK + lane] = o < s->oc ? channel[i * CNN_BLOCK] : 0;
  }
  return widened;
}

// The adjoint: the lanes of a block of outputs are added to their channels of dx, in their order.
static void depthwise_narrow(const cnn_conv_shape *s, float *dx, ptrdiff_t image, ptrdiff_t block,
                             const float *widened) {
  const ptrdiff_t multiplier = depthwise_multiplier(s);
  for (ptrdiff_t lane = 0; lane < CNN_BLOCK && block * CNN_BLOCK + lane < s->oc; lane++) {
    const ptrdiff_t o = block * CNN_BLOCK + lane, c = o / multiplier;
    float *channel = dx + c / CNN_BLOCK * conv_x_block(s) + conv_x_image(s, image) + c % CNN_BLOCK;
    for (ptrdiff_t i = 0; i < s->ih * s->iw; i++)
      channel[i * CNN_BLOCK] = (o % multiplier ? channel[i * CNN_BLOCK] : 0) + widened[i * CNN_BLOCK + lane];
  }
}

// Lanes of dx that no output is added to: channels that don't exist.
static void depthwise_clear_lanes(const cnn_conv_shape *s, float *dx) {
  float *last = dx + (conv_blocks(s->ic) - 1) * conv_x_block(s) + conv_x_image(s, s->first);
  for (ptrdiff_t c = s->ic; c < conv_blocks(s->ic) * CNN_BLOCK; c++)
    for (ptrdiff_t i = 0; i < s->images * s->ih * s->iw; i++) last[i * CNN_BLOCK + c % CNN_BLOCK] = 0;
}

// The taps that reach a phase of dx, as direct_taps_of_phase lists them: where their weights lie.
static void depthwise_weights_of_phase(const cnn_conv_shape *s, ptrdiff_t phase_h, ptrdiff_t phase_w,
                                       ptrdiff_t row, ptrdiff_t *weights) {
  ptrdiff_t offset;
  for (ptrdiff_t tap = 0; tap < s->kh * s->kw; tap++)
    if (direct_reaches(direct_axis_h(s), phase_h, tap / s->kw, &offset) &&
        direct_reaches(direct_axis_w(s), phase_w, tap % s->kw, &offset))
      *weights++ = tap * row;
}

// What a line of outputs is made of: taps, where each lies in the picture and its weights lie; floats
// between two outputs of the line.
typedef struct {
  ptrdiff_t taps;
  const ptrdiff_t *places, *weights;
  ptrdiff_t y_point;
} depthwise_line;

#define KERNEL_BODY "depthwise_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                \
  {"depthwise", depthwise_fits, depthwise_prepared, depthwise_prepare, depthwise_scratch,         \
   depthwise_forward_##isa, depthwise_backward_data_##isa, depthwise_backward_weights_##isa}
const cnn_conv_algorithm cnn_conv_depthwise[] = ISA_TABLE(TABLE);

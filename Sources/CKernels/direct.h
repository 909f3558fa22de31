#pragma once
// The plans of the direct convolution: how images are cut into parts, what a picture (packing.h) holds
// of them, where the taps lie in it, and how groups of channels become panels.
//
// Forward, a picture is read at a tap for each output. Backward to the data, the gradient of the
// inputs falls into sh x sw phases, each a convolution of dy by the taps that reach it.
//
// Groups: a panel of outputs reads all inputs of the groups that it touches, from a block border on.
// Where groups don't begin and end with blocks and panels, the panel's weights are spread over that
// span, with zeros for pairs that aren't connected.
#include "packing.h"
#include "tile_taps.h"

// The blocks of channels on the other side that a panel is connected with: the first, and the number
// of channels from there on.
typedef struct {
  ptrdiff_t block, depth;
} direct_span;

// Of a panel of `channels` on one side, of `others` on the other.
static inline direct_span direct_span_of(ptrdiff_t first, ptrdiff_t width, ptrdiff_t channels,
                                         ptrdiff_t others, ptrdiff_t groups) {
  const ptrdiff_t own = channels / groups, other = others / groups;
  const ptrdiff_t begin = first / own * other;
  const ptrdiff_t end = ((smaller(first + width, channels) - 1) / own + 1) * other;
  const ptrdiff_t block = begin / CNN_BLOCK;
  return (direct_span){block, end - block * CNN_BLOCK};
}

// The width of the panel that begins at `first`. Small groups take narrow panels: fewer zeros.
static inline ptrdiff_t direct_panel(ptrdiff_t channels, ptrdiff_t groups, ptrdiff_t first) {
  return groups == 1 || channels / groups % CNN_PANEL == 0 ? conv_panel_width(channels, first) : CNN_BLOCK;
}

// Whether the stored panels serve as they are.
static inline bool direct_is_plain(const cnn_conv_shape *s) {
  return s->groups == 1 || (s->oc / s->groups % CNN_PANEL == 0 && s->ic / s->groups % CNN_BLOCK == 0);
}

// Floats of all panels of `channels`, for `taps` taps.
static inline ptrdiff_t direct_panels(ptrdiff_t channels, ptrdiff_t others, ptrdiff_t groups,
                                      ptrdiff_t taps) {
  ptrdiff_t floats = 0;
  for (ptrdiff_t first = 0, width; first < channels; first += width) {
    width = direct_panel(channels, groups, first);
    floats += width * taps * direct_span_of(first, width, channels, others, groups).depth;
  }
  return floats;
}

// Scratch begins with the table of taps.
static inline ptrdiff_t direct_table(const cnn_conv_shape *s) {
  return ceiling(s->kh * s->kw * (ptrdiff_t)sizeof(ptrdiff_t), 64) * CNN_BLOCK;
}

typedef struct {
  picture picture;
  part part;
  ptrdiff_t image;  // floats of an image's picture
} direct_plan;

static inline direct_plan direct_plan_for(picture whole, ptrdiff_t row_step, ptrdiff_t rows, ptrdiff_t images,
                                          ptrdiff_t blocks, ptrdiff_t others) {
  direct_plan plan = {.part = part_of(images, rows, blocks * picture_block(&whole) + others)};
  whole.rows -= (rows - plan.part.rows) * row_step;
  plan.picture = whole;
  plan.image = blocks * picture_block(&whole);
  return plan;
}

// Of x, for forward and backward to the weights; `others` floats of each image are wanted in L2 beside it.
static inline direct_plan direct_plan_of_x(const cnn_conv_shape *s, ptrdiff_t others) {
  // With one row or column of taps only what they meet is packed.
  const ptrdiff_t down = s->kh == 1 ? s->sh : 1, width = (s->ow - 1) * s->sw + (s->kw - 1) * s->dw + 1;
  const picture whole = {.top = s->ph, .left = s->pw,
                         .rows = ((s->oh - 1) * s->sh + (s->kh - 1) * s->dh) / down + 1,
                         .columns = ceiling(width, s->sw), .phases = s->kw == 1 ? 1 : s->sw, .down = down,
                         .across = s->sw};
  return direct_plan_for(whole, s->sh / down, s->oh, s->images, conv_blocks(s->ic), others);
}

// Floats of a picture of x from an output to the one below.
static inline ptrdiff_t direct_line(const cnn_conv_shape *s, const picture *p) {
  return s->sh / p->down * picture_row(p);
}

// Where the taps lie in a picture of x.
static inline void direct_taps_of_x(const cnn_conv_shape *s, const picture *p, ptrdiff_t *taps) {
  for (ptrdiff_t a = 0; a < s->kh; a++)
    for (ptrdiff_t b = 0; b < s->kw; b++) {
      const ptrdiff_t column = b * s->dw % s->sw * p->columns + b * s->dw / s->sw;
      *taps++ = a * s->dh * picture_row(p) + column * CNN_BLOCK;
    }
}

// One direction of backward to the data: element i * stride + phase of dx gathers element i + offset
// of dy, for each tap that reaches the phase.
typedef struct {
  ptrdiff_t size, kernel, stride, padding, dilation;
} direct_axis;

static inline direct_axis direct_axis_h(const cnn_conv_shape *s) {
  return (direct_axis){s->ih, s->kh, s->sh, s->ph, s->dh};
}
static inline direct_axis direct_axis_w(const cnn_conv_shape *s) {
  return (direct_axis){s->iw, s->kw, s->sw, s->pw, s->dw};
}

static inline bool direct_reaches(direct_axis x, ptrdiff_t phase, ptrdiff_t tap, ptrdiff_t *offset) {
  const ptrdiff_t distance = phase + x.padding - tap * x.dilation;
  *offset = distance / x.stride;
  return distance % x.stride == 0;
}

static inline ptrdiff_t direct_phase_size(direct_axis x, ptrdiff_t phase) {
  return phase < x.size ? (x.size - 1 - phase) / x.stride + 1 : 0;
}

static inline void direct_offsets(direct_axis x, ptrdiff_t *least, ptrdiff_t *most) {
  bool any = false;
  *least = *most = 0;
  for (ptrdiff_t phase = 0; phase < smaller(x.stride, x.size); phase++)
    for (ptrdiff_t tap = 0, offset; tap < x.kernel; tap++) {
      if (!direct_reaches(x, phase, tap, &offset)) continue;
      *least = any ? smaller(*least, offset) : offset;
      *most = any ? larger(*most, offset) : offset;
      any = true;
    }
}

// Of dy, for backward to the data.
static inline direct_plan direct_plan_of_dy(const cnn_conv_shape *s) {
  ptrdiff_t top, bottom, left, right;
  direct_offsets(direct_axis_h(s), &top, &bottom);
  direct_offsets(direct_axis_w(s), &left, &right);
  const ptrdiff_t rows = direct_phase_size(direct_axis_h(s), 0);
  const picture whole = {.top = -top, .left = -left, .rows = bottom - top + rows,
                         .columns = right - left + direct_phase_size(direct_axis_w(s), 0), .phases = 1,
                         .down = 1, .across = 1};
  return direct_plan_for(whole, 1, rows, s->images, conv_blocks(s->oc), 0);
}

// Where the taps that reach a phase lie in a picture of dy, in the order in which they are prepared.
// Returns their number.
static inline ptrdiff_t direct_taps_of_phase(const cnn_conv_shape *s, const picture *p, ptrdiff_t phase_h,
                                             ptrdiff_t phase_w, ptrdiff_t *places) {
  ptrdiff_t count = 0, h, w;
  for (ptrdiff_t a = 0; a < s->kh; a++) {
    if (!direct_reaches(direct_axis_h(s), phase_h, a, &h)) continue;
    for (ptrdiff_t b = 0; b < s->kw; b++) {
      if (!direct_reaches(direct_axis_w(s), phase_w, b, &w)) continue;
      places[count++] = (h + p->top) * picture_row(p) + (w + p->left) * CNN_BLOCK;
    }
  }
  return count;
}

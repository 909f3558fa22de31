#pragma once
// Convolutions of stride 1 between an image and one of at most 8 channels: blocks of 16 channels would be
// mostly zeros on that side, so neighbours of a row stand in the lanes. The other side's image lies as
// planes, rows with zeros around:
//
//   forward           out[c][i][j] = sum over planes k and taps of w[k][a][b][c] * plane[k][i + a][j + b]
//   backward data     the same with dy in the planes and the taps turned
//   backward weights  dw[k][a][b][c] = sum over i and j of plane[k][i + a][j + b] * dy[c][i][j]
#include <string.h>

#include "convolution_geometry.h"

enum { narrow_channels = 8 };

// Whether the padding on both sides is less than the kernel.
static inline bool narrow_pads(ptrdiff_t in, ptrdiff_t out, ptrdiff_t kernel, ptrdiff_t padding) {
  const ptrdiff_t behind = out + kernel - 1 - in - padding;
  return 0 <= padding && padding < kernel && 0 <= behind && behind < kernel;
}
static inline bool narrow_fits(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return s->groups == 1 && s->sh == 1 && s->sw == 1 && s->dh == 1 && s->dw == 1 &&
         (s->planar ? s->oc : s->ic) <= narrow_channels && s->planar == (pass != CNN_CONV_BACKWARD_DATA) &&
         narrow_pads(s->ih, s->oh, s->kh, s->ph) && narrow_pads(s->iw, s->ow, s->kw, s->pw);
}

// The planes of an image, and what a pass makes of them: `channels` of height x width.
typedef struct {
  ptrdiff_t planes, height, width;  // of the planes, without zeros
  ptrdiff_t top, left;              // zeros above and to the left
  ptrdiff_t rows, row, plane;       // rows of a plane, floats of a row and of a plane
  ptrdiff_t channels, out_h, out_w;
  ptrdiff_t vectors;                // of a row of `out`
} narrow_plan;

static inline narrow_plan narrow_plan_of(const cnn_conv_shape *s) {
  narrow_plan p =
      s->planar ? (narrow_plan){s->ic, s->ih, s->iw, s->ph, s->pw, .channels = s->oc, .out_h = s->oh,
                                .out_w = s->ow}
                : (narrow_plan){s->oc, s->oh, s->ow, s->kh - 1 - s->ph, s->kw - 1 - s->pw, .channels = s->ic,
                                .out_h = s->ih, .out_w = s->iw};
  p.vectors = ceiling(p.out_w, CNN_BLOCK);
  p.rows = p.out_h + s->kh - 1;
  // Whole vectors are read at every tap, and written where dy is transposed.
  p.row = larger(p.vectors * CNN_BLOCK + s->kw - 1, p.left + ceiling(p.width, CNN_BLOCK) * CNN_BLOCK);
  p.plane = p.rows * p.row;
  return p;
}

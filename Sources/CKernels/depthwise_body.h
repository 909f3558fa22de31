#include "ending_body.h"

// `count` neighbouring outputs of a line: y = start + sum over taps of weight * x, lane by lane.
CNN_INLINE void ISA(depthwise_tile)(const int count, const depthwise_line *t, const float *x, const float *w,
                                    const float *start, float *y) {
  f32x16 sum[ISA(tile_nn_rows)];
#pragma clang loop unroll(full)
  for (int i = 0; i < count; i++) sum[i] = start ? LOAD(start) : (f32x16)0;
  for (ptrdiff_t tap = 0; tap < t->taps; tap++) {
    const float *from = x + t->places[tap];
    const f32x16 weight = LOAD(w + t->weights[tap]);
#pragma clang loop unroll(full)
    for (int i = 0; i < count; i++) sum[i] = FMA(LOAD(from + i * CNN_LANES), weight, sum[i]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < count; i++) STORE(y + i * t->y_point, sum[i]);
}

// A line of `count` outputs, in tiles of nearly equal width.
static void ISA(depthwise_outputs)(ptrdiff_t count, const depthwise_line *t, const float *x, const float *w,
                                   const float *start, float *y) {
  const ptrdiff_t tiles = ceiling(count, ISA(tile_nn_rows));
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    const ptrdiff_t width = count / tiles + (tile < count % tiles);
    switch (width) {
#define CASE(n)                                                                                 \
  case n:                                                                                       \
    if (n <= ISA(tile_nn_rows)) ISA(depthwise_tile)(n, t, x, w, start, y);                      \
    break;
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
      CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#undef CASE
    }
    x += width * CNN_LANES;
    y += width * t->y_point;
  }
}

static void ISA(depthwise_forward)(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                                   const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  const direct_plan p = depthwise_plan_of_x(s);
  const ptrdiff_t taps = s->kh * s->kw, line = s->ow * CNN_BLOCK;
  ptrdiff_t *places = (ptrdiff_t *)scratch, *weights = (ptrdiff_t *)(scratch + direct_table(s));
  float *widened = scratch + 2 * direct_table(s), *pictures = widened + depthwise_widened(s);
  const depthwise_line t = {taps, places, weights, CNN_BLOCK};
  direct_taps_of_x(s, &p.picture, places);
  for (ptrdiff_t block = 0; block < conv_blocks(s->oc); block++) {
    ptrdiff_t row;
    const float *w = depthwise_weights(s, weight, block, &row);
    const float *start = conv_bias(ending, block * CNN_BLOCK);
    for (ptrdiff_t tap = 0; tap < taps; tap++) weights[tap] = tap * row;
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
      const float *from = depthwise_image(s, x, image, block, widened);
      float *to = y + block * conv_y_block(s) + conv_y_image(s, image);
      for (ptrdiff_t i = 0; i < s->oh; i++) {
        if (i % p.part.rows == 0)
          picture_pack(&p.picture, pictures, from, 1, 0, s->ih, s->iw, i * s->sh);
        ISA(depthwise_outputs)(s->ow, &t, pictures + i % p.part.rows * direct_line(s, &p.picture), w, start,
                               to + i * line);
        ISA(conv_end)(ending, y, to + i * line, line);
      }
    }
  }
}

// One part of one image, all phases: rows `row` ... of each.
static void ISA(depthwise_gather)(const cnn_conv_shape *s, const direct_plan *p, float *to,
                                  const float *picture,
                                  const float *w, ptrdiff_t w_row, ptrdiff_t row, ptrdiff_t *places,
                                  ptrdiff_t *weights) {
  for (ptrdiff_t h = 0; h < s->sh; h++)
    for (ptrdiff_t phase = 0; phase < smaller(s->sw, s->iw); phase++) {
      const ptrdiff_t lines = smaller(p->part.rows, direct_phase_size(direct_axis_h(s), h) - row);
      const depthwise_line t = {direct_taps_of_phase(s, &p->picture, h, phase, places), places, weights,
                                s->sw * CNN_BLOCK};
      depthwise_weights_of_phase(s, h, phase, w_row, weights);
      for (ptrdiff_t i = 0; i < lines; i++)
        ISA(depthwise_outputs)(direct_phase_size(direct_axis_w(s), phase), &t,
                               picture + i * picture_row(&p->picture), w, NULL,
                               to + (((row + i) * s->sh + h) * s->iw + phase) * CNN_BLOCK);
    }
}

static void ISA(depthwise_backward_data)(const cnn_conv_shape *s, float *dx, const float *dy,
                                         const float *weight, const float *prepared, float *scratch) {
  const direct_plan p = depthwise_plan_of_dy(s);
  const bool widens = depthwise_multiplier(s) > 1;
  ptrdiff_t *places = (ptrdiff_t *)scratch, *weights = (ptrdiff_t *)(scratch + direct_table(s));
  float *widened = scratch + 2 * direct_table(s), *pictures = widened + depthwise_widened(s);
  for (ptrdiff_t block = 0; block < conv_blocks(s->oc); block++) {
    ptrdiff_t w_row;
    const float *w = depthwise_weights(s, weight, block, &w_row);
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
      const float *from = dy + block * conv_y_block(s) + conv_y_image(s, image);
      float *to = widens ? widened : dx + block * conv_x_block(s) + conv_x_image(s, image);
      for (ptrdiff_t row = 0; row < direct_phase_size(direct_axis_h(s), 0); row += p.part.rows) {
        picture_pack(&p.picture, pictures, from, 1, 0, s->oh, s->ow, row);
        ISA(depthwise_gather)(s, &p, to, pictures, w, w_row, row, places, weights);
      }
      if (widens) depthwise_narrow(s, dx, image, block, widened);
    }
  }
  if (widens) depthwise_clear_lanes(s, dx);
}

// The gradients of `count` taps, `d_row` floats apart: each adds dy * x over `lines` lines of points, lane
// by lane.
CNN_INLINE void ISA(depthwise_gradient_tile)(const int count, const cnn_conv_shape *s, ptrdiff_t x_line,
                                             const ptrdiff_t *places, const float *x, const float *dy,
                                             ptrdiff_t lines, float *d, ptrdiff_t d_row, bool accumulate) {
  f32x16 sum[9];
  const float *from[9];
#pragma clang loop unroll(full)
  for (int t = 0; t < count; t++) {
    sum[t] = accumulate ? LOAD(d + t * d_row) : (f32x16)0;
    from[t] = x + places[t];
  }
  for (ptrdiff_t i = 0; i < lines; i++)
    for (ptrdiff_t j = 0; j < s->ow; j++, dy += CNN_LANES) {
      const f32x16 gradient = LOAD(dy);
#pragma clang loop unroll(full)
      for (int t = 0; t < count; t++)
        sum[t] = FMA(LOAD(from[t] + i * x_line + j * CNN_LANES), gradient, sum[t]);
    }
#pragma clang loop unroll(full)
  for (int t = 0; t < count; t++) STORE(d + t * d_row, sum[t]);
}

static void ISA(depthwise_gradient)(ptrdiff_t count, const cnn_conv_shape *s, ptrdiff_t x_line,
                                    const ptrdiff_t *places, const float *x, const float *dy, ptrdiff_t lines,
                                    float *d, ptrdiff_t d_row, bool accumulate) {
  switch (count) {
#define CASE(n)                                                                                           \
  case n:                                                                                                 \
    if (n <= ISA(tile_nn_rows))                                                                           \
      ISA(depthwise_gradient_tile)(n, s, x_line, places, x, dy, lines, d, d_row, accumulate);             \
    break;
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9)
#undef CASE
  }
}

static void ISA(depthwise_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x,
                                            const float *dy, float *scratch) {
  const direct_plan p = depthwise_plan_of_x(s);
  const ptrdiff_t taps = s->kh * s->kw, most = smaller(9, ISA(tile_nn_rows)), tiles = ceiling(taps, most);
  ptrdiff_t *places = (ptrdiff_t *)scratch;
  float *widened = scratch + 2 * direct_table(s), *pictures = widened + depthwise_widened(s);
  const ptrdiff_t x_line = direct_line(s, &p.picture);
  direct_taps_of_x(s, &p.picture, places);
  for (ptrdiff_t block = 0; block < conv_blocks(s->oc); block++) {
    ptrdiff_t d_row;
    float *d = dw + (depthwise_weights(s, dw, block, &d_row) - dw);
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
      const float *from = depthwise_image(s, x, image, block, widened);
      const float *gradient = dy + block * conv_y_block(s) + conv_y_image(s, image);
      for (ptrdiff_t row = 0; row < s->oh; row += p.part.rows) {
        picture_pack(&p.picture, pictures, from, 1, 0, s->ih, s->iw, row * s->sh);
        for (ptrdiff_t tile = 0, tap = 0, count; tile < tiles; tile++, tap += count) {
          count = taps / tiles + (tile < taps % tiles);
          ISA(depthwise_gradient)(count, s, x_line, places + tap, pictures,
                                  gradient + row * s->ow * CNN_BLOCK,
                                  smaller(p.part.rows, s->oh - row), d + tap * d_row, d_row,
                                  image > s->first || row > 0);
        }
      }
    }
  }
}

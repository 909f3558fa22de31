#include "transpose16_body.h"
#include "ending_body.h"
#include "pool_ending_body.h"

// The planes of an image, in memory that is zero where the image has no pixel.
static void ISA(narrow_planes)(const cnn_conv_shape *s, const narrow_plan *p, float *to, const float *from,
                               ptrdiff_t image) {
  for (ptrdiff_t k = 0; k < p->planes; k += s->planar ? 1 : CNN_BLOCK)
    for (ptrdiff_t i = 0; i < p->height; i++) {
      float *row = to + k * p->plane + (p->top + i) * p->row + p->left;
      if (s->planar) {
        memcpy(row, from + ((k * s->n + image) * p->height + i) * p->width, (size_t)p->width * sizeof *to);
        continue;
      }
      const float *pixels =
          from + k / CNN_BLOCK * conv_y_block(s) + conv_y_image(s, image) + i * s->ow * CNN_BLOCK;
      for (ptrdiff_t j = 0; j < p->width; j += CNN_BLOCK)
        ISA(transpose16)(row + j, p->plane, p->planes - k, pixels + j * CNN_BLOCK, CNN_BLOCK, p->width - j);
    }
}

// `rows` x 16 outputs of all channels, [row][channel][16]: start + the sum over planes and taps, of which rows
// first ..< end meet the image. Every output is one chain of fused multiply-adds in the order (plane, tap).
CNN_INLINE void ISA(narrow_tile)(const int rows, const int channels, const cnn_conv_shape *s, const narrow_plan *p,
                                 const float *plane, ptrdiff_t first, ptrdiff_t end, const float *w, float *to,
                                 const float *start) {
  f32x16 sum[narrow_rows * 3];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int c = 0; c < channels; c++) sum[r * channels + c] = start ? (f32x16)start[c] : (f32x16)0;
  const ptrdiff_t taps = s->kh * s->kw * channels;
  for (ptrdiff_t k = 0; k < p->planes; k++, plane += p->plane, w += taps) {
    const float *weight = w + first * s->kw * channels;
    for (ptrdiff_t a = first; a < end; a++) {
      const float *from = plane + a * p->row;
#pragma clang loop unroll(disable)
      for (ptrdiff_t b = 0; b < s->kw; b++, from++, weight += channels) {
        f32x16 x[narrow_rows];
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) x[r] = LOAD(from + r * p->row);
#pragma clang loop unroll(full)
        for (int c = 0; c < channels; c++) {
          const f32x16 factor = weight[c];
#pragma clang loop unroll(full)
          for (int r = 0; r < rows; r++) sum[r * channels + c] = FMA(x[r], factor, sum[r * channels + c]);
        }
      }
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows * channels; i++) STORE(to + i * CNN_LANES, sum[i]);
}

// The most rows that a tile of so many channels has.
CNN_INLINE ptrdiff_t ISA(narrow_most)(ptrdiff_t channels) {
  return larger(1, smaller(narrow_rows, ISA(narrow_sums) / channels));
}

static void ISA(narrow_rows_of)(ptrdiff_t rows, const cnn_conv_shape *s, const narrow_plan *p, const float *plane,
                                ptrdiff_t first, ptrdiff_t end, const float *w, float *to, const float *start) {
  switch (p->channels * 16 + rows) {
#define CASE(c, r)                                                                                        \
  case c * 16 + r:                                                                                        \
    if (r == 1 || r * c <= ISA(narrow_sums)) ISA(narrow_tile)(r, c, s, p, plane, first, end, w, to, start); \
    break;
#define FEW(c) CASE(c, 1) CASE(c, 2) CASE(c, 3)
#define MORE(c) FEW(c) CASE(c, 4)
#define MANY(c) MORE(c) CASE(c, 5) CASE(c, 6)
#define MOST(c) MANY(c) CASE(c, 7) CASE(c, 8)
    MOST(1) MOST(2) MOST(3) MANY(4) MORE(5) MORE(6) FEW(7) FEW(8)
#undef CASE
#undef FEW
#undef MORE
#undef MANY
#undef MOST
  }
}

// Rows i ..< i + rows of the outputs of the image in `planes`, blocked, from `to` on.
CNN_INLINE void ISA(narrow_outputs)(const cnn_conv_shape *s, const narrow_plan *p, float *to, const float *planes,
                                    ptrdiff_t i, ptrdiff_t rows, const float *prepared, const float *start,
                                    float *lines) {
  const ptrdiff_t first = larger(0, p->top - i - rows + 1), end = smaller(s->kh, p->top + p->height - i);
  for (ptrdiff_t j = 0; j < p->out_w; j += CNN_BLOCK) {
    ISA(narrow_rows_of)(rows, s, p, planes + i * p->row + j, first, end, prepared, lines, start);
    for (ptrdiff_t r = 0; r < rows; r++)
      ISA(transpose16)(to + (r * p->out_w + j) * CNN_BLOCK, CNN_BLOCK, p->out_w - j,
                       lines + r * p->channels * CNN_BLOCK, CNN_BLOCK, p->channels);
  }
}

static void ISA(narrow_forward)(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                                const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  const narrow_plan p = narrow_plan_of(s);
  const ptrdiff_t line = s->ow * CNN_BLOCK, most = ISA(narrow_most)(p.channels);
  float *lines = scratch + p.planes * p.plane, *unpooled = lines + narrow_rows * p.channels * CNN_BLOCK;
  memset(scratch, 0, (size_t)(p.planes * p.plane) * sizeof *scratch);
  for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
    ISA(narrow_planes)(s, &p, scratch, x, image);
    if (ending->pool) {
      float *to = y + image * (s->oh / 2) * (s->ow / 2) * CNN_BLOCK;
      for (ptrdiff_t i = 0; i + 2 <= s->oh; i += 2, to += s->ow / 2 * CNN_BLOCK) {
        for (ptrdiff_t r = 0, rows = smaller(2, most); r < 2; r += rows)
          ISA(narrow_outputs)(s, &p, unpooled + r * line, scratch, i + r, rows, prepared, ending->bias, lines);
        ISA(conv_pool)(ending, to, unpooled, line, s->ow / 2);
      }
      continue;
    }
    const ptrdiff_t tiles = ceiling(s->oh, most);
    for (ptrdiff_t tile = 0, i = 0, rows; tile < tiles; tile++, i += rows) {
      rows = s->oh / tiles + (tile < s->oh % tiles);
      float *to = y + conv_y_image(s, image) + i * line;
      ISA(narrow_outputs)(s, &p, to, scratch, i, rows, prepared, ending->bias, lines);
      ISA(conv_end)(ending, y, to, rows * line);
    }
  }
}

static void ISA(narrow_backward_data)(const cnn_conv_shape *s, float *dx, const float *dy, const float *weight,
                                      const float *prepared, float *scratch) {
  const narrow_plan p = narrow_plan_of(s);
  const ptrdiff_t tiles = ceiling(s->ih, ISA(narrow_most)(p.channels));
  float *lines = scratch + p.planes * p.plane;
  memset(scratch, 0, (size_t)(p.planes * p.plane) * sizeof *scratch);
  for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
    ISA(narrow_planes)(s, &p, scratch, dy, image);
    for (ptrdiff_t tile = 0, i = 0, rows; tile < tiles; tile++, i += rows) {
      rows = s->ih / tiles + (tile < s->ih % tiles);
      ISA(narrow_outputs)(s, &p, dx + conv_x_image(s, image) + i * s->iw * CNN_BLOCK, scratch, i, rows, prepared,
                          NULL, lines);
    }
  }
}

// The gradients of `taps` neighbouring taps and `channels` channels in sixteen parts, [tap][p->channels][16]: each
// adds x dy over `lines` rows, column by column. `x` and `dy` point to the first row's.
CNN_INLINE void ISA(narrow_gradient_tile)(const int taps, const int channels, const narrow_plan *p, float *d,
                                          const float *x, const float *dy, ptrdiff_t lines, bool accumulate) {
  f32x16 sum[5][4];
  const ptrdiff_t row = p->vectors * CNN_BLOCK;
#pragma clang loop unroll(full)
  for (int t = 0; t < taps; t++)
#pragma clang loop unroll(full)
    for (int c = 0; c < channels; c++)
      sum[t][c] = accumulate ? LOAD(d + (t * p->channels + c) * CNN_LANES) : (f32x16)0;
  for (ptrdiff_t i = 0; i < lines; i++, x += p->row, dy += p->channels * row)
#pragma clang loop unroll(disable)
    for (ptrdiff_t j = 0; j < row; j += CNN_LANES) {
      f32x16 from[5];
#pragma clang loop unroll(full)
      for (int t = 0; t < taps; t++) from[t] = LOAD(x + j + t);
#pragma clang loop unroll(full)
      for (int c = 0; c < channels; c++) {
        const f32x16 gradient = LOAD(dy + c * row + j);
#pragma clang loop unroll(full)
        for (int t = 0; t < taps; t++) sum[t][c] = FMA(from[t], gradient, sum[t][c]);
      }
    }
#pragma clang loop unroll(full)
  for (int t = 0; t < taps; t++)
#pragma clang loop unroll(full)
    for (int c = 0; c < channels; c++) STORE(d + (t * p->channels + c) * CNN_LANES, sum[t][c]);
}

// All channels of a row of the kernel's taps, in tiles of nearly equal size.
static void ISA(narrow_gradient_row)(const cnn_conv_shape *s, const narrow_plan *p, float *d, const float *x,
                                     const float *dy, ptrdiff_t lines, bool accumulate) {
  const ptrdiff_t across = ceiling(s->kw, ISA(narrow_taps)), deep = ceiling(p->channels, ISA(narrow_deep));
  for (ptrdiff_t i = 0, b = 0, taps; i < across; i++, b += taps) {
    taps = s->kw / across + (i < s->kw % across);
    for (ptrdiff_t j = 0, c = 0, channels; j < deep; j++, c += channels) {
      channels = p->channels / deep + (j < p->channels % deep);
      float *to = d + (b * p->channels + c) * CNN_BLOCK;
      const float *gradient = dy + c * p->vectors * CNN_BLOCK;
      switch (taps * 8 + channels) {
#define CASE(t, n)                                                                 \
  case t * 8 + n:                                                                  \
    if (t <= ISA(narrow_taps) && n <= ISA(narrow_deep))                            \
      ISA(narrow_gradient_tile)(t, n, p, to, x + b, gradient, lines, accumulate);  \
    break;
#define CASES(t) CASE(t, 1) CASE(t, 2) CASE(t, 3) CASE(t, 4)
        CASES(1) CASES(2) CASES(3) CASES(4) CASES(5)
#undef CASE
#undef CASES
      }
    }
  }
}

// dw from its parts: the sixteen in their order, zeros for channels that don't exist.
static void ISA(narrow_collect)(const cnn_conv_shape *s, const narrow_plan *p, float *dw, const float *parts) {
  memset(dw, 0, (size_t)conv_weights(s) * sizeof *dw);
  for (ptrdiff_t k = 0; k < p->planes; k++)
    for (ptrdiff_t tap = 0; tap < s->kh * s->kw; tap++)
      for (ptrdiff_t c = 0; c < p->channels; c++, parts += CNN_LANES) {
        double sum = 0;
        for (int lane = 0; lane < CNN_LANES; lane++) sum += (double)parts[lane];
        dw[conv_weight_at(s, c, k, tap)] = (float)sum;
      }
}

static void ISA(narrow_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x, const float *dy,
                                         float *scratch) {
  const narrow_plan p = narrow_plan_of(s);
  const ptrdiff_t row = p.vectors * CNN_BLOCK, step = narrow_gradient_lines(&p);
  float *rows = scratch + p.planes * p.plane, *parts = rows + step * p.channels * row;
  memset(scratch, 0, (size_t)(p.planes * p.plane) * sizeof *scratch);
  for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
    ISA(narrow_planes)(s, &p, scratch, x, image);
    for (ptrdiff_t i = 0; i < s->oh; i += step) {
      const ptrdiff_t lines = smaller(step, s->oh - i);
      const float *gradient = dy + conv_y_image(s, image) + i * s->ow * CNN_BLOCK;
      for (ptrdiff_t r = 0; r < lines; r++)
        for (ptrdiff_t j = 0; j < s->ow; j += CNN_BLOCK)
          ISA(transpose16)(rows + r * p.channels * row + j, row, p.channels,
                           gradient + (r * s->ow + j) * CNN_BLOCK, CNN_BLOCK, s->ow - j);
      for (ptrdiff_t k = 0; k < p.planes; k++)
        for (ptrdiff_t a = 0; a < s->kh; a++)
          ISA(narrow_gradient_row)(s, &p, parts + (k * s->kh + a) * s->kw * p.channels * CNN_BLOCK,
                                   scratch + k * p.plane + (i + a) * p.row, rows, lines,
                                   image > s->first || i > 0);
    }
  }
  ISA(narrow_collect)(s, &p, dw, parts);
}

// Makes each of `count` floats a pair with its right neighbour, in place; behind the last is a zero.
static void ISA(stem_pair_neighbours)(float *picture, ptrdiff_t count) {
  memset(picture + count, 0, 2 * CNN_BLOCK * sizeof *picture);
  for (ptrdiff_t i = 0; i < count; i += CNN_LANES)
    STORE(picture + i, PAIR(LOAD(picture + i), LOAD(picture + i + 1)));
}

#include "stem_tiles_body.h"

// The panels of pairs, [panel][run][pair][width]: rows 2 k and 2 k + 1 of a run.
static void ISA(stem_bf16_prepare)(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared,
                                   const float *weight) {
  const stem_plan p = stem_plan_of(s, 2);
  if (pass != CNN_CONV_FORWARD) return;
  for (ptrdiff_t first = 0, width; first < s->oc; first += width) {
    width = conv_panel_width(s->oc, first);
    for (ptrdiff_t run = 0; run < p.runs; run++, weight += p.depth * width)
      for (ptrdiff_t k = 0; k < p.depth; k += 2, prepared += width)
        for (ptrdiff_t j = 0; j < width; j += CNN_LANES) {
          const f32x16 lower = LOAD(weight + k * width + j);
          f32x16 upper = 0;
          if (k + 1 < p.depth) upper = LOAD(weight + (k + 1) * width + j);
          STORE(prepared + j, PAIR(lower, upper));
        }
  }
}

// Pairs of floats of two images: to[i] = (to[i], other[i]). `count` is rounded up to vectors.
static void ISA(stem_pair_images)(float *to, const float *other, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i += CNN_LANES) STORE(to + i, PAIR(LOAD(to + i), LOAD(other + i)));
}

// Lines of dy of an image and the next as pairs, [16 channels][line][column][16]; zeros beside a last image.
static void ISA(stem_pair_gradients)(const cnn_conv_shape *s, float *to, ptrdiff_t block, const float *dy,
                                     ptrdiff_t lines, bool both) {
  const f32x16 zero = 0;
  for (ptrdiff_t o = 0; o < s->oc; o += CNN_BLOCK, dy += stem_dy_block(s), to += block)
    for (ptrdiff_t i = 0; i < lines * s->ow * CNN_BLOCK; i += CNN_BLOCK)
      STORE(to + i, PAIR(LOAD(dy + i), both ? LOAD(dy + conv_y_image(s, 1) + i) : zero));
}

static void ISA(stem_bf16_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x,
                                            const float *dy, float *scratch) {
  const stem_plan p = stem_plan_of(s, 2);
  const ptrdiff_t step = smaller(p.lines, stem_gradient_lines(s)), block = stem_bf16_block(s, step);
  const ptrdiff_t last = s->first + s->images;
  float *other = scratch + stem_bf16_picture(&p), *gradients = other + stem_bf16_picture(&p);
  for (ptrdiff_t image = s->first; image < last; image += 2)
    for (ptrdiff_t line = 0; line < s->oh; line += p.lines) {
      const ptrdiff_t lines = smaller(p.lines, s->oh - line), rows = stem_rows(s, lines);
      const ptrdiff_t top = line * s->sh - s->ph;
      const bool both = image + 1 < last;
      ISA(stem_pack)(s, &p, scratch, x, image, top, rows);
      if (both) ISA(stem_pack)(s, &p, other, x, image + 1, top, rows);
      else memset(other, 0, (size_t)(rows * p.row) * sizeof *other);
      ISA(stem_pair_images)(scratch, other, rows * p.row);
      for (ptrdiff_t i = 0; i < lines; i += step) {
        const ptrdiff_t count = smaller(step, lines - i);
        ISA(stem_pair_gradients)(s, gradients, block,
                                 dy + stem_dy_image(s, image) + (line + i) * s->ow * CNN_BLOCK, count, both);
        ISA(stem_gradient)(s, &p, dw, scratch + i * p.line, gradients, block, count,
                           s->continues || image > s->first || line + i > 0);
      }
    }
}

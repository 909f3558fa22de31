#include "tile_body.h"
#include "tile_taps_body.h"
#include "tile_gradient_body.h"
#include "transpose16_body.h"
#include "ending_body.h"

// The pictures of the images first ..< first + images of x or dy, of the part's rows from `row` on.
static void ISA(direct_pack)(const direct_plan *p, float *to, const float *from, ptrdiff_t images,
                             ptrdiff_t blocks, ptrdiff_t stride, ptrdiff_t height, ptrdiff_t width,
                             ptrdiff_t row) {
  for (ptrdiff_t image = 0; image < images; image++)
    picture_pack(&p->picture, to + image * p->image, from + image * height * width * CNN_BLOCK, blocks,
                 stride, height, width, row);
}

static void ISA(direct_forward)(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                                const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  const direct_plan p = direct_plan_of_x(s, 0);
  const float *panels = direct_is_plain(s) ? weight : prepared;
  ptrdiff_t *taps = (ptrdiff_t *)scratch;
  float *pictures = scratch + direct_table(s);
  direct_taps_of_x(s, &p.picture, taps);
  tile_sweep sweep = {.columns = s->ow, .a_image = p.image, .c_image = s->oh * s->ow * CNN_BLOCK};
  sweep.tile = (tile_taps){.taps = s->kh * s->kw, .a_taps = taps, .a_block = picture_block(&p.picture),
                           .a_line = direct_line(s, &p.picture), .c_line = s->ow * CNN_BLOCK,
                           .c_row = CNN_BLOCK, .c_vector = conv_y_block(s)};
  const ptrdiff_t end = s->first + s->images;
  for (ptrdiff_t image = s->first; image < end; image += p.part.step) {
    sweep.images = smaller(p.part.step, end - image);
    for (ptrdiff_t row = 0; row < s->oh; row += p.part.rows) {
      sweep.lines = smaller(p.part.rows, s->oh - row);
      ISA(direct_pack)(&p, pictures, x + conv_x_image(s, image), sweep.images, conv_blocks(s->ic),
                       conv_x_block(s), s->ih, s->iw, row * s->sh);
      const float *b = panels;
      float *to = y + conv_y_image(s, image) + row * s->ow * CNN_BLOCK;
      for (ptrdiff_t first = 0, width; first < s->oc; first += width) {
        width = direct_panel(s->oc, s->groups, first);
        const direct_span span = direct_span_of(first, width, s->oc, s->ic, s->groups);
        sweep.tile.depth = span.depth;
        ISA(tile_sweep)(&sweep, width, pictures + span.block * sweep.tile.a_block, b,
                        to + first / CNN_BLOCK * conv_y_block(s), conv_bias(ending, first));
        for (ptrdiff_t o = first; o < first + width; o += CNN_BLOCK)
          for (ptrdiff_t i = 0; i < sweep.images; i++)
            ISA(conv_end)(ending, y, to + o / CNN_BLOCK * conv_y_block(s) + i * sweep.c_image,
                          sweep.lines * sweep.tile.c_line);
        b += width * sweep.tile.taps * span.depth;
      }
    }
  }
}

// A panel of inputs for one tap, [output][width], of a convolution without groups.
static void ISA(direct_transpose)(const cnn_conv_shape *s, float *to, const float *weight, ptrdiff_t first,
                                  ptrdiff_t width, ptrdiff_t tap) {
  for (ptrdiff_t o = 0; o < s->oc; o += CNN_BLOCK) {
    const ptrdiff_t row = conv_panel_width(s->oc, o / CNN_PANEL * CNN_PANEL);
    for (ptrdiff_t i = 0; i < width; i += CNN_BLOCK)
      ISA(transpose16)(to + o * width + i, width, s->oc - o, weight + conv_weight_at(s, o, first + i, tap),
                       row, s->ic - first - i);
  }
}

// [phase][panel of inputs][tap of the phase][span of outputs][width].
static void ISA(direct_prepare)(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared,
                                const float *weight) {
  if (pass == CNN_CONV_FORWARD && !direct_is_plain(s)) direct_spread(s, prepared, weight);
  if (pass != CNN_CONV_BACKWARD_DATA) return;
  ptrdiff_t offset;
  for (ptrdiff_t h = 0; h < s->sh; h++)
    for (ptrdiff_t w = 0; w < s->sw; w++)
      for (ptrdiff_t first = 0, width; first < s->ic; first += width) {
        width = direct_panel(s->ic, s->groups, first);
        const direct_span span = direct_span_of(first, width, s->ic, s->oc, s->groups);
        for (ptrdiff_t tap = 0; tap < s->kh * s->kw; tap++) {
          if (!direct_reaches(direct_axis_h(s), h, tap / s->kw, &offset) ||
              !direct_reaches(direct_axis_w(s), w, tap % s->kw, &offset))
            continue;
          if (s->groups == 1) ISA(direct_transpose)(s, prepared, weight, first, width, tap);
          else direct_transpose_spread(s, prepared, weight, first, width, span, tap);
          prepared += span.depth * width;
        }
      }
}

static void ISA(direct_backward_data)(const cnn_conv_shape *s, float *dx, const float *dy,
                                      const float *weight, const float *prepared, float *scratch) {
  const direct_plan p = direct_plan_of_dy(s);
  const ptrdiff_t rows = direct_phase_size(direct_axis_h(s), 0), end = s->first + s->images;
  ptrdiff_t *taps = (ptrdiff_t *)scratch;
  float *pictures = scratch + direct_table(s);
  tile_sweep sweep = {.a_image = p.image, .c_image = s->ih * s->iw * CNN_BLOCK};
  sweep.tile = (tile_taps){.a_taps = taps, .a_block = picture_block(&p.picture),
                           .a_line = picture_row(&p.picture), .c_line = s->sh * s->iw * CNN_BLOCK,
                           .c_row = s->sw * CNN_BLOCK, .c_vector = conv_x_block(s)};
  for (ptrdiff_t image = s->first; image < end; image += p.part.step) {
    sweep.images = smaller(p.part.step, end - image);
    for (ptrdiff_t row = 0; row < rows; row += p.part.rows) {
      ISA(direct_pack)(&p, pictures, dy + conv_y_image(s, image), sweep.images, conv_blocks(s->oc),
                       conv_y_block(s), s->oh, s->ow, row);
      const float *b = prepared;
      for (ptrdiff_t h = 0; h < s->sh; h++)
        for (ptrdiff_t w = 0; w < s->sw; w++) {
          sweep.lines = smaller(p.part.rows, direct_phase_size(direct_axis_h(s), h) - row);
          sweep.columns = direct_phase_size(direct_axis_w(s), w);
          sweep.tile.taps = direct_taps_of_phase(s, &p.picture, h, w, taps);
          float *to = dx + conv_x_image(s, image) + ((row * s->sh + h) * s->iw + w) * CNN_BLOCK;
          for (ptrdiff_t first = 0, width; first < s->ic; first += width) {
            width = direct_panel(s->ic, s->groups, first);
            const direct_span span = direct_span_of(first, width, s->ic, s->oc, s->groups);
            sweep.tile.depth = span.depth;
            if (sweep.lines > 0 && sweep.columns > 0)
              ISA(tile_sweep)(&sweep, width, pictures + span.block * sweep.tile.a_block, b,
                              to + first / CNN_BLOCK * conv_x_block(s), NULL);
            b += width * sweep.tile.taps * span.depth;
          }
        }
    }
  }
}

static void ISA(direct_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x, const float *dy,
                                         float *scratch) {
  const direct_plan p = direct_plan_of_gradient(s);
  const direct_gradient_plan g = direct_gradient_plan_of(s, &p);
  const bool gathers = direct_gathers(s), plain = direct_is_plain(s);
  ptrdiff_t *taps = (ptrdiff_t *)scratch;
  float *pictures = scratch + direct_table(s), *packed = pictures + p.part.images * p.image;
  float *gathered = packed + g.dy, *gradient = plain ? dw : gathered + g.gathered;
  direct_taps_of_x(s, &p.picture, taps);
  const ptrdiff_t a_line = direct_line(s, &p.picture), line = s->ow * CNN_BLOCK;
  const ptrdiff_t end = s->first + s->images, blocks = conv_blocks(s->ic);
  for (ptrdiff_t image = s->first; image < end; image += p.part.step)
    for (ptrdiff_t row = 0; row < s->oh; row += p.part.rows) {
      const ptrdiff_t images = smaller(p.part.step, end - image), lines = smaller(p.part.rows, s->oh - row);
      const bool accumulate = image > s->first || row > 0;
      ISA(direct_pack)(&p, pictures, x + conv_x_image(s, image), images, blocks, conv_x_block(s), s->ih,
                       s->iw, row * s->sh);
      for (ptrdiff_t block = 0; block < conv_blocks(s->oc); block++)
        for (ptrdiff_t i = 0; i < images; i++)
          memcpy(packed + block * g.block + i * lines * line,
                 dy + block * conv_y_block(s) + conv_y_image(s, image + i) + row * line,
                 (size_t)(lines * line) * sizeof *dy);
      tile_tn tile = {.lines = lines, .count = s->ow, .a_line = a_line, .a_point = CNN_BLOCK, .b_line = line,
                      .b_point = CNN_BLOCK, .b_vector = g.block, .d_vector = CNN_BLOCK};
      if (gathers) tile.lines = 1, tile.count = images * lines * s->ow;
      for (ptrdiff_t block = 0; block < blocks; block++)
        for (ptrdiff_t tap = 0; tap < s->kh * s->kw; tap++) {
          const float *a = pictures + block * picture_block(&p.picture) + taps[tap];
          if (gathers) {
            for (ptrdiff_t i = 0; i < images * lines; i++)
              memcpy(gathered + i * line, a + i / lines * p.image + i % lines * a_line,
                     (size_t)line * sizeof *gathered);
            a = gathered;
          }
          float *panel = gradient;
          for (ptrdiff_t first = 0, width; first < s->oc; first += width) {
            width = direct_panel(s->oc, s->groups, first);
            const direct_span span = direct_span_of(first, width, s->oc, s->ic, s->groups);
            const ptrdiff_t begin = (block - span.block) * CNN_BLOCK;
            tile.d_row = width;
            for (ptrdiff_t i = 0; begin >= 0 && begin < span.depth && i < (gathers ? 1 : images); i++)
              ISA(tile_gradient)(&tile, smaller(CNN_BLOCK, span.depth - begin), width, a + i * p.image,
                                 packed + first / CNN_BLOCK * g.block + i * lines * line,
                                 panel + (tap * span.depth + begin) * width, accumulate || i > 0);
            panel += width * s->kh * s->kw * span.depth;
          }
        }
    }
  if (!plain) direct_collect(s, dw, gradient);
}

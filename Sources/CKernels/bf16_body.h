#include "tile_body.h"
#include "tile_gradient_body.h"
#include "transpose16_body.h"
#include "ending_body.h"

// Forward: row c of a panel and row c + 16.
static void ISA(bf16_prepare_forward)(const cnn_conv_shape *s, float *prepared, const float *weight) {
  for (ptrdiff_t first = 0, width; first < s->oc; first += width) {
    width = conv_panel_width(s->oc, first);
    for (ptrdiff_t tap = 0; tap < s->kh * s->kw; tap++, weight += s->ic * width)
      for (ptrdiff_t k = 0; k < bf16_depth(s->ic); k++, prepared += width) {
        const ptrdiff_t c = k / CNN_BLOCK * 2 * CNN_BLOCK + k % CNN_BLOCK;
        for (ptrdiff_t j = 0; j < width; j += CNN_BLOCK) {
          const f32x16 lower = LOAD(weight + c * width + j);
          f32x16 upper = 0;
          if (c + CNN_BLOCK < s->ic) upper = LOAD(weight + (c + CNN_BLOCK) * width + j);
          STORE(prepared + j, PAIR(lower, upper));
        }
      }
  }
}

// Backward: the same of the transposed weights, 32 outputs by 16 inputs at once.
static void ISA(bf16_prepare_backward)(const cnn_conv_shape *s, float *prepared, const float *weight) {
  for (ptrdiff_t first = 0, width; first < s->ic; first += width) {
    width = conv_panel_width(s->ic, first);
    for (ptrdiff_t tap = 0; tap < s->kh * s->kw; tap++)
      for (ptrdiff_t o = 0, pairs; o < s->oc; o += 2 * CNN_BLOCK, prepared += pairs * width) {
        pairs = smaller(CNN_BLOCK, s->oc - o);
        const ptrdiff_t row = conv_panel_width(s->oc, o);
        for (ptrdiff_t i = 0; i < width; i += CNN_BLOCK) {
          float lower[CNN_BLOCK * CNN_BLOCK], upper[CNN_BLOCK * CNN_BLOCK] = {0};
          const float *from = weight + conv_weight_at(s, o, first + i, tap);
          ISA(transpose16)(lower, CNN_BLOCK, CNN_BLOCK, from, row, s->ic - first - i);
          if (o + CNN_BLOCK < s->oc)
            ISA(transpose16)(upper, CNN_BLOCK, CNN_BLOCK, from + CNN_BLOCK, row, s->ic - first - i);
          for (ptrdiff_t k = 0; k < pairs; k++)
            STORE(prepared + k * width + i, PAIR(LOAD(lower + k * CNN_BLOCK), LOAD(upper + k * CNN_BLOCK)));
        }
      }
  }
}

static void ISA(bf16_prepare)(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared,
                              const float *weight) {
  if (pass == CNN_CONV_FORWARD) ISA(bf16_prepare_forward)(s, prepared, weight);
  if (pass == CNN_CONV_BACKWARD_DATA) ISA(bf16_prepare_backward)(s, prepared, weight);
}

// Some rows of some images as pairs of channels: [32 channels][row][column][image][16].
static void ISA(bf16_pack)(const bf16_side *side, float *to, ptrdiff_t block, const float *from,
                           ptrdiff_t image, ptrdiff_t images, ptrdiff_t row, ptrdiff_t rows) {
  const f32x16 zero = 0;
  for (ptrdiff_t c = 0; c < side->channels; c += 2 * CNN_BLOCK, from += 2 * side->block, to += block)
    for (ptrdiff_t n = 0; n < images; n++) {
      const float *lower = from + ((image + n) * side->height + row) * side->width * CNN_BLOCK;
      float *pixel = to + n * CNN_BLOCK;
      const float *end = lower + rows * side->width * CNN_BLOCK;
      if (c + CNN_BLOCK < side->channels)
        for (; lower < end; lower += CNN_BLOCK, pixel += images * CNN_BLOCK)
          STORE(pixel, PAIR(LOAD(lower), LOAD(lower + side->block)));
      else
        for (; lower < end; lower += CNN_BLOCK, pixel += images * CNN_BLOCK)
          STORE(pixel, PAIR(LOAD(lower), zero));
    }
}

// What the sources of a part, packed from row `low` on, make of rows first ..< end, for a panel of results that
// begins at `to`.
static void ISA(bf16_multiply)(const cnn_conv_shape *s, const bf16_side *in, const bf16_side *out, bool back,
                               tile_nn *tile, ptrdiff_t width, ptrdiff_t images, const float *packed,
                               ptrdiff_t low, const float *panel, float *to, ptrdiff_t first, ptrdiff_t end,
                               const float *start) {
  const bf16_axis rows = bf16_rows(s, back), columns = bf16_columns(s, back);
  const ptrdiff_t pixel = images * CNN_BLOCK, tap = tile->depth * width;
  for (ptrdiff_t i = first; i < end; i++) {
    const bf16_reach h = bf16_reach_of(&rows, i);
    tile->taps_h = h.count;
    tile->a_tap_h = h.source_step * in->width * pixel;
    tile->b_tap_h = h.tap_step * s->kw * tap;
    for (ptrdiff_t j = 0; j < out->width; j++) {
      const bf16_reach w = bf16_reach_of(&columns, j);
      tile->taps_w = w.count;
      tile->a_tap_w = w.source_step * pixel;
      tile->b_tap_w = w.tap_step * tap;
      const ptrdiff_t source = h.count ? (h.source - low) * in->width + w.source : 0;
      ISA(tile_nn_panel)(images, width, tile, packed + source * pixel, panel + (h.tap * s->kw + w.tap) * tap,
                         to + (i * out->width + j) * CNN_BLOCK, start);
    }
  }
}

// y of x, or dx of dy, by prepared weights.
static void ISA(bf16_convolve)(const cnn_conv_shape *s, bool back, float *results, const float *sources,
                               const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  const bf16_side in = back ? bf16_y(s) : bf16_x(s), out = back ? bf16_x(s) : bf16_y(s);
  const bf16_axis rows = bf16_rows(s, back);
  const bf16_part part = bf16_part_of(s, &in, &rows, out.height);
  const ptrdiff_t last = s->first + s->images, line = out.width * CNN_BLOCK;
  tile_nn tile = {.depth = bf16_depth(in.channels), .c_row = out.height * line, .c_vector = out.block};
  for (ptrdiff_t image = s->first; image < last; image += part.images)
    for (ptrdiff_t row = 0; row < out.height; row += part.rows) {
      const ptrdiff_t images = smaller(part.images, last - image), end = smaller(out.height, row + part.rows);
      ptrdiff_t low, high;
      bf16_sources(&rows, row, end, &low, &high);
      tile.a_block = bf16_block(&in, high - low, images);
      ISA(bf16_pack)(&in, scratch, tile.a_block, sources, image, images, low, high - low);
      const float *panel = prepared;
      for (ptrdiff_t first = 0, width; first < out.channels; first += width) {
        width = conv_panel_width(out.channels, first);
        float *to = results + first / CNN_BLOCK * out.block + image * tile.c_row;
        ISA(bf16_multiply)(s, &in, &out, back, &tile, width, images, scratch, low, panel, to, row, end,
                           conv_bias(ending, first));
        for (ptrdiff_t o = 0; o < width / CNN_BLOCK; o++)
          for (ptrdiff_t n = 0; n < images; n++)
            ISA(conv_end)(ending, results, to + o * out.block + n * tile.c_row + row * line,
                          (end - row) * line);
        panel += s->kh * s->kw * tile.depth * width;
      }
    }
}

static void ISA(bf16_forward)(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                              const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  ISA(bf16_convolve)(s, false, y, x, prepared, ending, scratch);
}

static void ISA(bf16_backward_data)(const cnn_conv_shape *s, float *dx, const float *dy, const float *weight,
                                    const float *prepared, float *scratch) {
  const cnn_conv_ending nothing = {0};
  ISA(bf16_convolve)(s, true, dx, dy, prepared, &nothing, scratch);
}

// Some rows of some images as pairs of images: [16 channels][row][column][pair][16], columns by their phase of
// a stride. Of an odd number of images the last has zeros beside it.
static void ISA(bf16_pack_images)(const bf16_side *side, float *to, ptrdiff_t block, ptrdiff_t phases,
                                  const float *from, ptrdiff_t image, ptrdiff_t images, ptrdiff_t row,
                                  ptrdiff_t rows) {
  const ptrdiff_t pairs = ceiling(images, 2), columns = ceiling(side->width, phases);
  const ptrdiff_t next = side->height * side->width * CNN_BLOCK;
  const f32x16 zero = 0;
  for (ptrdiff_t c = 0; c < side->channels; c += CNN_BLOCK, from += side->block, to += block)
    for (ptrdiff_t pair = 0; pair < pairs; pair++)
      for (ptrdiff_t r = 0; r < rows; r++) {
        const float *line = from + (image + 2 * pair) * next + (row + r) * side->width * CNN_BLOCK;
        for (ptrdiff_t phase = 0; phase < phases; phase++) {
          float *pixel = to + (((r * phases + phase) * columns) * pairs + pair) * CNN_BLOCK;
          for (ptrdiff_t w = phase; w < side->width; w += phases, pixel += pairs * CNN_BLOCK) {
            const float *lower = line + w * CNN_BLOCK;
            STORE(pixel, PAIR(LOAD(lower), 2 * pair + 1 < images ? LOAD(lower + next) : zero));
          }
        }
      }
}

// What rows first ..< end of dy add to dw. x is packed from row `low` on.
static void ISA(bf16_gradient)(const cnn_conv_shape *s, const bf16_gradient_plan *p, float *dw, const float *x,
                               ptrdiff_t low, const float *dy, ptrdiff_t first, ptrdiff_t end,
                               bool accumulate) {
  const bf16_axis rows = bf16_rows(s, false), columns = bf16_columns(s, false);
  const ptrdiff_t point = p->pairs * CNN_BLOCK, line = s->sw * p->columns * point;
  for (ptrdiff_t o = 0, width; o < s->oc; o += width, dw += s->kh * s->kw * s->ic * width) {
    width = conv_panel_width(s->oc, o);
    tile_tn tile = {.a_line = s->sh * line, .a_point = CNN_BLOCK, .b_line = s->ow * point,
                    .b_point = CNN_BLOCK, .b_vector = p->y_block, .d_row = width, .d_vector = CNN_BLOCK};
    for (ptrdiff_t c = 0; c < s->ic; c += CNN_BLOCK)
      for (ptrdiff_t a = 0; a < s->kh; a++) {
        ptrdiff_t top = first, bottom = end;
        bf16_inside(&rows, a, &top, &bottom);
        tile.lines = bottom - top;
        for (ptrdiff_t b = 0; b < s->kw; b++) {
          ptrdiff_t left = 0, right = s->ow;
          bf16_inside(&columns, b, &left, &right);
          tile.count = (right - left) * p->pairs;
          // Where a tap meets no pixel nothing is read.
          const bool any = tile.lines > 0 && tile.count > 0;
          const ptrdiff_t h = any ? top * s->sh + a * s->dh - s->ph - low : 0;
          const ptrdiff_t w = any ? left * s->sw + b * s->dw - s->pw : 0;
          ISA(tile_gradient)(&tile, smaller(CNN_BLOCK, s->ic - c), width,
                             x + c / CNN_BLOCK * p->x_block + h * line +
                                 (w % s->sw * p->columns + w / s->sw) * point,
                             dy + o / CNN_BLOCK * p->y_block + (any ? (top - first) * s->ow + left : 0) * point,
                             dw + ((a * s->kw + b) * s->ic + c) * width, accumulate);
        }
      }
  }
}

static void ISA(bf16_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x, const float *dy,
                                       float *scratch) {
  const bf16_side in = bf16_x(s), out = bf16_y(s);
  const bf16_axis rows = bf16_rows(s, false);
  const ptrdiff_t last = s->first + s->images;
  for (ptrdiff_t image = s->first; image < last; image += bf16_together) {
    const ptrdiff_t images = smaller(bf16_together, last - image);
    const bf16_gradient_plan p = bf16_gradient_plan_of(s, images);
    float *packed = scratch + conv_blocks(s->ic) * p.x_block;
    for (ptrdiff_t row = 0; row < s->oh; row += p.rows) {
      const ptrdiff_t end = smaller(s->oh, row + p.rows);
      ptrdiff_t low, high;
      bf16_sources(&rows, row, end, &low, &high);
      ISA(bf16_pack_images)(&in, scratch, p.x_block, s->sw, x, image, images, low, high - low);
      ISA(bf16_pack_images)(&out, packed, p.y_block, 1, dy, image, images, row, end - row);
      ISA(bf16_gradient)(s, &p, dw, scratch, low, packed, row, end, image > s->first || row > 0);
    }
  }
}

#include "tile_body.h"
#include "tile_gradient_body.h"
#include "transpose16_body.h"
#include "ending_body.h"

// A pixel of `images` images of what is made, at `to` in the panel's first block; images and blocks lie `image` and
// `block` floats apart.
static void ISA(tiny_pixel)(const tiny_part *part, const tiny_map *in, tiny_taps down, tiny_taps across,
                            ptrdiff_t images, const float *packed, float *to, ptrdiff_t image, ptrdiff_t block,
                            const float *start, tile_fetch *fetch) {
  const ptrdiff_t pixel = images * CNN_BLOCK;
  const tile_nn tile = {.depth = part->depth, .a_block = in->height * in->width * pixel, .taps_h = down.count,
                        .taps_w = down.count ? across.count : 0, .a_tap_h = down.turn * in->width * pixel,
                        .a_tap_w = across.turn * pixel, .b_tap_h = down.step * part->row,
                        .b_tap_w = across.step * part->tap, .c_row = image, .c_vector = block, .add = part->add};
  if (tile.taps_h * tile.taps_w > 0) {
    packed += (down.from * in->width + across.from) * pixel;
    const float *weights = part->weights + down.first * part->row + across.first * part->tap;
    if (part->width == 32) ISA(tile_nn_run)(images, 32, CNN_LANES, &tile, packed, weights, to, start, fetch);
    else ISA(tile_nn_run)(images, 16, CNN_LANES, &tile, packed, weights, to, start, fetch);
    return;
  }
  for (ptrdiff_t i = 0; i < images && !part->add; i++)
    for (ptrdiff_t j = 0; j < part->width; j += CNN_LANES)
      STORE(to + i * image + j / CNN_LANES * block, start ? LOAD(start + j) : (f32x16)0);
}

static void ISA(tiny_forward)(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                              const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  const tiny_map in = tiny_x(s);
  const ptrdiff_t together = tiny_images(s), taps = s->kh * s->kw, area = s->oh * s->ow, end = s->first + s->images;
  const ptrdiff_t products = tiny_products(s);
  for (ptrdiff_t image = s->first, images; image < end; image += images) {
    images = smaller(together, end - image);
    tiny_pack(s, &in, scratch, x, image, images);
    for (ptrdiff_t o = 0, width; o < s->oc; o += width) {
      width = conv_panel_width(s->oc, o);
      const float *panel = weight + o * taps * s->ic;
      for (ptrdiff_t k = 0; k < s->ic; k += tiny_depth) {
        const tiny_part part = {panel + k * width, s->ic * width, s->kw * s->ic * width, width,
                                smaller(tiny_depth, s->ic - k), k > 0};
        const bool last = k + tiny_depth >= s->ic;
        const float *next = last ? panel + taps * s->ic * width : part.weights + tiny_depth * width;
        tile_fetch fetch = {next, part.tap, width, taps};
        fetch.floats *= smaller(tiny_depth, last ? s->ic : s->ic - k - tiny_depth);
        if (last && o + width >= s->oc) fetch.runs = 0;
        tiny_fetch_evenly(&fetch, ceiling(images, ISA(tile_nn_rows)) * products * ceiling(part.depth, CNN_BLOCK));
        for (ptrdiff_t p = 0; p < area; p++)
          ISA(tiny_pixel)(&part, &in, tiny_forward_taps(p / s->ow, s->ih, s->kh, s->sh, s->ph),
                          tiny_forward_taps(p % s->ow, s->iw, s->kw, s->sw, s->pw), images,
                          scratch + k * s->ih * s->iw * images,
                          y + o / CNN_BLOCK * conv_y_block(s) + conv_y_image(s, image) + p * CNN_BLOCK,
                          area * CNN_BLOCK, conv_y_block(s), conv_bias(ending, o), &fetch);
      }
      for (ptrdiff_t i = 0; i < width; i += CNN_BLOCK)
        ISA(conv_end)(ending, y, y + (o + i) / CNN_BLOCK * conv_y_block(s) + conv_y_image(s, image),
                      images * area * CNN_BLOCK);
    }
  }
}

// Whether any output meets the image at a tap.
CNN_INLINE bool ISA(tiny_meets)(const cnn_conv_shape *s, ptrdiff_t tap) {
  return tiny_outputs(tap / s->kw, s->ih, s->oh, s->sh, s->ph).count > 0 &&
         tiny_outputs(tap % s->kw, s->iw, s->ow, s->sw, s->pw).count > 0;
}

// [tap][output][width]: the weights of `depth` outputs from k and the inputs i ..< i + width, where taps meet.
static void ISA(tiny_transpose)(const cnn_conv_shape *s, float *to, const float *weight, ptrdiff_t i, ptrdiff_t width,
                                ptrdiff_t k, ptrdiff_t depth) {
  for (ptrdiff_t tap = 0; tap < s->kh * s->kw; tap++, to += depth * width)
    for (ptrdiff_t o = 0; o < depth && ISA(tiny_meets)(s, tap); o += CNN_BLOCK)
      for (ptrdiff_t j = 0; j < width; j += CNN_BLOCK)
        ISA(transpose16)(to + o * width + j, width, depth - o, weight + conv_weight_at(s, k + o, i + j, tap),
                         conv_panel_width(s->oc, (k + o) / CNN_PANEL * CNN_PANEL), s->ic - i - j);
}

static void ISA(tiny_backward_data)(const cnn_conv_shape *s, float *dx, const float *dy, const float *weight,
                                    const float *prepared, float *scratch) {
  const tiny_map in = tiny_y(s);
  const ptrdiff_t together = tiny_images(s), area = s->ih * s->iw, end = s->first + s->images;
  const ptrdiff_t products = tiny_products(s);
  float *transposed = scratch + together * tiny_image(&in);
  for (ptrdiff_t image = s->first, images; image < end; image += images) {
    images = smaller(together, end - image);
    tiny_pack(s, &in, scratch, dy, image, images);
    for (ptrdiff_t i = 0, width; i < s->ic; i += width) {
      width = conv_panel_width(s->ic, i);
      for (ptrdiff_t k = 0; k < s->oc; k += tiny_depth) {
        const ptrdiff_t depth = smaller(tiny_depth, s->oc - k), tap = depth * width;
        const tiny_part part = {transposed, tap, s->kw * tap, width, depth, k > 0};
        ISA(tiny_transpose)(s, transposed, weight, i, width, k, depth);
        const bool last = k + tiny_depth >= s->oc;
        const ptrdiff_t next = last ? i + width : i, after = last ? 0 : k + tiny_depth;
        tile_fetch fetch = {0};
        // Rows of inputs next, of all taps in panel after panel.
        if (next < s->ic)
          fetch = (tile_fetch){weight + conv_weight_at(s, after, next, 0), s->ic * CNN_PANEL,
                               smaller(CNN_PANEL, s->ic - next) * CNN_PANEL,
                               s->kh * s->kw * ceiling(smaller(tiny_depth, s->oc - after), CNN_PANEL)};
        tiny_fetch_evenly(&fetch, ceiling(images, ISA(tile_nn_rows)) * products * ceiling(depth, CNN_BLOCK));
        for (ptrdiff_t p = 0; p < area; p++)
          ISA(tiny_pixel)(&part, &in, tiny_backward_taps(p / s->iw, s->oh, s->kh, s->sh, s->ph),
                          tiny_backward_taps(p % s->iw, s->ow, s->kw, s->sw, s->pw), images,
                          scratch + k * s->oh * s->ow * images,
                          dx + i / CNN_BLOCK * conv_x_block(s) + conv_x_image(s, image) + p * CNN_BLOCK,
                          area * CNN_BLOCK, conv_x_block(s), NULL, &fetch);
      }
    }
  }
}

// The gradient of the call's images, or where there are leaves, all worked on together, of their tree.
static void ISA(tiny_gradient)(const cnn_conv_shape *s, const cnn_leaves *leaves, float *dw, const float *x,
                               const float *dy, float *scratch) {
  const tiny_map in = tiny_x(s), out = tiny_y(s);
  const ptrdiff_t together = tiny_images(s), end = s->first + s->images, taps = s->kh * s->kw;
  float *gradient = scratch + together * tiny_image(&in);
  const bool aligned = (uintptr_t)dw % sizeof(f32x16) == 0 && conv_weights(s) >= tiny_streamed;
  for (ptrdiff_t image = s->first, images; image < end; image += images) {
    images = smaller(together, end - image);
    tiny_pack(s, &in, scratch, x, image, images);
    tiny_pack(s, &out, gradient, dy, image, images);
    const ptrdiff_t pixel = images * CNN_BLOCK, x_block = s->ih * s->iw * pixel, y_block = s->oh * s->ow * pixel;
    for (ptrdiff_t o = 0, width; o < s->oc; o += width) {
      width = conv_panel_width(s->oc, o);
      for (ptrdiff_t tap = 0; tap < taps; tap++) {
        const tiny_taps down = tiny_outputs(tap / s->kw, s->ih, s->oh, s->sh, s->ph);
        const tiny_taps across = tiny_outputs(tap % s->kw, s->iw, s->ow, s->sw, s->pw);
        tile_tn tile = {.lines = across.count, .count = images, .a_line = s->sw * pixel, .a_point = CNN_BLOCK,
                        .b_line = pixel, .b_point = CNN_BLOCK, .b_vector = y_block, .d_row = width,
                        .d_vector = CNN_BLOCK};
        // Rows of outputs whose pixels, or the only one of each, are as far apart as those of a row: one run.
        ptrdiff_t rows = down.count;
        if (across.count == 1) {
          tile.lines = rows, rows = 1;
          tile.a_line = s->sh * s->iw * pixel, tile.b_line = s->ow * pixel;
        } else if (across.count == s->ow && s->sh * s->iw == s->sw * s->ow) {
          tile.lines *= rows, rows = 1;
        }
        const float *a = scratch + (down.from * s->iw + across.from) * pixel;
        const float *b = gradient + o / CNN_BLOCK * y_block + (down.first * s->ow + across.first) * pixel;
        const bool meets = down.count > 0 && across.count > 0;
        const bool streams = aligned && meets && rows == 1 && width == CNN_PANEL && images == s->images;
        for (ptrdiff_t block = 0; block < conv_blocks(s->ic); block++) {
          const ptrdiff_t inputs = smaller(CNN_BLOCK, s->ic - block * CNN_BLOCK);
          float *d = dw + o * taps * s->ic + (tap * s->ic + block * CNN_BLOCK) * width;
          if (!meets && image == s->first) memset(d, 0, (size_t)(inputs * width) * sizeof *d);
          const bool past = streams && inputs == CNN_BLOCK;
          if (leaves && meets)
            ISA(tile_gradient_of_tree)(&tile, leaves, inputs, width, past, a + block * x_block, b, d);
          else if (past) ISA(tile_gradient_past)(&tile, a + block * x_block, b, d, (tile_others){d, 0});
          else
            for (ptrdiff_t row = 0; meets && row < rows; row++)
              ISA(tile_gradient)(&tile, inputs, width, a + block * x_block + row * s->sh * s->iw * pixel,
                                 b + row * s->ow * pixel, d, image > s->first || row > 0);
        }
      }
    }
  }
}

static void ISA(tiny_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x, const float *dy,
                                       float *scratch) {
  ISA(tiny_gradient)(s, NULL, dw, x, dy, scratch);
}

static bool ISA(tiny_backward_weights_of_tree)(const cnn_conv_shape *s, const cnn_leaves *leaves, float *dw,
                                               const float *x, const float *dy, float *scratch) {
  // Where taps may meet several rows that are no one run, sums go on from memory.
  if (tiny_images(s) < s->images || s->ow > 2 || (s->ow == 2 && s->sh * s->iw != s->sw * s->ow)) return false;
  ISA(tiny_gradient)(s, leaves, dw, x, dy, scratch);
  return true;
}

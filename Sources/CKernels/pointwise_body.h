#include "tile_body.h"
#include "tile_gradient_body.h"
#include "transpose16_body.h"
#include "ending_body.h"

// The panels of inputs, [panel][output][width].
static void ISA(pointwise_prepare)(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared,
                                   const float *weight) {
  if (pass != CNN_CONV_BACKWARD_DATA) return;
  for (ptrdiff_t first = 0, width; first < s->ic; first += width) {
    width = conv_panel_width(s->ic, first);
    for (ptrdiff_t o = 0; o < s->oc; o += CNN_BLOCK)
      for (ptrdiff_t i = 0; i < width; i += CNN_BLOCK)
        ISA(transpose16)(prepared + first * s->oc + o * width + i, width, s->oc - o,
                         weight + conv_weight_at(s, o, first + i, 0),
                         conv_panel_width(s->oc, o / CNN_PANEL * CNN_PANEL), s->ic - first - i);
  }
}

// The points of all images, cut into tiles of nearly equal height: where tile `tile` begins.
CNN_INLINE ptrdiff_t ISA(pointwise_begin)(ptrdiff_t points, ptrdiff_t tile) {
  const ptrdiff_t tiles = ceiling(points, ISA(tile_nn_rows));
  return points / tiles * tile + smaller(points % tiles, tile);
}

// c = a * b with its ending for the points of a (x or dy) and of c (y or dx). Where c isn't plain, points that
// belong to no output are left as they are. A plain a is read where it lies: packing costs more than the
// lines of L1 that blocks of channels fight for.
static void ISA(pointwise_multiply)(const cnn_conv_shape *s, const pointwise_map *in, float *c,
                                    const pointwise_map *out, const float *a, const float *b,
                                    const cnn_conv_ending *ending, float *scratch) {
  const ptrdiff_t points = pointwise_points(s), tiles = ceiling(points, ISA(tile_nn_rows));
  const ptrdiff_t together = larger(1, smaller(points, pointwise_together(in->channels)) / ISA(tile_nn_rows));
  const bool packs = !pointwise_is_plain(s, in), spreads = !pointwise_is_plain(s, out);
  for (ptrdiff_t first = 0; first < tiles; first += together) {
    const ptrdiff_t start = ISA(pointwise_begin)(points, first);
    const ptrdiff_t end = ISA(pointwise_begin)(points, smaller(first + together, tiles));
    const ptrdiff_t a_block = packs ? (end - start) * CNN_BLOCK : in->block;
    if (packs) pointwise_pack(s, in, scratch, a_block, a, start, end - start);
    const float *from = packs ? scratch : a + pointwise_at(s, in, start), *panel = b;
    for (ptrdiff_t o = 0, width; o < out->channels; o += width, panel += width * in->channels) {
      width = conv_panel_width(out->channels, o);
      float *to = c + o / CNN_BLOCK * out->block;
      for (ptrdiff_t tile = first, p = start, rows; p < end; tile++, p += rows) {
        rows = ISA(pointwise_begin)(points, tile + 1) - p;
        const tile_nn product = {.depth = in->channels, .a_block = a_block, .taps_h = 1, .taps_w = 1,
                                 .c_row = CNN_BLOCK, .c_vector = spreads ? rows * CNN_BLOCK : out->block};
        ISA(tile_nn_panel)(rows, width, &product, from + (p - start) * CNN_BLOCK, panel,
                           spreads ? scratch : to + pointwise_at(s, out, p), conv_bias(ending, o));
        if (spreads) pointwise_spread(s, out, to, scratch, p, rows, width / CNN_BLOCK);
        else
          for (ptrdiff_t i = 0; i < width / CNN_BLOCK; i++)
            ISA(conv_end)(ending, c, to + i * out->block + pointwise_at(s, out, p), rows * CNN_BLOCK);
      }
    }
  }
}

static void ISA(pointwise_forward)(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                                   const float *prepared, const cnn_conv_ending *ending,
                                   float *scratch) {
  const pointwise_map in = pointwise_x(s), out = pointwise_y(s);
  ISA(pointwise_multiply)(s, &in, y, &out, x, weight, ending, scratch);
}

static void ISA(pointwise_backward_data)(const cnn_conv_shape *s, float *dx, const float *dy,
                                         const float *weight, const float *prepared, float *scratch) {
  const pointwise_map in = pointwise_y(s), out = pointwise_x(s);
  const cnn_conv_ending nothing = {0};
  if (!pointwise_is_plain(s, &out))
    for (ptrdiff_t block = 0; block < conv_blocks(s->ic); block++)
      memset(dx + block * out.block + conv_x_image(s, s->first), 0,
             (size_t)conv_x_image(s, s->images) * sizeof *dx);
  ISA(pointwise_multiply)(s, &in, dx, &out, dy, prepared, &nothing, scratch);
}

static void ISA(pointwise_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x,
                                            const float *dy, float *scratch) {
  const pointwise_map map = pointwise_x(s);
  const bool plain = pointwise_is_plain(s, &map);
  const ptrdiff_t points = pointwise_points(s), blocks = conv_blocks(s->ic);
  const ptrdiff_t chunk = smaller(points, pointwise_chunk), y_block = conv_y_block(s);
  const float *gradient = dy + conv_y_image(s, s->first);
  for (ptrdiff_t p = 0; p < points; p += chunk) {
    const ptrdiff_t count = smaller(chunk, points - p);
    if (!plain) pointwise_pack(s, &map, scratch, chunk * CNN_BLOCK, x, p, count);
    const float *a = plain ? x + conv_x_image(s, s->first) + p * CNN_BLOCK : scratch;
    const ptrdiff_t a_block = plain ? map.block : chunk * CNN_BLOCK;
    for (ptrdiff_t o = 0, width; o < s->oc; o += width) {
      width = conv_panel_width(s->oc, o);
      const tile_tn tile = {.lines = 1, .count = count, .a_point = CNN_BLOCK, .b_point = CNN_BLOCK,
                            .b_vector = y_block, .d_row = width, .d_vector = CNN_BLOCK};
      for (ptrdiff_t block = 0; block < blocks; block++)
        ISA(tile_gradient)(&tile, smaller(CNN_BLOCK, s->ic - block * CNN_BLOCK), width, a + block * a_block,
                           gradient + o / CNN_BLOCK * y_block + p * CNN_BLOCK,
                           dw + o * s->ic + block * CNN_BLOCK * width, p > 0);
    }
  }
}

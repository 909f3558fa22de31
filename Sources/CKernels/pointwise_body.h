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

// tile_nn of one tap that fetches its rows of A two blocks ahead, and at the end those of the tile that begins at
// `next`: where blocks lie powers of two apart none stays in L1, nor always in L2, from one panel to the next.
CNN_INLINE void ISA(pointwise_tile)(const int rows, const int vectors, const ptrdiff_t b_row, const tile_nn *t,
                                    const float *a, const float *b, float *c, const float *start,
                                    const float *next) {
  f32x16 sum[ISA(tile_nn_rows)][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) sum[r][j] = start ? LOAD(start + j * CNN_LANES) : (f32x16)0;
  const ptrdiff_t blocks = t->depth / CNN_LANES;
  const float *ahead = blocks < 2 ? next : a + 2 * t->a_block;
  for (ptrdiff_t block = 0; block < blocks; block++, a += t->a_block, ahead += t->a_block) {
    if (block + 2 == blocks) ahead = next;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) __builtin_prefetch(ahead + r * CNN_LANES);
#pragma clang loop unroll_count(4)
    for (int k = 0; k < CNN_LANES; k++, b += b_row) ISA(tile_nn_step)(rows, vectors, CNN_LANES, sum, a + k, b);
  }
#pragma clang loop unroll(disable)
  for (ptrdiff_t k = 0; k < t->depth % CNN_LANES; k++, b += b_row)
    ISA(tile_nn_step)(rows, vectors, CNN_LANES, sum, a + k, b);
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) STORE(c + r * t->c_row + j * t->c_vector, sum[r][j]);
}

// A tile of `rows` rows and a panel of `width` columns.
CNN_INLINE void ISA(pointwise_panel_of)(ptrdiff_t rows, const ptrdiff_t width, const tile_nn *t, const float *a,
                                        const float *b, float *c, const float *start, const float *next) {
  const int vectors = width < CNN_LANES * ISA(tile_nn_vectors) ? 1 : ISA(tile_nn_vectors);
  for (ptrdiff_t j = 0; j < width / CNN_LANES; j += vectors) {
    const float *right = b + j * CNN_LANES, *from = start ? start + j * CNN_LANES : NULL;
    float *to = c + j * t->c_vector;
    switch (rows) {
#define CASE(n)                                                                                            \
  case n:                                                                                                  \
    if (n <= ISA(tile_nn_rows)) ISA(pointwise_tile)(n, vectors, width, t, a, right, to, from, next);       \
    break;
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
      CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#undef CASE
    }
  }
}

static void ISA(pointwise_panel)(ptrdiff_t rows, ptrdiff_t width, const tile_nn *t, const float *a, const float *b,
                                 float *c, const float *start, const float *next) {
  if (width == 32) ISA(pointwise_panel_of)(rows, 32, t, a, b, c, start, next);
  else ISA(pointwise_panel_of)(rows, 16, t, a, b, c, start, next);
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
        const float *next = p + rows < end ? from + (p + rows - start) * CNN_BLOCK : from;
        ISA(pointwise_panel)(rows, width, &product, from + (p - start) * CNN_BLOCK, panel,
                             spreads ? scratch : to + pointwise_at(s, out, p), conv_bias(ending, o), next);
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

#include "tile_body.h"
#include "tile_gradient_body.h"
#include "transpose16_body.h"
#include "ending_body.h"

// C[r][16 j ...] = start[16 j ...] + sum over taps and k of A[r][k] * B[k][16 j ...], one chain in the order
// (tap, k); where the product accumulates C is added at the end. Of each 32 lines of cache that follow `next`,
// lines low ..< high are fetched into L2: all tiles of a panel together fetch the panel that comes next.
CNN_INLINE void ISA(dense_tile)(const int rows, const int vectors, const ptrdiff_t b_row, const dense_product *p,
                                const float *a, const float *b, float *c, const float *start,
                                const float *next, ptrdiff_t low, ptrdiff_t high) {
  const tile_taps *t = &p->tile;
  f32x16 sum[ISA(tile_nn_rows)][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) sum[r][j] = start ? LOAD(start + j * CNN_LANES) : (f32x16)0;
  for (ptrdiff_t tap = 0; tap < t->taps; tap++) {
    const float *from = a + t->a_taps[tap];
    for (ptrdiff_t block = t->depth / CNN_LANES; block > 0; block--, from += t->a_block) {
      for (ptrdiff_t line = low; line < high; line++) __builtin_prefetch(next + line * CNN_LANES, 0, 2);
      next += CNN_LANES * CNN_PANEL;
#pragma clang loop unroll_count(4)
      for (int k = 0; k < CNN_LANES; k++, b += b_row)
        ISA(tile_nn_step)(rows, vectors, CNN_LANES, sum, from + k, b);
    }
#pragma clang loop unroll(disable)
    for (ptrdiff_t k = 0; k < t->depth % CNN_LANES; k++, b += b_row)
      ISA(tile_nn_step)(rows, vectors, CNN_LANES, sum, from + k, b);
  }
  if (p->accumulate)
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++) sum[r][j] += LOAD(c + r * t->c_row + j * t->c_vector);
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) STORE(c + r * t->c_row + j * t->c_vector, sum[r][j]);
}

// Any number of rows of A times a panel, for the taps of a chunk.
CNN_INLINE void ISA(dense_rows)(ptrdiff_t rows, const ptrdiff_t width, const dense_product *p, const float *a,
                                const float *b, float *c, const float *start, const float *next) {
  const int vectors = width < CNN_LANES * ISA(tile_nn_vectors) ? 1 : ISA(tile_nn_vectors);
  const ptrdiff_t tiles = ceiling(rows, ISA(tile_nn_rows)), calls = tiles * (width / CNN_LANES / vectors);
  ptrdiff_t call = 0;
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    const ptrdiff_t height = rows / tiles + (tile < rows % tiles);
    for (ptrdiff_t j = 0; j < width / CNN_LANES; j += vectors, call++) {
      const float *right = b + j * CNN_LANES, *from = start ? start + j * CNN_LANES : NULL;
      const ptrdiff_t low = CNN_PANEL * call / calls, high = CNN_PANEL * (call + 1) / calls;
      float *to = c + j * p->tile.c_vector;
      switch (height) {
#define CASE(n)                                                                                             \
  case n:                                                                                                   \
    if (n <= ISA(tile_nn_rows)) ISA(dense_tile)(n, vectors, width, p, a, right, to, from, next, low, high); \
    break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
        CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#undef CASE
      }
    }
    a += height * CNN_LANES;
    c += height * p->tile.c_row;
  }
}

static void ISA(dense_panel)(ptrdiff_t rows, ptrdiff_t width, const dense_product *p, const float *a,
                             const float *b, float *c, const float *start, const float *next) {
  if (width == 32) ISA(dense_rows)(rows, 32, p, a, b, c, start, next);
  else ISA(dense_rows)(rows, 16, p, a, b, c, start, next);
}

static void ISA(dense_forward)(const cnn_conv_shape *shape, float *y, const float *x, const float *weight,
                               const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  const cnn_conv_shape pixels = dense_pixels(shape), *s = &pixels;
  const dense_chunk c = dense_chunk_of(s);
  const ptrdiff_t all_taps = s->kh * s->kw, all_blocks = conv_blocks(s->ic), end = s->first + s->images;
  const ptrdiff_t all_rows = all_taps * s->ic;
  ptrdiff_t *places = (ptrdiff_t *)scratch;
  float *packed = scratch + dense_table(&c);
  for (ptrdiff_t image = s->first; image < end; image += c.images)
    for (ptrdiff_t tap = 0; tap < all_taps; tap += c.taps)
      for (ptrdiff_t block = 0; block < all_blocks; block += c.blocks) {
        const ptrdiff_t images = smaller(c.images, end - image);
        const ptrdiff_t blocks = smaller(c.blocks, all_blocks - block);
        const ptrdiff_t taps = smaller(c.taps, all_taps - tap), channel = block * CNN_BLOCK;
        dense_pack(s, &c, packed, x, image, images, tap, taps, block, blocks);
        for (ptrdiff_t t = 0; t < taps; t++) places[t] = t * blocks * c.block;
        const dense_product product = {
          .tile = {.taps = taps, .a_taps = places, .depth = smaller(s->ic - channel, blocks * CNN_BLOCK),
                   .a_block = c.block, .c_row = CNN_BLOCK, .c_vector = conv_y_block(s)},
          .accumulate = tap > 0 || block > 0,
        };
        for (ptrdiff_t first = 0, width; first < s->oc; first += width) {
          width = conv_panel_width(s->oc, first);
          const ptrdiff_t row = tap * s->ic + channel, following = first + width;
          // The next panel of these rows; after the last, the first panel of the next rows.
          const float *next = following < s->oc ? weight + following * all_rows +
                                                      row * conv_panel_width(s->oc, following)
                                                : weight + (row + taps * product.tile.depth) * CNN_PANEL;
          ISA(dense_panel)(images, width, &product, packed, weight + first * all_rows + row * width,
                           y + first / CNN_BLOCK * conv_y_block(s) + image * CNN_BLOCK,
                           product.accumulate ? NULL : conv_bias(ending, first), next);
        }
      }
  for (ptrdiff_t o = 0; o < s->oc; o += CNN_BLOCK)
    ISA(conv_end)(ending, y, y + o / CNN_BLOCK * conv_y_block(s) + s->first * CNN_BLOCK,
                  s->images * CNN_BLOCK);
}

// C[r][16 j ...] (+)= sum over outputs of W[r][o] * dyT[o][16 j ...], a chain of its own, for `rows` neighbouring inputs:
// images stand in the lanes, and the weights need no transposition. `wide` is row 0 in the first panel, the next
// panels follow `panel` floats apart; `narrow` is row 0 in a last panel of 16 outputs.
CNN_INLINE void ISA(dense_transposed)(const int rows, const int vectors, ptrdiff_t outputs, ptrdiff_t panel,
                                      const float *wide, const float *narrow, const float *dyt, float *c,
                                      bool accumulate) {
  f32x16 sum[ISA(tile_nn_rows)][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) sum[r][j] = (f32x16)0;
  for (; outputs > CNN_BLOCK; outputs -= CNN_PANEL, wide += panel) {
    // The rows of the next unit: a panel's share of a unit is too short for the CPU to foresee.
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      __builtin_prefetch(wide + (CNN_BLOCK + r) * CNN_PANEL);
      __builtin_prefetch(wide + (CNN_BLOCK + r) * CNN_PANEL + CNN_LANES);
    }
    const ptrdiff_t depth = smaller(CNN_PANEL, outputs);
#pragma clang loop unroll_count(4)
    for (ptrdiff_t k = 0; k < depth; k++, dyt += dense_lanes)
      ISA(tile_nn_step)(rows, vectors, CNN_PANEL, sum, wide + k, dyt);
  }
#pragma clang loop unroll(disable)
  for (ptrdiff_t k = 0; k < outputs; k++, dyt += dense_lanes)
    ISA(tile_nn_step)(rows, vectors, CNN_BLOCK, sum, narrow + k, dyt);
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) {
      float *to = c + r * dense_lanes + j * CNN_LANES;
      STORE(to, accumulate ? LOAD(to) + sum[r][j] : sum[r][j]);
    }
}

// dense_transposed for a unit of at most 16 inputs, and at most 32 images.
CNN_INLINE void ISA(dense_transposed_unit)(ptrdiff_t rows, ptrdiff_t images, ptrdiff_t outputs,
                                           ptrdiff_t panel, const float *wide, const float *narrow,
                                           const float *dyt, float *c, bool accumulate) {
  const ptrdiff_t tiles = ceiling(rows, smaller(8, ISA(tile_nn_rows)));
  const int vectors = images > CNN_LANES ? ISA(tile_nn_vectors) : 1;
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    const ptrdiff_t height = rows / tiles + (tile < rows % tiles);
    for (ptrdiff_t j = 0; j < images; j += vectors * CNN_LANES)
      switch (vectors == 1 ? height : height + 8) {
#define TRANSPOSED(rows, vectors) \
  ISA(dense_transposed)(rows, vectors, outputs, panel, wide, narrow, dyt + j, c + j, accumulate)
#define CASE(n)                                                              \
  case n:                                                                    \
    if (n <= ISA(tile_nn_rows)) TRANSPOSED(n, 1);                            \
    break;                                                                   \
  case n + 8:                                                                \
    if (n <= ISA(tile_nn_rows)) TRANSPOSED(n, ISA(tile_nn_vectors));         \
    break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
#undef TRANSPOSED
      }
    wide += height * CNN_PANEL;
    narrow += height * CNN_BLOCK;
    c += height * dense_lanes;
  }
}

// dy of the call's images with the images in the lanes: [32 images][output][32].
static void ISA(dense_transpose_gradient)(const cnn_conv_shape *s, float *dyt, const float *dy) {
  const ptrdiff_t outputs = conv_blocks(s->oc) * CNN_BLOCK;
  for (ptrdiff_t i = 0; i < s->images; i += CNN_LANES)
    for (ptrdiff_t o = 0; o < outputs; o += CNN_BLOCK)
      ISA(transpose16)(dyt + (i / dense_lanes * outputs + o) * dense_lanes + i % dense_lanes, dense_lanes,
                       CNN_BLOCK, dy + o / CNN_BLOCK * conv_y_block(s) + (s->first + i) * CNN_BLOCK, CNN_BLOCK,
                       s->images - i);
}

// The sums of a chunk of inputs stay in L2 while a few panels of weights after the other are read from end
// to end: all panels at once would be too many streams, and where they lie powers of two apart their lines
// would fight for the same sets of the caches.
static void ISA(dense_backward_data)(const cnn_conv_shape *shape, float *dx, const float *dy, const float *weight,
                                     const float *prepared, float *scratch) {
  const cnn_conv_shape pixels = dense_pixels(shape), *s = &pixels;
  const ptrdiff_t all_taps = s->kh * s->kw, area = all_taps * CNN_BLOCK, panel = all_taps * s->ic * CNN_PANEL;
  const ptrdiff_t outputs = conv_blocks(s->oc) * CNN_BLOCK, units = all_taps * conv_blocks(s->ic);
  const float *last = weight + s->oc / CNN_PANEL * panel;
  float *sums = scratch, *dyt = scratch + dense_sums(s);
  ISA(dense_transpose_gradient)(s, dyt, dy);
  for (ptrdiff_t first = 0; first < units; first += dense_units) {
    const ptrdiff_t end = smaller(first + dense_units, units);
    for (ptrdiff_t o = 0; o < s->oc; o += dense_outputs)
      for (ptrdiff_t image = 0; image < s->images; image += dense_lanes) {
        float *c = sums + image * dense_units * CNN_BLOCK;
        dense_unit unit = dense_unit_at(s, first);
        for (ptrdiff_t i = first; i < end; i++, unit = dense_unit_next(s, unit), c += CNN_BLOCK * dense_lanes)
          ISA(dense_transposed_unit)(unit.rows, smaller(s->images - image, dense_lanes),
                                     smaller(s->oc - o, dense_outputs), panel,
                                     weight + o / CNN_PANEL * panel + unit.row * CNN_PANEL,
                                     last + unit.row * CNN_BLOCK, dyt + image * outputs + o * dense_lanes, c,
                                     o > 0);
      }
    dense_unit unit = dense_unit_at(s, first);
    for (ptrdiff_t i = first; i < end; i++, unit = dense_unit_next(s, unit)) {
      float *to = dx + unit.block * conv_x_block(s) + s->first * area + unit.tap * CNN_BLOCK;
      const float *c = sums + (i - first) * CNN_BLOCK * dense_lanes;
      for (ptrdiff_t image = 0; image < s->images; image += CNN_LANES)
        ISA(transpose16)(to + image * area, area, s->images - image,
                         c + image / dense_lanes * dense_lanes * dense_units * CNN_BLOCK + image % dense_lanes,
                         dense_lanes, unit.rows);
    }
  }
}

// The gradient of the call's images, or where there are leaves of their tree.
static void ISA(dense_gradient)(const cnn_conv_shape *s, const cnn_leaves *leaves, float *dw, const float *x,
                                const float *dy, float *scratch) {
  const dense_chunk c = dense_chunk_of(s);
  const ptrdiff_t all_taps = s->kh * s->kw, all_blocks = conv_blocks(s->ic), end = s->first + s->images;
  const bool streams = conv_weights(s) >= dense_streamed && s->images <= dense_images &&
                       (uintptr_t)dw % sizeof(f32x16) == 0;
  float *packed = scratch + dense_table(&c);
  for (ptrdiff_t image = s->first; image < end; image += c.images)
    for (ptrdiff_t tap = 0; tap < all_taps; tap += c.taps)
      for (ptrdiff_t block = 0; block < all_blocks; block += c.blocks) {
        const ptrdiff_t images = smaller(c.images, end - image);
        const ptrdiff_t blocks = smaller(c.blocks, all_blocks - block);
        const ptrdiff_t taps = smaller(c.taps, all_taps - tap);
        dense_pack(s, &c, packed, x, image, images, tap, taps, block, blocks);
        for (ptrdiff_t first = 0, width; first < s->oc; first += width) {
          width = conv_panel_width(s->oc, first);
          const tile_tn tile = {.lines = 1, .count = images, .a_point = CNN_BLOCK, .b_point = CNN_BLOCK,
                                .b_vector = conv_y_block(s), .d_row = width, .d_vector = CNN_BLOCK};
          const float *b = dy + first / CNN_BLOCK * conv_y_block(s) + image * CNN_BLOCK;
          for (ptrdiff_t i = 0; i < taps * blocks; i++) {
            const ptrdiff_t channel = (block + i % blocks) * CNN_BLOCK;
            const ptrdiff_t row = (tap + i / blocks) * s->ic + channel;
            const ptrdiff_t rows = smaller(CNN_BLOCK, s->ic - channel);
            float *d = dw + first * all_taps * s->ic + row * width;
            const bool past = streams && rows == CNN_BLOCK && width == CNN_PANEL && image == s->first;
            if (leaves) ISA(tile_gradient_of_tree)(&tile, leaves, rows, width, past, packed + i * c.block, b, d);
            else if (past) ISA(tile_gradient_past)(&tile, packed + i * c.block, b, d, (tile_others){d, 0});
            else ISA(tile_gradient)(&tile, rows, width, packed + i * c.block, b, d, image > s->first);
          }
        }
      }
}

static void ISA(dense_backward_weights)(const cnn_conv_shape *shape, float *dw, const float *x, const float *dy,
                                        float *scratch) {
  const cnn_conv_shape pixels = dense_pixels(shape);
  ISA(dense_gradient)(&pixels, NULL, dw, x, dy, scratch);
}

// Where the layer covers its input, so that points are images.
static bool ISA(dense_backward_weights_of_tree)(const cnn_conv_shape *s, const cnn_leaves *leaves, float *dw,
                                                const float *x, const float *dy, float *scratch) {
  if (!dense_covers(s) || s->images > dense_images) return false;
  ISA(dense_gradient)(s, leaves, dw, x, dy, scratch);
  return true;
}

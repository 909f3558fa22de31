#include "tile_body.h"
#include "tile_taps_body.h"
#include "tile_gradient_body.h"
#include "transpose16_body.h"

// Any number of rows of A times a panel, for the taps of a chunk.
CNN_INLINE void ISA(dense_rows)(ptrdiff_t rows, const ptrdiff_t width, const tile_taps *t, const float *a,
                                const float *b, float *c, const float *start) {
  const ptrdiff_t tiles = ceiling(rows, ISA(tile_nn_rows));
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    const ptrdiff_t height = rows / tiles + (tile < rows % tiles);
    ISA(tile_taps_panel)(1, height, width, t, a, b, c, start);
    a += height * CNN_LANES;
    c += height * t->c_row;
  }
}

static void ISA(dense_panel)(ptrdiff_t rows, ptrdiff_t width, const tile_taps *t, const float *a,
                             const float *b, float *c, const float *start) {
  if (width == 32) ISA(dense_rows)(rows, 32, t, a, b, c, start);
  else ISA(dense_rows)(rows, 16, t, a, b, c, start);
}

static void ISA(dense_forward)(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                               const float *prepared, const float *bias, float *scratch) {
  const dense_chunk c = dense_chunk_of(s);
  const ptrdiff_t all_taps = s->kh * s->kw, all_blocks = conv_blocks(s->ic), end = s->first + s->images;
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
        const tile_taps tile = {.taps = taps, .a_taps = places, .accumulate = tap > 0 || block > 0,
                                .depth = smaller(s->ic - channel, blocks * CNN_BLOCK), .a_block = c.block,
                                .c_row = CNN_BLOCK, .c_vector = conv_y_block(s)};
        for (ptrdiff_t first = 0, width; first < s->oc; first += width) {
          width = conv_panel_width(s->oc, first);
          ISA(dense_panel)(images, width, &tile, packed,
                           weight + first * all_taps * s->ic + (tap * s->ic + channel) * width,
                           y + first / CNN_BLOCK * conv_y_block(s) + image * CNN_BLOCK,
                           bias ? bias + first : NULL);
        }
      }
}

// C[r][16 j ...] = sum over outputs of W[r][o] * dyT[o][16 j ...], for `rows` neighbouring inputs of a
// tap: images stand in the lanes, and the weights need no transposition. `wide` is row 0 in the first
// panel, the next panels follow `panel` floats apart; `narrow` is row 0 in a last panel of 16 outputs.
CNN_INLINE void ISA(dense_transposed)(const int rows, const int vectors, ptrdiff_t outputs, ptrdiff_t panel,
                                      const float *wide, const float *narrow, const float *dyt, float *c) {
  f32x16 sum[ISA(tile_nn_rows)][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) sum[r][j] = 0;
  for (; outputs > CNN_BLOCK; outputs -= CNN_PANEL, wide += panel) {
    // The rows of the next block of inputs: a panel's share of a block is too short for the CPU to foresee.
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
    for (int j = 0; j < vectors; j++) STORE(c + r * dense_lanes + j * CNN_LANES, sum[r][j]);
}

// dense_transposed for a block of at most 16 inputs and 16 * vectors images.
CNN_INLINE void ISA(dense_transposed_block)(ptrdiff_t rows, const int vectors, ptrdiff_t outputs,
                                            ptrdiff_t panel, const float *wide, const float *narrow,
                                            const float *dyt, float *c) {
  const ptrdiff_t tiles = ceiling(rows, smaller(8, ISA(tile_nn_rows)));
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    const ptrdiff_t height = rows / tiles + (tile < rows % tiles);
    switch (height) {
#define CASE(count)                                                                                     \
  case count:                                                                                           \
    if (count <= ISA(tile_nn_rows))                                                                     \
      ISA(dense_transposed)(count, vectors, outputs, panel, wide, narrow, dyt, c);                      \
    break;
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
    }
    wide += height * CNN_PANEL;
    narrow += height * CNN_BLOCK;
    c += height * dense_lanes;
  }
}

static void ISA(dense_backward_data)(const cnn_conv_shape *s, float *dx, const float *dy, const float *weight,
                                     const float *prepared, float *scratch) {
  const ptrdiff_t all_taps = s->kh * s->kw, area = all_taps * CNN_BLOCK, panel = all_taps * s->ic * CNN_PANEL;
  const ptrdiff_t outputs = conv_blocks(s->oc) * CNN_BLOCK, end = s->first + s->images;
  const float *last = weight + s->oc / CNN_PANEL * panel;
  float *block_c = scratch, *dyt = scratch + CNN_BLOCK * dense_lanes;
  for (ptrdiff_t i = 0; i < s->images; i += CNN_LANES)
    for (ptrdiff_t o = 0; o < outputs; o += CNN_BLOCK)
      ISA(transpose16)(dyt + (i / dense_lanes * outputs + o) * dense_lanes + i % dense_lanes, dense_lanes,
                       CNN_BLOCK,
                       dy + o / CNN_BLOCK * conv_y_block(s) + (s->first + i) * CNN_BLOCK, CNN_BLOCK,
                       s->images - i);
  for (ptrdiff_t tap = 0; tap < all_taps; tap++)
    for (ptrdiff_t c = 0; c < s->ic; c += CNN_BLOCK) {
      const ptrdiff_t rows = smaller(CNN_BLOCK, s->ic - c), row = tap * s->ic + c;
      float *to = dx + c / CNN_BLOCK * conv_x_block(s) + tap * CNN_BLOCK;
      const float *from = dyt, *wide = weight + row * CNN_PANEL, *narrow = last + row * CNN_BLOCK;
      for (ptrdiff_t image = s->first; image < end; image += dense_lanes, from += outputs * dense_lanes) {
        const ptrdiff_t images = end - image;
        if (images <= CNN_LANES) {
          ISA(dense_transposed_block)(rows, 1, s->oc, panel, wide, narrow, from, block_c);
        } else {
          const int vectors = ISA(tile_nn_vectors);
          for (int j = 0; j < 2; j += vectors)
            ISA(dense_transposed_block)(rows, vectors, s->oc, panel, wide, narrow, from + j * CNN_LANES,
                                        block_c + j * CNN_LANES);
        }
        for (ptrdiff_t i = 0; i < smaller(images, dense_lanes); i += CNN_LANES)
          ISA(transpose16)(to + (image + i) * area, area, images - i, block_c + i, dense_lanes, rows);
      }
    }
}

static void ISA(dense_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x, const float *dy,
                                        float *scratch) {
  const dense_chunk c = dense_chunk_of(s);
  const ptrdiff_t all_taps = s->kh * s->kw, all_blocks = conv_blocks(s->ic), end = s->first + s->images;
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
            ISA(tile_gradient)(&tile, smaller(CNN_BLOCK, s->ic - channel), width, packed + i * c.block, b,
                               dw + first * all_taps * s->ic + row * width, image > s->first);
          }
        }
      }
}

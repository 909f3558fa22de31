// Kernels that cover the whole input, so that an output is one pixel: Linear, over (C, H, W) or F
// features. A row of A is an image. So is each pixel of an image to a kernel of 1 x 1. The weights are by
// far the most of what is read, so the sums are cut into chunks of k: a chunk of the images stays in L2
// while the weights pass by, once. Each chunk is a chain of additions of its own, which is also what keeps
// the rounding of thousands of terms small.
#include "convolution_algorithms.h"

#include <stdint.h>

#include "packing.h"
#include "tile.h"
#include "tile_taps.h"

static bool dense_covers(const cnn_conv_shape *s) {
  return s->kh == s->ih && s->kw == s->iw && s->oh == 1 && s->ow == 1 && (s->kh == 1 || s->dh == 1) &&
         (s->kw == 1 || s->dw == 1);
}
static bool dense_is_pointwise(const cnn_conv_shape *s) {
  return s->kh == 1 && s->kw == 1 && s->oh == s->ih && s->ow == s->iw &&
         (s->sh == 1 || s->oh == 1) && (s->sw == 1 || s->ow == 1);
}
static bool dense_fits(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return !s->planar && s->groups == 1 && s->ph == 0 && s->pw == 0 && (dense_covers(s) || dense_is_pointwise(s));
}

// Every pixel an image where the kernel is 1 x 1: it lies where it lay.
static cnn_conv_shape dense_pixels(const cnn_conv_shape *s) {
  cnn_conv_shape pixels = *s;
  const ptrdiff_t area = s->oh * s->ow;
  if (area == 1) return pixels;
  pixels.n *= area, pixels.first *= area, pixels.images *= area;
  pixels.ih = pixels.iw = pixels.oh = pixels.ow = 1;
  return pixels;
}
static size_t dense_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) { return 0; }
static void dense_prepare(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared,
                          const float *weight) {}

// What is worked on at once: some taps with all their channels, or some blocks of the channels of one.
enum { dense_depth = 256, dense_images = 128 };

typedef struct {
  ptrdiff_t images, taps, blocks;
  ptrdiff_t block;  // floats from a block of channels to the next, where the images' rows are packed
} dense_chunk;

// A chunk of images times a chunk of weights; where it accumulates, C's values are added to.
typedef struct {
  tile_taps tile;
  bool accumulate;
} dense_product;

static dense_chunk dense_chunk_of(const cnn_conv_shape *s) {
  const ptrdiff_t images = smaller(dense_images, s->images);
  return (dense_chunk){images, smaller(s->kh * s->kw, larger(1, dense_depth / s->ic)),
                       smaller(conv_blocks(s->ic), dense_depth / CNN_BLOCK), (images | 1) * CNN_BLOCK};
}

// Floats of the table of taps.
static ptrdiff_t dense_table(const dense_chunk *c) {
  return ceiling(c->taps * (ptrdiff_t)sizeof(ptrdiff_t), 64) * CNN_BLOCK;
}

enum {
  // Backward to the data has images in the lanes, as many as two vectors hold.
  dense_lanes = 32,
  // It works on so many units (16 inputs each) and outputs at once.
  dense_units = 64,
  dense_outputs = 128,
  // Gradients of this many weights (8 MB) are written past the caches, where that is once.
  dense_streamed = 2 << 20,
};

// At most 16 neighbouring inputs of a tap, and the row of the panels where they begin.
typedef struct {
  ptrdiff_t tap, block, row, rows;
} dense_unit;

static dense_unit dense_unit_of(const cnn_conv_shape *s, ptrdiff_t tap, ptrdiff_t block) {
  const ptrdiff_t channel = block * CNN_BLOCK;
  return (dense_unit){tap, block, tap * s->ic + channel, smaller(CNN_BLOCK, s->ic - channel)};
}
static dense_unit dense_unit_at(const cnn_conv_shape *s, ptrdiff_t unit) {
  return dense_unit_of(s, unit / conv_blocks(s->ic), unit % conv_blocks(s->ic));
}
static dense_unit dense_unit_next(const cnn_conv_shape *s, dense_unit unit) {
  const bool ends = unit.block + 1 == conv_blocks(s->ic);
  return dense_unit_of(s, unit.tap + ends, ends ? 0 : unit.block + 1);
}

// Floats of the sums of a chunk of units.
static ptrdiff_t dense_sums(const cnn_conv_shape *s) {
  return ceiling(s->images, dense_lanes) * dense_units * CNN_BLOCK * dense_lanes;
}

static size_t dense_scratch(const cnn_conv_shape *shape, cnn_conv_pass pass) {
  const cnn_conv_shape pixels = dense_pixels(shape), *s = &pixels;
  const dense_chunk c = dense_chunk_of(s);
  if (pass == CNN_CONV_BACKWARD_DATA)
    return (size_t)(dense_sums(s) +
                    ceiling(s->images, dense_lanes) * conv_blocks(s->oc) * CNN_BLOCK * dense_lanes);
  return (size_t)(dense_table(&c) + c.taps * c.blocks * c.block);
}

// Packs [tap][block][image][16] of a chunk that begins at `tap` and `block`.
static void dense_pack(const cnn_conv_shape *s, const dense_chunk *c, float *to, const float *x,
                       ptrdiff_t image, ptrdiff_t images, ptrdiff_t tap, ptrdiff_t taps, ptrdiff_t block,
                       ptrdiff_t blocks) {
  const ptrdiff_t area = s->ih * s->iw * CNN_BLOCK;
  for (ptrdiff_t b = 0; b < blocks; b++) {
    const float *from = x + (block + b) * conv_x_block(s) + image * area + tap * CNN_BLOCK;
    for (ptrdiff_t i = 0; i < images; i++)
      for (ptrdiff_t t = 0; t < taps; t++)
        memcpy(to + (t * blocks + b) * c->block + i * CNN_BLOCK, from + i * area + t * CNN_BLOCK,
               CNN_BLOCK * sizeof *to);
  }
}

#define KERNEL_BODY "dense_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                    \
  {"dense", dense_fits, dense_prepared, dense_prepare, dense_scratch, dense_forward_##isa,            \
   dense_backward_data_##isa, dense_backward_weights_##isa, false, 0,                                 \
   dense_backward_weights_of_tree_##isa}
const cnn_conv_algorithm cnn_conv_dense[] = ISA_TABLE(TABLE);

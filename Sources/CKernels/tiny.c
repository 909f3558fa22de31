// Outputs of a few pixels: each takes only the taps that meet the image, a rectangle of the kernel. Of
// 3 x 3 taps over 2 x 2 pixels these are 4 of 9, as many products as Winograd's F(2 x 2) takes, and nothing
// is transformed. The rows of the products are images, so pixels are packed,
// [block of channels][pixel][image][16].
//
// Weights are by far the most of what is read, and they pass by once: all pixels take their products of a
// panel of 32 channels and 64 of the channels on the other side while these weights are in L2.
#include "convolution_algorithms.h"

#include <stdint.h>
#include <string.h>

#include "convolution_geometry.h"
#include "tile.h"

enum {
  tiny_area = 16,       // pixels of an output, at most
  tiny_depth = 64,      // channels whose weights are in L2
  tiny_floats = 1 << 17,  // of packed pixels that stay there too
  tiny_streamed = 2 << 20,  // gradients of so many weights (8 MB) are written past the caches
};

static bool tiny_fits(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return !s->planar && s->groups == 1 && s->dh == 1 && s->dw == 1 && s->oh * s->ow <= tiny_area;
}
static size_t tiny_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) { return 0; }
static void tiny_prepare(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared, const float *weight) {}

// An image of x or y.
typedef struct {
  ptrdiff_t channels, height, width;
} tiny_map;

static tiny_map tiny_x(const cnn_conv_shape *s) { return (tiny_map){s->ic, s->ih, s->iw}; }
static tiny_map tiny_y(const cnn_conv_shape *s) { return (tiny_map){s->oc, s->oh, s->ow}; }

static ptrdiff_t tiny_image(const tiny_map *m) {
  return conv_blocks(m->channels) * m->height * m->width * CNN_BLOCK;
}

// Images that are worked on together.
static ptrdiff_t tiny_images(const cnn_conv_shape *s) {
  const tiny_map x = tiny_x(s), y = tiny_y(s);
  return smaller(s->images, larger(16, tiny_floats / larger(tiny_image(&x), tiny_image(&y))));
}

// Packed pixels; of backward data the transposed weights, of backward weights the pixels of dy.
static size_t tiny_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const tiny_map x = tiny_x(s), y = tiny_y(s);
  // No fewer for more images.
  const ptrdiff_t images = tiny_images(s);
  switch (pass) {
    case CNN_CONV_FORWARD: return (size_t)(images * tiny_image(&x));
    case CNN_CONV_BACKWARD_DATA:
      return (size_t)(images * tiny_image(&y) + s->kh * s->kw * tiny_depth * CNN_PANEL);
    case CNN_CONV_BACKWARD_WEIGHTS: return (size_t)(images * (tiny_image(&x) + tiny_image(&y)));
  }
}

// [block][pixel][image][16] of `images` images from `first`.
static void tiny_pack(const cnn_conv_shape *s, const tiny_map *m, float *to, const float *from, ptrdiff_t first,
                      ptrdiff_t images) {
  const ptrdiff_t area = m->height * m->width;
  for (ptrdiff_t block = 0; block < conv_blocks(m->channels); block++) {
    const float *image = from + (block * s->n + first) * area * CNN_BLOCK;
    for (ptrdiff_t i = 0; i < images; i++)
      for (ptrdiff_t pixel = 0; pixel < area; pixel++, image += CNN_BLOCK)
        memcpy(to + ((block * area + pixel) * images + i) * CNN_BLOCK, image, CNN_BLOCK * sizeof *to);
  }
}

// In one direction: `count` taps first, first + step, ... meet the pixels from, from + turn, ... that are read.
typedef struct {
  ptrdiff_t first, step, count, from, turn;
} tiny_taps;

// Those of output `at`, of `size` inputs.
static tiny_taps tiny_forward_taps(ptrdiff_t at, ptrdiff_t size, ptrdiff_t kernel, ptrdiff_t stride,
                                   ptrdiff_t padding) {
  const ptrdiff_t begin = at * stride - padding, first = larger(0, -begin);
  return (tiny_taps){first, 1, larger(0, smaller(kernel, size - begin) - first), begin + first, 1};
}

// Those of input `at`, by which it is read for `size` outputs.
static tiny_taps tiny_backward_taps(ptrdiff_t at, ptrdiff_t size, ptrdiff_t kernel, ptrdiff_t stride,
                                    ptrdiff_t padding) {
  ptrdiff_t first = (at + padding) % stride, from = (at + padding) / stride;
  if (from >= size) first += (from - size + 1) * stride, from = size - 1;
  const ptrdiff_t count = first < kernel ? smaller((kernel - 1 - first) / stride, from) + 1 : 0;
  return (tiny_taps){first, stride, count, from, -1};
}

// The outputs that meet the image at a tap: `count` from `first`, the first of them at input `from`.
static tiny_taps tiny_outputs(ptrdiff_t tap, ptrdiff_t in, ptrdiff_t out, ptrdiff_t stride, ptrdiff_t padding) {
  const ptrdiff_t first = larger(0, ceiling(larger(0, padding - tap), stride));
  const ptrdiff_t last = in - 1 + padding - tap < 0 ? -1 : smaller(out - 1, (in - 1 + padding - tap) / stride);
  return (tiny_taps){first, 1, larger(0, last - first + 1), first * stride - padding + tap, stride};
}

// The pairs of a tap and an output that meet the image.
static ptrdiff_t tiny_products(const cnn_conv_shape *s) {
  ptrdiff_t down = 0, across = 0;
  for (ptrdiff_t a = 0; a < s->kh; a++) down += tiny_outputs(a, s->ih, s->oh, s->sh, s->ph).count;
  for (ptrdiff_t b = 0; b < s->kw; b++) across += tiny_outputs(b, s->iw, s->ow, s->sw, s->pw).count;
  return down * across;
}

// What is to be fetched in so many times.
static void tiny_fetch_evenly(tile_fetch *f, ptrdiff_t times) {
  f->lines = ceiling(f->runs * f->floats / CNN_BLOCK, larger(1, times));
}

// Weights of a panel and up to tiny_depth channels of what is read.
typedef struct {
  const float *weights;
  ptrdiff_t tap, row;    // from a tap to the next, from a row of the kernel to the next
  ptrdiff_t width, depth;
  bool add;              // not the first channels
} tiny_part;

#define KERNEL_BODY "tiny_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                              \
  {"tiny", tiny_fits, tiny_prepared, tiny_prepare, tiny_scratch, tiny_forward_##isa,            \
   tiny_backward_data_##isa, tiny_backward_weights_##isa, false, 0,                                  \
   tiny_backward_weights_of_tree_##isa}
const cnn_conv_algorithm cnn_conv_tiny[] = ISA_TABLE(TABLE);

// Kernels of one tap without padding: a product of the points of all images, (points, ic), by the weights.
// Points lie side by side whatever the size of an image, so the register tiles are always full. With a
// stride only the points that are read take part.
#include "convolution_algorithms.h"

#include <string.h>

#include "convolution_geometry.h"
#include "tile.h"

static bool pointwise_fits(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return !s->planar && s->groups == 1 && s->kh == 1 && s->kw == 1 && s->ph == 0 && s->pw == 0 &&
         (s->oh - 1) * s->sh < s->ih && (s->ow - 1) * s->sw < s->iw;
}

static size_t pointwise_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return pass == CNN_CONV_BACKWARD_DATA ? (size_t)(conv_blocks(s->ic) * CNN_BLOCK * s->oc) : 0;
}

// Where the points of x or y lie. Point p is output (i, j) of an image; distances count floats.
typedef struct {
  ptrdiff_t channels, block;     // the channels, and from a block of them to the next
  ptrdiff_t image, line, point;  // from an image, a row of outputs, an output to the next
} pointwise_map;

static pointwise_map pointwise_x(const cnn_conv_shape *s) {
  return (pointwise_map){s->ic, conv_x_block(s), conv_x_image(s, 1), s->sh * s->iw * CNN_BLOCK,
                         s->sw * CNN_BLOCK};
}
static pointwise_map pointwise_y(const cnn_conv_shape *s) {
  return (pointwise_map){s->oc, conv_y_block(s), conv_y_image(s, 1), s->ow * CNN_BLOCK, CNN_BLOCK};
}

static ptrdiff_t pointwise_points(const cnn_conv_shape *s) { return s->images * s->oh * s->ow; }

// Whether a point's neighbour in number is its neighbour in memory.
static bool pointwise_is_plain(const cnn_conv_shape *s, const pointwise_map *m) {
  return m->point == CNN_BLOCK && m->line == s->ow * CNN_BLOCK && m->image == s->oh * m->line;
}

// Where point p of the call lies in a block.
static ptrdiff_t pointwise_at(const cnn_conv_shape *s, const pointwise_map *m, ptrdiff_t p) {
  // Divisions would cost a twentieth of a tile.
  if (pointwise_is_plain(s, m)) return s->first * m->image + p * CNN_BLOCK;
  const ptrdiff_t line = p / s->ow, image = line / s->oh;
  return (s->first + image) * m->image + (line - image * s->oh) * m->line + (p - line * s->ow) * m->point;
}

// Copies `count` points from point p on: [block][point][16], blocks `stride` floats apart.
static void pointwise_pack(const cnn_conv_shape *s, const pointwise_map *m, float *to, ptrdiff_t stride,
                           const float *from, ptrdiff_t p, ptrdiff_t count) {
  const bool plain = pointwise_is_plain(s, m);
  for (ptrdiff_t at = 0, run; at < count; at += run) {
    const ptrdiff_t column = (p + at) % s->ow;
    run = plain ? count : smaller(count - at, s->ow - column);
    const float *first = from + pointwise_at(s, m, p + at);
    for (ptrdiff_t block = 0; block < conv_blocks(m->channels); block++, first += m->block)
      if (plain) memcpy(to + block * stride, first, (size_t)(run * CNN_BLOCK) * sizeof *to);
      else
        for (ptrdiff_t i = 0; i < run; i++)
          memcpy(to + block * stride + (at + i) * CNN_BLOCK, first + i * m->point, CNN_BLOCK * sizeof *to);
  }
}

// The adjoint of packing one tile of products, [block][point][16], to the points where they belong.
static void pointwise_spread(const cnn_conv_shape *s, const pointwise_map *m, float *to, const float *from,
                             ptrdiff_t p, ptrdiff_t count, ptrdiff_t blocks) {
  for (ptrdiff_t i = 0; i < count; i++) {
    float *point = to + pointwise_at(s, m, p + i);
    for (ptrdiff_t block = 0; block < blocks; block++)
      memcpy(point + block * m->block, from + (block * count + i) * CNN_BLOCK, CNN_BLOCK * sizeof *to);
  }
}

enum {
  // Floats of points that stay in L2 while all panels pass by.
  pointwise_floats = 64 << 10,
  // At least so many points, or the weights would be read too often.
  pointwise_least = 84,
  // Points of a chunk of backward weights: those of a panel and of a block of inputs fill half of L1.
  pointwise_chunk = 128,
  pointwise_rows = 14,  // of the largest tile
};

static ptrdiff_t pointwise_together(ptrdiff_t channels) {
  return larger(pointwise_least, pointwise_floats / (conv_blocks(channels) * CNN_BLOCK));
}

// Points are packed only where a stride leaves some out.
static size_t pointwise_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const ptrdiff_t points = pointwise_points(s), blocks = conv_blocks(s->ic), spare = pointwise_rows * CNN_PANEL;
  const pointwise_map x = pointwise_x(s);
  if (pointwise_is_plain(s, &x)) return 0;
  switch (pass) {
    case CNN_CONV_FORWARD: return (size_t)(smaller(points, pointwise_together(s->ic)) * blocks * CNN_BLOCK);
    case CNN_CONV_BACKWARD_DATA: return (size_t)spare;
    case CNN_CONV_BACKWARD_WEIGHTS: return (size_t)(smaller(points, pointwise_chunk) * blocks * CNN_BLOCK);
  }
}

#define KERNEL_BODY "pointwise_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                  \
  {"pointwise", pointwise_fits, pointwise_prepared, pointwise_prepare_##isa, pointwise_scratch,     \
   pointwise_forward_##isa, pointwise_backward_data_##isa, pointwise_backward_weights_##isa}
const cnn_conv_algorithm cnn_conv_pointwise[] = ISA_TABLE(TABLE);

#pragma once
// A picture of images in scratch makes every tap a run of neighbours, without a border case: row r,
// phase p, column q of a block of channels holds pixel (r * down - top, q * across + p - left), 16 channels
// of it, zeros where the image has no such pixel. With `across` the stride, neighbours in a row of the
// output read neighbours of the picture. There are as many phases, unless taps read only the first.
#include <string.h>

#include "convolution_geometry.h"

typedef struct {
  ptrdiff_t top, left;
  ptrdiff_t rows, columns, phases;  // columns of one phase
  ptrdiff_t down, across;
} picture;

static inline ptrdiff_t picture_row(const picture *p) { return p->columns * p->phases * CNN_BLOCK; }

// Floats from a block of channels to the next. An odd number of cache lines: blocks a multiple of 4 KB
// apart would fight for the same lines of L1.
static inline ptrdiff_t picture_block(const picture *p) {
  return (p->rows * p->columns * p->phases | 1) * CNN_BLOCK;
}

// Columns lo ..< hi of a phase lie in an image `width` wide.
static inline void picture_inside(const picture *p, ptrdiff_t phase, ptrdiff_t width, ptrdiff_t *lo,
                                  ptrdiff_t *hi) {
  *lo = phase >= p->left ? 0 : smaller(p->columns, ceiling(p->left - phase, p->across));
  *hi = width + p->left <= phase ? 0 : smaller(p->columns, ceiling(width + p->left - phase, p->across));
  *hi = larger(*lo, *hi);
}

// One row: `from` is the row of the image, NULL outside of it.
static inline void picture_pack_row(const picture *p, float *to, const float *from, ptrdiff_t width) {
  const size_t pixel = CNN_BLOCK * sizeof *to;
  if (!from) {
    memset(to, 0, (size_t)picture_row(p) * sizeof *to);
    return;
  }
  for (ptrdiff_t phase = 0; phase < p->phases; phase++, to += p->columns * CNN_BLOCK) {
    ptrdiff_t lo, hi;
    picture_inside(p, phase, width, &lo, &hi);
    const float *first = from + (phase - p->left) * CNN_BLOCK;
    memset(to, 0, (size_t)lo * pixel);
    if (p->across == 1) memcpy(to + lo * CNN_BLOCK, first + lo * CNN_BLOCK, (size_t)(hi - lo) * pixel);
    else
      for (ptrdiff_t q = lo; q < hi; q++)
        memcpy(to + q * CNN_BLOCK, first + q * p->across * CNN_BLOCK, pixel);
    memset(to + hi * CNN_BLOCK, 0, (size_t)(p->columns - hi) * pixel);
  }
}

// `blocks` blocks of an image of height x width, `stride` floats apart. Row 0 of the picture is row
// `row` - top of the image.
static inline void picture_pack(const picture *p, float *to, const float *from, ptrdiff_t blocks,
                                ptrdiff_t stride, ptrdiff_t height, ptrdiff_t width, ptrdiff_t row) {
  for (ptrdiff_t block = 0; block < blocks; block++, to += picture_block(p), from += stride)
    for (ptrdiff_t r = 0; r < p->rows; r++) {
      const ptrdiff_t h = row - p->top + r * p->down;
      const float *line = h < 0 || h >= height ? NULL : from + h * width * CNN_BLOCK;
      picture_pack_row(p, to + r * picture_row(p), line, width);
    }
}

// How work is cut so that what it reads again and again stays in the L2 cache: into parts of several
// images, or of rows of one image.
typedef struct {
  ptrdiff_t images, rows;
  ptrdiff_t step;  // images of a part, at most `images`, so that no last part is small
} part;

// Parts of at most `rows` rows; `floats` is what an image takes.
static inline part part_of(ptrdiff_t images, ptrdiff_t rows, ptrdiff_t floats) {
  const ptrdiff_t budget = 128 * 1024;
  const ptrdiff_t most = smaller(images, budget / floats);
  if (most > 0) return (part){most, rows, ceiling(images, ceiling(images, most))};
  return (part){1, ceiling(rows, smaller(rows, ceiling(floats, budget))), 1};
}

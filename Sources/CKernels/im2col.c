#include "im2col.h"

#include <stdbool.h>

static inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

// The positions lo ..< hi of 0 ..< count whose source, position * stride + shift, is in 0 ..< extent.
typedef struct {
  ptrdiff_t lo, hi;
} span;

static inline span inside(ptrdiff_t count, ptrdiff_t stride, ptrdiff_t shift, ptrdiff_t extent) {
  const ptrdiff_t lo = shift >= 0 ? 0 : smaller(count, (-shift + stride - 1) / stride);
  const ptrdiff_t hi = extent <= shift ? 0 : smaller(count, (extent - shift + stride - 1) / stride);
  return (span){lo, larger(lo, hi)};
}

// One row of col: what tap (a, b) reads of one channel. `source` + the position's own offset,
// i * sh * iw + j * sw, is the offset in an image.
typedef struct {
  span rows, columns;
  ptrdiff_t source;
} tap;

static inline tap tap_of(const cnn_conv_shape *s, const cnn_conv_block *block, ptrdiff_t a, ptrdiff_t b) {
  const ptrdiff_t row = block->first_row * s->sh + a * s->dh - s->ph, column = b * s->dw - s->pw;
  return (tap){
      .rows = inside(block->rows, s->sh, row, s->ih),
      .columns = inside(s->ow, s->sw, column, s->iw),
      .source = row * s->iw + column,
  };
}

// Where input and output rows have one width and the stride is 1, a tap reads one contiguous run: all
// positions shifted by `source`. Borders are then wrong and put right afterwards. Images are shifted
// together where their planes have one height, too.
static inline bool is_shift(const cnn_conv_shape *s) { return s->sh == 1 && s->sw == 1 && s->ow == s->iw; }
static inline ptrdiff_t images_in_run(const cnn_conv_shape *s, const cnn_conv_block *block) {
  return s->oh == s->ih && block->rows == s->oh ? block->images : 1;
}

static inline void clear(float *p, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i++) p[i] = 0;
}

// Zeros at the positions of one image where the tap is outside.
static inline void clear_outside(float *col, const tap *t, ptrdiff_t rows, ptrdiff_t ow) {
  clear(col, t->rows.lo * ow);
  clear(col + t->rows.hi * ow, (rows - t->rows.hi) * ow);
  if (t->columns.lo == 0 && t->columns.hi == ow) return;
  for (ptrdiff_t i = t->rows.lo; i < t->rows.hi; i++) {
    for (ptrdiff_t j = 0; j < t->columns.lo; j++) col[i * ow + j] = 0;
    for (ptrdiff_t j = t->columns.hi; j < ow; j++) col[i * ow + j] = 0;
  }
}

#define KERNEL_BODY "im2col_body.h"
#include "each_isa.h"

#define TABLE(isa) {im2col_##isa, col2im_##isa}
static const cnn_im2col_kernels tables[] = ISA_TABLE(TABLE);

const cnn_im2col_kernels *cnn_im2col_kernels_for(cnn_isa isa) { return &tables[isa]; }

#include "pooling.h"

#include <math.h>

#include "vector.h"

typedef double f64x16 __attribute__((ext_vector_type(16)));
typedef uint16_t u16x16 __attribute__((ext_vector_type(16)));
typedef float f32x8 __attribute__((ext_vector_type(8)));
typedef int32_t i32x8 __attribute__((ext_vector_type(8)));
typedef uint16_t u16x8 __attribute__((ext_vector_type(8)));

CNN_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
CNN_INLINE ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
CNN_INLINE ptrdiff_t ceiling(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
CNN_INLINE ptrdiff_t whole_vectors(ptrdiff_t count) { return ceiling(count, CNN_LANES) * CNN_LANES; }

// Columns from the first that the first window touches to the last that the last lane touches.
CNN_INLINE ptrdiff_t padded_width(const cnn_pooling_shape *s) {
  return (whole_vectors(s->ow) - 1) * s->sw + (s->kw - 1) * s->dw + 1;
}

size_t cnn_pooling_scratch(const cnn_pooling_shape *s) {
  return (size_t)(whole_vectors(s->ow) + s->ih * padded_width(s));
}

// Copies a plane between columns of padding, so that the vectors below need no border cases.
CNN_INLINE void pad_columns(float *padded, const float *x, const cnn_pooling_shape *s, float filler) {
  const ptrdiff_t width = padded_width(s), copied = smaller(s->iw, width - s->pw);
  for (ptrdiff_t i = 0; i < s->ih; i++, padded += width, x += s->iw) {
    for (ptrdiff_t j = 0; j < s->pw; j++) padded[j] = filler;
    memcpy(padded + s->pw, x, (size_t)copied * sizeof *x);
    for (ptrdiff_t j = s->pw + copied; j < width; j++) padded[j] = filler;
  }
}

// The taps of a window that begins at `start` which fall inside 0 ..< extent.
typedef struct {
  ptrdiff_t first, end;
} pooling_taps;

CNN_INLINE pooling_taps taps_inside(ptrdiff_t start, ptrdiff_t taps, ptrdiff_t dilation, ptrdiff_t extent) {
  return (pooling_taps){.first = start < 0 ? ceiling(-start, dilation) : 0,
                        .end = smaller(taps, ceiling(extent - start, dilation))};
}

// What one axis of an average window contributes to the divisor.
CNN_INLINE ptrdiff_t average_extent(ptrdiff_t start, ptrdiff_t taps, ptrdiff_t extent, ptrdiff_t padding,
                                    bool count_include_pad) {
  if (count_include_pad) return smaller(start + taps, extent + padding) - start;
  return smaller(start + taps, extent) - larger(start, 0);
}

// Whether the windows lie side by side inside the plane.
CNN_INLINE bool is_tiling(const cnn_pooling_shape *s) {
  return s->sh == s->kh && s->sw == s->kw && s->ph == 0 && s->pw == 0 && s->dh == 1 && s->dw == 1 &&
         s->kh * s->oh <= s->ih && s->kw * s->ow <= s->iw;
}

CNN_INLINE bool is_two_by_two(const cnn_pooling_shape *s) { return s->kh == 2 && s->kw == 2 && is_tiling(s); }

#define KERNEL_BODY "pooling_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                 \
  {pooling_max_forward_##isa,      pooling_max_backward_##isa,     pooling_average_forward_##isa, \
   pooling_average_backward_##isa, pooling_adaptive_forward_##isa, pooling_adaptive_backward_##isa}
static const cnn_pooling_kernels tables[] = ISA_TABLE(TABLE);

const cnn_pooling_kernels *cnn_pooling_kernels_for(cnn_isa isa) { return &tables[isa]; }

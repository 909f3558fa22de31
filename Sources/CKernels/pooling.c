#include "pooling.h"

#include "blocks.h"

typedef uint16_t u16x16 __attribute__((ext_vector_type(16)));

// The taps of a window that begins at `start` which fall inside 0 ..< extent.
typedef struct {
  ptrdiff_t first, end;
} pooling_taps;

CNN_INLINE pooling_taps taps_inside(ptrdiff_t start, ptrdiff_t taps, ptrdiff_t dilation, ptrdiff_t extent) {
  const ptrdiff_t reach = start + (taps - 1) * dilation;
  if (start >= 0 && reach < extent) return (pooling_taps){0, taps};
  return (pooling_taps){.first = start < 0 ? ceiling(-start, dilation) : 0,
                        .end = reach < extent ? taps : ceiling(extent - start, dilation)};
}

// What one axis of an average window contributes to the divisor.
CNN_INLINE ptrdiff_t average_extent(ptrdiff_t start, ptrdiff_t taps, ptrdiff_t extent, ptrdiff_t padding,
                                    bool count_include_pad) {
  if (count_include_pad) return smaller(start + taps, extent + padding) - start;
  return smaller(start + taps, extent) - larger(start, 0);
}

// Whether the windows lie side by side inside the plane, so that no element belongs to two.
CNN_INLINE bool is_tiling(const cnn_pooling_shape *s) {
  return s->sh == s->kh && s->sw == s->kw && s->ph == 0 && s->pw == 0 && s->dh == 1 && s->dw == 1 &&
         s->kh * s->oh <= s->ih && s->kw * s->ow <= s->iw;
}

// Zeroes what lies right of and below windows that lie side by side.
CNN_INLINE void zero_behind_tiles(float *dx, const cnn_pooling_shape *s) {
  const ptrdiff_t row = s->iw * CNN_LANES, width = s->ow * s->kw * CNN_LANES, height = s->oh * s->kh;
  for (ptrdiff_t i = 0; i < height && width < row; i++)
    memset(dx + i * row + width, 0, (size_t)(row - width) * sizeof *dx);
  memset(dx + height * row, 0, (size_t)((s->ih - height) * row) * sizeof *dx);
}

#define KERNEL_BODY "pooling_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                 \
  {pooling_max_forward_##isa,      pooling_max_backward_##isa,     pooling_average_forward_##isa, \
   pooling_average_backward_##isa, pooling_adaptive_forward_##isa, pooling_adaptive_backward_##isa}
static const cnn_pooling_kernels tables[] = ISA_TABLE(TABLE);

const cnn_pooling_kernels *cnn_pooling_kernels_for(cnn_isa isa) { return &tables[isa]; }

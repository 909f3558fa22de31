// Few channels on one side (narrow.h).
#include "convolution_algorithms.h"
#include "narrow.h"
#include "tile.h"

// Turned and sorted, [plane][tap][channel].
static size_t narrow_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return pass == CNN_CONV_BACKWARD_WEIGHTS ? 0 : (size_t)(s->oc * s->ic * s->kh * s->kw);
}

static void narrow_prepare(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared, const float *weight) {
  if (pass == CNN_CONV_BACKWARD_WEIGHTS) return;
  const bool back = pass == CNN_CONV_BACKWARD_DATA;
  const ptrdiff_t taps = s->kh * s->kw, planes = back ? s->oc : s->ic, channels = back ? s->ic : s->oc;
  for (ptrdiff_t k = 0; k < planes; k++)
    for (ptrdiff_t tap = 0; tap < taps; tap++)
      for (ptrdiff_t c = 0; c < channels; c++)
        *prepared++ = weight[back ? conv_weight_at(s, k, c, taps - 1 - tap) : conv_weight_at(s, c, k, tap)];
}

enum {
  narrow_rows = 8,  // of a tile, where registers hold so many sums
  narrow_sums_ref = 4,
  narrow_sums_avx2 = 6,
  narrow_sums_avx512 = 24,
  // Taps and channels of a tile of backward weights.
  narrow_taps_ref = 2,
  narrow_taps_avx2 = 3,
  narrow_taps_avx512 = 5,
  narrow_deep_ref = 2,
  narrow_deep_avx2 = 2,
  narrow_deep_avx512 = 4,
  // Floats of dy as planes that stay in L1 while all taps pass over them.
  narrow_floats = 5 << 10,
};

// Rows of dy that are worked on at once.
static ptrdiff_t narrow_gradient_lines(const narrow_plan *p) {
  return larger(1, smaller(p->out_h, narrow_floats / (p->channels * p->vectors * CNN_BLOCK)));
}

// The planes. Then a tile of outputs, and two blocked rows of them that are to be pooled; or rows of dy as
// planes, [row][channel][column], and dw in sixteen parts, [plane][tap][channel][16].
static size_t narrow_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const narrow_plan p = narrow_plan_of(s);
  const ptrdiff_t row = p.vectors * CNN_BLOCK, planes = p.planes * p.plane;
  if (pass == CNN_CONV_BACKWARD_WEIGHTS)
    return (size_t)(planes + narrow_gradient_lines(&p) * p.channels * row +
                    p.planes * s->kh * s->kw * p.channels * CNN_BLOCK);
  return (size_t)(planes + narrow_rows * p.channels * CNN_BLOCK + 2 * row * CNN_BLOCK);
}

#define KERNEL_BODY "narrow_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                       \
  {"narrow", narrow_fits, narrow_prepared, narrow_prepare, narrow_scratch, narrow_forward_##isa,         \
   narrow_backward_data_##isa, narrow_backward_weights_##isa, true}
const cnn_conv_algorithm cnn_conv_narrow[] = ISA_TABLE(TABLE);

#include "batch_norm.h"

#include <stdbool.h>

#include "activation_terms.h"
#include "blocks.h"

// What a block's values go through: y = (x - mean) * scale + shift, zero in lanes without a channel.
typedef struct {
  f32x16 mean, scale, shift;
} batch_norm_map;

// Backward: dx = (g - offset - (x - mean) * slope) * scale.
typedef struct {
  f32x16 offset, slope;
} batch_norm_line;

CNN_INLINE const float *row_of(const float *saved, int row, ptrdiff_t channels, ptrdiff_t block) {
  return saved + (row * block_count(channels) + block) * CNN_LANES;
}

CNN_INLINE double *pooled_row(const double *pooled, int row, ptrdiff_t channels, ptrdiff_t block) {
  return (double *)pooled + (row * block_count(channels) + block) * CNN_LANES;
}

// Where dx of the call's images begins in a block.
CNN_INLINE ptrdiff_t gradient_start(const cnn_batch_norm_shape *s, ptrdiff_t block) {
  return s->dx_alone ? block * s->x.images * s->x.area * CNN_LANES : run_start(&s->x, block);
}

#define LOAD_WIDE(p) ({ f64x16 w_; memcpy(&w_, (p), sizeof w_); w_; })
#define STORE_WIDE(p, v) ({ f64x16 w_ = (v); memcpy((p), &w_, sizeof w_); })

// The function that follows, where it is another than ReLU.
CNN_INLINE cnn_activation activation_after(cnn_after_norm after) {
  return after == CNN_AFTER_NORM_RELU6       ? CNN_RELU6
         : after == CNN_AFTER_NORM_HARDSWISH ? CNN_HARDSWISH
         : after == CNN_AFTER_NORM_SILU      ? CNN_SILU
                                             : CNN_IDENTITY;
}

#define KERNEL_BODY "batch_norm_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                         \
  {batch_norm_forward_training_##isa, batch_norm_forward_inference_##isa, \
   batch_norm_backward_sums_##isa,    batch_norm_backward_data_##isa,     \
   batch_norm_backward_##isa,         batch_norm_own_moments_##isa,       \
   batch_norm_forward_pooled_##isa,   batch_norm_pooled_line_##isa}
static const cnn_batch_norm_kernels tables[] = ISA_TABLE(TABLE);

const cnn_batch_norm_kernels *cnn_batch_norm_kernels_for(cnn_isa isa) { return &tables[isa]; }

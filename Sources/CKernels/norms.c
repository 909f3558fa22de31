#include "norms.h"

#include <math.h>
#include <stdbool.h>

#include "blocks.h"
#include "mathematics.h"

// Floats of a row of channels with room for a window on both sides.
CNN_INLINE ptrdiff_t response_row(const cnn_response_shape *s) {
  return (block_count(s->x.channels) + ceiling(s->size, CNN_LANES)) * CNN_LANES;
}

size_t cnn_response_scratch(const cnn_response_shape *shape) { return (size_t)(3 * response_row(shape)); }

// Where channel c of an image has its value in an array of one for each channel of each image.
CNN_INLINE ptrdiff_t channel_place(const cnn_blocked *s, ptrdiff_t image, ptrdiff_t c) {
  return (c / CNN_LANES * s->n + image) * CNN_LANES + c % CNN_LANES;
}

#define KERNEL_BODY "norms_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                         \
  {layer_norm_forward_##isa,  layer_norm_sums_##isa,       layer_norm_backward_##isa,                      \
   group_norm_forward_##isa,  group_norm_sums_##isa,       group_norm_parameters_##isa,                    \
   group_norm_backward_##isa, local_response_forward_##isa, local_response_backward_##isa,                 \
   channel_softmax_##isa,     channel_softmax_backward_##isa}
static const cnn_norm_kernels tables[] = ISA_TABLE(TABLE);

const cnn_norm_kernels *cnn_norm_kernels_for(cnn_isa isa) { return &tables[isa]; }

#include "scaling.h"

#include "blocks.h"

#define KERNEL_BODY "scaling_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                     \
  {scaling_multiply_##isa, scaling_multiply_backward_##isa, scaling_channels_##isa,    \
   scaling_channels_gradient_##isa, scaling_images_##isa}
static const cnn_scaling_kernels tables[] = ISA_TABLE(TABLE);

const cnn_scaling_kernels *cnn_scaling_kernels_for(cnn_isa isa) { return &tables[isa]; }

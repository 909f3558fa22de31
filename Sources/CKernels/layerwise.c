#include "layerwise.h"

#include "optimizer_terms.h"

#define KERNEL_BODY "layerwise_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                         \
  {layerwise_squares_##isa, layerwise_clamp_##isa, layerwise_scale_##isa, layerwise_follow_##isa,           \
   layerwise_lars_##isa, layerwise_lamb_moments_##isa, layerwise_lamb_##isa}
static const cnn_layerwise_kernels tables[] = ISA_TABLE(TABLE);

const cnn_layerwise_kernels *cnn_layerwise_kernels_for(cnn_isa isa) { return &tables[isa]; }

#include "transpose.h"

#include "blocks.h"

#define KERNEL_BODY "transpose_body.h"
#include "each_isa.h"

#define TABLE(isa) \
  {transpose_block_##isa, transpose_unblock_##isa, transpose_flatten_##isa, transpose_unflatten_##isa}
static const cnn_transpose_kernels tables[] = ISA_TABLE(TABLE);

const cnn_transpose_kernels *cnn_transpose_kernels_for(cnn_isa isa) { return &tables[isa]; }

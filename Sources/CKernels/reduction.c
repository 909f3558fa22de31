#include "reduction.h"

#define KERNEL_BODY "reduction_body.h"
#include "each_isa.h"

#define TABLE(isa) {reduction_add_##isa, reduction_sum_##isa}
static const cnn_reduction_kernels tables[] = ISA_TABLE(TABLE);

const cnn_reduction_kernels *cnn_reduction_kernels_for(cnn_isa isa) { return &tables[isa]; }

#include "transpose.h"

#define KERNEL_BODY "transpose_body.h"
#include "each_isa.h"

#define TABLE(isa) {transpose_##isa}
static const cnn_transpose_kernels tables[] = ISA_TABLE(TABLE);

const cnn_transpose_kernels *cnn_transpose_kernels_for(cnn_isa isa) { return &tables[isa]; }

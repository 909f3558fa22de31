#include "bias.h"

#include "blocks.h"
#include "leaves.h"

#define KERNEL_BODY "bias_body.h"
#include "each_isa.h"

#define TABLE(isa) {bias_gradient_##isa, bias_gradient_of_part_##isa, bias_gradient_of_tree_##isa}
static const cnn_bias_kernels tables[] = ISA_TABLE(TABLE);

const cnn_bias_kernels *cnn_bias_kernels_for(cnn_isa isa) { return &tables[isa]; }

#include "elementwise.h"

#define KERNEL_BODY "elementwise_body.h"
#include "each_isa.h"

#define TABLE(isa) {elementwise_relu_##isa, elementwise_relu_gradient_##isa, elementwise_add_##isa}
static const cnn_elementwise_kernels tables[] = ISA_TABLE(TABLE);

const cnn_elementwise_kernels *cnn_elementwise_kernels_for(cnn_isa isa) { return &tables[isa]; }

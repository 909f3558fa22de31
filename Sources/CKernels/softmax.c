#include "softmax.h"

#include <math.h>

#include "blocks.h"
#include "mathematics.h"

#define KERNEL_BODY "softmax_body.h"
#include "each_isa.h"

#define TABLE(isa) {cross_entropy_##isa, distillation_##isa, softmax_##isa}
static const cnn_softmax_kernels tables[] = ISA_TABLE(TABLE);

const cnn_softmax_kernels *cnn_softmax_kernels_for(cnn_isa isa) { return &tables[isa]; }

#include "optimizers.h"

#include "optimizer_terms.h"

#define KERNEL_BODY "optimizers_body.h"
#include "each_isa.h"

#define TABLE(isa) {optimizer_sgd_##isa, optimizer_adam_##isa, optimizer_rmsprop_##isa, optimizer_running_##isa}
static const cnn_optimizer_kernels tables[] = ISA_TABLE(TABLE);

const cnn_optimizer_kernels *cnn_optimizer_kernels_for(cnn_isa isa) { return &tables[isa]; }

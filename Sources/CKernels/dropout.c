#include "dropout.h"

#include "blocks.h"

typedef uint64_t u64x8 __attribute__((ext_vector_type(8)));

#define KERNEL_BODY "dropout_body.h"
#include "each_isa.h"

#define TABLE(isa) {dropout_apply_##isa, dropout_words_##isa}
static const cnn_dropout_kernels tables[] = ISA_TABLE(TABLE);

const cnn_dropout_kernels *cnn_dropout_kernels_for(cnn_isa isa) { return &tables[isa]; }

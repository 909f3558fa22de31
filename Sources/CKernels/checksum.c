#include "checksum.h"

#define KERNEL_BODY "checksum_body.h"
#include "each_isa.h"

#define TABLE(isa) {checksum_of_##isa}
static const cnn_checksum_kernels tables[] = ISA_TABLE(TABLE);

const cnn_checksum_kernels *cnn_checksum_kernels_for(cnn_isa isa) { return &tables[isa]; }

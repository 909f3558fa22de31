#include "lanes.h"

#include "vector.h"

#define KERNEL_BODY "lanes_body.h"
#include "each_isa.h"

#define TABLE(isa) {lanes_move_##isa}
static const cnn_lanes_kernels tables[] = ISA_TABLE(TABLE);

const cnn_lanes_kernels *cnn_lanes_kernels_for(cnn_isa isa) { return &tables[isa]; }

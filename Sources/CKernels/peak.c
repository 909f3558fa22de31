#include "peak.h"

#include "vector.h"

// Vectors of 16 floats that the registers hold, room left for two constants.
enum { peak_chains_ref = 3, peak_chains_avx2 = 6, peak_chains_avx512 = 20 };

#define KERNEL_BODY "peak_body.h"
#include "each_isa.h"

#define TABLE(isa) {peak_multiply_adds_##isa, peak_triad_##isa}
static const cnn_peak_kernels tables[] = ISA_TABLE(TABLE);

const cnn_peak_kernels *cnn_peak_kernels_for(cnn_isa isa) { return &tables[isa]; }

#include "rounding.h"

#include "dropout.h"
#include "vector.h"

typedef uint16_t u16x16 __attribute__((ext_vector_type(16)));

// The instruction set that a body is compiled for, to find its random words.
enum { isa_ref = CNN_ISA_REF, isa_avx2 = CNN_ISA_AVX2, isa_avx512 = CNN_ISA_AVX512 };

#define KERNEL_BODY "rounding_body.h"
#include "each_isa.h"

#define TABLE(isa) {rounding_round_##isa, rounding_add_##isa, rounding_pack_##isa, rounding_unpack_##isa}
static const cnn_rounding_kernels tables[] = ISA_TABLE(TABLE);

const cnn_rounding_kernels *cnn_rounding_kernels_for(cnn_isa isa) { return &tables[isa]; }

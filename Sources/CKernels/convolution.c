#include "convolution_algorithms.h"

#include <string.h>

enum { algorithms = 13 };

// `bf16` counts the constants of bf16 algorithms, of which the last has the instruction.
#define LIST(isa, bf16)                                                                  \
  {&cnn_conv_ref[isa], &cnn_conv_direct[isa], &cnn_conv_stem[isa], &cnn_conv_dense[isa], \
   &cnn_conv_winograd2[isa], &cnn_conv_winograd4[isa], &cnn_conv_winograd5[isa],         \
   &cnn_conv_depthwise[isa], &cnn_conv_pointwise[isa], &cnn_conv_narrow[isa], &cnn_conv_tiny[isa], \
   &cnn_conv_bf16[bf16], &cnn_conv_stem_bf16[bf16]}
static const cnn_conv_algorithm *const lists[][algorithms] = {
    LIST(CNN_ISA_REF, 0), LIST(CNN_ISA_AVX2, 1), LIST(CNN_ISA_AVX512, 2), LIST(CNN_ISA_AVX512, 3)};

static const cnn_conv_algorithm *const *list_of(cnn_isa isa) {
  return lists[isa == CNN_ISA_AVX512 && cnn_isa_has_bf16() ? 3 : isa];
}

const cnn_conv_algorithm *const *cnn_conv_algorithms(cnn_isa isa, size_t *count) {
  *count = algorithms;
  return list_of(isa);
}

const cnn_conv_algorithm *const *cnn_conv_algorithms_without_bf16(cnn_isa isa, size_t *count) {
  *count = algorithms;
  return lists[isa];
}

const cnn_conv_algorithm *cnn_conv_algorithm_named(cnn_isa isa, const char *name) {
  const cnn_conv_algorithm *const *list = list_of(isa);
  for (size_t i = 0; i < algorithms; i++)
    if (strcmp(list[i]->name, name) == 0) return list[i];
  return NULL;
}

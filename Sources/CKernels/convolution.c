#include "convolution_algorithms.h"

#include <string.h>

enum { algorithms = 9 };

#define LIST(isa)                                                                        \
  {&cnn_conv_ref[isa], &cnn_conv_direct[isa], &cnn_conv_stem[isa], &cnn_conv_dense[isa], \
   &cnn_conv_winograd2[isa], &cnn_conv_winograd4[isa], &cnn_conv_winograd5[isa], \
   &cnn_conv_depthwise[isa], &cnn_conv_pointwise[isa]}
static const cnn_conv_algorithm *const lists[][algorithms] = {
    LIST(CNN_ISA_REF), LIST(CNN_ISA_AVX2), LIST(CNN_ISA_AVX512)};

const cnn_conv_algorithm *const *cnn_conv_algorithms(cnn_isa isa, size_t *count) {
  *count = algorithms;
  return lists[isa];
}

const cnn_conv_algorithm *cnn_conv_algorithm_named(cnn_isa isa, const char *name) {
  for (size_t i = 0; i < algorithms; i++)
    if (strcmp(lists[isa][i]->name, name) == 0) return lists[isa][i];
  return NULL;
}

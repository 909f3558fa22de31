#include "activations.h"

#include "activation_ends.h"
#include "activation_terms.h"
#include "blocks.h"

// Whether f(0) isn't 0, so that lanes without a channel need care.
CNN_INLINE bool activation_moves_zero(cnn_activation which) {
  return which == CNN_SIGMOID || which == CNN_HARDSIGMOID;
}

bool cnn_activation_keeps_output(cnn_activation which) {
  return which == CNN_RELU6 || which == CNN_SIGMOID || which == CNN_TANH;
}

#define KERNEL_BODY "activations_body.h"
#include "each_isa.h"

#if defined(__x86_64__)
void cnn_activate_avx512bf16(float *y, ptrdiff_t count, cnn_activation which) {
  cnn_activate_avx512(y, count, which);
}
#endif

#define ROW(isa, name) {name##_forward_##isa, name##_backward_##isa}
#define TABLE(isa)                                                                                   \
  {                                                                                                  \
    [CNN_RELU6] = ROW(isa, relu6), [CNN_HARDSIGMOID] = ROW(isa, hardsigmoid),                        \
    [CNN_HARDSWISH] = ROW(isa, hardswish), [CNN_LEAKY_RELU] = ROW(isa, leaky_relu),                  \
    [CNN_SIGMOID] = ROW(isa, sigmoid), [CNN_SILU] = ROW(isa, silu), [CNN_TANH] = ROW(isa, tanh),     \
    [CNN_GELU] = ROW(isa, gelu), [CNN_GELU_TANH] = ROW(isa, gelu_tanh),                              \
  }
static const cnn_activation_kernels tables[][CNN_ACTIVATIONS] = ISA_TABLE(TABLE);

const cnn_activation_kernels *cnn_activation_kernels_for(cnn_isa isa, cnn_activation which) {
  return &tables[isa][which];
}

#pragma once
// Element-wise functions with a slope of their own, as PyTorch defines them; ReLU is in elementwise.h.
// exp, tanh and the error function are the kernels' own (mathematics.h): the same bits everywhere.
#include <stdbool.h>
#include "blocked.h"
#include "isa.h"

typedef enum {
  CNN_IDENTITY = 0,
  CNN_RELU6,        // min(max(x, 0), 6)
  CNN_HARDSIGMOID,  // min(max(x + 3, 0), 6) / 6
  CNN_HARDSWISH,    // x hardsigmoid(x)
  CNN_LEAKY_RELU,   // x where x > 0, otherwise slope x
  CNN_SIGMOID,      // 1 / (1 + exp(-x))
  CNN_SILU,         // x sigmoid(x)
  CNN_TANH,
  CNN_GELU,         // x (1 + erf(x / sqrt 2)) / 2
  CNN_GELU_TANH,    // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
  CNN_ACTIVATIONS,
} cnn_activation;

// Of the call's images. `slope` is read by leaky ReLU alone.
typedef struct {
  // y = f(x). Overwrites y, which may be x; lanes of channels that don't exist stay zero.
  void (*forward)(float *y, const float *x, const cnn_blocked *shape, float slope);
  // dx = dy f'(x), v being x, or y where cnn_activation_keeps_output. Overwrites dx, which may be dy.
  void (*backward)(float *dx, const float *dy, const float *v, const cnn_blocked *shape, float slope);
} cnn_activation_kernels;

// Whether backward finds f'(x) from y.
bool cnn_activation_keeps_output(cnn_activation which);

const cnn_activation_kernels *cnn_activation_kernels_for(cnn_isa isa, cnn_activation which);

#pragma once
// For kernels that end with a function of activations.h, on values that they have just stored.
#include "activations.h"

// y = f(y) for `count` floats, a multiple of 16; f is ReLU6, hardswish or SiLU, which map 0 to 0.
void cnn_activate_ref(float *y, ptrdiff_t count, cnn_activation which);
void cnn_activate_avx2(float *y, ptrdiff_t count, cnn_activation which);
void cnn_activate_avx512bf16(float *y, ptrdiff_t count, cnn_activation which);
void cnn_activate_avx512(float *y, ptrdiff_t count, cnn_activation which);

#pragma once
// The entries of convolution.c's table, where each algorithm is defined. On other CPUs than x86-64
// only those named _ref exist.

#include "convolution.h"

#define CNN_CONV_ALGORITHM(name) extern const cnn_conv_algorithm name##_ref, name##_avx2, name##_avx512

CNN_CONV_ALGORITHM(cnn_winograd2);
CNN_CONV_ALGORITHM(cnn_winograd4);
CNN_CONV_ALGORITHM(cnn_winograd5);

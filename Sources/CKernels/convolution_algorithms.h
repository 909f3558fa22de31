#pragma once
// The algorithms behind the table of convolution.h, each with one constant for every instruction set.
#include "convolution.h"

extern const cnn_conv_algorithm cnn_conv_ref[3], cnn_conv_direct[3], cnn_conv_dense[3], cnn_conv_stem[3],
    cnn_conv_depthwise[3], cnn_conv_pointwise[3], cnn_conv_narrow[3],
    cnn_conv_tiny[3];
extern const cnn_conv_algorithm cnn_conv_winograd2[3], cnn_conv_winograd4[3], cnn_conv_winograd5[3];
// ref, AVX2, AVX-512, and AVX-512 with the instruction that the others emulate.
extern const cnn_conv_algorithm cnn_conv_bf16[4], cnn_conv_stem_bf16[4];

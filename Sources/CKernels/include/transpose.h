#pragma once
#include <stddef.h>
#include "isa.h"

typedef struct {
  // y[m, j, i] = x[m, i, j] for each of `matrices` matrices of rows x columns in x. Overwrites y.
  void (*transpose)(float *y, const float *x, ptrdiff_t matrices, ptrdiff_t rows, ptrdiff_t columns);
} cnn_transpose_kernels;

const cnn_transpose_kernels *cnn_transpose_kernels_for(cnn_isa isa);

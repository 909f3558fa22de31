#pragma once
// Loops that show what the machine can do at most: the yardsticks of `bench peak`.
#include <stddef.h>
#include "isa.h"

typedef struct {
  // Independent chains of multiply-adds in registers, `rounds` times. Returns how many floating-point
  // operations that were (two for each multiply-add); `sink` keeps the compiler from dropping them.
  double (*multiply_adds)(ptrdiff_t rounds, float *sink);
  // a[i] = b[i] + scale * c[i] (the triad of McCalpin's STREAM): moves 12 bytes for each i.
  void (*triad)(float *a, const float *b, const float *c, float scale, size_t count);
} cnn_peak_kernels;

const cnn_peak_kernels *cnn_peak_kernels_for(cnn_isa isa);

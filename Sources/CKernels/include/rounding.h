#pragma once
// bf16, the upper half of a float, by stochastic rounding: x goes to one of its two neighbours, the nearer
// the likelier, so that the mean is x. Element e of a range that begins at `index` of the flat buffer takes
// 16-bit half (index + e) % 2 of word (index + e) / 2 of the stream; `index` is a multiple of 16. Infinities
// and NaNs stay. Element by element, with the same bits on every instruction set.
#include <stddef.h>
#include <stdint.h>
#include "isa.h"
#include "philox.h"

typedef struct {
  // a[e] = bf16(a[e]). Overwrites a.
  void (*round)(float *a, size_t count, const cnn_philox_stream *stream, size_t index);
  // a[e] = bf16(a[e] + b[e]). Accumulates into a.
  void (*add)(float *a, const float *b, size_t count, const cnn_philox_stream *stream, size_t index);
  // The upper halves of floats that are bf16 numbers. Overwrites y.
  void (*pack)(uint16_t *y, const float *x, size_t count);
  // The floats again. Overwrites y.
  void (*unpack)(float *y, const uint16_t *x, size_t count);
} cnn_rounding_kernels;

const cnn_rounding_kernels *cnn_rounding_kernels_for(cnn_isa isa);

#pragma once
// What the bodies of kernels over blocked activations share.
#include "blocked.h"
#include "integers.h"
#include "vector.h"

CNN_INLINE ptrdiff_t block_count(ptrdiff_t channels) { return ceiling(channels, CNN_LANES); }

// The channels that a block really has.
CNN_INLINE ptrdiff_t block_lanes(ptrdiff_t channels, ptrdiff_t block) {
  return smaller(CNN_LANES, channels - block * CNN_LANES);
}

// Where the call's images begin in a block.
CNN_INLINE ptrdiff_t run_start(const cnn_blocked *s, ptrdiff_t block) {
  return (block * s->n + s->first) * s->area * CNN_LANES;
}

// Sums over pixels run in single precision over this many, in two chains, and from there in double:
// chains of 16 err no more than a rounding or two, and conversions cost nothing at that pace.
#define SUM_RUN 32

#define WIDEN(v) __builtin_convertvector((v), f64x16)
#define NARROW(v) __builtin_convertvector((v), f32x16)

// All bits set in the lanes of channels that exist.
#define EXISTS(lanes) \
  ((i32x16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} < (i32x16)(int32_t)(lanes))

#pragma once
// Checksums of floats where they lie, at the speed of the cache: what is hashed in every step.
#include <stddef.h>
#include <stdint.h>
#include "isa.h"

typedef struct {
  // A checksum of the bits of x and of count, the same on every instruction set. It differs whenever one word of
  // x does, whatever the change; of random changes of several words it misses one in some 2^32.
  uint64_t (*of)(const float *x, size_t count);
} cnn_checksum_kernels;

const cnn_checksum_kernels *cnn_checksum_kernels_for(cnn_isa isa);

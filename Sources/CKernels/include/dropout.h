#pragma once
// Inverted dropout with a mask that is addressed by the logical index of an element, never by where
// it lies: element e = c * area + p of an image (pixel p of channel c) is kept when uniform number e of
// the image's stream is at least the probability of dropping.
#include <stdint.h>
#include "blocked.h"
#include "isa.h"
#include "philox.h"

typedef struct {
  // y = x * (kept ? 1 / (1 - probability) : 0), for forward and backward alike. `stream` is that of the
  // call's first image; counter[0] goes up by one an image. Overwrites y, which may be x.
  void (*apply)(float *y, const float *x, const cnn_philox_stream *stream, float probability,
                const cnn_blocked *shape);
  // Words block * 4 up to block * 4 + 64 of a stream, as cnn_philox_block gives them. Overwrites words.
  void (*words)(uint32_t words[64], const cnn_philox_stream *stream, uint32_t block);
} cnn_dropout_kernels;

const cnn_dropout_kernels *cnn_dropout_kernels_for(cnn_isa isa);

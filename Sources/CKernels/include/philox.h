#pragma once
// Philox4x32-10: the counter-based generator behind every random number.
// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t key[2];      // the seed
  uint32_t counter[3];  // what the numbers are for: words 1, 2, 3 of the counter; word 0 is the block
} cnn_philox_stream;

// The four words of block `block` of a stream. Overwrites words.
static inline void cnn_philox_block(const cnn_philox_stream *stream, uint32_t block, uint32_t words[4]) {
  uint32_t c0 = block, c1 = stream->counter[0], c2 = stream->counter[1], c3 = stream->counter[2];
  uint32_t k0 = stream->key[0], k1 = stream->key[1];
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1, c3 = (uint32_t)p0, c0 = n0, c2 = n2;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

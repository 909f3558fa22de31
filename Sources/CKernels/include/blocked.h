#pragma once
// Where activations lie: blocked by channels, (C/16, N, H, W, 16), as convolution.h says. The images of
// a range are one run of pixels in each block of 16 channels, so most kernels need no more than this.
#include <stddef.h>

typedef struct {
  ptrdiff_t channels;       // lanes of the last block beyond them hold zeros, and go on holding them
  ptrdiff_t n, area;        // images in memory, pixels of an image
  ptrdiff_t first, images;  // those that a call works on: first ..< first + images of n
} cnn_blocked;

// Microbatches side by side, whose sums are added up in pairs, pairs of pairs and so on, as the tree of the gradients
// does: leaf k is the images first[k] ..< first[k + 1].
typedef struct {
  ptrdiff_t count;         // 1 ... CNN_LEAVES
  const ptrdiff_t *first;  // count + 1 of them
} cnn_leaves;

enum { CNN_LEAVES = 64 };

#pragma once
// How the sums of leaves are added up (cnn_leaves): those that wait for their right sibling are a stack, whose sizes
// are the binary digits of the number of leaves so far.
#include "blocked.h"
#include "integers.h"

// The most sums that wait: log2(CNN_LEAVES) + 1.
enum { LEAVES_DEPTH = 7 };

// Where leaf number `leaf` has been put on a stack of `depth` others: how many are to be left below the one that it has
// become a part of.
static inline ptrdiff_t leaves_before(const cnn_leaves *leaves, ptrdiff_t leaf, ptrdiff_t depth) {
  if (leaf + 1 == leaves->count) return 0;
  for (ptrdiff_t pairs = leaf; pairs % 2 == 1; pairs /= 2) depth--;
  return depth;
}

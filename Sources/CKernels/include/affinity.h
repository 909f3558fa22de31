#pragma once
// On which CPUs the calling thread may run: GNU calls, which Swift's Glibc module leaves out. A mask
// holds CPU i in bit i % 8 of byte i / 8; its size is a multiple of 8 bytes. Both return 0, or an errno.
#include <stddef.h>

// Overwrites mask.
int cnn_affinity_get(unsigned char *mask, size_t bytes);
int cnn_affinity_set(const unsigned char *mask, size_t bytes);

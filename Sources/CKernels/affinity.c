#define _GNU_SOURCE
#include "affinity.h"

#include <errno.h>
#include <sched.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a CPU mask is an array of longs: its bytes are in order on little-endian machines only"
#endif

int cnn_affinity_get(unsigned char *mask, size_t bytes) {
  return sched_getaffinity(0, bytes, (cpu_set_t *)(void *)mask) == 0 ? 0 : errno;
}

int cnn_affinity_set(const unsigned char *mask, size_t bytes) {
  return sched_setaffinity(0, bytes, (const cpu_set_t *)(const void *)mask) == 0 ? 0 : errno;
}

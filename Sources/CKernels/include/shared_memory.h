#pragma once
// Memory that several processes of a machine map: an anonymous file in no folder, so it takes no room in
// /dev/shm, which containers keep small, and a process that dies leaves nothing behind.
#include <stddef.h>

// A new block of zeros. Overwrites file, the descriptor by which others find it, and memory. 0, or an errno.
int cnn_shared_memory_create(size_t bytes, int *file, void **memory);

// The block that process `process` keeps open as its descriptor `file`. Overwrites memory. 0, or an errno.
int cnn_shared_memory_map(int process, int file, size_t bytes, void **memory);

void cnn_shared_memory_unmap(void *memory, size_t bytes);

#define _GNU_SOURCE
#include "shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map(int file, size_t bytes, void **memory) {
  void *mapped = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) return errno;
  // Weights are read from here by every product: large pages where the system allows them.
  (void)madvise(mapped, bytes, MADV_HUGEPAGE);
  *memory = mapped;
  return 0;
}

int cnn_shared_memory_create(size_t bytes, int *file, void **memory) {
  const int made = memfd_create("cnn-dist", MFD_CLOEXEC);
  if (made < 0) return errno;
  int problem = ftruncate(made, (off_t)bytes) == 0 ? map(made, bytes, memory) : errno;
  if (problem) {
    close(made);
    return problem;
  }
  *file = made;
  return 0;
}

int cnn_shared_memory_map(int process, int file, size_t bytes, void **memory) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd/%d", process, file);
  const int opened = open(path, O_RDWR | O_CLOEXEC);
  if (opened < 0) return errno;
  struct stat facts;
  int problem = fstat(opened, &facts) != 0 ? errno : (size_t)facts.st_size != bytes ? ESTALE : 0;
  if (!problem) problem = map(opened, bytes, memory);
  close(opened);
  return problem;
}

void cnn_shared_memory_unmap(void *memory, size_t bytes) { munmap(memory, bytes); }

// Counts what each thread allocates between two marks; to be loaded before a program (LD_PRELOAD), which calls
//
//   void allocations_begin(void);                 begins to count anew
//   long allocations_end(int thread, int *count); threads seen; calls of malloc and its kin by the thread numbered
//                                                 so, 0 the first to allocate (the main thread)
//
// What MPI's libraries allocate isn't counted. ALLOCATIONS_TRACE=N shows where the first N come from.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

enum { most_threads = 256, depth = 24 };
static atomic_long counts[most_threads];
static atomic_int threads;
static atomic_bool counting;
static atomic_long shown, to_show;
static _Thread_local int thread = -1;
static _Thread_local int inside;

// Whether MPI asked, at any depth.
static int is_mpi(void *const *frames, int count) {
  for (int i = 0; i < count; i++) {
    Dl_info info;
    if (!dladdr(frames[i], &info) || !info.dli_fname) continue;
    const char *name = strrchr(info.dli_fname, '/');
    name = name ? name + 1 : info.dli_fname;
    for (const char *const *one = (const char *const[]){"libmpi", "libopen-", "libpmix", "libprrte", "mca_", "libucp", NULL};
         *one; one++)
      if (!strncmp(name, *one, strlen(*one))) return 1;
  }
  return 0;
}

static void note(void) {
  if (thread < 0) thread = atomic_fetch_add(&threads, 1) % most_threads;
  if (!atomic_load(&counting) || inside) return;
  inside = 1;
  void *frames[depth];
  int count = backtrace(frames, depth);
  if (!is_mpi(frames, count)) {
    atomic_fetch_add(&counts[thread], 1);
    if (atomic_fetch_add(&shown, 1) < atomic_load(&to_show)) {
      dprintf(2, "thread %d\n", thread);
      backtrace_symbols_fd(frames, count, 2);
    }
  }
  inside = 0;
}

void *malloc(size_t size) { note(); return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { note(); return __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { note(); return __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { note(); return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { note(); return __libc_memalign(alignment, size); }
int posix_memalign(void **to, size_t alignment, size_t size) {
  note();
  *to = __libc_memalign(alignment, size);
  return *to ? 0 : ENOMEM;
}

void allocations_begin(void) {
  void *frames[depth];
  // The first call loads a library.
  backtrace(frames, depth);
  const char *trace = getenv("ALLOCATIONS_TRACE");
  atomic_store(&to_show, trace ? atol(trace) : 0);
  atomic_store(&shown, 0);
  for (int i = 0; i < most_threads; i++) atomic_store(&counts[i], 0);
  atomic_store(&counting, 1);
}

long allocations_end(int number, int *count) {
  atomic_store(&counting, 0);
  *count = atomic_load(&threads);
  return atomic_load(&counts[number]);
}

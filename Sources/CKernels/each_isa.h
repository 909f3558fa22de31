// Compiles KERNEL_BODY once per instruction set. A family's .c file defines KERNEL_BODY (a header
// whose functions are named ISA(name)), includes this file, and builds its tables from the results:
// name_ref, name_avx2, name_avx512 (on other CPUs than x86-64 only name_ref).
// No include guard: a .c file includes it once, and it includes KERNEL_BODY three times.

#include "vector.h"

// Vectors are loaded and stored by macros, because an inline function with a vector argument would
// need the same target attribute as its caller.
#define LOAD(p) ({ f32x16 v_; memcpy(&v_, (p), sizeof v_); v_; })
#define STORE(p, v) ({ f32x16 v_ = (v); memcpy((p), &v_, sizeof v_); })

// a * b + c, rounded once; twice on ref, where it would be a call of the library for each lane.
#define FMA(a, b, c) ((a) * (b) + (c))
#define ISA(name) name##_ref
#include KERNEL_BODY
#undef ISA
#undef FMA

#if defined(__x86_64__)
#define FMA(a, b, c) __builtin_elementwise_fma((a), (b), (c))
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define ISA(name) name##_avx2
#include KERNEL_BODY
#undef ISA
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma"))), apply_to = function)
#define ISA(name) name##_avx512
#include KERNEL_BODY
#undef ISA
#pragma clang attribute pop
#define ISA_TABLE(...) \
  { __VA_ARGS__(ref), __VA_ARGS__(avx2), __VA_ARGS__(avx512) }
#else
#define ISA_TABLE(...) \
  { __VA_ARGS__(ref), __VA_ARGS__(ref), __VA_ARGS__(ref) }
#endif

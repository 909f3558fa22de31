#pragma once
// The 16-wide vectors that every kernel body is written in. The compiler splits them where the
// hardware is narrower, so the order of additions, and with it every bit, is the same everywhere.

#include <stdint.h>
#include <string.h>

#define CNN_LANES 16

typedef float f32x16 __attribute__((ext_vector_type(16)));
typedef double f64x16 __attribute__((ext_vector_type(16)));
typedef float f32x8 __attribute__((ext_vector_type(8)));
typedef int32_t i32x16 __attribute__((ext_vector_type(16)));
typedef uint16_t u16x32 __attribute__((ext_vector_type(32)));
typedef uint32_t u32x16 __attribute__((ext_vector_type(16)));

#define CNN_INLINE static inline __attribute__((always_inline))

// Compiles KERNEL_BODY as each_isa.h does, for sums of products of bf16: a lane of a vector holds a pair of bf16
// numbers, the first in its lower half, and FMA adds both products to a float as AVX-512 BF16's VDPBF16PS
// does. So the register tiles that are written for floats serve pairs too. Four tables: ref, AVX2 and AVX-512
// emulate the instruction, avx512bf16 has it; all give the same bits.
//
// VDPBF16PS adds the product of the upper halves, then that of the lower, each rounded to the nearest as a
// fused multiply-add; denormals count as zeros and become zeros. The product of two bf16 numbers is exact in a
// float unless it underflows, so fused multiply-adds of floats on a thread that flushes denormals
// (cnn_flush_denormals) do the same. ref goes by double: product and sum are rounded only once there too.
// No include guard, as in each_isa.h.

#include "vector.h"

#define LOAD(p) ({ f32x16 v_; memcpy(&v_, (p), sizeof v_); v_; })
#define STORE(p, v) ({ f32x16 v_ = (v); memcpy((p), &v_, sizeof v_); })

// The two numbers of each pair, as floats.
#define LOWER(pairs) ((f32x16)((u32x16)(pairs) << 16))
#define UPPER(pairs) ((f32x16)((u32x16)(pairs) & 0xFFFF0000u))

// The nearest bf16 number, ties to even, in the upper halves; denormals become zeros, NaNs quiet, as the
// instruction that converts has it.
#define NEAREST(x)                                                                                   \
  ({                                                                                                 \
    const u32x16 b_ = (u32x16)(x);                                                                   \
    const u32x16 nan_ = (u32x16)((b_ & 0x7FFFFFFFu) > 0x7F800000u);                                  \
    const u32x16 tiny_ = (u32x16)((b_ & 0x7F800000u) == 0u);                                         \
    const u32x16 near_ = b_ + 0x7FFFu + ((b_ >> 16) & 1u);                                           \
    ((nan_ & (b_ | 0x00400000u)) | (tiny_ & b_ & 0x80000000u) | (~(nan_ | tiny_) & near_)) & 0xFFFF0000u; \
  })
#define PAIR(lower, upper) ((f32x16)(NEAREST(lower) >> 16 | NEAREST(upper)))

#define WIDE(v) __builtin_convertvector((v), f64x16)
#define ONCE(a, b, c) __builtin_convertvector(WIDE(a) * WIDE(b) + WIDE(c), f32x16)
#define FMA(a, b, c) ONCE(LOWER(a), LOWER(b), ONCE(UPPER(a), UPPER(b), (c)))
#define ISA(name) name##_ref
#include KERNEL_BODY
#undef ISA
#undef FMA

#if defined(__x86_64__)
#include <immintrin.h>

#define FMA(a, b, c)                          \
  __builtin_elementwise_fma(LOWER(a), LOWER(b), \
                            __builtin_elementwise_fma(UPPER(a), UPPER(b), (c)))
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
#undef FMA
#undef PAIR

#define FMA(a, b, c) ((f32x16)_mm512_dpbf16_ps((__m512)(c), (__m512bh)(a), (__m512bh)(b)))
#define PAIR(lower, upper)                                                                                 \
  ({                                                                                                       \
    const u16x32 h_ = (u16x32)_mm512_cvtne2ps_pbh((__m512)(upper), (__m512)(lower));                       \
    (f32x16)__builtin_shufflevector(h_, h_, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, \
                                    9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);                \
  })
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma"))), apply_to = function)
#define ISA(name) name##_avx512bf16
#include KERNEL_BODY
#undef ISA
#pragma clang attribute pop
#define BF16_TABLE(...) \
  { __VA_ARGS__(ref), __VA_ARGS__(avx2), __VA_ARGS__(avx512), __VA_ARGS__(avx512bf16) }
#else
#define BF16_TABLE(...) \
  { __VA_ARGS__(ref), __VA_ARGS__(ref), __VA_ARGS__(ref), __VA_ARGS__(ref) }
#endif

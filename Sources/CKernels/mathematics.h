#pragma once
// exp and log of sixteen floats, by additions, multiplications and divisions alone, so that they give
// the same bits on every instruction set. Macros, because an inline function with a vector argument
// would need the same target attribute as its caller.
// A cast between vectors of one size keeps the bits.
#include "vector.h"

// e^x with a relative error below 2e-7 for x <= 88; 0 below -87; NaN for NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts so that n ln 2 is exact; e^r by Taylor's
// series, whose next term is at most 0.347^8 / 8! = 5e-9.
#define CNN_EXP(x)                                                                                         \
  ({                                                                                                       \
    const f32x16 x_ = (x);                                                                                 \
    const f32x16 magic_ = 0x1.8p23f; /* adding it rounds to an integer, in the lowest bits */              \
    const f32x16 shifted_ = x_ * 0x1.715476p0f + magic_;                                                   \
    const f32x16 n_ = shifted_ - magic_;                                                                   \
    const f32x16 r_ = (x_ - n_ * 0x1.62e4p-1f) - n_ * 0x1.7f7d1cp-20f;                                     \
    f32x16 p_ = r_ * (1.0f / 5040) + 1.0f / 720;                                                           \
    p_ = p_ * r_ + 1.0f / 120;                                                                             \
    p_ = p_ * r_ + 1.0f / 24;                                                                              \
    p_ = p_ * r_ + 1.0f / 6;                                                                               \
    p_ = p_ * r_ + 0.5f;                                                                                   \
    p_ = p_ * r_ + 1.0f;                                                                                   \
    p_ = p_ * r_ + 1.0f;                                                                                   \
    const i32x16 power_ = ((i32x16)shifted_ << 23) + (127 << 23);                                          \
    const f32x16 e_ = p_ * (f32x16)power_;                                                                 \
    x_ < -87.0f ? (f32x16)0.0f : e_;                                                                       \
  })

// ln x with an absolute error below 2e-7 max(1, |ln x|) for normal x > 0.
// x = 2^n m with m in [sqrt(1/2), sqrt 2): ln m = 2 artanh s for s = (m - 1) / (m + 1), by its
// series, whose next term is at most 2 * 0.172^11 / 11 = 7e-10.
#define CNN_LOG(x)                                                                                         \
  ({                                                                                                       \
    const i32x16 bits_ = (i32x16)(f32x16)(x);                                                              \
    const i32x16 power_ = (bits_ - 0x3f3504f3) >> 23; /* 0x3f3504f3: sqrt(1/2) */                          \
    const f32x16 m_ = (f32x16)(bits_ - (power_ << 23));                                                    \
    const f32x16 n_ = __builtin_convertvector(power_, f32x16);                                             \
    const f32x16 s_ = (m_ - 1.0f) / (m_ + 1.0f), t_ = s_ * s_;                                             \
    const f32x16 q_ = (((t_ / 9 + 1.0f / 7) * t_ + 1.0f / 5) * t_ + 1.0f / 3) * t_ + 1.0f;                 \
    n_ * 0x1.62e4p-1f + (2.0f * s_ * q_ + n_ * 0x1.7f7d1cp-20f);                                           \
  })

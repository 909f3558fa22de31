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

// 1 / (1 + e^-x) with a relative error below 4e-7 for x > -87; 0 below.
#define CNN_SIGMOID(x)                                                                                     \
  ({                                                                                                       \
    const f32x16 at_ = (x);                                                                                \
    const f32x16 decay_ = CNN_EXP(-__builtin_elementwise_abs(at_));                                        \
    (at_ < 0.0f ? decay_ : (f32x16)1.0f) / (1.0f + decay_);                                                \
  })

// tanh x with a relative error below 4e-7: (1 - e) / (1 + e) with e = e^-2|x|, and where that cancels
// x + x^3 p(x^2), p fitted to (tanh x / x - 1) / x^2 up to 0.625 with a relative error of 1.4e-7.
#define CNN_TANH(x)                                                                                        \
  ({                                                                                                       \
    const f32x16 at_ = (x);                                                                                \
    const f32x16 size_ = __builtin_elementwise_abs(at_), square_ = at_ * at_;                              \
    const f32x16 decay_ = CNN_EXP(-2.0f * size_);                                                          \
    const f32x16 far_ = (1.0f - decay_) / (1.0f + decay_);                                                 \
    f32x16 near_ = square_ * -0.0060969284f + 0.020997347f;                                                \
    near_ = near_ * square_ - 0.053850953f;                                                                \
    near_ = near_ * square_ + 0.13332771f;                                                                 \
    near_ = near_ * square_ - 0.33333328f;                                                                 \
    size_ < 0.625f ? at_ + at_ * square_ * near_ : at_ < 0.0f ? -far_ : far_;                              \
  })

// The share of the normal distribution below x, (1 + erf(x / sqrt 2)) / 2, with a relative error below 1e-6
// for |x| < 5 and below 5e-6 to where it vanishes; and `bell`, e^(-x^2 / 2), is left in a variable.
// Below zero it is e^(-x^2 / 2) t p(t) with t = 1 / (1 + 0.35 |x|), p fitted to within 3.2e-8 of the
// scaled complementary error function over t, down to x = -14.
#define CNN_NORMAL_SHARE(x, bell)                                                                          \
  ({                                                                                                       \
    const f32x16 at_ = (x);                                                                                \
    const f32x16 t_ = 1.0f / (1.0f + 0.35f * __builtin_elementwise_abs(at_));                              \
    bell = CNN_EXP(-0.5f * at_ * at_);                                                                     \
    f32x16 tail_ = t_ * -0.02914626f + 0.14397326f;                                                        \
    tail_ = tail_ * t_ - 0.25571737f;                                                                      \
    tail_ = tail_ * t_ + 0.15917759f;                                                                      \
    tail_ = tail_ * t_ - 0.023112085f;                                                                     \
    tail_ = tail_ * t_ + 0.1055089f;                                                                       \
    tail_ = tail_ * t_ + 0.11983266f;                                                                      \
    tail_ = tail_ * t_ + 0.1398619f;                                                                       \
    tail_ = (tail_ * t_ + 0.1396214f) * t_ * bell;                                                         \
    at_ < 0.0f ? tail_ : 1.0f - tail_;                                                                     \
  })

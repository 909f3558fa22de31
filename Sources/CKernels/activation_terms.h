#pragma once
// The functions of activations.h and their slopes, for sixteen values. `which` is known where a kernel is
// compiled, so of each switch one case remains. Macros, because an inline function with a vector argument
// would need the same target attribute as its caller.
#include "activations.h"
#include "mathematics.h"

// min(max(v, 0), 6); a NaN stays one.
#define CLAMP6(v)                                       \
  ({                                                    \
    const f32x16 clamped_ = (v);                        \
    clamped_ < 0.0f   ? (f32x16)0.0f                    \
    : clamped_ > 6.0f ? (f32x16)6.0f                    \
                      : clamped_;                       \
  })

#define GELU_TANH_RATE 1.5957691f /* 2 sqrt(2 / pi): half of 1 + tanh u is sigmoid(2 u) */

#define ACTIVATE(which, value, slope)                                                       \
  ({                                                                                        \
    const f32x16 in_ = (value);                                                             \
    f32x16 out_ = in_, bell_;                                                               \
    switch (which) {                                                                        \
      case CNN_RELU6: out_ = CLAMP6(in_); break;                                            \
      case CNN_HARDSIGMOID: out_ = CLAMP6(in_ + 3.0f) / 6.0f; break;                        \
      case CNN_HARDSWISH: out_ = in_ * CLAMP6(in_ + 3.0f) / 6.0f; break;                    \
      case CNN_LEAKY_RELU: out_ = in_ > 0.0f ? in_ : in_ * (slope); break;                  \
      case CNN_SIGMOID: out_ = CNN_SIGMOID(in_); break;                                     \
      case CNN_SILU: out_ = in_ * CNN_SIGMOID(in_); break;                                  \
      case CNN_TANH: out_ = CNN_TANH(in_); break;                                           \
      case CNN_GELU: out_ = in_ * CNN_NORMAL_SHARE(in_, bell_); break;                      \
      case CNN_GELU_TANH:                                                                   \
        out_ = in_ * CNN_SIGMOID(GELU_TANH_RATE * (in_ + 0.044715f * in_ * in_ * in_));     \
        break;                                                                              \
      default: break;                                                                       \
    }                                                                                       \
    out_;                                                                                   \
  })

// dy f'(x) from v, which is x, or y where cnn_activation_keeps_output. A gate that is closed gives 0
// whatever dy is, as in PyTorch.
#define ACTIVATION_GRADIENT(which, gradient, v, slope)                                      \
  ({                                                                                        \
    const f32x16 in_ = (v), dy_ = (gradient);                                               \
    f32x16 out_ = dy_, share_, bell_;                                                       \
    switch (which) {                                                                        \
      case CNN_RELU6: out_ = ((in_ > 0.0f) & (in_ < 6.0f)) ? dy_ : (f32x16)0.0f; break;     \
      case CNN_HARDSIGMOID:                                                                 \
        out_ = ((in_ > -3.0f) & (in_ < 3.0f)) ? dy_ * (1.0f / 6) : (f32x16)0.0f;            \
        break;                                                                              \
      case CNN_HARDSWISH:                                                                   \
        out_ = in_ <= -3.0f  ? (f32x16)0.0f                                                 \
               : in_ >= 3.0f ? dy_                                                          \
                             : dy_ * (in_ / 3.0f + 0.5f);                                   \
        break;                                                                              \
      case CNN_LEAKY_RELU: out_ = in_ > 0.0f ? dy_ : dy_ * (slope); break;                  \
      case CNN_SIGMOID: out_ = dy_ * (1.0f - in_) * in_; break;                             \
      case CNN_SILU:                                                                        \
        share_ = CNN_SIGMOID(in_);                                                          \
        out_ = dy_ * share_ * (1.0f + in_ * (1.0f - share_));                               \
        break;                                                                              \
      case CNN_TANH: out_ = dy_ * (1.0f - in_ * in_); break;                                \
      case CNN_GELU:                                                                        \
        share_ = CNN_NORMAL_SHARE(in_, bell_);                                              \
        out_ = dy_ * (share_ + in_ * bell_ * 0.39894228f); /* 1 / sqrt(2 pi) */             \
        break;                                                                              \
      case CNN_GELU_TANH:                                                                   \
        share_ = CNN_SIGMOID(GELU_TANH_RATE * (in_ + 0.044715f * in_ * in_ * in_));         \
        bell_ = GELU_TANH_RATE * (1.0f + 0.134145f * in_ * in_);                            \
        out_ = dy_ * (share_ + in_ * share_ * (1.0f - share_) * bell_);                     \
        break;                                                                              \
      default: break;                                                                       \
    }                                                                                       \
    out_;                                                                                   \
  })

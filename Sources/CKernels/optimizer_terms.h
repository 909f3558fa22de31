#pragma once
// What several optimizers do with sixteen elements. Macros, because an inline function with a vector
// argument would need the same target attribute as its caller.
#include "vector.h"

// gradient + l1 · sign(w) + weight_decay · w, in the order in which PyTorch meets the terms.
#define PENALISED(g, w, l1, weight_decay)                                                        \
  ({                                                                                             \
    const f32x16 w_ = (w), l1_ = (f32x16)(l1);                                                   \
    const i32x16 up_ = w_ > 0.0f, down_ = w_ < 0.0f;                                             \
    const f32x16 sign_ = (f32x16)((up_ & (i32x16)l1_) | (down_ & (i32x16)-l1_));                 \
    ((g) + sign_) + (weight_decay)*w_;                                                           \
  })

// a + t · (b − a), from the end that rounds better, as PyTorch's lerp.
#define LERP(a, b, t) ((t) < 0.5f ? (a) + (t) * ((b) - (a)) : (b) - ((b) - (a)) * (1.0f - (t)))

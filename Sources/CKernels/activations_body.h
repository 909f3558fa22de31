CNN_INLINE void ISA(activation_forward)(float *y, const float *x, const cnn_blocked *s, float slope,
                                        const cnn_activation which) {
  const ptrdiff_t count = s->images * s->area * CNN_LANES;
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const float *from = x + run_start(s, block);
    float *to = y + run_start(s, block);
    const ptrdiff_t lanes = block_lanes(s->channels, block);
    if (activation_moves_zero(which) && lanes < CNN_LANES) {
      const i32x16 exists = EXISTS(lanes);
      for (ptrdiff_t i = 0; i < count; i += CNN_LANES) {
        const f32x16 value = ACTIVATE(which, LOAD(from + i), slope);
        STORE(to + i, exists ? value : (f32x16)0);
      }
    } else {
      for (ptrdiff_t i = 0; i < count; i += CNN_LANES) STORE(to + i, ACTIVATE(which, LOAD(from + i), slope));
    }
  }
}

CNN_INLINE void ISA(activation_backward)(float *dx, const float *dy, const float *v, const cnn_blocked *s,
                                         float slope, const cnn_activation which) {
  const ptrdiff_t count = s->images * s->area * CNN_LANES;
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const ptrdiff_t start = run_start(s, block);
    for (ptrdiff_t i = start; i < start + count; i += CNN_LANES)
      STORE(dx + i, ACTIVATION_GRADIENT(which, LOAD(dy + i), LOAD(v + i), slope));
  }
}

#define BOTH(name, which)                                                                             \
  static void ISA(name##_forward)(float *y, const float *x, const cnn_blocked *s, float slope) {      \
    ISA(activation_forward)(y, x, s, slope, which);                                                   \
  }                                                                                                   \
  static void ISA(name##_backward)(float *dx, const float *dy, const float *v, const cnn_blocked *s,  \
                                   float slope) {                                                     \
    ISA(activation_backward)(dx, dy, v, s, slope, which);                                             \
  }
BOTH(relu6, CNN_RELU6)
BOTH(hardsigmoid, CNN_HARDSIGMOID)
BOTH(hardswish, CNN_HARDSWISH)
BOTH(leaky_relu, CNN_LEAKY_RELU)
BOTH(sigmoid, CNN_SIGMOID)
BOTH(silu, CNN_SILU)
BOTH(tanh, CNN_TANH)
BOTH(gelu, CNN_GELU)
BOTH(gelu_tanh, CNN_GELU_TANH)
#undef BOTH

void ISA(cnn_activate)(float *y, ptrdiff_t count, cnn_activation which) {
  const cnn_blocked run = {.channels = CNN_LANES, .n = 1, .area = count / CNN_LANES, .first = 0, .images = 1};
  switch (which) {
    case CNN_RELU6: ISA(relu6_forward)(y, y, &run, 0); break;
    case CNN_HARDSWISH: ISA(hardswish_forward)(y, y, &run, 0); break;
    case CNN_SILU: ISA(silu_forward)(y, y, &run, 0); break;
    default: break;
  }
}

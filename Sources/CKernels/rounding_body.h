// The sum is left out where b is null.
CNN_INLINE void ISA(round_range)(float *a, const float *b, size_t count, const cnn_philox_stream *stream,
                                 size_t index) {
  void (*const random_words)(uint32_t *, const cnn_philox_stream *, uint32_t) =
      cnn_dropout_kernels_for(ISA(isa))->words;
  for (size_t first = 0; first < count; first += 128) {
    uint32_t words[64];
    random_words(words, stream, (uint32_t)((index + first) / 8));
    const size_t end = count - first < 128 ? count - first : 128;
    for (size_t e = 0; e < end; e += CNN_LANES) {
      const size_t width = end - e < CNN_LANES ? end - e : CNN_LANES;
      u16x16 halves;
      memcpy(&halves, words + e / 2, sizeof halves);
      f32x16 x = 0, y = 0;
      memcpy(&x, a + first + e, width * sizeof *a);
      if (b) {
        memcpy(&y, b + first + e, width * sizeof *b);
        x = x + y;
      }
      // Adding 16 random bits below carries into bf16's last bit as often as the lower half is large.
      const u32x16 bits = (u32x16)x;
      const u32x16 up = (bits + __builtin_convertvector(halves, u32x16)) & 0xFFFF0000u;
      const u32x16 special = (u32x16)((bits & 0x7F800000u) == 0x7F800000u);
      // What a NaN says in its lower half must not vanish, or it would be an infinity.
      const u32x16 quiet = (u32x16)((bits & 0x7FFFFFFFu) > 0x7F800000u) & 0x00400000u;
      const u32x16 result = (special & ((bits & 0xFFFF0000u) | quiet)) | (~special & up);
      memcpy(a + first + e, &result, width * sizeof *a);
    }
  }
}

static void ISA(rounding_round)(float *a, size_t count, const cnn_philox_stream *stream, size_t index) {
  ISA(round_range)(a, 0, count, stream, index);
}

static void ISA(rounding_add)(float *a, const float *b, size_t count, const cnn_philox_stream *stream,
                              size_t index) {
  ISA(round_range)(a, b, count, stream, index);
}

static void ISA(rounding_pack)(uint16_t *y, const float *x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    y[i] = (uint16_t)(bits >> 16);
  }
}

static void ISA(rounding_unpack)(float *y, const uint16_t *x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const uint32_t bits = (uint32_t)x[i] << 16;
    memcpy(y + i, &bits, sizeof bits);
  }
}

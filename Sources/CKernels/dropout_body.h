// The 64-bit products of 16 lanes with a constant, as high and low words: even and odd lanes apart,
// since that is how the hardware multiplies.
#define MULTIPLY(high, low, v, factor)                                        \
  {                                                                           \
    const u64x8 even = ((u64x8)(v) & 0xFFFFFFFFu) * (uint64_t)(factor);       \
    const u64x8 odd = ((u64x8)(v) >> 32) * (uint64_t)(factor);                \
    high = (u32x16)((even >> 32) | (odd & 0xFFFFFFFF00000000u));              \
    low = (u32x16)((even & 0xFFFFFFFFu) | (odd << 32));                       \
  }

// Sixteen blocks side by side, then turned so that the words of a block are neighbours.
CNN_INLINE void ISA(philox_sixteen)(uint32_t words[64], const cnn_philox_stream *stream, uint32_t block) {
  const u32x16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  u32x16 c0 = lane + block, c1 = stream->counter[0], c2 = stream->counter[1], c3 = stream->counter[2];
  uint32_t k0 = stream->key[0], k1 = stream->key[1];
  for (int round = 0; round < 10; round++) {
    u32x16 high0, low0, high1, low1;
    MULTIPLY(high0, low0, c0, 0xD2511F53u);
    MULTIPLY(high1, low1, c2, 0xCD9E8D57u);
    c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
#define PAIRS(a, b, from)                                                                              \
  (u64x8) __builtin_shufflevector(a, b, from, from + 16, from + 1, from + 17, from + 2, from + 18, from + 3, \
                                  from + 19, from + 4, from + 20, from + 5, from + 21, from + 6, from + 22,  \
                                  from + 7, from + 23)
  const u64x8 front[2] = {PAIRS(c0, c1, 0), PAIRS(c0, c1, 8)}, back[2] = {PAIRS(c2, c3, 0), PAIRS(c2, c3, 8)};
#undef PAIRS
  for (int half = 0; half < 2; half++) {
    const u64x8 low = __builtin_shufflevector(front[half], back[half], 0, 8, 1, 9, 2, 10, 3, 11);
    const u64x8 high = __builtin_shufflevector(front[half], back[half], 4, 12, 5, 13, 6, 14, 7, 15);
    memcpy(words + 32 * half, &low, sizeof low);
    memcpy(words + 32 * half + 16, &high, sizeof high);
  }
}

static void ISA(dropout_words)(uint32_t words[64], const cnn_philox_stream *stream, uint32_t block) {
  ISA(philox_sixteen)(words, stream, block);
}

CNN_INLINE void ISA(dropout_run)(float *y, const float *x, const uint32_t *words, size_t count, float p,
                                 float scale) {
  const f32x16 zero = 0, kept = scale;
  size_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) {
    i32x16 word;
    memcpy(&word, words + i, sizeof word);
    const f32x16 uniform = __builtin_convertvector((i32x16)((u32x16)word >> 8), f32x16) * 0x1p-24f;
    STORE(y + i, LOAD(x + i) * (uniform >= p ? kept : zero));
  }
  for (; i < count; i++) y[i] = x[i] * ((float)(words[i] >> 8) * 0x1p-24f >= p ? scale : 0);
}

static void ISA(dropout_apply)(float *y, const float *x, const cnn_philox_stream *stream,
                               const cnn_dropout_shape *s) {
  const float p = s->probability, scale = p < 1 ? 1 / (1 - p) : 0;
  const size_t count = s->channels * s->area;
  cnn_philox_stream own = *stream;
  for (size_t n = 0; n < s->images; n++, own.counter[0]++) {
    size_t channel = 0, position = 0;  // of the next element in the image
    for (size_t e = 0; e < count; e += 64) {
      uint32_t words[64];
      ISA(philox_sixteen)(words, &own, (uint32_t)(e / 4));
      const size_t end = count - e < 64 ? count - e : 64;
      for (size_t k = 0; k < end;) {
        const size_t run = end - k < s->area - position ? end - k : s->area - position;
        const size_t at = (channel * s->images + n) * s->area + position;
        ISA(dropout_run)(y + at, x + at, words + k, run, p, scale);
        k += run, position += run;
        if (position == s->area) channel++, position = 0;
      }
    }
  }
}

#undef MULTIPLY

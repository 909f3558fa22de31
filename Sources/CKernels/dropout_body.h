// The 64-bit products of 16 lanes with a constant, as high and low words: even and odd lanes apart,
// since that is how the hardware multiplies.
#define MULTIPLY(high, low, v, factor)                                        \
  {                                                                           \
    const u64x8 even = ((u64x8)(v) & 0xFFFFFFFFu) * (uint64_t)(factor);       \
    const u64x8 odd = ((u64x8)(v) >> 32) * (uint64_t)(factor);                \
    high = (u32x16)((even >> 32) | (odd & 0xFFFFFFFF00000000u));              \
    low = (u32x16)((even & 0xFFFFFFFFu) | (odd << 32));                       \
  }

// The four words of block `*block` of a stream, sixteen blocks side by side.
CNN_INLINE void ISA(philox_sixteen)(u32x16 words[4], const cnn_philox_stream *stream, const u32x16 *block) {
  u32x16 c0 = *block, c1 = stream->counter[0], c2 = stream->counter[1], c3 = stream->counter[2];
  uint32_t k0 = stream->key[0], k1 = stream->key[1];
  for (int round = 0; round < 10; round++) {
    u32x16 high0, low0, high1, low1;
    MULTIPLY(high0, low0, c0, 0xD2511F53u);
    MULTIPLY(high1, low1, c2, 0xCD9E8D57u);
    c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

// Sixteen neighbouring blocks, turned so that the words of a block are neighbours.
static void ISA(dropout_words)(uint32_t words[64], const cnn_philox_stream *stream, uint32_t block) {
  const u32x16 blocks = (u32x16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + block;
  u32x16 c[4];
  ISA(philox_sixteen)(c, stream, &blocks);
#define PAIRS(a, b, from)                                                                              \
  (u64x8) __builtin_shufflevector(a, b, from, from + 16, from + 1, from + 17, from + 2, from + 18, from + 3, \
                                  from + 19, from + 4, from + 20, from + 5, from + 21, from + 6, from + 22,  \
                                  from + 7, from + 23)
  const u64x8 front[2] = {PAIRS(c[0], c[1], 0), PAIRS(c[0], c[1], 8)};
  const u64x8 back[2] = {PAIRS(c[2], c[3], 0), PAIRS(c[2], c[3], 8)};
#undef PAIRS
  for (int half = 0; half < 2; half++) {
    const u64x8 low = __builtin_shufflevector(front[half], back[half], 0, 8, 1, 9, 2, 10, 3, 11);
    const u64x8 high = __builtin_shufflevector(front[half], back[half], 4, 12, 5, 13, 6, 14, 7, 15);
    memcpy(words + 32 * half, &low, sizeof low);
    memcpy(words + 32 * half + 16, &high, sizeof high);
  }
}

// y = x where the uniform number of `word` is at least p, scaled; otherwise 0.
#define DROP(y, x, word, p, scale)                                                                       \
  {                                                                                                      \
    const f32x16 uniform = __builtin_convertvector((i32x16)((word) >> 8), f32x16) * 0x1p-24f;            \
    STORE(y, LOAD(x) * (uniform >= (p) ? (scale) : (f32x16)0));                                          \
  }

// Images of one pixel: the elements of four blocks are 64 neighbours.
CNN_INLINE void ISA(dropout_vectors)(float *y, const float *x, const cnn_philox_stream *stream, f32x16 *keep,
                                     float p, const cnn_blocked *s, ptrdiff_t image) {
  const f32x16 scale = *keep;
  const ptrdiff_t blocks = block_count(s->channels);
  for (ptrdiff_t first = 0; first < blocks; first += 4) {
    uint32_t words[64];
    ISA(dropout_words)(words, stream, (uint32_t)(first * CNN_LANES / 4));
    for (ptrdiff_t block = first; block < smaller(first + 4, blocks); block++) {
      u32x16 word;
      memcpy(&word, words + (block - first) * CNN_LANES, sizeof word);
      const ptrdiff_t at = (block * s->n + image) * CNN_LANES;
      DROP(y + at, x + at, word, p, scale)
    }
  }
}

// A lane is a channel: it walks through the blocks of four words that its elements e = c * area + p take
// from its stream, all lanes at one pace. Where area is no multiple of four, e begins inside a block, lane
// by lane elsewhere, so words are picked from the current block and the next.
CNN_INLINE void ISA(dropout_pixels)(float *y, const float *x, const cnn_philox_stream *stream, f32x16 *keep,
                                    float p, const cnn_blocked *s, ptrdiff_t block) {
  const f32x16 scale = *keep;
  const u32x16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const u32x16 element = (lane + (uint32_t)(block * CNN_LANES)) * (uint32_t)s->area;
  const i32x16 skipped = (i32x16)(element & 3);
  u32x16 number = element >> 2, words[8];
  ISA(philox_sixteen)(words, stream, &number);
  for (ptrdiff_t pixel = 0; pixel < s->area; pixel += 4) {
    number += 1;
    ISA(philox_sixteen)(words + 4, stream, &number);
    const ptrdiff_t count = smaller(4, s->area - pixel);
    for (int k = 0; k < 4; k++) {
      if (k >= count) break;
      u32x16 word = words[k];
      for (int skip = 1; skip < 4; skip++) word = skipped == skip ? words[k + skip] : word;
      const ptrdiff_t at = (pixel + k) * CNN_LANES;
      DROP(y + at, x + at, word, p, scale)
    }
    for (int k = 0; k < 4; k++) words[k] = words[k + 4];
  }
}

static void ISA(dropout_apply)(float *y, const float *x, const cnn_philox_stream *stream, float probability,
                               const cnn_blocked *s) {
  f32x16 keep = probability < 1 ? 1 / (1 - probability) : 0;
  cnn_philox_stream own = *stream;
  for (ptrdiff_t image = s->first; image < s->first + s->images; image++, own.counter[0]++) {
    if (s->area == 1) {
      ISA(dropout_vectors)(y, x, &own, &keep, probability, s, image);
      continue;
    }
    for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
      const ptrdiff_t at = (block * s->n + image) * s->area * CNN_LANES;
      ISA(dropout_pixels)(y + at, x + at, &own, &keep, probability, s, block);
    }
  }
}

#undef MULTIPLY
#undef DROP

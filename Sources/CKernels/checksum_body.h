enum { ISA(checksum_chains) = 4 };

// h = rotate((h ^ x) * odd): for a given x one to one in h and for a given h one to one in x, so a change of one
// word reaches the end.
#define TAKE_IN(h, x)                     \
  do {                                    \
    u32x16 m_ = ((h) ^ (x)) * 0x9E3779B1u; \
    (h) = (m_ << 13) | (m_ >> 19);        \
  } while (0)

static uint64_t ISA(checksum_of)(const float *x, size_t count) {
  u32x16 h[ISA(checksum_chains)];
  for (int k = 0; k < ISA(checksum_chains); k++) {
    for (int lane = 0; lane < CNN_LANES; lane++) h[k][lane] = (uint32_t)(k * CNN_LANES + lane + 1) * 0x85EBCA77u;
  }
  const size_t block = ISA(checksum_chains) * CNN_LANES;
  size_t i = 0;
  for (; i + block <= count; i += block) {
    for (int k = 0; k < ISA(checksum_chains); k++) {
      u32x16 words;
      memcpy(&words, x + i + k * CNN_LANES, sizeof words);
      TAKE_IN(h[k], words);
    }
  }
  for (; i < count; i += CNN_LANES) {
    u32x16 words = 0;
    memcpy(&words, x + i, (count - i < CNN_LANES ? count - i : CNN_LANES) * sizeof(float));
    TAKE_IN(h[0], words);
  }
  uint64_t sum = count;
  for (int k = 0; k < ISA(checksum_chains); k++) {
    for (int lane = 0; lane < CNN_LANES; lane++) {
      sum = (sum ^ h[k][lane]) * 0x9E3779B97F4A7C15u;
      sum ^= sum >> 32;
    }
  }
  return sum;
}
#undef TAKE_IN

#include "pixel_kernels.h"

#include <string.h>

enum { PRECISION = 22 };

static inline uint8_t rounded(int32_t sum) {
  const int32_t value = sum >> PRECISION;
  return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

// Compiled twice where the CPU may have AVX2: integers give the same bits either way.
#if defined(__x86_64__)
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef uint8_t u8x4 __attribute__((vector_size(4)));

// The channels of a pixel are summed side by side in one vector. Four bytes are loaded whatever a pixel has,
// but not in the last row, where they might lie behind the image.
static inline __attribute__((always_inline)) void resample_row(const uint8_t *source, size_t channels, int is_last,
                                                               cnn_taps taps, uint8_t *target, size_t new_width) {
  for (size_t i = 0; i < new_width; i++) {
    const uint8_t *input = source + (size_t)taps.first[i] * channels;
    const int32_t *weights = taps.weights + i * (size_t)taps.stride, count = taps.count[i];
    i32x4 sums = {1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1)};
    for (int32_t t = 0; t < count; t++, input += channels) {
      u8x4 pixel = {0};
      memcpy(&pixel, input, is_last ? channels : 4);
      sums += __builtin_convertvector(pixel, i32x4) * weights[t];
    }
    for (size_t c = 0; c < channels; c++) target[i * channels + c] = rounded(sums[c]);
  }
}

FOR_EACH_CPU void cnn_resample_rows(const uint8_t *source, size_t rows, size_t width, int channels, cnn_taps taps,
                                    uint8_t *target, size_t new_width) {
  const size_t row = width * (unsigned)channels, new_row = new_width * (unsigned)channels;
  for (size_t y = 0; y < rows; y++, source += row, target += new_row)
    // A row of fewer than four bytes leaves no room in the rows above the last either.
    if (y + 1 == rows || row < 4)
      resample_row(source, (unsigned)channels, 1, taps, target, new_width);
    else if (channels == 1)
      resample_row(source, 1, 0, taps, target, new_width);
    else if (channels == 3)
      resample_row(source, 3, 0, taps, target, new_width);
    else
      resample_row(source, (unsigned)channels, 0, taps, target, new_width);
}

FOR_EACH_CPU void cnn_resample_columns(const uint8_t *source, size_t row_bytes, cnn_taps taps, uint8_t *target,
                          size_t new_rows) {
  enum { BLOCK = 256 };
  for (size_t i = 0; i < new_rows; i++) {
    const uint8_t *first = source + (size_t)taps.first[i] * row_bytes;
    const int32_t *weights = taps.weights + i * (size_t)taps.stride, count = taps.count[i];
    for (size_t left = 0; left < row_bytes; left += BLOCK) {
      const size_t width = row_bytes - left < BLOCK ? row_bytes - left : BLOCK;
      int32_t sums[BLOCK];
      for (size_t x = 0; x < width; x++) sums[x] = 1 << (PRECISION - 1);
      for (int32_t t = 0; t < count; t++) {
        const uint8_t *input = first + (size_t)t * row_bytes + left;
        for (size_t x = 0; x < width; x++) sums[x] += input[x] * weights[t];
      }
      for (size_t x = 0; x < width; x++) target[i * row_bytes + left + x] = rounded(sums[x]);
    }
  }
}

void cnn_place_pixels(const uint8_t *first, ptrdiff_t row_step, ptrdiff_t column_step, size_t size, int channels,
                      const float *table, float *target, size_t plane_stride) {
  for (int c = 0; c < channels; c++) {
    const float *level = table + 256 * c;
    for (size_t y = 0; y < size; y++) {
      const uint8_t *pixel = first + (ptrdiff_t)y * row_step + c;
      float *row = target + (size_t)c * plane_stride + y * size;
      for (size_t x = 0; x < size; x++, pixel += column_step) row[x] = level[*pixel];
    }
  }
}

void cnn_pixel_moments(const uint8_t *pixels, size_t count, int channels, uint64_t *sums, uint64_t *squares) {
  for (int c = 0; c < channels; c++) {
    uint64_t sum = 0, square = 0;
    for (size_t i = 0; i < count;) {
      // 2¹⁶ squares of bytes fit into 32 bits.
      const size_t end = count - i < 65536 ? count : i + 65536;
      uint32_t block_sum = 0, block_square = 0;
      for (; i < end; i++) {
        const uint32_t value = pixels[i * (unsigned)channels + c];
        block_sum += value;
        block_square += value * value;
      }
      sum += block_sum;
      square += block_square;
    }
    sums[c] += sum;
    squares[c] += square;
  }
}

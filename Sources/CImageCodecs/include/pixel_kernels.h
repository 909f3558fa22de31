#pragma once
// Loops over the bytes of images. They allocate nothing; the contract of each stands beside it.
#include <stddef.h>
#include <stdint.h>

// Which inputs make each output of a resampling, along one axis: output i is the sum over t < count[i] of
// input[first[i] + t] · weights[i · stride + t] / 2²², the weights of an output adding up to 2²².
typedef struct {
  const int32_t *first, *count, *weights;
  int32_t stride;
} cnn_taps;

// Resamples each of `rows` rows of `width` pixels to `new_width`. Overwrites target.
void cnn_resample_rows(const uint8_t *source, size_t rows, size_t width, int channels, cnn_taps taps,
                       uint8_t *target, size_t new_width);

// Resamples columns: rows of `row_bytes` bytes to `new_rows` of the same length. Overwrites target.
void cnn_resample_columns(const uint8_t *source, size_t row_bytes, cnn_taps taps, uint8_t *target,
                          size_t new_rows);

// plane c of target, [c · plane_stride + y · size + x] = table[256 c + first[y · row_step + x · column_step + c]]
// for y, x < size. Negative steps turn and mirror. Overwrites those floats.
void cnn_place_pixels(const uint8_t *first, ptrdiff_t row_step, ptrdiff_t column_step, size_t size, int channels,
                      const float *table, float *target, size_t plane_stride);

// Adds Σ x and Σ x² of each channel of interleaved pixels to sums[c] and squares[c]. Accumulates.
void cnn_pixel_moments(const uint8_t *pixels, size_t count, int channels, uint64_t *sums, uint64_t *squares);

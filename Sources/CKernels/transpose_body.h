#include "transpose16_body.h"

// y[p][l] = row l of x at p for l < rows, otherwise 0.
static void ISA(rows_to_pixels)(float *y, const float *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t pixels) {
  ptrdiff_t p = 0;
  for (; p + CNN_LANES <= pixels; p += CNN_LANES)
    ISA(transpose16)(y + p * CNN_LANES, CNN_LANES, CNN_LANES, x + p, stride, rows);
  if (p == pixels) return;
  float rest[CNN_LANES * CNN_LANES] = {0};
  for (ptrdiff_t l = 0; l < rows; l++)
    memcpy(rest + l * CNN_LANES, x + l * stride + p, (size_t)(pixels - p) * sizeof *x);
  ISA(transpose16)(y + p * CNN_LANES, CNN_LANES, pixels - p, rest, CNN_LANES, rows);
}

// Row l of y at p = x[p][l] for l < rows.
static void ISA(pixels_to_rows)(float *y, const float *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t pixels) {
  ptrdiff_t p = 0;
  for (; p + CNN_LANES <= pixels; p += CNN_LANES)
    ISA(transpose16)(y + p, stride, rows, x + p * CNN_LANES, CNN_LANES, CNN_LANES);
  if (p == pixels) return;
  float rest[CNN_LANES * CNN_LANES];
  ISA(transpose16)(rest, CNN_LANES, rows, x + p * CNN_LANES, CNN_LANES, pixels - p);
  for (ptrdiff_t l = 0; l < rows; l++)
    memcpy(y + l * stride + p, rest + l * CNN_LANES, (size_t)(pixels - p) * sizeof *y);
}

static void ISA(transpose_block)(float *y, const float *x, const cnn_blocked *s) {
  const ptrdiff_t plane = s->n * s->area;
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++)
    ISA(rows_to_pixels)(y + run_start(s, block), x + block * CNN_LANES * plane + s->first * s->area, plane,
                        block_lanes(s->channels, block), s->images * s->area);
}

static void ISA(transpose_unblock)(float *x, const float *y, const cnn_blocked *s) {
  const ptrdiff_t plane = s->n * s->area;
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++)
    ISA(pixels_to_rows)(x + block * CNN_LANES * plane + s->first * s->area, y + run_start(s, block), plane,
                        block_lanes(s->channels, block), s->images * s->area);
}

// The features of a block of channels of an image are 16 * area neighbours, `area` whole vectors; only
// of the last block fewer exist.
static void ISA(transpose_flatten)(float *y, const float *x, const cnn_blocked *s, float *scratch) {
  const ptrdiff_t vectors = block_count(s->channels * s->area);
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const ptrdiff_t count = smaller(s->area, vectors - block * s->area);
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
      const float *from = x + (block * s->n + image) * s->area * CNN_LANES;
      ISA(pixels_to_rows)(scratch, from, s->area, CNN_LANES, s->area);
      for (ptrdiff_t v = 0; v < count; v++)
        STORE(y + ((block * s->area + v) * s->n + image) * CNN_LANES, LOAD(scratch + v * CNN_LANES));
    }
  }
}

static void ISA(transpose_unflatten)(float *x, const float *y, const cnn_blocked *s, float *scratch) {
  const ptrdiff_t vectors = block_count(s->channels * s->area);
  for (ptrdiff_t block = 0; block < block_count(s->channels); block++) {
    const ptrdiff_t count = smaller(s->area, vectors - block * s->area);
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++) {
      for (ptrdiff_t v = 0; v < count; v++)
        STORE(scratch + v * CNN_LANES, LOAD(y + ((block * s->area + v) * s->n + image) * CNN_LANES));
      ISA(rows_to_pixels)(x + (block * s->n + image) * s->area * CNN_LANES, scratch, s->area,
                          block_lanes(s->channels, block), s->area);
    }
  }
}

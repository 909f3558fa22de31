// Layer norm takes 16 neighbouring pixels at a time, whose blocks of channels add up in 16 vectors, and then
// their lanes across.
#include "transpose16_body.h"

// The totals of the lanes of `count` vectors: total i of vector i.
CNN_INLINE void ISA(lane_totals)(f32x16 *totals, const f32x16 *rows, ptrdiff_t count) {
  float columns[CNN_LANES * CNN_LANES];
  ISA(transpose16)(columns, CNN_LANES, CNN_LANES, (const float *)rows, CNN_LANES, count);
  f32x16 sum[CNN_LANES];
  for (int lane = 0; lane < CNN_LANES; lane++) sum[lane] = LOAD(columns + lane * CNN_LANES);
  for (int half = CNN_LANES / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; lane++) sum[lane] += sum[lane + half];
  *totals = sum[0];
}

CNN_INLINE void ISA(norm_affine)(f32x16 *weight, f32x16 *bias, const cnn_norm_affine *affine, ptrdiff_t channels,
                                 ptrdiff_t block) {
  const f32x16 zero = 0, one = 1;
  *weight = affine->weight ? LOAD(affine->weight + block * CNN_LANES)
                           : EXISTS(block_lanes(channels, block)) ? one : zero;
  *bias = affine->bias ? LOAD(affine->bias + block * CNN_LANES) : zero;
}

// `count` pixels from x on; `stride` leads from one block of channels to the next.
CNN_INLINE void ISA(layer_norm_pixels)(float *y, float *means, float *inverses, const float *x,
                                       const cnn_norm_affine *affine, const cnn_norm_shape *s,
                                       ptrdiff_t stride, const ptrdiff_t count) {
  const ptrdiff_t blocks = block_count(s->x.channels);
  const float channels = (float)s->x.channels;
  const f32x16 zero = 0;
  f32x16 sums[CNN_LANES], total;
  for (ptrdiff_t i = 0; i < count; i++) sums[i] = zero;
  for (ptrdiff_t block = 0; block < blocks; block++)
    for (ptrdiff_t i = 0; i < count; i++) sums[i] += LOAD(x + block * stride + i * CNN_LANES);
  ISA(lane_totals)(&total, sums, count);
  float mean[CNN_LANES], inverse[CNN_LANES];
  STORE(mean, total / channels);

  for (ptrdiff_t i = 0; i < count; i++) sums[i] = zero;
  for (ptrdiff_t block = 0; block < blocks; block++) {
    const i32x16 exists = EXISTS(block_lanes(s->x.channels, block));
    for (ptrdiff_t i = 0; i < count; i++) {
      const f32x16 d = LOAD(x + block * stride + i * CNN_LANES) - mean[i];
      sums[i] += exists ? d * d : zero;
    }
  }
  ISA(lane_totals)(&total, sums, count);
  STORE(inverse, 1.0f / __builtin_elementwise_sqrt(total / channels + s->epsilon));

  memcpy(means, mean, (size_t)count * sizeof *mean);
  memcpy(inverses, inverse, (size_t)count * sizeof *inverse);
  for (ptrdiff_t block = 0; block < blocks; block++) {
    f32x16 weight, bias;
    ISA(norm_affine)(&weight, &bias, affine, s->x.channels, block);
    for (ptrdiff_t i = 0; i < count; i++) {
      const ptrdiff_t at = block * stride + i * CNN_LANES;
      STORE(y + at, (LOAD(x + at) - mean[i]) * inverse[i] * weight + bias);
    }
  }
}

static void ISA(layer_norm_forward)(float *y, float *means, float *inverses, const float *x,
                                    const cnn_norm_affine *affine, const cnn_norm_shape *s) {
  const ptrdiff_t stride = s->x.n * s->x.area * CNN_LANES, end = (s->x.first + s->x.images) * s->x.area;
  for (ptrdiff_t pixel = s->x.first * s->x.area; pixel < end; pixel += CNN_LANES) {
    const ptrdiff_t at = pixel * CNN_LANES, count = smaller(CNN_LANES, end - pixel);
    if (count == CNN_LANES)
      ISA(layer_norm_pixels)(y + at, means + pixel, inverses + pixel, x + at, affine, s, stride, CNN_LANES);
    else ISA(layer_norm_pixels)(y + at, means + pixel, inverses + pixel, x + at, affine, s, stride, count);
  }
}

static void ISA(layer_norm_sums)(float *dweight, float *dbias, const float *dy, const float *x,
                                 const float *means, const float *inverses, const cnn_norm_shape *s) {
  const ptrdiff_t first = s->x.first * s->x.area, end = first + s->x.images * s->x.area;
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++) {
    const i32x16 exists = EXISTS(block_lanes(s->x.channels, block));
    const ptrdiff_t row = block * s->x.n * s->x.area;
    f64x16 sum = 0, dot = 0;
    for (ptrdiff_t start = first; start < end; start += SUM_RUN) {
      f32x16 sums = 0, dots = 0;
      for (ptrdiff_t pixel = start; pixel < smaller(start + SUM_RUN, end); pixel++) {
        const f32x16 g = LOAD(dy + (row + pixel) * CNN_LANES);
        const f32x16 h = (LOAD(x + (row + pixel) * CNN_LANES) - means[pixel]) * inverses[pixel];
        sums += g;
        dots += exists ? g * h : (f32x16)0;
      }
      sum += WIDEN(sums);
      dot += WIDEN(dots);
    }
    STORE(dweight + block * CNN_LANES, NARROW(dot));
    STORE(dbias + block * CNN_LANES, NARROW(sum));
  }
}

CNN_INLINE void ISA(layer_norm_gradient)(float *dx, const float *dy, const float *x, const float *mean,
                                         const float *inverse, const cnn_norm_affine *affine,
                                         const cnn_norm_shape *s, ptrdiff_t stride, const ptrdiff_t count) {
  const ptrdiff_t blocks = block_count(s->x.channels);
  const float channels = (float)s->x.channels;
  f32x16 sums[CNN_LANES], dots[CNN_LANES], weight, bias, total;
  for (ptrdiff_t i = 0; i < count; i++) sums[i] = dots[i] = 0;
// g and h of pixel i in a block.
#define TERMS                                                                \
  const ptrdiff_t at = block * stride + i * CNN_LANES;                       \
  const f32x16 g = LOAD(dy + at) * weight;                                   \
  const f32x16 h = exists ? (LOAD(x + at) - mean[i]) * inverse[i] : (f32x16)0;
  for (ptrdiff_t block = 0; block < blocks; block++) {
    const i32x16 exists = EXISTS(block_lanes(s->x.channels, block));
    ISA(norm_affine)(&weight, &bias, affine, s->x.channels, block);
    for (ptrdiff_t i = 0; i < count; i++) {
      TERMS
      sums[i] += g;
      dots[i] += g * h;
    }
  }
  float offset[CNN_LANES], slope[CNN_LANES];
  ISA(lane_totals)(&total, sums, count);
  STORE(offset, total / channels);
  ISA(lane_totals)(&total, dots, count);
  STORE(slope, total / channels);
  for (ptrdiff_t block = 0; block < blocks; block++) {
    const i32x16 exists = EXISTS(block_lanes(s->x.channels, block));
    ISA(norm_affine)(&weight, &bias, affine, s->x.channels, block);
    for (ptrdiff_t i = 0; i < count; i++) {
      TERMS
      const f32x16 d = inverse[i] * (g - offset[i] - h * slope[i]);
      STORE(dx + at, exists ? d : (f32x16)0);
    }
  }
#undef TERMS
}

static void ISA(layer_norm_backward)(float *dx, const float *dy, const float *x, const float *means,
                                     const float *inverses, const cnn_norm_affine *affine,
                                     const cnn_norm_shape *s) {
  const ptrdiff_t stride = s->x.n * s->x.area * CNN_LANES, end = (s->x.first + s->x.images) * s->x.area;
  for (ptrdiff_t pixel = s->x.first * s->x.area; pixel < end; pixel += CNN_LANES) {
    const ptrdiff_t at = pixel * CNN_LANES, count = smaller(CNN_LANES, end - pixel);
    if (count == CNN_LANES)
      ISA(layer_norm_gradient)(dx + at, dy + at, x + at, means + pixel, inverses + pixel, affine, s, stride,
                               CNN_LANES);
    else
      ISA(layer_norm_gradient)(dx + at, dy + at, x + at, means + pixel, inverses + pixel, affine, s, stride,
                               count);
  }
}

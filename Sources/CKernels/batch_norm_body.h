// No fused multiply-adds: all instruction sets give the same bits, and memory is what takes the time.

// Batch norm of a pixel. Forward and backward must spell it alike: backward finds gates and winners
// again from its bits.
#define NORM(x, map) (((x) - (map).mean) * (map).scale + (map).shift)
#define RELU(v) ((v) < (f32x16)0 ? (f32x16)0 : (v))
// Where the gate is closed dy counts for nothing; a NaN passes, as in PyTorch.
#define GATE(dy, y) ((y) <= (f32x16)0 ? (f32x16)0 : (dy))

CNN_INLINE void ISA(batch_norm_map_of)(batch_norm_map *map, f32x16 *mean, f32x16 *inverse,
                                       const cnn_batch_norm_affine *affine, const cnn_batch_norm_shape *s,
                                       ptrdiff_t block) {
  const i32x16 exists = EXISTS(block_lanes(s->x.channels, block));
  const f32x16 zero = 0;
  const f32x16 weight = affine->weight ? LOAD(affine->weight + block * CNN_LANES) : (f32x16)1;
  map->mean = *mean;
  map->scale = exists ? *inverse * weight : zero;
  map->shift = affine->bias ? LOAD(affine->bias + block * CNN_LANES) : zero;
}

CNN_INLINE void ISA(batch_norm_saved_map)(batch_norm_map *map, f32x16 *inverse, const float *saved,
                                          const cnn_batch_norm_affine *affine, const cnn_batch_norm_shape *s,
                                          ptrdiff_t block) {
  f32x16 mean = LOAD(row_of(saved, CNN_NORM_MEAN, s->x.channels, block));
  *inverse = LOAD(row_of(saved, CNN_NORM_INVERSE, s->x.channels, block));
  ISA(batch_norm_map_of)(map, &mean, inverse, affine, s, block);
}

#include "batch_norm_forward_body.h"

#include "batch_norm_backward_body.h"

#include "batch_norm_pool_body.h"

// Saves the statistics of a block, which come from `count` values per channel, and norms it by them.
CNN_INLINE void ISA(batch_norm_forward_block)(float *y, float *saved, const f64x16 *centre,
                                              const f64x16 *squares, double count, const float *x,
                                              const float *residual, const cnn_batch_norm_affine *affine,
                                              const cnn_batch_norm_shape *s, ptrdiff_t block) {
  const ptrdiff_t channels = s->x.channels;
  const f64x16 zero = 0;
  const f64x16 deviation = __builtin_elementwise_sqrt(*squares / count + (double)s->epsilon);
  const i32x16 exists = EXISTS(block_lanes(channels, block));
  f32x16 mean = NARROW(*centre), inverse = exists ? NARROW(1 / deviation) : (f32x16)0;
  STORE((float *)row_of(saved, CNN_NORM_MEAN, channels, block), mean);
  STORE((float *)row_of(saved, CNN_NORM_INVERSE, channels, block), inverse);
  STORE((float *)row_of(saved, CNN_NORM_UNBIASED, channels, block),
        NARROW(count > 1 ? *squares / (count - 1) : zero));
  batch_norm_map map;
  ISA(batch_norm_map_of)(&map, &mean, &inverse, affine, s, block);
  ISA(batch_norm_apply)(y, x, residual, &map, s, block);
}

static void ISA(batch_norm_forward_training)(float *y, float *saved, const float *x, const float *residual,
                                             const cnn_batch_norm_affine *affine,
                                             const cnn_batch_norm_shape *s) {
  const ptrdiff_t pixels = s->x.images * s->x.area;
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++) {
    f64x16 centre, squares;
    ISA(batch_norm_moments)(&centre, &squares, x + run_start(&s->x, block), pixels);
    ISA(batch_norm_forward_block)(y, saved, &centre, &squares, (double)pixels, x, residual, affine, s, block);
  }
}

static void ISA(batch_norm_own_moments)(double *pooled, const float *x, const cnn_batch_norm_shape *s) {
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++) {
    f64x16 centre, squares;
    ISA(batch_norm_moments)(&centre, &squares, x + run_start(&s->x, block), s->x.images * s->x.area);
    STORE_WIDE(pooled_row(pooled, CNN_NORM_POOLED_MEAN, s->x.channels, block), centre);
    STORE_WIDE(pooled_row(pooled, CNN_NORM_POOLED_SQUARES, s->x.channels, block), squares);
  }
}

static void ISA(batch_norm_forward_pooled)(float *y, float *saved, const double *pooled, double count,
                                           const float *x, const float *residual,
                                           const cnn_batch_norm_affine *affine,
                                           const cnn_batch_norm_shape *s) {
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++) {
    const f64x16 centre = LOAD_WIDE(pooled_row(pooled, CNN_NORM_POOLED_MEAN, s->x.channels, block));
    const f64x16 squares = LOAD_WIDE(pooled_row(pooled, CNN_NORM_POOLED_SQUARES, s->x.channels, block));
    ISA(batch_norm_forward_block)(y, saved, &centre, &squares, count, x, residual, affine, s, block);
  }
}

static void ISA(batch_norm_forward_inference)(float *y, const float *x, const float *residual,
                                              const float *mean, const float *variance,
                                              const cnn_batch_norm_affine *affine,
                                              const cnn_batch_norm_shape *s) {
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++) {
    const f32x16 v = LOAD(variance + block * CNN_LANES);
    f32x16 centre = LOAD(mean + block * CNN_LANES);
    f32x16 inverse = NARROW(1 / __builtin_elementwise_sqrt(WIDEN(v) + (double)s->epsilon));
    batch_norm_map map;
    ISA(batch_norm_map_of)(&map, &centre, &inverse, affine, s, block);
    ISA(batch_norm_apply)(y, x, residual, &map, s, block);
  }
}

// The rows offset and slope of a block, from sum g and sum g * (x - mean) over `count` values per channel.
CNN_INLINE void ISA(batch_norm_save_line)(float *saved, const f64x16 *sum, const f64x16 *dot, double count,
                                          const cnn_batch_norm_shape *s, ptrdiff_t block) {
  const f64x16 inverse = WIDEN(LOAD(row_of(saved, CNN_NORM_INVERSE, s->x.channels, block)));
  STORE((float *)row_of(saved, CNN_NORM_OFFSET, s->x.channels, block), NARROW(*sum / count));
  STORE((float *)row_of(saved, CNN_NORM_SLOPE, s->x.channels, block),
        NARROW(*dot * inverse * inverse / count));
}

// The sums of a block, to where they are wanted.
CNN_INLINE void ISA(batch_norm_block_sums)(float *dweight, float *dbias, float *dresidual, float *saved,
                                           double *pooled, const float *dy, const float *x, const float *y,
                                           const cnn_batch_norm_affine *affine,
                                           const cnn_batch_norm_shape *s, ptrdiff_t block) {
  batch_norm_map map;
  f32x16 inverse;
  ISA(batch_norm_saved_map)(&map, &inverse, saved, affine, s, block);
  f64x16 sum, dot;
  if (s->after == CNN_AFTER_NORM_RELU_MAX_POOL)
    ISA(batch_norm_pool_sums)(&sum, &dot, dy, x, y, &map, affine, s, block);
  else ISA(batch_norm_sums_after)(&sum, &dot, dresidual, dy, x, y, &map, s, block);
  if (dbias) STORE(dbias + block * CNN_LANES, NARROW(sum));
  if (dweight) STORE(dweight + block * CNN_LANES, NARROW(dot * WIDEN(inverse)));
  if (pooled) {
    STORE_WIDE(pooled_row(pooled, CNN_NORM_POOLED_SUM, s->x.channels, block), sum);
    STORE_WIDE(pooled_row(pooled, CNN_NORM_POOLED_DOT, s->x.channels, block), dot);
  } else {
    ISA(batch_norm_save_line)(saved, &sum, &dot, (double)(s->x.images * s->x.area), s, block);
  }
}

CNN_INLINE void ISA(batch_norm_block_data)(float *dx, const float *saved, const float *dy, const float *x,
                                           const float *y, const cnn_batch_norm_affine *affine,
                                           const cnn_batch_norm_shape *s, ptrdiff_t block) {
  batch_norm_map map;
  f32x16 inverse;
  ISA(batch_norm_saved_map)(&map, &inverse, saved, affine, s, block);
  const batch_norm_line line = {LOAD(row_of(saved, CNN_NORM_OFFSET, s->x.channels, block)),
                                LOAD(row_of(saved, CNN_NORM_SLOPE, s->x.channels, block))};
  if (s->after == CNN_AFTER_NORM_RELU_MAX_POOL)
    ISA(batch_norm_pool_gradient)(dx, dy, x, y, &map, &line, s, block);
  else ISA(batch_norm_gradient_after)(dx, dy, x, y, &map, &line, s, block);
}

static void ISA(batch_norm_backward_sums)(float *dweight, float *dbias, float *dresidual, float *saved,
                                          double *pooled, const float *dy, const float *x, const float *y,
                                          const cnn_batch_norm_affine *affine,
                                          const cnn_batch_norm_shape *s) {
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++)
    ISA(batch_norm_block_sums)(dweight, dbias, dresidual, saved, pooled, dy, x, y, affine, s, block);
}

static void ISA(batch_norm_backward_data)(float *dx, const float *saved, const float *dy, const float *x,
                                          const float *y, const cnn_batch_norm_affine *affine,
                                          const cnn_batch_norm_shape *s) {
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++)
    ISA(batch_norm_block_data)(dx, saved, dy, x, y, affine, s, block);
}

static void ISA(batch_norm_backward)(float *dx, float *dweight, float *dbias, float *dresidual, float *saved,
                                     const float *dy, const float *x, const float *y,
                                     const cnn_batch_norm_affine *affine, const cnn_batch_norm_shape *s) {
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++) {
    ISA(batch_norm_block_sums)(dweight, dbias, dresidual, saved, NULL, dy, x, y, affine, s, block);
    ISA(batch_norm_block_data)(dx, saved, dresidual ? dresidual : dy, x, dresidual ? NULL : y, affine, s, block);
  }
}

static void ISA(batch_norm_pooled_line)(float *saved, const double *pooled, double count,
                                        const cnn_batch_norm_shape *s) {
  for (ptrdiff_t block = 0; block < block_count(s->x.channels); block++) {
    const f64x16 sum = LOAD_WIDE(pooled_row(pooled, CNN_NORM_POOLED_SUM, s->x.channels, block));
    const f64x16 dot = LOAD_WIDE(pooled_row(pooled, CNN_NORM_POOLED_DOT, s->x.channels, block));
    ISA(batch_norm_save_line)(saved, &sum, &dot, count, s, block);
  }
}

#undef NORM
#undef RELU
#undef GATE

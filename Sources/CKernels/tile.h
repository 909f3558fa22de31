#pragma once
// What the micro-kernels of tile_body.h are told.

#include <stdbool.h>
#include <stddef.h>

#include "convolution.h"
#include "leaves.h"

// The sizes of the register tiles. AVX-512 keeps 28 of its 32 registers as accumulators of nn, AVX2
// 12 of its 16 (a vector of 16 floats takes two). tn has fewer rows, since they must divide 16.
enum {
  tile_nn_rows_ref = 3,
  tile_nn_rows_avx2 = 6,
  tile_nn_rows_avx512 = 14,
  tile_nn_rows_avx512bf16 = 14,
  tile_nn_vectors_ref = 1,
  tile_nn_vectors_avx2 = 1,
  tile_nn_vectors_avx512 = 2,
  tile_nn_vectors_avx512bf16 = 2,
  tile_tn_rows_ref = 4,
  tile_tn_rows_avx2 = 4,
  tile_tn_rows_avx512 = 8,
  tile_tn_rows_avx512bf16 = 8,
  tile_tn_vectors_ref = 1,
  tile_tn_vectors_avx2 = 1,
  tile_tn_vectors_avx512 = 2,
  tile_tn_vectors_avx512bf16 = 2,
};

// C = the sum over taps of A(tap) * B(tap). A is blocked by k: value k of row r lies at
// k / 16 * a_block + r * a_row + k % 16 (a_row is known where the kernel is compiled). B(tap) is
// [depth][width]. All strides count floats.
typedef struct {
  ptrdiff_t depth;     // products per tap; need not be a multiple of 16
  ptrdiff_t a_block;
  ptrdiff_t taps_h, taps_w;    // 1, 1 for a plain product
  ptrdiff_t a_tap_h, a_tap_w;  // from a tap to the one below, and to its right neighbour
  ptrdiff_t b_tap_h, b_tap_w;
  ptrdiff_t c_row, c_vector;  // from a row of C to the next, and from 16 columns to the next 16
  bool add;                   // C's own values are what the sums start from
} tile_nn;

// D = the sum over points p of A(p)^T * B(p): D[i][j] of row i and column j gathers a[p][i] * b[p][j].
// The points are `lines` lines of `count` points each.
typedef struct {
  ptrdiff_t lines, count;
  ptrdiff_t a_line, a_point;
  ptrdiff_t b_line, b_point, b_vector;
  ptrdiff_t d_row, d_vector;
} tile_tn;

// Floats of a gradient of 16 inputs and a panel of outputs.
enum { tile_cell = CNN_BLOCK * CNN_PANEL };

// Tiles that a tile is to be added to, which lie as it does, and one before the other.
typedef struct {
  const float *last;
  ptrdiff_t count;
} tile_others;

enum { tile_line = 16 };  // floats of a cache line

// Weights to be fetched into L2 while others are at work: `runs` of `floats` neighbours, `stride` floats
// apart. All at once would wait for memory.
typedef struct {
  const float *at;
  ptrdiff_t stride, floats, runs;
  ptrdiff_t lines, done;  // at a time; floats of the run that are fetched
} tile_fetch;

static inline void tile_fetch_some(tile_fetch *f) {
  for (ptrdiff_t line = 0; line < f->lines && f->runs > 0; line++) {
    __builtin_prefetch(f->at + f->done, 0, 2);
    f->done += tile_line;
    if (f->done < f->floats) continue;
    f->done = 0, f->at += f->stride, f->runs--;
  }
}

#pragma once
// What the micro-kernel of tile_taps_body.h is told.

#include <stddef.h>

// C = the sum over taps of A(tap) * B(tap), for rows of A in several lines. Value k of row r in line l
// lies at a_taps[tap] + k / 16 * a_block + l * a_line + r * 16 + k % 16 of A; B is [taps][depth][width].
typedef struct {
  ptrdiff_t taps;
  const ptrdiff_t *a_taps;
  ptrdiff_t depth, a_block;
  ptrdiff_t a_line, c_line;
  ptrdiff_t c_row, c_vector;
} tile_taps;

// Outputs that are convolved from pictures of images (packing.h): `images` of `lines` x `columns`.
typedef struct {
  tile_taps tile;
  ptrdiff_t images, lines, columns;
  ptrdiff_t a_image, c_image;
} tile_sweep;

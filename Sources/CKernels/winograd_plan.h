// How Winograd's algorithm cuts a 3 x 3 convolution of stride 1 into tiles, for tiles of
// WINOGRAD_OUT x WINOGRAD_OUT outputs. Included once by winograd2.c, winograd4.c and winograd5.c.
//
//   Y = Aᵀ [ Σ over ic of (G w Gᵀ) ∘ (Bᵀ x B) ] A        (Lavin & Gray 2016, arXiv:1509.09308)
//
// turns it into one matrix product for each of the (WINOGRAD_OUT + 2)² positions of a tile. Two ways:
//
//   narrow  a block of tiles goes through all steps while its V (transformed inputs) and M (products)
//           are in L2; the transformed weights U are made once a step and shared by all threads.
//   wide    U would be read from memory for every block: instead V of many tiles is made at once, and
//           for a panel of 32 output channels after the other the weights are transformed on the spot,
//           64 input channels at a time, multiplied, and the products transformed out.
//
// Which one depends on channels and the tiles of an image alone. Both compute each output by the same
// operations in the same order, whatever the blocks.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "convolution_geometry.h"
#include "tile.h"

#define WINOGRAD_IN (WINOGRAD_OUT + 2)
#define WINOGRAD_POSITIONS (WINOGRAD_IN * WINOGRAD_IN)
// Whether a tile holds whole windows of a pool.
#define WINOGRAD_POOLS (WINOGRAD_OUT % 2 == 0)

// Vectors that the transforms work in: the widest that the registers hold.
enum { winograd_lanes_ref = 4, winograd_lanes_avx2 = 8, winograd_lanes_avx512 = 16 };

enum {
  // Above this many pairs of channels U is wide: 128 x 128 pairs are 2.4 MB for F(4 x 4).
  winograd_narrow_pairs = 128 * 128,
  // Up to so many tiles of an image, U takes longer to be written to memory and read than to be made again.
  winograd_wide_tiles = 1,
  // Floats of V and M that a block may hold. In the narrow way they share L2 with U and with what is
  // fetched for the next block; but a block has at least so many tiles, or the register tiles would be
  // reloaded too often. Backward weights, which carries its sums from block to block, wants more.
  winograd_narrow_floats = 128 << 10,
  winograd_narrow_tiles = 28,
  winograd_gradient_floats = 192 << 10,
  winograd_gradient_tiles = 42,
  winograd_wide_floats = 3 << 20,
  // Input channels whose U the wide way makes at a time: 0.3 MB for F(4 x 4), which stay in L2.
  winograd_wide_depth = 64,
  // Rows of a tile of dU: they divide 16 and are a multiple of tile_tn_rows.
  winograd_gradient_rows = 8,
};

typedef struct {
  ptrdiff_t channels, height, width;
} winograd_map;

// One pass, seen as a convolution of `in` that gives `out`; in backward_weights they are x and dy.
typedef struct {
  winograd_map in, out;
  ptrdiff_t n, first, ph, pw;
  ptrdiff_t tiles_h, tiles_w, tiles;  // of an image, down and across; of the call
  ptrdiff_t blocks, block;            // blocks of tiles, and the tiles of the largest
  ptrdiff_t most;                     // tiles that a block may have
  bool wide;
  // Floats from one position to the next in V, M, U and dU. 16 more than their size, so that the
  // positions of a tile don't all fall on the same cache sets where channels are powers of two.
  ptrdiff_t v_position, m_position, u_position;
} winograd_plan;

// A tile of the call: its image (counted from the first of the call), row and column.
typedef struct {
  ptrdiff_t image, row, column;
} winograd_tile;

static inline ptrdiff_t winograd_padded(ptrdiff_t channels) { return conv_blocks(channels) * CNN_BLOCK; }

static inline winograd_plan winograd_plan_for(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const bool back = pass == CNN_CONV_BACKWARD_DATA;
  const winograd_map x = {s->ic, s->ih, s->iw}, y = {s->oc, s->oh, s->ow};
  winograd_plan p = {.in = back ? y : x, .out = back ? x : y, .n = s->n, .first = s->first};
  // dx is dy, padded by what the kernel reaches beyond the padding of x, times the turned kernel.
  p.ph = back ? 2 - s->ph : s->ph;
  p.pw = back ? 2 - s->pw : s->pw;
  p.tiles_h = ceiling(p.out.height, WINOGRAD_OUT);
  p.tiles_w = ceiling(p.out.width, WINOGRAD_OUT);
  p.tiles = s->images * p.tiles_h * p.tiles_w;
  p.wide = s->ic * s->oc > winograd_narrow_pairs || p.tiles_h * p.tiles_w <= winograd_wide_tiles;

  const ptrdiff_t in = winograd_padded(p.in.channels), out = winograd_padded(p.out.channels);
  const bool weights = pass == CNN_CONV_BACKWARD_WEIGHTS;
  const ptrdiff_t products = p.wide && !weights ? CNN_PANEL : out;
  ptrdiff_t floats = weights ? winograd_gradient_floats : winograd_narrow_floats;
  if (p.wide) floats = winograd_wide_floats;
  const ptrdiff_t least = weights ? winograd_gradient_tiles : winograd_narrow_tiles;
  p.most = larger(floats / (WINOGRAD_POSITIONS * (in + products)), least);
  p.blocks = ceiling(p.tiles, p.most);
  p.block = ceiling(p.tiles, larger(p.blocks, 1));
  p.v_position = in * p.block + 16;
  p.m_position = products * p.block + 16;
  if (weights) p.u_position = p.wide ? winograd_gradient_rows * CNN_PANEL : in * out + 16;
  else if (p.wide) p.u_position = smaller(p.in.channels, winograd_wide_depth) * CNN_PANEL + 16;
  else p.u_position = p.in.channels * out + 16;
  return p;
}

// What a pool of 2 x 2 leaves of a map.
static inline winograd_map winograd_pooled(const winograd_map *map) {
  return (winograd_map){map->channels, map->height / 2, map->width / 2};
}

static inline ptrdiff_t winograd_block_tiles(const winograd_plan *p, ptrdiff_t block) {
  return p->tiles / p->blocks + (block < p->tiles % p->blocks);
}

static inline winograd_tile winograd_tile_at(const winograd_plan *p, ptrdiff_t index) {
  const ptrdiff_t line = index / p->tiles_w;
  return (winograd_tile){line / p->tiles_h, line % p->tiles_h, index % p->tiles_w};
}

static inline void winograd_advance(const winograd_plan *p, winograd_tile *tile) {
  if (++tile->column < p->tiles_w) return;
  tile->column = 0;
  if (++tile->row < p->tiles_h) return;
  tile->row = 0;
  tile->image++;
}

// The first float of the call's first image in a block of 16 channels.
static inline ptrdiff_t winograd_block_offset(const winograd_plan *p, const winograd_map *map, ptrdiff_t c) {
  return (c / CNN_BLOCK * p->n + p->first) * map->height * map->width * CNN_BLOCK;
}

static bool winograd_fits(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return s->kh == 3 && s->kw == 3 && s->sh == 1 && s->sw == 1 && s->dh == 1 && s->dw == 1 && s->groups == 1 &&
         !s->planar && s->ph >= 0 && s->ph <= 2 && s->pw >= 0 && s->pw <= 2;
}

static size_t winograd_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const winograd_plan p = winograd_plan_for(s, pass);
  return pass == CNN_CONV_BACKWARD_WEIGHTS || p.wide ? 0 : (size_t)(WINOGRAD_POSITIONS * p.u_position);
}

// Blocks are of nearly equal size, so the largest of more images may be smaller than that of fewer; memory
// for more images serves fewer all the same.
static size_t winograd_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  const winograd_plan p = winograd_plan_for(s, pass);
  const ptrdiff_t spare = (smaller(p.most, p.tiles) - p.block) * ((p.v_position + p.m_position - 32) / p.block);
  const bool prepared = pass != CNN_CONV_BACKWARD_WEIGHTS && !p.wide;
  return (size_t)(WINOGRAD_POSITIONS * (p.v_position + p.m_position + spare + (prepared ? 0 : p.u_position)));
}

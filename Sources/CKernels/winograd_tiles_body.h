// From activations to the positions of tiles: V[position][ic / 16][tile][16] and M, its like. A tile that reaches
// over the edge has zeros there.

#define UNROLL _Pragma("clang loop unroll(full)")

// d = Bᵀ d B of a tile, or A d Aᵀ of one of dy, stored position by position.
CNN_INLINE void ISA(winograd_store_input)(float *v, ptrdiff_t v_position, WVEC *d) {
  UNROLL for (int j = 0; j < WINOGRAD_IN; j++) ISA(winograd_input)(d + j, WINOGRAD_IN);
  UNROLL for (int i = 0; i < WINOGRAD_IN; i++) {
    ISA(winograd_input)(d + i * WINOGRAD_IN, 1);
    UNROLL for (int j = 0; j < WINOGRAD_IN; j++)
      WSTORE(v + (i * WINOGRAD_IN + j) * v_position, d[i * WINOGRAD_IN + j]);
  }
}

CNN_INLINE void ISA(winograd_store_gradient)(float *v, ptrdiff_t v_position, const WVEC *d) {
  WVEC e[WINOGRAD_IN * WINOGRAD_OUT];
  UNROLL for (int j = 0; j < WINOGRAD_OUT; j++)
    ISA(winograd_gradient)(e + j, WINOGRAD_OUT, d + j, WINOGRAD_OUT);
  UNROLL for (int i = 0; i < WINOGRAD_IN; i++) {
    WVEC f[WINOGRAD_IN];
    ISA(winograd_gradient)(f, 1, e + i * WINOGRAD_OUT, 1);
    UNROLL for (int j = 0; j < WINOGRAD_IN; j++) WSTORE(v + (i * WINOGRAD_IN + j) * v_position, f[j]);
  }
}

// The square of `side` points whose corner is (top, left), of a map whose image starts at `image`.
CNN_INLINE void ISA(winograd_load)(const int side, const bool whole, WVEC *d, const float *image,
                                   const winograd_map *map, ptrdiff_t top, ptrdiff_t left) {
  if (whole) {
    const float *from = image + (top * map->width + left) * CNN_BLOCK;
    UNROLL for (int i = 0; i < side; i++)
      UNROLL for (int j = 0; j < side; j++) d[i * side + j] = WLOAD(from + (i * map->width + j) * CNN_BLOCK);
    return;
  }
  // A row outside the map is read from zeros, so that only columns need a branch.
  static const float zeros[WINOGRAD_IN * CNN_BLOCK] __attribute__((aligned(64)));
  const float *rows[WINOGRAD_IN];
  UNROLL for (int i = 0; i < side; i++)
    rows[i] = (size_t)(top + i) < (size_t)map->height ? image + (top + i) * map->width * CNN_BLOCK : NULL;
  UNROLL for (int j = 0; j < side; j++) {
    const bool inside = (size_t)(left + j) < (size_t)map->width;
    UNROLL for (int i = 0; i < side; i++)
      d[i * side + j] = inside ? WLOAD(rows[i] ? rows[i] + (left + j) * CNN_BLOCK : zeros) : (WVEC)0;
  }
}

CNN_INLINE bool ISA(winograd_whole)(const int side, const winograd_map *map, ptrdiff_t top, ptrdiff_t left) {
  return top >= 0 && left >= 0 && top + side <= map->height && left + side <= map->width;
}

// V of `count` tiles from `start`. `gradient`: x is dy, and its tiles are those of the outputs.
CNN_INLINE void ISA(winograd_transform)(const bool gradient, const winograd_plan *p, const winograd_map *map,
                                        float *v, ptrdiff_t v_position, const float *x, ptrdiff_t start,
                                        ptrdiff_t count) {
  const int side = gradient ? WINOGRAD_OUT : WINOGRAD_IN;
  const ptrdiff_t size = map->height * map->width * CNN_BLOCK;
  for (ptrdiff_t c = 0; c < map->channels; c += CNN_BLOCK) {
    const float *images = x + winograd_block_offset(p, map, c);
    winograd_tile tile = winograd_tile_at(p, start);
    for (ptrdiff_t t = 0; t < count; t++, v += CNN_BLOCK, winograd_advance(p, &tile)) {
      const ptrdiff_t top = tile.row * WINOGRAD_OUT - (gradient ? 0 : p->ph);
      const ptrdiff_t left = tile.column * WINOGRAD_OUT - (gradient ? 0 : p->pw);
      const bool whole = ISA(winograd_whole)(side, map, top, left);
      for (int lane = 0; lane < CNN_BLOCK; lane += WLANES) {
        const float *image = images + tile.image * size + lane;
        WVEC d[WINOGRAD_POSITIONS];
        if (whole) {
          ISA(winograd_load)(side, true, d, image, map, top, left);
          if (gradient) ISA(winograd_store_gradient)(v + lane, v_position, d);
          else ISA(winograd_store_input)(v + lane, v_position, d);
        } else {
          ISA(winograd_load)(side, false, d, image, map, top, left);
          if (gradient) ISA(winograd_store_gradient)(v + lane, v_position, d);
          else ISA(winograd_store_input)(v + lane, v_position, d);
        }
      }
    }
  }
}

static void ISA(winograd_transform_input)(const winograd_plan *p, float *v, const float *x, ptrdiff_t start,
                                          ptrdiff_t count) {
  ISA(winograd_transform)(false, p, &p->in, v, p->v_position, x, start, count);
}

static void ISA(winograd_transform_gradient)(const winograd_plan *p, float *m, const float *dy,
                                             ptrdiff_t start, ptrdiff_t count) {
  ISA(winograd_transform)(true, p, &p->out, m, p->m_position, dy, start, count);
}

// Fetches into L2 what a transform will read, or write, of one tile and channel block: unit / count is the
// block, unit % count the tile. While the products run memory has nothing else to do.
CNN_INLINE void ISA(winograd_prefetch)(const winograd_plan *p, const winograd_map *map, const float *x,
                                       ptrdiff_t start, ptrdiff_t count, ptrdiff_t unit) {
  const winograd_tile tile = winograd_tile_at(p, start + unit % count);
  const ptrdiff_t top = tile.row * WINOGRAD_OUT, left = tile.column * WINOGRAD_OUT;
  const float *image = x + winograd_block_offset(p, map, unit / count * CNN_BLOCK) +
                       tile.image * map->height * map->width * CNN_BLOCK;
  for (ptrdiff_t i = top; i < top + WINOGRAD_OUT && i < map->height; i++)
    for (ptrdiff_t j = left; j < left + WINOGRAD_OUT && j < map->width; j++)
      __builtin_prefetch(image + (i * map->width + j) * CNN_BLOCK, 0, 2);
}

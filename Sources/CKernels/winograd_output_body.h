// From the positions of tiles to activations: M back to y. Outputs of a tile that lie over the edge are dropped.

// Aᵀ m of a tile.
CNN_INLINE void ISA(winograd_columns)(WVEC *e, const float *m, ptrdiff_t m_position) {
  UNROLL for (int j = 0; j < WINOGRAD_IN; j++) {
    WVEC column[WINOGRAD_IN];
    UNROLL for (int i = 0; i < WINOGRAD_IN; i++) column[i] = WLOAD(m + (i * WINOGRAD_IN + j) * m_position);
    ISA(winograd_output)(e + j, WINOGRAD_IN, column, 1);
  }
}

// Aᵀ m A + bias of a tile, with what else ends it, without the outputs that lie over the edge. `residual`
// is where `image` is in y, or NULL.
CNN_INLINE void ISA(winograd_store_output)(const bool whole, const bool ends, float *image,
                                           const winograd_map *map, ptrdiff_t top, ptrdiff_t left,
                                           const float *m, ptrdiff_t m_position, WVEC bias,
                                           const float *residual, bool relu) {
  WVEC e[WINOGRAD_OUT * WINOGRAD_IN];
  ISA(winograd_columns)(e, m, m_position);
  float *to = image + (top * map->width + left) * CNN_BLOCK;
  UNROLL for (int i = 0; i < WINOGRAD_OUT; i++, to += map->width * CNN_BLOCK) {
    WVEC o[WINOGRAD_OUT];
    ISA(winograd_output)(o, 1, e + i * WINOGRAD_IN, 1);
    if (!whole && top + i >= map->height) break;
    UNROLL for (int j = 0; j < WINOGRAD_OUT; j++)
      if (whole || left + j < map->width) {
        WVEC value = o[j] + bias;
        if (ends && residual) value += WLOAD(residual + (to - image) + j * CNN_BLOCK);
        if (ends && relu) value = value < (WVEC)0 ? (WVEC)0 : value;
        WSTORE(to + j * CNN_BLOCK, value);
      }
  }
}

#if WINOGRAD_POOLS
// The same where the ending pools: `map` is the pooled one, (top, left) the tile's corner in it.
CNN_INLINE void ISA(winograd_store_pooled)(const bool whole, float *image, const winograd_map *map, ptrdiff_t top,
                                           ptrdiff_t left, const float *m, ptrdiff_t m_position, WVEC bias,
                                           bool relu) {
  WVEC e[WINOGRAD_OUT * WINOGRAD_IN];
  ISA(winograd_columns)(e, m, m_position);
  float *to = image + (top * map->width + left) * CNN_BLOCK;
  UNROLL for (int i = 0; i < WINOGRAD_OUT; i += 2, to += map->width * CNN_BLOCK) {
    WVEC o[2 * WINOGRAD_OUT];
    ISA(winograd_output)(o, 1, e + i * WINOGRAD_IN, 1);
    ISA(winograd_output)(o + WINOGRAD_OUT, 1, e + (i + 1) * WINOGRAD_IN, 1);
    if (!whole && top + i / 2 >= map->height) break;
    UNROLL for (int j = 0; j < 2 * WINOGRAD_OUT; j++) {
      o[j] += bias;
      if (relu) o[j] = o[j] < (WVEC)0 ? (WVEC)0 : o[j];
    }
    UNROLL for (int j = 0; j < WINOGRAD_OUT; j += 2) {
      WVEC best = CONV_WINNER(o[j], o[j + 1]);
      best = CONV_WINNER(best, o[WINOGRAD_OUT + j]);
      best = CONV_WINNER(best, o[WINOGRAD_OUT + j + 1]);
      if (whole || left + j / 2 < map->width) WSTORE(to + j / 2 * CNN_BLOCK, best);
    }
  }
}

// winograd_transform_output where the ending pools.
static void ISA(winograd_transform_pooled)(const winograd_plan *p, float *y, const float *m,
                                           const cnn_conv_ending *ending, ptrdiff_t c, ptrdiff_t width,
                                           ptrdiff_t start, ptrdiff_t count) {
  const winograd_map map = winograd_pooled(&p->out);
  const ptrdiff_t size = map.height * map.width * CNN_BLOCK;
  for (const ptrdiff_t end = c + width; c < end; c += CNN_BLOCK) {
    float *images = y + winograd_block_offset(p, &map, c);
    winograd_tile tile = winograd_tile_at(p, start);
    for (ptrdiff_t t = 0; t < count; t++, m += CNN_BLOCK, winograd_advance(p, &tile)) {
      const ptrdiff_t top = tile.row * WINOGRAD_OUT / 2, left = tile.column * WINOGRAD_OUT / 2;
      const bool whole = ISA(winograd_whole)(WINOGRAD_OUT / 2, &map, top, left);
      for (int lane = 0; lane < CNN_BLOCK; lane += WLANES) {
        float *image = images + tile.image * size + lane;
        const WVEC b = ending->bias ? WLOAD(ending->bias + c + lane) : (WVEC)0;
        if (whole)
          ISA(winograd_store_pooled)(true, image, &map, top, left, m + lane, p->m_position, b, ending->relu);
        else ISA(winograd_store_pooled)(false, image, &map, top, left, m + lane, p->m_position, b, ending->relu);
      }
    }
  }
}
#endif

// Channels c ..< c + width of the outputs of `count` tiles from `start`.
static void ISA(winograd_transform_output)(const winograd_plan *p, float *y, const float *m,
                                           const cnn_conv_ending *ending, ptrdiff_t c, ptrdiff_t width,
                                           ptrdiff_t start, ptrdiff_t count) {
#if WINOGRAD_POOLS
  if (ending->pool) {
    ISA(winograd_transform_pooled)(p, y, m, ending, c, width, start, count);
    return;
  }
#endif
  const winograd_map *map = &p->out;
  const ptrdiff_t size = map->height * map->width * CNN_BLOCK;
  for (const ptrdiff_t end = c + width; c < end; c += CNN_BLOCK) {
    float *images = y + winograd_block_offset(p, map, c);
    winograd_tile tile = winograd_tile_at(p, start);
    for (ptrdiff_t t = 0; t < count; t++, m += CNN_BLOCK, winograd_advance(p, &tile)) {
      const ptrdiff_t top = tile.row * WINOGRAD_OUT, left = tile.column * WINOGRAD_OUT;
      const bool whole = ISA(winograd_whole)(WINOGRAD_OUT, map, top, left);
      for (int lane = 0; lane < CNN_BLOCK; lane += WLANES) {
        float *image = images + tile.image * size + lane;
        const WVEC b = ending->bias ? WLOAD(ending->bias + c + lane) : (WVEC)0;
        const float *residual = ending->residual ? ending->residual + (image - y) : NULL;
#define STORE_OUTPUT(whole, ends) \
  ISA(winograd_store_output)      \
  (whole, ends, image, map, top, left, m + lane, p->m_position, b, residual, ending->relu)
        if (!conv_ends(ending)) {
          if (whole) STORE_OUTPUT(true, false);
          else STORE_OUTPUT(false, false);
        } else {
          if (whole) STORE_OUTPUT(true, true);
          else STORE_OUTPUT(false, true);
        }
#undef STORE_OUTPUT
      }
    }
  }
}

#undef UNROLL

// Backward weights: dw = Gᵀ [ Σ over tiles of (Bᵀ x B) ∘ (A dy Aᵀ) ] G.

// dU[position] of 8 input channels and a panel: d[8][width] = (add ? d : 0) + Σ over tiles.
// v points to the first of the 8 channels, m to the panel's first block.
CNN_INLINE void ISA(winograd_gather)(float *d, const float *v, const float *m, ptrdiff_t width,
                                     ptrdiff_t count, bool add) {
  const tile_tn sum = {.lines = 1,
                       .count = count,
                       .a_point = CNN_BLOCK,
                       .b_point = CNN_BLOCK,
                       .b_vector = count * CNN_BLOCK,
                       .d_row = width,
                       .d_vector = CNN_BLOCK};
  const int rows = ISA(tile_tn_rows), vectors = ISA(tile_tn_vectors);
  for (int i = 0; i < winograd_gradient_rows; i += rows) {
    ptrdiff_t j = 0;
    for (; j + vectors * CNN_BLOCK <= width; j += vectors * CNN_BLOCK)
      ISA(tile_tn)(rows, vectors, &sum, v + i, m + j * count, d + i * width + j, add);
    if (j < width) ISA(tile_tn)(rows, 1, &sum, v + i, m + j * count, d + i * width + j, add);
  }
}

// Fetches into L2 half of V's next block of channels of a position, while those of channel i are at work.
CNN_INLINE void ISA(winograd_prefetch_channels)(const float *v, ptrdiff_t i, ptrdiff_t count) {
  const float *next = v + (i / CNN_BLOCK + 1) * CNN_BLOCK * count;
  const ptrdiff_t half = i % CNN_BLOCK ? count / 2 : 0;
  for (ptrdiff_t t = half; t < half + (count + 1) / 2; t++) __builtin_prefetch(next + t * CNN_BLOCK, 0, 2);
}

// The position of channel i of V's block of `count` tiles.
CNN_INLINE const float *ISA(winograd_channel)(const float *v, ptrdiff_t i, ptrdiff_t count) {
  return v + i / CNN_BLOCK * CNN_BLOCK * count + i % CNN_BLOCK;
}

// dU [position][panel][ic][width] gathers over all blocks.
static void ISA(winograd_narrow_gradient)(const winograd_plan *p, float *dw, const float *x, const float *dy,
                                          float *scratch) {
  const ptrdiff_t ic = p->in.channels, oc = p->out.channels, rows = winograd_padded(ic);
  float *v = scratch, *m = v + WINOGRAD_POSITIONS * p->v_position;
  float *du = m + WINOGRAD_POSITIONS * p->m_position;
  const ptrdiff_t panels = ceiling(oc, CNN_PANEL);
  for (ptrdiff_t block = 0, start = 0; block < p->blocks; block++) {
    const ptrdiff_t count = winograd_block_tiles(p, block);
    ISA(winograd_transform_input)(p, v, x, start, count);
    ISA(winograd_transform_gradient)(p, m, dy, start, count);

    const ptrdiff_t next = block + 1 < p->blocks ? winograd_block_tiles(p, block + 1) : 0;
    const ptrdiff_t units_x = next * conv_blocks(ic), units = units_x + next * conv_blocks(oc);
    ptrdiff_t fetched = 0, multiplied = 0;
    for (int position = 0; position < WINOGRAD_POSITIONS; position++)
      for (ptrdiff_t c = 0; c < oc; c += CNN_PANEL) {
        multiplied++;
        for (; fetched < units * multiplied / (WINOGRAD_POSITIONS * panels); fetched++)
          if (fetched < units_x) ISA(winograd_prefetch)(p, &p->in, x, start + count, next, fetched);
          else ISA(winograd_prefetch)(p, &p->out, dy, start + count, next, fetched - units_x);
        const ptrdiff_t width = conv_panel_width(oc, c);
        float *to = du + position * p->u_position + c * rows;
        for (ptrdiff_t i = 0; i < ic; i += winograd_gradient_rows)
          ISA(winograd_gather)(to + i * width, ISA(winograd_channel)(v + position * p->v_position, i, count),
                               m + position * p->m_position + c * count, width, count, block > 0);
      }
    start += count;
  }
  for (ptrdiff_t c = 0; c < oc; c += CNN_PANEL)
    ISA(winograd_store_weights)(p, dw, du + c * rows, c, 0, ic, false);
}

// A tile of dU, [position][8][32], stays in L1 over all positions, and is done with.
static void ISA(winograd_wide_gradient)(const winograd_plan *p, float *dw, const float *x, const float *dy,
                                        float *scratch) {
  const ptrdiff_t ic = p->in.channels, oc = p->out.channels;
  float *v = scratch, *m = v + WINOGRAD_POSITIONS * p->v_position;
  float *du = m + WINOGRAD_POSITIONS * p->m_position;
  for (ptrdiff_t block = 0, start = 0; block < p->blocks; block++) {
    const ptrdiff_t count = winograd_block_tiles(p, block);
    ISA(winograd_transform_input)(p, v, x, start, count);
    ISA(winograd_transform_gradient)(p, m, dy, start, count);
    for (ptrdiff_t c = 0; c < oc; c += CNN_PANEL) {
      const ptrdiff_t width = conv_panel_width(oc, c);
      for (ptrdiff_t i = 0; i < ic; i += winograd_gradient_rows) {
        const ptrdiff_t rows = smaller(ic - i, winograd_gradient_rows);
        for (int position = 0; position < WINOGRAD_POSITIONS; position++) {
          ISA(winograd_prefetch_panel)(dw + c * 9 * ic + i * width, ic, width, rows, position,
                                       WINOGRAD_POSITIONS);
          ISA(winograd_prefetch_channels)(v + position * p->v_position, i, count);
          ISA(winograd_gather)(du + position * p->u_position,
                               ISA(winograd_channel)(v + position * p->v_position, i, count),
                               m + position * p->m_position + c * count, width, count, false);
        }
        ISA(winograd_store_weights)(p, dw, du, c, i, rows, block > 0);
      }
    }
    start += count;
  }
}

static void ISA(winograd_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x,
                                           const float *dy, float *scratch) {
  const winograd_plan p = winograd_plan_for(s, CNN_CONV_BACKWARD_WEIGHTS);
  if (p.wide) ISA(winograd_wide_gradient)(&p, dw, x, dy, scratch);
  else ISA(winograd_narrow_gradient)(&p, dw, x, dy, scratch);
}

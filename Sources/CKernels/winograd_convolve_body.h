// Forward and backward data: one is the other with the kernel turned and the channels exchanged.

// M = V U (or M + V U) of one position, one panel of output channels and `depth` input channels.
CNN_INLINE void ISA(winograd_multiply)(float *m, const float *v, const float *u, ptrdiff_t depth,
                                       ptrdiff_t width, ptrdiff_t count, bool add) {
  const tile_nn product = {.depth = depth,
                           .a_block = count * CNN_BLOCK,
                           .taps_h = 1,
                           .taps_w = 1,
                           .c_row = CNN_BLOCK,
                           .c_vector = count * CNN_BLOCK,
                           .add = add};
  ISA(tile_nn_panel)(count, width, &product, v, u, m, NULL);
}

static void ISA(winograd_narrow)(const winograd_plan *p, float *y, const float *x, const float *prepared,
                                 const cnn_conv_ending *ending, float *scratch) {
  float *v = scratch, *m = v + WINOGRAD_POSITIONS * p->v_position;
  const ptrdiff_t panels = ceiling(p->out.channels, CNN_PANEL);
  for (ptrdiff_t block = 0, start = 0; block < p->blocks; block++) {
    const ptrdiff_t count = winograd_block_tiles(p, block);
    ISA(winograd_transform_input)(p, v, x, start, count);

    // During the products: the inputs of the next block, and where the outputs of this one will lie.
    const ptrdiff_t next = block + 1 < p->blocks ? winograd_block_tiles(p, block + 1) : 0;
    const ptrdiff_t inputs = next * conv_blocks(p->in.channels);
    const ptrdiff_t units = inputs + (ending->pool ? 0 : count * conv_blocks(p->out.channels));
    ptrdiff_t fetched = 0, multiplied = 0;
    for (int position = 0; position < WINOGRAD_POSITIONS; position++)
      for (ptrdiff_t c = 0; c < p->out.channels; c += CNN_PANEL) {
        multiplied++;
        for (; fetched < units * multiplied / (WINOGRAD_POSITIONS * panels); fetched++)
          if (fetched < inputs) ISA(winograd_prefetch)(p, &p->in, x, start + count, next, fetched);
          else ISA(winograd_prefetch)(p, &p->out, y, start, count, fetched - inputs);
        ISA(winograd_multiply)(m + position * p->m_position + c * count, v + position * p->v_position,
                               prepared + position * p->u_position + c * p->in.channels, p->in.channels,
                               conv_panel_width(p->out.channels, c), count, false);
      }
    ISA(winograd_transform_output)(p, y, m, ending, 0, winograd_padded(p->out.channels), start, count);
    start += count;
  }
}

static void ISA(winograd_wide)(const winograd_plan *p, cnn_conv_pass pass, float *y, const float *x,
                               const float *weight, const cnn_conv_ending *ending, float *scratch) {
  const ptrdiff_t depth = p->in.channels;
  float *v = scratch, *m = v + WINOGRAD_POSITIONS * p->v_position;
  float *u = m + WINOGRAD_POSITIONS * p->m_position;
  for (ptrdiff_t block = 0, start = 0; block < p->blocks; block++) {
    const ptrdiff_t count = winograd_block_tiles(p, block);
    ISA(winograd_transform_input)(p, v, x, start, count);
    for (ptrdiff_t c = 0; c < p->out.channels; c += CNN_PANEL) {
      const ptrdiff_t width = conv_panel_width(p->out.channels, c);
      for (ptrdiff_t k = 0; k < depth; k += winograd_wide_depth) {
        const ptrdiff_t part = smaller(winograd_wide_depth, depth - k);
        ISA(winograd_weights)(p, pass, u, weight, c, width, k, part);
        const bool last = k + part == depth;
        for (int position = 0; position < WINOGRAD_POSITIONS; position++) {
          const ptrdiff_t panel = last ? c + width : c, first = last ? 0 : k + part;
          if (panel < p->out.channels)
            ISA(winograd_prefetch_weights)(p, pass, weight, panel, first, position, WINOGRAD_POSITIONS);
          ISA(winograd_multiply)(m + position * p->m_position, v + position * p->v_position + k * count,
                                 u + position * p->u_position, part, width, count, k > 0);
        }
      }
      ISA(winograd_transform_output)(p, y, m, ending, c, width, start, count);
    }
    start += count;
  }
}

static void ISA(winograd_forward)(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                                  const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  const winograd_plan p = winograd_plan_for(s, CNN_CONV_FORWARD);
  if (p.wide) ISA(winograd_wide)(&p, CNN_CONV_FORWARD, y, x, weight, ending, scratch);
  else ISA(winograd_narrow)(&p, y, x, prepared, ending, scratch);
  if (ending->activation == CNN_IDENTITY) return;
  for (ptrdiff_t block = 0; block < conv_blocks(s->oc); block++)
    ISA(cnn_activate)(y + block * conv_y_block(s) + conv_y_image(s, s->first),
                      s->images * s->oh * s->ow * CNN_BLOCK, ending->activation);
}

static void ISA(winograd_backward_data)(const cnn_conv_shape *s, float *dx, const float *dy,
                                        const float *weight, const float *prepared, float *scratch) {
  const winograd_plan p = winograd_plan_for(s, CNN_CONV_BACKWARD_DATA);
  const cnn_conv_ending nothing = {0};
  if (p.wide) ISA(winograd_wide)(&p, CNN_CONV_BACKWARD_DATA, dx, dy, weight, &nothing, scratch);
  else ISA(winograd_narrow)(&p, dx, dy, prepared, &nothing, scratch);
}

// Runs are short (a row of 4 to 64 floats), so a call of memcpy would cost more than the copy.
CNN_INLINE void ISA(copy_run)(float *restrict to, const float *restrict from, ptrdiff_t count) {
  ptrdiff_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) STORE(to + i, LOAD(from + i));
  if (count & 8) memcpy(to + i, from + i, 32), i += 8;
  if (count & 4) memcpy(to + i, from + i, 16), i += 4;
  for (; i < count; i++) to[i] = from[i];
}

CNN_INLINE void ISA(add_run)(float *restrict to, const float *restrict from, ptrdiff_t count) {
  ptrdiff_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) STORE(to + i, LOAD(to + i) + LOAD(from + i));
  if (count & 8) {
    f32x8 a, b;
    memcpy(&a, to + i, sizeof a);
    memcpy(&b, from + i, sizeof b);
    a += b;
    memcpy(to + i, &a, sizeof a);
    i += 8;
  }
  for (; i < count; i++) to[i] += from[i];
}

CNN_INLINE void ISA(im2col_row)(const cnn_conv_shape *s, const cnn_conv_block *block, const tap *t,
                                const float *x, float *col) {
  const ptrdiff_t plane = s->ih * s->iw, positions = block->rows * s->ow;
  if (is_shift(s)) {
    const ptrdiff_t images = images_in_run(s, block);
    for (ptrdiff_t image = 0; image < block->images; image += images) {
      float *run = col + image * positions;
      const span inner = inside(images * positions, 1, t->source, images * plane);
      const float *from = x + (block->first_image + image) * plane;
      clear(run, inner.lo);
      ISA(copy_run)(run + inner.lo, from + inner.lo + t->source, inner.hi - inner.lo);
      clear(run + inner.hi, images * positions - inner.hi);
      for (ptrdiff_t i = 0; i < images; i++) clear_outside(run + i * positions, t, block->rows, s->ow);
    }
    return;
  }
  for (ptrdiff_t image = 0; image < block->images; image++) {
    float *to = col + image * positions;
    const float *from = x + (block->first_image + image) * plane + t->source;
    clear_outside(to, t, block->rows, s->ow);
    const ptrdiff_t lo = t->columns.lo, hi = t->columns.hi;
    for (ptrdiff_t i = t->rows.lo; i < t->rows.hi; i++) {
      float *restrict row = to + i * s->ow;
      const float *restrict source = from + i * s->sh * s->iw;
      if (s->sw == 1)
        ISA(copy_run)(row + lo, source + lo, hi - lo);
      else if (s->sw == 2)
        for (ptrdiff_t j = lo; j < hi; j++) row[j] = source[j * 2];
      else
        for (ptrdiff_t j = lo; j < hi; j++) row[j] = source[j * s->sw];
    }
  }
}

static void ISA(im2col)(const cnn_conv_shape *s, const cnn_conv_block *block, ptrdiff_t channels,
                        const float *x, float *col) {
  for (ptrdiff_t c = 0; c < channels; c++)
    for (ptrdiff_t a = 0; a < s->kh; a++)
      for (ptrdiff_t b = 0; b < s->kw; b++) {
        const tap t = tap_of(s, block, a, b);
        ISA(im2col_row)(s, block, &t, x + c * s->n * s->ih * s->iw, col);
        col += block->images * block->rows * s->ow;
      }
}

CNN_INLINE void ISA(col2im_row)(const cnn_conv_shape *s, const cnn_conv_block *block, const tap *t,
                                float *col, float *dx) {
  const ptrdiff_t plane = s->ih * s->iw, positions = block->rows * s->ow;
  if (is_shift(s)) {
    const ptrdiff_t images = images_in_run(s, block);
    for (ptrdiff_t image = 0; image < block->images; image += images) {
      float *run = col + image * positions;
      const span inner = inside(images * positions, 1, t->source, images * plane);
      float *to = dx + (block->first_image + image) * plane;
      for (ptrdiff_t i = 0; i < images; i++) clear_outside(run + i * positions, t, block->rows, s->ow);
      ISA(add_run)(to + inner.lo + t->source, run + inner.lo, inner.hi - inner.lo);
    }
    return;
  }
  for (ptrdiff_t image = 0; image < block->images; image++) {
    const float *from = col + image * positions;
    float *to = dx + (block->first_image + image) * plane + t->source;
    const ptrdiff_t lo = t->columns.lo, hi = t->columns.hi;
    for (ptrdiff_t i = t->rows.lo; i < t->rows.hi; i++) {
      const float *restrict row = from + i * s->ow;
      float *restrict target = to + i * s->sh * s->iw;
      if (s->sw == 1)
        ISA(add_run)(target + lo, row + lo, hi - lo);
      else if (s->sw == 2)
        for (ptrdiff_t j = lo; j < hi; j++) target[j * 2] += row[j];
      else
        for (ptrdiff_t j = lo; j < hi; j++) target[j * s->sw] += row[j];
    }
  }
}

static void ISA(col2im)(const cnn_conv_shape *s, const cnn_conv_block *block, ptrdiff_t channels, float *col,
                        float *dx) {
  for (ptrdiff_t c = 0; c < channels; c++)
    for (ptrdiff_t a = 0; a < s->kh; a++)
      for (ptrdiff_t b = 0; b < s->kw; b++) {
        const tap t = tap_of(s, block, a, b);
        ISA(col2im_row)(s, block, &t, col, dx + c * s->n * s->ih * s->iw);
        col += block->images * block->rows * s->ow;
      }
}

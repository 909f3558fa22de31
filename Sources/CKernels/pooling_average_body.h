// Sum of a window's taps in row order; `x` is its tap (0, 0).
CNN_INLINE void ISA(average_window)(float *y, const float *x, const pooling_taps rows,
                                    const pooling_taps columns, float size, const cnn_pooling_shape *s) {
  f32x16 sum = 0;
  for (ptrdiff_t a = rows.first; a < rows.end; a++)
    for (ptrdiff_t b = columns.first; b < columns.end; b++) sum += LOAD(x + (a * s->iw + b) * CNN_LANES);
  STORE(y, sum / size);
}

CNN_INLINE void ISA(average_windows)(float *y, const float *x, const cnn_pooling_shape *s, const ptrdiff_t kh,
                                     const ptrdiff_t kw) {
  const pooling_taps all_rows = {0, kh}, all_columns = {0, kw};
  const bool pad = s->count_include_pad;
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, x += s->ih * s->iw * CNN_LANES) {
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      const ptrdiff_t top = i * s->sh - s->ph;
      const pooling_taps rows = taps_inside(top, kh, 1, s->ih);
      const ptrdiff_t height = average_extent(top, kh, s->ih, s->ph, pad);
      for (ptrdiff_t j = 0; j < s->ow; j++, y += CNN_LANES) {
        const ptrdiff_t left = j * s->sw - s->pw;
        const pooling_taps columns = taps_inside(left, kw, 1, s->iw);
        const float *window = x + (top * s->iw + left) * CNN_LANES;
        if (rows.end - rows.first == kh && columns.end - columns.first == kw) {
          ISA(average_window)(y, window, all_rows, all_columns, (float)(kh * kw), s);
        } else {
          const ptrdiff_t size = height * average_extent(left, kw, s->iw, s->pw, pad);
          ISA(average_window)(y, window, rows, columns, (float)size, s);
        }
      }
    }
  }
}

static void ISA(pooling_average_forward)(float *y, const float *x, const cnn_pooling_shape *s) {
  if (s->kh == 2 && s->kw == 2) ISA(average_windows)(y, x, s, 2, 2);
  else if (s->kh == 3 && s->kw == 3) ISA(average_windows)(y, x, s, 3, 3);
  else ISA(average_windows)(y, x, s, s->kh, s->kw);
}

// Windows side by side: every element is written once.
static void ISA(average_backward_tiles)(float *dx, const float *dy, const cnn_pooling_shape *s) {
  const ptrdiff_t row = s->iw * CNN_LANES;
  const float size = (float)(s->kh * s->kw);
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += s->ih * row) {
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      float *window = dx + i * s->kh * row;
      for (ptrdiff_t j = 0; j < s->ow; j++, window += s->kw * CNN_LANES, dy += CNN_LANES) {
        const f32x16 share = LOAD(dy) / size;
        for (ptrdiff_t a = 0; a < s->kh; a++)
          for (ptrdiff_t b = 0; b < s->kw; b++) STORE(window + a * row + b * CNN_LANES, share);
      }
    }
    zero_behind_tiles(dx, s);
  }
}

static void ISA(pooling_average_backward)(float *dx, const float *dy, const cnn_pooling_shape *s) {
  if (is_tiling(s)) {
    ISA(average_backward_tiles)(dx, dy, s);
    return;
  }
  const bool pad = s->count_include_pad;
  const ptrdiff_t plane_size = s->ih * s->iw * CNN_LANES;
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += plane_size) {
    memset(dx, 0, (size_t)plane_size * sizeof *dx);
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      const ptrdiff_t top = i * s->sh - s->ph;
      const pooling_taps rows = taps_inside(top, s->kh, 1, s->ih);
      const ptrdiff_t height = average_extent(top, s->kh, s->ih, s->ph, pad);
      for (ptrdiff_t j = 0; j < s->ow; j++, dy += CNN_LANES) {
        const ptrdiff_t left = j * s->sw - s->pw;
        const pooling_taps columns = taps_inside(left, s->kw, 1, s->iw);
        const f32x16 share = LOAD(dy) / (float)(height * average_extent(left, s->kw, s->iw, s->pw, pad));
        for (ptrdiff_t a = rows.first; a < rows.end; a++) {
          for (ptrdiff_t b = columns.first; b < columns.end; b++) {
            float *to = dx + ((top + a) * s->iw + left + b) * CNN_LANES;
            STORE(to, LOAD(to) + share);
          }
        }
      }
    }
  }
}

// PyTorch's rule: a later value wins if it is greater or NaN, so of equal values the first wins.
#define BEATS(v, best) (((v) > (best)) | ((v) != (v)))
#define CODE(a, b) ((int32_t)((a) << 8 | (b)))

// One window; `x` is its tap (0, 0), which may lie outside the plane. Inlined with constants where all
// taps lie inside.
CNN_INLINE void ISA(max_window)(float *y, uint16_t *winner, const float *x, const pooling_taps rows,
                                const pooling_taps columns, const cnn_pooling_shape *s) {
  const ptrdiff_t row = s->dh * s->iw * CNN_LANES, column = s->dw * CNN_LANES;
  f32x16 best = LOAD(x + rows.first * row + columns.first * column);
  i32x16 code = CODE(rows.first, columns.first);
  for (ptrdiff_t a = rows.first; a < rows.end; a++) {
    for (ptrdiff_t b = columns.first; b < columns.end; b++) {
      if (a == rows.first && b == columns.first) continue;
      const f32x16 v = LOAD(x + a * row + b * column);
      const i32x16 wins = BEATS(v, best);
      best = wins ? v : best;
      code = wins ? (i32x16)CODE(a, b) : code;
    }
  }
  STORE(y, best);
  if (!winner) return;
  const u16x16 codes = __builtin_convertvector(code, u16x16);
  memcpy(winner, &codes, sizeof codes);
}

// All windows, kh x kw.
CNN_INLINE void ISA(max_windows)(float *y, uint16_t *winner, const float *x, const cnn_pooling_shape *s,
                                 const ptrdiff_t kh, const ptrdiff_t kw) {
  const pooling_taps all_rows = {0, kh}, all_columns = {0, kw};
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, x += s->ih * s->iw * CNN_LANES) {
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      const ptrdiff_t top = i * s->sh - s->ph;
      const pooling_taps rows = taps_inside(top, kh, s->dh, s->ih);
      for (ptrdiff_t j = 0; j < s->ow; j++, y += CNN_LANES) {
        const ptrdiff_t left = j * s->sw - s->pw;
        const pooling_taps columns = taps_inside(left, kw, s->dw, s->iw);
        const float *window = x + (top * s->iw + left) * CNN_LANES;
        if (rows.end - rows.first == kh && columns.end - columns.first == kw)
          ISA(max_window)(y, winner, window, all_rows, all_columns, s);
        else ISA(max_window)(y, winner, window, rows, columns, s);
        if (winner) winner += CNN_LANES;
      }
    }
  }
}

static void ISA(pooling_max_forward)(float *y, uint16_t *winner, const float *x, const cnn_pooling_shape *s) {
  const ptrdiff_t kh = s->kh, kw = s->kw;
  if (kh == 2 && kw == 2 && winner) ISA(max_windows)(y, winner, x, s, 2, 2);
  else if (kh == 2 && kw == 2) ISA(max_windows)(y, NULL, x, s, 2, 2);
  else if (kh == 3 && kw == 3 && winner) ISA(max_windows)(y, winner, x, s, 3, 3);
  else if (kh == 3 && kw == 3) ISA(max_windows)(y, NULL, x, s, 3, 3);
  else if (winner) ISA(max_windows)(y, winner, x, s, kh, kw);
  else ISA(max_windows)(y, NULL, x, s, kh, kw);
}

// dy where tap (a, b) won, otherwise 0.
#define SHARE(code, a, b, dy) ((code) == CODE(a, b) ? (dy) : (f32x16)0)
#define CODES(p)                                   \
  ({                                               \
    u16x16 codes_;                                 \
    memcpy(&codes_, (p), sizeof codes_);           \
    __builtin_convertvector(codes_, i32x16);       \
  })

// Windows side by side: every element is written once.
CNN_INLINE void ISA(max_backward_tiles)(float *dx, const float *dy, const uint16_t *winner,
                                        const cnn_pooling_shape *s, const ptrdiff_t kh, const ptrdiff_t kw) {
  const ptrdiff_t row = s->iw * CNN_LANES;
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += s->ih * row) {
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      float *window = dx + i * kh * row;
      for (ptrdiff_t j = 0; j < s->ow; j++, window += kw * CNN_LANES, dy += CNN_LANES, winner += CNN_LANES) {
        const i32x16 code = CODES(winner);
        const f32x16 g = LOAD(dy);
        for (ptrdiff_t a = 0; a < kh; a++)
          for (ptrdiff_t b = 0; b < kw; b++) STORE(window + a * row + b * CNN_LANES, SHARE(code, a, b, g));
      }
    }
    zero_behind_tiles(dx, s);
  }
}

static void ISA(max_backward_windows)(float *dx, const float *dy, const uint16_t *winner,
                                      const cnn_pooling_shape *s) {
  const ptrdiff_t plane_size = s->ih * s->iw * CNN_LANES;
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += plane_size) {
    memset(dx, 0, (size_t)plane_size * sizeof *dx);
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      const ptrdiff_t top = i * s->sh - s->ph;
      const pooling_taps rows = taps_inside(top, s->kh, s->dh, s->ih);
      for (ptrdiff_t j = 0; j < s->ow; j++, dy += CNN_LANES, winner += CNN_LANES) {
        const ptrdiff_t left = j * s->sw - s->pw;
        const pooling_taps columns = taps_inside(left, s->kw, s->dw, s->iw);
        const i32x16 code = CODES(winner);
        const f32x16 g = LOAD(dy);
        for (ptrdiff_t a = rows.first; a < rows.end; a++) {
          for (ptrdiff_t b = columns.first; b < columns.end; b++) {
            float *to = dx + ((top + a * s->dh) * s->iw + left + b * s->dw) * CNN_LANES;
            STORE(to, LOAD(to) + SHARE(code, a, b, g));
          }
        }
      }
    }
  }
}

static void ISA(pooling_max_backward)(float *dx, const float *dy, const uint16_t *winner,
                                      const cnn_pooling_shape *s) {
  if (!is_tiling(s)) ISA(max_backward_windows)(dx, dy, winner, s);
  else if (s->kh == 2 && s->kw == 2) ISA(max_backward_tiles)(dx, dy, winner, s, 2, 2);
  else ISA(max_backward_tiles)(dx, dy, winner, s, s->kh, s->kw);
}

#undef BEATS
#undef CODE
#undef SHARE
#undef CODES

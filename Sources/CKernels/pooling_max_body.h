// PyTorch's rule: a later value wins if it is greater or NaN, so of equal values the first wins.
#define BEATS(v, best) (((v) > (best)) | ((v) != (v)))
#define CODE(a, b) ((int32_t)((a) << 8 | (b)))

// 2×2 windows without gaps or padding: two rows of 2W values become W maxima.
#define TWO_BY_TWO(W, VF, VI, VU, EVENS, ODDS, LOW, HIGH)                                              \
  CNN_INLINE void ISA(max_2x2_forward_##W)(float *y, uint16_t *winner, const float *top,               \
                                           const float *bottom) {                                      \
    VF t0, t1, b0, b1;                                                                                 \
    memcpy(&t0, top, sizeof t0), memcpy(&t1, top + W, sizeof t1);                                      \
    memcpy(&b0, bottom, sizeof b0), memcpy(&b1, bottom + W, sizeof b1);                                \
    VF best = __builtin_shufflevector(t0, t1, EVENS);                                                  \
    VI code = CODE(0, 0);                                                                              \
    VF v = __builtin_shufflevector(t0, t1, ODDS);                                                      \
    code = BEATS(v, best) ? (VI)CODE(0, 1) : code, best = BEATS(v, best) ? v : best;                   \
    v = __builtin_shufflevector(b0, b1, EVENS);                                                        \
    code = BEATS(v, best) ? (VI)CODE(1, 0) : code, best = BEATS(v, best) ? v : best;                   \
    v = __builtin_shufflevector(b0, b1, ODDS);                                                         \
    code = BEATS(v, best) ? (VI)CODE(1, 1) : code, best = BEATS(v, best) ? v : best;                   \
    memcpy(y, &best, sizeof best);                                                                     \
    const VU codes = __builtin_convertvector(code, VU);                                                \
    if (winner) memcpy(winner, &codes, sizeof codes);                                                  \
  }                                                                                                    \
  CNN_INLINE void ISA(max_2x2_backward_##W)(float *top, float *bottom, const float *dy,                \
                                            const uint16_t *winner) {                                  \
    VF g;                                                                                              \
    VU codes;                                                                                          \
    memcpy(&g, dy, sizeof g), memcpy(&codes, winner, sizeof codes);                                    \
    const VI code = __builtin_convertvector(codes, VI);                                                \
    const VF zero = 0;                                                                                 \
    VF even = code == CODE(0, 0) ? g : zero, odd = code == CODE(0, 1) ? g : zero;                      \
    VF low = __builtin_shufflevector(even, odd, LOW), high = __builtin_shufflevector(even, odd, HIGH); \
    memcpy(top, &low, sizeof low), memcpy(top + W, &high, sizeof high);                                \
    even = code == CODE(1, 0) ? g : zero, odd = code == CODE(1, 1) ? g : zero;                         \
    low = __builtin_shufflevector(even, odd, LOW), high = __builtin_shufflevector(even, odd, HIGH);    \
    memcpy(bottom, &low, sizeof low), memcpy(bottom + W, &high, sizeof high);                          \
  }

#define EVENS_8 0, 2, 4, 6, 8, 10, 12, 14
#define ODDS_8 1, 3, 5, 7, 9, 11, 13, 15
#define LOW_8 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_8 4, 12, 5, 13, 6, 14, 7, 15
#define EVENS_16 EVENS_8, 16, 18, 20, 22, 24, 26, 28, 30
#define ODDS_16 ODDS_8, 17, 19, 21, 23, 25, 27, 29, 31
#define LOW_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
TWO_BY_TWO(16, f32x16, i32x16, u16x16, EVENS_16, ODDS_16, LOW_16, HIGH_16)
TWO_BY_TWO(8, f32x8, i32x8, u16x8, EVENS_8, ODDS_8, LOW_8, HIGH_8)

CNN_INLINE void ISA(max_2x2_forward_1)(float *y, uint16_t *winner, const float *top, const float *bottom) {
  const float values[4] = {top[0], top[1], bottom[0], bottom[1]};
  float best = values[0];
  int32_t code = 0;
  for (int k = 1; k < 4; k++)
    if (BEATS(values[k], best)) best = values[k], code = CODE(k >> 1, k & 1);
  *y = best;
  if (winner) *winner = (uint16_t)code;
}

static void ISA(max_2x2_forward)(float *y, uint16_t *winner, const float *x, const cnn_pooling_shape *s) {
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, x += s->ih * s->iw) {
    for (ptrdiff_t i = 0; i < s->oh; i++, y += s->ow) {
      const float *top = x + 2 * i * s->iw, *bottom = top + s->iw;
      uint16_t *codes = winner ? winner + (plane * s->oh + i) * s->ow : NULL;
      ptrdiff_t j = 0;
      for (; j + 16 <= s->ow; j += 16)
        ISA(max_2x2_forward_16)(y + j, codes ? codes + j : NULL, top + 2 * j, bottom + 2 * j);
      for (; j + 8 <= s->ow; j += 8)
        ISA(max_2x2_forward_8)(y + j, codes ? codes + j : NULL, top + 2 * j, bottom + 2 * j);
      for (; j < s->ow; j++)
        ISA(max_2x2_forward_1)(y + j, codes ? codes + j : NULL, top + 2 * j, bottom + 2 * j);
    }
  }
}

static void ISA(max_2x2_backward)(float *dx, const float *dy, const uint16_t *winner,
                                  const cnn_pooling_shape *s) {
  const size_t row = (size_t)s->iw * sizeof *dx;
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += s->ih * s->iw) {
    for (ptrdiff_t i = 0; i < s->oh; i++, dy += s->ow, winner += s->ow) {
      float *top = dx + 2 * i * s->iw, *bottom = top + s->iw;
      ptrdiff_t j = 0;
      for (; j + 16 <= s->ow; j += 16)
        ISA(max_2x2_backward_16)(top + 2 * j, bottom + 2 * j, dy + j, winner + j);
      for (; j + 8 <= s->ow; j += 8)
        ISA(max_2x2_backward_8)(top + 2 * j, bottom + 2 * j, dy + j, winner + j);
      for (ptrdiff_t k = 2 * j; k < s->iw; k++) top[k] = bottom[k] = 0;
      for (; j < s->ow; j++) (winner[j] >> 8 ? bottom : top)[2 * j + (winner[j] & 255)] = dy[j];
    }
    for (ptrdiff_t i = 2 * s->oh; i < s->ih; i++) memset(dx + i * s->iw, 0, row);
  }
}

// Sixteen values `step` apart; reads nothing behind the last.
#define STRIDED_LOAD(p, step)                                                                              \
  ({                                                                                                       \
    const float *p_ = (p);                                                                                 \
    f32x16 strided_;                                                                                       \
    if ((step) == 1) strided_ = LOAD(p_);                                                                  \
    else if ((step) == 2) strided_ = __builtin_shufflevector(LOAD(p_), LOAD(p_ + 15), EVENS_8, 17, 19, 21, \
                                                             23, 25, 27, 29, 31);                          \
    else                                                                                                   \
      for (int lane = 0; lane < CNN_LANES; lane++) strided_[lane] = p_[lane * (step)];                     \
    strided_;                                                                                              \
  })

// One row of windows; `padded` is the row of the first tap that lies inside the plane.
CNN_INLINE void ISA(max_row)(float *y, uint16_t *winner, const float *padded, pooling_taps rows,
                             const cnn_pooling_shape *s, ptrdiff_t sw) {
  const ptrdiff_t width = padded_width(s);
  for (ptrdiff_t j = 0; j < s->ow; j += CNN_LANES) {
    f32x16 best = -INFINITY;
    i32x16 code = CODE(rows.first, 0);
    for (ptrdiff_t a = rows.first; a < rows.end; a++) {
      for (ptrdiff_t b = 0; b < s->kw; b++) {
        const f32x16 v = STRIDED_LOAD(padded + (a - rows.first) * s->dh * width + j * sw + b * s->dw, sw);
        const i32x16 wins = BEATS(v, best);
        best = wins ? v : best;
        code = wins ? (i32x16)CODE(a, b) : code;
      }
    }
    const size_t lanes = (size_t)smaller(CNN_LANES, s->ow - j);
    const u16x16 codes = __builtin_convertvector(code, u16x16);
    memcpy(y + j, &best, lanes * sizeof *y);
    if (winner) memcpy(winner + j, &codes, lanes * sizeof *winner);
  }
  // Where all is -infinity nothing has beaten the start: the first tap inside the plane wins.
  for (ptrdiff_t j = 0; winner && j < s->ow && j * sw < s->pw; j++) {
    const ptrdiff_t first = ceiling(s->pw - j * sw, s->dw);
    if ((winner[j] & 255) < first) winner[j] = (uint16_t)((winner[j] & 0xFF00) | first);
  }
}

static void ISA(pooling_max_forward)(float *y, uint16_t *winner, const float *x, const cnn_pooling_shape *s,
                                     float *scratch) {
  if (is_two_by_two(s)) {
    ISA(max_2x2_forward)(y, winner, x, s);
    return;
  }
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, x += s->ih * s->iw) {
    pad_columns(scratch, x, s, -INFINITY);
    for (ptrdiff_t i = 0; i < s->oh; i++, y += s->ow) {
      const ptrdiff_t start = i * s->sh - s->ph;
      const pooling_taps rows = taps_inside(start, s->kh, s->dh, s->ih);
      const float *window = scratch + (start + rows.first * s->dh) * padded_width(s);
      if (s->sw == 1) ISA(max_row)(y, winner, window, rows, s, 1);
      else if (s->sw == 2) ISA(max_row)(y, winner, window, rows, s, 2);
      else ISA(max_row)(y, winner, window, rows, s, s->sw);
      if (winner) winner += s->ow;
    }
  }
}

static void ISA(pooling_max_backward)(float *dx, const float *dy, const uint16_t *winner,
                                      const cnn_pooling_shape *s) {
  if (is_two_by_two(s)) {
    ISA(max_2x2_backward)(dx, dy, winner, s);
    return;
  }
  memset(dx, 0, (size_t)(s->planes * s->ih * s->iw) * sizeof *dx);
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += s->ih * s->iw) {
    for (ptrdiff_t i = 0; i < s->oh; i++, dy += s->ow, winner += s->ow) {
      for (ptrdiff_t j = 0; j < s->ow; j++) {
        const ptrdiff_t row = i * s->sh - s->ph + (winner[j] >> 8) * s->dh;
        const ptrdiff_t column = j * s->sw - s->pw + (winner[j] & 255) * s->dw;
        dx[row * s->iw + column] += dy[j];
      }
    }
  }
}

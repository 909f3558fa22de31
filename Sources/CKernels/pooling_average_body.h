// As max_row.
CNN_INLINE void ISA(average_row)(float *y, const float *padded, pooling_taps rows, float row_extent,
                                 const float *column_extents, const cnn_pooling_shape *s, ptrdiff_t sw) {
  const ptrdiff_t width = padded_width(s);
  for (ptrdiff_t j = 0; j < s->ow; j += CNN_LANES) {
    f32x16 sum = 0;
    for (ptrdiff_t a = rows.first; a < rows.end; a++)
      for (ptrdiff_t b = 0; b < s->kw; b++)
        sum += STRIDED_LOAD(padded + (a - rows.first) * width + j * sw + b, sw);
    const f32x16 mean = sum / (row_extent * LOAD(column_extents + j));
    memcpy(y + j, &mean, (size_t)smaller(CNN_LANES, s->ow - j) * sizeof *y);
  }
}

static void ISA(pooling_average_forward)(float *y, const float *x, const cnn_pooling_shape *s,
                                         float *scratch) {
  const bool pad = s->count_include_pad;
  float *columns = scratch, *padded = scratch + whole_vectors(s->ow);
  for (ptrdiff_t j = 0; j < whole_vectors(s->ow); j++)
    columns[j] = j < s->ow ? (float)average_extent(j * s->sw - s->pw, s->kw, s->iw, s->pw, pad) : 1;
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, x += s->ih * s->iw) {
    pad_columns(padded, x, s, 0);
    for (ptrdiff_t i = 0; i < s->oh; i++, y += s->ow) {
      const ptrdiff_t start = i * s->sh - s->ph;
      const pooling_taps rows = taps_inside(start, s->kh, 1, s->ih);
      const float extent = (float)average_extent(start, s->kh, s->ih, s->ph, pad);
      const float *window = padded + (start + rows.first) * padded_width(s);
      if (s->sw == 1) ISA(average_row)(y, window, rows, extent, columns, s, 1);
      else if (s->sw == 2) ISA(average_row)(y, window, rows, extent, columns, s, 2);
      else ISA(average_row)(y, window, rows, extent, columns, s, s->sw);
    }
  }
}

// Windows side by side: a row of them is one row of shares, repeated.
static void ISA(tiling_average_backward)(float *dx, const float *dy, const cnn_pooling_shape *s) {
  const float size = (float)(s->kh * s->kw);
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += s->ih * s->iw) {
    for (ptrdiff_t i = 0; i < s->oh; i++, dy += s->ow) {
      float *row = dx + i * s->kh * s->iw, *end = row + s->iw, *next = row;
      for (ptrdiff_t j = 0; j < s->ow; j++) {
        const float share = dy[j] / size;
        for (ptrdiff_t b = 0; b < s->kw; b++) *next++ = share;
      }
      while (next < end) *next++ = 0;
      for (ptrdiff_t a = 1; a < s->kh; a++) memcpy(row + a * s->iw, row, (size_t)s->iw * sizeof *row);
    }
    memset(dx + s->oh * s->kh * s->iw, 0, (size_t)((s->ih - s->oh * s->kh) * s->iw) * sizeof *dx);
  }
}

static void ISA(pooling_average_backward)(float *dx, const float *dy, const cnn_pooling_shape *s) {
  if (is_tiling(s)) {
    ISA(tiling_average_backward)(dx, dy, s);
    return;
  }
  const bool pad = s->count_include_pad;
  memset(dx, 0, (size_t)(s->planes * s->ih * s->iw) * sizeof *dx);
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += s->ih * s->iw) {
    for (ptrdiff_t i = 0; i < s->oh; i++, dy += s->ow) {
      const ptrdiff_t row = i * s->sh - s->ph;
      const pooling_taps rows = taps_inside(row, s->kh, 1, s->ih);
      const ptrdiff_t extent = average_extent(row, s->kh, s->ih, s->ph, pad);
      for (ptrdiff_t j = 0; j < s->ow; j++) {
        const ptrdiff_t column = j * s->sw - s->pw;
        const pooling_taps columns = taps_inside(column, s->kw, 1, s->iw);
        const float share = dy[j] / (float)(extent * average_extent(column, s->kw, s->iw, s->pw, pad));
        for (ptrdiff_t a = rows.first; a < rows.end; a++)
          for (ptrdiff_t b = columns.first; b < columns.end; b++) dx[(row + a) * s->iw + column + b] += share;
      }
    }
  }
}

// Sum of a run in double, over 16 lanes.
CNN_INLINE double ISA(run_sum)(const float *x, ptrdiff_t count) {
  f64x16 sum = 0;
  ptrdiff_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) sum += __builtin_convertvector(LOAD(x + i), f64x16);
  double total = 0;
  if (i > 0)
    for (int lane = 0; lane < CNN_LANES; lane++) total += sum[lane];
  for (; i < count; i++) total += x[i];
  return total;
}

static void ISA(pooling_adaptive_forward)(float *y, const float *x, const cnn_pooling_shape *s) {
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, x += s->ih * s->iw) {
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      const ptrdiff_t top = i * s->ih / s->oh, bottom = ceiling((i + 1) * s->ih, s->oh);
      for (ptrdiff_t j = 0; j < s->ow; j++) {
        const ptrdiff_t left = j * s->iw / s->ow, right = ceiling((j + 1) * s->iw, s->ow);
        const ptrdiff_t width = right - left;
        double sum = 0;
        if (width == s->iw) sum = ISA(run_sum)(x + top * s->iw, (bottom - top) * width);
        else
          for (ptrdiff_t row = top; row < bottom; row++) sum += ISA(run_sum)(x + row * s->iw + left, width);
        *y++ = (float)(sum / (double)((bottom - top) * width));
      }
    }
  }
}

static void ISA(pooling_adaptive_backward)(float *dx, const float *dy, const cnn_pooling_shape *s) {
  const ptrdiff_t area = s->ih * s->iw;
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += area) {
    if (s->oh == 1 && s->ow == 1) {
      const float share = *dy++ / (float)area;
      for (ptrdiff_t i = 0; i < area; i++) dx[i] = share;
      continue;
    }
    memset(dx, 0, (size_t)area * sizeof *dx);
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      const ptrdiff_t top = i * s->ih / s->oh, bottom = ceiling((i + 1) * s->ih, s->oh);
      for (ptrdiff_t j = 0; j < s->ow; j++) {
        const ptrdiff_t left = j * s->iw / s->ow, right = ceiling((j + 1) * s->iw, s->ow);
        const float share = *dy++ / (float)((bottom - top) * (right - left));
        for (ptrdiff_t row = top; row < bottom; row++)
          for (ptrdiff_t column = left; column < right; column++) dx[row * s->iw + column] += share;
      }
    }
  }
}

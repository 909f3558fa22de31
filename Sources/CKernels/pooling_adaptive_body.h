static void ISA(pooling_adaptive_forward)(float *y, const float *x, const cnn_pooling_shape *s) {
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, x += s->ih * s->iw * CNN_LANES) {
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      const ptrdiff_t top = i * s->ih / s->oh, bottom = ceiling((i + 1) * s->ih, s->oh);
      for (ptrdiff_t j = 0; j < s->ow; j++, y += CNN_LANES) {
        const ptrdiff_t left = j * s->iw / s->ow, right = ceiling((j + 1) * s->iw, s->ow);
        f64x16 sum = 0;
        for (ptrdiff_t row = top; row < bottom; row++)
          for (ptrdiff_t column = left; column < right; column++)
            sum += WIDEN(LOAD(x + (row * s->iw + column) * CNN_LANES));
        STORE(y, NARROW(sum / (double)((bottom - top) * (right - left))));
      }
    }
  }
}

static void ISA(pooling_adaptive_backward)(float *dx, const float *dy, const cnn_pooling_shape *s) {
  const ptrdiff_t plane_size = s->ih * s->iw * CNN_LANES;
  for (ptrdiff_t plane = 0; plane < s->planes; plane++, dx += plane_size) {
    if (s->oh == 1 && s->ow == 1) {
      const f32x16 share = LOAD(dy) / (float)(s->ih * s->iw);
      for (ptrdiff_t i = 0; i < plane_size; i += CNN_LANES) STORE(dx + i, share);
      dy += CNN_LANES;
      continue;
    }
    memset(dx, 0, (size_t)plane_size * sizeof *dx);
    for (ptrdiff_t i = 0; i < s->oh; i++) {
      const ptrdiff_t top = i * s->ih / s->oh, bottom = ceiling((i + 1) * s->ih, s->oh);
      for (ptrdiff_t j = 0; j < s->ow; j++, dy += CNN_LANES) {
        const ptrdiff_t left = j * s->iw / s->ow, right = ceiling((j + 1) * s->iw, s->ow);
        const f32x16 share = LOAD(dy) / (float)((bottom - top) * (right - left));
        for (ptrdiff_t row = top; row < bottom; row++) {
          for (ptrdiff_t column = left; column < right; column++) {
            float *to = dx + (row * s->iw + column) * CNN_LANES;
            STORE(to, LOAD(to) + share);
          }
        }
      }
    }
  }
}

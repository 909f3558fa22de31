// `rows` (at most 4) rows of y from one phased plane, sixteen columns at a time: each weight is
// broadcast once for all of them.
CNN_INLINE void ISA(depthwise_rows)(const cnn_conv_shape *s, const planes *p, const float *plane,
                                    const float *w, float bias, float *y, int rows) {
  for (ptrdiff_t j = 0; j < s->ow; j += CNN_LANES) {
    f32x16 sum[4];
    for (int r = 0; r < rows; r++) sum[r] = bias;
    for (ptrdiff_t a = 0; a < s->kh; a++) {
      ptrdiff_t phase = 0, q = 0;
      for (ptrdiff_t b = 0; b < s->kw; b++) {
        const float *from = plane + a * s->dh * p->row + phase * p->phase + q + j;
        const f32x16 weight = w[a * s->kw + b];
        for (int r = 0; r < rows; r++) sum[r] += weight * LOAD(from + r * s->sh * p->row);
        for (phase += s->dw; phase >= s->sw; phase -= s->sw) q++;
      }
    }
    for (int r = 0; r < rows; r++) {
      float *to = y + r * s->ow + j;
      if (j + CNN_LANES <= s->ow) STORE(to, sum[r]);
      else memcpy(to, &sum[r], (size_t)(s->ow - j) * sizeof *to);
    }
  }
}

static void ISA(depthwise_forward)(const cnn_conv_shape *s, const float *x, const float *w, const float *bias,
                                   float *y, float *scratch) {
  const planes p = planes_of(s);
  const ptrdiff_t multiplier = s->oc / s->ic, taps = s->kh * s->kw, area = s->oh * s->ow;
  for (ptrdiff_t c = 0; c < s->ic; c++)
    for (ptrdiff_t image = 0; image < s->n; image++) {
      pack_phased(s, &p, x + (c * s->n + image) * s->ih * s->iw, scratch);
      for (ptrdiff_t o = c * multiplier; o < (c + 1) * multiplier; o++) {
        float *to = y + (o * s->n + image) * area;
        const float shift = bias ? bias[o] : 0;
        ptrdiff_t i = 0;
        for (; i + 4 <= s->oh; i += 4)
          ISA(depthwise_rows)(s, &p, scratch + i * s->sh * p.row, w + o * taps, shift, to + i * s->ow, 4);
        for (; i < s->oh; i++)
          ISA(depthwise_rows)(s, &p, scratch + i * s->sh * p.row, w + o * taps, shift, to + i * s->ow, 1);
      }
    }
}

// One phase of `rows` (at most 4) rows of the phased plane of dx, sh apart, so that the same taps read
// them: each element gathers from those taps.
CNN_INLINE void ISA(depthwise_gather)(const cnn_conv_shape *s, const planes *p, const float *wide,
                                      const float *w, ptrdiff_t row, ptrdiff_t phase, float *to,
                                      bool accumulates, int rows) {
  for (ptrdiff_t q = 0; q < p->phase; q += CNN_LANES) {
    const size_t bytes = (size_t)(p->phase - q < CNN_LANES ? p->phase - q : CNN_LANES) * sizeof *to;
    f32x16 sum[4];
    for (int r = 0; r < rows; r++) {
      sum[r] = 0;
      if (accumulates) memcpy(&sum[r], to + r * s->sh * p->row + q, bytes);
    }
    for (ptrdiff_t a = 0; a < s->kh; a++) {
      const ptrdiff_t height = p->above * s->sh + row - a * s->dh;
      if (height % s->sh != 0) continue;
      const float *from = wide + height / s->sh * p->wide + p->margin + q;
      ptrdiff_t at = 0, back = 0;
      for (ptrdiff_t b = 0; b < s->kw; b++) {
        if (at == phase) {
          const f32x16 weight = w[a * s->kw + b];
          for (int r = 0; r < rows; r++) sum[r] += weight * LOAD(from + r * p->wide - back);
        }
        for (at += s->dw; at >= s->sw; at -= s->sw) back++;
      }
    }
    for (int r = 0; r < rows; r++) {
      float *end = to + r * s->sh * p->row + q;
      if (bytes == sizeof sum[r]) STORE(end, sum[r]);
      else memcpy(end, &sum[r], bytes);
    }
  }
}

static void ISA(depthwise_backward_data)(const cnn_conv_shape *s, const float *dy, const float *w, float *dx,
                                         float *scratch) {
  const planes p = planes_of(s);
  const ptrdiff_t multiplier = s->oc / s->ic, taps = s->kh * s->kw, area = s->oh * s->ow;
  float *wide = scratch + p.phased;
  for (ptrdiff_t c = 0; c < s->ic; c++)
    for (ptrdiff_t image = 0; image < s->n; image++) {
      for (ptrdiff_t m = 0; m < multiplier; m++) {
        const ptrdiff_t o = c * multiplier + m;
        pack_widened(s, &p, dy + (o * s->n + image) * area, wide);
        for (ptrdiff_t phase = 0; phase < s->sw; phase++)
          for (ptrdiff_t first = 0; first < s->sh; first++) {
            float *to = scratch + phase * p.phase;
            ptrdiff_t row = first;
            for (; row + 3 * s->sh < p.rows; row += 4 * s->sh)
              ISA(depthwise_gather)(s, &p, wide, w + o * taps, row, phase, to + row * p.row, m > 0, 4);
            for (; row < p.rows; row += s->sh)
              ISA(depthwise_gather)(s, &p, wide, w + o * taps, row, phase, to + row * p.row, m > 0, 1);
          }
      }
      unpack_phased(s, &p, scratch, dx + (c * s->n + image) * s->ih * s->iw);
    }
}

// Sum of dy * x over one image for one tap, whose first element is at `plane`: four chains of rows,
// then the chains, then the lanes in pairs.
CNN_INLINE float ISA(depthwise_tap)(const cnn_conv_shape *s, const planes *p, const float *plane,
                                    const float *wide) {
  f32x16 sum[4] = {0, 0, 0, 0};
  for (ptrdiff_t j = 0; j < s->ow; j += CNN_LANES) {
    ptrdiff_t i = 0;
    for (; i + 4 <= s->oh; i += 4)
      for (int r = 0; r < 4; r++)
        sum[r] += LOAD(wide + (i + r) * p->wide + j) * LOAD(plane + (i + r) * s->sh * p->row + j);
    for (; i < s->oh; i++) sum[0] += LOAD(wide + i * p->wide + j) * LOAD(plane + i * s->sh * p->row + j);
  }
  const f32x16 all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float lanes[CNN_LANES];
  memcpy(lanes, &all, sizeof lanes);
  for (int half = CNN_LANES / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

static void ISA(depthwise_backward_weights)(const cnn_conv_shape *s, const float *x, const float *dy,
                                            float *dw, float *scratch) {
  const planes p = planes_of(s);
  const ptrdiff_t multiplier = s->oc / s->ic, area = s->oh * s->ow;
  float *wide = scratch + p.phased;
  for (ptrdiff_t c = 0; c < s->ic; c++)
    for (ptrdiff_t image = 0; image < s->n; image++) {
      pack_phased(s, &p, x + (c * s->n + image) * s->ih * s->iw, scratch);
      for (ptrdiff_t o = c * multiplier; o < (c + 1) * multiplier; o++) {
        pack_widened(s, &p, dy + (o * s->n + image) * area, wide);
        float *to = dw + o * s->kh * s->kw;
        for (ptrdiff_t a = 0; a < s->kh; a++) {
          ptrdiff_t phase = 0, q = 0;
          for (ptrdiff_t b = 0; b < s->kw; b++, to++) {
            const float *from = scratch + a * s->dh * p.row + phase * p.phase + q;
            const float sum = ISA(depthwise_tap)(s, &p, from, wide + p.above * p.wide + p.margin);
            *to = image == 0 ? sum : *to + sum;
            for (phase += s->dw; phase >= s->sw; phase -= s->sw) q++;
          }
        }
      }
    }
}

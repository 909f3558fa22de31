static void ISA(bias_fill)(float *y, ptrdiff_t channels, ptrdiff_t count, ptrdiff_t stride,
                           const float *bias) {
  for (ptrdiff_t c = 0; c < channels; c++) {
    const float value = bias[c];
    float *row = y + c * stride;
    for (ptrdiff_t i = 0; i < count; i++) row[i] = value;
  }
}

// Sixteen lanes in double, then the lanes in pairs; the last lanes of a short run stay 0.
CNN_INLINE double ISA(bias_sum)(const float *x, ptrdiff_t count) {
  f64x16 sum = 0;
  ptrdiff_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES) sum += __builtin_convertvector(LOAD(x + i), f64x16);
  double lanes[CNN_LANES];
  memcpy(lanes, &sum, sizeof lanes);
  for (int lane = 0; i < count; i++, lane++) lanes[lane] += x[i];
  for (int half = CNN_LANES / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

static void ISA(bias_gradient)(float *dbias, const float *dy, ptrdiff_t channels, ptrdiff_t images,
                               ptrdiff_t area) {
  for (ptrdiff_t c = 0; c < channels; c++) {
    double total = 0;
    for (ptrdiff_t image = 0; image < images; image++)
      total += ISA(bias_sum)(dy + (c * images + image) * area, area);
    dbias[c] = (float)total;
  }
}

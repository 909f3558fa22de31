// Lanes that move by `shift` are those of a vector that is read so many floats beside the pixel: no
// shuffle depends on the shift. It reaches into the neighbours, so the first and the last pixel of x, which
// may have none, are moved by themselves.
CNN_INLINE void ISA(lanes_run)(float *y, const float *x, ptrdiff_t pixels, ptrdiff_t to, ptrdiff_t from,
                               ptrdiff_t count, const bool others) {
  const i32x16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const i32x16 moved = (lane >= (int32_t)to) & (lane < (int32_t)(to + count));
  const f32x16 zero = 0;
  for (ptrdiff_t p = 1; p < pixels - 1; p++) {
    const f32x16 v = LOAD(x + p * CNN_LANES + from - to);
    STORE(y + p * CNN_LANES, moved ? v : others ? zero : LOAD(y + p * CNN_LANES));
  }
}

static void ISA(lanes_move)(float *y, const float *x, ptrdiff_t pixels, ptrdiff_t to, ptrdiff_t from,
                            ptrdiff_t count, bool others) {
  if (count == CNN_LANES) {
    memcpy(y, x, (size_t)(pixels * CNN_LANES) * sizeof *y);
    return;
  }
  if (others) ISA(lanes_run)(y, x, pixels, to, from, count, true);
  else ISA(lanes_run)(y, x, pixels, to, from, count, false);
  for (ptrdiff_t p = 0; p < pixels; p += pixels > 1 ? pixels - 1 : 1) {
    if (others) memset(y + p * CNN_LANES, 0, CNN_LANES * sizeof *y);
    memcpy(y + p * CNN_LANES + to, x + p * CNN_LANES + from, (size_t)count * sizeof *y);
  }
}

// relu, then the max over windows of 2 x 2, of two lines of which the second lies `below` floats behind the
// first. Overwrites `count` blocks of 16 at `to`.
static void ISA(conv_pool)(const cnn_conv_ending *ending, float *to, const float *from, ptrdiff_t below,
                           ptrdiff_t count) {
  const f32x16 zero = 0;
  for (ptrdiff_t j = 0; j < count; j++, to += CNN_LANES, from += 2 * CNN_LANES) {
    f32x16 values[] = {LOAD(from), LOAD(from + CNN_LANES), LOAD(from + below), LOAD(from + below + CNN_LANES)};
    if (ending->relu)
      for (int i = 0; i < 4; i++) values[i] = values[i] < zero ? zero : values[i];
    f32x16 best = values[0];
    for (int i = 1; i < 4; i++) best = CONV_WINNER(best, values[i]);
    STORE(to, best);
  }
}

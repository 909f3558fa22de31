// y + residual and relu or another function (cnn_conv_ending) of `count` floats at `to`, which lie in y: a
// multiple of 16. For values that a kernel has just stored, while they are in its nearest cache.
static void ISA(conv_end)(const cnn_conv_ending *ending, const float *y, float *to, ptrdiff_t count) {
  if (!conv_ends(ending)) return;
  const f32x16 zero = 0;
  const float *residual = ending->residual ? ending->residual + (to - y) : NULL;
  if (!residual && !ending->relu) {
    ISA(cnn_activate)(to, count, ending->activation);
    return;
  }
  for (ptrdiff_t i = 0; i < count; i += CNN_LANES) {
    f32x16 value = LOAD(to + i);
    if (residual) value += LOAD(residual + i);
    if (ending->relu) value = value < zero ? zero : value;
    STORE(to + i, value);
  }
  if (ending->activation != CNN_IDENTITY) ISA(cnn_activate)(to, count, ending->activation);
}

// Calls STEP(at, from, count) for each run of a pixel's channels first ..< first + channels that lies in
// one block: `at` floats after the first channel, `from` floats after the pixel in block 0.
#define EACH_RUN(first, channels, stride, STEP)                                                             \
  for (ptrdiff_t at_ = 0, count_; at_ < (channels); at_ += count_) {                                        \
    const ptrdiff_t c_ = (first) + at_;                                                                     \
    count_ = smaller((channels)-at_, CNN_BLOCK - c_ % CNN_BLOCK);                                           \
    STEP(at_, c_ / CNN_BLOCK * (stride) + c_ % CNN_BLOCK, count_);                                          \
  }

CNN_INLINE void ISA(copy_run)(float *to, const float *from, ptrdiff_t count) {
  if (count == CNN_BLOCK) STORE(to, LOAD(from));
  else
    for (ptrdiff_t i = 0; i < count; i++) to[i] = from[i];
}

CNN_INLINE void ISA(add_run)(float *to, const float *from, ptrdiff_t count) {
  if (count == CNN_BLOCK) STORE(to, LOAD(to) + LOAD(from));
  else
    for (ptrdiff_t i = 0; i < count; i++) to[i] += from[i];
}

// The channels of one tap of one position, in blocked and in planar x.
CNN_INLINE void ISA(read_pixel)(const cnn_conv_shape *s, float *to, const float *x, ptrdiff_t pixel,
                                ptrdiff_t first, ptrdiff_t channels) {
  if (s->planar) {
    for (ptrdiff_t c = 0; c < channels; c++) to[c] = x[(first + c) * s->n * s->ih * s->iw + pixel];
    return;
  }
  const float *from = x + pixel * CNN_BLOCK;
#define STEP(at, place, count) ISA(copy_run)(to + (at), from + (place), count)
  EACH_RUN(first, channels, conv_x_block(s), STEP)
#undef STEP
}

// Calls INSIDE(pixel) or OUTSIDE for each position of a block and each tap, `rows` being its channels' place.
#define EACH_TAP(s, block, rows, channels, INSIDE, OUTSIDE)                                                   \
  for (ptrdiff_t image = (block)->first_image; image < (block)->first_image + (block)->images; image++)       \
    for (ptrdiff_t i = (block)->first_row; i < (block)->first_row + (block)->rows; i++)                       \
      for (ptrdiff_t j = 0; j < (s)->ow; j++)                                                                 \
        for (ptrdiff_t a = 0; a < (s)->kh; a++)                                                               \
          for (ptrdiff_t b = 0; b < (s)->kw; b++, rows += (channels)) {                                       \
            const ptrdiff_t h = i * (s)->sh + a * (s)->dh - (s)->ph, w = j * (s)->sw + b * (s)->dw - (s)->pw; \
            if (h < 0 || h >= (s)->ih || w < 0 || w >= (s)->iw) OUTSIDE;                                      \
            else INSIDE((image * (s)->ih + h) * (s)->iw + w);                                                 \
          }

static void ISA(im2row)(const cnn_conv_shape *s, const cnn_conv_block *block, ptrdiff_t group, float *rows,
                        const float *x) {
  const ptrdiff_t channels = s->ic / s->groups, first = group * channels;
#define READ(pixel) ISA(read_pixel)(s, rows, x, pixel, first, channels)
  EACH_TAP(s, block, rows, channels, READ, memset(rows, 0, (size_t)channels * sizeof *rows))
#undef READ
}

// Adds the channels of one tap of one position to blocked dx.
CNN_INLINE void ISA(add_pixel)(const cnn_conv_shape *s, float *dx, const float *from, ptrdiff_t pixel,
                               ptrdiff_t first, ptrdiff_t channels) {
  float *to = dx + pixel * CNN_BLOCK;
#define STEP(at, place, count) ISA(add_run)(to + (place), from + (at), count)
  EACH_RUN(first, channels, conv_x_block(s), STEP)
#undef STEP
}

static void ISA(row2im)(const cnn_conv_shape *s, const cnn_conv_block *block, ptrdiff_t group, float *dx,
                        const float *rows) {
  const ptrdiff_t channels = s->ic / s->groups, first = group * channels;
#define ADD(pixel) ISA(add_pixel)(s, dx, rows, pixel, first, channels)
  EACH_TAP(s, block, rows, channels, ADD, continue)
#undef ADD
}

static void ISA(read_outputs)(const cnn_conv_shape *s, const cnn_conv_block *block, ptrdiff_t group,
                              float *rows, const float *dy) {
  const ptrdiff_t channels = s->oc / s->groups, first = group * channels, points = block->rows * s->ow;
  for (ptrdiff_t image = block->first_image; image < block->first_image + block->images; image++) {
    const float *from = dy + conv_y_image(s, image) + block->first_row * s->ow * CNN_BLOCK;
    for (ptrdiff_t p = 0; p < points; p++, from += CNN_BLOCK, rows += channels) {
#define STEP(at, place, count) ISA(copy_run)(rows + (at), from + (place), count)
      EACH_RUN(first, channels, conv_y_block(s), STEP)
#undef STEP
    }
  }
}

static void ISA(write_outputs)(const cnn_conv_shape *s, const cnn_conv_block *block, ptrdiff_t group,
                               float *y, const float *rows, const float *bias) {
  const ptrdiff_t channels = s->oc / s->groups, first = group * channels, points = block->rows * s->ow;
  const ptrdiff_t last = (conv_blocks(s->oc) - 1) * conv_y_block(s);
  const ptrdiff_t absent = conv_blocks(s->oc) * CNN_BLOCK - s->oc;
  for (ptrdiff_t image = block->first_image; image < block->first_image + block->images; image++) {
    float *to = y + conv_y_image(s, image) + block->first_row * s->ow * CNN_BLOCK;
    for (ptrdiff_t p = 0; p < points; p++, to += CNN_BLOCK, rows += channels) {
#define STEP(at, place, count)                                                \
  {                                                                           \
    ISA(copy_run)(to + (place), rows + (at), count);                          \
    if (bias) ISA(add_run)(to + (place), bias + first + (at), count);         \
  }
      EACH_RUN(first, channels, conv_y_block(s), STEP)
#undef STEP
      if (group == s->groups - 1)
        for (ptrdiff_t lane = CNN_BLOCK - absent; lane < CNN_BLOCK; lane++) to[last + lane] = 0;
    }
  }
}

// Calls STEP(o, place, count) for each run of a group's outputs that lies in one panel.
#define EACH_PANEL(s, group, k, STEP)                                                                        \
  for (ptrdiff_t o_ = 0, outputs_ = (s)->oc / (s)->groups, count_; o_ < outputs_; o_ += count_) {            \
    const ptrdiff_t c_ = (group)*outputs_ + o_;                                                              \
    count_ = smaller(outputs_ - o_, CNN_PANEL - c_ % CNN_PANEL);                                             \
    STEP(o_, conv_weight_at(s, c_, (k) % ((s)->ic / (s)->groups), (k) / ((s)->ic / (s)->groups)), count_);   \
  }

static void ISA(unpack_weights)(const cnn_conv_shape *s, float *matrices, const float *weight) {
  const ptrdiff_t depth = s->kh * s->kw * (s->ic / s->groups);
  for (ptrdiff_t group = 0; group < s->groups; group++)
    for (ptrdiff_t k = 0; k < depth; k++, matrices += s->oc / s->groups) {
#define STEP(o, place, count) memcpy(matrices + (o), weight + (place), (size_t)(count) * sizeof *weight)
      EACH_PANEL(s, group, k, STEP)
#undef STEP
    }
}

static void ISA(pack_weights)(const cnn_conv_shape *s, float *weight, const float *matrices) {
  const ptrdiff_t depth = s->kh * s->kw * (s->ic / s->groups);
  memset(weight, 0, (size_t)conv_weights(s) * sizeof *weight);
  for (ptrdiff_t group = 0; group < s->groups; group++)
    for (ptrdiff_t k = 0; k < depth; k++, matrices += s->oc / s->groups) {
#define STEP(o, place, count) memcpy(weight + (place), matrices + (o), (size_t)(count) * sizeof *weight)
      EACH_PANEL(s, group, k, STEP)
#undef STEP
    }
}
#undef EACH_RUN
#undef EACH_TAP
#undef EACH_PANEL

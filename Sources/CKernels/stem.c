// The stem (stem.h) in fp32.
#include "convolution_algorithms.h"
#include "stem.h"
#include "tile.h"

static size_t stem_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) { return 0; }
static void stem_prepare(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared, const float *weight) {}

static size_t stem_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) {
  if (pass == CNN_CONV_BACKWARD_DATA) return 0;
  const stem_plan p = stem_plan_of(s, 1);
  return (size_t)(p.rows * p.row + (pass == CNN_CONV_FORWARD ? stem_unpooled(s) : 0));
}

// What stem_tiles_body.h multiplies: each float of a picture by a row of a panel.
#define STEM_TOGETHER 1
#define STEM_PANELS weight
#define STEM_READY(picture, count)

#define KERNEL_BODY "stem_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                             \
  {"stem", stem_fits, stem_prepared, stem_prepare, stem_scratch, stem_forward_##isa, NULL,     \
   stem_backward_weights_##isa, true, 1}
const cnn_conv_algorithm cnn_conv_stem[] = ISA_TABLE(TABLE);

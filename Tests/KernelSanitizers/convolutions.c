// Every convolution algorithm, pass and instruction set over random shapes, in blocks of memory of the
// exact size, for the address and undefined-behaviour sanitizers (scripts/check-kernels builds and runs
// it). Results are compared with `ref` too. A test is an algorithm in a pass on an instruction set, over all
// shapes that it can do. Prints "N passed, N failed".
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convolution.h"

static uint64_t state = 1;
static ptrdiff_t below(ptrdiff_t end) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (ptrdiff_t)((state >> 33) % (uint64_t)end);
}
static ptrdiff_t between(ptrdiff_t first, ptrdiff_t last) { return first + below(last - first + 1); }
static ptrdiff_t blocks(ptrdiff_t channels) { return (channels + CNN_BLOCK - 1) / CNN_BLOCK; }

static float *memory(size_t floats) {
  void *p = NULL;
  if (posix_memalign(&p, 64, floats ? floats * sizeof(float) : 1)) abort();
  memset(p, 0xff, floats * sizeof(float));  // NaN: what must be overwritten shows where it is not
  return p;
}

// Random values that bf16 has, zeros in the lanes of channels that don't exist.
static float *activations(ptrdiff_t channels, ptrdiff_t positions, bool planar) {
  const ptrdiff_t count = planar ? channels * positions : blocks(channels) * CNN_BLOCK * positions;
  float *x = memory((size_t)count);
  for (ptrdiff_t i = 0; i < count; i++) {
    const ptrdiff_t channel = planar ? 0 : i / (positions * CNN_BLOCK) * CNN_BLOCK + i % CNN_BLOCK;
    x[i] = channel < channels ? (float)between(-128, 128) / 128 : 0;
  }
  return x;
}

static cnn_conv_shape random_shape(void) {
  cnn_conv_shape s = {.n = between(1, 3), .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
  s.ic = between(1, 40), s.oc = between(1, 70);
  s.ih = between(1, 15), s.iw = between(1, 15);
  switch (below(8)) {
    case 6:  // few channels on one side
      s.planar = below(2);
      s.kh = between(1, 5), s.kw = between(1, 5), s.ph = below(s.kh), s.pw = below(s.kw);
      if (s.planar) s.ic = between(1, 3), s.oc = between(1, 8);
      else s.ic = between(1, 8);
      break;
    case 7:  // few outputs
      s.ih = between(1, 4), s.iw = between(1, 4), s.kh = s.kw = 3, s.ph = s.pw = below(3), s.sh = s.sw = between(1, 2);
      break;
    case 0: case 1:  // what Winograd does
      s.kh = s.kw = 3, s.ph = below(3), s.pw = below(3);
      if (below(4) == 0) s.ic = between(120, 150), s.oc = between(120, 150), s.ih = s.iw = between(1, 6);
      break;
    case 2:
      s.kh = s.kw = 1, s.sh = between(1, 2), s.sw = between(1, 2);
      break;
    case 3:
      s.kh = s.ih, s.kw = s.iw;
      break;
    case 4:
      s.kh = between(1, 5), s.kw = between(1, 5), s.ph = below(3), s.pw = below(3);
      s.groups = below(2) ? s.ic : (s.ic % 4 == 0 ? 4 : 1);
      s.oc = s.groups * between(1, 3);
      break;
    default:
      s.kh = between(1, 7), s.kw = between(1, 7), s.ph = below(4), s.pw = below(4), s.sh = between(1, 3);
      s.sw = between(1, 3), s.dh = between(1, 2), s.dw = between(1, 2);
      if (below(3) == 0) s.ic = between(1, 4), s.planar = true;
  }
  const ptrdiff_t reach_h = s.dh * (s.kh - 1) + 1, reach_w = s.dw * (s.kw - 1) + 1;
  if (s.ih + 2 * s.ph < reach_h) s.ih = reach_h;
  if (s.iw + 2 * s.pw < reach_w) s.iw = reach_w;
  s.oh = (s.ih + 2 * s.ph - reach_h) / s.sh + 1;
  s.ow = (s.iw + 2 * s.pw - reach_w) / s.sw + 1;
  s.first = below(s.n);
  s.images = between(1, s.n - s.first);
  return s;
}

typedef struct {
  float *x, *dy, *weight, *bias;
  size_t x_count, y_count, weight_count;
} arrays;

static float *run(const cnn_conv_algorithm *a, const cnn_conv_shape *s, cnn_conv_pass pass, const arrays *in) {
  cnn_conv_shape most = *s;  // scratch made for more images must do
  most.first = 0, most.images = s->n;
  float *prepared = memory(a->prepared(s, pass)), *scratch = memory(a->scratch(&most, pass)), *out;
  if (a->prepared(s, pass)) a->prepare(s, pass, prepared, in->weight);
  switch (pass) {
    case CNN_CONV_FORWARD:
      out = memory(in->y_count);
      // The residual lies as the output does; so does the gradient.
      const cnn_conv_ending ending = {in->bias, s->oc % 2 ? in->dy : NULL, s->oc % 3 > 0, false};
      const cnn_conv_ending pooling = {in->bias, NULL, s->oc % 3 > 0, true};
      if (a->pools) a->forward(s, out, in->x, in->weight, prepared, &pooling, scratch);
      for (size_t i = 0; i < in->y_count; i++) out[i] = NAN;
      a->forward(s, out, in->x, in->weight, prepared, &ending, scratch);
      break;
    case CNN_CONV_BACKWARD_DATA:
      out = memory(in->x_count);
      a->backward_data(s, out, in->dy, in->weight, prepared, scratch);
      break;
    default:
      out = memory(in->weight_count);
      a->backward_weights(s, out, in->x, in->dy, scratch);
  }
  free(prepared), free(scratch);
  return out;
}

// max |a - b| / max |b|; both are NaN where neither was to be written.
static double error(const float *a, const float *b, size_t count) {
  double difference = 0, largest = 1e-30;
  for (size_t i = 0; i < count; i++) {
    if (isnan(a[i]) && isnan(b[i])) continue;
    const double d = fabs((double)a[i] - (double)b[i]);
    if (!(d <= 1e30)) return INFINITY;
    difference = fmax(difference, d), largest = fmax(largest, fabs((double)b[i]));
  }
  return difference / largest;
}

// The instruction sets, and the best with bf16 by instruction where the CPU has it.
enum { native = CNN_ISA_AVX512 + 1, isas = 4, passes = 3, algorithms = 32 };
typedef enum { not_run = 0, passed = 1, failed = 2 } outcome;
static outcome outcomes[isas][algorithms][passes];

static void check(const cnn_conv_shape *s, int isa) {
  const ptrdiff_t depth = s->kh * s->kw * (s->ic / s->groups);
  arrays in = {.x = activations(s->ic, s->n * s->ih * s->iw, s->planar),
               .dy = activations(s->oc, s->n * s->oh * s->ow, false),
               .bias = activations(s->oc, 1, false),
               .x_count = (size_t)(blocks(s->ic) * CNN_BLOCK * s->n * s->ih * s->iw),
               .y_count = (size_t)(blocks(s->oc) * CNN_BLOCK * s->n * s->oh * s->ow),
               .weight_count = (size_t)(blocks(s->oc) * CNN_BLOCK * depth)};
  in.weight = memory(in.weight_count);
  for (ptrdiff_t o = 0; o < blocks(s->oc) * CNN_BLOCK; o++)
    for (ptrdiff_t k = 0; k < depth; k++) {
      const ptrdiff_t first = o / CNN_PANEL * CNN_PANEL, left = blocks(s->oc) * CNN_BLOCK - first;
      const ptrdiff_t width = left < CNN_PANEL ? left : CNN_PANEL;
      in.weight[first * depth + k * width + o - first] = o < s->oc ? (float)between(-128, 128) / 128 : 0;
    }
  size_t count;
  const cnn_conv_algorithm *const *table = isa == native ? cnn_conv_algorithms(CNN_ISA_AVX512, &count)
                                                         : cnn_conv_algorithms_without_bf16((cnn_isa)isa, &count);
  const cnn_conv_algorithm *ref = cnn_conv_algorithm_named(CNN_ISA_REF, "ref");
  for (int pass = 0; pass < 3; pass++) {
    if (s->planar && pass == CNN_CONV_BACKWARD_DATA) continue;
    float *expected = run(ref, s, pass, &in);
    const size_t size = pass == 0 ? in.y_count : pass == 1 ? in.x_count : in.weight_count;
    for (size_t i = 0; i < count && i < algorithms; i++) {
      if (!table[i]->fits(s, pass) || (isa == native && !strstr(table[i]->name, "bf16"))) continue;
      float *result = run(table[i], s, pass, &in);
      const double e = error(result, expected, size);
      free(result);
      outcome *test = &outcomes[isa][i][pass];
      if (e <= 1e-5) {
        if (*test == not_run) *test = passed;
        continue;
      }
      *test = failed;
      fprintf(stderr, "%s, isa %d, pass %d: error %.1e; n %td (%td + %td), %td x %td x %td -> %td x %td x %td, "
              "kernel %td x %td, stride %td x %td, padding %td x %td, dilation %td x %td, groups %td%s\n",
              table[i]->name, isa, pass, e, s->n, s->first, s->images, s->ic, s->ih, s->iw, s->oc, s->oh, s->ow,
              s->kh, s->kw, s->sh, s->sw, s->ph, s->pw, s->dh, s->dw, s->groups, s->planar ? ", planar" : "");
    }
    free(expected);
  }
  free(in.x), free(in.dy), free(in.bias), free(in.weight);
}

int main(int count, char **arguments) {
  const int shapes = count > 1 ? atoi(arguments[1]) : 60;
  for (int i = 0; i < shapes; i++) {
    const cnn_conv_shape shape = random_shape();
    for (int isa = CNN_ISA_REF; isa <= (int)cnn_isa_detect(); isa++) check(&shape, isa);
    if (cnn_isa_has_bf16()) check(&shape, native);
  }
  int total[3] = {0};
  for (int isa = 0; isa < isas; isa++)
    for (int i = 0; i < algorithms; i++)
      for (int pass = 0; pass < passes; pass++) total[outcomes[isa][i][pass]]++;
  printf("kernels: %d passed, %d failed\n", total[passed], total[failed]);
  return total[failed] > 0 || total[passed] == 0;
}

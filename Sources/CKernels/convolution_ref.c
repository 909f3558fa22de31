// Plain loops that add in double: what every other algorithm is measured by. Any shape.
#include <string.h>

#include "convolution_algorithms.h"
#include "convolution_geometry.h"

static bool ref_fits(const cnn_conv_shape *s, cnn_conv_pass pass) {
  return !(s->planar && pass == CNN_CONV_BACKWARD_DATA);
}
static size_t ref_prepared(const cnn_conv_shape *s, cnn_conv_pass pass) { return 0; }
static void ref_prepare(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared, const float *weight) {}
static size_t ref_scratch(const cnn_conv_shape *s, cnn_conv_pass pass) { return 0; }

static ptrdiff_t ref_x_at(const cnn_conv_shape *s, ptrdiff_t image, ptrdiff_t c, ptrdiff_t h, ptrdiff_t w) {
  if (s->planar) return ((c * s->n + image) * s->ih + h) * s->iw + w;
  return (((c / CNN_BLOCK * s->n + image) * s->ih + h) * s->iw + w) * CNN_BLOCK + c % CNN_BLOCK;
}

static ptrdiff_t ref_y_at(const cnn_conv_shape *s, ptrdiff_t image, ptrdiff_t o, ptrdiff_t h, ptrdiff_t w) {
  return (((o / CNN_BLOCK * s->n + image) * s->oh + h) * s->ow + w) * CNN_BLOCK + o % CNN_BLOCK;
}

// y[image, o, i, j] without bias.
static double ref_output(const cnn_conv_shape *s, const float *x, const float *weight, ptrdiff_t image,
                         ptrdiff_t o, ptrdiff_t i, ptrdiff_t j) {
  const ptrdiff_t inputs = s->ic / s->groups, first = o / (s->oc / s->groups) * inputs;
  double sum = 0;
  for (ptrdiff_t a = 0; a < s->kh; a++)
    for (ptrdiff_t b = 0; b < s->kw; b++) {
      const ptrdiff_t h = i * s->sh + a * s->dh - s->ph, w = j * s->sw + b * s->dw - s->pw;
      if (h < 0 || h >= s->ih || w < 0 || w >= s->iw) continue;
      for (ptrdiff_t c = 0; c < inputs; c++)
        sum += (double)weight[conv_weight_at(s, o, c, a * s->kw + b)] *
               x[ref_x_at(s, image, first + c, h, w)];
    }
  return sum;
}

static void ref_forward(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                        const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  for (ptrdiff_t o = 0; o < conv_blocks(s->oc) * CNN_BLOCK; o++)
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++)
      for (ptrdiff_t i = 0; i < s->oh; i++)
        for (ptrdiff_t j = 0; j < s->ow; j++) {
          const ptrdiff_t at = ref_y_at(s, image, o, i, j);
          double value = o < s->oc ? ref_output(s, x, weight, image, o, i, j) : 0;
          if (o < s->oc && ending->bias) value += ending->bias[o];
          if (ending->residual) value += ending->residual[at];
          y[at] = (float)(ending->relu && value < 0 ? 0 : value);
        }
  if (ending->activation == CNN_IDENTITY) return;
  const cnn_blocked shape = {s->oc, s->n, s->oh * s->ow, s->first, s->images};
  cnn_activation_kernels_for(CNN_ISA_REF, ending->activation)->forward(y, y, &shape, 0);
}

// dx[image, c, h, w].
static double ref_input_gradient(const cnn_conv_shape *s, const float *dy, const float *weight,
                                 ptrdiff_t image, ptrdiff_t c, ptrdiff_t h, ptrdiff_t w) {
  const ptrdiff_t inputs = s->ic / s->groups, outputs = s->oc / s->groups, first = c / inputs * outputs;
  double sum = 0;
  for (ptrdiff_t a = 0; a < s->kh; a++)
    for (ptrdiff_t b = 0; b < s->kw; b++) {
      const ptrdiff_t i = h + s->ph - a * s->dh, j = w + s->pw - b * s->dw;
      if (i < 0 || j < 0 || i % s->sh || j % s->sw || i / s->sh >= s->oh || j / s->sw >= s->ow) continue;
      for (ptrdiff_t o = first; o < first + outputs; o++)
        sum += (double)weight[conv_weight_at(s, o, c % inputs, a * s->kw + b)] *
               dy[ref_y_at(s, image, o, i / s->sh, j / s->sw)];
    }
  return sum;
}

static void ref_backward_data(const cnn_conv_shape *s, float *dx, const float *dy, const float *weight,
                              const float *prepared, float *scratch) {
  for (ptrdiff_t c = 0; c < conv_blocks(s->ic) * CNN_BLOCK; c++)
    for (ptrdiff_t image = s->first; image < s->first + s->images; image++)
      for (ptrdiff_t h = 0; h < s->ih; h++)
        for (ptrdiff_t w = 0; w < s->iw; w++)
          dx[ref_x_at(s, image, c, h, w)] =
              c < s->ic ? (float)ref_input_gradient(s, dy, weight, image, c, h, w) : 0;
}

// dw[o, c of the group, a, b].
static double ref_weight_gradient(const cnn_conv_shape *s, const float *x, const float *dy, ptrdiff_t o,
                                  ptrdiff_t c, ptrdiff_t a, ptrdiff_t b) {
  const ptrdiff_t channel = o / (s->oc / s->groups) * (s->ic / s->groups) + c;
  double sum = 0;
  for (ptrdiff_t image = s->first; image < s->first + s->images; image++)
    for (ptrdiff_t i = 0; i < s->oh; i++)
      for (ptrdiff_t j = 0; j < s->ow; j++) {
        const ptrdiff_t h = i * s->sh + a * s->dh - s->ph, w = j * s->sw + b * s->dw - s->pw;
        if (h < 0 || h >= s->ih || w < 0 || w >= s->iw) continue;
        sum += (double)x[ref_x_at(s, image, channel, h, w)] * dy[ref_y_at(s, image, o, i, j)];
      }
  return sum;
}

static void ref_backward_weights(const cnn_conv_shape *s, float *dw, const float *x, const float *dy,
                                 float *scratch) {
  memset(dw, 0, (size_t)conv_weights(s) * sizeof *dw);
  for (ptrdiff_t o = 0; o < s->oc; o++)
    for (ptrdiff_t c = 0; c < s->ic / s->groups; c++)
      for (ptrdiff_t a = 0; a < s->kh; a++)
        for (ptrdiff_t b = 0; b < s->kw; b++)
          dw[conv_weight_at(s, o, c, a * s->kw + b)] = (float)ref_weight_gradient(s, x, dy, o, c, a, b);
}

#define ENTRY                                                                                       \
  {"ref", ref_fits, ref_prepared, ref_prepare, ref_scratch, ref_forward, ref_backward_data, \
   ref_backward_weights}
const cnn_conv_algorithm cnn_conv_ref[3] = {ENTRY, ENTRY, ENTRY};

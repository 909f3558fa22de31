#include "depthwise.h"

#include <stdbool.h>
#include <string.h>

// Two pictures of planes in scratch make every tap a run of neighbours, without a border case.
//
// The phased plane of an input: row r, phase p, index q holds x[r - ph, q*sw + p - pw], 0 outside the
// image. Tap (a, b) of output (i, j) is at row i*sh + a*dh, phase (b*dw) % sw, index (b*dw) / sw + j.
//
// The widened plane of an output gradient: row `above` + i, index `margin` + j holds dy[i, j], 0
// elsewhere.
typedef struct {
  ptrdiff_t rows, phase, row;  // the phased plane: its rows; floats of a phase and of a row
  // The widened plane: rows before the first of dy, and all; floats before the first of a row, and all.
  ptrdiff_t above, heights, margin, wide;
  ptrdiff_t phased, widened;  // floats of both planes, with what a last vector reads beyond
} planes;

static planes planes_of(const cnn_conv_shape *s) {
  const ptrdiff_t width = (s->ow - 1) * s->sw + (s->kw - 1) * s->dw + 1;
  planes p = {.rows = (s->oh - 1) * s->sh + (s->kh - 1) * s->dh + 1, .phase = (width + s->sw - 1) / s->sw};
  p.row = p.phase * s->sw;
  p.above = (s->kh - 1) * s->dh / s->sh;
  p.heights = p.above + (p.rows + s->sh - 1) / s->sh;
  p.margin = (s->kw - 1) * s->dw / s->sw;
  p.wide = p.margin + (p.phase + 15) / 16 * 16;
  p.phased = p.rows * p.row + 16;
  p.widened = p.heights * p.wide;
  return p;
}

size_t cnn_depthwise_scratch(const cnn_conv_shape *s) {
  const planes p = planes_of(s);
  return (size_t)(p.phased + p.widened);
}

static inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

// The indices lo ..< hi of a phase whose column, q*sw + phase - pw, is in the image.
static inline ptrdiff_t first_inside(const cnn_conv_shape *s, const planes *p, ptrdiff_t phase) {
  return phase >= s->pw ? 0 : smaller(p->phase, (s->pw - phase + s->sw - 1) / s->sw);
}
static inline ptrdiff_t end_inside(const cnn_conv_shape *s, const planes *p, ptrdiff_t phase) {
  const ptrdiff_t room = s->iw + s->pw - phase;
  return room <= 0 ? 0 : smaller(p->phase, (room + s->sw - 1) / s->sw);
}

static void pack_phased(const cnn_conv_shape *s, const planes *p, const float *x, float *plane) {
  memset(plane, 0, (size_t)p->phased * sizeof *plane);
  const ptrdiff_t end = smaller(p->rows, s->ih + s->ph);
  for (ptrdiff_t phase = 0; phase < s->sw; phase++) {
    const ptrdiff_t lo = first_inside(s, p, phase), hi = end_inside(s, p, phase);
    if (lo >= hi) continue;
    for (ptrdiff_t r = s->ph; r < end; r++) {
      float *restrict to = plane + r * p->row + phase * p->phase;
      const float *restrict from = x + (r - s->ph) * s->iw + phase - s->pw;
      if (s->sw == 1) memcpy(to + lo, from + lo, (size_t)(hi - lo) * sizeof *to);
      else if (s->sw == 2)
        for (ptrdiff_t q = lo; q < hi; q++) to[q] = from[q * 2];
      else
        for (ptrdiff_t q = lo; q < hi; q++) to[q] = from[q * s->sw];
    }
  }
}

static void unpack_phased(const cnn_conv_shape *s, const planes *p, const float *plane, float *x) {
  const ptrdiff_t end = smaller(p->rows, s->ih + s->ph);
  // What no output reads has no place in the plane.
  if (s->ih + s->ph > p->rows || s->iw + s->pw > p->row) memset(x, 0, (size_t)(s->ih * s->iw) * sizeof *x);
  for (ptrdiff_t phase = 0; phase < s->sw; phase++) {
    const ptrdiff_t lo = first_inside(s, p, phase), hi = end_inside(s, p, phase);
    if (lo >= hi) continue;
    for (ptrdiff_t r = s->ph; r < end; r++) {
      const float *restrict from = plane + r * p->row + phase * p->phase;
      float *restrict to = x + (r - s->ph) * s->iw + phase - s->pw;
      if (s->sw == 1) memcpy(to + lo, from + lo, (size_t)(hi - lo) * sizeof *to);
      else
        for (ptrdiff_t q = lo; q < hi; q++) to[q * s->sw] = from[q];
    }
  }
}

static void pack_widened(const cnn_conv_shape *s, const planes *p, const float *dy, float *plane) {
  memset(plane, 0, (size_t)p->widened * sizeof *plane);
  for (ptrdiff_t i = 0; i < s->oh; i++)
    memcpy(plane + (p->above + i) * p->wide + p->margin, dy + i * s->ow, (size_t)s->ow * sizeof *plane);
}

#define KERNEL_BODY "depthwise_body.h"
#include "each_isa.h"

#define TABLE(isa) {depthwise_forward_##isa, depthwise_backward_data_##isa, depthwise_backward_weights_##isa}
static const cnn_depthwise_kernels tables[] = ISA_TABLE(TABLE);

const cnn_depthwise_kernels *cnn_depthwise_kernels_for(cnn_isa isa) { return &tables[isa]; }

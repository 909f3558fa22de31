// What the stems in fp32 and in bf16 share. STEM_TOGETHER floats of a picture make a product; STEM_PANELS are the
// weights that forward reads, and STEM_READY makes a picture ready for it.
#include "tile_body.h"
#include "tile_gradient_body.h"
#include "ending_body.h"
#include "pool_ending_body.h"

// Interleaves `count` pixels of three planes `plane` floats apart: to[3 i + c] = from[c][i].
CNN_INLINE void ISA(stem_interleave3)(float *to, const float *from, ptrdiff_t plane, ptrdiff_t count) {
  ptrdiff_t i = 0;
  for (; i + CNN_LANES <= count; i += CNN_LANES, to += 3 * CNN_LANES) {
    const f32x16 r = LOAD(from + i), g = LOAD(from + plane + i), b = LOAD(from + 2 * plane + i);
    f32x16 v = __builtin_shufflevector(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
    STORE(to, __builtin_shufflevector(v, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15));
    v = __builtin_shufflevector(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
    STORE(to + CNN_LANES, __builtin_shufflevector(v, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12,
                                                  25, 14, 15));
    v = __builtin_shufflevector(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
    STORE(to + 2 * CNN_LANES,
          __builtin_shufflevector(v, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31));
  }
  for (; i < count; i++, to += 3)
    for (int c = 0; c < 3; c++) to[c] = from[c * plane + i];
}

// The picture of `rows` rows of an image, row 0 being its row `top`.
static void ISA(stem_pack)(const cnn_conv_shape *s, const stem_plan *p, float *to, const float *x,
                           ptrdiff_t image, ptrdiff_t top, ptrdiff_t rows) {
  const ptrdiff_t plane = s->n * s->ih * s->iw;
  const ptrdiff_t left = smaller(s->pw, p->columns), count = larger(0, smaller(s->iw, p->columns - s->pw));
  for (ptrdiff_t r = 0; r < rows; r++, to += p->row) {
    const ptrdiff_t h = top + r;
    const bool inside = h >= 0 && h < s->ih;
    const ptrdiff_t begin = inside ? left * s->ic : 0, end = inside ? begin + count * s->ic : 0;
    memset(to, 0, (size_t)begin * sizeof *to);
    memset(to + end, 0, (size_t)(p->row - end) * sizeof *to);
    if (!inside) continue;
    const float *from = x + (image * s->ih + h) * s->iw;
    float *first = to + begin;
    if (s->ic == 1) memcpy(first, from, (size_t)count * sizeof *to);
    else if (s->ic == 3) ISA(stem_interleave3)(first, from, plane, count);
    else
      for (ptrdiff_t c = 0; c < s->ic; c++)
        for (ptrdiff_t i = 0; i < count; i++) first[i * s->ic + c] = from[c * plane + i];
  }
}

// C[r][16 j ...] = start[16 j ...] + the sum over runs: `rows` neighbouring outputs of a line.
CNN_INLINE void ISA(stem_tile)(const int rows, const int vectors, const ptrdiff_t point,
                               const ptrdiff_t b_row,
                               const cnn_conv_shape *s, const stem_plan *p, const float *a, const float *b,
                               float *c, ptrdiff_t c_vector, const float *start) {
  f32x16 sum[ISA(tile_nn_rows)][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) sum[r][j] = start ? LOAD(start + j * CNN_LANES) : (f32x16)0;
  for (ptrdiff_t run = 0; run < p->runs; run++) {
    const float *from = a + stem_run(s, p, run);
#pragma clang loop unroll_count(3)
    for (ptrdiff_t k = 0; k < p->products; k++, b += b_row)
      ISA(tile_nn_step)(rows, vectors, point, sum, from + k * STEM_TOGETHER, b);
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) STORE(c + r * CNN_LANES + j * c_vector, sum[r][j]);
}

// A line of outputs for a panel, in tiles of nearly equal width; c_vector from a block of channels to the next.
CNN_INLINE void ISA(stem_line_of)(const ptrdiff_t point, const ptrdiff_t width, const cnn_conv_shape *s,
                                  const stem_plan *p, const float *a, const float *b, float *c,
                                  ptrdiff_t c_vector, const float *start) {
  const int vectors = width < CNN_LANES * ISA(tile_nn_vectors) ? 1 : ISA(tile_nn_vectors);
  const ptrdiff_t tiles = ceiling(s->ow, ISA(tile_nn_rows));
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    const ptrdiff_t rows = s->ow / tiles + (tile < s->ow % tiles);
    for (ptrdiff_t j = 0; j < width / CNN_LANES; j += vectors) {
      const float *right = b + j * CNN_LANES, *from = start ? start + j * CNN_LANES : NULL;
      float *to = c + j * c_vector;
      switch (rows) {
#define CASE(r)                                                                                   \
  case r:                                                                                         \
    if (r <= ISA(tile_nn_rows))                                                                   \
      ISA(stem_tile)(r, vectors, point, width, s, p, a, right, to, c_vector, from);               \
    break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
        CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#undef CASE
      }
    }
    a += rows * point;
    c += rows * CNN_LANES;
  }
}

// The usual distances between outputs are constants: their multiples then stand in the instructions.
static void ISA(stem_line)(ptrdiff_t width, const cnn_conv_shape *s, const stem_plan *p, const float *a,
                           const float *b, float *c, ptrdiff_t c_vector, const float *start) {
#define LINE(point)                                                              \
  if (width == 32) ISA(stem_line_of)(point, 32, s, p, a, b, c, c_vector, start); \
  else ISA(stem_line_of)(point, 16, s, p, a, b, c, c_vector, start)
  if (p->point == 1) {
    LINE(1);
  } else if (p->point == 3) {
    LINE(3);
  } else if (p->point == 6) {
    LINE(6);
  } else {
    LINE(p->point);
  }
#undef LINE
}

// `lines` lines of an image, from `line` on, for the panel from channel `first` on; `picture` is theirs.
CNN_INLINE void ISA(stem_panel)(const cnn_conv_shape *s, const stem_plan *p, float *y, const float *picture,
                                const float *panels, const cnn_conv_ending *ending, ptrdiff_t image,
                                ptrdiff_t line, ptrdiff_t lines, ptrdiff_t first) {
  const ptrdiff_t width = conv_panel_width(s->oc, first), block = conv_y_block(s), row = s->ow * CNN_BLOCK;
  float *to = y + first / CNN_BLOCK * block + conv_y_image(s, image) + line * row;
  for (ptrdiff_t i = 0; i < lines; i++)
    ISA(stem_line)(width, s, p, picture + i * p->line, panels, to + i * row, block, conv_bias(ending, first));
  for (ptrdiff_t o = 0; o < width / CNN_BLOCK; o++) ISA(conv_end)(ending, y, to + o * block, lines * row);
}

// stem_panel where the ending pools: two lines go to `unpooled`, and from there to one of y.
CNN_INLINE void ISA(stem_panel_pooled)(const cnn_conv_shape *s, const stem_plan *p, float *y, const float *picture,
                                       const float *panels, const cnn_conv_ending *ending, float *unpooled,
                                       ptrdiff_t image, ptrdiff_t line, ptrdiff_t lines, ptrdiff_t first) {
  const ptrdiff_t width = conv_panel_width(s->oc, first), row = s->ow * CNN_BLOCK;
  const ptrdiff_t height = s->oh / 2, columns = s->ow / 2;
  for (ptrdiff_t i = 0; i + 2 <= lines; i += 2) {
    for (ptrdiff_t k = 0; k < 2; k++)
      ISA(stem_line)(width, s, p, picture + (i + k) * p->line, panels, unpooled + k * row, 2 * row,
                     conv_bias(ending, first));
    for (ptrdiff_t o = 0; o < width / CNN_BLOCK; o++) {
      float *to = y + (((first / CNN_BLOCK + o) * s->n + image) * height + (line + i) / 2) * columns * CNN_BLOCK;
      ISA(conv_pool)(ending, to, unpooled + 2 * o * row, row, columns);
    }
  }
}

static void ISA(stem_forward)(const cnn_conv_shape *s, float *y, const float *x, const float *weight,
                              const float *prepared, const cnn_conv_ending *ending, float *scratch) {
  const stem_plan p = stem_plan_of(s, STEM_TOGETHER);
  float *picture = scratch + stem_unpooled(s);
  for (ptrdiff_t image = s->first; image < s->first + s->images; image++)
    for (ptrdiff_t line = 0; line < s->oh; line += p.lines) {
      const ptrdiff_t lines = smaller(p.lines, s->oh - line), rows = stem_rows(s, lines);
      ISA(stem_pack)(s, &p, picture, x, image, line * s->sh - s->ph, rows);
      STEM_READY(picture, rows * p.row);
      for (ptrdiff_t first = 0; first < s->oc; first += CNN_PANEL) {
        const float *panels = STEM_PANELS + first * p.runs * p.products;
        if (ending->pool)
          ISA(stem_panel_pooled)(s, &p, y, picture, panels, ending, scratch, image, line, lines, first);
        else ISA(stem_panel)(s, &p, y, picture, panels, ending, image, line, lines, first);
      }
    }
}

// What `lines` lines of an image add to dw, for all panels; `from` is the picture at the first of them, and
// blocks of dy are `block` floats apart.
static void ISA(stem_gradient)(const cnn_conv_shape *s, const stem_plan *p, float *dw, const float *from,
                               const float *dy, ptrdiff_t block, ptrdiff_t lines, bool accumulate) {
  tile_tn tile = {.lines = lines, .count = s->ow, .a_line = p->line, .a_point = p->point,
                  .b_line = s->ow * CNN_BLOCK, .b_point = CNN_BLOCK, .b_vector = block,
                  .d_vector = CNN_BLOCK};
  for (ptrdiff_t first = 0; first < s->oc; first += tile.d_row) {
    tile.d_row = conv_panel_width(s->oc, first);
    const float *b = dy + first / CNN_BLOCK * tile.b_vector;
    float *d = dw + first * s->kh * s->kw * s->ic;
    for (ptrdiff_t run = 0; run < p->runs; run++, d += p->depth * tile.d_row)
      ISA(tile_gradient)(&tile, p->depth, tile.d_row, from + stem_run(s, p, run), b, d, accumulate);
  }
}

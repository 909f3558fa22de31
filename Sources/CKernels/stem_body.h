#include "stem_tiles_body.h"

static void ISA(stem_backward_weights)(const cnn_conv_shape *s, float *dw, const float *x, const float *dy,
                                       float *scratch) {
  const stem_plan p = stem_plan_of(s, 1);
  const ptrdiff_t step = stem_gradient_lines(s);
  for (ptrdiff_t image = s->first; image < s->first + s->images; image++)
    for (ptrdiff_t line = 0; line < s->oh; line += p.lines) {
      const ptrdiff_t lines = smaller(p.lines, s->oh - line);
      ISA(stem_pack)(s, &p, scratch, x, image, line * s->sh - s->ph, stem_rows(s, lines));
      for (ptrdiff_t i = 0; i < lines; i += step)
        ISA(stem_gradient)(s, &p, dw, scratch + i * p.line,
                           dy + stem_dy_image(s, image) + (line + i) * s->ow * CNN_BLOCK,
                           stem_dy_block(s), smaller(step, lines - i),
                           s->continues || image > s->first || line + i > 0);
    }
}

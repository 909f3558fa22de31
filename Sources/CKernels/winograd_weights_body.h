// Between panels of weights and U: of one panel of output channels U[position][k][width].

#define UNROLL _Pragma("clang loop unroll(full)")

// u = G g Gᵀ of 3 x 3 taps.
CNN_INLINE void ISA(winograd_store_weight)(float *u, ptrdiff_t u_position, const WVEC *g) {
  WVEC e[WINOGRAD_IN * 3];
  UNROLL for (int j = 0; j < 3; j++) ISA(winograd_weight)(e + j, 3, g + j, 3);
  UNROLL for (int i = 0; i < WINOGRAD_IN; i++) {
    WVEC f[WINOGRAD_IN];
    ISA(winograd_weight)(f, 1, e + i * 3, 1);
    UNROLL for (int j = 0; j < WINOGRAD_IN; j++) WSTORE(u + (i * WINOGRAD_IN + j) * u_position, f[j]);
  }
}

// U of the output channels c ..< c + width of a forward pass.
static void ISA(winograd_forward_weights)(const winograd_plan *p, float *u, const float *weight, ptrdiff_t c,
                                          ptrdiff_t width) {
  const ptrdiff_t ic = p->in.channels;
  const float *panel = weight + c * 9 * ic;
  for (ptrdiff_t k = 0; k < ic * width; k += WLANES) {
    WVEC g[9];
    UNROLL for (int tap = 0; tap < 9; tap++) g[tap] = WLOAD(panel + tap * ic * width + k);
    ISA(winograd_store_weight)(u + k, p->u_position, g);
  }
}

// U of the input channels c ..< c + width as outputs of backward_data: k counts output channels, and the
// taps are turned by 180 degrees.
static void ISA(winograd_backward_weights_of)(const winograd_plan *p, float *u, const float *weight, ptrdiff_t c,
                                              ptrdiff_t width) {
  const ptrdiff_t ic = p->out.channels, oc = p->in.channels;
  float turned[9][16 * 16] __attribute__((aligned(64)));
  for (ptrdiff_t half = 0; half < width; half += CNN_BLOCK)
    for (ptrdiff_t o = 0; o < oc; o += CNN_BLOCK) {
      const ptrdiff_t first = o / CNN_PANEL * CNN_PANEL, columns = conv_panel_width(oc, first);
      const float *panel = weight + first * 9 * ic + (c + half) * columns + o - first;
      for (int tap = 0; tap < 9; tap++) {
        const float *from = panel + (8 - tap) * ic * columns;
        if (ic - c - half >= 16) ISA(transpose16)(turned[tap], 16, 16, from, columns, 16);
        else ISA(transpose16)(turned[tap], 16, 16, from, columns, ic - c - half);
      }
      for (ptrdiff_t k = 0; k < CNN_BLOCK && o + k < oc; k++)
        for (int lane = 0; lane < CNN_BLOCK; lane += WLANES) {
          WVEC g[9];
          UNROLL for (int tap = 0; tap < 9; tap++) g[tap] = WLOAD(turned[tap] + k * CNN_BLOCK + lane);
          ISA(winograd_store_weight)(u + (o + k) * width + half + lane, p->u_position, g);
        }
    }
}

static void ISA(winograd_weights)(const winograd_plan *p, cnn_conv_pass pass, float *u, const float *weight,
                                  ptrdiff_t c, ptrdiff_t width) {
  if (pass == CNN_CONV_BACKWARD_DATA) ISA(winograd_backward_weights_of)(p, u, weight, c, width);
  else ISA(winograd_forward_weights)(p, u, weight, c, width);
}

static void ISA(winograd_prepare)(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared,
                                  const float *weight) {
  const winograd_plan p = winograd_plan_for(s, pass);
  ptrdiff_t width;
  for (ptrdiff_t c = 0; c < p.out.channels; c += width) {
    width = conv_panel_width(p.out.channels, c);
    ISA(winograd_weights)(&p, pass, prepared + c * p.in.channels, weight, c, width);
  }
}

// dw = Gᵀ u G of `rows` x `columns` pairs of channels, added to dw or overwriting it. u and dw point to the
// first pair, rows of input channels u_row and dw_row apart.
static void ISA(winograd_store_weights)(float *dw, ptrdiff_t dw_row, ptrdiff_t dw_tap, const float *u,
                                        ptrdiff_t u_row, ptrdiff_t u_position, ptrdiff_t rows, ptrdiff_t columns,
                                        bool add) {
  for (ptrdiff_t row = 0; row < rows; row++)
    for (ptrdiff_t column = 0; column < columns; column += WLANES) {
      const float *from = u + row * u_row + column;
      float *to = dw + row * dw_row + column;
      WVEC e[3 * WINOGRAD_IN];
      UNROLL for (int j = 0; j < WINOGRAD_IN; j++) {
        WVEC d[WINOGRAD_IN];
        UNROLL for (int i = 0; i < WINOGRAD_IN; i++) d[i] = WLOAD(from + (i * WINOGRAD_IN + j) * u_position);
        ISA(winograd_weight_gradient)(e + j, WINOGRAD_IN, d, 1);
      }
      UNROLL for (int i = 0; i < 3; i++) {
        WVEC g[3];
        ISA(winograd_weight_gradient)(g, 1, e + i * WINOGRAD_IN, 1);
        UNROLL for (int j = 0; j < 3; j++) {
          float *tap = to + (i * 3 + j) * dw_tap;
          WSTORE(tap, add ? WLOAD(tap) + g[j] : g[j]);
        }
      }
    }
}

#undef UNROLL

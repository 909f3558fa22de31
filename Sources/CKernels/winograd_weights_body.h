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

// U of the output channels c ..< c + width of a forward pass, for `depth` input channels from `first`.
static void ISA(winograd_forward_weights)(const winograd_plan *p, float *u, const float *weight, ptrdiff_t c,
                                          ptrdiff_t width, ptrdiff_t first, ptrdiff_t depth) {
  const ptrdiff_t ic = p->in.channels;
  const float *panel = weight + c * 9 * ic + first * width;
  for (ptrdiff_t k = 0; k < depth * width; k += WLANES) {
    WVEC g[9];
    UNROLL for (int tap = 0; tap < 9; tap++) g[tap] = WLOAD(panel + tap * ic * width + k);
    ISA(winograd_store_weight)(u + k, p->u_position, g);
  }
}

// U of the input channels c ..< c + width as outputs of backward_data, for `depth` output channels from
// `first`. The taps are turned by 180 degrees.
static void ISA(winograd_turned_weights)(const winograd_plan *p, float *u, const float *weight, ptrdiff_t c,
                                         ptrdiff_t width, ptrdiff_t first, ptrdiff_t depth) {
  const ptrdiff_t ic = p->out.channels, oc = p->in.channels;
  float turned[9][16 * 16] __attribute__((aligned(64)));
  for (ptrdiff_t half = 0; half < width; half += CNN_BLOCK)
    for (ptrdiff_t k = 0; k < depth; k += CNN_BLOCK) {
      const ptrdiff_t o = (first + k) / CNN_PANEL * CNN_PANEL, columns = conv_panel_width(oc, o);
      const float *panel = weight + o * 9 * ic + (c + half) * columns + first + k - o;
      for (int tap = 0; tap < 9; tap++) {
        const float *from = panel + (8 - tap) * ic * columns;
        if (ic - c - half >= 16) ISA(transpose16)(turned[tap], 16, 16, from, columns, 16);
        else ISA(transpose16)(turned[tap], 16, 16, from, columns, ic - c - half);
      }
      for (ptrdiff_t row = 0; row < smaller(CNN_BLOCK, depth - k); row++)
        for (int lane = 0; lane < CNN_BLOCK; lane += WLANES) {
          WVEC g[9];
          UNROLL for (int tap = 0; tap < 9; tap++) g[tap] = WLOAD(turned[tap] + row * CNN_BLOCK + lane);
          ISA(winograd_store_weight)(u + (k + row) * width + half + lane, p->u_position, g);
        }
    }
}

static void ISA(winograd_weights)(const winograd_plan *p, cnn_conv_pass pass, float *u, const float *weight,
                                  ptrdiff_t c, ptrdiff_t width, ptrdiff_t first, ptrdiff_t depth) {
  if (pass == CNN_CONV_BACKWARD_DATA) ISA(winograd_turned_weights)(p, u, weight, c, width, first, depth);
  else ISA(winograd_forward_weights)(p, u, weight, c, width, first, depth);
}

// Fetches into L2 the part `share` of `shares` of the 3 x 3 taps of `rows` input channels in a panel of
// weights or their gradients; `panel` points to the first of them.
CNN_INLINE void ISA(winograd_prefetch_panel)(const float *panel, ptrdiff_t ic, ptrdiff_t width,
                                             ptrdiff_t rows, ptrdiff_t share, ptrdiff_t shares) {
  const ptrdiff_t lines = rows * width / CNN_BLOCK;
  for (int tap = 0; tap < 9; tap++, panel += ic * width)
    for (ptrdiff_t line = lines * share / shares; line < lines * (share + 1) / shares; line++)
      __builtin_prefetch(panel + line * CNN_BLOCK, 0, 2);
}

// What winograd_weights will read of a panel and up to winograd_wide_depth channels from `first`.
static void ISA(winograd_prefetch_weights)(const winograd_plan *p, cnn_conv_pass pass, const float *weight,
                                           ptrdiff_t c, ptrdiff_t first, ptrdiff_t share, ptrdiff_t shares) {
  const ptrdiff_t depth = smaller(winograd_wide_depth, p->in.channels - first);
  if (pass == CNN_CONV_FORWARD) {
    const ptrdiff_t ic = p->in.channels, width = conv_panel_width(p->out.channels, c);
    ISA(winograd_prefetch_panel)(weight + c * 9 * ic + first * width, ic, width, depth, share, shares);
    return;
  }
  const ptrdiff_t ic = p->out.channels;
  for (ptrdiff_t o = first; o < first + depth; o += CNN_PANEL) {
    const ptrdiff_t width = conv_panel_width(p->in.channels, o);
    const ptrdiff_t rows = smaller(CNN_PANEL, ic - c);
    ISA(winograd_prefetch_panel)(weight + o * 9 * ic + c * width, ic, width, rows, share, shares);
  }
}

static void ISA(winograd_prepare)(const cnn_conv_shape *s, cnn_conv_pass pass, float *prepared,
                                  const float *weight) {
  const winograd_plan p = winograd_plan_for(s, pass);
  ptrdiff_t width;
  for (ptrdiff_t c = 0; c < p.out.channels; c += width) {
    width = conv_panel_width(p.out.channels, c);
    ISA(winograd_weights)(&p, pass, prepared + c * p.in.channels, weight, c, width, 0, p.in.channels);
  }
}

// dw = Gᵀ u G of `rows` input channels from i and the panel of output channels from c, added to dw or
// overwriting it. u is [position][rows][width].
static void ISA(winograd_store_weights)(const winograd_plan *p, float *dw, const float *u, ptrdiff_t c,
                                        ptrdiff_t i, ptrdiff_t rows, bool add) {
  const ptrdiff_t width = conv_panel_width(p->out.channels, c), ic = p->in.channels;
  float *panel = dw + c * 9 * ic + i * width;
  for (ptrdiff_t k = 0; k < rows * width; k += WLANES) {
    WVEC e[3 * WINOGRAD_IN];
    UNROLL for (int column = 0; column < WINOGRAD_IN; column++) {
      WVEC d[WINOGRAD_IN];
      UNROLL for (int row = 0; row < WINOGRAD_IN; row++)
        d[row] = WLOAD(u + k + (row * WINOGRAD_IN + column) * p->u_position);
      ISA(winograd_weight_gradient)(e + column, WINOGRAD_IN, d, 1);
    }
    UNROLL for (int row = 0; row < 3; row++) {
      WVEC g[3];
      ISA(winograd_weight_gradient)(g, 1, e + row * WINOGRAD_IN, 1);
      UNROLL for (int column = 0; column < 3; column++) {
        float *tap = panel + k + (row * 3 + column) * ic * width;
        WSTORE(tap, add ? WLOAD(tap) + g[column] : g[column]);
      }
    }
  }
}

#undef UNROLL

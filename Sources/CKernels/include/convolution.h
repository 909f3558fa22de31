#pragma once
// Convolutions: what every kernel is told, and the table of algorithms.
//
// Activations are blocked by channels, (C/16, N, H, W, 16): channel c of image n at (h, w) lies at
// (((c / 16 * N + n) * H + h) * W + w) * 16 + c % 16, C rounded up to 16. The lanes of channels that
// don't exist hold zeros; kernels may rely on that and keep it so. The images of the network are
// planar, (C, N, H, W).
//
// Weights (O, I, kh, kw) lie in panels of 32 output channels: [O/32][kh][kw][I][32], I the input
// channels of a group. O is rounded up to 16: where that is no multiple of 32 the last panel is
// [kh][kw][I][16]. The lanes of output channels that don't exist hold zeros, in weights and gradients.
#include <stdbool.h>
#include <stddef.h>
#include "activations.h"
#include "blocked.h"
#include "isa.h"

#define CNN_BLOCK 16
#define CNN_PANEL 32

// A convolution in the letters of Naming.md: n images, ic input channels of ih x iw, oc output
// channels of oh x ow, kernel kh x kw, stride sh x sw, dilation dh x dw. ph and pw are the padding
// above and to the left; what is padded below and to the right follows from oh and ow.
typedef struct {
  ptrdiff_t n, ic, ih, iw, oc, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, groups;
  // The images that a call works on, first ..< first + images of the n that lie in memory.
  ptrdiff_t first, images;
  // x is planar: the network's images. Then nobody asks for dx.
  bool planar;
  // backward_weights of an algorithm that takes `parts`: dy holds the call's images alone; the sums go on from dw.
  bool dy_alone, continues;
} cnn_conv_shape;

// What ends a forward pass, value by value: y = w * x + bias, + residual, and relu or ReLU6, hardswish or SiLU
// of that. Then pool, after relu or nothing: y is
// (O, oh / 2, ow / 2), the max over windows of 2 x 2 side by side, a last odd row or column being no part;
// where an algorithm `pools` only, and without a residual.
typedef struct {
  const float *bias;      // (O, rounded up to 16), or NULL
  const float *residual;  // as y lies, or NULL
  bool relu;              // 0 where y < 0; a NaN stays one
  bool pool;
  cnn_activation activation;  // CNN_IDENTITY with relu
} cnn_conv_ending;

typedef enum { CNN_CONV_FORWARD = 0, CNN_CONV_BACKWARD_DATA = 1, CNN_CONV_BACKWARD_WEIGHTS = 2 } cnn_conv_pass;

// One way to convolve. What it computes for an image never depends on the other images of the call,
// and no sum depends on `first`, `images` or n: only backward_weights adds over images, in their order.
typedef struct {
  const char *name;
  bool (*fits)(const cnn_conv_shape *, cnn_conv_pass);
  // Floats of weights made ready once a step (packed, transformed), shared by all threads; 0 where the
  // pass reads the panels themselves. Depends on neither n, first nor images.
  size_t (*prepared)(const cnn_conv_shape *, cnn_conv_pass);
  // Overwrites prepared.
  void (*prepare)(const cnn_conv_shape *, cnn_conv_pass, float *prepared, const float *weight);
  // Floats of scratch for a call with these images; never fewer for more images.
  size_t (*scratch)(const cnn_conv_shape *, cnn_conv_pass);
  // y = w * x with its ending. Overwrites y of the call's images.
  void (*forward)(const cnn_conv_shape *, float *y, const float *x, const float *weight,
                  const float *prepared, const cnn_conv_ending *ending, float *scratch);
  // Overwrites dx of the call's images.
  void (*backward_data)(const cnn_conv_shape *, float *dx, const float *dy, const float *weight,
                        const float *prepared, float *scratch);
  // dw = the sum over the call's images, added in their order. Overwrites dw.
  void (*backward_weights)(const cnn_conv_shape *, float *dw, const float *x, const float *dy,
                           float *scratch);
  // Whether forward can end with a pool.
  bool pools;
  // Calls of backward_weights for so many images each, the later ones with `continues`, give the bits of one for
  // all; 0 where it can't go on.
  ptrdiff_t parts;
  // dw = what backward_weights gives for each of the leaves, which the call's images are, added up in their tree;
  // no sum of a part of them is written to memory. Overwrites dw. False where images are too many, and nothing is
  // done; NULL where there is none.
  bool (*backward_weights_of_tree)(const cnn_conv_shape *, const cnn_leaves *, float *dw, const float *x,
                                   const float *dy, float *scratch);
} cnn_conv_algorithm;

// All algorithms of an instruction set, `ref` first. Those named bf16… round what they multiply to bf16 and
// add in fp32: the same bits on all instruction sets, on a thread that flushes denormals.
const cnn_conv_algorithm *const *cnn_conv_algorithms(cnn_isa isa, size_t *count);

// The same as a CPU has them that must emulate products of bf16 (cnn_isa_has_bf16).
const cnn_conv_algorithm *const *cnn_conv_algorithms_without_bf16(cnn_isa isa, size_t *count);

// The one of this name, or NULL.
const cnn_conv_algorithm *cnn_conv_algorithm_named(cnn_isa isa, const char *name);

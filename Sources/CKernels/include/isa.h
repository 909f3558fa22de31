#pragma once
// Which instruction set the kernels use. Every family of kernels has one table per instruction set,
// reached by `cnn_FAMILY_kernels_for(isa)`; the bodies are written once over 16-wide vectors
// (vector.h) and compiled per instruction set (each_isa.h), so element-wise work gives the same
// bits on all of them.

#include <stdbool.h>

typedef enum { CNN_ISA_REF = 0, CNN_ISA_AVX2 = 1, CNN_ISA_AVX512 = 2 } cnn_isa;

// The best instruction set that this CPU and its operating system support.
cnn_isa cnn_isa_detect(void);

// Whether this CPU multiplies bf16 by an instruction (AVX-512 BF16). Where it doesn't the same bits are
// computed from fp32, so it is no instruction set of its own.
bool cnn_isa_has_bf16(void);

// Sets flush-to-zero and denormals-are-zero on the calling thread (x86; nothing elsewhere): every
// thread that computes must call it once, or the same numbers take other values on other threads.
void cnn_flush_denormals(void);

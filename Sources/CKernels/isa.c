#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

cnn_isa cnn_isa_detect(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return CNN_ISA_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return CNN_ISA_AVX2;
  return CNN_ISA_REF;
}

bool cnn_isa_has_bf16(void) {
  __builtin_cpu_init();
  return cnn_isa_detect() == CNN_ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
}

void cnn_flush_denormals(void) {
  _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  _MM_SET_DENORMALS_ZERO_MODE(_MM_DENORMALS_ZERO_ON);
}
#else
cnn_isa cnn_isa_detect(void) { return CNN_ISA_REF; }
bool cnn_isa_has_bf16(void) { return false; }
void cnn_flush_denormals(void) {}
#endif

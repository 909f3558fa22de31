#include "batch_norm.h"

#include <math.h>

#include "vector.h"

typedef double f64x16 __attribute__((ext_vector_type(16)));

// What one channel's values go through: y = (x - mean) * scale + shift.
typedef struct {
  float mean, scale, shift;
} batch_norm_map;

#define KERNEL_BODY "batch_norm_body.h"
#include "each_isa.h"

#define TABLE(isa) \
  {batch_norm_forward_training_##isa, batch_norm_forward_inference_##isa, batch_norm_backward_##isa}
static const cnn_batch_norm_kernels tables[] = ISA_TABLE(TABLE);

const cnn_batch_norm_kernels *cnn_batch_norm_kernels_for(cnn_isa isa) { return &tables[isa]; }

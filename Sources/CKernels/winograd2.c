#define WINOGRAD_OUT 2
#define WINOGRAD_TRANSFORMS "winograd2_transforms.h"
#include "winograd_plan.h"

#include "convolution_algorithms.h"

#define KERNEL_BODY "winograd_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                                      \
  {"winograd2", winograd_fits, winograd_prepared, winograd_prepare_##isa, winograd_scratch,             \
   winograd_forward_##isa, winograd_backward_data_##isa, winograd_backward_weights_##isa, WINOGRAD_POOLS}
const cnn_conv_algorithm cnn_conv_winograd2[] = ISA_TABLE(TABLE);

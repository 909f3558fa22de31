#include "im2row.h"

#include <string.h>

#include "convolution_geometry.h"

#define KERNEL_BODY "im2row_body.h"
#include "each_isa.h"

#define TABLE(isa)                                                                           \
  {im2row_##isa, row2im_##isa, read_outputs_##isa, write_outputs_##isa, unpack_weights_##isa, \
   pack_weights_##isa}
static const cnn_im2row_kernels tables[] = ISA_TABLE(TABLE);

const cnn_im2row_kernels *cnn_im2row_kernels_for(cnn_isa isa) { return &tables[isa]; }

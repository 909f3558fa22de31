// No fused multiply-adds: all instruction sets give the same bits.
#include "norms_layer_body.h"

#include "norms_group_body.h"

#include "norms_channels_body.h"

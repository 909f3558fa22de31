#pragma once
// The umbrella of the module: a header that isn't listed here isn't seen by Swift.
#include "CImageCodecs.h"
#include "image_codecs.h"
#include "pixel_kernels.h"

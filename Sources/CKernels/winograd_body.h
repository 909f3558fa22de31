// Winograd's algorithm for one instruction set and one tile size; see winograd_plan.h.

typedef float ISA(winograd_vector) __attribute__((ext_vector_type(ISA(winograd_lanes))));
#define WVEC ISA(winograd_vector)
#define WLANES ISA(winograd_lanes)
#define WLOAD(p) ({ WVEC v_; memcpy(&v_, (p), sizeof v_); v_; })
#define WSTORE(p, v) ({ WVEC v_ = (v); memcpy((p), &v_, sizeof v_); })

#include "tile_body.h"
#include "transpose16_body.h"
#include WINOGRAD_TRANSFORMS
#include "winograd_tiles_body.h"
#include "winograd_output_body.h"
#include "winograd_weights_body.h"
#include "winograd_convolve_body.h"
#include "winograd_gradient_body.h"

#undef WVEC
#undef WLANES
#undef WLOAD
#undef WSTORE

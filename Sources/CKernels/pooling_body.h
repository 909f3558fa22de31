#include "pooling_max_body.h"

#include "pooling_average_body.h"

#undef BEATS
#undef CODE
#undef TWO_BY_TWO
#undef STRIDED_LOAD
#undef EVENS_8
#undef ODDS_8
#undef LOW_8
#undef HIGH_8
#undef EVENS_16
#undef ODDS_16
#undef LOW_16
#undef HIGH_16

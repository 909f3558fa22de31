#include "pooling_max_body.h"

#include "pooling_average_body.h"

#include "pooling_adaptive_body.h"

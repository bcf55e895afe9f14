/* The kernels of one dtype, in reading order. */
#include "simd.h"
#include "math.inc.c"
#include "reduce.inc.c"
#include "elementwise.inc.c"
#include "gemm.inc.c"
#include "loss.inc.c"
#include "optim.inc.c"

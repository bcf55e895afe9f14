/* The limits of math_limits.h, in a file that math.inc.c is not compiled with. */
#include "math_limits.h"

const limits_f32_t limits_f32 = {-132.4f, -40, 89, -17, -11.682f};
const limits_f64_t limits_f64 = {-753.5, -80, 710, -39, -21.5989};

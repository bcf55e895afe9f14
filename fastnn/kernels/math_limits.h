/* Where the elementary functions of math.inc.c clamp their arguments.

   The values stand in math_limits.c, where the compiler of math.inc.c does not see them. So a clamp is one
   instruction: a known limit is threaded through the function by GCC, as a case of its own with constants for what
   follows, and this takes three more selects in every vector loop (σ 1.54 instead of 1.76 cycles a float, tanh 2.05
   instead of 2.35). */
#ifndef FASTNN_MATH_LIMITS_H
#define FASTNN_MATH_LIMITS_H

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

#define LIMITS(type, name) \
    typedef struct { \
        type exp_low;                   /* here 2ⁿ⁺⁶⁴ is 0: its exponent has no bit left */ \
        type expm1_low, expm1_high;     /* expm1 is −1 below and infinite above */ \
        type normal_low;                /* here the normal density is 0 even when scaled */ \
        type gelu_low;                  /* here exp(b) of gelu's estimate is scaled to 0 */ \
    } name##_t; \
    extern const name##_t name;
LIMITS(float, limits_f32)
LIMITS(double, limits_f64)
#undef LIMITS

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif

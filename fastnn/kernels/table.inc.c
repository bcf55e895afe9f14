/* Every kernel, first for float, then for double: the two tables of one instruction set.

   isa_<set>.c defines TABLE (the tables' name), ISA (its name as a string) and the set's tile and block sizes,
   then includes this file. Everything is static: were it not, the linker could keep the AVX-512 copy of a function
   for the portable caller. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "kernels.h"

/* UNROLL: a short inner loop with constant bounds goes away, and arrays that it indexes become registers.
   ELEMENTWISE: step i of the loop reads and writes index i only, so an output may be the input itself. */
#if defined(__clang__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define ELEMENTWISE _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")
#define ELEMENTWISE _Pragma("GCC ivdep")
#else
#define ALWAYS_INLINE static inline
#define UNROLL
#define ELEMENTWISE
#endif

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* A kernel that threads share is a function of its job and of a part of it: run(part_of_kernel, &job, parts). One part is
   a plain call: a parallel region for it would cost 0.3 µs, more than many a small kernel takes. */
static inline void run(fastnn_part part_of_kernel, const void *job, int parts)
{
    if (parts <= 1) part_of_kernel(job, 0, 1);
    else fastnn_parallel(part_of_kernel, job, parts);
}

/* How many parts: no more than threads or units, and one for each `least` of the work. */
static inline int parts_of(int threads, int64_t units, int64_t work, int64_t least)
{
    return (int)min64(min64(threads, units), 1 + work / least);
}

/* Where part `part` of n units begins; the next part's begin is its end. */
static inline int64_t cut(int64_t n, int part, int parts) { return n * part / parts; }

#define real float
#define REAL_BITS 32
#define F(name) name##_f32
#include "kernels.inc.c"
#undef real
#undef REAL_BITS
#undef F

#define real double
#define REAL_BITS 64
#define F(name) name##_f64
#include "kernels.inc.c"
#undef real
#undef REAL_BITS
#undef F

#define KERNELS(suffix, type) { \
    .isa = ISA, .real_size = sizeof(type), .pack_bytes = PACK_BYTES, \
    .gemm = gemm##suffix, .activate = activate##suffix, .activate_backward = activate_backward##suffix, \
    .conv = conv##suffix, .conv_backward_weight = conv_backward_weight##suffix, \
    .conv_backward_input = conv_backward_input##suffix, \
    .max_pool = max_pool##suffix, .max_pool_backward = max_pool_backward##suffix, \
    .avg_pool = avg_pool##suffix, .avg_pool_backward = avg_pool_backward##suffix, .global_pool = global_pool##suffix, \
    .global_pool_backward = global_pool_backward##suffix, \
    .batchnorm = batchnorm##suffix, .batchnorm_backward = batchnorm_backward##suffix, \
    .layernorm = layernorm##suffix, .layernorm_backward = layernorm_backward##suffix, \
    .dropout = dropout##suffix, .mask_rows = mask_rows##suffix, .residual = residual##suffix, \
    .mix = mix##suffix, \
    .gaussian_noise = gaussian_noise##suffix, .augment = augment##suffix, .augment_backward = augment_backward##suffix, \
    .dropconnect = dropconnect##suffix, .dropconnect_backward = dropconnect_backward##suffix, \
    .square = square##suffix, .expectation = expectation##suffix, \
    .loss = loss##suffix, .cross_entropy = cross_entropy##suffix, \
    .loss_weighted = loss_weighted##suffix, .cross_entropy_weighted = cross_entropy_weighted##suffix, \
    .first_outside = first_outside##suffix, \
    .sgd = sgd##suffix, .rmsprop = rmsprop##suffix, .adam = adam##suffix, \
    .penalty = penalty##suffix, .penalty_gradient = penalty_gradient##suffix, .restrain = restrain##suffix, \
    .sum_squares = sum_squares##suffix, .scale = scale##suffix, .clamp = clamp##suffix, \
}

const fastnn_kernels TABLE[2] = {KERNELS(_f32, float), KERNELS(_f64, double)};

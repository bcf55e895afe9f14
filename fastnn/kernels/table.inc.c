/* The two tables of one instruction set: every kernel for float, then for double.

   isa_<set>.c defines TABLE (the tables' name), ISA (the set's name as a string) and the set's tile and block sizes,
   then includes this file. Every function is static: otherwise the linker could keep the AVX-512 copy of a function for
   the portable caller. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "kernels.h"
#include "math_limits.h"

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Runs all parts of a job: kernel_part(job, part, parts) does one of them. A single part is a plain call; the team
   would cost 0.3 µs more, and many small kernels take less than that. */
static inline void run_parts(fastnn_part kernel_part, const void *job, int parts)
{
    if (parts <= 1) kernel_part(job, 0, 1);
    else fastnn_parallel(kernel_part, job, parts);
}

/* The number of parts for some work: at most the threads, at most the units that it can be divided into, and one more
   part for each `least` of the work. */
static inline int part_count(int threads, int64_t units, int64_t work, int64_t least)
{
    return (int)min64(min64(threads, units), 1 + work / least);
}

/* Where part `part` of n units begins; it ends where the next part begins. */
static inline int64_t part_begin(int64_t n, int part, int parts) { return n * part / parts; }

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

const fastnn_kernels TABLE[2] = {
    {
        .isa = ISA, .real_size = sizeof(float), .pack_bytes = PACK_BYTES,
#define KERNEL(returns, name, arguments) .name = name##_f32,
#include "table.def"
    },
    {
        .isa = ISA, .real_size = sizeof(double), .pack_bytes = PACK_BYTES,
#define KERNEL(returns, name, arguments) .name = name##_f64,
#include "table.def"
    },
};

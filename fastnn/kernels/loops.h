/* What a function or a loop asks of the compiler.

   UNROLL: the compiler unrolls a short inner loop with constant bounds, and arrays that it indexes become registers.
   NOINLINE: a function of its own, for what would have too many variables in the loop around it.
   ELEMENTWISE: iteration i reads and writes index i only, so the loop is a vector loop even if an output is an input.
   */
#ifndef FASTNN_LOOPS_H
#define FASTNN_LOOPS_H

#if defined(__clang__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define ELEMENTWISE _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 32")
#define ELEMENTWISE _Pragma("GCC ivdep")
#else
#define ALWAYS_INLINE static inline
#define NOINLINE static
#define UNROLL
#define ELEMENTWISE
#endif

#endif

/* AVX2 and FMA (Haswell, Zen and later): 32-byte vectors, 16 registers. */
#define ISA_X86_V3
#define TABLE fastnn_x86_v3
#define ISA "x86_v3"
#define MR 6                    /* 6 × 2 accumulators + 2 of B + 1 of A: 15 of 16 registers */
#define NV 2
/* One row or two: NV chains of multiply-adds would wait for themselves, and read less of a row of B at a time. */
#define ROW_NV 8
#define TWO_ROWS_NV 6
#define ROW_SHAPES(X) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8) X(2, 3) X(2, 4) X(2, 5) X(2, 6)
#define COLUMN_MR 8             /* eight chains of multiply-adds: six would wait for themselves */
#define COLUMN_SHAPES(X) X(7, 1) X(8, 1)
#define CONV_MR 4               /* filters, which are often 8, 16 or 32: 4 × 3 + 3 + 1, all 16 registers */
#define CONV_NV 3
#define CONV_TWO_NV 4           /* 2 × 4 + 4 + 1: more would be kept in memory */
#define CONV_ROW_SHAPES(X) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8) X(2, 4)
#define KC 256
#define PACK_B (1024 * 1024)    /* 1,024 columns of floats, 64 panels: they come from the third-level cache */
#define MC 96                   /* rows of A that stay in the second-level cache while they meet panel after panel */
#define PACK_A 1                /* the strides of a tile are constants then */
#define PACK_ROWS 72            /* from 64 on it pays only if the core does other work, too */
#define STEPS 8                 /* that are unrolled in a packed tile's loop */
#define PLAIN_STEPS 4           /* also where b is read in place */
#define PREFETCH_C
/* GCC would read a vector of B from memory for each of four multiply-adds; then loads are the limit. */
#define KEEP(v) __asm__("" : "+x"(v))
#define HOLD(p) __asm__("" : "+r"(p))
#include "table.inc.c"

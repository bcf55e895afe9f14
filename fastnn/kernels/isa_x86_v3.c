/* AVX2 and FMA (Haswell, Zen and later): 32-byte vectors, 16 registers. */
#define ISA_X86_V3
#define TABLE fastnn_x86_v3
#define ISA "x86_v3"
#define MR 4                    /* 4 × 3 accumulators + 3 of B + 1 of A: all 16 registers */
#define NV 3
#define KC 256
#define PACK_B (1032 * 1024)    /* 1,032 columns of floats, 43 panels: they come from the third-level cache */
#define MC 64                   /* rows of A that stay in the second-level cache while they meet panel after panel */
#define PACK_A                  /* if it is transposed: a tile takes 16 of the 64 bytes of a line */
#define PREFETCH_C
/* GCC would read a vector of B from memory for each of four multiply-adds; then loads are the limit. */
#define KEEP(v) __asm__("" : "+x"(v))
#include "table.inc.c"

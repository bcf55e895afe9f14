/* AVX2 and FMA (Haswell, Zen and later): 32-byte vectors, 16 registers. */
#define ISA_X86_V3
#define TABLE fastnn_x86_v3
#define ISA "x86_v3"
#define MR 4                    /* 4 × 3 accumulators + 3 of B + 1 of A: all 16 registers */
#define NV 3
#define KC 256
#define PACK_BYTES (192 * 1024) /* most of Haswell's 256 KB second-level cache */
#include "table.inc.c"

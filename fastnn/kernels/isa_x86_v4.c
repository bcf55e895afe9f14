/* AVX-512 (Skylake-X, Zen 4 and later): 64-byte vectors, 32 registers, masks. */
#define ISA_X86_V4
#define TABLE fastnn_x86_v4
#define ISA "x86_v4"
#define MR 8                    /* 8 × 3 accumulators + 3 of B; A is broadcast from memory: 27 of 32 registers */
#define NV 3
#define ROW_NV 8                /* as in isa_x86_v3.c */
#define TWO_ROWS_NV 6
#define ROW_SHAPES(X) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8) X(2, 4) X(2, 5) X(2, 6)
#define KC 256
#define PACK_B (288 * 1024)     /* a quarter of a 1 MB second-level cache: 256 × 288 floats, 6 panels of 48 */
#include "table.inc.c"

/* The set that every machine has: 16-byte vectors (SSE2, NEON) where the compiler knows them, plain C elsewhere. */
#define TABLE fastnn_portable
#define ISA "portable"
#if defined(__aarch64__)
#define MR 8                    /* 8 × 3 accumulators + 3 of B + 1 of A: 28 of NEON's 32 registers */
#define NV 3
#else
#define MR 4                    /* 4 × 2 + 2 + 1: 11 of SSE's 16 */
#define NV 2
#define MC 96
#define PACK_A 1
#define STEPS 4                 /* as in isa_x86_v3.c */
#endif
#define KC 256
#define PACK_B (192 * 1024) /* most of a 256 KB second-level cache */
#include "table.inc.c"

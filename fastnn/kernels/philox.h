/* Philox4x32-10: the counter-based random generator. Twin: fastnn_ref/philox.py.
   Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011). */
#ifndef FASTNN_PHILOX_H
#define FASTNN_PHILOX_H

#include <stdint.h>

/* Which words: word i of a stream is word i % 4 of block i / 4. */
typedef struct {
    uint64_t seed;              /* the key */
    uint32_t step, stream;
} fastnn_stream;

/* `lanes` consecutive blocks at once, first word of each in x[0], and so on: every line is a loop over the lanes, which
   the compiler turns into vectors where `lanes` is a constant. */
static inline __attribute__((always_inline)) void philox_blocks(
    uint32_t (*x)[16], const int lanes, uint64_t block, const fastnn_stream *s)
{
    uint32_t k0 = (uint32_t)s->seed, k1 = (uint32_t)(s->seed >> 32);
    for (int l = 0; l < lanes; ++l) {
        x[0][l] = (uint32_t)(block + (uint64_t)l);
        x[1][l] = (uint32_t)((block + (uint64_t)l) >> 32);
        x[2][l] = s->step;
        x[3][l] = s->stream;
    }
    for (int round = 0; round < 10; ++round) {
        for (int l = 0; l < lanes; ++l) {
            const uint64_t p0 = (uint64_t)0xD2511F53 * x[0][l], p1 = (uint64_t)0xCD9E8D57 * x[2][l];
            x[0][l] = (uint32_t)(p1 >> 32) ^ x[1][l] ^ k0;
            x[1][l] = (uint32_t)p1;
            x[2][l] = (uint32_t)(p0 >> 32) ^ x[3][l] ^ k1;
            x[3][l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9;       /* the golden ratio */
        k1 += 0xBB67AE85;       /* √3 − 1 */
    }
}

/* Words 4·block … 4·block + 3. */
static inline void philox(uint32_t out[4], uint64_t block, const fastnn_stream *s)
{
    uint32_t x[4][16];
    philox_blocks(x, 1, block, s);
    for (int i = 0; i < 4; ++i) out[i] = x[i][0];
}

/* Words 64·line … 64·line + 63. */
static inline void philox_line(uint32_t out[64], uint64_t line, const fastnn_stream *s)
{
    uint32_t x[4][16];
    philox_blocks(x, 16, 16 * line, s);
    for (int l = 0; l < 16; ++l)
        for (int i = 0; i < 4; ++i) out[4 * l + i] = x[i][l];
}

#endif

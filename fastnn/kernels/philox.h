/* Philox4x32-10: the counter-based random generator. Reference: fastnn_ref/philox.py.
   Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011). */
#ifndef FASTNN_PHILOX_H
#define FASTNN_PHILOX_H

#include <stdint.h>
#include "loops.h"

/* A stream of random words: word i is word i % 4 of block i / 4. */
typedef struct {
    uint64_t seed;              /* the key */
    uint32_t step, stream;
} fastnn_stream;

#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u   /* the golden ratio */
#define PHILOX_W1 0xBB67AE85u   /* √3 − 1 */

/* Words 4·block … 4·block + 3. */
static inline void philox(uint32_t out[4], uint64_t block, const fastnn_stream *s)
{
    uint32_t x0 = (uint32_t)block, x1 = (uint32_t)(block >> 32), x2 = s->step, x3 = s->stream;
    uint32_t k0 = (uint32_t)s->seed, k1 = (uint32_t)(s->seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += PHILOX_W0, k1 += PHILOX_W1) {
        const uint64_t p0 = (uint64_t)PHILOX_M0 * x0, p1 = (uint64_t)PHILOX_M1 * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)p1;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)p0;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

#if defined(ISA_X86_V4) || defined(ISA_X86_V3)

/* Each lane of 64 bits works on one block, in its lower half: the 32-bit product ignores the upper half, so nothing
   is masked until the end. Lanes hold the blocks in an order in which unpacking pairs of lanes gives the words in
   theirs. */
#include <immintrin.h>
#if defined(ISA_X86_V4)
#define wide __m512i
#define WIDE(op) _mm512_##op
#define wset1 _mm512_set1_epi64
#define wxor _mm512_xor_si512
#define wstore(p, v) _mm512_storeu_si512(p, v)
#define WIDE_LANES 8
#define WIDE_ORDER _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7)
#else
#define wide __m256i
#define WIDE(op) _mm256_##op
#define wset1 _mm256_set1_epi64x
#define wxor _mm256_xor_si256
#define wstore(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define WIDE_LANES 4
#define WIDE_ORDER _mm256_setr_epi64x(0, 2, 1, 3)
#endif

/* Words 64·line … 64·line + 63, in several vectors at once: the latency of a product is five times its throughput. */
static inline void philox_line(uint32_t out[64], uint64_t line, const fastnn_stream *s)
{
    enum { GROUPS = 16 / WIDE_LANES };
    const wide m0 = wset1(PHILOX_M0), m1 = wset1(PHILOX_M1);
    wide x0[GROUPS], x1[GROUPS], x2[GROUPS], x3[GROUPS];
    uint32_t k0 = (uint32_t)s->seed, k1 = (uint32_t)(s->seed >> 32);
    UNROLL for (int g = 0; g < GROUPS; ++g) {
        x0[g] = WIDE(add_epi64)(WIDE_ORDER, wset1((int64_t)(16 * line) + g * WIDE_LANES));
        x1[g] = WIDE(srli_epi64)(x0[g], 32);
        x2[g] = wset1(s->step);
        x3[g] = wset1(s->stream);
    }
    for (int round = 0; round < 10; ++round, k0 += PHILOX_W0, k1 += PHILOX_W1) {
        const wide key0 = wset1(k0), key1 = wset1(k1);
        UNROLL for (int g = 0; g < GROUPS; ++g) {
            const wide p0 = WIDE(mul_epu32)(m0, x0[g]), p1 = WIDE(mul_epu32)(m1, x2[g]);
            x0[g] = wxor(wxor(WIDE(srli_epi64)(p1, 32), x1[g]), key0);
            x1[g] = p1;
            x2[g] = wxor(wxor(WIDE(srli_epi64)(p0, 32), x3[g]), key1);
            x3[g] = p0;
        }
    }
    UNROLL for (int g = 0; g < GROUPS; ++g, out += 4 * WIDE_LANES) {
        /* Words 0 and 1 of each block in one lane, words 2 and 3 in another. */
        const wide low = WIDE(unpacklo_epi32)(x0[g], x1[g]), low_odd = WIDE(unpackhi_epi32)(x0[g], x1[g]);
        const wide high = WIDE(unpacklo_epi32)(x2[g], x3[g]), high_odd = WIDE(unpackhi_epi32)(x2[g], x3[g]);
        wstore(out, WIDE(unpacklo_epi64)(low, high));
        wstore(out + 2 * WIDE_LANES, WIDE(unpacklo_epi64)(low_odd, high_odd));
    }
}

#else

/* Words 64·line … 64·line + 63. The loops over blocks become vectors even of 16 bytes. */
static inline void philox_line(uint32_t out[64], uint64_t line, const fastnn_stream *s)
{
    enum { BLOCKS = 16 };
    uint32_t x0[BLOCKS], x1[BLOCKS], x2[BLOCKS], x3[BLOCKS];
    uint32_t k0 = (uint32_t)s->seed, k1 = (uint32_t)(s->seed >> 32);
    for (uint32_t b = 0; b < BLOCKS; ++b) {
        x0[b] = (uint32_t)(BLOCKS * line) + b;          /* a line does not go beyond a multiple of 2³² */
        x1[b] = (uint32_t)(BLOCKS * line >> 32);
        x2[b] = s->step;
        x3[b] = s->stream;
    }
    for (int round = 0; round < 10; ++round, k0 += PHILOX_W0, k1 += PHILOX_W1)
        for (int b = 0; b < BLOCKS; ++b) {
            const uint64_t p0 = (uint64_t)PHILOX_M0 * x0[b], p1 = (uint64_t)PHILOX_M1 * x2[b];
            x0[b] = (uint32_t)(p1 >> 32) ^ x1[b] ^ k0;
            x1[b] = (uint32_t)p1;
            x2[b] = (uint32_t)(p0 >> 32) ^ x3[b] ^ k1;
            x3[b] = (uint32_t)p0;
        }
    for (int b = 0; b < BLOCKS; ++b, out += 4) out[0] = x0[b], out[1] = x1[b], out[2] = x2[b], out[3] = x3[b];
}

#endif
#endif

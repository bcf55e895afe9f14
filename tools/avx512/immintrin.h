/* AVX-512 on a machine with AVX2, by SIMDe: stands before the compiler's <immintrin.h> where `python -m
   tools.reliability avx512` builds. What SIMDe 0.7 lacks is below. */
#ifndef FASTNN_AVX512_BY_SIMDE
#define FASTNN_AVX512_BY_SIMDE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include_next <immintrin.h>
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

/* Lanes without a bit in the mask touch no memory. */
#define MASKED(suffix, vector, mask_type, value, lanes) \
    static inline vector load_lanes_##suffix(mask_type mask, const value *p) \
    { \
        union { vector all; value lane[lanes]; } v = {0}; \
        for (int i = 0; i < lanes; ++i) if (mask >> i & 1) v.lane[i] = p[i]; \
        return v.all; \
    } \
    static inline void store_lanes_##suffix(value *p, mask_type mask, vector all) \
    { \
        union { vector all; value lane[lanes]; } v = {all}; \
        for (int i = 0; i < lanes; ++i) if (mask >> i & 1) p[i] = v.lane[i]; \
    }
MASKED(ps, __m512, __mmask16, float, 16)
MASKED(pd, __m512d, __mmask8, double, 8)
#undef MASKED
#define _mm512_maskz_loadu_ps load_lanes_ps
#define _mm512_maskz_loadu_pd load_lanes_pd
#define _mm512_mask_storeu_ps store_lanes_ps
#define _mm512_mask_storeu_pd store_lanes_pd
#endif

/* Vectors of `real`: with philox.h the only file that names instructions.

   It is included once for each dtype (REAL_BITS 32 or 64), so it has no include guard. It defines
       vec, VL             the vector type and its length
       vload vstore vset1 vzero
       vfma(a, b, c)               a·b + c, fused where the machine has it
       vfma_into(acc, a, b)        acc = a·b + acc, and acc stays in its register
       vmask, vfirst(n)            the first n lanes, 0 <= n <= VL
       vload_first(p, m)           loads those lanes, 0 in the others; reads no other memory
       vstore_first(p, m, v)       stores those lanes only
       vmax_nan(a, b)              the larger value, NaN if one of the two is NaN; b if they are equal
       vrelu(a)                    0 where a < 0, else a + 0, so that −0 becomes 0 and NaN stays
       vwhere_positive(a, x)       x where a > 0, else 0
       vzip_low(r, a, b), vzip_high(r, a, b)       a₀ b₀ a₁ b₁ … of the lower halves, and of the upper halves; or what
                                   else transposes after VL_LOG rounds, of which this is number r (transpose.inc.c)
       vload_halves(p, q)          VL/2 values from p and VL/2 from q, which is round 0 of them: AVX2 only
       vevens(a, b), vodds(a, b)   every second value of a and b one behind the other, from the first on or the next
       vload_also(v, p, m), vkeep(m, v)            v, but those lanes loaded, the others 0; vup(before, v), v one lane
                                   further up, with the last one of `before`, vdown(v, after): AVX-512 only
       vwhere_equal(a, b, x)       x where a = b or a is NaN, else 0
       vwhere_other(a, b, x)       0 where a = b or a is NaN, else x
   The matrix product is written in these, and so are loops that the compiler would leave scalar: maxima, two sums in
   one loop. All other kernels are plain loops over `real`, which the compiler vectorises; they use F(fma_), the
   scalar fused multiply-add. So the two x86 sets with FMA give the same bits. */

#undef vec
#undef vmask
#undef VL
#undef vload
#undef vstore
#undef vset1
#undef vzero
#undef vfma
#undef vfma_into
#undef vfirst
#undef vload_first
#undef vstore_first
#undef vmax_nan
#undef vrelu
#undef vwhere_positive
#undef SAME
#undef vzip_low
#undef vzip_high
#undef vevens
#undef vodds
#undef vload_halves
#undef vload_also
#undef vkeep
#undef vup
#undef vdown
#undef vwhere_equal
#undef vwhere_other
#undef VL_LOG

#if defined(ISA_X86_V4)

#include <immintrin.h>
#if REAL_BITS == 32
#define vec __m512
#define vmask __mmask16
#define VL 16
#define VL_LOG 4
#define AVX512(op) _mm512_##op##_ps
#define LOW_LANES _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_LANES _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define EVEN_LANES _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODD_LANES _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define vup(before, v) \
    _mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(v), _mm512_castps_si512(before), VL - 1))
#define vdown(v, after) \
    _mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(after), _mm512_castps_si512(v), 1))
#else
#define vec __m512d
#define vmask __mmask8
#define VL 8
#define VL_LOG 3
#undef AVX512
#undef LOW_LANES
#undef HIGH_LANES
#undef EVEN_LANES
#undef ODD_LANES
#define AVX512(op) _mm512_##op##_pd
#define LOW_LANES _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH_LANES _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15)
#define EVEN_LANES _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14)
#define ODD_LANES _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15)
#define vup(before, v) \
    _mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(v), _mm512_castpd_si512(before), VL - 1))
#define vdown(v, after) \
    _mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(after), _mm512_castpd_si512(v), 1))
#endif
#define vload(p) AVX512(loadu)(p)
#define vstore(p, v) AVX512(storeu)(p, v)
#define vset1(x) AVX512(set1)(x)
#define vzero() AVX512(setzero)()
#define vfma(a, b, c) AVX512(fmadd)(a, b, c)
#define vfirst(n) ((vmask)((1u << (n)) - 1))
#define vload_first(p, m) AVX512(maskz_loadu)(m, p)
#define vstore_first(p, m, v) AVX512(mask_storeu)(p, m, v)
#define vload_also(v, p, m) AVX512(mask_loadu)(v, m, p)
#define vkeep(m, v) AVX512(maskz_mov)(m, v)
#define vzip_low(r, a, b) AVX512(permutex2var)(a, LOW_LANES, b)
#define vzip_high(r, a, b) AVX512(permutex2var)(a, HIGH_LANES, b)
#define vevens(a, b) AVX512(permutex2var)(a, EVEN_LANES, b)
#define vodds(a, b) AVX512(permutex2var)(a, ODD_LANES, b)
#if REAL_BITS == 32
#define COMPARE _mm512_cmp_ps_mask
#else
#undef COMPARE
#define COMPARE _mm512_cmp_pd_mask
#endif
#define vmax_nan(a, b) AVX512(mask_mov)(AVX512(max)(a, b), COMPARE(a, a, _CMP_UNORD_Q), a)
#define vrelu(a) AVX512(add)(AVX512(max)(vzero(), a), vzero())      /* of two zeros, or with NaN, max is the second */
#define vwhere_positive(a, x) AVX512(maskz_mov)(COMPARE(a, vzero(), _CMP_GT_OQ), x)
#define SAME(a, b) (COMPARE(a, b, _CMP_EQ_OQ) | COMPARE(a, a, _CMP_UNORD_Q))
#define vwhere_equal(a, b, x) AVX512(maskz_mov)(SAME(a, b), x)
#define vwhere_other(a, b, x) AVX512(maskz_mov)(~SAME(a, b), x)

#elif defined(ISA_X86_V3)

#include <immintrin.h>
#define vmask int
#if REAL_BITS == 32
#define vec __m256
#define VL 8
#define VL_LOG 3
#define AVX2(op) _mm256_##op##_ps
#define vload_halves(p, q) _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(q), 1)
#define SWAP_HALVES _mm256_permute2f128_ps
#define EVEN 0x88
#define ODD 0xdd
#define IN_ORDER(v) _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8))
static const int32_t F(lanes)[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
#else
#define vec __m256d
#define VL 4
#define VL_LOG 2
#undef AVX2
#undef SWAP_HALVES
#undef EVEN
#undef ODD
#undef IN_ORDER
#define AVX2(op) _mm256_##op##_pd
#define vload_halves(p, q) _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), _mm_loadu_pd(q), 1)
#define SWAP_HALVES _mm256_permute2f128_pd
#define EVEN 0x0
#define ODD 0xf
#define IN_ORDER(v) _mm256_permute4x64_pd(v, 0xd8)
static const int64_t F(lanes)[8] = {-1, -1, -1, -1};
#endif
#define vload(p) AVX2(loadu)(p)
#define vstore(p, v) AVX2(storeu)(p, v)
#define vset1(x) AVX2(set1)(x)
#define vzero() AVX2(setzero)()
#define vfma(a, b, c) AVX2(fmadd)(a, b, c)
/* In an unrolled loop, GCC moves accumulators from register to register until some are in memory. */
#if REAL_BITS == 32
#define vfma_into(acc, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b))
#else
#define vfma_into(acc, a, b) __asm__("vfmadd231pd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b))
#endif
#define vfirst(n) (n)
#define vload_first(p, n) AVX2(maskload)(p, _mm256_loadu_si256((const __m256i *)(F(lanes) + VL - (n))))
#define vstore_first(p, n, v) F(store_first)(p, n, v)
/* The first round moves the row's highest bit to the column's highest, the others as ever below it: an instruction that
   zips across the middle does not exist, so the same rounds would take twice as many. */
#define vzip_low(r, a, b) ((r) ? AVX2(unpacklo)(a, b) : SWAP_HALVES(a, b, 0x20))
#define vzip_high(r, a, b) ((r) ? AVX2(unpackhi)(a, b) : SWAP_HALVES(a, b, 0x31))
#define vevens(a, b) IN_ORDER(AVX2(shuffle)(a, b, EVEN))
#define vodds(a, b) IN_ORDER(AVX2(shuffle)(a, b, ODD))
#define SAME(a, b) AVX2(or)(AVX2(cmp)(a, b, _CMP_EQ_OQ), AVX2(cmp)(a, a, _CMP_UNORD_Q))
#define vwhere_equal(a, b, x) AVX2(and)(SAME(a, b), x)
#define vwhere_other(a, b, x) AVX2(andnot)(SAME(a, b), x)
#define vrelu(a) F(relu_of)(a)
#define vwhere_positive(a, x) AVX2(and)(AVX2(cmp)(a, vzero(), _CMP_GT_OQ), x)
#define vmax_nan(a, b) AVX2(blendv)(AVX2(max)(a, b), a, AVX2(cmp)(a, a, _CMP_UNORD_Q))

/* Of two zeros, or with NaN, max is the second. The compiler must not keep this zero in a register through loops that
   have none to spare: with a neighbour on the same core, products took up to 16 % longer. */
ALWAYS_INLINE vec F(relu_of)(vec v)
{
    vec zero = vzero();
    __asm__ volatile("" : "+x"(zero));
    return AVX2(add)(AVX2(max)(zero, v), zero);
}

/* By halves: a masked store takes 18 cycles on AMD Zen 3, this 6. */
ALWAYS_INLINE void F(store_first)(real *p, int n, vec v)
{
    if (n == VL) {
        vstore(p, v);
        return;
    }
#if REAL_BITS == 32
    __m128 part = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, part);
#else
    __m128d part = _mm256_castpd256_pd128(v);
    if (n & 2) {
        _mm_storeu_pd(p, part);
        part = _mm256_extractf128_pd(v, 1);
        p += 2;
    }
    if (n & 1) _mm_store_sd(p, part);
#endif
}

#elif defined(__GNUC__) && !defined(FASTNN_PLAIN_C)

/* 16 bytes: NEON on aarch64, SSE2 on x86-64, and what the compiler makes of them elsewhere. */
typedef real F(vec16) __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
#define vec F(vec16)
#define vmask int
#define VL (16 / (int)sizeof(real))
#define vload(p) (*(const vec *)(p))
#define vstore(p, v) (*(vec *)(p) = (v))
#if REAL_BITS == 32
#define VL_LOG 2
#define vset1(x) ((vec){(x), (x), (x), (x)})
#define vzip_low(r, a, b) ((vec){(a)[0], (b)[0], (a)[1], (b)[1]})
#define vzip_high(r, a, b) ((vec){(a)[2], (b)[2], (a)[3], (b)[3]})
#define vevens(a, b) ((vec){(a)[0], (a)[2], (b)[0], (b)[2]})
#define vodds(a, b) ((vec){(a)[1], (a)[3], (b)[1], (b)[3]})
#else
#define VL_LOG 1
#define vset1(x) ((vec){(x), (x)})
#define vzip_low(r, a, b) ((vec){(a)[0], (b)[0]})
#define vzip_high(r, a, b) ((vec){(a)[1], (b)[1]})
#define vevens(a, b) vzip_low(0, a, b)
#define vodds(a, b) vzip_high(0, a, b)
#endif
#define vzero() vset1(0)
#if defined(__aarch64__)
#include <arm_neon.h>
#if REAL_BITS == 32
#define vfma(a, b, c) ((vec)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#else
#define vfma(a, b, c) ((vec)vfmaq_f64((float64x2_t)(c), (float64x2_t)(a), (float64x2_t)(b)))
#endif
#else
#define vfma(a, b, c) ((a) * (b) + (c))
#endif
#define vfirst(n) (n)
static inline vec F(load_first)(const real *p, int n)
{
    vec v = vzero();
    for (int i = 0; i < n; ++i) v[i] = p[i];
    return v;
}
static inline void F(store_first)(real *p, int n, vec v)
{
    for (int i = 0; i < n; ++i) p[i] = v[i];
}
static inline vec F(vec_max_nan)(vec a, vec b)
{
    for (int i = 0; i < VL; ++i) a[i] = a[i] > b[i] || a[i] != a[i] ? a[i] : b[i];
    return a;
}
#define vmax_nan(a, b) F(vec_max_nan)(a, b)
#define vrelu(a) ((vec)(~((a) < vzero()) & (__typeof__((a) < (a)))(a)) + vzero())
#define vwhere_positive(a, x) ((vec)(((a) > vzero()) & (__typeof__((a) > (a)))(x)))
#define SAME(a, b) (((a) == (b)) | ((a) != (a)))
#define vwhere_equal(a, b, x) ((vec)(SAME(a, b) & (__typeof__((a) == (b)))(x)))
#define vwhere_other(a, b, x) ((vec)(~SAME(a, b) & (__typeof__((a) == (b)))(x)))
#define vload_first(p, m) ((m) == VL ? vload(p) : F(load_first)(p, m))
#define vstore_first(p, m, v) do { if ((m) == VL) vstore(p, v); else F(store_first)(p, m, v); } while (0)

#else

/* Plain C: vectors of length one. */
#define vec real
#define vmask int
#define VL 1
#define VL_LOG 0
#define vzip_low(r, a, b) (a)
#define vzip_high(r, a, b) (b)
#define vevens(a, b) (a)
#define vodds(a, b) (b)
#define vload(p) (*(p))
#define vstore(p, v) (*(p) = (v))
#define vset1(x) (x)
#define vzero() ((real)0)
#define vfma(a, b, c) ((a) * (b) + (c))
#define vfirst(n) (n)
#define vload_first(p, m) ((void)(m), *(p))
#define vstore_first(p, m, v) ((void)(m), *(p) = (v))
#define vmax_nan(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define vrelu(a) ((a) < 0 ? 0 : (a) + 0)
#define vwhere_positive(a, x) ((a) > 0 ? (x) : 0)
#define SAME(a, b) ((a) == (b) || (a) != (a))
#define vwhere_equal(a, b, x) (SAME(a, b) ? (x) : 0)
#define vwhere_other(a, b, x) (SAME(a, b) ? 0 : (x))

#endif

#ifndef vfma_into
#define vfma_into(acc, a, b) ((acc) = vfma(a, b, acc))
#endif

/* A square root that sets no errno (-fno-math-errno), which would keep it out of vector loops. */
static inline real F(sqrt_)(real x)
{
#if REAL_BITS == 32
    return sqrtf(x);
#else
    return sqrt(x);
#endif
}

/* −|x|, and |x| with the sign of y. */
static inline real F(minus_abs)(real x)
{
#if REAL_BITS == 32
    return -fabsf(x);
#else
    return -fabs(x);
#endif
}

static inline real F(copysign_)(real x, real y)
{
#if REAL_BITS == 32
    return copysignf(x, y);
#else
    return copysign(x, y);
#endif
}

#undef HAS_FMA
#if defined(ISA_X86_V3) || defined(ISA_X86_V4) || defined(__aarch64__)
#define HAS_FMA
#endif

static inline real F(fma_)(real a, real b, real c)
{
#if !defined(HAS_FMA)
    return a * b + c;
#elif REAL_BITS == 32
    return __builtin_fmaf(a, b, c);
#else
    return __builtin_fma(a, b, c);
#endif
}

/* What rounding left: a·b + c, where c is nearly −a·b. Without a fused multiply-add the error of a·b comes from
   Dekker's product, "A floating-point technique for extending the available precision" (1971); a and b must not be
   near the largest number. */
static inline real F(residue)(real a, real b, real c)
{
#if defined(HAS_FMA)
    return F(fma_)(a, b, c);
#else
    const real split = REAL_BITS == 32 ? 4097 : 134217729;              /* 2¹² + 1, 2²⁷ + 1 */
    const real ap = split * a, a1 = ap - (ap - a), a2 = a - a1;
    const real bp = split * b, b1 = bp - (bp - b), b2 = b - b1, p = a * b;
    return (c + p) + (a2 * b2 - (((p - a1 * b1) - a2 * b1) - a1 * b2));
#endif
}

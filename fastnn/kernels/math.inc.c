/* Elementary functions for vector loops: they have no branches, tables or calls, so a loop over one becomes SIMD.

   Every operation is written out, fused multiply-adds included, so all instruction sets that have them give the same
   bits. The constants come from tools/fit_math.py, which explains them. Worst errors seen, in units in the last place,
   over all finite float and double numbers (tests/test_math.py): expm1 1.0 and 1.1, log1p(exp) 1.6 and 1.6, sigmoid 2.2
   and 2.1, tanh 2.5 and 2.5, u·σ(u) 2.4 and 2.4, u·Φ(u) 6.0 and 5.6, its estimate by tanh 2.6 and 2.7, a normal number
   4.4 and 2.3. */

#undef SIGNIFICAND
#undef HALF_UP
#undef BIAS
#undef LOG2_HIGH
#undef LOG2_LOW
#undef ROOT_HALF
#undef GELU_LINEAR_HIGH
#undef GELU_LINEAR_LOW
#undef GELU_CUBIC_HIGH
#undef GELU_CUBIC_LOW
#if REAL_BITS == 32
typedef uint32_t F(bits_t);
#define SIGNIFICAND 23
#define HALF_UP 12582912.0f             /* 1.5·2²³: adding it leaves a float no room for a fraction */
#define BIAS 127
#define LOG2_HIGH 0.693145751953125f
#define LOG2_LOW 0.000001428606820309417232121f
#define ROOT_HALF 0x3F3504F3u           /* the bits of √½ */
#define GELU_LINEAR_HIGH 1.595767974853515625f      /* 2·√(2/π) */
#define GELU_LINEAR_LOW 1.14675221509e-6f
#define GELU_CUBIC_HIGH 0.0713548138737678527832f   /* 2·√(2/π)·0.044715 */
#define GELU_CUBIC_LOW 2.39883239599e-9f
static const real F(exp_tail)[] = {
    0.0001989108046f, 0.001393373072f, 0.008333310845f, 0.0416664642f, 0.1666666668f, 0.5000000014f
};
static const real F(log_tail)[] = {
    0.2333161447f, 0.2855077863f, 0.4000012221f, 0.6666666655f
};
static const double log_tail_f64[] = {          /* float's log needs it, too */
    0.1308803485092755383, 0.1326863836926682388, 0.1538624473762166661, 0.1818179554752113623,
    0.222222223925810451, 0.2857142857079978503, 0.4000000000000088324, 0.6666666666666666646
};
static const real F(sin_tail)[] = {
    2.724962008e-6f, -0.0001984008438f, 0.00833333187f, -0.1666666666f
};
static const real F(cos_tail)[] = {
    2.454768977e-5f, -0.001388830187f, 0.04166666465f
};
static const real F(mills)[] = {
    -0.007557258606f, -0.004129397407f, 0.02797172914f, 0.009364565718f, -0.05210566874f, -0.05574213292f,
    0.06032071421f, 0.2415885734f, 0.3730436939f, 0.3871373729f, 0.3039483212f, 0.1888212827f
};
#else
typedef uint64_t F(bits_t);
#define SIGNIFICAND 52
#define HALF_UP 6755399441055744.0      /* 1.5·2⁵² */
#define BIAS 1023
#define LOG2_HIGH 0.6931471805582987144589
#define LOG2_LOW 1.646594958289708128098e-12
#define ROOT_HALF 0x3FE6A09E667F3BCDu
#define GELU_LINEAR_HIGH 1.595769121605727036695
#define GELU_LINEAR_LOW 3.675065195634423034295e-15
#define GELU_CUBIC_HIGH 0.07135481627260024939385
#define GELU_CUBIC_LOW -6.175149918155315453376e-19
static const real F(exp_tail)[] = {
    2.09147553258932022e-9, 2.510531272962210179e-8, 2.755727347871858047e-7, 2.755725517000088744e-6,
    0.0000248015873256774619, 0.0001984126987500227879, 0.001388888888888371117, 0.00833333333332608312,
    0.04166666666666666978, 0.1666666666666667103, 0.5
};
static const real F(sin_tail)[] = {
    -7.586636882825159649e-13, 1.605853059664595471e-10, -2.505210622599440069e-8, 2.755731921932057977e-6,
    -0.0001984126984126504105, 0.008333333333333331481, -0.1666666666666666667
};
static const real F(cos_tail)[] = {
    -1.138254464534925044e-11, 2.087614504941317909e-9, -2.755731726587808004e-7, 0.00002480158729875440117,
    -0.001388888888888738977, 0.04166666666666666538
};
static const real F(mills)[] = {
    -0.00005989786454549535719, 0.001524326146183918318, -0.00253393431986849671, -0.001029873431017935142,
    0.00507158418706070843, -0.001719779756384184087, -0.005573216474992905285, 0.005069930769445263714,
    0.004448362293966121065, -0.008366867477858774435, -0.002578603596781644983, 0.01212429064009716413,
    0.0007338123808278880672, -0.01799406055131664279, -0.0004885111644690354513, 0.02958015072187199588,
    0.008534035887529958563, -0.05218619061195434525, -0.05567507787603329324, 0.06032151173327914223,
    0.2415862995637208625, 0.3730437159193187415, 0.3871374007422146557, 0.3039483209859460439,
    0.1888212826039378732
};
#endif

/* c[0]·xⁿ⁻¹ + … + c[n−1], by Horner; n is a constant wherever this is inlined. */
ALWAYS_INLINE real F(polynomial)(real x, const real *c, int n)
{
    real y = c[0];
    UNROLL for (int i = 1; i < n; ++i) y = F(fma_)(y, x, c[i]);
    return y;
}
#undef POLYNOMIAL
#define POLYNOMIAL(x, c) F(polynomial)(x, F(c), sizeof F(c) / sizeof(real))

/* The nearest whole number, for |x| < 2²². */
ALWAYS_INLINE real F(round_)(real x) { return (x + HALF_UP) - HALF_UP; }

/* 2ⁿ for a whole n that a normal number can have as its exponent: n + BIAS, moved to where the exponent stands. */
ALWAYS_INLINE real F(power_of_2)(real n)
{
    union { real value; F(bits_t) bits; } u = {n + (HALF_UP + BIAS)};
    u.bits <<= SIGNIFICAND;
    return u.value;
}

/* x = n·log 2 + r with |r| <= ½·log 2; log 2 in two parts, because n times the first is exact. */
ALWAYS_INLINE real F(reduce)(real x, real *n)
{
    *n = F(round_)(x * (real)1.4426950408889634);
    return F(fma_)(*n, -LOG2_LOW, F(fma_)(*n, -LOG2_HIGH, x));
}

/* 2⁶⁴·2ⁿ·exp(r), for what `reduce` makes of an x from exp_low to not far above 0, where 2ⁿ⁺⁶⁴ would overflow. The
   scale keeps it a normal number where exp(x) is subnormal, so that what is multiplied by it loses no digits. It is 0
   at exp_low, where x·exp(x) is 0, too. */
ALWAYS_INLINE real F(exp_of_reduced)(real r, real n)
{
    const real e = 1 + F(fma_)(r * r, POLYNOMIAL(r, exp_tail), r);
    return e * F(power_of_2)(n + 64);
}

/* 2⁶⁴·exp(x) for x <= 0, or not far above. */
ALWAYS_INLINE real F(exp_scaled)(real x)
{
    real n, r;
    r = F(reduce)(x < F(limits).exp_low ? F(limits).exp_low : x, &n);
    return F(exp_of_reduced)(r, n);
}

/* exp(x), rounded once where it is subnormal. */
#undef UNSCALE
#define UNSCALE (real)0x1p-64
ALWAYS_INLINE real F(exp_)(real x) { return F(exp_scaled)(x) * UNSCALE; }

/* exp(x) − 1 = 2·(2ⁿ⁻¹·(exp(r) − 1) + 2ⁿ⁻¹ − ½), accurate near 0; the factor 2 keeps 2ⁿ⁻¹ finite. */
ALWAYS_INLINE real F(expm1_)(real x)
{
    real n, r;
    x = x < F(limits).expm1_low ? F(limits).expm1_low : x;
    x = x > F(limits).expm1_high ? F(limits).expm1_high : x;
    r = F(reduce)(x, &n);
    const real q = F(fma_)(r * r, POLYNOMIAL(r, exp_tail), r);
    const real scale = F(power_of_2)(n - 1);
    return 2 * F(fma_)(scale, q, scale - (real)0.5);
}

/* log(1 + z) for 0 <= z <= 1. 1 + z = 2ᵉ·(1 + f) with f in √½ − 1 … √2 − 1 and e = 0 or 1, then with s = f / (2 + f)
   log(1 + f) = f − ½f² + s·(½f² + s²·tail(s²)), as in fdlibm. */
ALWAYS_INLINE real F(log1p_)(real z)
{
    const int upper = z > (real)0.41421356237309503;
    const real f = upper ? (real)0.5 * (z - 1) : z;
    const real s = f / (2 + f), s2 = s * s, square = (real)0.5 * f * f;
    const real low = F(fma_)(s, F(fma_)(s2, POLYNOMIAL(s2, log_tail), square), upper ? LOG2_LOW : 0);
    return (upper ? LOG2_HIGH : 0) + (f - (square - low));
}

/* log x. A float's is worked out in double, by the formula of log1p, and rounded once; x = 2ⁿ·(1 + f) is taken apart as
   in box_muller_radius. */
ALWAYS_INLINE real F(log_)(real x)
{
#if REAL_BITS == 32
    const uint64_t root_half = 0x3FE6A09E667F3BCDu;
    const double half_up = 6755399441055744.0;
    union { double value; uint64_t bits; } one = {1}, u = {(double)x}, exponent = {half_up}, rest;
    u.bits += one.bits - root_half;
    exponent.bits += u.bits >> 52;
    rest.bits = (u.bits & (((uint64_t)1 << 52) - 1)) + root_half;
    const double n = exponent.value - (half_up + 1023), f = rest.value - 1;
    const double s = f / (2 + f), s2 = s * s, square = 0.5 * f * f;
    double tail = log_tail_f64[0];
    UNROLL for (int i = 1; i < 8; ++i) tail = tail * s2 + log_tail_f64[i];
    const double low = s * (s2 * tail + square) + n * 1.646594958289708128098e-12;
    const real found = (real)(n * 0.6931471805582987144589 + (f - (square - low)));
    return x > 0 ? x < INFINITY ? found : x : x == 0 ? -INFINITY : NAN;
#else
    return log(x);
#endif
}

/* σ(u) = 1 / (1 + exp(−u)), by whichever exponential does not overflow. */
ALWAYS_INLINE real F(sigmoid_)(real u)
{
    const real e = F(exp_)(F(minus_abs)(u));
    return (u > 0 ? 1 : e) / (1 + e);
}

/* u·σ(x) and its derivative, for an x with the sign of u; e is 2⁶⁴·exp(−|x|). u meets the exponential before the
   scale is taken off, so that the results have all their digits even where σ(x) is subnormal. */
typedef struct {
    real larger;                /* σ(|x|) */
    real value;                 /* σ(x) / larger */
    real product;               /* u·σ(x) / larger */
    real ue;                    /* 2⁶⁴·u·exp(−|x|) */
} F(gate_t);

ALWAYS_INLINE F(gate_t) F(gate)(real u, real e)
{
    const real small = e * UNSCALE, ue = u * e;
    return (F(gate_t)){
        .larger = 1 / (1 + small), .value = u > 0 ? 1 : small, .product = u < 0 ? ue * UNSCALE : u, .ue = ue,
    };
}

ALWAYS_INLINE real F(gate_value)(F(gate_t) g) { return g.product * g.larger; }

/* σ(x) + u·σ'(x)·slope, where slope is x' and σ'(x) = exp(−|x|)·larger². */
ALWAYS_INLINE real F(gate_slope)(F(gate_t) g, real slope)
{
    return g.larger * F(fma_)(g.ue * slope * UNSCALE, g.larger, g.value);
}

/* tanh |x| = −q / (2 + q), q = exp(−2|x|) − 1, with the sign of x, that of 0 included. */
ALWAYS_INLINE real F(tanh_)(real x)
{
    const real q = F(expm1_)(2 * F(minus_abs)(x));
    return F(copysign_)(-q / (2 + q), x);
}

/* The normal distribution's density φ(x) = exp(−x²/2) / √(2π) = pdf·scale and distribution function Φ(x) = cdf·scale;
   the scale keeps their digits if x is far below 0. The rounding error of x² is made good: it would cost x² ulp.
   Φ(−a) = exp(−a²/2) · t · polynomial(t − ½) with t = 1/(1 + a/4): the polynomial fits Mills' ratio. */
typedef struct { real cdf, pdf, scale; } F(normal_t);

ALWAYS_INLINE F(normal_t) F(scaled_normal)(real x)
{
    const int upper = x > 0;
    const real minus = F(minus_abs)(x), v = minus < F(limits).normal_low ? F(limits).normal_low : minus;
    const real square = v * v, error = F(residue)(v, v, -square), rounded = F(exp_scaled)((real)-0.5 * square);
    const real e = F(fma_)((real)-0.5 * error, rounded, rounded), t = 4 / (4 - v);
    const real tail = e * (t * POLYNOMIAL(t - (real)0.5, mills));
    return (F(normal_t)){
        .cdf = upper ? 1 - tail * UNSCALE : tail, .scale = upper ? 1 : UNSCALE,
        .pdf = e * ((real)0.3989422804014327 * (upper ? UNSCALE : 1)),
    };
}

ALWAYS_INLINE real F(normal_pdf)(real x)
{
    const F(normal_t) n = F(scaled_normal)(x);
    return n.pdf * n.scale;
}

ALWAYS_INLINE real F(normal_cdf)(real x)
{
    const F(normal_t) n = F(scaled_normal)(x);
    return n.cdf * n.scale;
}

/* The length of Box and Muller's pair: √(−2·log u) for u = (word + ½)/2³². `distance` is u's distance from 0 or from
   1, whichever is nearer, so that no digit of it is lost. u = 2ⁿ·(1 + f); the bits of 1 less those of √½, added to
   the bits of u, carry into the exponent where that brings 1 + f into √½ … √2. */
ALWAYS_INLINE real F(box_muller_radius)(uint32_t word)
{
    const real signed_word = (real)(int32_t)word + (real)0.5;
    const real distance = (signed_word < 0 ? -signed_word : signed_word) * (real)0x1p-32;
    union { real value; F(bits_t) bits; } one = {1}, u = {signed_word < 0 ? 1 - distance : distance}, exponent, rest;
    u.bits += one.bits - ROOT_HALF;
    exponent.value = HALF_UP;
    exponent.bits += u.bits >> SIGNIFICAND;
    rest.bits = (u.bits & (((F(bits_t))1 << SIGNIFICAND) - 1)) + ROOT_HALF;
    const real n = exponent.value - (HALF_UP + BIAS), f = n < 0 ? rest.value - 1 : -distance;
    const real s = f / (2 + f), s2 = s * s, square = (real)0.5 * f * f;
    const real low = F(fma_)(s, F(fma_)(s2, POLYNOMIAL(s2, log_tail), square), n * LOG2_LOW);
    return F(sqrt_)(-2 * F(fma_)(n, LOG2_HIGH, f - (square - low)));
}

/* The direction of the pair: cos and sin of 2π·(word + ½)/2³², which is a number of quarter turns and an angle x in
   −π/4 … π/4. */
ALWAYS_INLINE void F(box_muller_direction)(uint32_t word, real *cosine, real *sine)
{
    const uint32_t from = word + (1u << 29), quarter = from >> 30;
    const real x = ((real)((int32_t)(from & ((1u << 30) - 1)) - (1 << 29)) + (real)0.5) * (real)1.4629180792671596e-9;
    const real x2 = x * x;
    const real s = F(fma_)(x * x2, POLYNOMIAL(x2, sin_tail), x);
    const real c = 1 + F(fma_)(x2 * x2, POLYNOMIAL(x2, cos_tail), (real)-0.5 * x2);
    const real x_part = quarter & 1 ? s : c, y_part = quarter & 1 ? c : s;
    *cosine = (quarter + 1) & 2 ? -x_part : x_part;
    *sine = quarter & 2 ? -y_part : y_part;
}

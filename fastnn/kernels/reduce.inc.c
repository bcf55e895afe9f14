/* Sums in a fixed order: LANES running sums (64 bytes of them, whatever the real vector length), then a fixed
   tree. So the bits do not depend on the instruction set; no sum is ever split between threads. */

#undef LANES
#define LANES (64 / (int)sizeof(real))
#undef STRIP
#define STRIP 64                                        /* columns that a kernel keeps something about on the stack */

/* Adds the lanes up pairwise; overwrites them. */
static inline real F(tree)(real *lane)
{
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
    return lane[0];
}

static inline double F(tree_double)(double *lane)
{
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
    return lane[0];
}

/* Σ x[i] */
static real F(sum)(const real *x, int64_t n)
{
    real lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; ++l) lane[l] += x[i + l];
    for (int l = 0; i + l < n; ++l) lane[l] += x[i + l];
    return F(tree)(lane);
}

/* Σ a[i]·b[i] */
static real F(dot)(const real *a, const real *b, int64_t n)
{
    real lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; ++l) lane[l] = F(fma_)(a[i + l], b[i + l], lane[l]);
    for (int l = 0; i + l < n; ++l) lane[l] = F(fma_)(a[i + l], b[i + l], lane[l]);
    return F(tree)(lane);
}

/* max x[i], NaN if there is one; n >= 1 */
static real F(maximum)(const real *x, int64_t n)
{
    real best = x[0];
    for (int64_t i = 1; i < n; ++i) best = x[i] > best || x[i] != x[i] ? x[i] : best;
    return best;
}

/* Σ g[i]², in double: the squares of a million small gradients must not drown. */
static double F(sum_squares)(const void *g_, int64_t n)
{
    const real *g = g_;
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; ++l) lane[l] += (double)g[i + l] * (double)g[i + l];
    for (int l = 0; i + l < n; ++l) lane[l] += (double)g[i + l] * (double)g[i + l];
    return F(tree_double)(lane);
}

/* to[0 … n − 1] = from[0 … n − 1], for rows too short for memcpy to pay. */
static inline void F(copy_row)(const real *from, real *to, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL) vstore(to + i, vload(from + i));
#if defined(ISA_X86_V4)
    if (i < n) vstore_first(to + i, vfirst((int)(n - i)), vload_first(from + i, vfirst((int)(n - i))));
#else
    for (; i < n; ++i) to[i] = from[i];                 /* AVX2's masked store takes twenty operations on a Zen */
#endif
}

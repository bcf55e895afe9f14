/* Sums in a fixed order: LANES running sums (64 bytes, whatever the vector length of the machine), then a fixed tree.
   So the bits do not depend on the instruction set. No sum is split between threads. */

#undef LANES
#define LANES (64 / (int)sizeof(real))
#undef STACK_COLUMNS
#define STACK_COLUMNS 64                /* the most columns for which a kernel has arrays on the stack */

#undef LANE_VECTORS
#define LANE_VECTORS (LANES / VL)                       /* vectors that the lanes make */

/* Rows are summed so many at a time, for the same reason as PIECE. */
#undef BLOCK_ROWS
#define BLOCK_ROWS 1024
#undef SUM_COLUMNS
#define SUM_COLUMNS 2048                /* the most columns whose sums over such rows are on the stack */

/* Combines lanes l and l + width, for half as many lanes each time; lane 0 is the result. The widths are written out,
   because a loop over widths is not unrolled, and its inner loop then does not become a vector operation. */
#undef HALVE
#undef FOLD
#define HALVE(lane, combine, width) \
    for (int l = 0; l < (width); ++l) (lane)[l] = combine((lane)[l], (lane)[l + (width)])
#define FOLD(lane, combine) do { \
    if (LANES > 8) HALVE(lane, combine, LANES > 8 ? 8 : 0); \
    HALVE(lane, combine, 4); \
    HALVE(lane, combine, 2); \
    HALVE(lane, combine, 1); \
} while (0)
#undef PLUS
#define PLUS(a, b) ((a) + (b))
#undef MAX_NAN
#define MAX_NAN(a, b) ((b) > (a) || (b) != (b) ? (b) : (a))

/* The sum of the lanes, pairwise; it overwrites them. */
static inline real F(tree)(real *lane)
{
    FOLD(lane, PLUS);
    return lane[0];
}

ALWAYS_INLINE real F(tree_of_vectors)(const vec *sums)
{
    real lane[LANES];
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) vstore(lane + v * VL, sums[v]);
    return F(tree)(lane);
}

/* Adds the sum of some lanes to a total in double, and begins them again. */
ALWAYS_INLINE void F(take_lanes)(vec *lanes, double *total)
{
    *total += (double)F(tree_of_vectors)(lanes);
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) lanes[v] = vzero();
}

/* x[0 … n − 1] as lanes, 1 <= n <= LANES; the other lanes are 0. */
ALWAYS_INLINE void F(load_partial)(real *lane, const real *x, int64_t n)
{
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v, n -= VL)
        vstore(lane + v * VL, n > 0 ? vload_first(x + v * VL, vfirst((int)min64(n, VL))) : vzero());
}

static inline double F(tree_double)(double *lane)
{
    FOLD(lane, PLUS);
    return lane[0];
}

/* Very many values are summed in pieces of so many, and the sums of these in double: one sum of all would lose its
   digits. */
#undef PIECE
#define PIECE 2048

static real F(sum_of_piece)(const real *x, int64_t n)
{
    vec lanes[LANE_VECTORS];
    int64_t i = 0;
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) lanes[v] = vzero();
    for (; i + LANES <= n; i += LANES)
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) lanes[v] += vload(x + i + v * VL);
    if (i < n) {
        real rest[LANES];
        F(load_partial)(rest, x + i, n - i);
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) lanes[v] += vload(rest + v * VL);
    }
    return F(tree_of_vectors)(lanes);
}

/* Σ x[i] */
static real F(sum)(const real *x, int64_t n)
{
    double total = 0;
    for (int64_t i = 0; i < n; i += PIECE) total += (double)F(sum_of_piece)(x + i, min64(PIECE, n - i));
    return (real)total;
}

/* Σ x[i] / n */
static real F(mean)(const real *x, int64_t n) { return F(sum)(x, n) / (real)n; }

static real F(dot_of_piece)(const real *a, const real *b, int64_t n)
{
    vec lanes[LANE_VECTORS];
    int64_t i = 0;
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) lanes[v] = vzero();
    for (; i + LANES <= n; i += LANES)
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v)
            lanes[v] = vfma(vload(a + i + v * VL), vload(b + i + v * VL), lanes[v]);
    if (i < n) {
        real rest[LANES], other[LANES];
        F(load_partial)(rest, a + i, n - i);
        F(load_partial)(other, b + i, n - i);
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v)
            lanes[v] = vfma(vload(rest + v * VL), vload(other + v * VL), lanes[v]);
    }
    return F(tree_of_vectors)(lanes);
}

/* Σ a[i]·b[i] */
static real F(dot)(const real *a, const real *b, int64_t n)
{
    double total = 0;
    for (int64_t i = 0; i < n; i += PIECE) total += (double)F(dot_of_piece)(a + i, b + i, min64(PIECE, n - i));
    return (real)total;
}

/* max x[i], NaN if one is NaN; n >= 1. */
static real F(maximum)(const real *x, int64_t n)
{
    vec best[LANE_VECTORS];
    real lane[LANES];
    int64_t i = 0;
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) best[v] = vset1(x[0]);
    for (; i + LANES <= n; i += LANES)
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) best[v] = vmax_nan(vload(x + i + v * VL), best[v]);
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) vstore(lane + v * VL, best[v]);
    for (; i < n; ++i) lane[0] = MAX_NAN(lane[0], x[i]);
    FOLD(lane, MAX_NAN);
    return lane[0];
}

/* Σ g[i]², in double, so that the squares of a million small gradients are not rounded away. */
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

/* to[0 … n − 1] = from[0 … n − 1], for rows that are too short for memcpy to pay. */
static inline void F(clear_row)(real *to, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL) vstore(to + i, vzero());
    if (i < n) vstore_first(to + i, vfirst((int)(n - i)), vzero());
}

static inline void F(copy_row)(const real *from, real *to, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL) vstore(to + i, vload(from + i));
    if (i < n) vstore_first(to + i, vfirst((int)(n - i)), vload_first(from + i, vfirst((int)(n - i))));
}

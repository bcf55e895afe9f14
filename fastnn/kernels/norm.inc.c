/* Normalisation: y = weight·x̂ + bias, x̂ = (x − mean)/√(var + ε).

   Reference: fastnn_ref/batchnorm.py (a channel has a mean and a variance, over batch and image),
   fastnn_ref/groupnorm.py (a group of channels of an example has them) and fastnn_ref/layernorm.py (a row).
   A mean is stored as mean_hi + mean_lo: mean_hi is the first of the values, so that x − mean_hi is exact, or nearly
   so, where the mean is large beside the deviation. The variance takes a second pass over x, and is corrected by what
   rounding left of Σ (x − mean). */

/* What forward saves for backward: mean_hi, mean_lo and 1/√(var + ε) of every channel, or group. */
typedef struct {
    real *mean_hi, *mean_lo, *inv;
} F(stats_t);

static inline F(stats_t) F(stats_of)(const fastnn_norm *g, int64_t groups)
{
    real *saved = g->saved;
    return (F(stats_t)){saved, saved + groups, saved + 2 * groups};
}

/* Adds to the lanes of `sum` the differences d = x − mean_hi − mean_lo of n values, and their squares to `square` if
   `squares`. The means are vectors. The loop is written in vectors, because the compiler leaves two sums in one loop
   over lanes scalar (0.63 instead of 0.21 ns a value). */
ALWAYS_INLINE void F(add_differences)(const int squares, const real *x, int64_t n, const real *mean_hi,
                                      const real *mean_lo, vec *sum, vec *square)
{
    const vec hi = vload(mean_hi), lo = vload(mean_lo);
    for (; n >= LANES; x += LANES, n -= LANES)
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) {
            const vec d = vload(x + v * VL) - hi - lo;
            sum[v] += d;
            if (squares) square[v] = vfma(d, d, square[v]);
        }
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v, x += VL, n -= VL)
        if (n > 0) {
            const vmask some = vfirst((int)min64(n, VL));
            const vec d = vload_first(x, some) - vload_first(mean_hi, some) - vload_first(mean_lo, some);
            sum[v] += d;
            if (squares) square[v] = vfma(d, d, square[v]);
        }
}

/* `count` ranges of n values each, which begin `stride` apart, the first one at `first`. */
typedef struct {
    int64_t first, count, stride, n;
} F(ranges_t);

/* Where the values of channel c stand: in the interleaved blocks, and in the single images behind them. Returns how
   many of the two there are. */
static int F(channel_ranges)(const fastnn_norm *g, int64_t c, F(ranges_t) *ranges)
{
    const int64_t blocks = g->interleaved ? F(interleaved_blocks)(g->rows) : 0, images = blocks * LANES;
    const int64_t row = g->channels * g->inner;
    int sets = 0;
    if (blocks) ranges[sets++] = (F(ranges_t)){c * g->inner * LANES, blocks, row * LANES, g->inner * LANES};
    if (images < g->rows) ranges[sets++] = (F(ranges_t)){images * row + c * g->inner, g->rows - images, row, g->inner};
    return sets;
}

/* Mean and squared deviations of the values seen so far; the mean is less mean_hi. */
typedef struct {
    double mean, squares, seen;
} F(moments_t);

/* The largest number for ∞: a variance that overflows is ∞, and would be NaN by ∞ − ∞ or 0 · ∞. */
static inline double F(finite)(double x) { return x > DBL_MAX ? DBL_MAX : x; }

/* Joins what `count` ranges of n values, the first one at `x`, give, as in Chan, Golub and LeVeque, "Updating formulae
   and a pairwise algorithm for computing sample variances" (1979). */
static inline void F(add_moments)(const real *x, int64_t count, int64_t stride, int64_t n, const real *hi,
                                  F(moments_t) *all)
{
    const real *end = x + count * stride;
    const double values = (double)(count * n), inverse = 1 / values, weight = values / (all->seen + values);
    real lo[VL];
    vec sum[LANE_VECTORS], residual[LANE_VECTORS], square[LANE_VECTORS];
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) sum[v] = residual[v] = square[v] = vzero();
    for (int l = 0; l < VL; ++l) lo[l] = 0;
    for (const real *range = x; range < end; range += stride) F(add_differences)(0, range, n, hi, lo, sum, square);
    /* The reciprocal is ready before the sum is; a division would begin only then. */
    const real near = F(tree_of_vectors)(sum) * (real)inverse;
    for (int l = 0; l < VL; ++l) lo[l] = near;
    for (const real *range = x; range < end; range += stride) F(add_differences)(1, range, n, hi, lo, residual, square);
    const double d = (double)F(tree_of_vectors)(residual) * inverse, apart = (double)near + d - all->mean;
    all->squares += (double)F(tree_of_vectors)(square) - F(finite)(d * d * values)
                    + F(finite)(apart * apart) * (all->seen * weight);
    all->mean += apart * weight;
    all->seen += values;
}

/* Mean and variance of the values in some sets of ranges. The two passes go over so many ranges at a time that the
   second pass finds them in the first-level cache (of channels that are a power of two apart, the second-level cache
   holds eight). */
static void F(moments)(const real *x, const F(ranges_t) *ranges, int sets, real *mean_hi, real *mean_lo, real *var)
{
    real hi[VL];
    F(moments_t) all = {0, 0, 0};
    for (int l = 0; l < VL; ++l) hi[l] = x[ranges->first];
    for (const F(ranges_t) *r = ranges; r < ranges + sets; ++r) {
        const int64_t n = r->n, some = 1 + PIECE / n;
        for (int64_t from = 0; from < r->count; from += some) {
            const real *first = x + r->first + from * r->stride;
            if (n <= PIECE) F(add_moments)(first, min64(some, r->count - from), r->stride, n, hi, &all);
            else for (int64_t i = 0; i < n; i += PIECE)
                F(add_moments)(first + i, 1, PIECE, min64(PIECE, n - i), hi, &all);
        }
    }
    *mean_hi = hi[0];
    *mean_lo = (real)all.mean;
    *var = (real)(all.squares / all.seen);
}

/* y = (x − mean_hi − mean_lo)·inv·w + b for n values of one channel, and relu of it. */
static inline void F(normalise_range)(const real *x, real *y, int64_t n, real mean_hi, real mean_lo, real inv, real w,
                                      real b)
{
    ELEMENTWISE for (int64_t i = 0; i < n; ++i) y[i] = F(fma_)((x[i] - mean_hi - mean_lo) * inv, w, b);
}

static inline void F(normalise_range_relu)(const real *x, real *y, int64_t n, real mean_hi, real mean_lo, real inv,
                                           real w, real b)
{
    ELEMENTWISE for (int64_t i = 0; i < n; ++i) {
        const real u = F(fma_)((x[i] - mean_hi - mean_lo) * inv, w, b);
        y[i] = u < 0 ? 0 : u + 0;
    }
}

/* dx = scale·((weight·dy − sum_mean) − x̂·dot_mean) over n values dy of one channel. */
ALWAYS_INLINE void F(normalise_range_backward)(const real *x, real *dy, int64_t n, real mean_hi, real mean_lo, real inv,
                                               const real weight, real scale, real sum_mean, real dot_mean)
{
    ELEMENTWISE for (int64_t i = 0; i < n; ++i)
        dy[i] = scale * F(fma_)(-((x[i] - mean_hi - mean_lo) * inv), dot_mean, weight * dy[i] - sum_mean);
}

/* The same for a channel with a relu behind it, whose derivative is made again of x: to read y would take longer. */
static inline void F(normalise_range_relu_backward)(const real *x, real *dy, int64_t n, real mean_hi, real mean_lo,
                                                    real inv, real w, real b, real scale, real sum_mean, real dot_mean)
{
    ELEMENTWISE for (int64_t i = 0; i < n; ++i) {
        const real normal = (x[i] - mean_hi - mean_lo) * inv, d = F(fma_)(normal, w, b) > 0 ? dy[i] : 0;
        dy[i] = scale * F(fma_)(-normal, dot_mean, d - sum_mean);
    }
}

/* Σ dy and Σ dy·x̂ of the values in some sets of ranges, which have one mean; with `relu` where w·x̂ + b > 0. */
ALWAYS_INLINE void F(sums_of_ranges)(const int relu, const real *x, const real *dy, const F(ranges_t) *ranges, int sets,
                                     real mean_hi, real mean_lo, real inv, real w, real b, real *sum, real *dot)
{
    const vec hi = vset1(mean_hi), lo = vset1(mean_lo), scale = vset1(inv), weight = vset1(w), shift = vset1(b);
    vec sums[LANE_VECTORS], dots[LANE_VECTORS];
    double sum_of_pieces = 0, dot_of_pieces = 0;
    int64_t seen = 0;                                   /* values in the lanes */
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) sums[v] = dots[v] = vzero();
    for (const F(ranges_t) *r = ranges; r < ranges + sets; ++r)
        for (int64_t s = 0; s < r->count; ++s) {
            const real *xs = x + r->first + s * r->stride, *ds = dy + r->first + s * r->stride;
            for (int64_t rest = r->n, left; rest > 0; rest -= PIECE) {
                left = min64(PIECE, rest);
                seen += left;
                if (seen > PIECE) {
                    F(take_lanes)(sums, &sum_of_pieces);
                    F(take_lanes)(dots, &dot_of_pieces);
                    seen = left;
                }
                for (; left >= LANES; xs += LANES, ds += LANES, left -= LANES)
                    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) {
                        const vec normal = (vload(xs + v * VL) - hi - lo) * scale;
                        vec d = vload(ds + v * VL);
                        if (relu) d = vwhere_positive(vfma(normal, weight, shift), d);
                        sums[v] += d;
                        dots[v] = vfma(d, normal, dots[v]);
                    }
                UNROLL for (int v = 0; v < LANE_VECTORS; ++v) {
                    if (left <= v * VL) break;
                    const vmask some = vfirst((int)min64(left - v * VL, VL));
                    const vec normal = (vload_first(xs + v * VL, some) - hi - lo) * scale;
                    vec d = vload_first(ds + v * VL, some);
                    if (relu) d = vwhere_positive(vfma(normal, weight, shift), d);
                    sums[v] += d;
                    dots[v] = vfma(d, normal, dots[v]);
                }
            }
        }
    F(take_lanes)(sums, &sum_of_pieces);
    F(take_lanes)(dots, &dot_of_pieces);
    *sum = (real)sum_of_pieces;
    *dot = (real)dot_of_pieces;
}

static void F(gradient_sums)(const real *x, const real *dy, const F(ranges_t) *ranges, int sets, real mean_hi,
                             real mean_lo, real inv, real *sum, real *dot)
{
    F(sums_of_ranges)(0, x, dy, ranges, sets, mean_hi, mean_lo, inv, 0, 0, sum, dot);
}

/* ---- batch normalisation of rows: channels stand side by side, and each is a lane of its own ---- */

/* Some vectors of channels at a time, their sums in registers. A single vector may have only the lanes in `mask`. */
#undef COLUMN_VECTORS
#define COLUMN_VECTORS 4
#undef LOAD
#undef STORE
#define LOAD(p) (vectors == 1 ? vload_first(p, mask) : vload((p) + v * VL))
#define STORE(p, x) do { \
    if (vectors == 1) vstore_first(p, mask, x); \
    else vstore((p) + v * VL, x); \
} while (0)

ALWAYS_INLINE void F(column_moments)(const int vectors, const vmask mask, const real *x, int64_t rows, int64_t cols,
                                     real *mean_hi, real *mean_lo, real *var)
{
    const vec count = vset1((real)rows);
    const vec lowest = vset1((real)(sizeof(real) == 4 ? -FLT_MAX : -DBL_MAX));     /* not −∞, as in `finite` */
    vec hi[COLUMN_VECTORS], mean[COLUMN_VECTORS], square[COLUMN_VECTORS], residual[COLUMN_VECTORS];
    UNROLL for (int v = 0; v < vectors; ++v) {
        hi[v] = LOAD(x);
        mean[v] = square[v] = residual[v] = vzero();
    }
    for (int64_t from = 0; from < rows; from += BLOCK_ROWS) {
        vec sum[COLUMN_VECTORS];
        UNROLL for (int v = 0; v < vectors; ++v) sum[v] = vzero();
        for (int64_t i = from; i < min64(from + BLOCK_ROWS, rows); ++i)
            UNROLL for (int v = 0; v < vectors; ++v) sum[v] += LOAD(x + i * cols) - hi[v];
        UNROLL for (int v = 0; v < vectors; ++v) mean[v] += sum[v];
    }
    UNROLL for (int v = 0; v < vectors; ++v) mean[v] /= count;
    for (int64_t from = 0; from < rows; from += BLOCK_ROWS) {
        vec squares[COLUMN_VECTORS], sum[COLUMN_VECTORS];
        UNROLL for (int v = 0; v < vectors; ++v) squares[v] = sum[v] = vzero();
        for (int64_t i = from; i < min64(from + BLOCK_ROWS, rows); ++i)
            UNROLL for (int v = 0; v < vectors; ++v) {
                const vec d = LOAD(x + i * cols) - hi[v] - mean[v];
                squares[v] = vfma(d, d, squares[v]);
                sum[v] += d;
            }
        UNROLL for (int v = 0; v < vectors; ++v) {
            square[v] += squares[v];
            residual[v] += sum[v];
        }
    }
    UNROLL for (int v = 0; v < vectors; ++v) {
        STORE(mean_hi, hi[v]);
        STORE(mean_lo, mean[v] + residual[v] / count);
        STORE(var, (square[v] + vmax_nan(-(residual[v] * residual[v] / count), lowest)) / count);
    }
}

/* db = Σ dy and dw = Σ dy·x̂. */
ALWAYS_INLINE void F(column_gradient_sums)(const int vectors, const vmask mask, const real *x, const real *dy,
                                           int64_t rows, int64_t cols, const real *mean_hi, const real *mean_lo,
                                           const real *inv, real *dw, real *db)
{
    vec all[COLUMN_VECTORS], all_dots[COLUMN_VECTORS];
    UNROLL for (int v = 0; v < vectors; ++v) all[v] = all_dots[v] = vzero();
    for (int64_t from = 0; from < rows; from += BLOCK_ROWS) {
        vec sum[COLUMN_VECTORS], dot[COLUMN_VECTORS];
        UNROLL for (int v = 0; v < vectors; ++v) sum[v] = dot[v] = vzero();
        for (int64_t i = from; i < min64(from + BLOCK_ROWS, rows); ++i, x += cols, dy += cols)
            UNROLL for (int v = 0; v < vectors; ++v) {
                const vec d = LOAD(dy);
                sum[v] += d;
                dot[v] = vfma(d, (LOAD(x) - LOAD(mean_hi) - LOAD(mean_lo)) * LOAD(inv), dot[v]);
            }
        UNROLL for (int v = 0; v < vectors; ++v) {
            all[v] += sum[v];
            all_dots[v] += dot[v];
        }
    }
    UNROLL for (int v = 0; v < vectors; ++v) {
        STORE(db, all[v]);
        STORE(dw, all_dots[v]);
    }
}
#undef LOAD
#undef STORE

/* Updates the running statistics, and makes 1/√(var + ε) of the variance. */
static void F(update_running_stats)(const fastnn_norm *g, int64_t from, int64_t to, const F(stats_t) *s)
{
    real *mean = g->running_mean, *variance = g->running_var, *var = s->inv;
    const real count = (real)(g->rows * g->inner), m = (real)g->momentum, old = 1 - m, eps = (real)g->eps;
    for (int64_t c = from; c < to; ++c) {
        mean[c] = old * mean[c] + m * (s->mean_hi[c] + s->mean_lo[c]);
        variance[c] = old * variance[c] + m * (var[c] * count / (count - 1));
        var[c] = 1 / F(sqrt_)(var[c] + eps);
    }
}

/* Completes the statistics of channels from … to − 1: in training from the batch's variance in s->inv, in prediction
   from the running ones. */
static void F(complete_stats)(const fastnn_norm *g, int64_t from, int64_t to, const F(stats_t) *s)
{
    const real *mean = g->running_mean, *variance = g->running_var;
    if (g->training) F(update_running_stats)(g, from, to, s);
    else for (int64_t c = from; c < to; ++c) {
        s->mean_hi[c] = mean[c];
        s->mean_lo[c] = 0;
        s->inv[c] = 1 / F(sqrt_)(variance[c] + (real)g->eps);
    }
}

/* ---- in prediction the statistics are constants, and a product or a convolution normalises its own outputs ---- */

static void F(batchnorm_constants)(const fastnn_norm *g)
{
    const F(stats_t) s = F(stats_of)(g, g->channels);
    F(complete_stats)(g, 0, g->channels, &s);
}

/* y = (x − mean)·inv·w + b: what the functions below do where mean_lo is 0. Of no normalisation, mean is NULL. */
typedef struct {
    const real *mean, *inv, *w, *b;
} F(constants_t);

/* From channel c on. */
static F(constants_t) F(constants_of)(const fastnn_norm *g, int64_t c)
{
    if (!g) return (F(constants_t)){0};
    const F(stats_t) s = F(stats_of)(g, g->channels);
    return (F(constants_t)){s.mean_hi + c, s.inv + c, (const real *)g->w + c, (const real *)g->b + c};
}

static void F(normalise_row)(const F(constants_t) *norm, real *x, int64_t n)
{
    const real *mean = norm->mean, *inv = norm->inv, *w = norm->w, *b = norm->b;
    ELEMENTWISE for (int64_t c = 0; c < n; ++c) x[c] = F(fma_)((x[c] - mean[c]) * inv[c], w[c], b[c]);
}

static void F(batchnorm_columns)(const fastnn_norm *g, int64_t from, int64_t to)
{
    const real *x = g->x, *w = g->w, *b = g->b;
    const int64_t cols = g->channels;
    const F(stats_t) s = F(stats_of)(g, g->channels);
    real *y = g->y, *mean_hi = s.mean_hi, *mean_lo = s.mean_lo, *inv = s.inv;
    if (g->training) {
        int64_t c = from;
#define MOMENTS(vectors, mask) F(column_moments)(vectors, mask, x + c, g->rows, cols, mean_hi + c, mean_lo + c, inv + c)
        for (; c + COLUMN_VECTORS * VL <= to; c += COLUMN_VECTORS * VL) MOMENTS(COLUMN_VECTORS, vfirst(VL));
        for (; c < to; c += VL) MOMENTS(1, vfirst((int)min64(VL, to - c)));
#undef MOMENTS
    }
    F(complete_stats)(g, from, to, &s);
    for (int64_t i = 0; i < g->rows; ++i) {
        const real *xs = x + i * cols;
        real *ys = y + i * cols;
        ELEMENTWISE for (int64_t c = from; c < to; ++c)
            ys[c] = F(fma_)((xs[c] - mean_hi[c] - mean_lo[c]) * inv[c], w[c], b[c]);
    }
}

/* dx = w·inv·(dy − db/N − x̂·dw/N), over dy; w·inv·dy of constant statistics, where dw and db may be NULL. */
static void F(batchnorm_columns_backward)(const fastnn_norm *g, int64_t from, int64_t to)
{
    const real *x = g->x, *w = g->w;
    const int64_t cols = g->channels;
    const F(stats_t) s = F(stats_of)(g, g->channels);
    const real *mean_hi = s.mean_hi, *mean_lo = s.mean_lo, *inv = s.inv;
    real *dy = g->dy, *dw = g->dw, *db = g->db;
    int64_t c = from;
#define SUMS(vectors, mask) F(column_gradient_sums)( \
    vectors, mask, x + c, dy + c, g->rows, cols, mean_hi + c, mean_lo + c, inv + c, dw + c, db + c)
    for (; dw && c + COLUMN_VECTORS * VL <= to; c += COLUMN_VECTORS * VL) SUMS(COLUMN_VECTORS, vfirst(VL));
    for (; dw && c < to; c += VL) SUMS(1, vfirst((int)min64(VL, to - c)));
#undef SUMS
    const real inverse = 1 / (real)g->rows;             /* of N: a division for each value would be slow */
    for (int64_t i = 0; i < g->rows; ++i) {
        const real *xs = x + i * cols;
        real *ds = dy + i * cols;
        if (!g->training) {
            ELEMENTWISE for (c = from; c < to; ++c) ds[c] *= w[c] * inv[c];
            continue;
        }
        ELEMENTWISE for (c = from; c < to; ++c) {
            const real normal = (xs[c] - mean_hi[c] - mean_lo[c]) * inv[c];
            ds[c] = w[c] * inv[c] * F(fma_)(-normal, dw[c] * inverse, F(fma_)(-db[c], inverse, ds[c]));
        }
    }
}

/* ---- batch normalisation of images: a channel from its first pass to its last, so that the later ones find it in the
   second-level cache ---- */

static void F(batchnorm_channels)(const fastnn_norm *g, int64_t from, int64_t to)
{
    const real *x = g->x, *w = g->w, *b = g->b;
    const F(stats_t) s = F(stats_of)(g, g->channels);
    real *y = g->y;
    for (int64_t c = from; c < to; ++c) {
        F(ranges_t) ranges[2];
        const int sets = F(channel_ranges)(g, c, ranges);
        if (g->training) F(moments)(x, ranges, sets, s.mean_hi + c, s.mean_lo + c, s.inv + c);
        F(complete_stats)(g, c, c + 1, &s);
        for (const F(ranges_t) *r = ranges; r < ranges + sets; ++r)
            for (int64_t i = 0, at = r->first; i < r->count; ++i, at += r->stride)
                (g->relu ? F(normalise_range_relu) : F(normalise_range))(x + at, y + at, r->n, s.mean_hi[c],
                                                                         s.mean_lo[c], s.inv[c], w[c], b[c]);
    }
}

static void F(batchnorm_channels_backward)(const fastnn_norm *g, int64_t from, int64_t to)
{
    const real *x = g->x, *w = g->w, *b = g->b, count = (real)(g->rows * g->inner);
    const F(stats_t) s = F(stats_of)(g, g->channels);
    real *dy = g->dy, *dw = g->dw, *db = g->db;
    for (int64_t c = from; c < to; ++c) {
        const real mean_hi = s.mean_hi[c], mean_lo = s.mean_lo[c], inv = s.inv[c];
        F(ranges_t) ranges[2];
        const int sets = F(channel_ranges)(g, c, ranges);
        const real slope = w[c] * inv;
        if (dw && g->relu)
            F(sums_of_ranges)(1, x, dy, ranges, sets, mean_hi, mean_lo, inv, w[c], b[c], db + c, dw + c);
        else if (dw) F(gradient_sums)(x, dy, ranges, sets, mean_hi, mean_lo, inv, db + c, dw + c);
        for (const F(ranges_t) *r = ranges; r < ranges + sets; ++r)
            for (int64_t i = 0, at = r->first; i < r->count; ++i, at += r->stride) {
                real *d = dy + at;
                if (!g->training && g->relu)
                    ELEMENTWISE for (int64_t j = 0; j < r->n; ++j) {
                        const real u = F(fma_)((x[at + j] - mean_hi - mean_lo) * inv, w[c], b[c]);
                        d[j] = (u > 0 ? d[j] : 0) * slope;
                    }
                else if (!g->training) ELEMENTWISE for (int64_t j = 0; j < r->n; ++j) d[j] *= slope;
                else if (g->relu)
                    F(normalise_range_relu_backward)(x + at, d, r->n, mean_hi, mean_lo, inv, w[c], b[c], slope,
                                                     db[c] / count, dw[c] / count);
                else
                    F(normalise_range_backward)(x + at, d, r->n, mean_hi, mean_lo, inv, 1, slope, db[c] / count,
                                                dw[c] / count);
            }
    }
}

/* Threads split the channels; those that stand side by side only at the borders of cache lines. */
static inline int F(by_columns)(const fastnn_norm *g) { return g->inner == 1 && !g->interleaved; }
static inline int64_t F(channel_unit)(const fastnn_norm *g) { return F(by_columns)(g) ? LANES : 1; }

static inline int64_t F(first_channel)(const fastnn_norm *g, int part, int parts)
{
    const int64_t unit = F(channel_unit)(g);
    return min64(part_begin(ceil_div(g->channels, unit), part, parts) * unit, g->channels);
}

static void F(batchnorm_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const int64_t from = F(first_channel)(g, part, parts), to = F(first_channel)(g, part + 1, parts);
    if (F(by_columns)(g)) F(batchnorm_columns)(g, from, to);
    else F(batchnorm_channels)(g, from, to);
}

static void F(batchnorm_backward_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const int64_t from = F(first_channel)(g, part, parts), to = F(first_channel)(g, part + 1, parts);
    if (F(by_columns)(g)) F(batchnorm_columns_backward)(g, from, to);
    else F(batchnorm_channels_backward)(g, from, to);
}

static void F(run_over_channels)(fastnn_part part, const fastnn_norm *g, int threads)
{
    const int64_t units = ceil_div(g->channels, F(channel_unit)(g));
    run_parts(part, g, part_count(threads, units, g->rows * g->channels * g->inner, PARALLEL_ELEMENTS));
}

static void F(batchnorm)(const fastnn_norm *g) { F(run_over_channels)(F(batchnorm_part), g, g->threads); }

static void F(batchnorm_backward)(const fastnn_norm *g)
{
    F(run_over_channels)(F(batchnorm_backward_part), g, g->threads);
}

/* ---- group normalisation: in each row of channels · inner values, a group of channels that stand side by side has a
   mean and a variance. Layer normalisation is one group of channels of one value each ---- */

static void F(groupnorm_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const int64_t groups = g->rows * g->groups, each = g->channels / g->groups, inner = g->inner, n = each * inner;
    const F(stats_t) s = F(stats_of)(g, groups);
    for (int64_t i = part_begin(groups, part, parts); i < part_begin(groups, part + 1, parts); ++i) {
        const int64_t c = i % g->groups * each;
        const real *xs = (const real *)g->x + i * n, *w = (const real *)g->w + c, *b = (const real *)g->b + c;
        real *ys = (real *)g->y + i * n;
        F(moments)(xs, &(F(ranges_t)){0, 1, n, n}, 1, s.mean_hi + i, s.mean_lo + i, s.inv + i);
        s.inv[i] = 1 / F(sqrt_)(s.inv[i] + (real)g->eps);
        const real mean_hi = s.mean_hi[i], mean_lo = s.mean_lo[i], inv = s.inv[i];
        if (inner == 1)
            ELEMENTWISE for (int64_t j = 0; j < n; ++j) ys[j] = F(fma_)((xs[j] - mean_hi - mean_lo) * inv, w[j], b[j]);
        else
            for (int64_t j = 0; j < each; ++j)
                F(normalise_range)(xs + j * inner, ys + j * inner, inner, mean_hi, mean_lo, inv, w[j], b[j]);
    }
}

/* Adds to dw and db, which begin at channel `from`, what row i gives channels from … to − 1. */
ALWAYS_INLINE void F(add_sums_of_row)(const fastnn_norm *g, int64_t i, int64_t from, int64_t to, real *dw, real *db)
{
    const F(stats_t) s = F(stats_of)(g, g->rows * g->groups);
    const int64_t each = g->channels / g->groups, inner = g->inner, row = i * g->channels * inner;
    const real *xs = (const real *)g->x + row, *ds = (const real *)g->dy + row;
    for (int64_t k = from / each, first = from, last; first < to; first = last, ++k) {
        const int64_t group = i * g->groups + k;
        const real mean_hi = s.mean_hi[group], mean_lo = s.mean_lo[group], inv = s.inv[group];
        last = min64((k + 1) * each, to);
        if (inner == 1)
            ELEMENTWISE for (int64_t j = first; j < last; ++j) {
                db[j - from] += ds[j];
                dw[j - from] = F(fma_)(ds[j], (xs[j] - mean_hi - mean_lo) * inv, dw[j - from]);
            }
        else for (int64_t c = first; c < last; ++c) {
            real sum, dot;
            F(gradient_sums)(xs, ds, &(F(ranges_t)){c * inner, 1, inner, inner}, 1, mean_hi, mean_lo, inv, &sum, &dot);
            db[c - from] += sum;
            dw[c - from] += dot;
        }
    }
}

/* dx over dy, for group i of all. */
static void F(groupnorm_dx)(const fastnn_norm *g, int64_t i)
{
    const F(stats_t) s = F(stats_of)(g, g->rows * g->groups);
    const int64_t each = g->channels / g->groups, inner = g->inner, n = each * inner;
    const real *xs = (const real *)g->x + i * n, *w = (const real *)g->w + i % g->groups * each;
    real *ds = (real *)g->dy + i * n;
    const real mean_hi = s.mean_hi[i], mean_lo = s.mean_lo[i], inv = s.inv[i];
    real sum, dot;
    if (inner == 1)
        ELEMENTWISE for (int64_t j = 0; j < n; ++j) ds[j] *= w[j];
    else
        for (int64_t j = 0; j < each; ++j)
            ELEMENTWISE for (int64_t k = j * inner; k < (j + 1) * inner; ++k) ds[k] *= w[j];
    /* In the pieces of groupnorm_dx_and_sums, as the number of threads decides between the two. */
    const F(ranges_t) whole = {0, 1, n, n}, channels = {0, each, inner, inner};
    F(gradient_sums)(xs, ds, inner % LANES == 0 ? &channels : &whole, 1, mean_hi, mean_lo, inv, &sum, &dot);
    F(normalise_range_backward)(xs, ds, n, mean_hi, mean_lo, inv, 1, inv, sum / (real)n, dot / (real)n);
}

/* The same, and what add_sums_of_row adds for the group's channels, of whole lanes of values each: in two passes. */
static void F(groupnorm_dx_and_sums)(const fastnn_norm *g, int64_t i)
{
    const F(stats_t) s = F(stats_of)(g, g->rows * g->groups);
    const int64_t each = g->channels / g->groups, inner = g->inner, n = each * inner, c = i % g->groups * each;
    const real *xs = (const real *)g->x + i * n, *w = (const real *)g->w + c;
    real *ds = (real *)g->dy + i * n, *dw = (real *)g->dw + c, *db = (real *)g->db + c;
    const vec hi = vset1(s.mean_hi[i]), lo = vset1(s.mean_lo[i]), inv = vset1(s.inv[i]);
    vec sums[LANE_VECTORS], dots[LANE_VECTORS];         /* of the group, whose gradients are times their weights */
    double sum_of_group = 0, dot_of_group = 0;
    int64_t seen = 0;                                   /* values in the group's lanes */
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) sums[v] = dots[v] = vzero();
    for (int64_t j = 0; j < each; ++j) {
        const vec weight = vset1(w[j]);
        vec sum[LANE_VECTORS], dot[LANE_VECTORS];       /* of the channel */
        double sum_of_channel = 0, dot_of_channel = 0;
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) sum[v] = dot[v] = vzero();
        for (int64_t from = j * inner, to; from < (j + 1) * inner; from = to) {
            to = min64(from + PIECE, (j + 1) * inner);
            seen += to - from;
            if (seen > PIECE) {
                F(take_lanes)(sums, &sum_of_group);
                F(take_lanes)(dots, &dot_of_group);
                seen = to - from;
            }
            for (int64_t at = from; at < to; at += LANES)
                UNROLL for (int v = 0; v < LANE_VECTORS; ++v) {
                    const vec d = vload(ds + at + v * VL), weighted = d * weight;
                    const vec normal = (vload(xs + at + v * VL) - hi - lo) * inv;
                    sum[v] += d;
                    dot[v] = vfma(d, normal, dot[v]);
                    sums[v] += weighted;
                    dots[v] = vfma(weighted, normal, dots[v]);
                }
            F(take_lanes)(sum, &sum_of_channel);
            F(take_lanes)(dot, &dot_of_channel);
        }
        db[j] += (real)sum_of_channel;
        dw[j] += (real)dot_of_channel;
    }
    F(take_lanes)(sums, &sum_of_group);
    F(take_lanes)(dots, &dot_of_group);
    const real sum_mean = (real)sum_of_group / (real)n, dot_mean = (real)dot_of_group / (real)n;
    for (int64_t j = 0; j < each; ++j)
        F(normalise_range_backward)(xs + j * inner, ds + j * inner, inner, s.mean_hi[i], s.mean_lo[i], s.inv[i], w[j],
                                    s.inv[i], sum_mean, dot_mean);
}

/* Everything for this part of each row's groups, while a group is in the first-level cache. */
static void F(groupnorm_backward_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const int64_t each = g->channels / g->groups, from = part_begin(g->groups, part, parts);
    const int64_t to = part_begin(g->groups, part + 1, parts);
    for (int64_t c = from * each; c < to * each; ++c) ((real *)g->dw)[c] = ((real *)g->db)[c] = 0;
    for (int64_t i = 0; i < g->rows; ++i)
        for (int64_t k = from; k < to; ++k) {
            if (g->inner % LANES == 0) F(groupnorm_dx_and_sums)(g, i * g->groups + k);
            else {
                F(add_sums_of_row)(g, i, k * each, (k + 1) * each, (real *)g->dw + k * each, (real *)g->db + k * each);
                F(groupnorm_dx)(g, i * g->groups + k);
            }
        }
}

/* dw and db for this part of the channels. */
static void F(groupnorm_sums_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const int64_t from = F(first_channel)(g, part, parts), to = F(first_channel)(g, part + 1, parts);
    real *dw = g->dw, *db = g->db, dots[SUM_COLUMNS], sums[SUM_COLUMNS];
    for (int64_t c = from; c < to; ++c) dw[c] = db[c] = 0;
    for (int64_t first = from, n; first < to; first += n) {
        n = min64(SUM_COLUMNS, to - first);
        for (int64_t row = 0; row < g->rows; row += BLOCK_ROWS) {
            for (int64_t c = 0; c < n; ++c) dots[c] = sums[c] = 0;
            for (int64_t i = row; i < min64(row + BLOCK_ROWS, g->rows); ++i)
                F(add_sums_of_row)(g, i, first, first + n, dots, sums);
            for (int64_t c = 0; c < n; ++c) {
                dw[first + c] += dots[c];
                db[first + c] += sums[c];
            }
        }
    }
}

/* dx over dy, for this part of all groups. */
static void F(groupnorm_dx_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const int64_t groups = g->rows * g->groups;
    for (int64_t i = part_begin(groups, part, parts); i < part_begin(groups, part + 1, parts); ++i)
        F(groupnorm_dx)(g, i);
}

/* A thread that sums columns, where the passes before and behind take rows, reads what other cores have written: a
   second one takes more time than it saves. So half of the threads do. */
static inline int F(threads_for_columns)(const fastnn_norm *g) { return g->threads / 2; }

static int F(group_parts)(const fastnn_norm *g)
{
    return part_count(g->threads, g->rows * g->groups, g->rows * g->channels * g->inner, PARALLEL_ELEMENTS);
}

static void F(groupnorm)(const fastnn_norm *g) { run_parts(F(groupnorm_part), g, F(group_parts)(g)); }

/* A sum over the rows is one chain, so threads share the channels for dw and db. Where a row has a group for each, they
   make dx meanwhile; for channels of one value each that takes a tenth longer. */
static void F(groupnorm_backward)(const fastnn_norm *g)
{
    const int parts = F(group_parts)(g);
    /* More rows than a block: their sums are joined block by block, whatever the number of threads is. */
    if (parts <= g->groups && !F(by_columns)(g) && g->rows <= BLOCK_ROWS)
        run_parts(F(groupnorm_backward_part), g, parts);
    else {
        F(run_over_channels)(F(groupnorm_sums_part), g, F(by_columns)(g) ? F(threads_for_columns)(g) : g->threads);
        run_parts(F(groupnorm_dx_part), g, parts);
    }
}

/* ---- division by the root mean square of a row of `inner` values: y = w·x·inv. See fastnn_ref/rmsnorm.py ---- */

static void F(rmsnorm_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *w = g->w;
    real *y = g->y, *saved = g->saved;
    const int64_t n = g->inner;
    for (int64_t i = part_begin(g->rows, part, parts); i < part_begin(g->rows, part + 1, parts); ++i) {
        const real *xs = x + i * n, inv = 1 / F(sqrt_)(F(dot)(xs, xs, n) / (real)n + (real)g->eps);
        real *ys = y + i * n;
        saved[i] = inv;
        ELEMENTWISE for (int64_t j = 0; j < n; ++j) ys[j] = xs[j] * inv * w[j];
    }
}

/* dw for this part of the columns. */
static void F(rmsnorm_sums_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *dy = g->dy, *saved = g->saved;
    real *dw = g->dw;
    const int64_t n = g->inner, lines = ceil_div(n, LANES), from = part_begin(lines, part, parts) * LANES;
    const int64_t to = min64(part_begin(lines, part + 1, parts) * LANES, n);
    real sums[SUM_COLUMNS];
    for (int64_t j = from; j < to; ++j) dw[j] = 0;
    for (int64_t first = from, width; first < to; first += width) {
        width = min64(SUM_COLUMNS, to - first);
        for (int64_t row = 0; row < g->rows; row += BLOCK_ROWS) {
            for (int64_t j = 0; j < width; ++j) sums[j] = 0;
            for (int64_t i = row; i < min64(row + BLOCK_ROWS, g->rows); ++i) {
                const real *xs = x + i * n + first, *ds = dy + i * n + first, inv = saved[i];
                ELEMENTWISE for (int64_t j = 0; j < width; ++j) sums[j] = F(fma_)(ds[j], xs[j] * inv, sums[j]);
            }
            for (int64_t j = 0; j < width; ++j) dw[first + j] += sums[j];
        }
    }
}

/* dx = inv·(w·dy − x̂·Σ w·dy·x̂/n) with x̂ = x·inv, over dy, for this part of the rows. */
static void F(rmsnorm_dx_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *w = g->w, *saved = g->saved;
    real *dy = g->dy;
    const int64_t n = g->inner;
    for (int64_t i = part_begin(g->rows, part, parts); i < part_begin(g->rows, part + 1, parts); ++i) {
        const real *xs = x + i * n, inv = saved[i];
        real *ds = dy + i * n;
        ELEMENTWISE for (int64_t j = 0; j < n; ++j) ds[j] *= w[j];
        const real mean = F(dot)(xs, ds, n) * inv / (real)n;
        ELEMENTWISE for (int64_t j = 0; j < n; ++j) ds[j] = (ds[j] - xs[j] * inv * mean) * inv;
    }
}

static void F(rmsnorm)(const fastnn_norm *g)
{
    run_parts(F(rmsnorm_part), g, part_count(g->threads, g->rows, g->rows * g->inner, PARALLEL_ELEMENTS));
}

static void F(rmsnorm_backward)(const fastnn_norm *g)
{
    const int64_t values = g->rows * g->inner;
    run_parts(F(rmsnorm_sums_part), g,
              part_count(F(threads_for_columns)(g), ceil_div(g->inner, LANES), values, PARALLEL_ELEMENTS));
    run_parts(F(rmsnorm_dx_part), g, part_count(g->threads, g->rows, values, PARALLEL_ELEMENTS));
}

/* Normalisation: y = weight·x̂ + bias, x̂ = (x − mean)/√(var + ε).

   Twins: fastnn_ref/batchnorm.py (mean and variance of a channel, over batch and image) and fastnn_ref/layernorm.py (of a
   row). A mean is kept as shift + rest: shift is the group's first value, so that x − shift is exact, or nearly so, when
   the mean is large beside the deviation. The variance takes a second pass, less what the first one's rounding left.
   `saved` holds shift, rest and 1/√(var + ε) of every group, one array after the other. */

/* Adds up a run's differences d = x − origin − mean, lane by lane, and their squares where those are wanted. Vectors by
   name: of two sums in one loop over lanes the compiler makes scalars, 0.63 instead of 0.21 ns a value. */
ALWAYS_INLINE void F(add_differences)(const int squares, const real *x, int64_t n, const real *origin, const real *mean,
                                      vec *sum, vec *square)
{
    const vec from = vload(origin), middle = vload(mean);
    for (; n >= LANES; x += LANES, n -= LANES)
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) {
            const vec d = vload(x + v * VL) - from - middle;
            sum[v] += d;
            if (squares) square[v] = vfma(d, d, square[v]);
        }
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v, x += VL, n -= VL)
        if (n > 0) {
            const vmask some = vfirst((int)min64(n, VL));
            const vec d = vload_first(x, some) - vload_first(origin, some) - vload_first(mean, some);
            sum[v] += d;
            if (squares) square[v] = vfma(d, d, square[v]);
        }
}

/* Values that lie in `count` runs of `n`, `stride` apart, the first one at `first`. */
typedef struct { int64_t first, count, stride, n; } F(runs_t);

/* Where those of channel c lie: in the blocks, then in the images that are left. How many of the two there are. */
static int F(runs_of)(const fastnn_norm *g, int64_t c, F(runs_t) *runs)
{
    const int64_t blocks = g->interleaved ? F(interleaved_blocks)(g->rows) : 0, row = g->channels * g->inner, seen = blocks * LANES;
    int sets = 0;
    if (blocks) runs[sets++] = (F(runs_t)){c * g->inner * LANES, blocks, row * LANES, g->inner * LANES};
    if (seen < g->rows) runs[sets++] = (F(runs_t)){seen * row + c * g->inner, g->rows - seen, row, g->inner};
    return sets;
}

/* The moments of some such sets. Two passes over so many runs at a time that the second finds them in the first-level cache: of
   channels that are a power of two apart, the second-level one keeps eight. Joined as Chan, Golub and LeVeque do, "Updating
   formulae and a pairwise algorithm for computing sample variances" (1979). */
static void F(moments)(const real *x, const F(runs_t) *runs, int sets, real *shift, real *rest, real *var)
{
    real origin[VL], middle[VL];
    double mean = 0, squares = 0, seen = 0;
    for (int l = 0; l < VL; ++l) origin[l] = x[runs->first];
    for (const F(runs_t) *r = runs; r < runs + sets; ++r) {
        const int64_t n = r->n, some = 1 + 2048 / n;
        for (int64_t from = 0, to; from < r->count; from = to) {
            to = min64(from + some, r->count);
            const real *first = x + r->first + from * r->stride, *end = x + r->first + to * r->stride;
            const double count = (double)((to - from) * n), each = 1 / count, share = count / (seen + count);
            vec sum[LANE_VECTORS], left[LANE_VECTORS], square[LANE_VECTORS];
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v) sum[v] = left[v] = square[v] = vzero();
            for (int l = 0; l < VL; ++l) middle[l] = 0;
            for (const real *run = first; run < end; run += r->stride)
                F(add_differences)(0, run, n, origin, middle, sum, square);
            const real near = F(tree_of_vectors)(sum) * (real)each;     /* a reciprocal waits for no sum */
            for (int l = 0; l < VL; ++l) middle[l] = near;
            for (const real *run = first; run < end; run += r->stride)
                F(add_differences)(1, run, n, origin, middle, left, square);
            const double d = (double)F(tree_of_vectors)(left) * each, apart = (double)near + d - mean;
            squares += (double)F(tree_of_vectors)(square) - d * d * count + apart * apart * (seen * share);
            mean += apart * share;
            seen += count;
        }
    }
    *shift = origin[0];
    *rest = (real)mean;
    *var = (real)(squares / seen);
}

/* y = (x − shift − rest)·inv·w + b for a run under one mean. */
static inline void F(normalise_range)(const real *x, real *y, int64_t n, real shift, real rest, real inv, real w, real b)
{
    ELEMENTWISE for (int64_t i = 0; i < n; ++i) y[i] = F(fma_)((x[i] - shift - rest) * inv, w, b);
}

/* Σ dy and Σ dy·x̂ of some sets of runs under one mean. */
static void F(channel_sums)(const real *x, const real *dy, const F(runs_t) *runs, int sets, real shift, real rest, real inv,
                            real *sum, real *dot)
{
    const vec from = vset1(shift), middle = vset1(rest), scale = vset1(inv);
    vec lane[LANE_VECTORS], with[LANE_VECTORS];
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) lane[v] = with[v] = vzero();
    for (const F(runs_t) *r = runs; r < runs + sets; ++r)
        for (int64_t s = 0; s < r->count; ++s) {
            const real *xs = x + r->first + s * r->stride, *ds = dy + r->first + s * r->stride;
            int64_t left = r->n;
            for (; left >= LANES; xs += LANES, ds += LANES, left -= LANES)
                UNROLL for (int v = 0; v < LANE_VECTORS; ++v) {
                    const vec d = vload(ds + v * VL);
                    lane[v] += d;
                    with[v] = vfma(d, (vload(xs + v * VL) - from - middle) * scale, with[v]);
                }
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v, xs += VL, ds += VL, left -= VL)
                if (left > 0) {
                    const vmask some = vfirst((int)min64(left, VL));
                    const vec d = vload_first(ds, some);
                    lane[v] += d;
                    with[v] = vfma(d, (vload_first(xs, some) - from - middle) * scale, with[v]);
                }
        }
    *sum = F(tree_of_vectors)(lane);
    *dot = F(tree_of_vectors)(with);
}

/* A batch of single values: the channels lie side by side, so each is a lane of its own. So many vectors of them at a
   time, their sums in registers; a single one may be a part of a vector, the lanes in `mask`. */
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
                                     real *shift, real *rest, real *var)
{
    const vec count = vset1((real)rows);
    vec origin[COLUMN_VECTORS], mean[COLUMN_VECTORS], square[COLUMN_VECTORS], left[COLUMN_VECTORS];
    UNROLL for (int v = 0; v < vectors; ++v) {
        origin[v] = LOAD(x);
        mean[v] = square[v] = left[v] = vzero();
    }
    for (int64_t i = 0; i < rows; ++i)
        UNROLL for (int v = 0; v < vectors; ++v) mean[v] += LOAD(x + i * cols) - origin[v];
    UNROLL for (int v = 0; v < vectors; ++v) mean[v] /= count;
    for (int64_t i = 0; i < rows; ++i)
        UNROLL for (int v = 0; v < vectors; ++v) {
            const vec d = LOAD(x + i * cols) - origin[v] - mean[v];
            square[v] = vfma(d, d, square[v]);
            left[v] += d;
        }
    UNROLL for (int v = 0; v < vectors; ++v) {
        STORE(shift, origin[v]);
        STORE(rest, mean[v] + left[v] / count);
        STORE(var, (square[v] - left[v] * left[v] / count) / count);
    }
}

/* db and dw: see below. */
ALWAYS_INLINE void F(column_sums_of)(const int vectors, const vmask mask, const real *x, const real *dy, int64_t rows,
                                     int64_t cols, const real *shift, const real *rest, const real *inv, real *dw,
                                     real *db)
{
    vec sum[COLUMN_VECTORS], dot[COLUMN_VECTORS];
    UNROLL for (int v = 0; v < vectors; ++v) sum[v] = dot[v] = vzero();
    for (int64_t i = 0; i < rows; ++i, x += cols, dy += cols)
        UNROLL for (int v = 0; v < vectors; ++v) {
            const vec d = LOAD(dy);
            sum[v] += d;
            dot[v] = vfma(d, (LOAD(x) - LOAD(shift) - LOAD(rest)) * LOAD(inv), dot[v]);
        }
    UNROLL for (int v = 0; v < vectors; ++v) {
        STORE(db, sum[v]);
        STORE(dw, dot[v]);
    }
}
#undef LOAD
#undef STORE

/* The running statistics follow, and the variance becomes 1/√(var + ε). */
static void F(follow)(const fastnn_norm *g, int64_t from, int64_t to, const real *shift, const real *rest, real *var)
{
    real *mean = g->running_mean, *variance = g->running_var;
    const real count = (real)(g->rows * g->inner), m = (real)g->momentum, old = 1 - m, eps = (real)g->eps;
    for (int64_t c = from; c < to; ++c) {
        mean[c] = old * mean[c] + m * (shift[c] + rest[c]);
        variance[c] = old * variance[c] + m * (var[c] * count / (count - 1));
        var[c] = 1 / F(sqrt_)(var[c] + eps);
    }
}

/* Threads split the channels, columns at cache lines. */
static inline int F(side_by_side)(const fastnn_norm *g) { return g->inner == 1 && !g->interleaved; }
static inline int64_t F(channel_unit)(const fastnn_norm *g) { return F(side_by_side)(g) ? LANES : 1; }

static inline int64_t F(channel_cut)(const fastnn_norm *g, int part, int parts)
{
    const int64_t unit = F(channel_unit)(g);
    return min64(part_begin(ceil_div(g->channels, unit), part, parts) * unit, g->channels);
}

static void F(run_over_channels)(fastnn_part part, const fastnn_norm *g)
{
    const int64_t units = ceil_div(g->channels, F(channel_unit)(g));
    run_parts(part, g, part_count(g->threads, units, g->rows * g->channels * g->inner, PARALLEL_ELEMENTS));
}

/* Channels from … to: what to normalise by in training, or what prediction takes for it. */
static void F(statistics)(const fastnn_norm *g, int64_t from, int64_t to, real *shift, real *rest, real *inv)
{
    const real *mean = g->running_mean, *variance = g->running_var;
    if (g->training) F(follow)(g, from, to, shift, rest, inv);
    else for (int64_t c = from; c < to; ++c) {
        shift[c] = mean[c];
        rest[c] = 0;
        inv[c] = 1 / F(sqrt_)(variance[c] + (real)g->eps);
    }
}

static void F(batchnorm_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *w = g->w, *b = g->b;
    real *y = g->y, *shift = g->saved, *rest = shift + g->channels, *inv = rest + g->channels;
    const int64_t inner = g->inner, stride = g->channels * inner, to = F(channel_cut)(g, part + 1, parts);
    const int64_t from = F(channel_cut)(g, part, parts);
    if (F(side_by_side)(g)) {
        if (g->training) {
            int64_t c = from;
#define MOMENTS(vectors, mask) F(column_moments)(vectors, mask, x + c, g->rows, stride, shift + c, rest + c, inv + c)
            for (; c + COLUMN_VECTORS * VL <= to; c += COLUMN_VECTORS * VL) MOMENTS(COLUMN_VECTORS, vfirst(VL));
            for (; c < to; c += VL) MOMENTS(1, vfirst((int)min64(VL, to - c)));
#undef MOMENTS
        }
        F(statistics)(g, from, to, shift, rest, inv);
        for (int64_t i = 0; i < g->rows; ++i) {
            const real *xs = x + i * stride;
            real *ys = y + i * stride;
            ELEMENTWISE for (int64_t c = from; c < to; ++c)
                ys[c] = F(fma_)((xs[c] - shift[c] - rest[c]) * inv[c], w[c], b[c]);
        }
        return;
    }
    /* A channel from the first pass to the last: the later ones find it in the second-level cache. */
    for (int64_t c = from; c < to; ++c) {
        F(runs_t) runs[2];
        const int sets = F(runs_of)(g, c, runs);
        if (g->training) F(moments)(x, runs, sets, shift + c, rest + c, inv + c);
        F(statistics)(g, c, c + 1, shift, rest, inv);
        for (const F(runs_t) *r = runs; r < runs + sets; ++r)
            for (int64_t i = 0, at = r->first; i < r->count; ++i, at += r->stride)
                F(normalise_range)(x + at, y + at, r->n, shift[c], rest[c], inv[c], w[c], b[c]);
    }
}

/* dx = w·inv·(dy − db/N − x̂·dw/N) = scale·((dy − lost) − x̂·turn), over dy. */
static void F(batchnorm_backward_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *w = g->w, *shift = g->saved, *rest = shift + g->channels, *inv = rest + g->channels;
    real *dy = g->dy, *dw = g->dw, *db = g->db;
    const int64_t inner = g->inner, stride = g->channels * inner, to = F(channel_cut)(g, part + 1, parts);
    const real count = (real)(g->rows * inner);
    const int64_t from = F(channel_cut)(g, part, parts);
    if (F(side_by_side)(g)) {
        int64_t c = from;
#define SUMS(vectors, mask) \
    F(column_sums_of)(vectors, mask, x + c, dy + c, g->rows, stride, shift + c, rest + c, inv + c, dw + c, db + c)
        for (; c + COLUMN_VECTORS * VL <= to; c += COLUMN_VECTORS * VL) SUMS(COLUMN_VECTORS, vfirst(VL));
        for (; c < to; c += VL) SUMS(1, vfirst((int)min64(VL, to - c)));
#undef SUMS
        const real each = 1 / count;                    /* not a division for each value */
        for (int64_t i = 0; i < g->rows; ++i) {
            const real *xs = x + i * stride;
            real *ds = dy + i * stride;
            ELEMENTWISE for (c = from; c < to; ++c) {
                const real normal = (xs[c] - shift[c] - rest[c]) * inv[c];
                ds[c] = w[c] * inv[c] * F(fma_)(-normal, dw[c] * each, F(fma_)(-db[c], each, ds[c]));
            }
        }
        return;
    }
    for (int64_t c = from; c < to; ++c) {
        const real origin = shift[c], mean = rest[c], root = inv[c];
        F(runs_t) runs[2];
        const int sets = F(runs_of)(g, c, runs);
        F(channel_sums)(x, dy, runs, sets, origin, mean, root, db + c, dw + c);
        const real lost = db[c] / count, turn = dw[c] / count, scale = w[c] * root;
        for (const F(runs_t) *r = runs; r < runs + sets; ++r)
            for (int64_t i = 0; i < r->count; ++i) {
                const real *xs = x + r->first + i * r->stride;
                real *ds = dy + r->first + i * r->stride;
                ELEMENTWISE for (int64_t j = 0; j < r->n; ++j)
                    ds[j] = scale * F(fma_)(-((xs[j] - origin - mean) * root), turn, ds[j] - lost);
            }
    }
}

/* The same for rows of `inner` values: `channels` is 1, a row is a group. */
static void F(layernorm_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *w = g->w, *b = g->b;
    real *y = g->y, *shift = g->saved, *rest = shift + g->rows, *inv = rest + g->rows;
    const int64_t n = g->inner;
    for (int64_t i = part_begin(g->rows, part, parts); i < part_begin(g->rows, part + 1, parts); ++i) {
        const real *xs = x + i * n;
        real *ys = y + i * n;
        F(moments)(xs, &(F(runs_t)){0, 1, n, n}, 1, shift + i, rest + i, inv + i);
        inv[i] = 1 / F(sqrt_)(inv[i] + (real)g->eps);
        const real origin = shift[i], mean = rest[i], root = inv[i];
        ELEMENTWISE for (int64_t j = 0; j < n; ++j) ys[j] = F(fma_)((xs[j] - origin - mean) * root, w[j], b[j]);
    }
}

/* dw and db for a share of the columns. */
static void F(layernorm_sums_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *dy = g->dy, *shift = g->saved, *rest = shift + g->rows, *inv = rest + g->rows;
    real *dw = g->dw, *db = g->db;
    const int64_t n = g->inner, lines = ceil_div(n, LANES);
    const int64_t from = part_begin(lines, part, parts) * LANES, to = min64(part_begin(lines, part + 1, parts) * LANES, n);
    for (int64_t j = from; j < to; ++j) dw[j] = db[j] = 0;
    for (int64_t i = 0; i < g->rows; ++i) {
        const real *xs = x + i * n, *ds = dy + i * n;
        const real origin = shift[i], mean = rest[i], root = inv[i];
        ELEMENTWISE for (int64_t j = from; j < to; ++j) {
            db[j] += ds[j];
            dw[j] = F(fma_)(ds[j], (xs[j] - origin - mean) * root, dw[j]);
        }
    }
}

/* dx over dy, for a share of the rows. */
static void F(layernorm_dx_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *w = g->w, *shift = g->saved, *rest = shift + g->rows, *inv = rest + g->rows;
    real *dy = g->dy;
    const int64_t n = g->inner;
    for (int64_t i = part_begin(g->rows, part, parts); i < part_begin(g->rows, part + 1, parts); ++i) {
        const real *xs = x + i * n;
        real *ds = dy + i * n;
        const real origin = shift[i], mean = rest[i], root = inv[i];
        real sum, dot;
        ELEMENTWISE for (int64_t j = 0; j < n; ++j) ds[j] *= w[j];
        F(channel_sums)(xs, ds, &(F(runs_t)){0, 1, n, n}, 1, origin, mean, root, &sum, &dot);
        const real lost = sum / (real)n, turn = dot / (real)n;
        ELEMENTWISE for (int64_t j = 0; j < n; ++j)
            ds[j] = root * F(fma_)(-((xs[j] - origin - mean) * root), turn, ds[j] - lost);
    }
}

static void F(batchnorm)(const fastnn_norm *g) { F(run_over_channels)(F(batchnorm_part), g); }
static void F(batchnorm_backward)(const fastnn_norm *g) { F(run_over_channels)(F(batchnorm_backward_part), g); }

static void F(layernorm)(const fastnn_norm *g)
{
    run_parts(F(layernorm_part), g, part_count(g->threads, g->rows, g->rows * g->inner, PARALLEL_ELEMENTS));
}

static void F(layernorm_backward)(const fastnn_norm *g)
{
    const int64_t values = g->rows * g->inner;
    run_parts(F(layernorm_sums_part), g, part_count(g->threads, ceil_div(g->inner, LANES), values, PARALLEL_ELEMENTS));
    run_parts(F(layernorm_dx_part), g, part_count(g->threads, g->rows, values, PARALLEL_ELEMENTS));
}

/* Normalisation: y = weight·x̂ + bias, x̂ = (x − mean)/√(var + ε).

   Twins: fastnn_ref/batchnorm.py (mean and variance of a channel, over batch and image) and fastnn_ref/layernorm.py (of a
   row). A mean is kept as shift + rest: shift is the group's first value, so that x − shift is exact, or nearly so, when
   the mean is large beside the deviation. The variance takes a second pass, less what the first one's rounding left.
   `saved` holds shift, rest and 1/√(var + ε) of every group, one array after the other. */

/* The moments of values that lie in `segments` runs of `n`, `stride` apart. */
static void F(moments)(const real *x, int64_t segments, int64_t stride, int64_t n, real *shift, real *rest, real *var)
{
    const real origin = x[0], count = (real)(segments * n);
    real lane[LANES] = {0}, left[LANES] = {0};
    for (int64_t s = 0; s < segments; ++s) {
        const real *run = x + s * stride;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int l = 0; l < LANES; ++l) lane[l] += run[i + l] - origin;
        for (int l = 0; i + l < n; ++l) lane[l] += run[i + l] - origin;
    }
    const real mean = F(tree)(lane) / count;
    for (int l = 0; l < LANES; ++l) lane[l] = 0;
    for (int64_t s = 0; s < segments; ++s) {
        const real *run = x + s * stride;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int l = 0; l < LANES; ++l) {
                const real d = run[i + l] - origin - mean;
                lane[l] = F(fma_)(d, d, lane[l]);
                left[l] += d;
            }
        for (int l = 0; i + l < n; ++l) {
            const real d = run[i + l] - origin - mean;
            lane[l] = F(fma_)(d, d, lane[l]);
            left[l] += d;
        }
    }
    const real square = F(tree)(lane), d = F(tree)(left);
    *shift = origin;
    *rest = mean + d / count;
    *var = (square - d * d / count) / count;
}

/* y = (x − shift − rest)·inv·w + b for a run under one mean. */
static inline void F(normalise_run)(const real *x, real *y, int64_t n, real shift, real rest, real inv, real w, real b)
{
    for (int64_t i = 0; i < n; ++i) y[i] = F(fma_)((x[i] - shift - rest) * inv, w, b);
}

/* Σ dy and Σ dy·x̂ of one channel. */
static void F(channel_sums)(const real *x, const real *dy, int64_t segments, int64_t stride, int64_t n, real shift,
                            real rest, real inv, real *sum, real *dot)
{
    real lane[LANES] = {0}, with[LANES] = {0};
    for (int64_t s = 0; s < segments; ++s) {
        const real *xs = x + s * stride, *ds = dy + s * stride;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int l = 0; l < LANES; ++l) {
                lane[l] += ds[i + l];
                with[l] = F(fma_)(ds[i + l], (xs[i + l] - shift - rest) * inv, with[l]);
            }
        for (int l = 0; i + l < n; ++l) {
            lane[l] += ds[i + l];
            with[l] = F(fma_)(ds[i + l], (xs[i + l] - shift - rest) * inv, with[l]);
        }
    }
    *sum = F(tree)(lane);
    *dot = F(tree)(with);
}

/* Columns from … to of a batch without images: the channels lie side by side, so each is a lane of its own. */
static void F(column_moments)(const fastnn_norm *g, int64_t from, int64_t width, real *shift, real *rest, real *var)
{
    const real *x = (const real *)g->x + from, count = (real)g->rows;
    const int64_t cols = g->channels;
    real sum[STRIP] = {0}, square[STRIP] = {0}, left[STRIP] = {0};
    for (int64_t j = 0; j < width; ++j) shift[j] = x[j];
    for (int64_t i = 0; i < g->rows; ++i)
        for (int64_t j = 0; j < width; ++j) sum[j] += x[i * cols + j] - x[j];
    for (int64_t j = 0; j < width; ++j) sum[j] /= count;
    for (int64_t i = 0; i < g->rows; ++i)
        for (int64_t j = 0; j < width; ++j) {
            const real d = x[i * cols + j] - x[j] - sum[j];
            square[j] = F(fma_)(d, d, square[j]);
            left[j] += d;
        }
    for (int64_t j = 0; j < width; ++j) {
        rest[j] = sum[j] + left[j] / count;
        var[j] = (square[j] - left[j] * left[j] / count) / count;
    }
}

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
static inline int64_t F(channel_unit)(const fastnn_norm *g) { return g->inner == 1 ? LANES : 1; }

static inline int64_t F(channel_cut)(const fastnn_norm *g, int part, int parts)
{
    const int64_t unit = F(channel_unit)(g);
    return min64(cut(ceil_div(g->channels, unit), part, parts) * unit, g->channels);
}

static void F(share_channels)(fastnn_part part, const fastnn_norm *g)
{
    const int64_t units = ceil_div(g->channels, F(channel_unit)(g));
    run(part, g, parts_of(g->threads, units, g->rows * g->channels * g->inner, PARALLEL_ELEMENTS));
}

static void F(batchnorm_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *w = g->w, *b = g->b, *mean = g->running_mean, *variance = g->running_var;
    real *y = g->y, *shift = g->saved, *rest = shift + g->channels, *inv = rest + g->channels;
    const int64_t channels = g->channels, inner = g->inner, stride = channels * inner;
    const int64_t from = F(channel_cut)(g, part, parts), to = F(channel_cut)(g, part + 1, parts);
    if (!g->training) {
        for (int64_t c = from; c < to; ++c) {
            shift[c] = mean[c];
            rest[c] = 0;
            inv[c] = 1 / F(sqrt_)(variance[c] + (real)g->eps);
        }
    } else {
        if (inner == 1)
            for (int64_t c = from; c < to; c += STRIP)
                F(column_moments)(g, c, min64(STRIP, to - c), shift + c, rest + c, inv + c);
        else
            for (int64_t c = from; c < to; ++c)
                F(moments)(x + c * inner, g->rows, stride, inner, shift + c, rest + c, inv + c);
        F(follow)(g, from, to, shift, rest, inv);
    }
    if (inner == 1) {
        for (int64_t i = 0; i < g->rows; ++i) {
            const real *xs = x + i * channels;
            real *ys = y + i * channels;
            ELEMENTWISE for (int64_t c = from; c < to; ++c)
                ys[c] = F(fma_)((xs[c] - shift[c] - rest[c]) * inv[c], w[c], b[c]);
        }
    } else {
        for (int64_t c = from; c < to; ++c)
            for (int64_t i = 0; i < g->rows; ++i)
                F(normalise_run)(x + i * stride + c * inner, y + i * stride + c * inner, inner, shift[c], rest[c],
                                 inv[c], w[c], b[c]);
    }
}

/* dx = w·inv·(dy − db/N − x̂·dw/N) = scale·((dy − lost) − x̂·turn), over dy. */
static void F(batchnorm_backward_part)(const void *job, int part, int parts)
{
    const fastnn_norm *g = job;
    const real *x = g->x, *w = g->w, *shift = g->saved, *rest = shift + g->channels, *inv = rest + g->channels;
    real *dy = g->dy, *dw = g->dw, *db = g->db;
    const int64_t channels = g->channels, inner = g->inner, stride = channels * inner;
    const real count = (real)(g->rows * inner);
    const int64_t from = F(channel_cut)(g, part, parts), to = F(channel_cut)(g, part + 1, parts);
    if (inner == 1) {
        for (int64_t c = from; c < to; ++c) dw[c] = db[c] = 0;
        for (int64_t i = 0; i < g->rows; ++i) {
            const real *xs = x + i * channels, *ds = dy + i * channels;
            ELEMENTWISE for (int64_t c = from; c < to; ++c) {
                db[c] += ds[c];
                dw[c] = F(fma_)(ds[c], (xs[c] - shift[c] - rest[c]) * inv[c], dw[c]);
            }
        }
        for (int64_t i = 0; i < g->rows; ++i) {
            const real *xs = x + i * channels;
            real *ds = dy + i * channels;
            ELEMENTWISE for (int64_t c = from; c < to; ++c) {
                const real normal = (xs[c] - shift[c] - rest[c]) * inv[c];
                ds[c] = w[c] * inv[c] * F(fma_)(-normal, dw[c] / count, ds[c] - db[c] / count);
            }
        }
    } else {
        for (int64_t c = from; c < to; ++c) {
            const real origin = shift[c], mean = rest[c], root = inv[c];
            F(channel_sums)(x + c * inner, dy + c * inner, g->rows, stride, inner, origin, mean, root,
                            db + c, dw + c);
            const real lost = db[c] / count, turn = dw[c] / count, scale = w[c] * root;
            for (int64_t i = 0; i < g->rows; ++i) {
                const real *xs = x + i * stride + c * inner;
                real *ds = dy + i * stride + c * inner;
                ELEMENTWISE for (int64_t j = 0; j < inner; ++j)
                    ds[j] = scale * F(fma_)(-((xs[j] - origin - mean) * root), turn, ds[j] - lost);
            }
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
    for (int64_t i = cut(g->rows, part, parts); i < cut(g->rows, part + 1, parts); ++i) {
        const real *xs = x + i * n;
        real *ys = y + i * n;
        F(moments)(xs, 1, n, n, shift + i, rest + i, inv + i);
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
    const int64_t from = cut(lines, part, parts) * LANES, to = min64(cut(lines, part + 1, parts) * LANES, n);
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
    for (int64_t i = cut(g->rows, part, parts); i < cut(g->rows, part + 1, parts); ++i) {
        const real *xs = x + i * n;
        real *ds = dy + i * n;
        const real origin = shift[i], mean = rest[i], root = inv[i];
        real sum, dot;
        ELEMENTWISE for (int64_t j = 0; j < n; ++j) ds[j] *= w[j];
        F(channel_sums)(xs, ds, 1, n, n, origin, mean, root, &sum, &dot);
        const real lost = sum / (real)n, turn = dot / (real)n;
        ELEMENTWISE for (int64_t j = 0; j < n; ++j)
            ds[j] = root * F(fma_)(-((xs[j] - origin - mean) * root), turn, ds[j] - lost);
    }
}

static void F(batchnorm)(const fastnn_norm *g) { F(share_channels)(F(batchnorm_part), g); }
static void F(batchnorm_backward)(const fastnn_norm *g) { F(share_channels)(F(batchnorm_backward_part), g); }

static void F(layernorm)(const fastnn_norm *g)
{
    run(F(layernorm_part), g, parts_of(g->threads, g->rows, g->rows * g->inner, PARALLEL_ELEMENTS));
}

static void F(layernorm_backward)(const fastnn_norm *g)
{
    const int64_t values = g->rows * g->inner;
    run(F(layernorm_sums_part), g, parts_of(g->threads, ceil_div(g->inner, LANES), values, PARALLEL_ELEMENTS));
    run(F(layernorm_dx_part), g, parts_of(g->threads, g->rows, values, PARALLEL_ELEMENTS));
}

/* PReLU: y = x where x > 0, else a·x, with a slope a for each channel of x (rows, channels, inner).

   Twin: fastnn_ref/prelu.py. A *group* is what has the values of a channel side by side: an interleaved block of
   images (transpose.inc.c), or a row. */

static inline int64_t F(prelu_blocks)(const fastnn_prelu *g)
{
    return g->interleaved ? F(interleaved_blocks)(g->rows) : 0;
}

static inline int64_t F(prelu_groups)(const fastnn_prelu *g)
{
    return g->rows - F(prelu_blocks)(g) * (LANES - 1);
}

/* Where group i begins; *n becomes the number of values of each of its channels. */
static inline int64_t F(prelu_group)(const fastnn_prelu *g, int64_t i, int64_t *n)
{
    const int64_t blocks = F(prelu_blocks)(g);
    *n = i < blocks ? g->inner * LANES : g->inner;
    return g->channels * g->inner * (i < blocks ? i * LANES : i + blocks * (LANES - 1));
}

/* to = by where x > 0, else a·by, for this part of the groups: by = x makes y, and by = dy makes dx. */
static void F(prelu_values)(const fastnn_prelu *g, const real *by, real *to, int part, int parts)
{
    const real *a = g->a;
    const int64_t groups = F(prelu_groups)(g), channels = g->channels;
    for (int64_t i = part_begin(groups, part, parts), n; i < part_begin(groups, part + 1, parts); ++i) {
        const int64_t first = F(prelu_group)(g, i, &n);
        const real *x = (const real *)g->x + first, *from = by + first;
        real *out = to + first;
        if (n == 1) {
            ELEMENTWISE for (int64_t c = 0; c < channels; ++c) out[c] = x[c] > 0 ? from[c] : a[c] * from[c];
        } else {
            for (int64_t c = 0; c < channels; ++c) {
                const real slope = a[c];
                ELEMENTWISE for (int64_t j = c * n; j < c * n + n; ++j) out[j] = x[j] > 0 ? from[j] : slope * from[j];
            }
        }
    }
}

static void F(prelu_part)(const void *job, int part, int parts)
{
    const fastnn_prelu *g = job;
    F(prelu_values)(g, g->x, g->y, part, parts);
}

static void F(prelu_dx_part)(const void *job, int part, int parts)
{
    const fastnn_prelu *g = job;
    F(prelu_values)(g, g->dy, g->dy, part, parts);
}

/* Σ dy·x over the x <= 0 of n values. A select replaces the product with 0, because ∞·0 is NaN. */
static real F(prelu_sum)(const real *x, const real *dy, int64_t n)
{
    real terms[512], total = 0;
    for (int64_t i = 0, some; i < n; i += some) {
        some = min64(512, n - i);
        ELEMENTWISE for (int64_t j = 0; j < some; ++j) terms[j] = x[i + j] > 0 ? 0 : x[i + j] * dy[i + j];
        total += F(sum)(terms, some);
    }
    return total;
}

/* Threads split the channels; those that stand side by side only at the borders of cache lines. */
static inline int64_t F(prelu_unit)(const fastnn_prelu *g) { return g->inner == 1 ? LANES : 1; }

/* Adds to da of channels from … to − 1, of one value each. */
static void F(prelu_sums_of_rows)(const fastnn_prelu *g, int64_t from, int64_t to)
{
    real sums[SUM_COLUMNS], *da = g->da;
    for (int64_t first = from, n; first < to; first += n) {
        n = min64(SUM_COLUMNS, to - first);
        for (int64_t row = 0; row < g->rows; row += BLOCK_ROWS) {
            for (int64_t c = 0; c < n; ++c) sums[c] = 0;
            for (int64_t i = row; i < min64(row + BLOCK_ROWS, g->rows); ++i) {
                const int64_t at = i * g->channels + first;
                const real *x = (const real *)g->x + at, *dy = (const real *)g->dy + at;
                ELEMENTWISE for (int64_t c = 0; c < n; ++c)
                    sums[c] = x[c] > 0 ? sums[c] : F(fma_)(x[c], dy[c], sums[c]);
            }
            for (int64_t c = 0; c < n; ++c) da[first + c] += sums[c];
        }
    }
}

static void F(prelu_sums_part)(const void *job, int part, int parts)
{
    const fastnn_prelu *g = job;
    real *da = g->da;
    const int64_t channels = g->channels, unit = F(prelu_unit)(g), units = ceil_div(channels, unit);
    const int64_t from = part_begin(units, part, parts) * unit;
    const int64_t to = min64(part_begin(units, part + 1, parts) * unit, channels);
    if (channels == 1) {
        if (from < to) da[0] = F(prelu_sum)(g->x, g->dy, g->rows * g->inner);
        return;
    }
    for (int64_t c = from; c < to; ++c) da[c] = 0;
    if (g->inner == 1 && !g->interleaved) {
        F(prelu_sums_of_rows)(g, from, to);
        return;
    }
    for (int64_t i = 0, n; i < F(prelu_groups)(g); ++i) {
        const int64_t first = F(prelu_group)(g, i, &n);
        const real *x = (const real *)g->x + first, *dy = (const real *)g->dy + first;
        for (int64_t c = from; c < to; ++c) da[c] += F(prelu_sum)(x + c * n, dy + c * n, n);
    }
}

static void F(prelu)(const fastnn_prelu *g)
{
    const int64_t values = g->rows * g->channels * g->inner;
    run_parts(F(prelu_part), g, part_count(g->threads, F(prelu_groups)(g), values, PARALLEL_ELEMENTS));
}

static void F(prelu_backward)(const fastnn_prelu *g)
{
    const int64_t values = g->rows * g->channels * g->inner, units = ceil_div(g->channels, F(prelu_unit)(g));
    run_parts(F(prelu_sums_part), g, part_count(g->threads, units, values, PARALLEL_ELEMENTS));
    run_parts(F(prelu_dx_part), g, part_count(g->threads, F(prelu_groups)(g), values, PARALLEL_ELEMENTS));
}

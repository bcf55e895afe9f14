/* Random masks: y = x·m/(1 − p). m is drawn from Philox by an integer threshold, so that it is the same in every dtype.

   Reference: fastnn_ref/dropout.py. The mask is never stored: backward draws the same words again. */

/* n elements, the first of which is element `first` of the mask's stream; y may be x. */
static void F(mask_range)(const real *x, real *y, int64_t first, int64_t n, uint64_t threshold, real scale,
                          const fastnn_stream *s)
{
    if (threshold >> 32) {                              /* p = 1: every word is below */
        for (int64_t i = 0; i < n; ++i) y[i] = 0;
        return;
    }
    const uint32_t below = (uint32_t)threshold;
    for (int64_t i = 0; i < n;) {
        uint32_t words[64];
        const int64_t skip = (first + i) % 64, count = min64(64 - skip, n - i);
        philox_line(words, (uint64_t)((first + i) / 64), s);
        if (count == 64) {
            ELEMENTWISE for (int j = 0; j < 64; ++j) y[i + j] = words[j] < below ? 0 : x[i + j] * scale;
        } else {
            for (int64_t j = 0; j < count; ++j) y[i + j] = words[skip + j] < below ? 0 : x[i + j] * scale;
        }
        i += count;
    }
}

#undef PARALLEL_WORDS
#define PARALLEL_WORDS 16384                            /* a word takes about a nanosecond */

typedef struct {
    const real *x;
    real *y;
    int64_t n;
    uint64_t threshold;
    real scale;
    const fastnn_stream *stream;
} F(dropout_t);

static void F(dropout_part)(const void *job, int part, int parts)
{
    const F(dropout_t) *g = job;
    const int64_t lines = ceil_div(g->n, 64);
    const int64_t from = part_begin(lines, part, parts) * 64, to = min64(part_begin(lines, part + 1, parts) * 64, g->n);
    F(mask_range)(g->x + from, g->y + from, from, to - from, g->threshold, g->scale, g->stream);
}

static void F(dropout)(const void *x, void *y, int64_t n, uint64_t threshold, double scale, const fastnn_stream *s,
                       int threads)
{
    const F(dropout_t) job = {x, y, n, threshold, (real)scale, s};
    run_parts(F(dropout_part), &job, part_count(threads, ceil_div(n, 64), n, PARALLEL_WORDS));
}

/* Whether a row stays: whether its word is at or above the threshold. */
static inline int F(row_stays)(int64_t row, uint64_t threshold, const fastnn_stream *s)
{
    uint32_t words[4];
    philox(words, (uint64_t)(row / 4), s);
    return words[row % 4] >= threshold;
}

static void F(mask_rows)(void *x_, int64_t rows, int64_t cols, uint64_t threshold, double scale, const fastnn_stream *s)
{
    real *x = x_;
    for (int64_t i = 0; i < rows; ++i) {
        real *row = x + i * cols;
        if (F(row_stays)(i, threshold, s)) for (int64_t j = 0; j < cols; ++j) row[j] *= (real)scale;
        else for (int64_t j = 0; j < cols; ++j) row[j] = 0;
    }
}

static void F(residual)(const void *x_, const void *z_, void *y_, int64_t rows, int64_t cols, uint64_t threshold,
                        double scale_, const fastnn_stream *s)
{
    const real *x = x_, *z = z_, scale = (real)scale_;
    real *y = y_;
    for (int64_t i = 0; i < rows; ++i) {
        const real *xs = x + i * cols, *zs = z + i * cols;
        real *ys = y + i * cols;
        if (!threshold || F(row_stays)(i, threshold, s))
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) ys[j] = F(fma_)(zs[j], scale, xs[j]);
        else
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) ys[j] = xs[j];
    }
}

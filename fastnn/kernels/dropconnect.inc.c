/* A product whose weights have a new mask for each example, and its expectation.

   Reference: fastnn_ref/dropconnect.py. Weight (k, j) of example i is element (i·inside + k)·outside + j of the mask's
   stream. */

#undef CHUNK
#define CHUNK 2048                                      /* masked weights at a time, on the stack */

/* Runs the body for chunks of the weights in rows `from` … `to` − 1. A chunk is rows k … k + rows − 1 and columns
   j … j + cols − 1: some whole rows, or a part of one row. */
#undef FOR_CHUNKS
#define FOR_CHUNKS(from, to, width) \
    for (int64_t k = (from), rows = (width) > CHUNK ? 1 : CHUNK / (width), j, cols; k < (to); k += rows) \
        for (rows = min64(rows, (to) - k), j = 0; j < (width); j += cols) \
            if ((cols = min64(CHUNK, (width) - j)), 1)

/* u = x @ (W∘m)·scale + b; each value is one chain, in the order of the weights' rows. Threads split the examples. */
static void F(dropconnect_part)(const void *job, int part, int parts)
{
    const fastnn_dropconnect *g = job;
    const real *x = g->x, *w = g->w, *b = g->b;
    real *u = g->u;
    const int64_t inside = g->inside, outside = g->outside;
    for (int64_t i = part_begin(g->rows, part, parts); i < part_begin(g->rows, part + 1, parts); ++i) {
        real *to = u + i * outside;
        for (int64_t c = 0; c < outside; ++c) to[c] = b ? b[c] : 0;
        FOR_CHUNKS(0, inside, outside) {
            real masked[CHUNK];
            F(mask_range)(w + k * outside + j, masked, (i * inside + k) * outside + j, rows * cols, g->threshold,
                          (real)g->scale, &g->stream);
            for (int64_t r = 0; r < rows; ++r) {
                const real value = x[i * inside + k + r];
                for (int64_t c = 0; c < cols; ++c) to[j + c] = F(fma_)(value, masked[r * cols + c], to[j + c]);
            }
        }
    }
}

/* Words first … first + n − 1 of the stream, n <= CHUNK. `words` has room for all their lines of 64 words. */
static const uint32_t *F(draw_words)(uint32_t *words, int64_t first, int64_t n, const fastnn_stream *s)
{
    for (int64_t line = first / 64, i = 0; line * 64 < first + n; ++line, i += 64)
        philox_line(words + i, (uint64_t)line, s);
    return words + first % 64;
}

/* dw += value·du for those of n weights whose word is not below; returns Σ w·du over the same weights. */
static real F(masked_gradient_range)(const uint32_t *words, uint32_t below, real value, const real *w, const real *du,
                                     real *dw, int64_t n)
{
    real masked[CHUNK];
    ELEMENTWISE for (int64_t c = 0; c < n; ++c) {
        const real sum = F(fma_)(value, du[c], dw[c]), weight = w[c];
        dw[c] = words[c] < below ? dw[c] : sum;
        masked[c] = words[c] < below ? 0 : weight;
    }
    return F(dot)(masked, du, n);
}

/* dW = Σ_i (x_i ⊗ du_i)∘m_i·scale and dx_i = (W∘m_i)·scale @ du_i, with one draw of the masks for both. Threads split
   the rows of W. */
static void F(dropconnect_backward_part)(const void *job, int part, int parts)
{
    const fastnn_dropconnect *g = job;
    const real *x = g->x, *w = g->w, *du = g->du, scale = (real)g->scale;
    real *dw = g->dw, *dx = g->dx;
    const int64_t inside = g->inside, outside = g->outside;
    const int64_t from = part_begin(inside, part, parts), to = part_begin(inside, part + 1, parts);
    const int none = g->threshold >> 32 != 0;           /* p = 1: all words count as 0, which is below 1 */
    const uint32_t below = none ? 1 : (uint32_t)g->threshold;
    for (int64_t at = from * outside; at < to * outside; ++at) dw[at] = 0;
    for (int64_t i = 0; i < g->rows; ++i) {
        if (dx) for (int64_t k = from; k < to; ++k) dx[i * inside + k] = 0;
        FOR_CHUNKS(from, to, outside) {
            uint32_t drawn[CHUNK + 128];
            const int64_t first = (i * inside + k) * outside + j;
            const uint32_t *words = none ? memset(drawn, 0, sizeof drawn)
                : F(draw_words)(drawn, first, rows * cols, &g->stream);
            for (int64_t r = 0; r < rows; ++r) {
                const int64_t at = (k + r) * outside + j, example = i * inside + k + r;
                const real sum = F(masked_gradient_range)(words + r * cols, below, x[example] * scale, w + at,
                                                          du + i * outside + j, dw + at, cols);
                if (dx) dx[example] += sum * scale;
            }
        }
    }
}

/* The masks take most of the time: one word for each weight of each example. */
static void F(run_over_masks)(fastnn_part part, const fastnn_dropconnect *g, int64_t units)
{
    run_parts(part, g, part_count(g->threads, units, g->rows * g->inside * g->outside, PARALLEL_WORDS));
}

static void F(dropconnect)(const fastnn_dropconnect *g) { F(run_over_masks)(F(dropconnect_part), g, g->rows); }

static void F(dropconnect_backward)(const fastnn_dropconnect *g)
{
    F(run_over_masks)(F(dropconnect_backward_part), g, g->inside);
}

static void F(square)(const void *x_, void *y_, int64_t n, double factor_)
{
    const real *x = x_, factor = (real)factor_;
    real *y = y_;
    ELEMENTWISE for (int64_t i = 0; i < n; ++i) y[i] = factor * (x[i] * x[i]);
}

static void F(add_product)(const void *a_, const void *b_, void *y_, int64_t n, double factor_)
{
    const real *a = a_, *b = b_, factor = (real)factor_;
    real *y = y_;
    ELEMENTWISE for (int64_t i = 0; i < n; ++i) y[i] = F(fma_)(factor * a[i], b[i], y[i]);
}

/* E[act(u)] for u ~ N(mean, variance): a closed form for relu, else the mean over the rows of z. A row of `variance` is
   overwritten by σ; backward, by its gradient, dσ / 2σ, and y, which holds dy, by that of the mean. */
typedef struct {
    int activation;
    real alpha;
    const real *mean, *z;
    real *variance, *y, *work;                          /* work: 4·cols values a part */
    int64_t samples, rows, cols;
} F(expectation_t);

static void F(expectation_part)(const void *job, int part, int parts)
{
    const F(expectation_t) *g = job;
    const real *mean = g->mean, *z = g->z;
    real *variance = g->variance, *y = g->y;
    const int64_t cols = g->cols, samples = g->samples;
    real *u = g->work + part * 4 * cols;
    for (int64_t i = part_begin(g->rows, part, parts); i < part_begin(g->rows, part + 1, parts); ++i) {
        const real *means = mean + i * cols;
        real *sigma = variance + i * cols, *to = y + i * cols;
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) sigma[j] = F(sqrt_)(sigma[j]);
        if (g->activation == RELU) {
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) {
                const real m = means[j], t = sigma[j] > 0 ? m / sigma[j] : 0;
                to[j] = sigma[j] > 0 ? F(fma_)(m, F(normal_cdf)(t), sigma[j] * F(normal_pdf)(t)) : m < 0 ? 0 : m;
            }
            continue;
        }
        for (int64_t j = 0; j < cols; ++j) to[j] = 0;
        for (int64_t s = 0; s < samples; ++s) {
            const real *draw = z + s * cols;
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) u[j] = F(fma_)(sigma[j], draw[j], means[j]);
            if (activation_is_elementwise(g->activation)) F(activate_range)(g->activation, g->alpha, u, u, u, cols);
            else F(softmax_row)(g->activation, u, u, cols);
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) to[j] += u[j];
        }
        for (int64_t j = 0; j < cols; ++j) to[j] /= (real)samples;
    }
}

static void F(expectation_backward_part)(const void *job, int part, int parts)
{
    const F(expectation_t) *g = job;
    const int64_t cols = g->cols, samples = g->samples;
    real *u = g->work + part * 4 * cols, *du = u + cols, *dmean = u + 2 * cols, *dsigma = u + 3 * cols;
    for (int64_t i = part_begin(g->rows, part, parts); i < part_begin(g->rows, part + 1, parts); ++i) {
        const real *means = g->mean + i * cols;
        real *sigma = g->variance + i * cols, *dy = g->y + i * cols;
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) sigma[j] = F(sqrt_)(sigma[j]);
        if (g->activation == RELU) {
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) {
                const real m = means[j], d = dy[j], t = sigma[j] > 0 ? m / sigma[j] : 0;
                dy[j] = d * (sigma[j] > 0 ? F(normal_cdf)(t) : m > 0 ? 1 : 0);
                sigma[j] = sigma[j] > 0 ? d * F(normal_pdf)(t) / (2 * sigma[j]) : 0;
            }
            continue;
        }
        for (int64_t j = 0; j < cols; ++j) dmean[j] = dsigma[j] = 0;
        for (int64_t s = 0; s < samples; ++s) {
            const real *draw = g->z + s * cols;
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) u[j] = F(fma_)(sigma[j], draw[j], means[j]);
            if (activation_is_elementwise(g->activation)) {
                F(activate_range)(g->activation, g->alpha, u, u, du, cols);
                F(activate_backward_range)(g->activation, g->alpha, activation_saves_slope(g->activation) ? du : u, dy,
                                           du, cols);
            } else {
                F(softmax_row)(g->activation, u, u, cols);
                F(softmax_row_backward)(g->activation, u, dy, du, cols);
            }
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) {
                dmean[j] += du[j];
                dsigma[j] = F(fma_)(du[j], draw[j], dsigma[j]);
            }
        }
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) {
            dy[j] = dmean[j] / (real)samples;
            sigma[j] = sigma[j] > 0 ? dsigma[j] / (real)samples / (2 * sigma[j]) : 0;
        }
    }
}

static void F(run_over_draws)(fastnn_part part, const F(expectation_t) *g, int threads)
{
    const int64_t each = g->activation == RELU ? 1 : g->samples;
    run_parts(part, g, part_count(threads, g->rows, g->rows * g->cols * each, PARALLEL_ELEMENTS));
}

static void F(expectation)(int activation, double alpha, const void *mean, void *variance, const void *z,
                           int64_t samples, void *y, void *work, int64_t rows, int64_t cols, int threads)
{
    const F(expectation_t) job = {activation, (real)alpha, mean, z, variance, y, work, samples, rows, cols};
    F(run_over_draws)(F(expectation_part), &job, threads);
}

static void F(expectation_backward)(int activation, double alpha, const void *mean, void *variance, const void *z,
                                    int64_t samples, void *dy, void *work, int64_t rows, int64_t cols, int threads)
{
    const F(expectation_t) job = {activation, (real)alpha, mean, z, variance, dy, work, samples, rows, cols};
    F(run_over_draws)(F(expectation_backward_part), &job, threads);
}

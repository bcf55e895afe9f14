/* A product whose weights are masked anew for each example, and what it is on average.

   Twin: fastnn_ref/dropconnect.py. Weight (k, j) of example i is element (i·inside + k)·outside + j of the mask's stream. */

#undef CHUNK
#define CHUNK 2048                                      /* masked weights at a time, on the stack */

/* Calls the body for chunks of weights from row `from` to row `to`: rows k … k + rows − 1, columns j … j + cols − 1; one
   of a whole number of rows, or a part of a single one. */
#undef FOR_CHUNKS
#define FOR_CHUNKS(from, to, width) \
    for (int64_t k = (from), rows = (width) > CHUNK ? 1 : CHUNK / (width), j, cols; k < (to); k += rows) \
        for (rows = min64(rows, (to) - k), j = 0; j < (width); j += cols) \
            if ((cols = min64(CHUNK, (width) - j)), 1)

/* u = x @ (W∘m)·scale + b, one chain a value, in the order of the weights' rows. Threads split the examples. */
static void F(dropconnect_part)(const void *job, int part, int parts)
{
    const fastnn_dropconnect *g = job;
    const real *x = g->x, *w = g->w, *b = g->b;
    real *u = g->u;
    const int64_t inside = g->inside, outside = g->outside;
    for (int64_t i = cut(g->rows, part, parts); i < cut(g->rows, part + 1, parts); ++i) {
        real *to = u + i * outside;
        for (int64_t c = 0; c < outside; ++c) to[c] = b ? b[c] : 0;
        FOR_CHUNKS(0, inside, outside) {
            real masked[CHUNK];
            F(mask_run)(w + k * outside + j, masked, (i * inside + k) * outside + j, rows * cols, g->threshold,
                        (real)g->scale, &g->stream);
            for (int64_t r = 0; r < rows; ++r) {
                const real value = x[i * inside + k + r];
                for (int64_t c = 0; c < cols; ++c) to[j + c] = F(fma_)(value, masked[r * cols + c], to[j + c]);
            }
        }
    }
}

/* dW = Σ_i (x_i ⊗ du_i)∘m_i·scale and dx_i = (W∘m_i)·scale @ du_i, one draw for both. Threads split the rows of W. */
static void F(dropconnect_backward_part)(const void *job, int part, int parts)
{
    const fastnn_dropconnect *g = job;
    const real *x = g->x, *w = g->w, *du = g->du, scale = (real)g->scale;
    real *dw = g->dw, *dx = g->dx;
    const int64_t inside = g->inside, outside = g->outside;
    const int64_t from = cut(inside, part, parts), to = cut(inside, part + 1, parts);
    for (int64_t at = from * outside; at < to * outside; ++at) dw[at] = 0;
    for (int64_t i = 0; i < g->rows; ++i) {
        if (dx) for (int64_t k = from; k < to; ++k) dx[i * inside + k] = 0;
        FOR_CHUNKS(from, to, outside) {
            real keep[CHUNK], masked[CHUNK];
            for (int64_t e = 0; e < rows * cols; ++e) keep[e] = 1;
            F(mask_run)(keep, keep, (i * inside + k) * outside + j, rows * cols, g->threshold, scale, &g->stream);
            for (int64_t r = 0; r < rows; ++r) {
                const real value = x[i * inside + k + r], *ds = du + i * outside + j, *ms = keep + r * cols;
                const real *ws = w + (k + r) * outside + j;
                real *to_w = dw + (k + r) * outside + j;
                ELEMENTWISE for (int64_t c = 0; c < cols; ++c)
                    to_w[c] += ms[c] != 0 ? value * ds[c] * ms[c] : 0;
                if (!dx) continue;
                ELEMENTWISE for (int64_t c = 0; c < cols; ++c) masked[c] = ms[c] != 0 ? ws[c] * ms[c] : 0;
                dx[i * inside + k + r] += F(dot)(masked, ds, cols);
            }
        }
    }
}

/* Masks are what takes the time: one word for each weight of each example. */
static void F(share_masks)(fastnn_part part, const fastnn_dropconnect *g, int64_t units)
{
    run(part, g, parts_of(g->threads, units, g->rows * g->inside * g->outside, PARALLEL_WORDS));
}

static void F(dropconnect)(const fastnn_dropconnect *g) { F(share_masks)(F(dropconnect_part), g, g->rows); }

static void F(dropconnect_backward)(const fastnn_dropconnect *g)
{
    F(share_masks)(F(dropconnect_backward_part), g, g->inside);
}

static void F(square)(const void *x_, void *y_, int64_t n, double factor_)
{
    const real *x = x_, factor = (real)factor_;
    real *y = y_;
    ELEMENTWISE for (int64_t i = 0; i < n; ++i) y[i] = factor * (x[i] * x[i]);
}

/* E[act(u)], u ~ N(mean, variance): closed for relu, else the mean over the rows of z. A row of `variance` becomes σ. */
typedef struct {
    int activation;
    real alpha;
    const real *mean, *z;
    real *variance, *y, *work;
    int64_t samples, rows, cols;
} F(expectation_t);

static void F(expectation_part)(const void *job, int part, int parts)
{
    const F(expectation_t) *g = job;
    const real *mean = g->mean, *z = g->z;
    real *variance = g->variance, *y = g->y;
    const int64_t cols = g->cols, samples = g->samples;
    real *u = g->work + part * cols;
    for (int64_t i = cut(g->rows, part, parts); i < cut(g->rows, part + 1, parts); ++i) {
        const real *middle = mean + i * cols;
        real *sigma = variance + i * cols, *to = y + i * cols;
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) sigma[j] = F(sqrt_)(sigma[j]);
        if (g->activation == RELU) {
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) {
                const real m = middle[j], t = sigma[j] > 0 ? m / sigma[j] : 0;
                to[j] = sigma[j] > 0 ? F(fma_)(m, F(phi_)(t), sigma[j] * F(gauss_)(t)) : m < 0 ? 0 : m;
            }
            continue;
        }
        for (int64_t j = 0; j < cols; ++j) to[j] = 0;
        for (int64_t s = 0; s < samples; ++s) {
            const real *draw = z + s * cols;
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) u[j] = F(fma_)(sigma[j], draw[j], middle[j]);
            if (g->activation < SOFTMAX) F(activate_run)(g->activation, g->alpha, u, u, cols);
            else F(softmax_row)(g->activation, u, u, cols);
            ELEMENTWISE for (int64_t j = 0; j < cols; ++j) to[j] += u[j];
        }
        for (int64_t j = 0; j < cols; ++j) to[j] /= (real)samples;
    }
}

static void F(expectation)(int activation, double alpha, const void *mean, void *variance, const void *z, int64_t samples,
                           void *y, void *work, int64_t rows, int64_t cols, int threads)
{
    const F(expectation_t) job = {activation, (real)alpha, mean, z, variance, y, work, samples, rows, cols};
    const int64_t each = activation == RELU ? 1 : samples;
    run(F(expectation_part), &job, parts_of(threads, rows, rows * cols * each, PARALLEL_ELEMENTS));
}

/* Activations and their derivatives, one line a formula.

   Twin: fastnn_ref/activation.py. u is the pre-activation, y the activation, s what backward was given (u or y, see
   kernels.h), g the gradient that comes in. A select, never a product with 0 or 1: ∞·0 must not make a NaN. */

#undef EACH_ELEMENTWISE
#define EACH_ELEMENTWISE(X) \
    /*  name         y =                                             du = */ \
    X(IDENTITY,    u,                                              g) \
    X(RELU,        u < 0 ? 0 : u,                                  s > 0 ? g : 0) \
    X(LEAKY_RELU,  u > 0 ? u : a * u,                              s > 0 ? g : a * g) \
    X(ELU,         u > 0 ? u : a * F(expm1_)(u),                   s > 0 ? g : g * (s + a)) \
    X(SILU,        u * F(sigmoid_)(u),                             g * F(silu_slope)(s)) \
    X(GELU,        u * F(phi_)(u),                                 g * (F(phi_)(s) + s * F(gauss_)(s))) \
    X(GELU_TANH,   (real)0.5 * u * (1 + F(gelu_tanh)(u)),          g * F(gelu_tanh_slope)(s)) \
    X(SOFTPLUS,    (u > 0 ? u : 0) + F(log1p_)(F(exp_)(u > 0 ? -u : u)), -g * F(expm1_)(-s)) \
    X(TANH,        F(tanh_)(u),                                    g * (1 - s * s)) \
    X(SIGMOID,     F(sigmoid_)(u),                                 g * (s * (1 - s)))

/* σ(u)·(1 + u·(1 − σ(u))) */
static inline real F(silu_slope)(real u)
{
    real y = F(sigmoid_)(u);
    return y * (1 + u * (1 - y));
}

/* GELU's approximation (Hendrycks and Gimpel 2016): Φ(u) ≈ ½(1 + tanh(√(2/π)·(u + 0.044715·u³))). */
static inline real F(gelu_tanh)(real u)
{
    return F(tanh_)((real)0.7978845608028654 * (u + (real)0.044715 * u * u * u));
}

static inline real F(gelu_tanh_slope)(real u)
{
    real y = F(gelu_tanh)(u);
    real inner = (real)0.7978845608028654 * (1 + (real)(3 * 0.044715) * u * u);
    return (real)0.5 * (1 + y) + (real)0.5 * u * (1 - y * y) * inner;
}

/* A run of n elements. The compiler makes a vector loop of each case. */
static void F(activate_run)(int activation, real a, const real *x, real *y, int64_t n)
{
    switch (activation) {
#define FORWARD(NAME, formula, slope) \
    case NAME: \
        ELEMENTWISE for (int64_t i = 0; i < n; ++i) { const real u = x[i]; y[i] = formula; } \
        break;
    EACH_ELEMENTWISE(FORWARD)
#undef FORWARD
    }
    (void)a;
}

static void F(slope_run)(int activation, real a, const real *saved, const real *dy, real *du, int64_t n)
{
    switch (activation) {
#define BACKWARD(NAME, formula, slope) \
    case NAME: \
        ELEMENTWISE for (int64_t i = 0; i < n; ++i) { const real s = saved[i], g = dy[i]; du[i] = slope; (void)s; } \
        break;
    EACH_ELEMENTWISE(BACKWARD)
#undef BACKWARD
    }
    (void)a;
}

/* y = exp(u − max) / Σ exp(u − max), or its logarithm, for one row. */
static void F(softmax_row)(int activation, const real *u, real *y, int64_t cols)
{
    const real top = F(maximum)(u, cols);
    if (activation == LOG_SOFTMAX) {
        real lane[LANES] = {0};
        int64_t i = 0;
        for (; i + LANES <= cols; i += LANES)
            for (int l = 0; l < LANES; ++l) lane[l] += F(exp_)(u[i + l] - top);
        for (int l = 0; i + l < cols; ++l) lane[l] += F(exp_)(u[i + l] - top);
        const real log_sum = (real)log((double)F(tree)(lane));
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) y[j] = u[j] - top - log_sum;
    } else {
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) y[j] = F(exp_)(u[j] - top);
        const real scale = 1 / F(sum)(y, cols);
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) y[j] *= scale;
    }
}

/* softmax: du = y·(g − Σ g·y);  log-softmax: du = g − exp(y)·Σ g. */
static void F(softmax_row_backward)(int activation, const real *y, const real *dy, real *du, int64_t cols)
{
    if (activation == LOG_SOFTMAX) {
        const real total = F(sum)(dy, cols);
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) du[j] = dy[j] - F(exp_)(y[j]) * total;
    } else {
        const real total = F(dot)(dy, y, cols);
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) du[j] = y[j] * (dy[j] - total);
    }
}

/* Below this many elements a second thread costs more than it saves: a parallel region takes about 1 µs to start. */
#undef PARALLEL_ELEMENTS
#define PARALLEL_ELEMENTS 32768

static void F(activate)(int activation, double alpha, const void *u_, void *y_, int64_t rows, int64_t cols,
                        int threads)
{
    const real *u = u_;
    real *y = y_;
    const int parts = (int)min64(threads, 1 + rows * cols / PARALLEL_ELEMENTS);
    FOR_PARTS(part, parts) {
        const int64_t from = rows * part / parts, to = rows * (part + 1) / parts;
        if (activation < SOFTMAX)
            F(activate_run)(activation, (real)alpha, u + from * cols, y + from * cols, (to - from) * cols);
        else
            for (int64_t i = from; i < to; ++i) F(softmax_row)(activation, u + i * cols, y + i * cols, cols);
    }
}

/* Threads split the columns, so that each column sum stays one chain in row order. A part walks down its columns
   in blocks that keep dy, saved and db in the first-level cache. */
static void F(activate_backward)(int activation, double alpha, const void *saved_, const void *dy_, void *du_,
                                 void *db_, int64_t rows, int64_t cols, int threads)
{
    const real *saved = saved_, *dy = dy_;
    real *du = du_, *db = db_;
    if (activation >= SOFTMAX) {
        const int parts = (int)min64(threads, 1 + rows * cols / PARALLEL_ELEMENTS);
        FOR_PARTS(part, parts)
            for (int64_t i = rows * part / parts; i < rows * (part + 1) / parts; ++i)
                F(softmax_row_backward)(activation, saved + i * cols, dy + i * cols, du + i * cols, cols);
        activation = IDENTITY;
        dy = du;
    }
    if (!db) {
        const int parts = (int)min64(threads, 1 + rows * cols / PARALLEL_ELEMENTS);
        FOR_PARTS(part, parts) {
            const int64_t from = rows * cols * part / parts, to = rows * cols * (part + 1) / parts;
            if (activation != IDENTITY || dy != du)
                F(slope_run)(activation, (real)alpha, saved + from, dy + from, du + from, to - from);
        }
        return;
    }
    const int64_t line = LANES;                         /* threads meet at a cache line, not inside it */
    const int64_t lines = ceil_div(cols, line);
    const int parts = (int)min64(min64(threads, lines), 1 + rows * cols / PARALLEL_ELEMENTS);
    FOR_PARTS(part, parts) {
        const int64_t from = lines * part / parts * line, to = min64(lines * (part + 1) / parts * line, cols);
        for (int64_t j = from; j < to; ++j) db[j] = 0;
        for (int64_t i = 0; i < rows; ++i) {
            const int64_t at = i * cols + from;
            if (activation != IDENTITY || dy != du)
                F(slope_run)(activation, (real)alpha, saved + at, dy + at, du + at, to - from);
            ELEMENTWISE for (int64_t j = from; j < to; ++j) db[j] += du[i * cols + j];
        }
    }
}

/* Mixup: out[i] = share·x[i] + (1 − share)·x[i + 1], the last row's next is the first. Twin: fastnn_ref/mixup.py. */
static void F(mix)(const void *x_, void *out_, int64_t rows, int64_t cols, double share)
{
    const real *x = x_, one = (real)share, other = (real)(1 - share);
    real *out = out_;
    for (int64_t i = 0; i < rows; ++i) {
        const real *row = x + i * cols, *next = x + (i + 1 < rows ? i + 1 : 0) * cols;
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) out[i * cols + j] = one * row[j] + other * next[j];
    }
}

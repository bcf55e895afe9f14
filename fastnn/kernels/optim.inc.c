/* Optimizers: one pass over flat arrays. Reference: fastnn_ref/optim.py; its formulas stand here in the same order.

   A new one is a part function with the formula, a function that fills update_t from fastnn_update, and a row of
   table.def. */

/* An update in `real`: what the formulas need, worked out once. */
typedef struct {
    real *w, *mean, *square, *third;        /* parameters, running mean (or momentum), mean of squares, one more */
    const real *g;
    int64_t n;
    real lr, lr_g, beta1, one_minus_beta1, beta2, one_minus_beta2, eps, decay, shrink, root, momentum, kept;
} F(update_t);

/* g + decay·w, and g alone without decay: 0·∞ would make NaN of an infinite weight that a finite gradient moves. */
static inline real F(decayed)(real g, real decay, real w) { return decay > 0 ? F(fma_)(decay, w, g) : g; }

/* Loops over this part of 0 … n − 1; parts meet at multiples of LANES. */
#undef FOR_EACH
#define FOR_EACH(i, n) \
    ELEMENTWISE for (int64_t i = part_begin((n) / LANES, part, parts) * LANES, \
                     end = part + 1 < parts ? part_begin((n) / LANES, part + 1, parts) * LANES : (n); i < end; ++i)

/* A second thread pays from so many parameters on, if no other thread's cache holds them. */
#undef PARALLEL_UPDATES
#define PARALLEL_UPDATES 98304

static void F(update)(fastnn_part part, const F(update_t) *job, int threads)
{
    run_parts(part, job, part_count(threads, job->n, job->n, PARALLEL_UPDATES));
}

static void F(sgd_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay;
    FOR_EACH(i, u->n) w[i] -= lr * F(decayed)(g[i], decay, w[i]);
}

static void F(momentum_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w, *restrict v = u->mean;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, momentum = u->momentum, kept = u->kept;
    FOR_EACH(i, u->n) {
        v[i] = F(fma_)(momentum, v[i], kept * F(decayed)(g[i], decay, w[i]));
        w[i] -= lr * v[i];
    }
}

static void F(nesterov_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w, *restrict v = u->mean;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, momentum = u->momentum;
    FOR_EACH(i, u->n) {
        const real gradient = F(decayed)(g[i], decay, w[i]);
        v[i] = F(fma_)(momentum, v[i], gradient);
        w[i] -= lr * F(fma_)(momentum, v[i], gradient);
    }
}

static void F(sgd)(const fastnn_update *u)
{
    const F(update_t) job = {
        .w = u->w, .g = u->g, .mean = u->mean, .n = u->n, .lr = (real)u->lr, .momentum = (real)u->momentum,
        .kept = (real)(u->step == 1 ? 1 : 1 - u->dampening), .decay = (real)u->decay,
    };
    F(update)(!u->mean ? F(sgd_part) : u->nesterov ? F(nesterov_part) : F(momentum_part), &job, u->threads);
}

static void F(adagrad_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w, *restrict sum = u->square;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, eps = u->eps;
    FOR_EACH(i, u->n) {
        const real gradient = F(decayed)(g[i], decay, w[i]);
        sum[i] = F(fma_)(gradient, gradient, sum[i]);
        w[i] -= lr * gradient / (F(sqrt_)(sum[i]) + eps);
    }
}

static void F(adagrad)(const fastnn_update *u)
{
    const F(update_t) job = {
        .w = u->w, .g = u->g, .square = u->square, .n = u->n, .lr = (real)u->lr, .eps = (real)u->eps,
        .decay = (real)u->decay,
    };
    F(update)(F(adagrad_part), &job, u->threads);
}

/* square − mean², which rounding may not make negative; NaN stays. */
static inline real F(spread)(real square, real mean)
{
    const real variance = F(fma_)(-mean, mean, square);
    return variance < 0 ? 0 : variance;
}

/* `centered` and `moving` (with momentum) are constants where it is inlined. */
ALWAYS_INLINE void F(rmsprop_loop)(const F(update_t) *u, int part, int parts, int centered, int moving)
{
    real *restrict w = u->w, *restrict square = u->square, *restrict mean = u->mean, *restrict v = u->third;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, eps = u->eps, momentum = u->momentum;
    const real alpha = u->beta2, one_minus_alpha = u->one_minus_beta2;
    FOR_EACH(i, u->n) {
        const real gradient = F(decayed)(g[i], decay, w[i]);
        square[i] = F(fma_)(alpha, square[i], one_minus_alpha * gradient * gradient);
        if (centered) mean[i] = F(fma_)(alpha, mean[i], one_minus_alpha * gradient);
        const real root = F(sqrt_)(centered ? F(spread)(square[i], mean[i]) : square[i]) + eps;
        if (moving) v[i] = F(fma_)(momentum, v[i], gradient / root);
        w[i] -= moving ? lr * v[i] : lr * gradient / root;
    }
}

static void F(rmsprop_part)(const void *job, int part, int parts) { F(rmsprop_loop)(job, part, parts, 0, 0); }
static void F(rmsprop_moving_part)(const void *job, int part, int parts) { F(rmsprop_loop)(job, part, parts, 0, 1); }
static void F(rmsprop_centered_part)(const void *job, int part, int parts) { F(rmsprop_loop)(job, part, parts, 1, 0); }
static void F(rmsprop_both_part)(const void *job, int part, int parts) { F(rmsprop_loop)(job, part, parts, 1, 1); }

static void F(rmsprop)(const fastnn_update *u)
{
    const F(update_t) job = {
        .w = u->w, .g = u->g, .square = u->square, .mean = u->mean, .third = u->third, .n = u->n, .lr = (real)u->lr,
        .beta2 = (real)u->beta2, .one_minus_beta2 = (real)(1 - u->beta2), .eps = (real)u->eps,
        .decay = (real)u->decay, .momentum = (real)u->momentum,
    };
    F(update)(u->mean ? u->third ? F(rmsprop_both_part) : F(rmsprop_centered_part)
                      : u->third ? F(rmsprop_moving_part) : F(rmsprop_part), &job, u->threads);
}

static void F(adadelta_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w, *restrict square = u->square, *restrict step_square = u->third;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, eps = u->eps;
    const real rho = u->beta2, one_minus_rho = u->one_minus_beta2;
    FOR_EACH(i, u->n) {
        const real gradient = F(decayed)(g[i], decay, w[i]);
        square[i] = F(fma_)(rho, square[i], one_minus_rho * gradient * gradient);
        const real step = F(sqrt_)(step_square[i] + eps) / F(sqrt_)(square[i] + eps) * gradient;
        step_square[i] = F(fma_)(rho, step_square[i], one_minus_rho * step * step);
        w[i] -= lr * step;
    }
}

static void F(adadelta)(const fastnn_update *u)
{
    const F(update_t) job = {
        .w = u->w, .g = u->g, .square = u->square, .third = u->third, .n = u->n, .lr = (real)u->lr,
        .beta2 = (real)u->beta2, .one_minus_beta2 = (real)(1 - u->beta2), .eps = (real)u->eps, .decay = (real)u->decay,
    };
    F(update)(F(adadelta_part), &job, u->threads);
}

/* `largest` (AMSGrad) is a constant where it is inlined. */
ALWAYS_INLINE void F(adam_loop)(const F(update_t) *u, int part, int parts, int largest)
{
    real *restrict w = u->w, *restrict mean = u->mean, *restrict square = u->square, *restrict most = u->third;
    const real *restrict g = u->g, beta1 = u->beta1, one_minus_beta1 = u->one_minus_beta1;
    const real beta2 = u->beta2, one_minus_beta2 = u->one_minus_beta2;
    const real step = u->lr, root = u->root, eps = u->eps, couple = u->decay, shrink = u->shrink;
    FOR_EACH(i, u->n) {
        const real gradient = F(decayed)(g[i], couple, w[i]);
        mean[i] = F(fma_)(beta1, mean[i], one_minus_beta1 * gradient);
        square[i] = F(fma_)(beta2, square[i], one_minus_beta2 * gradient * gradient);
        if (largest) most[i] = square[i] <= most[i] ? most[i] : square[i];         /* NaN stays */
        w[i] = w[i] * shrink - step * mean[i] / F(fma_)(F(sqrt_)(largest ? most[i] : square[i]), root, eps);
    }
}

static void F(adam_part)(const void *job, int part, int parts) { F(adam_loop)(job, part, parts, 0); }
static void F(amsgrad_part)(const void *job, int part, int parts) { F(adam_loop)(job, part, parts, 1); }

/* 1 − βᵗ. As βᵗ <= exp(−(1 − β)·t), it is 1 where that is below 2⁻⁵⁴; a power takes as long as 20 parameters. */
static double F(bias_correction)(double beta, double t)
{
    return (1 - beta) * t > 38 ? 1 : 1 - pow(beta, t);
}

static void F(adam)(const fastnn_update *u)
{
    const double correction1 = F(bias_correction)(u->beta1, (double)u->step);
    const double correction2 = F(bias_correction)(u->beta2, (double)u->step);
    const F(update_t) job = {
        .w = u->w, .g = u->g, .mean = u->mean, .square = u->square, .third = u->third, .n = u->n,
        .lr = (real)(u->lr / correction1),
        .beta1 = (real)u->beta1, .one_minus_beta1 = (real)(1 - u->beta1), .beta2 = (real)u->beta2,
        .one_minus_beta2 = (real)(1 - u->beta2), .eps = (real)u->eps, .root = (real)(1 / sqrt(correction2)),
        .decay = (real)(u->decoupled ? 0 : u->decay), .shrink = (real)(u->decoupled ? 1 - u->lr * u->decay : 1),
    };
    F(update)(u->third ? F(amsgrad_part) : F(adam_part), &job, u->threads);
}

static void F(nadam_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w, *restrict mean = u->mean, *restrict square = u->square;
    const real *restrict g = u->g, beta1 = u->beta1, one_minus_beta1 = u->one_minus_beta1;
    const real beta2 = u->beta2, one_minus_beta2 = u->one_minus_beta2;
    const real lr_g = u->lr_g, lr_m = u->lr, root = u->root, eps = u->eps, couple = u->decay, shrink = u->shrink;
    FOR_EACH(i, u->n) {
        const real gradient = F(decayed)(g[i], couple, w[i]);
        mean[i] = F(fma_)(beta1, mean[i], one_minus_beta1 * gradient);
        square[i] = F(fma_)(beta2, square[i], one_minus_beta2 * gradient * gradient);
        w[i] = w[i] * shrink - F(fma_)(lr_m, mean[i], lr_g * gradient) / F(fma_)(F(sqrt_)(square[i]), root, eps);
    }
}

static void F(nadam)(const fastnn_update *u)
{
    const F(update_t) job = {
        .w = u->w, .g = u->g, .mean = u->mean, .square = u->square, .n = u->n, .lr_g = (real)u->lr_g,
        .lr = (real)u->lr_m, .beta1 = (real)u->beta1, .one_minus_beta1 = (real)(1 - u->beta1), .beta2 = (real)u->beta2,
        .one_minus_beta2 = (real)(1 - u->beta2), .eps = (real)u->eps,
        .root = (real)(1 / sqrt(F(bias_correction)(u->beta2, (double)u->step))),
        .decay = (real)(u->decoupled ? 0 : u->decay), .shrink = (real)(u->decoupled ? 1 - u->lr * u->decay : 1),
    };
    F(update)(F(nadam_part), &job, u->threads);
}

/* Gradient clipping: by norm, and by value. */
static void F(scale)(void *g_, int64_t n, double factor_)
{
    real *g = g_;
    const real factor = (real)factor_;
    for (int64_t i = 0; i < n; ++i) g[i] *= factor;
}

static void F(clamp)(void *g_, int64_t n, double limit_)
{
    real *g = g_;
    const real limit = (real)limit_;
    for (int64_t i = 0; i < n; ++i) g[i] = g[i] > limit ? limit : g[i] < -limit ? -limit : g[i];
}

/* Optimizers: one pass over flat arrays. Reference: fastnn_ref/optim.py; its formulas stand here in the same order.

   A new one is a function with the formula, one that fills update_t from fastnn_update, and a row of table.def. */

/* Which parameters a thread updates: `count` runs of `width` side by side, `apart` from one run to the next. */
#ifndef FOR_EACH
typedef struct { int64_t first, width, count, apart; } fastnn_runs;
#define FOR_EACH(i, r) \
    for (int64_t run = 0; run < (r).count; ++run) \
        ELEMENTWISE for (int64_t i = (r).first + run * (r).apart, end = i + (r).width; i < end; ++i)
#endif

/* An update in `real`: what the formulas need, worked out once. */
typedef struct {
    real *w, *mean, *square, *third;        /* parameters, running mean (or momentum), mean of squares, one more */
    const real *g;
    real lr, lr_g, beta1, one_minus_beta1, beta2, one_minus_beta2, eps, decay, shrink, root, momentum, kept;
} F(update_t);

/* g + decay·w, and g alone without decay: 0·∞ would make NaN of an infinite weight that a finite gradient moves. */
static inline real F(decayed)(real g, real decay, real w) { return decay > 0 ? F(fma_)(decay, w, g) : g; }

/* A second thread pays from so many parameters on, if no other thread's cache holds them. */
#undef PARALLEL_UPDATES
#define PARALLEL_UPDATES 98304

typedef void (*F(formula_t))(const F(update_t) *u, fastnn_runs runs);
typedef struct {
    F(formula_t) formula;
    const F(update_t) *numbers;
    const fastnn_update *given;
} F(update_job);

static void F(update_range)(const F(update_job) *u, int64_t begin, int64_t end, int part, int parts)
{
    const int64_t units = ceil_div(end - begin, LANES), first = begin + part_begin(units, part, parts) * LANES;
    const int64_t last = min64(begin + part_begin(units, part + 1, parts) * LANES, end);
    if (first < last) u->formula(u->numbers, (fastnn_runs){first, last - first, 1, 0});
}

/* Of a weight a thread updates what it has worked out the gradient of (gemm.inc.c): that is in its cache, and where the
   next forward product is parted likewise, it also reads what it wrote. */
static void F(update_part)(const void *job, int part, int parts)
{
    const F(update_job) *u = job;
    const fastnn_update *given = u->given;
    int64_t done = 0;
    for (int i = 0; i < given->matrix_count; ++i) {
        const fastnn_matrix *m = &given->matrices[i];
        const int64_t first = m->offset - given->start, end = first + m->rows * m->columns;
        if (first < done || end > given->n) continue;
        const F(gemm_share_t) s = F(gradient_share)(m->rows, m->columns, part, parts);
        F(update_range)(u, done, first, part, parts);
        const fastnn_runs runs = {first + s.i0 * m->columns + s.j0, s.j1 - s.j0, s.i1 - s.i0, m->columns};
        if (runs.count > 0 && runs.width > 0) u->formula(u->numbers, runs);
        done = end;
    }
    F(update_range)(u, done, given->n, part, parts);
}

static void F(update)(F(formula_t) formula, const F(update_t) *numbers, const fastnn_update *given)
{
    const F(update_job) job = {formula, numbers, given};
    const int parts = part_count(given->threads, given->n, given->n, PARALLEL_UPDATES);
    if (parts == 1) formula(numbers, (fastnn_runs){0, given->n, 1, 0});
    else run_parts(F(update_part), &job, parts);
}

static void F(sgd_formula)(const F(update_t) *u, fastnn_runs runs)
{
    real *restrict w = u->w;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay;
    FOR_EACH(i, runs) w[i] -= lr * F(decayed)(g[i], decay, w[i]);
}

static void F(momentum_formula)(const F(update_t) *u, fastnn_runs runs)
{
    real *restrict w = u->w, *restrict v = u->mean;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, momentum = u->momentum, kept = u->kept;
    FOR_EACH(i, runs) {
        v[i] = F(fma_)(momentum, v[i], kept * F(decayed)(g[i], decay, w[i]));
        w[i] -= lr * v[i];
    }
}

static void F(nesterov_formula)(const F(update_t) *u, fastnn_runs runs)
{
    real *restrict w = u->w, *restrict v = u->mean;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, momentum = u->momentum;
    FOR_EACH(i, runs) {
        const real gradient = F(decayed)(g[i], decay, w[i]);
        v[i] = F(fma_)(momentum, v[i], gradient);
        w[i] -= lr * F(fma_)(momentum, v[i], gradient);
    }
}

static void F(sgd)(const fastnn_update *u)
{
    const F(update_t) job = {
        .w = u->w, .g = u->g, .mean = u->mean, .lr = (real)u->lr, .momentum = (real)u->momentum,
        .kept = (real)(u->step == 1 ? 1 : 1 - u->dampening), .decay = (real)u->decay,
    };
    F(update)(!u->mean ? F(sgd_formula) : u->nesterov ? F(nesterov_formula) : F(momentum_formula), &job, u);
}

static void F(adagrad_formula)(const F(update_t) *u, fastnn_runs runs)
{
    real *restrict w = u->w, *restrict sum = u->square;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, eps = u->eps;
    FOR_EACH(i, runs) {
        const real gradient = F(decayed)(g[i], decay, w[i]);
        sum[i] = F(fma_)(gradient, gradient, sum[i]);
        w[i] -= lr * gradient / (F(sqrt_)(sum[i]) + eps);
    }
}

static void F(adagrad)(const fastnn_update *u)
{
    const F(update_t) job = {
        .w = u->w, .g = u->g, .square = u->square, .lr = (real)u->lr, .eps = (real)u->eps,
        .decay = (real)u->decay,
    };
    F(update)(F(adagrad_formula), &job, u);
}

/* square − mean², which rounding may not make negative; NaN stays. */
static inline real F(spread)(real square, real mean)
{
    const real variance = F(fma_)(-mean, mean, square);
    return variance < 0 ? 0 : variance;
}

/* `centered` and `moving` (with momentum) are constants where it is inlined. */
ALWAYS_INLINE void F(rmsprop_loop)(const F(update_t) *u, fastnn_runs runs, int centered, int moving)
{
    real *restrict w = u->w, *restrict square = u->square, *restrict mean = u->mean, *restrict v = u->third;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, eps = u->eps, momentum = u->momentum;
    const real alpha = u->beta2, one_minus_alpha = u->one_minus_beta2;
    FOR_EACH(i, runs) {
        const real gradient = F(decayed)(g[i], decay, w[i]);
        square[i] = F(fma_)(alpha, square[i], one_minus_alpha * gradient * gradient);
        if (centered) mean[i] = F(fma_)(alpha, mean[i], one_minus_alpha * gradient);
        const real root = F(sqrt_)(centered ? F(spread)(square[i], mean[i]) : square[i]) + eps;
        if (moving) v[i] = F(fma_)(momentum, v[i], gradient / root);
        w[i] -= moving ? lr * v[i] : lr * gradient / root;
    }
}

static void F(rmsprop_formula)(const F(update_t) *u, fastnn_runs runs) { F(rmsprop_loop)(u, runs, 0, 0); }
static void F(rmsprop_moving_formula)(const F(update_t) *u, fastnn_runs runs) { F(rmsprop_loop)(u, runs, 0, 1); }
static void F(rmsprop_centered_formula)(const F(update_t) *u, fastnn_runs runs) { F(rmsprop_loop)(u, runs, 1, 0); }
static void F(rmsprop_both_formula)(const F(update_t) *u, fastnn_runs runs) { F(rmsprop_loop)(u, runs, 1, 1); }

static void F(rmsprop)(const fastnn_update *u)
{
    const F(update_t) job = {
        .w = u->w, .g = u->g, .square = u->square, .mean = u->mean, .third = u->third, .lr = (real)u->lr,
        .beta2 = (real)u->beta2, .one_minus_beta2 = (real)(1 - u->beta2), .eps = (real)u->eps,
        .decay = (real)u->decay, .momentum = (real)u->momentum,
    };
    F(update)(u->mean ? u->third ? F(rmsprop_both_formula) : F(rmsprop_centered_formula)
                      : u->third ? F(rmsprop_moving_formula) : F(rmsprop_formula), &job, u);
}

static void F(adadelta_formula)(const F(update_t) *u, fastnn_runs runs)
{
    real *restrict w = u->w, *restrict square = u->square, *restrict step_square = u->third;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, eps = u->eps;
    const real rho = u->beta2, one_minus_rho = u->one_minus_beta2;
    FOR_EACH(i, runs) {
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
        .w = u->w, .g = u->g, .square = u->square, .third = u->third, .lr = (real)u->lr,
        .beta2 = (real)u->beta2, .one_minus_beta2 = (real)(1 - u->beta2), .eps = (real)u->eps, .decay = (real)u->decay,
    };
    F(update)(F(adadelta_formula), &job, u);
}

/* `largest` (AMSGrad) is a constant where it is inlined. */
ALWAYS_INLINE void F(adam_loop)(const F(update_t) *u, fastnn_runs runs, int largest)
{
    real *restrict w = u->w, *restrict mean = u->mean, *restrict square = u->square, *restrict most = u->third;
    const real *restrict g = u->g, beta1 = u->beta1, one_minus_beta1 = u->one_minus_beta1;
    const real beta2 = u->beta2, one_minus_beta2 = u->one_minus_beta2;
    const real step = u->lr, root = u->root, eps = u->eps, couple = u->decay, shrink = u->shrink;
    FOR_EACH(i, runs) {
        const real gradient = F(decayed)(g[i], couple, w[i]);
        mean[i] = F(fma_)(beta1, mean[i], one_minus_beta1 * gradient);
        square[i] = F(fma_)(beta2, square[i], one_minus_beta2 * gradient * gradient);
        if (largest) most[i] = square[i] <= most[i] ? most[i] : square[i];         /* NaN stays */
        w[i] = w[i] * shrink - step * mean[i] / F(fma_)(F(sqrt_)(largest ? most[i] : square[i]), root, eps);
    }
}

static void F(adam_formula)(const F(update_t) *u, fastnn_runs runs) { F(adam_loop)(u, runs, 0); }
static void F(amsgrad_formula)(const F(update_t) *u, fastnn_runs runs) { F(adam_loop)(u, runs, 1); }

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
        .w = u->w, .g = u->g, .mean = u->mean, .square = u->square, .third = u->third,
        .lr = (real)(u->lr / correction1),
        .beta1 = (real)u->beta1, .one_minus_beta1 = (real)(1 - u->beta1), .beta2 = (real)u->beta2,
        .one_minus_beta2 = (real)(1 - u->beta2), .eps = (real)u->eps, .root = (real)(1 / sqrt(correction2)),
        .decay = (real)(u->decoupled ? 0 : u->decay), .shrink = (real)(u->decoupled ? 1 - u->lr * u->decay : 1),
    };
    F(update)(u->third ? F(amsgrad_formula) : F(adam_formula), &job, u);
}

static void F(nadam_formula)(const F(update_t) *u, fastnn_runs runs)
{
    real *restrict w = u->w, *restrict mean = u->mean, *restrict square = u->square;
    const real *restrict g = u->g, beta1 = u->beta1, one_minus_beta1 = u->one_minus_beta1;
    const real beta2 = u->beta2, one_minus_beta2 = u->one_minus_beta2;
    const real lr_g = u->lr_g, lr_m = u->lr, root = u->root, eps = u->eps, couple = u->decay, shrink = u->shrink;
    FOR_EACH(i, runs) {
        const real gradient = F(decayed)(g[i], couple, w[i]);
        mean[i] = F(fma_)(beta1, mean[i], one_minus_beta1 * gradient);
        square[i] = F(fma_)(beta2, square[i], one_minus_beta2 * gradient * gradient);
        w[i] = w[i] * shrink - F(fma_)(lr_m, mean[i], lr_g * gradient) / F(fma_)(F(sqrt_)(square[i]), root, eps);
    }
}

static void F(nadam)(const fastnn_update *u)
{
    const F(update_t) job = {
        .w = u->w, .g = u->g, .mean = u->mean, .square = u->square, .lr_g = (real)u->lr_g,
        .lr = (real)u->lr_m, .beta1 = (real)u->beta1, .one_minus_beta1 = (real)(1 - u->beta1), .beta2 = (real)u->beta2,
        .one_minus_beta2 = (real)(1 - u->beta2), .eps = (real)u->eps,
        .root = (real)(1 / sqrt(F(bias_correction)(u->beta2, (double)u->step))),
        .decay = (real)(u->decoupled ? 0 : u->decay), .shrink = (real)(u->decoupled ? 1 - u->lr * u->decay : 1),
    };
    F(update)(F(nadam_formula), &job, u);
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

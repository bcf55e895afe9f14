/* Optimizers: one pass over flat arrays. Twin: fastnn_ref/optim.py, whose formulas stand here in the same order. */

typedef struct {
    real *w, *mean, *square;        /* what is updated: parameters, running mean (or momentum), running mean square */
    const real *g;
    int64_t n;
    real lr, beta1, rest1, beta2, rest2, eps, decay, shrink, root;
} F(update_t);

/* for i in this part's share of 0 … n − 1, shares meeting at a multiple of LANES */
#undef FOR_EACH
#define FOR_EACH(i, n) \
    ELEMENTWISE for (int64_t i = cut((n) / LANES, part, parts) * LANES, \
                     end = part + 1 < parts ? cut((n) / LANES, part + 1, parts) * LANES : (n); i < end; ++i)

/* Parameters from which on a second thread pays, when other threads' caches hold none of them. */
#undef PARALLEL_UPDATES
#define PARALLEL_UPDATES 98304

static void F(update)(fastnn_part part, const F(update_t) *job, int threads)
{
    run(part, job, parts_of(threads, job->n, job->n, PARALLEL_UPDATES));
}

static void F(sgd_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay;
    FOR_EACH(i, u->n) w[i] -= lr * F(fma_)(decay, w[i], g[i]);
}

static void F(momentum_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w, *restrict v = u->mean;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, momentum = u->beta1;
    FOR_EACH(i, u->n) {
        v[i] = F(fma_)(momentum, v[i], F(fma_)(decay, w[i], g[i]));
        w[i] -= lr * v[i];
    }
}

static void F(nesterov_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w, *restrict v = u->mean;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, momentum = u->beta1;
    FOR_EACH(i, u->n) {
        const real slope = F(fma_)(decay, w[i], g[i]);
        v[i] = F(fma_)(momentum, v[i], slope);
        w[i] -= lr * F(fma_)(momentum, v[i], slope);
    }
}

static void F(sgd)(void *w, const void *g, void *v, int64_t n, double lr, double momentum, int nesterov, double decay,
                   int threads)
{
    const F(update_t) job = {
        .w = w, .g = g, .mean = v, .n = n, .lr = (real)lr, .beta1 = (real)momentum, .decay = (real)decay,
    };
    F(update)(!v ? F(sgd_part) : nesterov ? F(nesterov_part) : F(momentum_part), &job, threads);
}

static void F(rmsprop_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w, *restrict square = u->square;
    const real *restrict g = u->g, lr = u->lr, decay = u->decay, alpha = u->beta2, rest = u->rest2, eps = u->eps;
    FOR_EACH(i, u->n) {
        const real slope = F(fma_)(decay, w[i], g[i]);
        square[i] = F(fma_)(alpha, square[i], rest * slope * slope);
        w[i] -= lr * slope / (F(sqrt_)(square[i]) + eps);
    }
}

static void F(rmsprop)(void *w, const void *g, void *square, int64_t n, double lr, double alpha, double eps,
                       double decay, int threads)
{
    const F(update_t) job = {
        .w = w, .g = g, .square = square, .n = n, .lr = (real)lr, .beta2 = (real)alpha, .rest2 = (real)(1 - alpha),
        .eps = (real)eps, .decay = (real)decay,
    };
    F(update)(F(rmsprop_part), &job, threads);
}

static void F(adam_part)(const void *job, int part, int parts)
{
    const F(update_t) *u = job;
    real *restrict w = u->w, *restrict mean = u->mean, *restrict square = u->square;
    const real *restrict g = u->g, beta1 = u->beta1, rest1 = u->rest1, beta2 = u->beta2, rest2 = u->rest2;
    const real step = u->lr, root = u->root, eps = u->eps, couple = u->decay, shrink = u->shrink;
    FOR_EACH(i, u->n) {
        const real slope = F(fma_)(couple, w[i], g[i]);
        mean[i] = F(fma_)(beta1, mean[i], rest1 * slope);
        square[i] = F(fma_)(beta2, square[i], rest2 * slope * slope);
        w[i] = w[i] * shrink - step * mean[i] / F(fma_)(F(sqrt_)(square[i]), root, eps);
    }
}

static void F(adam)(void *w, const void *g, void *mean, void *square, int64_t n, double lr, double beta1,
                    double beta2, double eps, double decay, int decoupled, double correction1, double correction2,
                    int threads)
{
    const F(update_t) job = {
        .w = w, .g = g, .mean = mean, .square = square, .n = n, .lr = (real)(lr / correction1),
        .beta1 = (real)beta1, .rest1 = (real)(1 - beta1), .beta2 = (real)beta2, .rest2 = (real)(1 - beta2),
        .eps = (real)eps, .root = (real)(1 / sqrt(correction2)),
        .decay = (real)(decoupled ? 0 : decay), .shrink = (real)(decoupled ? 1 - lr * decay : 1),
    };
    F(update)(F(adam_part), &job, threads);
}

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

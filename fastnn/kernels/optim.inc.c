/* Optimizers: one pass over flat arrays. Twin: fastnn_ref/optim.py, whose formulas stand here in the same order. */

/* for i in this thread's share of 0 … n−1, shares meeting at a multiple of LANES */
#undef FOR_EACH
#define FOR_EACH(i, n, threads) \
    const int parts = (int)min64(threads, 1 + (n) / PARALLEL_ELEMENTS); \
    FOR_PARTS(part, parts) \
        ELEMENTWISE for (int64_t i = (n) / LANES * part / parts * LANES, \
                     end = part + 1 < parts ? (n) / LANES * (part + 1) / parts * LANES : (n); i < end; ++i)

static void F(sgd)(void *w_, const void *g_, void *v_, int64_t n, double lr_, double momentum_, int nesterov,
                   double decay_, int threads)
{
    real *restrict w = w_, *restrict v = v_;
    const real *restrict g = g_;
    const real lr = (real)lr_, momentum = (real)momentum_, decay = (real)decay_;
    if (!v) {
        FOR_EACH(i, n, threads) w[i] -= lr * F(fma_)(decay, w[i], g[i]);
    } else if (!nesterov) {
        FOR_EACH(i, n, threads) {
            v[i] = F(fma_)(momentum, v[i], F(fma_)(decay, w[i], g[i]));
            w[i] -= lr * v[i];
        }
    } else {
        FOR_EACH(i, n, threads) {
            const real slope = F(fma_)(decay, w[i], g[i]);
            v[i] = F(fma_)(momentum, v[i], slope);
            w[i] -= lr * F(fma_)(momentum, v[i], slope);
        }
    }
}

static void F(rmsprop)(void *w_, const void *g_, void *square_, int64_t n, double lr_, double alpha_, double eps_,
                       double decay_, int threads)
{
    real *restrict w = w_, *restrict square = square_;
    const real *restrict g = g_;
    const real lr = (real)lr_, alpha = (real)alpha_, rest = (real)(1 - alpha_), eps = (real)eps_;
    const real decay = (real)decay_;
    FOR_EACH(i, n, threads) {
        const real slope = F(fma_)(decay, w[i], g[i]);
        square[i] = F(fma_)(alpha, square[i], rest * slope * slope);
        w[i] -= lr * slope / (F(sqrt_)(square[i]) + eps);
    }
}

static void F(adam)(void *w_, const void *g_, void *mean_, void *square_, int64_t n, double lr, double beta1_,
                    double beta2_, double eps_, double decay, int decoupled, double correction1, double correction2,
                    int threads)
{
    real *restrict w = w_, *restrict mean = mean_, *restrict square = square_;
    const real *restrict g = g_;
    const real beta1 = (real)beta1_, beta2 = (real)beta2_, eps = (real)eps_;
    const real rest1 = (real)(1 - beta1_), rest2 = (real)(1 - beta2_);
    const real step = (real)(lr / correction1), root = (real)(1 / sqrt(correction2));
    const real shrink = (real)(decoupled ? 1 - lr * decay : 1), couple = (real)(decoupled ? 0 : decay);
    FOR_EACH(i, n, threads) {
        const real slope = F(fma_)(couple, w[i], g[i]);
        mean[i] = F(fma_)(beta1, mean[i], rest1 * slope);
        square[i] = F(fma_)(beta2, square[i], rest2 * slope * slope);
        w[i] = w[i] * shrink - step * mean[i] / F(fma_)(F(sqrt_)(square[i]), root, eps);
    }
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

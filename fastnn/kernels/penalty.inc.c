/* Penalties on parameters and limits of them. Twin: fastnn_ref/penalty.py. */

/* Σ l1·|w| + ½·l2·w² over everything covered, in double. */
static double F(penalty)(const fastnn_restraint *list, int64_t count)
{
    double total = 0;
    for (const fastnn_restraint *r = list; r < list + count; ++r) {
        const real *w = r->w;
        double size[LANES] = {0}, square[LANES] = {0};
        for (int64_t i = 0; i < r->n; i += LANES)
            for (int64_t l = 0; l < LANES && i + l < r->n; ++l) {
                size[l] += fabs((double)w[i + l]);
                square[l] += (double)w[i + l] * (double)w[i + l];
            }
        if (r->l1 != 0 || r->l2 != 0) total += r->l1 * F(tree_double)(size) + 0.5 * r->l2 * F(tree_double)(square);
    }
    return total;
}

/* g += l2·w, and l1·sign(w) by the subgradient. */
static void F(penalty_gradient)(const fastnn_restraint *list, int64_t count)
{
    for (const fastnn_restraint *r = list; r < list + count; ++r) {
        const real *w = r->w, l2 = (real)r->l2, l1 = (real)(r->proximal ? 0 : r->l1);
        real *g = r->g;
        if (l1 != 0) {
            ELEMENTWISE for (int64_t i = 0; i < r->n; ++i)
                g[i] += F(fma_)(l2, w[i], w[i] > 0 ? l1 : w[i] < 0 ? -l1 : 0);
        } else if (l2 != 0) {
            ELEMENTWISE for (int64_t i = 0; i < r->n; ++i) g[i] = F(fma_)(l2, w[i], g[i]);
        }
    }
}

/* One output unit's weights, `n` of them `step` apart, made no longer than limit. */
static void F(shorten)(real *w, int64_t n, int64_t step, double limit)
{
    double square = 0;
    for (int64_t i = 0; i < n; ++i) square += (double)w[i * step] * (double)w[i * step];
    if (!(sqrt(square) > limit)) return;
    const double factor = limit / sqrt(square);
    for (int64_t i = 0; i < n; ++i) w[i * step] = (real)((double)w[i * step] * factor);
}

/* After the update: the soft threshold, then the limit. */
static void F(restrain)(const fastnn_restraint *list, int64_t count, double lr)
{
    for (const fastnn_restraint *r = list; r < list + count; ++r) {
        real *w = r->w;
        if (r->proximal && r->l1 > 0) {
            const real threshold = (real)(lr * r->l1);
            ELEMENTWISE for (int64_t i = 0; i < r->n; ++i)
                w[i] = w[i] > threshold ? w[i] - threshold : w[i] < -threshold ? w[i] + threshold : 0 * w[i] + 0;
        }
        for (int64_t u = 0; u < r->units; ++u)
            F(shorten)(w + u * r->unit_step, r->n / r->units, r->inner_step, r->limit);
    }
}

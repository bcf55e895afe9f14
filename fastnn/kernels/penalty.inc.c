/* Penalties on parameters, and limits of their norms. Reference: fastnn_ref/penalty.py. */

/* Σ |w[i]|, in double. */
static double F(sum_abs)(const real *w, int64_t n)
{
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; ++l) lane[l] += fabs((double)w[i + l]);
    for (int l = 0; i + l < n; ++l) lane[l] += fabs((double)w[i + l]);
    return F(tree_double)(lane);
}

/* Σ l1·|w| + ½·l2·w² over all parameters of the list, in double. */
static double F(penalty)(const fastnn_constraint *list, int64_t count)
{
    double total = 0;
    for (const fastnn_constraint *r = list; r < list + count; ++r) {
        const real *w = r->w;
        if (r->l1 != 0) total += r->l1 * F(sum_abs)(w, r->n);
        if (r->l2 != 0) total += 0.5 * r->l2 * F(sum_squares)(w, r->n);
    }
    return total;
}

/* g += l2·w, and where l1 is not proximal, g += l1·sign(w), its subgradient. */
static void F(penalty_gradient)(const fastnn_constraint *list, int64_t count)
{
    for (const fastnn_constraint *r = list; r < list + count; ++r) {
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

/* The factor that brings the norm of a unit's weights to at most `limit`. */
static inline double F(shrink)(double square, double limit) { return sqrt(square) > limit ? limit / sqrt(square) : 1; }

/* One unit's n weights, `stride` apart, the sum of whose squares overflows: they are made smaller first. */
static void F(limit_large)(real *w, int64_t n, int64_t stride, double limit)
{
    const double unit = 0x1p-600;
    double square = 0;
    for (int64_t i = 0; i < n; ++i) {
        const double value = (double)w[i * stride] * unit;
        square += value * value;
    }
    if (!(sqrt(square) > limit * unit)) return;
    for (int64_t i = 0; i < n; ++i) w[i * stride] = (real)((double)w[i * stride] * unit * (limit / sqrt(square)));
}

/* Units side by side: weight i of unit u stands at w[i·units + u]. STACK_COLUMNS units at a time, which takes 0.35 ns a
   weight; one unit after the other takes 4.6. */
static void F(limit_columns)(real *w, int64_t n, int64_t units, double limit)
{
    for (int64_t from = 0; from < units; from += STACK_COLUMNS) {
        const int64_t width = min64(STACK_COLUMNS, units - from);
        double square[STACK_COLUMNS] = {0}, factor[STACK_COLUMNS];
        int longer = 0;
        for (int64_t i = 0; i < n; ++i)
            for (int64_t u = 0; u < width; ++u) {
                const double value = (double)w[i * units + from + u];
                square[u] += value * value;
            }
        for (int64_t u = 0; u < width; ++u) {
            if (square[u] > DBL_MAX) F(limit_large)(w + from + u, n, units, limit);
            factor[u] = square[u] > DBL_MAX ? 1 : F(shrink)(square[u], limit);
            longer |= factor[u] != 1;
        }
        for (int64_t i = 0; i < n && longer; ++i)
            for (int64_t u = 0; u < width; ++u) {
                real *value = w + i * units + from + u;
                *value = (real)((double)*value * factor[u]);
            }
    }
}

/* Units one behind the other. */
static void F(limit_rows)(real *w, int64_t n, int64_t units, double limit)
{
    for (int64_t u = 0; u < units; ++u, w += n) {
        const double square = F(sum_squares)(w, n), factor = square > DBL_MAX ? 1 : F(shrink)(square, limit);
        if (square > DBL_MAX) F(limit_large)(w, n, 1, limit);
        for (int64_t i = 0; i < n && factor != 1; ++i) w[i] = (real)((double)w[i] * factor);
    }
}

/* What is farther from 0 than t comes nearer by t, the rest becomes 0; NaN stays, wherever it stands. */
static inline real F(soften)(real w, real t)
{
    return w <= t && w >= -t ? 0 * w + 0 : w < 0 ? w + t : w - t;
}

/* w ← sign(w)·max(|w| − l1·step size, 0). A step size of 0 for all leaves even the sign of a zero. */
static void F(threshold)(const fastnn_constraint *r, const fastnn_step_size *s)
{
    real *w = r->w;
    const double step = s->scale * r->lr_scale;
    const real scale = (real)(r->l1 * step), l1 = (real)r->l1, root = (real)s->root, eps = (real)s->eps;
    if (s->each) {
        const real *each = (const real *)s->each + r->offset;
        ELEMENTWISE for (int64_t i = 0; i < r->n; ++i) w[i] = F(soften)(w[i], l1 * each[i]);
    } else if (step != 0 && s->mean) {
        const real *square = (const real *)s->square + r->offset, *mean = (const real *)s->mean + r->offset;
        ELEMENTWISE for (int64_t i = 0; i < r->n; ++i)
            w[i] = F(soften)(w[i], scale / F(fma_)(F(sqrt_)(F(spread)(square[i], mean[i])), root, eps));
    } else if (step != 0 && s->step_square) {
        const real *square = (const real *)s->square + r->offset, *steps = (const real *)s->step_square + r->offset;
        ELEMENTWISE for (int64_t i = 0; i < r->n; ++i)
            w[i] = F(soften)(w[i], scale * F(sqrt_)(steps[i] + eps) / F(sqrt_)(square[i] + eps));
    } else if (step != 0 && s->square) {
        const real *square = (const real *)s->square + r->offset;
        ELEMENTWISE for (int64_t i = 0; i < r->n; ++i)
            w[i] = F(soften)(w[i], scale / F(fma_)(F(sqrt_)(square[i]), root, eps));
    } else if (step != 0) {
        ELEMENTWISE for (int64_t i = 0; i < r->n; ++i) w[i] = F(soften)(w[i], scale);
    }
}

/* After the update: the soft threshold, then the largest norm. */
static void F(constrain)(const fastnn_constraint *list, int64_t count, const fastnn_step_size *s)
{
    for (const fastnn_constraint *r = list; r < list + count; ++r) {
        real *w = r->w;
        if (r->proximal && r->l1 > 0) F(threshold)(r, s);
        if (r->units && r->unit_step == 1) F(limit_columns)(w, r->n / r->units, r->units, r->limit);
        else if (r->units) F(limit_rows)(w, r->n / r->units, r->units, r->limit);
    }
}

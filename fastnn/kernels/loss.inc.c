/* Losses: value and gradient in one pass. Reference: fastnn_ref/loss.py. Values are summed in double. The formulas of
   the losses of elements stand in losses.def. */

/* (1 − ε)·t + ε/2 */
ALWAYS_INLINE real F(smooth_target)(real t, real smoothing) { return t + smoothing * ((real)0.5 - t); }

ALWAYS_INLINE real F(huber)(real e, real delta)
{
    const real size = e < 0 ? -e : e;
    return size <= delta ? (real)0.5 * e * e : delta * (size - (real)0.5 * delta);
}

/* exp(y) for every y: exp_ is not made for a large one. */
ALWAYS_INLINE real F(exp_everywhere)(real y) { return y > 0 ? F(expm1_)(y) + 1 : F(exp_)(y > 0 ? 0 : y); }

/* yes·log(1 + exp(−y)) + no·log(1 + exp(y)), and its derivative. */
ALWAYS_INLINE real F(weighted_bce)(real y, real yes, real no)
{
    const real soft = F(log1p_)(F(exp_)(y > 0 ? -y : y));
    return yes * ((y < 0 ? -y : 0) + soft) + no * ((y > 0 ? y : 0) + soft);
}

/* no·σ(y) − yes·σ(−y). With 1 − σ(y) in place of σ(−y) a large `yes` would leave nothing but rounding at a large y. */
ALWAYS_INLINE real F(weighted_bce_slope)(real y, real yes, real no)
{
    const real e = F(exp_)(F(minus_abs)(y));
    return (y > 0 ? no - yes * e : no * e - yes) / (1 + e);
}

/* The sum over the `count` elements from `first` on, which is the beginning of a row, divided by `divisor`. The last
   elements are copied into whole lanes, so that each formula stands here once, as vectors. */
static double F(loss_of_elements)(const fastnn_loss *g, int64_t first, int64_t count, double divisor)
{
    const real delta = (real)g->delta, scale = (real)(1.0 / divisor);
    const real negative = g->class_weight ? (real)g->class_weight[0] : 1;
    double lane[LANES] = {0};
    real values[LANES], positives[LANES] = {0}, y_rest[LANES] = {0}, t_rest[LANES] = {0}, dy_rest[LANES];
    int64_t column = 0;
    for (int64_t i = 0; i < count; i += LANES) {
        const int n = (int)min64(LANES, count - i);
        const real *ys = (const real *)g->y + first + i, *ts = (const real *)g->t + first + i;
        real *dy = (real *)g->dy + first + i, *const dy_begin = dy;
        if (n < LANES) {
            F(copy_row)(ys, y_rest, n);
            F(copy_row)(ts, t_rest, n);
            ys = y_rest;
            ts = t_rest;
            dy = dy_rest;
        }
        for (int j = 0; g->class_weight && j < n; ++j) {
            positives[j] = (real)g->class_weight[1 + column];
            column = column + 2 < g->weight_count ? column + 1 : 0;
        }
        switch (g->kind) {
#define LOSS(NAME, name, value, slope) \
        case NAME: \
            ELEMENTWISE for (int j = 0; j < LANES; ++j) { \
                const real y = ys[j], t = ts[j], e = y - t, positive = positives[j], d = slope; \
                values[j] = value; \
                dy[j] = d * scale; \
                (void)e, (void)positive; \
            } \
            break;
#include "losses.def"
        }
        for (int j = n; j < LANES; ++j) values[j] = 0;
        for (int j = 0; j < LANES; ++j) lane[j] += (double)values[j];
        if (g->costs) memcpy((real *)g->costs + first + i, values, (size_t)n * sizeof(real));
        if (n < LANES) F(copy_row)(dy_rest, dy_begin, n);
    }
    (void)delta, (void)negative;
    return F(tree_double)(lane) / divisor;
}

/* With a weight for each example: Σ wᵢ·lᵢ / Σ w, lᵢ the mean over its elements; or Σ wᵢ·lᵢ, lᵢ their sum. */
static double F(loss_weighted)(const fastnn_loss *g)
{
    real *dy = g->dy, *costs = g->costs;
    const int64_t size = g->size;
    double total = g->mean ? 0 : 1, value = 0;
    for (int64_t i = 0; g->mean && i < g->rows; ++i) total += g->weights[i];
    for (int64_t i = 0; i < g->rows; ++i) {
        const double weight = total > 0 ? g->weights[i] / total : 0;
        const double l = F(loss_of_elements)(g, i * size, size, g->mean ? (double)size : 1);
        if (weight > 0) value += weight * l;
        for (int64_t j = i * size; j < (i + 1) * size; ++j) {
            dy[j] = weight > 0 ? dy[j] * (real)weight : 0;
            if (costs) costs[j] = weight > 0 ? costs[j] * (real)weight : 0;
        }
    }
    return value;
}

static double F(loss)(const fastnn_loss *g)
{
    const int64_t count = g->rows * g->size;
    if (g->weights) return F(loss_weighted)(g);
    return F(loss_of_elements)(g, 0, count, g->mean ? (double)count : 1);
}

/* Cross-entropy, with z = y − max(y): −Σ q·log softmax(y) = log Σ exp(z) − Σ q·z, and its gradient is softmax(y) − q.
   Here q = keep·target + spread, and `weight` is 1/n, or 1 for a sum. Targets are classes, or rows of probabilities
   (the other one is NULL). */
typedef struct {
    const real *y, *probabilities;
    const int64_t *classes;
    real keep, spread, weight;
    real *dy;
    int64_t k;
} F(cross_entropy_t);

/* The class of example i. Classes were checked before; they are clamped once more, because another thread might change
   them meanwhile. */
static inline int64_t F(class_of)(const int64_t *classes, int64_t i, int64_t k)
{
    const int64_t c = classes[i];
    return c < 0 ? 0 : min64(c, k - 1);
}

/* −q·z, and 0 for q = 0 even where z is −∞. */
static inline double F(cross_term)(real q, real z) { return q > 0 ? -(double)(q * z) : 0; }

/* The sum over rows i … i + n − 1, n <= LANES, of at most STACK_COLUMNS classes; each row has a lane. It takes one
   logarithm, of the product of all Σ exp(z): each is at most STACK_COLUMNS, so the product does not overflow. */
static double F(cross_entropy_lanes)(const F(cross_entropy_t) *g, int64_t i, int64_t n)
{
    real z[STACK_COLUMNS][LANES], q[STACK_COLUMNS][LANES], scale[LANES], *dy = g->dy + i * g->k;
    double sum[LANES], cost[LANES], product = 1;
    int64_t class[LANES];
    const int64_t k = g->k;
    const int one_class = g->classes && g->spread == 0;
    F(load_rows_as_lanes)(g->y + i * k, n, k, k, z);
    for (int64_t l = 0; g->classes && l < n; ++l) class[l] = F(class_of)(g->classes, i + l, k);
    for (int64_t l = 0; l < LANES; ++l) cost[l] = one_class && l < n ? F(cross_term)(g->keep, z[class[l]][l]) : 0;
    if (!one_class) {
        for (int64_t j = 0; j < k; ++j)
            for (int l = 0; l < LANES; ++l) q[j][l] = 0;
        if (!g->classes) F(transpose)(g->probabilities + i * k, k, q[0], LANES, n, k);
        else for (int64_t l = 0; l < n; ++l) q[class[l]][l] = 1;
        for (int64_t j = 0; j < k; ++j)
            for (int l = 0; l < LANES; ++l) {
                q[j][l] = F(fma_)(g->keep, q[j][l], g->spread);
                cost[l] += F(cross_term)(q[j][l], z[j][l]);
            }
    }
    for (int l = 0; l < LANES; ++l) {
        z[0][l] = F(exp_)(z[0][l]);
        sum[l] = (double)z[0][l];
    }
    for (int64_t j = 1; j < k; ++j)
        for (int l = 0; l < LANES; ++l) {
            z[j][l] = F(exp_)(z[j][l]);
            sum[l] += (double)z[j][l];
        }
    for (int l = 0; l < LANES; ++l) scale[l] = g->weight / (real)sum[l];
    for (int64_t j = 0; j < k; ++j)
        for (int l = 0; l < LANES; ++l) z[j][l] = z[j][l] * scale[l] - (one_class ? 0 : q[j][l] * g->weight);
    F(store_lanes_as_rows)(z, dy, n, k, k);
    for (int64_t l = 0; l < n; ++l) {
        product *= sum[l];
        if (one_class) dy[l * k + class[l]] -= g->keep * g->weight;
    }
    return F(tree_double)(cost) + log(product);
}

/* The same for row i alone, of any number of classes. */
static double F(cross_entropy_row)(const F(cross_entropy_t) *g, int64_t i)
{
    const int64_t k = g->k, whole = k / LANES * LANES;
    const real *y = g->y + i * k, *t = g->classes ? NULL : g->probabilities + i * k, top = F(maximum)(y, k);
    const real keep = g->keep, spread = g->spread, weight = g->weight;
    real *p = g->dy + i * k;
    double lane[LANES] = {0}, cost = 0;
    ELEMENTWISE for (int64_t j = 0; j < k; ++j) p[j] = y[j] - top;
    if (g->classes) {
        const double spread_cost = spread > 0 ? F(cross_term)(spread, F(sum)(p, k)) : 0;
        cost = F(cross_term)(keep, p[F(class_of)(g->classes, i, k)]) + spread_cost;
    } else {
        for (int64_t j = 0; j < whole; j += LANES)
            for (int l = 0; l < LANES; ++l) lane[l] += F(cross_term)(F(fma_)(keep, t[j + l], spread), p[j + l]);
        for (int64_t j = whole; j < k; ++j) lane[j - whole] += F(cross_term)(F(fma_)(keep, t[j], spread), p[j]);
        cost = F(tree_double)(lane);
    }
    ELEMENTWISE for (int64_t j = 0; j < k; ++j) p[j] = F(exp_)(p[j]);
    const real sum = F(sum)(p, k), scale = weight / sum;
    if (g->classes) {
        ELEMENTWISE for (int64_t j = 0; j < k; ++j) p[j] = p[j] * scale - spread * weight;
        p[F(class_of)(g->classes, i, k)] -= keep * weight;
    } else ELEMENTWISE for (int64_t j = 0; j < k; ++j) p[j] = p[j] * scale - F(fma_)(keep, t[j], spread) * weight;
    return cost + log((double)sum);
}

/* The sum over rows begin … end − 1, where nothing weighs and each example is a row of classes. */
static double F(cross_entropy_of_rows)(const fastnn_loss *g, double count, int64_t begin, int64_t end)
{
    const F(cross_entropy_t) job = {
        .y = g->y, .probabilities = g->t, .classes = g->classes, .dy = g->dy, .k = g->size,
        .weight = (real)(1.0 / count), .keep = (real)(1 - g->delta),
        .spread = (real)(g->delta / (double)g->size),
    };
    double total = 0;
    if (g->size <= STACK_COLUMNS)
        for (int64_t i = begin; i < end; i += LANES) total += F(cross_entropy_lanes)(&job, i, min64(LANES, end - i));
    else for (int64_t i = begin; i < end; ++i) total += F(cross_entropy_row)(&job, i);
    return total;
}

/* The weight of class k. */
static inline double F(weight_of)(const fastnn_loss *g, int64_t k)
{
    return g->class_weight && k < g->weight_count ? g->class_weight[k] : 1;
}

/* The class of target i of all, −1 for one that is left out, and 0 where targets are probabilities. */
static inline int64_t F(target_class)(const fastnn_loss *g, int64_t i, int64_t k)
{
    if (!g->classes) return 0;
    return g->ignores && g->classes[i] == g->ignored ? -1 : F(class_of)(g->classes, i, k);
}

/* What the mean over all targets is divided by: each counts its example's weight, and a class number that of its class,
   too. 1 for a sum. */
static double F(target_count)(const fastnn_loss *g)
{
    const int64_t k = g->size / g->inner;
    double count = 0;
    for (int64_t i = 0; g->mean && i < g->rows; ++i)
        for (int64_t p = 0; p < g->inner; ++p) {
            const int64_t c = F(target_class)(g, i * g->inner + p, k);
            if (c >= 0) count += (g->weights ? g->weights[i] : 1) * (g->classes ? F(weight_of)(g, c) : 1);
        }
    return g->mean ? count : 1;
}

/* Costs are summed in units of 2⁶⁴: those of the largest numbers, times weights, are infinite only if their mean is. */
#undef SMALL
#define SMALL 0x1p-64

/* q = keep·target + spread for n classes of target i of all, from class j on. */
ALWAYS_INLINE void F(smoothed_targets)(const fastnn_loss *g, int64_t i, int64_t j, int64_t n, real *q)
{
    const real keep = (real)(1 - g->delta), spread = (real)(g->delta / (double)g->size);
    if (g->classes) {
        const int64_t c = F(target_class)(g, i, g->size) - j;
        for (int64_t l = 0; l < n; ++l) q[l] = spread;
        if (c >= 0 && c < n) q[c] = keep + spread;
    } else {
        const real *t = (const real *)g->t + i * g->size + j;
        for (int64_t l = 0; l < n; ++l) q[l] = F(fma_)(keep, t[l], spread);
    }
}

/* The weights of n classes from class j on. */
ALWAYS_INLINE void F(weights_of)(const fastnn_loss *g, int64_t j, int64_t n, double *w)
{
    const double *from = g->class_weight + j;
    const int64_t known = g->class_weight && j < g->weight_count ? min64(n, g->weight_count - j) : 0;
    for (int64_t l = 0; l < known; ++l) w[l] = from[l];
    for (int64_t l = known; l < n; ++l) w[l] = 1;
}

/* sums[r] += terms[r][0], terms[r][1] … in this order. A chain waits for each of its sums, so CHAINS run side by side,
   and what they add is worked out before, in vectors. */
#undef CHAINS
#define CHAINS 4
static void F(add_chains)(double (*terms)[STACK_COLUMNS], int64_t n, double *sums)
{
    double a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    for (int64_t l = 0; l < n; ++l) {
        a += terms[0][l];
        b += terms[1][l];
        c += terms[2][l];
        d += terms[3][l];
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

/* The cost of target i of all and of those behind it, at most CHAINS and before `end`, whose classes stand side by
   side: Σa·log Σ exp(z) − Σ a·z, where a = class_weight·q takes the place of q. The gradient is Σa·softmax(y) − a, and
   both are times the example's weight / count. Adds the costs, in units of 2⁶⁴, to the value. */
static void F(cross_entropy_targets)(const fastnn_loss *g, int64_t i, int64_t end, double count, double *value)
{
    const int64_t k = g->size, rows = min64(CHAINS, end - i);
    const int one_class = g->classes && g->delta == 0;          /* then a = 0 for all others */
    double all[CHAINS] = {0}, cost[CHAINS] = {0}, w[STACK_COLUMNS];
    double a[CHAINS][STACK_COLUMNS] = {{0}}, terms[CHAINS][STACK_COLUMNS] = {{0}};
    real q[STACK_COLUMNS], top[CHAINS], sum[CHAINS];
    for (int64_t r = 0; r < rows; ++r) {
        const real *y = (const real *)g->y + (i + r) * k, highest = top[r] = F(maximum)(y, k);
        real *d = (real *)g->dy + (i + r) * k;
        ELEMENTWISE for (int64_t j = 0; j < k; ++j) d[j] = F(exp_)(y[j] - highest);
        sum[r] = F(sum)(d, k);
        const int64_t c = one_class ? F(target_class)(g, i + r, k) : -1;
        if (c >= 0) {
            all[r] = F(weight_of)(g, c) * SMALL;
            if (all[r] > 0) cost[r] = -(all[r] * (double)(y[c] - highest));
        }
    }
    for (int64_t j = 0, n; j < k && !one_class; j += n) {
        n = min64(STACK_COLUMNS, k - j);
        F(weights_of)(g, j, n, w);
        for (int64_t r = 0; r < rows; ++r) {
            const real *y = (const real *)g->y + (i + r) * k + j, highest = top[r];
            F(smoothed_targets)(g, i + r, j, n, q);
            ELEMENTWISE for (int64_t l = 0; l < n; ++l) {
                const double z = (double)(y[l] - highest), each = (double)q[l] * (w[l] * SMALL);
                a[r][l] = each;
                terms[r][l] = each > 0 ? -(each * z) : 0;
            }
        }
        F(add_chains)(a, n, all);
        F(add_chains)(terms, n, cost);
    }
    for (int64_t r = 0; r < rows; ++r) {
        const int is_left_out = F(target_class)(g, i + r, k) < 0;
        const double factor = is_left_out || !(count > 0) ? 0 : (g->weights ? g->weights[i + r] : 1) / count;
        const double each = factor > 0 ? factor * (cost[r] + all[r] * log((double)sum[r])) : 0;
        const real total = (real)(all[r] / SMALL), divisor = sum[r], scale = (real)factor;
        if (g->costs) ((real *)g->costs)[i + r] = (real)(each / SMALL);
        *value += each;
        if (one_class) {                                        /* likewise, where all q but one are 0 */
            const int64_t c = F(target_class)(g, i + r, k);
            real *d = (real *)g->dy + (i + r) * k;
            const real at_class = c < 0 ? 0 : d[c] / divisor * total - (real)F(weight_of)(g, c);
            ELEMENTWISE for (int64_t j = 0; j < k; ++j) d[j] = factor > 0 ? d[j] / divisor * total * scale : 0;
            if (factor > 0) d[c] = at_class * scale;
        }
        for (int64_t j = 0, n; j < k && !one_class; j += n) {
            real *d = (real *)g->dy + (i + r) * k + j;
            n = min64(STACK_COLUMNS, k - j);
            F(smoothed_targets)(g, i + r, j, n, q);
            F(weights_of)(g, j, n, w);
            ELEMENTWISE for (int64_t l = 0; l < n; ++l) {
                const real slope = d[l] / divisor * total - q[l] * (real)w[l];
                d[l] = factor > 0 ? slope * scale : 0;
            }
        }
    }
}

/* The same for n <= LANES targets that stand side by side in an example: class j of target l is at
   [first + j·step + l], `at` is the index of the first target. */
ALWAYS_INLINE double F(cross_entropy_tile)(const fastnn_loss *g, int64_t first, int64_t at, int64_t step, const int n,
                                           double weight)
{
    const real *y = (const real *)g->y + first, *t = g->t ? (const real *)g->t + first : NULL;
    real *d = (real *)g->dy + first, top[LANES], sum[LANES];
    double factor[LANES], all[LANES] = {0}, cost[LANES] = {0}, total[LANES] = {0}, value = 0;
    const int64_t k = g->size / g->inner;
    const real keep = (real)(1 - g->delta), spread = (real)(g->delta / (double)k);
    int64_t classes[LANES];
    for (int l = 0; l < n; ++l) {
        classes[l] = F(target_class)(g, at + l, k);
        factor[l] = classes[l] < 0 ? 0 : weight;
        top[l] = y[l];
    }
    for (int64_t j = 1; j < k; ++j)
        for (int l = 0; l < n; ++l) top[l] = MAX_NAN(top[l], y[j * step + l]);
    for (int64_t j = 0; j < k; ++j)
        for (int l = 0; l < n; ++l) {
            d[j * step + l] = F(exp_)(y[j * step + l] - top[l]);
            total[l] += (double)d[j * step + l];
        }
    for (int l = 0; l < n; ++l) sum[l] = (real)total[l];
    for (int64_t j = 0; j < k; ++j) {
        const double class_weight = F(weight_of)(g, j) * SMALL;
        for (int l = 0; l < n; ++l) {
            const real target = g->classes ? (real)(classes[l] == j) : t[j * step + l];
            const double a = (double)F(fma_)(keep, target, spread) * class_weight;
            all[l] += a;
            if (a > 0) cost[l] -= a * (double)(y[j * step + l] - top[l]);
        }
    }
    for (int l = 0; l < n; ++l) {
        const double each = factor[l] > 0 ? factor[l] * (cost[l] + all[l] * log((double)sum[l])) : 0;
        if (g->costs) ((real *)g->costs)[at + l] = (real)(each / SMALL);
        value += each;
    }
    for (int64_t j = 0; j < k; ++j) {
        const double class_weight = F(weight_of)(g, j);
        for (int l = 0; l < n; ++l) {
            const real target = g->classes ? (real)(classes[l] == j) : t[j * step + l];
            const real a = F(fma_)(keep, target, spread) * (real)class_weight;
            const real slope = d[j * step + l] / sum[l] * (real)(all[l] / SMALL) - a;
            d[j * step + l] = factor[l] > 0 ? slope * (real)factor[l] : 0;
        }
    }
    return value;
}

/* The sum over examples begin … end − 1, in units of 2⁶⁴: what weighs, what leaves out, and what has several targets an
   example. */
static double F(cross_entropy_of_targets)(const fastnn_loss *g, double count, int64_t begin, int64_t end)
{
    const int64_t size = g->size, inner = g->inner;
    double value = 0;
    for (int64_t i = begin; i < end && inner == 1; i += CHAINS) F(cross_entropy_targets)(g, i, end, count, &value);
    for (int64_t i = begin; i < end && inner > 1; ++i) {
        const double weight = count > 0 ? (g->weights ? g->weights[i] : 1) / count : 0;
        for (int64_t p = 0; p < inner; p += LANES) {
            const int64_t first = i * size + p, at = i * inner + p;
            if (p + LANES <= inner) value += F(cross_entropy_tile)(g, first, at, inner, LANES, weight);
            else value += F(cross_entropy_tile)(g, first, at, inner, (int)(inner - p), weight);
        }
    }
    return value;
}

/* The examples are cut into pieces of whole lanes, at most so many, and the pieces' sums are added in their order: the
   number of threads does not show. */
#undef MOST_PIECES
#define MOST_PIECES 64
typedef struct {
    const fastnn_loss *loss;
    int plain;
    double count, *values;
    int64_t size, pieces;               /* examples of a piece; number of pieces */
} F(loss_pieces_t);

static void F(cross_entropy_part)(const void *job, int part, int parts)
{
    const F(loss_pieces_t) *p = job;
    for (int64_t i = part_begin(p->pieces, part, parts); i < part_begin(p->pieces, part + 1, parts); ++i) {
        const int64_t begin = i * p->size, end = min64(p->loss->rows, begin + p->size);
        p->values[i] = p->plain ? F(cross_entropy_of_rows)(p->loss, p->count, begin, end)
            : F(cross_entropy_of_targets)(p->loss, p->count, begin, end);
    }
}

static double F(cross_entropy)(const fastnn_loss *g)
{
    const int plain = !g->weights && !g->class_weight && !g->ignores && !g->costs && g->inner == 1;
    const int64_t least = g->inner == 1 ? 64 : 1, size = ceil_div(ceil_div(g->rows, MOST_PIECES), least) * least;
    double values[MOST_PIECES], value = 0;
    const F(loss_pieces_t) job = {
        .loss = g, .plain = plain, .values = values, .size = size, .pieces = ceil_div(g->rows, size),
        .count = !plain ? F(target_count)(g) : g->mean ? (double)g->rows : 1,
    };
    run_parts(F(cross_entropy_part), &job,
              part_count(g->threads, job.pieces, g->rows * g->size, PARALLEL_ELEMENTS));
    for (int64_t i = 0; i < job.pieces; ++i) value += values[i];
    return plain ? value / job.count : value / SMALL;
}

/* −Σ a·y of rows of log-probabilities, a = weight·class_weight·t, and its gradient −a. */
static double F(nll_of_rows)(const fastnn_loss *g, double count)
{
    const int64_t k = g->size;
    double value = 0, w[STACK_COLUMNS], terms[CHAINS][STACK_COLUMNS] = {{0}};
    for (int64_t i = 0; i < g->rows; i += CHAINS) {
        const int64_t rows = min64(CHAINS, g->rows - i);
        double costs[CHAINS] = {0};
        for (int64_t j = 0, n; j < k; j += n) {
            n = min64(STACK_COLUMNS, k - j);
            F(weights_of)(g, j, n, w);
            for (int64_t r = 0; r < rows; ++r) {
                const real *y = (const real *)g->y + (i + r) * k + j, *t = (const real *)g->t + (i + r) * k + j;
                real *dy = (real *)g->dy + (i + r) * k + j;
                const double weight = count > 0 ? (g->weights ? g->weights[i + r] : 1) / count : 0;
                ELEMENTWISE for (int64_t l = 0; l < n; ++l) {
                    const double each = weight * (w[l] * (double)t[l]), place = (double)y[l];
                    terms[r][l] = each > 0 ? -(each * place) : 0;
                    dy[l] = 0 - (real)each;
                }
            }
            F(add_chains)(terms, n, costs);
        }
        for (int64_t r = 0; r < rows; ++r) {
            if (g->costs) ((real *)g->costs)[i + r] = (real)costs[r];
            value += costs[r];
        }
    }
    return value;
}

/* −Σ a·y of log-probabilities, and its gradient −a. A class number has one a that is not 0. */
static double F(nll)(const fastnn_loss *g)
{
    const int64_t inner = g->inner, k = g->size / inner;
    const real *y = g->y, *t = g->t;
    real *dy = g->dy;
    const double count = F(target_count)(g);
    double value = 0;
    if (!g->classes && inner == 1) return F(nll_of_rows)(g, count);
    for (int64_t i = 0; i < g->rows * g->size; ++i) dy[i] = 0;
    for (int64_t i = 0; i < g->rows; ++i) {
        const double weight = count > 0 ? (g->weights ? g->weights[i] : 1) / count : 0;
        for (int64_t p = 0; p < inner; ++p) {
            const int64_t c = F(target_class)(g, i * inner + p, k), end = g->classes ? c + 1 : k;
            double cost = 0;
            for (int64_t j = c; c >= 0 && weight > 0 && j < end; ++j) {
                const int64_t place = i * g->size + j * inner + p;
                const double a = F(weight_of)(g, j) * (g->classes ? 1 : (double)t[place]);
                if (a > 0) cost -= weight * a * (double)y[place];
                dy[place] = 0 - (real)(a * weight);
            }
            if (g->costs) ((real *)g->costs)[i * inner + p] = (real)cost;
            value += cost;
        }
    }
    return value;
}

/* Looks at 1024 values at once, because a loop that can stop early is no vector loop; then for the first in them. */
static int64_t F(first_outside)(const void *x_, int64_t n, double low_, double high_)
{
    const real *x = x_, low = (real)low_, high = (real)high_;
    for (int64_t from = 0; from < n; from += 1024) {
        const int64_t to = min64(from + 1024, n);
        int bad = 0;
        for (int64_t i = from; i < to; ++i) bad |= !(x[i] >= low && x[i] <= high);
        for (int64_t i = from; bad && i < to; ++i)
            if (!(x[i] >= low && x[i] <= high)) return i;
    }
    return -1;
}

/* The first of some rows of k values that is not plainly one of probabilities: none below 0, and a sum of 1 but for
   1e-6; −1 if each is. */
static int64_t F(improper_row)(const void *t_, int64_t rows, int64_t k)
{
    const real *t = t_;
    for (int64_t i = 0; i < rows; ++i, t += k) {
        double lane[LANES] = {0};
        int64_t j = 0;
        int bad = 0;
        for (; j + LANES <= k; j += LANES)
            for (int l = 0; l < LANES; ++l) {
                bad |= !(t[j + l] >= 0);
                lane[l] += (double)t[j + l];
            }
        for (int l = 0; j + l < k; ++l) {
            bad |= !(t[j + l] >= 0);
            lane[l] += (double)t[j + l];
        }
        if (bad || !(fabs(F(tree_double)(lane) - 1) <= 1e-6)) return i;
    }
    return -1;
}

/* The first of n values that is neither −1 nor 1; −1 if each is. */
static int64_t F(first_unsigned)(const void *t_, int64_t n)
{
    const real *t = t_;
    for (int64_t from = 0; from < n; from += 1024) {
        const int64_t to = min64(from + 1024, n);
        int bad = 0;
        for (int64_t i = from; i < to; ++i) bad |= !(t[i] == 1 || t[i] == -1);
        for (int64_t i = from; bad && i < to; ++i)
            if (!(t[i] == 1 || t[i] == -1)) return i;
    }
    return -1;
}

/* Losses: value and gradient in one pass. Twin: fastnn_ref/loss.py. Values are summed in double. */

/* l = loss of one element, d = its derivative; e = y − t. */
#undef EACH_LOSS
#define EACH_LOSS(X) \
    X(MSE,   l = e * e,                                              d = 2 * e) \
    X(L1,    l = e < 0 ? -e : e,                                     d = e > 0 ? 1 : e < 0 ? -1 : e) \
    X(HUBER, { const real size = e < 0 ? -e : e; \
               l = size <= delta ? (real)0.5 * e * e : delta * (size - (real)0.5 * delta); }, \
             d = e > delta ? delta : e < -delta ? -delta : e) \
    X(BCE_WITH_LOGITS, \
             l = (y > 0 ? y : 0) - y * t + F(log1p_)(F(exp_)(y > 0 ? -y : y)), \
             d = F(sigmoid_)(y) - t)

static double F(loss)(int loss, double delta_, const void *y_, const void *t_, void *dy_, int64_t count)
{
    const real *restrict ys = y_, *restrict ts = t_;
    real *restrict dy = dy_;
    const real delta = (real)delta_, share = (real)(1.0 / (double)count);
    double lane[LANES] = {0};
    real value[LANES];
    for (int64_t i = 0; i < count; i += LANES) {
        const int n = (int)min64(LANES, count - i);
        switch (loss) {
#define ELEMENT(NAME, VALUE, SLOPE) \
        case NAME: \
            for (int j = 0; j < n; ++j) { \
                const real y = ys[i + j], t = ts[i + j], e = y - t; \
                real l, d; \
                VALUE; \
                SLOPE; \
                value[j] = l; \
                dy[i + j] = d * share; \
                (void)e; \
            } \
            break;
        EACH_LOSS(ELEMENT)
#undef ELEMENT
        }
        for (int j = 0; j < n; ++j) lane[j] += (double)value[j];
    }
    (void)delta;
    return F(tree_double)(lane) / (double)count;
}

/* With z = y − max(y):  −Σ q·log softmax(y) = log Σ exp(z) − Σ q·z,  and its gradient is softmax(y) − q.
   The exponentials of a whole block of rows are one vector loop: a row of ten classes is too short for one. */
static double F(cross_entropy)(const void *y_, const int64_t *classes, const void *probabilities_, double smoothing,
                               void *dy_, int64_t rows, int64_t k)
{
    const real *y = y_, *probabilities = probabilities_;
    real *dy = dy_;
    const real share = (real)(1.0 / (double)rows);
    const real keep = (real)(1 - smoothing), spread = (real)(smoothing / (double)k);
    const int64_t block = k < 1024 ? 1024 / k : 1;      /* rows: about 1,024 values, well inside the L1 cache */
    double total = 0;
    for (int64_t from = 0; from < rows; from += block) {
        const int64_t to = min64(from + block, rows);
        real *e = dy + from * k;
        for (int64_t i = from; i < to; ++i) {
            const real top = F(maximum)(y + i * k, k);
            ELEMENTWISE for (int64_t j = 0; j < k; ++j) dy[i * k + j] = y[i * k + j] - top;
        }
        for (int64_t i = from; i < to; ++i) {           /* −Σ q·z, while z is there */
            const real *z = dy + i * k;
            if (classes) {
                total -= (double)(keep * z[classes[i]]);
                if (smoothing > 0) total -= (double)(spread * F(sum)(z, k));
            } else {
                const real *q = probabilities + i * k;
                for (int64_t j = 0; j < k; ++j) {
                    const real weight = F(fma_)(keep, q[j], spread);
                    if (weight > 0) total -= (double)(weight * z[j]);
                }
            }
        }
        for (int64_t j = 0; j < (to - from) * k; ++j) e[j] = F(exp_)(e[j]);
        for (int64_t i = from; i < to; ++i) {
            real *p = dy + i * k;
            const real sum = F(sum)(p, k), scale = share / sum;
            total += log((double)sum);
            if (classes) {
                ELEMENTWISE for (int64_t j = 0; j < k; ++j) p[j] = p[j] * scale - spread * share;
                p[classes[i]] -= keep * share;
            } else {
                const real *q = probabilities + i * k;
                ELEMENTWISE for (int64_t j = 0; j < k; ++j) p[j] = p[j] * scale - F(fma_)(keep, q[j], spread) * share;
            }
        }
    }
    return total / (double)rows;
}

/* Counts first, in blocks, because a loop that stops early is no vector loop. */
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

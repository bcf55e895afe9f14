/* Activations and their derivatives. The formulas stand in activations.def, one row each.

   Reference: fastnn_ref/activation.py. u is the pre-activation and y the activation. */

/* silu: y = u·σ(u), y' = σ + u·σ'. */
ALWAYS_INLINE F(gate_t) F(silu_gate)(real u) { return F(gate)(u, F(exp_scaled)(F(minus_abs)(u))); }

ALWAYS_INLINE real F(silu)(real u) { return F(gate_value)(F(silu_gate)(u)); }
ALWAYS_INLINE real F(silu_slope)(real u) { return F(gate_slope)(F(silu_gate)(u), 1); }

/* mish: y = u·tanh(log(1 + exp(u))) = u·p·n/d, y' = (p·n + 4·u·q·(1 + e)/d)/d with e = exp(−|u|): for u > 0, p = 1,
   n = 1 + 2e, d = 1 + 2e + 2e², q = e²; else p = e, n = 2 + e, d = 2 + 2e + e², q = e. As in F(gate), u meets e before
   the scale is taken off. */
typedef struct { real e, n, inverse, product, ue; } F(mish_t);          /* inverse: 1/d; product: u·p */

ALWAYS_INLINE F(mish_t) F(mish_parts)(real u)
{
    const real scaled = F(exp_scaled)(F(minus_abs)(u)), e = scaled * UNSCALE, ue = u * scaled * UNSCALE;
    const real twice = 2 * e, one = 1 + twice, two = 2 + e;
    return (F(mish_t)){
        .e = e, .n = u > 0 ? one : two, .inverse = 1 / (u > 0 ? F(fma_)(twice, e, one) : F(fma_)(e, two, 2)),
        .product = u > 0 ? u : ue, .ue = ue,
    };
}

ALWAYS_INLINE real F(mish)(real u)
{
    const F(mish_t) m = F(mish_parts)(u);
    return m.product * (m.n * m.inverse);
}

ALWAYS_INLINE real F(mish_slope)(real u)
{
    const F(mish_t) m = F(mish_parts)(u);
    const real uq = u > 0 ? m.ue * m.e : m.ue, pn = u > 0 ? m.n : m.e * m.n;
    return m.inverse * F(fma_)(4 * (1 + m.e) * uq, m.inverse, pn);
}

/* gelu: y = u·Φ(u), y' = Φ + u·φ. */
ALWAYS_INLINE real F(gelu)(real u)
{
    const F(normal_t) n = F(scaled_normal)(u);
    return u * n.cdf * n.scale;
}

ALWAYS_INLINE real F(gelu_slope)(real u)
{
    const F(normal_t) n = F(scaled_normal)(u);
    return (n.cdf + u * n.pdf) * n.scale;
}

/* gelu's approximation (Hendrycks and Gimpel 2016): Φ(u) ≈ ½·(1 + tanh(√(2/π)·(u + 0.044715·u³))) = σ(b) with
   b = 2·√(2/π)·(u + 0.044715·u³). Rounding b would cost exp(b) |b| ulp, so b is worked out twice as precisely, as
   b + low: every product leaves its residue, and the constants have two parts. At ±gelu_low σ is 0 or 1. */
typedef struct { F(gate_t) gate; real slope; } F(gelu_tanh_t);          /* slope: b' */

ALWAYS_INLINE F(gelu_tanh_t) F(gelu_tanh_parts)(real u)
{
    const real minus = F(minus_abs)(u), v = minus < F(limits).gelu_low ? F(limits).gelu_low : minus;
    const real square = v * v, square_low = F(residue)(v, v, -square);
    const real factor = F(fma_)(GELU_CUBIC_HIGH, square, GELU_LINEAR_HIGH);
    const real factor_low = F(residue)(GELU_CUBIC_HIGH, square, GELU_LINEAR_HIGH - factor)
        + F(fma_)(GELU_CUBIC_HIGH, square_low, F(fma_)(GELU_CUBIC_LOW, square, GELU_LINEAR_LOW));
    const real b = v * factor, low = F(fma_)(v, factor_low, F(residue)(v, factor, -b));
    real n, r;
    r = F(reduce)(b, &n) + low;
    return (F(gelu_tanh_t)){
        F(gate)(u, F(exp_of_reduced)(r, n)),
        F(fma_)(3 * GELU_CUBIC_HIGH, square, GELU_LINEAR_HIGH + GELU_LINEAR_LOW),
    };
}

ALWAYS_INLINE real F(gelu_tanh)(real u) { return F(gate_value)(F(gelu_tanh_parts)(u).gate); }

ALWAYS_INLINE real F(gelu_tanh_slope)(real u)
{
    const F(gelu_tanh_t) g = F(gelu_tanh_parts)(u);
    return F(gate_slope)(g.gate, g.slope);
}

/* x / 6 for an x whose sixth is not subnormal. A division takes as long as six of these; its result, rounded once, is
   what the residue makes of the product (Markstein, "Computation of elementary functions on the IBM RISC System/6000
   processor", 1990): the inverse is off by so little that the product is off by less than one unit. */
ALWAYS_INLINE real F(sixth)(real x)
{
#if defined(HAS_FMA)
    const real inverse = (real)1 / 6, product = x * inverse;
    return F(fma_)(F(fma_)(product, -6, x), inverse, product);
#else
    return x / 6;
#endif
}

/* y = act(x) for whole vectors: n is a multiple of VL. The compiler makes a vector loop of each row of
   activations.def; it sees that nothing is left over, so that each formula is there once. */
static void F(activate_vectors)(int activation, real alpha, const real *x, real *y, real *saved, int64_t n)
{
    n &= -(int64_t)VL;
    switch (activation) {
#define ACTIVATION_FROM_Y(NAME, name, value, du) \
    case NAME: \
        if (saved != y) { \
            ELEMENTWISE for (int64_t i = 0; i < n; ++i) { const real u = x[i]; saved[i] = y[i] = value; } \
        } else { \
            ELEMENTWISE for (int64_t i = 0; i < n; ++i) { const real u = x[i]; y[i] = value; } \
        } \
        break;
#define ACTIVATION_FROM_SLOPE(NAME, name, value, slope) \
    case NAME: \
        if (saved != y) { \
            ELEMENTWISE for (int64_t i = 0; i < n; ++i) { \
                const real u = x[i], d = slope; \
                y[i] = value; \
                saved[i] = d; \
            } \
        } else { \
            ELEMENTWISE for (int64_t i = 0; i < n; ++i) { const real u = x[i]; y[i] = value; } \
        } \
        break;
#define ACTIVATION_OF_ROWS(...)
#include "activations.def"
    }
    (void)alpha;
}

/* y = act(x) for n elements. What the backward pass needs, act'(u) or y, goes to `saved`, which may be x, unless that
   is y. */
static void F(activate_range)(int activation, real alpha, const real *x, real *y, real *saved, int64_t n)
{
    const int64_t whole = n / VL * VL;
    F(activate_vectors)(activation, alpha, x, y, saved, whole);
    if (whole == n) return;
    const int saves = saved != y;
    real u[VL] = {0}, value[VL], slope[VL];
    F(copy_row)(x + whole, u, n - whole);
    F(activate_vectors)(activation, alpha, u, value, saves ? slope : value, VL);
    F(copy_row)(value, y + whole, n - whole);
    if (saves) F(copy_row)(slope, saved + whole, n - whole);
}

/* to = g · act'(u) for n elements, from y or from act'(u). */
static void F(activate_backward_range)(int activation, real alpha, const real *saved, const real *g, real *to,
                                       int64_t n)
{
    switch (activation) {
#define ACTIVATION_FROM_Y(NAME, name, value, du) \
    case NAME: \
        ELEMENTWISE for (int64_t i = 0; i < n; ++i) { const real y = saved[i], dy = g[i]; to[i] = du; (void)y; } \
        break;
#define ACTIVATION_FROM_SLOPE(NAME, name, value, slope) \
    case NAME: \
        ELEMENTWISE for (int64_t i = 0; i < n; ++i) to[i] = g[i] * saved[i]; \
        break;
#define ACTIVATION_OF_ROWS(...)
#include "activations.def"
    }
    (void)alpha;
}

/* Σ exp(u − top) of at most PIECE values. */
static real F(sum_of_exp)(const real *u, real top, int64_t n)
{
    real lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; ++l) lane[l] += F(exp_)(u[i + l] - top);
    for (int l = 0; i + l < n; ++l) lane[l] += F(exp_)(u[i + l] - top);
    return F(tree)(lane);
}

/* y = exp(u − max) / Σ exp(u − max), or its logarithm, for one row. */
static void F(softmax_row)(int activation, const real *u, real *y, int64_t cols)
{
    const real top = F(maximum)(u, cols);
    if (activation == LOG_SOFTMAX) {
        double total = 0;
        for (int64_t i = 0; i < cols; i += PIECE) total += (double)F(sum_of_exp)(u + i, top, min64(PIECE, cols - i));
        const real log_sum = (real)log(total);
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) y[j] = u[j] - top - log_sum;
    } else {
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) y[j] = F(exp_)(u[j] - top);
        const real scale = 1 / F(sum)(y, cols);
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) y[j] *= scale;
    }
}

/* Transposes n <= LANES rows of at most STACK_COLUMNS columns, `stride` apart, so that each row has a lane: ten
   columns are too short for a vector. Subtracts from each row its maximum. Lanes without a row hold 0. */
static void F(load_rows_as_lanes)(const real *u, int64_t n, int64_t cols, int64_t stride, real (*z)[LANES])
{
    real top[LANES];
    for (int64_t j = 0; j < cols && n < LANES; ++j)
        for (int l = 0; l < LANES; ++l) z[j][l] = 0;
    if (n == LANES && cols == 2 && stride == 2)
        for (int l = 0; l < LANES; ++l) z[0][l] = u[2 * l], z[1][l] = u[2 * l + 1];
    else F(transpose)(u, stride, z[0], LANES, n, cols);
    for (int l = 0; l < LANES; ++l) top[l] = z[0][l];
    for (int64_t j = 1; j < cols; ++j)
        for (int l = 0; l < LANES; ++l) top[l] = z[j][l] > top[l] ? z[j][l] : top[l];
    for (int64_t j = 0; j < cols; ++j)
        for (int l = 0; l < LANES; ++l) z[j][l] -= top[l];
}

/* The way back. */
static inline void F(store_lanes_as_rows)(real (*z)[LANES], real *y, int64_t n, int64_t cols, int64_t stride)
{
    if (n == LANES && cols == 2 && stride == 2)
        for (int l = 0; l < LANES; ++l) y[2 * l] = z[0][l], y[2 * l + 1] = z[1][l];
    else F(transpose)(z[0], LANES, y, stride, cols, n);
}

/* softmax_row for so many rows at a time. */
static void F(softmax_block)(int activation, const real *u, real *y, int64_t n, int64_t cols, int64_t stride)
{
    real z[STACK_COLUMNS][LANES], total[LANES] = {0};
    F(load_rows_as_lanes)(u, n, cols, stride, z);
    for (int64_t j = 0; j < cols; ++j)
        for (int l = 0; l < LANES; ++l) {
            const real e = F(exp_)(z[j][l]);
            z[j][l] = activation == LOG_SOFTMAX ? z[j][l] : e;
            total[l] += e;
        }
    for (int l = 0; l < LANES; ++l) total[l] = activation == LOG_SOFTMAX ? (real)log((double)total[l]) : 1 / total[l];
    for (int64_t j = 0; j < cols; ++j)
        for (int l = 0; l < LANES; ++l)
            z[j][l] = activation == LOG_SOFTMAX ? z[j][l] - total[l] : z[j][l] * total[l];
    F(store_lanes_as_rows)(z, y, n, cols, stride);
}

/* softmax_row for rows that are `stride` apart. */
static void F(softmax_rows)(int activation, const real *u, real *y, int64_t rows, int64_t cols, int64_t stride)
{
    const int64_t each = cols <= STACK_COLUMNS ? LANES : 1;
    for (int64_t i = 0; i < rows; i += each)
        if (each == 1) F(softmax_row)(activation, u + i * stride, y + i * stride, cols);
        else F(softmax_block)(activation, u + i * stride, y + i * stride, min64(each, rows - i), cols, stride);
}

/* softmax: du = y·(dy − Σ dy·y);  log-softmax: du = dy − exp(y)·Σ dy. */
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

/* n <= LANES softmaxes side by side: number j of the l-th is at [j·step + l]. Each is one chain of sums, in double. */
ALWAYS_INLINE void F(softmax_tile)(int activation, const real *u, real *y, int64_t k, int64_t step, const int n)
{
    real top[LANES], last[LANES];
    double total[LANES] = {0};
    for (int l = 0; l < n; ++l) top[l] = u[l];
    for (int64_t j = 1; j < k; ++j)
        for (int l = 0; l < n; ++l) top[l] = MAX_NAN(top[l], u[j * step + l]);
    for (int64_t j = 0; j < k; ++j)
        for (int l = 0; l < n; ++l) {
            const real z = u[j * step + l] - top[l], e = F(exp_)(z);
            total[l] += (double)e;
            y[j * step + l] = activation == LOG_SOFTMAX ? z : e;
        }
    for (int l = 0; l < n; ++l)
        last[l] = activation == LOG_SOFTMAX ? (real)log(total[l]) : (real)(1 / total[l]);
    for (int64_t j = 0; j < k; ++j)
        for (int l = 0; l < n; ++l)
            y[j * step + l] = activation == LOG_SOFTMAX ? y[j * step + l] - last[l] : y[j * step + l] * last[l];
}

ALWAYS_INLINE void F(softmax_tile_backward)(int activation, const real *y, const real *dy, real *du, int64_t k,
                                            int64_t step, const int n)
{
    double total[LANES] = {0};
    for (int64_t j = 0; j < k; ++j)
        for (int l = 0; l < n; ++l) {
            const double d = (double)dy[j * step + l];
            total[l] += activation == LOG_SOFTMAX ? d : d * (double)y[j * step + l];
        }
    for (int64_t j = 0; j < k; ++j)
        for (int l = 0; l < n; ++l) {
            const real v = y[j * step + l], d = dy[j * step + l], sum = (real)total[l];
            du[j * step + l] = activation == LOG_SOFTMAX ? d - F(exp_)(v) * sum : v * (d - sum);
        }
}

/* A second thread pays from about so many elements on; it takes about 1 µs to start. */
#undef PARALLEL_ELEMENTS
#define PARALLEL_ELEMENTS 32768

typedef struct {
    int activation;
    real alpha;
    const real *u;
    real *y, *saved;
    int64_t rows, cols;
} F(activate_t);

static void F(activate_part)(const void *job, int part, int parts)
{
    const F(activate_t) *g = job;
    const int64_t from = part_begin(g->rows, part, parts), to = part_begin(g->rows, part + 1, parts), cols = g->cols;
    if (activation_is_elementwise(g->activation))
        F(activate_range)(g->activation, g->alpha, g->u + from * cols, g->y + from * cols,
                          g->saved + from * cols, (to - from) * cols);
    else
        F(softmax_rows)(g->activation, g->u + from * cols, g->y + from * cols, to - from, cols, cols);
}

static void F(activate)(int activation, double alpha, const void *u, void *y, void *saved, int64_t rows, int64_t cols,
                        int threads)
{
    const F(activate_t) job = {activation, (real)alpha, u, y, saved, rows, cols};
    run_parts(F(activate_part), &job, part_count(threads, rows, rows * cols, PARALLEL_ELEMENTS));
}

/* sums[j] += Σ_i x[i·stride + j] for some vectors of columns; of the last vector only the lanes in `mask` count. */
ALWAYS_INLINE void F(add_columns)(const int vectors, const vmask mask, const real *x, int64_t rows, int64_t stride,
                                  real *sums)
{
    vec acc[4];
    UNROLL for (int v = 0; v < vectors; ++v)
        acc[v] = v == vectors - 1 ? vload_first(sums + v * VL, mask) : vload(sums + v * VL);
    for (; rows >= 4; rows -= 4)
        UNROLL for (int i = 0; i < 4; ++i, x += stride)
            UNROLL for (int v = 0; v < vectors; ++v)
                acc[v] += v == vectors - 1 ? vload_first(x + v * VL, mask) : vload(x + v * VL);
    for (; rows; --rows, x += stride)
        UNROLL for (int v = 0; v < vectors; ++v)
            acc[v] += v == vectors - 1 ? vload_first(x + v * VL, mask) : vload(x + v * VL);
    UNROLL for (int v = 0; v < vectors; ++v)
        if (v == vectors - 1) vstore_first(sums + v * VL, mask, acc[v]);
        else vstore(sums + v * VL, acc[v]);
}

/* The same for any number of columns. Each sum is a chain in the order of the rows, and stays in a register. */
static void F(column_sums)(const real *x, int64_t rows, int64_t stride, int64_t cols, real *sums)
{
    int64_t j = 0;
    for (; j + 4 * VL <= cols; j += 4 * VL) F(add_columns)(4, vfirst(VL), x + j, rows, stride, sums + j);
    for (; j < cols; j += VL) F(add_columns)(1, vfirst((int)min64(VL, cols - j)), x + j, rows, stride, sums + j);
}

/* relu's du and its sums in one pass, for some vectors of columns. Most of what a narrow layer takes here is the
   latency of the sums, in which the rest is done. */
ALWAYS_INLINE void F(relu_backward_vectors)(const int vectors, const real *y, const real *dy, real *du, int64_t rows,
                                            int64_t stride, real *sums)
{
    vec acc[4];
    UNROLL for (int v = 0; v < vectors; ++v) acc[v] = vload(sums + v * VL);
    for (; rows; --rows, y += stride, dy += stride, du += stride)
        UNROLL for (int v = 0; v < vectors; ++v) {
            const vec d = vwhere_positive(vload(y + v * VL), vload(dy + v * VL));
            vstore(du + v * VL, d);
            acc[v] += d;
        }
    UNROLL for (int v = 0; v < vectors; ++v) vstore(sums + v * VL, acc[v]);
}

/* The same for any number of whole vectors. It pays where all rows stay in the second-level cache and do not lie at
   multiples of 4,096 bytes, where a store seems to hit the next loads: 512 rows of 1,024 floats took twice as long. */
static void F(relu_backward_columns)(const real *y, const real *dy, real *du, int64_t rows, int64_t stride,
                                     int64_t cols, real *sums)
{
    int64_t j = 0;
    for (; j + 4 * VL <= cols; j += 4 * VL)
        F(relu_backward_vectors)(4, y + j, dy + j, du + j, rows, stride, sums + j);
    for (; j < cols; j += VL) F(relu_backward_vectors)(1, y + j, dy + j, du + j, rows, stride, sums + j);
}

typedef struct {
    int activation;
    real alpha;
    const real *saved, *dy;
    real *du, *db;
    int64_t rows, cols;
} F(activate_backward_t);

/* du for this part of the rows. */
static void F(activate_backward_rows_part)(const void *job, int part, int parts)
{
    const F(activate_backward_t) *g = job;
    const int64_t from = part_begin(g->rows, part, parts), to = part_begin(g->rows, part + 1, parts), cols = g->cols;
    if (activation_is_elementwise(g->activation)) {
        if (g->activation != IDENTITY || g->dy != g->du)
            F(activate_backward_range)(g->activation, g->alpha, g->saved + from * cols, g->dy + from * cols,
                                       g->du + from * cols, (to - from) * cols);
        return;
    }
    for (int64_t i = from; i < to; ++i)
        F(softmax_row_backward)(g->activation, g->saved + i * cols, g->dy + i * cols, g->du + i * cols, cols);
}

/* du of rows first … last − 1 and columns from … to − 1, and what they add to db: a chain for each column. Some rows at
   a time, so that du is in the first-level cache when it is summed. */
static void F(activate_backward_block)(const F(activate_backward_t) *g, int64_t first, int64_t last, int64_t from,
                                       int64_t to)
{
    const int64_t cols = g->cols, width = to - from, block = 1 + 2048 / (width + 1), begin = first * cols + from;
    real sums[SUM_COLUMNS];
    for (int64_t j = 0; j < width; ++j) sums[j] = 0;
    if (g->activation == RELU && width % VL == 0 && cols <= 256 && g->rows * cols <= 32768) {
        F(relu_backward_columns)(g->saved + begin, g->dy + begin, g->du + begin, last - first, cols, width, sums);
    } else for (int64_t i = first; i < last; i += block) {
        const int64_t rows = min64(block, last - i), runs = width == cols ? 1 : rows, run = rows * width / runs;
        if (g->activation != IDENTITY || g->dy != g->du)
            for (int64_t r = 0, at = i * cols + from; r < runs; ++r, at += cols)
                F(activate_backward_range)(g->activation, g->alpha, g->saved + at, g->dy + at, g->du + at, run);
        F(column_sums)(g->du + i * cols + from, rows, cols, width, sums);
    }
    for (int64_t j = 0; j < width; ++j) g->db[from + j] += sums[j];
}

/* du and db for this part of the columns; parts meet at the border of a cache line. */
static void F(activate_backward_columns_part)(const void *job, int part, int parts)
{
    const F(activate_backward_t) *g = job;
    const int64_t lines = ceil_div(g->cols, LANES), cols = g->cols;
    const int64_t from = part_begin(lines, part, parts) * LANES;
    const int64_t to = min64(part_begin(lines, part + 1, parts) * LANES, cols);
    for (int64_t j = from; j < to; ++j) g->db[j] = 0;
    for (int64_t j = from; j < to; j += SUM_COLUMNS)
        for (int64_t i = 0; i < g->rows; i += BLOCK_ROWS)
            F(activate_backward_block)(g, i, min64(i + BLOCK_ROWS, g->rows), j, min64(j + SUM_COLUMNS, to));
}

static void F(activate_backward)(int activation, double alpha, const void *saved, const void *dy, void *du, void *db,
                                 int64_t rows, int64_t cols, int threads)
{
    F(activate_backward_t) job = {activation, (real)alpha, saved, dy, du, db, rows, cols};
    if (!activation_is_elementwise(activation) || !db) {
        run_parts(F(activate_backward_rows_part), &job, part_count(threads, rows, rows * cols, PARALLEL_ELEMENTS));
        job.activation = IDENTITY;
        job.dy = du;
    }
    if (db)
        run_parts(F(activate_backward_columns_part), &job,
                  part_count(threads, ceil_div(cols, LANES), rows * cols, PARALLEL_ELEMENTS));
}

/* Mixup: out[i] = λ·x[i] + (1 − λ)·x[i + 1]; the first row follows the last. Reference: fastnn_ref/shared/mixup.py. */
static void F(mix)(const void *x_, void *out_, int64_t rows, int64_t cols, double lambda)
{
    const real *x = x_, one = (real)lambda, other = (real)(1 - lambda);
    real *out = out_;
    for (int64_t i = 0; i < rows; ++i) {
        const real *row = x + i * cols, *next = x + (i + 1 < rows ? i + 1 : 0) * cols;
        ELEMENTWISE for (int64_t j = 0; j < cols; ++j) out[i * cols + j] = one * row[j] + other * next[j];
    }
}

/* ---- softmax over an axis that is not the last one ---- */

typedef struct {
    int activation;
    const real *u, *y, *dy;             /* dy: NULL on the way forward */
    real *out;
    int64_t rows, k, inner;
} F(softmax_axis_t);

/* Some tiles of all; a tile never goes beyond its row of k · inner. */
static void F(softmax_axis_part)(const void *job, int part, int parts)
{
    const F(softmax_axis_t) *g = job;
    const int64_t each = ceil_div(g->inner, LANES), tiles = g->rows * each, k = g->k, inner = g->inner;
    for (int64_t i = part_begin(tiles, part, parts); i < part_begin(tiles, part + 1, parts); ++i) {
        const int64_t p = i % each * LANES, first = i / each * k * inner + p;
        const int n = (int)min64(LANES, inner - p);
        if (g->dy && n == LANES)
            F(softmax_tile_backward)(g->activation, g->y + first, g->dy + first, g->out + first, k, inner, LANES);
        else if (g->dy)
            F(softmax_tile_backward)(g->activation, g->y + first, g->dy + first, g->out + first, k, inner, n);
        else if (n == LANES) F(softmax_tile)(g->activation, g->u + first, g->out + first, k, inner, LANES);
        else F(softmax_tile)(g->activation, g->u + first, g->out + first, k, inner, n);
    }
}

static void F(softmax_axis)(int activation, const void *u, void *y, int64_t rows, int64_t k, int64_t inner,
                            int threads)
{
    const F(softmax_axis_t) job = {activation, u, NULL, NULL, y, rows, k, inner};
    const int64_t tiles = rows * ceil_div(inner, LANES);
    run_parts(F(softmax_axis_part), &job, part_count(threads, tiles, rows * k * inner, PARALLEL_ELEMENTS));
}

static void F(softmax_axis_backward)(int activation, const void *y, const void *dy, void *du, int64_t rows, int64_t k,
                                     int64_t inner, int threads)
{
    const F(softmax_axis_t) job = {activation, NULL, y, dy, du, rows, k, inner};
    const int64_t tiles = rows * ceil_div(inner, LANES);
    run_parts(F(softmax_axis_part), &job, part_count(threads, tiles, rows * k * inner, PARALLEL_ELEMENTS));
}

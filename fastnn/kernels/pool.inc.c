/* Pooling. Reference: fastnn_ref/pool.py. Threads split the planes (a channel of an image), and the planes of
   interleaved blocks. */

static inline int64_t F(plane_count)(const fastnn_pool *g) { return g->images * g->channels; }

/* to[j] = max(a[j], b[j]); to may be a. */
static inline void F(max_row)(const real *a, const real *b, real *to, int64_t n)
{
    int64_t j = 0;
    for (; j + VL <= n; j += VL) {
        const vec one = vload(a + j), other = vload(b + j);
        vstore(to + j, vmax_nan(one, other));
    }
    if (j < n) {
        const vmask mask = vfirst((int)(n - j));
        const vec one = vload_first(a + j, mask), other = vload_first(b + j, mask);
        vstore_first(to + j, mask, vmax_nan(one, other));
    }
}

/* y[e] = the largest of `kernel` values of the row from row[e·step] on, `apart` from each other. With constant
   distances the compiler loads vectors. */
ALWAYS_INLINE void F(max_across)(const real *row, real *y, int64_t n, int64_t kernel, const int64_t apart,
                                 const int64_t step)
{
    if (kernel == 1) {
        for (int64_t e = 0; e < n; ++e) y[e] = row[e * step];
        return;
    }
    ELEMENTWISE for (int64_t e = 0; e < n; ++e) y[e] = MAX_NAN(row[e * step], row[e * step + apart]);
    for (int64_t c = 2; c < kernel; ++c)
        ELEMENTWISE for (int64_t e = 0; e < n; ++e) y[e] = MAX_NAN(y[e], row[e * step + c * apart]);
}

static void F(max_across_any)(const real *row, real *y, int64_t n, int64_t kernel, int64_t apart, int64_t step)
{
    if (apart > 1) F(max_across)(row, y, n, kernel, apart, step);
    else if (step == 1) F(max_across)(row, y, n, kernel, 1, 1);
    else if (step == 2) F(max_across)(row, y, n, kernel, 1, 2);
    else F(max_across)(row, y, n, kernel, 1, step);
}

/* Windows of 2 × 2 pixels that cover the image: `rows` rows of `cols` maxima each. Vectors go beyond a row where other
   rows follow, which are written after it. */
static void F(max_2x2)(const real *x, real *y, int64_t rows, int64_t cols)
{
    const int64_t width = 2 * cols;
    for (int64_t i = 0; i < rows; ++i, x += 2 * width, y += cols)
        for (int64_t j = 0; j < cols; j += VL) {
            const real *upper = x + 2 * j, *lower = upper + width;
            if (VL <= cols - j || VL <= cols * (rows - 1 - i)) {
                const vec one = vmax_nan(vload(upper), vload(lower));
                const vec next = vmax_nan(vload(upper + VL), vload(lower + VL));
                vstore(y + j, vmax_nan(vodds(one, next), vevens(one, next)));
            } else for (int64_t e = j; e < cols; ++e) {
                const real *from = x + 2 * e;
                const real one = MAX_NAN(from[width], from[0]), next = MAX_NAN(from[width + 1], from[1]);
                y[e] = MAX_NAN(one, next);
            }
        }
}

static void F(max_pool_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t planes = F(plane_count)(g), from = part_begin(planes, part, parts);
    const int64_t to = part_begin(planes, part + 1, parts), rows = g->out_rows, cols = g->out_cols;
    if (g->pairs) {
        F(max_2x2)((const real *)g->x + from * g->height * g->width, (real *)g->y + from * rows * cols,
                   (to - from) * rows, cols);
        return;
    }
    const int64_t width = g->width, down = g->dilation_h, across = g->dilation_w, kernel = g->kernel_w;
    const int64_t seen = (cols - 1) * g->stride_w + (kernel - 1) * across + 1, own = g->pad_w + width;
    const int64_t *begin = g->row_begin, *end = g->row_end;
    real *row = (real *)g->scratch + part * g->scratch_size, *inside = row + g->pad_w;
    real *y = (real *)g->y + from * rows * cols;
    for (int64_t e = 0; e < (seen > own ? seen : own); ++e) row[e] = -INFINITY;     /* padding is never the maximum */
    for (int64_t p = from; p < to; ++p)
        for (int64_t i = 0; i < rows; ++i, y += cols) {             /* first down the columns, then across */
            const int64_t top = begin[i], count = end[i] - top;
            const real *x = (const real *)g->x + (p * g->height + top) * width;
            F(max_row)(x, x + (count > down ? down * width : 0), inside, width);
            for (int64_t r = 2 * down; r < count; r += down) F(max_row)(inside, x + r * width, inside, width);
            F(max_across_any)(row, y, cols, kernel, across, g->stride_w);
        }
}

/* Routes the gradients of windows start … end − 1 of output row i, at most STACK_COLUMNS: each goes to the first
   value, row by row, that is the window's maximum. `open` says which windows have not found theirs yet. The outer
   loops go over the taps that meet the image: window j meets column shift + j·step. x and dx are the image's, y and
   dy the output row's. */
static void F(route_range)(const fastnn_pool *g, int64_t i, int64_t start, int64_t end, const real *x, const real *y,
                           const real *dy, real *dx)
{
    const int64_t step = g->stride_w, width = g->width, down = g->dilation_h, across = g->dilation_w;
    const int64_t rightmost = min64((g->kernel_w - 1) * across + 1 - g->pad_w, width - start * step);
    const int64_t leftmost = -g->pad_w, bottom = g->row_end[i];
    real open[STACK_COLUMNS];
    for (int64_t j = start; j < end; ++j) open[j - start] = 1;
    for (int64_t row = g->row_begin[i]; row < bottom; row += down)
        for (int64_t shift = leftmost; shift < rightmost; shift += across) {
            const int64_t first = shift < 0 ? ceil_div(-shift, step) : 0, low = first > start ? first : start;
            const int64_t high = min64(end, ceil_div(width - shift, step));
            const real *from = x + row * width + shift;
            real *to = dx + row * width + shift;
            ELEMENTWISE for (int64_t j = low; j < high; ++j) {
                const real v = from[j * step];
                const int hit = (v == y[j] || v != v) && open[j - start] != 0;
                to[j * step] += hit ? dy[j] : 0;
                open[j - start] = hit ? 0 : open[j - start];
            }
        }
}

static void F(max_pool_backward_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    const int64_t planes = F(plane_count)(g), from = part_begin(planes, part, parts);
    const int64_t to = part_begin(planes, part + 1, parts);
    for (int64_t p = from; p < to; ++p) {
        const real *x = (const real *)g->x + p * image;
        real *dx = (real *)g->dx + p * image;
        for (int64_t e = 0; e < image; ++e) dx[e] = 0;
        for (int64_t i = 0; i < g->out_rows; ++i) {
            const real *y = (const real *)g->y + p * size + i * g->out_cols;
            const real *dy = (const real *)g->dy + p * size + i * g->out_cols;
            for (int64_t j = 0; j < g->out_cols; j += STACK_COLUMNS)
                F(route_range)(g, i, j, min64(j + STACK_COLUMNS, g->out_cols), x, y, dy, dx);
        }
    }
}

/* Any windows, value by value: the bins of an adaptive pool. */
static void F(max_bins_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t planes = F(plane_count)(g), image = g->height * g->width, end = part_begin(planes, part + 1, parts);
    int64_t p = part_begin(planes, part, parts);
    real *y = (real *)g->y + p * g->out_rows * g->out_cols;
    for (; p < end; ++p)
        for (int64_t i = 0; i < g->out_rows; ++i)
            for (int64_t j = 0; j < g->out_cols; ++j, ++y) {
                const real *x = (const real *)g->x + p * image;
                *y = x[g->row_begin[i] * g->width + g->col_begin[j]];
                for (int64_t r = g->row_begin[i]; r < g->row_end[i]; ++r)
                    for (int64_t c = g->col_begin[j]; c < g->col_end[j]; ++c) *y = MAX_NAN(*y, x[r * g->width + c]);
            }
}

/* Where the window's maximum, or its first NaN, stands. */
static inline int64_t F(place_of_max)(const fastnn_pool *g, int64_t i, int64_t j, const real *x, real max)
{
    for (int64_t r = g->row_begin[i]; r < g->row_end[i]; ++r)
        for (int64_t c = g->col_begin[j]; c < g->col_end[j]; ++c) {
            const real v = x[r * g->width + c];
            if (v == max || v != v) return r * g->width + c;
        }
    return g->row_begin[i] * g->width + g->col_begin[j];
}

static void F(max_bins_backward_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t planes = F(plane_count)(g), image = g->height * g->width, end = part_begin(planes, part + 1, parts);
    for (int64_t p = part_begin(planes, part, parts); p < end; ++p) {
        const real *x = (const real *)g->x + p * image;
        const int64_t at = p * g->out_rows * g->out_cols;
        const real *y = (const real *)g->y + at, *dy = (const real *)g->dy + at;
        real *dx = (real *)g->dx + p * image;
        for (int64_t e = 0; e < image; ++e) dx[e] = 0;
        for (int64_t i = 0; i < g->out_rows; ++i)
            for (int64_t j = 0; j < g->out_cols; ++j) dx[F(place_of_max)(g, i, j, x, *y++)] += *dy++;
    }
}

/* The sum of a window of more pixels is that of chains of about so many, as one chain would lose its digits. */
#undef CHAIN
#define CHAIN 64

typedef struct {
    int64_t top, bottom, left, right;
} F(window_t);

/* The width of the widest window of so many rows that is one chain. */
static inline int64_t F(widest)(int64_t rows) { return rows > 0 ? CHAIN / rows : CHAIN; }

static real F(sum_of_large)(const real *x, int64_t width, F(window_t) w)
{
    double total = 0;
    real chain = 0;
    int64_t length = 0;
    for (int64_t r = w.top; r < w.bottom; ++r)
        for (int64_t from = w.left, to; from < w.right; from = to) {
            to = min64(from + CHAIN, w.right);
            for (int64_t c = from; c < to; ++c) chain += x[r * width + c];
            length += to - from;
            if (length < CHAIN) continue;
            total += (double)chain;
            chain = 0;
            length = 0;
        }
    return (real)(total + (double)chain);
}

static void F(avg_interleaved)(const fastnn_pool *g, const real *x, real *y);

static void F(avg_pool_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const real *row_size = g->row_size, *col_size = g->col_size;
    const int64_t image = g->height * g->width;
    const int64_t planes = F(plane_count)(g), end = part_begin(planes, part + 1, parts);
    int64_t p = part_begin(planes, part, parts);
    /* One window: LANES planes are summed side by side, as images are, where one chain would wait for itself. */
    for (; g->out_rows * g->out_cols == 1 && g->channels >= LANES && p + LANES <= end; p += LANES) {
        real *lines = (real *)g->scratch + part * g->scratch_size;
        F(transpose)((const real *)g->x + p * image, image, lines, LANES, LANES, image);
        F(avg_interleaved)(g, lines, (real *)g->y + p);
    }
    for (; p < end; ++p) {
        const real *x = (const real *)g->x + p * image;
        real *y = (real *)g->y + p * g->out_rows * g->out_cols;
        for (int64_t i = 0; i < g->out_rows; ++i) {
            const int64_t top = g->row_begin[i], bottom = g->row_end[i];
            const int64_t widest = F(widest)(bottom - top);
            const real high = row_size[i];
            for (int64_t j = 0; j < g->out_cols; ++j) {
                const int64_t left = g->col_begin[j], right = g->col_end[j];
                real total = 0;
                if (right - left > widest)
                    total = F(sum_of_large)(x, g->width, (F(window_t)){top, bottom, left, right});
                else for (int64_t r = top; r < bottom; ++r)
                    for (int64_t c = left; c < right; ++c) total += x[r * g->width + c];
                *y++ = total / (high * col_size[j]);
            }
        }
    }
}

static void F(avg_pool_backward_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const real *row_size = g->row_size, *col_size = g->col_size;
    const int64_t image = g->height * g->width;
    const int64_t planes = F(plane_count)(g), end = part_begin(planes, part + 1, parts);
    for (int64_t p = part_begin(planes, part, parts); p < end; ++p) {
        const real *dy = (const real *)g->dy + p * g->out_rows * g->out_cols;
        real *dx = (real *)g->dx + p * image;
        for (int64_t e = 0; e < image; ++e) dx[e] = 0;
        for (int64_t i = 0; i < g->out_rows; ++i) {
            const int64_t top = g->row_begin[i], bottom = g->row_end[i];
            for (int64_t j = 0; j < g->out_cols; ++j) {
                const int64_t left = g->col_begin[j], right = g->col_end[j];
                const real gradient = *dy++ / (row_size[i] * col_size[j]);
                for (int64_t r = top; r < bottom; ++r)
                    for (int64_t c = left; c < right; ++c) dx[r * g->width + c] += gradient;
            }
        }
    }
}

/* A window as large as the image: its sum has LANES running sums, where avg_pool's is one chain. */
static void F(global_pool_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t image = g->height * g->width;
    const int64_t planes = F(plane_count)(g), end = part_begin(planes, part + 1, parts);
    for (int64_t p = part_begin(planes, part, parts); p < end; ++p)
        ((real *)g->y)[p] = F(mean)((const real *)g->x + p * image, image);
}

/* ---- a plane of an interleaved block: each pixel is a line, for which the same is done as for a pixel above ---- */

/* The comparisons are those of max_pool_part, in the same order, so the bits are the same. */
static void F(max_interleaved)(const fastnn_pool *g, const real *x, real *y)
{
    const int64_t down = g->dilation_h * g->width * LANES, across = g->dilation_w;
    for (int64_t i = 0; i < g->out_rows; ++i)
        for (int64_t j = 0; j < g->out_cols; ++j, y += LANES) {
            const int64_t top = g->row_begin[i], left = g->col_begin[j], right = g->col_end[j];
            const int64_t rest = g->row_end[i] - g->dilation_h;
            if (rest - top == 1 && right - left == 2 && g->dilation_h == 1 && across == 1) {  /* no loops */
                const real *from = x + (top * g->width + left) * LANES;
                UNROLL for (int v = 0; v < LANES; v += VL, from += VL) {
                    const vec column = vmax_nan(vload(from), vload(from + down));
                    const vec next = vmax_nan(vload(from + LANES), vload(from + down + LANES));
                    vstore(y + v, vmax_nan(next, column));
                }
                continue;
            }
            UNROLL for (int v = 0; v < LANES; v += VL) {
                vec best = vzero();
                for (int64_t c = left; c < right; c += across) {
                    const real *from = x + (top * g->width + c) * LANES + v;
                    vec column = vload(from);
                    for (int64_t r = top; r < rest; r += g->dilation_h) {
                        from += down;
                        column = vmax_nan(column, vload(from));
                    }
                    best = c > left ? vmax_nan(column, best) : column;
                }
                vstore(y + v, best);
            }
        }
}

/* Routes the gradients of one window of lines, `rows` values down and `cols` values across; its taps are `down` and
   `across` values apart. `open` holds the lanes' gradients that have not found their maximum yet, and 0 in the other
   lanes. */
ALWAYS_INLINE void F(route_interleaved)(const int tiled, const real *x, const real *y, const real *dy, real *dx,
                                        int64_t rows, int64_t cols, int64_t down, int64_t across)
{
    UNROLL for (int v = 0; v < LANES; v += VL) {
        const vec top = vload(y + v);
        vec open = vload(dy + v);
        for (int64_t r = v; r < rows; r += down)
            for (int64_t at = r; at < r + cols; at += across) {
                const vec value = vload(x + at);
                vec gradient = vwhere_equal(value, top, open);
                if (!tiled) gradient += vload(dx + at);
                vstore(dx + at, gradient);
                open = vwhere_other(value, top, open);
            }
    }
}

/* The same for tiled windows of 2 × 2 pixels, without loops. */
static void F(route_2x2)(const real *x, const real *y, const real *dy, real *dx, int64_t pitch)
{
    UNROLL for (int v = 0; v < LANES; v += VL) {
        const vec top = vload(y + v);
        vec open = vload(dy + v);
        UNROLL for (int p = 0; p < 4; ++p) {
            const int64_t at = (p / 2 ? pitch : 0) + p % 2 * LANES + v;
            const vec value = vload(x + at);
            vstore(dx + at, vwhere_equal(value, top, open));
            open = vwhere_other(value, top, open);
        }
    }
}

static void F(max_interleaved_backward)(const fastnn_pool *g, const real *x, const real *y, const real *dy, real *dx)
{
    const int64_t pitch = g->width * LANES, down = g->dilation_h * pitch, across = g->dilation_w * LANES;
    for (int64_t e = 0; e < g->height * pitch && !g->tiled; ++e) dx[e] = 0;
    for (int64_t i = 0; i < g->out_rows; ++i)
        for (int64_t j = 0; j < g->out_cols; ++j, y += LANES, dy += LANES) {
            const int64_t top = g->row_begin[i], left = g->col_begin[j], at = top * pitch + left * LANES;
            const int64_t rows = (g->row_end[i] - top) * pitch, cols = (g->col_end[j] - left) * LANES;
            if (g->tiled && rows == 2 * pitch && cols == 2 * LANES) F(route_2x2)(x + at, y, dy, dx + at, pitch);
            else if (g->tiled) F(route_interleaved)(1, x + at, y, dy, dx + at, rows, cols, pitch, LANES);
            else F(route_interleaved)(0, x + at, y, dy, dx + at, rows, cols, down, across);
        }
}

/* The same of each of LANES images, to `sum`. */
static void F(sum_of_large_lines)(const real *x, int64_t width, F(window_t) w, real *sum)
{
    vec chain[LANE_VECTORS];
    double total[LANES] = {0};
    int64_t length = 0;
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) chain[v] = vzero();
    for (int64_t r = w.top; r < w.bottom; ++r)
        for (int64_t from = w.left, to; from < w.right; from = to) {
            to = min64(from + CHAIN, w.right);
            for (int64_t c = from; c < to; ++c)
                UNROLL for (int v = 0; v < LANE_VECTORS; ++v) chain[v] += vload(x + (r * width + c) * LANES + v * VL);
            length += to - from;
            if (length < CHAIN && (r + 1 < w.bottom || to < w.right)) continue;
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v) {
                vstore(sum + v * VL, chain[v]);
                chain[v] = vzero();
            }
            for (int l = 0; l < LANES; ++l) total[l] += (double)sum[l];
            length = 0;
        }
    for (int l = 0; l < LANES; ++l) sum[l] = (real)total[l];
}

static void F(avg_interleaved)(const fastnn_pool *g, const real *x, real *y)
{
    const real *row_size = g->row_size, *col_size = g->col_size;
    for (int64_t i = 0; i < g->out_rows; ++i) {
        const int64_t top = g->row_begin[i], bottom = g->row_end[i], widest = F(widest)(bottom - top);
        for (int64_t j = 0; j < g->out_cols; ++j, y += LANES) {
            const int64_t left = g->col_begin[j], right = g->col_end[j];
            const real count = row_size[i] * col_size[j];
            vec total[LANE_VECTORS];
            if (right - left > widest) {
                F(sum_of_large_lines)(x, g->width, (F(window_t)){top, bottom, left, right}, y);
                UNROLL for (int v = 0; v < LANE_VECTORS; ++v) vstore(y + v * VL, vload(y + v * VL) / vset1(count));
                continue;
            }
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v) total[v] = vzero();
            for (int64_t r = top; r < bottom; ++r)
                for (int64_t c = left; c < right; ++c)
                    UNROLL for (int v = 0; v < LANE_VECTORS; ++v)
                        total[v] += vload(x + (r * g->width + c) * LANES + v * VL);
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v) vstore(y + v * VL, total[v] / vset1(count));
        }
    }
}

static void F(avg_interleaved_backward)(const fastnn_pool *g, const real *x, const real *y, const real *dy, real *dx)
{
    const real *row_size = g->row_size, *col_size = g->col_size;
    (void)x, (void)y;
    for (int64_t e = 0; e < g->height * g->width * LANES; ++e) dx[e] = 0;
    for (int64_t i = 0; i < g->out_rows; ++i) {
        const int64_t top = g->row_begin[i], bottom = g->row_end[i];
        for (int64_t j = 0; j < g->out_cols; ++j, dy += LANES) {
            const int64_t left = g->col_begin[j], right = g->col_end[j];
            const real count = row_size[i] * col_size[j];
            vec gradient[LANE_VECTORS];
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v) gradient[v] = vload(dy + v * VL) / vset1(count);
            for (int64_t r = top; r < bottom; ++r)
                for (int64_t c = left; c < right; ++c) {
                    real *to = dx + (r * g->width + c) * LANES;
                    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) vstore(to + v * VL, vload(to + v * VL) + gradient[v]);
                }
        }
    }
}

/* A kind of pooling: its parts for single images, and functions for a plane of an interleaved block (NULL: none). */
typedef struct {
    fastnn_part forward, backward;
    int backward_reads;                         /* whether backward reads x and y */
    void (*interleaved)(const fastnn_pool *g, const real *x, real *y);
    void (*interleaved_backward)(const fastnn_pool *g, const real *x, const real *y, const real *dy, real *dx);
} F(pooling_t);

typedef struct {
    const fastnn_pool *pool;
    const F(pooling_t) *kind;
    int backward;
} F(pool_interleaved_t);

/* A plane of LANES images as lines: where it stands, or transposed into `lines`; and the way back. */
static const real *F(lines_of)(int interleaved, const real *x, int64_t image, int64_t size, real *lines)
{
    if (interleaved) return x;
    F(transpose)(x, image, lines, LANES, LANES, size);
    return lines;
}

static void F(lines_to)(int interleaved, const real *lines, real *x, int64_t image, int64_t size)
{
    if (!interleaved) F(transpose)(lines, LANES, x, image, size, LANES);
}

/* This part of the planes of the interleaved blocks. */
static void F(pool_interleaved_part)(const void *job, int part, int parts)
{
    const F(pool_interleaved_t) *p = job;
    const fastnn_pool *g = p->pool;
    const int x_lines = g->x_interleaved, y_lines = g->y_interleaved;       /* whether they are lines already */
    const int64_t x_size = g->height * g->width, y_size = g->out_rows * g->out_cols, channels = g->channels;
    const int64_t units = F(interleaved_blocks)(g->images) * channels, end = part_begin(units, part + 1, parts);
    real *x_copy = (real *)g->scratch + part * g->scratch_size, *dx_copy = x_copy + x_size * LANES;
    real *y_copy = dx_copy + x_size * LANES, *dy_copy = y_copy + y_size * LANES;
    for (int64_t e = part_begin(units, part, parts); e < end; ++e) {
        const int64_t n = e / channels * LANES, c = e % channels;
        const int64_t x_at = (n * channels + c * (x_lines ? LANES : 1)) * x_size;
        const int64_t y_at = (n * channels + c * (y_lines ? LANES : 1)) * y_size;
        const real *x = (const real *)g->x + x_at;
        real *y = (real *)g->y + y_at;
        if (!p->backward || p->kind->backward_reads) x = F(lines_of)(x_lines, x, channels * x_size, x_size, x_copy);
        if (!p->backward) {
            p->kind->interleaved(g, x, y_lines ? y : y_copy);
            F(lines_to)(y_lines, y_copy, y, channels * y_size, y_size);
        } else {
            const real *ys = y;
            if (p->kind->backward_reads) ys = F(lines_of)(y_lines, y, channels * y_size, y_size, y_copy);
            const real *dy = F(lines_of)(y_lines, (const real *)g->dy + y_at, channels * y_size, y_size, dy_copy);
            real *dx = (real *)g->dx + x_at;
            p->kind->interleaved_backward(g, x, ys, dy, x_lines ? dx : dx_copy);
            F(lines_to)(x_lines, dx_copy, dx, channels * x_size, x_size);
        }
    }
}

/* The interleaved blocks, then the single images behind them. */
static void F(pool)(const fastnn_pool *g, const F(pooling_t) *kind, int backward)
{
    const int64_t blocks = kind->interleaved ? F(interleaved_blocks)(g->images) : 0;
    const int64_t planes = blocks * LANES * g->channels;        /* of the interleaved images */
    const int64_t x_size = g->height * g->width, y_size = g->out_rows * g->out_cols;
    const F(pool_interleaved_t) job = {g, kind, backward};
    fastnn_pool single = *g;
    single.images -= blocks * LANES;
    single.x = (const real *)g->x + planes * x_size;
    single.y = (real *)g->y + planes * y_size;
    if (backward) {
        single.dy = (const real *)g->dy + planes * y_size;
        single.dx = (real *)g->dx + planes * x_size;
    }
    if (blocks)
        run_parts(F(pool_interleaved_part), &job,
                  part_count(g->threads, blocks * g->channels, planes * x_size, PARALLEL_ELEMENTS));
    if (single.images)
        run_parts(backward ? kind->backward : kind->forward, &single,
                  part_count(g->threads, F(plane_count)(&single), F(plane_count)(&single) * x_size, PARALLEL_ELEMENTS));
}

static const F(pooling_t)
    F(max_pooling) = {F(max_pool_part), F(max_pool_backward_part), 1, F(max_interleaved), F(max_interleaved_backward)},
    F(max_bins) = {F(max_bins_part), F(max_bins_backward_part), 1, F(max_interleaved), F(max_interleaved_backward)},
    F(avg_pooling) = {F(avg_pool_part), F(avg_pool_backward_part), 0, F(avg_interleaved), F(avg_interleaved_backward)},
    F(global_pooling) = {F(global_pool_part), F(avg_pool_backward_part), 0, NULL, NULL};

static void F(max_pool)(const fastnn_pool *g) { F(pool)(g, &F(max_pooling), 0); }
static void F(max_pool_backward)(const fastnn_pool *g) { F(pool)(g, &F(max_pooling), 1); }
static void F(adaptive_max_pool)(const fastnn_pool *g) { F(pool)(g, &F(max_bins), 0); }
static void F(adaptive_max_pool_backward)(const fastnn_pool *g) { F(pool)(g, &F(max_bins), 1); }
static void F(avg_pool)(const fastnn_pool *g) { F(pool)(g, &F(avg_pooling), 0); }
static void F(avg_pool_backward)(const fastnn_pool *g) { F(pool)(g, &F(avg_pooling), 1); }
static void F(global_pool)(const fastnn_pool *g) { F(pool)(g, &F(global_pooling), 0); }
static void F(global_pool_backward)(const fastnn_pool *g) { F(pool)(g, &F(global_pooling), 1); }

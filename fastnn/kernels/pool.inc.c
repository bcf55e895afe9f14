/* Pooling. Twin: fastnn_ref/pool.py. Threads split the channels' images, and blocks of them. */

static inline int64_t F(planes)(const fastnn_pool *g) { return g->images * g->channels; }

/* The part of window i that lies inside: from … to − 1. */
static inline void F(inside)(int64_t i, int64_t stride, int64_t pad, int64_t kernel, int64_t side, int64_t *from,
                             int64_t *to)
{
    const int64_t start = i * stride - pad;
    *from = start < 0 ? 0 : start;
    *to = min64(start + kernel, side);
}

/* to[j] = the larger of a[j] and b[j]; to may be a. */
static inline void F(larger_row)(const real *a, const real *b, real *to, int64_t n)
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

/* y[e] = the largest of row[e·step] … row[e·step + kernel − 1]; a constant step lets the compiler load vectors. */
ALWAYS_INLINE void F(largest_across)(const real *row, real *y, int64_t n, int64_t kernel, const int64_t step)
{
    if (kernel == 1) {
        for (int64_t e = 0; e < n; ++e) y[e] = row[e * step];
        return;
    }
    ELEMENTWISE for (int64_t e = 0; e < n; ++e) y[e] = MAX_NAN(row[e * step], row[e * step + 1]);
    for (int64_t c = 2; c < kernel; ++c)
        ELEMENTWISE for (int64_t e = 0; e < n; ++e) y[e] = MAX_NAN(y[e], row[e * step + c]);
}

static void F(largest_run)(const real *row, real *y, int64_t n, int64_t kernel, int64_t step)
{
    if (step == 1) F(largest_across)(row, y, n, kernel, 1);
    else if (step == 2) F(largest_across)(row, y, n, kernel, 2);
    else F(largest_across)(row, y, n, kernel, step);
}

static void F(max_pool_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t from = part_begin(F(planes)(g), part, parts), to = part_begin(F(planes)(g), part + 1, parts);
    const int64_t width = g->width + 2 * g->pad_w, rows = g->out_rows;
    real *row = (real *)g->scratch + part * g->scratch_size, *y = (real *)g->y + from * rows * g->out_cols;
    for (int64_t e = 0; e < width; ++e) row[e] = -INFINITY;         /* padding never wins */
    for (int64_t p = from; p < to; ++p)
        for (int64_t i = 0; i < rows; ++i, y += g->out_cols) {      /* down the columns, then across */
            int64_t top, bottom;
            F(inside)(i, g->stride_h, g->pad_h, g->kernel_h, g->height, &top, &bottom);
            const real *x = (const real *)g->x + (p * g->height + top) * g->width;
            F(larger_row)(x, x + (bottom - top > 1 ? g->width : 0), row + g->pad_w, g->width);
            for (int64_t r = 2; r < bottom - top; ++r) F(larger_row)(row + g->pad_w, x + r * g->width, row + g->pad_w, g->width);
            F(largest_run)(row, y, g->out_cols, g->kernel_w, g->stride_w);
        }
}

/* The slopes of windows start … end − 1 of output row i, at most STACK_COLUMNS: each goes to the first value, by rows, that is the
   window's maximum; `open` says whose is not found yet. Tap by tap of those that see the image: window j sees column
   shift + j·step. x and dx are the image's, y and dy the output row's. */
static void F(route_range)(const fastnn_pool *g, int64_t i, int64_t start, int64_t end, const real *x, const real *y,
                           const real *dy, real *dx)
{
    const int64_t step = g->stride_w, leftmost = -min64(g->pad_w, (end - 1) * step);
    const int64_t rightmost = min64(g->kernel_w - g->pad_w, g->width - start * step);
    int64_t top, bottom;
    real open[STACK_COLUMNS];
    for (int64_t j = start; j < end; ++j) open[j - start] = 1;
    F(inside)(i, g->stride_h, g->pad_h, g->kernel_h, g->height, &top, &bottom);
    for (int64_t row = top; row < bottom; ++row)
        for (int64_t shift = leftmost; shift < rightmost; ++shift) {
            const int64_t first = shift < 0 ? ceil_div(-shift, step) : 0, low = first > start ? first : start;
            const int64_t high = min64(end, ceil_div(g->width - shift, step));
            const real *from = x + row * g->width + shift;
            real *to = dx + row * g->width + shift;
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
    const int64_t from = part_begin(F(planes)(g), part, parts), to = part_begin(F(planes)(g), part + 1, parts);
    for (int64_t p = from; p < to; ++p) {
        real *dx = (real *)g->dx + p * image;
        for (int64_t e = 0; e < image; ++e) dx[e] = 0;
        for (int64_t i = 0; i < g->out_rows; ++i) {
            const real *y = (const real *)g->y + p * size + i * g->out_cols;
            const real *dy = (const real *)g->dy + p * size + i * g->out_cols;
            for (int64_t j = 0; j < g->out_cols; j += STACK_COLUMNS)
                F(route_range)(g, i, j, min64(j + STACK_COLUMNS, g->out_cols), (const real *)g->x + p * image, y, dy, dx);
        }
    }
}

static void F(avg_pool_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    const real count = (real)(g->kernel_h * g->kernel_w);
    for (int64_t p = part_begin(F(planes)(g), part, parts); p < part_begin(F(planes)(g), part + 1, parts); ++p) {
        const real *x = (const real *)g->x + p * image;
        real *y = (real *)g->y + p * size;
        for (int64_t i = 0; i < g->out_rows; ++i)
            for (int64_t j = 0; j < g->out_cols; ++j) {
                int64_t top, bottom, left, right;
                F(inside)(i, g->stride_h, g->pad_h, g->kernel_h, g->height, &top, &bottom);
                F(inside)(j, g->stride_w, g->pad_w, g->kernel_w, g->width, &left, &right);
                real total = 0;
                for (int64_t r = top; r < bottom; ++r)
                    for (int64_t c = left; c < right; ++c) total += x[r * g->width + c];
                y[i * g->out_cols + j] = total / count;
            }
    }
}

static void F(avg_pool_backward_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    const real count = (real)(g->kernel_h * g->kernel_w);
    for (int64_t p = part_begin(F(planes)(g), part, parts); p < part_begin(F(planes)(g), part + 1, parts); ++p) {
        const real *dy = (const real *)g->dy + p * size;
        real *dx = (real *)g->dx + p * image;
        for (int64_t e = 0; e < image; ++e) dx[e] = 0;
        for (int64_t i = 0; i < g->out_rows; ++i)
            for (int64_t j = 0; j < g->out_cols; ++j) {
                int64_t top, bottom, left, right;
                F(inside)(i, g->stride_h, g->pad_h, g->kernel_h, g->height, &top, &bottom);
                F(inside)(j, g->stride_w, g->pad_w, g->kernel_w, g->width, &left, &right);
                const real share = dy[i * g->out_cols + j] / count;
                for (int64_t r = top; r < bottom; ++r)
                    for (int64_t c = left; c < right; ++c) dx[r * g->width + c] += share;
            }
    }
}

/* A window as large as the image: the sum over lanes, not a chain. */
static void F(global_pool_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t image = g->height * g->width;
    for (int64_t p = part_begin(F(planes)(g), part, parts); p < part_begin(F(planes)(g), part + 1, parts); ++p)
        ((real *)g->y)[p] = F(sum)((const real *)g->x + p * image, image) / (real)image;
}

/* ---- a channel of a block: each pixel is a line, and what is done to pixels above is done to lines ---- */

/* What two neighbours in a window are compared by is the same, in the same order, as above: the same bits. */
static void F(max_lines)(const fastnn_pool *g, const real *x, real *y)
{
    for (int64_t i = 0; i < g->out_rows; ++i)
        for (int64_t j = 0; j < g->out_cols; ++j, y += LANES) {
            int64_t top, bottom, left, right;
            F(inside)(i, g->stride_h, g->pad_h, g->kernel_h, g->height, &top, &bottom);
            F(inside)(j, g->stride_w, g->pad_w, g->kernel_w, g->width, &left, &right);
            UNROLL for (int v = 0; v < LANES; v += VL) {
                vec best = vzero();
                for (int64_t c = left; c < right; ++c) {
                    const real *from = x + (top * g->width + c) * LANES + v;
                    vec column = vload(from);
                    for (int64_t r = top + 1; r < bottom; ++r) {
                        from += g->width * LANES;
                        column = vmax_nan(column, vload(from));
                    }
                    best = c > left ? vmax_nan(column, best) : column;
                }
                vstore(y + v, best);
            }
        }
}

/* Do the windows cover the image without a gap, an overlap, padding or a rest? Then each pixel gets its slope once. */
static inline int F(tiled)(const fastnn_pool *g)
{
    return g->kernel_h == g->stride_h && g->kernel_w == g->stride_w && !g->pad_h && !g->pad_w
        && g->height == g->kernel_h * g->out_rows && g->width == g->kernel_w * g->out_cols;
}

/* The slopes of one window of `rows` × `cols` lines, `pitch` values from row to row: `rest` is still to be given away. */
ALWAYS_INLINE void F(route_interleaved)(const int tiled, const real *x, const real *y, const real *dy, real *dx, int64_t rows,
                                  int64_t cols, int64_t pitch)
{
    UNROLL for (int v = 0; v < LANES; v += VL) {
        const vec top = vload(y + v);
        vec rest = vload(dy + v);
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < cols; ++c) {
                const int64_t at = r * pitch + c * LANES + v;
                const vec value = vload(x + at);
                vec given = vwhere_equal(value, top, rest);
                if (!tiled) given += vload(dx + at);
                vstore(dx + at, given);
                rest = vwhere_other(value, top, rest);
            }
    }
}

static void F(max_lines_backward)(const fastnn_pool *g, const real *x, const real *y, const real *dy, real *dx)
{
    const int64_t pitch = g->width * LANES;
    const int tiled = F(tiled)(g);
    for (int64_t e = 0; e < g->height * pitch && !tiled; ++e) dx[e] = 0;
    for (int64_t i = 0; i < g->out_rows; ++i)
        for (int64_t j = 0; j < g->out_cols; ++j, y += LANES, dy += LANES) {
            int64_t top, bottom, left, right;
            F(inside)(i, g->stride_h, g->pad_h, g->kernel_h, g->height, &top, &bottom);
            F(inside)(j, g->stride_w, g->pad_w, g->kernel_w, g->width, &left, &right);
            const int64_t at = top * pitch + left * LANES;
            if (tiled) F(route_interleaved)(1, x + at, y, dy, dx + at, bottom - top, right - left, pitch);
            else F(route_interleaved)(0, x + at, y, dy, dx + at, bottom - top, right - left, pitch);
        }
}

static void F(avg_lines)(const fastnn_pool *g, const real *x, real *y)
{
    const real count = (real)(g->kernel_h * g->kernel_w);
    for (int64_t i = 0; i < g->out_rows; ++i)
        for (int64_t j = 0; j < g->out_cols; ++j, y += LANES) {
            int64_t top, bottom, left, right;
            real total[LANES] = {0};
            F(inside)(i, g->stride_h, g->pad_h, g->kernel_h, g->height, &top, &bottom);
            F(inside)(j, g->stride_w, g->pad_w, g->kernel_w, g->width, &left, &right);
            for (int64_t r = top; r < bottom; ++r)
                for (int64_t c = left; c < right; ++c)
                    for (int l = 0; l < LANES; ++l) total[l] += x[(r * g->width + c) * LANES + l];
            for (int l = 0; l < LANES; ++l) y[l] = total[l] / count;
        }
}

static void F(avg_lines_backward)(const fastnn_pool *g, const real *x, const real *y, const real *dy, real *dx)
{
    const real count = (real)(g->kernel_h * g->kernel_w);
    (void)x, (void)y;
    for (int64_t e = 0; e < g->height * g->width * LANES; ++e) dx[e] = 0;
    for (int64_t i = 0; i < g->out_rows; ++i)
        for (int64_t j = 0; j < g->out_cols; ++j, dy += LANES) {
            int64_t top, bottom, left, right;
            real share[LANES];
            F(inside)(i, g->stride_h, g->pad_h, g->kernel_h, g->height, &top, &bottom);
            F(inside)(j, g->stride_w, g->pad_w, g->kernel_w, g->width, &left, &right);
            for (int l = 0; l < LANES; ++l) share[l] = dy[l] / count;
            for (int64_t r = top; r < bottom; ++r)
                for (int64_t c = left; c < right; ++c)
                    for (int l = 0; l < LANES; ++l) dx[(r * g->width + c) * LANES + l] += share[l];
        }
}

/* One way of pooling and its way back. */
typedef struct {
    fastnn_part forward, backward;
    void (*lines)(const fastnn_pool *g, const real *x, real *y);
    void (*lines_backward)(const fastnn_pool *g, const real *x, const real *y, const real *dy, real *dx);
} F(pooling_t);

typedef struct {
    const fastnn_pool *pool;
    const F(pooling_t) *kind;
    int back;
} F(pool_blocks_t);

/* The channel of a block as lines: where it stands, or a copy in `lines`; and from lines back to where it stands. */
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

/* A share of the blocks' channels. */
static void F(pool_blocks_part)(const void *job, int part, int parts)
{
    const F(pool_blocks_t) *p = job;
    const fastnn_pool *g = p->pool;
    const int x_in = g->x_interleaved, y_in = g->y_interleaved;
    const int64_t inside = g->height * g->width, outside = g->out_rows * g->out_cols, channels = g->channels;
    const int64_t all = F(interleaved_blocks)(g->images) * channels;
    real *x_lines = (real *)g->scratch + part * g->scratch_size, *dx_lines = x_lines + inside * LANES;
    real *y_lines = dx_lines + inside * LANES, *dy_lines = y_lines + outside * LANES;
    for (int64_t e = part_begin(all, part, parts); e < part_begin(all, part + 1, parts); ++e) {
        const int64_t n = e / channels * LANES, c = e % channels;
        const int64_t in = (n * channels + c * (x_in ? LANES : 1)) * inside, out = (n * channels + c * (y_in ? LANES : 1)) * outside;
        const real *x = F(lines_of)(x_in, (const real *)g->x + in, channels * inside, inside, x_lines);
        real *y = (real *)g->y + out;
        if (!p->back) {
            p->kind->lines(g, x, y_in ? y : y_lines);
            F(lines_to)(y_in, y_lines, y, channels * outside, outside);
        } else {
            const real *ys = F(lines_of)(y_in, y, channels * outside, outside, y_lines);
            const real *dy = F(lines_of)(y_in, (const real *)g->dy + out, channels * outside, outside, dy_lines);
            real *dx = (real *)g->dx + in;
            p->kind->lines_backward(g, x, ys, dy, x_in ? dx : dx_lines);
            F(lines_to)(x_in, dx_lines, dx, channels * inside, inside);
        }
    }
}

/* The blocks, then image by image. */
static void F(pool)(const fastnn_pool *g, const F(pooling_t) *kind, int back)
{
    const int64_t blocks = kind->lines ? F(interleaved_blocks)(g->images) : 0, seen = blocks * LANES * g->channels;
    const int64_t inside = g->height * g->width, outside = g->out_rows * g->out_cols;
    const F(pool_blocks_t) job = {g, kind, back};
    fastnn_pool rest = *g;
    rest.images -= blocks * LANES;
    rest.x = (const real *)g->x + seen * inside;
    rest.y = (real *)g->y + seen * outside;
    if (back) {
        rest.dy = (const real *)g->dy + seen * outside;
        rest.dx = (real *)g->dx + seen * inside;
    }
    if (blocks) run_parts(F(pool_blocks_part), &job, part_count(g->threads, blocks * g->channels, seen * inside, PARALLEL_ELEMENTS));
    if (rest.images)
        run_parts(back ? kind->backward : kind->forward, &rest,
            part_count(g->threads, F(planes)(&rest), F(planes)(&rest) * inside, PARALLEL_ELEMENTS));
}

static const F(pooling_t)
    F(maximum_of) = {F(max_pool_part), F(max_pool_backward_part), F(max_lines), F(max_lines_backward)},
    F(average_of) = {F(avg_pool_part), F(avg_pool_backward_part), F(avg_lines), F(avg_lines_backward)},
    F(average_of_all) = {F(global_pool_part), F(avg_pool_backward_part), NULL, NULL};

static void F(max_pool)(const fastnn_pool *g) { F(pool)(g, &F(maximum_of), 0); }
static void F(max_pool_backward)(const fastnn_pool *g) { F(pool)(g, &F(maximum_of), 1); }
static void F(avg_pool)(const fastnn_pool *g) { F(pool)(g, &F(average_of), 0); }
static void F(avg_pool_backward)(const fastnn_pool *g) { F(pool)(g, &F(average_of), 1); }
static void F(global_pool)(const fastnn_pool *g) { F(pool)(g, &F(average_of_all), 0); }
static void F(global_pool_backward)(const fastnn_pool *g) { F(pool)(g, &F(average_of_all), 1); }

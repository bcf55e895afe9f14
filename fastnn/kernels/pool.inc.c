/* Pooling. Twin: fastnn_ref/pool.py. Threads split the channels' images. */

/* The part of window i that lies inside: from … to − 1. */
static inline void F(inside)(int64_t i, int64_t stride, int64_t pad, int64_t kernel, int64_t side, int64_t *from,
                             int64_t *to)
{
    const int64_t start = i * stride - pad;
    *from = start < 0 ? 0 : start;
    *to = min64(start + kernel, side);
}

/* Each tap of the windows in output row i, by rows: it sees row `row` of the image, and for output columns low … high − 1
   of from … to the column shift + j·stride_w, which is inside. */
#undef FOR_TAPS
#define FOR_TAPS(g, i, from, to) \
    for (int64_t tap = 0, row, shift, low, high; tap < (g)->kernel_h * (g)->kernel_w; ++tap) \
        if ((row = (i) * (g)->stride_h - (g)->pad_h + tap / (g)->kernel_w) >= 0 && row < (g)->height \
            && (shift = tap % (g)->kernel_w - (g)->pad_w, \
                low = shift >= 0 ? (from) : ceil_div(-shift, (g)->stride_w) > (from) ? ceil_div(-shift, (g)->stride_w) : (from), \
                high = min64((to), shift < (g)->width ? ceil_div((g)->width - shift, (g)->stride_w) : 0), low < high))

static void F(max_pool_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    for (int64_t p = cut(g->planes, part, parts); p < cut(g->planes, part + 1, parts); ++p)
        for (int64_t i = 0; i < g->out_rows; ++i) {
            const real *x = (const real *)g->x + p * image;
            real *y = (real *)g->y + p * size + i * g->out_cols;
            for (int64_t j = 0; j < g->out_cols; ++j) y[j] = -INFINITY;
            FOR_TAPS(g, i, 0, g->out_cols) {
                const real *from = x + row * g->width + shift;
                const int64_t step = g->stride_w;
                if (step == 2)                      /* a constant: the compiler then loads vectors */
                    ELEMENTWISE for (int64_t j = low; j < high; ++j)
                        y[j] = from[2 * j] > y[j] || from[2 * j] != from[2 * j] ? from[2 * j] : y[j];
                else
                    ELEMENTWISE for (int64_t j = low; j < high; ++j)
                        y[j] = from[j * step] > y[j] || from[j * step] != from[j * step] ? from[j * step] : y[j];
            }
        }
}

/* dy goes to the first value of the window, by rows, that is its maximum; `open` says whose is not found yet. */
static void F(max_pool_backward_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    for (int64_t p = cut(g->planes, part, parts); p < cut(g->planes, part + 1, parts); ++p) {
        const real *x = (const real *)g->x + p * image, *ys = (const real *)g->y + p * size;
        const real *dy = (const real *)g->dy + p * size;
        real *dx = (real *)g->dx + p * image;
        for (int64_t e = 0; e < image; ++e) dx[e] = 0;
        for (int64_t i = 0; i < g->out_rows; ++i)
            for (int64_t start = 0; start < g->out_cols; start += STRIP) {
                const int64_t end = min64(start + STRIP, g->out_cols), step = g->stride_w;
                real open[STRIP];
                for (int64_t j = start; j < end; ++j) open[j - start] = 1;
                FOR_TAPS(g, i, start, end) {
                    const real *from = x + row * g->width + shift, *y = ys + i * g->out_cols;
                    const real *slope = dy + i * g->out_cols;
                    real *to = dx + row * g->width + shift;
                    ELEMENTWISE for (int64_t j = low; j < high; ++j) {
                        const real v = from[j * step];
                        const int hit = (v == y[j] || v != v) && open[j - start] != 0;
                        to[j * step] += hit ? slope[j] : 0;
                        open[j - start] = hit ? 0 : open[j - start];
                    }
                }
            }
    }
}

static void F(avg_pool_part)(const void *job, int part, int parts)
{
    const fastnn_pool *g = job;
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    const real count = (real)(g->kernel_h * g->kernel_w);
    for (int64_t p = cut(g->planes, part, parts); p < cut(g->planes, part + 1, parts); ++p) {
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
    for (int64_t p = cut(g->planes, part, parts); p < cut(g->planes, part + 1, parts); ++p) {
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
    for (int64_t p = cut(g->planes, part, parts); p < cut(g->planes, part + 1, parts); ++p)
        ((real *)g->y)[p] = F(sum)((const real *)g->x + p * image, image) / (real)image;
}

static void F(pool)(fastnn_part part, const fastnn_pool *g)
{
    run(part, g, parts_of(g->threads, g->planes, g->planes * g->height * g->width, PARALLEL_ELEMENTS));
}

static void F(max_pool)(const fastnn_pool *g) { F(pool)(F(max_pool_part), g); }
static void F(max_pool_backward)(const fastnn_pool *g) { F(pool)(F(max_pool_backward_part), g); }
static void F(avg_pool)(const fastnn_pool *g) { F(pool)(F(avg_pool_part), g); }
static void F(avg_pool_backward)(const fastnn_pool *g) { F(pool)(F(avg_pool_backward_part), g); }
static void F(global_pool)(const fastnn_pool *g) { F(pool)(F(global_pool_part), g); }

/* Pooling. Twin: fastnn_ref/pool.py. Threads split the channels' images. */

/* The part of window i that lies inside: from … to − 1. */
static inline void F(inside)(int64_t i, int64_t stride, int64_t pad, int64_t kernel, int64_t side, int64_t *from,
                             int64_t *to)
{
    const int64_t start = i * stride - pad;
    *from = start < 0 ? 0 : start;
    *to = min64(start + kernel, side);
}

/* Where the first maximum of a window stands; a NaN is one. */
static inline int64_t F(first_maximum)(const fastnn_pool *g, const real *x, int64_t i, int64_t j)
{
    int64_t top, bottom, left, right;
    F(inside)(i, g->stride_h, g->pad_h, g->kernel_h, g->height, &top, &bottom);
    F(inside)(j, g->stride_w, g->pad_w, g->kernel_w, g->width, &left, &right);
    int64_t at = top * g->width + left;
    real best = x[at];
    for (int64_t r = top; r < bottom; ++r)
        for (int64_t c = left; c < right; ++c) {
            const real value = x[r * g->width + c];
            if (value > best || (value != value && best == best)) {
                best = value;
                at = r * g->width + c;
            }
        }
    return at;
}

static int F(plane_parts)(const fastnn_pool *g)
{
    return (int)min64(min64(g->threads, g->planes), 1 + g->planes * g->height * g->width / PARALLEL_ELEMENTS);
}

static void F(max_pool)(const fastnn_pool *g)
{
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    const int parts = F(plane_parts)(g);
    FOR_PARTS(part, parts)
        for (int64_t p = g->planes * part / parts; p < g->planes * (part + 1) / parts; ++p) {
            const real *x = (const real *)g->x + p * image;
            real *y = (real *)g->y + p * size;
            for (int64_t i = 0; i < g->out_rows; ++i)
                for (int64_t j = 0; j < g->out_cols; ++j) y[i * g->out_cols + j] = x[F(first_maximum)(g, x, i, j)];
        }
}

static void F(max_pool_backward)(const fastnn_pool *g)
{
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    const int parts = F(plane_parts)(g);
    FOR_PARTS(part, parts)
        for (int64_t p = g->planes * part / parts; p < g->planes * (part + 1) / parts; ++p) {
            const real *x = (const real *)g->x + p * image, *dy = (const real *)g->dy + p * size;
            real *dx = (real *)g->dx + p * image;
            for (int64_t e = 0; e < image; ++e) dx[e] = 0;
            for (int64_t i = 0; i < g->out_rows; ++i)
                for (int64_t j = 0; j < g->out_cols; ++j) dx[F(first_maximum)(g, x, i, j)] += dy[i * g->out_cols + j];
        }
}

static void F(avg_pool)(const fastnn_pool *g)
{
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    const real count = (real)(g->kernel_h * g->kernel_w);
    const int parts = F(plane_parts)(g);
    FOR_PARTS(part, parts)
        for (int64_t p = g->planes * part / parts; p < g->planes * (part + 1) / parts; ++p) {
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

static void F(avg_pool_backward)(const fastnn_pool *g)
{
    const int64_t image = g->height * g->width, size = g->out_rows * g->out_cols;
    const real count = (real)(g->kernel_h * g->kernel_w);
    const int parts = F(plane_parts)(g);
    FOR_PARTS(part, parts)
        for (int64_t p = g->planes * part / parts; p < g->planes * (part + 1) / parts; ++p) {
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
static void F(global_pool)(const fastnn_pool *g)
{
    const int64_t image = g->height * g->width;
    const int parts = F(plane_parts)(g);
    FOR_PARTS(part, parts)
        for (int64_t p = g->planes * part / parts; p < g->planes * (part + 1) / parts; ++p)
            ((real *)g->y)[p] = F(sum)((const real *)g->x + p * image, image) / (real)image;
}

/* Upsample: an image of another size, each new pixel looked up in at most four old ones.

   Reference: fastnn_ref/upsample.py. A plane is a channel of an image, or of an interleaved block, whose pixels are
   lines of LANES values; threads split the planes. */

/* One plane of `unit` values a pixel. */
ALWAYS_INLINE void F(upsample_plane)(const int unit, const fastnn_upsample *g, const real *x, real *y)
{
    const int64_t pitch = g->width * unit;
    for (int64_t i = 0; i < g->out_rows; ++i) {
        const real *low = x + g->row_low[i] * pitch;
        if (!g->row_part) {
            for (int64_t j = 0; j < g->out_cols; ++j, y += unit)
                for (int l = 0; l < unit; ++l) y[l] = low[g->col_low[j] * unit + l];
            continue;
        }
        const real *high = x + g->row_high[i] * pitch, r = (real)g->row_part[i];
        for (int64_t j = 0; j < g->out_cols; ++j, y += unit) {
            const int64_t left = g->col_low[j] * unit, right = g->col_high[j] * unit;
            const real c = (real)g->col_part[j];
            for (int l = 0; l < unit; ++l) {
                const real a = (1 - r) * low[left + l] + r * high[left + l];
                const real b = (1 - r) * low[right + l] + r * high[right + l];
                y[l] = (1 - c) * a + c * b;
            }
        }
    }
}

ALWAYS_INLINE void F(upsample_plane_backward)(const int unit, const fastnn_upsample *g, const real *dy, real *dx)
{
    const int64_t pitch = g->width * unit;
    for (int64_t e = 0; e < g->height * pitch; ++e) dx[e] = 0;
    for (int64_t i = 0; i < g->out_rows; ++i) {
        real *low = dx + g->row_low[i] * pitch;
        if (!g->row_part) {
            for (int64_t j = 0; j < g->out_cols; ++j, dy += unit)
                for (int l = 0; l < unit; ++l) low[g->col_low[j] * unit + l] += dy[l];
            continue;
        }
        real *high = dx + g->row_high[i] * pitch;
        const real r = (real)g->row_part[i];
        for (int64_t j = 0; j < g->out_cols; ++j, dy += unit) {
            const int64_t left = g->col_low[j] * unit, right = g->col_high[j] * unit;
            const real c = (real)g->col_part[j];
            for (int l = 0; l < unit; ++l) {
                const real a = (1 - c) * dy[l], b = c * dy[l];
                low[left + l] += (1 - r) * a;
                high[left + l] += r * a;
                low[right + l] += (1 - r) * b;
                high[right + l] += r * b;
            }
        }
    }
}

static inline int64_t F(upsample_blocks)(const fastnn_upsample *g)
{
    return g->interleaved ? F(interleaved_blocks)(g->images) : 0;
}

/* This part of the planes: those of interleaved blocks, then those of single images. */
static void F(upsample_range)(const fastnn_upsample *g, int backward, int part, int parts)
{
    const int64_t blocks = F(upsample_blocks)(g), lines = blocks * g->channels;
    const int64_t planes = lines + (g->images - blocks * LANES) * g->channels;
    const int64_t end = part_begin(planes, part + 1, parts);
    const int64_t x_size = g->height * g->width, y_size = g->out_rows * g->out_cols;
    for (int64_t p = part_begin(planes, part, parts); p < end; ++p) {
        const int64_t before = p < lines ? p * LANES : p + lines * (LANES - 1);      /* planes of single images */
        const int64_t x = before * x_size, y = before * y_size;
        if (p < lines && !backward) F(upsample_plane)(LANES, g, (const real *)g->x + x, (real *)g->y + y);
        else if (p < lines) F(upsample_plane_backward)(LANES, g, (const real *)g->dy + y, (real *)g->dx + x);
        else if (!backward) F(upsample_plane)(1, g, (const real *)g->x + x, (real *)g->y + y);
        else F(upsample_plane_backward)(1, g, (const real *)g->dy + y, (real *)g->dx + x);
    }
}

static void F(upsample_part)(const void *job, int part, int parts) { F(upsample_range)(job, 0, part, parts); }

static void F(upsample_backward_part)(const void *job, int part, int parts) { F(upsample_range)(job, 1, part, parts); }

static int F(upsample_parts)(const fastnn_upsample *g)
{
    const int64_t blocks = F(upsample_blocks)(g), planes = (g->images - blocks * (LANES - 1)) * g->channels;
    return part_count(g->threads, planes, g->images * g->channels * (g->height * g->width + g->out_rows * g->out_cols),
                      PARALLEL_ELEMENTS);
}

static void F(upsample)(const fastnn_upsample *g) { run_parts(F(upsample_part), g, F(upsample_parts)(g)); }

static void F(upsample_backward)(const fastnn_upsample *g)
{
    run_parts(F(upsample_backward_part), g, F(upsample_parts)(g));
}

/* Convolution as a matrix product that never builds its matrix of patches.

   Twin: fastnn_ref/conv.py. Each image is copied once, with its padding, into planes of `pitch` values a row. Then output
   (i, j), counted as q = i·pitch + j, sees tap t of its window at planes[offset[t] + q], for every q: a row of the patch
   matrix is a run of memory, and the product's micro-kernel reads it where it stands. A stride gets a plane for each of
   its phases, so that the run has no gaps. What comes out for j beyond the image's width is thrown away.

       forward     y[o, q]  = b[o] + Σ_t W[o, t] · planes[offset[t] + q]           one chain in the order of t
       backward    dx       = the same with du, spread by the stride, and W turned round
                   dW[o, t] = Σ_n Σ_q du[o, q] · planes[offset[t] + q]             LANES lanes, images in order, a tree */

/* One channel into its planes: pixel (r·sh + py − ph, c·sw + px − pw) goes to row r, column c of plane (py, px). */
static void F(spread)(const fastnn_plane *g, const real *x, real *to)
{
    for (int64_t py = 0; py < g->stride_h; ++py)
        for (int64_t px = 0; px < g->stride_w; ++px)
            for (int64_t r = 0; r < g->rows; ++r, to += g->pitch) {
                const int64_t i = r * g->stride_h + py - g->pad_h;
                if (i < 0 || i >= g->height) {
                    for (int64_t c = 0; c < g->pitch; ++c) to[c] = 0;
                    continue;
                }
                const real *from = x + i * g->width;
                if (g->stride_w == 1) {
                    const int64_t low = min64(g->pad_w < 0 ? 0 : g->pad_w, g->pitch);
                    const int64_t high = min64(g->pitch, g->width + g->pad_w);
                    for (int64_t c = 0; c < low; ++c) to[c] = 0;
                    for (int64_t c = low; c < high; ++c) to[c] = from[c - g->pad_w];
                    for (int64_t c = high > low ? high : low; c < g->pitch; ++c) to[c] = 0;
                } else {
                    for (int64_t c = 0; c < g->pitch; ++c) {
                        const int64_t j = c * g->stride_w + px - g->pad_w;
                        to[c] = j >= 0 && j < g->width ? from[j] : 0;
                    }
                }
            }
}

/* The way back: value (i, j) goes to row pad_h + i·stride_h, column pad_w + j·stride_w of one plane, zero elsewhere. */
static void F(insert)(const fastnn_plane *g, const real *du, real *to)
{
    for (int64_t e = 0; e < g->rows * g->pitch; ++e) to[e] = 0;
    for (int64_t i = 0; i < g->height; ++i) {
        const int64_t r = g->pad_h + i * g->stride_h;
        if (r < 0 || r >= g->rows) continue;
        for (int64_t j = 0; j < g->width; ++j) {
            const int64_t c = g->pad_w + j * g->stride_w;
            if (c >= 0 && c < g->pitch) to[r * g->pitch + c] = du[i * g->width + j];
        }
    }
}

/* grid[o, q] = b[o] + Σ_t w[o, t] · planes[offset[t] + q] for 0 <= q < length. */
static void F(correlate)(const real *planes, const int64_t *offsets, const real *w, const real *b, real *grid,
                         int64_t outs, int64_t taps, int64_t length)
{
    for (int64_t o = 0; o < outs; ++o) {
        real *row = grid + o * length;
        for (int64_t q = 0; q < length; ++q) row[q] = b ? b[o] : 0;
    }
    for (int64_t q = 0; q < length;) {
        const int vectors = F(share)(ceil_div(length - q, VL), NV);
        const int64_t width = (int64_t)vectors * VL, valid = min64(width, length - q);
        for (int64_t o = 0; o < outs;) {
            const int rows = F(share)(outs - o, MR);
            real *tile = grid + o * length + q;
            const F(tile_t) t = {
                .a = w + o * taps, .a_row = taps, .a_col = 1, .b = planes + q, .offsets = offsets,
                .start = tile, .start_row = length, .c = tile, .c_row = length, .k = taps,
                .tail = (int)(valid - width + VL),
            };
            F(indexed_tiles)[rows - 1][vectors - 1](&t);
            o += rows;
        }
        q += width;
    }
}

/* The grid's columns that belong to the image. */
static void F(crop)(const real *grid, real *to, int64_t outs, int64_t rows, int64_t cols, int64_t pitch, int64_t length)
{
    for (int64_t o = 0; o < outs; ++o)
        for (int64_t i = 0; i < rows; ++i, to += cols) {
            const real *from = grid + o * length + i * pitch;
            for (int64_t j = 0; j < cols; ++j) to[j] = from[j];
        }
}

/* How many threads the work is worth; counted in double, which does not overflow. */
static int F(conv_threads)(const fastnn_conv *g)
{
    const double fmas = (double)g->images * (double)g->filters * (double)g->taps * (double)g->length;
    return fmas < PARALLEL_FMAS ? 1 : g->threads;
}

static void F(share_images)(fastnn_part part, const fastnn_conv *g)
{
    run(part, g, (int)min64(F(conv_threads)(g), g->images));
}

static void F(conv_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const real *x = g->x, *w = g->w, *b = g->b;
    const int64_t groups = g->groups, inside = g->channels / groups, outside = g->filters / groups;
    const int64_t size = g->out_rows * g->out_cols, image = g->front.height * g->front.width;
    const int64_t plane = g->front.rows * g->front.pitch * g->front.stride_h * g->front.stride_w;
    real *grid = (real *)g->scratch + part * g->scratch_size;
    for (int64_t n = cut(g->images, part, parts); n < cut(g->images, part + 1, parts); ++n) {
        real *planes = (real *)g->planes + n * g->planes_size;
        real *u = (real *)g->u + n * g->filters * size, *y = (real *)g->y + n * g->filters * size;
        for (int64_t c = 0; c < g->channels; ++c)
            F(spread)(&g->front, x + (n * g->channels + c) * image, planes + c * plane);
        for (int64_t k = 0; k < groups; ++k) {
            F(correlate)(planes + k * inside * plane, g->offsets, w + k * outside * g->taps,
                         b ? b + k * outside : NULL, grid, outside, g->taps, g->length);
            F(crop)(grid, u + k * outside * size, outside, g->out_rows, g->out_cols, g->front.pitch, g->length);
        }
        if (g->activation != IDENTITY)
            F(activate_run)(g->activation, (real)g->alpha, u, y, g->filters * size);
    }
}

static void F(conv)(const fastnn_conv *g) { F(share_images)(F(conv_part), g); }

/* dx of a share of the images. */
static void F(conv_dx_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const real *turned = g->turned, *du = g->du;
    real *dx = g->dx;
    const int64_t groups = g->groups, inside = g->channels / groups, outside = g->filters / groups;
    const int64_t taps = outside * (g->taps / inside), plane = g->back.rows * g->back.pitch;
    const int64_t size = g->out_rows * g->out_cols, image = g->front.height * g->front.width;
    real *planes = (real *)g->scratch + part * g->scratch_size, *grid = planes + g->filters * plane;
    for (int64_t n = cut(g->images, part, parts); n < cut(g->images, part + 1, parts); ++n) {
        for (int64_t o = 0; o < g->filters; ++o)
            F(insert)(&g->back, du + (n * g->filters + o) * size, planes + o * plane);
        for (int64_t k = 0; k < groups; ++k) {
            F(correlate)(planes + k * outside * plane, g->back_offsets, turned + k * inside * taps, NULL, grid,
                         inside, taps, g->back_length);
            F(crop)(grid, dx + (n * g->channels + k * inside) * image, inside, g->front.height, g->front.width,
                    g->back.pitch, g->back_length);
        }
    }
}

/* `turned` is W with in and out changed places, each window turned by half a turn. */
static void F(conv_backward_input)(const fastnn_conv *g)
{
    const real *w = g->w;
    real *turned = g->turned;
    const int64_t groups = g->groups, inside = g->channels / groups, outside = g->filters / groups;
    const int64_t window = g->taps / inside;
    for (int64_t k = 0; k < groups; ++k)
        for (int64_t o = 0; o < outside; ++o)
            for (int64_t c = 0; c < inside; ++c)
                for (int64_t t = 0; t < window; ++t)
                    turned[((k * inside + c) * outside + o) * window + t] =
                        w[((k * outside + o) * inside + c) * window + window - 1 - t];
    F(share_images)(F(conv_dx_part), g);
}

/* Sums of products over all images for `filters` × `taps` weights: an accumulator of 64 bytes for each stays in registers. */
#undef LINE_VECTORS
#undef DOT_FILTERS
#undef DOT_TAPS
#define LINE_VECTORS (LANES / VL)
#if defined(ISA_X86_V4)
#define DOT_FILTERS 4
#define DOT_TAPS 6
#elif defined(ISA_X86_V3)
#define DOT_FILTERS 2
#define DOT_TAPS 3
#else
#define DOT_FILTERS 1
#define DOT_TAPS 3
#endif
typedef struct {
    const real *du, *planes;
    const int64_t *offsets;
    real *dw;
    int64_t images, du_image, du_row, planes_image, dw_row, length;
} F(dots_t);

ALWAYS_INLINE void F(dots)(const int filters, const int taps, const F(dots_t) *t)
{
    vec acc[DOT_FILTERS][DOT_TAPS][LINE_VECTORS];
    const real *at[DOT_TAPS];
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j)
            UNROLL for (int v = 0; v < LINE_VECTORS; ++v) acc[i][j][v] = vzero();
    for (int64_t n = 0; n < t->images; ++n) {
        const real *du = t->du + n * t->du_image;
        UNROLL for (int j = 0; j < taps; ++j) at[j] = t->planes + n * t->planes_image + t->offsets[j];
        for (int64_t q = 0; q < t->length; q += LANES)
            UNROLL for (int v = 0; v < LINE_VECTORS; ++v) {
                vec row[DOT_FILTERS];
                UNROLL for (int i = 0; i < filters; ++i) row[i] = vload(du + i * t->du_row + q + v * VL);
                UNROLL for (int j = 0; j < taps; ++j) {
                    const vec x = vload(at[j] + q + v * VL);
                    UNROLL for (int i = 0; i < filters; ++i) acc[i][j][v] = vfma(row[i], x, acc[i][j][v]);
                }
            }
    }
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j) {
            real lane[LANES];
            UNROLL for (int v = 0; v < LINE_VECTORS; ++v) vstore(lane + v * VL, acc[i][j][v]);
            t->dw[i * t->dw_row + j] = F(tree)(lane);
        }
}

#undef DOTS
#define DOTS(filters, taps) \
    static void F(dots_##filters##x##taps)(const F(dots_t) *t) { F(dots)(filters, taps, t); }
#undef DOTS_ROW
#undef DOTS_ENTRY
#if DOT_TAPS == 6
#define DOTS_ROW(f) DOTS(f, 1) DOTS(f, 2) DOTS(f, 3) DOTS(f, 4) DOTS(f, 5) DOTS(f, 6)
#define DOTS_ENTRY(f) {F(dots_##f##x1), F(dots_##f##x2), F(dots_##f##x3), F(dots_##f##x4), F(dots_##f##x5), F(dots_##f##x6)}
#else
#define DOTS_ROW(f) DOTS(f, 1) DOTS(f, 2) DOTS(f, 3)
#define DOTS_ENTRY(f) {F(dots_##f##x1), F(dots_##f##x2), F(dots_##f##x3)}
#endif
DOTS_ROW(1)
#if DOT_FILTERS >= 2
DOTS_ROW(2)
#endif
#if DOT_FILTERS >= 4
DOTS_ROW(3) DOTS_ROW(4)
#endif
static void (*const F(dots_table)[DOT_FILTERS][DOT_TAPS])(const F(dots_t) *) = {
    DOTS_ENTRY(1),
#if DOT_FILTERS >= 2
    DOTS_ENTRY(2),
#endif
#if DOT_FILTERS >= 4
    DOTS_ENTRY(3), DOTS_ENTRY(4),
#endif
};

/* How dW is cut into tiles. */
static inline int64_t F(tap_tiles)(const fastnn_conv *g) { return ceil_div(g->taps, DOT_TAPS); }
static inline int64_t F(filter_tiles)(const fastnn_conv *g) { return ceil_div(g->filters / g->groups, DOT_FILTERS); }
static inline int64_t F(grid_row)(const fastnn_conv *g) { return ceil_div(g->length, LANES) * LANES; }

/* du of a share of the images onto the grid, with zeros where the grid has no image. */
static void F(conv_grid_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const int64_t size = g->out_rows * g->out_cols, grid_row = F(grid_row)(g);
    for (int64_t r = cut(g->images, part, parts) * g->filters; r < cut(g->images, part + 1, parts) * g->filters; ++r) {
        real *to = (real *)g->grid + r * grid_row;
        const real *from = (const real *)g->du + r * size;
        for (int64_t q = 0; q < grid_row; ++q) to[q] = 0;
        for (int64_t i = 0; i < g->out_rows; ++i)
            for (int64_t j = 0; j < g->out_cols; ++j) to[i * g->front.pitch + j] = from[i * g->out_cols + j];
    }
}

/* A share of the tiles of dW. */
static void F(conv_dw_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    real *dw = g->dw;
    const int64_t inside = g->channels / g->groups, outside = g->filters / g->groups, grid_row = F(grid_row)(g);
    const int64_t plane = g->front.rows * g->front.pitch * g->front.stride_h * g->front.stride_w;
    const int64_t tap_tiles = F(tap_tiles)(g), group_tiles = F(filter_tiles)(g) * tap_tiles;
    const int64_t tiles = g->groups * group_tiles;
    for (int64_t tile = cut(tiles, part, parts); tile < cut(tiles, part + 1, parts); ++tile) {
        const int64_t k = tile / group_tiles, rest = tile % group_tiles;
        const int64_t o = rest / tap_tiles * DOT_FILTERS, t = rest % tap_tiles * DOT_TAPS;
        const int filters = (int)min64(DOT_FILTERS, outside - o), taps = (int)min64(DOT_TAPS, g->taps - t);
        const F(dots_t) d = {
            .du = (const real *)g->grid + (k * outside + o) * grid_row, .du_image = g->filters * grid_row,
            .du_row = grid_row, .planes = (const real *)g->planes + k * inside * plane,
            .planes_image = g->planes_size, .offsets = g->offsets + t,
            .dw = dw + (k * outside + o) * g->taps + t, .dw_row = g->taps, .images = g->images, .length = grid_row,
        };
        F(dots_table)[filters - 1][taps - 1](&d);
    }
}

static void F(conv_backward_weight)(const fastnn_conv *g)
{
    F(share_images)(F(conv_grid_part), g);
    const int64_t tiles = g->groups * F(filter_tiles)(g) * F(tap_tiles)(g);
    run(F(conv_dw_part), g, (int)min64(F(conv_threads)(g), tiles));
    if (!g->db) return;
    const int64_t size = g->out_rows * g->out_cols;
    for (int64_t o = 0; o < g->filters; ++o) {
        real lane[LANES] = {0};
        for (int64_t n = 0; n < g->images; ++n) {
            const real *from = (const real *)g->du + (n * g->filters + o) * size;
            int64_t i = 0;
            for (; i + LANES <= size; i += LANES)
                for (int l = 0; l < LANES; ++l) lane[l] += from[i + l];
            for (int l = 0; i + l < size; ++l) lane[l] += from[i + l];
        }
        ((real *)g->db)[o] = F(tree)(lane);
    }
}

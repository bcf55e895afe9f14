/* Convolution as a matrix product that never builds its matrix of patches.

   Twin: fastnn_ref/conv.py. Each image is copied once, with its padding, into planes of `pitch` values a row. Then output
   (i, j) sees tap t of its window at planes[offset[t] + i·pitch + j]: a row of the patch matrix is, for each row of the
   image, a run of memory, which the micro-kernel reads where it stands. A stride gets a plane for each of its phases, so
   that the run has no gaps. Only of images so narrow that their rows would leave much of a vector empty some rows are
   packed side by side, a panel at a time.

       forward     y[o, i, j] = b[o] + Σ_t W[o, t] · planes[offset[t] + i·pitch + j]      one chain in the order of t
       backward    dx         = the same with du, spread by the stride, and W turned round
                   dW[o, t]   = Σ_n Σ_ij du[o, i, j] · planes[offset[t] + i·pitch + j]    LANES lanes, images in order, a tree */

/* One channel into its planes: pixel (r·sh + py − ph, c·sw + px − pw) goes to row r, column c of plane (py, px). What
   stands round the image is 0 from the beginning, and nobody writes there. */
static void F(spread)(const fastnn_plane *g, const real *x, real *to)
{
    const int64_t sh = g->stride_h, sw = g->stride_w;
    for (int64_t py = 0; py < sh; ++py)
        for (int64_t px = 0; px < sw; ++px, to += g->rows * g->pitch) {
            const int64_t top = py - g->pad_h, left = px - g->pad_w;
            const int64_t first = left < 0 ? ceil_div(-left, sw) : 0;
            const int64_t end = left < g->width ? min64(g->pitch, ceil_div(g->width - left, sw)) : 0;
            for (int64_t r = top < 0 ? ceil_div(-top, sh) : 0; r < g->rows && r * sh + top < g->height; ++r) {
                const real *from = x + (r * sh + top) * g->width + left;
                real *row = to + r * g->pitch;
                if (sw == 1) F(copy_row)(from + first, row + first, end - first);
                else for (int64_t c = first; c < end; ++c) row[c] = from[c * sw];
            }
        }
}

/* The way back: value (i, j) goes to row pad_h + i·stride_h, column pad_w + j·stride_w of one plane; the rest stays 0. */
static void F(insert)(const fastnn_plane *g, const real *du, real *to)
{
    const int64_t step = g->stride_w, first = g->pad_w < 0 ? ceil_div(-g->pad_w, step) : 0;
    const int64_t end = g->pitch > g->pad_w ? min64(g->width, ceil_div(g->pitch - g->pad_w, step)) : 0;
    for (int64_t i = 0; i < g->height; ++i) {
        const int64_t r = g->pad_h + i * g->stride_h;
        if (r < 0 || r >= g->rows) continue;
        const real *from = du + i * g->width;
        real *row = to + r * g->pitch + g->pad_w;
        if (step == 1) F(copy_row)(from + first, row + first, end - first);
        else for (int64_t j = first; j < end; ++j) row[j * step] = from[j];
    }
}

/* A tile: some filters by some vectors of pixels. Vector v of tap t stands at from[offsets[t] + at[v]]; of what comes out,
   `lanes[v]` values go to to[out[v]]. */
typedef struct {
    const real *w, *b;                  /* of the tile's first filter; b may be NULL */
    int64_t taps;
    const real *from;
    const int64_t *offsets;
    real *to;
    int64_t to_row;                     /* from filter to filter */
    int64_t at[NV], out[NV];
    int lanes[NV];
} F(window_t);

ALWAYS_INLINE void F(window)(const int rows, const int vectors, const F(window_t) *t)
{
    const real *w = t->w, *from[NV];
    const int64_t taps = t->taps, *offsets = t->offsets;
    vec acc[MR][NV];
    UNROLL for (int v = 0; v < vectors; ++v) from[v] = t->from + t->at[v];
    UNROLL for (int i = 0; i < rows; ++i) {
        const vec start = vset1(t->b ? t->b[i] : 0);
        UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = start;
    }
    for (int64_t p = 0; p < taps; ++p) {
        vec row[NV];
        UNROLL for (int v = 0; v < vectors; ++v) row[v] = vload(from[v] + offsets[p]);
        UNROLL for (int i = 0; i < rows; ++i) {
            const vec x = vset1(w[i * taps + p]);
            UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vfma(x, row[v], acc[i][v]);
        }
    }
    UNROLL for (int v = 0; v < vectors; ++v) {
        real *to = t->to + t->out[v];
        if (t->lanes[v] == VL) {
            UNROLL for (int i = 0; i < rows; ++i) vstore(to + i * t->to_row, acc[i][v]);
        } else {
            const vmask mask = vfirst(t->lanes[v]);
            UNROLL for (int i = 0; i < rows; ++i) vstore_first(to + i * t->to_row, mask, acc[i][v]);
        }
    }
}

#undef TILE
#define TILE(rows, vectors) \
    static void F(window_##rows##x##vectors)(const F(window_t) *t) { F(window)(rows, vectors, t); }
FOR_TILE_ROWS(TILE_ROW)
static void (*const F(windows)[MR][NV])(const F(window_t) *) = TILE_TABLE(window);

/* All filters over `rows` rows of `cols` pixels, which stand `pitch` apart in `from` and side by side in `to`. */
static void F(slide)(const F(window_t) *job, int64_t filters, int64_t rows, int64_t cols, int64_t pitch)
{
    const int64_t across = ceil_div(cols, VL), count = rows * across;
    for (int64_t e = 0; e < count;) {
        F(window_t) t = *job;
        const int vectors = F(share)(count - e, NV);
        for (int v = 0; v < vectors; ++v, ++e) {
            const int64_t i = e / across, j = e % across * VL;
            t.at[v] = i * pitch + j;
            t.out[v] = i * cols + j;
            t.lanes[v] = (int)min64(VL, cols - j);
        }
        for (int64_t o = 0; o < filters;) {
            const int tile = F(share)(filters - o, MR);
            F(windows)[tile - 1][vectors - 1](&t);
            o += tile;
            t.w += tile * t.taps;
            t.to += tile * t.to_row;
            if (t.b) t.b += tile;
        }
    }
}

/* `rows` rows of `cols` values, `pitch` apart, side by side; stored by pieces of `piece` values, so that what one row writes
   too much the next one writes over. */
ALWAYS_INLINE void F(pack_rows)(const int piece, const real *from, real *to, int64_t rows, int64_t cols, int64_t pitch)
{
    for (int64_t r = 0; r < rows; ++r, from += pitch, to += cols)
        for (int64_t j = 0; j < cols; j += piece) memcpy(to + j, from + j, (size_t)piece * sizeof(real));
}

/* The same, the pixels packed into vectors that are full: a panel of `n` <= FASTNN_PANEL pixels for each tap. */
static void F(slide_packed)(const F(window_t) *job, int64_t filters, int64_t rows, int64_t cols, int64_t pitch, void *scratch)
{
    const int64_t width = FASTNN_PANEL + LANES, most = FASTNN_PANEL / cols;
    int64_t *offsets = scratch;
    real *panel = (real *)(offsets + ceil_div(job->taps, 8) * 8);
    F(window_t) t = *job;
    t.from = panel;
    t.offsets = offsets;
    for (int64_t p = 0; p < t.taps; ++p) offsets[p] = p * width;
    for (int64_t i = 0; i < rows; i += most) {
        const int64_t n = min64(most, rows - i);
        for (int64_t p = 0; p < t.taps; ++p) {
            const real *from = job->from + job->offsets[p] + i * pitch;
            real *to = panel + p * width;
            if (cols <= LANES / 4) F(pack_rows)(LANES / 4, from, to, n, cols, pitch);
            else if (cols <= LANES / 2) F(pack_rows)(LANES / 2, from, to, n, cols, pitch);
            else F(pack_rows)(LANES, from, to, n, cols, pitch);
        }
        F(slide)(&t, filters, 1, n * cols, 0);
        t.to += n * cols;
    }
}

/* Packed, if the vectors that this saves are worth more than two for each that is copied. */
static void F(correlate)(const F(window_t) *job, int64_t filters, int64_t rows, int64_t cols, int64_t pitch, void *scratch)
{
    const int64_t apart = rows * ceil_div(cols, VL), packed = ceil_div(rows * cols, VL);
    if (cols <= FASTNN_PANEL && packed * filters + 2 * apart < apart * filters)
        F(slide_packed)(job, filters, rows, cols, pitch, scratch);
    else F(slide)(job, filters, rows, cols, pitch);
}

/* How many threads the work is worth; counted in double, which does not overflow. */
static int F(conv_threads)(const fastnn_conv *g)
{
    const double pixels = (double)g->out_rows * (double)g->out_cols;
    return (double)g->images * (double)g->filters * (double)g->taps * pixels < PARALLEL_FMAS ? 1 : g->threads;
}

static inline real *F(work_of)(const fastnn_conv *g, int part) { return (real *)g->scratch + part * g->scratch_size; }

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
    void *scratch = F(work_of)(g, part);
    for (int64_t n = cut(g->images, part, parts); n < cut(g->images, part + 1, parts); ++n) {
        real *planes = (real *)g->planes + n * g->planes_size;
        real *u = (real *)g->u + n * g->filters * size, *y = (real *)g->y + n * g->filters * size;
        for (int64_t c = 0; c < g->channels; ++c)
            F(spread)(&g->front, x + (n * g->channels + c) * image, planes + c * plane);
        for (int64_t k = 0; k < groups; ++k) {
            const F(window_t) t = {
                .w = w + k * outside * g->taps, .b = b ? b + k * outside : NULL, .taps = g->taps,
                .from = planes + k * inside * plane, .offsets = g->offsets, .to = u + k * outside * size, .to_row = size,
            };
            F(correlate)(&t, outside, g->out_rows, g->out_cols, g->front.pitch, scratch);
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
    const int64_t groups = g->groups, inside = g->channels / groups, outside = g->filters / groups;
    const int64_t taps = outside * (g->taps / inside), plane = g->back.rows * g->back.pitch;
    const int64_t size = g->out_rows * g->out_cols, image = g->front.height * g->front.width;
    real *planes = (real *)g->back_planes + part * g->back_size, *scratch = F(work_of)(g, part);
    for (int64_t n = cut(g->images, part, parts); n < cut(g->images, part + 1, parts); ++n) {
        for (int64_t o = 0; o < g->filters; ++o)
            F(insert)(&g->back, du + (n * g->filters + o) * size, planes + o * plane);
        for (int64_t k = 0; k < groups; ++k) {
            const F(window_t) t = {
                .w = turned + k * inside * taps, .taps = taps, .from = planes + k * outside * plane,
                .offsets = g->back_offsets, .to = (real *)g->dx + (n * g->channels + k * inside) * image, .to_row = image,
            };
            F(correlate)(&t, inside, g->front.height, g->front.width, g->back.pitch, scratch);
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

/* Sums of products over some images for `filters` × `taps` weights: LANES running sums for each, in registers on the way. */
#undef DOT_BYTES
#define DOT_BYTES (256 * 1024)
#undef DOT_FILTERS
#undef DOT_TAPS
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
    real *lanes;                        /* LANES sums a weight, that of the next filter lanes_row further */
    int64_t images, runs, length;       /* of each image so many runs of so many values, */
    int64_t tail;                       /* of whose last line only these count; 0: all */
    int64_t du_image, du_row, du_pitch, planes_image, pitch, lanes_row;
} F(dots_t);

/* One line of each; what stands past the tail is somebody else's. */
ALWAYS_INLINE void F(dots_line)(const int filters, const int taps, const int masked, vec (*acc)[DOT_TAPS][SPAN],
                                const F(dots_t) *t, const real *du, const real *const *at, int64_t q)
{
    UNROLL for (int v = 0; v < SPAN; ++v) {
        const int64_t left = t->tail - v * VL;
        const vmask mask = vfirst(!masked || left >= VL ? VL : left > 0 ? (int)left : 0);
        vec row[DOT_FILTERS];
        UNROLL for (int i = 0; i < filters; ++i) {
            const real *from = du + i * t->du_row + v * VL;
            row[i] = masked ? vload_first(from, mask) : vload(from);
        }
        UNROLL for (int j = 0; j < taps; ++j) {
            const vec x = masked ? vload_first(at[j] + q + v * VL, mask) : vload(at[j] + q + v * VL);
            UNROLL for (int i = 0; i < filters; ++i) acc[i][j][v] = vfma(row[i], x, acc[i][j][v]);
        }
    }
}

ALWAYS_INLINE void F(dots)(const int filters, const int taps, const F(dots_t) *t)
{
    vec acc[DOT_FILTERS][DOT_TAPS][SPAN];
    const real *at[DOT_TAPS];
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j)
            UNROLL for (int v = 0; v < SPAN; ++v)
                acc[i][j][v] = vload(t->lanes + i * t->lanes_row + j * LANES + v * VL);
    for (int64_t n = 0; n < t->images; ++n) {
        UNROLL for (int j = 0; j < taps; ++j) at[j] = t->planes + n * t->planes_image + t->offsets[j];
        for (int64_t r = 0; r < t->runs; ++r) {
            const real *du = t->du + n * t->du_image + r * t->du_pitch;
            const int64_t end = r * t->pitch + t->length - (t->tail ? LANES : 0);
            int64_t q = r * t->pitch;
            for (; q < end; q += LANES, du += LANES) F(dots_line)(filters, taps, 0, acc, t, du, at, q);
            if (t->tail) F(dots_line)(filters, taps, 1, acc, t, du, at, q);
        }
    }
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j)
            UNROLL for (int v = 0; v < SPAN; ++v)
                vstore(t->lanes + i * t->lanes_row + j * LANES + v * VL, acc[i][j][v]);
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

/* How dW's sums run over an image: row by row as du stands, or, where that leaves much of a cache line empty, over all rows
   with what lies between them in the planes; then du goes onto a grid of that shape, 0 for good where there is no pixel. */
static inline int F(on_a_grid)(const fastnn_conv *g) { return g->runs < g->out_rows; }

static void F(conv_grid_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const int64_t cols = g->out_cols, size = g->out_rows * cols;
    for (int64_t r = cut(g->images, part, parts) * g->filters; r < cut(g->images, part + 1, parts) * g->filters; ++r) {
        real *to = (real *)g->grid + r * g->run;
        const real *from = (const real *)g->du + r * size;
        for (int64_t i = 0; i < g->out_rows; ++i) F(copy_row)(from + i * cols, to + i * g->front.pitch, cols);
    }
}

/* dW for DOT_FILTERS filters of group k from o on, taps first … end − 1. Some images at a time, so that their du stays in the
   second-level cache while tap after tap goes over it. */
static void F(conv_dw_rows)(const fastnn_conv *g, int64_t k, int64_t o, int64_t first, int64_t end, real *lanes)
{
    const int64_t inside = g->channels / g->groups, outside = g->filters / g->groups;
    const int grid = F(on_a_grid)(g);
    const int64_t values = grid ? g->run : g->out_rows * g->out_cols;
    const int64_t plane = g->front.rows * g->front.pitch * g->front.stride_h * g->front.stride_w;
    const int64_t filters = min64(DOT_FILTERS, outside - o), row = (end - first) * LANES;
    const int64_t some = 1 + DOT_BYTES / (filters * values * (int64_t)sizeof(real));
    const real *du = grid ? g->grid : g->du;
    memset(lanes, 0, (size_t)(filters * row) * sizeof(real));
    for (int64_t n = 0; n < g->images; n += some)
        for (int64_t t = first, taps; t < end; t += taps) {
            taps = F(share)(end - t, DOT_TAPS);
            const F(dots_t) d = {
                .du = du + (n * g->filters + k * outside + o) * values, .du_image = g->filters * values,
                .du_row = values, .du_pitch = g->out_cols, .planes = (const real *)g->planes + n * g->planes_size + k * inside * plane,
                .planes_image = g->planes_size, .pitch = g->front.pitch, .offsets = g->offsets + t,
                .lanes = lanes + (t - first) * LANES, .lanes_row = row, .images = min64(some, g->images - n),
                .runs = g->runs, .length = g->run, .tail = grid ? 0 : g->out_cols % LANES,
            };
            F(dots_table)[filters - 1][taps - 1](&d);
        }
    for (int64_t i = 0; i < filters; ++i)
        for (int64_t t = first; t < end; ++t)
            ((real *)g->dw)[(k * outside + o + i) * g->taps + t] = F(tree)(lanes + i * row + (t - first) * LANES);
}

/* A share of the tiles of dW: the taps of one row of tiles after the other. */
static void F(conv_dw_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const int64_t across = F(tap_tiles)(g), down = F(filter_tiles)(g), tiles = g->groups * down * across;
    const int64_t stop = cut(tiles, part + 1, parts);
    for (int64_t tile = cut(tiles, part, parts), next; tile < stop; tile = next) {
        const int64_t row = tile / across;
        next = min64((row + 1) * across, stop);
        F(conv_dw_rows)(g, row / down, row % down * DOT_FILTERS, tile % across * DOT_TAPS,
                        min64((next - row * across) * DOT_TAPS, g->taps), F(work_of)(g, part));
    }
}

static void F(conv_backward_weight)(const fastnn_conv *g)
{
    if (F(on_a_grid)(g)) F(share_images)(F(conv_grid_part), g);
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

/* Convolution as a matrix product that never builds its matrix of patches.

   Twin: fastnn_ref/conv.py. The images are copied once, each channel with its padding into a plane of `pitch` values a row.
   Then output (i, j) sees tap t of its window at plane[offset[t] + i·pitch + j]: a row of the patch matrix is, for each row of
   the image, a run of memory, which the micro-kernel reads where it stands. A stride gets a plane for each of its phases, so
   that the run has no gaps.

   LANES images at a time stand side by side, a block: each pixel is a cache line, with a value of every image. So vectors are
   full and aligned however narrow the image is, and pixels of any place can share a tile: forward and dx take those together
   that see the same taps. What is left of the batch goes image by image. A step of the 8×8 digits net: 124 → 84 µs; with pooling in blocks, 60;
   with what meets only zeros left out, 56; du read as it came, 54 (python -m bench.report --only conv).

       forward     y[o, i, j] = b[o] + Σ_t W[o, t] · plane[offset[t] + i·pitch + j]       one chain in the order of t
       backward    dx         = the same with du, spread by the stride, and W turned round
                   dW[o, t]   = Σ_n Σ_ij du[o, i, j] · plane[offset[t] + i·pitch + j]     LANES lanes: images of a block, then
                                                                                         pixels of an image; in order; a tree */

/* Where image n, or the block that begins with it, stands. */
static inline real *F(planes_of)(const fastnn_planes *g, int64_t n) { return (real *)g->memory + n * g->size; }

/* One channel of an image into its planes, or of a block: `unit` values a pixel, and 0 where there is none. */
ALWAYS_INLINE void F(spread)(const int unit, const fastnn_planes *g, const real *x, real *to)
{
    const int64_t row = g->width * unit;
    int64_t end = 0;                                    /* so far it is written */
    if (!g->dense) memset(to, 0, (size_t)(g->plane * unit) * sizeof(real));
    for (int64_t i = 0; i < g->height; ++i, x += row) {
        const int64_t at = (g->down[i] + g->across[0]) * unit;
        if (g->dense) {
            for (; end < at; ++end) to[end] = 0;
            F(copy_row)(x, to + at, row);
            end = at + row;
        } else for (int64_t j = 0; j < g->width; ++j)
            for (int l = 0; l < unit; ++l) to[(g->down[i] + g->across[j]) * unit + l] = x[j * unit + l];
    }
    for (; end < g->plane * unit && g->dense; ++end) to[end] = 0;
}

/* One channel of LANES images, `image` values apart, into a block's planes. */
static void F(interleave)(const fastnn_planes *g, const real *x, int64_t image, real *to)
{
    const int64_t pixels = g->height * g->width;
    real lines[LANES * LANES];
    if (g->plane > pixels) memset(to, 0, (size_t)(g->plane * LANES) * sizeof(real));
    for (int64_t p = 0, i = 0, j = 0; p < pixels; p += LANES) {
        const int64_t n = min64(LANES, pixels - p);
        F(transpose)(x + p, image, lines, LANES, LANES, n);
        for (int64_t q = 0; q < n; ++q) {
            memcpy(to + (g->down[i] + g->across[j]) * LANES, lines + q * LANES, sizeof(real) * LANES);
            if (++j == g->width) j = 0, ++i;
        }
    }
}

/* A share of the channels of all images. */
typedef struct {
    const fastnn_planes *planes;
    const real *x;
    int64_t images, channels;
    int in_blocks;
} F(filling_t);

static void F(fill_part)(const void *job, int part, int parts)
{
    const F(filling_t) *f = job;
    const fastnn_planes *g = f->planes;
    const int64_t blocks = F(blocks_of)(f->images), size = g->height * g->width, image = f->channels * size;
    const int64_t all = (blocks + f->images % LANES) * f->channels;
    for (int64_t e = cut(all, part, parts); e < cut(all, part + 1, parts); ++e) {
        const int64_t item = e / f->channels, c = e % f->channels, n = item < blocks ? item * LANES : item + blocks * (LANES - 1);
        const real *x = f->x + n * image;
        if (item >= blocks) F(spread)(1, g, x + c * size, F(planes_of)(g, n) + c * g->plane);
        else if (f->in_blocks) F(spread)(LANES, g, x + c * size * LANES, F(planes_of)(g, n) + c * g->plane * LANES);
        else F(interleave)(g, x + c * size, image, F(planes_of)(g, n) + c * g->plane * LANES);
    }
}

/* A tile: some filters by some vectors of pixels, which see `count` of the taps. Vector v of tap t stands at from[offsets[t] +
   at[v]]; of what comes out, `lanes[v]` values go to to[out[v]]. */
typedef struct {
    const real *w, *b;                  /* of the tile's first filter; b may be NULL */
    int64_t taps, count;                /* of a filter, and seen */
    const int64_t *seen, *offsets;
    const real *from;
    real *to;
    int64_t to_row;                     /* from filter to filter */
    int64_t at[NV], out[NV];
    int lanes[NV];
} F(window_t);

ALWAYS_INLINE void F(window)(const int rows, const int vectors, const F(window_t) *t)
{
    const real *w = t->w, *from[NV];
    const int64_t taps = t->taps, count = t->count, *seen = t->seen, *offsets = t->offsets;
    vec acc[MR][NV];
    UNROLL for (int v = 0; v < vectors; ++v) from[v] = t->from + t->at[v];
    UNROLL for (int i = 0; i < rows; ++i) {
        const vec start = vset1(t->b ? t->b[i] : 0);
        UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = start;
    }
    for (int64_t q = 0; q < count; ++q) {
        const int64_t p = seen[q];
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

/* One panel of vectors, all filters. */
static void F(panel)(const F(window_t) *job, int vectors, int64_t filters)
{
    F(window_t) t = *job;
    for (int64_t o = 0; o < filters;) {
        const int tile = F(share)(filters - o, MR);
        F(windows)[tile - 1][vectors - 1](&t);
        o += tile;
        t.w += tile * t.taps;
        t.to += tile * t.to_row;
        if (t.b) t.b += tile;
    }
}

/* All filters over the rows of an image, which stand `pitch` apart in its planes and side by side in `to`. */
static void F(slide)(const F(window_t) *job, int64_t filters, int64_t rows, int64_t cols, int64_t pitch)
{
    F(window_t) t = *job;
    for (int64_t e = 0, i = 0, j = 0, count = rows * ceil_div(cols, VL); e < count;) {
        const int vectors = F(share)(count - e, NV);
        for (int v = 0; v < vectors; ++v, ++e) {
            t.at[v] = i * pitch + j;
            t.out[v] = i * cols + j;
            t.lanes[v] = (int)min64(VL, cols - j);
            if ((j += VL) >= cols) j = 0, ++i;
        }
        F(panel)(&t, vectors, filters);
    }
}

/* All filters over pixels first … first + n − 1 of a block; `to` begins with the first. Pixels that see the same taps stand
   side by side in g->order: padding, and the gaps of a stride, are never multiplied. */
static void F(slide_block)(const F(window_t) *job, const fastnn_planes *g, int64_t filters, int64_t first, int64_t n)
{
    F(window_t) t = *job;
    for (int v = 0; v < NV; ++v) t.lanes[v] = VL;
    for (int64_t e = first, end; e < first + n; e = end) {
        const int64_t kind = g->kinds[e];
        for (end = e + 1; end < first + n && g->kinds[end] == kind;) ++end;
        t.seen = g->seen + g->starts[kind];
        t.count = g->starts[kind + 1] - g->starts[kind];
        for (int64_t q = e * SPAN; q < end * SPAN;) {
            const int vectors = F(share)(end * SPAN - q, NV);
            for (int v = 0; v < vectors; ++v, ++q) {
                t.at[v] = g->places[q / SPAN] * LANES + q % SPAN * VL;
                t.out[v] = (g->order[q / SPAN] - first) * LANES + q % SPAN * VL;
            }
            F(panel)(&t, vectors, filters);
        }
    }
}

/* One of the two directions: forward, or from du to dx. */
typedef struct {
    const fastnn_planes *planes;
    const real *w, *b;
    int64_t images, groups, inside, outside, taps, rows, cols;     /* channels of a group, in and out; pixels that come out */
    real *u, *y, *scratch;
    int64_t scratch_size;
    int in_blocks, activation;
    real alpha;
} F(correlation_t);

static F(window_t) F(window_of)(const F(correlation_t) *c, int64_t group, int64_t first)
{
    const int64_t o = group * c->outside + first;
    return (F(window_t)){
        .w = c->w + o * c->taps, .b = c->b ? c->b + o : NULL, .taps = c->taps, .count = c->taps,
        .seen = c->planes->seen + c->planes->starts[c->planes->every],
    };
}

static void F(correlate_image)(const F(correlation_t) *c, int64_t n)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, image = c->groups * c->outside * size;
    for (int64_t k = 0; k < c->groups; ++k) {
        F(window_t) t = F(window_of)(c, k, 0);
        t.from = F(planes_of)(g, n) + k * c->inside * g->plane;
        t.offsets = g->offsets;
        t.to = c->u + n * image + k * c->outside * size;
        t.to_row = size;
        F(slide)(&t, c->outside, c->rows, c->cols, g->pitch);
    }
    real *u = c->u + n * image;
    if (c->activation != IDENTITY) F(activate_run)(c->activation, c->alpha, u, c->y + n * image, u, image);
}

/* Pixels first … first + n − 1 of a block, some filters at a time. What is not to stay in blocks waits in `scratch` until its
   lines are images again. */
static void F(correlate_block)(const F(correlation_t) *c, int64_t block, int64_t first, int64_t n, real *scratch)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, image = c->groups * c->outside * size, lines = n * LANES;
    for (int64_t k = 0; k < c->groups; ++k)
        for (int64_t o = 0, filters; o < c->outside; o += filters) {
            const int64_t at = block * LANES * image + ((k * c->outside + o) * size + first) * (c->in_blocks ? LANES : 1);
            filters = min64(FASTNN_CONV_FILTERS, c->outside - o);
            F(window_t) t = F(window_of)(c, k, o);
            t.from = F(planes_of)(g, block * LANES) + k * c->inside * g->plane * LANES;
            t.offsets = g->line_offsets;
            t.to = c->in_blocks ? c->u + at : scratch;
            t.to_row = c->in_blocks ? size * LANES : lines;
            F(slide_block)(&t, g, filters, first, n);
            if (c->in_blocks) {
                for (int64_t f = 0; f < filters && c->activation != IDENTITY; ++f) {
                    real *u = c->u + at + f * size * LANES;
                    F(activate_run)(c->activation, c->alpha, u, c->y + (u - c->u), u, lines);
                }
                continue;
            }
            real *y = c->u == c->y ? scratch : scratch + filters * lines;
            if (c->activation != IDENTITY)
                F(activate_run)(c->activation, c->alpha, scratch, y, scratch, filters * lines);
            for (int64_t f = 0; f < filters && c->u != c->y; ++f)
                F(transpose)(scratch + f * lines, LANES, c->u + at + f * size, image, n, LANES);
            for (int64_t f = 0; f < filters; ++f)
                F(transpose)(y + f * lines, LANES, c->y + at + f * size, image, n, LANES);
        }
}

/* A share of it: pieces of blocks, then images. */
static void F(correlate_part)(const void *job, int part, int parts)
{
    const F(correlation_t) *c = job;
    const int64_t size = c->rows * c->cols, pieces = ceil_div(size, FASTNN_CONV_PIXELS), blocks = F(blocks_of)(c->images);
    const int64_t all = blocks * pieces + c->images % LANES;
    for (int64_t e = cut(all, part, parts); e < cut(all, part + 1, parts); ++e) {
        const int64_t first = e % pieces * FASTNN_CONV_PIXELS;
        if (e >= blocks * pieces) F(correlate_image)(c, e - blocks * pieces + blocks * LANES);
        else F(correlate_block)(c, e / pieces, first, min64(FASTNN_CONV_PIXELS, size - first), c->scratch + part * c->scratch_size);
    }
}

/* How many threads the work is worth; counted in double, which does not overflow. */
static int F(conv_threads)(const fastnn_conv *g)
{
    const double pixels = (double)g->out_rows * (double)g->out_cols;
    return (double)g->images * (double)g->filters * (double)g->taps * pixels < PARALLEL_FMAS ? 1 : g->threads;
}

static void F(conv)(const fastnn_conv *g)
{
    const int64_t inside = g->channels / g->groups, outside = g->filters / g->groups;
    const F(filling_t) fill = {&g->front, g->x, g->images, g->channels, g->x_in_blocks};
    const F(correlation_t) c = {
        .planes = &g->front, .w = g->w, .b = g->b, .images = g->images, .groups = g->groups, .inside = inside, .outside = outside,
        .taps = g->taps, .rows = g->out_rows, .cols = g->out_cols, .u = g->u, .y = g->y, .scratch = g->scratch,
        .scratch_size = g->scratch_size, .in_blocks = g->y_in_blocks, .activation = g->activation, .alpha = (real)g->alpha,
    };
    run(F(fill_part), &fill, F(conv_threads)(g));
    run(F(correlate_part), &c, F(conv_threads)(g));
}

/* du into its planes: dW wants it side by side, dx with a border. */
static void F(fill_back)(const fastnn_conv *g)
{
    const F(filling_t) fill = {&g->back, g->du, g->images, g->filters, g->y_in_blocks};
    run(F(fill_part), &fill, F(conv_threads)(g));
}

/* dx, from du in its planes. `turned` is W with in and out changed places, each window turned by half a turn. */
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
    if (g->y_in_blocks) F(fill_back)(g);
    const F(correlation_t) c = {
        .planes = &g->back, .w = turned, .images = g->images, .groups = groups, .inside = outside, .outside = inside,
        .taps = outside * window, .rows = g->front.height, .cols = g->front.width, .u = g->dx, .y = g->dx, .scratch = g->scratch,
        .scratch_size = g->scratch_size, .in_blocks = g->x_in_blocks, .activation = IDENTITY,
    };
    run(F(correlate_part), &c, F(conv_threads)(g));
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
    int fresh;                          /* they begin at 0 */
    int64_t images, runs, lines;        /* of each image, or block, so many runs of so many lines, */
    int64_t tail;                       /* of whose last one only these values count; 0: all */
    int64_t du_image, du_filter, du_pitch, du_step;     /* from image to image, …, from line to line */
    int64_t planes_image, pitch, lanes_row;
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
            const real *from = du + i * t->du_filter + v * VL;
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
                acc[i][j][v] = t->fresh ? vzero() : vload(t->lanes + i * t->lanes_row + j * LANES + v * VL);
    for (int64_t n = 0; n < t->images; ++n) {
        UNROLL for (int j = 0; j < taps; ++j) at[j] = t->planes + n * t->planes_image + t->offsets[j];
        for (int64_t r = 0; r < t->runs; ++r) {
            const real *du = t->du + n * t->du_image + r * t->du_pitch;
            const int64_t end = r * t->pitch + (t->lines - (t->tail > 0)) * LANES;
            int64_t q = r * t->pitch;
            for (; q < end; q += LANES, du += t->du_step) F(dots_line)(filters, taps, 0, acc, t, du, at, q);
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

/* Adds up to the lanes of taps first … end − 1, tap after tap over what `job` says, whose du stays in the cache. */
static void F(dots_over)(const F(dots_t) *job, int64_t filters, int64_t first, int64_t end)
{
    F(dots_t) d = *job;
    for (int64_t t = first, taps; t < end; t += taps) {
        taps = F(share)(end - t, DOT_TAPS);
        d.offsets = job->offsets + t;
        d.lanes = job->lanes + (t - first) * LANES;
        F(dots_table)[filters - 1][taps - 1](&d);
    }
}

/* Where a block's du stands side by side: as it came, or in its planes. Distances from block to block, filter to filter, row to
   row, pixel to pixel. */
typedef struct {
    const real *first;
    int64_t block, filter, row, pixel;
} F(slopes_t);

static F(slopes_t) F(slopes_of)(const fastnn_conv *g)
{
    const int64_t cols = g->out_cols * LANES, size = g->out_rows * cols;
    const fastnn_planes *b = &g->back;
    if (g->y_in_blocks) return (F(slopes_t)){g->du, g->filters * size, size, cols, LANES};
    return (F(slopes_t)){
        F(planes_of)(b, 0) + (b->down[0] + b->across[0]) * LANES, LANES * b->size, LANES * b->plane, LANES * g->stride_h * b->pitch,
        LANES * g->stride_w,
    };
}

/* dW for DOT_FILTERS filters of group k from o on, taps first … end − 1. */
static void F(conv_dw_rows)(const fastnn_conv *g, int64_t k, int64_t o, int64_t first, int64_t end, real *lanes)
{
    const int64_t inside = g->channels / g->groups, outside = g->filters / g->groups, channel = k * outside + o;
    const int64_t filters = min64(DOT_FILTERS, outside - o), row = (end - first) * LANES, size = g->out_rows * g->out_cols;
    const fastnn_planes *front = &g->front;
    const F(slopes_t) du = F(slopes_of)(g);
    const int64_t blocks = F(blocks_of)(g->images), bytes = filters * g->out_cols * LANES * (int64_t)sizeof(real);
    const int64_t rows = min64(g->out_rows, 1 + DOT_BYTES / bytes), some = 1 + DOT_BYTES / (bytes * g->out_rows);
    for (int64_t n = 0; n < blocks; n += some)
        for (int64_t r = 0; r < g->out_rows; r += rows) {
            const F(dots_t) d = {
                .du = du.first + n * du.block + channel * du.filter + r * du.row, .du_image = du.block, .du_filter = du.filter,
                .du_pitch = du.row, .du_step = du.pixel,
                .planes = F(planes_of)(front, n * LANES) + (k * inside * front->plane + r * front->pitch) * LANES,
                .planes_image = LANES * front->size, .pitch = LANES * front->pitch, .offsets = front->line_offsets,
                .lanes = lanes, .lanes_row = row, .fresh = n + r == 0, .images = min64(some, blocks - n),
                .runs = min64(rows, g->out_rows - r), .lines = g->out_cols,
            };
            F(dots_over)(&d, filters, first, end);
        }
    if (g->images % LANES) {
        const F(dots_t) d = {
            .du = (const real *)g->du + (blocks * LANES * g->filters + channel) * size, .du_image = g->filters * size,
            .du_filter = size, .du_pitch = g->out_cols, .du_step = LANES,
            .planes = F(planes_of)(front, blocks * LANES) + k * inside * front->plane, .planes_image = front->size,
            .pitch = front->pitch, .offsets = front->offsets, .lanes = lanes, .lanes_row = row, .fresh = blocks == 0,
            .images = g->images % LANES, .runs = g->out_rows,
            .lines = ceil_div(g->out_cols, LANES), .tail = g->out_cols % LANES,
        };
        F(dots_over)(&d, filters, first, end);
    }
    for (int64_t i = 0; i < filters; ++i)
        F(trees)(lanes + i * row, (real *)g->dw + (channel + i) * g->taps + first, end - first);
}

/* A share of the tiles of dW: the taps of one row of tiles after the other. */
static void F(conv_dw_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const int64_t across = F(tap_tiles)(g), down = F(filter_tiles)(g), tiles = g->groups * down * across;
    const int64_t stop = cut(tiles, part + 1, parts);
    real *lanes = (real *)g->scratch + part * g->scratch_size;
    for (int64_t tile = cut(tiles, part, parts), next; tile < stop; tile = next) {
        const int64_t row = tile / across;
        next = min64((row + 1) * across, stop);
        F(conv_dw_rows)(g, row / down, row % down * DOT_FILTERS, tile % across * DOT_TAPS,
                        min64((next - row * across) * DOT_TAPS, g->taps), lanes);
    }
}

/* db of a share of the filters. */
static void F(conv_db_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const F(slopes_t) du = F(slopes_of)(g);
    const int64_t blocks = F(blocks_of)(g->images), size = g->out_rows * g->out_cols;
    for (int64_t o = cut(g->filters, part, parts); o < cut(g->filters, part + 1, parts); ++o) {
        vec sum[SPAN];
        real lane[LANES];
        UNROLL for (int v = 0; v < SPAN; ++v) sum[v] = vzero();
        for (int64_t n = 0; n < blocks; ++n)
            for (int64_t i = 0; i < g->out_rows; ++i) {
                const real *line = du.first + n * du.block + o * du.filter + i * du.row;
                for (int64_t j = 0; j < g->out_cols; ++j, line += du.pixel)
                    UNROLL for (int v = 0; v < SPAN; ++v) sum[v] += vload(line + v * VL);
            }
        UNROLL for (int v = 0; v < SPAN; ++v) vstore(lane + v * VL, sum[v]);
        for (int64_t n = blocks * LANES; n < g->images; ++n)
            lane[0] += F(sum)((const real *)g->du + (n * g->filters + o) * size, size);
        ((real *)g->db)[o] = F(tree)(lane);
    }
}

static void F(conv_backward_weight)(const fastnn_conv *g)
{
    const int64_t tiles = g->groups * F(filter_tiles)(g) * F(tap_tiles)(g);
    const int parts = F(conv_threads)(g);
    if (!g->y_in_blocks) F(fill_back)(g);
    run(F(conv_dw_part), g, (int)min64(parts, tiles));
    if (g->db) run(F(conv_db_part), g, parts);
}

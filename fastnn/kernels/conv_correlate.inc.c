/* Convolution, 2 of 3: the correlation, which is forward and, with flipped weights, dx.

   An output is one chain of fused multiply-adds, in the order of the taps, started from the bias; which tile it is
   worked out in does not show. Taps that meet only zeros may be missing from a chain: they would add 0 (or NaN, for
   an infinite weight). */

/* Tiles, one below the other: each is some filters by some vectors of windows, which see `taps` taps. Vector v of tap q
   stands at from[v][offset[q]], and its weight is number index[q] of the filter's; lanes[v] of its values go to to[v],
   in the next filter to_row further. What is given for filters begins with the first tile's. */
typedef struct {
    const real *w, *b;                  /* b may be NULL */
    F(constants_t) norm;
    int strips;                         /* whether the weights of a tile stand tap by tap, its filters side by side */
    int relu;
    int64_t filter_size, taps;          /* weights of a filter, and taps that are seen */
    const int64_t *index, *offset;
    const real *from[CONV_NV];
    real *to[CONV_NV];
    int64_t to_row;
    int lanes[CONV_NV];
    int64_t begin, end;                 /* of the taps that are added now; */
    real *sums;                         /* here a chain waits for the others */
    int64_t done, count;                /* filters of the tiles that are done; tiles to do */
} F(conv_tiles_t);

/* What one tap adds. `w` points to the tile's weights in strips, or to those of each filter. */
ALWAYS_INLINE void F(conv_tap)(const int rows, const int vectors, const int strips, vec acc[CONV_MR][CONV_NV],
                               const real *const *from, int64_t offset, const real *const *w, int64_t tap)
{
    vec row[CONV_NV];
    UNROLL for (int v = 0; v < vectors; ++v) row[v] = vload(from[v] + offset);
    UNROLL for (int i = 0; i < rows; ++i) {
        const vec x = vset1(strips ? w[0][tap * rows + i] : w[i][tap]);
        UNROLL for (int v = 0; v < vectors; ++v) vfma_into(acc[i][v], x, row[v]);
    }
}

NOINLINE void F(conv_store_some)(real *to, int lanes, vec value) { vstore_first(to, vfirst(lanes), value); }

/* The chains are complete: what comes behind them, and the store. */
ALWAYS_INLINE void F(conv_finish)(const int rows, const int vectors, vec acc[CONV_MR][CONV_NV],
                                  const F(conv_tiles_t) *t)
{
    const F(constants_t) *norm = &t->norm;
    if (norm->mean)
        UNROLL for (int i = 0; i < rows; ++i) {
            const vec mean = vset1(norm->mean[t->done + i]), inv = vset1(norm->inv[t->done + i]);
            const vec w = vset1(norm->w[t->done + i]), b = vset1(norm->b[t->done + i]);
            UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vfma((acc[i][v] - mean) * inv, w, b);
        }
    if (t->relu)
        UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vrelu(acc[i][v]);
    UNROLL for (int v = 0; v < vectors; ++v) {
        real *to = t->to[v] + t->done * t->to_row;
        if (t->lanes[v] == VL)
            UNROLL for (int i = 0; i < rows; ++i) vstore(to + i * t->to_row, acc[i][v]);
        else
            UNROLL for (int i = 0; i < rows; ++i) F(conv_store_some)(to + i * t->to_row, t->lanes[v], acc[i][v]);
    }
}

/* Where every tap is seen, STEPS taps are unrolled: instructions are the limit here, too. A tap takes as many as it can
   do with, 20 for 12 multiply-adds on AVX2, if each address is a register and a constant. GCC keeps such registers if
   it does not see where they come from (HOLD); else it reads some from the stack, for each filter. */
ALWAYS_INLINE void F(conv_tiles)(const int rows, const int vectors, const int strips, F(conv_tiles_t) *t)
{
    const real *from[CONV_NV];
    UNROLL for (int v = 0; v < vectors; ++v) from[v] = t->from[v];
    do {
        const int64_t *index = t->index, *offset = t->offset, end = t->end;
        const real *w[CONV_MR];
        real *sums = t->sums + t->done * vectors * VL;
        int64_t q = t->begin;
        vec acc[CONV_MR][CONV_NV];
        UNROLL for (int i = 0; i < rows; ++i) {
            w[i] = t->w + (t->done + i) * t->filter_size;
            HOLD(w[i]);
            const vec start = vset1(t->b ? t->b[t->done + i] : 0);
            UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = q ? vload(sums + (i * vectors + v) * VL) : start;
        }
        if (t->taps == t->filter_size)
            for (; q + STEPS <= end; q += STEPS)
                UNROLL for (int s = 0; s < STEPS; ++s)
                    F(conv_tap)(rows, vectors, strips, acc, from, offset[q + s], w, q + s);
        for (; q < end; ++q) F(conv_tap)(rows, vectors, strips, acc, from, offset[q], w, index[q]);
        if (end == t->taps) F(conv_finish)(rows, vectors, acc, t);
        else
            UNROLL for (int i = 0; i < rows; ++i)
                UNROLL for (int v = 0; v < vectors; ++v) vstore(sums + (i * vectors + v) * VL, acc[i][v]);
        t->done += rows;
    } while (--t->count);
}

/* One copy of it for each shape of a tile. */
#undef TILE
#undef ENTRY
#define TILE(rows, vectors) \
    static void F(conv_tiles_##rows##x##vectors)(F(conv_tiles_t) *t) \
    { \
        if (PACK_A && t->strips) F(conv_tiles)(rows, vectors, 1, t); \
        else F(conv_tiles)(rows, vectors, 0, t); \
    }
#define ENTRY(rows, vectors) [rows - 1][vectors - 1] = F(conv_tiles_##rows##x##vectors),
SHAPES(TILE, CONV_MR, CONV_NV)
static void (*const F(conv_tile_table)[CONV_MR][CONV_NV])(F(conv_tiles_t) *) = {SHAPES(ENTRY, CONV_MR, CONV_NV)};

/* How many filters the tile has that begins with filter o of a group of so many. */
static inline int F(tile_filters)(int64_t o, int64_t filters)
{
    return F(balanced_tile)(min64(FASTNN_CONV_FILTERS - o % FASTNN_CONV_FILTERS, filters - o), CONV_MR);
}

/* A panel of vectors for at most FASTNN_CONV_FILTERS filters, `block` taps at a time: what these see stays in the
   first-level cache while all filters meet it. */
static void F(conv_panel)(const F(conv_tiles_t) *first, int vectors, int64_t filters, int64_t block)
{
    real sums[FASTNN_CONV_FILTERS * CONV_NV * VL];
    F(conv_tiles_t) t = *first;
    t.sums = sums, t.end = 0;
    do {
        t.begin = t.end;
        t.end = min64(t.taps, t.begin + block);
        t.done = 0;
        for (int64_t left = filters; left; left = filters - t.done) {       /* as in tile_column */
            const int64_t tiles = ceil_div(left, CONV_MR), rows = ceil_div(left, tiles);
            t.count = left - (rows - 1) * tiles;
            F(conv_tile_table)[rows - 1][vectors - 1](&t);
        }
    } while (t.end < t.taps);
}

/* How many taps are a block: in single images neighbouring taps read, but for a few, the same values. */
#undef CONV_BLOCK
#undef CONV_SINGLE_BLOCK
#define CONV_BLOCK 144
#define CONV_SINGLE_BLOCK 1152

/* All filters over all windows of one image: rows `pitch` apart in the planes, side by side in the output. */
static void F(conv_single_rows)(const F(conv_tiles_t) *first, const real *from, real *to, int64_t filters, int64_t rows,
                                int64_t cols, int64_t pitch)
{
    F(conv_tiles_t) t = *first;
    for (int64_t e = 0, i = 0, j = 0, count = rows * ceil_div(cols, VL); e < count;) {
        const int vectors = F(balanced_tile)(count - e, CONV_NV);
        for (int v = 0; v < vectors; ++v, ++e) {
            t.from[v] = from + i * pitch + j;
            t.to[v] = to + i * cols + j;
            t.lanes[v] = (int)min64(VL, cols - j);
            if ((j += VL) >= cols) j = 0, ++i;
        }
        F(conv_panel)(&t, vectors, filters, CONV_SINGLE_BLOCK);
    }
}

/* All filters over windows first … first + n − 1 of an interleaved block; the output begins with window `first`.
   Windows of one tap set stand side by side in g->order, so padding and the gaps of a stride are not multiplied. */
static void F(conv_interleaved_piece)(const F(conv_tiles_t) *tile, const fastnn_planes *g, const real *from, real *to,
                                      int64_t filters, int64_t first, int64_t n)
{
    F(conv_tiles_t) t = *tile;
    for (int v = 0; v < CONV_NV; ++v) t.lanes[v] = VL;
    for (int64_t e = first, end; e < first + n; e = end) {
        const int64_t set = g->tap_set[e];
        for (end = e + 1; end < first + n && g->tap_set[end] == set;) ++end;
        t.index = g->taps + g->tap_set_begin[set];
        t.offset = g->taps_interleaved + g->tap_set_begin[set];
        t.taps = g->tap_set_begin[set + 1] - g->tap_set_begin[set];
        for (int64_t q = e * LANE_VECTORS; q < end * LANE_VECTORS;) {
            const int vectors = F(balanced_tile)(end * LANE_VECTORS - q, CONV_NV);
            for (int v = 0; v < vectors; ++v, ++q) {
                t.from[v] = from + g->window_begin[q / LANE_VECTORS] * LANES + q % LANE_VECTORS * VL;
                t.to[v] = to + (g->order[q / LANE_VECTORS] - first) * LANES + q % LANE_VECTORS * VL;
            }
            F(conv_panel)(&t, vectors, filters, CONV_BLOCK);
        }
    }
}

/* One of the two directions: from x to u and y, or from du to dx. */
typedef struct {
    const fastnn_planes *planes;
    const real *w, *b;
    const fastnn_norm *norm;
    int strips;                         /* whether w stands in strips */
    int64_t images, groups, in_channels, out_channels, filter_size;     /* channels of one group */
    int64_t rows, cols;                                                 /* of the output */
    real *u, *y, *scratch;
    int64_t scratch_size;
    int interleaved, activation;                                        /* whether the output is interleaved */
    real alpha;
} F(correlation_t);

/* What the tiles of a group have in common, from its filter `first` on. */
static F(conv_tiles_t) F(tiles_of_group)(const F(correlation_t) *c, int64_t group, int64_t first)
{
    const int64_t o = group * c->out_channels + first;
    return (F(conv_tiles_t)){
        .w = c->w + o * c->filter_size, .b = c->b ? c->b + o : NULL, .strips = c->strips, .relu = c->activation == RELU,
        .norm = F(constants_of)(c->norm, o),
        .filter_size = c->filter_size, .taps = c->filter_size,
        .index = c->planes->taps + c->planes->tap_set_begin[c->planes->full_set], .offset = c->planes->tap_offset,
    };
}

/* Whether there is an activation that the tiles leave over. */
static inline int F(has_rest)(const F(correlation_t) *c) { return c->activation != IDENTITY && c->activation != RELU; }

static void F(correlate_single)(const F(correlation_t) *c, int64_t n)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, image = c->groups * c->out_channels * size;
    for (int64_t k = 0; k < c->groups; ++k)
        for (int64_t o = 0, filters; o < c->out_channels; o += filters) {
            filters = min64(FASTNN_CONV_FILTERS, c->out_channels - o);
            F(conv_tiles_t) t = F(tiles_of_group)(c, k, o);
            t.to_row = size;
            F(conv_single_rows)(
                &t, F(planes_at)(g, n) + k * c->in_channels * g->channel_size,
                c->u + n * image + (k * c->out_channels + o) * size, filters, c->rows, c->cols, g->pitch);
        }
    real *u = c->u + n * image;
    if (F(has_rest)(c)) F(activate_range)(c->activation, c->alpha, u, c->y + n * image, u, image);
}

/* Windows first … first + n − 1 of an interleaved block, some filters at a time. An output that is not interleaved is
   worked out in `scratch` and transposed from there. */
static void F(correlate_interleaved)(const F(correlation_t) *c, int64_t block, int64_t first, int64_t n, real *scratch)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, image = c->groups * c->out_channels * size, values = n * LANES;
    for (int64_t k = 0; k < c->groups; ++k)
        for (int64_t o = 0, filters; o < c->out_channels; o += filters) {
            const int64_t filter = k * c->out_channels + o;
            const int64_t begin = block * LANES * image + (filter * size + first) * (c->interleaved ? LANES : 1);
            filters = min64(FASTNN_CONV_FILTERS, c->out_channels - o);
            F(conv_tiles_t) t = F(tiles_of_group)(c, k, o);
            t.to_row = c->interleaved ? size * LANES : values;
            F(conv_interleaved_piece)(
                &t, g, F(planes_at)(g, block * LANES) + k * c->in_channels * g->channel_size * LANES,
                c->interleaved ? c->u + begin : scratch, filters, first, n);
            if (c->interleaved) {
                for (int64_t f = 0; f < filters && F(has_rest)(c); ++f) {
                    real *u = c->u + begin + f * size * LANES;
                    F(activate_range)(c->activation, c->alpha, u, c->y + (u - c->u), u, values);
                }
                continue;
            }
            real *y = c->u == c->y ? scratch : scratch + filters * values;
            if (F(has_rest)(c))
                F(activate_range)(c->activation, c->alpha, scratch, y, scratch, filters * values);
            for (int64_t f = 0; f < filters && c->u != c->y; ++f)
                F(transpose)(scratch + f * values, LANES, c->u + begin + f * size, image, n, LANES);
            for (int64_t f = 0; f < filters; ++f)
                F(transpose)(y + f * values, LANES, c->y + begin + f * size, image, n, LANES);
        }
}

/* This part of the pieces of the interleaved blocks, and of the single images behind them. */
static void F(correlate_part)(const void *job, int part, int parts)
{
    const F(correlation_t) *c = job;
    const int64_t size = c->rows * c->cols, pieces = ceil_div(size, FASTNN_CONV_PIXELS);
    const int64_t blocks = F(interleaved_blocks)(c->images), units = blocks * pieces + c->images % LANES;
    const int64_t end = part_begin(units, part + 1, parts);
    real *scratch = c->scratch + part * c->scratch_size;
    for (int64_t e = part_begin(units, part, parts); e < end; ++e) {
        const int64_t first = e % pieces * FASTNN_CONV_PIXELS, n = min64(FASTNN_CONV_PIXELS, size - first);
        if (e >= blocks * pieces) F(correlate_single)(c, e - blocks * pieces + blocks * LANES);
        else F(correlate_interleaved)(c, e / pieces, first, n, scratch);
    }
}

/* Lays the weights of one direction out, filter by filter or in strips. On the way back, in and out channels change
   places, and each window is turned by 180°. */
static const real *F(lay_out_weights)(const fastnn_conv *g, int back, int strips)
{
    const int64_t in = g->channels / g->groups, out = g->filters / g->groups, window = g->filter_size / in;
    const int64_t filters = back ? in : out, channels = back ? out : in;
    const int64_t filter_step = back ? window : g->filter_size, channel_step = back ? g->filter_size : window;
    real *to = g->weights;
    for (int64_t k = 0; k < g->groups; ++k) {
        const real *w = (const real *)g->w + k * out * g->filter_size + (back ? window - 1 : 0);
        for (int64_t o = 0, rows; o < filters; o += rows, w += rows * filter_step) {
            rows = strips ? F(tile_filters)(o, filters) : 1;
            for (int64_t c = 0; c < channels; ++c)
                for (int64_t t = 0; t < window; ++t)
                    for (int64_t i = 0; i < rows; ++i)
                        *to++ = w[i * filter_step + c * channel_step + (back ? -t : t)];
        }
    }
    return g->weights;
}

/* A weight that meets fewer windows is not worth the time to lay it out. */
#undef STRIP_WINDOWS
#define STRIP_WINDOWS 4096

/* From the planes of x, which are filled, to u and y. */
static void F(correlate_forward)(const fastnn_conv *g, const real *b, real *u, real *y, const fastnn_norm *norm,
                                 int activation)
{
    const int strips = PACK_A && g->images * g->out_rows * g->out_cols >= STRIP_WINDOWS;
    const F(correlation_t) c = {
        .planes = &g->input, .w = strips ? F(lay_out_weights)(g, 0, 1) : g->w, .strips = strips,
        .b = b, .images = g->images, .groups = g->groups,
        .in_channels = g->channels / g->groups, .out_channels = g->filters / g->groups,
        .filter_size = g->filter_size, .rows = g->out_rows, .cols = g->out_cols, .u = u, .y = y,
        .scratch = g->scratch, .scratch_size = g->scratch_size, .interleaved = g->y_interleaved,
        .norm = norm, .activation = activation, .alpha = (real)g->alpha,
    };
    run_parts(F(correlate_part), &c, F(conv_threads)(g));
}

static void F(conv)(const fastnn_conv *g)
{
    F(fill_input)(g);
    F(correlate_forward)(g, g->b, g->u, g->y, g->norm, g->activation);
}

/* From the planes of du, which are filled, to u and y of x's shape. */
static void F(correlate_back)(const fastnn_conv *g, const real *b, real *u, real *y, const fastnn_norm *norm,
                              int activation)
{
    const int64_t in = g->channels / g->groups, out = g->filters / g->groups;
    const F(correlation_t) c = {
        .planes = &g->gradient, .w = F(lay_out_weights)(g, 1, PACK_A), .strips = PACK_A,
        .b = b, .images = g->images, .groups = g->groups, .in_channels = out,
        .out_channels = in, .filter_size = g->filter_size / in * out, .rows = g->input.height, .cols = g->input.width,
        .u = u, .y = y, .scratch = g->scratch, .scratch_size = g->scratch_size,
        .interleaved = g->x_interleaved, .norm = norm, .activation = activation,
        .alpha = (real)g->alpha,
    };
    run_parts(F(correlate_part), &c, F(conv_threads)(g));
}

static void F(conv_backward_input)(const fastnn_conv *g)
{
    if (g->y_interleaved) F(fill_gradient)(g);          /* else conv_backward_weight filled it */
    F(correlate_back)(g, NULL, g->dx, g->dx, NULL, IDENTITY);
}

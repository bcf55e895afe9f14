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
    int relu, masked;
    int64_t filter_size, taps;          /* weights of a filter, and taps that are seen */
    const int64_t *index, *offset;
    const real *from[ROW_NV];
    real *to[ROW_NV];
    int64_t to_row;
    int lanes[ROW_NV];
    int64_t begin, end;                 /* of the taps that are added now; */
    real *sums;                         /* here a chain waits for the others */
    int64_t done, count;                /* filters of the tiles that are done; tiles to do */
    int64_t rows, tiles, smaller;       /* in all: tiles of `rows` filters, then of one less */
} F(conv_tiles_t);

/* What one tap adds: w[i][tap] is the weight of the tile's filter i. */
ALWAYS_INLINE void F(conv_tap)(const int rows, const int vectors, vec acc[CONV_MR][ROW_NV], const real *const *from,
                               int64_t offset, const real *const *w, int64_t tap)
{
    vec row[ROW_NV];
    UNROLL for (int v = 0; v < vectors; ++v) row[v] = vload(from[v] + offset);
    UNROLL for (int i = 0; i < rows; ++i) {
        const vec x = vset1(w[i][tap]);
        UNROLL for (int v = 0; v < vectors; ++v) vfma_into(acc[i][v], x, row[v]);
    }
}

/* The chains of a tile are complete: the normalisation behind them, the activation if it is relu, the store. */
ALWAYS_INLINE void F(conv_finish)(const int rows, const int vectors, const int normalise, const int masked,
                                  vec acc[CONV_MR][ROW_NV], const F(conv_tiles_t) *t)
{
    const F(constants_t) n = t->norm;
    UNROLL for (int i = 0; i < rows && normalise; ++i) {
        const int64_t o = t->done + i;
        const vec mean = vset1(n.mean[o]), inv = vset1(n.inv[o]), w = vset1(n.w[o]), b = vset1(n.b[o]);
        UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vfma((acc[i][v] - mean) * inv, w, b);
    }
    if (t->relu)
        UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vrelu(acc[i][v]);
    UNROLL for (int v = 0; v < vectors; ++v) {
        real *to = t->to[v] + t->done * t->to_row;
        for (int i = 0; i < rows && masked; ++i, to += t->to_row) vstore_first(to, vfirst(t->lanes[v]), acc[i][v]);
        UNROLL for (int i = 0; i < rows && !masked; ++i, to += t->to_row) vstore(to, acc[i][v]);
    }
}

/* The same with what most tiles do not need, on a copy of the tile, so that the loop over taps has all registers. */
ALWAYS_INLINE void F(conv_finish_copy)(const int rows, const int vectors, const real *sums, const F(conv_tiles_t) *t)
{
    vec acc[CONV_MR][ROW_NV];
    UNROLL for (int i = 0; i < rows; ++i)
        UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vload(sums + (i * vectors + v) * VL);
    if (!t->masked) F(conv_finish)(rows, vectors, 1, 0, acc, t);
    else if (t->norm.mean) F(conv_finish)(rows, vectors, 1, 1, acc, t);
    else F(conv_finish)(rows, vectors, 0, 1, acc, t);
}

/* Some taps are unrolled, fewer where `full` is 0: not every tap is seen. Instructions are the limit here, too. A tap
   takes as few as it can, 20 for 12 multiply-adds on AVX2, if each address is a register and a constant. GCC does so if
   it does not see where a row's address comes from (HOLD), and leaves the sums in their registers if something else
   asks for all of them at the end of a loop (KEEP); else it reads some addresses, and sums, from the stack. */
#undef SOME_STEPS
#define SOME_STEPS (STEPS < 4 ? STEPS : 4)
ALWAYS_INLINE void F(conv_tiles)(const int rows, const int vectors, const int full, F(conv_tiles_t) *t,
                                 void (*const finish)(const real *sums, const F(conv_tiles_t) *t))
{
    const int steps = full ? STEPS : SOME_STEPS;
    const real *from[ROW_NV];
    UNROLL for (int v = 0; v < vectors; ++v) from[v] = t->from[v];
    do {
        const int64_t *index = t->index, *offset = t->offset, end = t->end, row = t->filter_size;
        const real *w[CONV_MR], *first = t->w + t->done * row;
        real *sums = t->sums + t->done * vectors * VL;
        int64_t q = t->begin;
        vec acc[CONV_MR][ROW_NV];
        UNROLL for (int i = 0; i < rows; ++i, first += row) {
            const vec start = vset1(t->b ? t->b[t->done + i] : 0);
            w[i] = first;
            HOLD(w[i]);
            UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = q ? vload(sums + (i * vectors + v) * VL) : start;
        }
        for (int64_t left = (end - q) % steps; left; --left, ++q)
            F(conv_tap)(rows, vectors, acc, from, offset[q], w, full ? q : index[q]);
        for (; q < end; q += steps) {
            UNROLL for (int s = 0; s < steps; ++s)
                F(conv_tap)(rows, vectors, acc, from, offset[q + s], w, full ? q + s : index[q + s]);
            UNROLL for (int i = 0; i < rows; ++i)
                UNROLL for (int v = 0; v < vectors; ++v) KEEP(acc[i][v]);
        }
        if (end == t->taps && !t->masked && !t->norm.mean) F(conv_finish)(rows, vectors, 0, 0, acc, t);
#if defined(ISA_X86_V4)
        else if (end == t->taps && !t->masked) F(conv_finish)(rows, vectors, 1, 0, acc, t);
#endif
        else {
            UNROLL for (int i = 0; i < rows; ++i)
                UNROLL for (int v = 0; v < vectors; ++v) vstore(sums + (i * vectors + v) * VL, acc[i][v]);
            if (end == t->taps) finish(sums, t);
        }
        t->done += rows;
    } while (--t->count);
}

/* One copy of it for each shape of a tile, and for all taps or some. */
#undef TILE
#undef ENTRY
#define TILE(rows, vectors) \
    NOINLINE void F(conv_finish_##rows##x##vectors)(const real *sums, const F(conv_tiles_t) *t) \
    { \
        F(conv_finish_copy)(rows, vectors, sums, t); \
    } \
    static void F(all_taps_##rows##x##vectors)(F(conv_tiles_t) *t) \
    { \
        F(conv_tiles)(rows, vectors, 1, t, F(conv_finish_##rows##x##vectors)); \
    } \
    static void F(some_taps_##rows##x##vectors)(F(conv_tiles_t) *t) \
    { \
        F(conv_tiles)(rows, vectors, 0, t, F(conv_finish_##rows##x##vectors)); \
    }
SHAPES(TILE, CONV_MR, CONV_NV)
CONV_ROW_SHAPES(TILE)
static void (*const F(conv_tile_table)[2][CONV_MR][ROW_NV])(F(conv_tiles_t) *) = {
#define ENTRY(rows, vectors) [rows - 1][vectors - 1] = F(some_taps_##rows##x##vectors),
    {SHAPES(ENTRY, CONV_MR, CONV_NV) CONV_ROW_SHAPES(ENTRY)},
#undef ENTRY
#define ENTRY(rows, vectors) [rows - 1][vectors - 1] = F(all_taps_##rows##x##vectors),
    {SHAPES(ENTRY, CONV_MR, CONV_NV) CONV_ROW_SHAPES(ENTRY)},
};

/* How many taps are a block: what three vectors of AVX2 see takes 14 KB. In single images neighbouring taps read, but
   for a few, the same values. */
#undef CONV_BLOCK
#undef CONV_SINGLE_BLOCK
#if defined(ISA_X86_V4)
#define CONV_BLOCK 96
#else
#define CONV_BLOCK 144
#endif
#define CONV_SINGLE_BLOCK (8 * CONV_BLOCK)

/* How many panels are packed together, at most. */
#undef MOST_PANELS
#define MOST_PANELS 10

/* Processors prefetch within a page. Taps of 1 × 1 kernels, each in a channel of its own, stand further apart. */
#undef PAGE
#define PAGE (4096 / (int64_t)sizeof(real))
static inline int F(stand_far_apart)(const F(conv_tiles_t) *t)
{
    return t->taps > 1 && t->offset[1] - t->offset[0] >= PAGE;
}

/* A panel of vectors for all tiles of at most FASTNN_CONV_FILTERS filters, `block` taps at a time: what these see stays
   in the first-level cache while all filters meet it. What the next panel sees is fetched if nobody else would do
   it. */
static void F(conv_panel)(F(conv_tiles_t) *t, int vectors, int64_t block)
{
    const int full = t->taps == t->filter_size, far = F(stand_far_apart)(t);
    real sums[(FASTNN_CONV_FILTERS * CONV_NV + ROW_NV) * VL];
    t->sums = sums, t->end = 0;
    t->masked = 0;
    for (int v = 0; v < vectors; ++v) t->masked |= t->lanes[v] < VL;
    do {
        t->begin = t->end;
        t->end = min64(t->taps, t->begin + block);
        t->done = 0;
        for (int64_t q = t->begin; q < t->end && far; ++q)
            __builtin_prefetch(t->from[vectors - 1] + VL + t->offset[q]);
        t->count = t->tiles;
        F(conv_tile_table)[full][t->rows - 1][vectors - 1](t);
        t->count = t->smaller;
        if (t->smaller) F(conv_tile_table)[full][t->rows - 2][vectors - 1](t);
    } while (t->end < t->taps);
}

/* The same on lines that stand side by side: `vectors` of each tap, one tap behind the other. */
static void F(conv_packed_panel)(F(conv_tiles_t) *t, int vectors, const real *lines)
{
    const F(conv_tiles_t) given = *t;
    int64_t places[CONV_BLOCK];
    real sums[(FASTNN_CONV_FILTERS * CONV_NV + ROW_NV) * VL];
    for (int64_t q = 0; q < min64(CONV_BLOCK, t->taps); ++q) places[q] = q * vectors * VL;
    t->sums = sums, t->end = 0, t->masked = 0;
    do {
        t->begin = t->end;
        t->end = min64(t->taps, t->begin + CONV_BLOCK);
        t->done = 0;
        for (int v = 0; v < vectors; ++v) t->from[v] = lines + (t->begin * vectors + v) * VL;
        t->offset = places - t->begin;
        t->count = t->tiles;
        F(conv_tile_table)[1][t->rows - 1][vectors - 1](t);
        t->count = t->smaller;
        if (t->smaller) F(conv_tile_table)[1][t->rows - 2][vectors - 1](t);
    } while (t->end < t->taps);
    t->offset = given.offset;
}

/* The next panel's vectors, of so many that are left: as even as possible at the end. Chains of one filter or two would
   wait for themselves if there were no more of them: depthwise convolutions take 0.7 to 0.9 of the time. */
static inline int F(panel_vectors)(const F(conv_tiles_t) *t, int64_t left)
{
    const int most = t->rows > 2 ? CONV_NV : t->rows == 2 ? CONV_TWO_NV : ROW_NV;
    return left >= 2 * most ? most : left > most ? (int)(left + 1) / 2 : (int)left;
}

/* All filters over all windows of one image, those of rows with the same taps together: `pitch` apart in the planes,
   side by side in the output. If a row is one vector, all get all taps: a tile of one vector waits for its chains, but
   for those of AVX-512. */
static void F(conv_single_rows)(const F(conv_tiles_t) *first, const fastnn_planes *g, const real *from, real *to,
                                int64_t rows, int64_t cols)
{
    F(conv_tiles_t) t = *first;
    const int64_t across = ceil_div(cols, VL);
    const int all = across == 1 && CONV_MR < 8;
    for (int64_t i = 0, end; i < rows; i = end) {
        const int64_t set = all ? g->full_set : g->row_set[i];
        for (end = i + 1; end < rows && (all || g->row_set[end] == set);) ++end;
        t.index = g->taps + g->tap_set_begin[set];
        t.offset = g->tap_places + g->tap_set_begin[set];
        t.taps = g->tap_set_begin[set + 1] - g->tap_set_begin[set];
        for (int64_t e = 0, j = 0, count = (end - i) * across, row = i; e < count;) {
            const int vectors = F(panel_vectors)(&t, count - e);
            for (int v = 0; v < vectors; ++v, ++e) {
                t.from[v] = from + row * g->pitch + j;
                t.to[v] = to + row * cols + j;
                t.lanes[v] = (int)min64(VL, cols - j);
                if ((j += VL) >= cols) j = 0, ++row;
            }
            F(conv_panel)(&t, vectors, CONV_SINGLE_BLOCK);
        }
    }
}

/* Where a block's windows begin and where their taps stand, as window_begin and taps_interleaved of its planes. */
typedef struct {
    const int64_t *begin, *taps;
} F(places_t);

/* Vector number v of a piece's windows. */
static inline const real *F(window_vector)(const real *from, F(places_t) places, int64_t v)
{
    return from + places.begin[v / LANE_VECTORS] * LANES + v % LANE_VECTORS * VL;
}

/* Copies what the next panels see, of `left` vectors from number `first` on: to `lines`, panel by panel. Returns their
   number. A channel's lines are read in one go: those of all channels share few sets of the caches, and each stands on
   another page. */
static int F(pack_panels)(const F(conv_tiles_t) *t, const real *from, F(places_t) places, int64_t first, int64_t left,
                          real *lines)
{
    const int64_t most = min64(MOST_PANELS, FASTNN_CONV_LINES * LANES / (t->taps * CONV_NV * VL));
    const real *seen[MOST_PANELS * CONV_NV];
    real *to[MOST_PANELS * CONV_NV];
    int64_t step[MOST_PANELS * CONV_NV];
    int panels = 0, count = 0;
    for (; panels < most && left; ++panels) {
        const int vectors = F(panel_vectors)(t, left);
        for (int v = 0; v < vectors; ++v, ++count) {
            seen[count] = F(window_vector)(from, places, first + count);
            to[count] = lines + v * VL, step[count] = vectors * VL;
        }
        lines += t->taps * vectors * VL, left -= vectors;
    }
    for (int64_t q = 0; q < t->taps; ++q)
        for (int v = 0; v < count; ++v) vstore(to[v] + q * step[v], vload(seen[v] + t->offset[q]));
    return panels;
}

/* All filters over windows first … first + n − 1 of an interleaved block; the output begins with window `first`.
   Windows of one tap set stand side by side in g->order, so padding and the gaps of a stride are not multiplied. */
static void F(conv_interleaved_piece)(const F(conv_tiles_t) *tile, const fastnn_planes *g, F(places_t) places,
                                      const real *from, real *to, int64_t first, int64_t n, real *lines)
{
    F(conv_tiles_t) t = *tile;
    for (int v = 0; v < ROW_NV; ++v) t.lanes[v] = VL;
    for (int64_t e = first, end; e < first + n; e = end) {
        const int64_t set = g->tap_set[e];
        for (end = e + 1; end < first + n && g->tap_set[end] == set;) ++end;
        t.index = g->taps + g->tap_set_begin[set];
        t.offset = places.taps + g->tap_set_begin[set];
        t.taps = g->tap_set_begin[set + 1] - g->tap_set_begin[set];
        const int packs = lines && F(stand_far_apart)(&t) && t.tiles + t.smaller > 1
            && t.taps * CONV_NV * VL <= FASTNN_CONV_LINES * LANES;
        const real *packed = lines;
        for (int64_t q = e * LANE_VECTORS, panel = 0, panels = 0; q < end * LANE_VECTORS; ++panel) {
            if (packs && panel == panels) {
                panels = F(pack_panels)(&t, from, places, q, end * LANE_VECTORS - q, lines);
                panel = 0, packed = lines;
            }
            const int vectors = F(panel_vectors)(&t, end * LANE_VECTORS - q);
            for (int v = 0; v < vectors; ++v, ++q) {
                if (!packs) t.from[v] = F(window_vector)(from, places, q);
                t.to[v] = to + (g->order[q / LANE_VECTORS] - first) * LANES + q % LANE_VECTORS * VL;
            }
            if (packs) F(conv_packed_panel)(&t, vectors, packed), packed += t.taps * vectors * VL;
            else F(conv_panel)(&t, vectors, CONV_BLOCK);
        }
    }
}

/* One of the two directions: from x to u and y, or from du to dx. */
typedef struct {
    const fastnn_planes *planes;
    const real *w, *b;
    const fastnn_norm *norm;
    int64_t images, groups, in_channels, out_channels, filter_size;     /* channels of one group */
    int64_t rows, cols;                                                 /* of the output */
    real *u, *y, *scratch;
    int64_t scratch_size;
    int interleaved, activation;                                        /* whether the output is interleaved */
    real alpha;
    const real *panels;                                                 /* of w, or NULL */
    const real *blocks;                                                 /* as they came, `skipped` in all, without */
    int64_t skipped;                                                    /* planes; or NULL */
    F(places_t) places;                                                 /* in these, or in the planes */
} F(correlation_t);

/* What the tiles of some filters of a group have in common. */
static F(conv_tiles_t) F(tiles_of_group)(const F(correlation_t) *c, int64_t group, int64_t first, int64_t filters)
{
    const int64_t o = group * c->out_channels + first;
    const int64_t tiles = ceil_div(filters, CONV_MR), rows = ceil_div(filters, tiles);      /* as in tile_column */
    return (F(conv_tiles_t)){
        .rows = rows, .tiles = filters - (rows - 1) * tiles, .smaller = rows * tiles - filters,
        .w = c->w + o * c->filter_size, .b = c->b ? c->b + o : NULL, .relu = c->activation == RELU,
        .norm = F(constants_of)(c->norm, o),
        .filter_size = c->filter_size,
    };
}

/* Whether there is an activation that the tiles leave over. */
static inline int F(has_rest)(const F(correlation_t) *c) { return c->activation != IDENTITY && c->activation != RELU; }

/* Filters begin … end − 1 of each group, over one image. */
static void F(correlate_single)(const F(correlation_t) *c, int64_t n, int64_t begin, int64_t end)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, image = c->groups * c->out_channels * size;
    for (int64_t k = 0; k < c->groups; ++k)
        for (int64_t o = begin, filters; o < end; o += filters) {
            filters = min64(FASTNN_CONV_FILTERS, end - o);
            F(conv_tiles_t) t = F(tiles_of_group)(c, k, o, filters);
            t.to_row = size;
            F(conv_single_rows)(
                &t, g, F(planes_at)(g, n - c->skipped * LANES) + k * c->in_channels * g->channel_size,
                c->u + n * image + (k * c->out_channels + o) * size, c->rows, c->cols);
            real *u = c->u + n * image + (k * c->out_channels + o) * size;
            if (F(has_rest)(c)) F(activate_range)(c->activation, c->alpha, u, c->y + (u - c->u), u, filters * size);
        }
}

/* The same over windows first … first + n − 1 of an interleaved block. An output that is not interleaved is worked out
   in `scratch` and transposed from there. */
static void F(correlate_interleaved)(const F(correlation_t) *c, int64_t block, int64_t first, int64_t n, int64_t begin,
                                     int64_t end, real *scratch)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, image = c->groups * c->out_channels * size, values = n * LANES;
    real *last = scratch + c->scratch_size;
    for (int64_t k = 0; k < c->groups; ++k)
        for (int64_t o = begin, filters; o < end; o += filters) {
            const int64_t filter = k * c->out_channels + o;
            const int64_t place = block * LANES * image + (filter * size + first) * (c->interleaved ? LANES : 1);
            filters = min64(FASTNN_CONV_FILTERS, end - o);
            F(conv_tiles_t) t = F(tiles_of_group)(c, k, o, filters);
            t.to_row = c->interleaved ? size * LANES : values;
            real *to = c->interleaved ? c->u + place : scratch;
            const int64_t channel = (block * c->groups + k) * c->in_channels;
            const real *from = c->blocks ? c->blocks + channel * g->height * g->width * LANES
                : F(planes_at)(g, block * LANES) + k * c->in_channels * g->channel_size * LANES;
            real *lines = c->blocks && c->filter_size == c->in_channels ? last - FASTNN_CONV_LINES * LANES : NULL;
            F(conv_interleaved_piece)(&t, g, c->places, from, to, first, n, lines);
            if (c->interleaved) {
                for (int64_t f = 0; f < filters && F(has_rest)(c); ++f) {
                    real *u = c->u + place + f * size * LANES;
                    F(activate_range)(c->activation, c->alpha, u, c->y + (u - c->u), u, values);
                }
                continue;
            }
            real *y = c->u == c->y ? scratch : scratch + filters * values;
            if (F(has_rest)(c))
                F(activate_range)(c->activation, c->alpha, scratch, y, scratch, filters * values);
            for (int64_t f = 0; f < filters && c->u != c->y; ++f)
                F(transpose)(scratch + f * values, LANES, c->u + place + f * size, image, n, LANES);
            for (int64_t f = 0; f < filters; ++f)
                F(transpose)(y + f * values, LANES, c->y + place + f * size, image, n, LANES);
        }
}

/* Single images by filters: where a tile above is some filters by vectors of windows, here it is some windows by
   vectors of filters, as in a product, and weights are packed in panels as b of a product is, one row for each tap. No
   lane is empty, however wide the image is. Where more than a tenth of them would be, 1 to 8 images of LeNet-like take
   0.9 of the time; where none would be, those of VGG-like take 1.06: six values and not four are loaded for twelve
   multiply-adds. */
static inline int F(has_empty_lanes)(int64_t cols) { return 10 * ceil_div(cols, VL) * VL > 11 * cols; }

/* What one tap adds. */
ALWAYS_INLINE void F(window_tap)(const int rows, const int vectors, const real *const *from, int64_t offset,
                                 const real *panel, vec acc[MR][NV])
{
    vec row[NV];
    UNROLL for (int v = 0; v < vectors; ++v) {
        row[v] = vload(panel + v * VL);
        KEEP(row[v]);
    }
    UNROLL for (int i = 0; i < rows; ++i) {
        const vec x = vset1(from[i][offset]);
        UNROLL for (int v = 0; v < vectors; ++v) vfma_into(acc[i][v], x, row[v]);
    }
}

ALWAYS_INLINE void F(window_tile)(const int rows, const int vectors, const real *const *windows, const int64_t *offset,
                                  const real *panel, int64_t taps, vec acc[MR][NV])
{
    const real *from[MR];
    UNROLL for (int i = 0; i < rows; ++i) {
        from[i] = windows[i];
        HOLD(from[i]);
    }
    int64_t q = 0;
    for (int64_t left = taps % SOME_STEPS; left; --left, ++q, panel += vectors * VL)
        F(window_tap)(rows, vectors, from, offset[q], panel, acc);
    for (; q < taps; q += SOME_STEPS, panel += SOME_STEPS * vectors * VL) {
        UNROLL for (int s = 0; s < SOME_STEPS; ++s)
            F(window_tap)(rows, vectors, from, offset[q + s], panel + s * vectors * VL, acc);
        UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < vectors; ++v) KEEP(acc[i][v]);
    }
}

/* The same from where the sums stand (`first`: from the bias, or 0), and back, with relu if that comes next; the last
   vector of the bias has `tail` values. */
ALWAYS_INLINE void F(window_sums)(const int rows, const int vectors, const real *const *windows, const int64_t *offset,
                                  const real *panel, int64_t taps, int first, int relu, const real *bias, int tail,
                                  real *sums, int64_t sums_row)
{
    vec acc[MR][NV];
    UNROLL for (int v = 0; v < vectors; ++v) {
        const vmask mask = vfirst(v == vectors - 1 ? tail : VL);
        const vec start = first && bias ? vload_first(bias + v * VL, mask) : vzero();
        UNROLL for (int i = 0; i < rows; ++i) acc[i][v] = first ? start : vload(sums + i * sums_row + v * VL);
    }
    F(window_tile)(rows, vectors, windows, offset, panel, taps, acc);
    if (relu)
        UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vrelu(acc[i][v]);
    UNROLL for (int i = 0; i < rows; ++i)
        UNROLL for (int v = 0; v < vectors; ++v) vstore(sums + i * sums_row + v * VL, acc[i][v]);
}

#undef TILE
#undef ENTRY
#define TILE(rows, vectors) \
    static void F(window_sums_##rows##x##vectors)(const real *const *windows, const int64_t *offset, \
                                                  const real *panel, int64_t taps, int first, int relu, \
                                                  const real *bias, int tail, real *sums, int64_t sums_row) \
    { \
        F(window_sums)(rows, vectors, windows, offset, panel, taps, first, relu, bias, tail, sums, sums_row); \
    }
#define ENTRY(rows, vectors) [rows - 1][vectors - 1] = F(window_sums_##rows##x##vectors),
SHAPES(TILE, MR, NV)
static void (*const F(window_table)[MR][NV])(const real *const *windows, const int64_t *offset, const real *panel,
                                             int64_t taps, int first, int relu, const real *bias, int tail, real *sums,
                                             int64_t sums_row) = { SHAPES(ENTRY, MR, NV) };

/* All filters of group k over some windows of an image; their sums are rows of `sums`. */
static void F(sum_windows)(const F(correlation_t) *c, int64_t k, const real *const *windows, int64_t n, int relu,
                           real *sums)
{
    const int64_t row = F(packed_row)(c->out_channels);
    const real *panels = c->panels + k * c->filter_size * row, *bias = c->b ? c->b + k * c->out_channels : NULL;
    for (int64_t p = 0, taps; p < c->filter_size; p += taps) {
        const real *panel = panels + p * row;
        taps = min64(KC, c->filter_size - p);
        const int last = p + taps == c->filter_size;
        for (int64_t j = 0, vectors; j < row; j += vectors * VL) {
            vectors = F(balanced_tile)((row - j) / VL, NV);
            for (int64_t i = 0, rows; i < n; i += rows) {
                rows = F(balanced_tile)(n - i, MR);
                F(window_table)[rows - 1][vectors - 1](
                    windows + i, c->planes->tap_offset + p, panel, taps, p == 0, relu && last, bias ? bias + j : NULL,
                    j + vectors * VL < row ? VL : (int)(c->out_channels - (row - VL)), sums + i * row + j, row);
            }
            panel += taps * vectors * VL;
        }
    }
}

/* Windows first … end − 1 of one image, all filters. */
static void F(correlate_windows)(const F(correlation_t) *c, int64_t image, int64_t first, int64_t end, real *sums)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, row = F(packed_row)(c->out_channels);
    const int64_t most = min64(FASTNN_CONV_PIXELS, c->scratch_size / row);
    for (int64_t k = 0; k < c->groups; ++k) {
        const real *from = F(planes_at)(g, image - c->skipped * LANES) + k * c->in_channels * g->channel_size;
        const int64_t filter = k * c->out_channels;
        const F(constants_t) norm = F(constants_of)(c->norm, filter);
        for (int64_t e = first, n; e < end; e += n) {
            const real *windows[FASTNN_CONV_PIXELS];
            n = min64(most, end - e);
            for (int64_t q = 0, i = e / c->cols, j = e % c->cols; q < n; ++q, ++j) {
                if (j == c->cols) j = 0, ++i;
                windows[q] = from + i * g->pitch + j;
            }
            const int relu = c->activation == RELU && !norm.mean;
            F(sum_windows)(c, k, windows, n, relu, sums);
            for (int64_t q = 0; q < n && norm.mean; ++q) F(normalise_row)(&norm, sums + q * row, c->out_channels);
            if (c->activation != IDENTITY && !relu)
                F(activate_range)(c->activation, c->alpha, sums, sums, sums, n * row);
            F(transpose)(sums, row, c->y + (image * c->groups * c->out_channels + filter) * size + e, size, n,
                         c->out_channels);
        }
    }
}

/* This part of the pieces of the interleaved blocks, and of the single images behind them. Where these are fewer than
   the parts, a piece's filters are split, too, in whole tiles, or an image's windows. */
static void F(correlate_part)(const void *job, int part, int parts)
{
    const F(correlation_t) *c = job;
    const int64_t size = c->rows * c->cols, pieces = ceil_div(size, FASTNN_CONV_PIXELS);
    const int64_t blocks = F(interleaved_blocks)(c->images), units = blocks * pieces + c->images % LANES;
    const int64_t tiles = ceil_div(c->out_channels, CONV_MR), splits = min64(tiles, ceil_div(parts, units));
    const int64_t end = part_begin(units * splits, part + 1, parts);
    real *scratch = c->scratch + part * c->scratch_size;
    for (int64_t e = part_begin(units * splits, part, parts); e < end; ++e) {
        const int64_t unit = e / splits, split = e % splits, from = tiles * split / splits * CONV_MR;
        const int64_t to = min64(c->out_channels, tiles * (split + 1) / splits * CONV_MR);
        const int64_t first = unit % pieces * FASTNN_CONV_PIXELS, n = min64(FASTNN_CONV_PIXELS, size - first);
        const int64_t image = unit - blocks * pieces + blocks * LANES;
        if (unit >= blocks * pieces && c->panels)
            F(correlate_windows)(c, image, size * split / splits, size * (split + 1) / splits, scratch);
        else if (unit >= blocks * pieces) F(correlate_single)(c, image, from, to);
        else F(correlate_interleaved)(c, unit / pieces, first, n, from, to, scratch);
    }
}

/* The weights of the way back, filter by filter: in and out channels change places, each window is turned by 180°. */
static const real *F(turn_weights)(const fastnn_conv *g, real *to)
{
    const int64_t in = g->channels / g->groups, out = g->filters / g->groups, window = g->filter_size / in;
    const real *turned = to;
    for (int64_t k = 0; k < g->groups; ++k)
        for (int64_t c = 0; c < in; ++c) {
            const real *last = (const real *)g->w + k * out * g->filter_size + (c + 1) * window - 1;
            for (int64_t o = 0; o < out; ++o, last += g->filter_size)
                for (int64_t t = 0; t < window; ++t) *to++ = last[-t];
        }
    return turned;
}

/* From x to u and y; the planes are filled, but for interleaved blocks if these are given. */
static void F(correlate_forward)(const fastnn_conv *g, const real *blocks, const real *panels, const real *b, real *u,
                                 real *y, const fastnn_norm *norm, int activation)
{
    const F(places_t) padded = {g->input.window_begin, g->input.taps_interleaved};
    const F(correlation_t) c = {
        .planes = &g->input, .w = g->w,
        .b = b, .images = g->images, .groups = g->groups,
        .in_channels = g->channels / g->groups, .out_channels = g->filters / g->groups,
        .filter_size = g->filter_size, .rows = g->out_rows, .cols = g->out_cols, .u = u, .y = y,
        .scratch = g->scratch, .scratch_size = g->scratch_size, .interleaved = g->y_interleaved,
        .norm = norm, .activation = activation, .alpha = (real)g->alpha,
        .panels = F(has_empty_lanes)(g->out_cols) ? panels : NULL,
        .blocks = blocks, .skipped = blocks ? F(interleaved_blocks)(g->images) : 0,
        .places = blocks ? (F(places_t)){g->x_begin, g->x_taps} : padded,
    };
    run_parts(F(correlate_part), &c, F(conv_threads)(g));
}

static void F(conv_pack)(const fastnn_conv *g, void *to)
{
    const int64_t out = g->filters / g->groups, row = F(packed_row)(out), taps = g->filter_size;
    for (int64_t k = 0; k < g->groups; ++k)
        for (int64_t p = 0; p < taps; p += KC)
            F(pack)((real *)to + (k * taps + p) * row, (const real *)g->w + k * out * taps + p, 1, taps,
                    min64(KC, taps - p), out);
}

/* Do blocks need no planes? Their channels often stand a multiple of 4 KB apart, in the same sets of the first-level
   cache. Sets of 12 lines hold what a block of taps sees: 0.93 to 0.99 of the time. Sets of 8 do not, 1.05 to 1.1, but
   for windows of one pixel or one channel. */
static inline int F(reads_in_place)(const fastnn_conv *g)
{
    const int64_t channels = g->channels / g->groups;
    return g->x_begin && (channels == 1 || channels == g->filter_size || fastnn_first_level_ways >= 12);
}

static void F(conv)(const fastnn_conv *g)
{
    const int in_place = F(reads_in_place)(g);
    F(fill_input)(g, in_place ? F(interleaved_blocks)(g->images) : 0);
    F(correlate_forward)(g, in_place ? g->x : NULL, g->packed, g->b, g->u, g->y, g->norm, g->activation);
}

/* From du, whose planes are filled, to u and y of x's shape, by weights that are turned. */
static void F(correlate_back)(const fastnn_conv *g, const real *turned, const real *b, real *u, real *y,
                              const fastnn_norm *norm, int activation)
{
    const int64_t in = g->channels / g->groups, out = g->filters / g->groups;
    const F(places_t) padded = {g->gradient.window_begin, g->gradient.taps_interleaved};
    const F(correlation_t) c = {
        .planes = &g->gradient, .w = turned,
        .b = b, .images = g->images, .groups = g->groups, .in_channels = out,
        .out_channels = in, .filter_size = g->filter_size / in * out, .rows = g->input.height, .cols = g->input.width,
        .u = u, .y = y, .scratch = g->scratch, .scratch_size = g->scratch_size,
        .interleaved = g->x_interleaved, .norm = norm, .activation = activation,
        .alpha = (real)g->alpha,
        .blocks = g->du_begin ? g->du : NULL, .skipped = g->du_begin ? F(interleaved_blocks)(g->images) : 0,
        .places = g->du_begin ? (F(places_t)){g->du_begin, g->du_taps} : padded,
    };
    run_parts(F(correlate_part), &c, F(conv_threads)(g));
}

static void F(conv_backward_input)(const fastnn_conv *g)
{
    if (g->y_interleaved) F(fill_gradient)(g);          /* else conv_backward_weight filled it */
    F(correlate_back)(g, F(turn_weights)(g, g->weights), NULL, g->dx, g->dx, NULL, IDENTITY);
}

/* Convolution, 2 of 5: tiles of filters by vectors of windows, and what both directions of a correlation share.

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
    real *lines;                        /* where the first tile copies what it sees, if it does */
    int64_t begin, end;                 /* of the taps that are added now; */
    real *sums;                         /* here a chain waits for the others */
    int64_t done, count;                /* filters of the tiles that are done; tiles to do */
    int64_t rows, tiles, smaller;       /* in all: tiles of `rows` filters, then of one less */
} F(conv_tiles_t);

/* What one tap adds: w[i][tap] is the weight of the tile's filter i. */
ALWAYS_INLINE void F(conv_tap)(const int rows, const int vectors, const int copy, vec acc[CONV_MR][ROW_NV],
                               const real *const *from, int64_t offset, const real *const *w, int64_t tap, real *lines)
{
    vec row[ROW_NV];
    UNROLL for (int v = 0; v < vectors; ++v) row[v] = vload(from[v] + offset);
    UNROLL for (int v = 0; v < vectors && copy; ++v) vstore(lines + (tap * vectors + v) * VL, row[v]);
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
ALWAYS_INLINE void F(conv_tiles)(const int rows, const int vectors, const int full, const int copy,
                                 F(conv_tiles_t) *t, void (*const finish)(const real *sums, const F(conv_tiles_t) *t))
{
    const int steps = full ? STEPS : SOME_STEPS;
    const real *from[ROW_NV];
    UNROLL for (int v = 0; v < vectors; ++v) from[v] = t->from[v];
    do {
        const int64_t *index = t->index, *offset = t->offset, end = t->end, row = t->filter_size;
        const real *w[CONV_MR], *first = t->w + t->done * row;
        real *sums = t->sums + t->done * vectors * VL, *lines = t->lines;
        int64_t q = t->begin;
        vec acc[CONV_MR][ROW_NV];
        UNROLL for (int i = 0; i < rows; ++i, first += row) {
            const vec start = vset1(t->b ? t->b[t->done + i] : 0);
            w[i] = first;
            HOLD(w[i]);
            UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = q ? vload(sums + (i * vectors + v) * VL) : start;
        }
        for (int64_t left = (end - q) % steps; left; --left, ++q)
            F(conv_tap)(rows, vectors, copy, acc, from, offset[q], w, full ? q : index[q], lines);
        for (; q < end; q += steps) {
            UNROLL for (int s = 0; s < steps; ++s)
                F(conv_tap)(rows, vectors, copy, acc, from, offset[q + s], w, full ? q + s : index[q + s], lines);
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
        F(conv_tiles)(rows, vectors, 1, 0, t, F(conv_finish_##rows##x##vectors)); \
    } \
    static void F(some_taps_##rows##x##vectors)(F(conv_tiles_t) *t) \
    { \
        F(conv_tiles)(rows, vectors, 0, 0, t, F(conv_finish_##rows##x##vectors)); \
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

/* The same, of all taps, copying what it sees. */
#undef TILE
#undef ENTRY
#define TILE(rows, vectors) \
    static void F(copying_##rows##x##vectors)(F(conv_tiles_t) *t) \
    { \
        F(conv_tiles)(rows, vectors, 1, 1, t, F(conv_finish_##rows##x##vectors)); \
    }
#define ENTRY(rows, vectors) [rows - 1][vectors - 1] = F(copying_##rows##x##vectors),
SHAPES(TILE, CONV_MR, CONV_NV)
static void (*const F(copying_table)[CONV_MR][CONV_NV])(F(conv_tiles_t) *) = {SHAPES(ENTRY, CONV_MR, CONV_NV)};

/* How many taps are a block: what three vectors of AVX2 see takes 14 KB. In single images neighbouring taps read, but
   for a few, the same values. Lines that are copied share no sets of the cache. */
#undef CONV_BLOCK
#undef CONV_SINGLE_BLOCK
#undef PACKED_BLOCK
#define PACKED_BLOCK 128
#if defined(ISA_X86_V4)
#define CONV_BLOCK 96
#else
#define CONV_BLOCK 144
#endif
#define CONV_SINGLE_BLOCK (8 * CONV_BLOCK)

/* Processors prefetch within a page. Taps of 1 × 1 kernels, each in a channel of its own, stand further apart. */
#undef PAGE
#define PAGE (4096 / (int64_t)sizeof(real))
static inline int F(stand_far_apart)(const F(conv_tiles_t) *t)
{
    return t->taps > 1 && t->offset[1] - t->offset[0] >= PAGE;
}

static inline int F(has_masked)(const F(conv_tiles_t) *t, int vectors)
{
    int masked = 0;
    for (int v = 0; v < vectors; ++v) masked |= t->lanes[v] < VL;
    return masked;
}

/* A panel of vectors for all tiles of at most FASTNN_CONV_FILTERS filters, `block` taps at a time: what these see stays
   in the first-level cache while all filters meet it. What the next panel sees is fetched if nobody else would do
   it. */
static void F(conv_panel)(F(conv_tiles_t) *t, int vectors, int64_t block)
{
    const int full = t->taps == t->filter_size, far = F(stand_far_apart)(t);
    real sums[(FASTNN_CONV_FILTERS * CONV_NV + ROW_NV) * VL];
    t->sums = sums, t->end = 0, t->masked = F(has_masked)(t, vectors);
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

/* What a panel sees, its last vector in part, to `lines`, one tap behind the other. */
static void F(copy_lines)(const F(conv_tiles_t) *t, int vectors, real *lines)
{
    for (int64_t q = 0; q < t->taps; ++q)
        for (int v = 0; v < vectors; ++v, lines += VL) {
            const real *from = t->from[v] + t->offset[q];
            vstore(lines, t->lanes[v] == VL ? vload(from) : vload_first(from, vfirst(t->lanes[v])));
        }
}

/* A panel of 1 × 1 kernels. The first tile copies what it sees to `lines`, unless that is there (`copied`): channels
   often share few sets of the caches, and each stands on another page. */
static void F(conv_packed_panel)(F(conv_tiles_t) *t, int vectors, int copied, real *lines)
{
    const int64_t *offset = t->offset;
    const real *seen[CONV_NV];
    int64_t places[PACKED_BLOCK];
    real sums[(FASTNN_CONV_FILTERS * CONV_NV + ROW_NV) * VL];
    for (int64_t q = 0; q < min64(PACKED_BLOCK, t->taps); ++q) places[q] = q * vectors * VL;
    for (int v = 0; v < vectors; ++v) seen[v] = t->from[v];
    t->sums = sums, t->lines = lines, t->end = 0, t->masked = F(has_masked)(t, vectors);
    if (t->masked && !copied) F(copy_lines)(t, vectors, lines), copied = 1;
    do {
        t->begin = t->end;
        t->end = min64(t->taps, t->begin + PACKED_BLOCK);
        t->done = 0;
        if (!copied) {
            for (int v = 0; v < vectors; ++v) t->from[v] = seen[v];
            t->offset = offset, t->count = 1;
            F(copying_table)[t->rows - 1][vectors - 1](t);
        }
        for (int v = 0; v < vectors; ++v) t->from[v] = lines + (t->begin * vectors + v) * VL;
        t->offset = places - t->begin;
        t->count = t->tiles - !copied;
        if (t->count) F(conv_tile_table)[1][t->rows - 1][vectors - 1](t);
        t->count = t->smaller;
        if (t->smaller) F(conv_tile_table)[1][t->rows - 2][vectors - 1](t);
    } while (t->end < t->taps);
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

/* Vectors of windows, by number. Those of a piece of an interleaved block: of the windows in `order`, which begin as
   `begin` says, the output with window `first`. Those of a single image, without these tables: as its pixels stand. */
typedef struct {
    const real *from;
    real *to;
    const int64_t *begin, *order;
    int64_t first, values;              /* in all: of one channel */
} F(windows_t);

static inline const real *F(vector_seen)(const F(windows_t) *s, int64_t v)
{
    return s->from + (s->begin ? s->begin[v / LANE_VECTORS] * LANES + v % LANE_VECTORS * VL : v * VL);
}

static inline real *F(vector_made)(const F(windows_t) *s, int64_t v)
{
    return s->to + (s->order ? (s->order[v / LANE_VECTORS] - s->first) * LANES + v % LANE_VECTORS * VL : v * VL);
}

static inline int F(vector_lanes)(const F(windows_t) *s, int64_t v)
{
    return s->order ? VL : (int)min64(VL, s->values - v * VL);
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
    const real *singles;                                                /* the images, if single ones have no planes */
    int depthwise, pixelwise;
    int64_t window, step, top, left;                                    /* as in fastnn_conv */
    int64_t spread;                                                     /* the stride of the forward pass, for dx */
    int centred;                                                        /* 3 × 3 pixels around every step-th one */
    const real *strips;                                                 /* blocks as they came that go by strips, */
                                                                        /* or NULL */
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

/* Whether there is an activation that the tiles leave over; and this, of `values` values of u. */
static inline int F(has_rest)(const F(correlation_t) *c) { return c->activation != IDENTITY && c->activation != RELU; }

static void F(activate_rest)(const F(correlation_t) *c, real *u, int64_t values)
{
    if (F(has_rest)(c))
        F(activate_range)(c->activation, c->alpha, u, c->y + (u - c->u), u, values);
}

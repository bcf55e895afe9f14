/* Convolution, 5 of 5: dW and db.

   dW[o, t] is a dot product over all windows of all images: the sum of those of chunks, some rows of some interleaved
   blocks, then of the single images. A chunk's has LANES running sums, whose lanes are the images of a block, or
   neighbouring windows of a single image; a tree joins them. A register tile holds the running sums of some filters by
   some taps. Chunks are small, so that a part of their planes stays in the second-level cache for all filters: before,
   dW of 64 channels of 32 × 32 pixels waited for memory most of the time. What narrow single images add is a product of
   two matrices. */

#undef DOT_FILTERS
#undef DOT_TAPS
#undef DOT_NARROW_TAPS
#define DOT_NARROW_TAPS 6               /* where a row is one vector */
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
#undef DOT_MOST_TAPS
#define DOT_MOST_TAPS (DOT_TAPS > DOT_NARROW_TAPS ? DOT_TAPS : DOT_NARROW_TAPS)

/* A tile's sums over a chunk: some images, or interleaved blocks, of `rows` rows of `lines` lines each; a line is LANES
   values. */
typedef struct {
    const real *du, *planes;
    const int64_t *tap_offset;
    real *dw;                           /* that of the next filter dw_row further */
    int fresh;                          /* whether the chunk is the first one */
    int64_t images, rows, lines;
    int64_t tail;                       /* values of a row's last line that count; 0: all */
    int64_t du_image, du_filter, du_row, du_line;       /* distances in du from one to the next */
    int64_t planes_image, planes_row, dw_row;
    int64_t unit;                       /* images that stand side by side: LANES or 1 */
} F(dots_t);

/* One line; masked, if it is a last line, behind whose tail stand other values. By vfma_into, as GCC would read a
   vector of the planes from memory for each filter: 16 loads for 12 multiply-adds (AVX2), dW takes a tenth longer. */
ALWAYS_INLINE void F(dots_line)(const int filters, const int taps, const int masked, vec (*acc)[DOT_TAPS][LANE_VECTORS],
                                const F(dots_t) *t, const real *du, const real *const *planes, int64_t q)
{
    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) {
        const int64_t left = t->tail - v * VL;
        const vmask mask = vfirst(!masked || left >= VL ? VL : left > 0 ? (int)left : 0);
        vec row[DOT_FILTERS];
        UNROLL for (int i = 0; i < filters; ++i) {
            const real *from = du + i * t->du_filter + v * VL;
            row[i] = masked ? vload_first(from, mask) : vload(from);
        }
        UNROLL for (int j = 0; j < taps; ++j) {
            const real *from = planes[j] + q + v * VL;
            const vec x = masked ? vload_first(from, mask) : vload(from);
            UNROLL for (int i = 0; i < filters; ++i) vfma_into(acc[i][j][v], row[i], x);
        }
    }
}

/* Adds the chunk's sums of a tile to dW, or begins dW with them. */
ALWAYS_INLINE void F(add_dots)(const int filters, const int taps, const F(dots_t) *t, const real *lanes)
{
    real sums[DOT_FILTERS * DOT_MOST_TAPS];
    F(trees)(lanes, sums, filters * taps);
    UNROLL for (int i = 0; i < filters; ++i)
        for (int j = 0; j < taps; ++j) {
            real *dw = t->dw + i * t->dw_row + j;
            *dw = t->fresh ? sums[i * taps + j] : *dw + sums[i * taps + j];
        }
}

ALWAYS_INLINE void F(dots)(const int filters, const int taps, const F(dots_t) *t)
{
    vec acc[DOT_FILTERS][DOT_TAPS][LANE_VECTORS];
    const real *planes[DOT_TAPS];
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j)
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v)
                acc[i][j][v] = vzero();
    for (int64_t n = 0; n < t->images; ++n) {
        UNROLL for (int j = 0; j < taps; ++j) planes[j] = t->planes + n * t->planes_image + t->tap_offset[j];
        for (int64_t r = 0; r < t->rows; ++r) {
            const real *du = t->du + n * t->du_image + r * t->du_row;
            const int64_t end = r * t->planes_row + (t->lines - (t->tail > 0)) * LANES;
            int64_t q = r * t->planes_row;
            for (; q < end; q += LANES, du += t->du_line) F(dots_line)(filters, taps, 0, acc, t, du, planes, q);
            if (t->tail) F(dots_line)(filters, taps, 1, acc, t, du, planes, q);
        }
    }
    real lanes[DOT_FILTERS * DOT_TAPS * LANES];
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j)
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v) vstore(lanes + (i * taps + j) * LANES + v * VL, acc[i][j][v]);
    F(add_dots)(filters, taps, t, lanes);
}

/* The same where a row of a single image is at most a vector: the other lanes are not gone through, so there are
   registers for more taps. */
ALWAYS_INLINE void F(narrow_dots)(const int filters, const int taps, const F(dots_t) *t)
{
    vec acc[DOT_FILTERS][DOT_NARROW_TAPS];
    const real *planes[DOT_NARROW_TAPS];
    const vmask mask = vfirst((int)t->tail);
    UNROLL for (int i = 0; i < filters; ++i) UNROLL for (int j = 0; j < taps; ++j) acc[i][j] = vzero();
    for (int64_t n = 0; n < t->images; ++n) {
        const real *du = t->du + n * t->du_image;
        UNROLL for (int j = 0; j < taps; ++j) planes[j] = t->planes + n * t->planes_image + t->tap_offset[j];
        for (int64_t r = 0, q = 0; r < t->rows; ++r, q += t->planes_row, du += t->du_row) {
            vec row[DOT_FILTERS];
            UNROLL for (int i = 0; i < filters; ++i) row[i] = vload_first(du + i * t->du_filter, mask);
            UNROLL for (int j = 0; j < taps; ++j) {
                const vec x = vload_first(planes[j] + q, mask);
                UNROLL for (int i = 0; i < filters; ++i) vfma_into(acc[i][j], row[i], x);
            }
        }
    }
    real lanes[DOT_FILTERS * DOT_NARROW_TAPS * LANES];
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j)
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v)
                vstore(lanes + (i * taps + j) * LANES + v * VL, v ? vzero() : acc[i][j]);
    F(add_dots)(filters, taps, t, lanes);
}

/* One copy of them for each shape of a tile. */
#undef TILE
#undef ENTRY
#define TILE(filters, taps) \
    static void F(dots_##filters##x##taps)(const F(dots_t) *t) { F(dots)(filters, taps, t); }
#define ENTRY(filters, taps) [filters - 1][taps - 1] = F(dots_##filters##x##taps),
SHAPES(TILE, DOT_FILTERS, DOT_TAPS)
static void (*const F(dots_table)[DOT_FILTERS][DOT_TAPS])(const F(dots_t) *) = {SHAPES(ENTRY, DOT_FILTERS, DOT_TAPS)};
#undef TILE
#undef ENTRY
#define TILE(filters, taps) \
    static void F(narrow_dots_##filters##x##taps)(const F(dots_t) *t) { F(narrow_dots)(filters, taps, t); }
#define ENTRY(filters, taps) [filters - 1][taps - 1] = F(narrow_dots_##filters##x##taps),
SHAPES(TILE, DOT_FILTERS, DOT_NARROW_TAPS)
static void (*const F(narrow_dots_table)[DOT_FILTERS][DOT_NARROW_TAPS])(const F(dots_t) *) = {
    SHAPES(ENTRY, DOT_FILTERS, DOT_NARROW_TAPS)
};

/* How many tiles the weights of one group make, in each direction. */
static inline int64_t F(tap_tiles)(const fastnn_conv *g) { return ceil_div(g->filter_size, DOT_TAPS); }
static inline int64_t F(filter_tiles)(const fastnn_conv *g) { return ceil_div(g->filters / g->groups, DOT_FILTERS); }

/* A chunk's sums for taps first … end − 1 of some filters, some taps after the other. */
static void F(dots_over_taps)(const F(dots_t) *chunk, int64_t filters, int64_t first, int64_t end)
{
    F(dots_t) d = *chunk;
    const int narrow = d.lines == 1 && d.tail > 0 && d.tail <= VL;
    for (int64_t t = first, taps; t < end; t += taps) {
        taps = F(balanced_tile)(end - t, narrow ? DOT_NARROW_TAPS : DOT_TAPS);
        d.tap_offset = chunk->tap_offset + t;
        d.dw = chunk->dw + t;
        if (narrow) F(narrow_dots_table)[filters - 1][taps - 1](&d);
        else F(dots_table)[filters - 1][taps - 1](&d);
    }
}

/* Interleaved du: as it came, or as it stands in its planes. The distances go from one block, filter, row, pixel to the
   next. */
typedef struct {
    const real *first;
    int64_t block, filter, row, pixel;
} F(interleaved_du_t);

static F(interleaved_du_t) F(interleaved_du)(const fastnn_conv *g)
{
    const int64_t cols = g->out_cols * LANES, size = g->out_rows * cols;
    const fastnn_planes *p = &g->gradient;
    if (g->y_interleaved) return (F(interleaved_du_t)){g->du, g->filters * size, size, cols, LANES};
    return (F(interleaved_du_t)){
        F(planes_at)(p, 0) + (p->row_offset[0] + p->col_offset[0]) * LANES, LANES * p->image_size,
        LANES * p->channel_size, LANES * g->stride_h * p->pitch, LANES * g->stride_w,
    };
}

/* About so many lines are a chunk: the same on every machine, as the bits depend on it. About so many bytes of its
   planes meet all filters before the next ones do; they stay in the second-level cache. Half and twice of both are as
   fast. */
#undef CHUNK_LINES
#undef CHUNK_PLANES
#define CHUNK_LINES 256
#define CHUNK_PLANES (256 * 1024)

/* Tiles begin … end − 1 of dW's, row by row: a row is all taps of DOT_FILTERS filters of a group. */
typedef struct {
    int64_t begin, end;
} F(dw_tiles_t);

/* Adds a chunk's sums to these tiles of dW, for all filters some taps after the other. The chunk's du, planes and dW
   begin with the first filter and channel of all. */
static void F(add_chunk)(const fastnn_conv *g, F(dw_tiles_t) tiles, const F(dots_t) *chunk)
{
    const int64_t in = g->channels / g->groups, out = g->filters / g->groups;
    const int64_t channel = g->input.channel_size * chunk->unit;
    const int64_t values = in * channel * chunk->images / g->out_rows * chunk->rows;
    const int64_t most = CHUNK_PLANES / (1 + values * (int64_t)sizeof(real) / g->filter_size);
    const int64_t taps = max64(1, most / DOT_TAPS) * DOT_TAPS;
    const int64_t across = F(tap_tiles)(g), down = F(filter_tiles)(g);
    for (int64_t t = 0; t < g->filter_size; t += taps)
        for (int64_t row = tiles.begin / across; row * across < tiles.end; ++row) {
            const int64_t k = row / down, o = row % down * DOT_FILTERS, filter = k * out + o;
            const int64_t first = max64(t, (tiles.begin - row * across) * DOT_TAPS);
            const int64_t end = min64(min64(t + taps, g->filter_size), (tiles.end - row * across) * DOT_TAPS);
            F(dots_t) d = *chunk;
            d.du += filter * d.du_filter;
            d.planes += k * in * channel;
            d.dw += filter * g->filter_size;
            if (first < end) F(dots_over_taps)(&d, min64(DOT_FILTERS, out - o), first, end);
        }
}

/* Adds the sums of all chunks of these images, or blocks. */
static void F(add_chunks)(const fastnn_conv *g, F(dw_tiles_t) tiles, const F(dots_t) *all)
{
    const int64_t together = max64(1, CHUNK_LINES / (all->rows * all->lines));
    const int64_t most = max64(1, min64(all->rows, CHUNK_LINES / all->lines));
    const int64_t rows = ceil_div(all->rows, ceil_div(all->rows, most));
    F(dots_t) d = *all;
    for (int64_t n = 0; n < all->images; n += together)
        for (int64_t r = 0; r < all->rows; r += rows, d.fresh = 0) {
            d.images = min64(together, all->images - n), d.rows = min64(rows, all->rows - r);
            d.du = all->du + n * d.du_image + r * d.du_row;
            d.planes = all->planes + n * d.planes_image + r * d.planes_row;
            F(add_chunk)(g, tiles, &d);
        }
}

/* Are the single images' sums a product? conv.pyx decides: where rows are narrow. */
static inline int F(multiplies_columns)(const fastnn_conv *g)
{
    return g->columns && g->images % LANES > 0;
}

/* This part of the tiles of dW. */
static void F(weight_gradient_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const fastnn_planes *planes = &g->input;
    const int64_t count = g->groups * F(filter_tiles)(g) * F(tap_tiles)(g), size = g->out_rows * g->out_cols;
    const F(dw_tiles_t) tiles = {part_begin(count, part, parts), part_begin(count, part + 1, parts)};
    const int64_t blocks = F(interleaved_blocks)(g->images), single = blocks * LANES;
    const F(interleaved_du_t) du = F(interleaved_du)(g);
    const F(dots_t) interleaved = {
        .dw = g->dw, .dw_row = g->filter_size, .fresh = 1,
        .du = du.first, .du_image = du.block, .du_filter = du.filter, .du_row = du.row, .du_line = du.pixel,
        .planes = F(planes_at)(planes, 0), .planes_image = LANES * planes->image_size,
        .planes_row = LANES * planes->pitch, .unit = LANES, .tap_offset = planes->tap_offset_interleaved,
        .images = blocks, .rows = g->out_rows, .lines = g->out_cols,
    };
    const F(dots_t) others = {
        .dw = g->dw, .dw_row = g->filter_size, .fresh = blocks == 0,
        .du = (const real *)g->du + single * g->filters * size, .du_image = g->filters * size, .du_filter = size,
        .du_row = g->out_cols, .du_line = LANES,
        .planes = F(planes_at)(planes, single), .planes_image = planes->image_size, .planes_row = planes->pitch,
        .unit = 1, .tap_offset = planes->tap_offset,
        .images = g->images - single, .rows = g->out_rows, .lines = ceil_div(g->out_cols, LANES),
        .tail = g->out_cols % LANES,
    };
    F(add_chunks)(g, tiles, &interleaved);
    if (!F(multiplies_columns)(g)) F(add_chunks)(g, tiles, &others);
}

/* What some single images add to dW, as a product: du, filters by windows, times what each tap sees of these windows.
   Where a row is at most half a line, most lanes of a tile of sums would be empty, and to join lanes would take longer
   than to multiply: one image of 128 channels of 4 × 4 pixels takes 29 µs in place of 189. */
typedef struct {
    const fastnn_conv *g;
    int64_t first, images, terms;       /* terms: windows of all these images */
    real *du, *columns;                 /* (filters, terms) and (groups · filter_size, terms) */
} F(columns_t);

static void F(fill_columns_part)(const void *job, int part, int parts)
{
    const F(columns_t) *c = job;
    const fastnn_conv *g = c->g;
    const int64_t rows = g->out_rows, cols = g->out_cols, size = rows * cols, taps = g->groups * g->filter_size;
    const int64_t in = g->channels / g->groups, pitch = g->input.pitch;
    for (int64_t t = part_begin(taps, part, parts); t < part_begin(taps, part + 1, parts); ++t) {
        const int64_t k = t / g->filter_size, place = g->input.tap_offset[t % g->filter_size];
        real *to = c->columns + t * c->terms;
        for (int64_t n = 0; n < c->images; ++n) {
            const real *from = F(planes_at)(&g->input, c->first + n) + k * in * g->input.channel_size + place;
            for (int64_t i = 0; i < rows; ++i, from += pitch, to += cols) F(copy_row)(from, to, cols);
        }
    }
    for (int64_t o = part_begin(g->filters, part, parts); o < part_begin(g->filters, part + 1, parts); ++o)
        for (int64_t n = 0; n < c->images; ++n)
            F(copy_row)((const real *)g->du + ((c->first + n) * g->filters + o) * size,
                        c->du + o * c->terms + n * size, size);
}

typedef struct {
    fastnn_gemm product;
    int add;
} F(added_product_t);

static void F(added_product_part)(const void *job, int part, int parts)
{
    const F(added_product_t) *p = job;
    F(multiply_share)(&p->product, p->add, part, parts);
}

static void F(multiply_columns)(const fastnn_conv *g)
{
    const int64_t blocks = F(interleaved_blocks)(g->images), out = g->filters / g->groups, taps = g->filter_size;
    const int64_t size = g->out_rows * g->out_cols, together = max64(1, FASTNN_CONV_TERMS / size);
    const int threads = F(conv_threads)(g);
    for (int64_t n = blocks * LANES, images; n < g->images; n += images) {
        F(columns_t) c = {.g = g, .first = n, .columns = g->columns};
        c.images = images = min64(together, g->images - n), c.terms = images * size;
        c.du = c.columns + g->groups * taps * c.terms;
        run_parts(F(fill_columns_part), &c, threads);
        for (int64_t k = 0; k < g->groups; ++k) {
            const F(added_product_t) job = {
                .product = {
                    .a = c.du + k * out * c.terms, .a_row = c.terms, .a_col = 1,
                    .b = c.columns + k * taps * c.terms, .b_row = 1, .b_col = c.terms,
                    .c = (real *)g->dw + k * out * taps, .y = (real *)g->dw + k * out * taps, .c_row = taps,
                    .m = out, .n = taps, .k = c.terms, .activation = IDENTITY, .work = g->work, .threads = threads,
                },
                .add = n > 0,
            };
            run_parts(F(added_product_part), &job, (int)min64(threads, F(column_tiles)(&job.product)));
        }
    }
}

/* db of this part of the filters. */
static void F(bias_gradient_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const F(interleaved_du_t) du = F(interleaved_du)(g);
    const int64_t blocks = F(interleaved_blocks)(g->images), size = g->out_rows * g->out_cols;
    for (int64_t o = part_begin(g->filters, part, parts); o < part_begin(g->filters, part + 1, parts); ++o) {
        vec sum[LANE_VECTORS];
        real lane[LANES];
        double total = 0;
        int64_t lines = 0;                              /* in the lanes */
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) sum[v] = vzero();
        for (int64_t n = 0; n < blocks; ++n)
            for (int64_t i = 0; i < g->out_rows; ++i) {
                if (lines > PIECE) F(take_lanes)(sum, &total), lines = 0;
                lines += g->out_cols;
                const real *line = du.first + n * du.block + o * du.filter + i * du.row;
                for (int64_t j = 0; j < g->out_cols; ++j, line += du.pixel)
                    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) sum[v] += vload(line + v * VL);
            }
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) vstore(lane + v * VL, sum[v]);
        for (int64_t n = blocks * LANES; n < g->images; ++n)
            lane[0] += F(sum)((const real *)g->du + (n * g->filters + o) * size, size);
        ((real *)g->db)[o] = (real)(total + (double)F(tree)(lane));
    }
}

static void F(weight_gradient)(const fastnn_conv *g)
{
    const int64_t tiles = g->groups * F(filter_tiles)(g) * F(tap_tiles)(g);
    if (g->images >= LANES || !F(multiplies_columns)(g))
        run_parts(F(weight_gradient_part), g, (int)min64(F(conv_threads)(g), tiles));
    if (F(multiplies_columns)(g)) F(multiply_columns)(g);
}

static void F(conv_backward_weight)(const fastnn_conv *g)
{
    if (!g->y_interleaved) F(fill_gradient)(g);
    if (!g->dw) return;
    F(weight_gradient)(g);
    if (g->db) run_parts(F(bias_gradient_part), g, F(conv_threads)(g));
}

/* Convolution, 5 of 5: dW and db.

   dW[o, t] is a dot product over all windows of all images: the sum of those of chunks of windows, in their order, of
   the interleaved blocks and then of the single images. Chunks are small, so that what they read stays in the caches
   for all filters and taps. There are two ways to take them, and a third for depthwise convolutions, by strips as in
   conv_depthwise.inc.c.

   By dots: a tile in registers holds LANES running sums for each of some filters by some taps, whose lanes are the
   images of a block, or neighbouring windows of a single image; a tree joins them. A tile of 4 × 6 reads ten lines for
   24 multiply-adds, from the second-level cache unless taps share them.

   By products: a tile holds one sum for each of some taps by some vectors of filters, and goes through the windows one
   by one. It needs du transposed, and filters that fill the vectors. 1 × 1 kernels over 64 to 256 channels take 0.5 to
   0.8 of the time of dots, 3 × 3 kernels 0.8 to 0.97 (AVX-512 and AVX2). */

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

/* How many images are a chunk, or how many rows of one. */
typedef struct {
    int64_t together, rows;
} F(chunks_t);

static F(chunks_t) F(chunks_of)(int64_t rows, int64_t lines)
{
    const int64_t most = max64(1, min64(rows, CHUNK_LINES / lines));
    return (F(chunks_t)){max64(1, CHUNK_LINES / (rows * lines)), ceil_div(rows, ceil_div(rows, most))};
}

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
    const F(chunks_t) c = F(chunks_of)(all->rows, all->lines);
    F(dots_t) d = *all;
    for (int64_t n = 0; n < all->images; n += c.together)
        for (int64_t r = 0; r < all->rows; r += c.rows, d.fresh = 0) {
            d.images = min64(c.together, all->images - n), d.rows = min64(c.rows, all->rows - r);
            d.du = all->du + n * d.du_image + r * d.du_row;
            d.planes = all->planes + n * d.planes_image + r * d.planes_row;
            F(add_chunk)(g, tiles, &d);
        }
}

/* Is what single images add to dW worked out by products, even if the rest is not? Where their rows are at most half a
   line, most lanes of dots would be empty, so one vector is better, too. */
static inline int F(singles_go_by_products)(const fastnn_conv *g)
{
    const int narrow = g->filter_size >= 32 && g->filters / g->groups >= LANES && 2 * g->out_cols <= LANES;
    return g->images % LANES > 0 && (narrow || g->products);
}

/* Depthwise, where y goes by strips: sums as those of dots, in the same order, but for two or three rows of taps at a
   time, so that no multiply-add waits for the one before, and of x and du as they came. */
ALWAYS_INLINE void F(strip_dots)(const int window, const int step, const int tap_rows, const int windows,
                                 const int inside, const real *x, const real *du, int64_t row, int64_t col,
                                 int64_t height, int64_t width, vec acc[3][5])
{
    vec line[4];
    UNROLL for (int i = 0; i < windows; ++i) line[i] = vload(du + i * LANES);
    UNROLL for (int r = 0; r < tap_rows; ++r) {
        if (row + r < 0 || row + r >= height) continue;
        const real *from = x + ((row + r) * width + col) * LANES;
        UNROLL for (int p = 0; p < (windows - 1) * step + window; ++p) {
            if (!inside && (col + p < 0 || col + p >= width)) continue;
            const vec pixel = vload(from + p * LANES);
            UNROLL for (int i = 0; i < windows; ++i)
                if (p >= i * step && p < i * step + window) vfma_into(acc[r][p - i * step], line[i], pixel);
        }
    }
}

/* Taps of rows first … first + tap_rows − 1, of windows in rows begin … end − 1 of some blocks of a channel. */
ALWAYS_INLINE void F(strip_sums)(const int window, const int step, const int tap_rows, const fastnn_conv *g,
                                 int64_t blocks, const real *x, const real *du, int64_t begin, int64_t end,
                                 int64_t first, real *lanes)
{
    const int64_t height = g->input.height, width = g->input.width, cols = g->out_cols;
    for (int v = 0; v < LANE_VECTORS; ++v) {
        vec acc[3][5];
        UNROLL for (int r = 0; r < tap_rows; ++r) UNROLL for (int s = 0; s < window; ++s) acc[r][s] = vzero();
        for (int64_t n = 0; n < blocks; ++n) {
            const real *from = x + n * g->channels * height * width * LANES + v * VL;
            const real *lines = du + n * g->channels * g->out_rows * cols * LANES + v * VL;
            for (int64_t i = begin; i < end; ++i) {
                const int64_t row = i * step - g->top + first;
                for (int64_t j = 0; j < cols;) {
                    const int64_t col = j * step - g->left;
                    const real *line = lines + (i * cols + j) * LANES;
                    const int four = j + 4 <= cols;
                    if (four && col >= 0 && col + 3 * step + window <= width)
                        F(strip_dots)(window, step, tap_rows, 4, 1, from, line, row, col, height, width, acc);
                    else if (four)
                        F(strip_dots)(window, step, tap_rows, 4, 0, from, line, row, col, height, width, acc);
                    else F(strip_dots)(window, step, tap_rows, 1, 0, from, line, row, col, height, width, acc);
                    j += four ? 4 : 1;
                }
            }
        }
        UNROLL for (int r = 0; r < tap_rows; ++r)
            UNROLL for (int s = 0; s < window; ++s)
                vstore(lanes + ((first + r) * window + s) * LANES + v * VL, acc[r][s]);
    }
}

#define STRIP_SUMS(step) \
    NOINLINE void F(strip_sums_of_##step)(const fastnn_conv *g, int64_t blocks, const real *x, const real *du, \
                                          int64_t begin, int64_t end, real *lanes) \
    { \
        if (g->window == 3) F(strip_sums)(3, step, 3, g, blocks, x, du, begin, end, 0, lanes); \
        else { \
            F(strip_sums)(5, step, 2, g, blocks, x, du, begin, end, 0, lanes); \
            F(strip_sums)(5, step, 2, g, blocks, x, du, begin, end, 2, lanes); \
            F(strip_sums)(5, step, 1, g, blocks, x, du, begin, end, 4, lanes); \
        } \
    }
STRIP_SUMS(1)
STRIP_SUMS(2)
#undef STRIP_SUMS

/* What the blocks make of dW of this part of the channels, in the chunks of add_chunks. */
static void F(strips_gradient_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const int64_t taps = g->filter_size, blocks = F(interleaved_blocks)(g->images);
    const int64_t pixels = g->input.height * g->input.width * LANES, size = g->out_rows * g->out_cols * LANES;
    const F(chunks_t) c = F(chunks_of)(g->out_rows, g->out_cols);
    for (int64_t k = part_begin(g->channels, part, parts); k < part_begin(g->channels, part + 1, parts); ++k) {
        real lanes[25 * LANES], sums[25], *dw = (real *)g->dw + k * taps;
        for (int64_t n = 0; n < blocks; n += c.together)
            for (int64_t r = 0; r < g->out_rows; r += c.rows) {
                const real *x = (const real *)g->x + (n * g->channels + k) * pixels;
                const real *du = (const real *)g->du + (n * g->channels + k) * size;
                const int64_t some = min64(c.together, blocks - n), end = min64(r + c.rows, g->out_rows);
                if (g->step == 1) F(strip_sums_of_1)(g, some, x, du, r, end, lanes);
                else F(strip_sums_of_2)(g, some, x, du, r, end, lanes);
                F(trees)(lanes, sums, taps);
                for (int64_t t = 0; t < taps; ++t) dw[t] = n + r == 0 ? sums[t] : dw[t] + sums[t];
            }
    }
}

/* This part of the tiles of dW. */
static void F(weight_gradient_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const fastnn_planes *planes = &g->input;
    const int64_t count = g->groups * F(filter_tiles)(g) * F(tap_tiles)(g), size = g->out_rows * g->out_cols;
    const F(dw_tiles_t) tiles = {part_begin(count, part, parts), part_begin(count, part + 1, parts)};
    const int64_t blocks = F(interleaved_blocks)(g->images), single = blocks * LANES;
    const int strips = g->by_strips;
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
        .planes = F(planes_at)(planes, strips ? 0 : single), .planes_image = planes->image_size,
        .planes_row = planes->pitch,
        .unit = 1, .tap_offset = planes->tap_offset,
        .images = g->images - single, .rows = g->out_rows, .lines = ceil_div(g->out_cols, LANES),
        .tail = g->out_cols % LANES,
    };
    if (!strips) F(add_chunks)(g, tiles, &interleaved);
    if (!F(singles_go_by_products)(g)) F(add_chunks)(g, tiles, &others);
}

/* By products. A chunk's is that of the patches, a row for each tap, by du, whose panels have a row for each window of
   each image. The micro-kernel is that of single images by filters (conv_correlate.inc.c) with windows and taps
   exchanged. */
#undef PRODUCT_TERMS
#define PRODUCT_TERMS 512               /* of a chunk; the bits depend on it, and 256 take a little longer */

/* Interleaved blocks, or single images; the distances in du go from one of them, filter, row, pixel to the next. */
typedef struct {
    const real *du, *planes;
    const int64_t *tap_offset;          /* NULL: each channel is a tap */
    int64_t images, unit;               /* unit: images that stand side by side, LANES or 1 */
    int64_t du_image, du_filter, du_row, du_pixel, planes_image, planes_channel;
} F(product_t);

/* Where the first tap of windows first … first + n − 1, counted through all images, stands in the planes. */
static void F(product_places)(const fastnn_conv *g, const F(product_t) *s, int64_t first, int64_t n, int64_t *places)
{
    const int64_t cols = g->out_cols, size = g->out_rows * cols;
    for (int64_t e = first; e < first + n; ++e) {
        const int64_t w = e % size, at = e / size * s->planes_image + (w / cols * g->input.pitch + w % cols) * s->unit;
        for (int64_t l = 0; l < s->unit; ++l) *places++ = at + l;
    }
}

/* A panel of their du: `width` values a row, those of some filters and what stands behind them. */
static void F(product_panel)(const fastnn_conv *g, const F(product_t) *s, int64_t first, int64_t n, int64_t filter,
                             int64_t filters, int64_t width, real *panel)
{
    const int64_t cols = g->out_cols, size = g->out_rows * cols;
    const int dense = s->du_pixel == s->unit, flat = dense && s->du_row == cols * s->unit;
    for (int64_t e = first, some; e < first + n; e += some) {
        const int64_t w = e % size, i = w / cols, j = w % cols;
        some = min64(first + n - e, flat ? size - w : dense ? cols - j : 1);
        F(transpose)(s->du + e / size * s->du_image + filter * s->du_filter + i * s->du_row + j * s->du_pixel,
                     s->du_filter, panel, width, filters, some * s->unit);
        panel += some * s->unit * width;
    }
}

/* The sums are dW, transposed: a row for each tap of each group. */
typedef struct {
    const fastnn_conv *g;
    F(product_t) blocks, singles;
    real *sums;
} F(products_t);

/* Adds the chunks of all these images to tiles begin … end − 1 of the sums, panel by panel of each group, or begins
   them. */
static void F(add_products)(const F(products_t) *job, const F(product_t) *s, int64_t begin, int64_t end, real *panel,
                            int fresh)
{
    const fastnn_conv *g = job->g;
    const int64_t in = g->channels / g->groups, out = g->filters / g->groups, row = F(packed_row)(out);
    const int64_t vectors = row / VL, panels = ceil_div(vectors, NV), tiles = ceil_div(g->filter_size, MR);
    const int64_t windows = s->images * g->out_rows * g->out_cols, most = PRODUCT_TERMS / s->unit;
    int64_t places[PRODUCT_TERMS];
    for (int64_t first = 0, n; first < windows; first += n, fresh = 0) {
        n = min64(most, windows - first);
        F(product_places)(g, s, first, n, places);
        const F(block_taps_t) t = {.offset = places, .count = n * s->unit, .full = 1, .apart = 1};
        int64_t packed = -1;
        for (int64_t e = begin; e < end; ++e) {
            const int64_t p = e / tiles, k = p / panels, tile = e % tiles;
            const int64_t v = part_begin(vectors, (int)(p % panels), (int)panels);
            const int64_t wide = part_begin(vectors, (int)(p % panels) + 1, (int)panels) - v;
            const int64_t tap = part_begin(g->filter_size, (int)tile, (int)tiles);
            const int64_t taps = part_begin(g->filter_size, (int)tile + 1, (int)tiles) - tap;
            const real *from[MR];
            real *to[MR];
            if (p != packed)
                F(product_panel)(g, s, first, n, k * out + v * VL, min64(wide * VL, out - v * VL), wide * VL, panel);
            packed = p;
            for (int64_t i = 0; i < taps; ++i) {
                from[i] = s->planes + k * in * s->planes_channel
                    + (s->tap_offset ? s->tap_offset[tap + i] : (tap + i) * s->planes_channel);
                to[i] = job->sums + (k * g->filter_size + tap + i) * row;
            }
            F(window_table)[taps - 1][wide - 1](from, &t, panel, fresh, 0, NULL, VL, to, v * VL);
        }
    }
}

static void F(products_part)(const void *products, int part, int parts)
{
    const F(products_t) *job = products;
    const fastnn_conv *g = job->g;
    const int64_t panels = ceil_div(ceil_div(g->filters / g->groups, VL), NV);
    const int64_t tiles = g->groups * panels * ceil_div(g->filter_size, MR);
    const int64_t begin = part_begin(tiles, part, parts), end = part_begin(tiles, part + 1, parts);
    _Static_assert(PRODUCT_TERMS * NR * sizeof(real) <= PACK_BYTES, "a panel is what a thread has room for");
    real *panel = (real *)((char *)g->work + (int64_t)part * PACK_BYTES);
    F(add_products)(job, &job->blocks, begin, end, panel, 1);
    F(add_products)(job, &job->singles, begin, end, panel, g->images < LANES);
}

/* `all`: dW of all images; else what the single ones add to it. */
static void F(multiply_products)(const fastnn_conv *g, int all)
{
    const fastnn_planes *planes = &g->input;
    const int64_t blocks = F(interleaved_blocks)(g->images), single = blocks * LANES, taps = g->filter_size;
    const int64_t size = g->out_rows * g->out_cols, out = g->filters / g->groups, row = F(packed_row)(out);
    const F(interleaved_du_t) du = F(interleaved_du)(g);
    F(products_t) job = {
        .g = g, .sums = g->weights,
        .blocks = {
            .du = du.first, .du_image = du.block, .du_filter = du.filter, .du_row = du.row, .du_pixel = du.pixel,
            .planes = F(planes_at)(planes, 0), .planes_image = LANES * planes->image_size,
            .planes_channel = LANES * planes->channel_size, .tap_offset = planes->tap_offset_interleaved,
            .images = all ? blocks : 0, .unit = LANES,
        },
        .singles = {
            .du = (const real *)g->du + single * g->filters * size, .du_image = g->filters * size, .du_filter = size,
            .du_row = g->out_cols, .du_pixel = 1,
            .planes = F(planes_at)(planes, single), .planes_image = planes->image_size,
            .planes_channel = planes->channel_size, .tap_offset = planes->tap_offset,
            .images = g->images - single, .unit = 1,
        },
    };
    for (int singles = 0; singles < 2 && g->pixels; ++singles) {
        F(product_t) *s = singles ? &job.singles : &job.blocks;
        s->planes = (const real *)g->x + singles * single * g->channels * size, s->tap_offset = NULL;
        s->planes_channel = s->unit * size, s->planes_image = g->channels * s->planes_channel;
    }
    const int64_t tiles = g->groups * ceil_div(row / VL, NV) * ceil_div(taps, MR);
    for (int64_t k = 0; k < g->groups && !all && blocks; ++k)
        F(transpose)((real *)g->dw + k * out * taps, taps, job.sums + k * taps * row, row, out, taps);
    run_parts(F(products_part), &job, (int)min64(F(conv_threads)(g), tiles));
    for (int64_t k = 0; k < g->groups; ++k)
        F(transpose)(job.sums + k * taps * row, row, (real *)g->dw + k * out * taps, taps, taps, out);
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
    const int all = g->products, singles = F(singles_go_by_products)(g);
    if (g->by_strips)
        run_parts(F(strips_gradient_part), g, (int)min64(F(conv_threads)(g), g->channels));
    if (!all && (g->images >= LANES || !singles))
        run_parts(F(weight_gradient_part), g, (int)min64(F(conv_threads)(g), tiles));
    if (all || singles) F(multiply_products)(g, all);
}

static void F(conv_backward_weight)(const fastnn_conv *g)
{
    if (!g->y_interleaved) F(fill_gradient)(g);
    if (!g->dw) return;
    F(weight_gradient)(g);
    if (g->db) run_parts(F(bias_gradient_part), g, F(conv_threads)(g));
}

/* Convolution, 3 of 3: dW and db.

   dW[o, t] is a dot product over all windows of all images. It has LANES running sums, whose lanes are the images of an
   interleaved block, then neighbouring windows of a single image; they are added up in order, and a tree joins them. A
   register tile holds the running sums of some filters by some taps. */

#undef DOT_FILTERS
#undef DOT_TAPS
#undef DOT_NARROW_TAPS
#define DOT_NARROW_TAPS 6               /* where a row is one vector */
#if defined(ISA_X86_V4)
#define DOT_FILTERS FASTNN_CONV_DOT_FILTERS
#define DOT_TAPS 6
#elif defined(ISA_X86_V3)
#define DOT_FILTERS 2
#define DOT_TAPS 3
#else
#define DOT_FILTERS 1
#define DOT_TAPS 3
#endif

/* A tile's sums over some images, or interleaved blocks, of `rows` rows of `lines` lines each; a line is LANES
   values. */
typedef struct {
    const real *du, *planes;
    const int64_t *tap_offset;
    real *sums;                         /* LANES of each weight, those of the next filter sums_row further */
    int fresh;                          /* whether they begin at 0 */
    int64_t images, rows, lines;
    int64_t tail;                       /* values of a row's last line that count; 0: all */
    int64_t du_image, du_filter, du_row, du_line;       /* distances in du from one to the next */
    int64_t planes_image, planes_row, sums_row;
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

ALWAYS_INLINE void F(dots)(const int filters, const int taps, const F(dots_t) *t)
{
    vec acc[DOT_FILTERS][DOT_TAPS][LANE_VECTORS];
    const real *planes[DOT_TAPS];
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j)
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v)
                acc[i][j][v] = t->fresh ? vzero() : vload(t->sums + i * t->sums_row + j * LANES + v * VL);
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
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j)
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v)
                vstore(t->sums + i * t->sums_row + j * LANES + v * VL, acc[i][j][v]);
}

/* The same where a row of a single image is at most a vector: the other lanes are not gone through, so there are
   registers for more taps. Their sums get the zero that a masked line adds, which makes 0 of −0. */
ALWAYS_INLINE void F(narrow_dots)(const int filters, const int taps, const F(dots_t) *t)
{
    vec acc[DOT_FILTERS][DOT_NARROW_TAPS];
    const real *planes[DOT_NARROW_TAPS];
    const vmask mask = vfirst((int)t->tail);
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j) {
            real *sums = t->sums + i * t->sums_row + j * LANES;
            acc[i][j] = t->fresh ? vzero() : vload(sums);
            UNROLL for (int v = 1; v < LANE_VECTORS; ++v) {
                const vec others = t->fresh ? vzero() : vload(sums + v * VL);
                vstore(sums + v * VL, others + vzero());
            }
        }
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
    UNROLL for (int i = 0; i < filters; ++i)
        UNROLL for (int j = 0; j < taps; ++j) vstore(t->sums + i * t->sums_row + j * LANES, acc[i][j]);
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

/* Adds to the sums of taps first … end − 1, some taps after the other, over what `job` says. Its du stays in the
   second-level cache meanwhile. */
static void F(dots_over_taps)(const F(dots_t) *job, int64_t filters, int64_t first, int64_t end)
{
    F(dots_t) d = *job;
    const int narrow = d.lines == 1 && d.tail > 0 && d.tail <= VL;
    for (int64_t t = first, taps; t < end; t += taps) {
        taps = F(balanced_tile)(end - t, narrow ? DOT_NARROW_TAPS : DOT_TAPS);
        d.tap_offset = job->tap_offset + t;
        d.sums = job->sums + (t - first) * LANES;
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

/* Of du, for as long as all taps are worked out with it: what stays in the first-level cache beside the planes, or in
   the second-level cache. Small images, and large windows, whose taps read the same lines, take the first: 0.85 to 0.95
   of the time on AVX2. For 3 × 3 windows on rows of 16 pixels and more the sums would be stored too often. */
#undef DOT_BYTES
#undef DOT_FAR_BYTES
#define DOT_BYTES (8 * 1024)
#define DOT_FAR_BYTES (64 * 1024)

/* dW of at most DOT_FILTERS filters of group k, from its filter o on, for taps first … end − 1. */
static void F(weight_gradient_rows)(const fastnn_conv *g, int64_t k, int64_t o, int64_t first, int64_t end, real *sums)
{
    const int64_t in = g->channels / g->groups, out = g->filters / g->groups, filter = k * out + o;
    const int64_t filters = min64(DOT_FILTERS, out - o), sums_row = (end - first) * LANES;
    const int64_t size = g->out_rows * g->out_cols, blocks = F(interleaved_blocks)(g->images);
    const fastnn_planes *planes = &g->input;
    const F(interleaved_du_t) du = F(interleaved_du)(g);
    const int64_t row_bytes = filters * g->out_cols * LANES * (int64_t)sizeof(real);
    const int64_t most_rows = 1 + (g->filter_size / in > 9 ? DOT_BYTES : DOT_FAR_BYTES) / row_bytes;
    const int64_t some_rows = ceil_div(g->out_rows, ceil_div(g->out_rows, most_rows));
    const int64_t some_blocks = 1 + DOT_BYTES / (row_bytes * g->out_rows);
    for (int64_t n = 0; n < blocks; n += some_blocks)
        for (int64_t r = 0; r < g->out_rows; r += some_rows) {
            const F(dots_t) d = {
                .du = du.first + n * du.block + filter * du.filter + r * du.row, .du_image = du.block,
                .du_filter = du.filter, .du_row = du.row, .du_line = du.pixel,
                .planes = F(planes_at)(planes, n * LANES) + (k * in * planes->channel_size + r * planes->pitch) * LANES,
                .planes_image = LANES * planes->image_size, .planes_row = LANES * planes->pitch,
                .tap_offset = planes->tap_offset_interleaved, .sums = sums, .sums_row = sums_row, .fresh = n + r == 0,
                .images = min64(some_blocks, blocks - n), .rows = min64(some_rows, g->out_rows - r),
                .lines = g->out_cols,
            };
            F(dots_over_taps)(&d, filters, first, end);
        }
    if (g->images % LANES) {
        const F(dots_t) d = {
            .du = (const real *)g->du + (blocks * LANES * g->filters + filter) * size, .du_image = g->filters * size,
            .du_filter = size, .du_row = g->out_cols, .du_line = LANES,
            .planes = F(planes_at)(planes, blocks * LANES) + k * in * planes->channel_size,
            .planes_image = planes->image_size, .planes_row = planes->pitch, .tap_offset = planes->tap_offset,
            .sums = sums, .sums_row = sums_row, .fresh = blocks == 0, .images = g->images % LANES,
            .rows = g->out_rows, .lines = ceil_div(g->out_cols, LANES), .tail = g->out_cols % LANES,
        };
        F(dots_over_taps)(&d, filters, first, end);
    }
    for (int64_t i = 0; i < filters; ++i)
        F(trees)(sums + i * sums_row, (real *)g->dw + (filter + i) * g->filter_size + first, end - first);
}

/* This part of the tiles of dW. Neighbouring tiles have the same filters, so they are done together. */
static void F(weight_gradient_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const int64_t across = F(tap_tiles)(g), down = F(filter_tiles)(g), tiles = g->groups * down * across;
    const int64_t end = part_begin(tiles, part + 1, parts);
    real *sums = (real *)g->scratch + part * g->scratch_size;
    for (int64_t tile = part_begin(tiles, part, parts), next; tile < end; tile = next) {
        const int64_t row = tile / across;
        next = min64((row + 1) * across, end);
        F(weight_gradient_rows)(g, row / down, row % down * DOT_FILTERS, tile % across * DOT_TAPS,
                                min64((next - row * across) * DOT_TAPS, g->filter_size), sums);
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
    run_parts(F(weight_gradient_part), g, (int)min64(F(conv_threads)(g), tiles));
}

static void F(conv_backward_weight)(const fastnn_conv *g)
{
    if (!g->y_interleaved) F(fill_gradient)(g);
    if (!g->dw) return;
    F(weight_gradient)(g);
    if (g->db) run_parts(F(bias_gradient_part), g, F(conv_threads)(g));
}

/* Winograd's convolution: the same y, dx and dW from fewer multiplications, for kernels of 3 × 3 and 5 × 5.

   A tile of T × T outputs, T = 7 − kernel, comes from 6 × 6 values d of the padded image and a filter g:

       forward   Y  = Aᵀ [(G g Gᵀ) ∘ (Bᵀ d B)] A         summed over the channels inside the brackets
       backward  dx = the same from du with the filters flipped
                 dg = Gᵀ [(A dY Aᵀ) ∘ (Bᵀ d B)] G        summed over tiles and images inside the brackets

   Inside the brackets stand 36 products of matrices, one for each *point*. Lavin and Gray, "Fast algorithms for
   convolutional neural networks" (2016); the interpolation points are 0, ±3/4, ±3/2 and ∞ instead of 0, ±1, ±2 and ∞,
   which halves the rounding errors; all constants but those of G are exact. Reference: fastnn_ref/winograd.py.

   Everything goes by lines of LANES values. A line is one tile of an interleaved block, or LANES tiles of the images
   behind the blocks. Its lanes never meet in forward and dx, so a result does not depend on the batch around it. In
   transformed images, value (point, channel, line) stands at point · `points` + (channel · lines + line) · LANES; or at
   (line · channels + channel) · LANES behind it, where that makes panels of a product. */

#undef SIDE
#undef POINTS
#define SIDE 6
#define POINTS FASTNN_WINOGRAD_POINTS
#define NEAR 0.75                       /* the interpolation points ±NEAR and ±FAR */
#define FAR 1.5
#define NEAR2 (NEAR * NEAR)
#define FAR2 (FAR * FAR)
#define NEAR_SHARE (1 / (2 * NEAR2 * (NEAR2 - FAR2)))
#define FAR_SHARE (1 / (2 * FAR2 * (FAR2 - NEAR2)))

/* A column of Aᵀ or Gᵀ for point 0, and powers of NEAR and FAR: those of A as they are, those of G divided by what
   makes G and B fit together. */
typedef struct {
    real zero, near[5], far[5];
} F(powers_t);

static const F(powers_t) F(powers_a) = {
    1, {1, NEAR, NEAR2, NEAR2 * NEAR}, {1, FAR, FAR2, FAR2 * FAR},
};
static const F(powers_t) F(powers_g) = {
    1 / (NEAR2 * FAR2),
    {NEAR_SHARE, NEAR_SHARE * NEAR, NEAR_SHARE * NEAR2, NEAR_SHARE * NEAR2 * NEAR, NEAR_SHARE * NEAR2 * NEAR2},
    {FAR_SHARE, FAR_SHARE * FAR, FAR_SHARE * FAR2, FAR_SHARE * FAR2 * FAR, FAR_SHARE * FAR2 * FAR2},
};

/* Bᵀ x */
ALWAYS_INLINE void F(to_points)(const vec *x, vec *z)
{
    const vec near = vset1(NEAR), far = vset1(FAR), product = vset1(NEAR2 * FAR2), sum = vset1(-NEAR2 - FAR2);
    const vec near2 = vset1(-NEAR2), far2 = vset1(-FAR2);
    const vec near_even = vfma(far2, x[2], x[4]), near_odd = near * vfma(far2, x[1], x[3]);
    const vec far_even = vfma(near2, x[2], x[4]), far_odd = far * vfma(near2, x[1], x[3]);
    z[0] = vfma(product, x[0], vfma(sum, x[2], x[4]));
    z[1] = near_even + near_odd;
    z[2] = near_even - near_odd;
    z[3] = far_even + far_odd;
    z[4] = far_even - far_odd;
    z[5] = vfma(product, x[1], vfma(sum, x[3], x[5]));
}

/* A x or G x, from n values */
ALWAYS_INLINE void F(spread_values)(const int n, const F(powers_t) *p, const vec *x, vec *z)
{
    vec near[2], far[2];                /* of even and odd powers */
    UNROLL for (int i = 0; i < 2; ++i) {
        near[i] = vset1(p->near[i]) * x[i];
        far[i] = vset1(p->far[i]) * x[i];
    }
    UNROLL for (int i = 2; i < n; ++i) {
        near[i % 2] = vfma(vset1(p->near[i]), x[i], near[i % 2]);
        far[i % 2] = vfma(vset1(p->far[i]), x[i], far[i % 2]);
    }
    z[0] = vset1(p->zero) * x[0];
    z[1] = near[0] + near[1];
    z[2] = near[0] - near[1];
    z[3] = far[0] + far[1];
    z[4] = far[0] - far[1];
    z[5] = x[n - 1];
}

/* Aᵀ z or Gᵀ z, n values */
ALWAYS_INLINE void F(collect_values)(const int n, const F(powers_t) *p, const vec *z, vec *x)
{
    const vec near[2] = {z[1] + z[2], z[1] - z[2]}, far[2] = {z[3] + z[4], z[3] - z[4]};
    UNROLL for (int i = 0; i < n; ++i)
        x[i] = vfma(vset1(p->near[i]), near[i % 2], vset1(p->far[i]) * far[i % 2]);
    x[0] = vfma(vset1(p->zero), z[0], x[0]);
    x[n - 1] = x[n - 1] + z[5];
}

/* The same in two dimensions, for a line. A line of values (i, j) stands at from + i·row + j·LANES, or
   side by side in a square; those of transformed ones are `points` apart. */
ALWAYS_INLINE void F(line_to_points)(const real *from, int64_t row, real *to, int64_t points)
{
    for (int v = 0; v < LANES; v += VL) {
        vec z[SIDE][SIDE];
        UNROLL for (int i = 0; i < SIDE; ++i) {
            vec x[SIDE];
            UNROLL for (int j = 0; j < SIDE; ++j) x[j] = vload(from + i * row + j * LANES + v);
            F(to_points)(x, z[i]);
        }
        UNROLL for (int j = 0; j < SIDE; ++j) {
            vec x[SIDE], out[SIDE];
            UNROLL for (int i = 0; i < SIDE; ++i) x[i] = z[i][j];
            F(to_points)(x, out);
            UNROLL for (int i = 0; i < SIDE; ++i) vstore(to + (i * SIDE + j) * points + v, out[i]);
        }
    }
}

ALWAYS_INLINE void F(spread_line)(const int n, const F(powers_t) *p, const real *from, int64_t row, real *to,
                                  int64_t points)
{
    for (int v = 0; v < LANES; v += VL) {
        vec z[SIDE][SIDE];
        UNROLL for (int i = 0; i < n; ++i) {
            vec x[SIDE];
            UNROLL for (int j = 0; j < n; ++j) x[j] = vload(from + i * row + j * LANES + v);
            F(spread_values)(n, p, x, z[i]);
        }
        UNROLL for (int j = 0; j < SIDE; ++j) {
            vec x[SIDE], out[SIDE];
            UNROLL for (int i = 0; i < n; ++i) x[i] = z[i][j];
            F(spread_values)(n, p, x, out);
            UNROLL for (int i = 0; i < SIDE; ++i) vstore(to + (i * SIDE + j) * points + v, out[i]);
        }
    }
}

ALWAYS_INLINE void F(collect_line)(const int n, const F(powers_t) *p, const real *from, int64_t points, real *square)
{
    for (int v = 0; v < LANES; v += VL) {
        vec z[SIDE][SIDE];
        UNROLL for (int i = 0; i < SIDE; ++i) {
            vec x[SIDE];
            UNROLL for (int j = 0; j < SIDE; ++j) x[j] = vload(from + (i * SIDE + j) * points + v);
            F(collect_values)(n, p, x, z[i]);
        }
        UNROLL for (int j = 0; j < n; ++j) {
            vec x[SIDE], out[SIDE];
            UNROLL for (int i = 0; i < SIDE; ++i) x[i] = z[i][j];
            F(collect_values)(n, p, x, out);
            UNROLL for (int i = 0; i < n; ++i) vstore(square + (i * n + j) * LANES + v, out[i]);
        }
    }
}

/* One copy of each for each kernel. */
static void F(filter_to_points)(int64_t kernel, const real *square, real *to, int64_t points)
{
    if (kernel == 3) F(spread_line)(3, &F(powers_g), square, 3 * LANES, to, points);
    else F(spread_line)(5, &F(powers_g), square, 5 * LANES, to, points);
}

static void F(filter_from_points)(int64_t kernel, const real *from, int64_t points, real *square)
{
    if (kernel == 3) F(collect_line)(3, &F(powers_g), from, points, square);
    else F(collect_line)(5, &F(powers_g), from, points, square);
}

static void F(tile_to_points)(int64_t kernel, const real *from, int64_t row, real *to, int64_t points)
{
    if (kernel == 3) F(spread_line)(4, &F(powers_a), from, row, to, points);
    else F(spread_line)(2, &F(powers_a), from, row, to, points);
}

static void F(tile_from_points)(int64_t kernel, const real *from, int64_t points, real *square)
{
    if (kernel == 3) F(collect_line)(4, &F(powers_a), from, points, square);
    else F(collect_line)(2, &F(powers_a), from, points, square);
}

static void F(window_to_points)(const real *from, int64_t row, real *to, int64_t points)
{
    F(line_to_points)(from, row, to, points);
}

/* Tiles of one side of the convolution: of y and the windows of x that they see, or of dx and those of du. */
typedef struct {
    const fastnn_planes *planes;
    int64_t images, rows, cols;         /* of the outputs */
    int64_t tile, across, count;        /* the side of a tile, tiles in a row, tiles of an image */
} F(tiling_t);

static F(tiling_t) F(tiling)(const fastnn_conv *g, const fastnn_planes *planes, int64_t rows, int64_t cols)
{
    const int64_t tile = SIDE + 1 - g->kernel, across = ceil_div(cols, tile);
    return (F(tiling_t)){planes, g->images, rows, cols, tile, across, ceil_div(rows, tile) * across};
}

static int64_t F(tile_lines)(const F(tiling_t) *t)
{
    return F(interleaved_blocks)(t->images) * t->count + ceil_div(t->images % LANES * t->count, LANES);
}

/* Where a tile stands. */
typedef struct {
    int64_t image, row, col;            /* row and column of its first value */
} F(place_t);

/* What a line is: one tile, at[0], of the block that begins with at[0].image; or, where `block` is 0, tiles of single
   images, as many as `lanes`. It is worked out once for all channels, as divisions take long. */
typedef struct {
    int block, lanes;
    F(place_t) at[LANES];
} F(line_t);

static F(place_t) F(place_of_tile)(const F(tiling_t) *t, int64_t image, int64_t tile)
{
    return (F(place_t)){image, tile / t->across * t->tile, tile % t->across * t->tile};
}

/* Lines first … first + n − 1. */
static void F(find_lines)(const F(tiling_t) *t, int64_t first, int64_t n, F(line_t) *to)
{
    const int64_t blocks = F(interleaved_blocks)(t->images), of_blocks = blocks * t->count;
    for (int64_t line = first; line < first + n; ++line, ++to) {
        const int64_t single = (line - of_blocks) * LANES;      /* the first lane's tile, of all of single images */
        to->block = line < of_blocks;
        to->lanes = to->block ? LANES : (int)min64(LANES, t->images % LANES * t->count - single);
        if (to->block) to->at[0] = F(place_of_tile)(t, line / t->count * LANES, line % t->count);
        else for (int l = 0; l < to->lanes; ++l)
            to->at[l] = F(place_of_tile)(t, blocks * LANES + (single + l) / t->count, (single + l) % t->count);
    }
}

/* Prefetches lines of `rows` rows. Each channel's few rows are a stream of their own, more than the processor follows:
   half of the time of a transform was waiting for them. */
static inline void F(prefetch_lines)(const real *from, int64_t row, int64_t rows, int64_t lines)
{
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < lines; ++j) __builtin_prefetch(from + i * row + j * LANES);
}

/* How many tiles further on to prefetch: the lines that are worked out together. */
#undef AHEAD
#define AHEAD FASTNN_WINOGRAD_LINES

/* A window of a lane, or its tile, before they are transposed: whole vectors. */
#undef LANE_VALUES
#define LANE_VALUES 40

/* Bᵀ d B of a line of channel c. */
static void F(transform_window)(const F(tiling_t) *t, const F(line_t) *line, int64_t c, real *to, int64_t points)
{
    const fastnn_planes *g = t->planes;
    const int64_t begin = c * g->channel_size + g->tap_offset[0];
    if (line->block) {
        const F(place_t) p = line->at[0];
        const real *from = F(planes_at)(g, p.image) + (begin + p.row * g->pitch + p.col) * LANES;
        /* What the window AHEAD tiles further on sees beyond the one before it. */
        F(prefetch_lines)(from + (SIDE + (AHEAD - 1) * t->tile) * LANES, g->pitch * LANES, SIDE, t->tile);
        F(window_to_points)(from, g->pitch * LANES, to, points);
        return;
    }
    real lanes[LANES * LANE_VALUES] = {0}, square[LANE_VALUES * LANES];
    for (int l = 0; l < line->lanes; ++l) {
        const F(place_t) p = line->at[l];
        const real *from = F(planes_at)(g, p.image) + begin + p.row * g->pitch + p.col;
        UNROLL for (int i = 0; i < SIDE; ++i, from += g->pitch)
            memcpy(lanes + l * LANE_VALUES + i * SIDE, from, SIDE * sizeof(real));
    }
    F(transpose)(lanes, LANE_VALUES, square, LANES, LANES, LANE_VALUES);
    F(window_to_points)(square, SIDE * LANES, to, points);
}

/* Puts a tile of T × T values into an image whose rows are `pitch` apart, as far as it does not hang over the edge. */
ALWAYS_INLINE void F(place_tile)(const int64_t tile, const real *from, real *to, int64_t pitch, int64_t rows,
                                 int64_t cols)
{
    if (rows >= tile && cols >= tile)
        UNROLL for (int i = 0; i < tile; ++i) memcpy(to + i * pitch, from + i * tile, (size_t)tile * sizeof(real));
    else
        for (int64_t i = 0; i < min64(tile, rows); ++i)
            memcpy(to + i * pitch, from + i * tile, (size_t)min64(tile, cols) * sizeof(real));
}

/* Puts what a line of tiles became into channel c of images with `channels` channels. */
static void F(place_square)(const F(tiling_t) *t, const F(line_t) *line, const real *square, real *images,
                            int interleaved, int64_t channels, int64_t c)
{
    const int64_t size = t->rows * t->cols, tile = t->tile;
    const F(place_t) *p = line->at;
    if (!line->block) {
        real lanes[LANES * 16];
        F(transpose)(square, LANES, lanes, tile * tile, tile * tile, LANES);
        for (int l = 0; l < line->lanes; ++l, ++p) {
            real *to = images + (p->image * channels + c) * size + p->row * t->cols + p->col;
            if (tile == 4) F(place_tile)(4, lanes + l * 16, to, t->cols, t->rows - p->row, t->cols - p->col);
            else F(place_tile)(2, lanes + l * 4, to, t->cols, t->rows - p->row, t->cols - p->col);
        }
        return;
    }
    const int64_t rows = min64(tile, t->rows - p->row), cols = min64(tile, t->cols - p->col);
    const int64_t begin = p->image * channels * size, place = c * size + p->row * t->cols + p->col;
    for (int64_t i = 0; i < rows; ++i) {
        const real *from = square + i * tile * LANES;
        if (interleaved)
            memcpy(images + begin + (place + i * t->cols) * LANES, from, (size_t)(cols * LANES) * sizeof(real));
        else F(transpose)(from, LANES, images + begin + place + i * t->cols, channels * size, cols, LANES);
    }
}

/* Rows of transformed filters, and of the sums that dW comes from, fill whole lines. */
static inline int64_t F(winograd_pitch)(int64_t inside) { return ceil_div(inside, LANES) * LANES; }

/* The filters of one direction, (filters, inside, kernel, kernel). Transformed they are a matrix for each point, with
   rows of `pitch` values. */
typedef struct {
    const real *w;
    int64_t kernel, filters, inside, pitch;
    real *transformed, *strips;
} F(filters_t);

/* G g Gᵀ of this part of the filters, LANES channels at a time. */
static void F(transform_filters_part)(const void *job, int part, int parts)
{
    const F(filters_t) *f = job;
    const int64_t window = f->kernel * f->kernel, in = f->inside;
    for (int64_t o = part_begin(f->filters, part, parts); o < part_begin(f->filters, part + 1, parts); ++o)
        for (int64_t c = 0; c < in; c += LANES) {
            real square[25 * LANES] = {0};
            F(transpose)(f->w + (o * in + c) * window, window, square, LANES, min64(LANES, in - c), window);
            F(filter_to_points)(f->kernel, square, f->transformed + o * f->pitch + c, f->filters * f->pitch);
        }
}

/* Whether the LANES values of each channel that a line is transformed to are a panel of a product. */
#undef PANELS
#define PANELS (PACK_A && NR == LANES)

/* One of the two directions. */
typedef struct {
    F(tiling_t) tiling;
    F(filters_t) filters;
    const real *b;
    const fastnn_norm *norm;
    int64_t groups, out_channels;       /* channels of one group; filters.inside come in */
    real *u, *y, *scratch;
    int64_t scratch_size;
    int interleaved, activation, packed;        /* packed: the filters are transformed, and in strips, already */
    real alpha;
} F(winograd_t);

/* So many lines have to meet the strips: for one image of 32 × 32, 4 lines, they took more time than they saved (a
   prediction 6 % longer), for 32 images they save 5 to 9 %. */
#undef STRIP_LINES
#define STRIP_LINES 8
static inline int F(in_strips)(const F(winograd_t) *c)
{
    return PANELS && (c->packed || F(tile_lines)(&c->tiling) >= STRIP_LINES);
}

/* From one point to the next; pack_strips writes a little beyond the last strip. */
static inline int64_t F(strips_size)(const F(filters_t) *f) { return f->filters * f->inside + LANES; }

/* The filters of some points in strips, FASTNN_WINOGRAD_FILTERS of a group at a time. */
static void F(pack_filters_part)(const void *job, int part, int parts)
{
    const F(winograd_t) *c = job;
    const F(filters_t) *f = &c->filters;
    for (int64_t p = part_begin(POINTS, part, parts); p < part_begin(POINTS, part + 1, parts); ++p)
        for (int64_t o = 0, some; o < f->filters; o += some) {
            some = min64(FASTNN_WINOGRAD_FILTERS, c->out_channels - o % c->out_channels);
            F(pack_strips)(f->strips + p * F(strips_size)(f) + o * f->inside,
                           f->transformed + (p * f->filters + o) * f->pitch, f->pitch, 1, some, f->filters - o,
                           f->inside);
        }
}

/* `lines` lines of some filters: from the brackets to u and y. */
static void F(finish_lines)(const F(winograd_t) *c, const real *sums, int64_t points, const F(line_t) *line,
                            int64_t lines, int64_t filter, int64_t filters)
{
    const F(tiling_t) *t = &c->tiling;
    const int64_t values = t->tile * t->tile * LANES, size = t->rows * t->cols, channels = c->groups * c->out_channels;
    for (int64_t e = 0; e < lines; ++e, ++line) {
        const F(place_t) p = line->at[0];
        for (int64_t o = 0; o < filters; ++o) {
            real u[16 * LANES], y[16 * LANES];
            if (line->block && c->interleaved)      /* where the next filter's values go */
                F(prefetch_lines)(c->y + p.image * channels * size
                                  + ((filter + o + 1) * size + p.row * t->cols + p.col) * LANES,
                                  t->cols * LANES, t->tile, t->tile);
            F(tile_from_points)(c->filters.kernel, sums + (o * lines + e) * LANES, points, u);
            if (c->b)
                for (int64_t i = 0; i < values; ++i) u[i] += c->b[filter + o];
            if (c->norm) {
                const F(constants_t) n = F(constants_of)(c->norm, filter + o);
                F(normalise_range)(u, u, values, *n.mean, 0, *n.inv, *n.w, *n.b);
            }
            if (c->activation != IDENTITY) F(activate_range)(c->activation, c->alpha, u, y, u, values);
            if (c->u != c->y) F(place_square)(t, line, u, c->u, c->interleaved, channels, filter + o);
            F(place_square)(t, line, c->activation != IDENTITY ? y : u, c->y, c->interleaved, channels, filter + o);
        }
    }
}

_Static_assert(FASTNN_WINOGRAD_FILTERS < PACK_ROWS, "the products need memory for packing");

/* The products of all points: `filters` filters by `lines` lines. */
static void F(multiply_points)(const F(winograd_t) *c, const real *windows, int64_t points, int64_t lines,
                               int64_t filter, int64_t filters, real *sums, int64_t sum_points)
{
    const F(filters_t) *f = &c->filters;
    const int64_t in = f->inside, row = lines * LANES;
    const int strips = F(in_strips)(c);
    for (int64_t p = 0; p < POINTS; ++p) {
        const real *w = f->transformed + (p * f->filters + filter) * f->pitch;
        if (!PANELS) {
            const fastnn_gemm product = {
                .m = filters, .n = row, .k = in, .a = w, .a_row = f->pitch, .a_col = 1, .b = windows + p * points,
                .b_row = row, .b_col = 1, .c = sums + p * sum_points, .c_row = row, .activation = IDENTITY,
            };
            F(gemm_region)(&product, 0, 0, filters, 0, row, NULL, NULL);
        } else for (int64_t line = 0; line < lines; ++line) {
            F(tiles_t) t = {
                .a = strips ? f->strips + p * F(strips_size)(f) + filter * in : w, .a_row = f->pitch, .a_col = 1,
                .b = windows + p * points + line * in * LANES, .b_row = LANES,
                .c = sums + p * sum_points + line * LANES, .c_row = row, .k = in, .tail = VL, .packed = strips,
            };
            F(tile_column)(&t, filters, NV, strips);
        }
    }
}

/* This part of the lines, a few at a time, so that what is between the transforms stays in the second-level cache. */
static void F(winograd_part)(const void *job, int part, int parts)
{
    const F(winograd_t) *c = job;
    const int64_t end = part_begin(F(tile_lines)(&c->tiling), part + 1, parts), in = c->filters.inside;
    real *windows = c->scratch + part * c->scratch_size;
    for (int64_t e = part_begin(F(tile_lines)(&c->tiling), part, parts), lines; e < end; e += lines) {
        F(line_t) line[FASTNN_WINOGRAD_LINES];
        lines = min64(FASTNN_WINOGRAD_LINES, end - e);
        F(find_lines)(&c->tiling, e, lines, line);
        /* One line more between two points: else all points of a line would share a set of the first-level cache. */
        const int64_t points = (in * lines + 1) * LANES, sum_points = (FASTNN_WINOGRAD_FILTERS * lines + 1) * LANES;
        real *sums = windows + POINTS * points;
        for (int64_t k = 0; k < c->groups; ++k) {
            for (int64_t i = 0; i < in * lines; ++i)
                F(transform_window)(&c->tiling, &line[i % lines], k * in + i / lines,
                                    windows + (PANELS ? i % lines * in + i / lines : i) * LANES, points);
            for (int64_t o = 0, some; o < c->out_channels; o += some) {
                some = min64(FASTNN_WINOGRAD_FILTERS, c->out_channels - o);
                F(multiply_points)(c, windows, points, lines, k * c->out_channels + o, some, sums, sum_points);
                F(finish_lines)(c, sums, sum_points, line, lines, k * c->out_channels + o, some);
            }
        }
    }
}

static void F(winograd_run)(const fastnn_conv *g, const F(winograd_t) *c)
{
    if (!c->packed) {
        run_parts(F(transform_filters_part), &c->filters, F(conv_threads)(g));
        if (F(in_strips)(c)) run_parts(F(pack_filters_part), c, (int)min64(F(conv_threads)(g), POINTS));
    }
    run_parts(F(winograd_part), c, F(conv_threads)(g));
}

static void F(conv_winograd_pack)(const fastnn_conv *g, void *to)
{
    const int64_t in = g->channels / g->groups;
    const F(winograd_t) c = {
        .filters = {g->w, g->kernel, g->filters, in, F(winograd_pitch)(in), PANELS ? g->transformed : to, to},
        .out_channels = g->filters / g->groups,
    };
    F(transform_filters_part)(&c.filters, 0, 1);
    if (PANELS) F(pack_filters_part)(&c, 0, 1);
}

static void F(conv_winograd)(const fastnn_conv *g)
{
    const int64_t in = g->channels / g->groups;
    real *const packed = (real *)g->packed;             /* and only read then */
    const F(winograd_t) c = {
        .tiling = F(tiling)(g, &g->input, g->out_rows, g->out_cols),
        .filters = {g->w, g->kernel, g->filters, in, F(winograd_pitch)(in), packed ? packed : g->transformed,
                    packed ? packed : g->strips},
        .packed = packed != NULL,
        .b = g->b, .norm = g->norm, .groups = g->groups, .out_channels = g->filters / g->groups, .u = g->u, .y = g->y,
        .scratch = g->scratch, .scratch_size = g->scratch_size, .interleaved = g->y_interleaved,
        .activation = g->activation, .alpha = (real)g->alpha,
    };
    F(fill_input)(g, 0, 1);
    F(winograd_run)(g, &c);
}

static void F(conv_winograd_backward_input)(const fastnn_conv *g)
{
    const int64_t out = g->filters / g->groups;
    const F(winograd_t) c = {
        .tiling = F(tiling)(g, &g->gradient, g->input.height, g->input.width),
        .filters = {F(turn_weights)(g, g->weights), g->kernel, g->channels, out, F(winograd_pitch)(out), g->transformed,
                    g->strips},
        .groups = g->groups, .out_channels = g->channels / g->groups, .u = g->dx, .y = g->dx,
        .scratch = g->scratch, .scratch_size = g->scratch_size, .interleaved = g->x_interleaved,
        .activation = IDENTITY,
    };
    if (g->y_interleaved) F(fill_gradient)(g);          /* else conv_winograd_backward_weight filled it */
    F(winograd_run)(g, &c);
}

/* On the way to dW: some lines of one group, and what they add to the sums in the brackets. */
typedef struct {
    const fastnn_conv *g;
    F(tiling_t) tiling;
    int64_t in, out, pitch;             /* channels and filters of a group */
    int64_t group, first, lines, points;
    F(line_t) line[FASTNN_WINOGRAD_SUMMED];
    real *windows, *tiles;              /* transformed: x of the channels, du of the filters */
} F(winograd_sum_t);

/* A du Aᵀ of a line of filter o; beyond the edge du is 0. */
static void F(transform_gradient)(const F(winograd_sum_t) *s, const F(line_t) *line, int64_t o, real *to)
{
    const F(tiling_t) *t = &s->tiling;
    const fastnn_conv *g = s->g;
    const F(interleaved_du_t) du = F(interleaved_du)(g);
    const F(place_t) p = line->at[0];
    const int64_t tile = t->tile;
    const real *block = NULL;
    if (line->block)
        block = du.first + p.image / LANES * du.block + o * du.filter + p.row * du.row + p.col * LANES;
    if (block && p.row + tile <= t->rows && p.col + tile <= t->cols) {
        F(prefetch_lines)(block + AHEAD * tile * LANES, du.row, tile, tile);
        F(tile_to_points)(g->kernel, block, du.row, to, s->points);
        return;
    }
    real square[16 * LANES] = {0};
    for (int l = 0; l < (block ? 1 : line->lanes); ++l) {
        const F(place_t) q = line->at[l];
        const int64_t rows = min64(tile, t->rows - q.row), cols = min64(tile, t->cols - q.col);
        const real *single = (const real *)g->du + ((q.image * g->filters + o) * t->rows + q.row) * t->cols + q.col;
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < cols; ++j) {
                real *value = square + (i * tile + j) * LANES + l;
                if (block) memcpy(value, block + i * du.row + j * LANES, LANES * sizeof(real));
                else *value = single[i * t->cols + j];
            }
    }
    F(tile_to_points)(g->kernel, square, tile * LANES, to, s->points);
}

/* This part of the channels and filters. */
static void F(winograd_transform_part)(const void *job, int part, int parts)
{
    const F(winograd_sum_t) *s = job;
    const int64_t end = part_begin(s->in + s->out, part + 1, parts);
    for (int64_t i = part_begin(s->in + s->out, part, parts), o = i - s->in; i < end; ++i, ++o)
        for (int64_t q = 0; q < s->lines; ++q)
            if (o < 0)
                F(transform_window)(&s->tiling, &s->line[q], s->group * s->in + i,
                                    s->windows + (i * s->lines + q) * LANES, s->points);
            else F(transform_gradient)(s, &s->line[q], s->group * s->out + o,
                                       s->tiles + (o * s->lines + q) * LANES);
}

/* This part of the points: their sums grow by these lines. */
static void F(winograd_sum_part)(const void *job, int part, int parts)
{
    const F(winograd_sum_t) *s = job;
    const fastnn_conv *g = s->g;
    const int64_t values = s->lines * LANES;
    real *panels = (real *)g->scratch + part * g->scratch_size, *strips = panels + values * (s->in + LANES);
    for (int64_t p = part_begin(POINTS, part, parts); p < part_begin(POINTS, part + 1, parts); ++p) {
        const fastnn_gemm product = {
            .m = s->out, .n = s->in, .k = values, .a = s->tiles + p * s->points, .a_row = values, .a_col = 1,
            .b = s->windows + p * s->points, .b_row = 1, .b_col = values,
            .c = (real *)g->transformed + (p * g->filters + s->group * s->out) * s->pitch, .c_row = s->pitch,
            .activation = IDENTITY,
        };
        F(gemm_region)(&product, s->first > 0, 0, s->out, 0, s->in, panels, PACK_A ? strips : NULL);
    }
}

/* Gᵀ [ ] G of this part of the filters. */
static void F(winograd_gradient_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const int64_t in = g->channels / g->groups, pitch = F(winograd_pitch)(in), window = g->kernel * g->kernel;
    for (int64_t o = part_begin(g->filters, part, parts); o < part_begin(g->filters, part + 1, parts); ++o)
        for (int64_t c = 0; c < in; c += LANES) {
            real square[25 * LANES];
            F(filter_from_points)(g->kernel, (real *)g->transformed + o * pitch + c, g->filters * pitch, square);
            F(transpose)(square, LANES, (real *)g->dw + (o * in + c) * window, window, window, min64(LANES, in - c));
        }
}

static void F(conv_winograd_backward_weight)(const fastnn_conv *g)
{
    if (!g->y_interleaved) F(fill_gradient)(g);
    if (!g->dw) return;
    F(winograd_sum_t) s = {
        .g = g, .tiling = F(tiling)(g, &g->input, g->out_rows, g->out_cols), .in = g->channels / g->groups,
        .out = g->filters / g->groups, .pitch = F(winograd_pitch)(g->channels / g->groups), .windows = g->tiles,
    };
    const int64_t all = F(tile_lines)(&s.tiling), most = s.in > s.out ? s.in : s.out;
    const double products = (double)POINTS * LANES * (double)g->weight_lines * (double)s.in * (double)s.out;
    const int threads = products < PARALLEL_FMAS ? 1 : g->threads;
    for (s.group = 0; s.group < g->groups; ++s.group)
        for (s.first = 0; s.first < all; s.first += s.lines) {
            s.lines = min64(g->weight_lines, all - s.first);
            F(find_lines)(&s.tiling, s.first, s.lines, s.line);
            s.points = (most * s.lines + 1) * LANES;
            s.tiles = s.windows + POINTS * s.points;
            run_parts(F(winograd_transform_part), &s, (int)min64(threads, s.in + s.out));
            run_parts(F(winograd_sum_part), &s, (int)min64(threads, POINTS));
        }
    run_parts(F(winograd_gradient_part), g, F(conv_threads)(g));
    if (g->db) run_parts(F(bias_gradient_part), g, F(conv_threads)(g));
}

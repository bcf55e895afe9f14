/* Convolution, 4 of 5: the correlation, which is forward and, with flipped weights, dx. */

/* Is a filter one pixel of its group's channels, and is there room for what a panel sees? */
static inline int F(fits_lines)(int64_t filter_size, int64_t channels)
{
    return filter_size == channels && filter_size * CONV_NV * VL <= FASTNN_CONV_LINES * LANES;
}

/* A thread's memory for lines: the end of its scratch memory, if there are 1 × 1 kernels. */
static inline real *F(packed_lines)(const F(correlation_t) *c, real *scratch)
{
    return scratch + (c->scratch_size - FASTNN_CONV_LINES * LANES);
}

/* 1 × 1 kernels: filters begin … end − 1 of group k, three at least, over vectors q … last − 1, which see the taps at
   `offset`. */
static void F(conv_packed)(const F(correlation_t) *c, int64_t k, int64_t begin, int64_t end, const F(windows_t) *s,
                           int64_t q, int64_t last, const int64_t *offset, int64_t to_row, real *lines)
{
    for (int vectors = 0; q < last; q += vectors)
        for (int64_t o = begin, filters; o < end; o += filters) {
            filters = min64(FASTNN_CONV_FILTERS, end - o);
            F(conv_tiles_t) t = F(tiles_of_group)(c, k, o, filters);
            t.taps = c->filter_size, t.offset = offset, t.to_row = to_row;
            if (o == begin) vectors = F(panel_vectors)(&t, last - q);
            for (int v = 0; v < vectors; ++v) {
                t.from[v] = F(vector_seen)(s, q + v);
                t.to[v] = F(vector_made)(s, q + v) + (o - begin) * to_row;
                t.lanes[v] = F(vector_lanes)(s, q + v);
            }
            F(conv_packed_panel)(&t, vectors, o > begin, lines);
        }
}

/* All filters of a tile over windows first … first + n − 1 of an interleaved block. Windows of one tap set stand side
   by side in g->order, so padding and the gaps of a stride are not multiplied. */
static void F(conv_interleaved_piece)(const F(conv_tiles_t) *tile, const F(correlation_t) *c, const F(windows_t) *s,
                                      int64_t n)
{
    const fastnn_planes *g = c->planes;
    F(conv_tiles_t) t = *tile;
    for (int v = 0; v < ROW_NV; ++v) t.lanes[v] = VL;
    for (int64_t e = s->first, end; e < s->first + n; e = end) {
        const int64_t set = g->tap_set[e];
        for (end = e + 1; end < s->first + n && g->tap_set[end] == set;) ++end;
        t.index = g->taps + g->tap_set_begin[set];
        t.offset = c->places.taps + g->tap_set_begin[set];
        t.taps = g->tap_set_begin[set + 1] - g->tap_set_begin[set];
        for (int64_t q = e * LANE_VECTORS; q < end * LANE_VECTORS;) {
            const int vectors = F(panel_vectors)(&t, end * LANE_VECTORS - q);
            for (int v = 0; v < vectors; ++v, ++q) t.from[v] = F(vector_seen)(s, q), t.to[v] = F(vector_made)(s, q);
            F(conv_panel)(&t, vectors, CONV_BLOCK);
        }
    }
}

/* What is done at a time, over an image or a piece of an interleaved block: filters begin … end − 1 of groups first …
   last − 1. */
typedef struct {
    int64_t first, last, begin, end;
} F(share_t);

/* A share over single image n. */
static void F(correlate_single)(const F(correlation_t) *c, int64_t n, F(share_t) f)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, image = c->groups * c->out_channels * size;
    for (int64_t k = f.first; k < f.last; ++k)
        for (int64_t o = f.begin, filters; o < f.end; o += filters) {
            filters = min64(FASTNN_CONV_FILTERS, f.end - o);
            F(conv_tiles_t) t = F(tiles_of_group)(c, k, o, filters);
            t.to_row = size;
            real *u = c->u + n * image + (k * c->out_channels + o) * size;
            F(conv_single_rows)(
                &t, g, F(planes_at)(g, n - c->skipped * LANES) + k * c->in_channels * g->channel_size, u, c->rows,
                c->cols);
            F(activate_rest)(c, u, filters * size);
        }
}

/* 1 × 1 kernels over vectors begin … end − 1 of an image as it came: its pixels are one row. */
static void F(correlate_pixels)(const F(correlation_t) *c, int64_t n, int64_t begin, int64_t end, real *scratch)
{
    const int64_t size = c->rows * c->cols, first = begin * VL, values = min64(size, end * VL) - first;
    int64_t channels[FASTNN_CONV_LINES];
    for (int64_t i = 0; i < c->in_channels; ++i) channels[i] = i * size;
    for (int64_t k = 0; k < c->groups; ++k) {
        const int64_t group = n * c->groups + k;
        real *u = c->u + group * c->out_channels * size;
        const F(windows_t) s = {.from = c->singles + group * c->in_channels * size, .to = u, .values = size};
        F(conv_packed)(c, k, 0, c->out_channels, &s, begin, end, channels, size, F(packed_lines)(c, scratch));
        for (int64_t o = 0; o < c->out_channels; ++o) F(activate_rest)(c, u + o * size + first, values);
    }
}

/* A share over windows first … first + n − 1 of an interleaved block. An output that is not interleaved is worked out
   in `scratch` and transposed from there. */
static void F(correlate_interleaved)(const F(correlation_t) *c, int64_t block, int64_t first, int64_t n,
                                     F(share_t) part, real *scratch)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, image = c->groups * c->out_channels * size, values = n * LANES;
    const int64_t to_row = c->interleaved ? size * LANES : values;
    /* Of 1 × 1 kernels: if all windows see all channels, and these stand on pages of their own. */
    const int64_t set = g->tap_set[first], *taps = g->tap_set_begin + set;
    const int far_apart = c->blocks && F(fits_lines)(c->filter_size, c->in_channels)
        && taps[1] - taps[0] == c->filter_size && g->tap_set[first + n - 1] == set
        && g->height * g->width * LANES >= PAGE;
    for (int64_t k = part.first; k < part.last; ++k)
        for (int64_t o = part.begin, filters; o < part.end; o += filters) {
            const int64_t filter = k * c->out_channels + o;
            const int64_t place = block * LANES * image + (filter * size + first) * (c->interleaved ? LANES : 1);
            const int64_t channel = (block * c->groups + k) * c->in_channels;
            filters = min64(far_apart && c->interleaved ? INT64_MAX : FASTNN_CONV_FILTERS, part.end - o);
            const F(windows_t) s = {
                .from = c->blocks ? c->blocks + channel * g->height * g->width * LANES
                    : F(planes_at)(g, block * LANES) + k * c->in_channels * g->channel_size * LANES,
                .to = c->interleaved ? c->u + place : scratch,
                .begin = c->places.begin, .order = g->order, .first = first,
            };
            if (far_apart && filters > CONV_MR)
                F(conv_packed)(c, k, o, o + filters, &s, first * LANE_VECTORS, (first + n) * LANE_VECTORS,
                               c->places.taps + taps[0], to_row, F(packed_lines)(c, scratch));
            else {
                F(conv_tiles_t) t = F(tiles_of_group)(c, k, o, filters);
                t.to_row = to_row;
                F(conv_interleaved_piece)(&t, c, &s, n);
            }
            if (c->interleaved) {
                for (int64_t f = 0; f < filters; ++f) F(activate_rest)(c, c->u + place + f * size * LANES, values);
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

/* Of few filters a tile has one vector: less pays then, as 14 of 16 lanes in use and 28 of 32 do not. */
static inline int F(goes_by_filters)(int64_t filters, int64_t cols)
{
    return F(has_empty_lanes)(cols) && (filters >= 2 * LANES || 10 * ceil_div(cols, VL) * VL > 13 * cols);
}

/* Are windows single pixels, whose tiles have few empty lanes if they may go on in the next row? */
static inline int F(is_pixelwise)(const fastnn_conv *g)
{
    const int64_t channels = g->channels / g->groups, height = g->input.height, width = g->input.width;
    return F(fits_lines)(g->filter_size, channels) && g->stride_h == 1 && g->stride_w == 1
        && g->out_rows == height && g->out_cols == width && !F(has_empty_lanes)(height * width)
        && g->filters / g->groups > 2;
}

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

/* Some taps of a block of the panels: tap q stands at offset[index[q]] of a window, and is row index[q] − begin. */
typedef struct {
    const int64_t *index, *offset;
    int64_t begin, count;
    int full, apart;
} F(block_taps_t);

ALWAYS_INLINE void F(window_tile)(const int rows, const int vectors, const int full, const real *const *windows,
                                  const F(block_taps_t) *t, const real *panel, vec acc[MR][NV])
{
    const real *from[MR];
    const int64_t *index = t->index, *offset = t->offset;
    UNROLL for (int i = 0; i < rows; ++i) {
        from[i] = windows[i];
        HOLD(from[i]);
    }
    if (full) offset += t->begin;
    else panel -= t->begin * vectors * VL;
    int64_t q = 0;
    for (int64_t left = t->count % SOME_STEPS; left; --left, ++q) {
        if (full) F(window_tap)(rows, vectors, from, offset[q], panel, acc), panel += vectors * VL;
        else F(window_tap)(rows, vectors, from, offset[index[q]], panel + index[q] * vectors * VL, acc);
    }
    for (; q < t->count; q += SOME_STEPS) {
        UNROLL for (int s = 0; s < SOME_STEPS; ++s)
            if (full) F(window_tap)(rows, vectors, from, offset[q + s], panel + s * vectors * VL, acc);
            else F(window_tap)(rows, vectors, from, offset[index[q + s]], panel + index[q + s] * vectors * VL, acc);
        if (full) panel += SOME_STEPS * vectors * VL;
        UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < vectors; ++v) KEEP(acc[i][v]);
    }
}

/* The same from where the sums stand (`first`: from the bias, or 0), and back, with relu if that comes next; the last
   vector of the bias has `tail` values. Where the block is `apart`, its sums start from 0 and are added. */
ALWAYS_INLINE void F(window_sums)(const int rows, const int vectors, const real *const *windows,
                                  const F(block_taps_t) *t, const real *panel, int first, int relu, const real *bias,
                                  int tail, real *const *sums, int64_t j)
{
    vec acc[MR][NV];
    UNROLL for (int v = 0; v < vectors; ++v) {
        const vmask mask = vfirst(v == vectors - 1 ? tail : VL);
        const vec start = first && bias ? vload_first(bias + v * VL, mask) : vzero();
        UNROLL for (int i = 0; i < rows; ++i) acc[i][v] = first || t->apart ? start : vload(sums[i] + j + v * VL);
    }
    if (t->full) F(window_tile)(rows, vectors, 1, windows, t, panel, acc);
    else F(window_tile)(rows, vectors, 0, windows, t, panel, acc);
    if (t->apart && !first)
        UNROLL for (int i = 0; i < rows; ++i)
            UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vload(sums[i] + j + v * VL) + acc[i][v];
    if (relu)
        UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vrelu(acc[i][v]);
    UNROLL for (int i = 0; i < rows; ++i)
        UNROLL for (int v = 0; v < vectors; ++v) vstore(sums[i] + j + v * VL, acc[i][v]);
}

#undef TILE
#undef ENTRY
#define TILE(rows, vectors) \
    static void F(window_sums_##rows##x##vectors)(const real *const *windows, const F(block_taps_t) *t, \
                                                  const real *panel, int first, int relu, const real *bias, int tail, \
                                                  real *const *sums, int64_t j) \
    { \
        F(window_sums)(rows, vectors, windows, t, panel, first, relu, bias, tail, sums, j); \
    }
#define ENTRY(rows, vectors) [rows - 1][vectors - 1] = F(window_sums_##rows##x##vectors),
SHAPES(TILE, MR, NV)
static void (*const F(window_table)[MR][NV])(const real *const *windows, const F(block_taps_t) *t, const real *panel,
                                             int first, int relu, const real *bias, int tail, real *const *sums,
                                             int64_t j) = { SHAPES(ENTRY, MR, NV) };

/* All filters of group k over some windows of an image, which see the taps of a set; window i's sums go to sums[i]. */
static void F(sum_windows)(const F(correlation_t) *c, int64_t k, const real *const *windows, int64_t n, int64_t set,
                           int relu, real *const *sums)
{
    const fastnn_planes *g = c->planes;
    const int64_t row = F(packed_row)(c->out_channels);
    const real *panels = c->panels + k * c->filter_size * row, *bias = c->b ? c->b + k * c->out_channels : NULL;
    const int64_t *index = g->taps + g->tap_set_begin[set], *last = g->taps + g->tap_set_begin[set + 1];
    for (int64_t p = 0, size; p < c->filter_size; p += size) {
        const real *panel = panels + p * row;
        F(block_taps_t) t = {index, g->tap_offset, p, 0, 0, 0};
        size = min64(KC, c->filter_size - p);
        while (index < last && *index < p + size) ++index;
        t.count = index - t.index, t.full = t.count == size;
        for (int64_t j = 0, vectors; j < row; j += vectors * VL) {
            vectors = F(balanced_tile)((row - j) / VL, NV);
            for (int64_t i = 0, rows; i < n; i += rows) {
                rows = F(balanced_tile)(n - i, MR);
                F(window_table)[rows - 1][vectors - 1](
                    windows + i, &t, panel, p == 0, relu && p + size == c->filter_size, bias ? bias + j : NULL,
                    j + vectors * VL < row ? VL : (int)(c->out_channels - (row - VL)), sums + i, j);
            }
            panel += size * vectors * VL;
        }
    }
}

/* Windows first … end − 1 of one image, all filters: those of rows with the same taps together, and of four rows and
   more those of columns with the same taps: one VGG-like image takes 0.965 of the time. If there are not only an edge,
   the inside and an edge, the parts are too small: LeNet-like takes 1.05. */
static void F(correlate_windows)(const F(correlation_t) *c, int64_t image, int64_t first, int64_t end, real *scratch)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, row = F(packed_row)(c->out_channels);
    const int64_t most = min64(FASTNN_CONV_PIXELS, c->scratch_size / row);
    const int few = c->filter_size * row < 8192;            /* weights: a part would take longer than what it spares */
    int64_t kinds = 0;
    for (int64_t j = 0; j < c->cols; ++j) kinds = max64(kinds, g->col_set[j]);
    for (int64_t k = 0; k < c->groups; ++k) {
        const real *from = F(planes_at)(g, image - c->skipped * LANES) + k * c->in_channels * g->channel_size;
        const int64_t filter = k * c->out_channels;
        const F(constants_t) norm = F(constants_of)(c->norm, filter);
        const int relu = c->activation == RELU && !norm.mean;
        for (int64_t e = first, n; e < end; e += n) {
            int64_t rows = e / c->cols;                     /* with the same taps: up to this one */
            const int64_t set = few ? g->full_set : g->row_set[rows];
            while (++rows < c->rows && (few || g->row_set[rows] == set)) continue;
            n = min64(min64(most, end - e), rows * c->cols - e);
            const int by_column = !few && kinds <= 3 && n >= 4 * c->cols;
            for (int64_t s = 0, left = n, found; left; ++s, left -= found) {
                const real *windows[FASTNN_CONV_PIXELS];
                real *sums[FASTNN_CONV_PIXELS];
                const real *at = from + e / c->cols * g->pitch;
                found = 0;
                for (int64_t q = 0, j = e % c->cols; q < n; ++q) {
                    windows[found] = at + j, sums[found] = scratch + q * row;
                    found += !by_column || g->col_set[j] == s;
                    if (++j == c->cols) j = 0, at += g->pitch;
                }
                if (found) F(sum_windows)(c, k, windows, found, set + s, relu, sums);
            }
            for (int64_t q = 0; q < n && norm.mean; ++q) F(normalise_row)(&norm, scratch + q * row, c->out_channels);
            if (c->activation != IDENTITY && !relu)
                F(activate_range)(c->activation, c->alpha, scratch, scratch, scratch, n * row);
            F(transpose)(scratch, row, c->y + (image * c->groups * c->out_channels + filter) * size + e, size, n,
                         c->out_channels);
        }
    }
}

/* This part of the pieces of the interleaved blocks, and of the single images behind them. Where these are fewer than
   the parts, a piece's filters are split, too, in whole tiles, or the groups of a depthwise convolution, or an image's
   windows. */
static void F(correlate_part)(const void *job, int part, int parts)
{
    const F(correlation_t) *c = job;
    const int64_t size = c->rows * c->cols, vectors = ceil_div(size, VL);
    const int64_t pieces = c->strips ? 1 : ceil_div(size, FASTNN_CONV_PIXELS);
    const int64_t blocks = F(interleaved_blocks)(c->images), units = blocks * pieces + c->images % LANES;
    const int64_t tiles = ceil_div(c->out_channels, CONV_MR);
    const int64_t wanted = c->strips ? 4 * parts : parts;       /* a block of strips is one unit: 3 for 2 threads */
    const int64_t splits = min64(c->depthwise ? c->groups : tiles, ceil_div(wanted, units));
    const int64_t end = part_begin(units * splits, part + 1, parts);
    real *scratch = c->scratch + part * c->scratch_size;
    for (int64_t e = part_begin(units * splits, part, parts); e < end; ++e) {
        const int64_t unit = e / splits, split = e % splits, next = split + 1;
        const int64_t first = unit % pieces * FASTNN_CONV_PIXELS, n = min64(FASTNN_CONV_PIXELS, size - first);
        const int64_t image = unit - blocks * pieces + blocks * LANES;
        F(share_t) f = {0, c->groups, 0, c->out_channels};
        if (c->depthwise) f.first = c->groups * split / splits, f.last = c->groups * next / splits;
        else f.begin = tiles * split / splits * CONV_MR, f.end = min64(f.end, tiles * next / splits * CONV_MR);
        if (unit < blocks && c->strips) F(correlate_strips)(c, unit, f.first, f.last);
        else if (unit < blocks * pieces) F(correlate_interleaved)(c, unit / pieces, first, n, f, scratch);
        else if (c->depthwise) F(correlate_depthwise)(c, image, f.first, f.last, scratch);
        else if (c->pixelwise && c->singles)
            F(correlate_pixels)(c, image, vectors * split / splits, vectors * next / splits, scratch);
        else if (c->panels) F(correlate_windows)(c, image, size * split / splits, size * next / splits, scratch);
        else F(correlate_single)(c, image, f);
    }
}

/* The weights of the way back, filter by filter: in and out channels change places, each window is turned by 180°.
   Some filters at a time, so that what is read and what is written lie in few pages. */
#undef TURNED_FILTERS
#define TURNED_FILTERS 16
typedef struct {
    const fastnn_conv *g;
    real *to;
} F(turn_t);

ALWAYS_INLINE void F(turn_filters)(const fastnn_conv *g, int64_t k, int64_t first, int64_t last, const int64_t window,
                                   real *to)
{
    const int64_t in = g->channels / g->groups, out = g->filters / g->groups;
    const real *w = (const real *)g->w + k * out * g->filter_size;
    to += k * in * out * window;
    for (int64_t c = 0; c < in; ++c)
        for (int64_t o = first; o < last; ++o) {
            const real *from = w + o * g->filter_size + c * window;
            real *turned = to + (c * out + o) * window;
            for (int64_t t = 0; t < window; ++t) turned[t] = from[window - 1 - t];
        }
}

static void F(turn_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = ((const F(turn_t) *)job)->g;
    real *to = ((const F(turn_t) *)job)->to;
    const int64_t window = g->filter_size / (g->channels / g->groups), out = g->filters / g->groups;
    const int64_t blocks = ceil_div(out, TURNED_FILTERS), units = g->groups * blocks;
    for (int64_t e = part_begin(units, part, parts); e < part_begin(units, part + 1, parts); ++e) {
        const int64_t k = e / blocks, first = e % blocks * TURNED_FILTERS, last = min64(first + TURNED_FILTERS, out);
        if (window == 9) F(turn_filters)(g, k, first, last, 9, to);
        else if (window == 1) F(turn_filters)(g, k, first, last, 1, to);
        else F(turn_filters)(g, k, first, last, window, to);
    }
}

static const real *F(turn_weights)(const fastnn_conv *g, real *to)
{
    const F(turn_t) job = {g, to};
    run_parts(F(turn_part), &job, F(conv_threads)(g));
    return to;
}

/* Weights in panels, those of each group by themselves. */
typedef struct {
    const real *w;
    real *to;
    int64_t groups, filters, taps;      /* filters of a group, weights of a filter */
} F(panels_t);

static void F(pack_part)(const void *job, int part, int parts)
{
    const F(panels_t) *p = job;
    const int64_t blocks = ceil_div(p->taps, KC), units = p->groups * blocks, row = F(packed_row)(p->filters);
    for (int64_t e = part_begin(units, part, parts); e < part_begin(units, part + 1, parts); ++e) {
        const int64_t k = e / blocks, tap = e % blocks * KC;
        F(pack)(p->to + (k * p->taps + tap) * row, p->w + k * p->filters * p->taps + tap, 1, p->taps,
                min64(KC, p->taps - tap), p->filters);
    }
}

static void F(conv_pack)(const fastnn_conv *g, void *to)
{
    const F(panels_t) job = {g->w, to, g->groups, g->filters / g->groups, g->filter_size};
    F(pack_part)(&job, 0, 1);
}

/* Panels of the weights, made for this pass, or NULL if single images have too few windows for them. */
static const real *F(panels_for)(const fastnn_conv *g, F(correlation_t) *c)
{
    const F(panels_t) job = {c->w, g->panels, c->groups, c->out_channels, c->filter_size};
    if (!g->panels || c->u != c->y || c->depthwise || (c->pixelwise && c->singles) || c->out_channels < LANES
        || !F(goes_by_filters)(c->out_channels, c->cols) || c->images % LANES * c->rows * c->cols < 4) return NULL;
    run_parts(F(pack_part), &job, F(conv_threads)(g));
    return g->panels;
}

/* From x to u and y; the planes are filled, but for interleaved blocks if these are given, and for single images. */
static void F(correlate_forward)(const fastnn_conv *g, const real *blocks, const real *singles, const real *panels,
                                 const real *b, real *u, real *y, const fastnn_norm *norm, int activation)
{
    const F(places_t) padded = {g->input.window_begin, g->input.taps_interleaved};
    F(correlation_t) c = {
        .planes = &g->input, .w = g->w,
        .b = b, .images = g->images, .groups = g->groups,
        .in_channels = g->channels / g->groups, .out_channels = g->filters / g->groups,
        .filter_size = g->filter_size, .rows = g->out_rows, .cols = g->out_cols, .u = u, .y = y,
        .scratch = g->scratch, .scratch_size = g->scratch_size, .interleaved = g->y_interleaved,
        .norm = norm, .activation = activation, .alpha = (real)g->alpha,
        .panels = F(goes_by_filters)(g->filters / g->groups, g->out_cols) ? panels : NULL,
        .blocks = blocks, .skipped = blocks ? F(interleaved_blocks)(g->images) : 0,
        .places = blocks ? (F(places_t)){g->x_begin, g->x_taps} : padded,
        .singles = singles, .depthwise = F(is_depthwise)(g), .pixelwise = F(is_pixelwise)(g),
        .window = g->window, .top = g->top, .left = g->left,
        .step = g->step, .spread = 1, .centred = F(is_centred)(g),
        .strips = g->by_strips ? g->x : NULL,
    };
    if (!panels) c.panels = F(panels_for)(g, &c);
    run_parts(F(correlate_part), &c, F(conv_threads)(g));
}

/* Do blocks need no planes? Their channels often stand a multiple of 4 KB apart, in the same sets of the first-level
   cache. Sets of 12 lines hold what a block of taps sees: 0.93 to 0.99 of the time. Sets of 8 do not, 1.05 to 1.1, but
   for windows of one pixel or one channel. */
static inline int F(reads_in_place)(const fastnn_conv *g)
{
    const int64_t channels = g->channels / g->groups;
    if (g->by_strips) return 1;
    return g->predicts && g->x_begin && (channels == 1 || channels == g->filter_size || fastnn_first_level_ways >= 12);
}

static void F(conv)(const fastnn_conv *g)
{
    const int in_place = F(reads_in_place)(g), singles = g->predicts && (F(is_depthwise)(g) || F(is_pixelwise)(g));
    F(fill_input)(g, in_place ? F(interleaved_blocks)(g->images) : 0, !singles);
    F(correlate_forward)(g, in_place ? g->x : NULL, singles ? g->x : NULL, g->packed, g->b, g->u, g->y, g->norm,
                         g->activation);
}

/* From du, whose planes are filled, to u and y of x's shape, by weights that are turned. */
static void F(correlate_back)(const fastnn_conv *g, const real *turned, const real *b, real *u, real *y,
                              const fastnn_norm *norm, int activation)
{
    const int64_t in = g->channels / g->groups, out = g->filters / g->groups;
    const F(places_t) padded = {g->gradient.window_begin, g->gradient.taps_interleaved};
    F(correlation_t) c = {
        .planes = &g->gradient, .w = turned,
        .b = b, .images = g->images, .groups = g->groups, .in_channels = out,
        .out_channels = in, .filter_size = g->filter_size / in * out, .rows = g->input.height, .cols = g->input.width,
        .u = u, .y = y, .scratch = g->scratch, .scratch_size = g->scratch_size,
        .interleaved = g->x_interleaved, .norm = norm, .activation = activation,
        .alpha = (real)g->alpha,
        .blocks = g->du_begin ? g->du : NULL, .skipped = g->du_begin ? F(interleaved_blocks)(g->images) : 0,
        .places = g->du_begin ? (F(places_t)){g->du_begin, g->du_taps} : padded, .depthwise = F(is_depthwise)(g),
        .window = g->window, .top = g->window - 1 - g->top, .left = g->window - 1 - g->left,
        .step = 1, .spread = g->step,
        .strips = g->by_strips ? g->du : NULL,
    };
    c.panels = F(panels_for)(g, &c);
    run_parts(F(correlate_part), &c, F(conv_threads)(g));
}

static void F(conv_backward_input)(const fastnn_conv *g)
{
    if (g->y_interleaved) F(fill_gradient)(g);          /* else conv_backward_weight filled it */
    F(correlate_back)(g, F(turn_weights)(g, g->weights), NULL, g->dx, g->dx, NULL, IDENTITY);
}

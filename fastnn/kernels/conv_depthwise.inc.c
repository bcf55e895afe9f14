/* Convolution, 3 of 5: depthwise, where each channel has a filter of its own. */

/* Interleaved blocks as they came, by strips: some windows side by side, which take the pixels of a row one after the
   other; a pixel that is loaded is up to `window` multiply-adds. Those outside the image are left out. For dx with a
   stride the pixels of du lie `spread` apart, with nothing between them; `odd` is how far behind the first place. */
#undef STRIP
#define STRIP 8
ALWAYS_INLINE void F(strip_row)(const int window, const int step, const int spread, const int odd, const int windows,
                                const int inside, const real *w, const real *x, int64_t col, int64_t width,
                                vec acc[STRIP])
{
    vec taps[5];
    UNROLL for (int s = 0; s < window; ++s) taps[s] = vset1(w[s]);
    UNROLL for (int p = odd; p * spread - odd < (windows - 1) * step + window; ++p) {
        if (!inside && (col + p < 0 || col + p >= width)) continue;
        const vec pixel = vload(x + (col + p) * LANES);
        UNROLL for (int i = 0; i < windows; ++i) {
            const int s = p * spread - odd - i * step;
            if (s >= 0 && s < window) vfma_into(acc[i], taps[s], pixel);
        }
    }
}

ALWAYS_INLINE void F(strip)(const int window, const int step, const int spread, const int odd, const int windows,
                            const F(correlation_t) *c, int64_t k, const real *x, int64_t i, int64_t j, real *u)
{
    const int64_t height = c->planes->height, width = c->planes->width;
    const int64_t row = i * step - c->top, col = (j * step - c->left - odd) / spread;
    const int inside = col >= 0 && col + ((windows - 1) * step + window - 1 + odd) / spread < width;
    const F(constants_t) n = F(constants_of)(c->norm, k);
    const vec start = vset1(c->b ? c->b[k] : 0);
    vec acc[STRIP];
    UNROLL for (int v = 0; v < windows; ++v) acc[v] = start;
    const int64_t first = max64(0, -row);
    for (int64_t r = first + (row + first) % spread; r < min64(window, height * spread - row); r += spread) {
        const real *w = c->w + (k * window + r) * window, *from = x + (row + r) / spread * width * LANES;
        if (inside) F(strip_row)(window, step, spread, odd, windows, 1, w, from, col, width, acc);
        else F(strip_row)(window, step, spread, odd, windows, 0, w, from, col, width, acc);
    }
    if (n.mean) {
        const vec mean = vset1(*n.mean), inv = vset1(*n.inv), scale = vset1(*n.w), shift = vset1(*n.b);
        UNROLL for (int v = 0; v < windows; ++v) acc[v] = vfma((acc[v] - mean) * inv, scale, shift);
    }
    if (c->activation == RELU) UNROLL for (int v = 0; v < windows; ++v) acc[v] = vrelu(acc[v]);
    u += (i * c->cols + j) * LANES;
    UNROLL for (int v = 0; v < windows; ++v) vstore(u + v * LANES, acc[v]);
}

/* All windows of channel k of a block. The last strip of a row begins so that it ends with the row. */
ALWAYS_INLINE void F(strips)(const int window, const int step, const int spread, const int windows,
                             const F(correlation_t) *c, int64_t k, const real *x, real *u)
{
    for (int64_t i = 0; i < c->rows; ++i)
        for (int64_t j = 0; j < c->cols; j += windows) {
            const int64_t at = min64(j, c->cols - windows);
            const int odd = spread > 1 && (at - c->left) % 2;
            for (int v = 0; v < LANE_VECTORS; ++v)
                if (odd) F(strip)(window, step, spread, spread > 1, windows, c, k, x + v * VL, i, at, u + v * VL);
                else F(strip)(window, step, spread, 0, windows, c, k, x + v * VL, i, at, u + v * VL);
        }
}

#undef STRIPS
#undef ENTRY
#define STRIPS(window, step, spread, windows) \
    static void F(strips_##window##_##step##_##spread##_##windows)(const F(correlation_t) *c, int64_t k, \
                                                                  const real *x, real *u) \
    { \
        F(strips)(window, step, spread, windows, c, k, x, u); \
    }
#define STRIP_WIDTHS(SHAPE, window, step, spread) \
    SHAPE(window, step, spread, 1) SHAPE(window, step, spread, 4) SHAPE(window, step, spread, 8)
#define STRIP_SHAPES(SHAPE, window) \
    STRIP_WIDTHS(SHAPE, window, 1, 1) STRIP_WIDTHS(SHAPE, window, 2, 1) STRIP_WIDTHS(SHAPE, window, 1, 2)
STRIP_SHAPES(STRIPS, 3)
STRIP_SHAPES(STRIPS, 5)
#define ENTRY(window, step, spread, windows) \
    [window / 5][step - 1][spread - 1][windows / 4] = F(strips_##window##_##step##_##spread##_##windows),
static void (*const F(strips_table)[2][2][2][3])(const F(correlation_t) *c, int64_t k, const real *x, real *u) = {
    STRIP_SHAPES(ENTRY, 3) STRIP_SHAPES(ENTRY, 5)
};

/* Groups begin … end − 1 over an interleaved block. */
static void F(correlate_strips)(const F(correlation_t) *c, int64_t block, int64_t begin, int64_t end)
{
    const int64_t size = c->rows * c->cols * LANES, seen = c->planes->height * c->planes->width * LANES;
    const int64_t eights = ceil_div(c->cols, 8) * 8, fours = ceil_div(c->cols, 4) * 4;
    const int windows = c->cols >= 8 && eights == fours ? 8 : c->cols >= 4 ? 4 : 1;
    for (int64_t k = begin; k < end; ++k) {
        const int64_t channel = block * c->groups + k;
        real *u = c->u + channel * size;
        F(strips_table)[c->window / 5][c->step - 1][c->spread - 1][windows / 4](c, k, c->strips + channel * seen, u);
        F(activate_rest)(c, u, size);
    }
}

/* A vector of a depthwise convolution's windows is complete. */
ALWAYS_INLINE void F(finish_windows)(const F(conv_tiles_t) *t, vec sum, real *to, int lanes)
{
    const F(constants_t) n = t->norm;
    if (n.mean) sum = vfma((sum - vset1(*n.mean)) * vset1(*n.inv), vset1(*n.w), vset1(*n.b));
    if (t->relu) sum = vrelu(sum);
    if (lanes == VL) vstore(to, sum);
    else vstore_first(to, vfirst(lanes), sum);
}

/* A column of vectors of one channel, `lanes` windows wide, by 3 × 3 taps whose rows are `pitch` apart: three values
   that are loaded are nine multiply-adds, for the rows of windows above, here and below. */
static void F(conv_column)(const F(conv_tiles_t) *t, const real *from, int64_t pitch, real *to, int64_t to_pitch,
                           int64_t rows, int lanes)
{
    const vec start = vset1(t->b ? *t->b : 0);
    vec w[9], above = start, here = start;
    UNROLL for (int q = 0; q < 9; ++q) w[q] = vset1(t->w[q]);
    for (int64_t i = -2; i < rows; ++i, from += pitch) {
        vec below = start;
        UNROLL for (int s = 0; s < 3; ++s) {
            const vec x = vload(from + s);
            vfma_into(above, w[6 + s], x);
            vfma_into(here, w[3 + s], x);
            vfma_into(below, w[s], x);
        }
        if (i >= 0) F(finish_windows)(t, above, to + i * to_pitch, lanes);
        above = here, here = below;
    }
}

/* Are the windows 3 × 3 pixels around every one, or every second one? Then the masks and permutations of AVX-512 spare
   single images the copy with its padding. */
static inline int F(is_centred)(const fastnn_conv *g)
{
#if defined(ISA_X86_V4)
    return g->window == 3 && g->top == 1 && g->left == 1 && g->out_rows == ceil_div(g->input.height, g->step)
        && g->out_cols == ceil_div(g->input.width, g->step);
#else
    (void)g;
    return 0;
#endif
}

#if defined(ISA_X86_V4)
/* Which lanes are pixels, of each vector that is loaded, and windows. */
typedef struct {
    vmask seen[3], made;
} F(lanes_t);

/* A column of vectors, of one channel or of two, which begin HALF lanes apart. `fit`: of how many channels a row of
   windows fits into a vector, 0, 1 or 2. */
#undef HALF
#undef UPPER
#define HALF (VL / 2)
#define UPPER(mask) ((vmask)((unsigned)(mask) << HALF))
typedef struct {
    const real *x[2];
    real *to[2];
    F(lanes_t) lanes;
    int64_t height, width, cols;
} F(column_t);

/* What the three taps of a row of weights see in row y: vectors beside each other, as loads across lines take long. */
ALWAYS_INLINE void F(pixels_around)(const int step, const int fit, const F(column_t) *t, int64_t y, vec pixels[3])
{
    const real *x = t->x[0] + y * t->width, *other = t->x[1] + y * t->width;
    const vec before = fit ? vzero() : vload_first(x - VL, t->lanes.seen[2]);
    const vmask first = (vmask)(1 | 1 << HALF);
    if (step == 1 && fit == 2) {
        pixels[1] = vload_also(vload_first(x, t->lanes.seen[0]), other - HALF, UPPER(t->lanes.seen[0]));
        pixels[0] = vkeep((vmask)~first, vup(before, pixels[1]));
        pixels[2] = vkeep((vmask)~(first >> 1), vdown(pixels[1], vzero()));
    } else if (step == 1) {
        pixels[1] = vload_first(x, t->lanes.seen[0]);
        pixels[0] = vup(before, pixels[1]);
        pixels[2] = vdown(pixels[1], fit ? vzero() : vload_first(x + VL, t->lanes.seen[1]));
    } else {
        const vec low = vload_first(x, t->lanes.seen[0]);
        const vec high = fit == 2 ? vload_first(other, t->lanes.seen[0]) : vload_first(x + VL, t->lanes.seen[1]);
        pixels[1] = vevens(low, high), pixels[2] = vodds(low, high), pixels[0] = vup(before, pixels[2]);
        if (fit == 2) pixels[0] = vkeep((vmask)~first, pixels[0]);
    }
}

/* Rows i … i + rows − 1 of windows: what is loaded for one is used by those above and below, too. */
ALWAYS_INLINE void F(rows_around)(const int step, const int fit, const int rows, const F(column_t) *t, int64_t i,
                                  const vec w[9], vec start, const vec *norm, int relu)
{
    const int last = (rows - 1) * step + 1;
    vec acc[4];
    UNROLL for (int v = 0; v < rows; ++v) acc[v] = start;
    UNROLL for (int r = -1; r <= last; ++r) {
        const int64_t y = i * step + r;
        vec pixels[3];
        if ((r == -1 && y < 0) || (r == last && y >= t->height)) continue;
        F(pixels_around)(step, fit, t, y, pixels);
        UNROLL for (int s = 0; s < 3; ++s)
            UNROLL for (int v = 0; v < rows; ++v)
                if (r >= v * step - 1 && r <= v * step + 1) vfma_into(acc[v], w[3 * (r - v * step + 1) + s], pixels[s]);
    }
    UNROLL for (int v = 0; v < rows && norm; ++v) acc[v] = vfma((acc[v] - norm[0]) * norm[1], norm[2], norm[3]);
    UNROLL for (int v = 0; v < rows && relu; ++v) acc[v] = vrelu(acc[v]);
    UNROLL for (int v = 0; v < rows; ++v) {
        vstore_first(t->to[0] + (i + v) * t->cols, t->lanes.made, acc[v]);
        if (fit == 2) vstore_first(t->to[1] + (i + v) * t->cols - HALF, UPPER(t->lanes.made), acc[v]);
    }
}

/* a in the lower half of a vector, b in the upper one, if there are two. */
ALWAYS_INLINE vec F(halves)(const int pair, const real *a, const real *b)
{
    return pair ? AVX512(mask_mov)(vset1(*a), UPPER(vfirst(HALF)), vset1(*b)) : vset1(*a);
}

static inline vmask F(first_lanes)(int64_t n) { return vfirst(max64(0, min64(VL, n))); }

/* Channels k and, of a pair, `other`, of image n. `last`: the lanes of the last column. */
ALWAYS_INLINE void F(channels_around)(const int step, const int fit, const F(correlation_t) *c, int64_t n, int64_t k,
                                      int64_t other, const F(lanes_t) *last)
{
    const int pair = fit == 2;
    const int64_t width = c->planes->width, pixels = c->planes->height * width, size = c->rows * c->cols;
    const F(constants_t) a = F(constants_of)(c->norm, k), b = pair ? F(constants_of)(c->norm, other) : a;
    const real *x = c->singles + n * c->groups * pixels;
    real *u = c->u + n * c->groups * size;
    const vec start = c->b ? F(halves)(pair, c->b + k, c->b + other) : vzero();
    vec w[9], constants[4];
    UNROLL for (int q = 0; q < 9; ++q) w[q] = F(halves)(pair, c->w + k * 9 + q, c->w + other * 9 + q);
    if (a.mean) {
        constants[0] = F(halves)(pair, a.mean, b.mean), constants[1] = F(halves)(pair, a.inv, b.inv);
        constants[2] = F(halves)(pair, a.w, b.w), constants[3] = F(halves)(pair, a.b, b.b);
    }
    for (int64_t col = 0, i = 0; col < c->cols; col += VL, i = 0) {
        const vmask all = (vmask)~0;
        const int64_t left = width - col * step;
        F(column_t) t = {
            .x = {x + k * pixels + col * step, x + other * pixels + col * step},
            .to = {u + k * size + col, u + other * size + col},
            .lanes = col + VL < c->cols ? (F(lanes_t)){{all, F(first_lanes)(left - VL)}, all} : *last,
            .height = c->planes->height, .width = width, .cols = c->cols,
        };
        t.lanes.seen[2] = (vmask)(col ? 1u << (VL - 1) : 0);
        for (; i + 4 <= c->rows; i += 4)
            F(rows_around)(step, fit, 4, &t, i, w, start, a.mean ? constants : NULL, c->activation == RELU);
        for (; i < c->rows; ++i)
            F(rows_around)(step, fit, 1, &t, i, w, start, a.mean ? constants : NULL, c->activation == RELU);
    }
    F(activate_rest)(c, u + k * size, size);
    if (pair && other != k) F(activate_rest)(c, u + other * size, size);
}

#undef AROUND
#undef ENTRY
#define AROUND(step, fit) \
    static void F(channels_around_##step##_##fit)(const F(correlation_t) *c, int64_t n, int64_t k, int64_t other, \
                                                 const F(lanes_t) *last) \
    { \
        F(channels_around)(step, fit, c, n, k, other, last); \
    }
#define AROUND_SHAPES(SHAPE) SHAPE(1, 0) SHAPE(1, 1) SHAPE(1, 2) SHAPE(2, 0) SHAPE(2, 1) SHAPE(2, 2)
#define ENTRY(step, fit) [step - 1][fit] = F(channels_around_##step##_##fit),
AROUND_SHAPES(AROUND)
static void (*const F(around_table)[2][3])(const F(correlation_t) *c, int64_t n, int64_t k, int64_t other,
                                           const F(lanes_t) *last) = { AROUND_SHAPES(ENTRY) };

static void F(correlate_around)(const F(correlation_t) *c, int64_t n, int64_t begin, int64_t end)
{
    const int fit = c->cols <= HALF ? 2 : c->cols <= VL;
    const int64_t col = (ceil_div(c->cols, VL) - 1) * VL, left = c->planes->width - col * c->step;
    const F(lanes_t) last = {
        .seen = {F(first_lanes)(left), F(first_lanes)(left - VL)}, .made = F(first_lanes)(c->cols - col)
    };
    for (int64_t k = begin; k < end; k += max64(1, fit))
        F(around_table)[c->step - 1][fit](c, n, k, min64(k + fit / 2, end - 1), &last);
}
#endif

/* All windows of a channel, from its planes to u; all get all taps. Where rows are not whole vectors, the windows
   between two rows are worked out, too, in `made`, and left there. */
static void F(depthwise_channel)(const F(correlation_t) *c, F(conv_tiles_t) *t, const real *from, real *u, real *made)
{
    const fastnn_planes *g = c->planes;
    const int64_t *offset = g->tap_offset, across = c->cols / VL;
    const int whole = c->cols % VL == 0;
    const int64_t vectors = whole ? c->rows * across : ceil_div((c->rows - 1) * g->pitch + c->cols, VL);
    if (c->filter_size == 9 && offset[1] == 1 && offset[2] == 2 && offset[3] == g->pitch
        && offset[6] == 2 * g->pitch && offset[8] == offset[6] + 2) {
        for (int64_t j = 0; j < c->cols; j += VL)
            F(conv_column)(t, from + j, g->pitch, u + j, c->cols, c->rows, (int)min64(VL, c->cols - j));
        return;
    }
    real *to = whole ? u : made;
    t->offset = offset;
    for (int64_t v = 0, j = 0; v < vectors;) {
        const int count = F(panel_vectors)(t, vectors - v);
        for (int i = 0; i < count; ++i, ++v, ++j) {
            if (whole && j == across) j = 0, from += g->pitch;
            t->from[i] = from + j * VL, t->to[i] = to + v * VL;
        }
        t->done = 0, t->count = 1;
        F(conv_tile_table)[1][0][count - 1](t);
    }
    for (int64_t i = 0; i < c->rows && !whole; ++i) F(copy_row)(made + i * g->pitch, u + i * c->cols, c->cols);
}

/* Groups begin … end − 1 of a depthwise convolution, over single image n. A channel without planes is copied with its
   padding while the one before is worked out: to read at once what was stored in other vectors takes long. With this
   and 1 × 1 kernels that read x in place, a MobileNet-like net's predictions of one image take 0.65 of the time. */
static void F(correlate_depthwise)(const F(correlation_t) *c, int64_t n, int64_t begin, int64_t end, real *scratch)
{
    const fastnn_planes *g = c->planes;
    const int64_t size = c->rows * c->cols, pixels = g->height * g->width;
    const int64_t plane = ceil_div(g->channel_size, LANES) * LANES + LANES;
    const real *x = c->singles ? c->singles + n * c->groups * pixels : NULL;
    real sums[ROW_NV * VL], *planes[2] = {scratch, scratch + plane}, *made = scratch + 2 * plane;
    F(conv_tiles_t) t = {
        .rows = 1, .relu = c->activation == RELU, .filter_size = c->filter_size, .taps = c->filter_size,
        .end = c->filter_size, .sums = sums,
    };
#if defined(ISA_X86_V4)
    if (x && c->centred) {
        F(correlate_around)(c, n, begin, end);
        return;
    }
#endif
    if (x) memset(scratch, 0, (size_t)(2 * plane) * sizeof(real));
    if (x) F(copy_channel)(1, 1, g, x + begin * pixels, planes[begin % 2]);
    for (int64_t k = begin; k < end; ++k) {
        real *u = c->u + (n * c->groups + k) * size;
        t.w = c->w + k * c->filter_size, t.b = c->b ? c->b + k : NULL, t.norm = F(constants_of)(c->norm, k);
        if (x && k + 1 < end) F(copy_channel)(1, 1, g, x + (k + 1) * pixels, planes[(k + 1) % 2]);
        if (x) F(depthwise_channel)(c, &t, planes[k % 2], u, made);
        else F(depthwise_channel)(c, &t, F(planes_at)(g, n - c->skipped * LANES) + k * g->channel_size, u, made);
        F(activate_rest)(c, u, size);
    }
}

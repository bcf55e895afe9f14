/* Convolution, 1 of 5: the padded copy of the images.

   Reference of the five files: fastnn_ref/conv.py. A convolution is a matrix product, but its matrix of patches is
   never built. Each channel is copied once, with its padding, into planes (fastnn/conv_tables.py has a drawing). Tap t
   of the window that begins at place p stands at p + tap_offset[t]: for each row of the image, a row of the matrix of
   patches is a stretch of memory, which the micro-kernels read where it stands.

       forward   y[o, i, j] = b[o] + Σ_t W[o, t] · plane[tap_offset[t] + i·pitch + j]       conv_correlate.inc.c
       backward  dx         = the same with du, spread by the stride, and W flipped         conv_correlate.inc.c
                 dW[o, t]   = Σ_n Σ_ij du[o, i, j] · plane[tap_offset[t] + i·pitch + j]     conv_weight.inc.c

   The first floor(images / LANES) · LANES images are interleaved (transpose.inc.c): a pixel of LANES images is a cache
   line. So vectors are full and aligned however narrow the image is, and pixels of any place can share a tile: forward
   and dx take those together that see the same taps. The rest of the batch goes image by image. A step of the net for
   8 × 8 digits: 124 µs without interleaving, 84 with it, 60 with interleaved pooling, 56 when taps that meet only zeros
   are left out, 54 when dW reads du as it came (python -m bench.report --only conv). */

/* Where the planes of image n stand, or of the interleaved block that begins with image n, counted from the first one
   that has planes. */
static inline real *F(planes_at)(const fastnn_planes *g, int64_t n) { return (real *)g->memory + n * g->image_size; }

/* Copies a row whose columns are dealt out to two planes, in turns. */
static void F(deal_row)(const real *x, int64_t width, real *first, real *second)
{
    int64_t j = 0;
    for (; j + 2 * VL <= width; j += 2 * VL) {
        const vec a = vload(x + j), b = vload(x + j + VL);
        vstore(first + j / 2, vevens(a, b));
        vstore(second + j / 2, vodds(a, b));
    }
    const int left = (int)(width - j), more = left > VL ? left - VL : 0;
    if (VL > 1 && left) {
        const vec a = vload_first(x + j, vfirst(left - more)), b = vload_first(x + j + VL, vfirst(more));
        vstore_first(first + j / 2, vfirst((left + 1) / 2), vevens(a, b));
        vstore_first(second + j / 2, vfirst(left / 2), vodds(a, b));
    } else if (left) first[j / 2] = x[j];
}

/* Copies one channel of `unit` interleaved images into its planes; places without a pixel become 0, if they are not. */
ALWAYS_INLINE void F(copy_channel)(const int unit, const int zeroed, const fastnn_planes *g, const real *x, real *to)
{
    const int one_row = g->contiguous && g->row_offset[g->height - 1] - g->row_offset[0] == (g->height - 1) * g->width;
    const int64_t row = g->width * unit * (one_row ? g->height : 1), height = one_row ? 1 : g->height;
    const int dealt = unit == 1 && !g->contiguous && g->width > 3 && g->col_offset[2] == g->col_offset[0] + 1
        && g->col_offset[3] == g->col_offset[1] + 1;
    int64_t written = 0;                                /* all before it, where rows stand one behind the other */
    if (!g->contiguous && !zeroed) memset(to, 0, (size_t)(g->channel_size * unit) * sizeof(real));
    for (int64_t i = 0; i < height; ++i, x += row) {
        const int64_t begin = (g->row_offset[i] + g->col_offset[0]) * unit;
        if (g->contiguous) {
            if (!zeroed) F(clear_row)(to + written, begin - written);
            F(copy_row)(x, to + begin, row);
            written = begin + row;
        } else if (dealt) F(deal_row)(x, row, to + begin, to + g->row_offset[i] + g->col_offset[1]);
        else for (int64_t j = 0; j < g->width; ++j)
            for (int l = 0; l < unit; ++l) to[(g->row_offset[i] + g->col_offset[j]) * unit + l] = x[j * unit + l];
    }
    if (g->contiguous && !zeroed) F(clear_row)(to + written, g->channel_size * unit - written);
}

/* Interleaves one channel of LANES images, `image` values apart, into a block's planes. */
static void F(interleave_channel)(const fastnn_planes *g, const real *x, int64_t image, real *to)
{
    const int64_t pixels = g->height * g->width;
    real lines[LANES * LANES];
    if (g->channel_size > pixels) memset(to, 0, (size_t)(g->channel_size * LANES) * sizeof(real));
    for (int64_t p = 0, i = 0, j = 0; p < pixels; p += LANES) {
        const int64_t n = min64(LANES, pixels - p);
        F(transpose)(x + p, image, lines, LANES, LANES, n);
        for (int64_t q = 0; q < n; ++q) {
            memcpy(to + (g->row_offset[i] + g->col_offset[j]) * LANES, lines + q * LANES, sizeof(real) * LANES);
            if (++j == g->width) j = 0, ++i;
        }
    }
}

typedef struct {
    const fastnn_planes *planes;
    const real *x;
    int64_t images, channels;
    int interleaved;                                    /* whether x is */
    int64_t skipped;                                    /* interleaved blocks that have no planes */
} F(fill_t);

/* Fills the planes for this part of the channels of all blocks and single images. */
static void F(fill_part)(const void *job, int part, int parts)
{
    const F(fill_t) *f = job;
    const fastnn_planes *g = f->planes;
    const int64_t blocks = F(interleaved_blocks)(f->images), size = g->height * g->width, image = f->channels * size;
    const int64_t units = (blocks + f->images % LANES - f->skipped) * f->channels;
    const int64_t end = part_begin(units, part + 1, parts);
    for (int64_t e = part_begin(units, part, parts); e < end; ++e) {
        const int64_t item = e / f->channels + f->skipped, c = e % f->channels;
        const int64_t n = item < blocks ? item * LANES : item + blocks * (LANES - 1);
        const real *x = f->x + n * image;
        real *to = F(planes_at)(g, n - f->skipped * LANES);
        if (item >= blocks) F(copy_channel)(1, 0, g, x + c * size, to + c * g->channel_size);
        else if (f->interleaved) F(copy_channel)(LANES, 0, g, x + c * size * LANES, to + c * g->channel_size * LANES);
        else F(interleave_channel)(g, x + c * size, image, to + c * g->channel_size * LANES);
    }
}

/* Does each channel have a filter of its own, of few taps? */
#undef MOST_DEPTHWISE
#define MOST_DEPTHWISE 64
static inline int F(is_depthwise)(const fastnn_conv *g)
{
    return g->groups == g->channels && g->groups == g->filters && g->filter_size <= MOST_DEPTHWISE;
}

/* How many threads the work is worth; it is counted in double, which does not overflow. */
static int F(conv_threads)(const fastnn_conv *g)
{
    const double pixels = (double)g->out_rows * (double)g->out_cols;
    const double products = (double)g->images * (double)g->filters * (double)g->filter_size * pixels;
    return products < PARALLEL_FMAS ? 1 : g->threads;
}

/* Fills the planes, but for `skipped` interleaved blocks, and for single images unless these are wanted. */
static void F(fill_input)(const fastnn_conv *g, int64_t skipped, int singles)
{
    const int64_t images = singles ? g->images : F(interleaved_blocks)(g->images) * LANES;
    const F(fill_t) fill = {&g->input, g->x, images, g->channels, g->x_interleaved, skipped};
    if (images > skipped * LANES) run_parts(F(fill_part), &fill, F(conv_threads)(g));
}

/* dx needs du with a border and the gaps of the stride, but for those blocks; dW reads it there, too, if du came image
   by image. */
static void F(fill_gradient)(const fastnn_conv *g)
{
    const int64_t skipped = g->du_begin ? F(interleaved_blocks)(g->images) : 0;
    const F(fill_t) fill = {&g->gradient, g->du, g->images, g->filters, g->y_interleaved, skipped};
    if (g->images > skipped * LANES) run_parts(F(fill_part), &fill, F(conv_threads)(g));
}

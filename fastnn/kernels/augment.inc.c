/* Noise, and images changed at random. Twins: fastnn_ref/gaussian_noise.py and fastnn_ref/augment.py.

   What is drawn for an example is worked out in double by the C library, as Python's math module does it: so both packages
   turn an image by the same angle, and erase the same rectangle. Threads split the examples. */

static inline double F(fraction)(uint32_t word) { return ((double)word + 0.5) * 0x1p-32; }

/* y += std·z: element i takes one of the pair of normal numbers that words offset + 2⌊i/2⌋ and the next make. */
static void F(noise_run)(const real *x, real *y, int64_t first, int64_t n, int64_t offset, double std, const fastnn_stream *s)
{
    for (int64_t i = 0; i < n;) {
        const int64_t pair = (first + i) / 2, word = offset + 2 * pair;
        uint32_t words[4];
        philox(words, (uint64_t)(word / 4), s);
        const double u = F(fraction)(words[word % 4]), v = F(fraction)(words[word % 4 + 1]);
        const double radius = std * sqrt(-2 * log(u)), angle = 2 * 3.14159265358979323846 * v;
        for (int64_t half = (first + i) % 2; half < 2 && i < n; ++half, ++i)
            y[i] = x[i] + (real)(radius * (half ? sin(angle) : cos(angle)));
    }
}

#undef PARALLEL_NORMALS
#define PARALLEL_NORMALS 1024                           /* a normal number takes about 40 ns */

typedef struct {
    const real *x;
    real *y;
    int64_t n;
    double std;
    const fastnn_stream *stream;
} F(noise_t);

static void F(noise_part)(const void *job, int part, int parts)
{
    const F(noise_t) *g = job;
    const int64_t from = cut(g->n, part, parts), to = cut(g->n, part + 1, parts);
    F(noise_run)(g->x + from, g->y + from, from, to - from, 0, g->std, g->stream);
}

static void F(gaussian_noise)(const void *x, void *y, int64_t n, double std, const fastnn_stream *s, int threads)
{
    const F(noise_t) job = {x, y, n, std, s};
    run(F(noise_part), &job, parts_of(threads, n, n, PARALLEL_NORMALS));
}

#undef AUGMENT_WORDS
#define AUGMENT_WORDS 16
enum F(draw) {
    F(ROTATION), F(DOWN), F(ACROSS), F(ZOOM), F(SHEAR), F(FLIP), F(BRIGHTNESS), F(CONTRAST), F(ERASE), F(AREA), F(ASPECT),
    F(TOP), F(LEFT)
};

/* What happens to one example. */
typedef struct {
    double a[4], shift[2];
    real added, factor;
    int64_t top, left, down, across;                    /* nothing erased: down is 0 */
} F(change_t);

static F(change_t) F(draw_change)(const fastnn_augment *g, int64_t example)
{
    F(change_t) change = {.down = 0};
    double u[AUGMENT_WORDS];
    for (int block = 0; block < AUGMENT_WORDS / 4; ++block) {
        uint32_t words[4];
        philox(words, (uint64_t)(example * (AUGMENT_WORDS / 4) + block), &g->stream);
        for (int i = 0; i < 4; ++i) u[4 * block + i] = F(fraction)(words[i]);
    }
#define SWING(name) (2 * u[F(name)] - 1)
    const double degree = 3.14159265358979323846 / 180;
    const double angle = g->rotation * SWING(ROTATION) * degree, zoom = 1 + g->zoom * SWING(ZOOM);
    const double c = cos(angle), s = sin(angle), t = tan(g->shear * SWING(SHEAR) * degree);
    const double sign = u[F(FLIP)] < g->flip ? -1 : 1;
    change.a[0] = c / zoom;
    change.a[1] = s / zoom;
    change.a[2] = sign * (t * c - s) / zoom;
    change.a[3] = sign * (t * s + c) / zoom;
    change.shift[0] = g->shift_h * SWING(DOWN);
    change.shift[1] = g->shift_w * SWING(ACROSS);
    change.added = (real)(g->brightness * SWING(BRIGHTNESS));
    change.factor = (real)(1 + g->contrast * SWING(CONTRAST));
#undef SWING
    if (u[F(ERASE)] < g->erase) {
        const double low = 0.3, high = 1 / 0.3, height = (double)g->height, width = (double)g->width;
        const double area = (0.02 + (0.33 - 0.02) * u[F(AREA)]) * height * width;
        const double aspect = low * pow(high / low, u[F(ASPECT)]);
        const double down = floor(sqrt(area * aspect) + 0.5), across = floor(sqrt(area / aspect) + 0.5);
        change.down = min64(down < 1 ? 1 : (int64_t)down, g->height);
        change.across = min64(across < 1 ? 1 : (int64_t)across, g->width);
        change.top = (int64_t)floor(u[F(TOP)] * (double)(g->height - change.down + 1));
        change.left = (int64_t)floor(u[F(LEFT)] * (double)(g->width - change.across + 1));
    }
    return change;
}

static int F(moves)(const fastnn_augment *g)
{
    return g->rotation != 0 || g->shift_h != 0 || g->shift_w != 0 || g->zoom != 0 || g->shear != 0 || g->flip != 0;
}

/* The four pixels that pixel (i, j) is made of: `at`, −1 outside, and their weights. */
static inline void F(neighbours)(const fastnn_augment *g, const F(change_t) *change, int64_t i, int64_t j, int64_t at[4],
                                 real weight[4])
{
    const double middle_h = (double)(g->height - 1) / 2, middle_w = (double)(g->width - 1) / 2;
    const double p = (double)i - middle_h - change->shift[0], q = (double)j - middle_w - change->shift[1];
    const double y = change->a[0] * p + change->a[1] * q + middle_h, x = change->a[2] * p + change->a[3] * q + middle_w;
    const double low_y = floor(y), low_x = floor(x), part_y = y - low_y, part_x = x - low_x;
    for (int k = 0; k < 4; ++k) {
        const double r = low_y + k / 2, c = low_x + k % 2;
        const int inside = r >= 0 && r < (double)g->height && c >= 0 && c < (double)g->width;
        at[k] = inside ? (int64_t)r * g->width + (int64_t)c : -1;
        weight[k] = (real)((k / 2 ? part_y : 1 - part_y) * (k % 2 ? part_x : 1 - part_x));
    }
}

static void F(augment_part)(const void *job, int part, int parts)
{
    const fastnn_augment *g = job;
    const int64_t image = g->height * g->width, size = g->channels * image;
    for (int64_t n = cut(g->rows, part, parts); n < cut(g->rows, part + 1, parts); ++n) {
        const F(change_t) change = F(draw_change)(g, n);
        const real *x = (const real *)g->x + n * size;
        real *y = (real *)g->y + n * size;
        if (F(moves)(g)) {
            for (int64_t e = 0; e < image; ++e) {
                int64_t at[4];
                real weight[4];
                F(neighbours)(g, &change, e / g->width, e % g->width, at, weight);
                for (int64_t c = 0; c < g->channels; ++c) {
                    real total = 0;
                    for (int k = 0; k < 4; ++k) total += at[k] < 0 ? 0 : weight[k] * x[c * image + at[k]];
                    y[c * image + e] = total;
                }
            }
        } else {
            for (int64_t e = 0; e < size; ++e) y[e] = x[e];
        }
        if (g->brightness != 0)
            for (int64_t e = 0; e < size; ++e) y[e] += change.added;
        if (g->contrast != 0) {
            const real mean = F(sum)(y, size) / (real)size;
            for (int64_t e = 0; e < size; ++e) y[e] = (y[e] - mean) * change.factor + mean;
        }
        if (g->noise != 0) F(noise_run)(y, y, n * size, size, g->rows * AUGMENT_WORDS, g->noise, &g->stream);
        for (int64_t c = 0; c < g->channels; ++c)
            for (int64_t i = change.top; i < change.top + change.down; ++i)
                for (int64_t j = change.left; j < change.left + change.across; ++j) y[c * image + i * g->width + j] = 0;
    }
}

/* The transpose of each, in the opposite order; dy is overwritten, dx is dy where nothing moves. */
static void F(augment_backward_part)(const void *job, int part, int parts)
{
    const fastnn_augment *g = job;
    const int64_t image = g->height * g->width, size = g->channels * image;
    for (int64_t n = cut(g->rows, part, parts); n < cut(g->rows, part + 1, parts); ++n) {
        const F(change_t) change = F(draw_change)(g, n);
        real *dy = (real *)g->dy + n * size, *dx = (real *)g->dx + n * size;
        for (int64_t c = 0; c < g->channels; ++c)
            for (int64_t i = change.top; i < change.top + change.down; ++i)
                for (int64_t j = change.left; j < change.left + change.across; ++j) dy[c * image + i * g->width + j] = 0;
        if (g->contrast != 0) {
            const real mean = F(sum)(dy, size) / (real)size, rest = mean * (1 - change.factor);
            for (int64_t e = 0; e < size; ++e) dy[e] = dy[e] * change.factor + rest;
        }
        if (!F(moves)(g)) continue;
        for (int64_t e = 0; e < size; ++e) dx[e] = 0;
        for (int64_t e = 0; e < image; ++e) {
            int64_t at[4];
            real weight[4];
            F(neighbours)(g, &change, e / g->width, e % g->width, at, weight);
            for (int64_t c = 0; c < g->channels; ++c)
                for (int k = 0; k < 4; ++k)
                    if (at[k] >= 0) dx[c * image + at[k]] += weight[k] * dy[c * image + e];
        }
    }
}

static void F(share_examples)(fastnn_part part, const fastnn_augment *g)
{
    run(part, g, parts_of(g->threads, g->rows, g->rows * g->channels * g->height * g->width, PARALLEL_NORMALS));
}

static void F(augment)(const fastnn_augment *g) { F(share_examples)(F(augment_part), g); }
static void F(augment_backward)(const fastnn_augment *g) { F(share_examples)(F(augment_backward_part), g); }

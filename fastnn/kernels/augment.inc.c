/* Noise, and images changed at random. Reference: fastnn_ref/gaussian_noise.py and fastnn_ref/augment.py.

   Angles and rectangles are worked out in double by the C library, as Python's math module does it: so both packages
   rotate an image by the same angle and erase the same rectangle. Noise only has to be close to the reference's: vector
   functions of our own make it, which take 1 ns a value instead of 25. Threads split the examples. */

static inline double F(to_uniform)(uint32_t word) { return ((double)word + 0.5) * 0x1p-32; }

/* Normal numbers from words 64·line … 64·line + 63 of the stream, two from two words. Source: Box and Muller (1958). */
static void F(normal_line)(real z[64], int64_t line, const fastnn_stream *s)
{
    uint32_t words[64];
    philox_line(words, (uint64_t)line, s);
    for (int i = 0; i < 64; i += 2) {
        real cosine, sine;
        const real radius = F(box_muller_radius)(words[i]);
        F(box_muller_direction)(words[i + 1], &cosine, &sine);
        z[i] = radius * cosine;
        z[i + 1] = radius * sine;
    }
}

/* y = x + std·z, where element i takes the normal number of word first + i. y may be x. */
static void F(noise_range)(const real *x, real *y, int64_t n, int64_t first, real std, const fastnn_stream *s)
{
    for (int64_t i = 0; i < n;) {
        real z[64];
        const int64_t skip = (first + i) % 64, count = min64(64 - skip, n - i);
        F(normal_line)(z, (first + i) / 64, s);
        ELEMENTWISE for (int64_t j = 0; j < count; ++j) y[i + j] = F(fma_)(std, z[skip + j], x[i + j]);
        i += count;
    }
}

#undef PARALLEL_NORMALS
#define PARALLEL_NORMALS 8192                           /* a normal number takes about 2 ns, and so does a pixel */

typedef struct {
    const real *x;
    real *y;
    int64_t n;
    real std;
    const fastnn_stream *stream;
} F(noise_t);

static void F(noise_part)(const void *job, int part, int parts)
{
    const F(noise_t) *g = job;
    const int64_t lines = ceil_div(g->n, 64);
    const int64_t from = part_begin(lines, part, parts) * 64, to = min64(part_begin(lines, part + 1, parts) * 64, g->n);
    F(noise_range)(g->x + from, g->y + from, to - from, from, g->std, g->stream);
}

static void F(gaussian_noise)(const void *x, void *y, int64_t n, double std, const fastnn_stream *s, int threads)
{
    const F(noise_t) job = {x, y, n, (real)std, s};
    run_parts(F(noise_part), &job, part_count(threads, ceil_div(n, 64), n, PARALLEL_NORMALS));
}

#undef AUGMENT_WORDS
#define AUGMENT_WORDS 16
enum F(draw) {
    F(ROTATION), F(DOWN), F(ACROSS), F(ZOOM), F(SHEAR), F(FLIP), F(BRIGHTNESS), F(CONTRAST), F(ERASE), F(AREA),
    F(ASPECT), F(TOP), F(LEFT)
};

/* How one example is changed: pixel (p, q) from the centre comes from a @ (p − shift[0], q − shift[1]). */
typedef struct {
    double a[4], shift[2];
    real added, factor;                                 /* brightness and contrast */
    int64_t top, left, down, across;                    /* the erased rectangle; down is 0 if there is none */
} F(transform_t);

static F(transform_t) F(draw_transform)(const fastnn_augment *g, int64_t example)
{
    F(transform_t) transform = {.down = 0};
    double u[AUGMENT_WORDS];
    for (int block = 0; block < AUGMENT_WORDS / 4; ++block) {
        uint32_t words[4];
        philox(words, (uint64_t)(example * (AUGMENT_WORDS / 4) + block), &g->stream);
        for (int i = 0; i < 4; ++i) u[4 * block + i] = F(to_uniform)(words[i]);
    }
#define SWING(name) (2 * u[F(name)] - 1)
    const double degree = 3.14159265358979323846 / 180;
    const double angle = g->rotation * SWING(ROTATION) * degree, zoom = 1 + g->zoom * SWING(ZOOM);
    const double c = cos(angle), s = sin(angle), t = tan(g->shear * SWING(SHEAR) * degree);
    const double sign = u[F(FLIP)] < g->flip ? -1 : 1;
    transform.a[0] = c / zoom;
    transform.a[1] = s / zoom;
    transform.a[2] = sign * (t * c - s) / zoom;
    transform.a[3] = sign * (t * s + c) / zoom;
    transform.shift[0] = g->shift_h * SWING(DOWN);
    transform.shift[1] = g->shift_w * SWING(ACROSS);
    if (g->whole_shift) {                               /* −shift … shift, equally likely */
        transform.shift[0] = floor(u[F(DOWN)] * (2 * g->shift_h + 1)) - g->shift_h;
        transform.shift[1] = floor(u[F(ACROSS)] * (2 * g->shift_w + 1)) - g->shift_w;
    }
    transform.added = (real)(g->brightness * SWING(BRIGHTNESS));
    transform.factor = (real)(1 + g->contrast * SWING(CONTRAST));
#undef SWING
    if (u[F(ERASE)] < g->erase) {
        const double low = 0.3, high = 1 / 0.3, height = (double)g->height, width = (double)g->width;
        const double area = (0.02 + (0.33 - 0.02) * u[F(AREA)]) * height * width;
        const double aspect = low * pow(high / low, u[F(ASPECT)]);
        const double down = floor(sqrt(area * aspect) + 0.5), across = floor(sqrt(area / aspect) + 0.5);
        transform.down = min64(down < 1 ? 1 : (int64_t)down, g->height);
        transform.across = min64(across < 1 ? 1 : (int64_t)across, g->width);
        transform.top = (int64_t)floor(u[F(TOP)] * (double)(g->height - transform.down + 1));
        transform.left = (int64_t)floor(u[F(LEFT)] * (double)(g->width - transform.across + 1));
    }
    return transform;
}

static int F(warps)(const fastnn_augment *g)
{
    return g->rotation != 0 || g->shift_h != 0 || g->shift_w != 0 || g->zoom != 0 || g->shear != 0 || g->flip != 0;
}

/* The sources of at most STACK_COLUMNS pixels of a row. Each pixel is a weighted sum of four neighbours in the frame;
   `at` is the place of the first. */
typedef struct {
    int64_t at[STACK_COLUMNS];
    real weight[4][STACK_COLUMNS];
} F(sources_t);

/* ⌊x⌋ for |x| < 2⁵¹, because the C library's floor is a function call without SSE4. */
ALWAYS_INLINE double F(floor_)(double x)
{
    const double nearest = (x + 6755399441055744.0) - 6755399441055744.0;       /* 1.5·2⁵² */
    return nearest > x ? nearest - 1 : nearest;
}

/* The sources of pixels (i, first) … (i, first + count − 1). The image stands in a frame of `fill`, one wide above and
   to the left, two wide below and to the right, so that no neighbour has to be checked (11 → 2.8 ns a pixel): pixels
   from outside the image come from the last two rows or columns. */
static void F(locate_sources)(const fastnn_augment *g, const F(transform_t) *transform, int64_t i, int64_t first,
                              int count, F(sources_t) *s)
{
    const double height = (double)g->height, width = (double)g->width, pitch = width + 3;
    const double middle_h = (height - 1) / 2, middle_w = (width - 1) / 2;
    const F(transform_t) c = *transform;
    const double p = (double)i - middle_h - c.shift[0], start = (double)first;
    const int whole = (count + LANES - 1) / LANES * LANES;      /* a scalar rest takes longer than a vector */
    for (int k = 0; k < whole; ++k) {
        const double q = start + k - middle_w - c.shift[1];
        double y = c.a[0] * p + c.a[1] * q + middle_h, x = c.a[2] * p + c.a[3] * q + middle_w;
        y = y > -1 && y < height ? y : height;
        x = x > -1 && x < width ? x : width;
        const double low_y = F(floor_)(y), low_x = F(floor_)(x);
        const real down = (real)(y - low_y), across = (real)(x - low_x);
        /* Adding 2⁵² moves a whole number to the last bits of the double, where it is read as an integer: AVX2 cannot
           convert to 64 bits. */
        const union { double value; int64_t bits; } at = {(low_y + 1) * pitch + (low_x + 1) + 0x1p52};
        s->at[k] = at.bits & (((int64_t)1 << 52) - 1);
        s->weight[0][k] = (1 - down) * (1 - across);
        s->weight[1][k] = (1 - down) * across;
        s->weight[2][k] = down * (1 - across);
        s->weight[3][k] = down * across;
    }
}

/* Values of a channel in its frame, and a part's own memory for all channels. */
static inline int64_t F(frame_size)(const fastnn_augment *g) { return (g->height + 3) * (g->width + 3); }
static inline real *F(scratch)(const fastnn_augment *g, int part)
{
    return (real *)g->scratch + part * g->channels * F(frame_size)(g);
}

/* Copies an image into its frame, and back. */
static void F(copy_into_frame)(const fastnn_augment *g, const real *x, real *framed)
{
    const int64_t pitch = g->width + 3, size = g->channels * F(frame_size)(g);
    const real fill = (real)g->fill;
    for (int64_t e = 0; e < size; ++e) framed[e] = fill;
    for (int64_t c = 0; c < g->channels; ++c, framed += F(frame_size)(g))
        for (int64_t i = 0; i < g->height; ++i, x += g->width) F(copy_row)(x, framed + (i + 1) * pitch + 1, g->width);
}

static void F(copy_from_frame)(const fastnn_augment *g, const real *framed, real *x)
{
    const int64_t pitch = g->width + 3;
    for (int64_t c = 0; c < g->channels; ++c, framed += F(frame_size)(g))
        for (int64_t i = 0; i < g->height; ++i, x += g->width) F(copy_row)(framed + (i + 1) * pitch + 1, x, g->width);
}

/* Bilinear interpolation: each pixel is a weighted sum of its four sources. */
static void F(warp)(const fastnn_augment *g, const F(transform_t) *transform, const real *x, real *y, real *framed)
{
    const int64_t pitch = g->width + 3, image = g->height * g->width;
    F(copy_into_frame)(g, x, framed);
    for (int64_t i = 0; i < g->height; ++i)
        for (int64_t j = 0; j < g->width; j += STACK_COLUMNS) {
            F(sources_t) s;
            const int count = (int)min64(STACK_COLUMNS, g->width - j);
            F(locate_sources)(g, transform, i, j, count, &s);
            for (int64_t c = 0; c < g->channels; ++c) {
                const real *from = framed + c * F(frame_size)(g);
                real *to = y + c * image + i * g->width + j;
                ELEMENTWISE for (int k = 0; k < count; ++k) {
                    const real *corner = from + s.at[k];
                    const real upper = F(fma_)(s.weight[1][k], corner[1], s.weight[0][k] * corner[0]);
                    const real lower = F(fma_)(s.weight[3][k], corner[pitch + 1], s.weight[2][k] * corner[pitch]);
                    to[k] = upper + lower;
                }
            }
        }
}

/* Its transpose: the gradient of each pixel is added to its four sources, by the same weights. */
static void F(warp_transposed)(const fastnn_augment *g, const F(transform_t) *transform, const real *dy, real *dx,
                               real *framed)
{
    const int64_t pitch = g->width + 3, image = g->height * g->width;
    memset(framed, 0, sizeof(real) * (size_t)(g->channels * F(frame_size)(g)));
    for (int64_t i = 0; i < g->height; ++i)
        for (int64_t j = 0; j < g->width; j += STACK_COLUMNS) {
            F(sources_t) s;
            const int count = (int)min64(STACK_COLUMNS, g->width - j);
            F(locate_sources)(g, transform, i, j, count, &s);
            for (int64_t c = 0; c < g->channels; ++c) {
                const real *from = dy + c * image + i * g->width + j;
                real *to = framed + c * F(frame_size)(g);
                for (int k = 0; k < count; ++k) {
                    real *corner = to + s.at[k];
                    corner[0] += s.weight[0][k] * from[k];
                    corner[1] += s.weight[1][k] * from[k];
                    corner[pitch] += s.weight[2][k] * from[k];
                    corner[pitch + 1] += s.weight[3][k] * from[k];
                }
            }
        }
    F(copy_from_frame)(g, framed, dx);
}

static void F(erase)(const fastnn_augment *g, const F(transform_t) *transform, real *x, real fill)
{
    for (int64_t c = 0; c < g->channels; ++c)
        for (int64_t i = transform->top; i < transform->top + transform->down; ++i)
            for (int64_t j = transform->left; j < transform->left + transform->across; ++j)
                x[(c * g->height + i) * g->width + j] = fill;
}

static void F(augment_part)(const void *job, int part, int parts)
{
    const fastnn_augment *g = job;
    const int64_t size = g->channels * g->height * g->width;
    for (int64_t n = part_begin(g->rows, part, parts); n < part_begin(g->rows, part + 1, parts); ++n) {
        const F(transform_t) transform = F(draw_transform)(g, n);
        const real *x = (const real *)g->x + n * size;
        real *y = (real *)g->y + n * size;
        if (F(warps)(g)) F(warp)(g, &transform, x, y, F(scratch)(g, part));
        else memcpy(y, x, sizeof(real) * (size_t)size);
        if (g->brightness != 0)
            for (int64_t e = 0; e < size; ++e) y[e] += transform.added;
        if (g->contrast != 0) {
            const real mean = F(mean)(y, size);
            for (int64_t e = 0; e < size; ++e) y[e] = (y[e] - mean) * transform.factor + mean;
        }
        if (g->noise != 0) F(noise_range)(y, y, size, g->rows * AUGMENT_WORDS + n * size, (real)g->noise, &g->stream);
        F(erase)(g, &transform, y, (real)g->fill);
    }
}

/* The transpose of each change, in the opposite order. It overwrites dy; dx is dy if pixels do not move. */
static void F(augment_backward_part)(const void *job, int part, int parts)
{
    const fastnn_augment *g = job;
    const int64_t size = g->channels * g->height * g->width;
    for (int64_t n = part_begin(g->rows, part, parts); n < part_begin(g->rows, part + 1, parts); ++n) {
        const F(transform_t) transform = F(draw_transform)(g, n);
        real *dy = (real *)g->dy + n * size;
        F(erase)(g, &transform, dy, 0);
        if (g->contrast != 0) {
            const real mean = F(mean)(dy, size), rest = mean * (1 - transform.factor);
            for (int64_t e = 0; e < size; ++e) dy[e] = dy[e] * transform.factor + rest;
        }
        if (F(warps)(g)) F(warp_transposed)(g, &transform, dy, (real *)g->dx + n * size, F(scratch)(g, part));
    }
}

static void F(run_over_examples)(fastnn_part part, const fastnn_augment *g)
{
    run_parts(part, g, part_count(g->threads, g->rows, g->rows * g->channels * g->height * g->width, PARALLEL_NORMALS));
}

static void F(augment)(const fastnn_augment *g) { F(run_over_examples)(F(augment_part), g); }
static void F(augment_backward)(const fastnn_augment *g) { F(run_over_examples)(F(augment_backward_part), g); }

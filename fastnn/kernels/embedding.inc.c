/* Embedding: rows of a table by their numbers. Reference: fastnn_ref/embedding.py. */

/* The number of a row, or −1: a thousandth beside a whole number is rounding, more is a mistake. The sum x + ½ would be
   rounded itself: a float of 2²³ or more has no halves, and every odd one would become the next number. */
static inline int64_t F(row_number)(real x, int64_t count)
{
    if (!(x > -1 && x < (real)count)) return -1;
    const int64_t below = (int64_t)x, whole = below + (x - (real)below > (real)0.5);
    return whole < count && fabs((double)x - (double)whole) <= 1e-3 ? whole : -1;
}

static int64_t F(embedding)(const void *x, const void *w, void *y, int64_t n, int64_t count, int64_t size)
{
    const real *numbers = x, *rows = w;
    real *out = y;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t row = F(row_number)(numbers[i], count);
        if (row < 0) {
            memset(out + i * size, 0, (size_t)((n - i) * size) * sizeof(real));
            return i;
        }
        memcpy(out + i * size, rows + row * size, (size_t)size * sizeof(real));
    }
    return -1;
}

static void F(embedding_backward)(const void *x, const void *dy, void *dw, int64_t n, int64_t count, int64_t size)
{
    const real *numbers = x, *gradient = dy;
    memset(dw, 0, (size_t)(count * size) * sizeof(real));
    for (int64_t i = 0; i < n; ++i) {
        const int64_t row = F(row_number)(numbers[i], count);
        if (row < 0) continue;                          /* a pass that has failed */
        real *sum = (real *)dw + row * size;
        ELEMENTWISE for (int64_t j = 0; j < size; ++j) sum[j] += gradient[i * size + j];
    }
}

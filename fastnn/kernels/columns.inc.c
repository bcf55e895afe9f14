/* Columns of a matrix: what Parallel and Select copy. Reference: fastnn_ref/parallel.py. */

static void F(copy_columns)(const void *x, int64_t x_step, void *y, int64_t y_step, int64_t rows, int64_t cols)
{
    for (int64_t i = 0; i < rows; ++i)
        memcpy((real *)y + i * y_step, (const real *)x + i * x_step, (size_t)cols * sizeof(real));
}

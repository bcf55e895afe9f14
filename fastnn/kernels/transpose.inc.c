/* Transposition, and images that stand interleaved. */

/* Transposes a tile of VL × VL values in registers; of a tile that is not full, `rows` × `cols` values, cols <= `most`.
   Zipping row i with row i + VL/2 moves the highest bit of the row's number to the lowest of the column's; after log₂
   VL rounds the two numbers have changed places. Where vectors can be loaded by halves, that is the first round. */
ALWAYS_INLINE void F(transpose_tile)(const int full, const int most, const real *from, int64_t from_row, real *to,
                                     int64_t to_row, int64_t rows, int64_t cols)
{
    const vmask across = vfirst(full ? VL : (int)cols), down = vfirst(full ? VL : (int)rows);
    int first = 0;
    vec a[VL], b[VL];
#if defined(vload_halves)
    if (full) {
        UNROLL for (int i = 0; i < VL / 2; ++i) {
            const real *upper = from + i * from_row, *lower = from + (i + VL / 2) * from_row;
            a[2 * i] = vload_halves(upper, lower);
            a[2 * i + 1] = vload_halves(upper + VL / 2, lower + VL / 2);
        }
        first = 1;
    } else
#endif
    UNROLL for (int i = 0; i < VL; ++i)
        a[i] = full ? vload(from + i * from_row) : i < rows ? vload_first(from + i * from_row, across) : vzero();
    UNROLL for (int round = first; round < VL_LOG; ++round) {
        UNROLL for (int i = 0; i < VL / 2; ++i) {
            b[2 * i] = vzip_low(round, a[i], a[i + VL / 2]);
            b[2 * i + 1] = vzip_high(round, a[i], a[i + VL / 2]);
        }
        UNROLL for (int i = 0; i < VL / 2 * 2; ++i) a[i] = b[i];
    }
    UNROLL for (int i = 0; i < VL; ++i)
        if (full) vstore(to + i * to_row, a[i]);
        else if (i < most && i < cols) vstore_first(to + i * to_row, down, a[i]);
}

/* A tile at the lower or the right edge. Most are thin, as ten columns are 8 + 2: for two columns the compiler leaves
   out three quarters of the rounds, and two rows are moved value by value. */
NOINLINE void F(transpose_edge)(const real *from, int64_t from_row, real *to, int64_t to_row, int64_t rows,
                                int64_t cols)
{
    if (rows == 2)
        for (int64_t j = 0; j < cols; ++j, to += to_row) to[0] = from[j], to[1] = from[from_row + j];
    else if (cols <= 2) F(transpose_tile)(0, 2, from, from_row, to, to_row, rows, cols);
    else F(transpose_tile)(0, VL, from, from_row, to, to_row, rows, cols);
}

ALWAYS_INLINE void F(transpose_tiles)(const real *from, const int64_t from_row, real *to, const int64_t to_row,
                                      int64_t rows, int64_t cols)
{
    for (int64_t i = 0; i < rows; i += VL)
        for (int64_t j = 0; j < cols; j += VL) {
            const real *tile = from + i * from_row + j;
            real *target = to + j * to_row + i;
            const int64_t down = min64(VL, rows - i), across = min64(VL, cols - j);
            if (down == VL && across == VL) F(transpose_tile)(1, VL, tile, from_row, target, to_row, VL, VL);
            else F(transpose_edge)(tile, from_row, target, to_row, down, across);
        }
}

/* to[j·to_row + i] = from[i·from_row + j] for `rows` × `cols` values. One side is mostly lines: with a constant
   distance the rows of a tile there need no address each. */
static void F(transpose)(const real *from, int64_t from_row, real *to, int64_t to_row, int64_t rows, int64_t cols)
{
    if (to_row == LANES) F(transpose_tiles)(from, from_row, to, LANES, rows, cols);
    else if (from_row == LANES)
        for (int64_t j = 0; j < cols; j += VL)
            F(transpose_tiles)(from + j, LANES, to + j * to_row, to_row, rows, min64(VL, cols - j));
    else F(transpose_tiles)(from, from_row, to, to_row, rows, cols);
}

/* n sums from their LANES running sums each, by the tree of reduce.inc.c, VL sums at a time: each round zips two
   vectors and adds the halves, so that the lanes of one are half as many and stand beside those of the other. */
NOINLINE void F(trees)(const real *lanes, real *sums, int64_t n)
{
    for (; n > 0; n -= VL, lanes += VL * LANES, sums += VL) {
        vec a[VL];
        UNROLL for (int i = 0; i < VL; ++i) {
            vec part[LANE_VECTORS];
            UNROLL for (int v = 0; v < LANE_VECTORS; ++v) part[v] = i < n ? vload(lanes + i * LANES + v * VL) : vzero();
            UNROLL for (int width = LANE_VECTORS / 2; width; width /= 2)
                UNROLL for (int v = 0; v < width; ++v) part[v] += part[v + width];
            a[i] = part[0];
        }
        UNROLL for (int round = 0; round < VL_LOG; ++round)
            UNROLL for (int i = 0; i < VL >> (round + 1); ++i) {
                const int other = i + (VL >> (round + 1));
                a[i] = vzip_low(round, a[i], a[other]) + vzip_high(round, a[i], a[other]);
            }
        if (n < VL) vstore_first(sums, vfirst((int)n), a[0]);
        else vstore(sums, a[0]);
    }
}

/* Interleaved images. A block of LANES images holds, channel by channel and pixel by pixel, the LANES values of the
   pixel side by side: a *line*, 64 bytes, one cache line. A batch is its interleaved blocks and then, image by image,
   the images that do not fill a block; so it takes as much memory as it always does. */
static inline int64_t F(interleaved_blocks)(int64_t images) { return images / LANES; }

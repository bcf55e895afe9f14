/* y = act(start + a @ b): the matrix product behind every Linear, forward and backward.

   After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008), and BLIS: five loops
   around a micro-kernel that keeps a tile of c in registers.

       for jc in blocks of NC columns
         for pc in blocks of KC of the inner dimension       pack b[pc, jc]: KC × NC, stays in the L2 cache
           for ir in tiles of MR rows                         a[ir, pc]: MR × KC, stays in the L1 cache
             for jr in tiles of NV vectors of columns
               micro-kernel: for p in block: tile += a[:, p] ⊗ b[p, :]

   Two things differ from the textbook. a is never packed: its MR rows are read where they stand. b is packed only when
   it is transposed, or when enough rows of a use it to pay for the packing. So a small product reads both operands in
   place. Tiles start from c (from the bias in the first block), so every output is one chain of fused multiply-adds in
   the order of p, and no blocking, packing or thread count shows in the bits. */

#undef NR
#undef NC
#define NR (NV * VL)
#define NC (PACK_BYTES / (KC * (int)sizeof(real)) / NR * NR)

typedef struct {
    const real *a;
    int64_t a_row, a_col;
    const real *b;
    int64_t b_row;
    const real *start;          /* the tile's start values: c, the bias (start_row 0), or NULL for zeros */
    int64_t start_row;
    real *c;
    int64_t c_row;
    int64_t k;
    int tail;                   /* valid lanes of the last vector */
} F(tile_t);

/* The micro-kernel, for rows <= MR and vectors <= NV; with `masked`, only t->tail lanes of the last vector count. All
   three are constants wherever it is inlined, so its inner loops are unrolled and the arrays become registers. */
ALWAYS_INLINE void F(tile)(const int rows, const int vectors, const int masked, const F(tile_t) *t)
{
    const real *a = t->a, *b = t->b;
    const int64_t a_row = t->a_row, a_col = t->a_col, b_row = t->b_row, k = t->k;
    const int last = masked ? vectors - 1 : vectors;    /* the vector that needs a mask */
    const vmask mask = vfirst(t->tail);
    vec acc[MR][NV];

    UNROLL for (int i = 0; i < rows; ++i)
        UNROLL for (int v = 0; v < vectors; ++v) {
            const real *from = t->start + i * t->start_row + v * VL;
            acc[i][v] = !t->start ? vzero() : v == last ? vload_first(from, mask) : vload(from);
        }
    for (int64_t p = 0; p < k; ++p, a += a_col, b += b_row) {
        vec row[NV];
        UNROLL for (int v = 0; v < vectors; ++v)
            row[v] = v == last ? vload_first(b + v * VL, mask) : vload(b + v * VL);
        UNROLL for (int i = 0; i < rows; ++i) {
            const vec x = vset1(a[i * a_row]);
            UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vfma(x, row[v], acc[i][v]);
        }
    }
    UNROLL for (int i = 0; i < rows; ++i)
        UNROLL for (int v = 0; v < vectors; ++v) {
            real *to = t->c + i * t->c_row + v * VL;
            if (v == last) vstore_first(to, mask, acc[i][v]);
            else vstore(to, acc[i][v]);
        }
}

/* One copy of it for each tile shape. conv_correlate.inc.c makes its own tiles by the same macros. */
#undef TILE
#undef TILE_ROW
#undef TILE_ENTRY
#define TILE(rows, vectors) \
    static void F(tile_##rows##x##vectors)(const F(tile_t) *t) \
    { \
        if (t->tail == VL) F(tile)(rows, vectors, 0, t); \
        else F(tile)(rows, vectors, 1, t); \
    }
#if NV == 3
#define TILE_ROW(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
#define TILE_ENTRY(kind, rows) {F(kind##_##rows##x1), F(kind##_##rows##x2), F(kind##_##rows##x3)}
#else
#define TILE_ROW(rows) TILE(rows, 1) TILE(rows, 2)
#define TILE_ENTRY(kind, rows) {F(kind##_##rows##x1), F(kind##_##rows##x2)}
#endif
#undef FOR_TILE_ROWS
#undef TILE_TABLE
#if MR == 8
#define FOR_TILE_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define TILE_TABLE(kind) { \
    TILE_ENTRY(kind, 1), TILE_ENTRY(kind, 2), TILE_ENTRY(kind, 3), TILE_ENTRY(kind, 4), \
    TILE_ENTRY(kind, 5), TILE_ENTRY(kind, 6), TILE_ENTRY(kind, 7), TILE_ENTRY(kind, 8)}
#else
#define FOR_TILE_ROWS(X) X(1) X(2) X(3) X(4)
#define TILE_TABLE(kind) {TILE_ENTRY(kind, 1), TILE_ENTRY(kind, 2), TILE_ENTRY(kind, 3), TILE_ENTRY(kind, 4)}
#endif
FOR_TILE_ROWS(TILE_ROW)
static void (*const F(tiles)[MR][NV])(const F(tile_t) *) = TILE_TABLE(tile);

/* The size of the next tile, where `left` units are to be cut into tiles of at most `most`: as even as possible. 10
   rows are 5 + 5, not 8 + 2, because a thin tile waits for the latency of its own multiply-adds. */
static inline int F(balanced_tile)(int64_t left, int most) { return (int)ceil_div(left, ceil_div(left, most)); }

/* Copies b[0 … k − 1, 0 … n − 1] into panels, one after the other; a panel is k rows of `width` consecutive values. */
static void F(pack)(real *to, const real *b, int64_t b_row, int64_t b_col, int64_t k, int64_t n)
{
    for (int64_t j = 0; j < n;) {
        const int64_t width = (int64_t)F(balanced_tile)(ceil_div(n - j, VL), NV) * VL, valid = min64(width, n - j);
        const real *from = b + j * b_col;
        if (b_row == 1) F(transpose)(from, b_col, to, width, valid, k);
        else if (b_col == 1)
            for (int64_t p = 0; p < k; ++p) memcpy(to + p * width, from + p * b_row, (size_t)valid * sizeof(real));
        else
            for (int64_t p = 0; p < k; ++p)
                for (int64_t q = 0; q < valid; ++q) to[p * width + q] = from[p * b_row + q * b_col];
        to += k * width;
        j += width;
    }
}

/* From so many rows of a on, packing b pays where it could be read in place, too. */
#undef PACK_ROWS
#define PACK_ROWS (16 * MR)

/* The product for rows i0 … i1 − 1 and columns j0 … j1 − 1. */
static void F(gemm_region)(const fastnn_gemm *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, real *work)
{
    const real *a = g->a, *b = g->b, *bias = g->bias;
    real *c = g->c, *y = g->y;
    const int pack = g->b_col != 1 || (i1 - i0 >= PACK_ROWS && g->n > NR);
    const int activate = g->activation != IDENTITY && activation_is_elementwise(g->activation);
    for (int64_t jc = j0; jc < j1; jc += NC) {
        const int64_t n = min64(NC, j1 - jc);
        int64_t pc = 0;
        do {                                    /* once even if the inner dimension is empty: y = act(start) */
            const int64_t k = min64(KC, g->k - pc);
            const int first = pc == 0, final = pc + k == g->k;
            const real *block = b + pc * g->b_row + jc * g->b_col;
            if (pack) F(pack)(work, block, g->b_row, g->b_col, k, n);
            for (int64_t ir = i0; ir < i1;) {
                const int rows = F(balanced_tile)(i1 - ir, MR);
                const real *panel = work;
                for (int64_t jr = 0; jr < n;) {
                    const int vectors = F(balanced_tile)(ceil_div(n - jr, VL), NV);
                    const int64_t width = (int64_t)vectors * VL, valid = min64(width, n - jr);
                    real *tile = c + ir * g->c_row + jc + jr;
                    const F(tile_t) t = {
                        .a = a + ir * g->a_row + pc * g->a_col, .a_row = g->a_row, .a_col = g->a_col,
                        .b = pack ? panel : block + jr, .b_row = pack ? width : g->b_row,
                        .start = !first ? tile : bias ? bias + jc + jr : NULL, .start_row = first ? 0 : g->c_row,
                        .c = tile, .c_row = g->c_row, .k = k, .tail = (int)(valid - width + VL),
                    };
                    F(tiles)[rows - 1][vectors - 1](&t);
                    if (final && activate)
                        for (int i = 0; i < rows; ++i) {
                            real *u = tile + i * g->c_row;
                            F(activate_range)(g->activation, (real)g->alpha, u, y + (u - c), u, valid);
                        }
                    panel += k * width;
                    jr += width;
                }
                ir += rows;
            }
            pc += k;
        } while (pc < g->k);
    }
}

/* A second thread pays from so many multiply-adds on, which take one thread about 30 µs. From half as many on, a step
   of 256-256-10 with batch 16 took 79 µs on two threads and 65 on one: the second thread has to fetch what the first
   one has in its cache. */
#undef PARALLEL_FMAS
#define PARALLEL_FMAS (1 << 21)

/* Threads split the rows; or the columns, if these make more tiles or if b must be packed. */
static inline int F(by_rows)(const fastnn_gemm *g)
{
    return g->b_col == 1 && ceil_div(g->m, MR) >= ceil_div(g->n, NR);
}

static void F(gemm_part)(const void *job, int part, int parts)
{
    const fastnn_gemm *g = job;
    real *work = (real *)((char *)g->work + (int64_t)part * PACK_BYTES);
    if (F(by_rows)(g)) {
        const int64_t tiles = ceil_div(g->m, MR), end = part_begin(tiles, part + 1, parts);
        F(gemm_region)(g, part_begin(tiles, part, parts) * MR, min64(end * MR, g->m), 0, g->n, work);
    } else {
        const int64_t tiles = ceil_div(g->n, NR), end = part_begin(tiles, part + 1, parts);
        F(gemm_region)(g, 0, g->m, part_begin(tiles, part, parts) * NR, min64(end * NR, g->n), work);
    }
}

static void F(gemm)(const fastnn_gemm *g)
{
    if (g->m == 0 || g->n == 0) return;
    const double fmas = (double)g->m * (double)g->n * (double)g->k;
    const int64_t tiles = F(by_rows)(g) ? ceil_div(g->m, MR) : ceil_div(g->n, NR);
    run_parts(F(gemm_part), g, fmas < PARALLEL_FMAS ? 1 : (int)min64(g->threads, tiles));
    if (!activation_is_elementwise(g->activation)) F(softmax_rows)(g->activation, g->c, g->y, g->m, g->n, g->c_row);
}

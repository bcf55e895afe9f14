/* y = act(start + a @ b): the matrix product behind every Linear, forward and backward.

   After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008), and BLIS: five loops
   around a micro-kernel that keeps a tile of c in registers.

       for jc in blocks of NC columns
         for pc in blocks of KC of the inner dimension       pack b[pc, jc]: KC × NC
           for ic in blocks of MC rows                        pack a[ic, pc]: MC × KC, stays in the L2 cache
             for jr in tiles of NV vectors of columns         b[pc, jr]: KC × NR, stays in the L1 cache
               for ir in tiles of MR rows
                 micro-kernel: for p in block: tile += a[:, p] ⊗ b[p, :]
             activation of the block's rows, if it was the last block of the inner dimension; relu in the tile

   Two things differ from the textbook. Without PACK_A, rows of a are read where they stand; with MC = MR, it is a strip
   of a that stays in the L1 cache, and b[pc, jc] in the L2 cache. b is packed only when it is transposed, or when
   enough rows of a use it to pay for the packing, and a only with b, or when it is transposed. So a small product reads
   both operands in place. Tiles start from c (from the bias in the first block), so every output is one chain of fused
   multiply-adds in the order of p, or, of more than LONG terms, the sum of such chains of KC terms, and no other
   blocking, packing or thread count shows in the bits.

   On AVX2 (Zen 3), instructions and not bytes are the limit when the processor does other work on the same core.
   Without it, the loop over p runs at up to 99 % of the peak, on packed operands or not. With it, the loop ran at 74 %;
   but at 92 % if the strides are constants, as packing makes them, and STEPS steps of p are unrolled (medians of 41
   turns). */

/* Of more terms, each block of KC is a chain of its own: one of a million terms would lose its digits. */
#undef LONG
#define LONG 16384

#undef NR
#undef NC
#define NR (NV * VL)
#define NC (PACK_B / (KC * (int)sizeof(real)) / NR * NR)
#ifndef MC
#define MC MR
#endif
#ifndef KEEP
#define KEEP(v)
#endif
#ifndef HOLD
#define HOLD(p)
#endif
#ifndef PACK_A
#define PACK_A 0
#endif
#ifndef STEPS
#define STEPS 1
#endif
#ifndef PLAIN_STEPS                 /* the same where b is not a panel, and a's columns stand side by side */
#define PLAIN_STEPS 1
#endif
#ifndef PANEL_AHEAD                 /* how many of these steps further on a panel is prefetched */
#define PANEL_AHEAD 8
#endif
#ifndef ROW_NV                      /* vectors of a tile of one row, and of two */
#define ROW_NV NV
#define TWO_ROWS_NV NV
#define ROW_SHAPES(X)
#endif
#ifndef COLUMN_MR                   /* rows of a tile of one vector, where they are not in strips */
#define COLUMN_MR MR
#define COLUMN_SHAPES(X)
#endif
#ifndef CONV_MR                     /* the tile of a convolution */
#define CONV_MR MR
#define CONV_NV NV
#define CONV_TWO_NV TWO_ROWS_NV         /* vectors of a tile of two filters; of one, ROW_NV */
#define CONV_ROW_SHAPES ROW_SHAPES
#endif
#define PACK_BYTES (PACK_B + PACK_A * (MC * KC + 2 * MR) * (int)sizeof(double))

typedef struct {
    const real *a;
    int64_t a_row, a_col, a_next;       /* a_next: from one tile to the next */
    const real *b;
    int64_t b_row;
    const real *start;          /* the tile's start values: c, the bias (start_row 0), or NULL for zeros */
    int64_t start_row;
    real *c;
    int64_t c_row;
    int64_t k, count;           /* of tiles, one below the other */
    int tail;                   /* valid lanes of the last vector */
    int16_t packed;             /* a is strips and b is a panel */
    int16_t relu;               /* c is the relu of the sums */
    int16_t adds;               /* the sums, which start from zeros, are added to c */
} F(tiles_t);

/* acc += a[:, p] ⊗ b[p, :] of a tile; `last` is the vector that needs a mask. */
ALWAYS_INLINE void F(outer_product)(const int rows, const int vectors, const int last, const vmask mask,
                                    vec acc[COLUMN_MR][ROW_NV], const real *a, int64_t a_row, const real *b)
{
    vec row[ROW_NV];
    UNROLL for (int v = 0; v < vectors; ++v) {
        row[v] = v == last ? vload_first(b + v * VL, mask) : vload(b + v * VL);
        KEEP(row[v]);
    }
    UNROLL for (int i = 0; i < rows; ++i) {
        const vec x = vset1(a[i * a_row]);
        UNROLL for (int v = 0; v < vectors; ++v) vfma_into(acc[i][v], x, row[v]);
    }
}

/* The same from whole vectors, where column p of a stands at row[i][p]: what is unrolled where b is read in place. As
   in a convolution's tiles, each address is a register and a constant. The processor does not see that b is read row
   after row, as each of the unrolled loads goes on by PLAIN_STEPS rows, so they are prefetched. For 64 rows all this
   saves 5 to 10 %. */
ALWAYS_INLINE void F(plain_product)(const int rows, const int vectors, vec acc[COLUMN_MR][ROW_NV],
                                    const real *const *row, int64_t p, const real *b)
{
    vec line[ROW_NV];
    UNROLL for (int v = 0; v < vectors; ++v) {
        line[v] = vload(b + v * VL);
        KEEP(line[v]);
    }
    UNROLL for (int i = 0; i < rows; ++i) {
        const vec x = vset1(row[i][p]);
        UNROLL for (int v = 0; v < vectors; ++v) vfma_into(acc[i][v], x, line[v]);
    }
}

/* The same for one row: no other one needs what is read of b, so a multiply-add takes it from memory where the machine
   can. One example through 64-32-10 takes 0.95 of the time, 64-128-10 0.97, wider networks as long (AVX2). */
ALWAYS_INLINE void F(row_product)(const int vectors, const int last, const vmask mask, vec acc[COLUMN_MR][ROW_NV],
                                  const real *a, const real *b)
{
    const vec x = vset1(*a);
    UNROLL for (int v = 0; v < vectors; ++v) {
        const vec row = v == last ? vload_first(b + v * VL, mask) : vload(b + v * VL);
        acc[0][v] = vfma(x, row, acc[0][v]);
    }
}

/* The micro-kernel, for tiles of up to MR × NV vectors, of one row up to ROW_NV, of two up to TWO_ROWS_NV; with
   `masked`, only t->tail lanes of the last vector count, and a panel has the others, too; `rowwise`: b is no panel, a's
   columns stand side by side, and several rows are not masked. All five are constants wherever it is inlined, so its
   inner loops are unrolled and the arrays become registers. It goes from tile to tile by itself, as a small tile takes
   less time than a call. What changes from one to the next stays in *t: the loop over p needs all registers. */
ALWAYS_INLINE void F(tile)(const int rows, const int vectors, const int masked, const int packed, const int rowwise,
                           F(tiles_t) *t)
{
    const int last = masked ? vectors - 1 : vectors;    /* the vector that needs a mask */
    do {
        const real *a = t->a, *b = t->b;
        const int64_t a_row = packed ? 1 : t->a_row, a_col = packed ? rows : rowwise ? 1 : t->a_col;
        const int64_t b_row = packed ? vectors * VL : t->b_row;
        const vmask mask = vfirst(t->tail);
        int64_t p = t->k;
        vec acc[COLUMN_MR][ROW_NV];
        UNROLL for (int i = 0; i < rows; ++i)
            UNROLL for (int v = 0; v < vectors; ++v) {
                const real *from = t->start + i * t->start_row + v * VL;
                acc[i][v] = !t->start ? vzero() : v == last ? vload_first(from, mask) : vload(from);
            }
#ifdef PREFETCH_C
        if (rows <= MR) UNROLL for (int i = 0; i < rows; ++i)       /* rows of the next tile; a hint, never a fault */
            __builtin_prefetch((const char *)(t->c + (i + rows) * t->c_row), 1, 3);
#endif
        if (packed)
            for (; p >= STEPS; p -= STEPS, a += STEPS * a_col, b += STEPS * b_row)
                UNROLL for (int s = 0; s < STEPS; ++s)
                    F(outer_product)(rows, vectors, vectors, mask, acc, a + s * a_col, a_row, b + s * b_row);
        if (rowwise && rows == 1) {
            for (int64_t left = p % PLAIN_STEPS; left; --left, ++a, b += b_row)
                F(row_product)(vectors, last, mask, acc, a, b);
            for (p /= PLAIN_STEPS; p; --p, a += PLAIN_STEPS) {
                UNROLL for (int s = 0; s < PLAIN_STEPS; ++s, b += b_row)
                    F(row_product)(vectors, last, mask, acc, a + s, b);
                UNROLL for (int v = 0; v < vectors; ++v) KEEP(acc[0][v]);
            }
        } else if (rowwise) {
            const real *row[MR];
            int64_t q = 0, ahead = (b_row == vectors * VL ? PANEL_AHEAD : 1) * PLAIN_STEPS * b_row;
            HOLD(ahead);
            UNROLL for (int i = 0; i < rows; ++i) {
                row[i] = a + i * a_row;
                HOLD(row[i]);
            }
            for (int64_t left = p % PLAIN_STEPS; left; --left, ++q, b += b_row)
                F(plain_product)(rows, vectors, acc, row, q, b);
            for (; q < p; q += PLAIN_STEPS) {
                UNROLL for (int s = 0; s < PLAIN_STEPS; ++s, b += b_row) {
                    HOLD(b);
                    __builtin_prefetch(b + ahead);
                    F(plain_product)(rows, vectors, acc, row, q + s, b);
                }
                UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < vectors; ++v) KEEP(acc[i][v]);
            }
        } else for (; p; --p, a += a_col, b += b_row)
            F(outer_product)(rows, vectors, packed ? vectors : last, mask, acc, a, a_row, b);
        if (__builtin_expect(t->adds, 0))
            UNROLL for (int i = 0; i < rows; ++i)
                UNROLL for (int v = 0; v < vectors; ++v) {
                    const real *sum = t->c + i * t->c_row + v * VL;
                    acc[i][v] = (v == last ? vload_first(sum, mask) : vload(sum)) + acc[i][v];
                }
        if (__builtin_expect(t->relu, 0))               /* behind the others, which it would spread */
            UNROLL for (int i = 0; i < rows; ++i)
                UNROLL for (int v = 0; v < vectors; ++v) acc[i][v] = vrelu(acc[i][v]);
        real *c = t->c;
        const int64_t c_row = t->c_row;
        UNROLL for (int i = 0; i < rows; ++i, c += c_row)
            UNROLL for (int v = 0; v < vectors; ++v)
                if (v == last) vstore_first(c + v * VL, mask, acc[i][v]);
                else vstore(c + v * VL, acc[i][v]);
        t->a += t->a_next;
        t->c = c;
        if (t->start) t->start += rows * t->start_row;
    } while (--t->count);
}

/* Whether tiles are `rowwise`. Rows of b that stand 4,096 bytes apart share a set of the first-level cache, where what
   is fetched in advance is lost: for 1,024 columns of float it takes a fifth longer. */
static inline int F(reads_plainly)(int64_t a_col, int64_t b_row)
{
    return PLAIN_STEPS > 1 && a_col == 1 && b_row > 0 && b_row * (int64_t)sizeof(real) < 4096;
}

/* SHAPES(X, MR, NV) is X(1, 1) … X(MR, NV): one copy of the micro-kernel for each shape of a tile, and the table of
   them. The convolutions have their own tiles by the same macro. */
#undef TILE
#undef ENTRY
#ifndef SHAPES
#define SHAPES(X, rows, vectors) SHAPES_(X, rows, vectors)
#define SHAPES_(X, rows, vectors) ROWS_##rows(X, VECTORS_##vectors)
#define ROWS_1(X, V) V(X, 1)
#define ROWS_2(X, V) ROWS_1(X, V) V(X, 2)
#define ROWS_4(X, V) ROWS_2(X, V) V(X, 3) V(X, 4)
#define ROWS_6(X, V) ROWS_4(X, V) V(X, 5) V(X, 6)
#define ROWS_8(X, V) ROWS_6(X, V) V(X, 7) V(X, 8)
#define VECTORS_2(X, rows) X(rows, 1) X(rows, 2)
#define VECTORS_3(X, rows) VECTORS_2(X, rows) X(rows, 3)
#define VECTORS_6(X, rows) VECTORS_3(X, rows) X(rows, 4) X(rows, 5) X(rows, 6)
#endif
#define TILE(rows, vectors) \
    static void F(tiles_##rows##x##vectors)(F(tiles_t) *t) \
    { \
        const int packed = PACK_A && rows <= MR && t->packed; \
        if (packed && t->tail == VL) F(tile)(rows, vectors, 0, 1, 0, t); \
        else if (packed) F(tile)(rows, vectors, 1, 1, 0, t); \
        else if (rows == 1 && t->k >= 32 && t->a_col == 1 && t->tail == VL) F(tile)(rows, vectors, 0, 0, 1, t); \
        else if (rows == 1 && t->k >= 32 && t->a_col == 1) F(tile)(rows, vectors, 1, 0, 1, t); \
        else if (rows <= MR && vectors <= NV && t->tail == VL && t->k >= 32 && F(reads_plainly)(t->a_col, t->b_row)) \
            F(tile)(rows, vectors, 0, 0, 1, t); \
        else if (t->tail == VL) F(tile)(rows, vectors, 0, 0, 0, t); \
        else F(tile)(rows, vectors, 1, 0, 0, t); \
    }
#define ENTRY(rows, vectors) [rows - 1][vectors - 1] = F(tiles_##rows##x##vectors),
SHAPES(TILE, MR, NV)
ROW_SHAPES(TILE)
COLUMN_SHAPES(TILE)
static void (*const F(tiles)[COLUMN_MR][ROW_NV])(F(tiles_t) *) = {
    SHAPES(ENTRY, MR, NV) ROW_SHAPES(ENTRY) COLUMN_SHAPES(ENTRY)
};

/* The size of the next tile, where `left` units are to be cut into tiles of at most `most`: as even as possible. 10
   rows are 5 + 5, not 8 + 2, because a thin tile waits for the latency of its own multiply-adds. */
static inline int F(balanced_tile)(int64_t left, int most)
{
    return left <= most ? (int)left : (int)ceil_div(left, ceil_div(left, most));        /* a division takes long */
}

/* Copies b[0 … k − 1, 0 … n − 1] into panels, one after the other; a panel is k rows of `width` consecutive values. */
static void F(pack)(real *to, const real *b, int64_t b_row, int64_t b_col, int64_t k, int64_t n)
{
    for (int64_t j = 0; j < n;) {
        const int64_t width = (int64_t)F(balanced_tile)(ceil_div(n - j, VL), NV) * VL, valid = min64(width, n - j);
        const real *from = b + j * b_col;
        if (b_row == 1) F(transpose)(from, b_col, to, width, valid, k);
        else if (b_col == 1 && valid == NR)
            for (int64_t p = 0; p < k; ++p)
                UNROLL for (int v = 0; v < NV; ++v) vstore(to + p * NR + v * VL, vload(from + p * b_row + v * VL));
        else if (b_col == 1)
            for (int64_t p = 0; p < k; ++p) memcpy(to + p * width, from + p * b_row, (size_t)valid * sizeof(real));
        else
            for (int64_t p = 0; p < k; ++p)
                for (int64_t q = 0; q < valid; ++q) to[p * width + q] = from[p * b_row + q * b_col];
        to += k * width;
        j += width;
    }
}

/* What is packed once for many products: for each block of KC rows all panels of b, row after row of panels. */
static inline int64_t F(packed_row)(int64_t n) { return ceil_div(n, VL) * VL; }

static void F(gemm_pack)(const void *b, int64_t k, int64_t n, void *to)
{
    for (int64_t p = 0; p < k; p += KC)
        F(pack)((real *)to + p * F(packed_row)(n), (const real *)b + p * n, n, 1, min64(KC, k - p), n);
}

/* From so many rows of a on, packing b pays where it could be read in place, too. */
#ifndef PACK_ROWS
#define PACK_ROWS (16 * MR)
#endif

/* Where reading in place is unrolled, too, b is packed later the nearer its rows stand: with 256 columns of float a
   product of 128 rows takes 5 % longer if b is packed, with 512 as long. */
static inline int F(packs_b)(const fastnn_gemm *g, int64_t rows)
{
    if (g->b_col != 1) return 1;
    if (rows < 3 * MR || g->n <= NR) return 0;
    if (!F(reads_plainly)(g->a_col, g->b_row)) return rows >= PACK_ROWS;
    return rows * g->b_row * (int64_t)sizeof(real) >= 256 * 1024;
}

/* Copies a[0 … m − 1, 0 … k − 1] into strips, one after the other; a strip is k columns of its rows. `most` rows of a
   can be read. Where the values of a row stand side by side, STRIP_ROWS rows are transposed at a time, the last VL of
   them first: each store overwrites what the one before it wrote beyond its strip's column. */
#define STRIP_ROWS ((MR + VL - 1) / VL * VL)
static void F(pack_strips)(real *to, const real *a, int64_t a_row, int64_t a_col, int64_t m, int64_t most, int64_t k)
{
    for (int64_t i = 0; i < m;) {
        const int rows = F(balanced_tile)(m - i, MR);
        const real *from = a + i * a_row;
        int64_t p = 0;
        if (a_row == 1 && rows == MR)
            for (; p < k; ++p) memcpy(to + p * MR, from + p * a_col, MR * sizeof(real));
        else if (a_col == 1 && i + STRIP_ROWS <= most)
            for (; p + VL <= k; p += VL)
                for (int64_t q = STRIP_ROWS - VL; q >= 0; q -= VL)
                    F(transpose_tile)(1, VL, from + q * a_row + p, a_row, to + p * rows + q, rows, VL, VL);
        for (; p < k; ++p)
            for (int64_t q = 0; q < rows; ++q) to[p * rows + q] = from[q * a_row + p * a_col];
        to += k * rows;
        i += rows;
    }
}

/* A column of tiles, m rows in all, the first of which is *t; `strips` says whether a is in strips. */
static inline void F(tile_column)(F(tiles_t) *t, int64_t m, int vectors, int strips)
{
    const int is_tall = vectors == 1 && !strips, most = is_tall ? COLUMN_MR : MR;
    for (int64_t left = m; left;) {
        const int64_t tiles = is_tall ? ceil_div(left, COLUMN_MR) : ceil_div(left, MR);     /* by constants */
        const int64_t rows = left <= most ? left : left == tiles * most ? most : ceil_div(left, tiles);
        const int64_t count = left - (rows - 1) * tiles;        /* of so many rows; others have one less */
        t->count = count;
        t->a_next = rows * (strips ? t->k : t->a_row);
        if (strips) t->a_row = 1, t->a_col = rows;
        F(tiles)[rows - 1][vectors - 1](t);
        left -= rows * count;
    }
}

/* The product for rows i0 … i1 − 1 and columns j0 … j1 − 1; `add`: c, as it was, is where the chains start. `panels` is
   memory for a packed b; `strips`, if it is not NULL, for a packed a. */
static void F(gemm_region)(const fastnn_gemm *g, int add, int64_t i0, int64_t i1, int64_t j0, int64_t j1, real *panels,
                           real *strips)
{
    const real *a = g->a, *b = g->b, *bias = g->bias;
    real *c = g->c, *y = g->y;
    const real *packed = g->packed;
    const int pack = packed || F(packs_b)(g, i1 - i0);
    /* Packing a needs more than four tiles of columns that read it, and three tiles of rows. */
    const int pack_a = strips && j1 - j0 > 4 * NR && (g->a_row == 1 || (pack && i1 - i0 >= 3 * MR));
    const int apart = g->k > LONG;
    const int widest = pack || i1 - i0 > 2 ? NV : i1 - i0 == 2 ? TWO_ROWS_NV : ROW_NV;
    const int relu = g->activation == RELU && !g->norm; /* in registers; others take a pass over the block's rows */
    const int activate = g->activation != IDENTITY && !relu && activation_is_elementwise(g->activation);
    for (int64_t jc = j0, n; jc < j1; jc += n) {
        int64_t pc = 0;
        n = packed && j1 - jc < NC + NR ? j1 - jc : min64(NC, j1 - jc);     /* no panel that is packed is cut */
        do {                                    /* once even if the inner dimension is empty: y = act(start) */
            const int64_t k = min64(KC, g->k - pc);
            const int first = pc == 0 && !add, final = pc + k == g->k;
            const real *block = b + pc * g->b_row + jc * g->b_col;
            const real *ready = packed ? packed + pc * F(packed_row)(g->n) + jc * k : panels;
            if (pack && !packed) F(pack)(panels, block, g->b_row, g->b_col, k, n);
            for (int64_t ic = i0; ic < i1;) {
                const int64_t m = MC > MR ? min64(MC, i1 - ic) : F(balanced_tile)(i1 - ic, MR);
                const real *top = a + ic * g->a_row + pc * g->a_col, *panel = ready;
                if (pack_a) F(pack_strips)(strips, top, g->a_row, g->a_col, m, i1 - ic, k);
                for (int64_t jr = 0; jr < n;) {
                    const int vectors = F(balanced_tile)(ceil_div(n - jr, VL), widest);
                    const int64_t width = (int64_t)vectors * VL, valid = min64(width, n - jr);
                    real *tile = c + ic * g->c_row + jc + jr;
                    F(tiles_t) t = {
                        .a = pack_a ? strips : top, .a_row = g->a_row, .a_col = g->a_col,
                        .b = pack ? panel : block + jr, .b_row = pack ? width : g->b_row,
                        .start = !first ? apart ? NULL : tile : bias ? bias + jc + jr : NULL,
                        .start_row = first ? 0 : g->c_row, .adds = !first && apart,
                        .c = tile, .c_row = g->c_row, .k = k, .tail = (int)(valid - width + VL),
                        .packed = pack && pack_a, .relu = relu && final, .a_next = 0, .count = 0,
                    };
                    F(tile_column)(&t, m, vectors, pack_a);
                    panel += k * width;
                    jr += width;
                }
                real *u = c + ic * g->c_row + jc;
                if (final && g->norm) {
                    const F(constants_t) norm = F(constants_of)(g->norm, jc);
                    for (int64_t r = 0; r < m; ++r) F(normalise_row)(&norm, u + r * g->c_row, n);
                }
                if (final && activate) {
                    const int64_t runs = n == g->c_row ? 1 : m, run = m * n / runs;
                    for (int64_t r = 0; r < runs; ++r, u += g->c_row)
                        F(activate_range)(g->activation, (real)g->alpha, u, y + (u - c), u, run);
                }
                ic += m;
            }
            pc += k;
        } while (pc < g->k);
    }
}

/* The same for a product that is one block, whose operands and result stay in the first-level cache: most of what
   gemm_region does there, it does to find out. */
static inline int F(is_small)(const fastnn_gemm *g)
{
    return !g->norm && g->k <= KC && g->m <= 64 && g->n <= 64 && g->m * g->k <= 4096;
}

static void F(gemm_small)(const fastnn_gemm *g)
{
    const int64_t m = g->m, n = g->n, k = g->k, c_row = g->c_row;
    const real *bias = g->bias, *b = g->b;
    real *c = g->c;
    const int pack = g->b_col != 1, widest = pack || m > 2 ? NV : m == 2 ? TWO_ROWS_NV : ROW_NV;
    F(tiles_t) t;
    if (pack) F(pack)(g->work, b, g->b_row, g->b_col, k, n), b = g->work;
    t.a_row = g->a_row, t.a_col = g->a_col, t.b_row = g->b_row, t.start_row = 0, t.c_row = c_row, t.k = k;
    t.packed = t.adds = 0, t.relu = g->activation == RELU;
    for (int64_t j = 0; j < n;) {
        const int vectors = F(balanced_tile)(ceil_div(n - j, VL), widest);
        const int64_t width = (int64_t)vectors * VL;
        t.a = g->a, t.b = b, t.start = bias ? bias + j : NULL, t.c = c + j;
        t.tail = (int)(min64(width, n - j) - width) + VL;
        if (pack) t.b_row = width;
        F(tile_column)(&t, m, vectors, 0);
        b += pack ? k * width : width;
        j += width;
    }
    if (g->activation == IDENTITY || g->activation == RELU || !activation_is_elementwise(g->activation)) return;
    const int64_t rows = n == c_row ? 1 : m, run = m * n / rows;
    for (int64_t r = 0; r < rows; ++r, c += c_row)
        F(activate_range)(g->activation, (real)g->alpha, c, (real *)g->y + (c - (real *)g->c), c, run);
}

/* Few rows of a and many columns: the rows of b are read as they stand, STREAM_ROWS at a time, and c waits in the
   first-level cache. A tile would go down a strip of b, where each row is in another page. One row takes 0.6 to 0.7 of
   the time for 1,024 columns of float, and 0.8 to 1.1 for 128 to 512; four rows 0.3 to 0.8, and 0.75 to 1.05 for 512.
   More take longer than in tiles; but where rows of b are whole pages, as 1,024 columns of float are, five and six
   take 0.4 (AVX2; the higher figures are of a core that others use, too). */
#undef STREAM_ROWS
#undef STREAM_BYTES
#define STREAM_ROWS 4
#define STREAM_BYTES 8192               /* of a row of c; a quarter of it if there are more than four */
static inline int F(streams_b)(const fastnn_gemm *g)
{
    const int64_t most = g->b_row * (int64_t)sizeof(real) % 4096 ? 4 : 6;
    if (g->k > LONG) return 0;
    return g->b_col == 1 && (g->packed ? g->m == 1 : g->m <= most) && g->n >= (g->m == 1 ? 128 : 256);
}

/* c[r, j] += Σ x[r, i]·b[i, j], for m rows of c and some of b. The distances are copied, as a vector's store might
   change *g. */
ALWAYS_INLINE void F(add_rows)(const int m, const int rows, const fastnn_gemm *g, const real *x, const real *b,
                               real *c, int64_t n)
{
    const int64_t a_row = g->a_row, a_col = g->a_col, b_row = g->b_row, c_row = g->c_row;
    vec factor[2][STREAM_ROWS];
    int64_t j = 0;
    UNROLL for (int r = 0; r < m; ++r)
        UNROLL for (int i = 0; i < rows; ++i) factor[r][i] = vset1(x[r * a_row + i * a_col]);
    for (; j + VL <= n; j += VL) {
        vec row[STREAM_ROWS];
        UNROLL for (int i = 0; i < rows; ++i) row[i] = vload(b + i * b_row + j);
        UNROLL for (int r = 0; r < m; ++r) {
            vec sum = vload(c + r * c_row + j);
            UNROLL for (int i = 0; i < rows; ++i) sum = vfma(factor[r][i], row[i], sum);
            vstore(c + r * c_row + j, sum);
        }
    }
    for (; j < n; ++j)
        UNROLL for (int r = 0; r < m; ++r) {
            real *sum = c + r * c_row + j;
            UNROLL for (int i = 0; i < rows; ++i) *sum = F(fma_)(x[r * a_row + i * a_col], b[i * b_row + j], *sum);
        }
}

/* The same for all rows of c, two at a time. */
ALWAYS_INLINE void F(add_to_all)(const int rows, const fastnn_gemm *g, const real *x, const real *b, real *c, int64_t n)
{
    int64_t r = 0;
    for (; r + 2 <= g->m; r += 2) F(add_rows)(2, rows, g, x + r * g->a_row, b, c + r * g->c_row, n);
    if (r < g->m) F(add_rows)(1, rows, g, x + r * g->a_row, b, c + r * g->c_row, n);
}

/* Columns j0 … j1 − 1 of the product. */
static void F(gemm_stream)(const fastnn_gemm *g, int64_t j0, int64_t j1)
{
    for (int64_t first = j0, n; first < j1; first += n) {
        const real *a = g->a, *b = (const real *)g->b + first, *bias = g->bias;
        real *c = (real *)g->c + first, *y = (real *)g->y + first;
        int64_t p = 0;
        n = min64(STREAM_BYTES / (g->m > 4 ? 4 : 1) / (int64_t)sizeof(real), j1 - first);
        for (int64_t r = 0; r < g->m; ++r)
            for (int64_t j = 0; j < n; ++j) c[r * g->c_row + j] = bias ? bias[first + j] : 0;
        for (; p + STREAM_ROWS <= g->k; p += STREAM_ROWS)
            F(add_to_all)(STREAM_ROWS, g, a + p * g->a_col, b + p * g->b_row, c, n);
        for (; p < g->k; ++p) F(add_to_all)(1, g, a + p * g->a_col, b + p * g->b_row, c, n);
        for (int64_t r = 0; r < g->m; ++r, c += g->c_row, y += g->c_row) {
            if (g->norm) {
                const F(constants_t) norm = F(constants_of)(g->norm, first);
                F(normalise_row)(&norm, c, n);
            }
            if (g->activation != IDENTITY && activation_is_elementwise(g->activation))
                F(activate_range)(g->activation, (real)g->alpha, c, y, c, n);
        }
    }
}

/* A second thread pays from so many multiply-adds on, which take one thread about 30 µs. From half as many on, a step
   of 256-256-10 with batch 16 took 79 µs on two threads and 65 on one: the second thread has to fetch what the first
   one has in its cache. */
#undef PARALLEL_FMAS
#define PARALLEL_FMAS (1 << 21)

/* Panels that are packed are NR columns wide but for the last two: the last NR columns and the rest are not parted. */
static inline int64_t F(column_tiles)(const fastnn_gemm *g)
{
    return g->packed && g->n > NR ? g->n / NR : ceil_div(g->n, NR);
}

/* Threads split the rows, or the columns if these make more tiles. A thread that takes some of the rows packs all of b,
   one that takes some of the columns its own part alone; so where b must be packed, they split the columns if that
   gives each about as much to do and the rows are few. Two threads: 0.79 to 0.95 of the time with 256 rows, 0.94 to
   1.0 with 512 and 1,024, but 1.03 to 1.06 with more, which all of them then read (AVX2). */
#undef FEW_ROWS
#define FEW_ROWS 512
static inline int F(by_rows)(const fastnn_gemm *g)
{
    if (g->b_col != 1) return 0;
    if (!g->packed && F(packs_b)(g, g->m) && g->m < FEW_ROWS * (int64_t)g->threads) {
        const int64_t tiles = F(column_tiles)(g), most = ceil_div(tiles, g->threads);
        if (8 * tiles >= 7 * most * g->threads) return 0;
    }
    return ceil_div(g->m, MR) >= ceil_div(g->n, NR);
}

/* Rows i0 … i1 − 1 and columns j0 … j1 − 1 of a product: what one thread works out. */
typedef struct { int64_t i0, i1, j0, j1; } F(gemm_share_t);

static F(gemm_share_t) F(gemm_share)(const fastnn_gemm *g, int part, int parts)
{
    F(gemm_share_t) s = {0, g->m, 0, g->n};
    if (F(by_rows)(g)) {
        const int64_t tiles = ceil_div(g->m, MR);
        s.i0 = part_begin(tiles, part, parts) * MR, s.i1 = min64(part_begin(tiles, part + 1, parts) * MR, g->m);
    } else {
        const int64_t tiles = F(column_tiles)(g), end = part_begin(tiles, part + 1, parts);
        s.j0 = part_begin(tiles, part, parts) * NR, s.j1 = end == tiles ? g->n : end * NR;
    }
    return s;
}

/* The share of dW = xᵀ @ du. */
static F(gemm_share_t) F(gradient_share)(int64_t rows, int64_t columns, int part, int parts)
{
    const fastnn_gemm g = {.m = rows, .n = columns, .a_row = 1, .a_col = rows, .b_row = columns, .b_col = 1,
                           .threads = parts};
    return F(gemm_share)(&g, part, parts);
}

/* This part of a product, in the thread's own memory; `add` as in gemm_region. */
static void F(multiply_share)(const fastnn_gemm *g, int add, int part, int parts)
{
    const F(gemm_share_t) s = F(gemm_share)(g, part, parts);
    real *panels = (real *)((char *)g->work + (int64_t)part * PACK_BYTES);
    real *strips = PACK_A ? panels + PACK_B / sizeof(real) : NULL;
    if (!add && !F(by_rows)(g) && F(streams_b)(g)) F(gemm_stream)(g, s.j0, s.j1);
    else F(gemm_region)(g, add, s.i0, s.i1, s.j0, s.j1, panels, strips);
}

static void F(gemm_part)(const void *job, int part, int parts) { F(multiply_share)(job, 0, part, parts); }

/* Few columns leave lanes of a vector empty: ten of them, six of sixteen. Where the columns of a stand in rows, as in
   dW of an output layer, the transpose of c, which is that of b times that of a, has full vectors, and to transpose it
   back takes less than what they save: with ten columns 19 to 39 % of the time, with one 60 % (AVX2). */
#undef NARROW_ROWS
#define NARROW_ROWS 128
static inline int F(is_narrow)(const fastnn_gemm *g)
{
    return g->a_row == 1 && !g->bias && g->activation == IDENTITY && g->n < 2 * VL && g->m >= 2 * VL
        && g->k >= 16 && 4 * g->n * ceil_div(g->m, VL) <= 3 * g->m * ceil_div(g->n, VL);
}

static void F(gemm_narrow)(const fastnn_gemm *g)
{
    real sums[2 * VL][NARROW_ROWS];
    fastnn_gemm t = *g;
    t.m = g->n, t.a = g->b, t.a_row = g->b_col, t.a_col = g->b_row;
    t.b_row = g->a_col, t.b_col = 1;
    t.c = t.y = sums[0], t.c_row = NARROW_ROWS;
    for (int64_t i = 0; i < g->m; i += NARROW_ROWS) {
        t.n = min64(NARROW_ROWS, g->m - i), t.b = (const real *)g->a + i;
        F(gemm_region)(&t, 0, 0, t.m, 0, t.n, g->work, NULL);
        F(transpose)(sums[0], NARROW_ROWS, (real *)g->c + i * g->c_row, g->c_row, t.m, t.n);
    }
}

static void F(gemm)(const fastnn_gemm *g)
{
    if (g->m == 0 || g->n == 0) return;
    const double fmas = (double)g->m * (double)g->n * (double)g->k;
    if (F(is_narrow)(g) && (fmas < PARALLEL_FMAS || g->threads == 1)) {
        F(gemm_narrow)(g);
    } else if (F(streams_b)(g) && (fmas < PARALLEL_FMAS || g->threads == 1)) {
        F(gemm_stream)(g, 0, g->n);
    } else if (F(is_small)(g)) {
        F(gemm_small)(g);
    } else if (fmas < PARALLEL_FMAS || g->threads == 1) {
        real *panels = g->work, *strips = PACK_A ? panels + PACK_B / sizeof(real) : NULL;
        F(gemm_region)(g, 0, 0, g->m, 0, g->n, panels, strips);
    } else {
        const int64_t tiles = F(by_rows)(g) ? ceil_div(g->m, MR) : F(column_tiles)(g);
        run_parts(F(gemm_part), g, (int)min64(g->threads, tiles));
    }
    if (!activation_is_elementwise(g->activation)) F(softmax_rows)(g->activation, g->c, g->y, g->m, g->n, g->c_row);
}

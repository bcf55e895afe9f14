/* The ladder of README.md: y = relu(x @ w + b) in float32, from three loops to the engine, a function a rung.

   x (m, k), w (k, n), b (n) and y (m, n) stand row after row; k is at least 1. run.py compiles this file twice: for
   numbers one at a time, and for the vectors of an instruction set, with the engine's sizes (fastnn/kernels/isa_*.c):

       VL   floats in a vector          MR, NV   rows and vectors of a tile: MR × NR values of y
       KC   rows of w in a block        NC       columns of w in a block: KC × NC floats fit into PACK_B

   What the engine has and the ladder has not: float64, transposes, other activations, tiles of any number of rows
   (here MR or 1), masks for the last columns (here the plain tile). */
#include <stdint.h>
#include <string.h>
#include "../../fastnn/kernels/kernels.h"

#define NR (NV * VL)
#define NC (PACK_B / (KC * (int)sizeof(float)) / NR * NR)
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

typedef struct {
    int64_t m, n, k, threads;
    const float *x, *w, *b;
    float *y, *work;                /* work: threads × work_bytes(engine), 64-byte aligned */
    const fastnn_kernels *engine;
} job;

/* A block of w and a tile of x, packed; or what the engine packs. */
int64_t work_bytes(const fastnn_kernels *engine)
{
    const int64_t own = PACK_B + MR * KC * (int64_t)sizeof(float);
    return own > engine->pack_bytes ? own : engine->pack_bytes;
}

void repeat(void (*rung)(const job *), const job *g, int64_t times)
{
    for (int64_t i = 0; i < times; ++i) rung(g);
}

/* ---- 1 and 2: a line of y at a time ---- */

/* What follows the product until rung 6 takes it into the tile: two more passes over y. */
static void bias_then_relu(const job *g)
{
    for (int64_t i = 0; i < g->m; ++i) {
        float *restrict y = g->y + i * g->n;
        for (int64_t j = 0; j < g->n; ++j) y[j] += g->b[j];
    }
    for (int64_t i = 0; i < g->m * g->n; ++i) g->y[i] = g->y[i] < 0 ? 0 : g->y[i];
}

/* The formula. The inner loop jumps from row to row of w. */
void naive(const job *g)
{
    for (int64_t i = 0; i < g->m; ++i)
        for (int64_t j = 0; j < g->n; ++j) {
            float sum = 0;
            for (int64_t p = 0; p < g->k; ++p) sum += g->x[i * g->k + p] * g->w[p * g->n + j];
            g->y[i * g->n + j] = sum;
        }
    bias_then_relu(g);
}

/* The same multiply-adds; the inner loop runs along a row of w and a row of y. */
void along(const job *g)
{
    for (int64_t i = 0; i < g->m; ++i) {
        float *restrict y = g->y + i * g->n;
        memset(y, 0, (size_t)g->n * sizeof(float));
        for (int64_t p = 0; p < g->k; ++p) {
            const float x = g->x[i * g->k + p], *restrict w = g->w + p * g->n;
            for (int64_t j = 0; j < g->n; ++j) y[j] += x * w[j];
        }
    }
    bias_then_relu(g);
}

/* ---- from 3 on: a tile of y at a time ---- */

typedef struct {
    int rows, columns, relu;
    int64_t k;                      /* of the block */
    const float *x, *w, *start;     /* start: what the tile starts from, or NULL for zero */
    float *y;
    int64_t x_row, x_col, w_row, start_row, y_row;
} tile;

/* In C's own words: whether `sum` becomes registers is up to the compiler. */
INLINE void plain_loops(const tile *t, const int rows, const int columns)
{
    float sum[MR][NR];
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) sum[i][j] = t->start ? t->start[i * t->start_row + j] : 0;
    const float *x = t->x, *w = t->w;
    for (int64_t p = 0; p < t->k; ++p, x += t->x_col, w += t->w_row)
        for (int i = 0; i < rows; ++i)
            for (int j = 0; j < columns; ++j) sum[i][j] += x[i * t->x_row] * w[j];
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) t->y[i * t->y_row + j] = t->relu && sum[i][j] < 0 ? 0 : sum[i][j];
}

static void plain_tile(const tile *t)
{
    if (t->rows == MR && t->columns == NR) plain_loops(t, MR, NR);
    else plain_loops(t, t->rows, t->columns);
}

/* In vectors, `rows` and `vectors` constant: `sum` is registers, and each lane of it one chain of multiply-adds in the
   order of p. -ffp-contract=fast makes a fused one of x * w + sum. */
typedef float vec __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef int32_t lanes __attribute__((vector_size(4 * VL)));

INLINE void vector_loops(const tile *t, const int rows, const int vectors)
{
    vec sum[MR][NV];
    UNROLL for (int i = 0; i < rows; ++i)
        UNROLL for (int v = 0; v < vectors; ++v)
            sum[i][v] = t->start ? *(const vec *)(t->start + i * t->start_row + v * VL) : (vec){0};
    const float *x = t->x, *w = t->w;
    for (int64_t p = 0; p < t->k; ++p, x += t->x_col, w += t->w_row)
        UNROLL for (int i = 0; i < rows; ++i)
            UNROLL for (int v = 0; v < vectors; ++v)
                sum[i][v] = x[i * t->x_row] * *(const vec *)(w + v * VL) + sum[i][v];
    UNROLL for (int i = 0; i < rows; ++i)
        UNROLL for (int v = 0; v < vectors; ++v) {
            const vec s = sum[i][v];
            *(vec *)(t->y + i * t->y_row + v * VL) = t->relu ? (vec)((lanes)s & ~(lanes)(s < 0)) : s;
        }
}

static void vector_tile(const tile *t)
{
#define SHAPE(r, v) if (t->rows == (r) && t->columns == (v) * VL) { vector_loops(t, r, v); return; }
    SHAPE(MR, NV) SHAPE(MR, (NV + 1) / 2) SHAPE(MR, 1) SHAPE(1, NV) SHAPE(1, (NV + 1) / 2) SHAPE(1, 1)
    plain_loops(t, t->rows, t->columns);
}

/* How many of the columns left the next tile takes: NV vectors, whole vectors, or what does not fill one. */
static int width(int64_t left) { return (int)(left >= NR ? NR : left >= VL ? left / VL * VL : left); }

/* A block of w in panels as wide as the tiles, each k rows without a gap. */
static void pack(float *to, const float *w, int64_t w_row, int64_t k, int64_t n)
{
    for (int64_t j = 0, wide; j < n; j += wide) {
        wide = width(n - j);
        for (int64_t p = 0; p < k; ++p, to += wide) memcpy(to, w + p * w_row + j, (size_t)wide * sizeof(float));
    }
}

enum { PACK_W = 1, PACK_X = 2, FUSE = 4 };

/* Rows i0 … i1 of the product, block by block. */
static void blocks(const job *g, void (*one_tile)(const tile *), int how, int64_t i0, int64_t i1, float *work)
{
    const int64_t n = g->n, k = g->k;
    float *packed_x = work + PACK_B / sizeof(float);
    for (int64_t jc = 0; jc < n; jc += NC)
        for (int64_t pc = 0; pc < k; pc += KC) {
            const int64_t wide = n - jc < NC ? n - jc : NC, deep = k - pc < KC ? k - pc : KC;
            const float *block = g->w + pc * n + jc;
            if (how & PACK_W) pack(work, block, n, deep, wide);
            for (int64_t i = i0, rows; i < i1; i += rows) {
                rows = i1 - i < MR ? 1 : MR;
                const float *x = g->x + i * k + pc, *panel = work;
                if (how & PACK_X)
                    for (int64_t p = 0; p < deep; ++p)
                        for (int64_t r = 0; r < rows; ++r) packed_x[p * rows + r] = x[r * k + p];
                for (int64_t j = 0, columns; j < wide; j += columns, panel += deep * columns) {
                    columns = width(wide - j);
                    float *y = g->y + i * n + jc + j;
                    const tile t = {
                        .rows = (int)rows, .columns = (int)columns, .relu = how & FUSE && pc + deep == k, .k = deep,
                        .x = how & PACK_X ? packed_x : x, .x_row = how & PACK_X ? 1 : k,
                        .x_col = how & PACK_X ? rows : 1,
                        .w = how & PACK_W ? panel : block + j, .w_row = how & PACK_W ? columns : n,
                        .start = pc ? y : how & FUSE ? g->b + jc + j : NULL, .start_row = pc ? n : 0,
                        .y = y, .y_row = n,
                    };
                    one_tile(&t);
                }
            }
        }
}

/* ---- 3 to 6 ---- */

static void product(const job *g, void (*one_tile)(const tile *), int how)
{
    blocks(g, one_tile, how, 0, g->m, g->work);
    if (!(how & FUSE)) bias_then_relu(g);
}

void tiled(const job *g) { product(g, plain_tile, 0); }
void packed(const job *g) { product(g, plain_tile, PACK_W); }
void vectors(const job *g) { product(g, vector_tile, PACK_W); }
void vectors_in_place(const job *g) { product(g, vector_tile, 0); }
void vectors_both_packed(const job *g) { product(g, vector_tile, PACK_W | PACK_X); }
void fused(const job *g) { product(g, vector_tile, PACK_W | FUSE); }
void fused_in_place(const job *g) { product(g, vector_tile, FUSE); }

/* ---- 7 and the engine ---- */

/* Each thread takes whole tiles of rows and packs w for itself. */
void threaded(const job *g)
{
    const int64_t tiles = (g->m + MR - 1) / MR, threads = g->threads;
    const int64_t size = work_bytes(g->engine) / (int64_t)sizeof(float);
#pragma omp parallel for num_threads((int)threads) schedule(static, 1)
    for (int64_t part = 0; part < threads; ++part) {
        const int64_t from = tiles * part / threads * MR, to = tiles * (part + 1) / threads * MR;
        blocks(g, vector_tile, PACK_W | FUSE, from, to < g->m ? to : g->m, g->work + part * size);
    }
}

void engine(const job *g)
{
    const fastnn_gemm e = {
        .m = g->m, .n = g->n, .k = g->k, .a = g->x, .a_row = g->k, .a_col = 1, .b = g->w, .b_row = g->n, .b_col = 1,
        .bias = g->b, .c = g->y, .y = g->y, .c_row = g->n, .activation = RELU, .work = g->work,
        .threads = (int)g->threads,
    };
    g->engine->gemm(&e);
}

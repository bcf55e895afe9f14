/* The table of kernels: C's table of contents.

   Each instruction set (isa_*.c) compiles the same source for float and for double and hands out two of these
   tables. dispatch.c picks the set once, by CPUID. All arrays are row-major; a kernel cannot fail: what can fail
   (shapes, dtypes, sizes) is checked before it is called. Unless a line says otherwise, input and output must not
   overlap. `threads` is the number a kernel may use, not the number it must.

   void * stands for an array of `real`, so that one table type serves both dtypes. */
#ifndef FASTNN_KERNELS_H
#define FASTNN_KERNELS_H

#include <stdint.h>
#include "philox.h"

/* The kinds of activations and of element-by-element losses, from the lists that also hold their formulas. */
enum fastnn_activation_kind {
#define ACTIVATION_FROM_Y(NAME, ...) NAME,
#define ACTIVATION_FROM_SLOPE(NAME, ...) NAME,
#define ACTIVATION_OF_ROWS(NAME, ...) NAME,
#include "activations.def"
};

enum fastnn_loss_kind {
#define LOSS(NAME, ...) NAME,
#include "losses.def"
};

/* Whether an activation saves act'(u) for backward; the others save y. */
static inline int activation_saves_slope(int activation)
{
    switch (activation) {
#define ACTIVATION_FROM_Y(...)
#define ACTIVATION_FROM_SLOPE(NAME, ...) case NAME:
#define ACTIVATION_OF_ROWS(...)
#include "activations.def"
        return 1;
    default:
        return 0;
    }
}

/* Whether an activation works element by element; the others need whole rows. */
static inline int activation_is_elementwise(int activation)
{
    switch (activation) {
#define ACTIVATION_FROM_Y(...)
#define ACTIVATION_FROM_SLOPE(...)
#define ACTIVATION_OF_ROWS(NAME, ...) case NAME:
#include "activations.def"
        return 0;
    default:
        return 1;
    }
}

/* c = start + a @ b, y = act(c), where start is the bias in every row, or 0.
   a[i][p] stands at a[i·a_row + p·a_col], b[p][j] at b[p·b_row + j·b_col], so a transposed operand is only a pair
   of strides; c[i][j] at c[i·c_row + j], and y the same. y may be c; with act = IDENTITY it must be. If it is not, an
   activation that keeps act'(u) does so in c.
   Each output is one chain of fused multiply-adds in the order of p, whatever the blocking and the threads. */
typedef struct {
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_col;
    const void *b;
    int64_t b_row, b_col;
    const void *bias;           /* n values, or NULL */
    void *c, *y;
    int64_t c_row;
    int activation;
    double alpha;               /* leaky_relu's slope, elu's alpha */
    void *work;                 /* threads × pack_bytes, 64-byte aligned */
    int threads;
} fastnn_gemm;

/* "In blocks" says that so many images as 64 bytes hold values stand side by side: see transpose.inc.c. */

/* Images as a convolution reads them (conv.inc.c), whole blocks and then single ones, `size` values an image: pixel (i, j) of a channel stands at down[i] +
   across[j] of `plane` values, zero where there is none. `dense`: row by row, the pixels of a row side by side. Tap t begins at
   offsets[t], in a block at line_offsets[t].
   What comes out of a block is worked out FASTNN_CONV_PIXELS at a time, in each piece by kinds: pixel order[e], whose window
   begins at places[e], is of kind kinds[e]; a kind sees the taps seen[starts[kind]] … seen[starts[kind + 1] − 1] and nothing
   but zeros through the others. The last kind, `every`, sees all. */
typedef struct {
    int64_t height, width;              /* of what is copied */
    int64_t plane, pitch, size;
    int dense;
    const int64_t *down, *across, *offsets, *line_offsets, *order, *places, *kinds, *seen, *starts;
    int64_t every;
    void *memory;
} fastnn_planes;

/* What is worked out of a block before it is turned into images again: filters × pixels, a multiple of every LANES. */
#define FASTNN_CONV_FILTERS 64
#define FASTNN_CONV_PIXELS 96

/* A convolution, forward and back: x (images, channels, front.height, front.width), w (filters, channels / groups, window),
   y, u and du (images, filters, out_rows, out_cols). u may be y, and ends as gemm's c does. front is filled by forward and
   read by backward_weight, which comes before backward_input; both work with back. scratch: threads × scratch_size values.
   turned: as many values as w. b, db may be NULL. */
typedef struct {
    int64_t images, channels, filters, groups;
    int64_t taps;                       /* weights of one filter: channels / groups · window */
    int64_t out_rows, out_cols, stride_h, stride_w;
    fastnn_planes front, back;          /* of x, and of du, spread by the stride */
    int x_in_blocks, y_in_blocks;       /* and dx, and u and du */
    int64_t scratch_size;
    const void *x, *w, *b, *du;
    void *u, *y, *dw, *db, *dx, *scratch, *turned;
    int activation;
    double alpha;
    int threads;
} fastnn_conv;

/* Pooling of images · channels planes. dx and y are not x and dy. scratch: threads × scratch_size values, 128 bytes for each
   pixel that goes in and each that comes out if there are whole blocks, or the padded row, if that is more. */
typedef struct {
    int64_t images, channels, height, width, out_rows, out_cols, scratch_size;
    int x_in_blocks, y_in_blocks;
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    const void *x, *dy;
    void *y, *dx, *scratch;
    int threads;
} fastnn_pool;

/* Images (rows, channels, height, width) changed at random: see augment.inc.c. Each number is the largest change either
   way, flip and erase are probabilities, angles are in degrees. scratch, wanted if anything moves: threads × channels ×
   (height + 3) × (width + 3) values. */
typedef struct {
    int64_t rows, channels, height, width;
    double rotation, shift_h, shift_w, zoom, shear, flip, brightness, contrast, noise, erase;
    const void *x;
    void *y, *dy, *dx, *scratch;
    fastnn_stream stream;
    int threads;
} fastnn_augment;

/* y = w·x̂ + b with x̂ = (x − mean)·inv and inv = 1/√(var + eps), and the way back: db = Σ dy, dw = Σ dy·x̂, dy ← dx.
   batchnorm: x is (rows, channels, inner), a mean and a variance for each channel, those of the batch in training (the
   running ones follow: momentum, unbiased variance), else the running ones; x, y and dy may be in blocks. layernorm: x is
   (rows, inner), a mean and a variance for each row. saved: three values a channel, or a row, from forward to backward. Nothing may overlap. */
typedef struct {
    int64_t rows, channels, inner;
    const void *x, *w, *b;
    void *y, *saved;
    void *running_mean, *running_var;
    void *dy, *dw, *db;
    double eps, momentum;
    int training, in_blocks, threads;
} fastnn_norm;

/* Forward u = x @ (w∘m)·scale + b, backward dw = Σ (x ⊗ du)∘m·scale and dx = du @ ((w∘m)·scale)ᵀ, with a mask m for each
   of `rows` examples. b and dx may be NULL. */
typedef struct {
    int64_t rows, inside, outside;
    const void *x, *w, *b, *du;
    void *u, *dw, *dx;
    uint64_t threshold;
    double scale;
    fastnn_stream stream;
    int threads;
} fastnn_dropconnect;

/* What a penalty does to one parameter: R = l1·Σ|w| + ½·l2·Σw², and after the update the norm of each of `units` units
   (0: no limit), whose first weights are unit_step apart and whose others inner_step, is brought to at most limit. */
typedef struct {
    void *w, *g;
    int64_t n;
    double l1, l2;
    int proximal;               /* l1 by a soft threshold after the update, else by its subgradient */
    double limit;
    int64_t units, unit_step, inner_step;
} fastnn_restraint;

/* A loss of outputs y (rows, size): the value is Σ wᵢ·lᵢ / Σ w with a weight wᵢ for each example (NULL: 1), and dy is its
   gradient. lᵢ is the mean over the example's elements of what `kind` says (kernel `loss`), or the cross-entropy
   −Σ q·log softmax(y) with q = (1 − ε)·target + ε/size, times class_weight (NULL: 1) (kernel `cross_entropy`). Targets are
   values t in y's shape, or rows of probabilities t, or class numbers; then t is NULL. */
typedef struct {
    int kind;                   /* of kernel `loss` */
    double delta;               /* Huber's delta; ε, the label smoothing, of the cross-entropies */
    const void *y, *t;
    const int64_t *classes;
    const double *weights, *class_weight;
    void *dy;
    int64_t rows, size;
} fastnn_loss;

/* One update of n parameters w by their gradients g. mean and square are the optimizer's slots: a running mean (or
   momentum) and a running mean of squares; NULL where it has none. lr is the learning rate, decay is λ (0 for biases). */
typedef struct {
    void *w, *mean, *square;
    const void *g;
    int64_t n, step;            /* step: 1 for the first update */
    double lr, beta1, beta2;    /* of mean (SGD: momentum) and of square (RMSprop: alpha) */
    double eps, decay;
    int nesterov;
    int decoupled;              /* w shrinks by lr·decay first (AdamW); otherwise g grows by decay·w (Adam) */
    int threads;
} fastnn_update;

typedef struct {
    const char *isa;
    int64_t real_size;          /* bytes of a real */
    int64_t pack_bytes;         /* workspace that gemm needs for each thread */
#define KERNEL(returns, name, arguments) returns (*name) arguments;
#include "table.def"
} fastnn_kernels;

/* ---- dispatch.c: what else does not depend on the dtype ---- */

int fastnn_isa_count(void);                             /* instruction sets this machine runs, simplest first */
const char *fastnn_isa_name(int i);
const fastnn_kernels *fastnn_table(int i, int is_double);

void fastnn_init(void);                                 /* once, at import */
const char *fastnn_activation_name(int kind);           /* "relu", NULL beyond the last kind */
const char *fastnn_loss_name(int kind);
int fastnn_has_openmp(void);
int fastnn_threads(void);                               /* threads to use for a call made now, by this thread */
void fastnn_set_threads(int n);
const char *fastnn_compiler(void);
double fastnn_seconds(void);                            /* a clock, for intervals */

/* n words of the stream: Philox4x32-10, counter (block, step, stream), key = seed. */
void fastnn_words(uint32_t *out, int64_t n, uint64_t seed, uint32_t step, uint32_t stream);
/* A Fisher-Yates shuffle of 0 … n−1 by those words. */
void fastnn_permutation(int64_t *order, int64_t n, uint64_t seed, uint32_t step, uint32_t stream);
/* out[i] = rows[order[i]], for rows of `bytes` bytes. */
void fastnn_gather(void *out, const void *rows, const int64_t *order, int64_t n, int64_t bytes);
/* Whether word 0 of the stream is at or above the threshold. */
int fastnn_kept(uint64_t threshold, const fastnn_stream *s);
/* The first i whose class is not in 0 … k−1, or −1. */
int64_t fastnn_bad_class(const int64_t *classes, int64_t n, int64_t k);

/* ---- team.c: threads ---- */

/* Calls part(job, 0, parts) … part(job, parts − 1, parts), in any order, on as many threads as are free. */
typedef void (*fastnn_part)(const void *job, int part, int parts);
void fastnn_parallel(fastnn_part part, const void *job, int parts);
void fastnn_team_init(void);
int fastnn_team_lost(void);                             /* in a forked child, whose threads stayed behind */

extern const fastnn_kernels fastnn_portable[2];
#ifdef FASTNN_X86
extern const fastnn_kernels fastnn_x86_v3[2], fastnn_x86_v4[2];
#endif

#endif

/* What the engine knows of its kernels: the structs that they take, and the table that holds them.

   Each instruction set (isa_*.c) compiles the same source for float and for double and hands out two tables.
   dispatch.c chooses the set once, by what the processor has. table.def is the table of contents: every kernel, with
   a line on what it does. All arrays are row-major. void * stands for an array of `real`, so that one type of table
   serves both dtypes.

   Cython reads the structs of this file through setup.py, so a struct is a plain list of `type name, *name;`. */
#ifndef FASTNN_KERNELS_H
#define FASTNN_KERNELS_H

#include <stdint.h>
#include "philox.h"

/* ---- kinds of activations and losses ---- */

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

/* ---- structs ---- */

/* y = w·x̂ + b with x̂ = (x − mean)·inv and inv = 1/√(var + eps); backward: db = Σ dy, dw = Σ dy·x̂, and dx over dy.
   batchnorm: x is (rows, channels, inner), and a channel has a mean and a variance: those of the batch in training
   (the running ones are updated: momentum, unbiased variance), else the running ones, which are constants on the way
   back, too: dx = w·inv·dy, and dw and db are not written. groupnorm: x is likewise, and in each row `groups` groups of
   channels that stand side by side have a mean and a variance. saved: three values a channel, or a group, from forward
   to backward. Nothing may overlap. rmsnorm: x is (rows, inner), and y = w·x·inv with inv = 1/√(Σ x²/inner + eps);
   there is no b, and saved has one value a row. With `relu` a batchnorm of images gives y = max(w·x̂ + b, 0), and goes
   the way back from there. */
typedef struct {
    int64_t rows, channels, inner, groups;
    const void *x, *w, *b;
    void *y, *saved, *running_mean, *running_var;
    void *dy, *dw, *db;
    double eps, momentum;
    int training, interleaved, threads, relu;   /* interleaved: x, y and dy */
} fastnn_norm;

/* c = start + a @ b, y = act(c), where start is the bias in every row, or 0.
   a[i][p] stands at a[i·a_row + p·a_col], b[p][j] at b[p·b_row + j·b_col], so a transposed operand is only a pair of
   strides. c[i][j] stands at c[i·c_row + j], and y[i][j] likewise. y may be c; with the identity it must be. Where y is
   not c, an activation that saves act'(u) does so in c. With `norm`, whose constants are ready,
   c's columns are normalised before the activation; then y is c.
   Each output is one chain of fused multiply-adds in the order of p, or, of very many, a sum of chains, whatever the
   blocking and the threads. */
typedef struct {
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_col;
    const void *b;
    int64_t b_row, b_col;
    const void *packed;         /* b as gemm_pack made it, or NULL */
    const void *bias;           /* n values, or NULL */
    void *c, *y;
    int64_t c_row;
    const fastnn_norm *norm;    /* or NULL */
    int activation;
    double alpha;               /* leaky_relu's slope, elu's and celu's alpha, a shrinkage's lambd */
    void *work;                 /* threads · pack_bytes bytes, 64-byte aligned */
    int threads;
} fastnn_gemm;

/* Images are *interleaved* where LANES of them (as many as 64 bytes hold values) stand side by side, pixel by pixel;
   the rest of a batch, behind its interleaved blocks, stands image by image: see transpose.inc.c. */

/* The padded copy of images that a convolution reads. fastnn/conv_tables.py makes the tables and explains them; offsets
   count values, tap_offset_interleaved those of a block; tap_places and taps_interleaved say where each entry of `taps`
   stands in an image and in a block. An image takes image_size values. */
typedef struct {
    int64_t height, width;              /* of the image that is copied */
    int64_t channel_size, pitch, image_size;
    int contiguous;
    const int64_t *row_offset, *col_offset, *tap_offset, *tap_offset_interleaved;
    const int64_t *order, *window_begin, *tap_set, *row_set, *col_set;
    const int64_t *taps, *tap_places, *taps_interleaved, *tap_set_begin;
    int64_t full_set;
    void *memory;
} fastnn_planes;

/* How much of an interleaved block is worked out before it is transposed into single images: filters · pixels, a
   multiple of every LANES. conv_tables.py sorts the windows within such pieces. */
#define FASTNN_CONV_FILTERS 64
#define FASTNN_CONV_PIXELS 96
/* Lines that 1 × 1 kernels copy side by side, 128 KB: the end of a thread's scratch memory. */
#define FASTNN_CONV_LINES 2048

/* Winograd's formulas turn a window of 6 × 6 values into values at so many points. So many filters and lines
   (conv_winograd.inc.c) are worked out together, and at most so many lines are summed into dW. */
#define FASTNN_WINOGRAD_POINTS 36
#define FASTNN_WINOGRAD_FILTERS 32
#define FASTNN_WINOGRAD_LINES 2
#define FASTNN_WINOGRAD_SUMMED 16

/* A convolution, forward and backward: x (images, channels, input.height, input.width), w (filters, channels /
   groups, window), y, u and du (images, filters, out_rows, out_cols). u may be y, and holds what gemm's c holds.
   With `norm`, whose constants are ready, the output's channels are normalised before the activation; then y is u.
   `input` is filled by conv and read by conv_backward_weight, which comes before conv_backward_input; both read
   `gradient`.
   A transposed convolution is described by the convolution from its output to its input. conv_transpose makes u and y,
   of x's shape, from du; its two backward kernels make dw, db (of as many values as there are channels) and dx, of y's
   shape, from x, which stands for the output's gradient, and du. */
typedef struct {
    int64_t images, channels, filters, groups;
    int64_t filter_size;                /* weights of one filter: channels / groups · window */
    int64_t out_rows, out_cols, stride_h, stride_w;
    /* Windows of 3 × 3 or 5 × 5 pixels without dilation, in steps of 1 or 2 both ways, the first one beginning so many
       pixels above and left of the image; window is 0 for others. */
    int64_t window, step, top, left;
    fastnn_planes input, gradient;      /* of x, and of du, spread by the stride */
    int x_interleaved, y_interleaved;   /* x and dx; y, u and du */
    /* Where windows find their pixels in a block of images as it came: order[e]'s first one, and how much further that
       of each entry of `taps` stands. For dx in du; if not NULL, the planes of du have room for LANES − 1 images. For
       a prediction in x: nobody reads the planes afterwards, so it may do without. */
    const int64_t *du_begin, *du_taps, *x_begin, *x_taps;
    int predicts;
    /* Do blocks go by strips (conv_depthwise.inc.c), without planes of x? */
    int by_strips;
    /* Is dW a product (conv_weight.inc.c)? And is then each window a pixel, which it reads in x as it came? If so, the
       planes of x are scratch memory, which other layers write to. */
    int products, pixels;
    int64_t scratch_size;
    const void *x, *w, *b, *du;         /* b may be NULL */
    void *u, *y, *dw, *db, *dx;         /* db may be NULL, or both it and dw */
    void *scratch, *weights;            /* threads · scratch_size values; w turned for the way back, or sums of dW */
    void *panels;                       /* room for the weights as conv_pack makes them, or NULL */
    void *work;                         /* as gemm's */
    /* Of Winograd's formulas: the kernel's height and width, or 0; how many lines go into dW together; the transformed
       weights, and the same in strips; transformed x and du. */
    int64_t kernel, weight_lines;
    void *transformed, *strips, *tiles;
    const void *packed;                 /* w as one of the packing kernels made it, or NULL */
    const fastnn_norm *norm;            /* or NULL */
    int activation;
    double alpha;
    int threads;
} fastnn_conv;

/* Pooling of images · channels planes. dx and y must not be x and dy. Window (i, j) has rows row_begin[i] …
   row_end[i] − 1 and columns col_begin[j] … col_end[j] − 1, in steps of the dilation, at least one of each; an average
   divides by row_size[i] · col_size[j]. fastnn/image_tables.py makes the tables. `tiled`: the windows cover the image
   without gap, overlap or rest; `pairs`: and each of them is 2 × 2 pixels.
   The maxima of single images go by stride, with pad_w columns before a row. scratch: threads · scratch_size values;
   these are the padded row, as far as the last window goes, or if there are interleaved blocks and that is more,
   2 · LANES for each pixel of an input and an output plane. */
typedef struct {
    int64_t images, channels, height, width, out_rows, out_cols, scratch_size;
    int x_interleaved, y_interleaved;   /* x and dx; y and dy */
    const int64_t *row_begin, *row_end, *col_begin, *col_end;
    const void *row_size, *col_size;
    int64_t dilation_h, dilation_w;
    int tiled, pairs;
    int64_t kernel_w, stride_w, pad_w;
    const void *x, *dy;
    void *y, *dx, *scratch;
    int threads;
} fastnn_pool;

/* y[i, j] looks at x in rows row_low[i] and row_high[i], of which it takes the fraction row_part[i], and in columns
   alike; at the low ones alone where row_part and col_part are NULL. */
typedef struct {
    int64_t images, channels, height, width, out_rows, out_cols;
    int interleaved;                    /* x, y, dy and dx */
    const int64_t *row_low, *row_high, *col_low, *col_high;
    const double *row_part, *col_part;
    const void *x, *dy;
    void *y, *dx;
    int threads;
} fastnn_upsample;

/* Images (rows, channels, height, width) changed at random: see augment.inc.c. Each number is the largest change in
   either direction; flip and erase are probabilities, angles are in degrees, and what comes from
   outside, or is erased, is fill. scratch, needed where pixels move:
   threads · channels · (height + 3) · (width + 3) values. */
typedef struct {
    int64_t rows, channels, height, width;
    double rotation, shift_h, shift_w, zoom, shear, flip, brightness, contrast, noise, erase, fill;
    int whole_shift;                            /* is the shift a whole number of pixels? */
    const void *x;
    void *y, *dy, *dx, *scratch;
    fastnn_stream stream;
    int threads;
} fastnn_augment;

/* y = x where x > 0, else a·x, with a slope a for each channel of x (rows, channels, inner). Backward: da, and dx over
   dy. y must not be x. */
typedef struct {
    int64_t rows, channels, inner;
    const void *x, *a;
    void *y, *dy, *da;
    int interleaved, threads;                   /* interleaved: x, y and dy */
} fastnn_prelu;

/* Forward u = x @ (w∘m)·scale + b, backward dw = Σ (x ⊗ du)∘m·scale and dx = du @ ((w∘m)·scale)ᵀ, with a mask m for
   each of `rows` examples. b and dx may be NULL. */
typedef struct {
    int64_t rows, inside, outside;
    const void *x, *w, *b, *du;
    void *u, *dw, *dx;
    uint64_t threshold;
    double scale;
    fastnn_stream stream;
    int threads;
} fastnn_dropconnect;

/* A loss of outputs y (rows, size): the value is Σ wᵢ·l with a weight wᵢ for each example (NULL: 1), divided by what
   the costs l count if it is a mean, and dy is its gradient. l is what `kind` says of an element (kernel `loss`), or,
   for each target of outputs (rows, K, inner), K·inner = size, the cross-entropy −Σ q·log softmax(y) with
   q = (1 − ε)·target + ε/K, times class_weight (kernel `cross_entropy`), or −Σ q·y, likewise (kernel `nll`).
   class_weight has `weight_count` numbers, or is NULL. Of classes they belong to the first ones, and all others weigh
   1; of WEIGHTED_BCE_WITH_LOGITS to no, and then to yes: of all outputs, or of each.
   Targets are values t in y's shape, or rows of probabilities t, or class numbers (rows, inner); then t is NULL. If it
   `ignores`, the class number `ignored` costs 0 and does not count. */
typedef struct {
    int kind;                   /* of kernel `loss` */
    double delta;               /* Huber's delta; Poisson's eps; ε of label smoothing */
    const void *y, *t;
    const int64_t *classes;
    const double *weights, *class_weight;
    int64_t weight_count;
    void *dy, *costs;           /* costs: wᵢ·l, of each element or target; may be NULL */
    int64_t rows, size, inner;
    int mean, ignores;
    int64_t ignored;
    int threads;                /* of kernel `cross_entropy` */
} fastnn_loss;

/* A weight matrix among the parameters: it begins at `offset` in an optimizer's slots. */
typedef struct {
    int64_t offset, rows, columns;
} fastnn_matrix;

/* One update of n parameters w by their gradients g. mean, square and third are the optimizer's slots, NULL where it
   has none: a running mean (of SGD its momentum), a running mean of squares, and RMSprop's momentum, Adadelta's mean of
   the squares of steps or AMSGrad's largest square. lr is the learning rate, decay is λ (0 for biases). The first
   parameter is at `start` in the slots; of the network's matrices, in the order of the slots, some are among them. */
typedef struct {
    void *w, *mean, *square, *third;
    const void *g;
    int64_t n, step;            /* step: 1 for the first update */
    double lr, lr_g, lr_m;      /* NAdam multiplies the gradient and the mean by rates of their own */
    double beta1, beta2;        /* of mean and of square (RMSprop: alpha of both, Adadelta: rho of both) */
    double eps, decay;
    double momentum, dampening; /* of SGD; RMSprop has a momentum, too */
    int nesterov;
    int decoupled;              /* w shrinks by lr·decay first (AdamW); otherwise g grows by decay·w (Adam) */
    int64_t start;
    const fastnn_matrix *matrices;
    int matrix_count;
    int threads;
} fastnn_update;

/* The penalty and the limit of one parameter: R = l1·Σ|w| + ½·l2·Σw², and after the update each of `units` units (0:
   no limit) is scaled to a norm of at most `limit`. The units' first weights are unit_step apart. The parameter begins
   at `offset` in an optimizer's slots; its learning rate is lr · lr_scale. */
typedef struct {
    void *w, *g;
    int64_t n;
    double l1, l2;
    int proximal;               /* l1 by a soft threshold after the update, else by its subgradient */
    double limit;
    int64_t units, unit_step;
    int64_t offset;
    double lr_scale;
} fastnn_constraint;

/* An optimizer's step size, what a weight moves by if its gradient stays 1. For the weight at place i of the slots it
   is each[i], or scale / (root·√square[i] + eps), or, where neither is given, scale; `scale` times the parameter's
   lr_scale, which `each` knows already. Centered, it has square[i] − mean[i]² in place of square[i]; Adadelta's is
   scale·√(step_square[i] + eps) / √(square[i] + eps). Both are NULL otherwise. */
typedef struct {
    const void *each, *square, *mean, *step_square;
    double scale, root, eps;
} fastnn_step_size;

/* The kernels of one dtype and instruction set; setup.py relies on it that this is the last struct. */
typedef struct {
    const char *isa;
    int64_t real_size;          /* bytes of a real */
    int64_t pack_bytes;         /* workspace that gemm needs for each thread */
#define KERNEL(returns, name, arguments) returns (*name) arguments;
#include "table.def"
} fastnn_kernels;

/* ---- dispatch.c: what does not depend on the dtype ---- */

int fastnn_isa_count(void);                             /* instruction sets this machine runs, simplest first */
const char *fastnn_isa_name(int i);
const fastnn_kernels *fastnn_table(int i, int is_double);

void fastnn_init(void);                                 /* once, at import */
const char *fastnn_activation_name(int kind);           /* "relu"; NULL beyond the last kind */
const char *fastnn_loss_name(int kind);
int fastnn_has_openmp(void);
#define FASTNN_THREADS 1024                             /* at most */
int fastnn_threads(void);                               /* threads to use for a call made now, by this thread */
void fastnn_set_threads(int n);
int fastnn_limit_threads(int n);                        /* for this thread alone; 0: no limit */
const char *fastnn_compiler(void);

/* n words of the stream: Philox4x32-10, counter (block, step, stream), key = seed. */
void fastnn_words(uint32_t *out, int64_t n, uint64_t seed, uint32_t step, uint32_t stream);
/* A Fisher-Yates shuffle of 0 … n−1 by those words. */
void fastnn_permutation(int64_t *order, int64_t n, uint64_t seed, uint32_t step, uint32_t stream);
/* out[i] = rows[order[i]], for rows of `bytes` bytes. */
void fastnn_gather(void *out, const void *rows, const int64_t *order, int64_t n, int64_t bytes);
/* Whether word 0 of the stream is at or above the threshold: true with probability 1 − threshold/2³². */
int fastnn_bernoulli(uint64_t threshold, const fastnn_stream *s);
/* The first i whose class is not in 0 … k−1, nor `other`, or −1. */
int64_t fastnn_bad_class(const int64_t *classes, int64_t n, int64_t k, int64_t other);

/* ---- team.c: threads, and the clock ---- */

/* Calls part(job, 0, parts) … part(job, parts − 1, parts), in any order, on as many threads as are free. */
typedef void (*fastnn_part)(const void *job, int part, int parts);
void fastnn_parallel(fastnn_part part, const void *job, int parts);
/* The next `count` of what the parts of a job share; returns the first of them. */
static inline int64_t fastnn_take(int64_t *next, int64_t count)
{
    return __atomic_fetch_add(next, count, __ATOMIC_RELAXED);
}
void fastnn_team_init(void);
int fastnn_after_fork(void);                            /* true in a forked child, which has no workers */
double fastnn_seconds(void);                            /* a clock, for intervals */

/* ---- the tables: float, double ---- */

extern int fastnn_first_level_ways;     /* of the first-level cache: lines of a set; 0 or −1 where it is not known */
extern const fastnn_kernels fastnn_portable[2];
#ifdef FASTNN_X86
extern const fastnn_kernels fastnn_x86_v3[2], fastnn_x86_v4[2];
#endif

#endif

# What the other modules see of the C kernels. See kernels/kernels.h for what each member does.
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "kernels.h" nogil:
    enum:
        CONV_FILTERS "FASTNN_CONV_FILTERS"
        CONV_PIXELS "FASTNN_CONV_PIXELS"
    enum:
        IDENTITY, RELU, LEAKY_RELU, ELU, SILU, GELU, GELU_TANH, SOFTPLUS, TANH, SIGMOID, SOFTMAX, LOG_SOFTMAX
    bint KEEPS_SLOPE(int activation) noexcept
    enum:
        MSE, L1_KIND "L1", HUBER, BCE_WITH_LOGITS

    ctypedef struct fastnn_gemm:
        int64_t m, n, k
        const void *a
        int64_t a_row, a_col
        const void *b
        int64_t b_row, b_col
        const void *bias
        void *c
        void *y
        int64_t c_row
        int activation
        double alpha
        void *work
        int threads

    ctypedef struct fastnn_planes:
        int64_t height, width, plane, pitch, size
        bint dense
        const int64_t *down
        const int64_t *across
        const int64_t *offsets
        const int64_t *line_offsets
        const int64_t *order
        const int64_t *places
        const int64_t *kinds
        const int64_t *seen
        const int64_t *starts
        int64_t every
        void *memory

    ctypedef struct fastnn_conv:
        int64_t images, channels, filters, groups, taps, out_rows, out_cols, stride_h, stride_w
        fastnn_planes front
        fastnn_planes back
        bint x_in_blocks, y_in_blocks
        int64_t scratch_size
        const void *x
        const void *w
        const void *b
        const void *du
        void *u
        void *y
        void *dw
        void *db
        void *dx
        void *scratch
        void *turned
        int activation
        double alpha
        int threads

    ctypedef struct fastnn_pool:
        int64_t images, channels, height, width, out_rows, out_cols, scratch_size
        bint x_in_blocks, y_in_blocks
        int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w
        const void *x
        const void *dy
        void *y
        void *dx
        void *scratch
        int threads

    ctypedef struct fastnn_norm:
        int64_t rows, channels, inner
        const void *x
        const void *w
        const void *b
        void *y
        void *saved
        void *running_mean
        void *running_var
        void *dy
        void *dw
        void *db
        double eps, momentum
        bint training, in_blocks
        int threads

    ctypedef struct fastnn_stream:
        uint64_t seed
        uint32_t step, stream

    ctypedef struct fastnn_augment:
        int64_t rows, channels, height, width
        double rotation, shift_h, shift_w, zoom, shear, flip, brightness, contrast, noise, erase
        const void *x
        void *y
        void *dy
        void *dx
        void *scratch
        fastnn_stream stream
        int threads

    ctypedef struct fastnn_dropconnect:
        int64_t rows, inside, outside
        const void *x
        const void *w
        const void *b
        const void *du
        void *u
        void *dw
        void *dx
        uint64_t threshold
        double scale
        fastnn_stream stream
        int threads

    ctypedef struct fastnn_restraint:
        void *w
        void *g
        int64_t n
        double l1, l2
        bint proximal
        double limit
        int64_t units, unit_step, inner_step

    ctypedef struct fastnn_kernels:
        const char *isa
        int64_t real_size
        int64_t pack_bytes
        void (*gemm)(const fastnn_gemm *) noexcept nogil
        void (*activate)(int, double, const void *, void *, void *, int64_t, int64_t, int) noexcept nogil
        void (*activate_backward)(int, double, const void *, const void *, void *, void *,
                                  int64_t, int64_t, int) noexcept nogil
        void (*conv)(const fastnn_conv *) noexcept nogil
        void (*conv_backward_weight)(const fastnn_conv *) noexcept nogil
        void (*conv_backward_input)(const fastnn_conv *) noexcept nogil
        void (*max_pool)(const fastnn_pool *) noexcept nogil
        void (*max_pool_backward)(const fastnn_pool *) noexcept nogil
        void (*avg_pool)(const fastnn_pool *) noexcept nogil
        void (*avg_pool_backward)(const fastnn_pool *) noexcept nogil
        void (*global_pool)(const fastnn_pool *) noexcept nogil
        void (*global_pool_backward)(const fastnn_pool *) noexcept nogil
        void (*batchnorm)(const fastnn_norm *) noexcept nogil
        void (*batchnorm_backward)(const fastnn_norm *) noexcept nogil
        void (*layernorm)(const fastnn_norm *) noexcept nogil
        void (*layernorm_backward)(const fastnn_norm *) noexcept nogil
        void (*dropout)(const void *, void *, int64_t, uint64_t, double, const fastnn_stream *, int) noexcept nogil
        void (*mask_rows)(void *, int64_t, int64_t, uint64_t, double, const fastnn_stream *) noexcept nogil
        void (*residual)(const void *, const void *, void *, int64_t, int64_t, uint64_t, double,
                         const fastnn_stream *) noexcept nogil
        void (*mix)(const void *, void *, int64_t, int64_t, double) noexcept nogil
        void (*gaussian_noise)(const void *, void *, int64_t, double, const fastnn_stream *, int) noexcept nogil
        void (*augment)(const fastnn_augment *) noexcept nogil
        void (*augment_backward)(const fastnn_augment *) noexcept nogil
        void (*dropconnect)(const fastnn_dropconnect *) noexcept nogil
        void (*dropconnect_backward)(const fastnn_dropconnect *) noexcept nogil
        void (*square)(const void *, void *, int64_t, double) noexcept nogil
        void (*expectation)(int, double, const void *, void *, const void *, int64_t, void *, void *,
                            int64_t, int64_t, int) noexcept nogil
        double (*loss)(int, double, const void *, const void *, void *, int64_t) noexcept nogil
        double (*cross_entropy)(const void *, const int64_t *, const void *, double,
                                void *, int64_t, int64_t) noexcept nogil
        double (*loss_weighted)(int, double, const void *, const void *, const double *, void *,
                                int64_t, int64_t) noexcept nogil
        double (*cross_entropy_weighted)(const void *, const int64_t *, const void *, double, const double *,
                                         const double *, void *, int64_t, int64_t) noexcept nogil
        void (*sgd)(void *, const void *, void *, int64_t, double, double, int, double, int) noexcept nogil
        void (*rmsprop)(void *, const void *, void *, int64_t, double, double, double, double, int) noexcept nogil
        void (*adam)(void *, const void *, void *, void *, int64_t, double, double, double, double, double, int,
                     double, double, int) noexcept nogil
        double (*penalty)(const fastnn_restraint *, int64_t) noexcept nogil
        void (*penalty_gradient)(const fastnn_restraint *, int64_t) noexcept nogil
        void (*restrain)(const fastnn_restraint *, int64_t, double) noexcept nogil
        double (*sum_squares)(const void *, int64_t) noexcept nogil
        void (*scale)(void *, int64_t, double) noexcept nogil
        void (*clamp)(void *, int64_t, double) noexcept nogil
        int64_t (*first_outside)(const void *, int64_t, double, double) noexcept nogil


# The table in use, for a dtype of `real_size` bytes; threads for a call made now; the rest as in kernels.h.
cdef const fastnn_kernels *table(int64_t real_size) noexcept nogil
cdef int64_t pack_bytes() noexcept nogil             # workspace for each thread of a product
cdef int threads() noexcept nogil
cdef double seconds() noexcept nogil
cdef void permute(int64_t *order, int64_t n, uint64_t seed, uint32_t step, uint32_t stream) noexcept nogil
cdef void gather(void *out, const void *rows, const int64_t *order, int64_t n, int64_t bytes) noexcept nogil
cdef bint kept(uint64_t threshold, const fastnn_stream *s) noexcept nogil
cdef int64_t bad_class(const int64_t *classes, int64_t n, int64_t k) noexcept nogil

# NumPy arrays without NumPy's headers. `ready` says whether x is a C-contiguous ndarray of that format character and
# of shape (n >= 1, *dims), and gives its address and n; `floats` the same for any shape of floats or doubles;
# `address` is for writable arrays made here; `aligned` makes zeroed bytes that start at a cache line, `new_array` an
# array whose values are not set.
cdef bint ready(object x, char format, int ndim, const int64_t *dims, const void **data, int64_t *rows)
cdef bint floats(object x, const void **data, int64_t *rows, int64_t *values)
cdef void *address(object array) except? NULL
cdef object aligned(int64_t size)
cdef object new_array(tuple shape, object dtype)

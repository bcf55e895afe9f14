# What the other modules see of the C kernels: the structs of kernels/kernels.h and the kernels of kernels/table.def, as
# setup.py restates them, and what is declared here by hand.
from libc.stdint cimport int64_t, uint32_t, uint64_t

include "kernels.pxi"

cdef extern from "kernels.h" nogil:
    enum:
        CONV_FILTERS "FASTNN_CONV_FILTERS"
        MOST_THREADS "FASTNN_THREADS"
        CONV_LINES "FASTNN_CONV_LINES"
        CONV_PIXELS "FASTNN_CONV_PIXELS"
        WINOGRAD_FILTERS "FASTNN_WINOGRAD_FILTERS"
        WINOGRAD_LINES "FASTNN_WINOGRAD_LINES"
        WINOGRAD_POINTS "FASTNN_WINOGRAD_POINTS"
        WINOGRAD_SUMMED "FASTNN_WINOGRAD_SUMMED"
    enum:                                            # the activations that are cases of their own somewhere
        IDENTITY, RELU
    int64_t take "fastnn_take"(int64_t *next, int64_t count) noexcept
    ctypedef void (*part_of_job "fastnn_part")(const void *job, int part, int parts) noexcept nogil
    bint saves_slope "activation_saves_slope"(int activation) noexcept
    bint is_elementwise "activation_is_elementwise"(int activation) noexcept

# The number of an activation, or of a loss over elements, by its name in activations.def or losses.def.
cdef int activation_kind(str name) except -1
cdef int loss_kind(str name) except -1

# The table in use, for a dtype of `real_size` bytes; threads for a call made now; the rest as in kernels.h.
cdef const fastnn_kernels *table(int64_t real_size) noexcept nogil
cdef int64_t pack_bytes() noexcept nogil             # workspace for each thread of a product
cdef int threads() noexcept nogil
cdef double seconds() noexcept nogil
cdef void parallel(part_of_job part, const void *job, int parts) noexcept nogil
cdef void permute(int64_t *order, int64_t n, uint64_t seed, uint32_t step, uint32_t stream) noexcept nogil
cdef void gather(void *out, const void *rows, const int64_t *order, int64_t n, int64_t bytes) noexcept nogil
cdef bint bernoulli(uint64_t threshold, const fastnn_stream *s) noexcept nogil
cdef int64_t bad_class(const int64_t *classes, int64_t n, int64_t k, int64_t other) noexcept nogil

# NumPy arrays. `ready` says whether x is a C-contiguous ndarray of that format character and of shape (n >= 1, *dims),
# and gives its address and n; `floats` the same for any shape of floats or doubles; `writable` says whether all are so;
# `address` is for writable arrays made here; `aligned` makes zeroed bytes that start at a cache line, `new_array` an
# array whose values are not set.
cdef bint ready(object x, char format, int ndim, const int64_t *dims, const void **data, int64_t *rows)
cdef bint floats(object x, const void **data, int64_t *rows, int64_t *values)
cdef bint writable(list arrays)
cdef void *address(object array) except? NULL
cdef object aligned(int64_t size, bint zeroed=*)
cdef object new_array(tuple shape, object dtype)

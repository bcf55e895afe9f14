from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_kernels


cdef class Loss:
    cdef object gradient            # of the last forward by hand
    # The targets as an array that value_pass can read: int64 class numbers (n,), or values of the model's dtype.
    cdef object accept(self, object t, int64_t rows, tuple shape, object dtype, const void **data)
    # Mean loss of `rows` outputs of `size` values each, and its gradient; weights of the examples, or NULL.
    cdef double value_pass(self, const fastnn_kernels *k, const void *y, const void *t, bint classes,
                           const double *weights, void *dy, int64_t rows, int64_t size) noexcept nogil

from libc.stdint cimport int64_t

from fastnn.network cimport Pass


cdef class Loss:
    cdef bint is_made
    cdef object gradient            # of the last forward by hand
    # The targets as an array that value_pass can read: int64 class numbers (n,), or values of the model's dtype.
    cdef object prepare(self, object t, int64_t rows, tuple shape, object dtype, const void **data)
    cdef int note_targets(self, object t) except -1
    # Mean loss of `rows` outputs of `size` values each, and its gradient; weights of the examples, or NULL.
    cdef double value_pass(self, Pass *p, const void *y, const void *t, bint classes, const double *weights, void *dy,
                           int64_t rows, int64_t size) noexcept nogil


# A loss, or a host for a CustomLoss; TypeError for anything else.
cdef Loss as_loss(object value)

from libc.stdint cimport int64_t

from fastnn.closed cimport Closed
from fastnn.network cimport Pass


cdef class Loss(Closed):
    cdef bint is_made
    cdef readonly str reduction
    cdef bint is_mean, is_sum       # with neither, forward by hand gives the costs
    cdef object gradient            # of the last forward by hand
    cdef tuple value_shape
    cdef tuple costs_shape(self, tuple shape)
    # The targets as an array that value_pass can read: int64 class numbers (n, ...), or values of the model's dtype.
    cdef object prepare(self, object t, int64_t rows, tuple shape, object dtype, const void **data)
    cdef int note_targets(self, object t) except -1
    # The loss of `rows` outputs of `size` values each, size / inner on axis 1, and its gradient; weights of the
    # examples, or NULL. It writes the costs unless they are NULL.
    cdef double value_pass(self, Pass *p, const void *y, const void *t, bint classes, const double *weights, void *dy,
                           void *costs, int64_t rows, int64_t size, int64_t inner) noexcept nogil


# A loss that gives one number, or a host for a CustomLoss; TypeError for anything else.
cdef Loss as_loss(object value)

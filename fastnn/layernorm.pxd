from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_norm
from fastnn.layer cimport Layer
from fastnn.network cimport Pass


cdef class RowNorm(Layer):
    """A layer that normalises rows, each by its own values."""

    cdef readonly tuple normalized_shape
    cdef fastnn_norm g
    cdef int64_t groups         # rows of one example
    cdef int64_t row_values     # values that `saved` holds for each row
    cdef void *y
    cdef void *saved

    cdef int set_rows(self, object normalized_shape, int64_t row_values) except -1
    cdef void begin(self, Pass *p, const void *x) noexcept nogil

from libc.stdint cimport int64_t

from fastnn.network cimport Pass
from fastnn.norm cimport Norm


cdef class RowNorm(Norm):
    """A layer that normalises rows, each by its own values."""

    cdef readonly tuple normalized_shape
    cdef int64_t row_size       # values of a row
    cdef int64_t groups         # rows of one example
    cdef int64_t row_values     # values that `saved` holds for each row

    cdef int set_rows(self, object normalized_shape, int64_t row_values) except -1
    cdef void begin(self, Pass *p, const void *x) noexcept nogil

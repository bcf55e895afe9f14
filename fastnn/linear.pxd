from libc.stdint cimport int64_t

from fastnn.activation cimport Weighted
from fastnn.network cimport Pass


cdef class Linear(Weighted):
    cdef readonly int64_t in_features, out_features
    cdef int64_t groups         # rows of one example
    cdef void *w
    cdef void *b
    cdef void *dw
    cdef void *db
    cdef const void *x
    cdef void *u                # where act'(u) is saved, if it is; else y itself
    cdef void *y
    cdef void *product(self, Pass *p, const void *x, const void *w, int activation) noexcept nogil
    cdef void *through_activation(self, Pass *p, void *dy) noexcept nogil
    cdef void weight_gradient(self, Pass *p, const void *x, const void *du, void *dw) noexcept nogil
    cdef void input_gradient(self, Pass *p, const void *du, const void *w, void *dx) noexcept nogil
    cdef void *to_spare(self, Pass *p, void *du, const void *w) noexcept nogil

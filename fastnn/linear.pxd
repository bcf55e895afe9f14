from libc.stdint cimport int64_t

from fastnn.activation cimport Activation
from fastnn.layer cimport Layer, Pass


cdef class Linear(Layer):
    cdef Activation act
    cdef object initialiser
    cdef bint has_bias
    cdef int64_t inside, outside
    cdef void *w
    cdef void *b
    cdef void *dw
    cdef void *db
    cdef const void *x
    cdef void *u                # where act'(u) is kept, if it is; else y itself
    cdef void *y
    cdef void *product(self, Pass *p, const void *x, const void *w, int activation) noexcept nogil
    cdef void through_activation(self, Pass *p, void *dy) noexcept nogil
    cdef void weight_gradient(self, Pass *p, const void *du) noexcept nogil
    cdef void *input_gradient(self, Pass *p, void *du, const void *w) noexcept nogil

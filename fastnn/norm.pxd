from fastnn._kernels cimport fastnn_norm
from fastnn.layer cimport Layer


cdef class Norm(Layer):
    """A layer that normalises, and multiplies by a scale and adds a shift unless it is made without them."""

    cdef fastnn_norm g
    cdef void *y
    cdef void *saved
    cdef tuple affine_shape
    cdef list stand_ins         # arrays in place of a scale and a shift that are not there, and of their gradients

    cdef int add_affine(self, tuple shape, bint affine, object bias) except -1
    cdef object stand_in(self, double value)

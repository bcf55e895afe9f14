from libc.stdint cimport int64_t

from fastnn.layer cimport Layer


cdef class Activation(Layer):
    cdef int kind           # which one: the enum of kernels.h
    cdef double parameter   # leaky_relu's slope, elu's alpha
    cdef int64_t width      # the last axis, which softmax sums over
    cdef void *y
    cdef const void *x


# Whether the derivative is taken from the pre-activation u (else from the activation y).
cdef bint from_input(int kind) noexcept nogil
# The activation that a layer's argument means: a name, an Activation, or None for the identity.
cdef Activation activation_of(object activation)

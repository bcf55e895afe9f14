from libc.stdint cimport int64_t

from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport Node, Pass


cdef class Activation(Layer):
    cdef int kind           # which one: the enum of kernels.h
    cdef double parameter   # leaky_relu's slope, elu's and celu's alpha, a shrinkage's lambd
    cdef int64_t width      # the last axis, which softmax sums over
    cdef void *saved        # for backward: y, or act'(u)
    cdef void *y            # where that is not what is saved


# What Linear and convolutions share: a weight, a bias unless there is none, and an activation behind them.
cdef class Weighted(Layer):
    cdef readonly Layer activation
    cdef Activation act         # what the kernel computes
    cdef Node norm              # what is done along with it where nothing is saved, if `absorbed`
    cdef Activation after
    cdef bint is_hosted         # a user's own activation comes after the kernel
    cdef readonly object init
    cdef bint has_bias
    cdef int add_weights(self, tuple shape, object outside, object activation, object bias, object init) except -1
    cdef int plan_hosted(self, tuple out_shape, int64_t rows, Plan plan) except -1
    cdef void *activated(self, Pass *p, void *y) noexcept nogil


# The activation that a layer's argument means: a name, an Activation, a host for a CustomActivation, or None for the
# identity.
cdef Layer get_activation(object activation)

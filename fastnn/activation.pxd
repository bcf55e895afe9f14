from libc.stdint cimport int64_t

from fastnn.layer cimport Layer


cdef class Activation(Layer):
    cdef int kind           # which one: the enum of kernels.h
    cdef double parameter   # leaky_relu's slope, elu's and celu's alpha, a shrinkage's lambd
    cdef int64_t width      # the last axis, which softmax sums over
    cdef void *saved        # for backward: y, or act'(u)
    cdef void *y            # where that is not what is saved


# The activation that a layer's argument means: a name, an Activation, a host for a CustomActivation, or None for the
# identity.
cdef Layer get_activation(object activation)
# What the product's kernel computes: that activation, or the identity before a host.
cdef Activation fused(Layer activation)
# What a product or a convolution can do along with its own work where nothing is saved, of the layers behind it: a
# normalisation by constants, then an activation. Each may be None.
cdef tuple absorbed(tuple behind)

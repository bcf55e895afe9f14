from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_conv, fastnn_planes
from fastnn.activation cimport Weighted
from fastnn.memory cimport Plan
from fastnn.network cimport Pass


# What Conv2d and ConvTranspose2d share. `g` describes a convolution: the layer itself, or the one from its output to
# its input.
cdef class Convolution(Weighted):
    cdef readonly tuple kernel_size, stride, padding, dilation
    cdef fastnn_conv g
    cdef list tables                            # what g points to
    cdef void *u                                # where act'(u) is kept, if it is; else y itself

    cdef int make(self, object channels, object filters, object groups, object outside, object activation, object bias,
                  object init) except -1
    cdef object set_planes(self, fastnn_planes *g, object planes, int64_t channels, int64_t rows, int64_t lanes)
    cdef object unpadded(self, object planes, object tables, int64_t channels, int64_t lanes)
    cdef int plan_windows(self, tuple image, tuple windows, int64_t rows, Plan plan) except -1
    cdef tuple tiled(self, tuple image)
    cdef int plan_points(self, int64_t lanes, Plan plan) except -1
    cdef void start(self, Pass *p) noexcept nogil
    cdef void *act_backward(self, Pass *p, void *dy) noexcept nogil

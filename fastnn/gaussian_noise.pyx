"""Gaussian noise: in training a small random number is added to each value.

    forward     y  = x + std · z,  z ~ N(0, 1)
    backward    dx = dy
    prediction  y  = x

Reference: fastnn_ref/gaussian_noise.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_stream
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport Pass, stream_of

from fastnn_ref.shared import checks


cdef class GaussianNoise(Layer):
    """GaussianNoise(std)\n--\n\n"""

    cdef readonly double std
    cdef void *y

    def __init__(self, std):
        std = checks.as_number("std", std, 0)
        Layer.__init__(self)
        self.std = std

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Layer.plan(self, shape, rows, plan)
        plan.reserve_result(&self.y, <object>rows * self.out_size)
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        if not p.training or self.std == 0:
            return <void *>x
        p.k.gaussian_noise(x, self.y, p.rows * self.in_size, self.std, &stream, p.threads)
        return self.y

"""Gaussian noise: in training every value is shaken a little.

    forward     y  = x + std · z,  z ~ N(0, 1)
    backward    dx = dy
    prediction  y  = x

Twin: fastnn_ref/gaussian_noise.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_stream
from fastnn.layer cimport Arena, Layer, Pass, stream_of

from fastnn_ref.shared import checks


cdef class GaussianNoise(Layer):
    """GaussianNoise(std)\n--\n
    In training adds normal noise of standard deviation ``std`` >= 0; nothing at prediction.

    Takes any shape (n, …) and keeps it.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.GaussianNoise(0.1), seed=1)
    >>> bool(abs(model.forward(np.zeros((1, 10_000)), training=True).std() - 0.1) < 0.005)
    True
    >>> model(np.zeros((1, 2))).tolist()
    [[0.0, 0.0]]
    """

    cdef readonly double std
    cdef void *y

    def __init__(self, std):
        Layer.__init__(self)
        self.std = checks.as_number("std", std, 0)

    def arguments(self):
        return (self.std,), {}

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Layer.plan(self, shape, rows, arena)
        arena.reserve(&self.y, <object>rows * self.out_size)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        if not p.training or self.std == 0:
            return <void *>x
        p.k.gaussian_noise(x, self.y, p.rows * self.in_size, self.std, &stream, p.threads)
        return self.y

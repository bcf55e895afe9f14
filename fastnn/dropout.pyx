"""Dropout: in training each value is thrown away with probability p.

    forward     y  = x · m / (1 − p)        m = 0 with probability p, else 1
    backward    dx = dy · m / (1 − p)       the same words drawn again: no mask is stored
    prediction  y  = x

Twin: fastnn_ref/dropout.py.
"""

from libc.stdint cimport int64_t, uint64_t

from fastnn._kernels cimport fastnn_stream
from fastnn.layer cimport Arena, Layer, Pass, stream_of

from fastnn_ref import philox
from fastnn_ref.shared import checks


cdef class Dropout(Layer):
    """Dropout(p=0.5)\n--\n
    In training zeroes each value with probability ``p``, 0 <= p <= 1, and multiplies the others by 1 / (1 − p).

    Nothing happens at prediction. p = 0 is the identity, p = 1 gives exact zeros. Takes any shape (n, …) and keeps it.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Dropout(0.75), seed=1)
    >>> y = model.forward(np.ones((1, 1000)), training=True)
    >>> sorted(set(y.ravel().tolist())), bool(abs(y.mean() - 1) < 0.2)
    ([0.0, 4.0], True)
    >>> bool((model.backward(np.ones((1, 1000))) == y).all()), model(np.ones((1, 3))).tolist()
    (True, [[1.0, 1.0, 1.0]])
    """

    cdef readonly double p
    cdef uint64_t threshold
    cdef double scale
    cdef void *y

    def __init__(self, p=0.5):
        Layer.__init__(self)
        self.p = checks.as_number("p", p, 0, 1)
        self.threshold = philox.threshold(self.p)
        self.scale = philox.scale(self.p)

    def arguments(self):
        return (self.p,), {}

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Layer.plan(self, shape, rows, arena)
        arena.reserve(&self.y, <object>rows * self.out_size)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        if not p.training or self.p == 0:
            return <void *>x
        p.k.dropout(x, self.y, p.rows * self.in_size, self.threshold, self.scale, &stream, p.threads)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        if wants_dx and self.p > 0:
            p.k.dropout(dy, dy, p.rows * self.in_size, self.threshold, self.scale, &stream, p.threads)
        return dy

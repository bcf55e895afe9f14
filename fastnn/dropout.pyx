"""Dropout: in training each value is zeroed with probability p.

    forward     y  = x · m / (1 − p)        m = 0 with probability p, else 1
    backward    dx = dy · m / (1 − p)       the same words drawn again: no mask is stored
    prediction  y  = x

Reference: fastnn_ref/dropout.py.
"""

from libc.stdint cimport int64_t, uint64_t

from fastnn._kernels cimport fastnn_stream
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport Pass, stream_of

from fastnn_ref import philox
from fastnn_ref.shared import checks


cdef class Dropout(Layer):
    """Dropout(p=0.5)\n--\n\n"""

    cdef readonly double p
    cdef uint64_t threshold
    cdef double scale
    cdef void *y

    def __init__(self, p=0.5):
        p = checks.as_number("p", p, 0, 1)
        Layer.__init__(self)
        self.p = p
        self.threshold = philox.threshold(self.p)
        self.scale = philox.scale(self.p)

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Layer.plan(self, shape, rows, plan)
        plan.reserve_result(&self.y, <object>rows * self.out_size)
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        if not p.training or self.p == 0:
            return <void *>x
        p.k.dropout(x, self.y, p.rows * self.in_size, self.threshold, self.scale, &stream, p.threads)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        if p.training and wants_dx and self.p > 0:
            p.k.dropout(dy, dy, p.rows * self.in_size, self.threshold, self.scale, &stream, p.threads)
        return dy

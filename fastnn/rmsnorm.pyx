"""RMSNorm: every row is divided by the root of its mean square; no mean is subtracted, and there is no bias.

    forward     x̂ = x / √(Σ x² / k + ε),  y = weight · x̂
    backward    dweight = Σ_rows dy · x̂
                g = weight · dy,  dx = (g − x̂ · Σ g·x̂ / k) / √(Σ x² / k + ε)

`saved` holds the inverse root of each row; x̂ is made again from x. dx overwrites dy.

Reference: fastnn_ref/rmsnorm.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport address, fastnn_norm
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport Pass

from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter


cdef class RMSNorm(Layer):
    """RMSNorm(normalized_shape, eps=None)\n--\n\n"""

    weight = Parameter("", "weight")

    cdef readonly tuple normalized_shape
    cdef readonly object eps
    cdef double given_eps       # 0: the machine epsilon
    cdef fastnn_norm g
    cdef int64_t groups         # rows of one example
    cdef void *y
    cdef void *saved

    def __init__(self, normalized_shape, eps=None):
        Layer.__init__(self)
        self.normalized_shape = checks.as_shape("normalized_shape", normalized_shape)
        self.eps = None if eps is None else checks.as_number("eps", eps, 0, low_open=True)
        self.given_eps = self.eps or 0
        self.g.inner = checks.check_size("normalized_shape", *self.normalized_shape)
        self.g.channels = 1
        self.add("weight", self.normalized_shape, "ones")

    cdef tuple output_shape_of(self, tuple shape):
        return checks.check_last_axes(type(self).__name__, shape, self.normalized_shape)

    cdef int bind(self) except -1:
        self.g.w, self.g.dw = address(self.own_values["weight"]), self.gradient_of("weight")
        return 0

    cdef bint output_is_reusable(self):
        return True

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Layer.plan(self, shape, rows, plan)
        self.groups = self.in_size // self.g.inner
        plan.reserve(&self.y, <object>rows * self.out_size)
        plan.reserve(&self.saved, <object>rows * self.groups)
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.rows, self.g.threads = p.rows * self.groups, p.threads
        self.g.x, self.g.y, self.g.saved = x, self.y, self.saved
        self.g.eps = self.given_eps if self.given_eps > 0 else 2.0**-23 if p.k.real_size == 4 else 2.0**-52
        p.k.rmsnorm(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.g.dy = dy
        p.k.rmsnorm_backward(&self.g)
        return dy

"""Layer normalisation: every example gets mean 0 and variance 1 over its own values; no batch, no running statistics.

    forward     x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ_rows dy,  dweight = Σ_rows dy · x̂
                g = weight · dy,  dx = (g − Σ g / k − x̂ · Σ g·x̂ / k) / √(var + ε)

x̂ is not stored: backward makes it again of x and of what `saved` holds for each row. dx overwrites dy.

Reference: fastnn_ref/layernorm.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport address, fastnn_norm
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport Pass

from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter


cdef class LayerNorm(Layer):
    """LayerNorm(normalized_shape, eps=1e-5)\n--\n\n"""

    weight = Parameter("", "weight")
    bias = Parameter("", "bias")

    cdef readonly tuple normalized_shape
    cdef readonly double eps
    cdef fastnn_norm g
    cdef int64_t groups         # rows of one example
    cdef void *y
    cdef void *saved

    def __init__(self, normalized_shape, eps=1e-5):
        Layer.__init__(self)
        self.normalized_shape = checks.as_shape("normalized_shape", normalized_shape)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.g.inner = checks.check_size("normalized_shape", *self.normalized_shape)
        self.g.channels, self.g.eps = 1, self.eps
        self.add("weight", self.normalized_shape, "ones")
        self.add("bias", self.normalized_shape, "zeros")

    cdef tuple output_shape_of(self, tuple shape):
        return checks.check_last_axes(type(self).__name__, shape, self.normalized_shape)

    cdef int bind(self) except -1:
        self.g.w, self.g.dw = address(self.own_values["weight"]), self.gradient_of("weight")
        self.g.b, self.g.db = address(self.own_values["bias"]), self.gradient_of("bias")
        return 0

    cdef bint output_is_reusable(self):
        return True

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Layer.plan(self, shape, rows, plan)
        self.groups = self.in_size // self.g.inner
        plan.reserve(&self.y, <object>rows * self.out_size)
        plan.reserve(&self.saved, 3 * <object>rows * self.groups)
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.rows, self.g.threads = p.rows * self.groups, p.threads
        self.g.x, self.g.y, self.g.saved = x, self.y, self.saved
        p.k.layernorm(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.g.dy = dy
        p.k.layernorm_backward(&self.g)
        return dy

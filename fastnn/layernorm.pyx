"""Layer normalisation: every example gets mean 0 and variance 1 over its own values; no batch, no running statistics.

    forward     x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ_rows dy,  dweight = Σ_rows dy · x̂
                g = weight · dy,  dx = (g − Σ g / k − x̂ · Σ g·x̂ / k) / √(var + ε)

To the kernel a row is one group of channels, each of one value. x̂ is not stored: backward makes it again of x and of
what `saved` holds for each row. dx overwrites dy.

Reference: fastnn_ref/layernorm.py.
"""

from libc.stdint cimport int64_t

from fastnn.memory cimport Plan
from fastnn.network cimport Pass
from fastnn.norm cimport Norm

from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter
from fastnn_ref.shared.shapes import check_last_axes


cdef class RowNorm(Norm):
    """What LayerNorm and RMSNorm have in common: the shape of a row, and the memory of a pass."""

    cdef int set_rows(self, object normalized_shape, int64_t row_values) except -1:
        """Rows of this shape, for each of which `saved` holds so many values."""
        self.check_unmade()
        self.normalized_shape = checks.as_shape("normalized_shape", normalized_shape)
        self.row_size = checks.check_size("normalized_shape", *self.normalized_shape)
        self.row_values = row_values
        return 0

    cdef tuple output_shape_of(self, tuple shape):
        return check_last_axes(type(self).__name__, shape, self.normalized_shape)

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Norm.plan(self, shape, rows, plan)
        self.groups = self.in_size // self.row_size
        plan.reserve_result(&self.y, <object>rows * self.out_size)
        plan.reserve(&self.saved, <object>self.row_values * rows * self.groups)
        return shape

    cdef void begin(self, Pass *p, const void *x) noexcept nogil:
        """What the kernel reads and writes in this pass."""
        self.g.rows, self.g.threads = p.rows * self.groups, p.threads
        self.g.x, self.g.y, self.g.saved = x, self.y, self.saved


cdef class LayerNorm(RowNorm):
    """LayerNorm(normalized_shape, eps=1e-5, elementwise_affine=True, bias=True)\n--\n\n"""

    weight = Parameter("", "weight")
    bias = Parameter("", "bias")

    cdef readonly double eps
    cdef readonly bint elementwise_affine

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True):
        self.set_rows(normalized_shape, 3)
        self.g.eps = self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.elementwise_affine = checks.as_flag("elementwise_affine", elementwise_affine)
        self.g.channels, self.g.groups, self.g.inner = self.row_size, 1, 1
        self.add_affine(self.normalized_shape, self.elementwise_affine, bias)

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.begin(p, x)
        p.k.groupnorm(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.g.dy = dy
        p.k.groupnorm_backward(&self.g)
        return dy

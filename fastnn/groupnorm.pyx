"""Group normalisation: in every example, each group of channels gets mean 0 and variance 1; no batch is needed.

    forward     x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ dy,  dweight = Σ dy · x̂              for each channel: over the batch and the image
                g = weight · dy,  dx = (g − Σ g / k − x̂ · Σ g·x̂ / k) / √(var + ε)

x̂ is not stored: backward makes it again of x and of what `saved` holds for each group. dx overwrites dy.

Reference: fastnn_ref/groupnorm.py.
"""

from libc.stdint cimport int64_t

from fastnn.memory cimport Plan
from fastnn.network cimport Pass
from fastnn.norm cimport Norm

from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter
from fastnn_ref.shared.shapes import check_first_axis


cdef class GroupNorm(Norm):
    """GroupNorm(num_groups, num_channels, eps=1e-5, affine=True, bias=True)\n--\n\n"""

    weight = Parameter("", "weight")
    bias = Parameter("", "bias")

    cdef readonly int64_t num_groups, num_channels
    cdef readonly double eps
    cdef readonly bint affine

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, bias=True):
        self.check_unmade()
        num_channels = checks.as_integer("num_channels", num_channels, 1)
        num_groups = checks.as_divisor("num_groups", num_groups, "num_channels", num_channels)
        self.g.eps = self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.affine = checks.as_flag("affine", affine)
        self.num_channels = self.g.channels = checks.check_size("num_channels", num_channels)
        self.num_groups = self.g.groups = num_groups
        self.add_affine((self.num_channels,), self.affine, bias)

    cdef tuple output_shape_of(self, tuple shape):
        return check_first_axis(type(self).__name__, shape, self.num_channels)

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Norm.plan(self, shape, rows, plan)
        self.g.inner = self.in_size // self.num_channels
        plan.reserve_result(&self.y, <object>rows * self.out_size)
        plan.reserve(&self.saved, 3 * <object>rows * self.num_groups)
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.rows, self.g.threads = p.rows, p.threads
        self.g.x, self.g.y, self.g.saved = x, self.y, self.saved
        p.k.groupnorm(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.g.dy = dy
        p.k.groupnorm_backward(&self.g)
        return dy

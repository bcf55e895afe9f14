"""RMSNorm: every row is divided by the root of its mean square; no mean is subtracted, and there is no bias.

    forward     x̂ = x / √(Σ x² / k + ε),  y = weight · x̂
    backward    dweight = Σ_rows dy · x̂
                g = weight · dy,  dx = (g − x̂ · Σ g·x̂ / k) / √(Σ x² / k + ε)

`saved` holds the inverse root of each row; x̂ is made again from x. dx overwrites dy.

Reference: fastnn_ref/rmsnorm.py.
"""

from fastnn.layernorm cimport RowNorm
from fastnn.network cimport Pass

from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter


cdef class RMSNorm(RowNorm):
    """RMSNorm(normalized_shape, eps=None, elementwise_affine=True)\n--\n\n"""

    weight = Parameter("", "weight")

    cdef readonly object eps
    cdef double given_eps       # 0: the machine epsilon
    cdef readonly bint elementwise_affine

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True):
        self.set_rows(normalized_shape, 1)
        self.eps = None if eps is None else checks.as_number("eps", eps, 0, low_open=True)
        self.given_eps = self.eps or 0
        self.elementwise_affine = checks.as_flag("elementwise_affine", elementwise_affine)
        self.g.inner = self.row_size
        self.add_affine(self.normalized_shape, self.elementwise_affine, False)

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.begin(p, x)
        self.g.eps = self.given_eps if self.given_eps > 0 else 2.0**-23 if p.k.real_size == 4 else 2.0**-52
        p.k.rmsnorm(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.g.dy = dy
        p.k.rmsnorm_backward(&self.g)
        return dy

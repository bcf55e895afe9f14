"""Layer normalisation: every example gets mean 0 and variance 1 over its own values; no batch, no running statistics.

    forward     x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ_rows dy,  dweight = Σ_rows dy · x̂
                g = weight · dy,  dx = (g − Σ g / k − x̂ · Σ g·x̂ / k) / √(var + ε)

x̂ is not stored: backward makes it again of x and of what `saved` holds for each row. dx overwrites dy.

Twin: fastnn_ref/layernorm.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport address, fastnn_norm
from fastnn.layer cimport Arena, Layer, Pass

from fastnn_ref import init as initialisers
from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import ParameterSpec


cdef class LayerNorm(Layer):
    """LayerNorm(normalized_shape, eps=1e-5)\n--\n
    Normalises each row over its last axes, those of ``normalized_shape`` (an integer or a tuple).

    x and y (n, …, *normalized_shape); ``eps`` > 0 keeps the root away from 0. ``weight`` and ``bias`` have
    ``normalized_shape``. Training and prediction do the same.

    >>> import numpy as np, fastnn as nn
    >>> print(nn.LayerNorm(3)(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])).round(3))
    [[-1.225  0.     1.225]
     [-1.225  0.     1.225]]
    """

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
        self.specifications = [
            ParameterSpec("weight", self.normalized_shape, "ones"),
            ParameterSpec("bias", self.normalized_shape, "zeros"),
        ]

    def arguments(self):
        return (self.normalized_shape,), {"eps": self.eps}

    @property
    def weight(self):
        """The learnt scale, in ``normalized_shape``; assigning copies values in."""
        return self.params["weight"]

    @weight.setter
    def weight(self, value):
        self.assign("weight", value)

    @property
    def bias(self):
        """The learnt mean, in ``normalized_shape``; assigning copies values in."""
        return self.params["bias"]

    @bias.setter
    def bias(self, value):
        self.assign("bias", value)

    def output_shape(self, shape):
        """The input's own shape, which must end in ``normalized_shape``."""
        return checks.check_last_axes(type(self).__name__, shape, self.normalized_shape)

    cdef int bind(self) except -1:
        self.g.w, self.g.dw = address(self.values["weight"]), address(self.gradients["weight"])
        self.g.b, self.g.db = address(self.values["bias"]), address(self.gradients["bias"])
        return 0

    cdef bint forgets_y(self):
        return True

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Layer.plan(self, shape, rows, arena)
        self.groups = self.in_size // self.g.inner
        arena.reserve(&self.y, <object>rows * self.out_size)
        arena.reserve(&self.saved, 3 * <object>rows * self.groups)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.rows, self.g.threads = p.rows * self.groups, p.threads
        self.g.x, self.g.y, self.g.saved = x, self.y, self.saved
        p.k.layernorm(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.g.dy = dy
        p.k.layernorm_backward(&self.g)
        return dy

"""Activations: y = act(u), each as a layer; ``Linear`` takes the same ones by name and runs them in its product.

    forward     y  = act(u)
    backward    du = dy · act'(u)

Twin: fastnn_ref/activation.py, which has the formulas and their sources; kernels/elementwise.inc.c has them in C.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport IDENTITY, activation_kind, is_elementwise, saves_slope
from fastnn.layer cimport EITHER, NO_BLOCKS, Arena, Blocks, Layer, Pass

from fastnn._kernels import ACTIVATIONS
from fastnn_ref import validation

KERNEL_NAMES = {kind: name for name, kind in ACTIVATIONS.items()}


cdef class Activation(Layer):
    """Activation()\n--\n
    What all activations share. ``act(u)`` is the function, ``act_back(dy, u, y)`` is dy · act'(u)."""

    @property
    def name(self):
        """The name that ``activation=`` takes."""
        return KERNEL_NAMES[self.kind]

    cdef Blocks blocks(self):
        return EITHER if is_elementwise(self.kind) else NO_BLOCKS

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Layer.plan(self, shape, rows, arena)
        self.width = shape[len(shape) - 1] if shape else 1
        if saves_slope(self.kind):
            arena.reserve(&self.y, <object>rows * self.out_size)
        if self.kind != IDENTITY and not self.over_x:
            arena.reserve(&self.kept, <object>rows * self.out_size)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef void *y
        if self.kind == IDENTITY:
            return <void *>x
        if self.over_x:
            self.kept = <void *>x
        y = self.y if saves_slope(self.kind) else self.kept
        p.k.activate(self.kind, self.parameter, x, y, self.kept if p.training else y,
                     p.rows * self.in_size // self.width, self.width, p.threads)
        return y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        if self.kind != IDENTITY:
            p.k.activate_backward(self.kind, self.parameter, self.kept, dy, dy, NULL,
                                  p.rows * self.in_size // self.width, self.width, p.threads)
        return dy


cdef class Identity(Activation):
    """Identity()\n--\n
    y = u.

    >>> import numpy as np, fastnn as nn
    >>> print(nn.Identity()(np.array([[-1.0, 2.0]])))
    [[-1.  2.]]
    """

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("identity")


cdef class ReLU(Activation):
    """ReLU()\n--\n
    y = max(u, 0) (Nair and Hinton 2010); the derivative at 0 is 0.

    >>> import numpy as np, fastnn as nn
    >>> print(nn.ReLU()(np.array([[-1.0, 2.0]])))
    [[0. 2.]]
    """

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("relu")


cdef class LeakyReLU(Activation):
    """LeakyReLU(negative_slope=0.01)\n--\n
    y = u for u > 0, else negative_slope · u (Maas et al. 2013); ``negative_slope`` > 0.

    >>> import numpy as np, fastnn as nn
    >>> print(nn.LeakyReLU(0.25)(np.array([[-1.0, 2.0]])))
    [[-0.25  2.  ]]
    """

    def __init__(self, negative_slope=0.01):
        Activation.__init__(self)
        self.kind = activation_kind("leaky_relu")
        self.parameter = validation.number("negative_slope", negative_slope, 0, low_open=True)

    @property
    def negative_slope(self):
        """The slope for u <= 0."""
        return self.parameter

    def arguments(self):
        return (self.parameter,), {}


cdef class ELU(Activation):
    """ELU(alpha=1.0)\n--\n
    y = u for u > 0, else alpha · (exp(u) − 1) (Clevert et al. 2016); ``alpha`` > 0.

    >>> import numpy as np, fastnn as nn
    >>> print(nn.ELU(0.5)(np.array([[-1.0, 2.0]])).round(3))
    [[-0.316  2.   ]]
    """

    def __init__(self, alpha=1.0):
        Activation.__init__(self)
        self.kind = activation_kind("elu")
        self.parameter = validation.number("alpha", alpha, 0, low_open=True)

    @property
    def alpha(self):
        """−alpha is the value at −∞."""
        return self.parameter

    def arguments(self):
        return (self.parameter,), {}


cdef class SiLU(Activation):
    """SiLU()\n--\n
    y = u · σ(u), also called swish (Elfwing et al. 2018).

    >>> import numpy as np, fastnn as nn
    >>> print(nn.SiLU()(np.array([[-1.0, 0.0]])).round(2))
    [[-0.27  0.  ]]
    """

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("silu")


cdef class GELU(Activation):
    """GELU(approximate="none")\n--\n
    y = u · Φ(u) (Hendrycks and Gimpel 2016), Φ the normal distribution function.

    ``approximate="none"`` is exact, ``"tanh"`` the paper's estimate Φ(u) ≈ ½·(1 + tanh(√(2/π)·(u + 0.044715·u³))).

    >>> import numpy as np, fastnn as nn
    >>> print(nn.GELU()(np.array([[-1.0, 0.0]])).round(2))
    [[-0.16  0.  ]]
    """

    def __init__(self, approximate="none"):
        Activation.__init__(self)
        self.kind = activation_kind(
            "gelu_tanh" if validation.choice("approximate", approximate, ("none", "tanh")) == "tanh" else "gelu")

    @property
    def approximate(self):
        """``"none"`` or ``"tanh"``."""
        return "tanh" if self.kind == activation_kind("gelu_tanh") else "none"

    def arguments(self):
        return (self.approximate,), {}


cdef class Softplus(Activation):
    """Softplus()\n--\n
    y = log(1 + exp(u)), a smooth relu (Dugas et al. 2001).

    >>> import numpy as np, fastnn as nn
    >>> print(nn.Softplus()(np.array([[0.0]])).round(2))
    [[0.69]]
    """

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("softplus")


cdef class Tanh(Activation):
    """Tanh()\n--\n
    y = tanh(u); tanh' = 1 − tanh².

    >>> import numpy as np, fastnn as nn
    >>> print(nn.Tanh()(np.array([[0.0, 100.0]])))
    [[0. 1.]]
    """

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("tanh")


cdef class Sigmoid(Activation):
    """Sigmoid()\n--\n
    y = σ(u) = 1 / (1 + exp(−u)); σ' = σ·(1 − σ).

    >>> import numpy as np, fastnn as nn
    >>> print(nn.Sigmoid()(np.array([[0.0, 100.0]])))
    [[0.5 1. ]]
    """

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("sigmoid")


cdef class RowActivation(Activation):
    """RowActivation()\n--\n
    An activation of a whole row, so there must be one."""

    def output_shape(self, shape):
        """The input's own shape, which must have a last axis."""
        return validation.row_shape(type(self).__name__, shape)


cdef class Softmax(RowActivation):
    """Softmax()\n--\n
    y = exp(u) / Σ exp(u), over the last axis; the largest u is subtracted first, so that exp cannot overflow.

    >>> import numpy as np, fastnn as nn
    >>> print(nn.Softmax()(np.array([[3.0, 3.0]])))
    [[0.5 0.5]]
    """

    def __init__(self):
        RowActivation.__init__(self)
        self.kind = activation_kind("softmax")


cdef class LogSoftmax(RowActivation):
    """LogSoftmax()\n--\n
    y = u − log Σ exp(u), over the last axis.

    >>> import numpy as np, fastnn as nn
    >>> print(nn.LogSoftmax()(np.array([[7.0]])))
    [[0.]]
    """

    def __init__(self):
        RowActivation.__init__(self)
        self.kind = activation_kind("log_softmax")


NAMES = {
    "identity": Identity, "relu": ReLU, "leaky_relu": LeakyReLU, "elu": ELU, "silu": SiLU, "gelu": GELU,
    "gelu_tanh": lambda: GELU("tanh"), "softplus": Softplus, "tanh": Tanh, "sigmoid": Sigmoid, "softmax": Softmax,
    "log_softmax": LogSoftmax,
}


cdef Activation activation_of(object activation):
    if activation is None:
        return Identity()
    if isinstance(activation, Activation):
        return activation
    return NAMES[validation.choice("activation", activation, NAMES)]()

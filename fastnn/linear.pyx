"""Linear: y = act(x @ W + b), the layer that nearly all of a network's time goes into.

    forward     u = x @ W + b,  y = act(u)
    backward    du = dy · act'(u),  dW = xᵀ @ du,  db = Σ_rows du,  dx = du @ Wᵀ

Three products: the first with bias and activation in its epilogue, the other two reading x and W where they stand, as
transposed. du overwrites dy; db is summed in the same pass.

Twin: fastnn_ref/linear.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport IDENTITY, address, fastnn_gemm, saves_slope
from fastnn.activation cimport Activation, activation_of
from fastnn.layer cimport Arena, Layer, Pass

import numpy as np

from fastnn_ref import init as initialisers, validation


cdef class Linear(Layer):
    """Linear(in_features, out_features, activation=None, bias=True, *, init=None)\n--\n
    y = act(x @ W + b): x (n, in_features), W (in_features, out_features), b (out_features,), y (n, out_features).

    ``in_features`` and ``out_features`` >= 1. ``activation`` is None, a name (``"relu"``, ``"gelu"``, ...) or an
    activation layer. ``init`` names the weight's initialiser; by default He uniform before the ReLU family and Glorot
    uniform otherwise. Biases start from 0. Raises ValueError or TypeError for anything else.

    >>> import numpy as np, fastnn as nn
    >>> layer = nn.Linear(3, 2, activation="relu")
    >>> layer.weight = np.array([[1, 2], [3, 4], [5, 6]])
    >>> layer.bias = np.array([0, -30])
    >>> layer(np.array([[1.0, 1.0, 1.0]])).tolist()
    [[9.0, 0.0]]
    """

    reshapes = True

    def __init__(self, in_features, out_features, activation=None, bias=True, *, init=None):
        Layer.__init__(self)
        in_features = validation.integer("in_features", in_features, 1)
        out_features = validation.integer("out_features", out_features, 1)
        validation.size("weight", in_features, out_features)
        self.inside, self.outside = in_features, out_features
        self.act = activation_of(activation)
        self.has_bias = validation.flag("bias", bias)
        self.initialiser = init
        self.input_shape = (self.inside,)
        start = initialisers.name_for(self.act.name, init)
        self.specifications = [initialisers.Specification("weight", (self.inside, self.outside), start, True)]
        if self.has_bias:
            self.specifications.append(initialisers.Specification("bias", (self.outside,), "zeros"))

    def arguments(self):
        named = {}
        if self.act.kind != IDENTITY:
            named["activation"] = self.act
        if not self.has_bias:
            named["bias"] = False
        if self.initialiser is not None:
            named["init"] = self.initialiser
        return (self.inside, self.outside), named

    @property
    def in_features(self):
        """Values per example that come in."""
        return self.inside

    @property
    def out_features(self):
        """Values per example that go out."""
        return self.outside

    @property
    def activation(self):
        """The activation, a layer of its own."""
        return self.act

    @property
    def weight(self):
        """W, shape (in_features, out_features); assigning copies values in."""
        return self.params["weight"]

    @weight.setter
    def weight(self, value):
        self.assign("weight", value)

    @property
    def bias(self):
        """b, shape (out_features,), or None; assigning copies values in."""
        return self.params.get("bias")

    @bias.setter
    def bias(self, value):
        self.assign("bias", value)

    def output_shape(self, shape):
        """(out_features,) for (in_features,)."""
        return validation.fixed_shape(type(self).__name__, shape, self.input_shape, (self.outside,))

    cdef int bind(self) except -1:
        self.w, self.dw = address(self.values["weight"]), address(self.gradients["weight"])
        if self.has_bias:
            self.b, self.db = address(self.values["bias"]), address(self.gradients["bias"])
        return 0

    cdef bint forgets_y(self):
        return self.act.kind == IDENTITY

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Layer.plan(self, shape, rows, arena)
        arena.reserve(&self.y, <object>rows * self.outside)
        if saves_slope(self.act.kind):
            arena.reserve(&self.u, <object>rows * self.outside)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.x = x
        return self.product(p, x, self.w, self.act.kind)

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.through_activation(p, dy)
        self.weight_gradient(p, dy)
        return self.input_gradient(p, dy, self.w) if wants_dx else dy

    cdef void *product(self, Pass *p, const void *x, const void *w, int activation) noexcept nogil:
        """act(x @ w + b), in y."""
        cdef fastnn_gemm g
        g.m, g.n, g.k = p.rows, self.outside, self.inside
        g.a, g.a_row, g.a_col = x, self.inside, 1
        g.b, g.b_row, g.b_col = w, self.outside, 1
        g.bias = self.b if self.has_bias else NULL
        g.c = self.u if saves_slope(activation) else self.y
        g.y, g.c_row = self.y, self.outside
        g.activation, g.alpha = activation, self.act.parameter
        g.work, g.threads = p.work, p.threads
        p.k.gemm(&g)
        return self.y

    cdef void through_activation(self, Pass *p, void *dy) noexcept nogil:
        """du over dy, and db."""
        p.k.activate_backward(self.act.kind, self.act.parameter, self.u if saves_slope(self.act.kind) else self.y,
                              dy, dy, self.db if self.has_bias else NULL, p.rows, self.outside, p.threads)

    cdef void weight_gradient(self, Pass *p, const void *du) noexcept nogil:
        """dW = xᵀ @ du"""
        cdef fastnn_gemm g
        g.bias, g.activation, g.alpha = NULL, IDENTITY, 0
        g.work, g.threads = p.work, p.threads
        g.m, g.n, g.k = self.inside, self.outside, p.rows
        g.a, g.a_row, g.a_col = self.x, 1, self.inside
        g.b, g.b_row, g.b_col = du, self.outside, 1
        g.c = g.y = self.dw
        g.c_row = self.outside
        p.k.gemm(&g)

    cdef void *input_gradient(self, Pass *p, void *du, const void *w) noexcept nogil:
        """dx = du @ wᵀ, in the spare buffer."""
        cdef fastnn_gemm g
        cdef void *dx = p.spare
        g.bias, g.activation, g.alpha = NULL, IDENTITY, 0
        g.work, g.threads = p.work, p.threads
        g.m, g.n, g.k = p.rows, self.inside, self.outside
        g.a, g.a_row, g.a_col = du, self.outside, 1
        g.b, g.b_row, g.b_col = w, 1, self.outside
        g.c = g.y = dx
        g.c_row = self.inside
        p.k.gemm(&g)
        p.spare = du
        return dx

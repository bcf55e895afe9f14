"""DropConnect: a Linear whose weights, not its units, are thrown away at random in training.

    forward     u = x @ (W∘m / (1 − p)) + b,  y = act(u)
    backward    du = dy · act'(u),  dW = (xᵀ @ du)∘m / (1 − p),  db = Σ_rows du,  dx = du @ (W∘m / (1 − p))ᵀ
    prediction  y = E[act(u)], u ~ N(x @ W + b, p/(1 − p) · (x∘x) @ (W∘W))

A mask for the batch is applied to W once, and the rest is Linear's; masks for each example have a kernel that draws
them a piece of W at a time, in backward again.

Twin: fastnn_ref/dropconnect.py, which has the closed forms; kernels/dropconnect.inc.c.
"""

from libc.stdint cimport int64_t, uint64_t

from fastnn._kernels cimport (
    IDENTITY, RELU, address, fastnn_dropconnect, fastnn_gemm, fastnn_stream, saves_slope, threads,
)
from fastnn.layer cimport Arena, Layer, Pass, stream_of
from fastnn.linear cimport Linear

from fastnn_ref import philox, validation

PREDICTION = 2**32 - 1          # the step that prediction's draws belong to: no training gets there


cdef class DropConnect(Linear):
    """DropConnect(in_features, out_features, p=0.5, mask="example", inference="gaussian", activation=None, bias=True, \
*, init=None, samples=100)\n--\n
    ``Linear`` whose weights are zeroed with probability ``p`` in training and otherwise multiplied by 1 / (1 − p).

    0 <= ``p`` <= 1; p = 0 is ``Linear``. ``mask="example"`` draws a mask for each example, ``"batch"`` one for a whole
    training batch, which is much faster. ``inference="gaussian"`` predicts the mean output over all masks, matching
    mean and variance (p < 1): in closed form without an activation and for relu, else as the mean of ``samples`` >= 1
    draws, the same ones each time; ``"mean"`` uses the weights as they are. Other arguments as for ``Linear``.

    >>> import numpy as np, fastnn as nn
    >>> layer = nn.DropConnect(2, 1, 0.5, activation="relu", init="ones")
    >>> print(layer(np.array([[1.0, -1.0]])).round(4))      # relu(0) is 0, the mean of relu over N(0, 2) is not
    [[0.5642]]
    >>> print(nn.DropConnect(2, 1, 0.5, inference="mean", activation="relu", init="ones")(np.array([[1.0, -1.0]])))
    [[0.]]
    """

    cdef readonly double p
    cdef readonly str mask, inference
    cdef readonly int64_t samples
    cdef bint whole, gaussian   # one mask for the batch; predict the expectation
    cdef uint64_t threshold
    cdef double scale
    cdef object draws           # z of the sampled expectation
    cdef void *z
    cdef void *masked           # W∘m / (1 − p) of a whole batch, or W∘W
    cdef void *squares          # x∘x
    cdef void *variance
    cdef void *row_work

    def __init__(self, in_features, out_features, p=0.5, mask="example", inference="gaussian", activation=None,
                 bias=True, *, init=None, samples=100):
        Linear.__init__(self, in_features, out_features, activation, bias, init=init)
        self.mask = validation.choice("mask", mask, ("example", "batch"))
        self.inference = validation.choice("inference", inference, ("gaussian", "mean"))
        self.p = validation.dropped_connections(validation.number("p", p, 0, 1), inference)
        self.samples = validation.integer("samples", samples, 1, 2**20)
        validation.size("samples", samples, out_features)
        self.whole = self.mask == "batch"
        self.gaussian = self.inference == "gaussian" and self.act.kind != IDENTITY and self.p > 0
        self.threshold, self.scale = philox.threshold(self.p), philox.scale(self.p)

    def arguments(self):
        positional, named = Linear.arguments(self)
        named = {"mask": self.mask, "inference": self.inference, **named, "samples": self.samples}
        return (*positional, self.p), named

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Linear.plan(self, shape, rows, arena)
        if self.p == 0:
            return self.out_shape
        if self.whole or self.gaussian:
            arena.reserve(&self.masked, <object>self.inside * self.outside)
        if self.gaussian:
            arena.borrow(&self.squares, <object>rows * self.inside)
            arena.borrow(&self.variance, <object>rows * self.outside)
            arena.borrow(&self.row_work, <object>threads() * self.outside)
            if not saves_slope(self.act.kind):          # else Linear has the buffer
                arena.reserve(&self.u, <object>rows * self.outside)
            if self.act.kind != RELU:
                self.draws = philox.normal((self.samples, self.outside), self.outermost().seed_value, PREDICTION,
                                           self.stream).astype(self.dtype)
                self.z = address(self.draws)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        cdef fastnn_dropconnect g
        self.x = x
        if self.p == 0 or not (p.training or self.gaussian):
            return self.product(p, x, self.w, self.act.kind)
        if not p.training:
            return self.expectation(p, x)
        if self.whole:
            p.k.dropout(self.w, self.masked, self.inside * self.outside, self.threshold, self.scale, &stream, p.threads)
            return self.product(p, x, self.masked, self.act.kind)
        g = self.by_example(p)
        g.u = self.u if saves_slope(self.act.kind) else self.y
        p.k.dropconnect(&g)
        if self.act.kind != IDENTITY:
            p.k.activate(self.act.kind, self.act.parameter, g.u, self.y, g.u, p.rows, self.outside, p.threads)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        cdef fastnn_dropconnect g
        if self.p == 0:
            return Linear.backward_pass(self, p, dy, wants_dx)
        self.through_activation(p, dy)
        if self.whole:
            self.weight_gradient(p, dy)
            p.k.dropout(self.dw, self.dw, self.inside * self.outside, self.threshold, self.scale, &stream, p.threads)
            return self.input_gradient(p, dy, self.masked) if wants_dx else dy
        g = self.by_example(p)
        g.du, g.dw, g.dx = dy, self.dw, p.spare if wants_dx else NULL
        p.k.dropconnect_backward(&g)
        if not wants_dx:
            return dy
        p.spare = dy
        return g.dx

    cdef fastnn_dropconnect by_example(self, Pass *p) noexcept nogil:
        """What forward and backward of masks by example have in common."""
        cdef fastnn_dropconnect g
        g.rows, g.inside, g.outside, g.threads = p.rows, self.inside, self.outside, p.threads
        g.x, g.w, g.b = self.x, self.w, self.b if self.has_bias else NULL
        g.u = g.dw = g.dx = NULL
        g.du = NULL
        g.threshold, g.scale, g.stream = self.threshold, self.scale, stream_of(self, p)
        return g

    cdef void *expectation(self, Pass *p, const void *x) noexcept nogil:
        """E[act(u)] in y: the mean is Linear's product, the variance one of squares."""
        cdef fastnn_gemm g
        self.linear_mean(p, x)
        p.k.square(x, self.squares, p.rows * self.inside, 1)
        p.k.square(self.w, self.masked, self.inside * self.outside, self.p / (1 - self.p))
        g.bias, g.activation, g.alpha = NULL, IDENTITY, 0
        g.work, g.threads = p.work, p.threads
        g.m, g.n, g.k = p.rows, self.outside, self.inside
        g.a, g.a_row, g.a_col = self.squares, self.inside, 1
        g.b, g.b_row, g.b_col = self.masked, self.outside, 1
        g.c = g.y = self.variance
        g.c_row = self.outside
        p.k.gemm(&g)
        p.k.expectation(self.act.kind, self.act.parameter, self.u, self.variance, self.z, self.samples, self.y,
                        self.row_work, p.rows, self.outside, p.threads)
        return self.y

    cdef void linear_mean(self, Pass *p, const void *x) noexcept nogil:
        """x @ W + b, in u."""
        cdef void *y = self.y
        self.y = self.u
        self.product(p, x, self.w, IDENTITY)
        self.y = y

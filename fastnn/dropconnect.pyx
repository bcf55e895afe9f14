"""DropConnect: a Linear whose weights, not its units, are thrown away at random in training.

    forward     u = x @ (W∘m / (1 − p)) + b,  y = act(u)
    backward    du = dy · act'(u),  dW = (xᵀ @ du)∘m / (1 − p),  db = Σ_rows du,  dx = du @ (W∘m / (1 − p))ᵀ
    prediction  y = E[act(u)], u ~ N(x @ W + b, p/(1 − p) · (x∘x) @ (W∘W)); its backward goes through mean and variance

A mask for the batch is applied to W once, and the rest is Linear's. Masks for each example have a kernel that draws
them for a piece of W at a time, and again in backward.

Reference: fastnn_ref/dropconnect.py, which has the closed forms; kernels/dropconnect.inc.c.
"""

from libc.stdint cimport int64_t, uint64_t

from fastnn._kernels cimport (
    IDENTITY, RELU, address, fastnn_dropconnect, fastnn_gemm, fastnn_stream, saves_slope,
)
from fastnn.custom cimport Host, carry
from fastnn.linear cimport Linear
from fastnn.memory cimport Plan
from fastnn.network cimport Pass, stream_of

import numpy as np

from fastnn_ref import philox
from fastnn_ref.shared import checks
from fastnn_ref.shared.arrays import as_result
from fastnn_ref.shared.custom import check_in_place
from fastnn_ref.shared.shapes import check_input_shape

PREDICTION = 2**32 - 1          # the step that prediction's draws belong to: no training gets there


cdef class DropConnect(Linear):
    """DropConnect(in_features, out_features, p=0.5, mask="example", inference="gaussian", activation=None, bias=True, \
*, init=None, samples=100)\n--\n\n"""

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
    cdef void *by_squares       # the part of dx that comes through x∘x
    cdef void *variance
    cdef void *row_work

    def __init__(self, in_features, out_features, p=0.5, mask="example", inference="gaussian", activation=None,
                 bias=True, *, init=None, samples=100):
        mask = checks.as_choice("mask", mask, ("example", "batch"))
        inference = checks.as_choice("inference", inference, ("gaussian", "mean"))
        p = checks.check_dropconnect(checks.as_number("p", p, 0, 1), inference)
        samples = checks.as_integer("samples", samples, 1, 2**20)
        checks.check_size("samples", samples, checks.as_integer("out_features", out_features, 1))
        Linear.__init__(self, in_features, out_features, activation, bias, init=init)
        self.mask, self.inference, self.p, self.samples = mask, inference, p, samples
        self.whole = self.mask == "batch"
        self.gaussian = (self.inference == "gaussian" and (self.act.kind != IDENTITY or self.is_hosted) and self.p > 0)
        self.threshold, self.scale = philox.threshold(self.p), philox.scale(self.p)

    cdef tuple output_shape_of(self, tuple shape):
        return check_input_shape(type(self).__name__, shape, (self.in_features,), (self.out_features,))

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Linear.plan(self, shape, rows, plan)
        if self.p == 0:
            return out_shape
        if self.whole or self.gaussian:
            plan.reserve(&self.masked, <object>self.in_features * self.out_features)
        if self.gaussian:
            plan.reserve_scratch(&self.squares, <object>rows * self.in_features)
            plan.reserve_scratch(&self.variance, <object>rows * self.out_features)
            plan.reserve_scratch(&self.by_squares, <object>rows * self.in_features)
            plan.reserve_scratch(&self.row_work, <object>plan.threads * 4 * self.out_features)
            if not saves_slope(self.act.kind):          # else Linear has the buffer
                plan.reserve(&self.u, <object>rows * self.out_features)
            if self.act.kind != RELU:
                plan.forward_work += 8.0 * self.samples * self.out_features
                self.draws = philox.normal((self.samples, self.out_features), plan.seed, PREDICTION,
                                           self.stream).astype("f4" if plan.real_size == 4 else "f8")
                self.z = address(self.draws)
        return out_shape

    cdef int absorb(self, tuple behind, tuple out_shape) except -1:
        return 0

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        cdef fastnn_dropconnect g
        self.x = x
        if self.p == 0 or not (p.training or self.gaussian):
            return Linear.forward_pass(self, p, x)
        if not p.training:
            return self.expectation(p, x)
        if self.whole:
            p.k.dropout(self.w, self.masked, self.in_features * self.out_features, self.threshold, self.scale, &stream,
                        p.threads)
            return self.activated(p, self.product(p, x, self.masked, self.act.kind))
        g = self.by_example(p)
        g.u = self.u if saves_slope(self.act.kind) else self.y
        p.k.dropconnect(&g)
        if self.act.kind != IDENTITY:
            p.k.activate(self.act.kind, self.act.parameter, g.u, self.y, g.u, p.rows, self.out_features, p.threads)
        return self.activated(p, self.y)

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        cdef fastnn_dropconnect g
        if self.p == 0 or not (p.training or self.gaussian):
            return Linear.backward_pass(self, p, dy, wants_dx)
        if not p.training:
            return self.expectation_backward(p, dy, wants_dx)
        dy = self.through_activation(p, dy)
        if self.whole:
            if self._trainable:
                self.weight_gradient(p, self.x, dy, self.dw)
                p.k.dropout(self.dw, self.dw, self.in_features * self.out_features, self.threshold, self.scale,
                            &stream, p.threads)
            return self.to_spare(p, dy, self.masked) if wants_dx else dy
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
        g.rows, g.inside, g.outside, g.threads = p.rows, self.in_features, self.out_features, p.threads
        g.x, g.w, g.b = self.x, self.w, self.b if self.has_bias else NULL
        g.u = g.dw = g.dx = NULL
        g.du = NULL
        g.threshold, g.scale, g.stream = self.threshold, self.scale, stream_of(self, p)
        return g

    cdef void *expectation(self, Pass *p, const void *x) noexcept nogil:
        """E[act(u)] in y: the mean is Linear's product, in u."""
        self.linear_mean(p, x)
        self.variance_product(p, x)
        if self.is_hosted:
            return self.hosted_expectation(p)
        p.k.expectation(self.act.kind, self.act.parameter, self.u, self.variance, self.z, self.samples, self.y,
                        self.row_work, p.rows, self.out_features, p.threads)
        return self.y

    cdef void *expectation_backward(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        """dx, through the mean and through the variance, which is worked out again."""
        cdef void *dx = p.spare
        self.variance_product(p, self.x)
        if self.is_hosted:
            self.hosted_expectation_backward(p, dy)
        else:
            p.k.expectation_backward(self.act.kind, self.act.parameter, self.u, self.variance, self.z, self.samples, dy,
                                     self.row_work, p.rows, self.out_features, p.threads)
        if wants_dx:
            self.input_gradient(p, dy, self.w, dx)
            self.input_gradient(p, self.variance, self.masked, self.by_squares)
            p.k.add_product(self.x, self.by_squares, dx, p.rows * self.in_features, 2)
        if self._trainable:
            if self.has_bias:
                p.k.activate_backward(IDENTITY, 0, dy, dy, dy, self.db, p.rows, self.out_features, p.threads)
            self.weight_gradient(p, self.x, dy, self.dw)
            self.weight_gradient(p, self.squares, self.variance, self.masked)
            p.k.add_product(self.w, self.masked, self.dw, self.in_features * self.out_features,
                            2 * self.p / (1 - self.p))
        if not wants_dx:
            return dy
        p.spare = dy
        return dx

    cdef void variance_product(self, Pass *p, const void *x) noexcept nogil:
        """Var[u], a product of squares."""
        cdef fastnn_gemm g
        p.k.square(x, self.squares, p.rows * self.in_features, 1)
        p.k.square(self.w, self.masked, self.in_features * self.out_features, self.p / (1 - self.p))
        g.packed, g.bias, g.norm, g.activation, g.alpha = NULL, NULL, NULL, IDENTITY, 0
        g.work, g.threads = p.work, p.threads
        g.m, g.n, g.k = p.rows, self.out_features, self.in_features
        g.a, g.a_row, g.a_col = self.squares, self.in_features, 1
        g.b, g.b_row, g.b_col = self.masked, self.out_features, 1
        g.c = g.y = self.variance
        g.c_row = self.out_features
        p.k.gemm(&g)

    cdef void *hosted_expectation(self, Pass *p) noexcept nogil:
        """The same for a user's own activation: the mean over the draws."""
        if p.error == NULL:
            with gil:
                try:
                    self.average_draws(p)
                except BaseException as error:
                    carry(p, error)
        return self.y

    cdef int average_draws(self, Pass *p) except -1:
        cdef Host host = self.activation
        shape = (p.rows, self.out_features)
        mean, sigma = host.copy_in(self.u, shape), np.sqrt(host.copy_in(self.variance, shape))
        total = np.zeros_like(mean)
        for z in self.draws:
            total += host.custom.act(mean + sigma * z)
        check_in_place(host.custom, "act", host.kept)
        return host.copy_out("act", "y", total / total.dtype.type(self.samples), shape, host.dims, self.y)

    cdef void hosted_expectation_backward(self, Pass *p, void *dy) noexcept nogil:
        if p.error == NULL:
            with gil:
                try:
                    self.average_slopes(p, dy)
                except BaseException as error:
                    carry(p, error)

    cdef int average_slopes(self, Pass *p, void *dy) except -1:
        """dmean over dy, and the variance's gradient over it: the means over the draws."""
        cdef Host host = self.activation
        shape = (p.rows, self.out_features)
        mean, sigma = host.copy_in(self.u, shape), np.sqrt(host.copy_in(self.variance, shape))
        dmean, dsigma = np.zeros_like(mean), np.zeros_like(mean)
        who = f"{type(host.custom).__name__}.act_backward"
        for z in self.draws:
            u = mean + sigma * z
            found = host.custom.act_backward(host.copy_in(dy, shape), u, host.custom.act(u))
            du = as_result(who, "du", found, shape, mean.dtype)
            dmean, dsigma = dmean + du, dsigma + du * z
        check_in_place(host.custom, "act_backward", host.kept)
        samples = dmean.dtype.type(self.samples)
        host.copy_out("act_backward", "du", dmean / samples, shape, host.dims, dy)
        dvariance = np.divide(dsigma, 2 * samples * sigma, out=np.zeros_like(sigma), where=sigma > 0)
        return host.copy_out("act_backward", "du", dvariance, shape, host.dims, self.variance)

    cdef void linear_mean(self, Pass *p, const void *x) noexcept nogil:
        """x @ W + b, in u."""
        cdef void *y = self.y
        self.y = self.u
        self.product(p, x, self.w, IDENTITY)
        self.y = y

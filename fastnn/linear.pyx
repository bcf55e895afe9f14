"""Linear: y = act(x @ W + b), the layer that nearly all of a network's time goes into.

    forward     u = x @ W + b,  y = act(u)
    backward    du = dy · act'(u),  dW = xᵀ @ du,  db = Σ_rows du,  dx = du @ Wᵀ

Three products: the first with bias and activation in its epilogue, the other two reading x and W where they stand, as
transposed. du overwrites dy; db is summed in the same pass.

Reference: fastnn_ref/linear.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport IDENTITY, address, fastnn_gemm, fastnn_kernels, saves_slope
from fastnn.activation cimport Weighted
from fastnn.layer cimport Layer
from fastnn.memory cimport LINE, Plan
from fastnn.network cimport Pass, packed_for

from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter
from fastnn_ref.shared.shapes import check_last_axes


cdef class Linear(Weighted):
    """Linear(in_features, out_features, activation=None, bias=True, *, init=None)\n--\n\n"""

    weight = Parameter("", "weight")
    bias = Parameter("", "bias")

    def __init__(self, in_features, out_features, activation=None, bias=True, *, init=None):
        Layer.__init__(self)
        in_features = checks.as_integer("in_features", in_features, 1)
        out_features = checks.as_integer("out_features", out_features, 1)
        checks.check_size("weight", in_features, out_features)
        self.in_features, self.out_features = in_features, out_features
        self.input_shape = (in_features,)
        self.add_weights((in_features, out_features), out_features, activation, bias, init)

    cdef tuple output_shape_of(self, tuple shape):
        check_last_axes(type(self).__name__, shape, (self.in_features,))
        return (*shape[:len(shape) - 1], self.out_features)

    cdef int bind(self) except -1:
        self.w, self.dw = address(self.own_values["weight"]), self.gradient_of("weight")
        if self.has_bias:
            self.b, self.db = address(self.own_values["bias"]), self.gradient_of("bias")
        return 0

    cdef int pack(self, const fastnn_kernels *k) except -1:
        cdef int64_t line = LINE // k.real_size, row = (self.out_features + line - 1) // line * line
        if self.out_features > line:                # else W's rows are read where they stand
            k.gemm_pack(self.w, self.in_features, self.out_features, self.reserve_packed(k, self.in_features * row))
        return 0

    cdef int absorb(self, tuple behind, tuple out_shape) except -1:
        cdef int count = Weighted.absorb(self, behind, out_shape)
        if self.norm is not None and len(out_shape) > 1:            # its channels are no columns
            self.norm = self.after = None
            return 0
        return count

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        self.groups = self.in_size // self.in_features
        plan.reserve(&self.y, <object>rows * self.out_size)
        if saves_slope(self.act.kind):
            plan.reserve(&self.u, <object>rows * self.out_size)
        self.plan_hosted(out_shape, rows, plan)
        return out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.x = x
        return self.activated(p, self.product(p, x, self.w, self.act.kind))

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        dy = self.through_activation(p, dy)
        if self._trainable:
            self.weight_gradient(p, self.x, dy, self.dw)
        return self.to_spare(p, dy, self.w) if wants_dx else dy

    cdef void *product(self, Pass *p, const void *x, const void *w, int activation) noexcept nogil:
        """act(x @ w + b), in y."""
        cdef fastnn_gemm g
        g.m, g.n, g.k = p.rows * self.groups, self.out_features, self.in_features
        g.a, g.a_row, g.a_col = x, self.in_features, 1
        g.b, g.b_row, g.b_col = w, self.out_features, 1
        g.packed = packed_for(self, p.k) if w == self.w else NULL
        g.bias = self.b if self.has_bias else NULL
        g.norm, g.activation, g.alpha = NULL, activation, self.act.parameter
        if self.absorbed and not p.saves:
            if self.norm is not None:
                g.norm = self.norm.constants(p)
            if self.after is not None:
                g.activation, g.alpha = self.after.kind, self.after.parameter
        g.c = self.u if p.saves and saves_slope(g.activation) else self.y
        g.y, g.c_row = self.y, self.out_features
        g.work, g.threads = p.work, p.threads
        p.k.gemm(&g)
        return self.y

    cdef void *through_activation(self, Pass *p, void *dy) noexcept nogil:
        """du, over dy where the activation is part of the product, and db."""
        if self.is_hosted:
            dy = self.activation.backward_pass(p, dy, True)
        p.k.activate_backward(self.act.kind, self.act.parameter, self.u if saves_slope(self.act.kind) else self.y,
                              dy, dy, self.db if self.has_bias else NULL, p.rows * self.groups, self.out_features,
                              p.threads)
        return dy

    cdef void weight_gradient(self, Pass *p, const void *x, const void *du, void *dw) noexcept nogil:
        """dW = xᵀ @ du"""
        cdef fastnn_gemm g
        g.packed, g.bias, g.norm, g.activation, g.alpha = NULL, NULL, NULL, IDENTITY, 0
        g.work, g.threads = p.work, p.threads
        g.m, g.n, g.k = self.in_features, self.out_features, p.rows * self.groups
        g.a, g.a_row, g.a_col = x, 1, self.in_features
        g.b, g.b_row, g.b_col = du, self.out_features, 1
        g.c = g.y = dw
        g.c_row = self.out_features
        p.k.gemm(&g)

    cdef void input_gradient(self, Pass *p, const void *du, const void *w, void *dx) noexcept nogil:
        """dx = du @ wᵀ"""
        cdef fastnn_gemm g
        g.packed, g.bias, g.norm, g.activation, g.alpha = NULL, NULL, NULL, IDENTITY, 0
        g.work, g.threads = p.work, p.threads
        g.m, g.n, g.k = p.rows * self.groups, self.in_features, self.out_features
        g.a, g.a_row, g.a_col = du, self.out_features, 1
        g.b, g.b_row, g.b_col = w, 1, self.out_features
        g.c = g.y = dx
        g.c_row = self.in_features
        p.k.gemm(&g)

    cdef void *to_spare(self, Pass *p, void *du, const void *w) noexcept nogil:
        """dx in the spare buffer; du's is the spare one then."""
        cdef void *dx = p.spare
        self.input_gradient(p, du, w, dx)
        p.spare = du
        return dx

"""Activations: y = act(u), each as a layer; ``Linear`` takes the same ones by name and runs them in its product.

    forward     y  = act(u)
    backward    du = dy · act'(u)

Reference: fastnn_ref/activation.py, which has the formulas and their sources; kernels/elementwise.inc.c has them in C.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport IDENTITY, RELU, activation_kind, is_elementwise, saves_slope
from fastnn.custom cimport as_layer
from fastnn.memory cimport Plan
from fastnn.network cimport PASS_THROUGH, PLAIN, Layout, Pass, plan_node

from fastnn._kernels import ACTIVATIONS
from fastnn_ref import init as initialisers
from fastnn_ref.shared import checks
from fastnn_ref.shared.custom import CustomActivation
from fastnn_ref.shared.objects import check_instance, check_unowned, is_a
from fastnn_ref.shared.shapes import as_dim, check_announced, check_has_axis

KERNEL_NAMES = {kind: name for name, kind in ACTIVATIONS.items()}


cdef class Activation(Layer):
    """Activation()\n--\n\n"""

    @property
    def name(self):
        return KERNEL_NAMES[self.kind]

    cdef Layout layout(self):
        return PASS_THROUGH if is_elementwise(self.kind) else PLAIN

    cdef bint ends_in_relu(self):
        return self.kind == RELU

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Layer.plan(self, shape, rows, plan)
        self.width = shape[len(shape) - 1] if shape else 1
        if saves_slope(self.kind):
            plan.reserve(&self.y, <object>rows * self.out_size)
        if self.kind != IDENTITY and not self.in_place:
            plan.reserve(&self.saved, <object>rows * self.out_size)
        if self.kind != IDENTITY and is_elementwise(self.kind):
            plan.result, plan.leaves_dy = &self.y, True
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef void *y
        if self.kind == IDENTITY:
            return <void *>x
        if self.in_place:
            self.saved = <void *>x
        if self.is_joined and self.y == NULL:
            return <void *>x
        y = self.y if self.y != NULL else self.saved
        p.k.activate(self.kind, self.parameter, x, y, self.saved if p.saves else y,
                     p.rows * self.in_size // self.width, self.width, p.threads)
        return y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef const void *source = dy
        if p.given != NULL:
            source, p.given = p.given, NULL
        if self.kind != IDENTITY and not self.leaves_relu and (source != dy or not self.is_joined):
            p.k.activate_backward(self.kind, self.parameter, self.saved, source, dy, NULL,
                                  p.rows * self.in_size // self.width, self.width, p.threads)
        return dy


cdef class Identity(Activation):
    """Identity()\n--\n\n"""
    # y = u.

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("identity")


cdef class ReLU(Activation):
    """ReLU()\n--\n\n"""
    # y = max(u, 0).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("relu")


cdef class ReLU6(Activation):
    """ReLU6()\n--\n\n"""
    # y = min(max(u, 0), 6).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("relu6")


cdef class LeakyReLU(Activation):
    """LeakyReLU(negative_slope=0.01)\n--\n\n"""
    # y = u for u > 0, else negative_slope · u.

    def __init__(self, negative_slope=0.01):
        parameter = checks.as_number("negative_slope", negative_slope, 0, low_open=True)
        Activation.__init__(self)
        self.kind, self.parameter = activation_kind("leaky_relu"), parameter

    @property
    def negative_slope(self):
        return self.parameter


cdef class ELU(Activation):
    """ELU(alpha=1.0)\n--\n\n"""
    # y = u for u > 0, else alpha · (exp(u) − 1).

    def __init__(self, alpha=1.0):
        parameter = checks.as_number("alpha", alpha, 0, low_open=True)
        Activation.__init__(self)
        self.kind, self.parameter = activation_kind("elu"), parameter

    @property
    def alpha(self):
        return self.parameter


cdef class CELU(Activation):
    """CELU(alpha=1.0)\n--\n\n"""
    # y = u for u > 0, else alpha · (exp(u / alpha) − 1).

    def __init__(self, alpha=1.0):
        parameter = checks.as_number("alpha", alpha, 0, low_open=True)
        Activation.__init__(self)
        self.kind, self.parameter = activation_kind("celu"), parameter

    @property
    def alpha(self):
        return self.parameter


cdef class SELU(Activation):
    """SELU()\n--\n\n"""
    # y = λ · u for u > 0, else λ · α · (exp(u) − 1).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("selu")


cdef class SiLU(Activation):
    """SiLU()\n--\n\n"""
    # y = u · σ(u).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("silu")


cdef class Mish(Activation):
    """Mish()\n--\n\n"""
    # y = u · tanh(log(1 + exp(u))).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("mish")


cdef class Hardswish(Activation):
    """Hardswish()\n--\n\n"""
    # y = u · min(max(u + 3, 0), 6) / 6.

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("hardswish")


cdef class GELU(Activation):
    """GELU(approximate="none")\n--\n\n"""
    # y = u · Φ(u).

    def __init__(self, approximate="none"):
        chosen = checks.as_choice("approximate", approximate, ("none", "tanh"))
        Activation.__init__(self)
        self.kind = activation_kind("gelu_tanh" if chosen == "tanh" else "gelu")

    @property
    def approximate(self):
        return "tanh" if self.kind == activation_kind("gelu_tanh") else "none"


cdef class Softplus(Activation):
    """Softplus()\n--\n\n"""
    # y = log(1 + exp(u)).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("softplus")


cdef class Tanh(Activation):
    """Tanh()\n--\n\n"""
    # y = tanh(u).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("tanh")


cdef class Sigmoid(Activation):
    """Sigmoid()\n--\n\n"""
    # y = 1 / (1 + exp(−u)).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("sigmoid")


cdef class Hardsigmoid(Activation):
    """Hardsigmoid()\n--\n\n"""
    # y = min(max(u + 3, 0), 6) / 6.

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("hardsigmoid")


cdef class LogSigmoid(Activation):
    """LogSigmoid()\n--\n\n"""
    # y = log(1 / (1 + exp(−u))).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("log_sigmoid")


cdef class Softsign(Activation):
    """Softsign()\n--\n\n"""
    # y = u / (1 + |u|).

    def __init__(self):
        Activation.__init__(self)
        self.kind = activation_kind("softsign")


cdef class Softshrink(Activation):
    """Softshrink(lambd=0.5)\n--\n\n"""
    # y = u − lambd for u > lambd, u + lambd for u < −lambd, else 0.

    def __init__(self, lambd=0.5):
        parameter = checks.as_number("lambd", lambd, 0)
        Activation.__init__(self)
        self.kind, self.parameter = activation_kind("softshrink"), parameter

    @property
    def lambd(self):
        return self.parameter


cdef class Hardshrink(Activation):
    """Hardshrink(lambd=0.5)\n--\n\n"""
    # y = u for |u| > lambd, else 0.

    def __init__(self, lambd=0.5):
        parameter = checks.as_number("lambd", lambd, 0)
        Activation.__init__(self)
        self.kind, self.parameter = activation_kind("hardshrink"), parameter

    @property
    def lambd(self):
        return self.parameter


cdef class RowActivation(Activation):
    """RowActivation(dim=-1)\n--\n\n"""

    # An activation of whole rows, along one axis, so there must be one.

    cdef readonly int dim
    cdef int64_t inner              # values behind that axis

    def __init__(self, dim=-1):
        dim = as_dim(dim)
        Activation.__init__(self)
        self.dim = dim

    cdef tuple output_shape_of(self, tuple shape):
        return check_has_axis(type(self).__name__, shape, self.dim)

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef int axis = self.dim - 1 if self.dim > 0 else len(shape) + self.dim, i
        cdef tuple found = Activation.plan(self, shape, rows, plan)
        self.width, self.inner = shape[axis], 1
        for i in range(axis + 1, len(shape)):
            self.inner *= <int64_t>shape[i]
        return found

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        if self.inner == 1:
            return Activation.forward_pass(self, p, x)
        if self.in_place:
            self.saved = <void *>x
        p.k.softmax_axis(self.kind, x, self.saved, p.rows * self.in_size // (self.width * self.inner), self.width,
                         self.inner, p.threads)
        return self.saved

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        if self.inner == 1:
            return Activation.backward_pass(self, p, dy, wants_dx)
        p.k.softmax_axis_backward(self.kind, self.saved, dy, dy, p.rows * self.in_size // (self.width * self.inner),
                                  self.width, self.inner, p.threads)
        return dy


cdef class Softmax(RowActivation):
    """Softmax(dim=-1)\n--\n\n"""
    # y = exp(u) / Σ exp(u).

    def __init__(self, dim=-1):
        RowActivation.__init__(self, dim)
        self.kind = activation_kind("softmax")


cdef class LogSoftmax(RowActivation):
    """LogSoftmax(dim=-1)\n--\n\n"""
    # y = u − log Σ exp(u).

    def __init__(self, dim=-1):
        RowActivation.__init__(self, dim)
        self.kind = activation_kind("log_softmax")


NAMES = {
    kind().name: kind for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Activation) and kind not in (Activation, RowActivation)
} | {"gelu_tanh": lambda: GELU("tanh")}


cdef Layer get_activation(object activation):
    if activation is None:
        return Identity()
    if is_a(activation, "Activation"):
        return checks.check_fused(check_instance("activation", activation, Activation))
    if any(isinstance(each, CustomActivation) for each in (activation, getattr(activation, "custom", None))):
        host = as_layer("activation", activation)
        check_unowned("activation", host)
        return host
    return NAMES[checks.as_choice("activation", activation, NAMES)]()


cdef class Weighted(Layer):
    """Weighted()\n--\n\n"""

    changes_shape = True

    cdef bint is_made_later(self):
        return True

    cdef int add_weights(self, tuple shape, object outside, object activation, object bias, object init) except -1:
        """Declares weight and bias; the last line of the constructor."""
        self.activation = get_activation(activation)
        self.is_hosted = not isinstance(self.activation, Activation)
        self.act = Identity() if self.is_hosted else self.activation
        self.init = None if init is None else initialisers.as_init(init, shape)
        self.has_bias = checks.as_flag("bias", bias)
        self.add("weight", shape, initialisers.default_init(self.activation.name, self.init), True)
        if self.has_bias:
            self.add("bias", (outside,), "zeros")
        self.is_made = True
        if self.is_hosted:
            self.adopt((self.activation,))
        return 0

    cdef tuple named_children(self):
        return (("activation", self.activation),) if self.is_hosted else ()

    cdef bint output_is_reusable(self):
        return self.act.kind == IDENTITY and not self.is_hosted

    cdef int absorb(self, tuple behind, tuple out_shape) except -1:
        """A normalisation by constants, then an activation, each if it is there."""
        cdef int count = 0
        self.norm = self.after = None
        if self.act.kind != IDENTITY or self.is_hosted:
            return 0
        if count < len(behind) and (<Layer>behind[count]).has_constants():
            self.norm = behind[count]
            count += 1
        if count < len(behind) and isinstance(behind[count], Activation) and (
                is_elementwise((<Activation>behind[count]).kind)):
            self.after = behind[count]
            count += 1
        return count

    cdef int plan_hosted(self, tuple out_shape, int64_t rows, Plan plan) except -1:
        """Plans a user's own activation, if there is one."""
        if self.is_hosted:
            check_announced(plan_node(self.activation, out_shape, rows, plan), out_shape)
        return 0

    cdef void *activated(self, Pass *p, void *y) noexcept nogil:
        """y after a user's own activation, if there is one: all others are part of the kernel."""
        return self.activation.forward_pass(p, y) if self.is_hosted else y

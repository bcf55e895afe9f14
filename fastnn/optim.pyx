"""Optimizers: how weights follow their gradients; one pass over the model's flat memory.

Order: penalty, clipping by value, clipping by norm, update, what the penalties restrain. Weight decay touches weights,
never biases, so an update is one run over the weights with decay and one over the rest without.

Twin: fastnn_ref/optim.py, which has the formulas and their sources; kernels/optim.inc.c has them in C.
"""

import numpy as np

from libc.math cimport sqrt
from libc.stdint cimport int64_t

from fastnn._kernels cimport address, aligned, fastnn_update, table, threads
from fastnn.layer cimport Layer, Pass

from fastnn_ref import validation


cdef class Optimizer:
    """Optimizer(lr, weight_decay, clip_norm, clip_value)\n--\n
    What all optimizers share: ``lr`` (a number or a schedule), ``steps``, ``step(model)``, and the state.

    ``lr`` >= 0 and finite; ``weight_decay`` >= 0; ``clip_norm`` and ``clip_value`` > 0, or None for no clipping. An
    optimizer belongs to the first model it steps, whose momentum it keeps; another one is a ValueError.

    >>> import fastnn as nn
    >>> optimizer = nn.SGD(lr=nn.StepLR(0.1, step_size=2))
    >>> optimizer.steps, optimizer.learning_rate
    (0, 0.1)
    >>> optimizer.lr = 0.05
    >>> optimizer.learning_rate
    0.05
    """

    def __init__(self, lr, weight_decay, clip_norm, clip_value):
        if type(self) is Optimizer:
            raise TypeError("Optimizer: an abstract class; use SGD, RMSprop, Adam or AdamW")
        if self.slots is not None:
            raise RuntimeError(f"{type(self).__name__}.__init__: expected one call, got a second one")
        self.lr = lr
        self.weight_decay = validation.number("weight_decay", weight_decay, 0)
        self.limit_norm = None if clip_norm is None else validation.number("clip_norm", clip_norm, 0, low_open=True)
        self.limit_value = None if clip_value is None else validation.number(
            "clip_value", clip_value, 0, low_open=True)
        self.max_norm, self.max_value = self.limit_norm or 0, self.limit_value or 0
        self.slots, self.waiting = {}, {}

    # ---- what a kind of optimizer defines ----

    cdef tuple slot_names(self):
        """The arrays it keeps beside the parameters."""
        return ()

    cdef int bind(self) except -1:
        """Takes the addresses of its slots."""
        return 0

    cdef void update_run(self, Pass *p, double lr, int64_t start, int64_t n, double decay) noexcept nogil:
        """Updates n parameters from `start` on."""
        pass

    def arguments(self):
        """The constructor's arguments that make such an optimizer again, by name."""
        return {"lr": self.rate, "weight_decay": self.weight_decay, "clip_norm": self.limit_norm,
                "clip_value": self.limit_value}

    # ---- for users ----

    @property
    def lr(self):
        """The learning rate: a number, or a schedule from step to number."""
        return self.rate

    @lr.setter
    def lr(self, value):
        self.rate = validation.learning_rate(value)

    @property
    def learning_rate(self):
        """The rate that the next step takes."""
        return validation.number("lr", self.rate(self.updates), 0) if callable(self.rate) else self.rate

    @property
    def steps(self):
        """Updates done."""
        return self.updates

    @property
    def clip_norm(self):
        """The largest norm of all gradients together, or None."""
        return self.limit_norm

    @property
    def clip_value(self):
        """The largest absolute value of a gradient, or None."""
        return self.limit_value

    def step(self, model):
        """Adds the penalties' gradients, clips, updates ``model``'s parameters, restrains them."""
        cdef Layer layer = validation.instance("model", model, Layer)
        cdef double lr = self.learning_rate
        cdef Pass p
        layer = layer.outermost()
        layer.enter()
        try:
            self.join(layer)
            p.k, p.threads = table(layer.real_size), threads()
            with nogil:
                self.update_pass(&p, lr)
        finally:
            layer.leave()

    def state_dict(self):
        """``{"steps": ..., slot: {parameter's name: array}}``: what training needs to go on as if never stopped."""
        state = {"steps": self.updates}
        for slot in self.slot_names():
            state[slot] = {name: value.copy() for name, value in self._views(slot).items()} \
                if self.model is not None else dict(self.waiting.get(slot, {}))
        return state

    def load_state_dict(self, state):
        """Takes a state over; names and shapes are checked against the model, at the latest at the first step."""
        names = self.slot_names()
        state = validation.optimizer_state(state, names)
        if self.model is not None:
            for name in names:
                if state[name]:
                    validation.state(name, state[name], self._views(name))
        self.updates = state["steps"]
        self.waiting = {name: state[name] for name in names}
        if self.model is not None:
            self._fill()

    def __repr__(self):
        return validation.call(type(self).__name__, (), self.arguments())

    def __reduce__(self):
        return _rebuild, (type(self), self.arguments(), self.state_dict())

    # ---- inside ----

    cdef int join(self, Layer model) except -1:
        """Makes room for the slots at the first step; afterwards the model must be the same one."""
        cdef int64_t size
        if self.model is model:
            return 0
        if self.model is not None:
            raise ValueError(
                f"optimizer: this {type(self).__name__} already belongs to another model; make a new one")
        model.build()
        size = model.parameter_count * model.real_size
        self.model = model
        self.slots = {name: aligned(max(size, 1))[:size].view(model.dtype) for name in self.slot_names()}
        try:
            self._fill()
            self.bind()
        except BaseException:
            self.model, self.slots = None, {}
            raise
        return 0

    def _views(self, slot):
        """Parameter's name → its part of a slot."""
        flat = self.slots[slot]
        start = address(self.model.flat_values) if flat.size else NULL
        views = {}
        for name, value, _, _ in self.model.parameters():
            offset = (<char *>address(value) - <char *>start) // self.model.real_size
            views[name] = flat[offset:offset + value.size].reshape(value.shape)
        return views

    def _fill(self):
        """Copies a loaded state into the slots."""
        for slot, values in self.waiting.items():
            views = self._views(slot)
            if values:
                for name, value in validation.state(slot, values, views).items():
                    views[name][...] = value
            else:
                self.slots[slot][...] = 0
        self.waiting = {}

    cdef void update_pass(self, Pass *p, double lr) noexcept nogil:
        cdef void *g = self.model.flat_g
        cdef int64_t n = self.model.parameter_count, weights = self.model.decaying
        cdef double norm
        if self.model.restraint_count:
            p.k.penalty_gradient(self.model.restraints, self.model.restraint_count)
        if self.max_value > 0:
            p.k.clamp(g, n, self.max_value)
        if self.max_norm > 0:
            norm = sqrt(p.k.sum_squares(g, n))
            if norm > self.max_norm:
                p.k.scale(g, n, self.max_norm / norm)
        self.updates += 1
        self.update_run(p, lr, 0, weights, self.weight_decay)
        self.update_run(p, lr, weights, n - weights, 0)
        if self.model.restraint_count:
            p.k.constrain(self.model.restraints, self.model.restraint_count, lr)


def _rebuild(kind, arguments, state):
    optimizer = kind(**arguments)
    optimizer.load_state_dict(state)
    return optimizer


cdef inline void *at(void *base, int64_t index, Pass *p) noexcept nogil:
    return <char *>base + index * p.k.real_size if base != NULL else NULL


cdef fastnn_update update_of(Optimizer o, Pass *p, double lr, int64_t start, int64_t n, double decay) noexcept nogil:
    """What every optimizer tells its kernel; the slots and its own numbers come after."""
    return fastnn_update(w=at(o.model.flat_w, start, p), g=at(o.model.flat_g, start, p), mean=NULL, square=NULL, n=n,
                         step=o.updates, lr=lr, beta1=0, beta2=0, eps=0, decay=decay, nesterov=0, decoupled=0,
                         threads=p.threads)


cdef class SGD(Optimizer):
    """SGD(lr=1e-2, momentum=0.0, nesterov=False, weight_decay=0.0, *, clip_norm=None, clip_value=None)\n--\n
    Gradient descent with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

    v ← momentum·v + g;  w ← w − lr·v, or w − lr·(g + momentum·v) with ``nesterov``. 0 <= ``momentum`` < 1, and > 0 for
    ``nesterov``. Weight decay adds weight_decay·w to g: L2's gradient.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0)
    >>> x, t = np.array([[1.0]]), np.array([[0.0]])
    >>> before = float(model.layers[0].weight[0, 0])
    >>> _ = model.step(x, t, nn.MSELoss(), nn.SGD(lr=0.25))
    >>> round(float(model.layers[0].weight[0, 0]) / before, 6)
    0.5
    """

    cdef readonly double momentum
    cdef readonly bint nesterov
    cdef void *v

    def __init__(self, lr=1e-2, momentum=0.0, nesterov=False, weight_decay=0.0, *, clip_norm=None, clip_value=None):
        Optimizer.__init__(self, lr, weight_decay, clip_norm, clip_value)
        self.momentum = validation.number("momentum", momentum, 0, 1, high_open=True)
        self.nesterov = validation.flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: expected momentum > 0, got 0")

    def arguments(self):
        return {"momentum": self.momentum, "nesterov": bool(self.nesterov), **Optimizer.arguments(self)}

    cdef tuple slot_names(self):
        return ("momentum",) if self.momentum > 0 else ()

    cdef int bind(self) except -1:
        if self.momentum > 0:
            self.v = address(self.slots["momentum"])
        return 0

    cdef void update_run(self, Pass *p, double lr, int64_t start, int64_t n, double decay) noexcept nogil:
        cdef fastnn_update u = update_of(self, p, lr, start, n, decay)
        u.mean, u.beta1, u.nesterov = at(self.v, start, p), self.momentum, self.nesterov
        p.k.sgd(&u)


cdef class RMSprop(Optimizer):
    """RMSprop(lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, *, clip_norm=None, clip_value=None)\n--\n
    Divides by a running root mean square (Tieleman and Hinton 2012).

    s ← alpha·s + (1 − alpha)·g²;  w ← w − lr·g / (√s + eps). 0 <= ``alpha`` < 1, ``eps`` > 0. The first step is
    lr / √(1 − alpha), whatever the gradient's size:

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), nn.RMSprop(lr=0.01))
    >>> print(model.layers[0].weight.round(6))
    [[0.9]]
    """

    cdef readonly double alpha, eps
    cdef void *square

    def __init__(self, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, *, clip_norm=None, clip_value=None):
        Optimizer.__init__(self, lr, weight_decay, clip_norm, clip_value)
        self.alpha = validation.number("alpha", alpha, 0, 1, high_open=True)
        self.eps = validation.number("eps", eps, 0, low_open=True)

    def arguments(self):
        return {"alpha": self.alpha, "eps": self.eps, **Optimizer.arguments(self)}

    cdef tuple slot_names(self):
        return ("square",)

    cdef int bind(self) except -1:
        self.square = address(self.slots["square"])
        return 0

    cdef void update_run(self, Pass *p, double lr, int64_t start, int64_t n, double decay) noexcept nogil:
        cdef fastnn_update u = update_of(self, p, lr, start, n, decay)
        u.square, u.beta2, u.eps = at(self.square, start, p), self.alpha, self.eps
        p.k.rmsprop(&u)


cdef class Adam(Optimizer):
    """Adam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, *, clip_norm=None, clip_value=None)\n--\n
    Adam (Kingma and Ba 2015), weight decay coupled as in L2: g ← g + weight_decay·w first.

    m ← β1·m + (1 − β1)·g;  s ← β2·s + (1 − β2)·g²;  w ← w − lr/(1 − β1ᵗ) · m / (√s/√(1 − β2ᵗ) + eps).
    ``betas`` (β1, β2), each 0 <= β < 1; ``eps`` > 0. The first step is lr, whatever the gradient's size:

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), nn.Adam(lr=0.01))
    >>> print(model.layers[0].weight.round(6))
    [[0.99]]
    """

    cdef double beta1, beta2
    cdef readonly double eps
    cdef void *mean
    cdef void *square

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, *, clip_norm=None, clip_value=None):
        Optimizer.__init__(self, lr, weight_decay, clip_norm, clip_value)
        self.beta1, self.beta2 = validation.betas(betas)
        self.eps = validation.number("eps", eps, 0, low_open=True)

    @property
    def betas(self):
        """(β1, β2)."""
        return self.beta1, self.beta2

    def arguments(self):
        return {"betas": self.betas, "eps": self.eps, **Optimizer.arguments(self)}

    cdef tuple slot_names(self):
        return ("mean", "square")

    cdef int bind(self) except -1:
        self.mean, self.square = address(self.slots["mean"]), address(self.slots["square"])
        return 0

    cdef bint decoupled(self) noexcept nogil:
        return False

    cdef void update_run(self, Pass *p, double lr, int64_t start, int64_t n, double decay) noexcept nogil:
        cdef fastnn_update u = update_of(self, p, lr, start, n, decay)
        u.mean, u.square, u.beta1, u.beta2 = at(self.mean, start, p), at(self.square, start, p), self.beta1, self.beta2
        u.eps, u.decoupled = self.eps, self.decoupled()
        p.k.adam(&u)


cdef class AdamW(Adam):
    """AdamW(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, clip_norm=None, clip_value=None)\n--\n
    Adam with decoupled weight decay (Loshchilov and Hutter 2019): w ← w·(1 − lr·weight_decay) first.

    Arguments as for ``Adam``. Where the gradient is 0, a weight shrinks by just that factor:

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[0.0]]), np.array([[5.0]]), nn.MSELoss(), nn.AdamW(lr=0.5, weight_decay=0.5))
    >>> model.layers[0].weight.tolist()
    [[0.75]]
    """

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, clip_norm=None, clip_value=None):
        Adam.__init__(self, lr, betas, eps, weight_decay, clip_norm=clip_norm, clip_value=clip_value)

    cdef bint decoupled(self) noexcept nogil:
        return True

"""Optimizers: how weights follow their gradients; one loop over the network's memory.

Order: g ← −g to maximise, penalty, clipping by value, clipping by norm, update, constraints. Weight decay applies
to weights, never to biases, so an update is one run over the weights with decay and one over the rest without.

Reference: fastnn_ref/optim.py, which has the formulas and their sources; kernels/optim.inc.c has them in C.
"""

import weakref

import numpy as np

from libc.math cimport pow, sqrt
from libc.stdint cimport int64_t

from fastnn._kernels cimport address, aligned, fastnn_step_size, fastnn_update, table, threads, writable
from fastnn.custom cimport carry
from fastnn.gil cimport PyThreadState, released, take_back
from fastnn.layer cimport Layer
from fastnn.network cimport Network, Pass

from fastnn.copying import reduce
from fastnn_ref.shared import checks
from fastnn_ref.shared.access import check_writable
from fastnn_ref.shared.arrays import as_state
from fastnn_ref.shared.custom import OptimizerAccess, host_optimizer
from fastnn_ref.shared.objects import check_instance
from fastnn_ref.shared.optimizer import as_betas, as_clipping, as_dampening, as_learning_rate, belongs_to_another


cdef class Optimizer(Closed):
    """Optimizer(lr, weight_decay, maximize, clip_norm, clip_value)\n--\n\n"""

    def __init__(self, lr, weight_decay, maximize, clip_norm, clip_value):
        self.check_unmade()
        self.lr = lr
        self.weight_decay = checks.as_number("weight_decay", weight_decay, 0)
        self.maximize = checks.as_flag("maximize", maximize)
        self.clip_norm, self.clip_value = as_clipping(clip_norm, clip_value)
        self.max_norm, self.max_value = self.clip_norm or 0, self.clip_value or 0
        self.slots, self.pending_state = {}, {}
        self.is_made = True

    cdef bint made(self):
        return self.is_made

    # ---- what a kind of optimizer defines ----

    cdef tuple slot_names(self):
        """The arrays it keeps beside the parameters."""
        return ()

    cdef double slot_start(self):
        """What they start from."""
        return 0

    cdef int bind(self) except -1:
        """Takes the addresses of its slots."""
        return 0

    cdef void update_run(self, Pass *p, double lr, void *w, void *g, int64_t start, int64_t n,
                         double decay) noexcept nogil:
        """Updates n parameters that lie side by side; `start` is their place in a slot."""
        pass

    cdef fastnn_step_size step_size(self, double lr) noexcept nogil:
        """What a weight moves by if its gradient stays 1, after the update: L1's threshold is this times λ."""
        return step_size_of(lr, NULL, 1, 0)

    # ---- for users ----

    @property
    def lr(self):
        return self.rate

    @lr.setter
    def lr(self, value):
        self.rate = as_learning_rate(value)
        self.assigned += 1

    @property
    def current_lr(self):
        return checks.as_number("lr", self.rate(self.updates), 0) if callable(self.rate) else self.rate

    @property
    def steps(self):
        return self.updates

    @steps.setter
    def steps(self, value):
        self.updates = checks.as_integer("steps", value, 0, 2**62)
        self.assigned += 1

    def step(self, model):
        cdef Layer layer = check_instance("model", model, Layer)
        cdef double lr
        cdef PyThreadState *state
        cdef Network network
        self.check_made()
        network = layer.enter(True)
        try:
            lr = self.current_lr
            network.wake()
            self.attach(network)
            network.run.k, network.run.threads, network.run.error = table(network.real_size), threads(), NULL
            network.in_pass = True
            network.saved_x = None
            state = released(8 * network.parameter_count)
            self.update_pass(network, &network.run, lr)
            take_back(state)
            network.raise_error()
        finally:
            network.unlock()

    state_dict, load_state_dict = OptimizerAccess.state_dict, OptimizerAccess.load_state_dict

    def _slot_arrays(self):
        self.check_made()
        if self.network is None:
            return {name: self.pending_state.get(name, {}) for name in self.slot_names()}
        return {name: self.views(self.slots[name]) for name in self.slot_names()}

    def _take_slots(self, state):
        if self.network is None:
            self.pending_state = state
            return
        filled = self.filled(self.offsets, self.count, self.real_size, state)
        for name, slot in self.slots.items():
            slot[...] = filled[name]

    @staticmethod
    def _host_of(value):
        return as_optimizer(value)

    def __reduce__(self):
        return reduce(self, self.state_dict())

    # ---- inside ----

    cdef int attach(self, Network network) except -1:
        """Makes room for the slots at the first step; afterwards the network must be the same one.

        ValueError for an array that a step could not write to.
        """
        if not writable(network.written):
            check_writable(network.changed)
        if self.network is network and self.real_size == network.real_size:
            return 0
        if self.network is not None and self.network is not network:
            raise belongs_to_another(self)
        state = self.pending_state
        if self.network is not None:                # the dtype has changed
            state = self._slot_arrays()
        slots = self.filled(network.offsets, network.parameter_count, network.real_size, state)
        if self.network is not None and self.network is not network:        # another thread was faster
            raise belongs_to_another(self)
        # From here on nothing fails.
        self.network, self.offsets, self.slots = network, network.offsets, slots
        self.real_size, self.count = network.real_size, network.parameter_count
        self.pending_state = {}
        self.bind()
        return 0

    cdef dict views(self, object slot):
        """Parameter's name → its part of a slot."""
        return views_of(slot, self.offsets)

    cdef dict filled(self, dict offsets, int64_t count, int64_t real_size, dict state):
        """New slots with the values of a state, which may lack a slot: it starts anew then."""
        slots = {}
        for name in self.slot_names():
            slots[name] = aligned(max(count * real_size, 1))[:count * real_size].view("f4" if real_size == 4 else "f8")
            if state.get(name):
                views = views_of(slots[name], offsets)
                for key, value in as_state(name, state[name], views).items():
                    views[key][...] = value
            elif self.slot_start():
                slots[name][...] = self.slot_start()
        return slots

    cdef void update_pass(self, Network network, Pass *p, double lr) noexcept nogil:
        cdef fastnn_step_size size
        if self.maximize:
            network.scale_gradients(p.k, -1)
        if network.constraint_count:
            p.k.penalty_gradient(network.constraint_array, network.constraint_count)
        if self.max_value > 0:
            network.clamp_gradients(p.k, self.max_value)
        if self.max_norm > 0:
            network.clip_norm(p.k, self.max_norm)
        self.updates += 1
        self.update_all(network, p, lr)
        if p.error != NULL:
            self.updates -= 1
        elif network.constraint_count:
            size = self.step_size(lr)
            p.k.constrain(network.constraint_array, network.constraint_count, &size)

    cdef void update_all(self, Network network, Pass *p, double lr) noexcept nogil:
        """Updates all parameters, span by span; without weight decay, spans that differ in it alone are one."""
        cdef int i
        cdef int64_t n = 0
        for i in range(network.span_count - 1, -1, -1):
            n += network.spans[i].n
            if network.spans[i].continues and self.weight_decay == 0:
                continue
            if not network.spans[i].frozen:
                self.update_run(p, lr * network.spans[i].lr_scale, network.spans[i].w, network.spans[i].g,
                                network.spans[i].offset, n, self.weight_decay if network.spans[i].decays else 0)
            n = 0


cdef dict views_of(object slot, dict offsets):
    return {name: slot[start:start + int(np.prod(shape))].reshape(shape) for name, (start, shape) in offsets.items()}


cdef inline void *at(void *base, int64_t index, Pass *p) noexcept nogil:
    return <char *>base + index * p.k.real_size if base != NULL else NULL


cdef fastnn_update update_of(
        Optimizer o, Pass *p, double lr, void *w, void *g, int64_t start, int64_t n,
        double decay) noexcept nogil:
    """What every optimizer gives its kernel; the slots and its own numbers come after."""
    return fastnn_update(w=w, g=g, mean=NULL, square=NULL, third=NULL, n=n, step=o.updates, lr=lr, lr_g=0, lr_m=0,
                         beta1=0, beta2=0, eps=0, decay=decay, momentum=0, dampening=0, nesterov=0, decoupled=0,
                         start=start, matrices=o.network.matrices, matrix_count=o.network.matrix_count,
                         threads=p.threads)


cdef fastnn_step_size step_size_of(double scale, const void *square, double correction, double eps) noexcept nogil:
    """scale / (√(square / correction) + eps), or `scale` without `square`, which is a slot with a sum or mean of g²."""
    return fastnn_step_size(each=NULL, square=square, mean=NULL, step_square=NULL, scale=scale,
                            root=1 / sqrt(correction), eps=eps)


cdef class SGD(Optimizer):
    """SGD(lr=1e-2, momentum=0.0, nesterov=False, weight_decay=0.0, *, dampening=0.0, maximize=False, clip_norm=None, \
clip_value=None)\n--\n\n"""

    cdef readonly double momentum, dampening
    cdef readonly bint nesterov
    cdef void *v

    def __init__(self, lr=1e-2, momentum=0.0, nesterov=False, weight_decay=0.0, *, dampening=0.0, maximize=False,
                 clip_norm=None, clip_value=None):
        self.check_unmade()
        self.momentum = checks.as_number("momentum", momentum, 0, 1, high_open=True)
        self.nesterov = checks.as_flag("nesterov", nesterov)
        self.dampening = as_dampening(dampening, self.momentum, self.nesterov)
        Optimizer.__init__(self, lr, weight_decay, maximize, clip_norm, clip_value)

    cdef tuple slot_names(self):
        return ("momentum",) if self.momentum > 0 else ()

    cdef int bind(self) except -1:
        if self.momentum > 0:
            self.v = address(self.slots["momentum"])
        return 0

    cdef void update_run(self, Pass *p, double lr, void *w, void *g, int64_t start, int64_t n,
                         double decay) noexcept nogil:
        cdef fastnn_update u = update_of(self, p, lr, w, g, start, n, decay)
        u.mean, u.momentum, u.nesterov = at(self.v, start, p), self.momentum, self.nesterov
        u.dampening = self.dampening
        p.k.sgd(&u)

    cdef fastnn_step_size step_size(self, double lr) noexcept nogil:
        return step_size_of(lr * (1 - self.dampening) / (1 - self.momentum), NULL, 1, 0)


cdef class Adagrad(Optimizer):
    """Adagrad(lr=1e-2, eps=1e-10, weight_decay=0.0, *, lr_decay=0.0, initial_accumulator_value=0.0, maximize=False, \
clip_norm=None, clip_value=None)\n--\n\n"""

    cdef readonly double eps, lr_decay, initial_accumulator_value
    cdef void *sum

    def __init__(self, lr=1e-2, eps=1e-10, weight_decay=0.0, *, lr_decay=0.0, initial_accumulator_value=0.0,
                 maximize=False, clip_norm=None, clip_value=None):
        self.check_unmade()
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.lr_decay = checks.as_number("lr_decay", lr_decay, 0)
        self.initial_accumulator_value = checks.as_number("initial_accumulator_value", initial_accumulator_value, 0)
        Optimizer.__init__(self, lr, weight_decay, maximize, clip_norm, clip_value)

    cdef tuple slot_names(self):
        return ("sum",)

    cdef double slot_start(self):
        return self.initial_accumulator_value

    cdef double rate_now(self, double lr) noexcept nogil:
        """The rate of this step."""
        return lr / (1 + (self.updates - 1) * self.lr_decay)

    cdef int bind(self) except -1:
        self.sum = address(self.slots["sum"])
        return 0

    cdef void update_run(self, Pass *p, double lr, void *w, void *g, int64_t start, int64_t n,
                         double decay) noexcept nogil:
        cdef fastnn_update u = update_of(self, p, self.rate_now(lr), w, g, start, n, decay)
        u.square, u.eps = at(self.sum, start, p), self.eps
        p.k.adagrad(&u)

    cdef fastnn_step_size step_size(self, double lr) noexcept nogil:
        return step_size_of(self.rate_now(lr), self.sum, 1, self.eps)


cdef class RMSprop(Optimizer):
    """RMSprop(lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, *, momentum=0.0, centered=False, maximize=False, \
clip_norm=None, clip_value=None)\n--\n\n"""

    cdef readonly double alpha, eps, momentum
    cdef readonly bint centered
    cdef void *square
    cdef void *mean
    cdef void *v

    def __init__(self, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, *, momentum=0.0, centered=False, maximize=False,
                 clip_norm=None, clip_value=None):
        self.check_unmade()
        self.alpha = checks.as_number("alpha", alpha, 0, 1, high_open=True)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.momentum = checks.as_number("momentum", momentum, 0, 1, high_open=True)
        self.centered = checks.as_flag("centered", centered)
        Optimizer.__init__(self, lr, weight_decay, maximize, clip_norm, clip_value)

    cdef tuple slot_names(self):
        return ("square", *["mean"] * self.centered, *["momentum"] * (self.momentum > 0))

    cdef int bind(self) except -1:
        self.square = address(self.slots["square"])
        if self.centered:
            self.mean = address(self.slots["mean"])
        if self.momentum > 0:
            self.v = address(self.slots["momentum"])
        return 0

    cdef void update_run(self, Pass *p, double lr, void *w, void *g, int64_t start, int64_t n,
                         double decay) noexcept nogil:
        cdef fastnn_update u = update_of(self, p, lr, w, g, start, n, decay)
        u.square, u.beta2, u.eps = at(self.square, start, p), self.alpha, self.eps
        u.mean, u.third, u.momentum = at(self.mean, start, p), at(self.v, start, p), self.momentum
        p.k.rmsprop(&u)

    cdef fastnn_step_size step_size(self, double lr) noexcept nogil:
        cdef fastnn_step_size size = step_size_of(lr / (1 - self.momentum), self.square, 1, self.eps)
        size.mean = self.mean
        return size


cdef class Adadelta(Optimizer):
    """Adadelta(lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, *, maximize=False, clip_norm=None, \
clip_value=None)\n--\n\n"""

    cdef readonly double rho, eps
    cdef void *square
    cdef void *step_square

    def __init__(self, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, *, maximize=False, clip_norm=None, clip_value=None):
        self.check_unmade()
        self.rho = checks.as_number("rho", rho, 0, 1, high_open=True)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        Optimizer.__init__(self, lr, weight_decay, maximize, clip_norm, clip_value)

    cdef tuple slot_names(self):
        return ("square", "step_square")

    cdef int bind(self) except -1:
        self.square, self.step_square = address(self.slots["square"]), address(self.slots["step_square"])
        return 0

    cdef void update_run(self, Pass *p, double lr, void *w, void *g, int64_t start, int64_t n,
                         double decay) noexcept nogil:
        cdef fastnn_update u = update_of(self, p, lr, w, g, start, n, decay)
        u.square, u.third, u.beta2 = at(self.square, start, p), at(self.step_square, start, p), self.rho
        u.eps = self.eps
        p.k.adadelta(&u)

    cdef fastnn_step_size step_size(self, double lr) noexcept nogil:
        cdef fastnn_step_size size = step_size_of(lr, self.square, 1, self.eps)
        size.step_square = self.step_square
        return size


cdef class Adam(Optimizer):
    """Adam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, *, amsgrad=False, maximize=False, clip_norm=None, \
clip_value=None)\n--\n\n"""

    cdef double beta1, beta2
    cdef readonly double eps
    cdef readonly bint amsgrad
    cdef void *mean
    cdef void *square
    cdef void *max_square

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, *, amsgrad=False, maximize=False,
                 clip_norm=None, clip_value=None):
        self.check_unmade()
        self.beta1, self.beta2 = as_betas(betas)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.amsgrad = checks.as_flag("amsgrad", amsgrad)
        Optimizer.__init__(self, lr, weight_decay, maximize, clip_norm, clip_value)

    @property
    def betas(self):
        return self.beta1, self.beta2

    cdef tuple slot_names(self):
        return ("mean", "square", *["max_square"] * self.amsgrad)

    cdef int bind(self) except -1:
        self.mean, self.square = address(self.slots["mean"]), address(self.slots["square"])
        if self.amsgrad:
            self.max_square = address(self.slots["max_square"])
        return 0

    cdef bint decoupled(self) noexcept nogil:
        return False

    cdef void update_run(self, Pass *p, double lr, void *w, void *g, int64_t start, int64_t n,
                         double decay) noexcept nogil:
        cdef fastnn_update u = update_of(self, p, lr, w, g, start, n, decay)
        u.mean, u.square, u.beta1, u.beta2 = at(self.mean, start, p), at(self.square, start, p), self.beta1, self.beta2
        u.eps, u.decoupled, u.third = self.eps, self.decoupled(), at(self.max_square, start, p)
        p.k.adam(&u)

    cdef fastnn_step_size step_size(self, double lr) noexcept nogil:
        return step_size_of(lr, self.max_square if self.amsgrad else self.square,
                            1 - pow(self.beta2, <double>self.updates), self.eps)


cdef class AdamW(Adam):
    """AdamW(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, amsgrad=False, maximize=False, \
clip_norm=None, clip_value=None)\n--\n\n"""

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, amsgrad=False, maximize=False,
                 clip_norm=None, clip_value=None):
        Adam.__init__(self, lr, betas, eps, weight_decay, amsgrad=amsgrad, maximize=maximize, clip_norm=clip_norm,
                      clip_value=clip_value)

    cdef bint decoupled(self) noexcept nogil:
        return True


cdef class NAdam(Optimizer):
    """NAdam(lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3, *, \
decoupled_weight_decay=False, maximize=False, clip_norm=None, clip_value=None)\n--\n\n"""

    cdef double beta1, beta2
    cdef readonly double eps, momentum_decay
    cdef readonly bint decoupled_weight_decay
    cdef void *mean
    cdef void *square
    cdef int64_t last                   # t, and the product of all momenta up to it
    cdef double product

    def __init__(self, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3, *,
                 decoupled_weight_decay=False, maximize=False, clip_norm=None, clip_value=None):
        self.check_unmade()
        self.beta1, self.beta2 = as_betas(betas)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.momentum_decay = checks.as_number("momentum_decay", momentum_decay, 0)
        self.decoupled_weight_decay = checks.as_flag("decoupled_weight_decay", decoupled_weight_decay)
        self.last, self.product = 0, 1
        Optimizer.__init__(self, lr, weight_decay, maximize, clip_norm, clip_value)

    @property
    def betas(self):
        return self.beta1, self.beta2

    cdef tuple slot_names(self):
        return ("mean", "square")

    cdef int bind(self) except -1:
        self.mean, self.square = address(self.slots["mean"]), address(self.slots["square"])
        return 0

    cdef double momentum(self, int64_t t) noexcept nogil:
        return self.beta1 * (1 - 0.5 * pow(0.96, <double>t * self.momentum_decay))

    cdef void rates(self, double lr, double *of_g, double *of_m) noexcept nogil:
        """What g and the mean are multiplied by in this step."""
        cdef double following = self.momentum(self.updates + 1)
        if self.last > self.updates:                # somebody has set steps back
            self.last, self.product = 0, 1
        while self.last < self.updates and self.product > 5e-17:         # from there on 1 − Π is 1
            self.last += 1
            self.product *= self.momentum(self.last)
        self.last = self.updates
        of_g[0] = lr * (1 - self.momentum(self.updates)) / (1 - self.product)
        of_m[0] = lr * following / (1 - self.product * following)

    cdef void update_run(self, Pass *p, double lr, void *w, void *g, int64_t start, int64_t n,
                         double decay) noexcept nogil:
        cdef fastnn_update u = update_of(self, p, lr, w, g, start, n, decay)
        u.mean, u.square, u.beta1, u.beta2 = at(self.mean, start, p), at(self.square, start, p), self.beta1, self.beta2
        u.eps, u.decoupled = self.eps, self.decoupled_weight_decay
        self.rates(lr, &u.lr_g, &u.lr_m)
        p.k.nadam(&u)

    cdef fastnn_step_size step_size(self, double lr) noexcept nogil:
        cdef double of_g, of_m
        self.rates(lr, &of_g, &of_m)
        return step_size_of(of_g + of_m, self.square, 1 - pow(self.beta2, <double>self.updates), self.eps)


# ---- a user's own ----

cdef class OptimizerHost(Optimizer):
    """OptimizerHost(custom)\n--\n\n"""
    # A user's CustomOptimizer at work. The user's object owns it, and it knows that object weakly.

    cdef object user_object
    cdef tuple names
    cdef object sizes                       # of the steps, laid out as a slot; None where all are 0

    def __init__(self, custom):
        Optimizer.__init__(self, custom.lr, custom.weight_decay, custom.maximize, custom.clip_norm, custom.clip_value)
        self.user_object = weakref.ref(custom)
        self.names = custom.slots
        if custom._pending is not None:
            self.load_state_dict(custom._pending)

    @property
    def custom(self):
        return self.user_object()

    cdef tuple slot_names(self):
        return self.names

    cdef void update_all(self, Network network, Pass *p, double lr) noexcept nogil:
        if p.error == NULL:
            with gil:
                try:
                    self.call_update(network, lr)
                except BaseException as error:
                    carry(p, error)

    cdef int call_update(self, Network network, double lr) except -1:
        custom = self.user_object()
        slots = {name: self.views(self.slots[name]) for name in self.names}
        arrays = [value for _, _, value, _, _ in network.updated] + list(self.slots.values())
        before = [each.copy() for each in arrays]
        try:
            for name, spec, value, gradient, lr_scale in network.updated:
                custom._checked_update(value.view(), gradient.view(), lr * lr_scale,
                                       self.weight_decay if spec.decays else 0.0,
                                       {slot: views[name] for slot, views in slots.items()})
            self.sizes = self.sizes_of(custom, network, lr, slots)
        except BaseException:
            for array, values in zip(arrays, before):
                array[...] = values
            raise
        return 0

    cdef object sizes_of(self, object custom, Network network, double lr, dict slots):
        """The step sizes that the user's method gives for what penalties constrain."""
        if not network.constraint_list:
            return None
        sizes = aligned(self.count * self.real_size).view("f4" if self.real_size == 4 else "f8")
        views = self.views(sizes)
        found = {id(value): (name, lr * lr_scale) for name, _, value, _, lr_scale in network.updated}
        for _, value, _ in network.constraint_list:
            name, rate = found[id(value)]
            own = {slot: each[name] for slot, each in slots.items()}
            views[name][...] = custom._checked_step_size(value, rate, own)
        return sizes if sizes.any() else None

    cdef fastnn_step_size step_size(self, double lr) noexcept nogil:
        cdef fastnn_step_size size = step_size_of(0, NULL, 1, 0)
        with gil:
            if self.sizes is not None:
                size.each = address(self.sizes)
        return size


cdef Optimizer as_optimizer(object value):
    if isinstance(value, Optimizer):
        (<Optimizer>value).check_made()
        return value
    return host_optimizer(value, Optimizer, OptimizerHost)

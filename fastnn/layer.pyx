"""Layer: parameters, forward, backward; and what the outermost layer does for all inside it.

A layer holds pointers; the memory behind them belongs to the outermost layer, in three blocks: parameters, gradients
(the same layout, weights before biases) and the plan, with every buffer that a pass over so many rows needs. A pass
is a chain of `forward_pass` calls and then of `backward_pass` calls, without the GIL and without an allocation.

Twin: fastnn_ref/layer.py.
"""

import numpy as np

from libc.stdint cimport int64_t, uint32_t, uintptr_t
from libc.string cimport memcpy

from fastnn._kernels cimport address, aligned, pack_bytes, ready, table, threads

from fastnn_ref import init, validation

DEFAULT_DTYPE = np.dtype(np.float32)
cdef int64_t LINE = 64                              # bytes of a cache line: every buffer starts on one
cdef uint32_t MASK = 1 << 24                        # the streams that random masks draw from


cdef class Arena:

    def __init__(self, real_size):
        self.real_size = real_size
        self.wishes, self.loans = [], []
        self.size = self.lent = self.most = 0
        self.widest = 1

    cdef int64_t reserve(self, void **where, object values) except -1:
        cdef object offset = self.size
        # Python's integers do not overflow: sizes are checked before they are C's.
        self.size = validation.memory(offset + (values * self.real_size + LINE - 1) // LINE * LINE)
        if where != NULL:
            self.wishes.append((<uintptr_t>where, offset))
        return offset

    cdef int borrow(self, void **where, object values) except -1:
        self.loans.append((<uintptr_t>where, self.lent))
        self.lent += (values * self.real_size + LINE - 1) // LINE * LINE
        self.most = max(self.most, self.lent)
        validation.memory(self.size + self.most)
        return 0

    cdef int allocate(self) except -1:
        cdef char *start
        self.memory = aligned(max(self.size + self.most, 1))
        start = <char *>address(self.memory)
        for where, offset in self.wishes + [(where, self.size + offset) for where, offset in self.loans]:
            (<void **><uintptr_t>where)[0] = start + <int64_t>offset
        return 0


cdef object restraints_of(list covered):
    """What penalties do to which parameters, as the kernels read it: an array of fastnn_constraint."""
    cdef fastnn_constraint *r
    memory = aligned(max(len(covered), 1) * sizeof(fastnn_constraint))
    r = <fastnn_constraint *>address(memory)
    for penalty, value, gradient in covered:
        r.w, r.g, r.n = address(value), address(gradient), value.size
        r.l1, r.l2, r.proximal, limit = penalty._terms()
        r.limit, r.units = 0 if limit is None else limit, 0
        if limit is not None:                           # a column of Linear's weight, a filter of Conv2d's
            r.units = value.shape[1] if value.ndim == 2 else value.shape[0]
            r.unit_step = 1 if value.ndim == 2 else r.n // r.units
            r.inner_step = r.units if value.ndim == 2 else 1
        r += 1
    return memory


cdef class Layer:
    """Layer()\n--\n
    A step of the network: keeps its parameters, goes forward, goes back.

    ``params`` and ``grads`` map names (``"weight"``, ``"bias"``) to arrays, views of the model's memory. ``forward``
    takes ``x`` of shape (n, …) and returns y; ``backward`` takes dy, the gradient of the loss with respect to y, sets
    ``grads`` (it never adds to them) and returns dx. ``backward`` belongs to the last ``forward(x, training=True)``.

    >>> import numpy as np, fastnn as nn
    >>> layer = nn.ReLU()
    >>> layer.forward(np.array([[-1.0, 2.0]]), training=True)
    array([[0., 2.]], dtype=float32)
    >>> layer.backward(np.array([[5.0, 5.0]]))
    array([[0., 5.]], dtype=float32)
    """

    reshapes = False                # does what comes out have another shape than what goes in?

    def __init__(self):
        if type(self) is Layer:
            raise TypeError("Layer: an abstract class; use Linear, ReLU, ...")
        if self.specifications is not None:         # kernels rely on the sizes that a layer was made with
            raise RuntimeError(f"{type(self).__name__}.__init__: expected one call, got a second one")
        self.specifications = []
        self.input_shape = None
        self.seed_value = 0

    # ---- the contract: what a kind of layer defines ----

    def output_shape(self, shape):
        """The shape of one example's output for one example's input ``shape``; ValueError if that does not fit.

        >>> import fastnn as nn
        >>> nn.Linear(64, 10).output_shape((64,))
        (10,)
        """
        return tuple(shape)

    cdef Blocks blocks(self):
        """What it does with images in blocks; whether they are is known when it plans: x_in_blocks, y_in_blocks."""
        return NO_BLOCKS

    cdef bint forgets_y(self):
        """Is y in a buffer of its own that it does not look at again, so that the next layer may write there?"""
        return False

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        """Notes sizes, reserves this layer's buffers for `rows` examples of `shape`; returns the output's shape."""
        cdef object inside = validation.size("x", *shape)
        cdef object outside
        self.shape = shape
        self.out_shape = self.output_shape(shape)
        outside = validation.size("y", *self.out_shape)
        self.in_size, self.out_size, self.least = inside, outside, 1
        arena.widest = max(arena.widest, self.in_size, self.out_size)
        arena.lent = 0
        return self.out_shape

    cdef int bind(self) except -1:
        """Takes the addresses of its parameters and gradients."""
        return 0

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        """Computes y in a buffer of this layer's and returns it; keeps what backward needs."""
        return <void *>x

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        """Sets the gradients; returns dx, in dy's own buffer or in p.spare (then dy's buffer is the spare one)."""
        return dy

    cdef list leaves(self, str prefix):
        """(dotted prefix, layer) of every layer with parameters or random numbers of its own."""
        return [(prefix, self)]

    cdef list covered(self):
        """(penalty, value, gradient) of every parameter that a penalty covers."""
        return []

    def arguments(self):
        """The constructor's arguments that make such a layer again: (positional, by name)."""
        return (), {}

    # ---- for users ----

    @property
    def dtype(self):
        """The dtype of parameters and activations: ``float32`` or ``float64``."""
        cdef Layer root = self.outermost()
        root.build()
        return root.dtype_value

    @property
    def params(self):
        """Name → parameter, each an array that can be changed in place.

        >>> import fastnn as nn
        >>> {name: value.shape for name, value in nn.Linear(3, 2).params.items()}
        {'weight': (3, 2), 'bias': (2,)}
        """
        return {name: value for name, value, _, _ in self.parameters()}

    @property
    def grads(self):
        """Name → gradient of the last backward pass, in the parameter's shape."""
        return {name: gradient for name, _, gradient, _ in self.parameters()}

    def parameters(self):
        """(name, value, gradient, decays) of every parameter, names dotted; weights decay, biases do not."""
        self.outermost().build()
        return [(prefix + each.name, (<Layer>layer).values[each.name], (<Layer>layer).gradients[each.name], each.decays)
                for prefix, layer in self.leaves("") for each in (<Layer>layer).specifications if each.trains]

    def _state(self):
        """Name → array of everything that training changes: parameters and running statistics."""
        self.outermost().build()
        return {prefix + each.name: (<Layer>layer).values[each.name]
                for prefix, layer in self.leaves("") for each in (<Layer>layer).specifications}

    @property
    def steps(self):
        """Training passes so far: the counter of the random masks. Set it back to draw the same masks again."""
        return self.passes

    @steps.setter
    def steps(self, value):
        self.passes = validation.integer("steps", value, 0, 2**62)

    def assign(self, name, value):
        """Copies values into a parameter or a running statistic; the shape must be its own."""
        found = validation.parameter(name, value, self._state().get(name))
        self._state()[name][...] = found

    def state_dict(self):
        """Copies of all parameters and running statistics by dotted name, as in PyTorch.

        >>> import fastnn as nn
        >>> sorted(nn.Sequential(nn.Linear(2, 3), seed=0).state_dict())
        ['0.bias', '0.weight']
        """
        return {name: value.copy() for name, value in self._state().items()}

    def load_state_dict(self, state):
        """Copies a state in. Names and shapes must be just the model's (ValueError).

        >>> import fastnn as nn
        >>> one, two = nn.Sequential(nn.Linear(2, 3), seed=1), nn.Sequential(nn.Linear(2, 3), seed=2)
        >>> two.load_state_dict(one.state_dict())
        >>> bool((one.layers[0].weight == two.layers[0].weight).all())
        True
        """
        own = self._state()
        for name, value in validation.state("state", state, own).items():
            own[name][...] = value

    def forward(self, x, training=False):
        """y for ``x`` of shape (n, …), n >= 1; with ``training=True`` keeps what ``backward`` needs.

        Raises ValueError or TypeError for an ``x`` of another shape or that holds no numbers.
        """
        cdef const void *data = NULL
        cdef int64_t rows = 0
        cdef void *y
        self.enter()
        try:
            x = self.accept("x", x, &data, &rows)
            if training:
                validation.enough(rows, self.least)
            self.make_room(self.shape, rows)
            self.begin()
            self.count_pass(rows, training)
            self.kept = x if training else None
            with nogil:
                y = self.forward_pass(&self.run, data)
            return self.copy_out(y, rows, self.out_shape)
        finally:
            self.leave()

    def __call__(self, x):
        """``forward(x)``: a prediction."""
        return self.forward(x)

    def backward(self, dy):
        """dx for ``dy``, the loss's gradient with respect to the last training forward's y; sets ``grads``.

        Raises RuntimeError when the last forward was not in training, ValueError for a ``dy`` of another shape.
        """
        cdef const void *data = NULL
        cdef int64_t rows = 0
        cdef void *dx
        cdef void *dy_copy
        self.enter()
        try:
            if self.kept is None:
                raise RuntimeError("backward: call forward(x, training=True) first")
            if not (ready(dy, self.format(), len(self.out_shape), self.out_dims, &data, &rows)
                    and rows == self.run.rows):
                dy = validation.gradient(dy, self.dtype, (self.run.rows, *self.out_shape))
                if not ready(dy, self.format(), len(self.out_shape), self.out_dims, &data, &rows):
                    raise SystemError("dy: validation let through an array that kernels cannot read")
            out = np.empty((rows, *self.shape), dtype=self.dtype)
            # dx may come into being where it belongs, if there is room for everything on the way.
            dy_copy = address(out) if self.widest == self.in_size else self.gradient
            memcpy(dy_copy, data, rows * self.out_size * self.real_size)
            self.run.spare = self.spare
            with nogil:
                dx = self.backward_pass(&self.run, dy_copy, True)
            if dx != address(out):
                memcpy(address(out), dx, out.nbytes)
            return out
        finally:
            self.leave()

    def __repr__(self):
        positional, named = self.arguments()
        return validation.call(type(self).__name__, positional, named)

    def __reduce__(self):
        # A copy is free: it takes the values along, but not the model around them.
        positional, named = self.arguments()
        if self.parent is not None:
            self.outermost().build()
        values = self.values or self.initial
        if values is not None:
            values = {name: np.array(value) for name, value in values.items()}
        return _rebuild, (type(self), positional, named, values)

    # ---- what the outermost layer does ----

    cdef Layer outermost(self):
        cdef Layer layer = self
        while layer.parent is not None:
            layer = layer.parent
        return layer

    cdef char format(self) noexcept:
        return c"d" if self.real_size == 8 else c"f"

    cdef int build(self) except -1:
        """Brings all parameters into two flat blocks, weights first; values that layers already have are kept."""
        cdef Layer layer
        cdef Arena arena
        cdef uint32_t number = 0
        cdef object places, given
        if self.flat_values is not None:
            return 0
        if self.dtype_value is None:
            given = self.values or self.initial
            self.dtype_value = next(iter(given.values())).dtype if given else DEFAULT_DTYPE
        self.real_size = self.dtype_value.itemsize
        entries = []
        for _, layer in self.leaves(""):
            layer.stream = MASK | number
            number += 1
            entries += [(layer, each) for each in layer.specifications]
        arena = Arena(self.real_size)
        places = {}
        ends = []
        for decays, trains in ((True, True), (False, True), (False, False)):
            for index, (layer, each) in enumerate(entries):
                if (each.decays, each.trains) == (decays, trains):
                    places[index] = arena.reserve(NULL, validation.size(each.name, *each.shape))
            ends.append(arena.size // self.real_size)
        self.decaying, self.parameter_count = ends[0], ends[1]
        flat_values = aligned(max(arena.size, 1))[:arena.size].view(self.dtype_value)
        flat_gradients = aligned(max(arena.size, 1))[:arena.size].view(self.dtype_value)
        bound = {}
        for index, (layer, each) in enumerate(entries):
            start = places[index] // self.real_size
            count = validation.size(each.name, *each.shape)
            value = flat_values[start:start + count].reshape(each.shape)
            given = layer.values or layer.initial
            value[...] = given[each.name] if given else init.create(
                each.initialiser, each.shape, self.seed_value, index, self.dtype_value)
            values, gradients = bound.setdefault(id(layer), (layer, {}, {}))[1:]
            values[each.name] = value
            if each.trains:
                gradients[each.name] = flat_gradients[start:start + count].reshape(each.shape)
        self.flat_values, self.flat_gradients = flat_values, flat_gradients
        self.flat_w = address(flat_values) if arena.size else NULL
        self.flat_g = address(flat_gradients) if arena.size else NULL
        for layer, values, gradients in bound.values():
            layer.values, layer.gradients, layer.initial = values, gradients, None
            layer.bind()
        covered = self.covered()
        self.restraint_count = len(covered)
        self.restraint_memory = restraints_of(covered)
        self.restraints = <const fastnn_constraint *>address(self.restraint_memory)
        return 0

    cdef int make_room(self, tuple shape, int64_t rows) except -1:
        """Plans buffers for `rows` examples of `shape`, unless there is room already."""
        cdef Layer around = self
        cdef Arena arena
        cdef int wanted = threads()
        cdef int axis
        if rows <= self.capacity and wanted <= self.planned_threads and shape == self.shape:
            return 0
        while around is not None:                   # buffers inside a model move: its plan no longer holds
            around.capacity = 0
            around.kept = None
            around = around.parent
        self.real_size = self.dtype.itemsize
        arena = Arena(self.real_size)
        self.x_in_blocks = self.y_in_blocks = self.over_x = False
        self.plan(shape, rows, arena)
        if len(shape) > 8 or len(self.out_shape) > 8:
            raise ValueError(f"x: expected at most 9 dimensions, got {len(shape) + 1}")
        for axis in range(len(shape)):
            self.dims[axis] = shape[axis]
        for axis in range(len(self.out_shape)):
            self.out_dims[axis] = self.out_shape[axis]
        arena.reserve(&self.gradient, <object>rows * arena.widest)
        arena.reserve(&self.spare, <object>rows * arena.widest)
        arena.reserve(&self.work, wanted * pack_bytes() // self.real_size)
        arena.allocate()
        self.arena, self.capacity, self.planned_threads, self.widest = arena, rows, wanted, arena.widest
        return 0

    cdef object accept(self, str name, object x, const void **data, int64_t *rows):
        """x as a C-contiguous array of the model's dtype, with its address; ValueError or TypeError if it is none."""
        self.outermost().build()
        if not (self.capacity and ready(x, self.format(), len(self.shape), self.dims, data, rows)):
            x = validation.array(name, x, self.dtype, self.input_shape)
            if x.shape[1:] != self.shape or not self.capacity:
                self.make_room(x.shape[1:], 1)
            if not ready(x, self.format(), len(self.shape), self.dims, data, rows):
                raise SystemError(f"{name}: validation let through an array that kernels cannot read")
        return x

    cdef int begin(self) except -1:
        """What stays the same from pass to pass."""
        self.run.k = table(self.real_size)
        self.run.threads = min(threads(), self.planned_threads)
        self.run.seed = self.outermost().seed_value
        self.run.work = self.work
        return 0

    cdef void count_pass(self, int64_t rows, bint training) noexcept nogil:
        """Sets up the pass for `rows` examples; a training pass counts as a step."""
        self.run.rows, self.run.training, self.run.step = rows, training, <uint32_t>self.passes
        self.passes += training

    cdef int enter(self) except -1:
        """One thread at a time: the buffers are the model's."""
        cdef Layer root = self.outermost()
        if root.busy:
            raise RuntimeError(f"{type(root).__name__}: in use by another thread; copy.deepcopy makes one for each")
        root.busy = True
        return 0

    cdef int leave(self) except -1:
        self.outermost().busy = False
        return 0

    cdef object copy_out(self, const void *data, int64_t rows, tuple shape):
        out = np.empty((rows, *shape), dtype=self.dtype)
        memcpy(address(out), data, out.nbytes)
        return out


def _rebuild(kind, positional, named, values):
    """What copy and pickle call: a new layer of that kind, with values to start from."""
    cdef Layer layer = kind(*positional, **named)
    layer.initial = values
    return layer

"""Sequential: layers in a row; a training step, and a whole epoch of them, without the GIL.

    forward     x → layer 1 → … → layer L → y
    backward    the same way back, dy → … → dx
    step        forward, loss, backward; then the optimizer: penalty, clipping, update, what the penalties restrain

Twin: fastnn_ref/model.py.
"""

import numpy as np

from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastnn._kernels cimport address, aligned, fastnn_constraint, gather, permute, seconds, table
from fastnn.layer cimport BLOCKS, EITHER, Arena, Layer, Pass, restraints_of
from fastnn.loss cimport Loss
from fastnn.optim cimport Optimizer

from fastnn.penalty import Penalty
from fastnn_ref import mixup as blend, training, validation
from fastnn_ref.schedule import rates

DEFAULT_DTYPE = np.dtype(np.float32)
cdef uint32_t SHUFFLE = 2 << 24             # the stream that shuffles draw from
cdef double AIR = 0.05                      # seconds between looks at Ctrl-C and the progress bar


# One epoch, as the loop without the GIL sees it.
cdef struct Epoch:
    const char *x
    const char *t
    const int64_t *order                    # NULL: in the given order
    char *x_batch
    char *t_batch
    char *x_mixed                           # mixup's, and its share of each step, or NULL
    char *t_mixed
    const double *share
    int64_t n, batch_size, x_bytes, t_bytes
    int64_t done                            # examples
    const double *lr                        # by step, counted within the epoch
    bint classes
    const double *weights                   # of the examples, or NULL
    double *w_batch
    double total, penalty, counted          # Σ loss, Σ its penalty, Σ weight, over examples


cdef class Sequential(Layer):
    """Sequential(*layers, seed=0, dtype=None, penalty=None)\n--\n
    Layers in a row, itself a layer: y = layer_L(… layer_1(x)).

    ``seed`` (0 … 2⁶⁴−1) decides initial weights, shuffles and masks; ``dtype`` is float64 (default) or float32. A layer
    that already has values keeps them; a Sequential inside another one follows the outer one's seed and dtype.
    ``penalty`` is one, or several in a row, of ``L1``, ``L2``, ``ElasticNet`` and ``MaxNorm`` for all weights inside; a
    Sequential inside may have its own, for its part.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(2, 8, activation="tanh"), nn.Linear(8, 2), seed=0)
    >>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([0, 1, 1, 0])
    >>> history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.05), epochs=200, batch_size=4)
    >>> model.predict(x).argmax(axis=1).tolist()
    [0, 1, 1, 0]
    """

    cdef readonly tuple layers
    cdef PyObject **children
    cdef int count
    cdef readonly int64_t epochs
    cdef public bint stop_training
    cdef readonly tuple penalty
    cdef readonly double penalty_loss       # the penalty's part of the last step's or epoch's loss
    cdef object batch                       # run_epoch's gathered examples and targets

    def __init__(self, *layers, seed=0, dtype=None, penalty=None):
        Layer.__init__(self)
        self.penalty = validation.several("penalty", penalty, Penalty)
        self.seed_value = validation.seed(seed)
        self.dtype_value = validation.dtype(dtype, DEFAULT_DTYPE)
        self._check(layers)
        self.children = <PyObject **>malloc(len(layers) * sizeof(PyObject *))
        if self.children == NULL:
            raise MemoryError
        for layer in layers:
            self.children[self.count] = <PyObject *>layer
            self.count += 1
            (<Layer>layer).parent = self
        self.layers = layers

    def __dealloc__(self):
        free(self.children)

    def _check(self, layers):
        """Are these layers, each once, each free, and does each fit the one before it?"""
        validation.layers(layers, Layer)
        for index, layer in enumerate(layers):
            validation.free(f"layers[{index}]", layer)
        self.input_shape = validation.chain(layers)

    def arguments(self):
        named = {"seed": self.seed, "dtype": str(self.outermost().dtype_value)}
        return self.layers, {**named, "penalty": self.penalty} if self.penalty else named

    @property
    def reshapes(self):
        """Does what comes out have another shape than what goes in?"""
        return any(layer.reshapes for layer in self.layers)

    @property
    def seed(self):
        """What the random numbers of this model start from."""
        return (<Layer>self.outermost()).seed_value

    def __reduce__(self):
        positional, named = self.arguments()
        return _rebuild, (type(self), positional, named, self.steps, self.epochs)

    # ---- a layer made of layers ----

    def output_shape(self, shape):
        """The last layer's output shape for the first one's input ``shape``."""
        for layer in self.layers:
            shape = layer.output_shape(shape)
        return shape

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        cdef Layer layer
        cdef tuple inside = shape
        cdef bint in_blocks = False, over_x = False
        Layer.plan(self, shape, rows, arena)
        for index, layer in enumerate(self.layers):
            layer.capacity = 0
            layer.kept = None
            layer.x_in_blocks = in_blocks
            in_blocks = (layer.blocks() == BLOCKS or in_blocks) and self.wants_blocks(index + 1)
            layer.y_in_blocks, layer.over_x = in_blocks, over_x
            over_x = layer.forgets_y()
            inside = layer.plan(inside, rows, arena)
            self.least = max(self.least, layer.least)
        return self.out_shape

    cdef bint wants_blocks(self, int64_t index):
        """Is there, from that layer on, one that takes blocks, and before it none that would not let them pass?"""
        cdef Layer layer
        for layer in self.layers[index:]:
            if layer.blocks() != EITHER:
                return layer.blocks() == BLOCKS
        return False

    cdef list covered(self):
        own = [(each, value, gradient) for each in self.penalty or ()
               for _, value, gradient, decays in self.parameters() if each.covers(decays)]
        return own + [entry for layer in self.layers or () for entry in (<Layer>layer).covered()]

    @property
    def penalised(self):
        """Does a penalty add to the loss?"""
        self.outermost().build()
        return any(each.costs for each, _, _ in self.covered())

    def penalty_value(self):
        """R of the weights as they are, which ``step`` adds to the loss: 0 without penalties."""
        cdef Layer root = self.outermost()
        root.build()
        covered = self.covered()
        memory = restraints_of(covered)
        return table(root.real_size).penalty(<const fastnn_constraint *>address(memory), len(covered))

    cdef list leaves(self, str prefix):
        return [leaf for index, layer in enumerate(self.layers or ())       # None in a half-made object
                for leaf in (<Layer>layer).leaves(f"{prefix}{index}.")]

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef int i
        for i in range(self.count):
            x = (<Layer>self.children[i]).forward_pass(p, x)
        return <void *>x

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef int i
        for i in range(self.count - 1, -1, -1):
            dy = (<Layer>self.children[i]).backward_pass(p, dy, wants_dx or i > 0)
        return dy

    # ---- training ----

    def step(self, x, t, loss, optimizer, sample_weight=None):
        """One training step on a batch: forward, loss, backward, penalty, clipping, update. Returns loss and penalty.

        ``x`` (n, …), ``t`` n targets as the loss wants them, ``sample_weight`` None or n numbers >= 0; else ValueError
        or TypeError, and nothing has changed.

        >>> import numpy as np, fastnn as nn
        >>> model = nn.Sequential(nn.Linear(1, 1), seed=0)
        >>> loss, optimizer = nn.MSELoss(), nn.SGD(lr=0.1)
        >>> x, t = np.array([[1.0], [2.0]]), np.array([[3.0], [5.0]])
        >>> losses = [model.step(x, t, loss, optimizer) for _ in range(200)]
        >>> losses[-1] < 0.01
        True
        """
        cdef const void *data = NULL
        cdef const void *targets = NULL
        cdef int64_t rows = 0
        cdef Loss l = validation.instance("loss", loss, Loss)
        cdef Optimizer o = validation.instance("optimizer", optimizer, Optimizer)
        cdef double lr, value
        cdef const double *weights = NULL
        cdef bint classes
        validation.whole(self)
        self.enter()
        try:
            x = self.accept("x", x, &data, &rows)
            t = l.accept(t, rows, self.out_shape, self.dtype_value, &targets)
            classes = t.dtype.kind == "i"
            if sample_weight is not None:
                given = validation.weights(sample_weight, rows)
                weights = <const double *><size_t>given.ctypes.data
            if rows < self.least:
                validation.enough(rows, self.least)
            self.make_room(self.shape, rows)
            o.join(self)
            lr = o.learning_rate
            self.begin()
            self.count_pass(rows, True)
            self.kept = None
            with nogil:
                value = self.step_pass(data, targets, classes, weights, l, o, lr)
            return value + self.penalty_loss
        finally:
            self.leave()

    cdef double step_pass(self, const void *x, const void *t, bint classes, const double *weights, Loss loss,
                          Optimizer optimizer, double lr) noexcept nogil:
        cdef const void *y = self.forward_pass(&self.run, x)
        cdef double value = loss.value_pass(self.run.k, y, t, classes, weights, self.gradient, self.run.rows,
                                              self.out_size)
        self.run.spare = self.spare
        self.penalty_loss = self.run.k.penalty(self.restraints, self.restraint_count) if self.restraint_count else 0
        self.backward_pass(&self.run, self.gradient, False)
        optimizer.update_pass(&self.run, lr)
        return value

    def run_epoch(self, x, t, loss, optimizer, batch_size=32, shuffle=True, progress=None, sample_weight=None,
                  mixup=0.0):
        """One step for each mini-batch of ``x`` and ``t``. Returns the mean loss over the examples.

        ``batch_size`` >= 1; the last batch may be shorter. ``shuffle`` draws a new order for each epoch. With
        ``sample_weight``, n numbers >= 0, each batch's loss is a weighted mean, and counts by its weights here (class
        weights only weigh within a batch). ``mixup``, α >= 0, learns from mixtures of neighbours in the batch, λ·x +
        (1 − λ)·x' with λ ~ Beta(α, α) (Zhang et al. 2018), and not beside ``sample_weight``.
        ``progress(steps_done, steps)`` is called now and then and at the end. Ctrl-C stops between two steps.

        >>> import numpy as np, fastnn as nn
        >>> model = nn.Sequential(nn.Linear(1, 1), seed=0)
        >>> x, t = np.array([[1.0], [2.0], [3.0]]), np.array([[3.0], [5.0], [7.0]])
        >>> loss, optimizer = nn.MSELoss(), nn.SGD(lr=0.05)
        >>> losses = [model.run_epoch(x, t, loss, optimizer, batch_size=2) for _ in range(300)]
        >>> losses[-1] < 0.01
        True
        """
        cdef const void *data = NULL
        cdef const void *targets = NULL
        cdef int64_t rows = 0, size, steps
        cdef Loss l = validation.instance("loss", loss, Loss)
        cdef Optimizer o = validation.instance("optimizer", optimizer, Optimizer)
        cdef Epoch epoch
        cdef object order = None
        cdef object shares
        batch_size = validation.integer("batch_size", batch_size, 1)
        shuffle = validation.flag("shuffle", shuffle)
        alpha = validation.mixup(mixup, sample_weight)
        validation.whole(self)
        self.enter()
        try:
            x = self.accept("x", x, &data, &rows)
            t = l.accept(t, rows, self.out_shape, self.dtype_value, &targets)
            size = min(batch_size, <object>rows)
            steps = (rows + size - 1) // size
            given = validation.weights(sample_weight, rows)
            epoch.weights = NULL
            if given is not None:
                epoch.weights = <const double *><size_t>given.ctypes.data
            validation.enough((rows - 1) % size + 1, self.least)
            self.make_room(self.shape, size)
            o.join(self)
            lr = rates(o.rate, o.updates, steps)
            epoch.share = NULL
            if alpha:
                t = np.ascontiguousarray(blend.soft(t, self.out_size, self.dtype_value))
                targets = <const void *><size_t>t.ctypes.data
                shares = blend.shares(alpha, steps, self.outermost().seed_value, self.epochs)
                epoch.share = <const double *>address(shares)
            epoch.x, epoch.t, epoch.classes = <const char *>data, <const char *>targets, t.dtype.kind == "i"
            epoch.n, epoch.batch_size, epoch.done, epoch.total, epoch.penalty = rows, size, 0, 0, 0
            epoch.counted = 0
            epoch.x_bytes, epoch.t_bytes = x.nbytes // rows, t.nbytes // rows
            epoch.lr = <const double *>address(lr)
            epoch.order = NULL
            self.begin()
            if shuffle or alpha:
                self.make_batch(&epoch)
            if shuffle:
                order = np.empty(rows, dtype=np.int64)
                epoch.order = <const int64_t *>address(order)
                with nogil:
                    permute(<int64_t *>epoch.order, rows, self.run.seed, <uint32_t>self.epochs, SHUFFLE)
            self.kept = None
            self.epochs += 1
            while epoch.done < rows:
                with nogil:
                    self.steps_pass(&epoch, l, o)
                PyErr_CheckSignals()
                if progress is not None:
                    progress((epoch.done + size - 1) // size, steps)
            self.penalty_loss = epoch.penalty / rows
            return (epoch.total / epoch.counted if epoch.counted > 0 else 0.0) + self.penalty_loss
        finally:
            self.leave()

    cdef int make_batch(self, Epoch *epoch) except -1:
        cdef int64_t x_size = (epoch.batch_size * epoch.x_bytes + 63) // 64 * 64
        cdef int64_t t_size = (epoch.batch_size * epoch.t_bytes + 63) // 64 * 64
        cdef int64_t w_size = (epoch.batch_size * <int64_t>sizeof(double) + 63) // 64 * 64
        cdef int64_t size = x_size + t_size + w_size + (x_size + t_size if epoch.share != NULL else 0)
        if self.batch is None or len(self.batch) < size:
            self.batch = aligned(size)
        epoch.x_batch = <char *>address(self.batch)
        epoch.t_batch = epoch.x_batch + x_size
        epoch.w_batch = <double *>(epoch.t_batch + t_size)
        epoch.x_mixed = epoch.t_batch + t_size + w_size
        epoch.t_mixed = epoch.x_mixed + x_size
        return 0

    cdef void steps_pass(self, Epoch *e, Loss loss, Optimizer optimizer) noexcept nogil:
        """Steps until the epoch ends or it is time to come up for air."""
        cdef double until = seconds() + AIR
        cdef int64_t rows, i
        cdef const char *x
        cdef const char *t
        cdef const double *weights
        cdef double count
        while e.done < e.n:
            rows = min(e.batch_size, e.n - e.done)
            weights = NULL
            if e.order != NULL:
                gather(e.x_batch, e.x, e.order + e.done, rows, e.x_bytes)
                gather(e.t_batch, e.t, e.order + e.done, rows, e.t_bytes)
                x, t = e.x_batch, e.t_batch
                if e.weights != NULL:
                    gather(e.w_batch, e.weights, e.order + e.done, rows, sizeof(double))
                    weights = e.w_batch
            else:
                x, t = e.x + e.done * e.x_bytes, e.t + e.done * e.t_bytes
                weights = e.weights + e.done if e.weights != NULL else NULL
            if e.share != NULL:
                self.run.k.mix(x, e.x_mixed, rows, self.in_size, e.share[e.done // e.batch_size])
                self.run.k.mix(t, e.t_mixed, rows, e.t_bytes // self.real_size, e.share[e.done // e.batch_size])
                x, t = e.x_mixed, e.t_mixed
            self.count_pass(rows, True)
            count = rows
            if weights != NULL:
                count = 0
                for i in range(rows):
                    count += weights[i]
            e.total += count * self.step_pass(x, t, e.classes, weights, loss, optimizer, e.lr[e.done // e.batch_size])
            e.penalty += rows * self.penalty_loss
            e.counted += count
            e.done += rows
            if seconds() > until:
                return

    def predict(self, x, batch_size=1024):
        """y for ``x``, ``batch_size`` rows at a time, which bounds the memory and changes nothing else.

        >>> import numpy as np, fastnn as nn
        >>> nn.Sequential(nn.Linear(4, 3), nn.Softmax()).predict(np.zeros((2500, 4)), batch_size=1000).shape
        (2500, 3)
        """
        cdef const void *data = NULL
        cdef const char *rows_of_x
        cdef int64_t rows = 0, size, start, part
        cdef char *to
        cdef void *y
        batch_size = validation.integer("batch_size", batch_size, 1)
        self.enter()
        try:
            x = self.accept("x", x, &data, &rows)
            size = min(batch_size, <object>rows)
            self.make_room(self.shape, size)
            self.kept = None
            out = np.empty((rows, *self.out_shape), dtype=self.dtype)
            to = <char *>address(out)
            self.begin()
            rows_of_x = <const char *>data
            for start in range(0, rows, size):
                part = min(size, rows - start)
                self.count_pass(part, False)
                with nogil:
                    y = self.forward_pass(&self.run, rows_of_x + start * self.in_size * self.real_size)
                    memcpy(to + start * self.out_size * self.real_size, y, part * self.out_size * self.real_size)
                PyErr_CheckSignals()
            return out
        finally:
            self.leave()

    def fit(self, x, t, *, loss, optimizer, epochs=1, batch_size=32, validation_data=None, validation_split=0.0,
            shuffle=True, metrics=(), callbacks=(), sample_weight=None, mixup=0.0):
        """Trains for ``epochs`` epochs and returns a ``History``; see ``fastnn_ref.training.fit``.

        >>> import numpy as np, fastnn as nn
        >>> model = nn.Sequential(nn.Linear(1, 1), seed=0)
        >>> x = np.arange(8.0)[:, None]
        >>> history = model.fit(x, 2 * x, loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=3, validation_split=0.25)
        >>> list(history.history)
        ['loss', 'val_loss']
        """
        return training.fit(
            self, x, t, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size,
            validation_data=validation_data, validation_split=validation_split, shuffle=shuffle, metrics=metrics,
            callbacks=callbacks, sample_weight=sample_weight, mixup=mixup)

    def evaluate(self, x, t, loss, metrics=(), batch_size=1024, sample_weight=None):
        """``{"loss": ..., metric: ...}`` on ``x`` and ``t``."""
        return training.evaluate(self, x, t, loss, metrics, batch_size, sample_weight)

    def summary(self):
        """A table of layers, output shapes and parameters, as text."""
        return training.summary(self)


def _rebuild(kind, positional, named, steps, epochs):
    cdef Sequential model = kind(*positional, **named)
    model.steps, model.epochs = steps, epochs
    return model

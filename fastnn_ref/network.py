"""Network: what a model has once: seed, counters, dtype, the list of parameters, and the lock.

A layer holds a weak reference to the layer around it, and the network is found by climbing. Everything random is a
function of the seed, or of three (initial values, order, masks), and of two counters, so no generator has a state:

    steps       training passes; a mask is drawn from (seed, steps, number of the layer)
    epochs      finished epochs; the order of the next one is drawn from (seed, epochs)

A layer that is used alone has a network of its own. It sleeps while the layer stands inside another one, and wakes at
the next use after the outer layer is gone.

One thread trains, or any number of threads predict, each with a ``Use``; ``hold`` keeps others out for all of a
``fit``. What layers keep in ``_saved`` is for ``backward``: a prediction does not read it, so predictions need no
buffers of their own.

Engine: fastnn/network.pyx.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from . import init
from .shared.access import Listed, Trained, listed, numbered, walk
from .shared.network import as_common_dtype, as_counters, as_seeds, busy, process_lock

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
DEFAULT_DTYPE = np.dtype(np.float64)


def dtypes_inside(layer: Any) -> set[np.dtype[Any]]:
    """The dtypes that a layer and its contents have: the one that an inner model chose, or that of the values."""
    if layer._own_network is not None and layer._own_network.chosen_dtype is not None:
        return {layer._own_network.chosen_dtype}
    return {value.dtype for value in layer.values.values()}.union(*(dtypes_inside(one) for _, one in layer.children()))


def clear_gradients(layer: Any) -> None:
    """The gradients of a frozen layer are 0."""
    if not layer._trainable:
        for gradient in layer.gradients.values():
            gradient[...] = 0


MUTEX = process_lock()          # held for a few lines that threads must not mix: who uses a layer, who adopts it


class Use:
    """What one thread does with a network."""

    def __init__(self, is_main: bool, is_alone: bool) -> None:
        self.is_main = is_main                      # one thread inside is; the others call copies of users' layers
        self.is_alone = is_alone                    # was no other thread inside meanwhile?
        self.depth = 0                              # calls, one inside the other
        self.in_pass = self.trains = False


class Network:
    """Seed, counters, dtype, parameters and users of the layers inside the root, which it does not keep alive."""

    pending: tuple[weakref.ref[Any], Shape] | None  # which layer may go backward, and the shape of its y

    def __init__(self, root: Any, seed: int | dict[str, int] = 0, dtype: np.dtype[Any] | None = None) -> None:
        self.seed, self.seeds, self.chosen_dtype = seed, as_seeds(seed), dtype
        self.steps, self.epochs, self.batch = 0, 0, 0
        self.sums = [0.0, 0.0, 0.0]                 # of the epoch under way: Σ loss, Σ penalty, Σ weight
        self.bind(root)

    def bind(self, root: Any) -> None:
        """Makes ``root`` the outermost layer; the network is asleep and no pass is under way."""
        self._root, self.awake = weakref.ref(root), False
        self._uses: dict[int, Use] = {}             # thread → what it does
        self._holder: int | None = None             # the thread that has taken it for all of a ``fit``
        self.pending, self.pass_step = None, 0      # pass_step: the value of steps that this pass draws from

    @property
    def root(self) -> Any:
        """The outermost layer."""
        root = self._root()
        if root is None:
            raise RuntimeError("network: its layers are gone")
        return root

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that the model chose, else the one that its contents have, else the default."""
        return self._dtype if self.awake else as_common_dtype(dtypes_inside(self.root)) or DEFAULT_DTYPE

    @property
    def parameters(self) -> list[Listed]:
        """(name, value, gradient, decays) of every parameter, names dotted."""
        self.wake()
        return self._parameters

    @property
    def trained(self) -> list[Trained]:
        """(name, value, gradient, decays, lr_scale) of every parameter that an optimizer changes."""
        self.wake()
        return self._trained

    @property
    def constraints(self) -> list[tuple[Any, Array, Array]]:
        """(penalty, value, gradient) of every parameter that a penalty applies to."""
        self.wake()
        return self._constraints

    def has_finite_parameters(self) -> bool:
        """Is no parameter NaN or infinite?"""
        return all(np.isfinite(value).all() for _, value, _, _ in self.parameters)

    def wake(self) -> None:
        """Numbers the layers, draws missing values, casts the others, and lists the parameters: once."""
        if self.awake:
            return
        root, dtype, index, found = self.root, self.dtype, 0, []
        for _, layer, number in numbered(root):
            values, gradients = dict(layer.values), dict(layer.gradients)
            for spec in layer.specs.values():
                if spec.name not in values:
                    values[spec.name] = init.create(spec.init, spec.shape, self.seeds.init, index, dtype)
                if spec.trainable and spec.name not in gradients:
                    gradients[spec.name] = np.zeros(spec.shape, dtype)
                index += 1
            for arrays in values, gradients:            # those of a file that joblib has mapped are read-only
                arrays.update({name: array.astype(dtype, copy=not array.flags.writeable)
                               for name, array in arrays.items()})
            found.append((layer, number, values, gradients))
        with MUTEX:
            if not self.awake:                          # else another thread was faster
                for layer, number, values, gradients in found:
                    layer._index = number
                    layer.values.update(values)
                    layer.gradients.update(gradients)
                    layer._bind()
                self._dtype, self._parameters = dtype, listed(root)
                self.group(root)
                self.awake = True

    def group(self, root: Any) -> None:
        """Lists what optimizers and penalties change: the parameters of layers that are not frozen."""
        changed = [(prefix + name, layer.values[name], spec.trainable) for prefix, layer in walk(root)
                   if layer._trainable for name, spec in layer.specs.items()]
        self.changed = {name: value for name, value, _ in changed}      # by training: running statistics, too
        self.statistics = {name: value for name, value, by_optimizer in changed if not by_optimizer}
        layers = [layer for _, layer in walk(root) for spec in layer.specs.values() if spec.trainable]
        pairs = list(zip(layers, self._parameters, strict=True))
        self._trained = [(*listed_one, layer._lr_scale) for layer, listed_one in pairs if layer._trainable]
        frozen = {id(w) for layer, (_, w, _, _) in pairs if not layer._trainable}
        self._constraints = [(penalty, w, g) for _, layer in walk(root) for penalty in layer._penalties
                             for _, w, g, decays in listed(layer) if penalty.applies_to(decays) and id(w) not in frozen]

    def regroup(self) -> None:
        """A layer was frozen, or the like: lists again, and no layer may go backward before the next forward."""
        self.pending = None
        if self.awake:
            self.group(self.root)
            for _, layer in walk(self.root):
                clear_gradients(layer)

    def sleep(self) -> None:
        """Another network takes over; ``check_free`` comes before."""
        self.awake, self.pending = False, None

    # ---- who uses it: one thread that trains, which may predict between its passes, or threads that predict ----

    @contextmanager
    def locked(self, training: bool = False) -> Iterator[Network]:
        """For this thread. Inside a training it may predict between two passes; inside a pass nothing may start."""
        root, me = self.root, threading.get_ident()     # the root is alive meanwhile, whoever drops the model
        taken = False
        try:                # Ctrl-C may interrupt wherever a function is called: at the end of MUTEX, and not below
            with MUTEX:
                others = {thread: use for thread, use in self._uses.copy().items() if thread != me}
                if root.parent is not None:             # another thread has adopted it just now
                    raise busy(root, "thread")
                use = self._uses.get(me) or Use(not any(other.is_main for other in others.values()), not others)
                if use.in_pass:
                    raise busy(root, "pass")
                if self._holder not in (None, me):
                    raise busy(root, "thread", self._holder)
                for thread, other in others.items():
                    if training or other.trains:
                        raise busy(root, "thread", thread)
                if training and use.depth:
                    raise busy(root, "training")
                for other in others.values():
                    other.is_alone = False
                use.depth, use.trains = use.depth + 1, use.trains or training
                self._uses[me] = use
                taken = True
            yield self
        finally:
            if taken:
                use.depth, use.in_pass = use.depth - 1, False
                if not use.depth:
                    del self._uses[me]

    @property
    def use(self) -> Use:
        """What this thread does, inside ``locked``."""
        return self._uses[threading.get_ident()]

    @property
    def is_beside(self) -> bool:
        """Does this thread predict beside another one?"""
        use = self._uses.get(threading.get_ident())
        return use is not None and not use.is_main

    def is_held(self) -> bool:
        """Has this thread taken the network?"""
        return self._holder == threading.get_ident()

    def hold(self) -> None:
        """Takes the network for this thread, between its passes, too, until ``release``."""
        with MUTEX:
            if not self.is_held():
                with self.locked(training=True):
                    self._holder = threading.get_ident()

    def release(self) -> None:
        """Other threads may use it, if this one has taken it."""
        if self.is_held():
            self._holder = None

    def call(self, hook: Callable[..., object], *arguments: object) -> None:
        """Calls a user's function between two steps of a training: it may predict, but not train."""
        with self.locked(training=True):
            hook(*arguments)

    def check_unused(self) -> None:
        """No other thread trains or predicts."""
        for thread in [*self._uses, *self.holders()]:
            if thread != threading.get_ident():
                raise busy(self.root, "thread", thread)

    def check_free(self) -> None:
        """No thread trains or predicts, this one included, unless it is between two passes of a ``fit``."""
        for thread in [*self._uses, *self.holders()]:
            if thread in self._uses or thread != threading.get_ident():
                raise busy(self.root, "adoption", thread)

    def holders(self) -> list[int]:
        """The thread that holds it, if one does."""
        return [] if self._holder is None else [self._holder]

    def begin(self) -> None:
        """Starts a forward pass: no layer may go backward, and random numbers are drawn for this step."""
        self.use.in_pass, self.pending, self.pass_step = True, None, self.steps

    def end(self, layer: Any, shape: Shape) -> None:
        """Ends one that ``layer`` began: it may go backward if no other thread has written over what layers saved."""
        if self.use.is_alone:
            self.pending = weakref.ref(layer), shape

    # ---- counters ----

    def counters(self) -> dict[str, Any]:
        """Training passes, finished epochs, and the position inside an epoch, as a plain record."""
        return {"steps": self.steps, "epochs": self.epochs, "batch": self.batch, "sums": list(self.sums)}

    def set_counters(self, record: Mapping[str, Any]) -> None:
        """Takes such a record over."""
        self.__dict__.update(as_counters(record))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.counters(), "seed": self.seed, "seeds": self.seeds, "chosen_dtype": self.chosen_dtype}

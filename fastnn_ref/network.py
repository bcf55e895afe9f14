"""Network: what a model has once: seed, counters, dtype, the list of parameters, and the lock.

A layer holds a weak reference to the layer around it, and the network is found by climbing. Everything random is a
function of the seed and of two counters, so no generator has a state:

    steps       training passes; a mask is drawn from (seed, steps, number of the layer)
    epochs      finished epochs; the order of the next one is drawn from (seed, epochs)

A layer that is used alone has a network of its own. It sleeps while the layer stands inside another one, and wakes at
the next use after the outer layer is gone.

Engine: fastnn/network.pyx.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import init
from .shared import checks

if TYPE_CHECKING:
    from .layer import Layer

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Listed = tuple[str, Array, Array, bool]             # name, value, gradient, does weight decay apply

DEFAULT_DTYPE = np.dtype(np.float64)


def walk(layer: Layer, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """(dotted prefix, layer) of ``layer`` and of every layer inside it, outer ones first."""
    yield prefix, layer
    for name, child in layer.children():
        yield from walk(child, f"{prefix}{name}.")


def listed(layer: Layer) -> list[Listed]:
    """The trainable parameters of ``layer`` and of the layers inside it."""
    return [(prefix + spec.name, each.values[spec.name], each.gradients[spec.name], spec.decays)
            for prefix, each in walk(layer) for spec in each.specs.values() if spec.trainable]


def dtypes_inside(layer: Layer) -> set[np.dtype[Any]]:
    """The dtypes that a layer and its contents have: the one that an inner model chose, or that of the values."""
    own = layer._own_network
    if own is not None and own.chosen_dtype is not None:
        return {own.chosen_dtype}
    return {value.dtype for value in layer.values.values()}.union(
        *(dtypes_inside(child) for _, child in layer.children()))


def common_dtype(found: set[np.dtype[Any]]) -> np.dtype[Any]:
    """The one dtype among those of the contents, or the default."""
    if len(found) > 1:
        raise ValueError(f"dtype: expected one, as the layers already have {' and '.join(sorted(map(str, found)))}; "
                         "say dtype=")
    return next(iter(found), DEFAULT_DTYPE)


class Network:
    """Seed, counters, dtype, parameters and lock of the layers inside ``root``, which it does not keep alive."""

    def __init__(self, root: Layer, seed: int = 0, dtype: np.dtype[Any] | None = None) -> None:
        self.seed, self.chosen_dtype = seed, dtype
        self.steps = self.epochs = 0
        self.batch, self.sums = 0, [0.0, 0.0, 0.0]      # of the epoch under way: Σ loss, Σ penalty, Σ weight
        self.bind(root)

    def bind(self, root: Layer) -> None:
        """Makes ``root`` the outermost layer; the network sleeps and no pass is under way."""
        self._root = weakref.ref(root)
        self.awake = self.in_pass = self.in_training = False
        self.pass_step = 0                              # value of `steps` for the random numbers of this pass
        self.pending: tuple[weakref.ref[Layer], Shape] | None = None     # who may go backward, shape of its y
        self._lock = threading.RLock()
        self._held: Layer | None = None
        self._parameters: list[Listed] = []
        self._constraints: list[tuple[Any, Array, Array]] = []

    @property
    def root(self) -> Layer:
        """The outermost layer."""
        root = self._root()
        if root is None:
            raise RuntimeError("network: its model is gone")
        return root

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that the model chose, else the one that its contents have, else the default."""
        return self._dtype if self.awake else common_dtype(dtypes_inside(self.root))

    @property
    def parameters(self) -> list[Listed]:
        """(name, value, gradient, decays) of every parameter."""
        self.wake()
        return self._parameters

    @property
    def constraints(self) -> list[tuple[Any, Array, Array]]:
        """(penalty, value, gradient) of every parameter that a penalty applies to."""
        self.wake()
        return self._constraints

    def wake(self) -> None:
        """Numbers the layers, draws missing values, casts the others, and lists the parameters: once."""
        if self.awake:
            return
        self.lock()
        try:
            root, index, number = self.root, 0, 0
            dtype = common_dtype(dtypes_inside(root))
            for _, layer in walk(root):
                layer._index, number = number, number + layer._numbered
                for spec in layer.specs.values():
                    known, gradient = layer.values.get(spec.name), layer.gradients.get(spec.name)
                    layer.values[spec.name] = known.astype(dtype, copy=False) if known is not None else init.create(
                        spec.init, spec.shape, self.seed, index, dtype)
                    if spec.trainable:
                        layer.gradients[spec.name] = (
                            np.zeros(spec.shape, dtype) if gradient is None else gradient.astype(dtype, copy=False))
                    index += 1
            self._dtype, self._parameters = dtype, listed(root)
            self._constraints = [
                (penalty, value, gradient) for _, layer in walk(root) for penalty in layer.penalty
                for _, value, gradient, decays in listed(layer) if penalty.applies_to(decays)]
            self.awake = True
        finally:
            self._lock.release()

    def sleep(self) -> None:
        """Another network takes over; RuntimeError if this one is in use."""
        self.lock()
        try:
            self.check_not_in_pass()
            self.check_not_training("build it into another model afterwards, or copy it")
            self.awake, self.pending = False, None
        finally:
            self._lock.release()

    def penalty_value(self) -> float:
        """R of the weights as they are."""
        return sum(penalty.value(value) for penalty, value, _ in self.constraints)

    # ---- who uses it ----

    def error(self, message: str) -> RuntimeError:
        """An error that names the model's class."""
        return RuntimeError(f"{checks.class_name(self.root)}: {message}")

    def lock(self) -> None:
        """Takes the lock; RuntimeError if another thread has it."""
        if not self._lock.acquire(blocking=False):
            raise self.error("in use by another thread; copy.deepcopy makes one for each")

    def check_not_in_pass(self) -> None:
        """The layers are not computing just now."""
        if self.in_pass:
            raise self.error("in a pass; a layer must not call its own model")

    def check_not_training(self, advice: str = "a callback may predict, but not train") -> None:
        """No step and no epoch is under way."""
        if self.in_training:
            raise self.error(f"in training; {advice}")

    def __enter__(self) -> Network:
        """A pass: forward or backward through the layers, in one thread, and none inside another one."""
        self._held = self.root                          # no other thread can drop the model meanwhile
        self.lock()
        if self.in_pass:
            self._lock.release()
            self.check_not_in_pass()
        self.in_pass, self.pass_step = True, self.steps
        return self

    def __exit__(self, *_: object) -> None:
        self.in_pass, self._held = False, None
        self._lock.release()

    @contextmanager
    def training(self) -> Iterator[Network]:
        """A step or an epoch: passes of this thread only; between them a callback may predict, but not train."""
        self.lock()
        try:
            self.check_not_in_pass()
            self.check_not_training()
            self.in_training = True
            try:
                yield self
            finally:
                self.in_training = False
        finally:
            self._lock.release()

    # ---- counters ----

    def counters(self) -> dict[str, Any]:
        """Training passes, epochs, and the position inside an epoch, as a plain record."""
        return {"steps": self.steps, "epochs": self.epochs, "batch": self.batch, "sums": list(self.sums)}

    def set_counters(self, record: Mapping[str, Any]) -> None:
        """Takes such a record over."""
        found = checks.as_counters(record)
        self.steps, self.epochs, self.batch, self.sums = (found[key] for key in ("steps", "epochs", "batch", "sums"))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.counters(), "seed": self.seed, "chosen_dtype": self.chosen_dtype}

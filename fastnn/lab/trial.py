"""One seed of an experiment: its data, its models, and what training them took."""

import copy
import functools
import hashlib
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks
from fastnn_ref.shared.callbacks import Callback, StopTraining

from ..extras import extra

with extra("lab"):
    from sklearn import datasets, model_selection

Array = npt.NDArray[Any]
PREDICTED = 256                     # rows at a time, as in fit before its first step: its plan of memory serves again
MEAN, DEVIATION = 0.31, 0.37        # of the pixels of all digits, from 0 to 1


@dataclass(frozen=True)
class Data:
    """Examples to train on, to choose by, and to test on: x (n, …) and targets."""

    x: Array
    t: Array
    x_test: Array
    t_test: Array
    x_validation: Array | None = None
    t_validation: Array | None = None


@functools.cache
def digits_split() -> tuple[Array, Array, Array, Array]:
    """scikit-learn's digits, pixels from 0 to 1: x and t of 1,198 to draw from, x and t of 599 to test on."""
    x, t = datasets.load_digits(return_X_y=True)
    x, x_test, t, t_test = model_selection.train_test_split(
        (x / 16).astype(np.float32), t, test_size=599, random_state=0, stratify=t)
    return x, t, x_test, t_test


@dataclass(frozen=True)
class Trained:
    """A model after its training, with what one asks of it."""

    model: Any
    history: Mapping[str, list[float]]

    def accuracy(self, x: Array, t: Array) -> float:
        """The share of right classes, in percent."""
        return 100 * float((self.model.predict(x, PREDICTED).argmax(axis=1) == t).mean())

    def probabilities(self, x: Array) -> Array:
        """softmax of the outputs, float64."""
        y = self.model.predict(x, PREDICTED).astype(np.float64)
        y = np.exp(y - y.max(axis=1, keepdims=True))
        return y / y.sum(axis=1, keepdims=True)


class StopAt(Callback):
    """Ends training after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.optimizer.steps >= self.steps:
            raise StopTraining


class Trial:
    """One seed of an experiment, given to its functions.

    ``nn``: the package, fastnn or fastnn_ref. ``seed``: a number; ``random``: NumPy's generator for it. ``setup``: the
    experiment's configuration, as attributes. ``broken``: the mutation that is to be put in, or "". What ``train`` took
    is in ``cpu``, by arm; what ``curve`` was given, in ``curves``.

    >>> from fastnn import lab
    >>> import fastnn
    >>> trial = lab.Trial(fastnn, seed=3)
    >>> data = trial.digits(100)
    >>> data.x.shape, data.x_test.shape
    ((100, 64), (599, 64))
    >>> layers = [fastnn.Linear(64, 10)]
    >>> trial.train("softmax", layers, data, epochs=5, lr=0.1).accuracy(data.x_test, data.t_test) > 70
    True
    """

    def __init__(
        self, nn: ModuleType, seed: int, *, name: str = "", setup: Mapping[str, Any] | None = None, broken: str = "",
        dtype: str | None = None, steps: int | None = None,
    ) -> None:
        self.nn, self.seed, self.broken, self.dtype, self.steps = nn, seed, broken, dtype, steps
        self.random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        self.setup = SimpleNamespace(**(setup or {}))
        self.cpu: dict[str, float] = {}
        self.curves: dict[str, list[float]] = {}
        self.models: dict[str, Any] = {}
        self.initial: dict[tuple[Any, ...], list[Array]] = {}       # by shapes: weights that all arms begin with
        self.digest = hashlib.sha256()

    # ---- data ----

    def digits(self, n: int, *, validation: int = 0, wrong_labels: float = 0.0) -> Data:
        """``n`` digits of 64 pixels, drawn by the seed, and 599 to test on; ``validation`` others to choose by.

        There are 1,198 to draw ``n`` and ``validation`` from; ValueError for more.
        Pixels are (x − 0.31) / 0.37. ``wrong_labels`` is the share of labels, of training and validation, that become
        another class.
        """
        x, t, x_test, t_test = digits_split()
        n, validation = checks.as_integer("n", n, 1, len(x)), checks.as_integer("validation", validation, 0)
        if n + validation > len(x):
            raise ValueError(f"validation: expected at most {len(x) - n} beside n = {n}, of {len(x)} in all, "
                             f"got {validation}")
        checks.as_number("wrong_labels", wrong_labels, 0, 1)
        rows = self.random.permutation(len(x))[:n + validation]
        x, t = x[rows], t[rows].copy()
        wrong = self.random.random(len(t)) < wrong_labels
        t[wrong] = (t[wrong] + self.random.integers(1, 10, wrong.sum())) % 10
        x, x_test = (x - MEAN) / DEVIATION, (x_test - MEAN) / DEVIATION
        self.hash(x, t, x_test, t_test)
        return Data(x[:n], t[:n], x_test, t_test, *((x[n:], t[n:]) if validation else ()))

    def hash(self, *arrays: Array) -> None:
        """Adds arrays to the check sum of the data that the report shows; data of ``digits`` are in it already."""
        for each in arrays:
            self.digest.update(np.ascontiguousarray(each).tobytes())

    def hash_after(self, before: str) -> str:
        """The sha256 of this trial's data behind that of the seeds before."""
        return hashlib.sha256(before.encode() + self.digest.digest()).hexdigest()

    # ---- training ----

    def model(self, layers: Sequence[Any], *, penalty: Any = ()) -> Any:
        """A model with the trial's seed. The first one's weights are those of every later one of the same shapes.

        Layers differ between arms, and so do the streams of random numbers that weights come from. So what has two axes
        or more is copied in its order; biases begin at 0, and some arms have none, which ``copy_parameters`` refuses.
        """
        model = self.nn.Sequential(*layers, seed=self.seed, dtype=self.dtype, penalty=penalty)
        weights = [value for _, value, _, _ in model.parameters() if value.ndim > 1]
        shapes = tuple(value.shape for value in weights)
        if shapes not in self.initial:
            self.initial[shapes] = copy.deepcopy(weights)
        for value, first in zip(weights, self.initial[shapes], strict=True):
            value[...] = first
        return model

    def train(
        self, arm: str, layers: Sequence[Any] | Any, data: Data, *, epochs: int, lr: float = 0.1, momentum: float = 0.9,
        decay: bool = True, batch_size: int = 32, loss: Any = None, penalty: Any = (), shuffle: bool = True,
        optimizer: Callable[[Any], Any] | None = None, callbacks: Sequence[Any] = (), validate: bool = False,
        steps: int | None = None,
    ) -> Trained:
        """Trains ``layers``, or a model, on ``data`` in the usual way, and notes the seconds of CPU under ``arm``.

        Usual are cross-entropy and SGD with ``momentum`` and a rate that falls from ``lr`` to 0 along a line
        (``decay=False``: constant). ``optimizer`` makes another one of that rate: ``lambda lr: nn.Adam(lr=lr)``.
        ``steps`` ends training early. ``validate=True`` evaluates the validation data after each epoch.
        """
        nn, began = self.nn, time.thread_time()
        model = layers if hasattr(layers, "fit") else self.model(layers, penalty=penalty)
        total = epochs * -(-len(data.x) // batch_size)
        rate = nn.LinearLR(lr, total, start_factor=1, end_factor=0) if decay else lr
        limit = min((each for each in (steps, self.steps) if each is not None), default=None)
        history = model.fit(
            data.x, data.t, loss=loss or nn.CrossEntropyLoss(), epochs=epochs, batch_size=batch_size, shuffle=shuffle,
            optimizer=optimizer(rate) if optimizer else nn.SGD(lr=rate, momentum=momentum),
            validation_data=(data.x_validation, data.t_validation) if validate else None,
            callbacks=[*callbacks, *([] if limit is None else [StopAt(limit)])],
        )  # fmt: skip
        self.cpu[arm] = self.cpu.get(arm, 0.0) + time.thread_time() - began
        self.models[arm] = model
        return Trained(model, history.history)

    def curve(self, name: str, values: Any) -> None:
        """Keeps a row of numbers for the picture, such as a loss for each epoch."""
        self.curves[name] = [float(f"{value:.5g}") for value in np.ravel(values)]


def distance(one: Any, other: Any) -> float:
    """The largest difference between the parameters of two models, taken in their order; 0 only for equal bits.

    >>> from fastnn import lab
    >>> import fastnn as nn
    >>> lab.distance(nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)))
    0.0
    """
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(gap(a, b) for (_, a, *_), (_, b, *_) in pairs)


def gap(a: Array, b: Array) -> float:
    """The largest difference of two arrays; what is NaN or infinite in both alike is equal, and else infinitely far."""
    with np.errstate(invalid="ignore"):
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a.astype(np.float64) - b))
    return float(np.nan_to_num(apart, nan=np.inf).max(initial=0))

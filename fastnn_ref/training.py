"""fit: the loop around the epochs, with its record (History) and its hooks (Callback), as in Keras.

What takes time is ``model.run_epoch``; everything here is bookkeeping, written once for both packages. It uses a model's
public methods only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import validation

Array = npt.NDArray[Any]
Metric = str | Callable[[Array, Array], float]


class Callback:
    """Hooks of ``fit``, all empty: override some. ``model``, ``optimizer`` and ``params`` are set before training.

    ``logs`` holds what is known of the epoch: ``loss``, the metrics, ``val_loss``, ``val_…``. Setting
    ``self.model.stop_training = True`` ends training after the epoch.
    """

    model: Any = None
    optimizer: Any = None
    params: Mapping[str, Any] = {}

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """After the last epoch, however training ended."""

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Before each epoch; the first is 0."""

    def on_batches(self, done: int, steps: int) -> None:
        """Now and then during an epoch, and at its end: so many of its steps are done."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """After each epoch."""


class History(Callback):
    """The record of a training: ``history`` (name → value for each epoch), ``epoch``, ``params``, ``seconds``.

    ``seconds`` is the time of each epoch's training alone, without validation.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self.epoch)} epochs{': ' if last else ''}{last})"


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs.

    An improvement is a fall by more than ``min_delta`` below the best so far. After a cut, ``cooldown`` epochs do not
    count; the rate stays at ``min_lr`` or above. The optimizer's ``lr`` must be a number (TypeError).
    """

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, min_delta: float = 1e-4,
        cooldown: int = 0, min_lr: float = 0.0,
    ) -> None:
        self.monitor = monitor
        self.factor = validation.number("factor", factor, 0, 1, low_open=True, high_open=True)
        self.patience = validation.integer("patience", patience, 0)
        self.min_delta = validation.number("min_delta", min_delta, 0)
        self.cooldown = validation.integer("cooldown", cooldown, 0)
        self.min_lr = validation.number("min_lr", min_lr, 0)

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        if callable(self.optimizer.lr):
            raise TypeError(f"ReduceLROnPlateau: expected an optimizer whose lr is a number, got {self.optimizer.lr!r}")
        self.best, self.waited, self.resting = float("inf"), 0, 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        value = monitored(self.monitor, logs)
        if value < self.best - self.min_delta:
            self.best, self.waited = value, 0
        elif self.resting == 0:
            self.waited += 1
        self.resting = max(self.resting - 1, 0)
        if self.waited >= max(self.patience, 1):
            self.optimizer.lr = max(self.optimizer.lr * self.factor, min(self.min_lr, self.optimizer.lr))
            self.waited, self.resting = 0, self.cooldown


def monitored(name: str, logs: Mapping[str, float] | None) -> float:
    """The value that a callback watches."""
    if not logs or name not in logs:
        raise ValueError(f"monitor: expected one of {', '.join(logs or ())}, got {name!r}")
    return logs[name]


def accuracy(y: Array, t: Array) -> float:
    """The share of rows whose largest output is the target's class (or the target row's largest entry).

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    if y.ndim != 2 or t.ndim > 2:
        raise ValueError(f"accuracy: expected y (n, K) and t (n,) or (n, K), got {y.shape} and {t.shape}")
    return float((y.argmax(axis=1) == (t.argmax(axis=1) if t.ndim == 2 else t)).mean())


def named(metrics: Iterable[Metric]) -> dict[str, Callable[[Array, Array], float]]:
    """Metrics by name."""
    if isinstance(metrics, str):
        raise TypeError(f"metrics: expected a sequence of names or functions, got {metrics!r}")
    return {metric if isinstance(metric, str) else metric.__name__:
            accuracy if isinstance(metric, str) and validation.choice("metrics", metric, ("accuracy",)) else metric
            for metric in metrics}                  # type: ignore[misc]


def evaluate(
    model: Any, x: object, t: object, loss: Any, metrics: Iterable[Metric] = (), batch_size: int = 1024,
) -> dict[str, float]:
    """The loss and the metrics of a model's predictions for ``x``.

    >>> import fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 2, init="zeros"))
    >>> evaluate(model, np.ones((4, 2)), np.array([0, 0, 0, 1]), nn.CrossEntropyLoss(), ("accuracy",))["accuracy"]
    0.75
    """
    functions = named(metrics)
    y = model.predict(x, batch_size)
    t = validation.targets(t, len(y))
    return {"loss": loss.forward(y, t), **{name: float(f(y, t)) for name, f in functions.items()}}


def split(x: object, t: object, share: float) -> tuple[Any, Any, tuple[Any, Any] | None]:
    """The first rows for training, the last ``share`` of them for validation, as in Keras."""
    x = validation.plain("x", x)
    n = len(x) - int(len(x) * share)
    t = validation.targets(t, len(x))
    if not 0 < n < len(x):
        raise ValueError(f"validation_split: expected to leave rows on both sides, got {share} of {len(x)} rows")
    return x[:n], t[:n], (x[n:], t[n:])


def fit(
    model: Any, x: object, t: object, *, loss: Any, optimizer: Any, epochs: int = 1, batch_size: int = 32,
    validation_data: tuple[object, object] | None = None, validation_split: float = 0.0, shuffle: bool = True,
    metrics: Iterable[Metric] = (), callbacks: Iterable[Callback] = (),
) -> History:
    """Trains ``model`` for ``epochs`` passes over ``x`` and ``t`` in shuffled mini-batches of ``batch_size``.

    After each epoch the history gets ``loss`` (the mean over the epoch), each metric on the training data, and with
    ``validation_data=(xv, tv)`` or ``validation_split`` (the last part of the rows) ``val_loss`` and ``val_…``. A metric is
    ``"accuracy"`` or a function of (y, t). Training ends early when a callback sets ``model.stop_training``.
    """
    epochs, functions = validation.integer("epochs", epochs, 0), named(metrics)
    share = validation.number("validation_split", validation_split, 0, 1, high_open=True)
    if validation_data is not None and (not isinstance(validation_data, tuple | list) or len(validation_data) != 2):
        raise TypeError("validation_data: expected a pair (x, t)")
    if validation_data is not None and share:
        raise ValueError("validation_split: expected 0 beside validation_data, got both")
    if share:
        x, t, validation_data = split(x, t, share)
    # Converted once, not again in each epoch.
    x = validation.array("x", x, model.dtype, model.input_shape)
    t = validation.targets(t, len(x))
    history = History()
    hooks = [*callbacks, history]
    for hook in hooks:
        hook.model, hook.optimizer = model, optimizer
        hook.params = {"epochs": epochs, "steps": -(-len(x) // validation.integer("batch_size", batch_size, 1))}

    def progress(done: int, steps: int) -> None:
        for hook in hooks:
            hook.on_batches(done, steps)

    model.stop_training = False
    for hook in hooks:
        hook.on_train_begin()
    logs: dict[str, float] = {}
    try:
        for epoch in range(epochs):
            for hook in hooks:
                hook.on_epoch_begin(epoch)
            start = time.perf_counter()
            value = model.run_epoch(x, t, loss, optimizer, batch_size, shuffle, progress)
            history.seconds.append(time.perf_counter() - start)
            logs = {"loss": value}
            if functions:
                y = model.predict(x)
                logs |= {name: float(f(y, t)) for name, f in functions.items()}
            if validation_data is not None:
                found = evaluate(model, *validation_data, loss, metrics)
                logs |= {f"val_{name}": value for name, value in found.items()}
            for hook in hooks:
                hook.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
    finally:
        for hook in hooks:
            hook.on_train_end(logs)
    return history


class Summary(str):
    """Text that shows itself as it is, also at the prompt."""

    def __repr__(self) -> str:
        return str(self)


def summary(model: Any) -> Summary:
    """A table of a model's layers: what each is, the shape of its output, how many parameters.

    >>> import fastnn_ref as nn
    >>> summary(nn.Sequential(nn.Linear(64, 32, activation="relu"), nn.Linear(32, 10)))
    layer                                     output     parameters
    0  Linear(64, 32, activation=ReLU())      (n, 32)         2,080
    1  Linear(32, 10)                         (n, 10)           330
    total                                                     2,410
    """
    rows, shape, total = [], model.input_shape, 0
    for index, layer in enumerate(model.layers):
        shape = None if shape is None else layer.output_shape(shape)
        count = sum(value.size for value in layer.params.values())
        total += count
        rows.append((f"{index}  {layer!r}", "" if shape is None else validation.show(("n", *shape)), f"{count:,}"))
    rows = [("layer", "output", "parameters"), *rows, ("total", "", f"{total:,}")]
    first, second = max(40, *(len(row[0]) + 2 for row in rows)), max(len(row[1]) for row in rows) + 2
    return Summary("\n".join(f"{a:<{first}}  {b:<{second}}{c:>12}".rstrip() for a, b, c in rows))

"""Callbacks: hooks that ``fit`` calls, with Keras's names and in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import checks


class Callback:
    """Hooks of ``fit``, all empty: override some. ``model``, ``optimizer`` and ``params`` are set before training.

    ``params`` has ``epochs`` and ``steps``, the steps of one epoch. ``logs`` holds what is known of the epoch:
    ``loss``, the metrics, ``val_loss``, ``val_…``. Setting ``self.model.stop_training = True`` ends training after it.

    >>> import numpy as np, fastnn_ref as nn
    >>> class StopBelow(nn.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["loss"] < 0.5
    >>> x = np.array([[1.0], [-1.0]])
    >>> history = nn.Sequential(nn.Linear(1, 1, init="zeros")).fit(
    ...     x, x, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.1), epochs=100, callbacks=[StopBelow()])
    >>> [round(value, 2) for value in history.history["loss"]]
    [1.0, 0.64, 0.41]
    """

    model: Any = None
    optimizer: Any = None
    params: Mapping[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """The model that is going to be trained."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """What is known before training."""
        self.params = params

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

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs.

    An improvement is a fall by more than ``min_delta`` below the best so far. After a cut, ``cooldown`` epochs do not
    count; the rate stays at ``min_lr`` or above. 0 < ``factor`` < 1, the others >= 0. The optimizer's ``lr`` must be a
    number, not a schedule (TypeError), and ``monitor`` a name in the history (ValueError).

    >>> ReduceLROnPlateau(factor=0.5, patience=3)
    ReduceLROnPlateau(monitor='val_loss', factor=0.5, patience=3, min_delta=0.0001, cooldown=0, min_lr=0.0)
    """

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, min_delta: float = 1e-4,
        cooldown: int = 0, min_lr: float = 0.0,
    ) -> None:
        self.monitor = monitor
        self.factor = checks.as_number("factor", factor, 0, 1, low_open=True, high_open=True)
        self.patience = checks.as_integer("patience", patience, 0)
        self.min_delta = checks.as_number("min_delta", min_delta, 0)
        self.cooldown = checks.as_integer("cooldown", cooldown, 0)
        self.min_lr = checks.as_number("min_lr", min_lr, 0)

    def __repr__(self) -> str:
        names = ("monitor", "factor", "patience", "min_delta", "cooldown", "min_lr")
        return checks.format_call(type(self).__name__, (), {name: getattr(self, name) for name in names})

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        if callable(self.optimizer.lr):
            raise TypeError(f"ReduceLROnPlateau: expected an optimizer whose lr is a number, got {self.optimizer.lr!r}")
        self.best, self.wait, self.cooldown_left = float("inf"), 0, 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        value = monitored(self.monitor, logs)
        if value < self.best - self.min_delta:
            self.best, self.wait = value, 0
        elif self.cooldown_left == 0:
            self.wait += 1
        self.cooldown_left = max(self.cooldown_left - 1, 0)
        if self.wait >= max(self.patience, 1):
            self.optimizer.lr = max(self.optimizer.lr * self.factor, min(self.min_lr, self.optimizer.lr))
            self.wait, self.cooldown_left = 0, self.cooldown


def monitored(name: str, logs: Mapping[str, float] | None) -> float:
    """The value that a callback watches."""
    if not logs or name not in logs:
        raise ValueError(f"monitor: expected one of {', '.join(logs or ())}, got {name!r}")
    return logs[name]


def start_callbacks(
    callbacks: object, history: Callback, model: Any, optimizer: Any, params: Mapping[str, Any],
) -> Callable[..., None]:
    """Tells the callbacks, and the history after them, whom they serve; returns what calls a hook of each."""
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: expected a sequence of Callback objects, got {callbacks!r}")
    hooks = [*callbacks, history]
    for hook in hooks:
        if not isinstance(hook, Callback):
            raise TypeError(f"callbacks: expected Callback objects, got {hook!r}")
    for hook in hooks:
        hook.set_params(params)
        hook.set_model(model)
        hook.optimizer = optimizer

    def call(event: str, *arguments: Any) -> None:
        for hook in hooks:
            getattr(hook, event)(*arguments)

    return call

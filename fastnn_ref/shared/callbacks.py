"""Callbacks: hooks that ``fit`` calls, with Keras's names and in its order.

    on_train_begin
        on_epoch_begin(epoch)
            on_train_batch_begin(batch), on_train_batch_end(batch, logs)        only where somebody overrides them
            on_progress(done, steps)                                            about every 50 ms
        on_epoch_end(epoch, logs)
    on_train_end
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import checks
from .config import Configured

Logs = Mapping[str, float] | None
ATTACHED = ("model", "optimizer", "callbacks", "params")        # what a training lends to its callbacks


class Callback(Configured):
    """Hooks of ``fit``, all empty: override some.

    Before training ``model``, ``optimizer``, ``callbacks`` (all of them, the history first) and ``params`` are set.
    ``params`` has ``epochs`` and ``steps``, the batches of one epoch. ``logs`` holds what is known: after a batch its
    ``loss`` and ``size``; after an epoch ``loss``, the metrics, ``val_loss``, ``val_…``. Setting
    ``self.model.stop_training = True`` ends training after the epoch. A hook may predict with the model, but not train
    it. Batch hooks cost a few microseconds a batch, and nothing where no callback overrides them.

    ``state_names`` are the attributes that training changes: ``state_dict`` collects them, so that a training resumes.

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
    callbacks: Sequence[Any] = ()
    params: Mapping[str, Any] = {}
    state_names: tuple[str, ...] = ()

    def set_model(self, model: Any) -> None:
        """The model that is going to be trained."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """What is known before training."""
        self.params = params

    def on_train_begin(self, logs: Logs = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """After the last epoch, however training ended."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Before each epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """After each epoch."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before each batch; the first of an epoch is 0."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After each batch; ``logs`` has its ``loss`` and its ``size``, the number of examples."""

    def on_progress(self, done: int, steps: int) -> None:
        """About every 50 ms during an epoch, and at its end: ``done`` of its ``steps`` batches are done."""

    def state_dict(self) -> dict[str, Any]:
        """A copy of what training has changed."""
        return {name: copy.deepcopy(getattr(self, name)) for name in self.state_names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a state over; ValueError if it is of another kind of callback."""
        if not isinstance(state, Mapping) or set(state) != set(self.state_names):
            raise ValueError(f"state: expected the keys {', '.join(self.state_names) or '(none)'} of a "
                             f"{type(self).__name__}, got {checks.format_keys(state)}")
        for name, value in state.items():
            setattr(self, name, copy.deepcopy(value))

    def __getstate__(self) -> dict[str, Any]:
        # A copy does not take the model along.
        return {name: value for name, value in self.__dict__.items() if name not in ATTACHED}


def overrides(callback: Callback, hook: str) -> bool:
    """Does this callback define the hook itself?"""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)


class CallbackList:
    """The callbacks of one training, in order; ``call`` runs a hook of each that defines it."""

    def __init__(
        self, history: Callback, callbacks: object, model: Any, optimizer: Any, params: Mapping[str, Any],
    ) -> None:
        if not isinstance(callbacks, Iterable):
            raise TypeError(f"callbacks: expected a sequence of Callback objects, got {callbacks!r}")
        self.callbacks: list[Any] = [history, *callbacks]       # the last one sees a complete record of the epoch
        for each in self.callbacks:
            if not isinstance(each, Callback):
                raise TypeError(f"callbacks: expected Callback objects, got {each!r}")
        for each in self.callbacks:
            each.set_params(params)
            each.set_model(model)
            each.optimizer, each.callbacks = optimizer, self.callbacks

    def hook(self, name: str) -> Callable[..., None] | None:
        """A function that runs the hook of every callback that overrides it; None if none does."""
        hooks = [getattr(each, name) for each in self.callbacks if overrides(each, name)]

        def run(*arguments: Any) -> None:
            for each in hooks:
                each(*arguments)

        return run if hooks else None

    def call(self, name: str, *arguments: Any) -> None:
        """Runs the hook of every callback."""
        for each in self.callbacks:
            getattr(each, name)(*arguments)


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs.

    An improvement is a fall by more than ``min_delta`` below the best so far. After a cut, ``cooldown`` epochs do not
    count; the rate stays at ``min_lr`` or above. 0 < ``factor`` < 1, the others >= 0. The optimizer's ``lr`` must be a
    number, not a schedule (TypeError), and ``monitor`` a name in the history (ValueError).

    >>> ReduceLROnPlateau(factor=0.5, patience=3)
    ReduceLROnPlateau(factor=0.5, patience=3)
    """

    state_names = ("best", "wait", "cooldown_left")

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
        self.reset()

    def reset(self) -> None:
        """Forgets what earlier trainings brought."""
        self.best, self.wait, self.cooldown_left = float("inf"), 0, 0

    def on_train_begin(self, logs: Logs = None) -> None:
        if callable(self.optimizer.lr):
            raise TypeError(f"ReduceLROnPlateau: expected an optimizer whose lr is a number, got {self.optimizer.lr!r}")
        self.reset()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        value = monitored(self.monitor, logs)
        if value < self.best - self.min_delta:
            self.best, self.wait = value, 0
        elif self.cooldown_left == 0:
            self.wait += 1
        self.cooldown_left = max(self.cooldown_left - 1, 0)
        if self.wait >= max(self.patience, 1):
            self.optimizer.lr = max(self.optimizer.lr * self.factor, min(self.min_lr, self.optimizer.lr))
            self.wait, self.cooldown_left = 0, self.cooldown


def monitored(name: str, logs: Logs) -> float:
    """The value that a callback watches."""
    if not logs or name not in logs:
        raise ValueError(f"monitor: expected one of {', '.join(logs or ())}, got {name!r}")
    return logs[name]

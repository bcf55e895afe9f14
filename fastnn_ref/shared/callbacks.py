"""Callbacks: hooks that ``fit`` calls, with Keras's names and in its order, and those that steer a training.

    on_train_begin
        on_epoch_begin(epoch)
            on_train_batch_begin(batch), on_train_batch_end(batch, logs)        only where somebody overrides them
            on_progress(done, steps)                                            about every 50 ms
        on_epoch_end(epoch, logs)
    on_train_end
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from . import checks
from .closed import KEPT, own_names
from .config import Configured, format_call, plain
from .diagnosis import likely_causes, warn
from .metrics import known_mode
from .objects import attributes_of, is_ours
from .schedule import PerEpoch, Schedule

Logs = Mapping[str, float] | None
HOOKS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end",
    "on_progress",
)
ATTACHED = ("model", "optimizer", "callbacks", "params")        # what a training lends to its callbacks


class StopTraining(Exception):
    """Raised in a hook, it ends training at once, from a batch hook after that batch; ``fit`` returns the history.

    Setting ``model.stop_training = True`` ends it, too: in a batch hook after that batch, else after the epoch. Where
    it was the last batch of an epoch, the epoch ends as always, with its validation and ``on_epoch_end``. Raised in
    ``on_train_begin``, no step is taken; every callback's ``on_train_begin`` and ``on_train_end`` is called.

    >>> import numpy as np, fastnn_ref as nn
    >>> class ThreeSteps(nn.Callback):
    ...     def on_train_batch_end(self, batch, logs=None):
    ...         if self.optimizer.steps == 3:
    ...             raise nn.StopTraining
    >>> model, optimizer = nn.Sequential(nn.Linear(1, 1)), nn.SGD()
    >>> history = model.fit(np.ones((8, 1)), np.ones((8, 1)), loss=nn.MSELoss(), optimizer=optimizer, epochs=5,
    ...                     batch_size=4, callbacks=[ThreeSteps()])
    >>> optimizer.steps, history.epoch
    (3, [0])
    """


# Hooks of Keras that are none here, and what is said of them: a method of that name would never be called.
NO_HOOKS = {
    "on_batch_begin": "on_train_batch_begin", "on_batch_end": "on_train_batch_end",
    **dict.fromkeys(("on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end"),
                    "on_epoch_end, whose logs have val_loss"),
    **dict.fromkeys(("on_predict_begin", "on_predict_end", "on_predict_batch_begin", "on_predict_batch_end"), ""),
}


class Callback(Configured):
    """Hooks of ``fit``, all empty: override some.

    Before training ``model``, ``optimizer``, ``callbacks`` (all of them, the history first) and ``params`` are set.
    ``params`` has ``loss``; ``epochs``; ``steps``, the batches of one epoch; ``batch_size``; ``monitors``, which maps
    each name of an epoch's logs to ``"min"``, ``"max"`` or None, where it is not known which is better; and
    ``largest``, the largest absolute value of the data. ``logs`` holds what is known: after a batch its ``loss`` and
    ``size``; after an epoch ``loss``, the metrics, ``val_loss``, ``val_…``, to which a hook may add numbers for the
    callbacks after it. Setting ``self.model.stop_training = True`` ends training after the epoch, or in a batch hook
    after that batch; raising ``StopTraining`` at once. A hook may predict with the model and evaluate it. One of a
    batch must not train it (RuntimeError); one of an epoch may, except in ``fit_lbfgs``, but ``model.steps`` and
    ``epochs`` count that, too, so what is drawn afterwards is other. Batch hooks cost a few microseconds a batch, and
    nothing where no callback overrides them.

    ``state_names`` are the attributes that training changes: ``state_dict`` collects them, so that a training resumes.
    ``needs_optimizer`` is True where the callback cannot do without one; ``fit_lbfgs`` has none, and refuses it.
    ``writes`` is True where it writes a file or shows something: with ``fit(comm=…)`` it is called on rank 0 alone.

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
    needs_optimizer = False
    writes = False

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        for name in vars(cls):
            if name in NO_HOOKS:
                other = f"; define {NO_HOOKS[name]}" if NO_HOOKS[name] else ""
                raise TypeError(f"{cls.__name__}.{name}: fit calls no hook of that name{other}")
        ours = [each for each in cls.__mro__ if is_ours(each)]
        if cls not in ours:
            both = own_names(ours) & own_names(each for each in cls.__mro__ if each not in ours)
            for name in sorted(each for each in both if each[0] == "_" and not each.startswith("__")):
                raise TypeError(f"{ours[0].__name__}: {name} {KEPT}")

    def set_model(self, model: Any) -> None:
        """The model that is going to be trained."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """What is known before training."""
        self.params = params

    def on_train_begin(self, logs: Logs = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """After the last epoch, however training ended; an error in it waits until every callback's was called."""

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

    def _epoch_trained(self) -> None:
        """After the last step of an epoch, before all callbacks' ``on_epoch_end``, which may change the rate."""

    def _write_due(self) -> None:
        """After all callbacks' hooks at the end of a batch or an epoch: what writes their states does it here."""

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
        return {name: value for name, value in attributes_of(self).items() if name not in ATTACHED}


def overrides(callback: Callback, hook: str) -> bool:
    """Does this callback define the hook itself?"""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)


def may_add_logs(callback: Callback) -> bool:
    """Could this callback put a name of its own into an epoch's logs? Those of this library do not."""
    return overrides(callback, "on_epoch_end") and (not is_ours(type(callback)) or isinstance(callback, LambdaCallback))


def suppressed(hook: Callable[..., object], *arguments: Any) -> None:
    """Calls a hook, in which StopTraining says nothing new."""
    with suppress(StopTraining):
        hook(*arguments)


class CallbackList:
    """The callbacks of one training, in order; ``call`` runs a hook of each.

    ``display`` comes last and is none of the ``callbacks``: it has no part in the state of a training. Those
    that write are called if ``writes``.
    """

    def __init__(
        self, history: Callback, callbacks: object, model: Any, optimizer: Any, params: Mapping[str, Any],
        display: Callback | None = None, writes: bool = True,
    ) -> None:
        if not isinstance(callbacks, Iterable):
            raise TypeError(f"callbacks: expected a sequence of Callback objects, got {callbacks!r}")
        self.callbacks: list[Any] = [history, *callbacks]       # the last one sees a complete record of the epoch
        for each in self.callbacks:
            if not isinstance(each, Callback):
                raise TypeError(f"callbacks: expected Callback objects, got {each!r}")
            if optimizer is None and each.needs_optimizer:
                raise ValueError(f"callbacks: expected none that needs an optimizer, got {each!r}")
            if sum(other is each for other in self.callbacks) > 1:      # it would count and write everything twice
                raise ValueError(f"callbacks: expected each object once, got {each!r} twice")
        self.check_monitors(params["monitors"])
        self.attached = self.callbacks if display is None else [*self.callbacks, display]
        self.called = [each for each in self.attached if writes or not each.writes]
        self.writers = [each for each in self.called if overrides(each, "_write_due")]
        for each in self.attached:
            each.set_params(params)
            each.set_model(model)
            each.optimizer, each.callbacks = optimizer, self.callbacks

    def check_monitors(self, monitors: Mapping[str, str | None]) -> None:
        """What is watched must be in the logs, unless a callback of the user's may put it there."""
        for each in self.callbacks:
            if may_add_logs(each):
                return
            if isinstance(each, MonitorCallback) and each.expects and each.monitor not in monitors:
                raise unknown_monitor(each.monitor, monitors)

    def hook(self, name: str) -> Callable[..., None] | None:
        """A function that runs the hook of every callback that overrides it; None if none does."""
        hooks = [getattr(each, name) for each in self.called if overrides(each, name)]
        writers = self.writers if hooks and name == "on_train_batch_end" else ()

        def run(*arguments: Any) -> None:
            try:
                for each in hooks:
                    each(*arguments)
                for writer in writers:
                    writer._write_due()
            except ValueError as error:             # about data of the hook's own
                checks.finish(error)
                raise

        return run if hooks else None

    def begin(self) -> bool:
        """Runs ``on_train_begin`` of every callback; does one of them raise StopTraining?"""
        stops = False
        try:
            for each in self.called:
                try:
                    each.on_train_begin({})
                except StopTraining:                # the others begin all the same, as they will end
                    stops = True
        except BaseException:
            self.release()
            raise
        return stops

    def end(self, logs: Logs) -> None:
        """Runs ``on_train_end`` of every callback, whatever happens to those before it; then raises what they raised,
        but StopTraining, as training has ended."""
        with ExitStack() as stack:
            stack.callback(self.release)
            for each in reversed(self.called):
                stack.callback(suppressed, each.on_train_end, logs)

    def release(self) -> None:
        """Ends the circle from each callback to the list of all, which would keep a model until a collection."""
        for each in self.attached:
            each.callbacks = ()

    def call(self, name: str, *arguments: Any) -> None:
        """Runs the hook of every callback."""
        for each in self.called if name == "on_epoch_end" else ():
            each._epoch_trained()
        for each in self.called:
            getattr(each, name)(*arguments)
        for writer in self.writers if name == "on_epoch_end" else ():
            writer._write_due()


# ---- watching one value ----


def unknown_monitor(name: str, logs: Iterable[str]) -> ValueError:
    """The error for a name that is not in the logs."""
    hint = "; fit needs validation_data for it" if name.startswith("val_") and name[4:] in logs else ""
    return ValueError(f"monitor: expected one of {', '.join(logs)}, got {name!r}{hint}")


def monitored(name: str, logs: Logs) -> float:
    """The value that a callback watches."""
    if not logs or name not in logs:
        raise unknown_monitor(name, logs or ())
    return logs[name]


class MonitorCallback(Callback):
    """What callbacks share that watch one name of an epoch's logs: ``monitor``, ``mode``, ``min_delta``, ``best``.

    ``mode`` is ``"min"``, ``"max"`` or ``"auto"``: losses and known errors are to fall, known scores to rise, and a
    ``Metric`` has a mode of its own. A name that says neither is a ValueError with ``"auto"``, before the first step.
    An improvement is a change by more than ``min_delta`` >= 0 beyond the best value so far; NaN never is one.
    """

    best: float | None
    watches = True                                  # does it look at the value at all?
    expects = True                                  # must the logs have the name?

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor: expected a name, got {monitor!r}")
        self.monitor = monitor
        self.mode = checks.as_choice("mode", mode, ("auto", "min", "max"))
        self.min_delta = checks.as_number("min_delta", min_delta, 0)
        self.best = None

    def direction(self) -> str | None:
        """``"min"`` or ``"max"``, None if nothing tells."""
        if self.mode != "auto":
            return self.mode
        return self.params.get("monitors", {}).get(self.monitor) or known_mode(self.monitor)

    def sign(self) -> int:
        """1 for a value that is to fall, −1 for one that is to rise."""
        found = self.direction()
        if found is None:
            raise ValueError(f"mode: expected 'min' or 'max' for {self.monitor!r}, whose name does not tell which is "
                             f"better, got 'auto'; Metric(name, function, mode) tells, too")
        return 1 if found == "min" else -1

    def improves(self, value: float) -> bool:
        """Is ``value`` better than the best so far by more than ``min_delta``?"""
        sign = self.sign()
        best = sign * float("inf") if self.best is None else self.best
        return sign * (best - value) > self.min_delta

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.watches:
            self.sign()
        self.reset()

    def reset(self) -> None:
        """Forgets what earlier trainings brought."""
        self.best = None


def check_constant_rate(who: Callback) -> None:
    """What sets the learning rate does not go with an optimizer's own schedule."""
    if callable(who.optimizer.lr):
        raise TypeError(f"{type(who).__name__}: expected an optimizer whose lr is a number, got {who.optimizer.lr!r}")


class ReduceLROnPlateau(MonitorCallback):
    """Multiplies the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs.

    An improvement is a change by more than ``min_delta`` beyond the best so far, downwards with ``mode="min"``, upwards
    with ``"max"``; ``"auto"`` knows losses, common errors and scores, and each ``Metric`` with a mode. After a cut,
    ``cooldown`` epochs do not count; the rate stays at ``min_lr`` or above. 0 < ``factor`` < 1, the others >= 0. Before
    the first step: TypeError if the optimizer's ``lr`` is a schedule, ValueError for a ``monitor`` that will not be in
    the logs or of which ``"auto"`` does not know what is better.

    >>> import fastnn_ref as nn
    >>> nn.ReduceLROnPlateau(factor=0.5, patience=3)
    ReduceLROnPlateau(factor=0.5, patience=3)
    """

    state_names = ("best", "wait", "cooldown_left")
    needs_optimizer = True

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, min_delta: float = 1e-4,
        mode: str = "auto", cooldown: int = 0, min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = checks.as_number("factor", factor, 0, 1, low_open=True, high_open=True)
        self.patience = checks.as_integer("patience", patience, 0)
        self.cooldown = checks.as_integer("cooldown", cooldown, 0)
        self.min_lr = checks.as_number("min_lr", min_lr, 0)
        self.reset()

    def reset(self) -> None:
        self.best, self.wait, self.cooldown_left = None, 0, 0

    def on_train_begin(self, logs: Logs = None) -> None:
        check_constant_rate(self)
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        value = monitored(self.monitor, logs)
        if self.improves(value):
            self.best, self.wait = value, 0
        elif self.cooldown_left == 0:
            self.wait += 1
        self.cooldown_left = max(self.cooldown_left - 1, 0)
        if self.wait >= max(self.patience, 1):
            self.optimizer.lr = max(self.optimizer.lr * self.factor, min(self.min_lr, self.optimizer.lr))
            self.wait, self.cooldown_left = 0, self.cooldown


# ---- the others ----


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch: ``schedule(epoch)``, or ``schedule(epoch, lr)``.

    ``schedule`` is a function of the epoch, the first is 0, and if it needs two arguments, of the rate so far; or
    ``PerEpoch(schedule)``. A Schedule itself counts steps, so it is a TypeError here: ``PerEpoch(StepLR(…))`` says that
    epochs are meant, and an optimizer takes it as its ``lr`` without this callback. The optimizer's ``lr`` must be a
    number (TypeError before the first step).

    >>> import numpy as np, fastnn_ref as nn
    >>> model, optimizer = nn.Sequential(nn.Linear(1, 1)), nn.SGD(lr=0.5)
    >>> halve = nn.LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch else lr)
    >>> _ = model.fit(np.ones((8, 1)), np.ones((8, 1)), loss=nn.MSELoss(), optimizer=optimizer, epochs=3,
    ...               callbacks=[halve])
    >>> optimizer.lr
    0.125
    """

    state_names = ("epoch",)
    needs_optimizer = True

    def __init__(self, schedule: Callable[..., float]) -> None:
        if isinstance(schedule, Schedule) and not isinstance(schedule, PerEpoch):
            raise TypeError(f"schedule: expected a function of the epoch or PerEpoch({schedule!r}), got a Schedule, "
                            f"which counts steps")
        if not callable(schedule) or isinstance(schedule, type):
            raise TypeError(f"schedule: expected a function of the epoch, got {schedule!r}")
        self.schedule = schedule
        self.epoch: int | None = None               # whose rate is set

    def on_train_begin(self, logs: Logs = None) -> None:
        check_constant_rate(self)
        self.epoch = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if epoch != self.epoch:                     # resumed inside an epoch, this one has its rate
            self.optimizer.lr = checks.as_number("schedule", self.rate(epoch), 0)
            self.epoch = epoch

    def rate(self, epoch: int) -> Any:
        """The rate of an epoch, as the function gives it."""
        function = self.schedule.schedule if isinstance(self.schedule, PerEpoch) else self.schedule
        return function(epoch, self.optimizer.lr) if takes_two(function) else function(epoch)


def takes_two(function: Callable[..., Any]) -> bool:
    """Does the function need a second argument? One with a default is none of ours."""
    try:
        inspect.signature(function).bind(0)
    except TypeError:
        return True
    except ValueError:                              # a builtin without a signature
        return False
    return False


class TerminateOnNaN(Callback):
    """Ends training at the first batch whose loss is NaN or infinite, with a warning that names likely causes.

    Afterwards ``stopped_epoch`` and ``stopped_batch`` say where, None if nowhere. It needs the hook of every batch.
    """

    state_names = ("stopped_epoch", "stopped_batch")
    needs_optimizer = True

    def __init__(self) -> None:
        self.stopped_epoch: int | None = None
        self.stopped_batch: int | None = None
        self.epoch = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        self.stopped_epoch = self.stopped_batch = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        loss = logs["loss"] if logs else 0.0
        if not math.isfinite(loss):
            self.stopped_epoch, self.stopped_batch = self.epoch, batch
            warn(f"the loss of batch {batch} in epoch {self.epoch} (the first are 0) is {loss:g}; training ends here. "
                 + likely_causes(self.model, self.optimizer, self.params.get("largest", {})))
            raise StopTraining


class LambdaCallback(Callback):
    """Hooks given as functions.

    >>> import numpy as np, fastnn_ref as nn
    >>> losses = []
    >>> callback = nn.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
    >>> _ = nn.Sequential(nn.Linear(1, 1)).fit(np.ones((8, 1)), np.ones((8, 1)), loss=nn.MSELoss(),
    ...                                        optimizer=nn.SGD(), epochs=3, callbacks=[callback])
    >>> len(losses)
    3
    """

    def __init__(
        self, on_train_begin: Callable[[Logs], object] | None = None,
        on_train_end: Callable[[Logs], object] | None = None,
        on_epoch_begin: Callable[[int, Logs], object] | None = None,
        on_epoch_end: Callable[[int, Logs], object] | None = None,
        on_train_batch_begin: Callable[[int, Logs], object] | None = None,
        on_train_batch_end: Callable[[int, Logs], object] | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> None:
        given = locals()
        self.functions = {name: given[name] for name in HOOKS if given[name] is not None}
        for name, function in self.functions.items():
            if not callable(function):
                raise TypeError(f"{name}: expected a function, got {function!r}")
            setattr(self, name, function)           # in place of the empty method

    def config(self) -> dict[str, Any]:
        return {"class": type(self).__name__,
                **{name: plain(f"{type(self).__name__}.{name}", self.functions.get(name)) for name in HOOKS}}

    def __repr__(self) -> str:
        return format_call(type(self).__name__, (), self.functions)

"""fit: the loop around the epochs, with its record (History) and its hooks (Callback), as in Keras.

What takes time is ``model.run_epoch``; everything here is bookkeeping, written once for both packages. It uses a
model's public methods only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy.typing as npt

from . import validation

Array = npt.NDArray[Any]
Measure = Callable[[Array, Array], float]
Metric = str | Measure


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


class History(Callback):
    """The record of a training: ``history`` (name → value for each epoch), ``epoch``, ``params``, ``seconds``.

    ``seconds`` is the time of each epoch's training alone, without validation.

    >>> history = History()
    >>> history.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.75})
    >>> history.history, history.epoch
    ({'loss': [0.5], 'val_loss': [0.75]}, [0])
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
        self.factor = validation.number("factor", factor, 0, 1, low_open=True, high_open=True)
        self.patience = validation.integer("patience", patience, 0)
        self.min_delta = validation.number("min_delta", min_delta, 0)
        self.cooldown = validation.integer("cooldown", cooldown, 0)
        self.min_lr = validation.number("min_lr", min_lr, 0)

    def __repr__(self) -> str:
        names = ("monitor", "factor", "patience", "min_delta", "cooldown", "min_lr")
        return validation.call(type(self).__name__, (), {name: getattr(self, name) for name in names})

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

    ``y`` (n, K) with K >= 2, ``t`` (n,) or (n, K); else ValueError. A single output has no largest one: count by a
    function of your own.

    >>> import numpy as np
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    if y.ndim != 2 or y.shape[1] < 2 or t.shape not in ((len(y),), y.shape):
        raise ValueError("accuracy: expected y (n, K), K >= 2, and t (n,) or (n, K), got "
                         f"{validation.show(y.shape)} and {validation.show(t.shape)}")
    return float((y.argmax(axis=1) == (t.argmax(axis=1) if t.ndim == 2 else t)).mean())


METRICS: dict[str, Measure] = {"accuracy": accuracy}


def named(metrics: Iterable[Metric]) -> dict[str, Measure]:
    """Metrics by name; no two have the same."""
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics: expected a sequence of names or functions, got {metrics!r}")
    found: dict[str, Measure] = {}
    for metric in metrics:
        if isinstance(metric, str):
            name, function = metric, METRICS[validation.choice("metrics", metric, METRICS)]
        elif callable(metric):
            name, function = getattr(metric, "__name__", type(metric).__name__), metric
        else:
            raise TypeError(f"metrics: expected names or functions, got {metric!r}")
        if name in found or name in ("loss", "data_loss", "penalty"):
            raise ValueError(f"metrics: expected a name for each, got {name!r} twice")
        found[name] = function
    return found


def measure(measures: Mapping[str, Measure], y: Array, t: Array) -> dict[str, float]:
    """Each metric's value."""
    return {name: float(f(y, t)) for name, f in measures.items()}


def examples(name: str, model: Any, x: object, t: object) -> tuple[Array, Array]:
    """``x`` and ``t`` as arrays that fit the model and each other, so that no epoch need convert them again."""
    x = validation.array(name, x, model.dtype, model.input_shape)
    return x, validation.targets(t, len(x))


def evaluate(
    model: Any, x: object, t: object, loss: Any, metrics: Iterable[Metric] = (), batch_size: int = 1024,
    sample_weight: object = None,
) -> dict[str, float]:
    """``{"loss": …, metric: …}`` of a model's predictions for ``x``, made ``batch_size`` rows at a time.

    ``sample_weight`` weighs the loss, not the metrics.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 2, init="zeros"))
    >>> evaluate(model, np.ones((4, 2)), np.array([0, 0, 0, 1]), nn.CrossEntropyLoss(), ("accuracy",))["accuracy"]
    0.75
    """
    measures = named(metrics)
    x, t = examples("x", model, x, t)
    y = model.predict(x, batch_size)
    return {"loss": loss.forward(y, t, sample_weight), **measure(measures, y, t)}


def divide(x: object, t: object, held_out: object, share: object) -> tuple[Any, Any, tuple[Any, Any] | None]:
    """(x, t, validation data): the pair that is given, or, as in Keras, the last ``share`` of the rows."""
    share = validation.number("validation_split", share, 0, 1, high_open=True)
    if held_out is not None:
        if not isinstance(held_out, tuple | list) or len(held_out) != 2:
            raise TypeError(f"validation_data: expected a pair (x, t), got {type(held_out).__name__}")
        if share:
            raise ValueError(f"validation_split: expected 0 beside validation_data, got {share}")
        return x, t, (held_out[0], held_out[1])
    if share == 0:
        return x, t, None
    x = validation.plain("x", x)
    t = validation.targets(t, len(x))
    n = len(x) - int(len(x) * share)
    if not 0 < n < len(x):
        raise ValueError(f"validation_split: expected to leave rows on both sides, got {share} of {len(x)} rows")
    return x[:n], t[:n], (x[n:], t[n:])


def hooked(
    callbacks: object, history: History, model: Any, optimizer: Any, params: Mapping[str, Any],
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

    def tell(event: str, *news: Any) -> None:
        for hook in hooks:
            getattr(hook, event)(*news)

    return tell


def fit(
    model: Any, x: object, t: object, *, loss: Any, optimizer: Any, epochs: int = 1, batch_size: int = 32,
    validation_data: tuple[object, object] | None = None, validation_split: float = 0.0, shuffle: bool = True,
    metrics: Iterable[Metric] = (), callbacks: Iterable[Callback] = (), sample_weight: object = None,
    mixup: float = 0.0,
) -> History:
    """Trains ``model`` for ``epochs`` (>= 0) passes over ``x`` and ``t`` in shuffled mini-batches of ``batch_size``.

    After each epoch the history gets ``loss`` (the mean over the epoch), with a penalty also its parts ``data_loss``
    and ``penalty`` (``val_loss`` has none), each metric on the training data, and with ``validation_data=(xv, tv)`` or
    ``validation_split`` (the share of the rows at the end, 0 <= share < 1) ``val_loss`` and
    ``val_…``. A metric is ``"accuracy"`` or a function of (y, t). Training ends early when a callback sets
    ``model.stop_training``. ``sample_weight``, a number >= 0 for each row of ``x``, makes the training loss a weighted
    mean; ``mixup`` is as for ``run_epoch``. Raises ValueError or TypeError before the first step for what can be known
    by then.

    >>> import numpy as np, fastnn_ref as nn
    >>> x, t = np.eye(4), np.array([0, 1, 0, 1])
    >>> model = nn.Sequential(nn.Linear(4, 2), seed=0)
    >>> loss, optimizer = nn.CrossEntropyLoss(), nn.SGD(lr=1.0)
    >>> history = fit(model, x, t, loss=loss, optimizer=optimizer, epochs=50, metrics=["accuracy"])
    >>> history.history["accuracy"][-1]
    1.0
    """
    epochs, batch_size = validation.integer("epochs", epochs, 0), validation.integer("batch_size", batch_size, 1)
    shuffle, measures = validation.flag("shuffle", shuffle), named(metrics)
    weights = validation.weights(sample_weight, len(validation.plain("x", x))) if sample_weight is not None else None
    x, t, held_out = divide(x, t, validation_data, validation_split)
    x, t = examples("x", model, x, t)
    weights = None if weights is None else weights[:len(x)]
    held_out = None if held_out is None else examples("validation_data[0]", model, *held_out)
    history = History()
    params = {"epochs": epochs, "steps": -(-len(x) // batch_size)}
    tell = hooked(callbacks, history, model, optimizer, params)
    model.stop_training = False
    logs: dict[str, float] = {}
    tell("on_train_begin")
    try:
        for epoch in range(epochs):
            tell("on_epoch_begin", epoch)
            start = time.perf_counter()
            value = model.run_epoch(x, t, loss, optimizer, batch_size, shuffle, partial(tell, "on_batches"),
                                    weights, mixup)
            history.seconds.append(time.perf_counter() - start)
            logs = {"loss": value}
            if model.penalised:
                logs |= {"data_loss": value - model.penalty_loss, "penalty": model.penalty_loss}
            if measures:
                logs |= measure(measures, model.predict(x), t)
            if held_out is not None:
                found = evaluate(model, *held_out, loss, measures.values())
                logs |= {f"val_{name}": value for name, value in found.items()}
            tell("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
    finally:
        tell("on_train_end", logs)
    return history


class Summary(str):
    """Text that shows itself as it is, also at the prompt."""

    def __repr__(self) -> str:
        return str(self)


def summary(model: Any) -> Summary:
    """A table of a model's layers: what each is, its output's shape, its parameters, and how many weights are 0.

    >>> import fastnn_ref as nn
    >>> summary(nn.Sequential(nn.Linear(64, 32, activation="relu"), nn.Linear(32, 10)))
    layer                                     output     parameters
    0  Linear(64, 32, activation=ReLU())      (n, 32)         2,080
    1  Linear(32, 10)                         (n, 10)           330
    total                                                     2,410
    """
    rows, shape, total, zeros = [], model.input_shape, 0, 0
    for index, layer in enumerate(model.layers):
        shape = None if shape is None else layer.output_shape(shape)
        count = sum(value.size for value in layer.params.values())
        total, zero = total + count, exact_zeros(layer)
        zeros += zero
        rows.append((f"{index}  {layer!r}", "" if shape is None else validation.show(("n", *shape)), f"{count:,}",
                     f"{zero:,}"))
    rows = [("layer", "output", "parameters", "exact zeros"), *rows, ("total", "", f"{total:,}", f"{zeros:,}")]
    first, second = max(40, *(len(row[0]) + 2 for row in rows)), max(len(row[1]) for row in rows) + 2
    return Summary("\n".join(
        f"{a:<{first}}  {b:<{second}}{c:>12}{f'{d:>13}' if zeros else ''}".rstrip() for a, b, c, d in rows))


def exact_zeros(layer: Any) -> int:
    """How many of a layer's weights, biases apart, are 0: what L1 is for."""
    return sum(int((value == 0).sum()) for _, value, _, decays in layer.parameters() if decays)

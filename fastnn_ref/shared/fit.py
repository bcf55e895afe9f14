"""fit: the loop around the epochs, with its record (History) and its hooks (Callback), as in Keras.

What takes time is ``model.run_epoch``; everything here is bookkeeping, written once for both packages. It uses a
model's public methods only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt

from . import checks
from .callbacks import Callback, CallbackList
from .history import History
from .metrics import Metric, compute_metrics, resolve_metrics
from .state import load_training_state

Array = npt.NDArray[Any]


def prepare_data(name: str, model: Any, x: object, t: object) -> tuple[Array, Array]:
    """``x`` and ``t`` as arrays that fit the model and each other, so that no epoch need convert them again."""
    x = checks.as_batch(name, x, model.dtype, model.input_shape)
    return x, checks.as_targets(t, len(x))


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
    measures = resolve_metrics(metrics)
    x, t = prepare_data("x", model, x, t)
    y = model.predict(x, batch_size)
    return {"loss": loss.forward(y, t, sample_weight), **compute_metrics(measures, y, t)}


def split_validation(x: object, t: object, held_out: object, share: object) -> tuple[Any, Any, tuple[Any, Any] | None]:
    """(x, t, validation data): the pair that is given, or, as in Keras, the last ``share`` of the rows."""
    share = checks.as_number("validation_split", share, 0, 1, high_open=True)
    if held_out is not None:
        if not isinstance(held_out, tuple | list) or len(held_out) != 2:
            raise TypeError(f"validation_data: expected a pair (x, t), got {type(held_out).__name__}")
        if share:
            raise ValueError(f"validation_split: expected 0 beside validation_data, got {share}")
        return x, t, (held_out[0], held_out[1])
    if share == 0:
        return x, t, None
    x = checks.as_number_array("x", x)
    t = checks.as_targets(t, len(x))
    n = len(x) - int(len(x) * share)
    if not 0 < n < len(x):
        raise ValueError(f"validation_split: expected to leave rows on both sides, got {share} of {len(x)} rows")
    return x[:n], t[:n], (x[n:], t[n:])


def fit(
    model: Any, x: object, t: object, *, loss: Any, optimizer: Any, epochs: int = 1, batch_size: int = 32,
    validation_data: tuple[object, object] | None = None, validation_split: float = 0.0, shuffle: bool = True,
    metrics: Iterable[Metric] = (), callbacks: Iterable[Callback] = (), sample_weight: object = None,
    mixup: float = 0.0, resume: Mapping[str, Any] | None = None,
) -> History:
    """Trains ``model`` for ``epochs`` (>= 0) passes over ``x`` and ``t`` in shuffled mini-batches of ``batch_size``.

    After each epoch the history gets ``loss`` (the mean over the epoch), with a penalty also its parts ``data_loss``
    and ``penalty`` (``val_loss`` has none), each metric on the training data, and with ``validation_data=(xv, tv)`` or
    ``validation_split`` (the share of the rows at the end, 0 <= share < 1) ``val_loss`` and
    ``val_…``. A metric is ``"accuracy"`` or a function of (y, t). Training ends early when a callback sets
    ``model.stop_training``. ``sample_weight``, a number >= 0 for each row of ``x``, makes the training loss a weighted
    mean; ``mixup`` is as for ``run_epoch``. ``resume``, a record of ``training_state``, goes on where it was taken, to
    the same bits, with objects and data as they were then; ``epochs`` counts from the first start. Raises ValueError or
    TypeError before the first step for what can be known by then.

    >>> import numpy as np, fastnn_ref as nn
    >>> x, t = np.eye(4), np.array([0, 1, 0, 1])
    >>> model = nn.Sequential(nn.Linear(4, 2), seed=0)
    >>> loss, optimizer = nn.CrossEntropyLoss(), nn.SGD(lr=1.0)
    >>> history = fit(model, x, t, loss=loss, optimizer=optimizer, epochs=50, metrics=["accuracy"])
    >>> history.history["accuracy"][-1]
    1.0
    """
    epochs, batch_size = checks.as_integer("epochs", epochs, 0), checks.as_integer("batch_size", batch_size, 1)
    shuffle, measures = checks.as_flag("shuffle", shuffle), resolve_metrics(metrics)
    weights = None
    if sample_weight is not None:
        weights = checks.as_sample_weight(sample_weight, len(checks.as_number_array("x", x)))
    x, t, held_out = split_validation(x, t, validation_data, validation_split)
    x, t = prepare_data("x", model, x, t)
    weights = None if weights is None else weights[:len(x)]
    held_out = None if held_out is None else prepare_data("validation_data[0]", model, *held_out)
    history = History()
    hooks = CallbackList(history, callbacks, model, optimizer, {"epochs": epochs, "steps": -(-len(x) // batch_size)})
    batch_hooks = {f"on_batch_{when}": hooks.hook(f"on_train_batch_{when}") for when in ("begin", "end")}
    model.stop_training = False
    logs: dict[str, float] = {}
    hooks.call("on_train_begin")
    try:
        if resume is not None:
            load_training_state(resume, model, optimizer, hooks.callbacks)
        for epoch in range(len(history.epoch), epochs):
            hooks.call("on_epoch_begin", epoch)
            start = time.perf_counter()
            value = model.run_epoch(
                x, t, loss, optimizer, batch_size, shuffle, hooks.hook("on_progress"), weights, mixup,
                resume=model.network.batch > 0, **batch_hooks)
            history.seconds.append(time.perf_counter() - start)
            logs = {"loss": value}
            if model.has_penalty:
                logs |= {"data_loss": value - model.penalty_loss, "penalty": model.penalty_loss}
            if measures:
                logs |= compute_metrics(measures, model.predict(x), t)
            if held_out is not None:
                found = evaluate(model, *held_out, loss, measures.values())
                logs |= {f"val_{name}": value for name, value in found.items()}
            hooks.call("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
    finally:
        hooks.call("on_train_end", logs)
    return history

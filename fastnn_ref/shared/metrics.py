"""Metrics: numbers that say how good predictions are, beside the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy.typing as npt

from . import checks

Array = npt.NDArray[Any]
Measure = Callable[[Array, Array], float]
Metric = str | Measure


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
                         f"{checks.format_shape(y.shape)} and {checks.format_shape(t.shape)}")
    return float((y.argmax(axis=1) == (t.argmax(axis=1) if t.ndim == 2 else t)).mean())


METRICS: dict[str, Measure] = {"accuracy": accuracy}


def resolve_metrics(metrics: Iterable[Metric]) -> dict[str, Measure]:
    """Metrics by name; no two have the same."""
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics: expected a sequence of names or functions, got {metrics!r}")
    found: dict[str, Measure] = {}
    for metric in metrics:
        if isinstance(metric, str):
            name, function = metric, METRICS[checks.as_choice("metrics", metric, METRICS)]
        elif callable(metric):
            name, function = getattr(metric, "__name__", type(metric).__name__), metric
        else:
            raise TypeError(f"metrics: expected names or functions, got {metric!r}")
        if name in found or name in ("loss", "data_loss", "penalty"):
            raise ValueError(f"metrics: expected a name for each, got {name!r} twice")
        found[name] = function
    return found


def compute_metrics(measures: Mapping[str, Measure], y: Array, t: Array) -> dict[str, float]:
    """Each metric's value."""
    return {name: float(f(y, t)) for name, f in measures.items()}

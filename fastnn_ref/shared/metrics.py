"""Metrics: numbers that say how good predictions are, beside the loss.

    accuracy                    right decisions / all
    precision, recall, f1       TP/(TP + FP), TP/(TP + FN), 2·TP/(2·TP + FP + FN), the mean over the classes
    top_k_accuracy              the target is among the k largest outputs
    roc_auc, average_precision  how well the outputs rank, by scikit-learn
    expected_calibration_error  Σ |B|/n · |accuracy in B − confidence in B| over bins B of the confidence
    mae, mse, rmse, r2          mean |y − t|, mean (y − t)², √mse, 1 − Σ(y − t)² / Σ(t − mean t)²

Outputs decide in one of two ways. K >= 2 outputs of which one is right *compete*: the largest wins. A single output,
or several that each answer a question of their own (BCEWithLogitsLoss, HingeLoss), are *labels*: yes if y >
``threshold``. ``fit`` and ``evaluate`` know the threshold from the loss: 0 for these two; the middle of the targets for
a single output of MSELoss, L1Loss and HuberLoss (0.5 between 0 and 1, 0 between −1 and 1); for a loss of your own its
attribute ``decision_threshold``.

A row with a NaN is a wrong decision. With outputs (n, K, …) and a class for each place, as CrossEntropyLoss and NLLLoss
take them, each place is a row; targets that the loss ignores count for no metric, and where it ignores all, a metric is
NaN. Written once, for both packages.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import checks
from .arrays import as_number_array, check_values
from .config import Configured
from .objects import is_a
from .optional import optional
from .targets import as_class_numbers, as_outputs, check_target_count

Array = npt.NDArray[Any]
Measure = Callable[[Array, Array], Any]


# ---- decisions ----


def arrays(y: object, t: object) -> tuple[Array, Array]:
    """Outputs and targets as arrays of numbers, as many rows of each."""
    found = as_outputs("y", y), as_number_array("t", t)
    check_target_count(found[1], len(found[0]), of="y")
    return found


def compete(y: Array, threshold: float | None) -> bool:
    """Does one of several outputs win?"""
    return y.ndim == 2 and y.shape[1] >= 2 and threshold is None


def wrong_shapes(name: str, y: Array, t: Array) -> ValueError:
    """The error for outputs and targets that a metric cannot compare."""
    return ValueError(f"{name}: expected outputs (n, K) and targets (n,) or (n, K), got "
                      f"{checks.format_shape(y.shape)} and {checks.format_shape(t.shape)}")


def class_numbers(name: str, y: Array, t: Array) -> Array:
    """The class of each row's target, given as a number or as a row whose largest entry it is."""
    if t.shape == (len(y),):
        return as_class_numbers(t, y.shape[1])
    if t.shape != y.shape:
        raise wrong_shapes(name, y, t)
    return t.argmax(axis=1)


def largest(y: Array) -> Array:
    """The class that wins in each row, the first of several equal ones; −1, which no class is, beside a NaN."""
    return np.where(np.isnan(y).any(axis=1), -1, y.argmax(axis=1))


def labels(name: str, y: Array, t: Array) -> tuple[Array, Array]:
    """Outputs and answers (n, labels): the outputs as they are, the answers as booleans."""
    y, t = (each[:, None] if each.ndim == 1 else each for each in (y, t))
    if y.shape != t.shape or y.ndim != 2:
        raise wrong_shapes(name, y, t)
    bad = np.abs(t) != 1 if (t == -1).any() else ~((t >= 0) & (t <= 1))
    check_values(name, t, bad, "targets from 0 to 1, or −1 and 1")
    return y, t > middle(t)


def middle(t: Array) -> float:
    """What lies between the targets for no and yes: 0 and 1, or −1 and 1."""
    return 0.0 if (t < 0).any() else 0.5


def decisions(name: str, y: Array, t: Array, threshold: float | None) -> tuple[Array, Array]:
    """What is predicted and what is true: class numbers (n,) where outputs compete, else booleans (n, labels)."""
    y, t = arrays(y, t)
    if compete(y, threshold):
        return largest(y), class_numbers(name, y, t)
    y, actual = labels(name, y, t)
    return np.where(np.isnan(y), ~actual, y > needed(name, threshold)), actual


def needed(name: str, threshold: float | None) -> float:
    """The threshold, which outputs that do not compete need."""
    if threshold is None:
        raise ValueError(f"{name}: expected a threshold for outputs that do not compete, 0 for logits or 0.5 for "
                         f"probabilities, got None; a loss of your own gives it as its attribute decision_threshold")
    return checks.as_number("threshold", threshold)


def counts(name: str, y: Array, t: Array, threshold: float | None) -> tuple[Array, Array, Array]:
    """(true positives, predicted, actual) of each class that is predicted or actual, or of each label."""
    predicted, actual = decisions(name, y, t, threshold)
    if actual.ndim == 2:
        return (predicted & actual).sum(axis=0), predicted.sum(axis=0), actual.sum(axis=0)
    found = [np.bincount(each, minlength=np.shape(y)[1])
             for each in (actual[predicted == actual], predicted[predicted >= 0], actual)]
    seen = found[1] + found[2] > 0
    return found[0][seen], found[1][seen], found[2][seen]


def mean_ratio(above: Array, below: Array) -> float:
    """The mean of above / below, where 0 / 0 counts as 0."""
    return float(np.divide(above, below, out=np.zeros(len(below)), where=below > 0).mean()) if len(below) else 0.0


def accuracy(y: Array, t: Array, threshold: float | None = None) -> float:
    """The share of right decisions. ``y`` (n, K); ``t`` (n,) class numbers or (n, K) rows, or (n,) for one output.

    K >= 2 outputs compete if ``threshold`` is None; else each of the n·K decisions y > ``threshold`` counts.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    >>> nn.metrics.accuracy(np.array([[2.0], [-1.0], [0.3]]), np.array([1, 0, 0]), threshold=0) == 2 / 3
    True
    """
    predicted, actual = decisions("accuracy", y, t, threshold)
    return float((predicted == actual).mean())


def precision(y: Array, t: Array, threshold: float | None = None) -> float:
    """TP/(TP + FP): how many of the rows that are called a class belong to it; 0 for a class that is never predicted.

    The mean over the classes that are predicted or true (macro), or over the labels: of a single output, that of "yes".

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.precision(np.array([[2.0], [1.0], [-3.0]]), np.array([1, 0, 1]), threshold=0)
    0.5
    """
    true, predicted, _ = counts("precision", y, t, threshold)
    return mean_ratio(true, predicted)


def recall(y: Array, t: Array, threshold: float | None = None) -> float:
    """TP/(TP + FN): how many of a class's rows are found; 0 for a class that has none. The mean as for ``precision``.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.recall(np.eye(3), np.array([0, 1, 1]))
    0.5
    """
    true, _, actual = counts("recall", y, t, threshold)
    return mean_ratio(true, actual)


def f1(y: Array, t: Array, threshold: float | None = None) -> float:
    """2·TP/(2·TP + FP + FN), the harmonic mean of precision and recall, per class; the mean as for ``precision``.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.f1(np.array([[2.0], [1.0], [-3.0]]), np.array([1, 0, 0]), threshold=0) == 2 / 3
    True
    """
    true, predicted, actual = counts("f1", y, t, threshold)
    return mean_ratio(2 * true, predicted + actual)


def top_k_accuracy(y: Array, t: Array, k: int = 5) -> float:
    """The share of rows whose target is among the ``k`` largest of the K outputs, 1 <= k < K; the first of equal ones.

    As a name in ``metrics``: ``"top_5_accuracy"``, with any number.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.top_k_accuracy(np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), np.array([1, 2]), k=2)
    0.5
    """
    y, t = arrays(y, t)
    if not compete(y, None):
        raise wrong_shapes("top_k_accuracy", y, t)
    k = checks.as_integer("k", k, 1)
    if k >= y.shape[1]:
        raise ValueError(f"metrics: top_{k}_accuracy needs more than {k} classes, got {y.shape[1]}")
    actual = class_numbers("top_k_accuracy", y, t)[:, None]
    own = np.take_along_axis(y, actual, axis=1)
    before = (y > own) | ((y == own) & (np.arange(y.shape[1]) < actual))
    return float(((before.sum(axis=1) < k) & ~np.isnan(y).any(axis=1)).mean())


# ---- probabilities and ranks ----


def probabilities(name: str, y: Array, threshold: float | None) -> Array:
    """y as probabilities in float64: by softmax where outputs compete, by the sigmoid where the threshold is 0.

    What is probabilities already stays: rows that sum to 1, or labels with a threshold of 0.5.
    """
    y = y.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if compete(y, threshold):
            rows = y[~np.isnan(y).any(axis=1)]
            if (rows >= 0).all() and (np.abs(rows.sum(axis=1) - 1) < 1e-3).all():
                return y
            e = np.exp(y - y.max(axis=1, keepdims=True))
            return e / e.sum(axis=1, keepdims=True)
        if needed(name, threshold) == 0:
            return 1 / (1 + np.exp(-y))
    if threshold != 0.5 or not ((y >= 0) & (y <= 1) | np.isnan(y)).all():
        raise ValueError(f"{name}: expected logits and a threshold of 0, or probabilities and 0.5, got a threshold of "
                         f"{threshold} and values from {y.min():.3g} to {y.max():.3g}")
    return y


class Calibration(NamedTuple):
    """For each bin of the confidence: ``counts`` of decisions, their mean ``confidence``, the share that is right.

    Arrays (bins,); an empty bin has NaN for the two means.
    """

    counts: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: Σ counts/n · |accuracy − confidence|."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((self.counts * gaps).sum() / self.counts.sum())


def calibration(
    y: Array, t: Array, threshold: float | None = None, bins: int = 15, name: str = "calibration",
) -> Calibration | None:
    """Confidence and accuracy in ``bins`` (>= 1) of equal width, left end open, which cut [0, 1]; None beside a NaN.

    The confidence of a decision is its probability, by softmax or sigmoid from logits; ``name`` stands in messages.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.calibration(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 1, 1]), bins=2).accuracy.tolist()
    [nan, 0.5]
    """
    bins = checks.as_integer("bins", bins, 1)
    y, t = arrays(y, t)
    predicted, actual = decisions(name, y, t, threshold)
    p = probabilities(name, y.reshape(predicted.shape) if actual.ndim == 2 else y, threshold)
    confidence = p.max(axis=1) if actual.ndim == 1 else np.maximum(p, 1 - p).ravel()
    if np.isnan(confidence).any():
        return None
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, each, bins) / count for each in (confidence, (predicted == actual).ravel())]
    return Calibration(count, *means)


def expected_calibration_error(y: Array, t: Array, threshold: float | None = None, bins: int = 15) -> float:
    """How far confidence is from accuracy: Σ |B|/n · |accuracy in B − mean confidence in B|, from 0 to 1.

    The sum goes over the ``bins`` of ``calibration``; NaN if a probability is. Source: Guo et al., "On calibration of
    modern neural networks" (2017).

    >>> import numpy as np, fastnn_ref as nn
    >>> y = np.log([[0.75, 0.25]] * 4)              # sure to 75 %, and right in half of the rows
    >>> round(nn.metrics.expected_calibration_error(y, np.array([0, 0, 1, 1])), 6)
    0.25
    """
    found = calibration(y, t, threshold, bins, "expected_calibration_error")
    return float("nan") if found is None else found.error


def ranked(name: str, y: Array, t: Array, threshold: float | None) -> tuple[Array, Array]:
    """Scores and answers (n, columns): a column for each class, as probabilities, or for each label."""
    y, t = arrays(y, t)
    if not compete(y, threshold):
        return labels(name, y, t)
    return probabilities(name, y, threshold), class_numbers(name, y, t)[:, None] == np.arange(y.shape[1])


def mean_over_columns(function: Measure, scores: Array, answers: Array, usable: Array) -> float:
    """The mean of function(answer, score) over the columns ``usable``; NaN if there are none, or with a score that is
    no finite number."""
    if not len(usable) or not np.isfinite(scores).all():
        return float("nan")
    return float(np.mean([function(answers[:, column], scores[:, column]) for column in usable]))


def roc_auc(y: Array, t: Array, threshold: float | None = None) -> float:
    """The probability that a "yes" scores higher than a "no": the area under the ROC curve, by scikit-learn.

    Of K classes, the mean over one against the rest; of labels, the mean over the labels. Those with only one kind of
    target do not count, and NaN says that none is left. Needs scikit-learn (ModuleNotFoundError).

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.roc_auc(np.array([[0.1], [0.4], [0.35], [0.8]]), np.array([0, 0, 1, 1]))
    0.75
    """
    metrics = optional("sklearn.metrics", extra="train")
    scores, answers = ranked("roc_auc", y, t, threshold)
    usable = answers.any(axis=0) & ~answers.all(axis=0)
    return mean_over_columns(metrics.roc_auc_score, scores, answers, np.flatnonzero(usable))


def average_precision(y: Array, t: Array, threshold: float | None = None) -> float:
    """Σ (recallᵢ − recallᵢ₋₁)·precisionᵢ over the thresholds: what lies under the precision-recall curve, by
    scikit-learn. Means as for ``roc_auc``; NaN if nothing is true.

    >>> import numpy as np, fastnn_ref as nn
    >>> round(nn.metrics.average_precision(np.array([[0.1], [0.4], [0.35], [0.8]]), np.array([0, 0, 1, 1])), 3)
    0.833
    """
    metrics = optional("sklearn.metrics", extra="train")
    scores, answers = ranked("average_precision", y, t, threshold)
    return mean_over_columns(metrics.average_precision_score, scores, answers, np.flatnonzero(answers.any(axis=0)))


# ---- values ----


def pair(name: str, y: Array, t: Array) -> tuple[Array, Array]:
    """Outputs and targets of one shape, in float64; (n,) and (n, 1) are the same."""
    y, t = arrays(y, t)
    if {y.shape, t.shape} == {(len(y),), (len(y), 1)}:
        y, t = y.reshape(-1, 1), t.reshape(-1, 1)
    if y.shape != t.shape:
        raise ValueError(f"{name}: expected outputs and targets of one shape, got {checks.format_shape(y.shape)} and "
                         f"{checks.format_shape(t.shape)}")
    return y.astype(np.float64), t.astype(np.float64)


def mae(y: Array, t: Array) -> float:
    """The mean of |y − t| over all elements.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.mae(np.array([[1.0], [3.0]]), np.array([2.0, 3.0]))
    0.5
    """
    y, t = pair("mae", y, t)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.abs(y - t).mean())


def mse(y: Array, t: Array) -> float:
    """The mean of (y − t)² over all elements.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.mse(np.array([[1.0], [3.0]]), np.array([3.0, 3.0]))
    2.0
    """
    y, t = pair("mse", y, t)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(((y - t) ** 2).mean())


def rmse(y: Array, t: Array) -> float:
    """√mse: the root of the mean of (y − t)² over all elements, in the unit of the targets.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.rmse(np.array([[1.0], [3.0]]), np.array([4.0, 7.0])) == 12.5**0.5
    True
    """
    return mse(y, t) ** 0.5


def r2(y: Array, t: Array) -> float:
    """1 − Σ(y − t)² / Σ(t − mean t)², the share of the variance that is explained, the mean over the outputs.

    1 is perfect, 0 as good as the mean, less is worse. Where the targets are constant: 1 if y is, too, and the same,
    else 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.metrics.r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])) == 1 - 1 / (14 / 3)
    True
    """
    y, t = pair("r2", y, t)
    y, t = y.reshape(len(y), -1), t.reshape(len(t), -1)
    constant = t.max(axis=0) == t.min(axis=0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        off = ((y - t) ** 2).sum(axis=0)
        values = 1 - off / ((t - t.mean(axis=0)) ** 2).sum(axis=0)
        return float(np.where(constant, np.where(np.isnan(off), off, off == 0), values).mean())


# ---- by name, in fit ----

METRICS: dict[str, Measure] = {
    "accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1, "top_5_accuracy": top_k_accuracy,
    "roc_auc": roc_auc, "average_precision": average_precision,
    "expected_calibration_error": expected_calibration_error, "mae": mae, "mse": mse, "rmse": rmse,
    "r2": r2,
}
DECIDING = (accuracy, precision, recall, f1, roc_auc, average_precision, expected_calibration_error)
LABEL_LOSSES = ("BCEWithLogitsLoss", "HingeLoss")       # each of whose outputs is a label: yes above 0
VALUE_LOSSES = ("MSELoss", "L1Loss", "HuberLoss")       # whose outputs are where the targets are
FALLING = {"loss", "penalty", "error", "mae", "mse", "rmse", "mape"}            # last words of names
RISING = {"accuracy", "acc", "precision", "recall", "f1", "auc", "r2"}
RESERVED = ("loss", "data_loss", "penalty", "epoch", "lr")      # names that the history or a CSVLogger has anyway


def known_mode(name: str) -> str | None:
    """``"min"`` for what is to fall, ``"max"`` for what is to rise, None if the name does not tell.

    >>> from fastnn_ref.shared.metrics import known_mode
    >>> known_mode("val_loss"), known_mode("top_5_accuracy"), known_mode("share")
    ('min', 'max', None)
    """
    word = name.lower().rpartition("_")[2]
    return "min" if word in FALLING else "max" if word in RISING else None


class Metric(Configured):
    """A metric of your own: its ``name`` in the history, its ``function`` of (y, t), and which way is better.

    ``function`` gets the outputs ``y`` (n, …) and the targets as the loss compares them, class numbers (n,) in int64,
    others in y's dtype and shape, and returns a number. Of outputs (n, K, …) with a class for each place it gets rows
    (n, K) of all places and their targets, without those that the loss ignores. ``mode`` is ``"min"``, ``"max"`` or
    None, which leaves it to the name: ``EarlyStopping`` and ``ReduceLROnPlateau`` read it.

    >>> import numpy as np, fastnn_ref as nn
    >>> within = nn.Metric("within_1", lambda y, t: np.mean(np.abs(y - t) < 1), mode="max")
    >>> within(np.array([[1.0], [5.0]]), np.array([[1.5], [3.0]]))
    0.5
    """

    def __init__(self, name: str, function: Measure, mode: str | None = None) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name: expected a text, got {name!r}")
        if not name or name.startswith("val_"):
            raise ValueError(f"name: expected a name that does not begin with 'val_', got {name!r}")
        if not callable(function):
            raise TypeError(f"function: expected a function of (y, t), got {function!r}")
        self.name = name
        self.function = function
        self.mode = None if mode is None else checks.as_choice("mode", mode, ("min", "max"))

    @property
    def direction(self) -> str | None:
        """``mode``, or what the name tells."""
        return self.mode or known_mode(self.name)

    def __call__(self, y: Array, t: Array, threshold: float | None = None) -> float:
        deciding = any(self.function is each for each in DECIDING)
        value = self.function(y, t, **({"threshold": threshold} if deciding else {}))
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if isinstance(value, bool | int | float | np.number | np.bool_) and not np.iscomplexobj(value):
            return float(value)
        raise checks.told(TypeError, "metrics: expected a number from {metric}, got {got}",
                          metric=self.name, got=repr(value))


def is_built_in(metric: Metric) -> bool:
    """Is its function one of this module's?"""
    function = getattr(metric.function, "func", metric.function)
    return getattr(function, "__module__", "") == __name__


MetricLike = str | Metric | Measure


def as_metric(value: object, name: str) -> Metric:
    """A metric given by name, as a function, or as it is."""
    if isinstance(value, Metric):
        return value
    if isinstance(value, str):
        top = re.fullmatch(r"top_([1-9]\d*)_accuracy", value)
        if top:
            return Metric(value, functools.partial(top_k_accuracy, k=int(top[1])))
        return Metric(value, METRICS[checks.as_choice(name, value, METRICS)])
    if callable(value) and not isinstance(value, type):
        return Metric(getattr(value, "__name__", type(value).__name__), value)
    raise TypeError(f"{name}: expected names or functions, got {value!r}")


def resolve_metrics(metrics: Iterable[MetricLike], name: str = "metrics") -> dict[str, Metric]:
    """Metrics by name; no two have the same. Errors are about the argument ``name``."""
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"{name}: expected a sequence of names or functions, got {metrics!r}")
    found: dict[str, Metric] = {}
    for metric in (as_metric(each, name) for each in metrics):
        if metric.name in found or metric.name in RESERVED:
            raise ValueError(f"{name}: expected a name for each, got {metric.name!r} twice")
        found[metric.name] = metric
    return found


def decision_threshold(loss: Any, y: Array, t: Array) -> float | None:
    """Where an output begins to mean yes, if outputs do not compete and the loss tells."""
    own: float | None = getattr(loss, "decision_threshold", None)
    if own is not None or is_a(loss, *LABEL_LOSSES):
        return own or 0.0
    return middle(t) if is_a(loss, *VALUE_LOSSES) and y.shape == (len(y), 1) else None


def counted(loss: Any, y: Array, t: Array) -> tuple[Array, Array]:
    """Of class numbers (n, ...) and outputs (n, K, ...), each place as a row, without those that the loss leaves out;
    anything else as it is."""
    if y.ndim < 2 or not is_a(loss, "ClassLoss"):
        return y, t
    if y.ndim > 2:
        y, t = (np.moveaxis(each, 1, -1).reshape(-1, y.shape[1]) if each.ndim == y.ndim else each.reshape(-1)
                for each in (y, t))
    if loss.ignore_index is None:
        return y, t
    kept = t != loss.ignore_index
    return y[kept], t[kept]


def compute_metrics(metrics: Mapping[str, Metric], y: Array, t: Array, loss: Any) -> dict[str, float]:
    """Each metric's value of outputs ``y`` for targets ``t``, as the loss compares them; a user's gets copies."""
    if not metrics:
        return {}
    y, t = counted(loss, y, loss._checked_targets(t, y.shape, y.dtype))
    if not len(y):
        return dict.fromkeys(metrics, float("nan"))
    threshold = decision_threshold(loss, y, t)
    return {name: metric(*((y, t) if is_built_in(metric) else (y.copy(), t.copy())), threshold)
            for name, metric in metrics.items()}


# In the order of the table above, which their page keeps.
__all__ = [  # noqa: RUF022
    "Metric", "accuracy", "precision", "recall", "f1", "top_k_accuracy", "roc_auc", "average_precision",
    "expected_calibration_error", "mae", "mse", "rmse", "r2",
]

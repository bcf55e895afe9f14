"""How much each class counts in a loss: numbers, one for each class; a dict from label to number; or "balanced".

"balanced" needs all targets at once, so ``fit`` works it out, in the manner of scikit-learn's ``compute_class_weight``:

    weight of class k = Σ w / (number of classes · Σ w of the examples of class k)        w: sample weights, or 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import checks
from .arrays import as_number_array, first_row
from .config import Labels, rebuild
from .objects import is_a
from .targets import as_class_targets, as_probability_targets, check_logits

Array = npt.NDArray[Any]
ClassWeight = tuple[float, ...] | dict[int, float] | str | None

BALANCED = "balanced"
MOST_CLASSES = 2**20                # in a dict: its largest label makes an array


def as_weights(name: str, value: object, each: str) -> tuple[float, ...]:
    """Finite numbers >= 0, in one row."""
    found = as_number_array(name, value)
    if found.ndim != 1 or not len(found):
        raise ValueError(f"{name}: expected (K,), got {checks.format_shape(found.shape)}")
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        raise ValueError(f"{name}: expected finite numbers >= 0, got {found[bad][0]} at {each} "
                         f"{first_row(bad)}")
    return tuple(found.astype(float).tolist())


def as_label(value: object) -> int:
    """A class number; in a record, whose keys JSON makes texts, also as a text."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return checks.as_integer("class_weight's label", value, 0, MOST_CLASSES)


def as_class_weight(value: Any) -> ClassWeight:
    """None, "balanced", a weight for each class, or a dict from label to weight."""
    if value is None:
        return None
    if isinstance(value, str):
        return checks.as_choice("class_weight", value, (BALANCED,))
    if isinstance(value, Mapping):
        return Labels((as_label(label), checks.as_number(f"class_weight[{label!r}]", weight, 0))
                      for label, weight in value.items())
    found = as_weights("class_weight", value, "class")
    if not any(found):
        raise ValueError("class_weight: expected a number > 0 among them, got zeros only")
    return found


def as_binary_class_weight(value: Any) -> ClassWeight:
    """The same for two classes, no and yes."""
    found = as_class_weight(value)
    if found != BALANCED:
        check_class_weight(found, 2)
    return found


def as_positive_weight(value: Any, class_weight: ClassWeight) -> float | tuple[float, ...] | None:
    """None, a number for all outputs, or one for each; and none beside ``class_weight``, which says the same."""
    if value is None:
        return None
    if class_weight is not None:
        raise ValueError("pos_weight: expected None beside class_weight, which weighs the positive class, too")
    if np.ndim(value) == 0:
        return checks.as_number("pos_weight", value, 0)
    return as_weights("pos_weight", value, "output")


def known_weights(value: ClassWeight) -> Array | None:
    """The weights of the first classes, all others weigh 1; None where all do, or for "balanced"."""
    if isinstance(value, dict):
        return np.array([value.get(label, 1.0) for label in range(max(value, default=-1) + 1)])
    return None if value is None or isinstance(value, str) else np.array(value)


def check_class_weight(value: ClassWeight, k: int) -> None:
    """Weights that are known, and fit ``k`` classes."""
    if isinstance(value, str):
        raise ValueError("class_weight: expected numbers here, got 'balanced', which only fit can work out, "
                         "from its targets")
    if isinstance(value, dict) and max(value, default=0) >= k:
        raise ValueError(f"class_weight: expected labels from 0 to {k - 1}, got {max(value)}")
    if isinstance(value, tuple) and len(value) != k:
        raise ValueError(f"class_weight: expected {k} numbers, one for each class, got {len(value)}")


def check_binary_weights(class_weight: ClassWeight, pos_weight: Any, shape: Sequence[int]) -> None:
    """Weights of no and yes that are known, and fit outputs of that shape."""
    check_class_weight(class_weight, 2)
    if isinstance(pos_weight, tuple) and (len(shape) != 2 or shape[1] != len(pos_weight)):
        raise ValueError(f"pos_weight: expected a number for each output, for outputs "
                         f"{checks.format_shape(('n', len(pos_weight)))}, got {checks.format_shape(('n', *shape[1:]))}")


def weights_of(class_weight: ClassWeight, k: int) -> Array:
    """The weight of each of ``k`` classes."""
    first = known_weights(class_weight)
    return np.ones(k) if first is None else np.append(first, np.ones(k - len(first)))


def binary_weights(class_weight: ClassWeight, pos_weight: Any) -> Array | None:
    """The weight of no, then that of yes: of all outputs, or of each. None where all are 1."""
    if pos_weight is not None:
        return np.append(1.0, pos_weight)
    return None if class_weight is None or isinstance(class_weight, str) else weights_of(class_weight, 2)


def balanced_weights(q: Array, sample_weight: Array | None = None) -> tuple[float, ...]:
    """A weight for each class, from rows of probabilities ``q`` (n, K), each of which counts by its probabilities; 1
    for a class that does not occur.

    >>> import numpy as np
    >>> from fastnn_ref.shared.class_weight import balanced_weights
    >>> balanced_weights(np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]]))
    (0.6666666666666666, 1.0, 2.0)
    """
    weighted = q if sample_weight is None else sample_weight[:, None] * q
    counts = weighted.sum(axis=0, dtype=np.float64)
    occur = counts > 0
    return tuple(np.divide(counts.sum(), occur.sum() * counts, out=np.ones(len(counts)), where=occur).tolist())


def shares_of_classes(loss: Any, t: object, shape: Sequence[int]) -> Array:
    """How much each example of ``t`` belongs to each class, (n, K)."""
    if is_a(loss, "BCEWithLogitsLoss"):
        if tuple(shape[1:]) not in ((), (1,)):
            raise ValueError(f"class_weight: expected one output for 'balanced', got {checks.format_shape(shape)}; "
                             "pos_weight takes a number for each")
        yes = as_probability_targets(t, shape, np.float64).reshape(-1, 1)
        return np.hstack([1 - yes, yes])
    check_logits(shape)
    found = as_class_targets(t, shape, np.float64, loss.ignore_index)
    if found.ndim == len(shape):
        rows: Array = found.reshape(*shape[:2], -1).sum(axis=2)
        return rows
    places = np.where(found == loss.ignore_index, -1, found).reshape(len(found), -1)        # −1, which no class is
    return np.equal(places[:, None], np.arange(shape[1])[:, None]).sum(axis=2)


def is_balanced(loss: Any) -> bool:
    """Are the class weights of one of the library's losses still to be worked out?"""
    return is_a(loss, "ClassLoss", "BCEWithLogitsLoss") and isinstance(loss.class_weight, str)


def resolve_class_weight(loss: Any, model: Any, data: Any) -> Any:
    """The loss; if its class weights are "balanced", a new one of its kind with those of the targets of ``data``."""
    if not is_balanced(loss):
        return loss
    shape = len(data.x), *model.output_shape(data.x.shape[1:])
    with data.as_given():
        shares = shares_of_classes(loss, np.asarray(data.t), shape)
        return rebuild(loss, class_weight=balanced_weights(shares, data.weights))


def is_sum(loss: Any) -> bool:
    """Is the loss of examples the sum of their costs? A user's own loss, which does not say so, is taken as a mean."""
    return getattr(loss, "reduction", "mean") == "sum"


def of_part(loss: Any, weight: float) -> tuple[Any, float]:
    """The loss of a part of a batch with that ``total_weight``, and what counts beside those of the other parts.

    Targets of classes that weigh 0 still cost what label smoothing gives to the other classes: a part of them alone has
    no mean, but a sum, which belongs to the mean over all.
    """
    if weight or not getattr(loss, "label_smoothing", 0) or not is_a(loss, "ClassLoss"):
        return loss, weight
    return rebuild(loss, reduction="sum"), 1.0


def with_batch(loss: Any, sums: Sequence[float], value: float, penalty: float, rows: int, weight: float) -> list[float]:
    """The sums of an epoch with one more batch: losses, means times their weight; penalties times rows; weights. The
    engine, whose steps have no time for Python, adds them up in C."""
    added = value if is_sum(loss) else value * weight, penalty * rows, weight
    return [before + more for before, more in zip(sums, added, strict=True)]


def means_of_batches(loss: Any, sums: Sequence[float], rows: int) -> tuple[float, float]:
    """The loss of an epoch of so many rows, with the penalty, and the penalty: means over them, or the loss a sum."""
    total, penalties, weight = sums
    penalty = penalties / rows
    return (total if is_sum(loss) else total / weight if weight else 0.0) + penalty, penalty


def total_weight(loss: Any, t: object, shape: Sequence[int], sample_weight: Array | None) -> float:
    """What the loss of a batch with outputs of ``shape`` counts beside those of others: 1 for a sum; for a mean, what
    it is divided by: the number of examples, or the sum of their weights, which class weights multiply for class
    numbers, each place by itself, but for the targets that are left out."""
    if is_sum(loss):
        return 1.0
    found = np.asarray(t)
    weights = np.ones(len(found)) if sample_weight is None else sample_weight
    if not is_a(loss, "ClassLoss") or found.shape == tuple(shape):
        return float(weights.sum())
    known = known_weights(loss.class_weight)
    by_class = np.ones(1) if known is None else np.append(known, 1.0)
    kept = found != loss.ignore_index
    counts = kept * by_class[np.where(kept, np.minimum(found, len(by_class) - 1), 0).astype(np.int64)]
    return float((weights * counts.T).sum())

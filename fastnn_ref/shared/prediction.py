"""Predictions: outputs a few rows at a time, probabilities and classes, the mean loss, all in bounded memory.

Written once, for both packages: softmax is a layer of the model's own package. Inputs are converted by batches, so that
an array in a file (``numpy.memmap``) is never in memory as a whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import checks
from .arrays import as_contiguous, as_number_array, check_input
from .class_weight import is_sum, of_part, total_weight
from .custom import CustomLoss
from .data import Data
from .diagnosis import last_layer
from .objects import PROBABILITIES, class_name, hosted, is_a, package_of
from .targets import check_reduced, check_signs_agree

Array = npt.NDArray[Any]
Predict = Callable[[slice], Array]


def slices(n: int, size: int) -> Iterator[slice]:
    """The rows 0 … n − 1, ``size`` at a time."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


# ---- the mean loss ----


def mean_loss(predict: Predict, data: Data, loss: Any, batch_size: int, keep: bool) -> tuple[float, Array]:
    """The loss of the outputs that ``predict`` has for rows of the data, and, if to ``keep``, all outputs.

    A mean is put together from those of the parts, and so is a sum. A user's own loss may be something else and sees
    everything at once.
    """
    def predicted(rows: slice) -> Array:
        with data.part(rows):
            return predict(rows)

    check_reduced(loss)
    check_signs_agree(loss, data.t)
    if isinstance(loss, CustomLoss):
        y = np.concatenate([predicted(rows) for rows in slices(len(data.x), batch_size)])
        return loss.forward(y, np.asarray(data.t), data.weights), y
    outputs, means, counts, costs = [], [], [], []
    for rows in slices(len(data.x), batch_size):
        y, t = predicted(rows), data.t[rows]
        weights = None if data.weights is None else data.weights[rows]
        with data.part(rows):
            means.append(loss.forward(y, t, weights))
        if len(data.x) > batch_size:
            counts.append(total_weight(loss, t, y.shape, weights))
            part, share = of_part(loss, counts[-1])
            costs.append(share * (means[-1] if part is loss else part.forward(y, t, weights)))
        outputs += [y] if keep else []
    total = 1.0 if is_sum(loss) else sum(counts)
    mean = means[0] if len(means) == 1 or not total else sum(costs) / total
    return mean, np.concatenate(outputs) if keep else np.empty(0)


# ---- layers ----


def as_units(name: str, value: Any, count: int) -> Array:
    """Indices of some of ``count`` units, or a mask of all of them, as indices."""
    found = np.asarray(value)
    if found.dtype == bool and found.shape == (count,):
        return np.flatnonzero(found)
    if found.size == 0:
        return np.empty(0, np.int64)
    if found.ndim > 1 or found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= count:
        raise ValueError(f"{name}: expected numbers of units, 0 … {count - 1}, or a mask of {count}, got {value!r}")
    return found.reshape(-1)


def visit_layers(layer: Any, x: Array, name: str, removed: Mapping[str, Any], found: dict[str, Array]) -> Array:
    """y of a layer for x without the units that are ``removed``; it and what is inside go into ``found``."""
    dot = f"{name}." if name else ""
    if is_a(layer, "Sequential"):
        y = x
        for index, each in enumerate(layer.layers):
            y = visit_layers(each, y, f"{dot}{index}", removed, found)
    elif is_a(layer, "Residual"):
        y = x + visit_layers(layer.block, x, f"{dot}block", removed, found)
    else:
        y = layer(x)
    if name in removed:
        y = y.copy()
        units = y if y.ndim < 4 else np.moveaxis(y, 1, -1)
        units[..., as_units(f"removed[{name!r}]", removed[name], units.shape[-1])] = 0
    if name:
        found[name] = y
    return y


def outputs(
    model: Any, x: object, batch_size: int = 1024, removed: Mapping[str, Any] | None = None,
) -> dict[str, Array]:
    """What each layer inside puts out in a prediction for ``x`` (n, …): dotted name → y (n, …), the model's own last.

    Names are those of ``state_dict``: ``"0"`` is ``model[0]``, ``"2.1"`` a layer of a Sequential inside, and
    ``"3.block"`` what a residual block adds. ``removed`` maps names to units of that layer, numbers or a mask, which
    are 0 for the layers behind it: units of the last axis, or channels of images. So a trained model is asked what it
    can do without them, and stays as it is. ValueError for a name or a unit that there is not. The layers predict one
    by one, ``batch_size`` rows at a time.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 3, init="ones"), nn.ReLU(), nn.Linear(3, 1, init="ones"))
    >>> {name: y.tolist() for name, y in model.outputs([[1.0, 2.0]]).items()}
    {'0': [[3.0, 3.0, 3.0]], '1': [[3.0, 3.0, 3.0]], '2': [[9.0]]}
    >>> model.outputs([[1.0, 2.0]], removed={"1": [0, 2]})["2"].tolist()
    [[3.0]]
    """
    size, array = checks.as_integer("batch_size", batch_size, 1), as_rows(model, x)
    if not len(model.layers):
        raise ValueError("model: expected at least one layer")
    given = {} if removed is None else removed
    if not isinstance(given, Mapping):
        raise TypeError(f"removed: expected a dict from a layer's name to units, got {given!r}")
    whole: list[dict[str, Array]] = []
    for rows in slices(len(array), size):
        found: dict[str, Array] = {}
        with checks.Retold(row=rows.start.__add__):
            visit_layers(model, as_contiguous(array[rows], model.dtype), "", given, found)
        if unknown := [name for name in given if name not in found]:
            raise ValueError(f"removed: expected names of {', '.join(found)}, got {unknown[0]!r}")
        whole.append(found)
    if len(whole) == 1:
        return whole[0]
    return {name: np.concatenate([each[name] for each in whole]) for name in whole[0]}


# ---- probabilities ----


def output_activation(model: Any) -> str:
    """The class of the activation that a model's outputs come from, ``""`` if there is none."""
    last = hosted(last_layer(model))
    if not is_a(last, "Activation", "CustomActivation"):
        return ""
    return next((name for name in PROBABILITIES if is_a(last, name)), class_name(last))


def check_classifier(who: str, model: Any, shape: tuple[int, ...], multilabel: bool) -> str:
    """The activation of outputs that can be read as probabilities: none, or one of three."""
    last = output_activation(model)
    if last not in ("", *PROBABILITIES):
        raise ValueError(f"{who}: expected a model that ends in logits, a Softmax, LogSoftmax or Sigmoid, "
                         f"got one that ends in a {last}")
    if len(shape) != 1:
        raise ValueError(f"{who}: expected outputs (n, K), got {checks.format_shape(('n', *shape))}")
    if multilabel and last in ("Softmax", "LogSoftmax"):
        raise ValueError(f"multilabel: expected False for a model that ends in a {last}, whose classes compete, "
                         "got True")
    return last


def as_rows(model: Any, x: object) -> Array:
    """An array that the model takes, not converted yet."""
    found = as_number_array("x", x)
    check_input("x", found, model)
    return found


def filled(n: int, found: Iterator[Array]) -> Array:
    """Parts of ``n`` rows in one array."""
    first = next(found)
    result = np.empty((n, *first.shape[1:]), first.dtype)
    start = 0
    for part in itertools.chain([first], found):
        result[start:start + len(part)] = part
        start += len(part)
    return result


def outputs_by_parts(
    who: str, model: Any, predict: Callable[..., Array], x: Array, batch_size: object, multilabel: object,
) -> Iterator[tuple[Array, str, bool]]:
    """Outputs by parts, the activation that they come from, and whether each output is a label of its own."""
    size, labels = checks.as_integer("batch_size", batch_size, 1), checks.as_flag("multilabel", multilabel)
    for rows in slices(len(x), size):
        with checks.Retold(row=rows.start.__add__):
            y = predict(x[rows], size)
        last = check_classifier(who, model, y.shape[1:], labels)
        yield y, last, labels or (last == "Sigmoid" and y.shape[1] > 1)


def probabilities(package: Any, y: Array, last: str, labels: bool) -> Array:
    """What outputs say of each class."""
    if last == "LogSoftmax":
        return np.exp(y)
    if labels:
        return y if last else package.Sequential(package.Sigmoid(), dtype=y.dtype).predict(y)
    if y.shape[1] == 1 and last != "Softmax":       # the logit of yes against 0, or the probability of yes
        y = np.hstack([1 - y if last == "Sigmoid" else np.zeros_like(y), y])
    return y if last else package.Sequential(package.Softmax(), dtype=y.dtype).predict(y)


def classes(y: Array, last: str, labels: bool) -> Array:
    """What outputs decide for."""
    yes = y > (0.5 if last == "Sigmoid" else 0.0)
    if labels:
        return yes.astype(np.int64)
    return yes[:, 0].astype(np.int64) if y.shape[1] == 1 and "Softmax" not in last else y.argmax(axis=1)


def predict_proba(model: Any, x: object, batch_size: int = 1024, multilabel: bool = False) -> Array:
    """The probability of each class, (n, K), for ``x`` (n, …); of one output, (n, 2): no and yes, as in scikit-learn.

    The model ends in logits (in no activation), to which softmax is applied, or sigmoid where there is one output; or
    in a ``Softmax``, ``LogSoftmax`` or ``Sigmoid``. Anything else is a ValueError. With ``multilabel=True`` each output
    is a label of its own, as ``BCEWithLogitsLoss`` trains them: sigmoid of each, (n, K); K outputs of a ``Sigmoid`` are
    that anyway. Memory beside the result: ``batch_size`` rows.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 1, init="zeros"))
    >>> model.predict_proba(np.ones((3, 2))).tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    """
    return proba_by(model, model.predict, x, batch_size, multilabel)


def predict_classes(model: Any, x: object, batch_size: int = 1024, multilabel: bool = False) -> Array:
    """The number of the likeliest class for each row of ``x`` (n, …), int64 (n,); of one output, 1 where its
    probability is above ½, else 0.

    The model and ``multilabel`` are as for ``predict_proba``; with labels of their own (n, K), each 0 or 1.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Sequential(nn.Identity()).predict_classes(np.array([[0.1, 2.0, -1.0], [3.0, 2.0, 1.0]])).tolist()
    [1, 0]
    """
    return classes_by(model, model.predict, x, batch_size, multilabel)


def proba_by(model: Any, predict: Callable[..., Array], x: object, batch_size: object, multilabel: object) -> Array:
    """``predict_proba`` of a model whose outputs ``predict(x, batch_size)`` gives."""
    array = as_rows(model, x)
    found = outputs_by_parts("predict_proba", model, predict, array, batch_size, multilabel)
    return filled(len(array), (probabilities(package_of(model), *each) for each in found))


def classes_by(model: Any, predict: Callable[..., Array], x: object, batch_size: object, multilabel: object) -> Array:
    """``predict_classes`` of such a model."""
    array = as_rows(model, x)
    found = outputs_by_parts("predict_classes", model, predict, array, batch_size, multilabel)
    return filled(len(array), (classes(*each) for each in found))

"""compare: a model of the engine beside the same one of the reference, tensor by tensor, on a user's own data."""

import copy
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks
from fastnn_ref.shared.arrays import as_batch
from fastnn_ref.shared.config import rebuild
from fastnn_ref.shared.fit import check_objects
from fastnn_ref.shared.objects import check_instance, class_name, home_of

from .layer import Layer
from .loss import Loss
from .optim import Optimizer
from .sequential import Sequential

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Row:
    """How far one tensor of the two is apart."""

    what: str  # output (of a prediction), training (output in a training pass), gradient, loss or value
    name: str
    shape: tuple[int, ...]
    difference: float  # the largest, absolute
    relative: float  # to the largest value of the tensor
    ulps: int  # the largest, in units in the last place: floating-point numbers that lie between


class Comparison:
    """A row for each layer's output, predicting and in training, each gradient, the losses, each value after the steps.

    Prints as a table.
    """

    def __init__(self, rows: list[Row], steps: int, dtype: Any) -> None:
        self.rows, self.steps, self.dtype = rows, steps, dtype

    @property
    def worst(self) -> float:
        """The largest relative difference of all; NaN if there is one."""
        return float(np.max([row.relative for row in self.rows]))

    def __repr__(self) -> str:
        table = [("", "tensor", "shape", "difference", "relative", "ulps")] + [
            (row.what, row.name, checks.format_shape(row.shape), f"{row.difference:.1e}", f"{row.relative:.1e}",
             f"{row.ulps:,}")
            for row in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) if place < 2 else cell.rjust(width)
                      for place, (cell, width) in enumerate(zip(line, widths, strict=True)))
            for line in table
        ]
        return "\n".join([f"fastnn beside fastnn_ref, {self.dtype}, {self.steps} steps", *lines])


def compare(model: Any, x: object, t: object, loss: Any, optimizer: Any, steps: int = 20) -> Comparison:
    """Runs ``model`` and the same one of ``fastnn_ref`` side by side: a prediction, a gradient, ``steps`` >= 0 steps.

    ``model`` is a Sequential of fastnn, or of a class of yours that puts layers together, ``x`` and ``t`` one batch,
    ``loss`` and ``optimizer`` as for ``step``; one that has trained goes on from its momentum in both packages. All are
    copied and stay as they are. TypeError for layers that fastnn_ref does not have.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(3, 4, activation="tanh"), nn.Linear(4, 2), seed=0, dtype="float64")
    >>> report = nn.compare(model, np.eye(3), np.array([0, 1, 1]), nn.CrossEntropyLoss(), nn.Adam())
    >>> report.worst < 1e-12
    True
    """
    steps = checks.as_integer("steps", steps, 0)
    check_instance("model", model, Sequential)
    check_objects(model, loss, optimizer)
    x = as_batch("x", x, model.dtype, None)
    pair, losses, optimizers = (
        (engine, reference(engine)) for engine in (plain(model), copy.deepcopy(loss), copy.deepcopy(optimizer))
    )
    pair[1].load_state_dict(pair[0].state_dict())
    pair[1].steps = pair[0].steps
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    rows = []
    state, start = pair[0].state_dict(), pair[0].steps
    for what in ("output", "training"):
        outputs = [x, x]
        for index, layers in enumerate(zip(*(each.layers for each in pair), strict=True)):
            for place, layer in enumerate(layers):
                layer.steps = start  # the masks that the whole model's pass draws below
                outputs[place] = layer.forward(outputs[place], training=what == "training")
            rows.append(row(what, f"{index}  {class_name(layers[0])}", *outputs))
    for each in pair:
        each.load_state_dict(state)
        each.steps = start
    for each, judge in zip(pair, losses, strict=True):
        judge.forward(each.forward(x, training=True), t)
        each.backward(judge.backward())
        each.load_state_dict(state)
        each.steps = start
    rows += [row("gradient", name, value, pair[1].grads[name]) for name, value in pair[0].grads.items()]
    values = [[each.step(x, t, judge, update) for _ in range(steps)]
              for each, judge, update in zip(pair, losses, optimizers, strict=True)]
    if steps:
        rows.append(row("loss", f"{steps} steps", *(np.array(each) for each in values)))
        after = pair[1].state_dict()
        rows += [row("value", name, value, after[name]) for name, value in pair[0].state_dict().items()]
    return Comparison(rows, steps, model.dtype)


def plain(model: Any) -> Any:
    """A copy; of a model of a user's class as a Sequential with its layers, which both packages have."""
    if type(model) is Sequential:
        return copy.deepcopy(model)
    found = rebuild(model[:], dtype=model.dtype.name, penalty=rebuild(model.penalty))
    found.load_state_dict(model.state_dict())
    found.steps = model.steps
    return found


def reference(thing: Any) -> Any:
    """The same object, made by ``fastnn_ref`` with the same arguments; TypeError for a class that it does not have."""
    for each in (thing, *(thing.layers if isinstance(thing, Sequential) else ())):
        kind = type(each)
        if home_of(kind) != "fastnn" and isinstance(each, Layer | Loss | Optimizer):
            raise TypeError(f"compare: expected classes of fastnn, got {kind.__module__}.{kind.__qualname__}")
    return rebuild(thing, importlib.import_module("fastnn_ref"))


def row(what: str, name: str, one: Array, other: Array) -> Row:
    """How far the two are apart."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(one.astype(np.float64) - other.astype(np.float64))
    difference[(one == other) | (np.isnan(one) & np.isnan(other))] = 0
    largest = float(difference.max(initial=0))
    scale = float(np.abs(other[np.isfinite(other)]).max(initial=0))
    return Row(what, name, one.shape, largest, largest / scale if scale > 0 else largest, ulps(one, other))


def ulps(one: Array, other: Array) -> int:
    """The most floating-point numbers that lie between two values, both of one dtype; all NaN are one value.

    >>> import numpy as np
    >>> from fastnn.comparison import ulps
    >>> ulps(np.array([1.0, -0.0]), np.array([1.0 + 2**-52, 0.0]))
    1
    """
    def place(values: Array) -> list[int]:
        values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
        bits = np.ascontiguousarray(values).view(f"i{values.itemsize}").reshape(-1).tolist()
        low = -(2 ** (8 * values.itemsize - 1))
        return [low - bit if bit < 0 else bit for bit in bits]          # a number line, both zeros at 0

    return max((abs(a - b) for a, b in zip(place(one), place(other), strict=True)), default=0)

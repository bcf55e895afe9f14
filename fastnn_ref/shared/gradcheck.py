"""gradcheck: are these gradients right? Backpropagation against differences, for any model, yours, too.

    numeric     (L(w + h) − L(w − h)) / 2h          for one element w of x or of a parameter at a time, h = ε^(1/3)
    error       |analytic − numeric| / max |analytic|

A right gradient agrees to about 1e-9 in float64; a wrong one does not agree at all. The loss is that of training;
random masks are drawn from a counter, which is set back before each evaluation, so that all see the same ones. Near a
corner, as relu's at 0, a difference means nothing.

Written once, for both packages: it uses a model's public methods only, and leaves the model as it was.
"""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import philox
from . import checks
from .arrays import as_input
from .config import rebuild, signature
from .custom import check_loss
from .objects import check_model, package_of

Array = npt.NDArray[Any]


class Row(NamedTuple):
    """What was found for one tensor."""

    name: str
    shape: tuple[int, ...]
    checked: int                # elements
    error: float                # the largest, relative to the largest gradient of the tensor; 0 where all are 0
    passed: bool


class GradientReport:
    """A row for x and one for each parameter; ``passed``, and the ``worst`` error. Prints as a table."""

    def __init__(self, rows: list[Row], tolerance: float) -> None:
        self.rows, self.tolerance = rows, tolerance

    @property
    def passed(self) -> bool:
        """Did every tensor agree?"""
        return all(row.passed for row in self.rows)

    @property
    def worst(self) -> float:
        """The largest error of all; NaN if there is one."""
        return float(np.max([row.error for row in self.rows]))

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        width = max(len(row.name) for row in self.rows) + 2
        lines = [f"{'tensor':<{width}}{'shape':>18}{'checked':>10}{'error':>11}"]
        lines += [f"{row.name:<{width}}{checks.format_shape(row.shape):>18}{row.checked:>10,}{row.error:>11.1e}"
                  f"  {'ok' if row.passed else 'WRONG'}" for row in self.rows]
        return "\n".join(lines)


def gradcheck(
    model: Any, x: object, t: object, loss: Any, *, tolerance: float = 1e-6, samples: int | None = 100,
) -> GradientReport:
    """Compares ``model``'s gradients of ``loss`` on ``x`` and ``t`` with central differences.

    At most ``samples`` >= 1 elements of each tensor are checked, always the same ones; None checks all. A float32 model
    is checked as its copy in float64: differences need the digits. Works for every layer, the random ones included;
    frozen layers have no gradients.
    Returns a report that is true if every error is at most ``tolerance`` (> 0).

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(3, 4, activation="tanh"), nn.Dropout(0.5), nn.Linear(4, 2), seed=0)
    >>> report = nn.gradcheck(model, np.eye(3), np.array([0, 1, 1]), nn.CrossEntropyLoss())
    >>> report.passed, [row.name for row in report.rows]
    (True, ['x', '0.weight', '0.bias', '2.weight', '2.bias'])
    """
    check_loss(loss, package_of(check_model("model", model, or_layer=True)).Loss)
    limit = checks.as_number("tolerance", tolerance, 0, low_open=True)
    most = None if samples is None else checks.as_integer("samples", samples, 1)
    model = in_float64(model)
    values = np.array(as_input("x", x, model, np.float64)[0])
    step, state = model.steps, model.state_dict()

    def value() -> float:
        model.steps = step
        return float(loss.forward(model.forward(values, training=True), t))

    rows = []
    try:
        value()
        dx = model.backward(loss.backward())
        tensors = [("x", values, dx)]
        tensors += [(name, w, gradient.copy()) for name, w, gradient, *_ in model.network.trained]
        for index, (name, w, gradient) in enumerate(tensors):
            places = chosen(w.size, most, index)
            numeric = np.array([difference(value, w, place) for place in places])
            analytic = gradient.reshape(-1)[places]
            scale = float(np.max([np.abs(gradient).max(), np.abs(numeric).max()]))         # NaN if either is
            apart = float(np.abs(analytic - numeric).max())
            # Rounding of the loss itself, which a tiny gradient cannot be told from.
            noise = float(np.finfo(np.float64).eps) ** (2 / 3) * (1 + abs(value())) * 10
            error = 0.0 if scale <= noise and apart <= noise else apart / scale
            passed = error <= limit or apart <= noise
            rows.append(Row(name, w.shape, len(places), error, passed))
    finally:
        model.load_state_dict(state)
        model.steps = step
    return GradientReport(rows, limit)


def in_float64(model: Any) -> Any:
    """A copy of the model with its values and steps, in float64."""
    if model.parent is not None:
        raise ValueError(f"model: this {type(model).__name__} stands inside another model; check that one")
    if "dtype" in {each.name for each in signature(type(model))}:
        found = rebuild(model, dtype="float64")
    elif isinstance(model, package_of(model).Sequential):      # of a user's class, whose constructor takes no dtype
        found = rebuild(model[:], dtype="float64")
    else:
        found = copy.deepcopy(model)
        if model.dtype != np.float64:
            raise ValueError(f"model: expected float64 outside a Sequential, got {model.dtype}")
    found.load_state_dict(model.state_dict())
    found.steps = model.steps
    return found


def chosen(size: int, most: int | None, stream: int) -> list[int]:
    """Which elements to check: all, or so many of them."""
    if most is None or size <= most:
        return list(range(size))
    words = philox.uint32(most, 0, 0, philox.stream(philox.CHECK, stream)).astype(np.uint64)
    return sorted({int(word) * size >> 32 for word in words.tolist()})


def difference(value: Any, w: Array, place: int) -> float:
    """The central difference of value() by element ``place`` of ``w``, which is put back."""
    flat = w.reshape(-1)
    kept = float(flat[place])
    h = np.cbrt(np.finfo(np.float64).eps) * max(1.0, abs(kept))
    above, below = kept + h, kept - h
    flat[place] = above
    high = value()
    flat[place] = below
    low = value()
    flat[place] = kept
    found = (high - low) / (above - below)
    return found if math.isfinite(found) else math.nan

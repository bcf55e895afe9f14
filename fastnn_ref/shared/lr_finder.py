"""The learning-rate range test: train a copy while the rate rises, and look where the loss falls and where it bursts.

    rate of step k      low · (high / low)^(k / (steps − 1)),   k = 0 … steps − 1
    smoothed loss       the mean over the 4 steps before, the step, and the 4 after it, as far as there are so many

Source: Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3; that the rate rises by a
factor and that the test ends when the loss has burst follows fastai's ``lr_find``. Written once, for both packages.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import philox
from . import checks
from .batches import check_targets
from .data import check_inputs, prepare_data
from .diagnosis import quiet
from .fit import check_objects
from .objects import check_model

HALF = 4            # steps on either side that the smoothed loss takes in
BURST = 4.0         # times the smoothed loss of the beginning


class RangeTest(NamedTuple):
    """What ``find_lr`` found: ``lrs`` and ``losses``, arrays (k,), a rate and the loss before its update for each step.

    >>> import numpy as np
    >>> from fastnn_ref.shared.lr_finder import RangeTest
    >>> RangeTest(np.geomspace(0.001, 10, 5), np.array([5.0, 4.0, 3.0, 9.0, 99.0])).smoothed.tolist()
    [24.0, 24.0, 24.0, 24.0, 24.0]
    """

    lrs: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]

    @property
    def smoothed(self) -> npt.NDArray[np.float64]:
        """The losses (k,) as means of up to nine neighbours, in which single batches count less."""
        return np.array([self.losses[max(k - HALF, 0):k + HALF + 1].mean() for k in range(len(self.losses))])

    @property
    def suggestion(self) -> float:
        """A tenth of the rate at which the smoothed loss is lowest: a rate to start from."""
        return float(self.lrs[self.smoothed.argmin()] / 10)


def find_lr(
    model: Any, x: object, t: object, *, loss: Any, optimizer: Any, low: float = 1e-6, high: float = 10.0,
    steps: int = 100, batch_size: int = 32,
) -> RangeTest:
    """Trains a copy of ``model`` with a rate that rises from ``low`` to ``high``; returns rates and losses.

    ``x`` (n, …) and ``t`` are as for ``fit``, and so are ``loss`` and ``optimizer``, whose own ``lr`` plays no part.
    0 < ``low`` < ``high``, ``steps`` >= 2, ``batch_size`` >= 1, at most n of which are used. Both copies start from the
    state that model and optimizer have, and these stay as they are. The test ends early when the smoothed loss is four
    times that of the beginning, or no number. Raises ValueError or TypeError for arguments that do not fit, ValueError
    if already the first loss is no finite number. ``fastnn.plot.lr_range`` draws the result.

    >>> import numpy as np, fastnn_ref as nn
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model, optimizer = nn.Sequential(nn.Linear(1, 1, init="zeros")), nn.SGD()
    >>> found = nn.find_lr(model, x, 3 * x, loss=nn.MSELoss(), optimizer=optimizer, high=100, batch_size=64)
    >>> len(found.lrs) == len(found.losses) < 100, model.steps, optimizer.steps
    (True, 0, 0)
    >>> 0.01 < found.suggestion < 1
    True
    """
    low = checks.as_number("low", low, 0, low_open=True)
    high = checks.as_number("high", high, low, low_open=True)
    steps, size = checks.as_integer("steps", steps, 2), checks.as_integer("batch_size", batch_size, 1)
    check_objects(check_model("model", model), loss, optimizer)
    if optimizer.maximize:
        raise ValueError("optimizer: expected maximize=False, as the lowest loss is looked for, got True")
    data = prepare_data(model, x, t)
    check_inputs(model, data)
    check_targets(model, data, loss)
    n, size = len(data.x), min(size, len(data.x))
    least = model.min_batch_size(data.x.shape[1:])
    if size < least:
        raise ValueError(f"batch_size: expected at least {least} rows, to normalise over, got {size}")
    model, optimizer = copy.deepcopy((model, optimizer))
    lrs, losses, order = np.geomspace(low, high, steps), [], np.arange(0)
    found = RangeTest(lrs[:0], lrs[:0])
    for epoch, lr in enumerate(lrs):
        if len(order) < size:                       # what is left of an epoch is no whole batch
            order = philox.permutation(n, model.network.seeds.order, epoch)
        rows, order = order[:size], order[size:]
        optimizer.lr = float(lr)
        with np.errstate(all="ignore"), quiet():    # that the loss bursts is what the test looks for
            losses.append(model.step(data.x[rows], data.t[rows], loss, optimizer))
        if not np.isfinite(losses[-1]):
            losses.pop()
            break
        found = RangeTest(lrs[:len(losses)], np.array(losses))
        smoothed = found.smoothed
        if smoothed[-1] > BURST * smoothed[0]:
            break
    if not losses:
        raise ValueError("loss: expected a finite number at the first step, got NaN or ∞")
    return found

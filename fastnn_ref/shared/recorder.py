"""UpdateRecorder: how large each weight's gradient is during a training, and how far each step moves the weight."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import checks
from .callbacks import Callback, Logs


def norm(array: Any) -> float:
    """√Σa², summed in float64."""
    return float(np.linalg.norm(np.asarray(array, np.float64)))


class UpdateRecorder(Callback):
    """Records, for every ``every``-th step (>= 1) and each weight, ‖gradient‖ and the update ratio ‖Δw‖ / ‖w‖.

    Norms are Euclidean, over all entries of a weight; biases and the parameters of norms are left out. The gradient is
    the one of the update, after penalties and clipping. Δw is what the step changed, w the weight before it; where that
    is all 0, the ratio is NaN. Ratios near 0.001 are usual, far larger ones say that the learning rate is too high,
    far smaller ones that a layer hardly learns (Karpathy, "CS231n: Training neural networks", 2015).

    Afterwards ``steps`` has the optimizer's number of each recorded step, the first is 1, ``gradient_norms`` and
    ``update_ratios`` map each weight's dotted name to as many values. A recorded step copies all weights;
    ``fastnn.plot.gradient_norms`` and ``update_ratios`` draw them.

    >>> import numpy as np, fastnn_ref as nn
    >>> recorder = nn.UpdateRecorder()
    >>> model = nn.Sequential(nn.Linear(1, 1, init="ones"))
    >>> _ = model.fit([[1.0]], [[3.0]], loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.125), epochs=2, callbacks=[recorder])
    >>> recorder.steps, recorder.gradient_norms, recorder.update_ratios["0.weight"][0]      # 2·(1 − 3) = −4
    ([1, 2], {'0.weight': [4.0, 2.0]}, 0.5)
    """

    state_names = ("steps", "gradient_norms", "update_ratios")
    needs_optimizer = True

    def __init__(self, every: int = 1) -> None:
        self.every = checks.as_integer("every", every, 1)
        self.on_train_begin()

    def on_train_begin(self, logs: Logs = None) -> None:
        self.steps: list[int] = []
        self.gradient_norms: dict[str, list[float]] = {}
        self.update_ratios: dict[str, list[float]] = {}
        self._before: dict[str, Any] = {}           # weights before the step, if it is recorded

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        recorded = self.optimizer.steps % self.every == 0
        self._before = {name: w.copy() for name, w, _, decays in self.model.parameters() if decays} if recorded else {}

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if not self._before:
            return
        self.steps.append(self.optimizer.steps)
        for name, w, gradient, _ in self.model.parameters():
            if name in self._before:
                before = self._before[name]
                size = norm(before)
                self.gradient_norms.setdefault(name, []).append(norm(gradient))
                self.update_ratios.setdefault(name, []).append(norm(w - before) / size if size else math.nan)
        self._before = {}

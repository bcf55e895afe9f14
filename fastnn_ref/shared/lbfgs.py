"""L-BFGS: steps over all rows at once, that know from the last ones how the gradient turns. SciPy takes them.

    s = w′ − w,  y = g′ − g of the last steps give  H ≈ (∂²J/∂w²)⁻¹;   w ← w − α·H·g,  α by a line search

For data of some thousand rows it ends at a minimum, where an optimizer of mini-batches goes round it. It needs the same
J at the same weights every time, and a gradient everywhere: no random masks, and L2 as the only penalty.

Sources: Liu and Nocedal (1989); Byrd, Lu, Nocedal and Zhu (1995), whose L-BFGS-B ``scipy.optimize.minimize`` has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from . import checks, diagnosis
from .access import walk
from .batches import part_weights, summed
from .callbacks import Callback, StopTraining
from .custom import check_loss
from .data import Data, check_last_batch
from .fit import PREDICTED, Epochs, as_display, held, of_arrays
from .history import History
from .metrics import MetricLike, resolve_metrics
from .objects import check_is_root, is_a, package_of
from .optional import optional
from .prediction import slices
from .shards import Shards

Array = npt.NDArray[Any]

DRAWS = ("Dropout", "DropConnect", "GaussianNoise", "Augment", "StochasticDepth")
EPS = float(np.finfo(np.float64).eps)
STILL = 10                          # units of the last place, by less than which a loss falls that stands still
FAILED = 2                          # SciPy's status after a line search that found nothing better


class Objective:
    """J = (loss + penalty) / scale over all rows, and its gradient, as functions of one vector of all parameters.

    It is float64 whatever the model is, and goes through the rows ``batch_size`` at a time.
    """

    def __init__(self, model: Any, data: Data, loss: Any, batch_size: int, scale: float = 1.0) -> None:
        self.model, self.data, self.loss, self.scale = model, data, loss, scale
        self.rows = list(slices(len(data.x), batch_size))
        self.counts = part_weights(model, self.batches(), loss)
        self.last = np.empty(0)                 # the vector that was looked at last, its J, and what penalties add
        self.value = self.penalty = 0.0

    def batches(self) -> Iterator[Data]:
        """The rows, ``batch_size`` at a time."""
        x, t, weights, names = self.data[:4]
        for rows in self.rows:
            yield Data(x[rows], t[rows], None if weights is None else weights[rows], names)

    @property
    def vector(self) -> Array:
        """All parameters, one behind the other."""
        return np.concatenate([value.ravel() for value in self.model.params.values()]).astype(np.float64)

    def put(self, vector: Array) -> None:
        """Copies a vector into the model."""
        start = 0
        for value in self.model.params.values():
            value[...] = vector[start:start + value.size].reshape(value.shape)
            start += value.size

    def __call__(self, vector: Array) -> tuple[float, Array]:
        """J and ∂J/∂vector."""
        self.put(vector)
        value, sums = summed(self.model, self.batches(), self.counts, self.loss)
        gradients = {id(self.model.params[name]): found.astype(np.float64) for name, found in sums.items()}
        self.penalty = 0.0
        for penalty, w, _ in self.model.network.constraints:
            strength, w64 = diagnosis.l2_strength(penalty), w.astype(np.float64)
            gradients[id(w)] += strength * w64
            self.penalty += 0.5 * strength * float((w64**2).sum())
        gradient = np.concatenate([found.ravel() for found in gradients.values()])
        self.last, self.value = vector.copy(), (value + self.penalty) / self.scale
        return self.value, gradient / self.scale


def minimise(
    objective: Objective, max_iter: int, tol: float, history_size: int = 10, max_evaluations: int = 15000,
    least: float = 1e7 * EPS, on_iteration: Callable[[float], None] | None = None,
) -> Any:
    """SciPy's result; the model has the weights of the last iteration, also if ``on_iteration(J)`` raises.

    It ends where no element of the gradient is above ``tol``, or J falls by less than the share ``least``.
    """
    scipy = optional("scipy.optimize", extra="scipy")
    accepted = objective.vector

    def after(vector: Array) -> None:
        nonlocal accepted
        accepted = vector.copy()
        if not np.array_equal(objective.last, accepted):
            objective(accepted)
        if on_iteration is not None:
            on_iteration(objective.value)

    try:
        found = scipy.minimize(objective, accepted, method="L-BFGS-B", jac=True, callback=after, options={
            "maxiter": max_iter, "gtol": tol, "maxcor": history_size, "maxfun": max_evaluations, "ftol": least})
        accepted = found.x
    finally:
        objective.put(accepted)
    return found


# ---- what is told before the first iteration ----


def check_penalties(model: Any) -> None:
    """L2 has a gradient everywhere; L1 has none at 0, and a largest norm none at all."""
    for penalty, _, _ in model.network.constraints:
        if is_a(penalty, "MaxNorm") or getattr(penalty, "l1", 0.0) > 0:
            raise ValueError(f"penalty: expected L2 for L-BFGS, which needs a gradient everywhere, got {penalty!r}; an "
                             "optimizer of fit does that")


def check_repeats(model: Any, x: Array) -> None:
    """Two training passes with the same weights give the same: no layer draws random numbers. Nothing changes."""
    state, counters = model.state_dict(), model.network.counters()
    try:
        first, second = (model.forward(x, training=True) for _ in range(2))
    finally:
        model.load_state_dict(state)
        model.network.set_counters(counters)
    if not np.array_equal(first, second, equal_nan=True):
        names = {name for name in DRAWS for _, layer in walk(model) if is_a(layer, name)}
        raise ValueError("model: expected no layer that draws random numbers, as L-BFGS compares losses of one "
                         f"function, got {', '.join(sorted(names)) or 'two outputs for the same weights'}")


@held
def fit_lbfgs(
    model: Any, x: object, t: object, *, loss: Any, max_iter: int = 200, tol: float = 1e-5, history_size: int = 10,
    batch_size: int | None = None, validation_data: tuple[object, ...] | None = None, validation_split: float = 0.0,
    validation_rows: str = "end", metrics: Iterable[MetricLike] = (), callbacks: Iterable[Callback] = (),
    sample_weight: object = None, verbose: int | str = 0,
) -> History:
    """Trains ``model`` by ``max_iter`` (>= 1) or fewer iterations of L-BFGS over all rows of ``x`` and ``t``, by SciPy.

    It ends where no element of the gradient is above ``tol`` (>= 0), or the loss stands still. There is no learning
    rate. The curvature is that of the last ``history_size`` (>= 1) steps. Choose it for small data and models of
    ``dtype="float64"``; float32 hides the small differences near a minimum, so that it ends earlier, with a
    ``TrainingWarning`` if the line search finds nothing better.

    An iteration is an epoch of the ``History`` that is returned, and of callbacks: ``EarlyStopping`` and
    ``StopTraining`` work, batch hooks are not called. ``history.message`` says why it ended. The other arguments are as
    for ``fit``; ``batch_size`` only says how many rows go through the model at a time (None: all), in the memory of so
    many, with the same sum of gradients. Frozen layers stay; ``lr_scale`` plays no part. ``BatchNorm`` normalises over
    those rows, and its running statistics follow every evaluation, also those of the line search.

    Raises ValueError for what has no gradient, or another loss each time: L1 and ``MaxNorm``, dropout and its like;
    for a callback that needs an optimizer; ModuleNotFoundError without SciPy: ``pip install "fastnn[scipy]"``.

    >>> import numpy as np, fastnn_ref as nn
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> layers = nn.Linear(1, 8, activation="tanh"), nn.Linear(8, 1)
    >>> model = nn.Sequential(*layers, dtype="float64", penalty=nn.L2(1e-5))
    >>> history = model.fit_lbfgs(x, np.sin(3 * x), loss=nn.MSELoss(), max_iter=50)
    >>> history.history["data_loss"][-1] < 2e-3
    True
    """
    optional("scipy.optimize", extra="scipy")
    max_iter, history_size = (checks.as_integer(name, value, 1) for name, value in
                              (("max_iter", max_iter), ("history_size", history_size)))
    tol = checks.as_number("tol", tol, 0)
    measures, display = resolve_metrics(metrics), as_display(verbose)
    check_loss(loss, package_of(model).Loss)
    check_is_root(model)
    evaluation = of_arrays(model, x, t, loss, measures, sample_weight, validation_data, validation_split,
                           validation_rows)
    data = evaluation.data
    size = len(data.x) if batch_size is None else checks.as_integer("batch_size", batch_size, 1)
    check_last_batch(model, data.x, len(data.x), size)
    check_penalties(model)
    run = Epochs(evaluation, None, callbacks, display, Shards(), model.network.call, epochs=max_iter, steps=1,
                 batch_size=size)
    check_repeats(model, data.x[:min(size, PREDICTED)])
    objective, history = Objective(model, data, evaluation.loss, size), run.history
    start = time.perf_counter()

    def end_epoch(value: float) -> None:
        nonlocal start
        history.seconds.append(time.perf_counter() - start)
        run.call("on_epoch_begin", len(history.epoch), {})
        if run.end(value, objective.penalty):
            raise StopTraining
        start = time.perf_counter()

    with run.running() as stops:
        try:
            if stops:
                raise StopTraining
            least = STILL * float(np.finfo(model.dtype).eps)
            found = minimise(objective, max_iter, tol, history_size, least=least, on_iteration=end_epoch)
        except StopTraining:
            history.message = "stopped by Ctrl-C" if run.ctrl_c.pressed else "stopped by a callback"
            raise
        history.message = str(found.message)
        if found.status == FAILED:
            advice = "" if model.dtype == np.float64 else "; a model of dtype='float64' would go on"
            diagnosis.warn(f"L-BFGS ends at iteration {found.nit}: its line search finds no smaller loss{advice}")
    return history

"""Learning-rate schedules: how large a step, as training goes on.

A schedule is a pure function from the number of steps done (0, 1, 2, …) to the learning rate. Give it to an optimizer
in place of the number: ``Adam(lr=CosineLR(1e-3, total_steps=1000))``; any function of one number will do. A step is
one batch. Without ``total_steps`` the schedules that end take a whole ``fit``. ``PerEpoch(schedule)`` counts epochs
instead, as PyTorch's schedulers usually do. Written once, for both packages.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from . import checks
from .arrays import as_number_array
from .config import Configured, build, rebuild
from .optimizer import as_learning_rate


class Schedule(Configured):
    """What all schedules share: ``schedule(step)`` is a float, ``schedule(steps)`` an array for an array.

    A subclass gives ``rate(s)`` for an array of steps.

    >>> import fastnn_ref as nn
    >>> nn.ExponentialLR(0.1, gamma=0.5)([0, 1, 2]).tolist()
    [0.1, 0.05, 0.025]
    """

    def __call__(self, step: Any) -> Any:
        steps = as_number_array("step", step).astype(np.float64)
        who = f"{type(self).__name__}.rate"
        rates = as_number_array(who, self.rate(steps))
        if rates.shape not in ((), steps.shape):
            raise ValueError(f"{who}: expected a rate for each step, {checks.format_shape(steps.shape)}, got "
                             f"{checks.format_shape(rates.shape)}")
        return float(rates) if steps.ndim == 0 else rates if rates.ndim else np.full(steps.shape, rates)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The learning rate at each step of ``s``."""
        raise NotImplementedError


class Ending(Schedule):
    """A schedule that ends after ``total_steps``; None stands for those of a ``fit``, which fills them in."""

    total_steps: int | None

    @property
    def total(self) -> int:
        """``total_steps``, which must be known by now."""
        if self.total_steps is None:
            raise ValueError(f"total_steps: expected the number of steps, which only fit knows by itself, got None in "
                             f"{self!r}")
        return self.total_steps


# Short epochs would ask for a few rates each: those of the library's own schedules are worked out STEPS at a time, and
# kept: (the first step, the rates from there on).
STEPS = 1024
AHEAD: WeakKeyDictionary[Schedule, tuple[int, npt.NDArray[np.float64]]] = WeakKeyDictionary()


def as_total_steps(value: object, least: int = 1) -> int | None:
    """A number of steps, or None."""
    return None if value is None else checks.as_integer("total_steps", value, least)


def rates(lr: Any, first: int, count: int) -> npt.NDArray[np.float64]:
    """The learning rates of ``count`` steps from step ``first`` on; ``lr`` is a number or a function of the step.

    A function of the user's own is asked for one step at a time. Raises ValueError or TypeError for a rate that is no
    finite number >= 0.

    >>> from fastnn_ref.shared.schedule import rates
    >>> rates(lambda step: 0.1 if step < 2 else 0.01, 1, 3).tolist()
    [0.1, 0.01, 0.01]
    """
    if not callable(lr):
        return np.full(count, lr, np.float64)
    if not has_record(lr):
        return asked(lr, first, count)
    start, known = AHEAD.get(lr, (first, np.empty(0)))
    if not start <= first <= first + count <= start + len(known):
        try:
            with np.errstate(over="ignore"):
                start, known = AHEAD[lr] = first, asked(lr, first, max(count, STEPS))
        except ValueError:                          # a step that training may never take has no finite rate
            return asked(lr, first, count)
    return known[first - start:first - start + count]


def asked(lr: Any, first: int, count: int) -> npt.NDArray[np.float64]:
    """The rates of ``count`` steps, from the function itself."""
    steps = np.arange(first, first + count)
    found = lr(steps) if isinstance(lr, Schedule) else None
    if not isinstance(found, np.ndarray) or found.shape != steps.shape or found.dtype.kind not in "iuf":
        found = np.array([checks.as_number("lr", lr(step), 0) for step in steps.tolist()], np.float64)
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        checks.as_number("lr", found[bad][0].item(), 0)
    return np.array(found, np.float64)


def latest_rate(optimizer: Any) -> float:
    """The rate of an optimizer's last step, or its ``lr`` where that is a number.

    A schedule is not asked for a step that training may never take.
    """
    lr = optimizer.lr
    return checks.as_number("lr", lr(max(optimizer.steps - 1, 0)), 0) if callable(lr) else float(lr)


def lr_record(lr: Any) -> Any:
    """What an optimizer's state holds of ``lr``: a number, a record of a schedule of this module, or None for a user's
    own schedule or function, which comes with the optimizer."""
    return lr if not callable(lr) else lr.config() if has_record(lr) else None


def has_record(lr: Any) -> bool:
    """Can ``lr_from_record`` build this schedule again?"""
    known = isinstance(lr, Schedule) and type(lr).__module__ == __name__
    return known and (not isinstance(lr, PerEpoch) or has_record(lr.schedule))


def lr_from_record(record: Any, current: Any) -> Any:
    """The learning rate that ``record`` holds; ``current`` where it holds none.

    >>> from fastnn_ref.shared.schedule import lr_from_record, lr_record, StepLR
    >>> lr_from_record(lr_record(StepLR(0.1, 2)), None)
    StepLR(0.1, 2)
    """
    if record is None:
        return current
    return build(sys.modules[__name__], record) if isinstance(record, Mapping) else as_learning_rate(record)


def by_math(
    function: Callable[[float], float], values: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """A function of Python's at each value. NumPy's own round otherwise on a CPU with AVX-512, and otherwise for one
    number than for many."""
    return np.array([function(value) for value in values.ravel().tolist()], np.float64).reshape(values.shape)


def power(base: float, exponents: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """base^exponent; infinity where that is too large.

    >>> import numpy as np
    >>> from fastnn_ref.shared.schedule import power
    >>> power(10.0, np.array([2.0, 400.0])).tolist()
    [100.0, inf]
    """
    def one(exponent: float) -> float:
        try:
            return math.pow(base, exponent)
        except OverflowError:
            return math.inf
    return by_math(one, exponents)


class ConstantLR(Schedule):
    """Always ``lr`` (>= 0).

    >>> import fastnn_ref as nn
    >>> nn.ConstantLR(0.1)(1000)
    0.1
    """

    def __init__(self, lr: float) -> None:
        self.lr = checks.as_number("lr", lr, 0)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.full(s.shape, self.lr)


class StepLR(Schedule):
    """lr · gamma^⌊s / step_size⌋: down a stair every ``step_size`` (>= 1) steps; ``gamma`` > 0.

    >>> import fastnn_ref as nn
    >>> nn.StepLR(0.1, step_size=10, gamma=0.5)(25)
    0.025
    """

    def __init__(self, lr: float, step_size: int, gamma: float = 0.1) -> None:
        self.lr = checks.as_number("lr", lr, 0)
        self.step_size = checks.as_integer("step_size", step_size, 1)
        self.gamma = checks.as_number("gamma", gamma, 0, low_open=True)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.lr * power(self.gamma, s // self.step_size)


class ExponentialLR(Schedule):
    """lr · gamma^s: the same factor ``gamma`` (> 0) at every step.

    >>> import fastnn_ref as nn
    >>> nn.ExponentialLR(0.1, gamma=0.5)(2)
    0.025
    """

    def __init__(self, lr: float, gamma: float) -> None:
        self.lr = checks.as_number("lr", lr, 0)
        self.gamma = checks.as_number("gamma", gamma, 0, low_open=True)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.lr * power(self.gamma, s)


class LinearLR(Ending):
    """A straight line from lr · ``start_factor`` to lr · ``end_factor`` over ``total_steps``, constant from there on.

    rate(s) = lr · (start_factor + (end_factor − start_factor) · min(s / total_steps, 1)); both factors >= 0. The
    defaults, PyTorch's, are a warm-up; ``start_factor=1, end_factor=0`` is a linear decay. ``total_steps`` >= 1; if it
    is None, the first ``fit`` fills in the steps that it takes (for ``PerEpoch``, its epochs), and a call before that
    is a ValueError. So ``SGD(LinearLR(0.1, start_factor=1, end_factor=0))`` falls to 0 over a training.

    >>> import fastnn_ref as nn
    >>> nn.LinearLR(1.0, total_steps=4, start_factor=1, end_factor=0)([0, 1, 4, 9]).tolist()
    [1.0, 0.75, 0.0, 0.0]
    """

    def __init__(
        self, lr: float, total_steps: int | None = None, start_factor: float = 1 / 3, end_factor: float = 1.0,
    ) -> None:
        self.lr = checks.as_number("lr", lr, 0)
        self.total_steps = as_total_steps(total_steps)
        self.start_factor = checks.as_number("start_factor", start_factor, 0)
        self.end_factor = checks.as_number("end_factor", end_factor, 0)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        share = np.clip(s / self.total, 0, 1)
        return self.lr * (self.start_factor * (1 - share) + self.end_factor * share)


def cosine(start: float, end: float, share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From ``start`` (share 0) to ``end`` (share 1) along half a wave of the cosine."""
    return end + (start - end) * (1 + by_math(math.cos, np.pi * np.clip(share, 0, 1))) / 2


class CosineLR(Ending):
    """A linear warm-up over ``warmup_steps``, then half a cosine from ``lr`` down to ``min_lr`` at ``total_steps``.

    The first rate of a warm-up is lr / warmup_steps, not 0; 0 <= ``warmup_steps`` < ``total_steps``, 0 <= ``min_lr`` <=
    ``lr``. ``total_steps`` None is as for ``LinearLR``. Source: Loshchilov and Hutter, "SGDR" (2017); the warm-up is
    Goyal et al.'s (2017).

    >>> import fastnn_ref as nn
    >>> schedule = nn.CosineLR(0.1, total_steps=12, warmup_steps=2)
    >>> schedule(0), schedule(2), round(schedule(7), 4), schedule(12)
    (0.05, 0.1, 0.05, 0.0)
    """

    def __init__(self, lr: float, total_steps: int | None = None, warmup_steps: int = 0, min_lr: float = 0.0) -> None:
        self.lr = checks.as_number("lr", lr, 0)
        self.total_steps = as_total_steps(total_steps)
        most = None if self.total_steps is None else self.total_steps - 1
        self.warmup_steps = checks.as_integer("warmup_steps", warmup_steps, 0, most)
        self.min_lr = checks.as_number("min_lr", min_lr, 0, self.lr)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        warm = self.lr * (s + 1) / max(self.warmup_steps, 1)
        share = (s - self.warmup_steps) / (self.total - self.warmup_steps)
        return np.where(s < self.warmup_steps, warm, cosine(self.lr, self.min_lr, share))


class OneCycleLR(Ending):
    """Up to ``max_lr`` over the share ``pct_start`` of the steps, then down to almost nothing, along half a cosine.

    It starts from max_lr / ``div_factor`` and ends at 1/``final_div_factor`` of that (both >= 1); 0 < ``pct_start`` < 1
    and ``total_steps`` >= 2, or None as for ``LinearLR``. Source: Smith and Topin, "Super-convergence" (2018).

    >>> import numpy as np, fastnn_ref as nn
    >>> schedule = nn.OneCycleLR(1.0, total_steps=11)
    >>> round(schedule(0), 4), round(float(schedule(np.arange(11)).max()), 2)
    (0.04, 0.98)
    """

    def __init__(
        self, max_lr: float, total_steps: int | None = None, pct_start: float = 0.3, div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        self.max_lr = checks.as_number("max_lr", max_lr, 0)
        self.total_steps = as_total_steps(total_steps, 2)
        self.pct_start = checks.as_number("pct_start", pct_start, 0, 1, low_open=True, high_open=True)
        self.div_factor = checks.as_number("div_factor", div_factor, 1)
        self.final_div_factor = checks.as_number("final_div_factor", final_div_factor, 1)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        start = self.max_lr / self.div_factor
        top = self.pct_start * self.total - 1             # the step of the largest rate
        down = (s - top) / (self.total - 1 - top)
        up = s / top if top > 0 else np.ones_like(s)
        return np.where(s <= top, cosine(start, self.max_lr, up),
                        cosine(self.max_lr, start / self.final_div_factor, down))


class PerEpoch(Schedule):
    """Counts epochs: the rate of step s is ``schedule(epoch)``, the same in all steps of an epoch.

    epoch = ⌊s / steps_per_epoch⌋. ``schedule`` is a Schedule, whose steps are then epochs (``step_size`` and
    ``total_steps``, too), or a function of the epoch's number. ``fit`` knows how many steps its epochs have and fills
    ``steps_per_epoch`` (>= 1) in; a loop of your own has to give it, else the first call is a ValueError. ``start``, a
    step and the epoch that begins with it, is where counting starts; ``fit`` sets it when a later training has epochs
    of another length, so that the epochs go on from where they were.

    Why a class around a schedule, and no argument ``per="epoch"`` of each: a schedule stays a pure function of one
    number, a user's own function or schedule can be counted in epochs as well, and what belongs to an epoch, its
    number of steps, is kept in one place and goes into the optimizer's state.

    PyTorch's ``StepLR(optimizer, step_size=1, gamma=0.7)`` with ``scheduler.step()`` after each epoch:

    >>> import fastnn_ref as nn
    >>> schedule = nn.PerEpoch(nn.StepLR(1.0, step_size=1, gamma=0.7), steps_per_epoch=938)
    >>> schedule(0), schedule(937), schedule(938), round(schedule(13 * 938), 4)
    (1.0, 1.0, 0.7, 0.0097)
    """

    def __init__(
        self, schedule: Any, steps_per_epoch: int | None = None, start: tuple[int, int] = (0, 0),
    ) -> None:
        if not callable(schedule) or isinstance(schedule, PerEpoch | type):
            raise TypeError(f"schedule: expected a Schedule or a function of the epoch, got {schedule!r}")
        if not isinstance(start, tuple | list) or len(start) != 2:
            raise TypeError(f"start: expected a step and an epoch, got {start!r}")
        self.schedule = schedule
        self.steps_per_epoch = None if steps_per_epoch is None else checks.as_integer(
            "steps_per_epoch", steps_per_epoch, 1)
        self.start = (checks.as_integer("start[0]", start[0], 0), checks.as_integer("start[1]", start[1], 0))

    def epoch(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The epoch of each step."""
        if self.steps_per_epoch is None:
            raise ValueError(f"steps_per_epoch: expected the number of steps of an epoch, which only fit knows by "
                             f"itself, got None in {self!r}")
        return np.maximum(self.start[1] + (s - self.start[0]) // self.steps_per_epoch, 0)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        epochs = self.epoch(s)
        if isinstance(self.schedule, Schedule):
            return np.broadcast_to(np.asarray(self.schedule(epochs), np.float64), s.shape)
        values, place = np.unique(epochs, return_inverse=True)
        found = np.array([checks.as_number("lr", self.schedule(int(epoch)), 0) for epoch in values], np.float64)
        return found[place].reshape(s.shape)


def fill_in(lr: Any, steps_per_epoch: int, epochs: int, steps: int) -> Any:
    """``lr`` for a training of so many epochs and steps an epoch that begins after ``steps`` of them.

    >>> from fastnn_ref.shared.schedule import ExponentialLR, fill_in, LinearLR, PerEpoch
    >>> schedule = fill_in(PerEpoch(ExponentialLR(1.0, 0.5)), 10, 3, steps=0)
    >>> schedule(20), fill_in(schedule, 5, 3, steps=20)([20, 24, 25]).tolist()
    (0.25, [0.25, 0.25, 0.125])
    >>> fill_in(LinearLR(1.0, start_factor=1, end_factor=0), 10, 3, steps=0)(15)
    0.5
    """
    if not isinstance(lr, PerEpoch):
        return fill_total(lr, steps + epochs * steps_per_epoch)
    schedule = fill_total(lr.schedule, epochs)
    if lr.steps_per_epoch == steps_per_epoch and schedule is lr.schedule:
        return lr
    start = lr.start if lr.steps_per_epoch is None else (steps, int(lr.epoch(np.array(steps, np.float64))))
    return PerEpoch(schedule, steps_per_epoch, start)


def fill_total(lr: Any, total: int) -> Any:
    """``lr`` with this number of steps, if it has none."""
    if not isinstance(lr, Ending) or lr.total_steps is not None:
        return lr
    return rebuild(lr, total_steps=max(total, 2 if isinstance(lr, OneCycleLR) else 1))


def stochastic_depth_rates(depth: int, p_last: float = 0.5) -> list[float]:
    """p of each of ``depth`` blocks: p_l = l / depth · p_last, l = 1 … depth; the first ones are seldom left out.

    >>> import fastnn_ref as nn
    >>> nn.stochastic_depth_rates(4, 0.5)
    [0.125, 0.25, 0.375, 0.5]
    """
    depth, p_last = checks.as_integer("depth", depth, 1), checks.as_number("p_last", p_last, 0, 1)
    return [block / depth * p_last for block in range(1, depth + 1)]


__all__ = [  # noqa: RUF022
    "Schedule", "ConstantLR", "StepLR", "ExponentialLR", "LinearLR", "CosineLR", "OneCycleLR", "PerEpoch",
    "stochastic_depth_rates",
]

"""Learning-rate schedules: how large a step, as training goes on.

A schedule is a pure function from the number of steps done (0, 1, 2, …) to the learning rate. Give it to an optimizer
in place of the number: ``Adam(lr=CosineLR(1e-3, total_steps=1000))``; any function of one number will do. Written once,
for both packages.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import checks
from .config import Configured, build


class Schedule(Configured):
    """What all schedules share: ``schedule(step)`` is a float, ``schedule(steps)`` an array for an array.

    A subclass gives ``rate(s)`` for an array of steps.

    >>> ExponentialLR(0.1, gamma=0.5)([0, 1, 2]).tolist()
    [0.1, 0.05, 0.025]
    """

    def __call__(self, step: Any) -> Any:
        steps = checks.as_number_array("step", step).astype(np.float64)
        rates = self.rate(steps)
        return float(rates) if steps.ndim == 0 else rates

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The learning rate at each step of ``s``."""
        raise NotImplementedError


def rates(lr: Any, first: int, count: int) -> npt.NDArray[np.float64]:
    """The learning rates of ``count`` steps from step ``first`` on; ``lr`` is a number or a function of the step.

    A function of the user's own is asked for one step at a time. Raises ValueError or TypeError for a rate that is no
    finite number >= 0.

    >>> rates(lambda step: 0.1 if step < 2 else 0.01, 1, 3).tolist()
    [0.1, 0.01, 0.01]
    """
    if not callable(lr):
        return np.full(count, lr, np.float64)
    steps = np.arange(first, first + count)
    found = lr(steps) if isinstance(lr, Schedule) else None
    if not isinstance(found, np.ndarray) or found.shape != steps.shape or found.dtype.kind not in "iuf":
        found = np.array([checks.as_number("lr", lr(step), 0) for step in steps.tolist()], np.float64)
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        checks.as_number("lr", found[bad][0].item(), 0)
    return np.array(found, np.float64)


def lr_record(lr: Any) -> Any:
    """What an optimizer's state holds of ``lr``: a number, a schedule's record, or None for a user's own function."""
    return lr.config() if isinstance(lr, Schedule) else None if callable(lr) else lr


def lr_from_record(record: Any, current: Any) -> Any:
    """The learning rate that ``record`` holds; ``current`` where it holds none.

    >>> lr_from_record(lr_record(StepLR(0.1, 2)), None)
    StepLR(0.1, 2)
    """
    if record is None:
        return current
    return build(sys.modules[__name__], record) if isinstance(record, Mapping) else checks.as_learning_rate(record)


class ConstantLR(Schedule):
    """Always ``lr`` (>= 0).

    >>> ConstantLR(0.1)(1000)
    0.1
    """

    def __init__(self, lr: float) -> None:
        self.lr = checks.as_number("lr", lr, 0)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.full(s.shape, self.lr)


class StepLR(Schedule):
    """lr · gamma^⌊s / step_size⌋: down a stair every ``step_size`` (>= 1) steps; ``gamma`` > 0.

    >>> StepLR(0.1, step_size=10, gamma=0.5)(25)
    0.025
    """

    def __init__(self, lr: float, step_size: int, gamma: float = 0.1) -> None:
        self.lr = checks.as_number("lr", lr, 0)
        self.step_size = checks.as_integer("step_size", step_size, 1)
        self.gamma = checks.as_number("gamma", gamma, 0, low_open=True)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.lr * self.gamma ** (s // self.step_size)


class ExponentialLR(Schedule):
    """lr · gamma^s: the same factor ``gamma`` (> 0) at every step.

    >>> ExponentialLR(0.1, gamma=0.5)(2)
    0.025
    """

    def __init__(self, lr: float, gamma: float) -> None:
        self.lr = checks.as_number("lr", lr, 0)
        self.gamma = checks.as_number("gamma", gamma, 0, low_open=True)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.lr * self.gamma**s


def cosine(start: float, end: float, share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From ``start`` (share 0) to ``end`` (share 1) along half a wave of the cosine."""
    return end + (start - end) * (1 + np.cos(np.pi * np.clip(share, 0, 1))) / 2


class CosineLR(Schedule):
    """A linear warm-up over ``warmup_steps``, then half a cosine from ``lr`` down to ``min_lr`` at ``total_steps``.

    The first rate of a warm-up is lr / warmup_steps, not 0; 0 <= ``warmup_steps`` < ``total_steps``, 0 <= ``min_lr`` <=
    ``lr``. Source: Loshchilov and Hutter, "SGDR" (2017); the warm-up is Goyal et al.'s (2017).

    >>> schedule = CosineLR(0.1, total_steps=12, warmup_steps=2)
    >>> schedule(0), schedule(2), round(schedule(7), 4), schedule(12)
    (0.05, 0.1, 0.05, 0.0)
    """

    def __init__(self, lr: float, total_steps: int, warmup_steps: int = 0, min_lr: float = 0.0) -> None:
        self.lr = checks.as_number("lr", lr, 0)
        self.total_steps = checks.as_integer("total_steps", total_steps, 1)
        self.warmup_steps = checks.as_integer("warmup_steps", warmup_steps, 0, self.total_steps - 1)
        self.min_lr = checks.as_number("min_lr", min_lr, 0, self.lr)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        warm = self.lr * (s + 1) / max(self.warmup_steps, 1)
        share = (s - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return np.where(s < self.warmup_steps, warm, cosine(self.lr, self.min_lr, share))


class OneCycleLR(Schedule):
    """Up to ``max_lr`` over the share ``pct_start`` of the steps, then down to almost nothing, along half a cosine.

    It starts from max_lr / ``div_factor`` and ends at 1/``final_div_factor`` of that (both >= 1); 0 < ``pct_start`` < 1
    and ``total_steps`` >= 2. Source: Smith and Topin, "Super-convergence" (2018).

    >>> schedule = OneCycleLR(1.0, total_steps=11)
    >>> round(schedule(0), 4), round(float(schedule(np.arange(11)).max()), 2)
    (0.04, 0.98)
    """

    def __init__(
        self, max_lr: float, total_steps: int, pct_start: float = 0.3, div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        self.max_lr = checks.as_number("max_lr", max_lr, 0)
        self.total_steps = checks.as_integer("total_steps", total_steps, 2)
        self.pct_start = checks.as_number("pct_start", pct_start, 0, 1, low_open=True, high_open=True)
        self.div_factor = checks.as_number("div_factor", div_factor, 1)
        self.final_div_factor = checks.as_number("final_div_factor", final_div_factor, 1)

    def rate(self, s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        start = self.max_lr / self.div_factor
        top = self.pct_start * self.total_steps - 1             # the step of the largest rate
        down = (s - top) / (self.total_steps - 1 - top)
        up = s / top if top > 0 else np.ones_like(s)
        return np.where(s <= top, cosine(start, self.max_lr, up),
                        cosine(self.max_lr, start / self.final_div_factor, down))


__all__ = ["Schedule", "ConstantLR", "StepLR", "ExponentialLR", "CosineLR", "OneCycleLR"]  # noqa: RUF022

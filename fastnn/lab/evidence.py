"""From numbers to verdicts: intervals of paired differences, and the correction for many claims.

A check compares the mean of n seeds with a threshold. Its p-value is that of Student's test of "the mean is just the
threshold", both sides; the interval that is shown is the same test's, with 95 %.

- Many thresholds: p-values of all that are tested together (one experiment, or ``run all``) are corrected after Holm,
  so that the chance of a single wrong verdict among them stays below 5 %.
- More seeds: whoever looks three times gets three chances to be wrong; so each of at most ``LOOKS`` looks has a third
  of the 5 %.

PASS: the mean lies on the right side, and the corrected p-value is below the look's share. FAIL: the same on the wrong
side. INCONCLUSIVE otherwise. Sources: Student (1908); Holm (1979).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..extras import extra
from .experiment import Check

with extra("lab"):
    from scipy import stats

PASS, FAIL, INCONCLUSIVE, SHOWN = "PASS", "FAIL", "INCONCLUSIVE", "SHOWN"
ERROR, LOOKS, LEVEL = 0.05, 3, 0.95
Array = npt.NDArray[np.float64]


class Finding(NamedTuple):
    """What came of a check. ``low`` and ``high`` are the ends of the 95 % interval; ``p`` is corrected."""

    check: Check
    values: Array               # one for each seed
    mean: float
    low: float
    high: float
    p: float | None
    verdict: str
    misleading: int             # seeds on the other side of a threshold than the mean of all


def interval(values: Array) -> tuple[float, float]:
    """The 95 % interval of the mean, by Student's t; infinite for one value.

    >>> import numpy as np
    >>> from fastnn.lab.evidence import interval
    >>> [round(end, 2) for end in interval(np.array([1.0, 2.0, 3.0]))]
    [-0.48, 4.48]
    """
    if len(values) < 2:
        return -np.inf, np.inf
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def difference_interval(one: Array, other: Array, paired: bool) -> tuple[float, float]:
    """The 95 % interval of mean(other) − mean(one): of the pairs' differences, or Welch's of two samples.

    >>> import numpy as np
    >>> from fastnn.lab.evidence import difference_interval
    >>> difference_interval(np.array([1.0, 2.0]), np.array([2.0, 3.0]), paired=True)
    (1.0, 1.0)
    """
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("nan"), float("nan")
    if paired and len(one) == len(other):
        return interval(other - one)
    if min(len(one), len(other)) < 2:
        return -np.inf, np.inf
    if np.ptp(one) == np.ptp(other) == 0:
        return float(other[0] - one[0]), float(other[0] - one[0])
    found = stats.ttest_ind(other, one, equal_var=False).confidence_interval(LEVEL)
    return float(found.low), float(found.high)


def p_value(values: Array, threshold: float) -> float:
    """Of "the mean is the threshold", both sides; 1 for one value. Equal values leave no doubt."""
    if len(values) < 2:
        return 1.0
    if np.ptp(values) == 0:
        return float(values[0] == threshold)
    return float(stats.ttest_1samp(values, threshold).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """The p-values, corrected after Holm: the smallest of m times m, the next times m − 1, …, never falling.

    >>> from fastnn.lab.evidence import holm
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    grown = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.maximum.accumulate(grown), 1)
    return found.tolist()


def tested(check: Check) -> list[tuple[float, int]]:
    """(threshold, the sign of mean − threshold that is right) of each threshold that statistics decide."""
    if check.every:
        return []
    return [(limit, sign) for limit, sign in ((check.above, 1), (check.below, -1)) if limit is not None]


def is_within(check: Check, values: Array) -> npt.NDArray[np.bool_]:
    """Does each value lie within the thresholds, ends included? NaN and infinity do not."""
    low = -np.inf if check.above is None else check.above
    return np.isfinite(values) & (values >= low) & (values <= (np.inf if check.below is None else check.below))


def judge(each: Sequence[tuple[Check, Array]]) -> list[Finding]:
    """A finding for each (check, values of all seeds); all of them are corrected together."""
    p = [p_value(values, limit) for check, values in each if np.isfinite(values).all() for limit, _ in tested(check)]
    corrected = iter(holm(p))
    found = []
    for check, values in each:
        finite = bool(np.isfinite(values).all())
        mean = float(values.mean()) if finite else float("nan")
        sides = [(next(corrected), sign * (mean - limit) > 0) for limit, sign in tested(check)] if finite else []
        inside = is_within(check, values)
        misleading = int((inside != is_within(check, np.array(mean))).sum())
        if check.above is None and check.below is None:
            verdict = SHOWN
        elif check.every or not finite:
            verdict = PASS if inside.all() else FAIL
        elif any(p < ERROR / LOOKS and not right for p, right in sides):
            verdict = FAIL
        else:
            verdict = PASS if all(p < ERROR / LOOKS for p, _ in sides) else INCONCLUSIVE
        low, high = interval(values) if finite else (float("nan"), float("nan"))
        worst: Any = max((p for p, _ in sides), default=None)
        found.append(Finding(check, values, mean, low, high, worst, verdict, misleading))
    return found


def overall(verdicts: Sequence[str]) -> str:
    """The verdict of several: the worst.

    >>> from fastnn.lab.evidence import overall
    >>> overall(["PASS", "SHOWN", "INCONCLUSIVE"])
    'INCONCLUSIVE'
    """
    return next((each for each in (FAIL, INCONCLUSIVE) if each in verdicts), PASS)

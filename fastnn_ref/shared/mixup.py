"""Mixup: learn from what lies between two examples, with targets that lie between theirs.

    x̃ = λ·x + (1 − λ)·x',  t̃ = λ·t + (1 − λ)·t'        λ ~ Beta(α, α), one for each batch; x' the next one of the batch

Batches are shuffled, so the next example is any other one. Class numbers become rows of probabilities. A small α, 0.1
to 0.4, leaves most batches nearly as they are; α = 1 draws λ uniformly.

Source: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization" (2018). The draws of λ
are written once, for both packages; the mixing is a kernel of the engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import philox
from . import checks
from .access import walk
from .objects import is_a

Array = npt.NDArray[Any]

BLOCK = 256         # random words drawn at a time


def as_mixup(value: Any, sample_weight: Any, loss: Any, model: Any) -> float:
    """α of mixup: a finite number >= 0, and 0 beside weights of the examples, or targets that are left out, as none
    lies between such a one and a class, or in a model with an Embedding, as no row lies between two numbers."""
    alpha = checks.as_number("mixup", value, 0)
    if alpha and sample_weight is not None:
        raise ValueError(f"mixup: expected 0 beside sample_weight, got {alpha}")
    if alpha and getattr(loss, "ignore_index", None) is not None:
        raise ValueError(f"mixup: expected 0 beside ignore_index, got {alpha}")
    if alpha and any(is_a(layer, "Embedding") for _, layer in walk(model)):
        raise ValueError(f"mixup: expected 0 in a model with Embedding, which reads whole numbers, got {alpha}")
    return alpha


def draw_lambdas(alpha: float, steps: int, seed: int, epoch: int) -> npt.NDArray[np.float64]:
    """λ of each step of an epoch: ``steps`` draws of Beta(alpha, alpha), alpha > 0.

    >>> from fastnn_ref.shared.mixup import draw_lambdas
    >>> draws = draw_lambdas(0.2, 2000, seed=0, epoch=0)
    >>> bool(abs(draws.mean() - 0.5) < 0.05), bool(abs(draws.var() - 0.25 / (2 * 0.2 + 1)) < 0.02)
    (True, True)
    """
    words = stream(seed, epoch)
    return np.array([beta(alpha, words) for _ in range(steps)])


def stream(seed: int, epoch: int) -> Iterator[float]:
    """Uniform numbers in (0, 1), as many as are asked for."""
    block = 0
    while True:
        yield from philox.to_uniform(
            philox.uint32(BLOCK, seed, epoch, philox.stream(philox.MIXUP, 0), block)).tolist()
        block += BLOCK // 4


def beta(alpha: float, uniform: Iterator[float]) -> float:
    """A draw of Beta(alpha, alpha): X / (X + Y) of two draws of Gamma(alpha), by logarithms, which do not underflow."""
    x, y = log_gamma(alpha, uniform), log_gamma(alpha, uniform)
    return 1 / (1 + math.exp(min(y - x, 700.0)))


def log_gamma(alpha: float, uniform: Iterator[float]) -> float:
    """The logarithm of a draw of Gamma(alpha). Source: Marsaglia and Tsang, "A simple method for generating gamma
    variables" (2000); below 1, a draw of Gamma(alpha + 1) times U^(1/alpha)."""
    if alpha < 1:
        return log_gamma(alpha + 1, uniform) + math.log(next(uniform)) / alpha
    d = alpha - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        u, v = next(uniform), next(uniform)
        z = math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
        cube = (1 + c * z) ** 3
        if cube > 0 and math.log(next(uniform)) < 0.5 * z * z + d - d * cube + d * math.log(cube):
            return math.log(d * cube)


def mix(values: Array, weight: float) -> Array:
    """λ of each row and 1 − λ of the next one; the last one's next is the first."""
    kind = values.dtype.type
    return kind(weight) * values + kind(1 - weight) * np.roll(values, -1, axis=0)


def one_hot(t: Array, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Class numbers as rows of probabilities in the ``shape`` (k, ...) of an example's output; anything else, such as
    what a user's loss makes of its targets, as it is, in the model's dtype, in which it is mixed."""
    if t.dtype.kind not in "iu" or t.ndim != len(shape):
        return t.astype(dtype, copy=False)
    return np.equal(t[:, None], np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))).astype(dtype)

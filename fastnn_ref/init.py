"""Where weights start: random, of the size that keeps a signal's variance from layer to layer.

With independent weights of variance s², a layer of fan_in inputs turns variance v into fan_in·s²·v. So s² = 1/fan_in
keeps it (LeCun); relu loses half of it, hence 2/fan_in (He); 2/(fan_in + fan_out) is a compromise between the way
forward and the way back (Glorot). A uniform law on ±limit has the variance limit²/3.

Sources: LeCun et al. (1998); Glorot and Bengio (2010); He et al. (2015); Saxe et al. (2014) for orthogonal weights.
Written once, for both packages: a seed means the same weights in both, for every NumPy version, to the last bit for the
uniform ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import philox
from .shared import checks

Array = npt.NDArray[Any]
Shape = Sequence[int]


HE_FAMILY = ("relu", "leaky_relu", "elu", "silu", "mish", "hardswish", "gelu", "gelu_tanh")


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight: (in, out), or (out, in, height, width) for a convolution.

    >>> fans((64, 10)), fans((8, 3, 5, 5))
    ((64, 10), (75, 200))
    """
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    if len(shape) == 2:
        return shape[0], shape[1]
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def variance(name: str, shape: Shape) -> float:
    """The variance that ``he_…``, ``glorot_…`` or ``lecun_…`` asks for; 1 of ``normal``."""
    fan_in, fan_out = fans(shape)
    known = {"he": 2 / fan_in, "glorot": 2 / (fan_in + fan_out), "lecun": 1 / fan_in, "normal": 1.0}
    return known[name.partition("_")[0]]


def orthogonal(shape: Shape, seed: int, stream: int) -> Array:
    """Rows or columns at right angles and of length 1: the Q of a normal matrix's QR, signs made unique."""
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(philox.normal((max(rows, columns), min(rows, columns)), seed, 0, stream))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (q if rows >= columns else q.T).reshape(shape)


NAMES = (
    "zeros", "ones", "he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "lecun_uniform", "lecun_normal",
    "normal", "orthogonal",
)


def create(name: str | float, shape: Shape, seed: int, stream: int, dtype: npt.DTypeLike) -> Array:
    """New values for a parameter, drawn in float64 and then rounded to ``dtype``.

    ``name`` is one of ``NAMES`` (else ValueError), or a number, which all values get. ``stream`` is the parameter's
    running number in its model.

    >>> create("zeros", (2,), seed=0, stream=0, dtype="float32").tolist()
    [0.0, 0.0]
    >>> bool((abs(create("he_uniform", (6, 4), seed=0, stream=0, dtype="float64")) < 1).all())
    True
    """
    if isinstance(name, float):
        return np.full(shape, name, dtype)
    checks.as_choice("init", name, NAMES)
    stream = philox.stream(philox.INIT, stream)
    if name in ("zeros", "ones"):
        values = np.full(shape, float(name == "ones"))
    elif name == "orthogonal":
        values = orthogonal(shape, seed, stream)
    elif name.endswith("normal"):
        values = philox.normal(shape, seed, 0, stream) * math.sqrt(variance(name, shape))
    else:
        limit = math.sqrt(3 * variance(name, shape))
        values = (2 * philox.uniform(shape, seed, 0, stream) - 1) * limit
    return values.astype(dtype)


def check_init(name: object) -> str:
    """``name``, if it is one of ``NAMES``."""
    return checks.as_choice("init", name, NAMES)


def default_init(activation: str, given: str | None) -> str:
    """The weight's initialiser: the one that was ``given``, else what suits the activation that follows.

    >>> default_init("relu", None), default_init("tanh", None), default_init("tanh", "zeros")
    ('he_uniform', 'glorot_uniform', 'zeros')
    """
    if given is not None:
        return check_init(given)
    return "he_uniform" if activation in HE_FAMILY else "glorot_uniform"

"""Where weights start: random, of the size that keeps a signal's variance from layer to layer.

With independent weights of variance s², a layer of fan_in inputs turns variance v into fan_in·s²·v. So s² = 1/fan_in
keeps it (LeCun), and selu's constants are made for that (Klambauer); relu loses half of it, hence 2/fan_in (He);
2/(fan_in + fan_out) is a compromise between the way forward and the way back (Glorot). A uniform law on ±limit has the
variance limit²/3.

Sources: LeCun et al. (1998); Glorot and Bengio (2010); He et al. (2015); Klambauer et al. (2017); Saxe et al. (2014)
for orthogonal weights. Written once, for both packages: a seed means the same weights in both, for every NumPy version,
to the last bit for the uniform ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import philox
from .shared import checks
from .shared.arrays import as_initial, as_initial_values
from .shared.config import Configured

Array = npt.NDArray[Any]
Shape = Sequence[int]

HE_FAMILY = ("relu", "relu6", "leaky_relu", "elu", "celu", "silu", "mish", "hardswish", "gelu", "gelu_tanh")


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight: (in, out), or (out, in, height, width) for a convolution.

    >>> import fastnn_ref as nn
    >>> nn.init.fans((64, 10)), nn.init.fans((8, 3, 5, 5))
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


def orthogonal(shape: Shape, seed: int, stream: int, words: philox.Source) -> Array:
    """Rows or columns at right angles and of length 1: the Q of a normal matrix's QR, signs made unique.

    The QR is LAPACK's: its last bits differ between machines.
    """
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(philox.normal((max(rows, columns), min(rows, columns)), seed, 0, stream, words))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (q if rows >= columns else q.T).reshape(shape)


NAMES = (
    "zeros", "ones", "he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "lecun_uniform", "lecun_normal",
    "normal", "orthogonal",
)


class Init(Configured):
    """An initialiser by name, its values times ``gain``: ``Init("he_normal", 0.1)``, for the ``init`` of a layer.

    ``name`` is one of ``init.NAMES``, ``gain`` a finite number; anything else is a ValueError or TypeError.

    >>> import fastnn_ref as nn
    >>> nn.Linear(2, 1, init=nn.Init("ones", gain=0.5)).weight.tolist()
    [[0.5], [0.5]]
    """

    def __init__(self, name: str, gain: float = 1.0) -> None:
        self.name = checks.as_choice("name", name, NAMES)
        self.gain = checks.as_number("gain", gain)


InitLike = str | float | Init | npt.ArrayLike | Callable[[tuple[int, ...], int], npt.ArrayLike]


def as_init(value: Any, shape: Shape) -> Any:
    """What an argument ``init`` means: a name, an ``Init``, a number for all values, a function, or an array.

    An array of ``shape`` is copied, and can no longer be changed. TypeError or ValueError for anything else.

    >>> import fastnn_ref as nn
    >>> nn.init.as_init(1, (2,)), nn.init.as_init("zeros", (2,)), nn.init.as_init([1, 2], (2,))
    (1.0, 'zeros', array([1., 2.]))
    """
    if isinstance(value, str):
        return checks.as_choice("init", value, NAMES)
    return value if isinstance(value, Init) else as_initial("init", value, shape)


def create(
    init: Any, shape: Shape, seed: int, stream: int, dtype: npt.DTypeLike, words: philox.Source = philox.uint32,
) -> Array:
    """New values for a parameter, drawn in float64 and then rounded to ``dtype``.

    ``init`` is what ``as_init`` returns; a function is called with the shape and a seed of 64 bits, which follows from
    ``seed`` and ``stream``. ``stream`` is the parameter's running number in its model. ``words`` draws the random
    words. ValueError for an unknown name, and for what a function returns if it does not fit.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.init.create("zeros", (2,), seed=0, stream=0, dtype="float32").tolist()
    [0.0, 0.0]
    >>> bool((abs(nn.init.create("he_uniform", (6, 4), seed=0, stream=0, dtype="float64")) < 1).all())
    True
    >>> def normal(shape, seed):
    ...     return np.random.default_rng(seed).normal(size=shape)
    >>> nn.init.create(normal, (2, 3), seed=1, stream=0, dtype="float32").shape
    (2, 3)
    """
    stream = philox.stream(philox.INIT, stream)
    if isinstance(init, Init):
        values = init.gain * drawn(init.name, shape, seed, stream, words)
    elif isinstance(init, str):
        values = drawn(init, shape, seed, stream, words)
    elif callable(init):
        low, high = words(2, seed, 0, stream).tolist()
        values = as_initial_values("init(shape, seed)", init(tuple(shape), high << 32 | low), shape)
    else:
        values = np.broadcast_to(init, shape)
    return values.astype(dtype)


def drawn(name: str, shape: Shape, seed: int, stream: int, words: philox.Source) -> Array:
    """Values by the name of an initialiser, in float64."""
    checks.as_choice("init", name, NAMES)
    if name in ("zeros", "ones"):
        return np.full(shape, float(name == "ones"))
    if name == "orthogonal":
        return orthogonal(shape, seed, stream, words)
    if name.endswith("normal"):
        return philox.normal(shape, seed, 0, stream, words) * math.sqrt(variance(name, shape))
    return (2 * philox.uniform(shape, seed, 0, stream, words) - 1) * math.sqrt(3 * variance(name, shape))


def default_init(activation: str, given: Any) -> Any:
    """The weight's initialiser: the one that was ``given``, which ``as_init`` knows, else what suits the activation.

    >>> import fastnn_ref as nn
    >>> choose = nn.init.default_init
    >>> [choose(activation, None) for activation in ("relu", "tanh", "selu")], choose("tanh", "zeros")
    (['he_uniform', 'glorot_uniform', 'lecun_normal'], 'zeros')
    """
    if given is not None:
        return given
    if activation == "selu":
        return "lecun_normal"
    return "he_uniform" if activation in HE_FAMILY else "glorot_uniform"


__all__ = ["Init", "fans", "orthogonal", "variance"]

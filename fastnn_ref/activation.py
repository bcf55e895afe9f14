"""Activations: a nonlinear function between two linear layers, which would otherwise be a single linear layer.

    forward     y  = act(u)
    backward    du = dy · act'(u)

Each class has the two formulas beside each other; simple ones first. All take any shape (n, …) and keep it; the
softmax pair works along one axis. Where the derivative is shorter in terms of y, it is written so. At NaN it is NaN,
but for those that compare: it is negative_slope of leaky relu, and 0 of relu, relu6, hardsigmoid and the shrinkages.

Sources: beside each. Engine: fastnn/activation.pyx.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import init as initialisers
from .custom import as_layer
from .layer import Array, Layer, Shape
from .shared import checks
from .shared.custom import CustomActivation
from .shared.objects import check_instance, is_a
from .shared.shapes import as_dim, check_has_axis


class Activation(Layer):
    """What all activations share: ``name``, which ``Linear`` takes, too. An activation keeps the shape of x (n, …).

    In the reference, ``act(u)`` is the function and ``act_backward(dy, u, y)`` is dy · act'(u). One of your own derives
    from ``CustomActivation``.
    """

    name = "identity"

    def act(self, u: Array) -> Array:
        """y."""
        raise NotImplementedError

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        """du."""
        raise NotImplementedError

    def forward_pass(self, x: Array, training: bool) -> Array:
        y = self.act(x)
        self._saved = x, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        return self.act_backward(dy, *self._saved)


class Identity(Activation):
    """y = u.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Identity()(np.array([[-1.0, 2.0]])).tolist()
    [[-1.0, 2.0]]
    """

    def act(self, u: Array) -> Array:
        return u

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return dy


class ReLU(Activation):
    """y = max(u, 0) (Nair and Hinton 2010); the derivative at 0 is 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.ReLU()(np.array([[-1.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """

    name = "relu"

    def act(self, u: Array) -> Array:
        return np.maximum(u, 0) + 0                 # −0 + 0 is 0, whichever of two zeros NumPy takes for the larger

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where(y > 0, dy, 0)               # not dy * (y > 0): ∞ · 0 would be NaN


class ReLU6(Activation):
    """y = min(max(u, 0), 6) (Krizhevsky 2010); the derivative at 0 and at 6 is 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.ReLU6()(np.array([[-1.0, 2.0, 7.0]])).tolist()
    [[0.0, 2.0, 6.0]]
    """

    name = "relu6"

    def act(self, u: Array) -> Array:
        return np.minimum(np.maximum(u, 0), 6) + 0

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where((y > 0) & (y < 6), dy, 0)


class LeakyReLU(Activation):
    """y = u for u > 0, else negative_slope · u (Maas et al. 2013); ``negative_slope`` > 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.LeakyReLU(0.25)(np.array([[-1.0, 2.0]])).tolist()
    [[-0.25, 2.0]]
    """

    name = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = checks.as_number("negative_slope", negative_slope, 0, low_open=True)

    def act(self, u: Array) -> Array:
        return np.where(u > 0, u, self.negative_slope * u)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where(u > 0, dy, self.negative_slope * dy)


class ELU(Activation):
    """y = u for u > 0, else alpha · (exp(u) − 1) (Clevert et al. 2016); ``alpha`` > 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.ELU(0.5)(np.array([[-1.0, 2.0]])).round(3))
    [[-0.316  2.   ]]
    """

    name = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = checks.as_number("alpha", alpha, 0, low_open=True)

    def act(self, u: Array) -> Array:
        return np.where(u > 0, u, self.alpha * np.expm1(np.where(u > 0, 0, u)))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where(u > 0, dy, dy * (y + self.alpha))       # α·exp(u) = y + α


class CELU(Activation):
    """y = u for u > 0, else alpha · (exp(u / alpha) − 1): an elu whose slope at 0 is 1 (Barron 2017); ``alpha`` > 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.CELU(2.0)(np.array([[-1.0, 2.0]])).round(3))
    [[-0.787  2.   ]]
    """

    name = "celu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = checks.as_number("alpha", alpha, 0, low_open=True)

    def act(self, u: Array) -> Array:
        return np.where(u > 0, u, self.alpha * np.expm1(np.where(u > 0, 0, u) / self.alpha))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where(u > 0, dy, dy * (y / self.alpha + 1))   # exp(u/α) = y/α + 1


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.7580993408473766     # λ and λ·α


class SELU(Activation):
    """y = λ · u for u > 0, else λ · α · (exp(u) − 1), with λ ≈ 1.0507 and α ≈ 1.6733 (Klambauer et al. 2017).

    The two numbers make mean 0 and variance 1 the fixed point of a layer whose weights have mean 0 and variance
    1/fan_in: so weights in front of it start as ``lecun_normal``.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.SELU()(np.array([[-1.0, 2.0]])).round(3))
    [[-1.111  2.101]]
    """

    name = "selu"

    def act(self, u: Array) -> Array:
        return np.where(u > 0, SELU_SCALE * u, SELU_ALPHA * np.expm1(np.where(u > 0, 0, u)))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where(u > 0, dy * SELU_SCALE, dy * (y + SELU_ALPHA))


def sigmoid(u: Array) -> Array:
    """σ(u) = 1 / (1 + exp(−u)), by whichever exponential does not overflow."""
    e = np.exp(-np.abs(u))
    return np.where(u >= 0, 1, e) / (1 + e)


def times_exp(factor: Array, x: Array) -> Array:
    """factor · exp(x) for x <= 0, by halves: exp(x) alone loses digits where it is subnormal."""
    half = np.exp(0.5 * x)
    product: Array = factor * half * half
    return product


FAR = -40.0                                             # below, σ(u) and tanh(softplus(u)) are exp(u) to the last bit


class SiLU(Activation):
    """y = u · σ(u), also called swish (Elfwing et al. 2018).

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.SiLU()(np.array([[-1.0, 0.0]])).round(2))
    [[-0.27  0.  ]]
    """

    name = "silu"

    def act(self, u: Array) -> Array:
        return np.where(u < FAR, times_exp(u, np.minimum(u, 0)), u * sigmoid(u))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        slope = sigmoid(u) * (1 + u * sigmoid(-u))                  # 1 − σ(u) = σ(−u)
        return dy * np.where(u < FAR, times_exp(1 + u, np.minimum(u, 0)), slope)


def softplus(u: Array) -> Array:
    """log(1 + exp(u)), by whichever exponential does not overflow."""
    return np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u)))


class Mish(Activation):
    """y = u · tanh(softplus(u)), softplus(u) = log(1 + exp(u)) (Misra 2019).

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.Mish()(np.array([[-1.0, 0.0]])).round(2))
    [[-0.3  0. ]]
    """

    name = "mish"

    def act(self, u: Array) -> Array:
        return np.where(u < FAR, times_exp(u, np.minimum(u, 0)), u * np.tanh(softplus(u)))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        s = sigmoid(-u)
        sech = 2 * s / (1 + s**2)                                   # of softplus(u): 1 − tanh² = sech², softplus' = σ
        slope = np.tanh(softplus(u)) + u * sech**2 * sigmoid(u)
        return dy * np.where(u < FAR, times_exp(1 + u, np.minimum(u, 0)), slope)


class Hardswish(Activation):
    """y = u · min(max(u + 3, 0), 6) / 6, silu in three pieces (Howard et al. 2019).

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Hardswish()(np.array([[-1.5, 0.0, 6.0]])).tolist()
    [[-0.375, 0.0, 6.0]]
    """

    name = "hardswish"

    def act(self, u: Array) -> Array:
        inner = np.clip(u, -3, 3)                               # u² of a large u would overflow
        return np.where(u > 3, u, inner * (inner + 3) / 6)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return dy * np.where(u <= -3, 0, np.where(u >= 3, 1, (np.clip(u, -3, 3) * 2 + 3) / 6))


def normal_distribution(u: Array) -> Array:
    """Φ(u) = ½·erfc(−u/√2), element by element: NumPy has no error function."""
    flat = [0.5 * math.erfc(-v / math.sqrt(2)) for v in u.reshape(-1).tolist()]
    return np.array(flat, dtype=u.dtype).reshape(u.shape)


def times_density(factor: Array, u: Array) -> Array:
    """factor · φ(u), φ(u) = exp(−u²/2)/√(2π). u² is the square of a short number, which is exact, and a small rest."""
    v = np.clip(u, -60, 60)                             # φ is 0 beyond, and its root, too
    short = np.round(256 * v) / 256
    rest = np.exp(-0.5 * (v - short) * (v + short))
    return times_exp(factor * rest / math.sqrt(2 * math.pi), -0.5 * short**2)


TAIL = -2.5                                             # below, rounding −u/√2 costs Φ(u) u² units in its last place


def mills(u: Array) -> Array:
    """Φ(u) / φ(u) for u <= TAIL, as Laplace's continued fraction: 1/(a + 1/(a + 2/(a + …))) with a = −u."""
    a = -np.minimum(u, TAIL)
    f = a
    for k in range(75, 0, -1):
        f = a + k / f
    ratio: Array = 1 / f
    return ratio


LINEAR = 1.5957691215444356, 6.129509145186187e-11      # 2·√(2/π), in two parts; the first one is short
CUBIC = 0.07135486602783203, -4.975523178247366e-08     # 0.044715 of it, likewise


def tanh_gate(u: Array) -> tuple[Array, Array, Array]:
    """Two factors of e = exp(−2|b|), b = √(2/π)·(u + 0.044715·u³), and 2·b'; then σ(2b) = ½·(1 + tanh b) is 1/(1 + e)
    or e/(1 + e).

    Rounding 2b would cost e |2b| units in the last place. So exp gets products of short numbers, which are exact, and
    a small rest.
    """
    a = np.clip(np.abs(u).astype(np.float64), 0, 22)    # e is 0 beyond
    short = np.round(64 * a) / 64
    slope = sum(LINEAR) + 3 * sum(CUBIC) * a**2
    rest = LINEAR[1] * short + CUBIC[1] * short**3 + (a - short) * (
        sum(LINEAR) + sum(CUBIC) * (a**2 + a * short + short**2))
    return np.exp(-LINEAR[0] * short), np.exp(-CUBIC[0] * short**3) * np.exp(-rest), slope


class GELU(Activation):
    """y = u · Φ(u) (Hendrycks and Gimpel 2016), Φ the normal distribution function.

    ``approximate="none"`` is exact, ``"tanh"`` the paper's estimate Φ(u) ≈ ½·(1 + tanh(√(2/π)·(u + 0.044715·u³))).

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.GELU()(np.array([[-1.0, 0.0]])).round(2))
    [[-0.16  0.  ]]
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = checks.as_choice("approximate", approximate, ("none", "tanh"))

    @property
    def name(self) -> str:                              # type: ignore[override]
        return "gelu_tanh" if self.approximate == "tanh" else "gelu"

    def act(self, u: Array) -> Array:
        if self.approximate == "tanh":
            e1, e2, _ = tanh_gate(u)
            return (np.where(u < 0, u * e1 * e2, u) / (1 + e1 * e2)).astype(u.dtype)
        return np.where(u < TAIL, times_density(u * mills(u), u), u * normal_distribution(u))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        if self.approximate == "tanh":
            e1, e2, slope = tanh_gate(u)
            e = e1 * e2
            return dy * ((np.where(u < 0, e, 1) + u * e1 * slope * e2 / (1 + e)) / (1 + e)).astype(u.dtype)
        return dy * np.where(u < TAIL, times_density(mills(u) + u, u), normal_distribution(u) + times_density(u, u))


class Softplus(Activation):
    """y = log(1 + exp(u)), a smooth relu (Dugas et al. 2001).

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.Softplus()(np.array([[0.0]])).round(2))
    [[0.69]]
    """

    name = "softplus"

    def act(self, u: Array) -> Array:
        return softplus(u)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return dy * sigmoid(u)


class Tanh(Activation):
    """y = tanh(u); tanh' = 1 − tanh².

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Tanh()(np.array([[0.0, 100.0]])).tolist()
    [[0.0, 1.0]]
    """

    name = "tanh"

    def act(self, u: Array) -> Array:
        return np.tanh(u)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return dy * (1 - y**2)


class Sigmoid(Activation):
    """y = σ(u) = 1 / (1 + exp(−u)); σ' = σ·(1 − σ).

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Sigmoid()(np.array([[0.0, 100.0]])).tolist()
    [[0.5, 1.0]]
    """

    name = "sigmoid"

    def act(self, u: Array) -> Array:
        return sigmoid(u)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return dy * (y * (1 - y))


class Hardsigmoid(Activation):
    """y = min(max(u + 3, 0), 6) / 6, sigmoid in three pieces (Courbariaux et al. 2015; as in Howard et al. 2019).

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Hardsigmoid()(np.array([[-4.0, 0.0, 1.5]])).tolist()
    [[0.0, 0.5, 0.75]]
    """

    name = "hardsigmoid"

    def act(self, u: Array) -> Array:
        return np.clip(u + 3, 0, 6) / 6

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where((y > 0) & (y < 1), dy / 6, 0)


class LogSigmoid(Activation):
    """y = log σ(u) = −log(1 + exp(−u)); its derivative is σ(−u).

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.LogSigmoid()(np.array([[0.0, -100.0]])).round(2))
    [[  -0.69 -100.  ]]
    """

    name = "log_sigmoid"

    def act(self, u: Array) -> Array:
        return np.minimum(u, 0) - np.log1p(np.exp(-np.abs(u)))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return dy * sigmoid(-u)


class Softsign(Activation):
    """y = u / (1 + |u|), which nears ±1 more slowly than tanh (Bergstra et al. 2009).

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Softsign()(np.array([[-1.0, 3.0]])).tolist()
    [[-0.5, 0.75]]
    """

    name = "softsign"

    def act(self, u: Array) -> Array:
        return u / (1 + np.abs(u))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return dy * (1 - np.abs(y))**2                          # 1/(1 + |u|)² = (1 − |y|)²


class Softshrink(Activation):
    """y = u − lambd for u > lambd, u + lambd for u < −lambd, else 0 (Donoho 1995); ``lambd`` >= 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Softshrink()(np.array([[-2.0, 0.25, 2.0]])).tolist()
    [[-1.5, 0.0, 1.5]]
    """

    name = "softshrink"

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = checks.as_number("lambd", lambd, 0)

    def act(self, u: Array) -> Array:
        return np.where(np.abs(u) <= self.lambd, 0, np.where(u > 0, u - self.lambd, u + self.lambd))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where((y > 0) | (y < 0), dy, 0)


class Hardshrink(Activation):
    """y = u for |u| > lambd, else 0 (Donoho and Johnstone 1994); ``lambd`` >= 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Hardshrink()(np.array([[-2.0, 0.25, 2.0]])).tolist()
    [[-2.0, 0.0, 2.0]]
    """

    name = "hardshrink"

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = checks.as_number("lambd", lambd, 0)

    def act(self, u: Array) -> Array:
        return np.where(np.abs(u) <= self.lambd, 0, u)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where((y > 0) | (y < 0), dy, 0)


class RowActivation(Activation):
    """An activation of whole rows, along the axis ``dim``, so there must be one."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = as_dim(dim)

    def output_shape(self, shape: Shape) -> Shape:
        """The input's own shape, which must have the axis ``dim``."""
        return check_has_axis(type(self).__name__, shape, self.dim)


class Softmax(RowActivation):
    """y = exp(u) / Σ exp(u), over one axis; the largest u is subtracted first, so that exp cannot overflow.

    ``dim``, as in PyTorch, is the axis, of examples: −1 is the last one, 1 the first behind the batch, which is the
    channels of images; 0 is a ValueError. ``Linear`` takes ``dim=-1`` alone as its activation.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Softmax()(np.array([[3.0, 3.0]])).tolist()
    [[0.5, 0.5]]
    >>> nn.Softmax(dim=1)(np.array([[[3.0, 3.0]]])).tolist()
    [[[1.0, 1.0]]]
    """

    name = "softmax"

    def act(self, u: Array) -> Array:
        e = np.exp(u - u.max(axis=self.dim, keepdims=True))
        return e / e.sum(axis=self.dim, keepdims=True)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return y * (dy - (dy * y).sum(axis=self.dim, keepdims=True))


class LogSoftmax(RowActivation):
    """y = u − log Σ exp(u), over the axis ``dim``, as for ``Softmax``.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.LogSoftmax()(np.array([[7.0]])).tolist()
    [[0.0]]
    """

    name = "log_softmax"

    def act(self, u: Array) -> Array:
        z = u - u.max(axis=self.dim, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=self.dim, keepdims=True))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return dy - np.exp(y) * dy.sum(axis=self.dim, keepdims=True)


# Every class above that has a function goes by its name.
NAMES: dict[str, Callable[[], Activation]] = {
    kind().name: kind for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Activation) and kind.act is not Activation.act
} | {"gelu_tanh": lambda: GELU("tanh")}


ActivationLike = str | Activation | CustomActivation | None


def get_activation(activation: ActivationLike) -> Any:
    """The activation that a layer's argument means: a name, an ``Activation``, a user's own, None for the identity."""
    if is_a(activation, "Activation"):
        return checks.check_fused(check_instance("activation", activation, Activation))
    if any(isinstance(each, CustomActivation) for each in (activation, getattr(activation, "custom", None))):
        return as_layer("activation", activation)
    return Identity() if activation is None else NAMES[checks.as_choice("activation", activation, NAMES)]()


class Weighted(Layer):
    """What ``Linear`` and ``Conv2d`` share: a weight, a bias unless there is none, and an activation behind them."""

    changes_shape = True

    def _add_weights(self, shape: Shape, outside: int, activation: Any, bias: object, init: Any) -> None:
        """Declares weight and bias; the last line of the constructor."""
        self.activation = get_activation(activation)
        checks.check_size("weight", *shape)
        self.init = None if init is None else initialisers.as_init(init, shape)
        self.add("weight", shape, initialisers.default_init(self.activation.name, self.init))
        if checks.as_flag("bias", bias):
            self.add("bias", (outside,))
        self.adopt()

    def children(self) -> tuple[tuple[str, Layer], ...]:
        return () if isinstance(self.activation, Activation) else (("activation", self.activation),)

"""Activations: a nonlinear function between two linear layers, which would otherwise be a single linear layer.

    forward     y  = act(u)
    backward    du = dy · act'(u)

Each class has the two formulas beside each other; simple ones first. All take any shape (n, …) and keep it; the
softmax pair works on the last axis. Where the derivative is shorter in terms of y, it is written so.

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
        self.saved = x, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        return self.act_backward(dy, *self.saved)


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
        return np.maximum(u, 0)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where(y > 0, dy, 0)               # not dy * (y > 0): ∞ · 0 would be NaN


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
        return np.where(u > 0, u, self.alpha * np.expm1(np.minimum(u, 0)))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return np.where(u > 0, dy, dy * (y + self.alpha))       # α·exp(u) = y + α


def sigmoid(u: Array) -> Array:
    """σ(u) = 1 / (1 + exp(−u)), by whichever exponential does not overflow."""
    e = np.exp(-np.abs(u))
    return np.where(u >= 0, 1, e) / (1 + e)


class SiLU(Activation):
    """y = u · σ(u), also called swish (Elfwing et al. 2018).

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.SiLU()(np.array([[-1.0, 0.0]])).round(2))
    [[-0.27  0.  ]]
    """

    name = "silu"

    def act(self, u: Array) -> Array:
        return u * sigmoid(u)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        s = sigmoid(u)
        return dy * (s * (1 + u * (1 - s)))


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
        return u * np.tanh(softplus(u))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        gate = np.tanh(softplus(u))
        return dy * (gate + u * (1 - gate**2) * sigmoid(u))         # softplus' = σ


def normal_distribution(u: Array) -> Array:
    """Φ(u) = ½·erfc(−u/√2), element by element: NumPy has no error function."""
    flat = [0.5 * math.erfc(-v / math.sqrt(2)) for v in u.reshape(-1).tolist()]
    return np.array(flat, dtype=u.dtype).reshape(u.shape)


def tanh_argument(u: Array) -> Array:
    """√(2/π)·(u + 0.044715·u³): its tanh is nearly 2·Φ(u) − 1."""
    return math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)


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
            return u * sigmoid(2 * tanh_argument(u))        # ½·(1 + tanh b) = σ(2b) keeps its digits far below 0
        return u * normal_distribution(u)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        if self.approximate == "tanh":
            s = sigmoid(2 * tanh_argument(u))
            slope = 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * u**2)
            return dy * (s + u * s * (1 - s) * slope)
        density = np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
        return dy * (normal_distribution(u) + u * density)


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


class RowActivation(Activation):
    """An activation of a whole row, so there must be one."""

    def output_shape(self, shape: Shape) -> Shape:
        """The input's own shape, which must have a last axis."""
        return checks.check_has_last_axis(type(self).__name__, shape)


class Softmax(RowActivation):
    """y = exp(u) / Σ exp(u), over the last axis; the largest u is subtracted first, so that exp cannot overflow.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Softmax()(np.array([[3.0, 3.0]])).tolist()
    [[0.5, 0.5]]
    """

    name = "softmax"

    def act(self, u: Array) -> Array:
        e = np.exp(u - u.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


class LogSoftmax(RowActivation):
    """y = u − log Σ exp(u), over the last axis.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.LogSoftmax()(np.array([[7.0]])).tolist()
    [[0.0]]
    """

    name = "log_softmax"

    def act(self, u: Array) -> Array:
        z = u - u.max(axis=-1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)


# Every class above that has a function goes by its name.
NAMES: dict[str, Callable[[], Activation]] = {
    kind().name: kind for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Activation) and kind.act is not Activation.act
} | {"gelu_tanh": lambda: GELU("tanh")}


ActivationLike = str | Activation | CustomActivation | None


def get_activation(activation: ActivationLike) -> Any:
    """The activation that a layer's argument means: a name, an ``Activation``, a user's own, None for the identity."""
    if isinstance(activation, Activation):
        return activation
    if isinstance(getattr(activation, "custom", activation), CustomActivation):     # or its host, in a copy
        return as_layer("activation", activation)
    return Identity() if activation is None else NAMES[checks.as_choice("activation", activation, NAMES)]()


class Weighted(Layer):
    """What ``Linear`` and ``Conv2d`` share: a weight, a bias unless there is none, and an activation behind them."""

    changes_shape = True

    def _add_weights(self, shape: Shape, outside: int, activation: Any, bias: object, init: str | None) -> None:
        """Declares weight and bias; the last line of the constructor."""
        self.activation, self.init = get_activation(activation), init
        checks.check_size("weight", *shape)
        self.add("weight", shape, initialisers.default_init(self.activation.name, init))
        if checks.as_flag("bias", bias):
            self.add("bias", (outside,))
        self.adopt()

    def children(self) -> tuple[tuple[str, Layer], ...]:
        return () if isinstance(self.activation, Activation) else (("activation", self.activation),)

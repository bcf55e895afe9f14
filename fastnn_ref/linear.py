"""Linear: every output is a weighted sum of all inputs, plus a bias, through an activation.

    forward     u = x @ W + b,  y = act(u)
    backward    du = dy · act'(u)
                dW = xᵀ @ du            input i times du of output j, summed over the batch
                db = Σ_rows du
                dx = du @ Wᵀ

Source: Rumelhart, Hinton and Williams (1986). Engine: fastnn/linear.pyx.
"""

from .activation import ActivationLike, Weighted
from .init import InitLike
from .layer import Array, Parameter, Shape, sum_over
from .shared import checks
from .shared.shapes import check_last_axes


def linear_forward(x: Array, w: Array, b: Array | None) -> Array:
    """u (n, …, out) for x (n, …, in)."""
    u = x.reshape(-1, len(w)) @ w
    if b is not None:
        u = u + b
    return u.reshape(*x.shape[:-1], w.shape[1])


def linear_backward(du: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """dx, dW, db."""
    x_rows, du_rows = x.reshape(-1, len(w)), du.reshape(-1, w.shape[1])
    dx, dw, db = du_rows @ w.T, x_rows.T @ du_rows, sum_over(0, du_rows)
    return dx.reshape(x.shape), dw, db


class Linear(Weighted):
    """y = act(x @ W + b): x (n, …, in_features), W (in_features, out_features), b (out_features,).

    y is (n, …, out_features): the last axis is transformed. ``in_features`` and ``out_features`` >= 1. ``activation``
    is None, a name (``"relu"``, ``"gelu"``, ...), an activation layer or a ``CustomActivation``. Biases start from 0.
    ``init`` is what the weight starts from: the name of an initialiser; ``Init(name, gain)``, its values times a
    number; a number for all values; an array in the weight's shape; or a function of the shape and a seed, which
    returns one. By default it is He uniform before the ReLU family, LeCun normal before selu, and Glorot uniform
    otherwise. Raises ValueError or TypeError for anything else.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.Linear(3, 2, activation="relu")
    >>> layer.weight = np.array([[1, 2], [3, 4], [5, 6]])
    >>> layer.bias = np.array([0, -30])
    >>> layer(np.array([[1.0, 1.0, 1.0]])).tolist()
    [[9.0, 0.0]]
    """

    weight = Parameter("W, shape (in_features, out_features)")
    bias = Parameter("b, shape (out_features,), or None")

    def __init__(self, in_features: int, out_features: int, activation: ActivationLike = None, bias: bool = True, *,
                 init: InitLike | None = None) -> None:
        self.in_features = checks.as_integer("in_features", in_features, 1)
        self.out_features = checks.as_integer("out_features", out_features, 1)
        self._input_shape = (self.in_features,)
        self._add_weights((self.in_features, self.out_features), self.out_features, activation, bias, init)

    def output_shape(self, shape: Shape) -> Shape:
        """(…, out_features) for (…, in_features)."""
        return (*check_last_axes(type(self).__name__, shape, (self.in_features,))[:-1], self.out_features)

    def forward_pass(self, x: Array, training: bool) -> Array:
        u = linear_forward(x, self.values["weight"], self.values.get("bias"))
        y = self.activation.act(u)
        self._saved = x, u, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        x, u, y = self._saved
        dx, *gradients = linear_backward(self.activation.act_backward(dy, u, y), x, self.values["weight"])
        self.set_gradients(*gradients)
        return dx

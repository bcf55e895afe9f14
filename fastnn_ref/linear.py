"""Linear: every output is a weighted sum of all inputs, plus a bias, through an activation.

    forward     u = x @ W + b,  y = act(u)
    backward    du = dy · act'(u)
                dW = xᵀ @ du            how much of input i came with how much blame for output j, over the batch
                db = Σ_rows du
                dx = du @ Wᵀ

Source: Rumelhart, Hinton and Williams (1986). Twin: fastnn/linear.pyx.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import init as initialisers
from .activation import Activation, activation_of
from .layer import Array, Layer, Shape
from .shared import checks
from .shared.parameter import ParameterSpec


class Linear(Layer):
    """y = act(x @ W + b): x (n, in_features), W (in_features, out_features), b (out_features,), y (n, out_features).

    ``in_features`` and ``out_features`` >= 1. ``activation`` is None, a name (``"relu"``, ``"gelu"``, ...) or an
    activation layer. ``init`` names the weight's initialiser; by default He uniform before the ReLU family and Glorot
    uniform otherwise. Biases start from 0. Raises ValueError or TypeError for anything else.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.Linear(3, 2, activation="relu")
    >>> layer.weight = np.array([[1, 2], [3, 4], [5, 6]])
    >>> layer.bias = np.array([0, -30])
    >>> layer(np.array([[1.0, 1.0, 1.0]])).tolist()
    [[9.0, 0.0]]
    """

    changes_shape = True

    def __init__(
        self, in_features: int, out_features: int, activation: str | Activation | None = None, bias: bool = True,
        *, init: str | None = None,
    ) -> None:
        super().__init__()
        self.in_features = checks.as_integer("in_features", in_features, 1)
        self.out_features = checks.as_integer("out_features", out_features, 1)
        checks.check_size("weight", in_features, out_features)
        self.activation = activation_of(activation)
        self.init = init
        self.input_shape = (self.in_features,)
        start = initialisers.default_init(self.activation.name, init)
        self.specifications = [ParameterSpec("weight", (self.in_features, self.out_features), start, True)]
        if checks.as_flag("bias", bias):
            self.specifications.append(ParameterSpec("bias", (self.out_features,), "zeros"))

    @property
    def weight(self) -> Array:
        """W, shape (in_features, out_features); assigning copies values in."""
        return self.params["weight"]

    @weight.setter
    def weight(self, value: object) -> None:
        self.assign("weight", value)

    @property
    def bias(self) -> Array | None:
        """b, shape (out_features,), or None; assigning copies values in."""
        return self.params.get("bias")

    @bias.setter
    def bias(self, value: object) -> None:
        self.assign("bias", value)

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """(out_features,) for (in_features,)."""
        return checks.check_input_shape(type(self).__name__, shape, (self.in_features,), (self.out_features,))

    def forward_pass(self, x: Array, training: bool) -> Array:
        u = x @ self.values["weight"]                           # (n, out)
        if "bias" in self.values:
            u = u + self.values["bias"]
        y = self.activation.act(u)                              # (n, out)
        self._kept = x, u, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        x, u, y = self._kept
        du = self.activation.act_back(dy, u, y)                 # (n, out)
        self.gradients["weight"][...] = x.T @ du                # (in, out)
        if "bias" in self.values:
            self.gradients["bias"][...] = du.sum(axis=0)        # (out,)
        return du @ self.values["weight"].T                     # (n, in)

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        named: dict[str, Any] = {}
        if self.activation.name != "identity":
            named["activation"] = self.activation
        if len(self.specifications) == 1:
            named["bias"] = False
        if self.init is not None:
            named["init"] = self.init
        return (self.in_features, self.out_features), named

"""Layer normalisation: every example gets mean 0 and variance 1 over its own values; no batch, no running statistics.

    forward     mean = Σ x / k,  var = Σ (x − mean)² / k        k values of one row
                x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ_rows dy,  dweight = Σ_rows dy · x̂
                g = weight · dy,  dx = (g − Σ g / k − x̂ · Σ g·x̂ / k) / √(var + ε)

Source: Ba, Kiros and Hinton, "Layer normalization" (2016), equations 3 and 4. Twin: fastnn/layernorm.pyx.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .layer import Array, Layer, Shape
from .shared import checks
from .shared.parameter import ParameterSpec


class LayerNorm(Layer):
    """Normalises each row over its last axes, those of ``normalized_shape`` (an integer or a tuple).

    x and y (n, …, *normalized_shape); ``eps`` > 0 keeps the root away from 0. ``weight`` and ``bias`` have
    ``normalized_shape``. Training and prediction do the same.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.LayerNorm(3)(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])).round(3))
    [[-1.225  0.     1.225]
     [-1.225  0.     1.225]]
    """

    def __init__(self, normalized_shape: int | Sequence[int], eps: float = 1e-5) -> None:
        super().__init__()
        self.normalized_shape = checks.as_shape("normalized_shape", normalized_shape)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.specifications = [
            ParameterSpec("weight", self.normalized_shape, "ones"),
            ParameterSpec("bias", self.normalized_shape, "zeros"),
        ]

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.normalized_shape,), {"eps": self.eps}

    @property
    def weight(self) -> Array:
        """The learnt scale, in ``normalized_shape``; assigning copies values in."""
        return self.params["weight"]

    @weight.setter
    def weight(self, value: object) -> None:
        self.assign("weight", value)

    @property
    def bias(self) -> Array:
        """The learnt mean, in ``normalized_shape``; assigning copies values in."""
        return self.params["bias"]

    @bias.setter
    def bias(self, value: object) -> None:
        self.assign("bias", value)

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """The input's own shape, which must end in ``normalized_shape``."""
        return checks.check_last_axes(type(self).__name__, shape, self.normalized_shape)

    def forward_pass(self, x: Array, training: bool) -> Array:
        rows = x.reshape(-1, self.values["weight"].size)
        centred = rows - rows.mean(axis=1, keepdims=True)
        centred = centred - centred.mean(axis=1, keepdims=True)         # what rounding left
        root = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + x.dtype.type(self.eps))
        normal = centred * root
        self._kept = normal, root
        return (normal * self.values["weight"].reshape(-1) + self.values["bias"].reshape(-1)).reshape(x.shape)

    def backward_pass(self, dy: Array) -> Array:
        normal, root = self._kept
        rows = dy.reshape(normal.shape)
        self.gradients["bias"].reshape(-1)[...] = rows.sum(axis=0)
        self.gradients["weight"].reshape(-1)[...] = (rows * normal).sum(axis=0)
        g = rows * self.values["weight"].reshape(-1)
        dx = g - g.mean(axis=1, keepdims=True) - normal * (g * normal).mean(axis=1, keepdims=True)
        return (dx * root).reshape(dy.shape)

"""Batch normalisation: every channel gets mean 0 and variance 1 over the batch, then a mean and a scale that it learns.

    forward     mean = Σ x / N,  var = Σ (x − mean)² / N        N values of one channel: over the batch and the image
                x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ dy,  dweight = Σ dy · x̂
                dx = weight / √(var + ε) · (dy − dbias/N − x̂ · dweight/N)
                    x̂ holds neither a mean nor a scale: what dy says about these two is taken out
    prediction  the running mean and variance stand in for the batch's

    running ← (1 − momentum) · running + momentum · batch, with the unbiased variance Σ (x − mean)² / (N − 1).

Source: Ioffe and Szegedy, "Batch normalization" (2015), algorithms 1 and 2. Twin: fastnn/batchnorm.pyx.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .layer import Array, Layer, Shape
from .shared import checks
from .shared.parameter import ParameterSpec


class BatchNorm(Layer):
    """What the two kinds share; ``axes`` are those that a channel's values stand on."""

    axes: tuple[int, ...]

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.num_features = checks.as_integer("num_features", num_features, 1)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.momentum = checks.as_number("momentum", momentum, 0, 1)
        shape = (checks.check_size("num_features", self.num_features),)
        self.specifications = [
            ParameterSpec("weight", shape, "ones"), ParameterSpec("bias", shape, "zeros"),
            ParameterSpec("running_mean", shape, "zeros", trainable=False),
            ParameterSpec("running_var", shape, "ones", trainable=False),
        ]

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.num_features,), {"eps": self.eps, "momentum": self.momentum}

    @property
    def weight(self) -> Array:
        """The learnt scale, shape (num_features,); assigning copies values in."""
        return self.params["weight"]

    @weight.setter
    def weight(self, value: object) -> None:
        self.assign("weight", value)

    @property
    def bias(self) -> Array:
        """The learnt mean, shape (num_features,); assigning copies values in."""
        return self.params["bias"]

    @bias.setter
    def bias(self, value: object) -> None:
        self.assign("bias", value)

    @property
    def running_mean(self) -> Array:
        """The mean that prediction uses, shape (num_features,); assigning copies values in."""
        return self.state()["running_mean"]

    @running_mean.setter
    def running_mean(self, value: object) -> None:
        self.assign("running_mean", value)

    @property
    def running_var(self) -> Array:
        """The variance that prediction uses, shape (num_features,); assigning copies values in."""
        return self.state()["running_var"]

    @running_var.setter
    def running_var(self, value: object) -> None:
        self.assign("running_var", value)

    def min_batch_size(self, shape: Sequence[int]) -> int:
        return 1 if math.prod(shape) > self.num_features else 2

    def column(self, values: Array) -> Array:
        """One value a channel, shaped to meet x."""
        return values.reshape(-1, *[1] * (len(self.axes) - 1))

    def normalise(self, x: Array, training: bool) -> tuple[Array, Array]:
        """x̂ and 1 / √(var + ε)."""
        if not training:
            root = 1 / np.sqrt(self.values["running_var"] + x.dtype.type(self.eps))
            return (x - self.column(self.values["running_mean"])) * self.column(root), root
        mean = x.mean(axis=self.axes)
        centred = x - self.column(mean)
        rest = centred.mean(axis=self.axes)             # what rounding left: it counts where the mean is large
        centred = centred - self.column(rest)
        var = (centred**2).mean(axis=self.axes)         # never E[x²] − E[x]²: two large numbers
        n, m = x.size // self.num_features, self.momentum
        for name, value in ("running_mean", mean + rest), ("running_var", var * n / (n - 1)):
            self.values[name][...] = (1 - m) * self.values[name] + m * value
        root = 1 / np.sqrt(var + x.dtype.type(self.eps))
        return centred * self.column(root), root

    def forward_pass(self, x: Array, training: bool) -> Array:
        self._kept = self.normalise(x, training)
        normal, _ = self._kept
        return self.column(self.values["weight"]) * normal + self.column(self.values["bias"])

    def backward_pass(self, dy: Array) -> Array:
        normal, root = self._kept
        n = dy.size // self.num_features
        db, dw = dy.sum(axis=self.axes), (dy * normal).sum(axis=self.axes)
        self.gradients["bias"][...], self.gradients["weight"][...] = db, dw
        dx = dy - self.column(db / n) - normal * self.column(dw / n)
        return self.column(self.values["weight"] * root) * dx


class BatchNorm1d(BatchNorm):
    """Normalises each of ``num_features`` columns over the batch: x and y (n, num_features).

    ``eps`` > 0 keeps the root away from 0; ``momentum``, 0 … 1, is the weight of the newest batch in the running mean
    and variance, which prediction uses. A training batch of one row has no variance: ValueError.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.BatchNorm1d(1)
    >>> print(layer.forward(np.array([[1.0], [3.0]]), training=True).round(3).ravel())
    [-1.  1.]
    >>> print(layer.running_mean.round(3), layer.running_var.round(3))
    [0.2] [1.1]
    """

    axes = (0,)

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps, momentum)
        self.input_shape = (self.num_features,)

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """(num_features,), unchanged."""
        return checks.check_input_shape(type(self).__name__, shape, (self.num_features,), (self.num_features,))


class BatchNorm2d(BatchNorm):
    """Normalises each of ``num_features`` channels over batch and image: x and y (n, num_features, h, w).

    ``eps`` > 0 keeps the root away from 0; ``momentum``, 0 … 1, is the weight of the newest batch in the running mean
    and variance, which prediction uses. A training batch of one value a channel has no variance: ValueError.

    >>> import numpy as np, fastnn_ref as nn
    >>> x = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> print(nn.BatchNorm2d(2).forward(x, training=True)[0, 0].round(2))
    [[-1.34 -0.45]
     [ 0.45  1.34]]
    """

    axes = (0, 2, 3)

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """(num_features, h, w), unchanged."""
        return checks.check_image_shape(type(self).__name__, shape, self.num_features)

"""Gaussian noise: in training every value is shaken a little, so that what is learnt does not hang on its last digits.

    forward     y  = x + std · z,  z ~ N(0, 1)
    backward    dx = dy
    prediction  y  = x

For a linear model and the squared error it is, on average, an L2 penalty of std² on the weights.

Source: Bishop, "Training with noise is equivalent to Tikhonov regularization" (1995). Twin: fastnn/gaussian_noise.pyx.
"""

from __future__ import annotations

from typing import Any

from . import philox
from .layer import Array, Layer
from .shared import checks


class GaussianNoise(Layer):
    """In training adds normal noise of standard deviation ``std`` >= 0; nothing at prediction.

    Takes any shape (n, …) and keeps it.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.GaussianNoise(0.1), seed=1)
    >>> bool(abs(model.forward(np.zeros((1, 10_000)), training=True).std() - 0.1) < 0.005)
    True
    >>> model(np.zeros((1, 2))).tolist()
    [[0.0, 0.0]]
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = checks.as_number("std", std, 0)

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.std,), {}

    def forward_pass(self, x: Array, training: bool) -> Array:
        if not training or self.std == 0:
            return x
        z = philox.normals(self.random_words(x.size + x.size % 2))[:x.size].reshape(x.shape)
        return x + (self.std * z).astype(x.dtype)

    def backward_pass(self, dy: Array) -> Array:
        return dy

"""Gaussian noise: in training a small random number is added to each value, so that its last digits do not matter.

    forward     y  = x + std · z,  z ~ N(0, 1)
    backward    dx = dy
    prediction  y  = x

For a linear model and the squared error it is, on average, a penalty of std²·Σ w² on the weights: L2(2·std²).

Source: Bishop, "Training with noise is equivalent to Tikhonov regularization" (1995).
Engine: fastnn/gaussian_noise.pyx.
"""

from . import philox
from .layer import Array, Layer
from .shared import checks


def add_noise(x: Array, words: Array, std: float) -> Array:
    """x + std · z; an even number of random words gives the normal numbers z."""
    z = philox.normals(words)[:x.size].reshape(x.shape)
    return x + (std * z).astype(x.dtype)


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
        self.std = checks.as_number("std", std, 0)

    def forward_pass(self, x: Array, training: bool) -> Array:
        if not training or self.std == 0:
            return x
        return add_noise(x, self.random_words(x.size + x.size % 2), self.std)

    def backward_pass(self, dy: Array) -> Array:
        return dy

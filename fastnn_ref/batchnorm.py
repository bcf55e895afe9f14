"""Batch normalisation: every channel gets mean 0 and variance 1 over the batch, then a mean and a scale that it learns.

    forward     mean = Σ x / N,  var = Σ (x − mean)² / N        N values of one channel: over the batch and the image
                x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ dy,  dweight = Σ dy · x̂
                dx = weight / √(var + ε) · (dy − dbias/N − x̂ · dweight/N)
                    x̂ does not depend on x's mean and scale: the parts of dy along 1 and x̂ are removed
    prediction  the running mean and variance stand in for the batch's, and are constants: dx = weight / √(var + ε) · dy

    running ← (1 − momentum) · running + momentum · batch, with the unbiased variance Σ (x − mean)² / (N − 1).

Source: Ioffe and Szegedy, "Batch normalization" (2015), algorithms 1 and 2. Engine: fastnn/batchnorm.pyx.
"""

import math

import numpy as np

from .layer import Array, Parameter, Shape, sum_over
from .norm import Norm, axes, column
from .shared import checks
from .shared.shapes import check_input_shape


def batch_moments(x: Array) -> tuple[Array, Array, Array]:
    """x − mean, mean and biased variance of each channel; never E[x²] − E[x]², a difference of two large numbers."""
    mean = mean_of_channels(x)
    centred = x - column(mean, x)
    rest = mean_of_channels(centred)                    # what rounding left: it counts where the mean is large
    centred = centred - column(rest, x)
    return centred, mean + rest, mean_of_channels(centred**2)


def mean_of_channels(x: Array) -> Array:
    """Summed in float64: a sum over many rows, one after the other, has a rounding error at each."""
    return x.mean(axis=axes(x), dtype=np.float64).astype(x.dtype)


def batch_norm_forward(centred: Array, var: Array, weight: Array, bias: Array,
                       eps: float) -> tuple[Array, Array, Array]:
    """y, x̂ and 1 / √(var + ε)."""
    inv_std = 1 / np.sqrt(var + var.dtype.type(eps))
    x_hat = centred * column(inv_std, centred)
    return column(weight, x_hat) * x_hat + column(bias, x_hat), x_hat, inv_std


def batch_norm_backward(dy: Array, weight: Array, x_hat: Array, inv_std: Array,
                        constant: bool) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias; are mean and variance ``constant``, or functions of the batch?"""
    n = dy.size // len(weight)
    dw, db = sum_over(axes(dy), dy * x_hat), sum_over(axes(dy), dy)
    dx = dy if constant else dy - column(db / n, dy) - x_hat * column(dw / n, dy)
    return column(weight * inv_std, dy) * dx, dw, db


class BatchNorm(Norm):
    """What the two kinds share."""

    weight = Parameter("The learnt scale, shape (num_features,); None if made without one")
    bias = Parameter("The learnt mean, shape (num_features,); None if made without one")
    running_mean = Parameter("The mean that prediction uses, shape (num_features,)")
    running_var = Parameter("The variance that prediction uses, shape (num_features,)")

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, bias: bool = True,
    ) -> None:
        self.num_features = checks.as_integer("num_features", num_features, 1)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.momentum = checks.as_number("momentum", momentum, 0, 1)
        self.affine = checks.as_flag("affine", affine)
        shape = (checks.check_size("num_features", self.num_features),)
        self._add_affine(shape, self.affine, bias)
        self.add("running_mean", shape, trainable=False)
        self.add("running_var", shape, "ones", trainable=False)

    def min_batch_size(self, shape: Shape) -> int:
        return 1 if math.prod(shape) > self.num_features or not self._trainable else 2

    def forward_pass(self, x: Array, training: bool) -> Array:
        running_mean, running_var = self.values["running_mean"], self.values["running_var"]
        constant = not (training and self._trainable)
        if not constant:
            centred, mean, var = batch_moments(x)
            n, m = x.size // self.num_features, self.momentum
            for running, new in (running_mean, mean), (running_var, var * n / (n - 1)):
                running[...] = (1 - m) * running + m * new
        else:
            centred, var = x - column(running_mean, x), running_var
        y, x_hat, inv_std = batch_norm_forward(centred, var, *self._scale_and_shift(x.dtype), self.eps)
        self._saved = x_hat, inv_std, constant
        return y

    def backward_pass(self, dy: Array) -> Array:
        weight, _ = self._scale_and_shift(dy.dtype)
        dx, *gradients = batch_norm_backward(dy, weight, *self._saved)
        self.set_gradients(*gradients)
        return dx


class BatchNorm1d(BatchNorm):
    """Normalises each of ``num_features`` columns over the batch: x and y (n, num_features).

    ``eps`` > 0 keeps the root away from 0; ``momentum``, 0 … 1, is the weight of the newest batch in the running mean
    and variance, which prediction uses. ``affine=False`` leaves weight and bias out, ``bias=False`` the bias alone. A
    training batch of one row has no variance: ValueError.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.BatchNorm1d(1)
    >>> [round(value, 3) for value in layer.forward(np.array([[1.0], [3.0]]), training=True).ravel().tolist()]
    [-1.0, 1.0]
    >>> round(float(layer.running_mean[0]), 3), round(float(layer.running_var[0]), 3)
    (0.2, 1.1)
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, bias)
        self._input_shape = (self.num_features,)

    def output_shape(self, shape: Shape) -> Shape:
        """(num_features,), unchanged."""
        return check_input_shape(type(self).__name__, shape, (self.num_features,), (self.num_features,))


class BatchNorm2d(BatchNorm):
    """Normalises each of ``num_features`` channels over batch and image: x and y (n, num_features, h, w).

    ``eps`` > 0 keeps the root away from 0; ``momentum``, 0 … 1, is the weight of the newest batch in the running mean
    and variance, which prediction uses. ``affine=False`` leaves weight and bias out, ``bias=False`` the bias alone. A
    training batch of one value a channel has no variance: ValueError.

    >>> import numpy as np, fastnn_ref as nn
    >>> y = nn.BatchNorm2d(2).forward(np.arange(8.0).reshape(1, 2, 2, 2), training=True)
    >>> [round(value, 2) for value in y[0, 0].ravel().tolist()]
    [-1.34, -0.45, 0.45, 1.34]
    """

    def output_shape(self, shape: Shape) -> Shape:
        """(num_features, h, w), unchanged."""
        return checks.check_image_shape(type(self).__name__, shape, self.num_features)

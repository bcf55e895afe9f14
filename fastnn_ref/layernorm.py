"""Layer normalisation: every example gets mean 0 and variance 1 over its own values; no batch, no running statistics.

    forward     mean = Σ x / k,  var = Σ (x − mean)² / k        k values of one row
                x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ_rows dy,  dweight = Σ_rows dy · x̂
                g = weight · dy,  dx = (g − Σ g / k − x̂ · Σ g·x̂ / k) / √(var + ε)

Source: Ba, Kiros and Hinton, "Layer normalization" (2016), equations 3 and 4. Engine: fastnn/layernorm.pyx.
"""

import numpy as np

from .layer import Array, Parameter, Shape, sum_over
from .norm import Norm
from .shared import checks
from .shared.shapes import check_last_axes


def layer_norm_forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    """y, x̂ and 1 / √(var + ε) for rows x (n, k)."""
    centred = x - x.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=1, keepdims=True)         # what rounding left
    inv_std = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + x.dtype.type(eps))
    x_hat = centred * inv_std
    return x_hat * weight + bias, x_hat, inv_std


def layer_norm_backward(dy: Array, weight: Array, x_hat: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias for rows."""
    g = dy * weight
    dx = g - g.mean(axis=1, keepdims=True) - x_hat * (g * x_hat).mean(axis=1, keepdims=True)
    return dx * inv_std, sum_over(0, dy * x_hat), sum_over(0, dy)


class LayerNorm(Norm):
    """Normalises each row over its last axes, those of ``normalized_shape`` (an integer or a tuple).

    x and y (n, …, *normalized_shape); ``eps`` > 0 keeps the root away from 0. ``weight`` and ``bias`` have
    ``normalized_shape``; ``elementwise_affine=False`` leaves both out, ``bias=False`` the bias alone. Training and
    prediction do the same.

    >>> import numpy as np, fastnn_ref as nn
    >>> [round(value, 3) for value in nn.LayerNorm(3)(np.array([[1.0, 2.0, 3.0]]))[0].tolist()]
    [-1.225, 0.0, 1.225]
    """

    weight = Parameter("The learnt scale, in ``normalized_shape``; None if made without one")
    bias = Parameter("The learnt mean, in ``normalized_shape``; None if made without one")

    def __init__(
        self, normalized_shape: int | Shape, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
    ) -> None:
        self.normalized_shape = checks.as_shape("normalized_shape", normalized_shape)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.elementwise_affine = checks.as_flag("elementwise_affine", elementwise_affine)
        self._add_affine(self.normalized_shape, self.elementwise_affine, bias)

    def output_shape(self, shape: Shape) -> Shape:
        """The input's own shape, which must end in ``normalized_shape``."""
        return check_last_axes(type(self).__name__, shape, self.normalized_shape)

    def forward_pass(self, x: Array, training: bool) -> Array:
        weight, bias = (value.reshape(-1) for value in self._scale_and_shift(x.dtype))
        y, *self._saved = layer_norm_forward(x.reshape(-1, weight.size), weight, bias, self.eps)
        return y.reshape(x.shape)

    def backward_pass(self, dy: Array) -> Array:
        weight, _ = self._scale_and_shift(dy.dtype)
        dx, *gradients = layer_norm_backward(dy.reshape(-1, weight.size), weight.reshape(-1), *self._saved)
        self.set_gradients(*(gradient.reshape(weight.shape) for gradient in gradients))
        return dx.reshape(dy.shape)

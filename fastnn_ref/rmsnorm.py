"""RMSNorm: every row is divided by the root of its mean square; no mean is subtracted, and there is no bias.

    forward     r = √(Σ x² / k + ε),  x̂ = x / r,  y = weight · x̂         k values of one row
    backward    dweight = Σ_rows dy · x̂
                g = weight · dy,  dx = (g − x̂ · Σ g·x̂ / k) / r

Source: Zhang and Sennrich, "Root mean square layer normalization" (2019), equation 4; ε as in PyTorch.
Engine: fastnn/rmsnorm.pyx.
"""

import numpy as np

from .layer import Array, Parameter, Shape, sum_over
from .norm import Norm
from .shared import checks
from .shared.shapes import check_last_axes


def rms_norm_forward(x: Array, weight: Array, eps: float) -> tuple[Array, Array, Array]:
    """y, x̂ and 1 / r for rows x (n, k)."""
    inverse = 1 / np.sqrt((x**2).mean(axis=1, keepdims=True) + x.dtype.type(eps))
    x_hat = x * inverse
    return x_hat * weight, x_hat, inverse


def rms_norm_backward(dy: Array, weight: Array, x_hat: Array, inverse: Array) -> tuple[Array, Array]:
    """dx, dweight for rows."""
    g = dy * weight
    dx = (g - x_hat * (g * x_hat).mean(axis=1, keepdims=True)) * inverse
    return dx, sum_over(0, dy * x_hat)


class RMSNorm(Norm):
    """Divides each row by its root mean square over the last axes: ``normalized_shape``, an integer or a tuple.

    x and y (n, …, *normalized_shape). ``eps`` > 0 is added to the mean square; None, the default, is PyTorch's: the
    machine epsilon of x's dtype, 2⁻²³ in float32 and 2⁻⁵² in float64. ``weight`` has ``normalized_shape``;
    ``elementwise_affine=False`` leaves it out. Training and prediction do the same.

    >>> import numpy as np, fastnn_ref as nn
    >>> [round(value, 3) for value in nn.RMSNorm(2)(np.array([[3.0, 4.0]]))[0].tolist()]
    [0.849, 1.131]
    """

    weight = Parameter("The learnt scale, in ``normalized_shape``; None if made without one")

    def __init__(
        self, normalized_shape: int | Shape, eps: float | None = None, elementwise_affine: bool = True,
    ) -> None:
        self.normalized_shape = checks.as_shape("normalized_shape", normalized_shape)
        self.eps = None if eps is None else checks.as_number("eps", eps, 0, low_open=True)
        self.elementwise_affine = checks.as_flag("elementwise_affine", elementwise_affine)
        self._add_affine(self.normalized_shape, self.elementwise_affine)

    def output_shape(self, shape: Shape) -> Shape:
        """The input's own shape, which must end in ``normalized_shape``."""
        return check_last_axes(type(self).__name__, shape, self.normalized_shape)

    def forward_pass(self, x: Array, training: bool) -> Array:
        weight = self._scale_and_shift(x.dtype)[0].reshape(-1)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        y, *self._saved = rms_norm_forward(x.reshape(-1, weight.size), weight, eps)
        return y.reshape(x.shape)

    def backward_pass(self, dy: Array) -> Array:
        weight, _ = self._scale_and_shift(dy.dtype)
        dx, gradient = rms_norm_backward(dy.reshape(-1, weight.size), weight.reshape(-1), *self._saved)
        self.set_gradients(gradient.reshape(weight.shape))
        return dx.reshape(dy.shape)

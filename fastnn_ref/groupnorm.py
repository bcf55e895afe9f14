"""Group normalisation: in every example, each group of channels gets mean 0 and variance 1; no batch is needed.

    forward     mean = Σ x / k,  var = Σ (x − mean)² / k        k values of one group: its channels, and the image
                x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ dy,  dweight = Σ dy · x̂              for each channel: over the batch and the image
                g = weight · dy,  dx = (g − Σ g / k − x̂ · Σ g·x̂ / k) / √(var + ε)

One group of all channels is layer normalisation of the whole example but for the shape of the weight, and a group for
each channel is instance normalisation.

Source: Wu and He, "Group normalization" (2018), equations 1 to 7. Engine: fastnn/groupnorm.pyx.
"""

import numpy as np

from .layer import Array, Parameter, Shape, sum_over
from .norm import Norm, axes, column
from .shared import checks
from .shared.shapes import check_first_axis


def group_norm_forward(x: Array, groups: int, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    """y, x̂ and 1 / √(var + ε) for x (n, channels, …)."""
    rows = x.reshape(len(x), groups, -1)
    centred = rows - rows.mean(axis=2, keepdims=True)
    centred = centred - centred.mean(axis=2, keepdims=True)         # what rounding left
    inv_std = 1 / np.sqrt((centred**2).mean(axis=2, keepdims=True) + x.dtype.type(eps))
    x_hat = (centred * inv_std).reshape(x.shape)
    return column(weight, x) * x_hat + column(bias, x), x_hat, inv_std


def group_norm_backward(dy: Array, weight: Array, x_hat: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias."""
    rows = *inv_std.shape[:2], -1                                   # n, groups
    g, normal = (column(weight, dy) * dy).reshape(rows), x_hat.reshape(rows)
    dx = g - g.mean(axis=2, keepdims=True) - normal * (g * normal).mean(axis=2, keepdims=True)
    return (dx * inv_std).reshape(dy.shape), sum_over(axes(dy), dy * x_hat), sum_over(axes(dy), dy)


class GroupNorm(Norm):
    """Normalises ``num_groups`` groups of neighbouring channels, each in every example over its channels and the image.

    x and y (n, num_channels, …), such as images (n, num_channels, h, w). ``num_groups`` divides ``num_channels``, or
    ValueError; ``eps`` > 0 keeps the root away from 0. ``weight`` and ``bias`` have one value for each channel;
    ``affine=False`` leaves both out, ``bias=False`` the bias alone. Training and prediction do the same.

    >>> import numpy as np, fastnn_ref as nn
    >>> y = nn.GroupNorm(2, 4)(np.array([[1.0, 3.0, 10.0, 50.0]]))
    >>> [round(value, 3) for value in y[0].tolist()]
    [-1.0, 1.0, -1.0, 1.0]
    """

    weight = Parameter("The learnt scale, shape (num_channels,); None if made without one")
    bias = Parameter("The learnt mean, shape (num_channels,); None if made without one")

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, bias: bool = True,
    ) -> None:
        self.num_channels = checks.as_integer("num_channels", num_channels, 1)
        self.num_groups = checks.as_divisor("num_groups", num_groups, "num_channels", self.num_channels)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.affine = checks.as_flag("affine", affine)
        self._add_affine((checks.check_size("num_channels", self.num_channels),), self.affine, bias)

    def output_shape(self, shape: Shape) -> Shape:
        """(num_channels, …), unchanged."""
        return check_first_axis(type(self).__name__, shape, self.num_channels)

    def forward_pass(self, x: Array, training: bool) -> Array:
        y, *self._saved = group_norm_forward(x, self.num_groups, *self._scale_and_shift(x.dtype), self.eps)
        return y

    def backward_pass(self, dy: Array) -> Array:
        dx, *gradients = group_norm_backward(dy, self._scale_and_shift(dy.dtype)[0], *self._saved)
        self.set_gradients(*gradients)
        return dx

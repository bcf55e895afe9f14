"""Norm: what every normalisation has at its end, a scale and a mean that are learnt.

    forward     y = weight · x̂ + bias
    backward    dweight = Σ dy · x̂,  dbias = Σ dy

x̂ is what the kind of norm makes of x. In a layer that is made without a scale weight is 1, without a shift bias is 0.

Source: Ioffe and Szegedy, "Batch normalization" (2015), section 3. Engine: fastnn/norm.pyx.
"""

import numpy as np

from .layer import Array, Layer
from .shared import checks


def column(values: Array, like: Array) -> Array:
    """One value a channel, shaped to meet (n, channels, …)."""
    return values.reshape(-1, *[1] * (like.ndim - 2))


def axes(x: Array) -> tuple[int, ...]:
    """The axes that a channel's values stand on."""
    return (0, *range(2, x.ndim))


class Norm(Layer):
    """What the kinds share."""

    def _add_affine(self, shape: tuple[int, ...], affine: bool, bias: object = False) -> None:
        """Declares the scale, and behind it the shift, unless the layer is made without them."""
        bias = checks.as_flag("bias", bias)
        self._affine_shape = shape
        if affine:
            self.add("weight", shape, "ones", decays=False)
        if affine and bias:
            self.add("bias", shape, decays=False)

    def _scale_and_shift(self, dtype: np.dtype) -> tuple[Array, Array]:
        """weight and bias, or the ones and zeros that stand in for them."""
        return (self.values.get("weight", np.ones(self._affine_shape, dtype)),
                self.values.get("bias", np.zeros(self._affine_shape, dtype)))

"""Upsample: an image made larger (or smaller), each new pixel looked up in the old ones.

    nearest     y[i] = x[⌊p⌋],                              p = i · step
    bilinear    y[i] = (1 − f)·x[⌊p⌋] + f·x[⌊p⌋ + 1],       p = max((i + ½)·step − ½, 0),  f = p − ⌊p⌋
                with align_corners                          p = i · (h − 1) / (h' − 1)
    backward    dx = Σ over the places y[i] that looked at x, times what they took of it

The same for rows and columns, one after the other. step is 1 / scale_factor, or h / h' where sizes are given. Behind
the last pixel stands the last pixel.

Source: Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts" (2016), on upsampling before a convolution;
the places are PyTorch's, but for what its "nearest" rounds: it works p out in float32, and takes a scale factor for 1
or 2 where h' is h or 2·h; images of which both sides stay it copies. Engine: fastnn/upsample.pyx.
"""

from typing import NamedTuple

import numpy as np

from .conv import Pair
from .layer import Array, Layer, Shape
from .shared import checks


class Places(NamedTuple):
    """Where the new rows, or columns, look: at low, and for a fraction of high."""

    low: Array
    high: Array
    fraction: Array


def places(side: int, count: int, scale: float | None, mode: str, align_corners: bool) -> Places:
    """The places of ``count`` new rows, or columns, in ``side`` old ones."""
    i = np.arange(count)
    if mode == "nearest":
        low = np.minimum(i * side // count if scale is None else np.floor(i / scale).astype(int), side - 1)
        return Places(low, low, np.zeros(count))
    if align_corners:
        p = i * (side - 1) / max(count - 1, 1)
    else:
        p = np.maximum((i + 0.5) * (side / count if scale is None else 1 / scale) - 0.5, 0)
    low = np.minimum(np.floor(p).astype(int), side - 1)
    return Places(low, np.minimum(low + 1, side - 1), np.minimum(p - low, 1))


def look_up(x: Array, where: Places, mode: str, axis: int) -> Array:
    """The new rows of x, or along another ``axis``."""
    low = x.take(where.low, axis)
    if mode == "nearest":
        return low
    f = along(where.fraction, axis, x)
    return (1 - f) * low + f * x.take(where.high, axis)


def spread(dy: Array, where: Places, side: int, mode: str, axis: int) -> Array:
    """The transpose of ``look_up``: dx of ``side`` rows."""
    dx = np.zeros((*dy.shape[:axis], side, *dy.shape[axis + 1:]), dy.dtype)
    rows, dy = np.moveaxis(dx, axis, 0), np.moveaxis(dy, axis, 0)
    f = along(where.fraction, 0, dy)
    if mode == "nearest":
        np.add.at(rows, where.low, dy)
    else:
        np.add.at(rows, where.low, (1 - f) * dy)
        np.add.at(rows, where.high, f * dy)
    return dx


def along(values: Array, axis: int, x: Array) -> Array:
    """Values for one axis of x, in its dtype and broadcast over the others."""
    return values.astype(x.dtype).reshape([-1 if each == axis else 1 for each in range(x.ndim)])


class Upsample(Layer):
    """Images of another size: x (n, channels, h, w), y (n, channels, h', w').

    Either ``size``, (h', w') or a number for both, or ``scale_factor`` > 0, a number or a pair, with
    h' = ⌊h · scale_factor⌋ >= 1. ``mode`` is "nearest" or "bilinear"; ``align_corners``, for "bilinear" alone, puts the
    first and the last pixel in the same places before and after. Raises ValueError or TypeError for anything else.

    >>> import numpy as np, fastnn_ref as nn
    >>> x = np.array([[[[1.0, 2.0]]]])
    >>> print(nn.Upsample(scale_factor=2)(x)[0, 0])
    [[1. 1. 2. 2.]
     [1. 1. 2. 2.]]
    >>> print(nn.Upsample(size=(1, 4), mode="bilinear")(x)[0, 0])
    [[1.   1.25 1.75 2.  ]]
    """

    changes_shape = True

    def __init__(self, size: int | Pair | None = None, scale_factor: float | tuple[float, float] | None = None,
                 mode: str = "nearest", align_corners: bool = False) -> None:
        self.size, self.scale_factor = checks.as_new_size(size, scale_factor)
        self.mode = checks.as_choice("mode", mode, ("nearest", "bilinear"))
        self.align_corners = checks.as_align_corners(align_corners, self.mode)

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, h', w') for (channels, h, w)."""
        channels, *image = checks.check_image_shape(type(self).__name__, shape)
        return (channels, *checks.scaled_shape(type(self).__name__, image, self.size, self.scale_factor))

    def forward_pass(self, x: Array, training: bool) -> Array:
        _, *counts = self.output_shape(x.shape[1:])
        scales = (None, None) if self.scale_factor is None else self.scale_factor
        axes = self._saved = [
            (axis, side, places(side, count, scale, self.mode, self.align_corners))
            for axis, side, count, scale in zip((2, 3), x.shape[2:], counts, scales, strict=True)]
        for axis, _, where in axes:
            x = look_up(x, where, self.mode, axis)
        return x

    def backward_pass(self, dy: Array) -> Array:
        for axis, side, where in reversed(self._saved):
            dy = spread(dy, where, side, self.mode, axis)
        return dy

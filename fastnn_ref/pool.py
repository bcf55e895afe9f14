"""Pooling: an image made smaller, each window become one number; and Flatten, which makes rows of images.

    MaxPool2d           y = max of the window           dx = dy where the maximum stood (the first of several)
    AvgPool2d           y = Σ of the window / its size  dx = dy / size for each pixel of the window
    GlobalAvgPool2d     y = Σ of the image / its size   dx = dy / size for each pixel
    Flatten             y = x, as one row               dx = dy, as images

Source: LeCun et al. (1998) for averages; Riesenhuber and Poggio (1999) for maxima; Lin, Chen and Yan,
"Network in network" (2014) for global averages. Twin: fastnn/pool.pyx.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .layer import Array, Layer, Shape
from .shared import checks

Pair = tuple[int, int]


class Pool(Layer):
    """What the two with a window share."""

    changes_shape = True

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        super().__init__()
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else checks.as_pair("stride", stride, 1)
        self.padding = checks.check_pool_padding("padding", checks.as_pair("padding", padding, 0), self.kernel_size)

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.kernel_size,), {"stride": self.stride, "padding": self.padding}

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """(channels, h', w') for (channels, h, w)."""
        channels, *image = checks.check_image_shape(type(self).__name__, shape)
        return (channels, *checks.window_counts(
            type(self).__name__, image, self.kernel_size, self.stride, self.padding, (1, 1)))

    def windows(self, x: Array, fill: float) -> Array:
        """Each window's values in a row: (n, channels, h', w', kh · kw)."""
        (ph, pw), (sh, sw) = self.padding, self.stride
        padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
        seen = sliding_window_view(padded, self.kernel_size, axis=(2, 3))[:, :, ::sh, ::sw]
        return seen.reshape(*seen.shape[:4], -1)

    def back(self, parts: Array, shape: Shape) -> Array:
        """Each pixel's sum over the windows (n, channels, h', w', kh · kw) that it stands in."""
        (ph, pw), (sh, sw), (kh, kw) = self.padding, self.stride, self.kernel_size
        height, width = parts.shape[2:4]
        padded = np.zeros((*shape[:2], shape[2] + 2 * ph, shape[3] + 2 * pw), parts.dtype)
        for i in range(kh):
            for j in range(kw):
                padded[:, :, i:i + sh * height:sh, j:j + sw * width:sw] += parts[..., i * kw + j]
        return padded[:, :, ph:ph + shape[2], pw:pw + shape[3]]


class MaxPool2d(Pool):
    """The largest value of each window: x (n, channels, h, w), y (n, channels, h', w').

    ``kernel_size``, ``stride`` (by default the kernel's) >= 1 and ``padding`` (at most half the kernel) are a number or
    a pair. What does not fill a window is left out: h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1. Padding never wins.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0])
    [[ 5.  7.]
     [13. 15.]]
    """

    def forward_pass(self, x: Array, training: bool) -> Array:
        windows = self.windows(x, -math.inf)
        best = windows.argmax(axis=-1)[..., None]               # the first; a NaN wins
        self._kept = x.shape, best
        return np.take_along_axis(windows, best, axis=-1)[..., 0]

    def backward_pass(self, dy: Array) -> Array:
        shape, best = self._kept
        parts = np.zeros((*dy.shape, math.prod(self.kernel_size)), dy.dtype)
        np.put_along_axis(parts, best, dy[..., None], axis=-1)
        return self.back(parts, shape)


class AvgPool2d(Pool):
    """The mean of each window: x (n, channels, h, w), y (n, channels, h', w').

    Arguments as for ``MaxPool2d``. Padding counts as zeros: the sum is always divided by the kernel's size.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0])
    [[ 2.5  4.5]
     [10.5 12.5]]
    """

    def forward_pass(self, x: Array, training: bool) -> Array:
        self._kept = x.shape
        return self.windows(x, 0).sum(axis=-1) / x.dtype.type(math.prod(self.kernel_size))

    def backward_pass(self, dy: Array) -> Array:
        size = math.prod(self.kernel_size)
        return self.back(np.repeat(dy[..., None] / dy.dtype.type(size), size, axis=-1), self._kept)


class GlobalAvgPool2d(Layer):
    """The mean of each channel's image: x (n, channels, h, w), y (n, channels).

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.GlobalAvgPool2d()(np.arange(8.0).reshape(1, 2, 2, 2)))
    [[1.5 5.5]]
    """

    changes_shape = True

    def __init__(self) -> None:
        super().__init__()

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """(channels,) for (channels, h, w)."""
        return checks.check_image_shape(type(self).__name__, shape)[:1]

    def forward_pass(self, x: Array, training: bool) -> Array:
        self._kept = x.shape
        return x.sum(axis=(2, 3)) / x.dtype.type(x[0, 0].size)

    def backward_pass(self, dy: Array) -> Array:
        shape = self._kept
        return np.broadcast_to((dy / dy.dtype.type(shape[2] * shape[3]))[:, :, None, None], shape)


class Flatten(Layer):
    """Each example as one row: x (n, …), y (n, k), k the number of its values.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Flatten()(np.zeros((5, 3, 8, 8))).shape
    (5, 192)
    """

    changes_shape = True

    def __init__(self) -> None:
        super().__init__()

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """(k,) for any shape of k values."""
        return (math.prod(shape),)

    def forward_pass(self, x: Array, training: bool) -> Array:
        self._kept = x.shape
        return x.reshape(len(x), -1)

    def backward_pass(self, dy: Array) -> Array:
        return dy.reshape(self._kept)

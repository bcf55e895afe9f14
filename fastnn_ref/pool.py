"""Pooling: an image made smaller, each window become one number.

    MaxPool2d           y = max of the window           dx = dy where the maximum stood (the first of several)
    AvgPool2d           y = Σ of the window / its size  dx = dy / size for each pixel of the window
    GlobalAvgPool2d     y = Σ of the image / its size   dx = dy / size for each pixel

Source: LeCun et al. (1998) for averages; Riesenhuber and Poggio (1999) for maxima; Lin, Chen and Yan,
"Network in network" (2014) for global averages. Engine: fastnn/pool.pyx.
"""

import math

import numpy as np

from .conv import Pair, patches_of, sum_of_patches
from .layer import Array, Layer, Shape
from .shared import checks

DENSE = 1, 1        # a pool's window leaves no pixel out: the dilation of a convolution


def windows_of(x: Array, kernel: Pair, stride: Pair, padding: Pair, fill: float) -> Array:
    """Each window's values in a row: (n, channels, h', w', kh · kw); ``fill`` stands in the padding."""
    windows = patches_of(x, kernel, stride, padding, DENSE, fill)
    return windows.reshape(*windows.shape[:4], -1)


def sum_of_windows(parts: Array, shape: Shape, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """The transpose of ``windows_of``: each pixel of images of ``shape`` is the sum over the windows it stands in."""
    return sum_of_patches(parts.reshape(*parts.shape[:4], *kernel), shape, stride, padding, DENSE)


def max_pool2d_forward(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Array, Array]:
    """y, and where in its window each maximum stands: the first of several, and a NaN before any number."""
    windows = windows_of(x, kernel, stride, padding, -math.inf)
    inside = windows_of(np.ones((1, 1, *x.shape[2:])), kernel, stride, padding, 0) > 0
    # Where all values are −∞ the first place that is no padding wins: padding never takes a gradient.
    place = np.where((windows == -math.inf).all(axis=-1), inside.argmax(axis=-1), windows.argmax(axis=-1))[..., None]
    return np.take_along_axis(windows, place, axis=-1)[..., 0], place


def max_pool2d_backward(dy: Array, kernel: Pair, stride: Pair, padding: Pair, place: Array, shape: Shape) -> Array:
    """dx in x's ``shape``."""
    parts = np.zeros((*dy.shape, math.prod(kernel)), dy.dtype)
    np.put_along_axis(parts, place, dy[..., None], axis=-1)
    return sum_of_windows(parts, shape, kernel, stride, padding)


def avg_pool2d_forward(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """y; padding counts as zeros."""
    return windows_of(x, kernel, stride, padding, 0).sum(axis=-1) / x.dtype.type(math.prod(kernel))


def avg_pool2d_backward(dy: Array, kernel: Pair, stride: Pair, padding: Pair, shape: Shape) -> Array:
    """dx in x's ``shape``."""
    size = math.prod(kernel)
    parts = np.repeat(dy[..., None] / dy.dtype.type(size), size, axis=-1)
    return sum_of_windows(parts, shape, kernel, stride, padding)


class Pool(Layer):
    """What the two with a window share."""

    changes_shape = True

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else checks.as_pair("stride", stride, 1)
        self.padding = checks.check_pool_padding("padding", checks.as_pair("padding", padding, 0), self.kernel_size)
        self._window = self.kernel_size, self.stride, self.padding

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, h', w') for (channels, h, w)."""
        who = type(self).__name__
        channels, *image = checks.check_image_shape(who, shape)
        return (channels, *checks.window_counts(who, image, *self._window, DENSE))


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
        y, place = max_pool2d_forward(x, *self._window)
        self.saved = place, x.shape
        return y

    def backward_pass(self, dy: Array) -> Array:
        return max_pool2d_backward(dy, *self._window, *self.saved)


class AvgPool2d(Pool):
    """The mean of each window: x (n, channels, h, w), y (n, channels, h', w').

    Arguments as for ``MaxPool2d``. Padding counts as zeros: the sum is always divided by the kernel's size.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0])
    [[ 2.5  4.5]
     [10.5 12.5]]
    """

    def forward_pass(self, x: Array, training: bool) -> Array:
        self.saved = x.shape
        return avg_pool2d_forward(x, *self._window)

    def backward_pass(self, dy: Array) -> Array:
        return avg_pool2d_backward(dy, *self._window, self.saved)


class GlobalAvgPool2d(Layer):
    """The mean of each channel's image: x (n, channels, h, w), y (n, channels).

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.GlobalAvgPool2d()(np.arange(8.0).reshape(1, 2, 2, 2)))
    [[1.5 5.5]]
    """

    changes_shape = True

    def output_shape(self, shape: Shape) -> Shape:
        """(channels,) for (channels, h, w)."""
        return checks.check_image_shape(type(self).__name__, shape)[:1]

    def forward_pass(self, x: Array, training: bool) -> Array:
        self.saved = x.shape
        return x.sum(axis=(2, 3)) / x.dtype.type(x[0, 0].size)

    def backward_pass(self, dy: Array) -> Array:
        share = dy / dy.dtype.type(math.prod(self.saved[2:]))
        return np.broadcast_to(share[:, :, None, None], self.saved)

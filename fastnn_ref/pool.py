"""Pooling: an image made smaller; each window becomes one number.

    MaxPool2d           y = max of the window           dx = dy where the maximum stood (the first of several)
    AvgPool2d           y = Σ of the window / its size  dx = dy / size for each pixel of the window
    AdaptiveMaxPool2d   y = max of the bin              dx = dy where the maximum stood
    AdaptiveAvgPool2d   y = Σ of the bin / its size     dx = dy / size for each pixel of the bin
    GlobalAvgPool2d     y = Σ of the image / its size   dx = dy / size for each pixel

Bin i of h', in an image of h rows, goes from row ⌊i·h / h'⌋ to before row ⌈(i + 1)·h / h'⌉: the bins cover the image,
and neighbours share a row where h' does not divide h.

Source: LeCun et al. (1998) for averages; Riesenhuber and Poggio (1999) for maxima; Lin, Chen and Yan,
"Network in network" (2014) for global averages. Engine: fastnn/pool.pyx.
"""

import math
from collections.abc import Iterator

import numpy as np

from .conv import Pair, Sides, patches_of, sum_of_patches
from .layer import Array, Layer, Shape
from .shared import checks

DENSE = 1, 1        # a window that leaves no pixel out: the dilation of a convolution


def windows_of(x: Array, kernel: Pair, stride: Pair, sides: Sides, dilation: Pair, fill: float) -> Array:
    """Each window's values in a row: (n, channels, h', w', kh · kw); ``fill`` stands in the padding."""
    windows = patches_of(x, kernel, stride, sides, dilation, fill)
    return windows.reshape(*windows.shape[:4], -1)


def sum_of_windows(parts: Array, shape: Shape, kernel: Pair, stride: Pair, sides: Sides, dilation: Pair) -> Array:
    """The transpose of ``windows_of``: each pixel of images of ``shape`` is the sum over the windows it stands in."""
    return sum_of_patches(parts.reshape(*parts.shape[:4], *kernel), shape, stride, sides, dilation)


def max_pool2d_forward(x: Array, kernel: Pair, stride: Pair, sides: Sides, dilation: Pair) -> tuple[Array, Array]:
    """y, and where in its window each maximum stands: the first of several, and a NaN before any number."""
    windows = windows_of(x, kernel, stride, sides, dilation, -math.inf)
    inside = windows_of(np.ones((1, 1, *x.shape[2:])), kernel, stride, sides, dilation, 0) > 0
    # Where all values are −∞ the first place that is no padding wins: padding never takes a gradient.
    place = np.where((windows == -math.inf).all(axis=-1), inside.argmax(axis=-1), windows.argmax(axis=-1))[..., None]
    return np.take_along_axis(windows, place, axis=-1)[..., 0], place


def max_pool2d_backward(dy: Array, place: Array, shape: Shape, kernel: Pair, stride: Pair, sides: Sides,
                        dilation: Pair) -> Array:
    """dx in x's ``shape``."""
    parts = np.zeros((*dy.shape, math.prod(kernel)), dy.dtype)
    np.put_along_axis(parts, place, dy[..., None], axis=-1)
    return sum_of_windows(parts, shape, kernel, stride, sides, dilation)


def window_sizes(image: Pair, kernel: Pair, stride: Pair, sides: Sides, overhang: Sides,
                 count_include_pad: bool) -> Array:
    """How many pixels each window counts, (h', w'): of the padded image, or of the image alone.

    What sticks out of the padded image never counts.
    """
    counted = np.pad(np.ones(image), sides, constant_values=count_include_pad)
    return windows_of(counted[None, None], kernel, stride, overhang, DENSE, 0).sum(axis=-1)[0, 0]


def avg_pool2d_forward(x: Array, size: Array, kernel: Pair, stride: Pair, sides: Sides) -> Array:
    """y; padding is zeros in the sum."""
    return windows_of(x, kernel, stride, sides, DENSE, 0).sum(axis=-1) / size


def avg_pool2d_backward(dy: Array, size: Array, shape: Shape, kernel: Pair, stride: Pair, sides: Sides) -> Array:
    """dx in x's ``shape``."""
    parts = np.repeat((dy / size)[..., None], math.prod(kernel), axis=-1)
    return sum_of_windows(parts, shape, kernel, stride, sides, DENSE)


class Pool(Layer):
    """What the two with a window share."""

    changes_shape = True

    def _set_window(self, kernel_size: int | Pair, stride: int | Pair | None, padding: int | Pair | Sides,
                    dilation: int | Pair, ceil_mode: bool) -> None:
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else checks.as_pair("stride", stride, 1)
        self._dilation = checks.as_pair("dilation", dilation, 1)
        self._extent = checks.extent(self.kernel_size, self._dilation)
        self.padding = checks.as_pool_padding(padding, self._extent)
        self.ceil_mode = checks.as_flag("ceil_mode", ceil_mode)
        self._sides = checks.sides_of(self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, h', w') for (channels, h, w)."""
        who = type(self).__name__
        channels, *image = checks.check_image_shape(who, shape)
        window = self.kernel_size, self.stride, self.padding, self._dilation
        counts = checks.window_counts(who, image, *window, self.ceil_mode)
        checks.check_windows_meet(who, image, counts, *window)
        return (channels, *counts)

    def _overhang(self, shape: Shape) -> Sides:
        """How far the last windows stick out of the padded images of ``shape``: ((0, rows), (0, columns))."""
        _, *counts = self.output_shape(shape[1:])
        rows, cols = ((0, max(0, (n - 1) * s + k - side - sum(around))) for n, s, k, side, around in zip(
            counts, self.stride, self._extent, shape[2:], self._sides, strict=True))
        return rows, cols

    def _fill(self, shape: Shape) -> Sides:
        """Rows and columns around images of ``shape``, so that all windows have all their places."""
        (_, down), (_, across) = self._overhang(shape)
        (top, bottom), (left, right) = self._sides
        return (top, bottom + down), (left, right + across)


class MaxPool2d(Pool):
    """The largest value of each window: x (n, channels, h, w), y (n, channels, h', w').

    ``kernel_size``, ``stride`` (by default the kernel's) and ``dilation`` >= 1 are a number or a pair. ``padding``,
    less than the kernel's extent, is a number or a pair, or ((top, bottom), (left, right)); it is never the maximum.
    What does not fill a window is left out: h' = ⌊(h + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1. With
    ``ceil_mode`` the quotient is rounded up, unless the last window would begin behind the image. A window that
    dilation leaves without a pixel is a ValueError.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0])
    [[ 5.  7.]
     [13. 15.]]
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair | Sides = 0,
                 dilation: int | Pair = 1, *, ceil_mode: bool = False) -> None:
        self._set_window(kernel_size, stride, padding, dilation, ceil_mode)
        self.dilation = self._dilation

    def forward_pass(self, x: Array, training: bool) -> Array:
        window = self.kernel_size, self.stride, self._fill(x.shape), self.dilation
        y, place = max_pool2d_forward(x, *window)
        self._saved = place, x.shape, *window
        return y

    def backward_pass(self, dy: Array) -> Array:
        return max_pool2d_backward(dy, *self._saved)


class AvgPool2d(Pool):
    """The mean of each window: x (n, channels, h, w), y (n, channels, h', w').

    ``kernel_size``, ``stride``, ``padding`` and ``ceil_mode`` as for ``MaxPool2d``. Padding counts as zeros, so the
    sum is divided by the kernel's size, less what sticks out of the padded image with ``ceil_mode``. With
    ``count_include_pad=False`` it is divided by the number of the window's pixels, and with ``divisor_override``, a
    whole number >= 1, by that.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0])
    [[ 2.5  4.5]
     [10.5 12.5]]
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair | Sides = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> None:
        self._set_window(kernel_size, stride, padding, DENSE, ceil_mode)
        self.count_include_pad = checks.as_flag("count_include_pad", count_include_pad)
        self.divisor_override = (None if divisor_override is None else
                                 checks.as_integer("divisor_override", divisor_override, 1, 2**31))

    def forward_pass(self, x: Array, training: bool) -> Array:
        window = self.kernel_size, self.stride
        size = np.array(self.divisor_override) if self.divisor_override else window_sizes(
            x.shape[2:], *window, self._sides, self._overhang(x.shape), self.count_include_pad)
        size, fill = size.astype(x.dtype), self._fill(x.shape)
        self._saved = size, x.shape, *window, fill
        return avg_pool2d_forward(x, size, *window, fill)

    def backward_pass(self, dy: Array) -> Array:
        return avg_pool2d_backward(dy, *self._saved)


def bins(side: int, count: int) -> list[slice]:
    """``count`` bins that cover ``side`` rows, or columns."""
    return [slice(i * side // count, -(-(i + 1) * side // count)) for i in range(count)]


def bins_of(image: Shape, counts: Shape) -> Iterator[tuple[int, int, slice, slice]]:
    """(i, j, rows, columns) of each bin."""
    for i, rows in enumerate(bins(image[0], counts[0])):
        for j, cols in enumerate(bins(image[1], counts[1])):
            yield i, j, rows, cols


class Adaptive(Layer):
    """What the two with bins share."""

    changes_shape = True

    def __init__(self, output_size: int | tuple[int | None, int | None] | None) -> None:
        self.output_size = checks.as_output_size(output_size)

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, h', w') for (channels, h, w)."""
        channels, *image = checks.check_image_shape(type(self).__name__, shape)
        return (channels, *(count or side for count, side in zip(self.output_size, image, strict=True)))


class AdaptiveMaxPool2d(Adaptive):
    """The largest values of h' × w' bins of each channel's image: x (n, channels, h, w), y (n, channels, h', w').

    ``output_size`` as for ``AdaptiveAvgPool2d``.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.AdaptiveMaxPool2d((2, 1))(np.arange(12.0).reshape(1, 1, 3, 4))[0, 0])
    [[ 7.]
     [11.]]
    """

    def forward_pass(self, x: Array, training: bool) -> Array:
        y = np.empty((len(x), *self.output_shape(x.shape[1:])), x.dtype)
        place = np.empty(y.shape, int)                          # in its bin, row by row
        for i, j, rows, cols in bins_of(x.shape[2:], y.shape[2:]):
            values = x[:, :, rows, cols].reshape(*x.shape[:2], -1)
            place[:, :, i, j] = values.argmax(axis=-1)          # the first of several, and a NaN before any number
            y[:, :, i, j] = values.max(axis=-1)
        self._saved = x.shape, place
        return y

    def backward_pass(self, dy: Array) -> Array:
        shape, place = self._saved
        dx = np.zeros(shape, dy.dtype)
        for i, j, rows, cols in bins_of(shape[2:], dy.shape[2:]):
            part = dx[:, :, rows, cols]
            is_place = np.arange(part[0, 0].size).reshape(part.shape[2:]) == place[:, :, i, j, None, None]
            part += np.where(is_place, dy[:, :, i, j, None, None], 0)
        return dx


class AdaptiveAvgPool2d(Adaptive):
    """The means of h' × w' bins of each channel's image: x (n, channels, h, w), y (n, channels, h', w').

    ``output_size`` is h' and w', a number or a pair; None is the image's own. Bins may share rows and columns, and
    there may be more of them than of these: any size gives any other.

    >>> import numpy as np, fastnn_ref as nn
    >>> print(nn.AdaptiveAvgPool2d((2, 1))(np.arange(12.0).reshape(1, 1, 3, 4))[0, 0])
    [[3.5]
     [7.5]]
    """

    def forward_pass(self, x: Array, training: bool) -> Array:
        y = np.empty((len(x), *self.output_shape(x.shape[1:])), x.dtype)
        for i, j, rows, cols in bins_of(x.shape[2:], y.shape[2:]):
            part = x[:, :, rows, cols]
            y[:, :, i, j] = part.sum(axis=(2, 3)) / x.dtype.type(part[0, 0].size)
        self._saved = x.shape
        return y

    def backward_pass(self, dy: Array) -> Array:
        dx = np.zeros(self._saved, dy.dtype)
        for i, j, rows, cols in bins_of(dx.shape[2:], dy.shape[2:]):
            part = dx[:, :, rows, cols]
            part += dy[:, :, i, j, None, None] / dy.dtype.type(part[0, 0].size)
        return dx


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
        self._saved = x.shape
        return x.sum(axis=(2, 3)) / x.dtype.type(x[0, 0].size)

    def backward_pass(self, dy: Array) -> Array:
        share = dy / dy.dtype.type(math.prod(self._saved[2:]))
        return np.broadcast_to(share[:, :, None, None], self._saved)

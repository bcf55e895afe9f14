"""Pooling: an image made smaller, each window become one number; and Flatten, which makes rows of images.

    MaxPool2d           y = max of the window           dx = dy where the maximum stood, found again in x
    AvgPool2d           y = Σ of the window / its size  dx = dy / size for each pixel of the window
    GlobalAvgPool2d     y = Σ of the image / its size   dx = dy / size for each pixel
    Flatten             y = x, as one row: the same memory

Twin: fastnn_ref/pool.py.
"""

import math

from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_pool, threads
from fastnn.layer cimport BLOCKS, Arena, Blocks, Layer, Pass

from fastnn_ref import validation


cdef class Pooling(Layer):
    """Pooling()\n--\n
    What all that make an image smaller share: one kernel forward, one back."""

    reshapes = True

    cdef fastnn_pool g

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Layer.plan(self, shape, rows, arena)
        self.g.channels, self.g.height, self.g.width = shape
        self.g.x_interleaved, self.g.y_interleaved = self.x_in_blocks, self.y_in_blocks
        arena.reserve(&self.g.y, <object>rows * self.out_size)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.images, self.g.threads, self.g.x = p.rows, p.threads, x
        self.pool(p)
        return self.g.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        if not wants_dx:
            return dy
        self.g.dy, self.g.dx = dy, p.spare
        self.pool_backward(p)
        p.spare = dy
        return self.g.dx

    cdef void pool(self, Pass *p) noexcept nogil:
        pass

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        pass


cdef class Pool(Pooling):
    """Pool(kernel_size, stride=None, padding=0)\n--\n
    What the two with a window share."""

    cdef readonly tuple kernel_size, stride, padding

    def __init__(self, kernel_size, stride=None, padding=0):
        Layer.__init__(self)
        self.kernel_size = validation.pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else validation.pair("stride", stride, 1)
        self.padding = validation.half("padding", validation.pair("padding", padding, 0), self.kernel_size)
        self.g.kernel_h, self.g.kernel_w = self.kernel_size
        self.g.stride_h, self.g.stride_w = self.stride
        self.g.pad_h, self.g.pad_w = self.padding

    def arguments(self):
        return (self.kernel_size,), {"stride": self.stride, "padding": self.padding}

    def output_shape(self, shape):
        """(channels, h', w') for (channels, h, w)."""
        channels, *image = validation.image_shape(type(self).__name__, shape)
        return (channels, *validation.windows(
            type(self).__name__, image, self.kernel_size, self.stride, self.padding, (1, 1)))

    cdef Blocks blocks(self):
        return BLOCKS

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        cdef object line = 64 // arena.real_size
        Pooling.plan(self, shape, rows, arena)
        self.g.out_rows, self.g.out_cols = self.out_shape[1:]
        # x, dx, y and dy of one channel of a block, if there is one, or a padded row of an image.
        pixels = self.g.height * self.g.width + self.g.out_rows * self.g.out_cols
        self.g.scratch_size = max((rows >= line) * 2 * line * pixels, self.g.width + 2 * self.g.pad_w)
        arena.borrow(&self.g.scratch, <object>threads() * self.g.scratch_size)
        return self.out_shape


cdef class MaxPool2d(Pool):
    """MaxPool2d(kernel_size, stride=None, padding=0)\n--\n
    The largest value of each window: x (n, channels, h, w), y (n, channels, h', w').

    ``kernel_size``, ``stride`` (by default the kernel's) >= 1 and ``padding`` (at most half the kernel) are a number or
    a pair. What does not fill a window is left out: h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1. Padding never wins.

    >>> import numpy as np, fastnn as nn
    >>> print(nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0])
    [[ 5.  7.]
     [13. 15.]]
    """

    def __init__(self, kernel_size, stride=None, padding=0):
        Pool.__init__(self, kernel_size, stride, padding)

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.max_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.max_pool_backward(&self.g)


cdef class AvgPool2d(Pool):
    """AvgPool2d(kernel_size, stride=None, padding=0)\n--\n
    The mean of each window: x (n, channels, h, w), y (n, channels, h', w').

    Arguments as for ``MaxPool2d``. Padding counts as zeros: the sum is always divided by the kernel's size.

    >>> import numpy as np, fastnn as nn
    >>> print(nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0])
    [[ 2.5  4.5]
     [10.5 12.5]]
    """

    def __init__(self, kernel_size, stride=None, padding=0):
        Pool.__init__(self, kernel_size, stride, padding)

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.avg_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.avg_pool_backward(&self.g)


cdef class GlobalAvgPool2d(Pooling):
    """GlobalAvgPool2d()\n--\n
    The mean of each channel's image: x (n, channels, h, w), y (n, channels).

    >>> import numpy as np, fastnn as nn
    >>> print(nn.GlobalAvgPool2d()(np.arange(8.0).reshape(1, 2, 2, 2)))
    [[1.5 5.5]]
    """

    def __init__(self):
        Layer.__init__(self)
        self.g.stride_h = self.g.stride_w = self.g.out_rows = self.g.out_cols = 1

    def output_shape(self, shape):
        """(channels,) for (channels, h, w)."""
        return validation.image_shape(type(self).__name__, shape)[:1]

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Pooling.plan(self, shape, rows, arena)
        self.g.kernel_h, self.g.kernel_w = self.g.height, self.g.width
        return self.out_shape

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.global_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.global_pool_backward(&self.g)


cdef class Flatten(Layer):
    """Flatten()\n--\n
    Each example as one row: x (n, …), y (n, k), k the number of its values.

    >>> import numpy as np, fastnn as nn
    >>> nn.Flatten()(np.zeros((5, 3, 8, 8))).shape
    (5, 192)
    """

    reshapes = True

    def __init__(self):
        Layer.__init__(self)

    def output_shape(self, shape):
        """(k,) for any shape of k values."""
        return (math.prod(shape),)

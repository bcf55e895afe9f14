"""Pooling: an image made smaller; each window becomes one number.

    MaxPool2d           y = max of the window           dx = dy where the maximum stood, found again in x
    AvgPool2d           y = Σ of the window / its size  dx = dy / size for each pixel of the window
    AdaptiveMaxPool2d   y = max of the bin              dx = dy where the maximum stood
    AdaptiveAvgPool2d   y = Σ of the bin / its size     dx = dy / size for each pixel of the bin
    GlobalAvgPool2d     y = Σ of the image / its size   dx = dy / size for each pixel

image_tables.py says which pixels a window has.

Reference: fastnn_ref/pool.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport RELU, address, fastnn_pool
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport INTERLEAVED, Layout, Pass

from fastnn import image_tables
from fastnn_ref.shared import checks


cdef class Pooling(Layer):
    """Pooling()\n--\n\n"""

    changes_shape = True

    cdef fastnn_pool g
    cdef tuple tables                           # what g points to

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        self.g.channels, self.g.height, self.g.width = shape
        self.g.x_interleaved, self.g.y_interleaved = self.x_layout == INTERLEAVED, self.y_layout == INTERLEAVED
        self.g.out_rows, self.g.out_cols = out_shape[1:] or (1, 1)      # a global pool gives rows
        self.tables = tuple([each._replace(size=each.size.astype(f"float{8 * plan.real_size}"))
                             for each in self.windows(shape[1:], (self.g.out_rows, self.g.out_cols))])
        self.set_tables(self.tables[0], self.tables[1])
        taps = [float((each.end - each.begin).sum()) for each in self.tables]
        plan.forward_work += self.g.channels * taps[0] * taps[1]
        plan.reserve(&self.g.y, <object>rows * self.out_size)
        return out_shape

    cdef int set_tables(self, object down, object across) except -1:
        self.g.row_begin, self.g.col_begin = <int64_t *>address(down.begin), <int64_t *>address(across.begin)
        self.g.row_end, self.g.col_end = <int64_t *>address(down.end), <int64_t *>address(across.end)
        self.g.row_size, self.g.col_size = address(down.size), address(across.size)
        return 0

    cdef int set_tiled(self, tuple shape) except -1:
        down, across = self.tables
        connected = self.g.dilation_h == self.g.dilation_w == 1
        self.g.tiled = connected and down.tiles(shape[1]) and across.tiles(shape[2])
        self.g.pairs = connected and down.are_pairs(shape[1]) and across.are_pairs(shape[2])
        return 0

    cdef tuple windows(self, tuple image, tuple counts):
        """The tables for rows and columns: bins that cover the image."""
        return tuple([image_tables.bins(side, count) for side, count in zip(image, counts)])

    cdef int reserve_lines(self, Plan plan, int64_t rows, object row) except -1:
        """Scratch: x, dx, y and dy of a channel of an interleaved block, if there is one, or a row of `row` values.

        Single images with one window have so many channels of x in it as a block has images.
        """
        cdef object line = 64 // plan.real_size
        windows = <object>self.g.out_rows * self.g.out_cols
        pixels = <object>self.g.height * self.g.width + windows
        side_by_side = windows == 1 and self.g.channels >= line
        self.g.scratch_size = max((rows >= line) * 2 * line * pixels, row, side_by_side * line * pixels)
        plan.reserve_scratch(&self.g.scratch, <object>plan.threads * self.g.scratch_size)
        return 0

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.images, self.g.threads, self.g.x = p.rows, p.threads, x
        self.pool(p)
        return self.g.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        if not wants_dx:
            return dy
        if self.does_relu:
            p.k.activate_backward(RELU, 0, self.g.y, dy, dy, NULL, p.rows, self.out_size, p.threads)
        self.g.dy, self.g.dx = dy, p.spare
        self.pool_backward(p)
        p.spare = dy
        return self.g.dx

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.avg_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.avg_pool_backward(&self.g)


cdef class Pool(Pooling):
    """Pool(kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False)\n--\n\n"""

    cdef readonly tuple kernel_size, stride, padding
    cdef readonly bint ceil_mode
    cdef tuple apart, sides                     # dilation; padding of each side

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        self.check_unmade()
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else checks.as_pair("stride", stride, 1)
        self.apart = checks.as_pair("dilation", dilation, 1)
        self.padding = checks.as_pool_padding(padding, checks.extent(self.kernel_size, self.apart))
        self.ceil_mode = checks.as_flag("ceil_mode", ceil_mode)
        self.sides = checks.sides_of(self.padding)
        Layer.__init__(self)                        # last of what may fail: a layer is made then

    cdef tuple output_shape_of(self, tuple shape):
        who = type(self).__name__
        channels, *image = checks.check_image_shape(who, shape)
        window = self.kernel_size, self.stride, self.padding, self.apart
        counts = checks.window_counts(who, image, *window, self.ceil_mode)
        checks.check_windows_meet(who, image, counts, *window)
        return (channels, *counts)

    cdef Layout layout(self):
        return INTERLEAVED

    cdef tuple windows(self, tuple image, tuple counts):
        return tuple([image_tables.windows(*axis, self.counts_padding()) for axis in zip(
            image, counts, self.kernel_size, self.stride, self.sides, self.apart)])

    cdef bint counts_padding(self):
        """Is padding in the size of a window?"""
        return True

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Pooling.plan(self, shape, rows, plan)
        (_, self.g.kernel_w), (_, self.g.stride_w), (_, (self.g.pad_w, _)) = self.kernel_size, self.stride, self.sides
        self.g.dilation_h, self.g.dilation_w = self.apart
        self.set_tiled(shape)
        _, seen = checks.extent(self.kernel_size, self.apart)
        self.reserve_lines(plan, rows, max(
            self.g.pad_w + self.g.width, (<object>self.g.out_cols - 1) * self.stride[1] + seen))
        return out_shape


cdef class MaxPool2d(Pool):
    """MaxPool2d(kernel_size, stride=None, padding=0, dilation=1, *, ceil_mode=False)\n--\n\n"""

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, *, ceil_mode=False):
        Pool.__init__(self, kernel_size, stride, padding, dilation, ceil_mode)

    @property
    def dilation(self):
        return self.apart

    cdef bint takes_relu(self):
        return True

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.max_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.max_pool_backward(&self.g)


cdef class AvgPool2d(Pool):
    """AvgPool2d(kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, \
divisor_override=None)\n--\n\n"""

    cdef readonly bint count_include_pad
    cdef readonly object divisor_override

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
                 divisor_override=None):
        count_include_pad = checks.as_flag("count_include_pad", count_include_pad)
        if divisor_override is not None:
            divisor_override = checks.as_integer("divisor_override", divisor_override, 1, 2**31)
        Pool.__init__(self, kernel_size, stride, padding, ceil_mode=ceil_mode)
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    cdef bint counts_padding(self):
        return self.count_include_pad

    cdef tuple windows(self, tuple image, tuple counts):
        down, across = Pool.windows(self, image, counts)
        if self.divisor_override is not None:
            down.size[:], across.size[:] = self.divisor_override, 1
        return down, across


cdef class Adaptive(Pooling):
    """Adaptive(output_size)\n--\n\n"""

    cdef readonly tuple output_size

    def __init__(self, output_size):
        output_size = checks.as_output_size(output_size)
        Layer.__init__(self)
        self.output_size = output_size

    cdef tuple output_shape_of(self, tuple shape):
        channels, *image = checks.check_image_shape(type(self).__name__, shape)
        return (channels, *[count or side for count, side in zip(self.output_size, image)])

    cdef Layout layout(self):
        return INTERLEAVED

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Pooling.plan(self, shape, rows, plan)
        self.g.dilation_h = self.g.dilation_w = 1
        self.set_tiled(shape)
        self.reserve_lines(plan, rows, 0)
        return out_shape


cdef class AdaptiveMaxPool2d(Adaptive):
    """AdaptiveMaxPool2d(output_size)\n--\n\n"""

    def __init__(self, output_size):
        Adaptive.__init__(self, output_size)

    cdef bint takes_relu(self):
        return True

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.adaptive_max_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.adaptive_max_pool_backward(&self.g)


cdef class AdaptiveAvgPool2d(Adaptive):
    """AdaptiveAvgPool2d(output_size)\n--\n\n"""

    def __init__(self, output_size):
        Adaptive.__init__(self, output_size)


cdef class GlobalAvgPool2d(Pooling):
    """GlobalAvgPool2d()\n--\n\n"""

    def __init__(self):
        Layer.__init__(self)

    cdef tuple output_shape_of(self, tuple shape):
        return checks.check_image_shape(type(self).__name__, shape)[:1]

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.global_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.global_pool_backward(&self.g)

"""Pooling: an image made smaller, each window become one number.

    MaxPool2d           y = max of the window           dx = dy where the maximum stood, found again in x
    AvgPool2d           y = Σ of the window / its size  dx = dy / size for each pixel of the window
    GlobalAvgPool2d     y = Σ of the image / its size   dx = dy / size for each pixel

Reference: fastnn_ref/pool.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_pool
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport INTERLEAVED, Layout, Pass

from fastnn_ref.shared import checks


cdef class Pooling(Layer):
    """Pooling()\n--\n\n"""

    changes_shape = True

    cdef fastnn_pool g

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        self.g.channels, self.g.height, self.g.width = shape
        self.g.x_interleaved, self.g.y_interleaved = self.x_layout == INTERLEAVED, self.y_layout == INTERLEAVED
        plan.reserve(&self.g.y, <object>rows * self.out_size)
        return out_shape

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
    """Pool(kernel_size, stride=None, padding=0)\n--\n\n"""

    cdef readonly tuple kernel_size, stride, padding

    def __init__(self, kernel_size, stride=None, padding=0):
        Layer.__init__(self)
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else checks.as_pair("stride", stride, 1)
        self.padding = checks.check_pool_padding("padding", checks.as_pair("padding", padding, 0), self.kernel_size)
        self.g.kernel_h, self.g.kernel_w = self.kernel_size
        self.g.stride_h, self.g.stride_w = self.stride
        self.g.pad_h, self.g.pad_w = self.padding

    cdef tuple output_shape_of(self, tuple shape):
        channels, *image = checks.check_image_shape(type(self).__name__, shape)
        return (channels, *checks.window_counts(
            type(self).__name__, image, self.kernel_size, self.stride, self.padding, (1, 1)))

    cdef Layout layout(self):
        return INTERLEAVED

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef object line = 64 // plan.real_size
        cdef tuple out_shape = Pooling.plan(self, shape, rows, plan)
        self.g.out_rows, self.g.out_cols = out_shape[1:]
        # x, dx, y and dy of one channel of a group of images, if there is one, or a padded row of an image.
        self.g.scratch_size = max(
            (rows >= line) * 2 * line * (self.g.height * self.g.width + self.g.out_rows * self.g.out_cols),
            self.g.width + 2 * self.g.pad_w)
        plan.reserve_scratch(&self.g.scratch, <object>plan.threads * self.g.scratch_size)
        return out_shape


cdef class MaxPool2d(Pool):
    """MaxPool2d(kernel_size, stride=None, padding=0)\n--\n\n"""

    def __init__(self, kernel_size, stride=None, padding=0):
        Pool.__init__(self, kernel_size, stride, padding)

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.max_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.max_pool_backward(&self.g)


cdef class AvgPool2d(Pool):
    """AvgPool2d(kernel_size, stride=None, padding=0)\n--\n\n"""

    def __init__(self, kernel_size, stride=None, padding=0):
        Pool.__init__(self, kernel_size, stride, padding)

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.avg_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.avg_pool_backward(&self.g)


cdef class GlobalAvgPool2d(Pooling):
    """GlobalAvgPool2d()\n--\n\n"""

    def __init__(self):
        Layer.__init__(self)
        self.g.stride_h = self.g.stride_w = self.g.out_rows = self.g.out_cols = 1

    cdef tuple output_shape_of(self, tuple shape):
        return checks.check_image_shape(type(self).__name__, shape)[:1]

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Pooling.plan(self, shape, rows, plan)
        self.g.kernel_h, self.g.kernel_w = self.g.height, self.g.width
        return out_shape

    cdef void pool(self, Pass *p) noexcept nogil:
        p.k.global_pool(&self.g)

    cdef void pool_backward(self, Pass *p) noexcept nogil:
        p.k.global_pool_backward(&self.g)

"""Upsample: an image made larger (or smaller), each new pixel looked up in the old ones.

    nearest     y = x at the place, rounded down
    bilinear    y = (1 − f)·x at the row before it + f·x at the one behind it, then the same with columns
    backward    dx = Σ over the places that looked at x, times what they took of it

image_tables.py has the places.

Reference: fastnn_ref/upsample.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport address, fastnn_upsample
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport INTERLEAVED, PASS_THROUGH, Layout, Pass

from fastnn import image_tables
from fastnn_ref.shared import checks


cdef class Upsample(Layer):
    """Upsample(size=None, scale_factor=None, mode="nearest", align_corners=False)\n--\n\n"""

    changes_shape = True

    cdef readonly tuple size, scale_factor
    cdef readonly str mode
    cdef readonly bint align_corners
    cdef fastnn_upsample g
    cdef tuple tables                           # what g points to

    def __init__(self, size=None, scale_factor=None, mode="nearest", align_corners=False):
        size, scale_factor = checks.as_new_size(size, scale_factor)
        mode = checks.as_choice("mode", mode, ("nearest", "bilinear"))
        align_corners = checks.as_align_corners(align_corners, mode)
        Layer.__init__(self)
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    cdef tuple output_shape_of(self, tuple shape):
        channels, *image = checks.check_image_shape(type(self).__name__, shape)
        return (channels, *checks.scaled_shape(type(self).__name__, image, self.size, self.scale_factor))

    cdef Layout layout(self):
        return PASS_THROUGH

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        self.g.channels, self.g.height, self.g.width = shape
        _, self.g.out_rows, self.g.out_cols = out_shape
        self.g.interleaved = self.x_layout == INTERLEAVED
        self.tables = tuple([image_tables.places(*axis, self.mode, self.align_corners) for axis in zip(
            shape[1:], out_shape[1:], self.scale_factor or (None, None))])
        self.set_tables(self.tables[0], self.tables[1])
        plan.reserve_result(&self.g.y, <object>rows * self.out_size)
        return out_shape

    cdef int set_tables(self, object down, object across) except -1:
        self.g.row_low, self.g.col_low = <int64_t *>address(down.low), <int64_t *>address(across.low)
        self.g.row_high, self.g.col_high = <int64_t *>address(down.high), <int64_t *>address(across.high)
        self.g.row_part = self.g.col_part = NULL
        if self.mode == "bilinear":
            self.g.row_part, self.g.col_part = <double *>address(down.fraction), <double *>address(across.fraction)
        return 0

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.images, self.g.threads, self.g.x = p.rows, p.threads, x
        p.k.upsample(&self.g)
        return self.g.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        if not wants_dx:
            return dy
        self.g.dy, self.g.dx = dy, p.spare
        p.k.upsample_backward(&self.g)
        p.spare = dy
        return self.g.dx

"""Augmentation: in training every image comes a little different each time.

    warp, brightness, contrast, noise, erasing, in this order; backward their transposes, drawn again, in reverse

Reference: fastnn_ref/augment.py, which has the formulas and their sources; kernels/augment.inc.c has them in C.
"""

import math

from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_augment
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport Pass, stream_of

from fastnn_ref.shared import checks
from fastnn_ref.shared.shapes import check_input_shape


cdef class Augment(Layer):
    """Augment(*, rotation=0.0, shift=0.0, zoom=0.0, shear=0.0, flip=0.0, brightness=0.0, contrast=0.0, noise=0.0, \
erase=0.0, fill=0.0, whole_shift=False, image_shape=None)\n--\n\n"""

    cdef readonly object image_shape
    cdef fastnn_augment g
    cdef bint moves
    cdef void *y
    cdef void *scratch

    def __init__(self, *, rotation=0.0, shift=0.0, zoom=0.0, shear=0.0, flip=0.0, brightness=0.0, contrast=0.0,
                 noise=0.0, erase=0.0, fill=0.0, whole_shift=False, image_shape=None):
        self.check_unmade()
        self.g.rotation = checks.as_number("rotation", rotation, 0)
        self.g.whole_shift = checks.as_flag("whole_shift", whole_shift)
        self.g.shift_h, self.g.shift_w = checks.as_shift(shift, self.g.whole_shift)
        self.g.zoom = checks.as_number("zoom", zoom, 0, 1, high_open=True)
        self.g.shear = checks.as_number("shear", shear, 0, 90, high_open=True)
        self.g.flip = checks.as_number("flip", flip, 0, 1)
        self.g.brightness = checks.as_number("brightness", brightness, 0)
        self.g.contrast = checks.as_number("contrast", contrast, 0)
        self.g.noise = checks.as_number("noise", noise, 0)
        self.g.erase = checks.as_number("erase", erase, 0, 1)
        self.g.fill = checks.as_number("fill", fill)
        self.image_shape = checks.as_image_shape("image_shape", image_shape)
        Layer.__init__(self)                        # last of what may fail: a layer is made then
        if self.image_shape is not None:
            self.input_shape = (math.prod(self.image_shape),)
        self.moves = any((self.g.rotation, self.g.shift_h, self.g.shift_w, self.g.zoom, self.g.shear, self.g.flip))

    @property
    def rotation(self):
        return self.g.rotation

    @property
    def shift(self):
        return self.g.shift_h, self.g.shift_w

    @property
    def zoom(self):
        return self.g.zoom

    @property
    def shear(self):
        return self.g.shear

    @property
    def flip(self):
        return self.g.flip

    @property
    def brightness(self):
        return self.g.brightness

    @property
    def contrast(self):
        return self.g.contrast

    @property
    def noise(self):
        return self.g.noise

    @property
    def erase(self):
        return self.g.erase

    @property
    def fill(self):
        return self.g.fill

    @property
    def whole_shift(self):
        return bool(self.g.whole_shift)

    cdef tuple output_shape_of(self, tuple shape):
        who = type(self).__name__
        if self.image_shape is not None:
            size = (math.prod(self.image_shape),)
            return check_input_shape(who, shape, size, size)
        return checks.check_image_shape(who, shape)

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Layer.plan(self, shape, rows, plan)
        self.g.channels, self.g.height, self.g.width = shape if self.image_shape is None else self.image_shape
        plan.reserve_result(&self.y, <object>rows * self.out_size)
        if self.moves:
            plan.reserve_scratch(
                &self.scratch, <object>plan.threads * self.g.channels * (self.g.height + 3) * (self.g.width + 3))
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        if not p.training:
            return <void *>x
        self.g.rows, self.g.threads, self.g.stream = p.rows, p.threads, stream_of(self, p)
        self.g.x, self.g.y, self.g.scratch = x, self.y, self.scratch
        p.k.augment(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        if not (p.training and wants_dx):
            return dy
        self.g.dy, self.g.dx, self.g.scratch = dy, p.spare if self.moves else dy, self.scratch
        p.k.augment_backward(&self.g)
        if self.moves:
            p.spare = dy
        return self.g.dx

"""Augmentation: in training every image comes a little different each time.

    warp, brightness, contrast, noise, erasing, in this order; backward their transposes, drawn again, in the opposite
    order

Twin: fastnn_ref/augment.py, which has the formulas and their sources; kernels/augment.inc.c has them in C.
"""

import math

from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_augment, threads
from fastnn.layer cimport Arena, Layer, Pass, stream_of

from fastnn_ref import validation


cdef class Augment(Layer):
    """Augment(*, rotation=0.0, shift=0.0, zoom=0.0, shear=0.0, flip=0.0, brightness=0.0, contrast=0.0, noise=0.0, \
erase=0.0, image_shape=None)\n--\n
    In training changes each image at random, in this order; nothing at prediction. x and y (n, channels, h, w).

    ``rotation`` and ``shear`` in degrees (< 90 for shear), ``shift`` in pixels (a number, or a pair down and across),
    ``zoom`` < 1, ``brightness`` and ``contrast`` are the largest change either way, >= 0: the draw is uniform in ±
    rotation, 1 ± zoom and so on. ``flip`` is the probability of a mirror image, left and right; ``noise`` the standard
    deviation of normal noise; ``erase`` the probability that a rectangle of 2 to 33 % of the image becomes 0. Between
    pixels it is bilinear, and 0 outside. With ``image_shape`` = (channels, h, w), rows (n, channels·h·w) are taken and
    returned.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Augment(flip=1.0, brightness=0.0))
    >>> print(model.forward(np.array([[[[1.0, 2.0, 3.0]]]]), training=True)[0, 0])
    [[3. 2. 1.]]
    """

    cdef readonly object image_shape
    cdef fastnn_augment g
    cdef bint moves
    cdef void *y
    cdef void *scratch

    def __init__(self, *, rotation=0.0, shift=0.0, zoom=0.0, shear=0.0, flip=0.0, brightness=0.0, contrast=0.0,
                 noise=0.0, erase=0.0, image_shape=None):
        Layer.__init__(self)
        self.g.rotation = validation.number("rotation", rotation, 0)
        self.g.shift_h, self.g.shift_w = validation.number_pair("shift", shift, 0)
        self.g.zoom = validation.number("zoom", zoom, 0, 1, high_open=True)
        self.g.shear = validation.number("shear", shear, 0, 90, high_open=True)
        self.g.flip = validation.number("flip", flip, 0, 1)
        self.g.brightness = validation.number("brightness", brightness, 0)
        self.g.contrast = validation.number("contrast", contrast, 0)
        self.g.noise = validation.number("noise", noise, 0)
        self.g.erase = validation.number("erase", erase, 0, 1)
        self.image_shape = validation.image("image_shape", image_shape)
        if self.image_shape is not None:
            self.input_shape = (math.prod(self.image_shape),)
        self.moves = any((self.rotation, *self.shift, self.zoom, self.shear, self.flip))

    def arguments(self):
        usual = {"shift": (0.0, 0.0), "image_shape": None}
        names = ("rotation", "shift", "zoom", "shear", "flip", "brightness", "contrast", "noise", "erase",
                 "image_shape")
        return (), {name: getattr(self, name) for name in names if getattr(self, name) != usual.get(name, 0.0)}

    @property
    def rotation(self):
        """Degrees, either way."""
        return self.g.rotation

    @property
    def shift(self):
        """Pixels, either way: (down, across)."""
        return self.g.shift_h, self.g.shift_w

    @property
    def zoom(self):
        """Change of size, either way."""
        return self.g.zoom

    @property
    def shear(self):
        """Degrees, either way."""
        return self.g.shear

    @property
    def flip(self):
        """Probability of a mirror image."""
        return self.g.flip

    @property
    def brightness(self):
        """What is added, either way."""
        return self.g.brightness

    @property
    def contrast(self):
        """Change of the factor, either way."""
        return self.g.contrast

    @property
    def noise(self):
        """Standard deviation."""
        return self.g.noise

    @property
    def erase(self):
        """Probability."""
        return self.g.erase

    def output_shape(self, shape):
        """The input's own shape."""
        who = type(self).__name__
        if self.image_shape is not None:
            size = (math.prod(self.image_shape),)
            return validation.fixed_shape(who, shape, size, size)
        return validation.image_shape(who, shape)

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Layer.plan(self, shape, rows, arena)
        self.g.channels, self.g.height, self.g.width = shape if self.image_shape is None else self.image_shape
        arena.reserve(&self.y, <object>rows * self.out_size)
        if self.moves:
            arena.borrow(&self.scratch, <object>threads() * self.g.channels * (self.g.height + 3) * (self.g.width + 3))
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        if not p.training:
            return <void *>x
        self.g.rows, self.g.threads, self.g.stream = p.rows, p.threads, stream_of(self, p)
        self.g.x, self.g.y, self.g.scratch = x, self.y, self.scratch
        p.k.augment(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        if not wants_dx:
            return dy
        self.g.dy, self.g.dx, self.g.scratch = dy, p.spare if self.moves else dy, self.scratch
        p.k.augment_backward(&self.g)
        if self.moves:
            p.spare = dy
        return self.g.dx

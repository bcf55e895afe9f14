"""Conv2d: one small set of weights, shared by every place of the image.

    forward     u = patches @ W + b,  y = act(u)
    backward    du = dy · act'(u),  dW = patchesᵀ @ du,  db = Σ du,  dx from du @ Wᵀ

The matrix of patches is never built: kernels/conv.inc.c says how it is read from a padded copy of the images, which
forward keeps for dW. Here the sizes of that copy, and of the grid that a filter's output comes out on, are worked out.

Twin: fastnn_ref/conv.py.
"""

import math

import numpy as np

from libc.stdint cimport int64_t

from fastnn._kernels cimport IDENTITY, PANEL, address, fastnn_conv, threads
from fastnn.activation cimport Activation, activation_of, from_input
from fastnn.layer cimport Arena, Layer, Pass

from fastnn_ref import init as initialisers, validation


cdef class Conv2d(Layer):
    """Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, activation=None, \
bias=True, *, init=None)\n--\n
    y = act(x ⋆ W + b): x (n, in_channels, h, w), W (out_channels, in_channels / groups, kh, kw), b (out_channels,).

    y is (n, out_channels, h', w'), h' = ⌊(h + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1, which must be >= 1.
    ``kernel_size``, ``stride``, ``dilation`` >= 1 and ``padding`` >= 0 (zeros) are a number or a pair (height, width);
    ``groups`` divides both numbers of channels. ``activation`` works element by element; it and ``init`` as in
    ``Linear``. Raises ValueError or TypeError for anything else.

    >>> import numpy as np, fastnn as nn
    >>> layer = nn.Conv2d(1, 1, kernel_size=2, bias=False)
    >>> layer.weight = np.array([[[[1, 0], [0, -1]]]])
    >>> print(layer(np.arange(9.0).reshape(1, 1, 3, 3))[0, 0])
    [[-4. -4.]
     [-4. -4.]]
    """

    reshapes = True

    cdef Activation act
    cdef object initialiser
    cdef bint has_bias
    cdef readonly tuple kernel_size, stride, padding, dilation
    cdef fastnn_conv g
    cdef object offsets, back_offsets           # what g points to
    cdef void *u                                # pre-activation, where the derivative needs it; else y itself
    cdef void *y
    cdef void *planes
    cdef void *back_planes
    cdef void *grid
    cdef void *scratch
    cdef void *turned

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, activation=None,
                 bias=True, *, init=None):
        Layer.__init__(self)
        in_channels = validation.integer("in_channels", in_channels, 1)
        out_channels = validation.integer("out_channels", out_channels, 1)
        self.kernel_size = validation.pair("kernel_size", kernel_size, 1)
        self.stride = validation.pair("stride", stride, 1)
        self.padding = validation.pair("padding", padding, 0)
        self.dilation = validation.pair("dilation", dilation, 1)
        groups = validation.groups(groups, in_channels, out_channels)
        self.act = validation.elementwise(activation_of(activation))
        self.initialiser = init
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        validation.size("weight", *shape)
        self.g.channels, self.g.filters, self.g.groups = in_channels, out_channels, groups
        self.g.taps = math.prod(shape[1:])
        start = initialisers.name_for(self.act.name, init)
        self.specifications = [initialisers.Specification("weight", shape, start, True)]
        self.has_bias = validation.flag("bias", bias)
        if self.has_bias:
            self.specifications.append(initialisers.Specification("bias", (out_channels,), "zeros"))

    def arguments(self):
        named = {}
        for name, value, usual in (
                ("stride", self.stride, (1, 1)), ("padding", self.padding, (0, 0)), ("dilation", self.dilation, (1, 1)),
                ("groups", self.groups, 1), ("init", self.initialiser, None)):
            if value != usual:
                named[name] = value
        if self.act.kind != IDENTITY:
            named["activation"] = self.act
        if not self.has_bias:
            named["bias"] = False
        return (self.in_channels, self.out_channels, self.kernel_size), named

    @property
    def in_channels(self):
        """Channels that come in."""
        return self.g.channels

    @property
    def out_channels(self):
        """Channels that go out."""
        return self.g.filters

    @property
    def groups(self):
        """Parts that the channels are cut into."""
        return self.g.groups

    @property
    def activation(self):
        """The activation, a layer of its own."""
        return self.act

    @property
    def weight(self):
        """W, shape (out_channels, in_channels / groups, kh, kw); assigning copies values in."""
        return self.params["weight"]

    @weight.setter
    def weight(self, value):
        self.assign("weight", value)

    @property
    def bias(self):
        """b, shape (out_channels,), or None; assigning copies values in."""
        return self.params.get("bias")

    @bias.setter
    def bias(self, value):
        self.assign("bias", value)

    def output_shape(self, shape):
        """(out_channels, h', w') for (in_channels, h, w)."""
        who = type(self).__name__
        _, *image = validation.image_shape(who, shape, self.g.channels)
        return (self.g.filters, *validation.windows(
            who, image, self.kernel_size, self.stride, self.padding, self.dilation))

    cdef int bind(self) except -1:
        self.g.w, self.g.dw = address(self.values["weight"]), address(self.gradients["weight"])
        self.g.b = self.g.db = NULL
        if self.has_bias:
            self.g.b, self.g.db = address(self.values["bias"]), address(self.gradients["bias"])
        return 0

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        cdef fastnn_conv *g = &self.g
        cdef int64_t inside = g.channels // g.groups, outside = g.filters // g.groups
        Layer.plan(self, shape, rows, arena)
        _, height, width = shape
        _, out_height, out_width = self.out_shape
        (kh, kw), (ph, pw), (dh, dw) = self.kernel_size, self.padding, self.dilation
        # A stride as long as the padded image makes one step, however much longer it is.
        sh, sw = min(self.stride[0], height + 2 * ph), min(self.stride[1], width + 2 * pw)
        g.out_rows, g.out_cols = out_height, out_width
        # The padded copy: a plane for each phase of the stride.
        front_rows, front_pitch = out_height + (kh - 1) * dh // sh, out_width + (kw - 1) * dw // sw
        front = validation.size("planes", sh, sw, front_rows, front_pitch)
        g.front.height, g.front.width = height, width
        g.front.stride_h, g.front.stride_w, g.front.pad_h, g.front.pad_w = sh, sw, ph, pw
        g.front.rows, g.front.pitch = front_rows, front_pitch
        # dx: du with the stride's gaps and a border, one plane.
        back_rows, back_pitch = height + (kh - 1) * dh, width + (kw - 1) * dw
        back = validation.size("planes", back_rows, back_pitch)
        g.back.height, g.back.width = out_height, out_width
        g.back.stride_h, g.back.stride_w = sh, sw
        g.back.pad_h, g.back.pad_w = (kh - 1) * dh - ph, (kw - 1) * dw - pw
        g.back.rows, g.back.pitch = back_rows, back_pitch
        # Where each tap's run starts.
        i, j = np.arange(kh)[:, None] * dh, np.arange(kw)[None, :] * dw
        taps = ((i % sh * sw + j % sw) * front_rows + i // sh) * front_pitch + j // sw
        self.offsets = np.ascontiguousarray(np.arange(inside)[:, None] * front + taps.reshape(1, -1), np.int64)
        taps = i * back_pitch + j
        self.back_offsets = np.ascontiguousarray(np.arange(outside)[:, None] * back + taps.reshape(1, -1), np.int64)
        g.offsets, g.back_offsets = <const int64_t *>address(self.offsets), <const int64_t *>address(self.back_offsets)
        # dW's sums: row by row, or all rows with what lies between them, in whole cache lines.
        line = 64 // arena.real_size
        rows_apart = (out_width + line - 1) // line * line
        together = ((out_height - 1) * front_pitch + out_width + line - 1) // line * line
        g.runs, g.run = (1, together) if together < out_height * rows_apart else (out_height, rows_apart)
        # Buffers.
        g.planes_size = validation.size("planes", g.channels, front) + line
        g.back_size = validation.size("planes", (g.filters * back + 2 * line - 1) // line * line)
        taps = max(<object>g.taps, <object>outside * (g.taps // inside))
        g.scratch_size = validation.size("planes", max((PANEL + line + 8) * taps + 16 * line, 4 * <object>g.taps * line))
        arena.reserve(&self.y, <object>rows * self.out_size)
        if from_input(self.act.kind):
            arena.reserve(&self.u, <object>rows * self.out_size)
        arena.reserve(&self.planes, <object>rows * g.planes_size)
        if g.runs < out_height:
            arena.reserve(&self.grid, <object>rows * g.filters * g.run)
        arena.reserve(&self.back_planes, <object>threads() * g.back_size)
        arena.reserve(&self.scratch, <object>threads() * g.scratch_size)
        arena.reserve(&self.turned, <object>g.filters * g.taps)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.images, self.g.threads = p.rows, p.threads
        self.g.x, self.g.y = x, self.y
        self.g.u = self.u if from_input(self.act.kind) else self.y
        self.g.planes, self.g.back_planes, self.g.grid = self.planes, self.back_planes, self.grid
        self.g.scratch, self.g.turned = self.scratch, self.turned
        self.g.activation, self.g.alpha = self.act.kind, self.act.parameter
        p.k.conv(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef void *dx = p.spare
        if self.act.kind != IDENTITY:
            p.k.activate_backward(self.act.kind, self.act.parameter, self.g.u, dy, dy, NULL, p.rows, self.out_size,
                                  p.threads)
        self.g.du = dy
        p.k.conv_backward_weight(&self.g)
        if not wants_dx:
            return dy
        self.g.dx = dx
        p.k.conv_backward_input(&self.g)
        p.spare = dy
        return dx

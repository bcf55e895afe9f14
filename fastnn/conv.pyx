"""Conv2d: one small set of weights, shared by every place of the image.

    forward     u = patches @ W + b,  y = act(u)
    backward    du = dy · act'(u),  dW = patchesᵀ @ du,  db = Σ du,  dx from du @ Wᵀ

The matrix of patches is never built: the kernels read a padded copy of the images, which forward keeps for dW, and one
of du. conv_tables.py works out where in these copies every pixel stands; kernels/conv_layout.inc.c and its neighbours
use it.

Twin: fastnn_ref/conv.py.
"""

import math

from libc.stdint cimport int64_t

from fastnn._kernels cimport (
    CONV_DOT_FILTERS, CONV_FILTERS, CONV_PIXELS, IDENTITY, address, fastnn_conv, fastnn_planes, saves_slope,
    threads,
)
from fastnn.activation cimport Activation, activation_of
from fastnn.layer cimport BLOCKS, Arena, Blocks, Layer, Pass

from fastnn import conv_tables
from fastnn_ref import init as initialisers, validation


cdef const int64_t *pointer(object table) except? NULL:
    return <const int64_t *>address(table)


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
    cdef list tables                            # the arrays that g points to
    cdef void *u                                # where act'(u) is kept, if it is; else y itself

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1,
                 activation=None, bias=True, *, init=None):
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
        self.g.filter_size = math.prod(shape[1:])
        start = initialisers.name_for(self.act.name, init)
        self.specifications = [initialisers.Specification("weight", shape, start, True)]
        self.has_bias = validation.flag("bias", bias)
        if self.has_bias:
            self.specifications.append(initialisers.Specification("bias", (out_channels,), "zeros"))

    def arguments(self):
        named = {}
        for name, value, usual in (
                ("stride", self.stride, (1, 1)), ("padding", self.padding, (0, 0)),
                ("dilation", self.dilation, (1, 1)), ("groups", self.groups, 1), ("init", self.initialiser, None)):
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

    cdef Blocks blocks(self):
        return BLOCKS

    cdef bint forgets_y(self):
        return self.act.kind == IDENTITY

    cdef int set_planes(self, fastnn_planes *g, object planes, int64_t channels, int64_t rows, int64_t lanes) except -1:
        """Points g to the tables of `planes`, for `rows` images of `channels` channels."""
        g.channel_size = validation.size("planes", *planes.stride, planes.height, planes.pitch)
        g.image_size = validation.size("planes", channels, g.channel_size) + lanes  # a vector may read beyond the end
        tables = planes.tables(channels // self.g.groups, CONV_PIXELS if rows >= lanes else None)
        interleaved = tables.tap_offset * lanes
        self.tables += [tables, interleaved]
        g.height, g.width, g.pitch = len(tables.row_offset), len(tables.col_offset), planes.pitch
        g.contiguous, g.full_set = tables.contiguous, tables.full_set
        g.row_offset, g.col_offset = pointer(tables.row_offset), pointer(tables.col_offset)
        g.tap_offset, g.tap_offset_interleaved = pointer(tables.tap_offset), pointer(interleaved)
        g.order, g.window_begin = pointer(tables.order), pointer(tables.window_begin)
        g.tap_set, g.taps, g.tap_set_begin = (
            pointer(tables.tap_set), pointer(tables.taps), pointer(tables.tap_set_begin))
        return 0

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        cdef fastnn_conv *g = &self.g
        cdef object inside = g.channels // g.groups, outside = g.filters // g.groups
        cdef int64_t lanes = 64 // arena.real_size
        Layer.plan(self, shape, rows, arena)
        image, windows = shape[1:], self.out_shape[1:]
        # A stride as long as the padded image makes one step, however much longer it is.
        stride = tuple([min(step, side + 2 * pad) for step, side, pad in zip(self.stride, image, self.padding)])
        g.out_rows, g.out_cols = windows
        g.stride_h, g.stride_w = stride
        g.x_interleaved, g.y_interleaved = self.x_in_blocks, self.y_in_blocks
        self.tables = []
        geometry = image, self.kernel_size, stride, self.padding, self.dilation, windows
        self.set_planes(&g.input, conv_tables.input_planes(*geometry), g.channels, rows, lanes)
        arena.reserve(&g.input.memory, <object>rows * g.input.image_size)
        self.set_planes(&g.gradient, conv_tables.gradient_planes(*geometry), g.filters, rows, lanes)
        arena.borrow(&g.gradient.memory, <object>rows * g.gradient.image_size)
        # A piece of an interleaved output, u and y if both are kept; or the running sums of one tile's weights.
        piece = CONV_PIXELS * min(CONV_FILTERS, max(inside, outside))
        g.scratch_size = validation.size(
            "planes", lanes, max((1 + saves_slope(self.act.kind)) * piece, CONV_DOT_FILTERS * <object>g.filter_size))
        arena.reserve(&g.y, <object>rows * self.out_size)
        if saves_slope(self.act.kind):
            arena.reserve(&self.u, <object>rows * self.out_size)
        arena.borrow(&g.scratch, <object>threads() * g.scratch_size)
        arena.borrow(&g.flipped, <object>g.filters * g.filter_size)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.images, self.g.threads = p.rows, p.threads
        self.g.x = x
        self.g.u = self.u if saves_slope(self.act.kind) else self.g.y
        self.g.activation, self.g.alpha = self.act.kind, self.act.parameter
        p.k.conv(&self.g)
        return self.g.y

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

"""Conv2d: one small set of weights, shared by every place of the image.

    forward     u = patches @ W + b,  y = act(u)
    backward    du = dy · act'(u),  dW = patchesᵀ @ du,  db = Σ du,  dx from du @ Wᵀ

The matrix of patches is never built: kernels/conv.inc.c says how it is read from a padded copy of the images, which
forward keeps for dW. Here it is worked out where in that copy, and in the one of du, every pixel stands.

Twin: fastnn_ref/conv.py.
"""

import math

import numpy as np

from libc.stdint cimport int64_t

from fastnn._kernels cimport (
    CONV_FILTERS, CONV_PIXELS, IDENTITY, KEEPS_SLOPE, address, fastnn_conv, fastnn_planes,
)
from fastnn.activation cimport Activation, fused, get_activation
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport INTERLEAVED, PLAIN, Layout, Pass, plan_node

from fastnn_ref import init as initialisers
from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter


MOST_SEEN = 2**18       # entries of the list of the taps that each kind of pixel sees; with more of them all see all


def _sees(windows, step, pixels, taps):
    """(window, tap) → does the tap, at window · step + its own place, meet one of the pixels?"""
    return np.isin(np.arange(windows)[:, None] * step + taps, pixels)


def _kinds(down, across, inside):
    """(kinds, seen, starts): of which kind each window is, and which taps a kind sees, from start to start; the last kind
    sees all. ``down`` and ``across`` say what a window's rows and columns meet."""
    (rows, row_kinds), (cols, col_kinds) = (np.unique(sees, axis=0, return_inverse=True) for sees in (down, across))
    every = np.arange(inside * down.shape[1] * across.shape[1])
    if len(rows) * len(cols) * len(every) > MOST_SEEN:
        return np.zeros(len(down) * len(across), np.int64), every, np.array([0, len(every)])
    seen = [np.flatnonzero(np.tile(np.outer(row, col).ravel(), inside)) for row in rows for col in cols] + [every]
    kinds = row_kinds.reshape(-1, 1) * len(cols) + col_kinds.ravel()
    return kinds.ravel(), np.concatenate(seen), np.cumsum([0, *map(len, seen)])


cdef class Conv2d(Layer):
    """Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, activation=None, \
bias=True, *, init=None)\n--\n\n"""

    changes_shape = True
    weight = Parameter("", "weight")
    bias = Parameter("", "bias")

    cdef readonly Layer activation
    cdef Activation act                         # what the kernel computes
    cdef bint is_hosted                         # a user's own activation comes after the kernel
    cdef readonly object init
    cdef bint has_bias
    cdef readonly tuple kernel_size, stride, padding, dilation
    cdef fastnn_conv g
    cdef list tables                            # what g points to
    cdef void *u                                # where act'(u) is kept, if it is; else y itself

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1,
                 activation=None, bias=True, *, init=None):
        Layer.__init__(self)
        in_channels = checks.as_integer("in_channels", in_channels, 1)
        out_channels = checks.as_integer("out_channels", out_channels, 1)
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = checks.as_pair("stride", stride, 1)
        self.padding = checks.as_pair("padding", padding, 0)
        self.dilation = checks.as_pair("dilation", dilation, 1)
        groups = checks.as_groups(groups, in_channels, out_channels)
        self.activation = checks.check_elementwise(get_activation(activation))
        self.act, self.init = fused(self.activation), init
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        checks.check_size("weight", *shape)
        self.g.channels, self.g.filters, self.g.groups = in_channels, out_channels, groups
        self.g.taps = math.prod(shape[1:])
        self.has_bias = checks.as_flag("bias", bias)
        self.add("weight", shape, initialisers.default_init(self.activation.name, init), True)
        if self.has_bias:
            self.add("bias", (out_channels,), "zeros")
        if self.act is not self.activation:
            self.adopt((self.activation,))
            self.is_hosted = True

    @property
    def in_channels(self):
        return self.g.channels

    @property
    def out_channels(self):
        return self.g.filters

    @property
    def groups(self):
        return self.g.groups

    cdef tuple output_shape_of(self, tuple shape):
        who = type(self).__name__
        _, *image = checks.check_image_shape(who, shape, self.g.channels)
        return (self.g.filters, *checks.window_counts(
            who, image, self.kernel_size, self.stride, self.padding, self.dilation))

    cdef int bind(self) except -1:
        self.g.w, self.g.dw = address(self.own_values["weight"]), address(self.own_gradients["weight"])
        self.g.b = self.g.db = NULL
        if self.has_bias:
            self.g.b, self.g.db = address(self.own_values["bias"]), address(self.own_gradients["bias"])
        return 0

    cdef Layout layout(self):
        return PLAIN if self.is_hosted else INTERLEAVED

    cdef bint output_is_reusable(self):
        return self.act.kind == IDENTITY and not self.is_hosted

    cdef int lay_out(self, fastnn_planes *g, int64_t channels, tuple out, tuple stride, tuple pixels, tuple taps,
                     int64_t rows, int64_t line) except -1:
        """Planes for `out` = (rows, columns) of windows: row y of the image goes to row y // stride of phase y % stride,
        and so do the rows of taps; columns as well. `pixels` and `taps` are (rows, columns) of the padded image."""
        (y, x), (i, j), (sh, sw) = pixels, taps, stride
        height = max(out[0] + int(i.max()) // sh, int(y.max()) // sh + 1)
        pitch = max(out[1] + int(j.max()) // sw, int(x.max()) // sw + 1)
        plane = checks.check_size("planes", sh, sw, height, pitch)
        g.height, g.width, g.plane, g.pitch, g.dense = len(y), len(x), plane, pitch, sh == sw == 1
        g.size = checks.check_size("planes", channels, plane) + line      # a vector may reach beyond the last row
        inside = channels // self.g.groups
        if rows >= line:
            sees = _sees(out[0], sh, y, i), _sees(out[1], sw, x, j)
        else:                                       # no block: nobody asks
            sees = np.ones((1, len(i)), bool), np.ones((1, len(j)), bool)
        kinds, seen, starts = _kinds(*sees, inside)
        order = np.lexsort((kinds, np.arange(len(kinds)) // CONV_PIXELS))
        places = order // out[1] * pitch + order % out[1]
        (down, i), (across, j) = [(n % sh * sw * height + n // sh) * pitch for n in (y, i)], [
            n % sw * height * pitch + n // sw for n in (x, j)]
        offsets = np.arange(inside)[:, None, None] * plane + i[:, None] + j
        tables = [np.ascontiguousarray(table, np.int64) for table in (
            down, across, offsets, offsets * line, order, places, kinds[order], seen, starts)]
        self.tables += tables
        g.down, g.across = <const int64_t *>address(tables[0]), <const int64_t *>address(tables[1])
        g.offsets, g.line_offsets = <const int64_t *>address(tables[2]), <const int64_t *>address(tables[3])
        g.order, g.places = <const int64_t *>address(tables[4]), <const int64_t *>address(tables[5])
        g.kinds, g.seen = <const int64_t *>address(tables[6]), <const int64_t *>address(tables[7])
        g.starts, g.every = <const int64_t *>address(tables[8]), len(starts) - 2
        return 0

    cdef tuple named_children(self):
        return (("activation", self.activation),) if self.is_hosted else ()

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef fastnn_conv *g = &self.g
        cdef object inside = g.channels // g.groups, outside = g.filters // g.groups
        cdef int64_t line = 64 // plan.real_size
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        _, height, width = shape
        _, out_height, out_width = out_shape
        (kh, kw), (ph, pw), (dh, dw) = self.kernel_size, self.padding, self.dilation
        # A stride as long as the padded image makes one step, however much longer it is.
        sh, sw = min(self.stride[0], height + 2 * ph), min(self.stride[1], width + 2 * pw)
        g.out_rows, g.out_cols, g.stride_h, g.stride_w = out_height, out_width, sh, sw
        g.x_in_blocks, g.y_in_blocks = self.x_layout == INTERLEAVED, self.y_layout == INTERLEAVED
        self.tables = []
        i, j = np.arange(kh) * dh, np.arange(kw) * dw
        self.lay_out(&g.front, g.channels, (out_height, out_width), (sh, sw),
                     (np.arange(height) + ph, np.arange(width) + pw), (i, j), rows, line)
        plan.reserve(&g.front.memory, <object>rows * g.front.size)
        # du has the stride's gaps, and a border: dx at 0 sees it from (k − 1)·dilation − padding before its beginning.
        before_h, before_w = (kh - 1) * dh - ph, (kw - 1) * dw - pw
        edge_h, edge_w = max(before_h, 0), max(before_w, 0)
        self.lay_out(&g.back, g.filters, (height, width), (1, 1),
                     (np.arange(out_height) * sh + edge_h, np.arange(out_width) * sw + edge_w),
                     (i + edge_h - before_h, j + edge_w - before_w), rows, line)
        plan.reserve_scratch(&g.back.memory, <object>rows * g.back.size)
        g.back.dense = sw == 1                      # in its one plane rows follow each other whatever their stride
        g.scratch_size = checks.check_size(
            "planes", line, max((1 + KEEPS_SLOPE(self.act.kind)) * CONV_PIXELS * min(CONV_FILTERS, max(inside, outside)),
                                4 * <object>g.taps))
        plan.reserve(&g.y, <object>rows * self.out_size)
        if KEEPS_SLOPE(self.act.kind):
            plan.reserve(&self.u, <object>rows * self.out_size)
        plan.reserve_scratch(&g.scratch, <object>plan.threads * g.scratch_size)
        plan.reserve_scratch(&g.turned, <object>g.filters * g.taps)
        if self.is_hosted:
            plan_node(self.activation, out_shape, rows, plan)
        return out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.images, self.g.threads = p.rows, p.threads
        self.g.x = x
        self.g.u = self.u if KEEPS_SLOPE(self.act.kind) else self.g.y
        self.g.activation, self.g.alpha = self.act.kind, self.act.parameter
        p.k.conv(&self.g)
        return self.activation.forward_pass(p, self.g.y) if self.is_hosted else self.g.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef void *dx
        if self.is_hosted:
            dy = self.activation.backward_pass(p, dy, True)
        dx = p.spare
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

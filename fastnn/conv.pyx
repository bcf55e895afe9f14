"""Conv2d: one small set of weights, shared by every place of the image.

    forward     u = patches @ W + b,  y = act(u)
    backward    du = dy · act'(u),  dW = patchesᵀ @ du,  db = Σ du,  dx from du @ Wᵀ

The matrix of patches is never built: the kernels read a padded copy of the images, which forward keeps for dW, and one
of du; dW of 1 × 1 kernels reads the images themselves. With Winograd's formulas (kernels/conv_winograd.inc.c) these
copies are large enough for tiles that hang over the edge. conv_tables.py works out where in these copies every pixel
stands; kernels/conv_layout.inc.c and its neighbours use it.

Reference: fastnn_ref/conv.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport (
    CONV_FILTERS, CONV_LINES, CONV_PIXELS, IDENTITY, RELU, WINOGRAD_FILTERS, WINOGRAD_LINES,
    WINOGRAD_POINTS, WINOGRAD_SUMMED, address, aligned, fastnn_conv, fastnn_kernels, fastnn_planes, saves_slope,
)
from fastnn.activation cimport Weighted, get_activation
from fastnn.layer cimport Layer
from fastnn.memory cimport LINE, Plan
from fastnn.network cimport INTERLEAVED, PLAIN, Layout, Pass, packed_for

from fastnn import conv_tables
from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter


cdef int64_t MOST_PACKED = 8192                         # filters of a group; a thread's scratch memory has rows of them


cdef const int64_t *pointer(object table) except? NULL:
    return <const int64_t *>address(table)


cdef class Convolution(Weighted):
    """Convolution()\n--\n\n"""

    cdef int make(self, object channels, object filters, object groups, object outside, object activation, object bias,
                  object init) except -1:
        """Takes the geometry, which is set, and what the two kinds have alike; `outside` is the size of the bias."""
        activation = checks.check_elementwise(get_activation(activation))
        shape = (filters, channels // groups, *self.kernel_size)
        checks.check_size("weight", *shape)
        self.g.channels, self.g.filters, self.g.groups = channels, filters, groups
        self.g.filter_size = checks.check_size("weight", *shape[1:])
        self.add_weights(shape, outside, activation, bias, init)
        return 0

    @property
    def groups(self):
        return self.g.groups

    cdef int bind(self) except -1:
        self.g.w, self.g.b = address(self.own_values["weight"]), NULL
        self.g.dw = self.g.db = NULL                # a frozen layer has no products for them
        if self._trainable:
            self.g.dw = address(self.own_gradients["weight"])
        if self.has_bias:
            self.g.b = address(self.own_values["bias"])
            if self._trainable:
                self.g.db = address(self.own_gradients["bias"])
        return 0

    cdef Layout layout(self):
        return PLAIN if self.is_hosted else INTERLEAVED

    cdef bint ends_in_relu(self):
        return self.act.kind == RELU

    cdef object set_planes(self, fastnn_planes *g, object planes, int64_t channels, int64_t rows, int64_t lanes):
        """Points g to the tables of `planes`, for `rows` images of `channels` channels; returns the tables."""
        g.channel_size = checks.check_size("planes", planes.channel_size)
        g.image_size = checks.check_size("planes", channels, g.channel_size) + lanes  # a vector may read beyond the end
        tables = planes.tables(channels // self.g.groups, CONV_PIXELS if rows >= lanes and not self.g.kernel else None)
        interleaved = tables.tap_offset * lanes
        tap_places = tables.tap_offset[tables.taps]
        taps_interleaved = tap_places * lanes
        self.tables += [tables, interleaved, tap_places, taps_interleaved]
        g.height, g.width, g.pitch = len(tables.row_offset), len(tables.col_offset), planes.pitch
        g.contiguous, g.full_set = tables.contiguous, tables.full_set
        g.row_offset, g.col_offset = pointer(tables.row_offset), pointer(tables.col_offset)
        g.tap_offset, g.tap_offset_interleaved = pointer(tables.tap_offset), pointer(interleaved)
        g.tap_places, g.taps_interleaved = pointer(tap_places), pointer(taps_interleaved)
        g.order, g.window_begin = pointer(tables.order), pointer(tables.window_begin)
        g.tap_set, g.row_set, g.col_set = pointer(tables.tap_set), pointer(tables.row_set), pointer(tables.col_set)
        g.taps, g.tap_set_begin = pointer(tables.taps), pointer(tables.tap_set_begin)
        return tables

    cdef object unpadded(self, object planes, object tables, int64_t channels, int64_t lanes):
        """Where the windows of groups of `channels` channels find their pixels in a block as it came, if they can."""
        found = planes.unpadded(channels, tables)
        if found is None:
            return None
        places = found.begin, found.taps * lanes
        self.tables.append(places)
        return places

    cdef int plan_windows(self, tuple image, tuple windows, int64_t rows, Plan plan) except -1:
        """Reserves what the kernels need for a convolution from `image` to `windows`, but for g.input.memory."""
        cdef fastnn_conv *g = &self.g
        cdef object inside = g.channels // g.groups, outside = g.filters // g.groups
        cdef int64_t lanes = 64 // plan.real_size
        sides = checks.sides_of(self.padding)
        # A stride as long as the padded image makes one step, however much longer it is.
        stride = tuple([min(step, side + sum(around)) for step, side, around in zip(self.stride, image, sides)])
        g.out_rows, g.out_cols = windows
        g.stride_h, g.stride_w = stride
        square = self.kernel_size in ((3, 3), (5, 5)) and self.dilation == (1, 1) and stride in ((1, 1), (2, 2))
        g.window = self.kernel_size[0] if square and not g.kernel else 0        # Winograd's formulas need the planes
        g.step, g.top, g.left = stride[0], sides[0][0], sides[1][0]
        g.by_strips = g.window and g.groups == g.channels == g.filters and g.x_interleaved and g.y_interleaved
        self.tables = []
        plan.multiply_adds += <double>g.filters * g.filter_size * <int64_t>windows[0] * <int64_t>windows[1]
        (top, _), (left, _) = sides
        geometry = self.kernel_size, stride, (top, left), self.dilation
        seen, spread = (self.tiled(windows), self.tiled(image)) if g.kernel else (windows, image)
        planes = conv_tables.input_planes(image, *geometry, seen)
        tables = self.set_planes(&g.input, planes, g.channels, rows, lanes)
        g.x_begin = g.x_taps = g.du_begin = g.du_taps = NULL
        blocks = not g.kernel and rows >= lanes
        if blocks and g.x_interleaved:
            found = self.unpadded(planes, tables, inside, lanes)
            if found is not None:
                g.x_begin, g.x_taps = pointer(found[0]), pointer(found[1])
        planes = conv_tables.gradient_planes(spread, *geometry, windows)
        tables = self.set_planes(&g.gradient, planes, g.filters, rows, lanes)
        copied = rows
        if blocks and g.y_interleaved:
            found = self.unpadded(planes, tables, outside, lanes)
            if found is not None:
                g.du_begin, g.du_taps, copied = pointer(found[0]), pointer(found[1]), lanes - 1
        plan.reserve_scratch(&g.gradient.memory, <object>copied * g.gradient.image_size)
        # A piece of an interleaved output, u and y if both are kept; the lines that 1 × 1 kernels copy.
        piece = CONV_PIXELS * min(CONV_FILTERS, max(inside, outside))
        g.scratch_size = lanes * ((1 + saves_slope(self.act.kind)) * piece + CONV_LINES * (g.filter_size == inside))
        if g.groups == g.channels == g.filters:         # two channels with their padding, and an output
            channel = max(<object>g.input.channel_size, <object>g.gradient.channel_size)
            g.scratch_size = max(g.scratch_size, 3 * (channel // lanes + 2) * lanes)
        if g.kernel:
            self.plan_points(lanes, plan)
        plan.reserve(&g.y, <object>rows * self.out_size)
        if saves_slope(self.act.kind):
            plan.reserve(&self.u, <object>rows * self.out_size)
        plan.reserve_scratch(&g.scratch, <object>plan.threads * g.scratch_size)
        # Of 16 filters products have tiles of one vector, which take as long as those of dots.
        whole = -(-outside // lanes) * lanes
        g.products = g.filter_size >= 32 and outside >= 2 * lanes and 10 * whole <= 11 * outside
        g.pixels = False
        # Turned weights, or dW's sums: rows of filters, a group's in whole lines.
        plan.reserve_scratch(&g.weights, g.groups * <object>g.filter_size * (whole if outside >= lanes else outside))
        g.panels = NULL
        if not g.kernel and lanes <= max(inside, outside) <= MOST_PACKED and self.packed is None:
            size = max([one * (-(-other // lanes) * lanes) for one, other in ((inside, outside), (outside, inside))])
            plan.reserve_scratch(&g.panels, g.groups * (g.filter_size // inside) * size)
        return 0

    cdef tuple tiled(self, tuple image):
        """Height and width of the tiles of Winograd's formulas that cover an image."""
        tile = 7 - <object>self.g.kernel
        return tuple([-(-side // tile) * tile for side in image])

    cdef int plan_points(self, int64_t lanes, Plan plan) except -1:
        """Reserves what Winograd's formulas need beside the planes."""
        cdef fastnn_conv *g = &self.g
        cdef object inside = g.channels // g.groups, outside = g.filters // g.groups, most = max(inside, outside)
        whole = [-(-side // lanes) * lanes for side in (inside, outside)]       # rows of whole lines
        g.weight_lines = max(4, min(WINOGRAD_SUMMED, 256 // most))      # of few channels more are worth a thread
        # For each thread: some lines of all channels and of some filters, or dW's lines, packed.
        g.scratch_size = checks.check_size("tiles", max(
            WINOGRAD_POINTS * lanes * ((most + WINOGRAD_FILTERS) * WINOGRAD_LINES + 2),
            g.weight_lines * lanes * (inside + outside + 2 * lanes)))
        plan.reserve_scratch(&g.tiles, 2 * WINOGRAD_POINTS * lanes * (most * g.weight_lines + 1))
        plan.reserve_scratch(&g.transformed, WINOGRAD_POINTS * max(g.filters * whole[0], g.channels * whole[1]))
        plan.reserve_scratch(&g.strips, WINOGRAD_POINTS * (max(g.filters * inside, g.channels * outside) + lanes))
        # Unless they are packed, each part of a prediction transforms them, which takes longer than to read them.
        passes = 8 if self.packed is None else 1
        plan.parameter_bytes += passes * WINOGRAD_POINTS * <object>g.filters * inside * plan.real_size
        return 0

    cdef void start(self, Pass *p) noexcept nogil:
        """Sets what forward needs beside its input."""
        self.g.images, self.g.threads, self.g.work = p.rows, p.threads, p.work
        self.g.packed = packed_for(self, p.k)
        self.g.predicts = not p.saves
        self.g.norm, self.g.activation, self.g.alpha = NULL, self.act.kind, self.act.parameter
        if self.absorbed and not p.saves:
            if self.norm is not None:
                self.g.norm = self.norm.constants(p)
            if self.after is not None:
                self.g.activation, self.g.alpha = self.after.kind, self.after.parameter
        self.g.u = self.u if p.saves and saves_slope(self.g.activation) else self.g.y

    cdef void *act_backward(self, Pass *p, void *dy) noexcept nogil:
        """du, over dy where the kernels have the activation."""
        if self.is_hosted:
            return self.activation.backward_pass(p, dy, True)
        if self.act.kind != IDENTITY and not self.leaves_relu:
            p.k.activate_backward(self.act.kind, self.act.parameter, self.g.u, dy, dy, NULL, p.rows, self.out_size,
                                  p.threads)
        return dy


cdef class Conv2d(Convolution):
    """Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, activation=None, \
bias=True, *, init=None, algorithm="direct")\n--\n\n"""

    weight = Parameter("", "weight")
    bias = Parameter("", "bias")
    cdef readonly str algorithm

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1,
                 activation=None, bias=True, *, init=None, algorithm="direct"):
        Layer.__init__(self)
        in_channels = checks.as_integer("in_channels", in_channels, 1)
        out_channels = checks.as_integer("out_channels", out_channels, 1)
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = checks.as_pair("stride", stride, 1)
        self.dilation = checks.as_pair("dilation", dilation, 1)
        self.padding = checks.as_padding(padding, checks.extent(self.kernel_size, self.dilation), self.stride)
        groups = checks.as_groups(groups, in_channels, out_channels)
        self.algorithm = checks.as_algorithm(algorithm, self.kernel_size, self.stride, self.dilation)
        if self.algorithm == "winograd":
            self.g.kernel = self.kernel_size[0]
        self.make(in_channels, out_channels, groups, out_channels, activation, bias, init)

    @property
    def in_channels(self):
        return self.g.channels

    @property
    def out_channels(self):
        return self.g.filters

    cdef tuple output_shape_of(self, tuple shape):
        who = type(self).__name__
        _, *image = checks.check_image_shape(who, shape, self.g.channels)
        return (self.g.filters, *checks.window_counts(
            who, image, self.kernel_size, self.stride, self.padding, self.dilation))

    cdef int pack(self, const fastnn_kernels *k) except -1:
        line = LINE // k.real_size
        if not self.g.kernel:
            filters = self.g.filters // self.g.groups
            if line <= filters <= MOST_PACKED:
                row = -(-filters // line) * line
                k.conv_pack(&self.g, self.reserve_packed(k, self.g.groups * self.g.filter_size * row))
            return 0
        inside = -(-(self.g.channels // self.g.groups) // line) * line
        size = checks.check_size("weight", WINOGRAD_POINTS, self.g.filters * inside + line)
        transformed = aligned(size * k.real_size)
        self.g.transformed = address(transformed)
        k.conv_winograd_pack(&self.g, self.reserve_packed(k, size))
        self.g.transformed = NULL                   # until a plan has memory for it
        return 0

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        self.g.x_interleaved, self.g.y_interleaved = self.x_layout == INTERLEAVED, self.y_layout == INTERLEAVED
        self.plan_windows(shape[1:], out_shape[1:], rows, plan)
        planes = (min(rows, LINE // plan.real_size - 1) if self.g.by_strips else rows) * <object>self.g.input.image_size
        self.g.pixels = (self.g.products and self.g.x_interleaved and self.kernel_size == (1, 1)
                         and shape[1:] == out_shape[1:] and not any(map(sum, checks.sides_of(self.padding))))
        if self.g.pixels:
            plan.reserve_scratch(&self.g.input.memory, planes)
        else:
            plan.reserve(&self.g.input.memory, planes)
        self.plan_hosted(out_shape, rows, plan)
        return out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.start(p)
        self.g.x = x
        if self.g.kernel:
            p.k.conv_winograd(&self.g)
        else:
            p.k.conv(&self.g)
        return self.activated(p, self.g.y)

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        dy = self.act_backward(p, dy)
        self.g.du = dy
        if self.g.kernel:
            p.k.conv_winograd_backward_weight(&self.g)
        else:
            p.k.conv_backward_weight(&self.g)
        if not wants_dx:
            return dy
        self.g.dx = p.spare
        if self.g.kernel:
            p.k.conv_winograd_backward_input(&self.g)
        else:
            p.k.conv_backward_input(&self.g)
        p.spare = dy
        return self.g.dx

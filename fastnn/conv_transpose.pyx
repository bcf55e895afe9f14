"""ConvTranspose2d: a convolution's way back as a layer: each pixel of x is spread over a window of y.

    forward     u = sums of x @ Wᵀ over the patches that a pixel stands in, + b,  y = act(u)
    backward    du = dy · act'(u),  db = Σ du,  dx = patches of du @ W,  dW = (patches of du)ᵀ @ x

The kernels get the convolution from y to x, with y in the place of its input, and go through it the other way round
(kernels/conv_transpose.inc.c).

Reference: fastnn_ref/conv_transpose.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_kernels
from fastnn.conv cimport Convolution
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport INTERLEAVED, Pass

from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter


cdef class ConvTranspose2d(Convolution):
    """ConvTranspose2d(in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, \
bias=True, dilation=1, activation=None, *, init=None)\n--\n\n"""

    weight = Parameter("", "weight")
    bias = Parameter("", "bias")
    cdef readonly tuple output_padding

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1,
                 bias=True, dilation=1, activation=None, *, init=None):
        Layer.__init__(self)
        in_channels = checks.as_integer("in_channels", in_channels, 1)
        out_channels = checks.as_integer("out_channels", out_channels, 1)
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = checks.as_pair("stride", stride, 1)
        self.padding = checks.as_padding(padding)
        self.dilation = checks.as_pair("dilation", dilation, 1)
        self.output_padding = checks.as_output_padding(output_padding, self.stride, self.dilation)
        groups = checks.as_groups(groups, in_channels, out_channels)
        self.make(out_channels, in_channels, groups, out_channels, activation, bias, init)

    @property
    def in_channels(self):
        return self.g.filters

    @property
    def out_channels(self):
        return self.g.channels

    cdef tuple output_shape_of(self, tuple shape):
        who = type(self).__name__
        _, *image = checks.check_image_shape(who, shape, self.g.filters)
        return (self.g.channels, *checks.transposed_shape(
            who, image, self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation))

    cdef int pack(self, const fastnn_kernels *k) except -1:
        k.conv_transpose_pack(&self.g, self.reserve_packed(k, self.own_values["weight"].size))
        return 0

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        self.g.x_interleaved, self.g.y_interleaved = self.y_layout == INTERLEAVED, self.x_layout == INTERLEAVED
        self.plan_windows(out_shape[1:], shape[1:], rows, plan)
        plan.reserve_scratch(&self.g.input.memory, <object>rows * self.g.input.image_size)
        self.plan_hosted(out_shape, rows, plan)
        return out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.start(p)
        self.g.du = x
        p.k.conv_transpose(&self.g)
        return self.activated(p, self.g.y)

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        dy = self.act_backward(p, dy)
        self.g.x = dy
        p.k.conv_transpose_backward_weight(&self.g)
        if not wants_dx:
            return dy
        self.g.dx = p.spare
        p.k.conv_transpose_backward_input(&self.g)
        p.spare = dy
        return self.g.dx

"""Batch normalisation: every channel gets mean 0 and variance 1 over the batch, then a mean and a scale that it learns.

    forward     x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ dy,  dweight = Σ dy · x̂
                dx = weight / √(var + ε) · (dy − dbias/N − x̂ · dweight/N)
    prediction  the running mean and variance stand in for the batch's, and are constants: dx = weight / √(var + ε) · dy

x̂ is not stored: backward makes it again of x and of what `saved` holds for each channel. dx overwrites dy.

Reference: fastnn_ref/batchnorm.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport address, fastnn_norm
from fastnn.memory cimport Plan
from fastnn.network cimport INTERLEAVED, PASS_THROUGH, Layout, Node, Pass
from fastnn.norm cimport Norm

import math

from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter
from fastnn_ref.shared.shapes import check_input_shape


cdef class BatchNorm(Norm):
    """BatchNorm(num_features, eps=1e-5, momentum=0.1, affine=True, bias=True)\n--\n\n"""

    weight = Parameter("", "weight")
    bias = Parameter("", "bias")
    running_mean = Parameter("", "running_mean")
    running_var = Parameter("", "running_var")

    cdef readonly int64_t num_features
    cdef readonly double eps, momentum
    cdef readonly bint affine
    cdef Node relu              # the layer behind, if its work is done along with this one's

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, bias=True):
        self.check_unmade()
        num_features = checks.check_size("num_features", checks.as_integer("num_features", num_features, 1))
        self.num_features = num_features
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.momentum = checks.as_number("momentum", momentum, 0, 1)
        self.g.channels, self.g.eps, self.g.momentum = self.num_features, self.eps, self.momentum
        self.affine = checks.as_flag("affine", affine)
        shape = (self.num_features,)
        self.add_affine(shape, self.affine, bias)
        self.add("running_mean", shape, "zeros", False, False)
        self.add("running_var", shape, "ones", False, False)

    cdef int bind(self) except -1:
        Norm.bind(self)
        if not self._trainable:
            self.g.dw = self.g.db = NULL            # a frozen layer has no sums for them
        self.g.running_mean = address(self.own_values["running_mean"])
        self.g.running_var = address(self.own_values["running_var"])
        return 0

    cdef int64_t min_batch_size_of(self, tuple shape) except -1:
        return 1 if math.prod(shape[1:]) > 1 or not self._trainable else 2

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Norm.plan(self, shape, rows, plan)
        self.relu = None
        self.g.inner, self.g.interleaved = self.in_size // self.num_features, self.x_layout == INTERLEAVED
        plan.reserve_result(&self.y, <object>rows * self.out_size)
        plan.reserve(&self.saved, 3 * <object>self.num_features)
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        # Behind an error the running statistics stay.
        self.g.rows, self.g.threads = p.rows, p.threads
        self.g.training = p.training and self._trainable and p.error == NULL
        self.g.x, self.g.y, self.g.saved, self.g.relu = x, self.y, self.saved, self.relu is not None
        p.k.batchnorm(&self.g)
        return self.y

    cdef bint has_constants(self):
        return True

    cdef const fastnn_norm *constants(self, Pass *p) noexcept nogil:
        self.g.training, self.g.saved = False, self.saved
        p.k.batchnorm_constants(&self.g)
        return &self.g

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.g.dy, self.g.relu = dy, self.relu is not None and not self.relu.leaves_relu
        p.k.batchnorm_backward(&self.g)
        return dy


cdef class BatchNorm1d(BatchNorm):
    """BatchNorm1d(num_features, eps=1e-5, momentum=0.1, affine=True, bias=True)\n--\n\n"""

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, bias=True):
        BatchNorm.__init__(self, num_features, eps, momentum, affine, bias)
        self.input_shape = (self.num_features,)

    cdef tuple output_shape_of(self, tuple shape):
        return check_input_shape(type(self).__name__, shape, (self.num_features,), (self.num_features,))


cdef class BatchNorm2d(BatchNorm):
    """BatchNorm2d(num_features, eps=1e-5, momentum=0.1, affine=True, bias=True)\n--\n\n"""

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, bias=True):
        BatchNorm.__init__(self, num_features, eps, momentum, affine, bias)

    cdef Layout layout(self):
        return PASS_THROUGH

    cdef int join(self, Node behind) except -1:
        """relu, while a channel is in the cache: a step of bench's MobileNet-like takes 0.97 of the time, 0.95 on two
        threads."""
        cdef bint is_relu = behind.layout() == PASS_THROUGH and behind.ends_in_relu()
        if is_relu and behind.in_place and (self.g.inner > 1 or self.g.interleaved):
            self.relu, behind.is_joined = behind, True
        return 0

    cdef tuple output_shape_of(self, tuple shape):
        return checks.check_image_shape(type(self).__name__, shape, self.num_features)

"""PReLU: a relu whose slope below 0 is learnt.

    forward     y = x where x > 0, else a · x                a, one number, or one for each channel
    backward    dx = dy where x > 0, else a · dy
                da = Σ dy · x over the x <= 0 of the batch that a belongs to

dx overwrites dy.

Twin: fastnn_ref/prelu.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport address, fastnn_prelu
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport INTERLEAVED, PASS_THROUGH, Layout, Pass

from fastnn_ref.shared import checks
from fastnn_ref.shared.parameter import Parameter
from fastnn_ref.shared.shapes import check_channels


cdef class PReLU(Layer):
    """PReLU(num_parameters=1, init=0.25)\n--\n\n"""

    weight = Parameter("", "weight")

    cdef readonly int64_t num_parameters
    cdef readonly double init
    cdef fastnn_prelu g
    cdef void *y

    def __init__(self, num_parameters=1, init=0.25):
        num_parameters = checks.check_size("num_parameters", checks.as_integer("num_parameters", num_parameters, 1))
        init = checks.as_number("init", init)
        Layer.__init__(self)
        self.num_parameters = self.g.channels = num_parameters
        self.init = init
        self.add("weight", (self.num_parameters,), self.init)

    cdef tuple output_shape_of(self, tuple shape):
        return check_channels(type(self).__name__, shape, self.num_parameters)

    cdef int bind(self) except -1:
        self.g.a, self.g.da = address(self.own_values["weight"]), self.gradient_of("weight")
        return 0

    cdef Layout layout(self):
        return PASS_THROUGH

    cdef bint output_is_reusable(self):
        return True

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Layer.plan(self, shape, rows, plan)
        self.g.inner, self.g.interleaved = self.in_size // self.num_parameters, self.x_layout == INTERLEAVED
        plan.reserve_result(&self.y, <object>rows * self.out_size)
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.rows, self.g.threads = p.rows, p.threads
        self.g.x, self.g.y = x, self.y
        p.k.prelu(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.g.dy = dy
        p.k.prelu_backward(&self.g)
        return dy

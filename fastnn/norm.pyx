"""Norm: what every normalisation has at its end, a scale and a mean that are learnt.

    forward     y = weight · x̂ + bias
    backward    dweight = Σ dy · x̂,  dbias = Σ dy

Kernels always have both. Where a layer is made without a scale or a shift, they read ones or zeros, and write the
gradient where nobody looks.

Reference: fastnn_ref/norm.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport address, aligned
from fastnn.layer cimport Layer
from fastnn.memory cimport whole_lines
from fastnn.network cimport Network

import math

from fastnn_ref.shared import checks


cdef class Norm(Layer):
    """Norm()\n--\n\n"""

    cdef int add_affine(self, tuple shape, bint affine, object bias) except -1:
        """Declares the scale, and behind it the shift, unless the layer is made without them."""
        cdef bint shifts = checks.as_flag("bias", bias)
        Layer.__init__(self)                        # last of what may fail: a layer is made then
        self.affine_shape = shape
        if affine:
            self.add("weight", shape, "ones")
        if affine and shifts:
            self.add("bias", shape, "zeros")
        return 0

    cdef int bind(self) except -1:
        self.stand_ins = []
        if "weight" in self.own_specs:
            self.g.w, self.g.dw = address(self.own_values["weight"]), self.gradient_of("weight")
        else:
            self.g.w, self.g.dw = address(self.stand_in(1)), address(self.stand_in(0))
        if "bias" in self.own_specs:
            self.g.b, self.g.db = address(self.own_values["bias"]), self.gradient_of("bias")
        else:
            self.g.b, self.g.db = address(self.stand_in(0)), address(self.stand_in(0))
        return 0

    cdef object stand_in(self, double value):
        """An array that is kept as long as the layer's memory stays what it is."""
        cdef Network network = self.climb()
        cdef int64_t i, count = math.prod(self.affine_shape)
        cdef void *data
        array = aligned(whole_lines(count * network.real_size), False)
        data = address(array)
        for i in range(count):                      # as `bind` must do without NumPy
            if network.real_size == 8:
                (<double *>data)[i] = value
            else:
                (<float *>data)[i] = <float>value
        self.stand_ins.append(array)
        return array

    cdef bint output_is_reusable(self):
        return True

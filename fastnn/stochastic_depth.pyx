"""Residual: a block beside the identity. Stochastic depth: in training the block is left out with probability p.

    forward     y  = x + m · block(x) / (1 − p)     m = 0 with probability p, else 1
    backward    dx = dy + block's backward of m · dy / (1 − p)
    prediction  y  = x + block(x)

Residual is the case p = 0. Left out for a whole batch, the block does no work: y is x itself, its gradients are set to
0, and dx is dy.

Reference: fastnn_ref/stochastic_depth.py.
"""

import numpy as np

from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from fastnn._kernels cimport address, bernoulli, fastnn_stream
from fastnn.custom cimport as_layer
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport Pass, plan_node, stream_of, walk

from fastnn_ref import philox
from fastnn_ref.shared import checks
from fastnn_ref.shared.objects import check_instance, check_unowned


cdef class Residual(Layer):
    """Residual(block)\n--\n\n"""

    _numbered = 0

    cdef readonly Layer block
    cdef void *y
    cdef void *beside           # dy, while the block's backward overwrites it

    def __init__(self, block):
        self.check_unmade()
        self.take(as_layer("block", block))

    cdef int take(self, object layer) except -1:
        """Takes the block in: the last line of a constructor."""
        cdef Layer block = check_instance("block", layer, Layer)
        check_unowned("block", block)
        if block.input_shape is not None:
            self.check_kept(block, block.input_shape, block.output_shape_of(block.input_shape))
        Layer.__init__(self)
        self.block, self.input_shape = block, block.input_shape
        try:
            self.adopt((block,))
        except BaseException:
            self.block = None
            raise
        return 0

    cdef tuple output_shape_of(self, tuple shape):
        self.check_made()
        self.check_kept(self.block, shape, self.block.output_shape_of(shape))
        return shape

    cdef int check_kept(self, Layer block, tuple shape, tuple out_shape) except -1:
        """What is added must fit."""
        if out_shape != shape:
            raise ValueError(f"{type(self).__name__}: expected a block that keeps the shape "
                             f"{checks.format_shape(shape)}, got {checks.format_shape(out_shape)} from "
                             f"{type(block).__name__}")
        return 0

    cdef int64_t min_batch_size_of(self, tuple shape) except -1:
        return 1 if self.block is None else self.block.min_batch_size_of(shape)

    cdef bint combines(self):
        return True

    cdef tuple named_children(self):
        return () if self.block is None else (("block", self.block),)

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        self.check_kept(self.block, shape, plan_node(self.block, shape, rows, plan))
        self.in_size = self.out_size = self.block.in_size
        plan.reserve(&self.y, <object>rows * self.out_size)
        plan.reserve(&self.beside, <object>rows * self.out_size)
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        return self.add_block(p, x, 0, 1)

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        return self.back_through_block(p, dy, wants_dx, 0, 1)

    cdef void *add_block(self, Pass *p, const void *x, uint64_t threshold, double scale) noexcept nogil:
        """x + m · block(x) · scale, m by row: 0 with the probability that belongs to the threshold."""
        cdef fastnn_stream stream = stream_of(self, p)
        p.k.residual(x, self.block.forward_pass(p, x), self.y, p.rows, self.out_size, threshold, scale, &stream)
        return self.y

    cdef void *back_through_block(self, Pass *p, void *dy, bint wants_dx, uint64_t threshold,
                                  double scale) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        if wants_dx:
            memcpy(self.beside, dy, p.rows * self.out_size * p.k.real_size)
        if threshold != 0 or scale != 1:
            p.k.mask_rows(dy, p.rows, self.out_size, threshold, scale, &stream)
        dy = self.block.backward_pass(p, dy, wants_dx)
        if wants_dx:
            p.k.residual(self.beside, dy, dy, p.rows, self.out_size, 0, 1, &stream)
        return dy


cdef class StochasticDepth(Residual):
    """StochasticDepth(block, p, mode="batch")\n--\n\n"""

    _numbered = 1

    cdef readonly double p
    cdef readonly str mode
    cdef bint whole             # one decision for the batch
    cdef uint64_t threshold
    cdef double scale
    cdef list gradient_arrays   # the block's
    cdef object spans           # their addresses and bytes
    cdef const int64_t *span
    cdef int64_t span_count
    cdef int64_t passes         # training passes in which the block worked

    def __init__(self, block, p, mode="batch"):
        self.check_unmade()
        self.p = checks.as_number("p", p, 0, 1)
        self.mode = checks.as_choice("mode", mode, ("batch", "row"))
        self.whole = self.mode == "batch"
        self.threshold, self.scale = philox.threshold(self.p), philox.scale(self.p)
        self.take(as_layer("block", block))

    @property
    def executed(self):
        return self.passes

    @executed.setter
    def executed(self, value):
        self.passes = checks.as_integer("executed", value, 0, 2**62)

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        Residual.plan(self, shape, rows, plan)
        self.gradient_arrays = [gradient for _, node in walk(self.block, "")
                                for gradient in (<Layer>node).own_gradients.values()]
        spans = [(<uintptr_t>address(gradient), gradient.nbytes) for gradient in self.gradient_arrays]
        self.spans = np.array([*spans, (0, 0)], dtype=np.int64)
        self.span, self.span_count = <const int64_t *>address(self.spans), len(spans)
        return shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        if not p.training:
            return self.add_block(p, x, 0, 1)
        if self.whole and not bernoulli(self.threshold, &stream):
            return <void *>x
        self.passes += p.error == NULL
        return self.add_block(p, x, 0 if self.whole else self.threshold, self.scale)

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        cdef int64_t i
        if not p.training:
            return self.back_through_block(p, dy, wants_dx, 0, 1)
        if self.whole and not bernoulli(self.threshold, &stream):
            for i in range(self.span_count):
                memset(<void *><uintptr_t>self.span[2 * i], 0, self.span[2 * i + 1])
            return dy
        return self.back_through_block(p, dy, wants_dx, 0 if self.whole else self.threshold, self.scale)

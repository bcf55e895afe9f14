"""Stochastic depth: in training a residual block is left out with probability p.

    forward     y  = x + m · block(x) / (1 − p)     m = 0 with probability p, else 1
    backward    dx = dy + block's backward of m · dy / (1 − p)
    prediction  y  = x + block(x)

Left out for a whole batch, the block does no work: y is x itself, its gradients are set to 0, and dx is dy.

Twin: fastnn_ref/stochastic_depth.py.
"""

import numpy as np

from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from fastnn._kernels cimport address, bernoulli, fastnn_stream
from fastnn.layer cimport Arena, Layer, Pass, stream_of

from fastnn_ref import philox, validation


def linear_decay(depth, p_last=0.5):
    """p of each of ``depth`` blocks: p_l = l / depth · p_last, l = 1 … depth; the first ones are hardly ever left out.

    >>> linear_decay(4, 0.5)
    [0.125, 0.25, 0.375, 0.5]
    """
    depth, p_last = validation.integer("depth", depth, 1), validation.number("p_last", p_last, 0, 1)
    return [block / depth * p_last for block in range(1, depth + 1)]


cdef class StochasticDepth(Layer):
    """StochasticDepth(block, p, mode="batch")\n--\n
    y = x + block(x); in training ``block`` is left out with probability ``p`` and else multiplied by 1 / (1 − p).

    ``block`` is a layer, or a Sequential of several, that keeps the shape (else ValueError); 0 <= ``p`` <= 1, with
    p = 0 a plain residual block. ``mode="batch"`` decides once for a training batch and really skips the block's work:
    its gradients are then 0; an optimizer's momentum and weight decay go on, and running statistics stay. ``"row"``
    decides for each example.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.StochasticDepth(nn.Identity(), 0.5, mode="row"), seed=0)
    >>> sorted(set(model.forward(np.ones((100, 1)), training=True).ravel().tolist()))
    [1.0, 3.0]
    >>> model(np.ones((1, 1))).tolist()
    [[2.0]]
    """

    cdef readonly Layer block
    cdef readonly double p
    cdef readonly str mode
    cdef bint whole             # one decision for the batch
    cdef uint64_t threshold
    cdef double scale
    cdef void *y
    cdef void *beside           # dy, while the block's backward overwrites it
    cdef object spans           # address and bytes of the block's gradients
    cdef const int64_t *span
    cdef int64_t span_count

    def __init__(self, block, p, mode="batch"):
        Layer.__init__(self)
        validation.free("block", validation.instance("block", block, Layer))
        self.p = validation.number("p", p, 0, 1)
        self.mode = validation.choice("mode", mode, ("batch", "row"))
        self.whole = self.mode == "batch"
        self.threshold, self.scale = philox.threshold(self.p), philox.scale(self.p)
        self.block = block
        self.input_shape = self.block.input_shape
        if self.input_shape is not None:
            self.output_shape(self.input_shape)
        self.block.parent = self

    def arguments(self):
        return (self.block, self.p), {"mode": self.mode}

    def output_shape(self, shape):
        """The input's own shape, which the block must keep."""
        return validation.residual_shape(type(self).__name__, self.block, shape)

    cdef list leaves(self, str prefix):
        if self.block is None:                          # made without __init__
            return [(prefix, self)]
        return [(prefix, self), *self.block.leaves(f"{prefix}block.")]

    cdef list covered(self):
        return [] if self.block is None else self.block.covered()

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Layer.plan(self, shape, rows, arena)
        self.block.capacity = 0
        self.block.kept = None
        self.block.plan(shape, rows, arena)
        self.least = self.block.least
        arena.reserve(&self.y, <object>rows * self.out_size)
        arena.reserve(&self.beside, <object>rows * self.out_size)
        spans = [(<uintptr_t>address(gradient), gradient.nbytes)
                 for _, layer in self.block.leaves("") for gradient in ((<Layer>layer).gradients or {}).values()]
        self.spans = np.array([*spans, (0, 0)], dtype=np.int64)
        self.span, self.span_count = <const int64_t *>address(self.spans), len(spans)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        cdef uint64_t rows_below = 0                    # no row is left out
        cdef double scale = 1
        if p.training:
            if self.whole and not bernoulli(self.threshold, &stream):
                return <void *>x
            scale = self.scale
            rows_below = 0 if self.whole else self.threshold
        p.k.residual(x, self.block.forward_pass(p, x), self.y, p.rows, self.out_size, rows_below, scale, &stream)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        cdef int64_t i
        if self.whole and not bernoulli(self.threshold, &stream):
            for i in range(self.span_count):
                memset(<void *><uintptr_t>self.span[2 * i], 0, self.span[2 * i + 1])
            return dy
        if wants_dx:
            memcpy(self.beside, dy, p.rows * self.out_size * p.k.real_size)
        p.k.mask_rows(dy, p.rows, self.out_size, 0 if self.whole else self.threshold, self.scale, &stream)
        dy = self.block.backward_pass(p, dy, wants_dx)
        if wants_dx:
            p.k.residual(self.beside, dy, dy, p.rows, self.out_size, 0, 1, &stream)
        return dy

"""Parallel: branches side by side on the same input, and Select: what a branch takes of it.

    concat      y = [branch_1(x), …, branch_k(x)]       dx = Σ branch_i's backward of its part of dy
    add         y = Σ branch_i(x)                       dx = Σ branch_i's backward of dy
    select      y = x[:, start:stop]                    dx is dy there, and 0 elsewhere

Each branch works in its own buffers. Backward, they take turns with the two buffers of the pass, so dy is kept apart,
and the sum of their dx.

Reference: fastnn_ref/parallel.py.
"""

import math

from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastnn._kernels cimport fastnn_stream
from fastnn.custom cimport as_layer
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport Pass, plan_node, stream_of

from fastnn_ref.shared import checks
from fastnn_ref.shared.objects import check_unowned
from fastnn_ref.shared.shapes import as_slice, check_announced, check_branches, joined, merged_shape, selected_shape

cdef extern from "Python.h":
    ctypedef struct PyTupleObject:
        PyObject *ob_item[1]


cdef class Parallel(Layer):
    """Parallel(*branches, merge="concat")\n--\n\n"""

    cdef readonly tuple branches
    cdef readonly str merge
    cdef PyObject **nodes               # what the tuple of branches points to
    cdef int count
    cdef bint adds
    cdef void *y
    cdef void *beside                   # dy, while a branch's backward overwrites the pass's own
    cdef void *total                    # the sum of the branches' dx

    def __init__(self, *branches, merge="concat"):
        self.check_unmade()
        self.merge = checks.as_choice("merge", merge, ("concat", "add"))
        self.adds = self.merge == "add"
        branches = tuple([as_layer(f"branches[{index}]", branch) for index, branch in enumerate(branches)])
        self.input_shape = check_branches(branches, Layer, self.merge)
        for index, branch in enumerate(branches):
            check_unowned(f"branches[{index}]", branch)
        Layer.__init__(self)                        # last but one of what may fail: a layer is made then
        self.hold(branches)
        try:
            self.adopt(branches)
        except BaseException:
            self.hold(())
            raise

    cdef int hold(self, tuple branches) except -1:
        self.branches, self.count = branches, len(branches)
        self.nodes = (<PyTupleObject *><PyObject *>branches).ob_item
        return 0

    changes_shape = True
    _numbered = 0

    cdef tuple output_shape_of(self, tuple shape):
        return merged_shape(self.branches, shape, self.merge)

    cdef int64_t min_batch_size_of(self, tuple shape) except -1:
        return max([(<Layer>branch).min_batch_size_of(shape) for branch in self.branches or ()], default=1)

    cdef bint combines(self):
        return True

    cdef tuple named_children(self):
        return tuple([(str(index), branch) for index, branch in enumerate(self.branches or ())])

    cdef bint output_is_reusable(self):
        return True

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        found = [plan_node(branch, shape, rows, plan) for branch in self.branches]
        check_announced(joined(found, self.merge), out_shape)
        plan.reserve(&self.y, <object>rows * self.out_size)
        plan.reserve(&self.beside, <object>rows * self.out_size)
        plan.reserve(&self.total, <object>rows * self.in_size)
        return out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        cdef const void *part
        cdef int64_t size, begin = 0
        cdef int i
        for i in range(self.count):
            part = (<Layer>self.nodes[i]).forward_pass(p, x)
            size = (<Layer>self.nodes[i]).out_size
            if self.adds and i > 0:
                p.k.residual(self.y, part, self.y, p.rows, size, 0, 1, &stream)
            else:
                p.k.copy_columns(part, size, <char *>self.y + begin * p.k.real_size, self.out_size, p.rows, size)
            begin += size
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef fastnn_stream stream = stream_of(self, p)
        cdef int64_t size, begin = 0
        cdef bint first = True
        cdef int i
        memcpy(self.beside, dy, p.rows * self.out_size * p.k.real_size)
        for i in range(self.count):
            size = (<Layer>self.nodes[i]).out_size
            p.k.copy_columns(<char *>self.beside + begin * p.k.real_size, self.out_size, dy, size, p.rows, size)
            if not self.adds:
                begin += size
            dy = (<Layer>self.nodes[i]).backward_pass(p, dy, wants_dx)
            if not wants_dx:
                continue
            if not first:
                p.k.residual(self.total, dy, dy, p.rows, self.in_size, 0, 1, &stream)
            first = False
            if i < self.count - 1:
                memcpy(self.total, dy, p.rows * self.in_size * p.k.real_size)
        return dy


cdef class Select(Layer):
    """Select(start, stop)\n--\n\n"""

    cdef readonly int64_t start, stop
    cdef int64_t inner                  # values of one feature, or channel
    cdef void *y

    def __init__(self, start, stop):
        start, stop = as_slice(start, stop)
        Layer.__init__(self)
        self.start, self.stop = start, stop

    changes_shape = True

    cdef tuple output_shape_of(self, tuple shape):
        return selected_shape(shape, self.start, self.stop)

    cdef bint output_is_reusable(self):
        return True

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        self.inner = math.prod(shape[1:])
        plan.reserve(&self.y, <object>rows * self.out_size)
        return out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        p.k.copy_columns(<const char *>x + self.start * self.inner * p.k.real_size, self.in_size, self.y,
                         self.out_size, p.rows, self.out_size)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef void *dx = p.spare
        if not wants_dx:
            return dy
        memset(dx, 0, p.rows * self.in_size * p.k.real_size)
        p.k.copy_columns(dy, self.out_size, <char *>dx + self.start * self.inner * p.k.real_size, self.in_size,
                         p.rows, self.out_size)
        p.spare = dy
        return dx

"""Spans: where the parameters of a network lie in memory, and what an optimizer does to which of them.

An array of a parameter stays where it is as long as its dtype stays. So a network may consist of several pieces of
memory; an optimizer is one loop over these spans, and its own slots have one layout, weights before biases.

Reference: fastnn_ref/network.py, whose parameters are a list.
"""

import numpy as np

from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memcpy

from fastnn._kernels cimport address, aligned
from fastnn.memory cimport whole_lines

from fastnn._kernels import words
from fastnn_ref import init
from fastnn_ref.shared import checks

cdef double SMALL = 2.0**-600                       # times the largest number, its square is far from infinite


cdef class Spans:

    cdef int take_layout(self, tuple laid_out) except -1:
        self.entries, self.order, self.offsets, self.parameter_count, self.copy_memory = laid_out
        self.gradient_copy = NULL if self.copy_memory is None else <char *>address(self.copy_memory)
        return 0

    cdef int take_group(self, tuple grouped) except -1:
        (self.span_memory, self.span_count, self.updated, self.constraint_list, self.constraint_memory,
         self.matrix_memory, self.matrix_count, self.changed, self.written, self.statistics) = grouped
        self.spans = <Span *>address(self.span_memory)
        self.constraint_array = <const fastnn_constraint *>address(self.constraint_memory)
        self.constraint_count = len(self.constraint_list)
        self.matrices = <const fastnn_matrix *>address(self.matrix_memory)
        return 0

    cdef bint finite_parameters(self, const fastnn_kernels *k) noexcept nogil:
        cdef double largest = FLT_MAX if self.real_size == 4 else DBL_MAX
        cdef int i
        for i in range(self.span_count):
            if k.first_outside(self.spans[i].w, self.spans[i].n, -largest, largest) >= 0:
                return False
        return True

    cdef double sum_squares(self, const fastnn_kernels *k) noexcept nogil:
        """Σ g² over all gradients, added in the order of a slot wherever the gradients lie."""
        cdef int i
        if self.parameter_count == 0:
            return 0
        if self.gradient_copy == NULL:
            return k.sum_squares(self.spans[0].g, self.parameter_count)
        for i in range(self.span_count):
            memcpy(self.gradient_copy + self.spans[i].offset * k.real_size, self.spans[i].g,
                   self.spans[i].n * k.real_size)
        return k.sum_squares(self.gradient_copy, self.parameter_count)

    cdef double clip_norm(self, const fastnn_kernels *k, double limit) noexcept nogil:
        """Scales all gradients by one factor to a norm of at most `limit`; returns the norm before. Where its square
        overflows, in float64, they are made smaller first."""
        cdef double norm = sqrt(self.sum_squares(k)), unit = 1
        if norm == INFINITY and self.real_size == 8:
            unit = SMALL
            self.scale_gradients(k, unit)
            norm = sqrt(self.sum_squares(k))
        if norm > limit * unit:
            self.scale_gradients(k, limit / norm)
        elif unit < 1:
            self.scale_gradients(k, 1 / unit)
        return norm / unit

    cdef void scale_gradients(self, const fastnn_kernels *k, double factor) noexcept nogil:
        cdef int i
        for i in range(self.span_count):
            k.scale(self.spans[i].g, self.spans[i].n, factor)

    cdef void clamp_gradients(self, const fastnn_kernels *k, double limit) noexcept nogil:
        cdef int i
        for i in range(self.span_count):
            k.clamp(self.spans[i].g, self.spans[i].n, limit)


# ---- what is done to which values ----

cdef tuple group(list owners, list entries, list constraints, list order, dict offsets, int64_t real_size):
    """What is done to which values, as `take_group` takes it; `owners` has the layer of each entry.

    A span is made of neighbours in a slot that are neighbours in memory, too, and are treated alike.
    """
    cdef Span *spans
    cdef Span *last
    cdef fastnn_matrix *m
    cdef char *w
    cdef char *g
    cdef int64_t size
    cdef int count = 0
    cdef bint continues, frozen
    cdef double lr_scale
    changed = {entry[0]: entry[2] for node, entry in zip(owners, entries) if node._trainable}
    updated = [(*entry, node._lr_scale) for node, entry in zip(owners, entries)
               if entry[1].trainable and node._trainable]
    memory = aligned(max(len(order), 1) * sizeof(Span))
    spans = <Span *>address(memory)
    for index in order:
        frozen, lr_scale = not owners[index]._trainable, owners[index]._lr_scale
        name, spec, value, gradient = entries[index]
        w, g, size = <char *>address(value), <char *>address(gradient), whole_lines(value.nbytes) // real_size
        last = spans + count - 1
        continues = count > 0 and w == last.w + last.n * real_size and g == last.g + last.n * real_size and (
            last.frozen == frozen and last.lr_scale == lr_scale)
        if continues and last.decays == spec.decays:
            last.n += size
        else:
            spans[count] = Span(w, g, offsets[name][0], size, spec.decays, frozen, lr_scale, continues)
            count += 1
    constraint_array = constraint_memory(
        constraints, {id(value): offsets[name][0] for name, _, value, _, _ in updated},
        {id(value): lr_scale for _, _, value, _, lr_scale in updated})
    matrices = [(offsets[name][0], *value.shape)
                for name, _, value, _ in [entries[index] for index in order] if value.ndim == 2]
    matrix_array = aligned(max(len(matrices), 1) * sizeof(fastnn_matrix))
    m = <fastnn_matrix *>address(matrix_array)
    for i, (start, rows, columns) in enumerate(matrices):
        m[i].offset, m[i].rows, m[i].columns = start, rows, columns
    return (memory, count, updated, constraints, constraint_array, matrix_array, len(matrices), changed,
            list(changed.values()),
            [changed[name] for name, spec, _, _ in entries if name in changed and not spec.trainable])


cdef object constraint_memory(list constraints, dict starts=None, dict scales=None):
    """What penalties do to which parameters, as the kernels read it: an array of fastnn_constraint.

    `starts` says where a parameter begins in a slot, `scales` its lr_scale, by the id of its array.
    """
    cdef fastnn_constraint *r
    memory = aligned(max(len(constraints), 1) * sizeof(fastnn_constraint))
    r = <fastnn_constraint *>address(memory)
    for penalty, value, gradient in constraints:
        r.w, r.g, r.n = address(value), address(gradient), value.size
        r.offset = 0 if starts is None else starts[id(value)]
        r.lr_scale = 1 if scales is None else scales[id(value)]
        r.l1, r.l2, r.proximal, limit = penalty._coefficients()
        r.limit, r.units = 0 if limit is None else limit, 0
        if limit is not None:                           # a column of Linear's weight, a filter of Conv2d's
            r.units = value.shape[1] if value.ndim == 2 else value.shape[0]
            r.unit_step = 1 if value.ndim == 2 else r.n // r.units
        r += 1
    return memory


# ---- where parameters lie ----

cdef tuple lay_out(list found, object dtype, object seed):
    """Memory for everything that training changes: `found` has (name, spec, value, gradient), or None for an array.

    Arrays stay where they are if kernels can use them; missing values are drawn. A slot has weights, then biases, each
    from the start of a cache line on. Returns, for `take_layout`, `found` with all arrays; the indices of those with a
    gradient, in the order of a slot; name → (where it begins there, shape) of these, in the order of the layers; the
    size of a slot; and memory for all gradients side by side, or None where they lie so.
    """
    cdef int64_t real_size = dtype.itemsize
    cdef object total = 0
    sizes = [whole_lines(checks.check_size(spec.name, *spec.shape) * real_size) // real_size for _, spec, _, _ in found]
    order = [index for decays, trains in ((True, True), (False, True), (True, False), (False, False))
             for index, (_, spec, _, _) in enumerate(found) if (spec.decays, spec.trainable) == (decays, trains)]
    trained = [index for index in order if found[index][1].trainable]
    offsets = {name: None for name, spec, _, _ in found if spec.trainable}
    for index in trained:
        offsets[found[index][0]] = (total, found[index][1].shape)
        total += sizes[index]
    checks.check_memory(total * real_size)
    values, gradients = [
        place_arrays([(index, found[index][1].shape, sizes[index], found[index][kind]) for index in indices], dtype)
        for kind, indices in ((2, order), (3, trained))]
    for index, (name, spec, given, _) in enumerate(found):
        if given is None:
            values[index][...] = init.create(spec.init, spec.shape, seed, index, dtype, words)
        elif tuple(given.shape) != spec.shape:
            raise ValueError(f"{name}: expected {checks.format_shape(spec.shape)}, "
                             f"got {checks.format_shape(given.shape)}")
    entries = [(name, spec, values[index], gradients.get(index)) for index, (name, spec, _, _) in enumerate(found)]
    flat = all([<int64_t><uintptr_t>address(gradients[index]) == <int64_t><uintptr_t>address(gradients[trained[0]])
                + <int64_t>offsets[found[index][0]][0] * real_size for index in trained])
    return entries, trained, offsets, total, None if flat else aligned(total * real_size)


cdef bint fits(object array, tuple shape, object dtype, object count) except -1:
    """May kernels use this array as it is? It must lie in a block made here, in whole cache lines of its own."""
    cdef int64_t start
    if not (type(array) is np.ndarray and array.dtype == dtype and array.shape == shape and array.flags.c_contiguous
            and array.flags.writeable and type(array.base) is np.ndarray and array.base.dtype == np.uint8):
        return False
    start = <int64_t><uintptr_t>address(array)
    return start % 64 == 0 and (
        start + count * dtype.itemsize <= <int64_t><uintptr_t>address(array.base) + array.base.nbytes)


cdef dict place_arrays(list wanted, object dtype):
    """Index → array: the given one if kernels can use it, else a new one, all new ones in one block."""
    arrays, start = {index: given for index, shape, count, given in wanted if fits(given, shape, dtype, count)}, 0
    size = sum([count for index, _, count, _ in wanted if index not in arrays])
    block = aligned(max(checks.check_memory(size * dtype.itemsize), 1))[:size * dtype.itemsize].view(dtype)
    for index, shape, count, given in wanted:
        if index not in arrays:
            arrays[index] = block[start:start + int(np.prod(shape))].reshape(shape)
            start += count
            if given is not None and given.shape == shape:
                arrays[index][...] = given
    return arrays

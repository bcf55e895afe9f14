"""Sequential: layers in a row.

    forward     x → layer 1 → … → layer L → y
    backward    the same way back, dy → … → dx

Reference: fastnn_ref/sequential.py.
"""

import weakref

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from fastnn.custom cimport as_layer
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.model cimport Model
from fastnn.network cimport (
    INTERLEAVED, PASS_THROUGH, PLAIN, Layout, Node, Pass, contents_dtype, goes_back_inside, make_network,
    plan_node,
)

from fastnn.network import DEFAULT_DTYPE
from fastnn.penalty import Penalty
from fastnn_ref.shared import checks
from fastnn_ref.shared.network import as_dtype, as_model_seed
from fastnn_ref.shared.objects import as_tuple_of, check_unowned
from fastnn_ref.shared.shapes import check_chain, check_part

cdef extern from "Python.h":
    ctypedef struct PyTupleObject:
        PyObject *ob_item[1]


cdef class Sequential(Model):
    """Sequential(*layers, seed=0, dtype=None, penalty=None, input_shape=None)\n--\n\n"""

    _numbered = 0

    cdef readonly tuple layers, penalty
    cdef readonly object _given_shape       # the argument input_shape, which the attribute completes
    cdef PyObject **nodes                   # what the tuple of layers points to
    cdef int count
    cdef int first_back                     # the first layer whose backward pass training wants
    cdef object whole                       # the model that this one is a part of, which it keeps alive

    def __init__(self, *layers, seed=0, dtype=None, penalty=None, input_shape=None):
        self.check_unmade()
        penalties = as_tuple_of("penalty", penalty, Penalty)
        seed = as_model_seed(seed)
        dtype = None if dtype is None else as_dtype(dtype, DEFAULT_DTYPE)
        given = None if input_shape is None else checks.as_shape("input_shape", input_shape)
        layers = tuple([as_layer(f"layers[{index}]", layer) for index, layer in enumerate(layers)])
        input_shape = check_chain(layers, Layer, given)
        for index, layer in enumerate(layers):
            check_unowned(f"layers[{index}]", layer)
        if dtype is None:
            contents_dtype(layers)
        Model.__init__(self)
        self.input_shape, self._given_shape, self.penalty = input_shape, given, penalties
        self.own_network = make_network(self, seed, dtype)
        self.hold(layers)
        try:
            self.adopt(layers)
        except BaseException:
            self.hold(())
            raise

    cdef int hold(self, tuple layers) except -1:
        self.layers, self.count = layers, len(layers)
        self.nodes = (<PyTupleObject *><PyObject *>layers).ob_item
        return 0

    @property
    def changes_shape(self):
        return any(layer.changes_shape for layer in self.layers or ())

    def __len__(self):
        return self.count

    def __iter__(self):
        return iter(self.layers or ())

    def __getitem__(self, index):
        """A layer, or for a slice a part of the model."""
        layers = (self.layers or ())[index]
        if not isinstance(index, slice):
            return layers
        shape, given = check_part(layers, Layer, self, index)
        part = self.part_of(layers, shape)
        part._given_shape = given
        return part

    cdef Sequential part_of(self, tuple layers, object input_shape):
        """A part of this model: some of its layers."""
        cdef Sequential part = Sequential.__new__(Sequential)
        part.is_made = True
        part.own_specs, part.own_values, part.own_gradients = {}, {}, {}
        part.input_shape, part.penalty = input_shape, ()
        part.around, part.whole = weakref.ref(self), self
        part.hold(layers)
        return part

    cdef Node twin_in(self, dict twins):
        cdef Node whole = self.whole
        if whole is None:
            return twins[id(self)]
        return (<Sequential>whole.twin_in(twins)).part_of(
            tuple([(<Node>layer).twin_in(twins) for layer in self.layers]), self.input_shape)

    # ---- a layer made of layers ----

    cdef tuple output_shape_of(self, tuple shape):
        for layer in self.layers or ():
            shape = (<Layer>layer).output_shape_of(shape)
        return shape

    cdef int64_t min_batch_size_of(self, tuple shape) except -1:
        cdef int64_t least = 1
        for layer in self.layers or ():
            least = max(least, (<Layer>layer).min_batch_size_of(shape))
            shape = (<Layer>layer).output_shape_of(shape)
        return least

    cdef tuple named_children(self):
        return tuple([(str(index), layer) for index, layer in enumerate(self.layers or ())])

    cdef tuple penalties(self):
        return self.penalty or ()

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef Layer layer, before = None
        cdef Layout x_layout = PLAIN, y_layout
        cdef bint in_place = False
        self.in_size = checks.check_size("x", *shape)
        for index, layer in enumerate(self.layers or ()):
            y_layout = PLAIN
            if layer.layout() == INTERLEAVED or x_layout == INTERLEAVED:
                y_layout = self.layout_wanted(index + 1)
            shape = plan_node(layer, shape, rows, plan, x_layout, y_layout, in_place)
            layer.absorbed = layer.absorb(self.layers[index + 1:index + 3], shape)
            plan.absorbs |= layer.absorbed > 0
            if before is not None:
                before.join(layer)
                if before.ends_in_relu() and layer.takes_relu():
                    before.leaves_relu = layer.does_relu = True
            x_layout, in_place, before = y_layout, layer.output_is_reusable(), layer
        self.out_size = checks.check_size("y", *shape)
        return shape

    cdef Layout layout_wanted(self, int64_t start):
        """INTERLEAVED if a layer from `start` on works so, and none before it would stop such images."""
        cdef Layer layer
        for layer in self.layers[start:]:
            if layer.layout() != PASS_THROUGH:
                return layer.layout()
        return PLAIN

    cdef int bind(self) except -1:
        self.first_back = 0
        while self.first_back < self.count and not goes_back_inside(self.layers[self.first_back]):
            self.first_back += 1
        return 0

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef int i = 0
        while i < self.count:
            x = (<Layer>self.nodes[i]).forward_pass(p, x)
            i += 1 if p.saves else 1 + (<Layer>self.nodes[i]).absorbed
        return <void *>x

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef int i, last = 0 if wants_dx else self.first_back
        for i in range(self.count - 1, last - 1, -1):
            dy = (<Layer>self.nodes[i]).backward_pass(p, dy, wants_dx or i > last)
        return dy

"""Layer: what users call of every layer. Parameters, forward, backward, states, copies.

A layer holds pointers; the memory behind them belongs to its network and to the network's plan. A pass is a chain of
`forward_pass` calls and then of `backward_pass` calls, without the GIL and without an allocation.

Reference: fastnn_ref/layer.py.
"""

import numpy as np

from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastnn._kernels cimport address, new_array, parallel, ready, take, writable
from fastnn.gil cimport PyThreadState, released, take_back
from fastnn.network cimport Network, Node, Plan, Twin, set_seed

from types import MappingProxyType

from fastnn.copying import make, recipe
from fastnn_ref.shared import checks
from fastnn_ref.shared.access import LayerAccess, assign, check_writable
from fastnn_ref.shared.arrays import as_output_gradient
from fastnn_ref.shared.network import no_forward
from fastnn_ref.shared.objects import attributes_of, put_attributes


cdef void predict_share(const void *job, int part, int parts) noexcept nogil:
    """What one thread does: a part of the rows after the other, until none is left."""
    cdef Rows *rows = <Rows *>job
    cdef Share share = rows.shares[part]
    cdef int64_t first = take(&rows.next, rows.part)
    while first < rows.end:
        share.run.rows = min(rows.part, rows.end - first)
        memcpy(rows.y + first * rows.y_bytes, (<Node>share.head).forward_pass(share.run, rows.x + first * rows.x_bytes),
               share.run.rows * rows.y_bytes)
        first = take(&rows.next, rows.part)


cdef class Layer(Node):
    """Layer()\n--\n\n"""

    changes_shape = False                # does what comes out have another shape than what goes in?
    _numbered = 1                        # does it take a stream of random numbers?

    # ---- its place ----

    @property
    def parent(self):
        return self.enclosing()

    @property
    def network(self):
        return self.climb()

    def children(self):
        self.check_made()
        return self.named_children()

    def output_shape(self, shape):
        self.check_made()
        return self.output_shape_of(checks.as_example_shape(shape))

    def min_batch_size(self, shape):
        self.check_made()
        return self.min_batch_size_of(checks.as_example_shape(shape))

    # ---- parameters ----

    @property
    def specs(self):
        return MappingProxyType(self.own_specs or {})

    @property
    def values(self):
        return MappingProxyType(self.own_values or {})

    @property
    def gradients(self):
        return MappingProxyType(self.own_gradients or {})

    dtype, steps, params, grads, parameters = (
        LayerAccess.dtype, LayerAccess.steps, LayerAccess.params, LayerAccess.grads, LayerAccess.parameters)
    set_parameter, state_dict, load_state_dict = (
        LayerAccess.set_parameter, LayerAccess.state_dict, LayerAccess.load_state_dict)

    def _start_from(self, values):
        if not self.climb().awake:
            self.own_values.update(values)

    trainable, lr_scale = LayerAccess.trainable, LayerAccess.lr_scale

    def _assign(self, name, value):
        cdef Network network = self.enter(False)
        cdef int64_t least
        try:
            network.check_alone(network.held_root)
            least = network.least_batch()
            assign(self, name, value, network.awake)
            network.regroup(least)
        finally:
            network.unlock()

    # ---- passes ----

    def forward(self, x, training=False):
        return self.run_forward(x, training is not False and checks.as_flag("training", training))

    def __call__(self, x):
        """``forward(x)``: a prediction."""
        return self.run_forward(x, False)

    cdef object run_forward(self, object x, bint in_training):
        cdef const void *data = NULL
        cdef int64_t rows = 0
        cdef bint saves
        cdef int64_t steps
        cdef Network network = self.climb()
        cdef Twin twin
        if not in_training and network.is_taken():
            twin = network.borrow()
            try:
                return (<Layer>self.twin_in(twin.nodes)).run_forward(x, False)
            finally:
                network.give_back(twin)
        self.lock_in(network, in_training)
        try:
            x = network.prepare_input(self, "x", x, &data, &rows)
            if in_training and not writable(network.statistics):
                ids = {id(array) for array in network.statistics}
                check_writable({name: array for name, array in network.changed.items() if id(array) in ids})
            network.begin(self, network.x_shape, rows, in_training, not in_training)
            out = new_array(network.planned.shape_of_batch(rows), network.found_dtype)
            network.saved_x = None
            # Where it is faster without it, a prediction saves nothing; `backward` repeats it if it comes.
            saves = in_training or network.planned.is_hosting or not (
                network.planned.absorbs or network.planned.part < rows)
            if saves:
                steps = network.step_count
                network.count_pass(rows, in_training, True)
                self.forward_into(network, data, address(out), rows)
                if network.run.error != NULL:
                    network.step_count = steps      # which a user's own code may have assigned
                    network.raise_error()
            else:
                self.predict_rows(network, <const char *>data, <char *>address(out), 0, rows)
                network.run.rows = rows
            network.saved_x, network.saved_data = x if network.alone else None, data
            return out
        finally:
            network.unlock()

    cdef void forward_into(self, Network network, const void *x, void *to, int64_t rows) noexcept:
        """A forward pass whose y ends at `to`: the last layer puts it there if it can."""
        cdef Plan plan = network.planned
        cdef void **place = plan.result
        cdef void *before = NULL
        cdef void *y
        cdef PyThreadState *state = released(rows * plan.forward_work)
        if place != NULL:
            before, place[0] = place[0], to
        y = self.forward_pass(&network.run, x)
        if place != NULL:
            place[0] = before
        if y != to:
            memcpy(to, y, rows * plan.out_size * network.real_size)
        take_back(state)

    cdef int predict_rows(self, Network network, const char *x, char *y, int64_t start, int64_t end) except -1:
        """Predicts rows start … end − 1 of x into those of y, in parts where the plan asks for them."""
        cdef Plan plan = network.planned
        cdef int64_t x_bytes = plan.in_size * network.real_size, y_bytes = plan.out_size * network.real_size
        cdef int64_t rows = end - start, part = plan.shared_part(rows, network.run.threads)
        if part and not network.is_twin and self.predict_shared(network, x, y, start, end, part):
            return 0
        part = min(rows, plan.part_for_all())
        while start < end:
            rows = min(part, end - start)
            network.count_pass(rows, False, False)
            self.forward_into(network, x + start * x_bytes, y + start * y_bytes, rows)
            network.raise_error(start)
            start += rows
        return 0

    cdef bint predict_shared(self, Network network, const char *x, char *y, int64_t start, int64_t end,
                             int64_t part) except -1:
        """The same by several threads. Each has layers of its own, so none waits for another one behind every layer.

        False if there was an error: without threads the first row that has one says it.
        """
        cdef Plan plan = network.planned
        cdef Network other
        cdef Twin twin
        cdef Node node
        cdef Rows job
        cdef int threads = network.run.threads, count = <int>min(threads, 1 + (end - start - 1) // part)
        cdef list crew
        cdef bint failed
        count = min(count, MOST_SHARES)
        crew = network.hire(self, plan.shape, part, count - 1)
        job.next, job.end, job.part = start, end, part
        job.x, job.x_bytes = x, plan.in_size * network.real_size
        job.y, job.y_bytes = y, plan.out_size * network.real_size
        try:
            job.shares[0].head, job.shares[0].run = <PyObject *>self, &network.run
            for i, (twin, node) in enumerate(crew, 1):
                other = twin.root.own_network
                job.shares[i].head, job.shares[i].run = <PyObject *>node, &other.run
                other.count_pass(part, False, False)
            network.count_pass(part, False, False)
            network.run.threads = 1
            with nogil:
                parallel(predict_share, &job, count)
            failed = network.drop_error()
            for twin, _ in crew:
                failed |= twin.root.own_network.drop_error()
        finally:
            network.run.threads = threads
            network.dismiss(crew)
        return not failed

    cdef Plan repeat_pass(self, Network network):
        """The last prediction once more, so that backward finds what it needs. Returns the plan, which may be new."""
        cdef PyThreadState *state
        cdef const void *data = network.saved_data
        cdef int64_t rows = network.run.rows
        x = network.saved_x
        network.begin(self, network.planned.shape, rows, False)
        network.saved_x = x
        network.count_pass(rows, False, True)
        state = released(rows * network.planned.forward_work)
        self.forward_pass(&network.run, data)
        take_back(state)
        return network.planned

    def backward(self, dy, input_gradient=True):
        cdef const void *data = NULL
        cdef int64_t rows = 0
        cdef void *dx
        cdef void *dy_copy
        cdef bint wants_dx = checks.as_flag("input_gradient", input_gradient)
        cdef PyThreadState *state
        cdef object out = None
        cdef Network network = self.enter(True)
        cdef Plan plan
        try:
            plan = network.planned
            if network.saved_x is None or plan is None or not network.is_planned_for(self):
                raise no_forward()
            network.in_pass = True                  # a dy of the user's own must not start another pass when it is read
            if not (ready(dy, network.format(), len(plan.out_shape), plan.out_dims, &data, &rows)
                    and rows == network.run.rows):
                dy = as_output_gradient(dy, network.found_dtype, (network.run.rows, *plan.out_shape))
                if not ready(dy, network.format(), len(plan.out_shape), plan.out_dims, &data, &rows):
                    raise SystemError("dy: the checks let through an array that kernels cannot read")
            if not network.run.saves:
                plan = self.repeat_pass(network)
            dy_copy = plan.gradient
            if wants_dx:
                out = new_array((rows, *plan.shape), network.found_dtype)
                if plan.widest == plan.in_size:     # room for every gradient on the way: dx may be computed there
                    dy_copy = address(out)
            network.run.given = data if plan.leaves_dy else NULL
            if not plan.leaves_dy:
                memcpy(dy_copy, data, rows * plan.out_size * network.real_size)
            network.run.spare = plan.spare
            state = released(2 * rows * plan.forward_work)
            dx = self.backward_pass(&network.run, dy_copy, wants_dx)
            take_back(state)
            network.raise_error()
            if wants_dx and dx != address(out):
                memcpy(address(out), dx, out.nbytes)
            return out
        finally:
            network.unlock()

    def __reduce__(self):
        return rebuild_layer(self)


# ---- copies ----

cdef object rebuild_layer(object layer):
    # A copy is free: it takes values, gradients and counters along, but not the layer around it.
    cdef Node node = layer
    cdef Network network = node.own_network
    made_of = recipe(layer)
    if node.enclosing() is not None:
        node.climb().wake()                         # the values are those of the model
    arrays = [{name: np.array(value) for name, value in (each or {}).items()}
              for each in (node.own_values, node.own_gradients)]
    counters = None if network is None else (network.seed, network.chosen_dtype, network.counters())
    settings = node._trainable, node._lr_scale
    return _rebuild, (made_of, arrays, counters, settings, attributes_of(layer))


def _rebuild(made_of, arrays, counters, settings, attributes):
    """What copy and pickle call: a new layer of that kind, with values to start from."""
    cdef Node node = make(*made_of)
    node._trainable, node._lr_scale = settings
    node.own_values.update(arrays[0])
    node.own_gradients.update(arrays[1])
    if counters is not None:
        node.climb()
        set_seed(node.own_network, counters[0])
        node.own_network.chosen_dtype = counters[1]
        node.own_network.set_counters(counters[2])
    put_attributes(node, attributes or {})
    return node

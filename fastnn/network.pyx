"""Network: what a tree of layers has once. Seed, dtype, counters, parameters in memory, the plan of a pass, the lock.

A layer finds its network by climbing to the outermost layer, whose weak references to the layers around lead there.
Nothing is registered: a wrapper that is gone leaves the layers inside with the network that they had.

    wake        numbers the layers, draws missing values, casts the others, notes where everything lies
    sleep       another network takes over; the counters stay
    lock        one thread at a time; begin starts a pass, with a plan that fits
    borrow      a thread that predicts beside another one gets a twin: the same layers again, on the same arrays, with a
                plan of its own

Reference: fastnn_ref/network.py.
"""

import os
import weakref

import numpy as np

from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF
from libc.stdint cimport INT64_MAX, int64_t, uint32_t
from libc.string cimport memset

from fastnn._kernels cimport address, aligned, pack_bytes, ready, table, threads
from fastnn.memory cimport whole_lines
from fastnn.spans cimport group, lay_out

from fastnn.copying import make, recipe
from fastnn_ref.shared import checks
from fastnn_ref.shared.access import numbered
from fastnn_ref.shared.arrays import as_batch, as_number_array
from fastnn_ref.shared.network import (
    MAX_DEPTH, as_common_dtype, as_counters, as_seeds, busy, check_enough_rows, too_deep,
)
from fastnn_ref.shared.objects import owned
from fastnn_ref.shared.parameter import ParameterSpec

DEFAULT_DTYPE = np.dtype(np.float32)
cdef uint32_t MASK = 1 << 24                        # the streams that random masks draw from
cdef int MOST_IDLE = max(1, (os.cpu_count() or 1) - 1)      # twins that a network keeps: with it, one for each core


# ---- the tree ----

cdef class Packed:
    pass


cdef class Node(Closed):

    def __cinit__(self):
        self._trainable, self._lr_scale = True, 1

    def __init__(self):
        self.check_unmade()
        self.own_specs, self.own_values, self.own_gradients = {}, {}, {}
        self.is_made = not self.is_made_later()

    cdef bint made(self):
        return self.is_made

    # ---- what a kind of layer defines ----

    cdef bint is_made_later(self):
        """Does its constructor say when it is made? Else Layer.__init__ is the last of it that may fail."""
        return False

    cdef tuple output_shape_of(self, tuple shape):
        """The shape of one example's output for one example's input `shape`; ValueError if that does not fit."""
        return shape

    cdef int64_t min_batch_size_of(self, tuple shape) except -1:
        """The fewest examples that a training batch needs."""
        return 1

    cdef tuple named_children(self):
        """(name, layer) of each layer inside."""
        return ()

    cdef tuple penalties(self):
        """What it asks of the parameters inside."""
        return ()

    cdef Layout layout(self):
        """What it does with images in groups; what it really gets are x_layout and y_layout, when it plans."""
        return PLAIN

    cdef bint output_is_reusable(self):
        """Is y in a buffer of its own that it does not look at again, so that the next layer may write there?"""
        return False

    cdef int absorb(self, tuple behind, tuple out_shape) except -1:
        """How many of the layers behind it, in the order of a pass, it computes along in passes that save nothing."""
        return 0

    cdef int join(self, Node behind) except -1:
        """Does the work of the layer behind it along with its own, if it can; sets `behind.is_joined` then."""
        return 0

    cdef bint ends_in_relu(self):
        """Does its backward pass begin with relu's, and can it do without?"""
        return False

    cdef bint takes_relu(self):
        """Can it do, on its own dy, the backward pass of a relu before it? It passes each dy on to where x is its y."""
        return False

    cdef bint has_constants(self):
        """Does it normalise the channels by constants in a prediction?"""
        return False

    cdef const fastnn_norm *constants(self, Pass *p) noexcept nogil:
        """These, worked out for a layer that normalises its own outputs."""
        return NULL

    cdef bint combines(self):
        """Does it make its y of what the layers inside give, or its dx of what it gives them?"""
        return False

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        """Notes sizes, reserves this layer's buffers for `rows` examples of `shape`; returns the output's shape.

        A layer inside it may use the same scratch memory.
        """
        cdef tuple out_shape = self.output_shape_of(shape)
        cdef object inside = checks.check_size("x", *shape)
        cdef object outside = checks.check_size("y", *out_shape)
        self.in_size, self.out_size = inside, outside
        plan.widest = max(plan.widest, self.in_size, self.out_size)
        plan.min_batch_size = max(plan.min_batch_size, self.min_batch_size_of(shape))
        return out_shape

    cdef int bind(self) except -1:
        """Takes the addresses of its parameters and gradients.

        Threads must not change meanwhile: it runs no code of Python, makes no zeroed array and fills none by NumPy,
        which releases the GIL for arrays of a kilobyte.
        """
        return 0

    cdef int pack(self, const fastnn_kernels *k) except -1:
        """Puts its parameters, which will not change any more, into the order in which kernels read them."""
        return 0

    cdef bint goes_back(self):
        """Does training want its backward pass, for the sake of its own parameters?"""
        return self._trainable and any([spec.trainable for spec in self.own_specs.values()])

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        """Computes y in a buffer of this layer's and returns it; saves what backward needs."""
        return <void *>x

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        """Sets the gradients; returns dx, in dy's own buffer or in p.spare (then dy's buffer is the spare one)."""
        return dy

    # ---- its place ----

    cdef int add(self, str name, tuple shape, object init, bint decays=False, bint trainable=True) except -1:
        """Declares a parameter."""
        checks.check_size(name, *shape)
        self.own_specs[name] = ParameterSpec(name, shape, init, decays, trainable)
        return 0

    cdef void *gradient_of(self, str name) except NULL:
        """Where the gradient of a parameter is written. That of a frozen layer stays 0: what is written is dropped."""
        gradient = self.own_gradients[name]
        if self._trainable:
            return address(gradient)
        if self.discarded is None:
            self.discarded = {}
        found = self.discarded.get(name)
        if found is None or found.nbytes != whole_lines(gradient.nbytes):
            found = self.discarded[name] = aligned(whole_lines(gradient.nbytes), False)
            memset(address(found), 0, found.nbytes)
        return address(found)

    cdef int adopt(self, tuple nodes) except -1:
        """Takes layers in: first all checks, then all changes. What a composite's constructor does last.

        From the first link on, other threads find this layer, and its network if it has one of its own, so both are
        complete before. A layer that could not take the others in is as good as not made.
        """
        cdef Node node
        around = weakref.ref(self)
        try:
            check_depth(nodes)
            for node in nodes:
                node.check_made()
                if node.enclosing() is not None:    # another thread was faster
                    raise owned("layer", node)      # to go on is to let threads change between checks and links
                if node.own_network is not None:
                    node.own_network.check_free()
        except BaseException:
            self.is_made = False
            raise
        for node in nodes:
            node.around = around
        for node in nodes:                          # what this frees may run a user's code
            if node.own_network is not None:
                node.own_network.sleep()
        return 0

    cdef void *reserve_packed(self, const fastnn_kernels *k, object size) except NULL:
        """Memory for so many values of packed parameters, which these kernels alone can read."""
        cdef Packed packed = Packed.__new__(Packed)
        packed.memory = aligned(checks.check_memory(size * k.real_size))
        packed.data, packed.kernels = address(packed.memory), k
        self.packed = packed
        return packed.data

    cdef Node enclosing(self):
        """The layer around this one, if it is still there."""
        return None if self.around is None else self.around()

    cdef Network climb(self):
        """The network that this layer is part of."""
        cdef Node node = self
        cdef Network network
        cdef object outer
        self.check_made()
        while node.around is not None:
            outer = node.around()
            if outer is None:                       # the layer around is gone
                node.around = None
                break
            node = outer
        if node.own_network is None:
            network = make_network(node, 0, None)
            if node.own_network is None:            # else another thread was faster
                node.own_network = network
        return node.own_network

    cdef Network enter(self, bint training):
        """The network, locked for this thread."""
        cdef Network network = self.climb()
        self.lock_in(network, training)
        return network

    cdef int lock_in(self, Network network, bint training) except -1:
        """Locks the network that this layer is part of."""
        return network.lock(self if self.around is None else network.living_root(), training)

    # ---- predicting beside another thread ----

    cdef Node make_twin(self, dict twins):
        """This layer once more, made of its arguments; it, and all inside it, are noted in `twins` by id."""
        kind, base, given = recipe(self)
        twin = make(kind, base, {name: twin_of_argument(value, twins) for name, value in given.items()})
        twins[id(self)] = twin
        return twin

    cdef Node twin_in(self, dict twins):
        """The one that stands for this layer."""
        return twins[id(self)]

    cdef bint refresh_twin(self, Node twin) except -1:
        """Brings the twin up to date, before each use; is there anything that may have changed?"""
        return False


cdef object twin_of_argument(object value, dict twins):
    """An argument of a constructor with each layer in it replaced by its twin."""
    if isinstance(value, Node):
        return twins[id(value)] if id(value) in twins else (<Node>value).make_twin(twins)
    if isinstance(value, (tuple, list)):
        return type(value)([twin_of_argument(each, twins) for each in value])
    return value


cdef int check_depth(object nodes) except -1:
    """Layers inside layers are passed through by recursion, for which no stack is without end."""
    cdef int depth = 0
    while nodes:
        nodes = [child for node in nodes for _, child in (<Node>node).named_children()]
        depth += 1
        if depth > MAX_DEPTH:
            raise too_deep()
    return 0


cdef list walk(Node node, str prefix):
    """(dotted prefix, layer) of a layer and of all inside it, outer first: the order of names, numbers and entries."""
    found = [(prefix, node)]
    for name, child in node.named_children():
        found += walk(child, f"{prefix}{name}.")
    return found


cdef bint goes_back_inside(Node node):
    """Does training want the backward pass of a layer, or of one inside it?"""
    return any([(<Node>each).goes_back() for _, each in walk(node, "")])


cdef object contents_dtype(object nodes):
    """The one dtype that layers have, chosen by a model among them or the values'; None if they have none."""
    cdef Node node
    dtypes = set()
    waiting = list(nodes)
    for node in waiting:
        if node.own_network is not None and node.own_network.chosen_dtype is not None:
            dtypes.add(node.own_network.chosen_dtype)
        else:
            dtypes |= {value.dtype for value in (node.own_values or {}).values() if value.dtype.char in "fd"}
            waiting += [child for _, child in node.named_children()]
    return as_common_dtype(dtypes)


cdef list constraints_of(Node node, dict arrays):
    """(penalty, value, gradient) of every parameter that a penalty applies to; `arrays` by layer and name."""
    found = [(each, *arrays[id(inner), name]) for each in node.penalties() for _, inner in walk(node, "")
             if (<Node>inner)._trainable
             for name, spec in (<Node>inner).own_specs.items() if spec.trainable and each.applies_to(spec.decays)]
    for _, inner in node.named_children():
        found += constraints_of(inner, arrays)
    return found


cdef tuple plan_node(Node node, tuple shape, int64_t rows, Plan plan, Layout x_layout=PLAIN, Layout y_layout=PLAIN,
                     bint in_place=False):
    """Plans a layer for `rows` examples of `shape`; returns the output's shape."""
    node.x_layout, node.y_layout, node.in_place, node.absorbed = x_layout, y_layout, in_place, 0
    node.leaves_relu = node.does_relu = node.is_joined = False
    plan.has_images |= node.layout() == INTERLEAVED
    for value in node.own_values.values():
        plan.parameter_bytes += value.nbytes
    plan.begin_layer()
    shape = node.plan(shape, rows, plan)
    if node.combines():
        plan.result, plan.leaves_dy = NULL, False
    return shape


# ---- the network ----

cdef int set_seed(Network network, object seed) except -1:
    """One seed, or a dict with one for each purpose."""
    network.seed, network.seeds = seed, as_seeds(seed)
    network.order_seed, network.mask_seed = network.seeds.order, network.seeds.masks
    return 0


cdef tuple grouped_inside(Node root, list entries, list order, dict offsets, int64_t real_size):
    """The layer of each entry; and `group` for the layers as they are set now."""
    owners = [node for _, node in walk(root, "") for _ in (<Node>node).own_specs]
    arrays = {(id(node), spec.name): (value, gradient)
              for node, (_, spec, value, gradient) in zip(owners, entries)}
    return owners, group(owners, entries, constraints_of(root, arrays), order, offsets, real_size)


cdef Network make_network(Node root, object seed, object dtype):
    cdef Network network = Network.__new__(Network)
    network.root = weakref.ref(root)
    set_seed(network, seed)
    network.chosen_dtype = dtype
    return network


cdef class Network(Spans):

    def __init__(self):
        raise TypeError("Network: a layer has one, layer.network; it cannot be made by itself")

    # ---- for users ----

    @property
    def dtype(self):
        """float32 or float64: the chosen one, else the one that the layers have, else the default."""
        return self.found_dtype if self.awake else self.dtype_of(self.living_root())

    @property
    def steps(self):
        """Training passes so far: the counter of the random masks."""
        return self.step_count

    @steps.setter
    def steps(self, value):
        self.step_count = checks.as_integer("steps", value, 0, 2**62)

    @property
    def epochs(self):
        """Finished epochs; each one shuffles in its own way."""
        return self.epoch_count

    @property
    def batch(self):
        """Batches done of the epoch under way, 0 between epochs."""
        return self.batch_count

    def counters(self):
        """``{"steps", "epochs", "batch", "sums"}``: where training stands."""
        return {"steps": self.step_count, "epochs": self.epoch_count, "batch": self.batch_count,
                "sums": [self.sums[0], self.sums[1], self.sums[2]]}

    def set_counters(self, record):
        """Puts counters back."""
        record = as_counters(record)
        self.step_count, self.epoch_count = record["steps"], record["epochs"]
        self.batch_count = record["batch"]
        self.sums[0], self.sums[1], self.sums[2] = record["sums"]

    @property
    def parameters(self):
        """(name, value, gradient, decays) of every parameter."""
        self.wake()
        return [(name, value, gradient, spec.decays) for name, spec, value, gradient in self.entries
                if spec.trainable]

    @property
    def trained(self):
        """(name, value, gradient, decays, lr_scale) of every parameter that an optimizer changes."""
        self.wake()
        return [(name, value, gradient, spec.decays, lr_scale)
                for name, spec, value, gradient, lr_scale in self.updated]

    @property
    def constraints(self):
        """(penalty, value, gradient) of every parameter that a penalty applies to."""
        self.wake()
        return list(self.constraint_list)

    cpdef wake(self):
        """Numbers the layers, gives all parameters values and memory, notes where they lie. Does so once."""
        cdef Node root, node
        cdef object dtype
        if self.awake:
            return
        root = self.living_root()
        dtype = self.dtype_of(root)
        nodes, found = list(numbered(root)), []
        for prefix, node, _ in nodes:
            found += [(prefix + name, spec, node.own_values.get(name), node.own_gradients.get(name))
                      for name, spec in node.own_specs.items()]
        laid_out = entries, order, offsets, _, _ = lay_out(found, dtype, self.seeds.init)
        owners, grouped = grouped_inside(root, entries, order, offsets, dtype.itemsize)
        # From here on nothing is allocated, so nothing can fail half-way.
        if self.awake:                              # another thread was faster
            return
        if root.climb() is not self:
            raise busy(root, "thread")
        for _, node, number in nodes:
            node.stream = MASK | <uint32_t>number
        for node, (_, spec, value, gradient) in zip(owners, entries):
            node.own_values[spec.name] = value
            if spec.trainable:
                node.own_gradients[spec.name] = gradient
        self.found_dtype, self.real_size = dtype, dtype.itemsize
        self.take_layout(laid_out)
        self.take_group(grouped)
        for _, node, _ in nodes:
            node.bind()
        self.planned = self.saved_x = None
        self.awake = True

    cdef int64_t least_batch(self) except -1:
        """The fewest examples of a training batch, as planned."""
        if self.planned is None:
            return 0
        head = self.living_root() if self.planned.head is None else self.planned.head()
        return 0 if head is None else (<Node>head).min_batch_size_of(self.planned.shape)

    cdef int regroup(self, int64_t least) except -1:
        """A layer was frozen, or the like: notes again what optimizers and penalties do to which values.

        `least` is what least_batch said before.
        """
        cdef Node root, node
        if not self.awake:
            return 0
        root = self.living_root()
        self.take_group(grouped_inside(root, self.entries, self.order, self.offsets, self.real_size)[1])
        for _, node in walk(root, ""):
            node.bind()
            if not node._trainable:
                for gradient in node.own_gradients.values():
                    gradient[...] = 0
        self.saved_x = None
        if self.least_batch() != least:
            self.planned = None
        return 0

    cdef int pack(self) except -1:
        """Gets everything ready for predictions alone: the parameters must not change any more."""
        cdef Node node
        self.wake()
        for _, node in walk(self.living_root(), ""):
            node.pack(table(self.real_size))
        return 0

    # ---- the tree ----

    cdef Node living_root(self):
        root = self.root() if self.root is not None else None
        if root is None:
            raise RuntimeError("network: its layers are gone")
        return root

    cdef object dtype_of(self, Node root):
        return self.chosen_dtype or contents_dtype([root]) or DEFAULT_DTYPE

    cdef int sleep(self) except -1:
        """Another network takes over. Counters and the layout of slots stay."""
        self.awake = False
        self.planned = self.saved_x = self.idle = None
        self.entries = self.constraint_list = self.updated = self.changed = self.written = self.statistics = None
        self.span_count = self.constraint_count = self.matrix_count = 0
        return 0

    cdef int check_free(self) except -1:
        if self.user and not (self.depth == 0 and self.user == PyThread_get_thread_ident()):
            raise busy(self.held_root, "adoption", self.user)
        for thread in self.guests or ():
            raise busy(self.living_root(), "adoption", thread)
        return 0

    cdef int check_alone(self, Node root) except -1:
        """No thread predicts in a twin."""
        for thread in self.guests or ():
            raise busy(root, "thread", thread)
        return 0

    # ---- the lock ----

    cdef int lock(self, Node root, bint training) except -1:
        """One thread at a time: the buffers are the network's. It may predict between two steps of its training."""
        cdef unsigned long me = PyThread_get_thread_ident()
        if self.guests and me in self.guests:
            raise busy(root, "pass")
        if self.user:
            if self.user != me:
                raise busy(self.held_root, "thread", self.user)
            if self.in_pass or (training and self.depth):
                raise busy(self.held_root, "pass" if self.in_pass else "training")
        else:
            if training:
                self.check_alone(root)
            self.held_root = root
            self.user = me
            self.trains, self.alone = training, not self.guests
        self.depth += 1
        return 0

    cdef int unlock(self) except -1:
        self.in_pass = False
        self.depth -= 1
        if self.depth == 0 and not self.held:
            self.user = 0
            self.trains = False
            self.held_root = None
        return 0

    def is_held(self):
        """Has this thread taken the network?"""
        return self.held and self.user == PyThread_get_thread_ident()

    def hold(self):
        """Takes the network for this thread, between its passes, too, until `release`."""
        if not self.is_held():
            self.lock(self.living_root(), True)
            self.held, self.depth = True, 0

    def release(self):
        """Other threads may use it, if this one has taken it."""
        if self.is_held():
            self.held = self.trains = False
            self.user, self.held_root = 0, None

    def call(self, hook, *arguments):
        """Calls a user's function between two steps of a training: it may predict, but not train."""
        self.lock(self.living_root(), True)
        try:
            hook(*arguments)
        finally:
            self.unlock()

    def check_unused(self):
        """No other thread trains or predicts."""
        cdef unsigned long me = PyThread_get_thread_ident()
        if self.user not in (0, me):
            raise busy(self.held_root, "thread", self.user)
        for thread in self.guests or ():
            if thread != me:
                raise busy(self.living_root(), "thread", thread)

    # ---- predicting beside another thread ----

    cdef bint is_taken(self) except -1:
        """Must this thread predict in a twin? If another one is inside, or if it does so already."""
        cdef unsigned long me
        if self.user == 0 and not self.guests:
            return False
        me = PyThread_get_thread_ident()
        if self.user == me:
            return False
        if self.trains:
            raise busy(self.held_root, "thread", self.user)
        return self.user != 0 or me in self.guests

    cdef Twin borrow(self):
        """A twin for this thread, an idle one or a new one: until `give_back` nobody may train."""
        cdef Node root = self.living_root()
        cdef Twin twin
        me = PyThread_get_thread_ident()
        if self.guests is None:
            self.guests = {}
        twin = self.guests.get(me)
        if twin is not None:
            twin.depth += 1
            return twin
        twin = self.idle.pop() if self.idle else Twin()
        twin.source, twin.depth = root, 1
        self.guests[me] = twin                      # from here on nothing is trained or adopted
        self.alone, self.saved_x = False, None
        try:
            self.fill(twin)
        except BaseException:
            twin.root = None
            self.give_back(twin)
            raise
        return twin

    cdef int fill(self, Twin twin) except -1:
        """Makes the twin's layers if there are none, on the arrays of this network."""
        cdef Network other
        cdef Node node, each
        self.wake()
        if twin.root is None:
            nodes = [node for _, node in walk(twin.source, "")]
            twin.nodes = {}
            twin.root = twin.source.make_twin(twin.nodes)
            other = twin.root.own_network = make_network(twin.root, self.seed, self.found_dtype)
            for node in nodes:
                each = twin.nodes[id(node)]
                each.own_values, each.own_gradients, each.stream = node.own_values, node.own_gradients, node.stream
                each.packed = node.packed
            other.is_twin = True
            other.entries, other.found_dtype, other.real_size = self.entries, self.found_dtype, self.real_size
            for node in nodes:
                (<Node>twin.nodes[id(node)]).bind()
            pairs = [(node, twin.nodes[id(node)]) for node in nodes]
            twin.to_refresh = [(node, each) for node, each in pairs if node.refresh_twin(each)]
            other.awake = True
        else:
            for node, each in twin.to_refresh:
                node.refresh_twin(each)
        twin.root.own_network.step_count = self.step_count
        return 0

    cdef int give_back(self, Twin twin) except -1:
        twin.depth -= 1
        if twin.depth == 0:
            del self.guests[PyThread_get_thread_ident()]
            twin.source = None
            if twin.root is not None:
                twin.root.own_network.saved_x = None
                self.keep(twin)
        return 0

    cdef int keep(self, Twin twin) except -1:
        """A twin that nobody uses now."""
        if self.idle is None:
            self.idle = []
        if len(self.idle) < MOST_IDLE:
            self.idle.append(twin)
        return 0

    # ---- one prediction by several threads ----

    cdef list hire(self, Node head, tuple shape, int64_t rows, int count):
        """So many twins, each with its layer for `head` and a plan for `rows` examples; until `dismiss`."""
        cdef Twin twin
        cdef Node node
        cdef Network other
        cdef list crew = []
        try:
            while len(crew) < count:
                twin = self.idle.pop() if self.idle else Twin()
                twin.source = self.held_root
                self.fill(twin)
                other, node = twin.root.own_network, head.twin_in(twin.nodes)
                node.lock_in(other, False)
                other.shares = True
                crew.append((twin, node))
                other.begin(node, shape, rows, False)       # the twin's own plan might choose smaller parts
        except BaseException:
            self.dismiss(crew)
            raise
        return crew

    cdef int dismiss(self, list crew) except -1:
        cdef Twin twin
        for twin, _ in crew:
            twin.root.own_network.shares = False
            twin.root.own_network.unlock()
            twin.source = None
            self.keep(twin)
        return 0

    # ---- a pass ----

    cdef char format(self) noexcept:
        return c"d" if self.real_size == 8 else c"f"

    cdef object prepare_input(self, Node head, str name, object x, const void **data, int64_t *rows,
                              int64_t limit=INT64_MAX):
        """x as a C-contiguous array of the network's dtype, with its address; ValueError or TypeError if it is none. Of
        an array that is no such yet, only the first rows, `limit` at most."""
        cdef int64_t dims[8]
        cdef int axis
        if not self.awake:                          # a call would look for a Python method of that name first
            self.wake()
        if self.planned is not None and self.is_planned_for(head) and ready(
                x, self.format(), len(self.planned.shape), self.planned.dims, data, rows):
            self.x_shape = self.planned.shape
            return x
        x = as_number_array(name, x)
        expected = head.input_shape
        if expected is not None and x.ndim and x.shape[1:] != expected:
            try:
                head.output_shape_of(x.shape[1:])   # such as (n, ..., in_features)
                expected = None
            except ValueError:
                pass
        if x.ndim and x.size and len(x) > limit and (expected is None or x.shape[1:] == expected):
            x = x[:limit]
        x = as_batch(name, x, self.found_dtype, expected)
        if x.ndim > 9:
            raise ValueError(f"{name}: expected at most 9 dimensions, got {x.ndim}")
        for axis in range(x.ndim - 1):
            dims[axis] = x.shape[axis + 1]
        if not ready(x, self.format(), x.ndim - 1, dims, data, rows):
            raise SystemError(f"{name}: the checks let through an array that kernels cannot read")
        self.x_shape = x.shape[1:]
        return x

    cdef tuple out_shape_for(self, Node head, tuple shape):
        """The output's shape for one example's input, from the plan if it is known there."""
        if self.planned is not None and shape is self.planned.shape and self.is_planned_for(head):
            return self.planned.out_shape
        return head.output_shape_of(shape)

    cdef bint is_planned_for(self, Node head):
        """Does the plan belong to passes that begin at this layer?"""
        return head is self.held_root if self.planned.head is None else self.planned.head() is head

    cdef int begin(self, Node head, tuple shape, int64_t rows, bint training, bint in_parts=False) except -1:
        """Starts a pass of up to `rows` examples of `shape` at `head`, with a plan that fits; or a part at a time."""
        cdef Plan plan = self.planned
        cdef int most = 1 if self.shares else threads()
        if plan is None or not plan.holds(rows, in_parts) or plan.threads < most or not self.is_planned_for(head) or (
                shape is not plan.shape and shape != plan.shape):
            self.plan_for(head, shape, rows, most, in_parts)
            plan = self.planned
        if training and rows < plan.min_batch_size:
            check_enough_rows(rows, plan.min_batch_size)
        self.run.k = table(self.real_size)
        self.run.threads = min(most, plan.threads)
        self.run.seed = self.mask_seed
        self.run.work = plan.work
        self.run.error = NULL
        self.in_pass = True
        return 0

    cdef int plan_for(self, Node head, tuple shape, int64_t rows, int most, bint in_parts) except -1:
        """Plans buffers for `rows` examples of `shape`, or for a part of them, and for at most so many threads."""
        cdef Plan plan, whole
        cdef bint was_in_pass = self.in_pass
        self.in_pass = True                         # a user's own output_shape must not start another pass meanwhile
        try:
            head.output_shape_of(shape)             # refuses what does not fit, and nothing has changed
            self.planned = self.saved_x = None      # the pointers of the layers are about to change
            plan = whole = self.reserve(head, shape, rows, most)
            if in_parts and whole.part_for_all() < rows:
                plan = self.reserve(head, shape, whole.part_for_all(), most)
                plan.part, plan.unit = whole.part, whole.unit       # there is room for no larger ones
            plan.allocate()
            self.planned = plan
        finally:
            self.in_pass = was_in_pass
        return 0

    cdef Plan reserve(self, Node head, tuple shape, int64_t rows, int most):
        """The plan without its memory."""
        cdef Plan plan = Plan()
        cdef int axis
        plan.head = None if head is self.held_root else weakref.ref(head)
        plan.shape, plan.rows, plan.threads = shape, rows, most
        plan.real_size, plan.seed = self.real_size, self.mask_seed
        plan.out_shape = plan_node(head, shape, rows, plan)
        if len(plan.out_shape) > 8:
            raise ValueError(f"y: expected at most 9 dimensions, got {len(plan.out_shape) + 1}")
        for axis in range(len(shape)):
            plan.dims[axis] = shape[axis]
        for axis in range(len(plan.out_shape)):
            plan.out_dims[axis] = plan.out_shape[axis]
        plan.in_size, plan.out_size, plan.out_inner = head.in_size, head.out_size, 1
        for axis in range(1, len(plan.out_shape)):
            plan.out_inner *= plan.out_dims[axis]
        plan.choose_part()
        plan.measure_work()
        plan.reserve(&plan.gradient, <object>rows * plan.widest)
        plan.reserve(&plan.spare, <object>rows * plan.widest)
        plan.reserve_work(plan.threads * pack_bytes())
        return plan

    cdef void count_pass(self, int64_t rows, bint training, bint saves) noexcept nogil:
        """Sets up the pass for `rows` examples; a training pass counts as a step."""
        self.run.rows, self.run.training, self.run.saves = rows, training, saves
        self.run.step = <uint32_t>self.step_count
        self.step_count += training

    cdef int raise_error(self, int64_t before=0) except -1:
        """Raises what was raised during the pass, by a user's code with its own traceback; `before`: rows of x."""
        if self.run.error != NULL:
            error = <object>self.run.error
            self.drop_error()
            with checks.Retold(row=(<object>before).__add__):
                raise error
        return 0

    cdef bint drop_error(self):
        """Was there an error in the pass? It is forgotten."""
        if self.run.error == NULL:
            return False
        Py_DECREF(<object>self.run.error)
        self.run.error = NULL
        return True

    def has_finite_parameters(self):
        self.wake()
        return self.finite_parameters(table(self.real_size))

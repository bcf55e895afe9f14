from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastnn._kernels cimport fastnn_kernels, fastnn_norm, fastnn_stream
from fastnn.closed cimport Closed
from fastnn.memory cimport Plan
from fastnn.spans cimport Spans


# What travels through the layers during one pass.
cdef struct Pass:
    const fastnn_kernels *k
    int64_t rows
    int threads
    bint training
    bint saves              # may backward follow?
    uint64_t seed
    uint32_t step           # with a layer's stream it decides that layer's random numbers in this pass
    void *work              # the product's workspace
    void *spare             # a gradient buffer that nobody is using: backward writes dx there and leaves dy's instead
    const void *given       # dy of the caller's own: the first layer of a backward pass reads it here, if not NULL
    PyObject *error         # what a layer raised, an owned reference; NULL: nothing


# How images lie in memory, and what a layer does with it: PLAIN is (n, c, h, w), INTERLEAVED puts the images of a group
# side by side (kernels/transpose.inc.c). A layer that works on values one by one passes either through.
cdef enum Layout:
    PLAIN, PASS_THROUGH, INTERLEAVED


# Parameters once more, in the order in which some kernels read them.
cdef class Packed:
    cdef object memory
    cdef void *data
    cdef const fastnn_kernels *kernels


# A layer as its network sees it: the contract between the layers, in C. `Layer` adds what users call.
cdef class Node(Closed):
    cdef dict own_specs, own_values, own_gradients  # by name; the last two are empty until the network wakes
    cdef readonly object input_shape
    cdef object around                      # a weak reference to the layer around this one, or None
    cdef Network own_network                # a model's from construction, a lone layer's from its first use
    cdef object __weakref__
    cdef int64_t in_size, out_size          # values per example, as planned
    cdef uint32_t stream                    # of its random masks: by its place in the network
    cdef unsigned char x_layout, y_layout   # dx as x, dy as y
    cdef unsigned char is_made              # has its constructor come to its end?
    cdef unsigned char in_place             # may y be written over x?
    cdef unsigned char absorbed             # layers behind it whose work it does, too, where nothing is saved
    cdef unsigned char leaves_relu          # its relu's backward pass is done by the layer behind,
    cdef unsigned char does_relu            # which does it on its own dy
    cdef unsigned char is_joined            # a relu that the normalisation before it does along with its own passes
    cdef public bint _trainable             # does training change it?
    cdef public double _lr_scale            # times the learning rate
    cdef Packed packed                      # in a model that only predicts, if that pays; else None
    cdef dict discarded                     # where a frozen layer's gradients are written

    cdef bint is_made_later(self)
    cdef tuple output_shape_of(self, tuple shape)
    cdef int64_t min_batch_size_of(self, tuple shape) except -1
    cdef tuple named_children(self)
    cdef bint combines(self)
    cdef tuple penalties(self)
    cdef Layout layout(self)
    cdef bint output_is_reusable(self)
    cdef int absorb(self, tuple behind, tuple out_shape) except -1
    cdef bint ends_in_relu(self)
    cdef bint takes_relu(self)
    cdef int join(self, Node behind) except -1
    cdef bint has_constants(self)
    cdef const fastnn_norm *constants(self, Pass *p) noexcept nogil
    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan)
    cdef int bind(self) except -1
    cdef int pack(self, const fastnn_kernels *k) except -1
    cdef bint goes_back(self)
    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil
    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil

    cdef int add(self, str name, tuple shape, object init, bint decays=*, bint trainable=*) except -1
    cdef int adopt(self, tuple nodes) except -1
    cdef void *reserve_packed(self, const fastnn_kernels *k, object size) except NULL
    cdef void *gradient_of(self, str name) except NULL
    cdef Node enclosing(self)
    cdef Network climb(self)
    cdef Network enter(self, bint training)
    cdef int lock_in(self, Network network, bint training) except -1
    cdef Node make_twin(self, dict twins)
    cdef Node twin_in(self, dict twins)
    cdef bint refresh_twin(self, Node twin) except -1


# A model's layers once more, on the same arrays, with buffers of their own: for a prediction beside another one.
cdef class Twin:
    cdef Node root
    cdef dict nodes                         # id of a layer → the one that stands for it
    cdef list to_refresh                    # (layer, the one that stands for it) before each use
    cdef Node source                        # the model's own root, while a thread predicts here
    cdef int depth                          # calls of that thread, one inside the other


# Everything that a tree of layers has once: seed, dtype, counters, parameters in memory, plan, lock.
cdef class Network(Spans):
    cdef object root                        # weak
    cdef readonly object seed, seeds        # as it was given; by what is drawn
    cdef uint64_t order_seed, mask_seed
    cdef object chosen_dtype, found_dtype   # the latter while awake
    cdef int64_t step_count, epoch_count, batch_count
    cdef double sums[3]                     # of the epoch under way: Σ loss, Σ penalty, Σ weight
    cdef bint awake
    cdef bint has_tables                    # is an Embedding inside?
    cdef bint is_twin                       # is it the network of a Twin's layers?
    cdef bint shares                        # does it do a thread's share of a prediction, by that thread alone?
    cdef Plan planned
    cdef Pass run
    cdef tuple x_shape                      # of one example of the x that was prepared last
    cdef object saved_x                     # alive until backward has used it; None: there is nothing to go back to
    cdef const void *saved_data             # its values: a user may give the array another shape or dtype in place
    cdef unsigned long user                 # the thread inside; 0: none
    cdef int depth                          # calls of that thread, one inside the other
    cdef bint in_pass, trains
    cdef bint held                          # has a thread taken it for all of a `fit`, between its passes, too?
    cdef bint alone                         # has no other thread predicted since this one came?
    cdef Node held_root                     # alive while somebody is inside
    cdef dict guests                        # thread → the twin in which it predicts
    cdef list idle                          # twins that nobody uses

    cpdef wake(self)
    cdef int regroup(self, int64_t least) except -1
    cdef int64_t least_batch(self) except -1
    cdef int pack(self) except -1
    cdef int sleep(self) except -1
    cdef int check_free(self) except -1
    cdef int check_alone(self, Node root) except -1
    cdef Node living_root(self)
    cdef object dtype_of(self, Node root)
    cdef int lock(self, Node root, bint training) except -1
    cdef int unlock(self) except -1
    cdef bint is_taken(self) except -1
    cdef Twin borrow(self)
    cdef int give_back(self, Twin twin) except -1
    cdef int fill(self, Twin twin) except -1
    cdef int keep(self, Twin twin) except -1
    cdef list hire(self, Node head, tuple shape, int64_t rows, int count)
    cdef int dismiss(self, list crew) except -1
    cdef char format(self) noexcept
    cdef object prepare_input(self, Node head, str name, object x, const void **data, int64_t *rows,
                              int64_t limit=*)
    cdef bint is_planned_for(self, Node head)
    cdef tuple out_shape_for(self, Node head, tuple shape)
    cdef int begin(self, Node head, tuple shape, int64_t rows, bint training, bint in_parts=*) except -1
    cdef int plan_for(self, Node head, tuple shape, int64_t rows, int most, bint in_parts) except -1
    cdef Plan reserve(self, Node head, tuple shape, int64_t rows, int most)
    cdef void count_pass(self, int64_t rows, bint training, bint saves) noexcept nogil
    cdef int raise_error(self, int64_t before=*) except -1
    cdef bint drop_error(self)


cdef int set_seed(Network network, object seed) except -1
cdef Network make_network(Node root, object seed, object dtype)
cdef list walk(Node node, str prefix)
cdef bint goes_back_inside(Node node)
cdef tuple plan_node(Node node, tuple shape, int64_t rows, Plan plan, Layout x_layout=*, Layout y_layout=*,
                     bint in_place=*)
cdef object contents_dtype(object nodes)
cdef list constraints_of(Node node, dict arrays)

# A layer's packed parameters, if these kernels can read them, or NULL.
cdef inline void *packed_for(Node node, const fastnn_kernels *k) noexcept nogil:
    return node.packed.data if node.packed is not None and node.packed.kernels == k else NULL

# Where a layer's random words of this pass come from.
cdef inline fastnn_stream stream_of(Node node, Pass *p) noexcept nogil:
    cdef fastnn_stream stream
    stream.seed, stream.step, stream.stream = p.seed, p.step, node.stream
    return stream

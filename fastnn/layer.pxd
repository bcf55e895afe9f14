from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastnn._kernels cimport fastnn_constraint, fastnn_kernels, fastnn_stream


# What travels through the layers during one pass.
cdef struct Pass:
    const fastnn_kernels *k
    int64_t rows
    int threads
    bint training
    uint64_t seed
    uint32_t step           # with a layer's stream it decides that layer's random numbers in this pass
    void *work              # the product's workspace
    void *spare             # a gradient buffer that nobody is using: backward writes dx there and leaves dy's instead


# What a layer does with images in blocks (kernels/transpose.inc.c): it knows none; what goes in comes out, either way;
# it works in blocks and takes and gives both.
cdef enum Blocks:
    NO_BLOCKS, EITHER, BLOCKS


# One block of memory for many buffers: first everybody reserves, then all pointers are set at once. What a layer
# borrows is its own only during one of its passes: one piece of memory serves them all.
cdef class Arena:
    cdef list wishes, loans
    cdef object size, lent, most    # reserved; borrowed by the layer that plans now, and by the one that borrows most
    cdef int64_t widest     # values per example of the widest gradient
    cdef int64_t real_size
    cdef readonly object memory
    cdef int64_t reserve(self, void **where, object values) except -1
    cdef int borrow(self, void **where, object values) except -1
    cdef int allocate(self) except -1


cdef class Layer:
    # What a layer is: its parameters and running statistics, and its input, where it is known.
    cdef list specifications                    # of init.Specification
    cdef readonly object input_shape
    # Where it stands: the layer around it, None for the outermost, which owns all that follows.
    cdef readonly Layer parent
    cdef dict values, gradients, initial        # by name; `initial` waits for build
    cdef uint32_t stream                        # of its random masks: by its place in the model
    # Parameters and gradients, flat, weights before biases: an optimizer is one loop. Running statistics come last.
    cdef object seed_value, dtype_value
    cdef int64_t real_size
    cdef object flat_values, flat_gradients
    cdef void *flat_w
    cdef void *flat_g
    cdef int64_t decaying, parameter_count
    cdef object restraint_memory                # what penalties do to which parameters
    cdef const fastnn_constraint *restraints
    cdef int64_t restraint_count
    cdef int64_t passes                         # training passes so far: the counter of the random masks
    # The plan: buffers for up to `capacity` rows of shape `shape`.
    cdef int64_t capacity, in_size, out_size, widest    # widest: values a row of the widest gradient
    cdef int64_t least                                  # rows that training needs
    cdef tuple shape, out_shape
    cdef bint x_in_blocks, y_in_blocks          # do images stand side by side? dx as x, dy as y
    cdef bint over_x                            # may y be written over x?
    cdef int64_t dims[8]
    cdef int64_t out_dims[8]
    cdef Arena arena
    cdef void *gradient
    cdef void *spare
    cdef void *work
    cdef int planned_threads
    # The pass that is under way or was the last one.
    cdef Pass run
    cdef object kept                            # the input, alive until backward has used it; None: nothing to go back
    cdef bint busy

    # The contract of a layer, for those who write one.
    cdef Blocks blocks(self)
    cdef bint forgets_y(self)
    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena)
    cdef int bind(self) except -1
    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil
    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil
    cdef list leaves(self, str prefix)
    cdef list covered(self)

    # What the outermost layer does.
    cdef char format(self) noexcept
    cdef Layer outermost(self)
    cdef int build(self) except -1
    cdef int make_room(self, tuple shape, int64_t rows) except -1
    cdef object accept(self, str name, object x, const void **data, int64_t *rows)
    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef int begin(self) except -1
    cdef void count_pass(self, int64_t rows, bint training) noexcept nogil
    cdef object copy_out(self, const void *data, int64_t rows, tuple shape)


cdef object restraints_of(list covered)

# Where a layer's random words of this pass come from.
cdef inline fastnn_stream stream_of(Layer layer, Pass *p) noexcept nogil:
    cdef fastnn_stream stream
    stream.seed, stream.step, stream.stream = p.seed, p.step, layer.stream
    return stream

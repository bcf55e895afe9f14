from libc.stdint cimport int64_t, uint64_t


cdef enum:
    MOST_SHARES = 64                        # threads that share a prediction
    LINE = 64                               # bytes of a cache line


# One block of memory for all buffers of a pass, but for that of products, which is not zeroed. First every layer
# reserves its buffers, then all pointers are set at once. Scratch memory belongs to a layer during one of its passes
# only, so one piece of it serves all layers.
cdef class Plan:
    # What it was made for.
    cdef object head                        # the layer at which passes begin, weakly; None: the network's root
    cdef tuple shape, out_shape             # of one example
    cdef int64_t dims[8]
    cdef int64_t out_dims[8]
    cdef int64_t rows, min_batch_size, in_size, out_size, real_size
    cdef int64_t out_inner                  # values of an example's output behind its first axis
    cdef tuple batch_shape                  # of the last batch's output
    cdef int64_t batch_rows
    cdef int threads
    cdef uint64_t seed
    # What was reserved.
    cdef list reservations, scratch_requests
    cdef object size, scratch_used, scratch_max
    cdef int64_t widest                     # values per example of the widest gradient
    cdef object memory, work_memory
    cdef int64_t work_bytes
    cdef char *begin                        # of the block, and the bytes before its scratch memory
    cdef int64_t bytes
    cdef bint absorbs                       # does a layer do the work of others where nothing is saved?
    cdef bint has_images                    # is there a layer that interleaves images?
    cdef object parameter_bytes             # of all parameters, which a pass reads
    cdef double multiply_adds               # of an example's convolutions
    cdef double forward_work                # of an example, in multiply-adds, about; layers may add to it
    cdef int64_t part                       # examples that a thread takes at a time in a prediction,
    cdef int64_t unit                       # a multiple of this: a block of interleaved images, or 1
    cdef bint is_hosting                    # does a pass run a user's code?
    cdef void **result                      # where the last layer's y is, if only the caller reads it after the pass
    cdef bint leaves_dy                     # does the last layer read the caller's dy where it stands (Pass.given)?
    cdef void *gradient
    cdef void *spare
    cdef void *work
    cdef tuple shape_of_batch(self, int64_t rows)
    cdef int reserve(self, void **where, object values) except -1
    cdef int reserve_result(self, void **where, object values) except -1
    cdef int reserve_scratch(self, void **where, object values) except -1
    cdef int reserve_work(self, int64_t bytes) except -1
    cdef void begin_layer(self)
    cdef int choose_part(self) except -1
    cdef int measure_work(self) except -1
    cdef int64_t shared_part(self, int64_t rows, int threads) noexcept
    cdef bint holds(self, int64_t rows, bint in_parts) noexcept
    cdef int64_t part_for_all(self) noexcept
    cdef int64_t units_of(self, int64_t rows) noexcept
    cdef int allocate(self) except -1

# `bytes`, rounded up to whole cache lines: every buffer starts on one. Python's integers do not overflow.
cdef object whole_lines(object bytes)

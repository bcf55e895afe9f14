"""Plan: the memory of a pass. Every layer reserves its buffers, then one block is allocated and all pointers are set.

A pass then runs without an allocation. The plan says for which layer, which shape of an example and how many examples
it was made; `network.pyx` makes another one when it does not fit.
"""

from libc.stdint cimport int64_t, uintptr_t

from fastnn._kernels cimport address, aligned

from fastnn_ref.shared import checks

cdef int64_t LINE = 64                              # bytes of a cache line


cdef object whole_lines(object bytes):
    return (bytes + LINE - 1) // LINE * LINE


cdef class Plan:

    def __cinit__(self):
        self.reservations, self.scratch_requests = [], []
        self.size = self.scratch_used = self.scratch_max = 0
        self.widest = self.min_batch_size = 1

    cdef tuple shape_of_batch(self, int64_t rows):
        """The shape of the output of so many examples."""
        if self.batch_rows != rows:
            self.batch_shape, self.batch_rows = (rows, *self.out_shape), rows
        return self.batch_shape

    cdef int reserve(self, void **where, object values) except -1:
        """Reserves a buffer for so many values; `where` points to it once memory is allocated."""
        offset = self.size
        # Sizes are checked as Python's integers before they become C's.
        self.size = checks.check_memory(offset + whole_lines(values * self.real_size))
        self.reservations.append((<uintptr_t>where, offset))
        return 0

    cdef int reserve_scratch(self, void **where, object values) except -1:
        """Reserves memory that the layer uses within one of its passes; other layers use the same memory in theirs."""
        self.scratch_requests.append((<uintptr_t>where, self.scratch_used))
        self.scratch_used += whole_lines(values * self.real_size)
        self.scratch_max = max(self.scratch_max, self.scratch_used)
        checks.check_memory(self.size + self.scratch_max)
        return 0

    cdef void begin_layer(self):
        """The next requests for scratch memory are another layer's."""
        self.scratch_used = 0

    cdef int allocate(self) except -1:
        """Allocates the block and sets all pointers."""
        cdef char *start
        self.memory = aligned(max(self.size + self.scratch_max, 1))
        start = <char *>address(self.memory)
        for where, offset in self.reservations:
            (<void **><uintptr_t>where)[0] = start + <int64_t>offset
        for where, offset in self.scratch_requests:
            (<void **><uintptr_t>where)[0] = start + <int64_t>(self.size + offset)
        self.reservations = self.scratch_requests = None
        return 0

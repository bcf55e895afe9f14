"""Plan: the memory of a pass. Every layer reserves its buffers, then one block is allocated and all pointers are set.

A pass then runs without an allocation. The plan says for which layer, which shape of an example and how many examples
it was made; `network.pyx` makes another one when it does not fit.
"""

from libc.stdint cimport INT64_MAX, int64_t, uintptr_t

from fastnn._kernels cimport address, aligned

from fastnn_ref.shared import checks

cdef extern from *:
    """
    /* With AddressSanitizer, no buffer of a block may be left for its neighbour: behind each, from its last value on,
       there is a gap that ends the program (python -m tools.reliability asan). Scratch memory is not shared then. */
    #if defined(__SANITIZE_ADDRESS__)
    #include <sanitizer/asan_interface.h>
    enum { GAP = 64 };
    #else
    enum { GAP = 0 };
    #define ASAN_POISON_MEMORY_REGION(begin, bytes) ((void)(begin))
    #define ASAN_UNPOISON_MEMORY_REGION(begin, bytes) ((void)(begin))
    #endif
    """
    const int64_t GAP                               # bytes
    void forbid "ASAN_POISON_MEMORY_REGION"(const void *begin, int64_t bytes) noexcept nogil
    void allow "ASAN_UNPOISON_MEMORY_REGION"(const void *begin, int64_t bytes) noexcept nogil


cdef double WORTH_SHARING = 1 << 21                 # multiply-adds: as in kernels/gemm.inc.c
cdef int64_t CACHED = 512 * 1024                    # bytes of a second-level cache


cdef object whole_lines(object bytes):
    return (bytes + LINE - 1) // LINE * LINE


cdef class Plan:

    def __cinit__(self):
        self.reservations, self.scratch_requests = [], []
        self.size = self.scratch_used = self.scratch_max = self.parameter_bytes = self.work_bytes = 0
        self.widest = self.min_batch_size = 1
        self.multiply_adds = self.forward_work = 0

    cdef tuple shape_of_batch(self, int64_t rows):
        """The shape of the output of so many examples."""
        if self.batch_rows != rows:
            self.batch_shape, self.batch_rows = (rows, *self.out_shape), rows
        return self.batch_shape

    cdef int reserve(self, void **where, object values) except -1:
        """Reserves a buffer for so many values; `where` points to it once memory is allocated."""
        offset = self.size
        # Sizes are checked as Python's integers before they become C's.
        self.size = checks.check_memory(offset + whole_lines(values * self.real_size) + GAP)
        self.reservations.append((<uintptr_t>where, offset, values * self.real_size))
        return 0

    cdef int reserve_result(self, void **where, object values) except -1:
        """Reserves a buffer for a layer's y that no backward pass reads: of the last layer, y may be put elsewhere."""
        self.reserve(where, values)
        self.result = where
        return 0

    cdef int reserve_scratch(self, void **where, object values) except -1:
        """Reserves memory that the layer uses within one of its passes; other layers use the same memory in theirs."""
        if GAP:
            return self.reserve(where, values)
        self.scratch_requests.append((<uintptr_t>where, self.scratch_used))
        self.scratch_used += whole_lines(values * self.real_size)
        self.scratch_max = max(self.scratch_max, self.scratch_used)
        checks.check_memory(self.size + self.scratch_max)
        return 0

    cdef int reserve_work(self, int64_t bytes) except -1:
        """Reserves memory for products, which write it before they read it.

        Nothing else touches it, as small products do not: where thousands of models live, it would be most of theirs.
        """
        if GAP:
            return self.reserve(&self.work, bytes // self.real_size)
        checks.check_memory(self.size + self.scratch_max + bytes)
        self.work_bytes = bytes
        return 0

    cdef void begin_layer(self):
        """The next requests for scratch memory are another layer's, and so is the result."""
        self.scratch_used = 0
        self.result, self.leaves_dy = NULL, False

    cdef int choose_part(self) except -1:
        """How many examples a thread takes through all layers before the next ones follow, in a prediction.

        Layers of images give out many times what a cache holds. If a part is small, the next layer finds it there.
        The parameters are read anew for each part, so its values should take twice as much memory as they do. Parts are
        whole blocks of interleaved images. 1,024 predictions of bench's LeNet-like take 0.87 of the time and 6.5 MB in
        place of 294; of VGG-like 0.98, and 31 MB in place of 1,801. Layers that do little with each value wait for
        those of a block that fits no cache, so parts are a few single images there: MobileNet-like takes 0.86.
        """
        cdef int64_t lanes = LINE // self.real_size, image
        self.part, self.unit = INT64_MAX, lanes
        if self.has_images and not self.is_hosting and self.rows > 0:
            image = self.size // self.rows
            blocks = max(CACHED, 2 * self.parameter_bytes) // (image * lanes + 1)
            self.part = lanes * max(1, blocks)
            if image * lanes > 8 * CACHED and self.multiply_adds * self.real_size < 28 * image:
                self.unit, self.part = 1, lanes // 8
        return 0

    cdef int measure_work(self) except -1:
        """Completes `forward_work`: a multiply-add for each parameter, eight for each value of x or of a layer's y."""
        values = (self.parameter_bytes + 8 * self.size // max(1, self.rows)) / self.real_size
        self.forward_work += values + 8 * self.in_size + self.multiply_adds
        return 0

    # What follows is arithmetic of C, which raises nothing: noexcept.

    cdef int64_t shared_part(self, int64_t rows, int threads) noexcept:
        """The part where each thread has layers of its own; 0 if it is better that all work at each layer."""
        cdef int64_t part, rounds
        if threads == 1 or self.part == INT64_MAX or self.multiply_adds * rows < WORTH_SHARING:
            return 0
        rounds = 1 + (rows - 1) // (threads * self.part)
        part = self.units_of(1 + (rows - 1) // (threads * rounds))
        # Some threads wait while others take the last parts: not for long, if these are many.
        return part if 5 * threads * part * (1 + (rows - 1) // (threads * part)) <= 6 * rows else 0

    cdef bint holds(self, int64_t rows, bint in_parts) noexcept:
        """Is there room for so many examples, or for a part of them?"""
        return self.rows >= (min(rows, self.part_for_all()) if in_parts else rows)

    cdef int64_t part_for_all(self) noexcept:
        """The part where all threads work at each layer."""
        if self.part == INT64_MAX:
            return INT64_MAX
        return min(self.threads * self.part, LINE // self.real_size - 1) if self.unit == 1 else self.threads * self.part

    cdef int64_t units_of(self, int64_t rows) noexcept:
        """So many rows, or a few more, that are whole blocks of interleaved images, if parts are."""
        return (rows + self.unit - 1) // self.unit * self.unit

    cdef int allocate(self) except -1:
        """Allocates the block and sets all pointers."""
        cdef char *start
        self.memory = aligned(max(self.size + self.scratch_max, 1))
        if self.work_bytes:
            self.work_memory = aligned(self.work_bytes, False)
            self.work = address(self.work_memory)
        start = self.begin = <char *>address(self.memory)
        for where, offset, size in self.reservations:
            (<void **><uintptr_t>where)[0] = start + <int64_t>offset
            if GAP:
                forbid(start + <int64_t>(offset + size), <int64_t>(whole_lines(size) - size + GAP))
        for where, offset in self.scratch_requests:
            (<void **><uintptr_t>where)[0] = start + <int64_t>(self.size + offset)
        self.bytes = self.size
        self.reservations = self.scratch_requests = None
        return 0

    def __dealloc__(self):
        if self.begin != NULL and self.bytes < 4096:
            allow(self.begin, self.bytes)           # NumPy keeps small blocks for the next array

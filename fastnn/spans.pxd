from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_constraint, fastnn_kernels, fastnn_matrix


# Parameters that lie in one piece of memory, in the order of the optimizer's slots.
cdef struct Span:
    char *w
    char *g
    int64_t offset, n       # values; where they begin in a slot
    bint decays
    bint frozen             # no optimizer changes them
    double lr_scale         # times the learning rate
    bint continues          # is it a span of its own because of `decays` alone?


# What a network knows of its parameters.
cdef class Spans:
    cdef int64_t real_size
    cdef list entries                       # (name, spec, value, gradient) of everything that training changes
    cdef dict offsets                       # name → where a parameter begins in a slot, in values
    cdef list order                         # the entries that have a gradient, in the order of a slot
    cdef readonly dict changed              # name → value of what training changes, running statistics, too
    cdef list written, statistics           # these values; the running statistics among them
    cdef list updated                       # (name, spec, value, gradient, lr_scale) of what an optimizer changes
    cdef object span_memory, copy_memory, matrix_memory
    cdef Span *spans
    cdef char *gradient_copy                # where gradients are put side by side if they do not lie so; else NULL
    cdef int span_count, matrix_count
    cdef const fastnn_matrix *matrices      # the weights of two dimensions, in the order of the slots
    cdef int64_t parameter_count            # values in a slot
    cdef list constraint_list
    cdef object constraint_memory
    cdef const fastnn_constraint *constraint_array
    cdef int64_t constraint_count
    cdef int take_layout(self, tuple laid_out) except -1
    cdef int take_group(self, tuple grouped) except -1
    cdef bint finite_parameters(self, const fastnn_kernels *k) noexcept nogil
    cdef double sum_squares(self, const fastnn_kernels *k) noexcept nogil
    cdef double clip_norm(self, const fastnn_kernels *k, double limit) noexcept nogil
    cdef void scale_gradients(self, const fastnn_kernels *k, double factor) noexcept nogil
    cdef void clamp_gradients(self, const fastnn_kernels *k, double limit) noexcept nogil


cdef tuple lay_out(list found, object dtype, object seed)
cdef tuple group(list owners, list entries, list constraints, list order, dict offsets, int64_t real_size)
cdef object constraint_memory(list constraints, dict starts=*, dict scales=*)

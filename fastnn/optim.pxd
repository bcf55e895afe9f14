from libc.stdint cimport int64_t

from fastnn.layer cimport Layer, Pass


cdef class Optimizer:
    cdef object rate                    # a number or a Schedule
    cdef readonly double weight_decay
    cdef object limit_norm, limit_value
    cdef double max_norm, max_value     # 0: no clipping
    cdef int64_t updates
    cdef Layer model                    # the one it belongs to, None before its first step
    cdef dict slots                     # name → flat array in the layout of the model's parameters
    cdef dict waiting                   # a state that was loaded before the first step
    cdef tuple slot_names(self)
    cdef int join(self, Layer model) except -1
    cdef int bind(self) except -1
    cdef void update_pass(self, Pass *p, double lr) noexcept nogil
    cdef void update_run(self, Pass *p, double lr, int64_t start, int64_t n, double decay) noexcept nogil

from libc.stdint cimport int64_t

from fastnn._kernels cimport fastnn_step_size
from fastnn.closed cimport Closed
from fastnn.network cimport Network, Pass


cdef class Optimizer(Closed):
    cdef object rate                    # a number or a Schedule
    cdef readonly double weight_decay
    cdef readonly bint maximize
    cdef bint is_made
    cdef readonly object clip_norm, clip_value
    cdef double max_norm, max_value     # 0: no clipping
    cdef int64_t updates
    cdef int64_t assigned               # how often a user assigned lr or steps
    cdef Network network                # the one it belongs to, None before its first step
    cdef int64_t real_size, count       # of a slot: bytes per value, values
    cdef dict offsets                   # name → where a parameter begins in a slot, and its shape
    cdef dict slots                     # name → flat array, all of one layout
    cdef dict pending_state             # a state that was loaded before the first step
    cdef tuple slot_names(self)
    cdef double slot_start(self)
    cdef int attach(self, Network network) except -1
    cdef dict views(self, object slot)
    cdef dict filled(self, dict offsets, int64_t count, int64_t real_size, dict state)
    cdef int bind(self) except -1
    cdef void update_pass(self, Network network, Pass *p, double lr) noexcept nogil
    cdef void update_all(self, Network network, Pass *p, double lr) noexcept nogil
    cdef void update_run(self, Pass *p, double lr, void *w, void *g, int64_t start, int64_t n,
                         double decay) noexcept nogil
    cdef fastnn_step_size step_size(self, double lr) noexcept nogil


# An optimizer, or the host of a CustomOptimizer; TypeError for anything else.
cdef Optimizer as_optimizer(object value)

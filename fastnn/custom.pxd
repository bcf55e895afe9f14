from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastnn.layer cimport Layer
from fastnn.network cimport Pass


# A user's CustomLayer inside a network.
cdef class Host(Layer):
    cdef readonly object custom             # the user's object
    cdef tuple shape, out_shape
    cdef int64_t dims[8]
    cdef int64_t out_dims[8]
    cdef object kept                        # the arrays that the network knows: the user's code must not replace these
    cdef object dtype_in_use
    cdef uint64_t seed
    cdef uint32_t step
    cdef void *y
    cdef int call_forward(self, Pass *p, const void *x) except -1
    cdef int call_backward(self, Pass *p, const void *dy, void *dx) except -1
    cdef object copy_in(self, const void *data, tuple shape)
    cdef int copy_out(self, str what, str name, object found, tuple shape, const int64_t *dims, void *data) except -1


# What a constructor makes of a layer that it is given: a CustomLayer gets a host, everything else stays what it is.
cdef object as_layer(str name, object value)
# Stores the exception that is being handled in the pass.
cdef void carry(Pass *p, object error, bint is_of_users=*) noexcept

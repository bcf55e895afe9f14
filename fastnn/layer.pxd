from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from fastnn.memory cimport MOST_SHARES, Plan
from fastnn.network cimport Network, Node, Pass


# What one thread of a prediction has for itself: layers, from `head` on, and a pass.
cdef struct Share:
    PyObject *head
    Pass *run


# Rows that are predicted a part at a time, by whoever is free.
cdef struct Rows:
    const char *x
    char *y
    int64_t x_bytes, y_bytes                # of a row
    int64_t next, end, part
    Share shares[MOST_SHARES]


# What users call. Its fields are those of Node.
cdef class Layer(Node):
    cdef object run_forward(self, object x, bint in_training)
    cdef void forward_into(self, Network network, const void *x, void *to, int64_t rows) noexcept
    cdef int predict_rows(self, Network network, const char *x, char *y, int64_t start, int64_t end) except -1
    cdef bint predict_shared(self, Network network, const char *x, char *y, int64_t start, int64_t end,
                             int64_t part) except -1
    cdef Plan repeat_pass(self, Network network)


cdef object rebuild_layer(object layer)

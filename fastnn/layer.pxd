from fastnn.network cimport Node


# What users call. Its fields are those of Node.
cdef class Layer(Node):
    cdef object run_forward(self, object x, bint in_training)


cdef object rebuild_layer(object layer)

from fastnn.network cimport Node


# What users call. Its fields are those of Node.
cdef class Layer(Node):
    pass


cdef object rebuild_layer(object layer)

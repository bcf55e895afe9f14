"""Flatten and Unflatten: the same values with other axes. They stay where they are: x is y, and dy is dx.

Reference: fastnn_ref/flatten.py.
"""

from fastnn.layer cimport Layer

from fastnn_ref.shared.shapes import as_axis, as_sizes, flattened_shape, unflattened_shape


cdef class Flatten(Layer):
    """Flatten(start_dim=1, end_dim=-1)\n--\n\n"""

    changes_shape = True

    cdef readonly object start_dim, end_dim

    def __init__(self, start_dim=1, end_dim=-1):
        start_dim, end_dim = as_axis("start_dim", start_dim), as_axis("end_dim", end_dim)
        Layer.__init__(self)
        self.start_dim, self.end_dim = start_dim, end_dim

    cdef tuple output_shape_of(self, tuple shape):
        return flattened_shape(type(self).__name__, shape, self.start_dim, self.end_dim)


cdef class Unflatten(Layer):
    """Unflatten(dim, unflattened_size)\n--\n\n"""

    changes_shape = True

    cdef readonly object dim
    cdef readonly tuple unflattened_size

    def __init__(self, dim, unflattened_size):
        dim, unflattened_size = as_axis("dim", dim), as_sizes("unflattened_size", unflattened_size)
        Layer.__init__(self)
        self.dim, self.unflattened_size = dim, unflattened_size

    cdef tuple output_shape_of(self, tuple shape):
        return unflattened_shape(type(self).__name__, shape, self.dim, self.unflattened_size)

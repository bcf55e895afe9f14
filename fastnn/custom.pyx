"""Host: a user's CustomLayer inside a network. It takes the GIL for the user's methods, and for nothing else.

x and dy are copies, which the user may keep; what comes back is checked and copied. An exception is kept in the pass,
which runs on with zeros, and is raised when the pass is over: with the user's own traceback, and before an optimizer
has changed anything.

Reference: fastnn_ref/custom.py.
"""

import weakref

import numpy as np

from cpython.ref cimport Py_INCREF
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastnn._kernels cimport address, new_array, ready
from fastnn.memory cimport Plan
from fastnn.network cimport Node

from fastnn._kernels import words
from fastnn_ref.shared import checks
from fastnn_ref.shared.arrays import as_contiguous, as_number_array
from fastnn_ref.shared.custom import CustomLayer, as_written, check_in_place, check_own_dicts
from fastnn_ref.shared.objects import check_instance, check_unowned


cdef void carry(Pass *p, object error, bint is_of_users=True) noexcept:
    if is_of_users:                     # nobody tells its parts anew, as is done with the library's own
        checks.finish(error)
    Py_INCREF(error)
    p.error = <PyObject *>error


cdef object as_layer(str name, object value):
    if not isinstance(value, CustomLayer):
        return value
    host = value._living_host()
    if host is not None:
        check_unowned(name, host)
    return host if isinstance(host, Host) else Host(value)


cdef class Host(Layer):
    """Host(custom)\n--\n\n"""

    def __init__(self, custom):
        Layer.__init__(self)
        self.custom = check_instance("custom", custom, CustomLayer)
        check_own_dicts(custom)
        for name, spec in dict(custom.specs).items():
            self.add(str(name), checks.as_shape(f"{name}.shape", spec.shape), spec.init, bool(spec.decays),
                     bool(spec.trainable))
        self.own_values, self.own_gradients = custom.values, custom.gradients
        if custom.input_shape is not None:
            self.input_shape = custom.checked_shape("input_shape", custom.input_shape)
        self._trainable, self._lr_scale = custom._trainable, custom._lr_scale
        custom._host = weakref.ref(self)

    @property
    def changes_shape(self):
        return bool(self.custom.changes_shape)

    @property
    def values(self):
        return self.own_values

    @property
    def gradients(self):
        return self.own_gradients

    def random_words(self, n):
        return words(checks.as_integer("n", n, 0), self.seed, self.step, self.stream)

    def config(self):
        return self.custom.config()

    def __repr__(self):
        return repr(self.custom)

    def __getattr__(self, name):
        if self.custom is None or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.custom, name)

    def __reduce__(self):
        return Host, (self.custom,)

    cdef Node make_twin(self, dict twins):
        twin = twins[id(self)] = Host(self.custom._beside())
        return twin

    cdef bint refresh_twin(self, Node twin) except -1:
        # A new copy for each call: the user's object may have changed, and what the last call assigned is forgotten.
        custom = self.custom._beside()
        custom._host = weakref.ref(twin)
        (<Host>twin).custom = custom
        return True

    # ---- the contract ----

    cdef tuple output_shape_of(self, tuple shape):
        if self.custom is None:
            raise RuntimeError("Host: made without a call of __init__")
        return self.custom.checked_shape("output_shape", self.custom.output_shape(shape))

    cdef int64_t min_batch_size_of(self, tuple shape) except -1:
        return self.custom.checked_batch_size(shape)

    cdef bint goes_back(self):
        return self._trainable                      # a user's method may be there for what it sees

    cdef int bind(self) except -1:
        # As kept_arrays does, in C: Network.wake must not be interrupted, as it would be in a function of Python.
        self.kept = {"values": (self.own_values, dict(self.own_values)),
                     "gradients": (self.own_gradients, dict(self.own_gradients))} if self.own_values else None
        return 0

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef int axis
        self.out_shape = Layer.plan(self, shape, rows, plan)
        plan.is_hosting = True
        self.shape, self.dtype_in_use = shape, np.dtype("f4" if plan.real_size == 4 else "f8")
        if len(shape) > 8 or len(self.out_shape) > 8:
            raise ValueError(f"{type(self.custom).__name__}: expected at most 8 dimensions per example, got "
                             f"{max(len(shape), len(self.out_shape))}")
        for axis in range(len(shape)):
            self.dims[axis] = shape[axis]
        for axis in range(len(self.out_shape)):
            self.out_dims[axis] = self.out_shape[axis]
        plan.reserve(&self.y, <object>rows * self.out_size)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        if p.error == NULL:
            with gil:
                try:
                    self.call_forward(p, x)
                    return self.y
                except BaseException as error:
                    carry(p, error)
        memset(self.y, 0, p.rows * self.out_size * p.k.real_size)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef void *dx = p.spare
        p.spare = dy
        if p.error == NULL:
            with gil:
                try:
                    self.call_backward(p, dy, dx)
                    return dx
                except BaseException as error:
                    carry(p, error)
        memset(dx, 0, p.rows * self.in_size * p.k.real_size)
        return dx

    cdef int call_forward(self, Pass *p, const void *x) except -1:
        rows = (p.rows,)
        self.seed, self.step = p.seed, p.step
        y = self.custom.forward_pass(self.copy_in(x, rows + self.shape), bool(p.training))
        method = as_written(self.custom, "forward_pass")
        check_in_place(self.custom, method, self.kept)
        return self.copy_out(method, "y", y, rows + self.out_shape, self.out_dims, self.y)

    cdef int call_backward(self, Pass *p, const void *dy, void *dx) except -1:
        rows = (p.rows,)
        found = self.custom.backward_pass(self.copy_in(dy, rows + self.out_shape))
        method = as_written(self.custom, "backward_pass")
        check_in_place(self.custom, method, self.kept)
        if not self._trainable:
            for gradient in self.own_gradients.values():
                gradient[...] = 0
        return self.copy_out(method, as_written(self.custom, "dx"), found, rows + self.shape, self.dims, dx)

    cdef object copy_in(self, const void *data, tuple shape):
        array = new_array(shape, self.dtype_in_use)
        memcpy(address(array), data, array.nbytes)
        return array

    cdef int copy_out(self, str what, str name, object found, tuple shape, const int64_t *dims, void *data) except -1:
        """Copies what a user's method returned, if it is what it should be."""
        cdef const void *source = NULL
        cdef int64_t rows = 0
        cdef char format = c"d" if self.dtype_in_use.itemsize == 8 else c"f"
        if ready(found, format, len(shape) - 1, dims, &source, &rows) and rows == <int64_t>shape[0]:
            memcpy(data, source, found.nbytes)
            return 0
        who = f"{type(self.custom).__name__}.{what}"
        array = as_number_array(f"{who}: {name}", found)
        if array.shape != shape:
            raise ValueError(f"{who}: expected {name} of shape {checks.format_shape(shape)}, "
                             f"got {checks.format_shape(array.shape)}")
        array = as_contiguous(array, self.dtype_in_use)
        memcpy(data, <const void *><size_t>array.ctypes.data, array.nbytes)
        return 0

"""Closed: what layers, losses, penalties and optimizers have in common: checks of classes and calls, records, copies.

Reference: fastnn_ref/shared/closed.py, which has the rules.
"""

from fastnn.copying import reduce
from fastnn_ref.shared import closed
from fastnn_ref.shared.config import format_config
from fastnn_ref.shared.objects import unmade


cdef class Closed:
    """Closed()\n--\n\n"""

    __init_subclass__ = classmethod(closed.check_class)
    config, __copy__ = closed.Closed.config, closed.Closed.__copy__

    def __cinit__(self, *given, **named):
        closed.check_call(type(self), given, named)

    cdef bint made(self):
        return False

    cdef int check_unmade(self) except -1:
        closed.check_concrete(type(self))
        if self.made():                             # kernels rely on what it was made with
            raise RuntimeError(f"{type(self).__name__}.__init__: expected one call, got a second one")
        return 0

    cdef int check_made(self) except -1:
        if not self.made():
            raise unmade(self)
        return 0

    @property
    def _made(self):
        return self.made()

    def __repr__(self):
        return format_config(self)

    def __reduce__(self):
        return reduce(self)

# What layers, losses, penalties and optimizers have in common.
cdef class Closed:
    cdef bint made(self)                    # has its constructor come to its end? Each kind keeps it where it has room
    cdef int check_unmade(self) except -1   # what a constructor does first
    cdef int check_made(self) except -1     # what comes before every use

# What layers, losses, penalties and optimizers have in common.
cdef class Closed:
    # What a constructor does first; `is_made` says whether one has run already.
    cdef int check_unmade(self, bint is_made) except -1

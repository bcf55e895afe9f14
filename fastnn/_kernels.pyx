"""The only module that links the C kernels: their table, the instruction set, the threads, and hooks for tests."""
# Order: the choice of table, threads, arrays, configuration, hooks for tests.

import os

import numpy as np

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from numpy cimport (
    NPY_DOUBLE, NPY_FLOAT, NPY_INT64, NPY_LONGLONG, PyArray_DATA, PyArray_DIM, PyArray_EMPTY, PyArray_ISCARRAY,
    PyArray_ISCARRAY_RO, PyArray_ISWRITEABLE, PyArray_NDIM, PyArray_SIZE, PyArray_TYPE, dtype as numpy_dtype,
    import_array, ndarray, npy_intp,
)

from fastnn_ref.shared import checks

cdef extern from "kernels.h" nogil:
    int fastnn_first_level_ways
    int fastnn_isa_count()
    const char *fastnn_isa_name(int)
    const fastnn_kernels *fastnn_table(int, int)
    const char *fastnn_activation_name(int) noexcept
    const char *fastnn_loss_name(int) noexcept
    void fastnn_init()
    int fastnn_has_openmp()
    int fastnn_threads()
    void fastnn_set_threads(int)
    int fastnn_limit_threads(int)
    const char *fastnn_compiler()
    double fastnn_seconds()
    void fastnn_parallel(part_of_job part, const void *job, int parts)
    void fastnn_words(uint32_t *, int64_t, uint64_t, uint32_t, uint32_t)
    void fastnn_permutation(int64_t *, int64_t, uint64_t, uint32_t, uint32_t)
    void fastnn_gather(void *, const void *, const int64_t *, int64_t, int64_t)
    int fastnn_bernoulli(uint64_t, const fastnn_stream *)
    int64_t fastnn_bad_class(const int64_t *, int64_t, int64_t, int64_t)

import_array()

# ---- the table in use ----

cdef const fastnn_kernels *tables[2]                # float, double
fastnn_init()


def available():
    """Names of the instruction sets this machine runs, the simplest first."""
    return tuple(fastnn_isa_name(i).decode() for i in range(fastnn_isa_count()))


def use_isa(name):
    """Uses instruction set ``name`` from now on and returns the one used so far (for tests and bug reports)."""
    names = available()
    checks.as_choice("FASTNN_ISA", name, names)
    previous = tables[0].isa.decode() if tables[0] else None
    tables[0] = fastnn_table(names.index(name), 0)
    tables[1] = fastnn_table(names.index(name), 1)
    return previous


use_isa(os.environ.get("FASTNN_ISA") or max(available()))


def use_first_level_ways(n):
    """Counts on ``n`` lines in a set of the first-level cache from now on; returns the number so far (for tests).

    Convolutions read x in place, or copies of it, according to that; the bits are the same.
    """
    global fastnn_first_level_ways
    previous = fastnn_first_level_ways
    fastnn_first_level_ways = n
    return previous


def isa():
    """The instruction set in use: ``portable``, ``x86_v3`` (AVX2 and FMA) or ``x86_v4`` (AVX-512).

    Chosen at import by what the processor has; the environment variable ``FASTNN_ISA`` overrides it.

    >>> import fastnn
    >>> fastnn.isa() in ("portable", "x86_v3", "x86_v4")
    True
    """
    return tables[0].isa.decode()


cdef const fastnn_kernels *table(int64_t real_size) noexcept nogil:
    return tables[real_size == 8]


# The largest of all sets, so that a plan outlives use_isa.
cdef int64_t most_pack_bytes = max(fastnn_table(i, d).pack_bytes for i in range(fastnn_isa_count()) for d in range(2))


cdef int64_t pack_bytes() noexcept nogil:
    return most_pack_bytes


# ---- kinds of activations and losses ----

cdef dict kinds(const char *(*name)(int) noexcept nogil):
    """Name → number, of the list that ``name`` reads."""
    found = {}
    while name(len(found)) != NULL:
        found[name(len(found)).decode()] = len(found)
    return found


ACTIVATIONS = kinds(fastnn_activation_name)
LOSSES = kinds(fastnn_loss_name)


cdef int activation_kind(str name) except -1:
    return ACTIVATIONS[name]


cdef int loss_kind(str name) except -1:
    return LOSSES[name]


# ---- threads ----

cdef int threads() noexcept nogil:
    return fastnn_threads()


def get_num_threads():
    """How many threads a large kernel called now would use.

    The smallest of ``OMP_NUM_THREADS`` (or the number of cores), ``set_num_threads`` and a limit set by threadpoolctl;
    1 without OpenMP and in a forked child. Small kernels stay on one thread. The number never changes a result.

    >>> import fastnn
    >>> fastnn.get_num_threads() >= 1
    True
    """
    return fastnn_threads()


def set_num_threads(n):
    """Lets kernels use at most ``n`` threads (1 … 1024).

    >>> import fastnn
    >>> before = fastnn.get_num_threads()
    >>> fastnn.set_num_threads(1)
    >>> fastnn.get_num_threads()
    1
    >>> fastnn.set_num_threads(before)
    """
    fastnn_set_threads(checks.as_integer("n", n, 1, MOST_THREADS))


def limit_threads(n):
    """Lets kernels that the calling thread starts use at most ``n`` threads, 0: any number. Returns the old limit."""
    return fastnn_limit_threads(n)


# ---- arrays, clock, data ----

cdef void parallel(part_of_job part, const void *job, int parts) noexcept nogil:
    fastnn_parallel(part, job, parts)


cdef double seconds() noexcept nogil:
    return fastnn_seconds()


def words(n, seed, step, stream):
    """``n`` words of a Philox stream, made by the C generator: philox.uint32, from the stream's first block on."""
    out = np.empty(n, dtype=np.uint32)
    fastnn_words(<uint32_t *>address(out), n, seed, step, stream)
    return out


cdef void permute(int64_t *order, int64_t n, uint64_t seed, uint32_t step, uint32_t stream) noexcept nogil:
    fastnn_permutation(order, n, seed, step, stream)


cdef void gather(void *out, const void *rows, const int64_t *order, int64_t n, int64_t bytes) noexcept nogil:
    fastnn_gather(out, rows, order, n, bytes)


cdef bint bernoulli(uint64_t threshold, const fastnn_stream *s) noexcept nogil:
    return fastnn_bernoulli(threshold, s)


cdef int64_t bad_class(const int64_t *classes, int64_t n, int64_t k, int64_t other) noexcept nogil:
    return fastnn_bad_class(classes, n, k, other)


cdef bint ready(object x, char format, int ndim, const int64_t *dims, const void **data, int64_t *rows):
    cdef int axis, kind
    if type(x) is not ndarray or not PyArray_ISCARRAY_RO(x) or PyArray_NDIM(x) != ndim + 1:
        return False
    kind = PyArray_TYPE(x)
    if not (kind == NPY_FLOAT if format == c"f" else kind == NPY_DOUBLE if format == c"d" else
            kind == NPY_INT64 or kind == NPY_LONGLONG):             # two names of one type, or one
        return False
    for axis in range(ndim):
        if PyArray_DIM(x, axis + 1) != dims[axis]:
            return False
    data[0], rows[0] = PyArray_DATA(x), PyArray_DIM(x, 0)
    return rows[0] > 0


cdef bint floats(object x, const void **data, int64_t *rows, int64_t *values):
    if type(x) is not ndarray or not PyArray_ISCARRAY_RO(x) or PyArray_TYPE(x) not in (NPY_FLOAT, NPY_DOUBLE):
        return False
    if PyArray_NDIM(x) == 0 or PyArray_SIZE(x) == 0:
        return False
    data[0], rows[0], values[0] = PyArray_DATA(x), PyArray_DIM(x, 0), PyArray_SIZE(x)
    return True


cdef void *address(object array) except? NULL:
    cdef Py_buffer view
    if type(array) is ndarray and PyArray_ISCARRAY(array):
        return PyArray_DATA(array)
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)         # says what is wrong with it, if anything is
    PyBuffer_Release(&view)
    return view.buf


cdef bint writable(list arrays):
    cdef ndarray array
    for array in arrays:
        if not PyArray_ISWRITEABLE(array):
            return False
    return True


cdef int64_t allocations_left = -1              # until the one that fails; negative: none does


def fail_allocation(k):
    """Makes the ``k``-th allocation of the engine from now on fail, k >= 1, and none after it; None: none fails.

    Returns how many allocations are left until that one, or None if it has failed. For tests.
    """
    global allocations_left
    left, allocations_left = allocations_left, -1 if k is None else k
    return left if left > 0 else None


cdef int count_allocation() except -1:
    global allocations_left
    if allocations_left > 0:
        allocations_left -= 1
        if allocations_left == 0:
            raise MemoryError("fail_allocation: this allocation was made to fail")
    return 0


cdef object new_array(tuple shape, object dtype):
    cdef npy_intp dims[64]
    cdef int axis
    count_allocation()
    if len(shape) > 64:
        raise ValueError(f"shape: expected at most 64 dimensions, got {len(shape)}")
    for axis in range(len(shape)):
        dims[axis] = shape[axis]
    return PyArray_EMPTY(<int>len(shape), dims, (<numpy_dtype?>dtype).type_num, 0)


cdef object aligned(int64_t size, bint zeroed=True):
    # Bytes that start at a cache line; the view keeps the memory alive.
    count_allocation()
    buffer = (np.zeros if zeroed else np.empty)(size + 63, dtype=np.uint8)
    cdef int64_t skip = -<int64_t><uintptr_t>address(buffer) & 63
    return buffer[skip:skip + size]


# ---- what this build is ----

def compiler():
    """The compiler that made the kernels, with its version."""
    return fastnn_compiler().decode()


def threading():
    """What the kernels' threads are made of."""
    return "OpenMP" if fastnn_has_openmp() else "built without OpenMP"


# ---- hooks for tests ----

DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0, "celu": 1.0, "softshrink": 0.5, "hardshrink": 0.5}


def permutation(n, seed, step):
    """The shuffle of epoch ``step``, made by the C generator."""
    out = np.empty(n, dtype=np.int64)
    fastnn_permutation(<int64_t *>address(out), n, seed, step, 2 << 24)
    return out


def gemm(a, b, bias=None, activation="identity", c=None):
    """act(a @ b + bias) by the C kernel, the operands read where they stand, whatever their strides."""
    cdef fastnn_gemm g
    cdef int64_t size = a.dtype.itemsize
    cdef const fastnn_kernels *k = table(size)
    if a.dtype != b.dtype or a.dtype.char not in "fd" or a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError("gemm: expected a (m, k) and b (k, n) of one dtype, float32 or float64")
    if c is None:
        c = np.empty((a.shape[0], b.shape[1]), dtype=a.dtype)
    if c.dtype != a.dtype or c.shape != (a.shape[0], b.shape[1]) or (
            c.size and c.shape[1] > 1 and c.strides[1] != size):
        raise ValueError("gemm: expected c (m, n) of the same dtype with unit column stride")
    if bias is not None and (bias.dtype != a.dtype or bias.shape != (b.shape[1],) or not bias.flags.c_contiguous):
        raise ValueError("gemm: expected a contiguous bias (n,) of the same dtype")
    if not c.size:
        return c
    g.m, g.n, g.k = a.shape[0], b.shape[1], a.shape[1]
    g.a = <const void *><uintptr_t>a.__array_interface__["data"][0]
    g.b = <const void *><uintptr_t>b.__array_interface__["data"][0]
    g.c = g.y = <void *><uintptr_t>c.__array_interface__["data"][0]
    g.norm = g.packed = NULL
    g.a_row, g.a_col = a.strides[0] // size, a.strides[1] // size
    g.b_row, g.b_col = b.strides[0] // size, b.strides[1] // size
    g.c_row = c.strides[0] // size
    g.bias = NULL
    if bias is not None:
        g.bias = <const void *><uintptr_t>bias.__array_interface__["data"][0]
    g.activation = ACTIVATIONS[activation]
    g.alpha = DEFAULT_ALPHA.get(activation, 0.0)
    g.threads = threads()
    work = aligned(g.threads * pack_bytes())
    g.work = address(work)
    with nogil:
        k.gemm(&g)
    return c


def activation(name, x, dy=None):
    """act(x), or dy · act'(x) when ``dy`` is given, by the C kernels; rows are the last axis."""
    cdef const fastnn_kernels *k = table(x.dtype.itemsize)
    cdef int kind = ACTIVATIONS[name]
    cdef double alpha = DEFAULT_ALPHA.get(name, 0.0)
    x = np.ascontiguousarray(x)
    cdef int64_t cols = x.shape[x.ndim - 1]
    cdef int64_t rows = x.size // cols
    y = np.array(x)
    slope = np.empty_like(y)
    k.activate(kind, alpha, address(y), address(y), address(slope), rows, cols, threads())
    if dy is None:
        return y
    dx = np.array(dy, dtype=x.dtype, order="C")
    saved = slope if saves_slope(kind) else y
    k.activate_backward(kind, alpha, address(saved), address(dx), address(dx), NULL, rows, cols, threads())
    return dx

"""Embedding: each whole number has a row of a table, which is learnt.

    y[…] = W[x]         dW[i] = Σ dy where x is i,  dx = 0

Reference: fastnn_ref/embedding.py.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

from fastnn._kernels cimport address
from fastnn.custom cimport carry
from fastnn.layer cimport Layer
from fastnn.memory cimport Plan
from fastnn.network cimport Pass

from fastnn_ref import init as initialisers
from fastnn_ref.shared.arrays import no_row
from fastnn_ref.shared.parameter import Parameter
from fastnn_ref.shared.shapes import as_table_shape


cdef class Embedding(Layer):
    """Embedding(num_embeddings, embedding_dim, init="normal")\n--\n\n"""

    changes_shape = True
    weight = Parameter("", "weight")

    cdef readonly int64_t num_embeddings, embedding_dim
    cdef readonly object init
    cdef void *w
    cdef void *dw
    cdef void *y
    cdef const void *x

    def __init__(self, num_embeddings, embedding_dim, init="normal"):
        num_embeddings, embedding_dim = as_table_shape(num_embeddings, embedding_dim)
        init = initialisers.as_init(init, (num_embeddings, embedding_dim))
        Layer.__init__(self)
        self.num_embeddings, self.embedding_dim, self.init = num_embeddings, embedding_dim, init
        self.add("weight", (self.num_embeddings, self.embedding_dim), self.init, True)

    cdef tuple output_shape_of(self, tuple shape):
        return (*shape, self.embedding_dim)

    cdef int bind(self) except -1:
        self.w, self.dw = address(self.own_values["weight"]), self.gradient_of("weight")
        self.climb().has_tables = True
        return 0

    cdef tuple plan(self, tuple shape, int64_t rows, Plan plan):
        cdef tuple out_shape = Layer.plan(self, shape, rows, plan)
        plan.reserve_result(&self.y, <object>rows * self.out_size)
        return out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        cdef int64_t bad
        self.x = x
        bad = p.k.embedding(x, self.w, self.y, p.rows * self.in_size, self.num_embeddings, self.embedding_dim)
        if bad >= 0 and p.error == NULL:
            with gil:
                carry(p, no_row(self.num_embeddings,
                                (<float *>x)[bad] if p.k.real_size == 4 else (<double *>x)[bad], bad // self.in_size),
                      False)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        cdef void *dx = p.spare
        if self._trainable:
            p.k.embedding_backward(self.x, dy, self.dw, p.rows * self.in_size, self.num_embeddings,
                                   self.embedding_dim)
        if not wants_dx:
            return dy
        memset(dx, 0, p.rows * self.in_size * p.k.real_size)
        p.spare = dy
        return dx

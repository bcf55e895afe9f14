from libc.stdint cimport int64_t

from fastnn.layer cimport Layer
from fastnn.loss cimport Loss
from fastnn.network cimport Network
from fastnn.optim cimport Optimizer


# One epoch, as the loop without the GIL sees it.
cdef struct Epoch:
    const char *x
    const char *t
    const int64_t *order                    # NULL: in the given order
    char *x_batch
    char *t_batch
    char *x_mixed                           # mixup's, and its λ of each batch, or NULL
    char *t_mixed
    const double *lambdas
    int64_t n, batch_size, x_bytes, t_bytes
    int64_t batch, batches                  # done; in all
    const double *lr                        # by batch, from `lr_start` on; NULL: `rate` for all
    int64_t lr_start
    double rate
    bint classes, one_batch                 # does the loop end after one batch?
    const double *weights                   # of the examples, or NULL
    double *w_batch
    double value                            # of the last batch, without its penalty


# A layer that can be trained as a whole.
cdef class Model(Layer):
    cdef bint stops
    cdef readonly double penalty_loss       # the penalty's part of the last step's or epoch's loss
    cdef object batch_memory                # run_epoch's gathered examples and targets
    cdef double step_pass(self, Network network, const void *x, const void *t, bint classes, const double *weights,
                          Loss loss, Optimizer optimizer, double lr) noexcept nogil
    cdef void steps_pass(self, Network network, Epoch *e, Loss loss, Optimizer optimizer) noexcept nogil
    cdef int make_batch(self, Epoch *e) except -1
    cdef object set_rates(self, Epoch *e, object rate, int64_t updates)
    cdef list own_constraints(self)
    cdef object predict_batches(self, object x, int64_t batch_size)


cdef object as_batch_size(object value)
cdef int64_t fewer(object wanted, int64_t there) except -1

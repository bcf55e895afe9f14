cimport cython
from libc.stdint cimport int64_t, uint32_t

from fastnn.layer cimport Layer
from fastnn.loss cimport Loss
from fastnn.network cimport Network
from fastnn.optim cimport Optimizer


# One epoch, as the loop without the GIL sees it, and the arrays that its pointers point into.
@cython.final
cdef class Epoch:
    cdef object given_x, given_t, given_weights, shuffled, drawn, rates
    cdef int64_t assigned                   # of the optimizer, when `rates` were worked out
    cdef tuple shape, out_shape             # of one example
    cdef int64_t rows, used                 # there; without those that are dropped
    cdef int64_t batch_size
    cdef int64_t batch, batches             # done; in all
    cdef const char *x
    cdef const char *t
    cdef int64_t x_bytes, t_bytes           # of an example
    cdef bint classes
    cdef const double *weights              # of the examples, or NULL
    cdef const int64_t *order               # NULL: as given
    cdef bint to_shuffle                    # is it still to be drawn?
    cdef uint32_t number                    # of the epoch, for what is drawn
    cdef const double *lambdas              # mixup's, by batch, or NULL
    cdef char *x_batch                      # the batch, where it is gathered, and where it is mixed
    cdef char *t_batch
    cdef double *w_batch
    cdef char *x_mixed
    cdef char *t_mixed
    cdef const double *lr                   # by batch, from `lr_start` on; NULL: `rate` for all
    cdef int64_t lr_start
    cdef double rate
    cdef bint one_batch                     # does the loop end after one batch?
    cdef double value                       # of the last batch, without its penalty
    cdef int set_rates(self, Optimizer optimizer) except -1


# A layer that can be trained as a whole.
cdef class Model(Layer):
    cdef bint stops
    cdef readonly double penalty_loss       # the penalty's part of the last step's or epoch's loss
    cdef object batch_memory                # run_epoch's gathered examples and targets
    cdef double step_pass(self, Network network, const void *x, const void *t, bint classes, const double *weights,
                          Loss loss, Optimizer optimizer, double lr) noexcept nogil
    cdef Epoch prepare_epoch(self, Network network, object x, object t, Loss loss, Optimizer optimizer,
                             object batch_size, bint shuffle, object sample_weight, double alpha, bint resume,
                             bint drop_last)
    cdef int make_batch(self, Epoch e) except -1
    cdef int train_epoch(self, Network network, Epoch e, Loss loss, Optimizer optimizer, object progress,
                         object on_batch_begin, object on_batch_end) except -1
    cdef void steps_pass(self, Network network, Epoch e, Loss loss, Optimizer optimizer) noexcept nogil
    cdef object end_epoch(self, Network network, Epoch e, Loss loss)
    cdef list own_constraints(self)
    cdef object predict_batches(self, object x, int64_t batch_size)


cdef object as_batch_size(object value)
cdef int64_t fewer(object wanted, int64_t there) except -1

"""Model: a training step, and a whole epoch of them, without the GIL.

    step        forward, loss, backward; then the optimizer: penalty, clipping, update, constraints

An epoch leaves the pass around everything that may run a user's code, so that a callback may predict; before it goes
on it looks at the plan again.

Reference: fastnn_ref/model.py.
"""

import numpy as np

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.math cimport isfinite
from libc.stdint cimport INT64_MAX, int64_t, uint32_t

from fastnn._kernels cimport address, aligned, fastnn_constraint, gather, new_array, permute, seconds, table
from fastnn.gil cimport PyThreadState, released, take_back
from fastnn.loss cimport as_loss
from fastnn.network cimport Pass, Twin, constraints_of, walk
from fastnn.optim cimport as_optimizer
from fastnn.spans cimport constraint_memory

from fastnn_ref.shared import checks
from fastnn_ref.shared.arrays import as_contiguous, as_number_array
from fastnn_ref.shared.data import Data, check_numbers
from fastnn_ref.shared.diagnosis import warn_of_nonfinite
from fastnn_ref.shared.mixup import as_mixup
from fastnn_ref.shared.mixup import draw_lambdas, one_hot
from fastnn_ref.shared.model import ModelAccess
from fastnn_ref.shared.network import check_enough_rows, check_resume, rows_used
from fastnn_ref.shared.objects import as_function, check_is_root
from fastnn_ref.shared.schedule import rates
from fastnn_ref.shared.shapes import check_announced
from fastnn_ref.shared.targets import as_sample_weight

cdef object INT64 = np.dtype(np.int64)
cdef uint32_t SHUFFLE = 2 << 24             # the stream that shuffles draw from
cdef double SIGNAL_CHECK_SECONDS = 0.05     # between looks at Ctrl-C and at the progress function
cdef double CLOCK_SECONDS = 0.0005          # between looks at the clock, where steps are that short


cdef int check_shape(tuple planned, tuple announced) except -1:
    """A user's output_shape must say the same whenever it is asked."""
    if planned is not announced:
        check_announced(planned, announced)
    return 0


cdef object as_batch_size(object value):
    return value if type(value) is int and value > 0 else checks.as_integer("batch_size", value, 1)


cdef bint flag(str name, object value) except -1:
    return value if value is True or value is False else checks.as_flag(name, value)


cdef int64_t fewer(object wanted, int64_t there) except -1:
    """The smaller one: Python's integers have no largest."""
    cdef int too_large = 0
    cdef int64_t found = PyLong_AsLongLongAndOverflow(wanted, &too_large)
    return there if too_large else min(found, there)


cdef void forget_batches(Network network) noexcept:         # numbers of C, which raise nothing
    """The next epoch, or this one, begins with its first batch."""
    network.batch_count = 0
    network.sums[0] = network.sums[1] = network.sums[2] = 0


# Short epochs make many of these, which hold nothing but arrays and are seen by `run_epoch` alone.
@cython.final
@cython.freelist(8)
@cython.no_gc
cdef class Epoch:

    cdef int set_rates(self, Optimizer optimizer) except -1:
        """The learning rates of the batches left."""
        schedule = optimizer.rate
        self.assigned = optimizer.assigned
        if type(schedule) is float:
            self.lr, self.rate = NULL, schedule
            return 0
        self.rates = rates(schedule, optimizer.updates, self.batches - self.batch)
        self.lr, self.lr_start = <const double *>address(self.rates), self.batch
        return 0


cdef class Model(Layer):
    """Model()\n--\n\n"""

    predict_proba, predict_classes, outputs, predictor = (
        ModelAccess.predict_proba, ModelAccess.predict_classes, ModelAccess.outputs, ModelAccess.predictor)
    fit, fit_lbfgs, evaluate, summary, save, seed, epochs, has_penalty, executed_blocks = (
        ModelAccess.fit, ModelAccess.fit_lbfgs, ModelAccess.evaluate, ModelAccess.summary, ModelAccess.save,
        ModelAccess.seed, ModelAccess.epochs, ModelAccess.has_penalty, ModelAccess.executed_blocks)
    _repr_html_ = ModelAccess._repr_html_

    @property
    def stop_training(self):
        return self.stops

    @stop_training.setter
    def stop_training(self, value):
        self.stops = checks.as_flag("stop_training", value)

    def penalty_value(self):
        constraints = self.own_constraints()
        memory = constraint_memory(constraints)
        return table(self.climb().real_size).penalty(<const fastnn_constraint *>address(memory), len(constraints))

    cdef list own_constraints(self):
        """(penalty, value, gradient) of every parameter inside that a penalty inside applies to."""
        self.climb().wake()
        return constraints_of(self, {(id(node), name): ((<Layer>node).own_values[name], gradient)
                                     for _, node in walk(self, "")
                                     for name, gradient in (<Layer>node).own_gradients.items()})

    # ---- one step ----

    def step(self, x, t, loss, optimizer, sample_weight=None):
        cdef const void *data = NULL
        cdef const void *targets = NULL
        cdef int64_t rows = 0, steps
        cdef Loss l = as_loss(loss)
        cdef Optimizer o = as_optimizer(optimizer)
        cdef double lr, value
        cdef const double *weights = NULL
        cdef bint classes
        cdef PyThreadState *state
        cdef tuple shape, out_shape
        cdef Network network
        if self.around is not None:
            check_is_root(self)
        network = self.enter(True)
        try:
            x = network.prepare_input(self, "x", x, &data, &rows)
            shape = network.x_shape
            out_shape = network.out_shape_for(self, shape)
            t = l.prepare(t, rows, out_shape, network.found_dtype, &targets)
            classes = t.dtype.kind == "i"
            given = None if sample_weight is None else as_sample_weight(sample_weight, rows)
            if given is not None:
                weights = <const double *><size_t>given.ctypes.data
            lr = o.current_lr                       # a user's schedule may predict, so this stands before the pass
            network.begin(self, shape, rows, True)
            check_shape(network.planned.out_shape, out_shape)
            o.attach(network)
            network.saved_x = None
            steps = network.step_count
            network.count_pass(rows, True, True)
            state = released(3 * rows * network.planned.forward_work)
            value = self.step_pass(network, data, targets, classes, weights, l, o, lr)
            take_back(state)
            if network.run.error != NULL:
                network.step_count = steps          # which a user's own code may have assigned
                network.raise_error()
            if not isfinite(value + self.penalty_loss):
                warn_of_nonfinite(self)
            return value + self.penalty_loss
        finally:
            network.unlock()

    cdef double step_pass(self, Network network, const void *x, const void *t, bint classes, const double *weights,
                          Loss loss, Optimizer optimizer, double lr) noexcept nogil:
        """One step; with an error in the pass nothing is updated."""
        cdef Pass *p = &network.run
        cdef double value
        cdef const void *y = self.forward_pass(p, x)
        if p.error != NULL:
            return 0
        value = loss.value_pass(p, y, t, classes, weights, network.planned.gradient, NULL, p.rows,
                                network.planned.out_size, network.planned.out_inner)
        if p.error != NULL:
            return 0
        p.spare = network.planned.spare
        self.penalty_loss = (p.k.penalty(network.constraint_array, network.constraint_count)
                             if network.constraint_count else 0)
        self.backward_pass(p, network.planned.gradient, False)
        if p.error == NULL:
            optimizer.update_pass(network, p, lr)
        return value

    # ---- an epoch ----

    def run_epoch(self, x, t, loss, optimizer, batch_size=32, shuffle=True, progress=None, sample_weight=None,
                  mixup=0.0, on_batch_begin=None, on_batch_end=None, resume=False, drop_last=False):
        cdef Loss l = as_loss(loss)
        cdef Optimizer o = as_optimizer(optimizer)
        cdef Epoch epoch
        cdef Network network
        cdef bint shuffles, resumes, drops
        cdef double alpha
        # What is plainly right is not asked of a Python function: threads that train wait for each other meanwhile.
        batch_size = as_batch_size(batch_size)
        shuffles, resumes, drops = flag("shuffle", shuffle), flag("resume", resume), flag("drop_last", drop_last)
        alpha = 0.0 if type(mixup) is float and mixup == 0 else as_mixup(mixup, sample_weight, loss, self)
        if not (progress is None and on_batch_begin is None and on_batch_end is None):
            for name, hook in (("progress", progress), ("on_batch_begin", on_batch_begin),
                               ("on_batch_end", on_batch_end)):
                as_function(name, hook)
        if self.around is not None:
            check_is_root(self)
        network = self.enter(True)
        try:
            epoch = self.prepare_epoch(network, x, t, l, o, batch_size, shuffles, sample_weight, alpha, resumes,
                                       drops)
            epoch.one_batch = on_batch_begin is not None or on_batch_end is not None
            o.attach(network)
            if not resumes:
                forget_batches(network)
            self.train_epoch(network, epoch, l, o, progress, on_batch_begin, on_batch_end)
            return self.end_epoch(network, epoch, l)
        finally:
            network.unlock()

    cdef Epoch prepare_epoch(self, Network network, object x, object t, Loss loss, Optimizer optimizer,
                             object batch_size, bint shuffle, object sample_weight, double alpha, bint resume,
                             bint drop_last):
        """All that the steps read, after all checks: nothing that training counts has changed."""
        cdef const void *data = NULL
        cdef const void *targets = NULL
        cdef int64_t last
        cdef Epoch e = Epoch.__new__(Epoch)
        e.given_x = network.prepare_input(self, "x", x, &data, &e.rows)
        e.shape = network.x_shape
        e.out_shape = network.out_shape_for(self, e.shape)
        t = loss.prepare(t, e.rows, e.out_shape, network.found_dtype, &targets)
        if network.has_tables:
            check_numbers(self, Data(e.given_x, t, None))
        e.used = rows_used(e.rows, batch_size, True) if drop_last else e.rows
        e.batch_size = fewer(batch_size, e.used)
        e.batch, e.batches = network.batch_count if resume else 0, (e.used + e.batch_size - 1) // e.batch_size
        if e.batch > e.batches:
            check_resume(e.batch, e.batches)
        e.given_weights = None if sample_weight is None else as_sample_weight(sample_weight, e.rows)
        if e.given_weights is not None:
            e.weights = <const double *><size_t>e.given_weights.ctypes.data
        if alpha:
            t = np.ascontiguousarray(one_hot(t, e.out_shape, network.found_dtype))
            loss.note_targets(t)
            targets = <const void *><size_t>t.ctypes.data
            e.drawn = draw_lambdas(alpha, e.batches, network.seeds.masks, network.epoch_count)
            e.lambdas = <const double *>address(e.drawn)
        e.set_rates(optimizer)
        network.begin(self, e.shape, e.batch_size, False)
        check_shape(network.planned.out_shape, e.out_shape)
        last = (e.used - 1) % e.batch_size + 1
        if last < network.planned.min_batch_size:
            check_enough_rows(last, network.planned.min_batch_size)
        e.given_t, e.classes = t, t.dtype.kind == "i"
        e.x, e.t = <const char *>data, <const char *>targets
        e.x_bytes, e.t_bytes = network.planned.in_size * network.real_size, <int64_t>t.nbytes // e.rows
        if shuffle or alpha:
            self.make_batch(e)
        if shuffle:
            e.shuffled = new_array((e.rows,), INT64)
            e.order, e.to_shuffle = <const int64_t *>address(e.shuffled), True
        e.number = <uint32_t>network.epoch_count
        return e

    cdef int make_batch(self, Epoch e) except -1:
        """Room for the examples, targets and weights of one batch, and for their mixtures."""
        cdef int64_t x_size = (e.batch_size * e.x_bytes + 63) // 64 * 64
        cdef int64_t t_size = (e.batch_size * e.t_bytes + 63) // 64 * 64
        cdef int64_t w_size = (e.batch_size * <int64_t>sizeof(double) + 63) // 64 * 64
        cdef int64_t size = x_size + t_size + w_size + (x_size + t_size if e.lambdas != NULL else 0)
        if self.batch_memory is None or len(self.batch_memory) < size:
            self.batch_memory = aligned(size)
        e.x_batch = <char *>address(self.batch_memory)
        e.t_batch = e.x_batch + x_size
        e.w_batch = <double *>(e.t_batch + t_size)
        e.x_mixed = e.t_batch + t_size + w_size
        e.t_mixed = e.x_mixed + x_size
        return 0

    cdef int train_epoch(self, Network network, Epoch e, Loss loss, Optimizer optimizer, object progress,
                         object on_batch_begin, object on_batch_end) except -1:
        """The steps of the batches left; hooks are called with the GIL and outside the pass, so they may predict."""
        cdef int64_t due
        cdef PyThreadState *state
        while e.batch < e.batches:
            if on_batch_begin is not None:
                network.in_pass = False
                on_batch_begin(e.batch)
            if optimizer.assigned != e.assigned:    # a callback has changed its rate or steps, or a user's own code
                network.in_pass = False
                e.set_rates(optimizer)
            network.begin(self, e.shape, e.batch_size, False)
            check_shape(network.planned.out_shape, e.out_shape)
            network.saved_x = None
            due = e.batch_size if e.one_batch else e.used - e.batch * e.batch_size
            state = released(3 * due * network.planned.forward_work)
            if e.to_shuffle:                        # here, as another thread may have to be waited for to take the GIL
                permute(<int64_t *>e.order, e.rows, network.order_seed, e.number, SHUFFLE)
                e.to_shuffle = False
            self.steps_pass(network, e, loss, optimizer)
            take_back(state)
            network.in_pass = False
            network.raise_error()
            PyErr_CheckSignals()
            if on_batch_end is not None:
                on_batch_end(e.batch - 1, {
                    "loss": e.value + self.penalty_loss, "batch": e.batch - 1, "size": network.run.rows})
            if progress is not None:
                progress(e.batch, e.batches)
        return 0

    cdef object end_epoch(self, Network network, Epoch e, Loss loss):
        """The epoch's loss, with the penalty; the counters stand before the next one."""
        cdef double value = network.sums[0]
        self.penalty_loss = network.sums[1] / e.used
        if not loss.is_sum:
            value = value / network.sums[2] if network.sums[2] else 0
        network.epoch_count += 1
        forget_batches(network)
        if not network.finite_parameters(network.run.k):
            warn_of_nonfinite(self)
        return value + self.penalty_loss

    cdef void steps_pass(self, Network network, Epoch e, Loss loss, Optimizer optimizer) noexcept nogil:
        """Steps until the epoch ends, an error comes, or it is time to look at signals."""
        cdef double begun = seconds(), last = begun, now
        cdef int64_t rows, start, i, before, steps = 0, every = 1   # steps between two looks at the clock
        cdef const char *x
        cdef const char *t
        cdef const double *weights
        cdef double count, lr
        while e.batch < e.batches:
            start = e.batch * e.batch_size
            rows = min(e.batch_size, e.used - start)
            weights = NULL
            if e.order != NULL:
                gather(e.x_batch, e.x, e.order + start, rows, e.x_bytes)
                gather(e.t_batch, e.t, e.order + start, rows, e.t_bytes)
                x, t = e.x_batch, e.t_batch
                if e.weights != NULL:
                    gather(e.w_batch, e.weights, e.order + start, rows, sizeof(double))
                    weights = e.w_batch
            else:
                x, t = e.x + start * e.x_bytes, e.t + start * e.t_bytes
                weights = e.weights + start if e.weights != NULL else NULL
            if e.lambdas != NULL:
                network.run.k.mix(x, e.x_mixed, rows, network.planned.in_size, e.lambdas[e.batch])
                network.run.k.mix(t, e.t_mixed, rows, e.t_bytes // network.real_size, e.lambdas[e.batch])
                x, t = e.x_mixed, e.t_mixed
            before = network.step_count
            network.count_pass(rows, True, True)
            count = rows
            if weights != NULL:
                count = 0
                for i in range(rows):
                    count += weights[i]
            lr = e.rate if e.lr == NULL else e.lr[e.batch - e.lr_start]
            e.value = self.step_pass(network, x, t, e.classes, weights, loss, optimizer, lr)
            if network.run.error != NULL:
                network.step_count = before
                return
            network.sums[0] += e.value if loss.is_sum else count * e.value
            network.sums[1] += rows * self.penalty_loss
            network.sums[2] += count
            e.batch += 1
            network.batch_count = e.batch
            steps += 1
            if e.one_batch or optimizer.assigned != e.assigned:
                return
            if steps >= every:
                steps, now = 0, seconds()
                if now > begun + SIGNAL_CHECK_SECONDS:
                    return
                if now - last > 10 * CLOCK_SECONDS:         # a user's own layer may take its time now and then
                    every = 1
                elif every < 64 and now - last < CLOCK_SECONDS:
                    every *= 2
                last = now

    # ---- predictions ----

    def predict(self, x, batch_size=1024):
        return self.predict_batches(x, fewer(as_batch_size(batch_size), INT64_MAX))

    cdef object predict_batches(self, object x, int64_t batch_size):
        cdef const void *data = NULL
        cdef const char *rows_of_x
        cdef int64_t rows = 0, total, size, start = 0
        cdef char *to
        cdef tuple shape
        cdef Network network
        cdef Twin twin
        network = self.climb()
        if network.is_taken():
            twin = network.borrow()
            try:
                return (<Model>self.twin_in(twin.nodes)).predict_batches(x, batch_size)
            finally:
                network.give_back(twin)
        self.lock_in(network, False)
        try:
            part = network.prepare_input(self, "x", x, &data, &rows, batch_size)
            total = rows
            if rows == batch_size and part is not x:    # there may be others, which are converted when it is their turn
                x = as_number_array("x", x)
                total = len(x)
            shape = network.x_shape
            size = min(batch_size, rows)
            network.begin(self, shape, size, False, True)
            network.saved_x = None
            out = new_array(network.planned.shape_of_batch(total), network.found_dtype)
            to = <char *>address(out)
            rows_of_x = <const char *>data
            while True:
                self.predict_rows(network, rows_of_x, to, start, min(start + size, total))
                start += size
                if start >= total:
                    return out
                PyErr_CheckSignals()                # in the pass: a signal handler must not start another one
                if total > rows:
                    part = as_contiguous(x[start:start + size], network.found_dtype)
                    data = <const void *><size_t>part.ctypes.data
                    rows_of_x = <const char *>data - start * network.planned.in_size * network.real_size
        finally:
            network.unlock()

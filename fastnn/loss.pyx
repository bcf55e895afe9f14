"""Losses: how wrong is y, and which way is better; value and gradient in one pass.

    forward     value = Σ s·l(y, t), s by the reduction; or the costs themselves
    backward    dy    = ∂value/∂y

Reference: fastnn_ref/loss.py, which has the formulas and their sources; kernels/loss.inc.c has them in C.
"""

import numpy as np

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastnn._kernels cimport (
    address, bad_class, fastnn_kernels, fastnn_loss, floats, loss_kind, new_array, ready, table, threads,
)
from fastnn.custom cimport carry
from fastnn.gil cimport PyThreadState, released, take_back
from fastnn.network cimport Pass

from fastnn_ref.shared import checks
from fastnn_ref.shared.arrays import as_contiguous, as_output_gradient
from fastnn_ref.shared.class_weight import (
    as_binary_class_weight, as_class_weight, as_positive_weight, binary_weights, check_binary_weights,
    check_class_weight, is_sum, known_weights,
)
from fastnn_ref.shared.custom import CustomLoss, chain
from fastnn_ref.shared.objects import check_instance
from fastnn_ref.shared.targets import (
    as_class_targets, as_count_targets, as_ignore_index, as_outputs, as_probability_targets, as_reduction,
    as_sample_weight, as_sign_targets, as_value_targets, check_logits, check_reduced,
)

cdef double LARGEST_FLOAT = np.finfo(np.float32).max
cdef double LARGEST_DOUBLE = np.finfo(np.float64).max


cdef class Loss(Closed):
    """Loss(reduction="mean")\n--\n\n"""

    def __init__(self, reduction="mean"):
        self.check_unmade()
        self.reduction = as_reduction(reduction)
        self.is_mean, self.is_sum = self.reduction == "mean", self.reduction == "sum"
        self.is_made = True

    cdef bint made(self):
        return self.is_made

    cdef object prepare(self, object t, int64_t rows, tuple shape, object dtype, const void **data):
        raise NotImplementedError

    def _checked_targets(self, t, shape, dtype):
        cdef const void *targets = NULL
        return self.prepare(t, shape[0], shape[1:], dtype, &targets)

    cdef int note_targets(self, object t) except -1:
        """Tells it what an example's targets look like, for `value_pass`."""
        return 0

    cdef double value_pass(self, Pass *p, const void *y, const void *t, bint classes, const double *weights, void *dy,
                           void *costs, int64_t rows, int64_t size, int64_t inner) noexcept nogil:
        return 0

    cdef tuple costs_shape(self, tuple shape):
        """The shape of the costs that `shape` outputs have."""
        return shape

    def forward(self, y, t, sample_weight=None):
        cdef const void *targets = NULL
        cdef const void *outputs = NULL
        cdef void *dy
        cdef void *costs = NULL
        cdef double value
        cdef int64_t rows = 0, values = 0
        cdef Pass p
        cdef PyThreadState *state
        cdef bint classes
        cdef int64_t k
        cdef const double *weights = NULL
        self.check_made()
        if not floats(y, &outputs, &rows, &values):
            y = as_outputs("y", y)
            if not floats(y, &outputs, &rows, &values):
                raise SystemError("y: the checks let through an array that kernels cannot read")
        t = self.prepare(t, rows, y.shape[1:], y.dtype, &targets)
        given = None if sample_weight is None else as_sample_weight(sample_weight, rows)
        if given is not None:
            weights = <const double *><size_t>given.ctypes.data
        gradient = new_array(y.shape, y.dtype)
        dy = address(gradient)
        found = None
        if not (self.is_mean or self.is_sum):
            found = new_array(self.costs_shape(y.shape), y.dtype)
            costs = address(found)
        p.k, p.threads, p.error, classes = table(y.itemsize), threads(), NULL, t.dtype.kind == "i"
        k = y.shape[1] if y.ndim > 1 else 1
        state = released(8 * values)
        value = self.value_pass(&p, outputs, targets, classes, weights, dy, costs, rows, values // rows,
                                values // (rows * k))
        take_back(state)
        self.gradient, self.value_shape = gradient, () if found is None else found.shape
        return value if found is None else found

    def __call__(self, y, t, sample_weight=None):
        """``forward(y, t, sample_weight)``."""
        return self.forward(y, t, sample_weight)

    def backward(self, grad_output=None):
        return chain(self.gradient, self.value_shape, grad_output)


cdef class ClassWeights:
    """ClassWeights(values)\n--\n\n"""
    # Weights of classes as a kernel reads them; none for None and for no values.

    cdef object values
    cdef const double *data
    cdef int64_t count

    def __init__(self, values):
        if values is not None and len(values):
            self.values, self.count = np.ascontiguousarray(values, np.float64), len(values)
            self.data = <const double *>address(self.values)


cdef ClassWeights NO_WEIGHTS = ClassWeights(None)


cdef class ElementwiseLoss(Loss):
    """ElementwiseLoss(reduction="mean")\n--\n\n"""
    # A loss whose costs are those of the elements of y.

    cdef int kind
    cdef double threshold               # Huber's delta, Poisson's eps, binary cross-entropy's ε
    cdef double low, high               # targets stay in this range
    cdef ClassWeights by_class          # of binary cross-entropy

    def __init__(self, reduction="mean"):
        Loss.__init__(self, reduction)
        self.low, self.high = -LARGEST_DOUBLE, LARGEST_DOUBLE
        self.by_class = NO_WEIGHTS

    cdef bint takes(self, const fastnn_kernels *k, const void *t, int64_t n) noexcept:
        """May kernels read these targets as they are?"""
        cdef double limit = LARGEST_DOUBLE if k.real_size == 8 else LARGEST_FLOAT   # a float32 beyond is infinite
        return k.first_outside(t, n, max(self.low, -limit), min(self.high, limit)) < 0

    cdef object convert(self, object t, tuple shape, object dtype):
        """Targets of any other kind."""
        return as_value_targets(t, shape, dtype)

    cdef object prepare(self, object t, int64_t rows, tuple shape, object dtype, const void **data):
        cdef int64_t dims[8]
        cdef int64_t found = 0, size = 1
        cdef int axis
        cdef bint double_precision = dtype.itemsize == 8
        if len(shape) <= 8:
            for axis in range(len(shape)):
                dims[axis] = shape[axis]
                size *= dims[axis]
            if (ready(t, c"d" if double_precision else c"f", len(shape), dims, data, &found) and found == rows
                    and self.takes(table(dtype.itemsize), data[0], rows * size)):
                return t
        t = self.convert(t, (rows, *shape), dtype)
        data[0] = <const void *><size_t>t.ctypes.data
        return t

    cdef double value_pass(self, Pass *p, const void *y, const void *t, bint classes, const double *weights, void *dy,
                           void *costs, int64_t rows, int64_t size, int64_t inner) noexcept nogil:
        cdef fastnn_loss g = fastnn_loss(kind=self.kind, delta=self.threshold, y=y, t=t, classes=NULL, weights=weights,
                                         class_weight=self.by_class.data, weight_count=self.by_class.count, dy=dy,
                                         costs=costs, rows=rows, size=size, inner=inner, mean=self.is_mean, ignores=0,
                                         ignored=0, threads=p.threads)
        return p.k.loss(&g)


cdef class MSELoss(ElementwiseLoss):
    """MSELoss(reduction="mean")\n--\n\n"""

    def __init__(self, reduction="mean"):
        ElementwiseLoss.__init__(self, reduction)
        self.kind = loss_kind("mse")


cdef class L1Loss(ElementwiseLoss):
    """L1Loss(reduction="mean")\n--\n\n"""

    def __init__(self, reduction="mean"):
        ElementwiseLoss.__init__(self, reduction)
        self.kind = loss_kind("l1")


cdef class HuberLoss(ElementwiseLoss):
    """HuberLoss(delta=1.0, reduction="mean")\n--\n\n"""

    def __init__(self, delta=1.0, reduction="mean"):
        delta = checks.as_number("delta", delta, 0, low_open=True)
        ElementwiseLoss.__init__(self, reduction)
        self.kind, self.threshold = loss_kind("huber"), delta

    @property
    def delta(self):
        return self.threshold


cdef class PoissonNLLLoss(ElementwiseLoss):
    """PoissonNLLLoss(log_input=True, eps=1e-08, reduction="mean")\n--\n\n"""

    cdef readonly bint log_input

    def __init__(self, log_input=True, eps=1e-8, reduction="mean"):
        log_input, eps = checks.as_flag("log_input", log_input), checks.as_number("eps", eps, 0, low_open=True)
        ElementwiseLoss.__init__(self, reduction)
        self.log_input, self.threshold = log_input, eps
        self.kind = loss_kind("poisson_nll" if self.log_input else "poisson_nll_of_rate")
        self.low = 0

    @property
    def eps(self):
        return self.threshold

    cdef object convert(self, object t, tuple shape, object dtype):
        return as_count_targets(t, shape, dtype)


cdef class HingeLoss(ElementwiseLoss):
    """HingeLoss(reduction="mean")\n--\n\n"""

    def __init__(self, reduction="mean"):
        ElementwiseLoss.__init__(self, reduction)
        self.kind = loss_kind("hinge")

    cdef bint takes(self, const fastnn_kernels *k, const void *t, int64_t n) noexcept:
        return k.first_unsigned(t, n) < 0

    cdef object convert(self, object t, tuple shape, object dtype):
        return as_sign_targets(t, shape, dtype)


cdef class BCEWithLogitsLoss(ElementwiseLoss):
    """BCEWithLogitsLoss(label_smoothing=0.0, class_weight=None, pos_weight=None, reduction="mean")\n--\n\n"""

    cdef readonly object class_weight, pos_weight

    def __init__(self, label_smoothing=0.0, class_weight=None, pos_weight=None, reduction="mean"):
        label_smoothing = checks.as_number("label_smoothing", label_smoothing, 0, 1)
        class_weight = as_binary_class_weight(class_weight)
        pos_weight = as_positive_weight(pos_weight, class_weight)
        weights = ClassWeights(binary_weights(class_weight, pos_weight))
        ElementwiseLoss.__init__(self, reduction)
        self.threshold, self.class_weight, self.pos_weight = label_smoothing, class_weight, pos_weight
        self.by_class = weights
        self.kind = loss_kind("bce_with_logits" if self.by_class.data == NULL else "weighted_bce_with_logits")
        self.low, self.high = 0, 1

    @property
    def label_smoothing(self):
        return self.threshold

    cdef object prepare(self, object t, int64_t rows, tuple shape, object dtype, const void **data):
        if self.class_weight is not None or self.pos_weight is not None:
            check_binary_weights(self.class_weight, self.pos_weight, (rows, *shape))
        return ElementwiseLoss.prepare(self, t, rows, shape, dtype, data)

    cdef object convert(self, object t, tuple shape, object dtype):
        return as_probability_targets(t, shape, dtype)


cdef class ClassLoss(Loss):
    """ClassLoss(reduction="mean")\n--\n\n"""
    # A loss of outputs (n, K, ...) whose axis 1 has the classes, and whose costs are those of the targets (n, ...).

    cdef double smoothing
    cdef readonly object class_weight, ignore_index
    cdef ClassWeights by_class
    cdef bint ignores
    cdef int64_t ignored                # or 0, which is a class anyway

    cdef int set_up(self, object class_weight, object ignore_index) except -1:
        self.class_weight, self.ignore_index = as_class_weight(class_weight), as_ignore_index(ignore_index)
        self.by_class = ClassWeights(known_weights(self.class_weight))
        self.ignores = self.ignore_index is not None
        self.ignored = self.ignore_index if self.ignores else 0
        return 0

    cdef tuple costs_shape(self, tuple shape):
        return shape[:1] + shape[2:]

    cdef object prepare(self, object t, int64_t rows, tuple shape, object dtype, const void **data):
        cdef int64_t dims[8]
        cdef int64_t found = 0, k, inner = 1
        cdef int axis
        if not 1 <= len(shape) <= 8:
            check_logits((rows, *shape))
        k = shape[0]
        if self.class_weight is not None:
            check_class_weight(self.class_weight, k)
        for axis in range(1, len(shape)):
            dims[axis - 1] = shape[axis]
            inner *= dims[axis - 1]
        if (ready(t, c"q", len(shape) - 1, dims, data, &found) and found == rows
                and bad_class(<const int64_t *>data[0], rows * inner, k, self.ignored) < 0):
            return t
        if (len(shape) == 1 and not self.ignores
                and ready(t, c"d" if dtype.itemsize == 8 else c"f", 1, &k, data, &found) and found == rows
                and table(dtype.itemsize).improper_row(data[0], rows, k) < 0):
            return t
        t = as_class_targets(t, (rows, *shape), dtype, self.ignore_index)
        data[0] = <const void *><size_t>t.ctypes.data
        return t

    cdef fastnn_loss job(self, Pass *p, const void *y, const void *t, bint classes, const double *weights, void *dy,
                         void *costs, int64_t rows, int64_t size, int64_t inner) noexcept nogil:
        cdef fastnn_loss g = fastnn_loss(kind=0, delta=self.smoothing, y=y, t=NULL, classes=NULL, weights=weights,
                                         class_weight=self.by_class.data, weight_count=self.by_class.count, dy=dy,
                                         costs=costs, rows=rows, size=size, inner=inner, mean=self.is_mean,
                                         ignores=self.ignores, ignored=self.ignored, threads=p.threads)
        if classes:
            g.classes = <const int64_t *>t
        else:
            g.t = t
        return g


cdef class NLLLoss(ClassLoss):
    """NLLLoss(class_weight=None, ignore_index=None, reduction="mean")\n--\n\n"""

    def __init__(self, class_weight=None, ignore_index=None, reduction="mean"):
        self.check_unmade()
        self.set_up(class_weight, ignore_index)
        Loss.__init__(self, reduction)

    cdef double value_pass(self, Pass *p, const void *y, const void *t, bint classes, const double *weights, void *dy,
                           void *costs, int64_t rows, int64_t size, int64_t inner) noexcept nogil:
        cdef fastnn_loss g = self.job(p, y, t, classes, weights, dy, costs, rows, size, inner)
        return p.k.nll(&g)


cdef class CrossEntropyLoss(ClassLoss):
    """CrossEntropyLoss(label_smoothing=0.0, class_weight=None, ignore_index=None, reduction="mean")\n--\n\n"""

    def __init__(self, label_smoothing=0.0, class_weight=None, ignore_index=None, reduction="mean"):
        self.check_unmade()
        self.smoothing = checks.as_number("label_smoothing", label_smoothing, 0, 1)
        self.set_up(class_weight, ignore_index)
        Loss.__init__(self, reduction)

    @property
    def label_smoothing(self):
        return self.smoothing

    cdef double value_pass(self, Pass *p, const void *y, const void *t, bint classes, const double *weights, void *dy,
                           void *costs, int64_t rows, int64_t size, int64_t inner) noexcept nogil:
        cdef fastnn_loss g = self.job(p, y, t, classes, weights, dy, costs, rows, size, inner)
        return p.k.cross_entropy(&g)


# ---- a user's own ----

cdef class LossHost(Loss):
    """LossHost(loss)\n--\n\n"""
    # A user's CustomLoss during a training: y and t are copies, and the gradient is checked and copied.

    cdef object loss
    cdef tuple shape, target_shape
    cdef object dtype, target_dtype

    def __init__(self, loss):
        Loss.__init__(self)
        self.loss, self.is_sum = loss, is_sum(loss)

    cdef object prepare(self, object t, int64_t rows, tuple shape, object dtype, const void **data):
        t = self.loss._checked_targets(t, (rows, *shape), dtype)
        t = as_contiguous(t, t.dtype.newbyteorder("="))
        self.shape, self.dtype = shape, dtype
        self.note_targets(t)
        data[0] = <const void *><size_t>t.ctypes.data
        return t

    cdef int note_targets(self, object t) except -1:
        self.target_shape, self.target_dtype = t.shape[1:], t.dtype
        return 0

    cdef double value_pass(self, Pass *p, const void *y, const void *t, bint classes, const double *weights, void *dy,
                           void *costs, int64_t rows, int64_t size, int64_t inner) noexcept nogil:
        if p.error == NULL:
            with gil:
                try:
                    return self.call_loss(y, t, weights, dy, rows)
                except BaseException as error:
                    carry(p, error)
        return 0

    cdef object call_loss(self, const void *y, const void *t, const double *weights, void *dy, int64_t rows):
        outputs = new_array((rows, *self.shape), self.dtype)
        targets = new_array((rows, *self.target_shape), self.target_dtype)
        memcpy(address(outputs), y, outputs.nbytes)
        memcpy(address(targets), t, targets.nbytes)
        given = None
        if weights != NULL:
            given = new_array((rows,), np.dtype(np.float64))
            memcpy(address(given), weights, given.nbytes)
        value, gradient = self.loss.evaluated(outputs, targets, given)
        gradient = as_output_gradient(gradient, self.dtype, (rows, *self.shape))
        memcpy(dy, <const void *><size_t>gradient.ctypes.data, gradient.nbytes)
        return float(value)


cdef Loss as_loss(object value):
    if isinstance(value, Loss):
        (<Loss>value).check_made()
        if not ((<Loss>value).is_mean or (<Loss>value).is_sum):
            check_reduced(value)
        return value
    if isinstance(value, CustomLoss):
        check_reduced(value)
        return LossHost(value)
    return check_instance("loss", value, Loss)

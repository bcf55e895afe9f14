"""Losses: how wrong is y, and which way is better; value and gradient in one pass.

    forward     value = mean over the batch of l(y, t)
    backward    dy    = ∂value/∂y

Twin: fastnn_ref/loss.py, which has the formulas and their sources; kernels/loss.inc.c has them in C.
"""

import numpy as np

from libc.stdint cimport int64_t

from fastnn._kernels cimport (
    address, bad_class, fastnn_kernels, fastnn_loss, floats, loss_kind, ready, table,
)

from fastnn_ref import validation

cdef double LARGEST_FLOAT = np.finfo(np.float32).max
cdef double LARGEST_DOUBLE = np.finfo(np.float64).max


cdef class Loss:
    """Loss()\n--\n
    What all losses share: ``forward(y, t)`` → value, then ``backward()`` → dy, a new array like y.

    >>> import numpy as np, fastnn as nn
    >>> loss = nn.MSELoss()
    >>> loss.forward(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]]))
    2.0
    >>> loss.backward().tolist()
    [[0.0, 2.0]]
    """

    def __init__(self):
        if type(self) is Loss:
            raise TypeError("Loss: an abstract class; use MSELoss, CrossEntropyLoss, ...")

    cdef object accept(self, object t, int64_t rows, tuple shape, object dtype, const void **data):
        raise NotImplementedError

    cdef double value_pass(self, const fastnn_kernels *k, const void *y, const void *t, bint classes,
                           const double *weights, void *dy, int64_t rows, int64_t size) noexcept nogil:
        return 0

    def arguments(self):
        """The constructor's arguments that make such a loss again, by name."""
        return {}

    def forward(self, y, t, sample_weight=None):
        """The loss of outputs ``y`` (n, …) against targets ``t``, a float.

        ``t``: finite values in y's shape, or (n,) for outputs (n, 1), or what the kind of loss says; else ValueError or
        TypeError. ``sample_weight``: n finite numbers >= 0, of which the loss is the weighted mean Σ wᵢ·lᵢ / Σ wᵢ; 0
        where all are 0.
        """
        cdef const void *targets = NULL
        cdef const void *outputs = NULL
        cdef void *dy
        cdef double value
        cdef int64_t rows = 0, values = 0
        cdef const fastnn_kernels *k
        cdef bint classes
        cdef const double *weights = NULL
        if not floats(y, &outputs, &rows, &values):
            y = validation.outputs("y", y)
            if not floats(y, &outputs, &rows, &values):
                raise SystemError("y: validation let through an array that kernels cannot read")
        t = self.accept(t, rows, y.shape[1:], y.dtype, &targets)
        given = None if sample_weight is None else validation.weights(sample_weight, rows)
        if given is not None:
            weights = <const double *><size_t>given.ctypes.data
        gradient = np.empty_like(y)
        dy = address(gradient)
        k, classes = table(y.itemsize), t.dtype.kind == "i"
        with nogil:
            value = self.value_pass(k, outputs, targets, classes, weights, dy, rows, values // rows)
        self.gradient = gradient
        return value

    def __call__(self, y, t, sample_weight=None):
        """``forward(y, t, sample_weight)``."""
        return self.forward(y, t, sample_weight)

    def backward(self):
        """∂value/∂y of the last ``forward``, in y's shape and dtype; RuntimeError before any."""
        if self.gradient is None:
            raise RuntimeError("backward: call forward(y, t) first")
        return self.gradient.copy()

    def __repr__(self):
        return validation.call(type(self).__name__, (), self.arguments())

    def __reduce__(self):
        return _rebuild, (type(self), self.arguments())


def _rebuild(kind, named):
    """What copy and pickle call."""
    return kind(**named)


cdef class ElementwiseLoss(Loss):
    """ElementwiseLoss()\n--\n
    A mean over all elements of y."""

    cdef int kind
    cdef double threshold               # Huber's delta, binary cross-entropy's ε
    cdef double low, high               # targets stay in this range

    def __init__(self):
        Loss.__init__(self)
        self.low, self.high = -LARGEST_DOUBLE, LARGEST_DOUBLE

    cdef object accept(self, object t, int64_t rows, tuple shape, object dtype, const void **data):
        cdef int64_t dims[8]
        cdef int64_t found = 0, size = 1
        cdef int axis
        cdef bint double_precision = dtype.itemsize == 8
        cdef double limit = LARGEST_DOUBLE if double_precision else LARGEST_FLOAT   # a float32 beyond is infinite
        if len(shape) <= 8:
            for axis in range(len(shape)):
                dims[axis] = shape[axis]
                size *= dims[axis]
            if (ready(t, c"d" if double_precision else c"f", len(shape), dims, data, &found) and found == rows
                    and table(dtype.itemsize).first_outside(
                        data[0], rows * size, max(self.low, -limit), min(self.high, limit)) < 0):
                return t
        t = self._check(t, (rows, *shape), dtype)
        data[0] = <const void *><size_t>t.ctypes.data
        return t

    def _check(self, t, shape, dtype):
        """The targets as an array of that shape and dtype, or the error that says what is wrong with them."""
        return validation.values(t, shape, dtype)

    cdef double value_pass(self, const fastnn_kernels *k, const void *y, const void *t, bint classes,
                           const double *weights, void *dy, int64_t rows, int64_t size) noexcept nogil:
        cdef fastnn_loss g = fastnn_loss(kind=self.kind, delta=self.threshold, y=y, t=t, classes=NULL, weights=weights,
                                         class_weight=NULL, dy=dy, rows=rows, size=size)
        return k.loss(&g)


cdef class MSELoss(ElementwiseLoss):
    """MSELoss()\n--\n
    Mean of (y − t)² over all elements; ``t`` in y's shape.

    >>> import numpy as np, fastnn as nn
    >>> nn.MSELoss()(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    2.0
    """

    def __init__(self):
        ElementwiseLoss.__init__(self)
        self.kind = loss_kind("mse")


cdef class L1Loss(ElementwiseLoss):
    """L1Loss()\n--\n
    Mean of \\|y − t\\| over all elements; the derivative at 0 is 0.

    >>> import numpy as np, fastnn as nn
    >>> nn.L1Loss()(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    1.0
    """

    def __init__(self):
        ElementwiseLoss.__init__(self)
        self.kind = loss_kind("l1")


cdef class HuberLoss(ElementwiseLoss):
    """HuberLoss(delta=1.0)\n--\n
    Mean of ½e² where \\|e\\| <= delta, else delta·(\\|e\\| − ½delta), e = y − t (Huber 1964); ``delta`` > 0.

    >>> import numpy as np, fastnn as nn
    >>> nn.HuberLoss(delta=1.0)(np.array([[3.0, 1.0]]), np.array([[0.0, 0.0]]))
    1.5
    """

    def __init__(self, delta=1.0):
        ElementwiseLoss.__init__(self)
        self.kind = loss_kind("huber")
        self.threshold = validation.number("delta", delta, 0, low_open=True)

    @property
    def delta(self):
        """Where the parabola goes over into the line."""
        return self.threshold

    def arguments(self):
        return {"delta": self.threshold}


cdef class BCEWithLogitsLoss(ElementwiseLoss):
    """BCEWithLogitsLoss(label_smoothing=0.0)\n--\n
    Binary cross-entropy of logits y with targets 0 <= t <= 1: mean of log(1 + exp(y)) − t·y over all elements.

    ``label_smoothing`` ε, 0 <= ε <= 1, puts (1 − ε)·t + ε/2 for t: a share for both classes.

    >>> import numpy as np, fastnn as nn
    >>> round(nn.BCEWithLogitsLoss()(np.array([[0.0]]), np.array([[1.0]])), 4)
    0.6931
    """

    def __init__(self, label_smoothing=0.0):
        ElementwiseLoss.__init__(self)
        self.kind = loss_kind("bce_with_logits")
        self.low, self.high = 0, 1
        self.threshold = validation.number("label_smoothing", label_smoothing, 0, 1)

    @property
    def label_smoothing(self):
        """ε."""
        return self.threshold

    def arguments(self):
        return {"label_smoothing": self.threshold}

    def _check(self, t, shape, dtype):
        return validation.unit_interval(t, shape, dtype)


cdef class CrossEntropyLoss(Loss):
    """CrossEntropyLoss(label_smoothing=0.0, class_weight=None)\n--\n
    −Σ q·log softmax(y), mean over the batch, for logits y (n, K).

    ``t``: class numbers (n,) in 0 … K−1, or rows (n, K) of probabilities that sum to 1, else ValueError.
    ``label_smoothing`` ε, 0 <= ε <= 1, puts q = (1 − ε)·target + ε/K: a share for every class (Szegedy et al. 2016).
    The gradient is (softmax(y) − q) / n. ``class_weight``, K numbers >= 0, multiplies each class's part of the sum;
    with class numbers the mean is then over the weights of the targets, as in PyTorch.

    >>> import numpy as np, fastnn as nn
    >>> round(nn.CrossEntropyLoss()(np.array([[0.0, 0.0]]), np.array([1])), 4)
    0.6931
    """

    cdef double smoothing
    cdef readonly object class_weight
    cdef object class_weights           # the same as float64, and where it lies
    cdef const double *by_class

    def __init__(self, label_smoothing=0.0, class_weight=None):
        Loss.__init__(self)
        self.smoothing = validation.number("label_smoothing", label_smoothing, 0, 1)
        self.class_weight = validation.class_weight(class_weight)
        if self.class_weight is not None:
            self.class_weights = np.array(self.class_weight)
            self.by_class = <const double *>address(self.class_weights)

    @property
    def label_smoothing(self):
        """ε."""
        return self.smoothing

    def arguments(self):
        named = {"label_smoothing": self.smoothing}
        return named if self.class_weight is None else {**named, "class_weight": self.class_weight}

    cdef object accept(self, object t, int64_t rows, tuple shape, object dtype, const void **data):
        cdef int64_t found = 0, k
        if len(shape) != 1 or self.class_weight is not None:
            validation.logits((rows, *shape), self.class_weight)
        k = shape[0]
        if not (ready(t, c"q", 0, NULL, data, &found) and found == rows
                and bad_class(<const int64_t *>data[0], rows, k) < 0):
            t = validation.classes_or_rows(t, rows, k, dtype)
            data[0] = <const void *><size_t>t.ctypes.data
        return t

    cdef double value_pass(self, const fastnn_kernels *k, const void *y, const void *t, bint classes,
                           const double *weights, void *dy, int64_t rows, int64_t size) noexcept nogil:
        cdef fastnn_loss g = fastnn_loss(kind=0, delta=self.smoothing, y=y, t=NULL, classes=NULL, weights=weights,
                                         class_weight=self.by_class, dy=dy, rows=rows, size=size)
        if classes:
            g.classes = <const int64_t *>t
        else:
            g.t = t
        return k.cross_entropy(&g)

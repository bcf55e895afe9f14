"""Batch normalisation: every channel gets mean 0 and variance 1 over the batch, then a mean and a scale that it learns.

    forward     x̂ = (x − mean) / √(var + ε),  y = weight · x̂ + bias
    backward    dbias = Σ dy,  dweight = Σ dy · x̂
                dx = weight / √(var + ε) · (dy − dbias/N − x̂ · dweight/N)
    prediction  the running mean and variance stand in for the batch's

x̂ is not stored: backward makes it again of x and of what `saved` holds for each channel. dx overwrites dy.

Twin: fastnn_ref/batchnorm.py.
"""

from libc.stdint cimport int64_t

from fastnn._kernels cimport address, fastnn_norm
from fastnn.layer cimport EITHER, Arena, Blocks, Layer, Pass

from fastnn_ref import init as initialisers, validation


cdef class BatchNorm(Layer):
    """BatchNorm(num_features, eps=1e-5, momentum=0.1)\n--\n
    What the two kinds share."""

    cdef readonly int64_t num_features
    cdef readonly double eps, momentum
    cdef fastnn_norm g
    cdef void *y
    cdef void *saved

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        Layer.__init__(self)
        num_features = validation.size("num_features", validation.integer("num_features", num_features, 1))
        self.num_features = num_features
        self.eps = validation.number("eps", eps, 0, low_open=True)
        self.momentum = validation.number("momentum", momentum, 0, 1)
        self.g.channels, self.g.eps, self.g.momentum = self.num_features, self.eps, self.momentum
        shape = (self.num_features,)
        self.specifications = [
            initialisers.Specification("weight", shape, "ones"),
            initialisers.Specification("bias", shape, "zeros"),
            initialisers.Specification("running_mean", shape, "zeros", trains=False),
            initialisers.Specification("running_var", shape, "ones", trains=False),
        ]

    def arguments(self):
        return (self.num_features,), {"eps": self.eps, "momentum": self.momentum}

    @property
    def weight(self):
        """The learnt scale, shape (num_features,); assigning copies values in."""
        return self.params["weight"]

    @weight.setter
    def weight(self, value):
        self.assign("weight", value)

    @property
    def bias(self):
        """The learnt mean, shape (num_features,); assigning copies values in."""
        return self.params["bias"]

    @bias.setter
    def bias(self, value):
        self.assign("bias", value)

    @property
    def running_mean(self):
        """The mean that prediction uses, shape (num_features,); assigning copies values in."""
        return self._state()["running_mean"]

    @running_mean.setter
    def running_mean(self, value):
        self.assign("running_mean", value)

    @property
    def running_var(self):
        """The variance that prediction uses, shape (num_features,); assigning copies values in."""
        return self._state()["running_var"]

    @running_var.setter
    def running_var(self, value):
        self.assign("running_var", value)

    cdef int bind(self) except -1:
        self.g.w, self.g.dw = address(self.values["weight"]), address(self.gradients["weight"])
        self.g.b, self.g.db = address(self.values["bias"]), address(self.gradients["bias"])
        self.g.running_mean = address(self.values["running_mean"])
        self.g.running_var = address(self.values["running_var"])
        return 0

    cdef bint forgets_y(self):
        return True

    cdef tuple plan(self, tuple shape, int64_t rows, Arena arena):
        Layer.plan(self, shape, rows, arena)
        self.g.inner, self.g.interleaved = self.in_size // self.num_features, self.x_in_blocks
        self.least = 1 if self.g.inner > 1 else 2
        arena.reserve(&self.y, <object>rows * self.out_size)
        arena.reserve(&self.saved, 3 * <object>self.num_features)
        return self.out_shape

    cdef void *forward_pass(self, Pass *p, const void *x) noexcept nogil:
        self.g.rows, self.g.training, self.g.threads = p.rows, p.training, p.threads
        self.g.x, self.g.y, self.g.saved = x, self.y, self.saved
        p.k.batchnorm(&self.g)
        return self.y

    cdef void *backward_pass(self, Pass *p, void *dy, bint wants_dx) noexcept nogil:
        self.g.dy = dy
        p.k.batchnorm_backward(&self.g)
        return dy


cdef class BatchNorm1d(BatchNorm):
    """BatchNorm1d(num_features, eps=1e-5, momentum=0.1)\n--\n
    Normalises each of ``num_features`` columns over the batch: x and y (n, num_features).

    ``eps`` > 0 keeps the root away from 0; ``momentum``, 0 … 1, is the weight of the newest batch in the running mean
    and variance, which prediction uses. A training batch of one row has no variance: ValueError.

    >>> import numpy as np, fastnn as nn
    >>> layer = nn.BatchNorm1d(1)
    >>> print(layer.forward(np.array([[1.0], [3.0]]), training=True).round(3).ravel())
    [-1.  1.]
    >>> print(layer.running_mean.round(3), layer.running_var.round(3))
    [0.2] [1.1]
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        BatchNorm.__init__(self, num_features, eps, momentum)
        self.input_shape = (self.num_features,)

    def output_shape(self, shape):
        """(num_features,), unchanged."""
        return validation.fixed_shape(type(self).__name__, shape, (self.num_features,), (self.num_features,))


cdef class BatchNorm2d(BatchNorm):
    """BatchNorm2d(num_features, eps=1e-5, momentum=0.1)\n--\n
    Normalises each of ``num_features`` channels over batch and image: x and y (n, num_features, h, w).

    ``eps`` > 0 keeps the root away from 0; ``momentum``, 0 … 1, is the weight of the newest batch in the running mean
    and variance, which prediction uses. A training batch of one value a channel has no variance: ValueError.

    >>> import numpy as np, fastnn as nn
    >>> x = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> print(nn.BatchNorm2d(2).forward(x, training=True)[0, 0].round(2))
    [[-1.34 -0.45]
     [ 0.45  1.34]]
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        BatchNorm.__init__(self, num_features, eps, momentum)

    cdef Blocks blocks(self):
        return EITHER

    def output_shape(self, shape):
        """(num_features, h, w), unchanged."""
        return validation.image_shape(type(self).__name__, shape, self.num_features)

"""Penalties and limits: large weights cost something, or are not allowed; and no gradient may be too long.

    L2          R = ½λ·Σ w²     g ← g + λ·w
    L1          R = λ·Σ |w|     after the update w ← sign(w)·max(|w| − lr·λ, 0): exact zeros
    ElasticNet  both
    MaxNorm     no R            after the update each output unit's weights are scaled to a norm of at most c

A model notes for each covered parameter what is to be done (`fastnn_constraint`); the step runs over that list.
Clipping stands here by hand, between ``backward`` and ``optimizer.step``; optimizers have it as an argument, too.

Twin: fastnn_ref/penalty.py, which has the reasons and the sources.
"""

from libc.math cimport sqrt

from fastnn._kernels cimport fastnn_kernels, table
from fastnn.layer cimport Layer

from fastnn_ref import validation


cdef class Penalty:
    """Penalty()\n--\n
    What an optimizer does about the weights that a ``Sequential(..., penalty=...)`` covers."""

    cdef readonly bint biases

    @property
    def costs(self):
        """Does it add to the loss?"""
        return self._terms()[0] > 0 or self._terms()[1] > 0

    def covers(self, weight):
        """Weights only (not biases, not what normalises), unless asked."""
        return weight or self.biases

    def _terms(self):
        """(l1, l2, whether l1 is proximal, the largest norm or None): what the kernels are told."""
        return 0.0, 0.0, False, None

    def arguments(self):
        """The constructor's arguments that make such a penalty again, by name."""
        return {}

    def __repr__(self):
        return validation.call(type(self).__name__, (), self.arguments())

    def __reduce__(self):
        return _rebuild, (type(self), self.arguments())


def _rebuild(kind, named):
    """What copy and pickle call."""
    return kind(**named)


cdef class ElasticNet(Penalty):
    """ElasticNet(l1, l2, mode="proximal", biases=False)\n--\n
    R = l1·Σ |w| + ½·l2·Σ w², for all weights of a ``Sequential(..., penalty=...)`` (Zou and Hastie 2005).

    ``l1``, ``l2`` >= 0. ``mode="proximal"`` makes exact zeros by a soft threshold of learning rate · l1 after each
    update, whatever the optimizer; ``"subgradient"`` adds l1·sign(w) to the gradient, sign(0) = 0. Biases and the
    parameters of normalisation are left out unless ``biases=True``.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(2, 1, init="ones"), penalty=nn.ElasticNet(l1=0.5, l2=0.25))
    >>> model.step(np.zeros((1, 2)), np.zeros((1, 1)), nn.MSELoss(), nn.SGD(lr=1.0))      # 0.5·2 + ½·0.25·2
    1.25
    >>> model.layers[0].weight.tolist()                                                   # 1 − 0.25 − 0.5
    [[0.25], [0.25]]
    """

    cdef readonly double l1, l2
    cdef readonly str mode

    def __init__(self, l1, l2, mode="proximal", biases=False):
        self.l1 = validation.number("l1", l1, 0)
        self.l2 = validation.number("l2", l2, 0)
        self.mode = validation.choice("mode", mode, ("proximal", "subgradient"))
        self.biases = validation.flag("biases", biases)

    def _terms(self):
        return self.l1, self.l2, self.mode == "proximal", None

    def arguments(self):
        return {"l1": self.l1, "l2": self.l2, "mode": self.mode, "biases": bool(self.biases)}


cdef class L1(ElasticNet):
    """L1(strength, mode="proximal", biases=False)\n--\n
    R = strength·Σ |w|, for all weights of a ``Sequential(..., penalty=...)``: sparse weights (Tibshirani 1996).

    ``strength`` >= 0; ``mode`` and ``biases`` as for ``ElasticNet``. ``summary()`` counts the zeros.

    >>> import numpy as np, fastnn as nn
    >>> layer = nn.Linear(3, 1, bias=False)
    >>> model = nn.Sequential(layer, penalty=nn.L1(0.25))
    >>> layer.weight = np.array([[1.0], [-0.125], [-0.5]])
    >>> model.step(np.zeros((1, 3)), np.zeros((1, 1)), nn.MSELoss(), nn.SGD(lr=1.0))
    0.40625
    >>> layer.weight.ravel().tolist()
    [0.75, 0.0, -0.25]
    """

    def __init__(self, strength, mode="proximal", biases=False):
        ElasticNet.__init__(self, validation.number("strength", strength, 0), 0.0, mode, biases)

    @property
    def strength(self):
        """λ."""
        return self.l1

    def arguments(self):
        return {"strength": self.l1, "mode": self.mode, "biases": bool(self.biases)}


cdef class L2(ElasticNet):
    """L2(strength, biases=False)\n--\n
    R = ½·strength·Σ w², for all weights of a ``Sequential(..., penalty=...)`` (Hoerl and Kennard 1970).

    ``strength`` >= 0; ``biases`` as for ``ElasticNet``. With SGD the same as ``weight_decay=strength``, and it shows in
    the loss.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, init="ones"), penalty=nn.L2(0.5))
    >>> model.step(np.zeros((1, 1)), np.zeros((1, 1)), nn.MSELoss(), nn.SGD(lr=0.5))
    0.25
    >>> model.layers[0].weight.tolist()
    [[0.75]]
    """

    def __init__(self, strength, biases=False):
        ElasticNet.__init__(self, 0.0, validation.number("strength", strength, 0), biases=biases)

    @property
    def strength(self):
        """λ."""
        return self.l2

    def arguments(self):
        return {"strength": self.l2, "biases": bool(self.biases)}


cdef class MaxNorm(Penalty):
    """MaxNorm(limit)\n--\n
    After each update, scales the weights that lead to one output unit to a norm of at most ``limit`` (> 0).

    A unit's weights are a column of ``Linear``'s matrix, a filter of ``Conv2d``'s. Nothing is added to the loss (Srebro
    and Shraibman 2005; with dropout, Srivastava et al. 2014).

    >>> import numpy as np, fastnn as nn
    >>> layer = nn.Linear(2, 2, bias=False)
    >>> model = nn.Sequential(layer, penalty=nn.MaxNorm(1.0))
    >>> layer.weight = np.array([[3.0, 0.5], [4.0, 0.5]])
    >>> _ = model.step(np.zeros((1, 2)), np.zeros((1, 2)), nn.MSELoss(), nn.SGD())
    >>> print(layer.weight.round(2))
    [[0.6 0.5]
     [0.8 0.5]]
    """

    cdef readonly double limit

    def __init__(self, limit):
        self.limit = validation.number("limit", limit, 0, low_open=True)

    def _terms(self):
        return 0.0, 0.0, False, self.limit

    def arguments(self):
        return {"limit": self.limit}


def clip_grad_norm(model, max_norm):
    """Scales all gradients together so that their Euclidean norm is at most ``max_norm`` (> 0) (Pascanu et al. 2013).

    Returns the norm before.

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0)
    >>> _ = model.forward(np.array([[3.0]]), training=True)
    >>> _ = model.backward(np.array([[1.0]]))
    >>> nn.clip_grad_norm(model, 1.0)
    3.0
    >>> model.grads["0.weight"].tolist()
    [[1.0]]
    """
    cdef Layer layer = validation.instance("model", model, Layer)
    cdef const fastnn_kernels *k
    cdef double norm, limit = validation.number("max_norm", max_norm, 0, low_open=True)
    layer = layer.outermost()
    layer.build()
    k = table(layer.real_size)
    norm = sqrt(k.sum_squares(layer.flat_g, layer.parameter_count))
    if norm > limit:
        k.scale(layer.flat_g, layer.parameter_count, limit / norm)
    return norm


def clip_grad_value(model, clip_value):
    """Limits every gradient to −clip_value … clip_value (``clip_value`` > 0).

    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0)
    >>> _ = model.forward(np.array([[3.0]]), training=True)
    >>> _ = model.backward(np.array([[1.0]]))
    >>> nn.clip_grad_value(model, 2.0)
    >>> model.grads["0.weight"].tolist()
    [[2.0]]
    """
    cdef Layer layer = validation.instance("model", model, Layer)
    cdef double limit = validation.number("clip_value", clip_value, 0, low_open=True)
    layer = layer.outermost()
    layer.build()
    table(layer.real_size).clamp(layer.flat_g, layer.parameter_count, limit)

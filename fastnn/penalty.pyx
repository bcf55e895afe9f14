"""Gradient clipping by hand, between ``backward`` and ``optimizer.step``; optimizers have it as an argument, too.

Twin: fastnn_ref/penalty.py.
"""

from libc.math cimport sqrt

from fastnn._kernels cimport fastnn_kernels, table
from fastnn.layer cimport Layer

from fastnn_ref import validation


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

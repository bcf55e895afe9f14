"""Gradient clipping: no single batch may throw the weights far away.

    by value    g ← min(max(g, −c), c), each element for itself
    by norm     g ← g · c / ‖g‖ if ‖g‖ > c, all parameters together, so that the direction stays

Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013).
Twin: fastnn/penalty.pyx.
"""

from __future__ import annotations

import math

import numpy as np

from . import validation
from .layer import Layer


def clip_grad_norm(model: Layer, max_norm: float) -> float:
    """Scales all gradients together so that their Euclidean norm is at most ``max_norm`` (> 0) (Pascanu et al. 2013).

    Returns the norm before.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0)
    >>> _ = model.forward(np.array([[3.0]]), training=True)
    >>> _ = model.backward(np.array([[1.0]]))
    >>> nn.clip_grad_norm(model, 1.0)
    3.0
    >>> model.grads["0.weight"].tolist()
    [[1.0]]
    """
    limit = validation.number("max_norm", max_norm, 0, low_open=True)
    gradients = validation.instance("model", model, Layer).outermost().grads.values()
    norm = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients))
    if norm > limit:
        for g in gradients:
            g *= limit / norm
    return norm


def clip_grad_value(model: Layer, clip_value: float) -> None:
    """Limits every gradient to −clip_value … clip_value (``clip_value`` > 0).

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0)
    >>> _ = model.forward(np.array([[3.0]]), training=True)
    >>> _ = model.backward(np.array([[1.0]]))
    >>> nn.clip_grad_value(model, 2.0)
    >>> model.grads["0.weight"].tolist()
    [[2.0]]
    """
    limit = validation.number("clip_value", clip_value, 0, low_open=True)
    for g in validation.instance("model", model, Layer).outermost().grads.values():
        np.clip(g, -limit, limit, out=g)

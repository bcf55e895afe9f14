"""Dropout: in training each value is zeroed with probability p, so that no unit can rely on another one.

    forward     y  = x · m / (1 − p)        m = 0 with probability p, else 1; so E[y] = x
    backward    dx = dy · m / (1 − p)       the same mask and the same scale
    prediction  y  = x

The number of zeros is p · n on average only. The mask comes from the counter-based generator: an integer threshold
decides each bit, so it is the same in every dtype.

Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout" (2014). Engine: fastnn/dropout.pyx.
"""

import numpy as np

from . import philox
from .layer import Array, Layer
from .shared import checks


def dropout(x: Array, mask: Array, p: float) -> Array:
    """x · m / (1 − p), forward, and with dy for x backward; a select, so that NaN and infinity go, too."""
    return np.where(mask, x, 0) * x.dtype.type(philox.scale(p))


class Dropout(Layer):
    """In training zeroes each value with probability ``p``, 0 <= p <= 1, and multiplies the others by 1 / (1 − p).

    Nothing happens at prediction. p = 0 is the identity, p = 1 gives exact zeros. Takes any shape (n, …) and keeps it.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Dropout(0.75), seed=1)
    >>> y = model.forward(np.ones((1, 1000)), training=True)
    >>> sorted(set(y.ravel().tolist())), bool(abs(y.mean() - 1) < 0.2)
    ([0.0, 4.0], True)
    >>> bool((model.backward(np.ones((1, 1000))) == y).all()), model(np.ones((1, 3))).tolist()
    (True, [[1.0, 1.0, 1.0]])
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = checks.as_number("p", p, 0, 1)

    def forward_pass(self, x: Array, training: bool) -> Array:
        self._saved = None
        if not training or self.p == 0:
            return x
        kept = self._saved = ~philox.bernoulli(self.random_words(x.size), self.p).reshape(x.shape)
        return dropout(x, kept, self.p)

    def backward_pass(self, dy: Array) -> Array:
        return dy if self._saved is None else dropout(dy, self._saved, self.p)

"""Losses: one number that says how wrong y is, and its gradient, which says which way is better.

    forward     value = mean over the batch of l(y, t)
    backward    dy    = ∂value/∂y

Values are summed in float64, whatever the dtype. Sources: beside each. Engine: fastnn/loss.pyx.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from .activation import sigmoid
from .network import Array, Shape
from .shared import checks
from .shared.class_weight import (
    as_binary_class_weight,
    as_class_weight,
    as_positive_weight,
    binary_weights,
    check_binary_weights,
    check_class_weight,
    weights_of,
)
from .shared.closed import Closed
from .shared.custom import LossAccess


class Loss(Closed, LossAccess):
    """What all losses share: ``forward(y, t)`` → value, then ``backward()`` → dy, a new array like y.

    >>> import numpy as np, fastnn_ref as nn
    >>> loss = nn.MSELoss()
    >>> loss.forward(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]]))
    2.0
    >>> loss.backward().tolist()
    [[0.0, 2.0]]
    """


def shares(weights: Array) -> Array:
    """Each example's part of the mean: wᵢ / Σ w, or 0 if all weights are 0."""
    total = weights.sum()
    return weights / total if total > 0 else weights


def mean(values: Array, slopes: Array, weights: Array) -> tuple[float, Array]:
    """The weighted mean over all elements, summed in float64, and its gradient."""
    share = shares(weights).reshape(-1, *[1] * (values.ndim - 1)) / values[0].size
    return float((values * share).sum(dtype=np.float64)), (slopes * share).astype(values.dtype)


class MSELoss(Loss):
    """Mean of (y − t)² over all elements; ``t`` in y's shape.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.MSELoss()(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    2.0
    """

    def value_and_gradient(self, y: Array, t: Array, weights: Array) -> tuple[float, Array]:
        e = y - t
        return mean(e**2, 2 * e, weights)


class L1Loss(Loss):
    """Mean of \\|y − t\\| over all elements; the derivative at 0 is 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.L1Loss()(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    1.0
    """

    def value_and_gradient(self, y: Array, t: Array, weights: Array) -> tuple[float, Array]:
        e = y - t
        return mean(np.abs(e), np.sign(e), weights)


class HuberLoss(Loss):
    """Mean of ½e² where \\|e\\| <= delta, else delta·(\\|e\\| − ½delta), e = y − t (Huber 1964); ``delta`` > 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.HuberLoss(delta=1.0)(np.array([[3.0, 1.0]]), np.array([[0.0, 0.0]]))
    1.5
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = checks.as_number("delta", delta, 0, low_open=True)

    def value_and_gradient(self, y: Array, t: Array, weights: Array) -> tuple[float, Array]:
        e = y - t
        c = np.clip(e, -self.delta, self.delta)
        return mean(c * (e - 0.5 * c), c, weights)      # c is e inside and ±delta outside: both pieces in one


class PoissonNLLLoss(Loss):
    """The negative log-likelihood of counts t >= 0 that are Poisson distributed: mean of exp(y) − t·y, or, with
    ``log_input=False``, of y − t·log(y + eps), over all elements; log t! is left out, as it does not depend on y.

    ``y`` is the logarithm of the expected count, or the expected count itself; ``eps`` > 0 keeps log finite at y = 0.
    PyTorch's, without its ``full``.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.PoissonNLLLoss()(np.array([[0.0, 0.0]]), np.array([[3.0, 0.0]]))
    1.0
    """

    def __init__(self, log_input: bool = True, eps: float = 1e-8) -> None:
        self.log_input = checks.as_flag("log_input", log_input)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)

    def prepare_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        return checks.as_count_targets(t, shape, dtype)

    def value_and_gradient(self, y: Array, t: Array, weights: Array) -> tuple[float, Array]:
        if self.log_input:
            rate = np.exp(y)
            return mean(rate - t * y, rate - t, weights)
        return mean(y - t * np.log(y + self.eps), 1 - t / (y + self.eps), weights)


class HingeLoss(Loss):
    """Mean of max(0, 1 − t·y) over all elements, for labels t = ±1; the derivative is 0 at t·y = 1 (Vapnik 1995).

    Labels may be 0 and 1, too, and 0 then stands for −1, as in Keras. The sign of ``y`` is the decision; each output
    has a label of its own.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.HingeLoss()(np.array([[0.5, 3.0]]), np.array([[-1.0, 1.0]]))
    0.75
    """

    def prepare_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        return checks.as_sign_targets(t, shape, dtype)

    def value_and_gradient(self, y: Array, t: Array, weights: Array) -> tuple[float, Array]:
        short = 1 - t * y                               # of a margin of 1
        return mean(np.maximum(short, 0), -t * np.heaviside(short, 0), weights)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of logits y with targets 0 <= t <= 1: mean of log(1 + exp(y)) − t·y over all elements.

    ``label_smoothing`` ε, 0 <= ε <= 1, puts (1 − ε)·t + ε/2 for t: a share for both classes.

    ``pos_weight``, a number >= 0 or one for each output, multiplies what t gives, as in PyTorch: p·t·log(1 + exp(−y)) +
    (1 − t)·log(1 + exp(y)). ``class_weight`` multiplies both: two numbers, for no and yes; a dict, ``{1: 5.0}``; or
    "balanced", which ``fit`` works out from its targets, for one output. The mean stays that over all elements, so
    (1, p) is ``pos_weight=p``, and (a, b) is ``CrossEntropyLoss`` of logits (0, y) and rows (1 − t, t).

    >>> import numpy as np, fastnn_ref as nn
    >>> round(nn.BCEWithLogitsLoss()(np.array([[0.0]]), np.array([[1.0]])), 4)
    0.6931
    >>> round(nn.BCEWithLogitsLoss(pos_weight=2.0)(np.array([[0.0]]), np.array([[1.0]])), 4)
    1.3863
    """

    def __init__(self, label_smoothing: float = 0.0, class_weight: Any = None, pos_weight: Any = None) -> None:
        self.label_smoothing = checks.as_number("label_smoothing", label_smoothing, 0, 1)
        self.class_weight = as_binary_class_weight(class_weight)
        self.pos_weight = as_positive_weight(pos_weight, self.class_weight)

    def prepare_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        check_binary_weights(self.class_weight, self.pos_weight, shape)
        return checks.as_probability_targets(t, shape, dtype)

    def value_and_gradient(self, y: Array, t: Array, weights: Array) -> tuple[float, Array]:
        if self.label_smoothing:
            t = (1 - self.label_smoothing) * t + 0.5 * self.label_smoothing
        soft = np.log1p(np.exp(-np.abs(y)))                                     # exp cannot overflow
        both = binary_weights(self.class_weight, self.pos_weight)
        if both is None:
            return mean(np.maximum(y, 0) - t * y + soft, sigmoid(y) - t, weights)
        no, yes = both[0] * (1 - t), both[1:] * t                               # what each class has of the element
        value = yes * (np.maximum(-y, 0) + soft) + no * (np.maximum(y, 0) + soft)
        slope = (no + yes) * sigmoid(y) - yes
        return mean(value.astype(y.dtype), slope.astype(y.dtype), weights)


class CrossEntropyLoss(Loss):
    """−Σ q·log softmax(y), mean over the batch, for logits y (n, K).

    ``t``: class numbers (n,) in 0 … K−1, or rows (n, K) of probabilities that sum to 1, else ValueError.
    ``label_smoothing`` ε, 0 <= ε <= 1, puts q = (1 − ε)·target + ε/K: a share for every class (Szegedy et al. 2016).
    The gradient is (softmax(y) − q) / n.

    ``class_weight`` multiplies each class's part of the sum: K numbers >= 0; a dict from label to number, ``{1: 5.0}``,
    where labels that are missing weigh 1; or "balanced", n / (K·number of the class's examples) as in scikit-learn,
    which ``fit`` works out from its targets and sample weights; without ``fit`` it is a ValueError. With class numbers
    the mean is then over the weights of the targets' classes, with rows over the examples, as in PyTorch.

    >>> import numpy as np, fastnn_ref as nn
    >>> round(nn.CrossEntropyLoss()(np.array([[0.0, 0.0]]), np.array([1])), 4)
    0.6931
    """

    def __init__(self, label_smoothing: float = 0.0, class_weight: Any = None) -> None:
        self.label_smoothing = checks.as_number("label_smoothing", label_smoothing, 0, 1)
        self.class_weight = as_class_weight(class_weight)

    def prepare_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        checks.check_logits(shape)
        n, k = shape
        check_class_weight(self.class_weight, k)
        return checks.as_class_targets(t, n, k, dtype)

    def value_and_gradient(self, y: Array, t: Array, weights: Array) -> tuple[float, Array]:
        k = y.shape[1]
        target = t if t.ndim == 2 else np.equal(t[:, None], np.arange(k)).astype(y.dtype)   # (n, K), one-hot
        q = (1 - self.label_smoothing) * target + self.label_smoothing / k
        share = shares(weights)
        if self.class_weight is not None:
            classes = weights_of(self.class_weight, k)
            if t.ndim == 1:
                total = (weights * classes[t]).sum()
                share = weights / total if total > 0 else 0 * weights
            q = (q * classes).astype(y.dtype)
        share = share[:, None]
        z = y - y.max(axis=1, keepdims=True)            # softmax does not notice, and exp cannot overflow
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)            # (n, 1)
        surprise = np.log(total) - z                    # −log softmax(y)
        cost = np.multiply(q, surprise, out=np.zeros_like(q), where=q > 0)      # 0 · ∞ would be NaN
        dy = e / total * (q.sum(axis=1, keepdims=True) if self.class_weight is not None else 1) - q
        return float((cost * share).sum(dtype=np.float64)), (dy * share).astype(y.dtype)

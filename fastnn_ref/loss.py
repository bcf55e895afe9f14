"""Losses: one number that says how wrong y is, and its gradient, which says which way is better.

    forward     value = Σ s·l(y, t)         l: the cost of each element, or of each target
    backward    dy    = ∂value/∂y

    reduction   "mean"      s = w / Σ w·c   w: the weight of the example, 1 if none is given; c: what its costs count
                "sum"       s = w
                "none"      s = w, and the costs are not summed

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
from .shared.targets import (
    as_class_targets,
    as_count_targets,
    as_ignore_index,
    as_probability_targets,
    as_reduction,
    as_sign_targets,
    check_logits,
)


class Loss(LossAccess, Closed):
    """What all losses share: ``forward(y, t)`` → value, then ``backward()`` → dy, a new array like y.

    ``reduction`` says what becomes of the costs of the elements, or of the targets, each times its example's weight:
    ``"mean"``, ``"sum"``, or ``"none"``, an array of them, which training cannot use.

    >>> import numpy as np, fastnn_ref as nn
    >>> loss = nn.MSELoss()
    >>> loss.forward(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]]))
    2.0
    >>> loss.backward().tolist()
    [[0.0, 2.0]]
    >>> nn.MSELoss(reduction="none")(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]])).tolist()
    [[0.0, 4.0]]
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = as_reduction(reduction)

    def costs(self, y: Array, t: Array) -> tuple[Array, Array]:
        """The cost of each element of ``y``, and its derivative."""
        raise NotImplementedError

    def counts(self, y: Array, t: Array) -> Array:
        """What each example counts in the mean (n,), or each of its targets (n, ...): here, all its elements."""
        return np.full(len(y), y[0].size)

    def each(self, costs: Array) -> Array:
        """What remains without a reduction."""
        return costs

    def value_and_gradient(self, y: Array, t: Array, weights: Array) -> tuple[Any, Array]:
        costs, slopes = self.costs(y, t)
        share = weights
        if self.reduction == "mean":
            total = (weights * self.counts(y, t).T).sum()           # .T: the examples stand on the last axis
            share = weights / total if total > 0 else 0 * weights
        share = share.reshape(-1, *[1] * (y.ndim - 1))
        costs, dy = costs * share, (slopes * share).astype(y.dtype)
        if self.reduction == "none":
            return self.each(costs).astype(y.dtype), dy
        return float(costs.sum(dtype=np.float64)), dy

    def evaluated(self, y: Array, t: Array, weights: Array | None) -> tuple[Any, Array]:
        if weights is None or weights.all():
            return super().evaluated(y, t, weights)
        dy, used = np.zeros_like(y), weights > 0                    # what weighs 0 is left out, even if it is NaN
        value: Any = self.each(dy.copy()) if self.reduction == "none" else 0.0
        if used.any():
            found, dy[used] = self.value_and_gradient(y[used], t[used], weights[used])
            if self.reduction != "none":
                return found, dy
            value[used] = found
        return value, dy


class MSELoss(Loss):
    """Mean of (y − t)² over all elements; ``t`` in y's shape.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.MSELoss()(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    2.0
    """

    def costs(self, y: Array, t: Array) -> tuple[Array, Array]:
        e = y - t
        return e**2, 2 * e


class L1Loss(Loss):
    """Mean of |y − t| over all elements; the derivative at 0 is 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.L1Loss()(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    1.0
    """

    def costs(self, y: Array, t: Array) -> tuple[Array, Array]:
        e = y - t
        return np.abs(e), np.sign(e)


class HuberLoss(Loss):
    """Mean of ½e² where |e| <= delta, else delta·(|e| − ½delta), e = y − t (Huber 1964); ``delta`` > 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.HuberLoss(delta=1.0)(np.array([[3.0, 1.0]]), np.array([[0.0, 0.0]]))
    1.5
    """

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.delta = checks.as_number("delta", delta, 0, low_open=True)

    def costs(self, y: Array, t: Array) -> tuple[Array, Array]:
        e = y - t
        c = np.clip(e, -self.delta, self.delta)
        return c * (e - 0.5 * c), c     # c is e inside and ±delta outside: both pieces in one


class PoissonNLLLoss(Loss):
    """The negative log-likelihood of counts t >= 0 that are Poisson distributed: mean of exp(y) − t·y, or, with
    ``log_input=False``, of y − t·log(y + eps), over all elements; log t! is left out, as it does not depend on y.

    ``y`` is the logarithm of the expected count, or the expected count itself; ``eps`` > 0 keeps log finite at y = 0.
    PyTorch's, without its ``full``.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.PoissonNLLLoss()(np.array([[0.0, 0.0]]), np.array([[3.0, 0.0]]))
    1.0
    """

    def __init__(self, log_input: bool = True, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.log_input = checks.as_flag("log_input", log_input)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)

    def prepare_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        return as_count_targets(t, shape, dtype)

    def costs(self, y: Array, t: Array) -> tuple[Array, Array]:
        if self.log_input:
            rate = np.exp(y)
            return rate - t * y, rate - t
        return y - t * np.log(y + self.eps), 1 - t / (y + self.eps)


class HingeLoss(Loss):
    """Mean of max(0, 1 − t·y) over all elements, for labels t = ±1; the derivative is 0 at t·y = 1 (Vapnik 1995).

    Labels may be 0 and 1, too, and 0 then stands for −1, as in Keras. The sign of ``y`` is the decision; each output
    has a label of its own.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.HingeLoss()(np.array([[0.5, 3.0]]), np.array([[-1.0, 1.0]]))
    0.75
    """

    def prepare_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        return as_sign_targets(t, shape, dtype)

    def costs(self, y: Array, t: Array) -> tuple[Array, Array]:
        short = 1 - t * y                               # of a margin of 1
        return np.maximum(short, 0), -t * np.heaviside(short, 0)


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

    def __init__(self, label_smoothing: float = 0.0, class_weight: Any = None, pos_weight: Any = None,
                 reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.label_smoothing = checks.as_number("label_smoothing", label_smoothing, 0, 1)
        self.class_weight = as_binary_class_weight(class_weight)
        self.pos_weight = as_positive_weight(pos_weight, self.class_weight)

    def prepare_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        check_binary_weights(self.class_weight, self.pos_weight, shape)
        return as_probability_targets(t, shape, dtype)

    def costs(self, y: Array, t: Array) -> tuple[Array, Array]:
        if self.label_smoothing:
            t = (1 - self.label_smoothing) * t + 0.5 * self.label_smoothing
        soft = np.log1p(np.exp(-np.abs(y)))                                     # exp cannot overflow
        both = binary_weights(self.class_weight, self.pos_weight)
        if both is None:
            return np.maximum(y, 0) - t * y + soft, sigmoid(y) - t
        no, yes = both[0] * (1 - t), both[1:] * t                               # what each class has of the element
        value = yes * (np.maximum(-y, 0) + soft) + no * (np.maximum(y, 0) + soft)
        slope = no * sigmoid(y) - yes * sigmoid(-y)     # with 1 − σ(y) for σ(−y) a large weight leaves only rounding
        return value.astype(y.dtype), slope.astype(y.dtype)


class ClassLoss(Loss):
    """What losses of outputs (n, K, ...) share, whose axis 1 has a number for each of K classes."""

    class_weight: Any
    ignore_index: int | None

    def prepare_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        check_logits(shape)
        check_class_weight(self.class_weight, shape[1])
        return as_class_targets(t, shape, dtype, self.ignore_index)

    def kept(self, y: Array, t: Array) -> Array:
        """Which targets are not left out, (n, ...)."""
        if self.ignore_index is None:
            return np.ones((len(y), *y.shape[2:]), bool)
        return t != self.ignore_index

    def counts(self, y: Array, t: Array) -> Array:
        kept = self.kept(y, t)
        if self.class_weight is None or t.ndim == y.ndim:
            return kept
        return kept * weights_of(self.class_weight, y.shape[1])[np.where(kept, t, 0)]

    def each(self, costs: Array) -> Array:
        return costs.sum(axis=1)

    def weighed(self, y: Array, t: Array, smoothing: float) -> tuple[Array, Array, Array | int]:
        """(y, a, Σ a): logits, which are 0 where the target is left out, what class k has of the target times its
        weight, (n, K, ...), and the sum over the classes, 1 without weights."""
        k, kept = y.shape[1], self.kept(y, t)[:, None]
        classes = np.arange(k).reshape(k, *[1] * (y.ndim - 2))
        target = t if t.ndim == y.ndim else np.equal(t[:, None], classes).astype(y.dtype)       # one-hot
        a = np.where(kept, (1 - smoothing) * target + smoothing / k, 0)
        if self.class_weight is None:
            return np.where(kept, y, 0), a, kept
        a = (a * weights_of(self.class_weight, k).reshape(classes.shape)).astype(y.dtype)
        return np.where(kept, y, 0), a, a.sum(axis=1, keepdims=True)


class NLLLoss(ClassLoss):
    """−Σ q·y, mean over the targets, for log-probabilities y (n, K, ...), which a ``LogSoftmax`` gives.

    ``t``: class numbers (n, ...), or rows like y of probabilities q; ``class_weight`` and ``ignore_index`` are as for
    ``CrossEntropyLoss``, which is this loss behind a log_softmax. That y are log-probabilities is not checked. The
    gradient is −q / n.

    >>> import numpy as np, fastnn_ref as nn
    >>> round(nn.NLLLoss()(np.log([[0.25, 0.75]]), np.array([0])), 4)
    1.3863
    """

    def __init__(self, class_weight: Any = None, ignore_index: int | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.class_weight = as_class_weight(class_weight)
        self.ignore_index = as_ignore_index(ignore_index)

    def costs(self, y: Array, t: Array) -> tuple[Array, Array]:
        y, a, _ = self.weighed(y, t, 0.0)
        cost = np.multiply(a, 0 - y, out=np.zeros_like(a), where=a > 0)                 # 0 · ∞ would be NaN
        return cost, 0 - a


class CrossEntropyLoss(ClassLoss):
    """−Σ q·log softmax(y), mean over the targets, for logits y (n, K, ...), whose axis 1 has the classes.

    ``t``: class numbers (n, ...) in 0 … K−1, or rows like y of probabilities that sum to 1, else ValueError.
    ``label_smoothing`` ε, 0 <= ε <= 1, puts q = (1 − ε)·target + ε/K: a share for every class (Szegedy et al. 2016).
    The gradient is (softmax(y) − q) / n, n the number of targets.

    ``class_weight`` multiplies each class's part of the sum: K numbers >= 0; a dict from label to number, ``{1: 5.0}``,
    where labels that are missing weigh 1; or "balanced", n / (K·number of the class's examples) as in scikit-learn,
    which ``fit`` works out from its targets and sample weights; without ``fit`` it is a ValueError. With class numbers
    the mean is then over the weights of the targets' classes, with rows over the rows, as in PyTorch.

    ``ignore_index``, an integer, is a class number that marks targets to leave out: they cost 0, have no gradient and
    are not counted in the mean, nor by metrics. Where all are left out, the loss is 0 (PyTorch's mean is NaN). None:
    there are no such targets; PyTorch's default is −100. Rows of probabilities are a ValueError beside it.

    >>> import numpy as np, fastnn_ref as nn
    >>> round(nn.CrossEntropyLoss()(np.array([[0.0, 0.0]]), np.array([1])), 4)
    0.6931
    >>> round(nn.CrossEntropyLoss(ignore_index=-1)(np.zeros((1, 2, 3)), np.array([[0, -1, 1]])), 4)
    0.6931
    """

    def __init__(self, label_smoothing: float = 0.0, class_weight: Any = None, ignore_index: int | None = None,
                 reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.label_smoothing = checks.as_number("label_smoothing", label_smoothing, 0, 1)
        self.class_weight = as_class_weight(class_weight)
        self.ignore_index = as_ignore_index(ignore_index)

    def costs(self, y: Array, t: Array) -> tuple[Array, Array]:
        y, a, sums = self.weighed(y, t, self.label_smoothing)
        z = y - y.max(axis=1, keepdims=True)            # softmax stays the same, and exp cannot overflow
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)            # (n, 1, ...)
        neg_log_p = np.log(total) - z                   # −log softmax(y)
        cost = np.multiply(a, neg_log_p, out=np.zeros_like(a), where=a > 0)             # 0 · ∞ would be NaN
        return cost, e / total * sums - a

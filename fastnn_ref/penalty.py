"""Penalties and limits: large weights cost something, or are not allowed; and no gradient may be too long.

    L2          R = ½λ·Σ w²     g ← g + λ·w                             smaller weights, none of them 0
    L1          R = λ·Σ |w|     after the update w ← sign(w)·max(|w| − η·λ, 0): exact zeros
    ElasticNet  both
    MaxNorm     no R            after the update each output unit's weights are scaled to a norm of at most c

    clipping by value    g ← min(max(g, −c), c), each element for itself
    clipping by norm     g ← g · c / ‖g‖ if ‖g‖ > c, all parameters together, so that the direction stays

|w| has no derivative at 0, and there the weights are to end. The soft threshold is the proximal step: it minimises
(w' − w)²/2η + λ·|w'|, and a weight that it set to 0 may become another number again. Steps along the subgradient
λ·sign(w) instead hardly ever end at 0.

η is the optimizer's step size for that weight, ``Optimizer.step_size``: what it moves by when its gradient stays 1. At
rest the update is −η·g, so a weight rests where g = −λ·sign(w), or at 0 where |g| <= λ: the minimum, whatever η is.
With the learning rate in place of η the minimum would be that of another λ for every optimizer, and every weight.

The L2 part has a gradient, and stands in it before clipping and before the optimizer's means of g and g². Clipping
limits that gradient, not the threshold: where it limits, L1 weighs more against the loss. Max-norm is a rescaling,
no proximal step, and takes no step size.

Sources: Tibshirani (1996) for L1; Parikh and Boyd, "Proximal algorithms" (2014), section 6.5.2, for the threshold;
Duchi, Hazan and Singer (2011) for a step size of its own for each weight; Zou and Hastie (2005) for the elastic net;
Srebro and Shraibman (2005) for max-norm; Pascanu, Mikolov and Bengio (2013) for clipping.
Engine: fastnn/penalty.pyx.
"""

import math

import numpy as np

from .layer import Array, Layer
from .shared import checks
from .shared.closed import Closed
from .shared.objects import check_instance


def clip_by_norm(gradients: list[Array], limit: float) -> float:
    """Scales all gradients by one factor, in place, to a norm of at most ``limit``; returns the norm before. Where its
    square overflows, in float64, they are made smaller first."""
    norm, unit = norm_of(gradients), 1.0
    if norm == math.inf and gradients[0].dtype == np.float64:
        unit = 2.0**-600
        scale(gradients, unit)
        norm = norm_of(gradients)
    if norm > limit * unit:
        scale(gradients, limit / norm)
    elif unit < 1:
        scale(gradients, 1 / unit)
    return norm / unit


def norm_of(gradients: list[Array]) -> float:
    """√Σ g² over all of them."""
    with np.errstate(over="ignore"):
        return math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients))


def scale(gradients: list[Array], factor: float) -> None:
    """Multiplies each by the factor, in place."""
    for g in gradients:
        g *= factor


def clip_by_value(gradients: list[Array], limit: float) -> None:
    """Limits each element to −limit … limit, in place."""
    for g in gradients:
        np.clip(g, -limit, limit, out=g)


class Penalty(Closed):
    """What ``L1``, ``L2``, ``ElasticNet`` and ``MaxNorm`` share: what ``Sequential(..., penalty=...)`` takes.

    >>> import fastnn_ref as nn
    >>> isinstance(nn.L2(0.1), nn.Penalty)
    True
    """

    biases = adds_to_loss = False

    def applies_to(self, decays: bool) -> bool:
        """Does it apply to this parameter? To weights yes; to biases and what normalises only with ``biases=True``."""
        return decays or self.biases

    def value(self, w: Array) -> float:
        """R of one parameter: what is added to the loss."""
        return 0.0

    def gradient(self, w: Array) -> Array | float:
        """∂R/∂w: what is added to the gradient before clipping."""
        return 0.0

    def constrain(self, w: Array, step: Array | float) -> None:
        """Changes ``w`` in place after the update; ``step`` is the optimizer's step size: a number, or one each."""


class ElasticNet(Penalty):
    """R = l1·Σ |w| + ½·l2·Σ w², for all weights of a ``Sequential(..., penalty=...)`` (Zou and Hastie 2005).

    ``l1``, ``l2`` >= 0. ``mode="proximal"`` makes exact zeros by a soft threshold of step size · l1 after each update
    (Parikh and Boyd 2014), so that all optimizers end at the same minimum. The step size is the optimizer's own (Duchi,
    Hazan and Singer 2011): SGD lr·(1 − dampening)/(1 − momentum), RMSprop lr/((1 − momentum)·(√s + eps)), Adam and
    AdamW lr/(√s/√(1 − β2ᵗ) + eps), a ``CustomOptimizer`` what its ``step_size`` returns. ``"subgradient"`` adds
    l1·sign(w) to the gradient, sign(0) = 0. Clipping limits the gradient, l2's part included, but not the threshold.
    Biases and the parameters of normalisation are left out unless ``biases=True``.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 1, init="ones"), penalty=nn.ElasticNet(l1=0.5, l2=0.25))
    >>> model.step(np.zeros((1, 2)), np.zeros((1, 1)), nn.MSELoss(), nn.SGD(lr=1.0))      # 0.5·2 + ½·0.25·2
    1.25
    >>> model.layers[0].weight.tolist()                                                   # 1 − 0.25 − 0.5
    [[0.25], [0.25]]
    """

    def __init__(self, l1: float, l2: float, mode: str = "proximal", biases: bool = False) -> None:
        self.l1 = checks.as_number("l1", l1, 0)
        self.l2 = checks.as_number("l2", l2, 0)
        self.mode = checks.as_choice("mode", mode, ("proximal", "subgradient"))
        self.biases = checks.as_flag("biases", biases)

    @property
    def adds_to_loss(self) -> bool:                     # type: ignore[override]
        """Does it add to the loss?"""
        return self.l1 > 0 or self.l2 > 0

    def value(self, w: Array) -> float:
        w = w.astype(np.float64)
        return self.l1 * float(np.abs(w).sum()) + 0.5 * self.l2 * float((w**2).sum())

    def gradient(self, w: Array) -> Array | float:
        if self.mode == "subgradient" and self.l1 > 0:
            return w.dtype.type(self.l2) * w + w.dtype.type(self.l1) * np.sign(w)
        return w.dtype.type(self.l2) * w if self.l2 > 0 else 0.0        # 0 · ∞ would be NaN

    def constrain(self, w: Array, step: Array | float) -> None:
        if self.mode == "proximal" and self.l1 > 0 and np.any(step):
            threshold = np.asarray(step * self.l1, w.dtype)
            w[...] = np.where(np.abs(w) <= threshold, 0 * w + 0, w - np.copysign(threshold, w))


class L1(ElasticNet):
    """R = strength·Σ |w|, for all weights of a ``Sequential(..., penalty=...)``: sparse weights (Tibshirani 1996).

    ``strength`` >= 0; ``mode`` and ``biases`` as for ``ElasticNet``. ``summary()`` counts the zeros.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.Linear(3, 1, bias=False)
    >>> model = nn.Sequential(layer, penalty=nn.L1(0.25))
    >>> layer.weight = np.array([[1.0], [-0.125], [-0.5]])
    >>> model.step(np.zeros((1, 3)), np.zeros((1, 1)), nn.MSELoss(), nn.SGD(lr=1.0))
    0.40625
    >>> layer.weight.ravel().tolist()
    [0.75, 0.0, -0.25]
    """

    def __init__(self, strength: float, mode: str = "proximal", biases: bool = False) -> None:
        super().__init__(checks.as_number("strength", strength, 0), 0.0, mode, biases)

    strength = property(lambda self: self.l1, doc="The coefficient λ.")


class L2(ElasticNet):
    """R = ½·strength·Σ w², for all weights of a ``Sequential(..., penalty=...)`` (Hoerl and Kennard 1970).

    ``strength`` >= 0; ``biases`` as for ``ElasticNet``. With SGD the same as ``weight_decay=strength``, and it shows in
    the loss.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, init="ones"), penalty=nn.L2(0.5))
    >>> model.step(np.zeros((1, 1)), np.zeros((1, 1)), nn.MSELoss(), nn.SGD(lr=0.5))
    0.25
    >>> model.layers[0].weight.tolist()
    [[0.75]]
    """

    def __init__(self, strength: float, biases: bool = False) -> None:
        super().__init__(0.0, checks.as_number("strength", strength, 0), biases=biases)

    strength = property(lambda self: self.l2, doc="The coefficient λ.")


class MaxNorm(Penalty):
    """After each update, scales the weights that lead to one output unit to a norm of at most ``limit`` (> 0).

    A unit's weights are a column of ``Linear``'s matrix or ``Embedding``'s table, a filter of ``Conv2d``'s. In
    ``ConvTranspose2d`` they are those that lead from one channel of x: a filter of the convolution on the way back.
    Nothing is added to the loss (Srebro and Shraibman 2005; with dropout, Srivastava et al. 2014).

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.Linear(2, 2, bias=False)
    >>> model = nn.Sequential(layer, penalty=nn.MaxNorm(1.0))
    >>> layer.weight = np.array([[3.0, 0.5], [4.0, 0.5]])
    >>> _ = model.step(np.zeros((1, 2)), np.zeros((1, 2)), nn.MSELoss(), nn.SGD())
    >>> print(layer.weight.round(2))
    [[0.6 0.5]
     [0.8 0.5]]
    """

    def __init__(self, limit: float) -> None:
        self.limit = checks.as_number("limit", limit, 0, low_open=True)

    def constrain(self, w: Array, step: Array | float) -> None:
        axes = (0,) if w.ndim == 2 else tuple(range(1, w.ndim))
        with np.errstate(over="ignore"):
            square = (w.astype(np.float64) ** 2).sum(axis=axes, keepdims=True)
        unit = np.where(np.isinf(square), 2.0**-600, 1.0)       # where the square overflows: smaller first
        norm, limit = np.sqrt(((w * unit) ** 2).sum(axis=axes, keepdims=True)), self.limit * unit
        w[...] = np.where(norm > limit, w * unit * (self.limit / np.maximum(norm, limit)), w)


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
    limit = checks.as_number("max_norm", max_norm, 0, low_open=True)
    return clip_by_norm([g for _, _, g, _ in check_instance("model", model, Layer).network.parameters], limit)


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
    limit = checks.as_number("clip_value", clip_value, 0, low_open=True)
    clip_by_value([g for _, _, g, _ in check_instance("model", model, Layer).network.parameters], limit)

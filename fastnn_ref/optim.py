"""Optimizers: the gradient says in which direction the loss rises; an optimizer takes a step in the other one.

    SGD        w ← w − lr·g
    momentum   v ← μ·v + g;  w ← w − lr·v                   the mean direction of the last steps
    Nesterov   w ← w − lr·(g + μ·v)                         one step further on
    Adagrad    s ← s + g²;  w ← w − lr·g/(√s + ε)           shorter steps where gradients were large
    RMSprop    s ← α·s + (1−α)·g²;  w ← w − lr·g/(√s + ε)   steps of like size for every weight
    Adam       both, with means that start unbiased
    AdamW      Adam, the decay apart from the gradient

Order of a step: penalty, clipping by value, clipping by norm, update, constraint. ``step_size`` is what a weight moves
by if its gradient stays 1, which L1's threshold needs (penalty.py). Weight decay applies to weights, never to biases.
Sources: beside each. Engine: fastnn/optim.pyx.
"""

import math
from typing import Any

import numpy as np

from .layer import Array
from .optimizer import Optimizer
from .shared import checks

Limit = float | None


def decayed(g: Array, decay: float, w: Array) -> Array:
    """g + decay·w, L2's gradient; g alone without decay: 0·∞ would be NaN."""
    return g + decay * w if decay else g


def root_step_size(lr: float, s: Array, correction: float, eps: float) -> Any:
    """lr / (√(s / correction) + ε), s a sum or a mean of g²."""
    return lr / (np.sqrt(s) / math.sqrt(correction) + eps)


class SGD(Optimizer):
    """Gradient descent with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

    v ← momentum·v + g;  w ← w − lr·v, or w − lr·(g + momentum·v) with ``nesterov``. 0 <= ``momentum`` < 1, and > 0 for
    ``nesterov``. Weight decay adds weight_decay·w to g: L2's gradient.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0)
    >>> x, t = np.array([[1.0]]), np.array([[0.0]])
    >>> before = float(model.layers[0].weight[0, 0])
    >>> _ = model.step(x, t, nn.MSELoss(), nn.SGD(lr=0.25))
    >>> round(float(model.layers[0].weight[0, 0]) / before, 6)
    0.5
    """

    def __init__(self, lr: Any = 1e-2, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0, *,
                 clip_norm: Limit = None, clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, clip_norm, clip_value)
        self.momentum = checks.as_number("momentum", momentum, 0, 1, high_open=True)
        self.nesterov = checks.as_flag("nesterov", nesterov)
        if nesterov and momentum == 0:
            raise ValueError("nesterov: expected momentum > 0, got 0")

    @property
    def slots(self) -> tuple[str, ...]:                 # type: ignore[override]
        return ("momentum",) if self.momentum > 0 else ()

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g = decayed(g, decay, w)
        if slots:
            v = slots["momentum"]
            v[...] = self.momentum * v + g
            g = g + self.momentum * v if self.nesterov else v
        w -= lr * g

    def step_size(self, lr: float, **slots: Array) -> float:
        return lr / (1 - self.momentum)


class Adagrad(Optimizer):
    """Divides by the root of the sum of all squares so far (Duchi et al. 2011).

    s ← s + g²;  w ← w − lr·g / (√s + eps). ``eps`` > 0. As in PyTorch, s starts from 0, so that the first step is lr,
    whatever the gradient's size:

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), nn.Adagrad(lr=0.25))
    >>> print(model.layers[0].weight.round(6))
    [[0.75]]
    """

    slots = ("sum",)

    def __init__(self, lr: Any = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0, *,
                 clip_norm: Limit = None, clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, clip_norm, clip_value)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g, s = decayed(g, decay, w), slots["sum"]
        s += g**2
        w -= lr * g / (np.sqrt(s) + self.eps)

    def step_size(self, lr: float, **slots: Array) -> Array:
        return root_step_size(lr, slots["sum"], 1.0, self.eps)


class RMSprop(Optimizer):
    """Divides by a running root mean square (Tieleman and Hinton 2012).

    s ← alpha·s + (1 − alpha)·g²;  w ← w − lr·g / (√s + eps). 0 <= ``alpha`` < 1, ``eps`` > 0. The first step is
    lr / √(1 − alpha), whatever the gradient's size:

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), nn.RMSprop(lr=0.01))
    >>> print(model.layers[0].weight.round(6))
    [[0.9]]
    """

    slots = ("square",)

    def __init__(self, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0, *,
                 clip_norm: Limit = None, clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, clip_norm, clip_value)
        self.alpha = checks.as_number("alpha", alpha, 0, 1, high_open=True)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g, s = decayed(g, decay, w), slots["square"]
        s[...] = self.alpha * s + (1 - self.alpha) * g**2
        w -= lr * g / (np.sqrt(s) + self.eps)

    def step_size(self, lr: float, **slots: Array) -> Array:
        return root_step_size(lr, slots["square"], 1.0, self.eps)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), weight decay coupled as in L2: g ← g + weight_decay·w first.

    m ← β1·m + (1 − β1)·g;  s ← β2·s + (1 − β2)·g²;  w ← w − lr/(1 − β1ᵗ) · m / (√s/√(1 − β2ᵗ) + eps).
    ``betas`` (β1, β2), each 0 <= β < 1; ``eps`` > 0. The first step is lr, whatever the gradient's size:

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), nn.Adam(lr=0.01))
    >>> print(model.layers[0].weight.round(6))
    [[0.99]]
    """

    slots = ("mean", "square")

    def __init__(self, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, *, clip_norm: Limit = None, clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, clip_norm, clip_value)
        self.betas = checks.as_betas(betas)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g, m, s, (beta1, beta2) = decayed(g, decay, w), slots["mean"], slots["square"], self.betas
        m[...] = beta1 * m + (1 - beta1) * g
        s[...] = beta2 * s + (1 - beta2) * g**2
        unbiased = lr / (1 - beta1**self._steps)        # both means start from 0, hence too small at first
        w -= unbiased * m / (np.sqrt(s) / math.sqrt(1 - beta2**self._steps) + self.eps)

    def step_size(self, lr: float, **slots: Array) -> Array:
        return root_step_size(lr, slots["square"], 1 - self.betas[1]**self._steps, self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): w ← w·(1 − lr·weight_decay) first.

    Arguments as for ``Adam``. Where the gradient is 0, a weight shrinks by just that factor:

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[0.0]]), np.array([[5.0]]), nn.MSELoss(), nn.AdamW(lr=0.5, weight_decay=0.5))
    >>> model.layers[0].weight.tolist()
    [[0.75]]
    """

    def __init__(self, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, *, clip_norm: Limit = None, clip_value: Limit = None) -> None:
        super().__init__(lr, betas, eps, weight_decay, clip_norm=clip_norm, clip_value=clip_value)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        w *= 1 - lr * decay
        super().update(w, g, lr, 0.0, **slots)

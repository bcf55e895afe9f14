"""Optimizers: the gradient says in which direction the loss rises; an optimizer takes a step in the other one.

    SGD        w ← w − lr·g
    momentum   v ← μ·v + g;  w ← w − lr·v                   the mean direction of the last steps
    Nesterov   w ← w − lr·(g + μ·v)                         one step further on
    Adagrad    s ← s + g²;  w ← w − lr·g/(√s + ε)           shorter steps where gradients were large
    RMSprop    s ← α·s + (1−α)·g²;  w ← w − lr·g/(√s + ε)   steps of like size for every weight
    Adadelta   w ← w − lr·g·√(u + ε)/√(s + ε)               u like s, of the steps: no unit is left in lr
    Adam       momentum and RMSprop, with means that start unbiased
    AdamW      Adam, the decay apart from the gradient
    NAdam      Adam with Nesterov's momentum

A square is written (1−β)·g·g: in this order it does not overflow where the mean of the squares does not.

Order of a step: g ← −g to maximise, penalty, clipping by value, clipping by norm, update, constraint. ``step_size`` is
what a weight moves by if its gradient stays 1, which L1's threshold needs (penalty.py). Weight decay applies to
weights, never to biases.
Sources: beside each. Engine: fastnn/optim.pyx.
"""

import math
from typing import Any

import numpy as np

from .layer import Array
from .optimizer import Optimizer
from .shared import checks
from .shared.optimizer import as_betas, as_dampening

Limit = float | None


def decayed(g: Array, decay: float, w: Array) -> Array:
    """g + decay·w, L2's gradient; g alone without decay: 0·∞ would be NaN."""
    return g + decay * w if decay else g


def root_step_size(lr: float, s: Array, correction: float, eps: float) -> Any:
    """lr / (√(s / correction) + ε), s a sum or a mean of g²."""
    return lr / (np.sqrt(s) / math.sqrt(correction) + eps)


class SGD(Optimizer):
    """Gradient descent with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

    v ← momentum·v + (1 − dampening)·g;  w ← w − lr·v, or w − lr·(g + momentum·v) with ``nesterov``. 0 <= ``momentum``
    < 1, and > 0 for ``nesterov``; 0 <= ``dampening`` < 1, and 0 with ``nesterov`` or without momentum. The first step
    is not dampened, as in PyTorch. Weight decay adds weight_decay·w to g: L2's gradient.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0)
    >>> x, t = np.array([[1.0]]), np.array([[0.0]])
    >>> before = float(model.layers[0].weight[0, 0])
    >>> _ = model.step(x, t, nn.MSELoss(), nn.SGD(lr=0.25))
    >>> round(float(model.layers[0].weight[0, 0]) / before, 6)
    0.5
    """

    def __init__(self, lr: Any = 1e-2, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0, *,
                 dampening: float = 0.0, maximize: bool = False, clip_norm: Limit = None,
                 clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, maximize, clip_norm, clip_value)
        self.momentum = checks.as_number("momentum", momentum, 0, 1, high_open=True)
        self.nesterov = checks.as_flag("nesterov", nesterov)
        self.dampening = as_dampening(dampening, self.momentum, self.nesterov)

    @property
    def slots(self) -> tuple[str, ...]:                 # type: ignore[override]
        return ("momentum",) if self.momentum > 0 else ()

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g = decayed(g, decay, w)
        if slots:
            v = slots["momentum"]
            kept = 1.0 if self._steps == 1 else 1 - self.dampening
            v[...] = self.momentum * v + kept * g
            g = g + self.momentum * v if self.nesterov else v
        w -= lr * g

    def step_size(self, lr: float, **slots: Array) -> float:
        return lr * (1 - self.dampening) / (1 - self.momentum)


class Adagrad(Optimizer):
    """Divides by the root of the sum of all squares so far (Duchi et al. 2011).

    s ← s + g²;  w ← w − lr/(1 + (t − 1)·lr_decay) · g / (√s + eps) at step t = 1, 2, … ``eps`` > 0. s starts from
    ``initial_accumulator_value`` >= 0; if that is 0, the first step is lr, whatever the gradient's size. ``lr_decay``
    >= 0 makes later steps shorter, beside what a schedule does.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), nn.Adagrad(lr=0.25))
    >>> print(model.layers[0].weight.round(6))
    [[0.75]]
    """

    slots = ("sum",)

    def __init__(self, lr: Any = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0, *, lr_decay: float = 0.0,
                 initial_accumulator_value: float = 0.0, maximize: bool = False, clip_norm: Limit = None,
                 clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, maximize, clip_norm, clip_value)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.lr_decay = checks.as_number("lr_decay", lr_decay, 0)
        self.initial_accumulator_value = checks.as_number("initial_accumulator_value", initial_accumulator_value, 0)

    @property
    def _starts(self) -> dict[str, float]:               # type: ignore[override]
        return {"sum": self.initial_accumulator_value}

    def _rate_now(self, lr: float) -> float:
        """The rate of this step."""
        return lr / (1 + (self._steps - 1) * self.lr_decay)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g, s = decayed(g, decay, w), slots["sum"]
        s += g**2
        w -= self._rate_now(lr) * g / (np.sqrt(s) + self.eps)

    def step_size(self, lr: float, **slots: Array) -> Array:
        return root_step_size(self._rate_now(lr), slots["sum"], 1.0, self.eps)


class RMSprop(Optimizer):
    """Divides by a running root mean square (Tieleman and Hinton 2012).

    s ← alpha·s + (1 − alpha)·g²;  w ← w − lr·g / (√s + eps). 0 <= ``alpha`` < 1, ``eps`` > 0. ``centered`` takes
    s − m² in place of s, m the running mean of g: what g varies by (Graves 2013). With 0 < ``momentum`` < 1 it is
    v ← momentum·v + g / (√s + eps);  w ← w − lr·v. The first step is lr / √(1 − alpha), with ``centered``
    lr / √(alpha·(1 − alpha)) (for alpha = 0 it is lr·|g| / eps), whatever the gradient's size:

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), nn.RMSprop(lr=0.01))
    >>> print(model.layers[0].weight.round(6))
    [[0.9]]
    """

    def __init__(self, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0, *,
                 momentum: float = 0.0, centered: bool = False, maximize: bool = False, clip_norm: Limit = None,
                 clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, maximize, clip_norm, clip_value)
        self.alpha = checks.as_number("alpha", alpha, 0, 1, high_open=True)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.momentum = checks.as_number("momentum", momentum, 0, 1, high_open=True)
        self.centered = checks.as_flag("centered", centered)

    @property
    def slots(self) -> tuple[str, ...]:                 # type: ignore[override]
        return ("square", *["mean"] * self.centered, *["momentum"] * (self.momentum > 0))

    def _spread(self, slots: dict[str, Array]) -> Array:
        """s, or s − m²; rounding may not make that negative."""
        s = slots["square"]
        if not self.centered:
            return s
        m = slots["mean"]
        rest = np.where(np.isinf(s) & np.isfinite(m), s, s - m**2)  # s overflows first: it is not ∞ − ∞
        return np.maximum(rest, 0)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g, s = decayed(g, decay, w), slots["square"]
        s[...] = self.alpha * s + (1 - self.alpha) * g * g
        if self.centered:
            m = slots["mean"]
            m[...] = self.alpha * m + (1 - self.alpha) * g
        root = np.sqrt(self._spread(slots)) + self.eps
        if self.momentum > 0:
            v = slots["momentum"]
            v[...] = self.momentum * v + g / root
            w -= lr * v
        else:
            w -= lr * g / root

    def step_size(self, lr: float, **slots: Array) -> Array:
        return root_step_size(lr / (1 - self.momentum), self._spread(slots), 1.0, self.eps)


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012): steps that have the weights' unit, whatever that of the loss is.

    s ← rho·s + (1 − rho)·g²;  d = √(u + eps)/√(s + eps) · g;  u ← rho·u + (1 − rho)·d²;  w ← w − lr·d. 0 <= ``rho``
    < 1, ``eps`` > 0. The first step is lr·√(eps / (1 − rho)), whatever the gradient's size:

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), nn.Adadelta(rho=0.75, eps=0.01))
    >>> print(model.layers[0].weight.round(6))
    [[0.8]]
    """

    slots = ("square", "step_square")

    def __init__(self, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0, *,
                 maximize: bool = False, clip_norm: Limit = None, clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, maximize, clip_norm, clip_value)
        self.rho = checks.as_number("rho", rho, 0, 1, high_open=True)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g, s, u = decayed(g, decay, w), slots["square"], slots["step_square"]
        s[...] = self.rho * s + (1 - self.rho) * g * g
        d = np.sqrt(u + self.eps) / np.sqrt(s + self.eps) * g
        u[...] = self.rho * u + (1 - self.rho) * d * d
        w -= lr * d

    def step_size(self, lr: float, **slots: Array) -> Array:
        return lr * np.sqrt(slots["step_square"] + self.eps) / np.sqrt(slots["square"] + self.eps)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), weight decay coupled as in L2: g ← g + weight_decay·w first.

    m ← β1·m + (1 − β1)·g;  s ← β2·s + (1 − β2)·g²;  w ← w − lr/(1 − β1ᵗ) · m / (√s/√(1 − β2ᵗ) + eps).
    ``betas`` (β1, β2), each 0 <= β < 1; ``eps`` > 0. ``amsgrad`` takes the largest s so far in place of s, so that no
    step size grows again (Reddi, Kale and Kumar 2018). The first step is lr, whatever the gradient's size:

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), nn.Adam(lr=0.01))
    >>> print(model.layers[0].weight.round(6))
    [[0.99]]
    """

    def __init__(self, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, *, amsgrad: bool = False, maximize: bool = False, clip_norm: Limit = None,
                 clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, maximize, clip_norm, clip_value)
        self.betas = as_betas(betas)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.amsgrad = checks.as_flag("amsgrad", amsgrad)

    @property
    def slots(self) -> tuple[str, ...]:                 # type: ignore[override]
        return ("mean", "square", *["max_square"] * self.amsgrad)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g, m, s, (beta1, beta2) = decayed(g, decay, w), slots["mean"], slots["square"], self.betas
        m[...] = beta1 * m + (1 - beta1) * g
        s[...] = beta2 * s + (1 - beta2) * g * g
        if self.amsgrad:
            s = np.maximum(slots["max_square"], s, out=slots["max_square"])
        unbiased = lr / (1 - beta1**self._steps)        # both means start from 0, hence too small at first
        w -= unbiased * m / (np.sqrt(s) / math.sqrt(1 - beta2**self._steps) + self.eps)

    def step_size(self, lr: float, **slots: Array) -> Array:
        s = slots["max_square" if self.amsgrad else "square"]
        return root_step_size(lr, s, 1 - self.betas[1]**self._steps, self.eps)


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
                 weight_decay: float = 1e-2, *, amsgrad: bool = False, maximize: bool = False, clip_norm: Limit = None,
                 clip_value: Limit = None) -> None:
        super().__init__(lr, betas, eps, weight_decay, amsgrad=amsgrad, maximize=maximize, clip_norm=clip_norm,
                         clip_value=clip_value)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        w *= 1 - lr * decay
        super().update(w, g, lr, 0.0, **slots)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016): a step has this gradient beside the mean that the next one will have.

    m and s as in ``Adam``, μᵢ = β1·(1 − ½·0.96^(i·momentum_decay)) and Πₜ = μ₁·…·μₜ;
    w ← w − lr·(g·(1 − μₜ)/(1 − Πₜ) + m·μₜ₊₁/(1 − Πₜ₊₁)) / (√s/√(1 − β2ᵗ) + eps).
    ``momentum_decay`` >= 0 says how fast μ rises from β1/2 to β1. With ``decoupled_weight_decay`` it decays as in
    ``AdamW``, else as in ``Adam``.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> optimizer = nn.NAdam(lr=0.5, betas=(0.5, 0.5), momentum_decay=0.0)              # μ = ¼: g·1 + ½g·¼/(1 − 1/16)
    >>> _ = model.step(np.array([[1.0]]), np.array([[-1e6]]), nn.MSELoss(), optimizer)
    >>> print(model.layers[0].weight.round(4))
    [[0.4333]]
    """

    slots = ("mean", "square")

    def __init__(self, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, momentum_decay: float = 4e-3, *, decoupled_weight_decay: bool = False,
                 maximize: bool = False, clip_norm: Limit = None, clip_value: Limit = None) -> None:
        super().__init__(lr, weight_decay, maximize, clip_norm, clip_value)
        self.betas = as_betas(betas)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)
        self.momentum_decay = checks.as_number("momentum_decay", momentum_decay, 0)
        self.decoupled_weight_decay = checks.as_flag("decoupled_weight_decay", decoupled_weight_decay)
        self._product = 0, 1.0                          # t and Πₜ, which the next step goes on from

    def _momentum(self, t: int) -> float:
        """μₜ."""
        return self.betas[0] * (1 - 0.5 * 0.96**(t * self.momentum_decay))

    def _rates(self, lr: float) -> tuple[float, float]:
        """What g and m are multiplied by in this step."""
        t, (last, product) = self._steps, self._product
        if last > t:                                    # somebody has set steps back
            last, product = 0, 1.0
        while last < t and product > 5e-17:             # from there on 1 − Πₜ is 1
            last, product = last + 1, product * self._momentum(last + 1)
        self._product = t, product
        following = self._momentum(t + 1)
        return lr * (1 - self._momentum(t)) / (1 - product), lr * following / (1 - product * following)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        m, s, (beta1, beta2) = slots["mean"], slots["square"], self.betas
        if self.decoupled_weight_decay:
            w *= 1 - lr * decay
        else:
            g = decayed(g, decay, w)
        m[...] = beta1 * m + (1 - beta1) * g
        s[...] = beta2 * s + (1 - beta2) * g * g
        rate_g, rate_m = self._rates(lr)
        w -= (rate_g * g + rate_m * m) / (np.sqrt(s) / math.sqrt(1 - beta2**self._steps) + self.eps)

    def step_size(self, lr: float, **slots: Array) -> Array:
        return root_step_size(sum(self._rates(lr)), slots["square"], 1 - self.betas[1]**self._steps, self.eps)

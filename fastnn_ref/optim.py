"""Optimizers: backpropagation says which way is down; an optimizer takes the step.

    SGD        w ← w − lr·g
    momentum   v ← μ·v + g;  w ← w − lr·v                   a rolling ball
    Nesterov   w ← w − lr·(g + μ·v)                         that looks ahead
    RMSprop    s ← α·s + (1−α)·g²;  w ← w − lr·g/(√s + ε)   steps of like size for every weight
    Adam       both, with means that start unbiased
    AdamW      Adam, the decay apart from the gradient

Order of a step: penalty, clipping by value, clipping by norm, update, what the penalties restrain. Weight decay touches
weights, never biases.
Twin: fastnn/optim.pyx.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import penalty
from .layer import Array, Layer
from .shared import checks
from .shared.schedule import lr_from_record, lr_record


class Optimizer:
    """What all optimizers share: ``lr`` (a number or a schedule), ``steps``, ``step(model)``, and the state.

    ``lr`` >= 0 and finite; ``weight_decay`` >= 0; ``clip_norm`` and ``clip_value`` > 0, or None for no clipping. An
    optimizer belongs to the first model it steps, whose momentum it keeps; another one is a ValueError.

    >>> import fastnn_ref as nn
    >>> optimizer = nn.SGD(lr=nn.StepLR(0.1, step_size=2))
    >>> optimizer.steps, optimizer.current_lr
    (0, 0.1)
    >>> optimizer.lr = 0.05
    >>> optimizer.current_lr
    0.05
    """

    slots: tuple[str, ...] = ()             # a kind of optimizer names what it keeps beside each parameter

    def __init__(
        self, lr: Any, weight_decay: float, clip_norm: float | None, clip_value: float | None,
    ) -> None:
        if type(self) is Optimizer:
            raise TypeError("Optimizer: an abstract class; use SGD, RMSprop, Adam or AdamW")
        self.lr = lr
        self.weight_decay = checks.as_number("weight_decay", weight_decay, 0)
        self.clip_norm = None if clip_norm is None else checks.as_number("clip_norm", clip_norm, 0, low_open=True)
        self.clip_value = None if clip_value is None else checks.as_number(
            "clip_value", clip_value, 0, low_open=True)
        self.steps = 0
        self.model: Layer | None = None
        self.state: dict[str, dict[str, Array]] = {slot: {} for slot in self.slots}

    @property
    def lr(self) -> Any:
        """The learning rate: a number, or a schedule from step to number."""
        return self._lr

    @lr.setter
    def lr(self, value: Any) -> None:
        self._lr = checks.as_learning_rate(value)

    @property
    def current_lr(self) -> float:
        """The rate that the next step takes."""
        return checks.as_number("lr", self._lr(self.steps), 0) if callable(self._lr) else float(self._lr)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        """Changes ``w`` and the slots in place; ``steps`` counts this step already."""
        raise NotImplementedError

    def step(self, model: Layer) -> None:
        """Adds the penalties' gradients, clips, updates ``model``'s parameters, restrains them."""
        model = checks.check_instance("model", model, Layer).outermost()
        self.join(model)
        lr, restraints = self.current_lr, model.restraints()
        for each, w, g in restraints:
            g += each.slope(w)
        if self.clip_value is not None:
            penalty.clip_grad_value(model, self.clip_value)
        if self.clip_norm is not None:
            penalty.clip_grad_norm(model, self.clip_norm)
        self.steps += 1
        for name, w, g, decays in model.parameters():
            self.update(w, g, lr, self.weight_decay if decays else 0.0,
                        **{slot: values[name] for slot, values in self.state.items()})
        for each, w, _ in restraints:
            each.restrain(w, lr)

    def join(self, model: Layer) -> None:
        """Makes room for the slots at the first step; afterwards the model must be the same one."""
        if self.model is not None and self.model is not model:
            raise ValueError(
                f"optimizer: this {type(self).__name__} already belongs to another model; make a new one")
        if self.model is None:
            parameters = model.params
            for slot, loaded in self.state.items():
                values = checks.as_state(slot, loaded, parameters) if loaded else {}
                self.state[slot] = {name: values[name].astype(w.dtype) if loaded else np.zeros_like(w)
                                    for name, w in parameters.items()}
            self.model = model

    def state_dict(self) -> dict[str, Any]:
        """``{"steps": ..., slot: {parameter's name: array}}``: what training needs to go on as if never stopped."""
        return {"steps": self.steps, "lr": lr_record(self.lr),
                **{slot: {name: value.copy() for name, value in values.items()} for slot, values in self.state.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a state over; names and shapes are checked against the model, at the latest at the first step."""
        state = checks.as_optimizer_state(state, self.slots)
        if self.model is not None:
            for slot in self.slots:
                if state[slot]:
                    checks.as_state(slot, state[slot], self.model.params)
        self.steps = state["steps"]
        self.lr = lr_from_record(state["lr"], self.lr)
        self.state = {slot: dict(state[slot]) for slot in self.slots}
        model, self.model = self.model, None
        if model is not None:
            self.join(model)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that make such an optimizer again, by name."""
        return {"lr": self.lr, "weight_decay": self.weight_decay, "clip_norm": self.clip_norm,
                "clip_value": self.clip_value}

    def __repr__(self) -> str:
        return checks.format_call(type(self).__name__, (), self.arguments())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "model": None}     # a copy is free to join another model


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

    def __init__(
        self, lr: Any = 1e-2, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0,
        *, clip_norm: float | None = None, clip_value: float | None = None,
    ) -> None:
        self.momentum = checks.as_number("momentum", momentum, 0, 1, high_open=True)
        self.nesterov = checks.as_flag("nesterov", nesterov)
        if nesterov and momentum == 0:
            raise ValueError("nesterov: expected momentum > 0, got 0")
        self.slots = ("momentum",) if momentum > 0 else ()
        super().__init__(lr, weight_decay, clip_norm, clip_value)

    def arguments(self) -> dict[str, Any]:
        return {"momentum": self.momentum, "nesterov": self.nesterov, **super().arguments()}

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g = g + decay * w
        if not slots:
            w -= lr * g
            return
        v = slots["momentum"]
        v[...] = self.momentum * v + g
        w -= lr * (g + self.momentum * v) if self.nesterov else lr * v


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

    def __init__(
        self, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
        *, clip_norm: float | None = None, clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip_norm, clip_value)
        self.alpha = checks.as_number("alpha", alpha, 0, 1, high_open=True)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)

    def arguments(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "eps": self.eps, **super().arguments()}

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g = g + decay * w
        s = slots["square"]
        s[...] = self.alpha * s + (1 - self.alpha) * g**2
        w -= lr * g / (np.sqrt(s) + self.eps)


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

    def __init__(
        self, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
        *, clip_norm: float | None = None, clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip_norm, clip_value)
        self.betas = checks.as_betas(betas)
        self.eps = checks.as_number("eps", eps, 0, low_open=True)

    def arguments(self) -> dict[str, Any]:
        return {"betas": self.betas, "eps": self.eps, **super().arguments()}

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        self.descend(w, g + decay * w, lr, **slots)

    def descend(self, w: Array, g: Array, lr: float, mean: Array, square: Array) -> None:
        """The step itself, without decay."""
        beta1, beta2 = self.betas
        mean[...] = beta1 * mean + (1 - beta1) * g
        square[...] = beta2 * square + (1 - beta2) * g**2
        unbiased = lr / (1 - beta1**self.steps)     # both means start from 0, hence too small at first
        root = np.sqrt(square) / math.sqrt(1 - beta2**self.steps)
        w -= unbiased * mean / (root + self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): w ← w·(1 − lr·weight_decay) first.

    Arguments as for ``Adam``. Where the gradient is 0, a weight shrinks by just that factor:

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[0.0]]), np.array([[5.0]]), nn.MSELoss(), nn.AdamW(lr=0.5, weight_decay=0.5))
    >>> model.layers[0].weight.tolist()
    [[0.75]]
    """

    def __init__(
        self, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2,
        *, clip_norm: float | None = None, clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, clip_norm=clip_norm, clip_value=clip_value)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        w *= 1 - lr * decay
        self.descend(w, g, lr, **slots)

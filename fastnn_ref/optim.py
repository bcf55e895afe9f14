"""Optimizers: the gradient says in which direction the loss rises; an optimizer takes a step in the other one.

    SGD        w ← w − lr·g
    momentum   v ← μ·v + g;  w ← w − lr·v                   the mean direction of the last steps
    Nesterov   w ← w − lr·(g + μ·v)                         one step further on
    RMSprop    s ← α·s + (1−α)·g²;  w ← w − lr·g/(√s + ε)   steps of like size for every weight
    Adam       both, with means that start unbiased
    AdamW      Adam, the decay apart from the gradient

Order of a step: penalty, clipping by value, clipping by norm, update, constraint. Weight decay applies to weights,
never to biases. Sources: beside each. Engine: fastnn/optim.pyx.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from .layer import Layer
from .network import Array, Listed, Network
from .penalty import clip_by_norm, clip_by_value
from .shared import checks
from .shared.closed import Closed, Setting
from .shared.custom import CustomOptimizer
from .shared.schedule import lr_from_record, lr_record

# Each changes w and what belongs to it in place.


def sgd_step(w: Array, g: Array, lr: float) -> None:
    """w ← w − lr·g."""
    w -= lr * g


def momentum_step(w: Array, g: Array, lr: float, v: Array, mu: float, nesterov: bool) -> None:
    """v ← μ·v + g, and a step by v, or by g + μ·v."""
    v[...] = mu * v + g
    w -= lr * (g + mu * v) if nesterov else lr * v


def rmsprop_step(w: Array, g: Array, lr: float, s: Array, alpha: float, eps: float) -> None:
    """A step by g / (√s + ε), s a running mean of g²."""
    s[...] = alpha * s + (1 - alpha) * g**2
    w -= lr * g / (np.sqrt(s) + eps)


def adam_step(
    w: Array, g: Array, lr: float, m: Array, s: Array, t: int, beta1: float, beta2: float, eps: float,
) -> None:
    """Step number t, from 1, by the unbiased running means of g and g²."""
    m[...] = beta1 * m + (1 - beta1) * g
    s[...] = beta2 * s + (1 - beta2) * g**2
    unbiased = lr / (1 - beta1**t)                  # both means start from 0, hence too small at first
    root = np.sqrt(s) / math.sqrt(1 - beta2**t)
    w -= unbiased * m / (root + eps)


class Optimizer(Closed):
    """What all optimizers share: ``lr`` (a number or a schedule), ``steps``, ``step(model)``, and the state.

    ``lr`` >= 0 and finite; ``weight_decay`` >= 0; ``clip_norm`` and ``clip_value`` > 0, or None for no clipping.
    ``lr`` and ``steps`` may be assigned at any time. An optimizer belongs to the first model it steps, whose momentum
    it keeps; another one is a ValueError.

    >>> import fastnn_ref as nn
    >>> optimizer = nn.SGD(lr=nn.StepLR(0.1, step_size=2))
    >>> optimizer.steps, optimizer.current_lr
    (0, 0.1)
    >>> optimizer.lr = 0.05
    >>> optimizer.current_lr
    0.05
    """

    lr = Setting(lambda name, value: checks.as_learning_rate(value), "A number, or a schedule from step to number.")
    steps = Setting(lambda name, value: checks.as_integer(name, value, 0, 2**62), "Updates so far.")
    slots: tuple[str, ...] = ()             # names of what is kept beside each parameter

    _contract = "update step step_pass update_pass update_run update_all bind slot_names current_lr"
    _instead = "CustomOptimizer"
    _lr: Any
    _steps = 0
    _network: Network | None = None
    _listed: list[Listed] | None = None     # the network's parameters that the slots were made for

    def __init__(self, lr: Any, weight_decay: float, clip_norm: float | None, clip_value: float | None) -> None:
        if type(self).update is Optimizer.update:
            raise TypeError(f"{type(self).__name__}: an abstract class; use SGD, RMSprop, Adam or AdamW")
        self.lr, self.steps = lr, 0
        self.weight_decay = checks.as_number("weight_decay", weight_decay, 0)
        self.clip_norm, self.clip_value = checks.as_clipping(clip_norm, clip_value)
        self._kept: dict[str, dict[str, Array]] = {}        # parameter's name → slot → array

    @property
    def current_lr(self) -> float:
        """The rate that the next step takes."""
        return checks.as_number("lr", self._lr(self._steps), 0) if callable(self._lr) else float(self._lr)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        """Changes ``w`` and the slots in place; ``steps`` counts this step already."""
        raise NotImplementedError

    def step_pass(self, network: Network, lr: float) -> None:
        """``step``, unchecked, with the rate ``lr``."""
        for penalty, w, g in network.constraints:
            g += penalty.gradient(w)
        parameters = network.parameters
        if self.clip_value is not None:
            clip_by_value([g for _, _, g, _ in parameters], self.clip_value)
        if self.clip_norm is not None:
            clip_by_norm([g for _, _, g, _ in parameters], self.clip_norm)
        self._steps += 1
        for name, w, g, decays in parameters:
            self.update(w, g, lr, self.weight_decay if decays else 0.0, **self._kept[name])
        for penalty, w, _ in network.constraints:
            penalty.constrain(w, lr)

    def step(self, model: Layer) -> None:
        """Adds the penalties' gradients, clips, updates ``model``'s parameters, applies what penalties constrain.

        ``backward`` is then over: it needs a new ``forward``. RuntimeError in a callback of the model's own training.
        """
        with checks.check_instance("model", model, Layer).network.training() as network:
            self.attach(network)
            lr = self.current_lr
            with network:
                self.step_pass(network, lr)
                network.pending = None

    def attach(self, network: Network) -> None:
        """Makes room for the slots at the first step; afterwards the network must be the same one."""
        parameters = network.parameters
        if self._listed is parameters:
            return
        if self._network not in (None, network):
            raise ValueError(f"optimizer: this {self._name} already belongs to another model; make a new one")
        for slot in self.slots if self._kept else ():
            checks.as_state(slot, {name: slots[slot] for name, slots in self._kept.items()},
                            {name: w for name, w, _, _ in parameters})
        self._kept = {name: {slot: self._kept[name][slot].astype(w.dtype, copy=False) if self._kept else
                             np.zeros_like(w) for slot in self.slots} for name, w, _, _ in parameters}
        self._network, self._listed = network, parameters

    @property
    def _name(self) -> str:
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        """``{"steps": …, "lr": …, slot: {parameter's name: array}}``: what goes on as if training had never stopped."""
        return {"steps": self.steps, "lr": lr_record(self.lr), **{
            slot: {name: slots[slot].copy() for name, slots in self._kept.items()} for slot in self.slots}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a state over; names and shapes are checked against the model, at the latest at the first step."""
        state = checks.as_optimizer_state(state, self.slots)
        wanted: dict[str, Any] = next((state[slot] for slot in self.slots if state[slot]), {})
        if wanted and self._network is not None:
            wanted = {name: w for name, w, _, _ in self._network._parameters}
        wanted = {name: checks.as_number_array(name, like) for name, like in wanted.items()}
        found = {slot: checks.as_state(slot, state[slot], wanted) for slot in self.slots}
        kept = {name: {slot: np.array(found[slot][name], checks.float_dtype(like)) for slot in self.slots}
                for name, like in wanted.items()}
        self.lr = lr_from_record(state["lr"], self.lr)
        self._steps, self._kept, self._listed = state["steps"], kept, None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_network": None, "_listed": None}     # a copy is free to belong to another model


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
        super().__init__(lr, weight_decay, clip_norm, clip_value)
        self.momentum = checks.as_number("momentum", momentum, 0, 1, high_open=True)
        self.nesterov = checks.as_flag("nesterov", nesterov)
        if nesterov and momentum == 0:
            raise ValueError("nesterov: expected momentum > 0, got 0")

    @property
    def slots(self) -> tuple[str, ...]:                 # type: ignore[override]
        return ("momentum",) if self.momentum > 0 else ()

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        g = g + decay * w
        if slots:
            momentum_step(w, g, lr, slots["momentum"], self.momentum, self.nesterov)
        else:
            sgd_step(w, g, lr)


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

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        rmsprop_step(w, g + decay * w, lr, slots["square"], self.alpha, self.eps)


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

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        adam_step(w, g + decay * w, lr, slots["mean"], slots["square"], self._steps, *self.betas, self.eps)


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
        adam_step(w, g, lr, slots["mean"], slots["square"], self._steps, *self.betas, self.eps)


class OptimizerHost(Optimizer):
    """The optimizer of this package that runs a user's ``CustomOptimizer``, which keeps it alive."""

    def __init__(self, custom: CustomOptimizer) -> None:
        super().__init__(custom.lr, custom.weight_decay, custom.clip_norm, custom.clip_value)
        self._custom = weakref.ref(custom)
        if custom._pending is not None:
            self.load_state_dict(custom._pending)
        custom._host = self

    @property
    def custom(self) -> CustomOptimizer:
        """The user's object."""
        custom = self._custom()
        assert custom is not None, "whoever calls the host holds the user's object"
        return custom

    @property
    def slots(self) -> tuple[str, ...]:                 # type: ignore[override]
        return self.custom.slots

    @property
    def _name(self) -> str:
        return type(self.custom).__name__

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        self.custom.update(w, g, lr, decay, **slots)

    def step_pass(self, network: Network, lr: float) -> None:
        changing = [w for _, w, _, _ in network.parameters] + [a for kept in self._kept.values() for a in kept.values()]
        before = [values.copy() for values in changing]
        try:
            super().step_pass(network, lr)
        except BaseException:                           # the user's code raised: no parameter has changed
            for values, old in zip(changing, before, strict=True):
                values[...] = old
            self._steps -= 1
            raise


def as_optimizer(value: Any) -> Optimizer:
    """An optimizer of this package: the host of a user's own, or the value itself."""
    if not isinstance(value, CustomOptimizer):
        return checks.check_instance("optimizer", value, Optimizer)
    if not isinstance(value._host, Optimizer | None):
        raise ValueError(f"optimizer: this {type(value).__name__} already belongs to another model; make a new one")
    return value._host or OptimizerHost(value)

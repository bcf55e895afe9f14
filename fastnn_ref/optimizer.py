"""Optimizer: what SGD, Adam and the others share; optim.py has their formulas.

    step    penalty, clipping by value, clipping by norm, update, constraint

It keeps slots beside each parameter, such as a momentum, by the parameter's name, and belongs to one network.

Engine: fastnn/optim.pyx.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from .layer import Array, Layer
from .network import Listed, Network
from .penalty import clip_by_norm, clip_by_value
from .shared import checks
from .shared.closed import Closed, Setting
from .shared.custom import CustomOptimizer
from .shared.schedule import lr_from_record, lr_record


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
    _name = ""                              # of a user's class
    _network: Network | None = None
    _listed: list[Listed] | None = None     # the network's parameters that the slots were made for

    def __init__(self, lr: Any, weight_decay: float, clip_norm: float | None, clip_value: float | None) -> None:
        if type(self).update is Optimizer.update:
            raise TypeError(f"{type(self).__name__}: an abstract class; use SGD, Adam, ...")
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
            raise ValueError(f"optimizer: this {self._name or type(self).__name__} already belongs to another model; "
                             "make a new one")
        for slot in self.slots if self._kept else ():
            checks.as_state(slot, {name: slots[slot] for name, slots in self._kept.items()},
                            {name: w for name, w, _, _ in parameters})
        self._kept = {name: {slot: self._kept[name][slot].astype(w.dtype, copy=False) if self._kept else
                             np.zeros_like(w) for slot in self.slots} for name, w, _, _ in parameters}
        self._network, self._listed = network, parameters

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


class OptimizerHost(Optimizer):
    """The optimizer of this package that runs a user's ``CustomOptimizer``, which keeps it alive."""

    _custom: Any                            # a weak link

    def __init__(self, custom: CustomOptimizer) -> None:
        super().__init__(custom.lr, custom.weight_decay, custom.clip_norm, custom.clip_value)
        self.__dict__.update(_custom=weakref.proxy(custom), _name=type(custom).__name__, slots=custom.slots)
        if custom._pending is not None:
            self.load_state_dict(custom._pending)
        custom._host = self

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        self._custom.update(w, g, lr, decay, **slots)

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

"""Optimizer: what SGD, Adam and the others share; optim.py has their formulas.

    step    g ← −g to maximise, penalty, clipping by value, clipping by norm, update, constraint

It keeps slots beside each parameter, such as a momentum, by the parameter's name, and belongs to one network.

Engine: fastnn/optim.pyx.
"""

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from .layer import Array, Layer
from .network import Network
from .penalty import clip_by_norm, clip_by_value
from .shared import checks
from .shared.access import Listed, check_writable
from .shared.arrays import as_state
from .shared.closed import Closed, Setting
from .shared.custom import CustomOptimizer, OptimizerAccess, host_optimizer
from .shared.objects import attributes_of, check_instance
from .shared.optimizer import as_clipping, as_learning_rate, belongs_to_another

Slots = dict[str, dict[str, Array]]         # slot → parameter's name → array


class Optimizer(Closed, OptimizerAccess):
    """What all optimizers share: ``lr`` (a number or a schedule), ``steps``, ``step(model)``, and the state.

    ``lr`` >= 0 and finite; ``weight_decay`` >= 0; ``clip_norm`` and ``clip_value`` > 0, or None for no clipping.
    ``maximize=True`` turns the loss's gradient round, in place, so that the loss rises; penalties and decay go on
    shrinking weights. ``lr`` and ``steps`` may be assigned at any time. An optimizer belongs to the first model it
    steps, whose momentum it keeps; another one is a ValueError.

    >>> import fastnn_ref as nn
    >>> optimizer = nn.SGD(lr=nn.StepLR(0.1, step_size=2))
    >>> optimizer.steps, optimizer.current_lr
    (0, 0.1)
    >>> optimizer.lr = 0.05
    >>> optimizer.current_lr
    0.05
    """

    lr = Setting(lambda name, value: as_learning_rate(value), "A number, or a schedule from step to number.")
    steps = Setting(lambda name, value: checks.as_integer(name, value, 0, 2**62), "Updates so far.")
    slots: tuple[str, ...] = ()             # names of what is kept beside each parameter
    _starts: Mapping[str, float] = {}        # what a slot starts from, where that is not 0

    _lr: Any
    _steps = 0
    _network: Network | None = None
    _listed: list[Listed] | None = None     # the network's parameters that the slots were made for

    def __init__(self, lr: Any, weight_decay: float, maximize: bool, clip_norm: float | None,
                 clip_value: float | None) -> None:
        super().__init__()
        self.lr, self.steps = lr, 0
        self.weight_decay = checks.as_number("weight_decay", weight_decay, 0)
        self.maximize = checks.as_flag("maximize", maximize)
        self.clip_norm, self.clip_value = as_clipping(clip_norm, clip_value)
        self._kept: Slots = {}

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        """Changes ``w`` and the slots in place; ``steps`` counts this step already."""
        raise NotImplementedError

    def step_size(self, lr: float, **slots: Array) -> Array | float:
        """What a weight moves by in a step if its gradient stays 1: a number for all, or an array with one for each.

        ``steps`` and the slots are those after the update. L1's threshold is this times λ.
        """
        return lr

    def _slots_of(self, name: str) -> dict[str, Array]:
        """Slot → array of one parameter."""
        return {slot: arrays[name] for slot, arrays in self._kept.items()}

    def _step_size(self, w: Array, lr: float, slots: dict[str, Array]) -> Any:
        return self.step_size(lr, **slots)

    def step_pass(self, network: Network, lr: float) -> None:
        """``step``, unchecked, with the rate ``lr``."""
        parameters, constraints = network.parameters, network.constraints
        if self.maximize:
            for _, _, g, _ in parameters:
                g *= -1
        for penalty, w, g in constraints:
            g += penalty.gradient(w)
        if self.clip_value is not None:
            clip_by_value([g for _, _, g, _ in parameters], self.clip_value)
        if self.clip_norm is not None:
            clip_by_norm([g for _, _, g, _ in parameters], self.clip_norm)
        self._steps += 1
        for name, w, g, decays, lr_scale in network.trained:
            self.update(w, g, lr * lr_scale, self.weight_decay if decays else 0.0, **self._slots_of(name))
        found = {id(w): (name, lr * lr_scale) for name, w, _, _, lr_scale in network.trained}
        for penalty, w, _ in constraints:
            name, rate = found[id(w)]
            penalty.constrain(w, self._step_size(w, rate, self._slots_of(name)))

    def step(self, model: Layer) -> None:
        """Adds the penalties' gradients, clips, updates ``model``'s parameters, applies what penalties constrain.

        ``backward`` is then over: it needs a new ``forward``. RuntimeError in a batch hook of the model's own training.
        """
        with check_instance("model", model, Layer).network.locked(training=True) as network:
            lr = self.current_lr
            network.wake()
            self.attach(network)
            network.begin()
            self.step_pass(network, lr)

    def check_owner(self, network: Network) -> None:
        """From its first step on, an optimizer belongs to one network."""
        if self._network not in (None, network):
            raise belongs_to_another(self)

    def attach(self, network: Network) -> None:
        """Makes room for the slots at the first step. ValueError for an array that a step could not write to."""
        check_writable(network.changed)
        if self._listed is network.parameters:
            return
        self.check_owner(network)
        kept = self._fitted(self._kept, network.parameters)
        self.check_owner(network)                   # another thread may have been faster
        self._kept = kept
        self._network, self._listed = network, network.parameters

    def _fitted(self, state: Slots, parameters: list[Listed]) -> Slots:
        """The slots for these parameters, with the values of ``state``, or with those that they start from."""
        like = {name: w for name, w, _, _ in parameters}
        start = {slot: {name: np.full_like(w, self._starts.get(slot, 0)) for name, w in like.items()}
                 for slot in self.slots}
        return {slot: {name: value.astype(like[name].dtype) for name, value in
                       as_state(slot, state.get(slot) or start[slot], like).items()} for slot in self.slots}

    def _slot_arrays(self) -> Slots:
        return {slot: self._kept.get(slot, {}) for slot in self.slots}

    def _take_slots(self, state: Slots) -> None:
        self._kept = state if self._listed is None else self._fitted(state, self._listed)

    def __getstate__(self) -> dict[str, Any]:
        return {**attributes_of(self), "_network": None, "_listed": None}    # a copy is free to belong to another model

    @staticmethod
    def _host_of(value: Any) -> Any:
        """The optimizer of this package that runs ``value``: the host of a user's own, or the value itself."""
        return host_optimizer(value, Optimizer, OptimizerHost)


class OptimizerHost(Optimizer):
    """The optimizer of this package that runs a user's ``CustomOptimizer``, which keeps it alive."""

    custom: Any                             # a weak link

    def __init__(self, custom: CustomOptimizer) -> None:
        super().__init__(custom.lr, custom.weight_decay, custom.maximize, custom.clip_norm, custom.clip_value)
        self.__dict__.update(custom=weakref.proxy(custom), slots=custom.slots)
        if custom._pending is not None:
            self.load_state_dict(custom._pending)

    def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
        self.custom._checked_update(w, g, lr, decay, slots)

    def _step_size(self, w: Array, lr: float, slots: dict[str, Array]) -> Any:
        return self.custom._checked_step_size(w, lr, slots)

    def step_pass(self, network: Network, lr: float) -> None:
        slots = [array for arrays in self._kept.values() for array in arrays.values()]
        steps, arrays = self._steps, [*(w for _, w, _, _ in network.parameters), *slots]
        before = [each.copy() for each in arrays]
        try:                # and no context manager: an interrupt in the last lines of one would leave what is changed
            super().step_pass(network, lr)
        except BaseException:
            self._steps = steps
            for array, values in zip(arrays, before, strict=True):
                array[...] = values
            raise

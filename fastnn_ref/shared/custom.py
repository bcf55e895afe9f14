"""A user's own layer, activation, loss or optimizer: written once in NumPy, it runs in both packages.

None of these classes derives from a class of either package. Each package wraps an object of theirs in a host of its
own, which calls the methods below; in the engine the host takes the GIL for these calls alone. An exception that a
method raises leaves the pass with its traceback, and the parameters are then as they were before the step; running
statistics, which change in the forward pass, are not brought back.

A constructor keeps each of its arguments as an attribute of the same name: ``config()``, ``repr`` and copies read them.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import checks
from .arrays import as_number_array, as_parameter_value, as_result
from .closed import ARGUMENT, KEPT, NOT_CALLED, OF_OBJECTS, own_names
from .config import Configured
from .objects import attributes_of, check_instance, package_of, put_attributes
from .optimizer import as_clipping, as_learning_rate, as_optimizer_state, belongs_to_another
from .parameter import HasParameters
from .schedule import lr_from_record, lr_record
from .targets import as_outputs, as_sample_weight, as_value_targets, check_reduced

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


# What a user's class may not define, because training looks elsewhere: base → names, and what is said of them.
FIXED = {
    "Custom": {"_host": KEPT},
    "CustomLayer": {"trainable lr_scale": OF_OBJECTS,
                    "parameters state_dict load_state_dict": f"{NOT_CALLED}; declare parameters by add in the "
                    "constructor",
                    "_assign _living_host _lr_scale _trainable": KEPT},
    "CustomActivation": {"forward_pass backward_pass output_shape min_batch_size":
                         "is not called where a layer has the activation and cannot be overridden; derive from "
                         "CustomLayer"},
    "CustomLoss": {"forward backward __call__":
                   "is not called in training and cannot be overridden; define value_and_gradient",
                   "_checked_targets _loss_pass": KEPT},
    "CustomOptimizer": {"step current_lr": "is not called in training and cannot be overridden; define update",
                        "lr weight_decay maximize clip_norm clip_value": ARGUMENT, "steps": OF_OBJECTS,
                        "_checked_step_size _checked_update _lr _pending _slot_arrays _take_slots": KEPT},
}


class Custom(Configured):
    """What the classes below share: the host that a package made for this object, if one did."""

    _host: Any = None

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        who = next((each.__name__ for each in cls.__mro__ if each.__module__ == __name__), "")
        for at, base in enumerate(cls.__mro__):
            own = own_names(each for each in cls.__mro__[:at] if each.__module__ != __name__)
            for names, said in FIXED.get(base.__name__, {}).items() if base.__module__ == __name__ else ():
                for name in sorted(own.intersection(names.split())):
                    raise TypeError(f"{who}: {name} {said}")

    def __getstate__(self) -> dict[str, Any]:
        return {**attributes_of(self), "_host": None}     # a copy gets a host of its own

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """As ``copy`` would make it by itself, but an attribute that cannot be copied, such as a lock, is named."""
        make, arguments, state = (*self.__reduce_ex__(4), None)[:3]
        memo[id(self)] = made = make(*copy.deepcopy(arguments, memo))
        named = isinstance(state, dict)
        made.__setstate__({name: copied(self, name, value, memo) for name, value in state.items()} if named else
                          copy.deepcopy(state, memo))
        return made


def copied(thing: Any, name: str, value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy of the attribute ``name``; TypeError that names it if there can be none."""
    try:
        return copy.deepcopy(value, memo)
    except TypeError as error:
        raise TypeError(f"{type(thing).__name__}.{name}: expected a value that copy.deepcopy can copy, got one that it "
                        f"cannot ({error}); make it an attribute of the class, or drop it in __getstate__") from error


class CustomLayer(Custom, HasParameters):
    """A layer of your own: define ``forward_pass`` and ``backward_pass``, and ``output_shape`` if the shape changes.

    The constructor declares parameters by ``add``; afterwards ``values`` and ``gradients`` map their names to arrays.
    ``saved`` is yours: ``forward_pass`` puts there what ``backward_pass`` needs, in a prediction, too.

    When several threads predict at once, all but one call the methods of a shallow copy of this object: parameters and
    whatever else it holds are shared, and what a method assigns to ``self`` is forgotten after the call. A lock is an
    attribute of the class, as copies of an object cannot have one.

    >>> import numpy as np, fastnn_ref as nn
    >>> class Scale(nn.CustomLayer):
    ...     def __init__(self, size):
    ...         self.size = size
    ...         self.add("weight", (size,), "ones")
    ...     def forward_pass(self, x, training):
    ...         self.saved = x
    ...         return x * self.values["weight"]
    ...     def backward_pass(self, dy):
    ...         self.set_gradients((dy * self.saved).sum(axis=0))
    ...         return dy * self.values["weight"]
    >>> model = nn.Sequential(nn.Linear(3, 2), Scale(2), dtype="float64")
    >>> bool(nn.gradcheck(model, np.eye(3), np.ones((3, 2)), nn.MSELoss()))
    True
    """

    changes_shape = False
    input_shape: Shape | None = None
    saved: Any = None
    _trainable, _lr_scale = True, 1.0               # those of the host, so that a new one has them, too
    _host: weakref.ref[Any] | None = None           # the host keeps the user's object alive, and not vice versa

    def add(
        self, name: str, shape: Sequence[int], init: Any = "zeros", *, decays: bool | None = None,
        trainable: bool = True,
    ) -> None:
        """Declares a parameter, or with ``trainable=False`` a running statistic; the constructor calls it.

        Its values start from ``init``, as for ``Linear``: an initialiser's name, an ``Init``, a number, an array or a
        function. ``decays`` says whether weight decay and penalties apply: by default to matrices. RuntimeError once
        the layer stands in a model, which has listed its parameters.
        """
        if self._living_host() is not None:
            raise RuntimeError(f"{type(self).__name__}.add: expected a call in the constructor, got one for {name!r} "
                               "when the layer stands in a model, which has listed its parameters")
        if not isinstance(name, str) or not name:
            raise TypeError(f"{type(self).__name__}.add: expected a name for the parameter, got {name!r}")
        super().add(name, shape, init, decays=decays, trainable=trainable)

    @property
    def trainable(self) -> bool:
        """Does training change this layer? As ``trainable`` of every layer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: object) -> None:
        self._assign("trainable", checks.as_flag("trainable", value))

    @property
    def lr_scale(self) -> float:
        """The learning rate is multiplied by this number >= 0; as ``lr_scale`` of every layer."""
        return self._lr_scale

    @lr_scale.setter
    def lr_scale(self, value: object) -> None:
        self._assign("lr_scale", checks.as_number("lr_scale", value, 0))

    def _assign(self, name: str, value: object) -> None:
        host = self._living_host()
        if host is None:
            setattr(self, f"_{name}", value)
        else:
            host._assign(name, value)

    def set_gradients(self, *values: Any) -> None:
        """Sets the gradients of the trainable parameters, in the order in which ``add`` declared them."""
        names = [name for name, spec in self.specs.items() if spec.trainable]
        if len(values) != len(names):
            raise ValueError(f"set_gradients: expected {len(names)} arrays, one for each of {', '.join(names)}, "
                             f"got {len(values)}")
        for name, value in zip(names, values, strict=True):
            self.gradients[name][...] = as_parameter_value(name, value, self.gradients[name])

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one example's output for one example's input ``shape``."""
        return tuple(shape)

    def min_batch_size(self, shape: Shape) -> int:
        """The fewest examples that a training batch needs."""
        return 1

    def checked_shape(self, what: str, shape: object) -> Shape:
        """A shape that the user's code gave, as a tuple of integers; an example may be a single number."""
        return () if shape == () else checks.as_shape(f"{type(self).__name__}.{what}", shape)

    def checked_batch_size(self, shape: Shape) -> int:
        """What the user's ``min_batch_size`` gives, as an integer."""
        return checks.as_integer(f"{type(self).__name__}.min_batch_size", self.min_batch_size(shape), 1, 2**40)

    def forward_pass(self, x: Array, training: bool) -> Array:
        """y for ``x`` (n, …), both of the model's dtype; ``x`` is a copy, which the layer may keep."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method forward_pass(x, training)")

    def backward_pass(self, dy: Array) -> Array:
        """dx for ``dy``; sets the gradients."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method backward_pass(dy)")

    def random_words(self, n: int) -> npt.NDArray[np.uint32]:
        """``n`` random words of 32 bits for this pass: the same in forward and backward, others in the next step."""
        host = self._living_host()
        if host is None:
            raise RuntimeError(f"{type(self).__name__}: expected a layer inside a model, which has the random numbers")
        return host.random_words(n)

    def _beside(self) -> Any:
        """A shallow copy, for a prediction beside another thread's: what it assigns to itself is its own."""
        twin = object.__new__(type(self))
        twin.__dict__.update(specs=self.specs, values=self.values, gradients=self.gradients)
        put_attributes(twin, attributes_of(self))
        return twin

    def _living_host(self) -> Any:
        """The host of this layer, if somebody still has it: a model, or the caller."""
        return None if self._host is None else self._host()


OF_ACTIVATION = {"forward_pass": "act", "backward_pass": "act_backward", "dx": "du"}


def as_written(custom: CustomLayer, name: str) -> str:
    """A method of a pass, or its result, as the user's class has it: an activation's are act and act_backward."""
    return OF_ACTIVATION.get(name, name) if isinstance(custom, CustomActivation) else name


def check_own_dicts(custom: CustomLayer) -> None:
    """TypeError for a user's layer that has something else of its own under the name of a dict of parameters."""
    for name in ("specs", "values", "gradients"):
        found = getattr(custom, name)
        if not isinstance(found, dict):
            raise TypeError(f"{type(custom).__name__}.{name}: expected the dict that add fills, got {found!r}; "
                            "give the attribute another name")


Kept = dict[str, tuple[dict[str, Array], dict[str, Array]]]


def kept_arrays(values: dict[str, Array], gradients: dict[str, Array]) -> Kept | None:
    """The arrays of a user's layer that a network knows: for each of its two dicts the dict itself, and what is in it.
    None if there are none."""
    return {"values": (values, dict(values)), "gradients": (gradients, dict(gradients))} if values else None


def check_in_place(custom: CustomLayer, method: str, kept: Kept | None) -> None:
    """A user's method has written into the arrays that the network knows; TypeError if it put others in their place,
    which would neither be trained nor train anything. Then those of the network are back."""
    replaced = []
    for which, (own, arrays) in kept.items() if kept else ():
        is_other = getattr(custom, which) is not own
        replaced += [(which, name) for name, array in arrays.items() if is_other or own.get(name) is not array]
        if replaced:
            own.update(arrays)
            setattr(custom, which, own)
    for which, name in replaced:
        raise TypeError(f"{type(custom).__name__}.{method}: expected {which}[{name!r}] to be written in place, "
                        f"{which}[{name!r}][...] = ..., got another array in its place")


class CustomActivation(CustomLayer):
    """An activation of your own: define ``act(u)`` → y and ``act_backward(dy, u, y)`` → dy · act'(u), elementwise.

    It is a layer, and ``Linear`` and ``Conv2d`` take it as ``activation=``. The arrays are copies, which it may change.

    >>> import numpy as np, fastnn_ref as nn
    >>> class Square(nn.CustomActivation):
    ...     def act(self, u):
    ...         return u**2
    ...     def act_backward(self, dy, u, y):
    ...         return dy * 2 * u
    >>> layer = nn.Linear(1, 1, activation=Square(), init="ones")
    >>> layer(np.array([[3.0]])).tolist()
    [[9.0]]
    """

    name = "custom"

    def act(self, u: Array) -> Array:
        """y = act(u)."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method act(u)")

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        """du = dy · act'(u)."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method act_backward(dy, u, y)")

    def forward_pass(self, x: Array, training: bool) -> Array:
        y = self.act(x.copy())          # either method may change what it gets
        self.saved = x, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        return self.act_backward(dy, *(each.copy() for each in self.saved))


def chain(dy: Array | None, shape: Shape, grad_output: object) -> Array:
    """∂L/∂y = ∂L/∂value · ∂value/∂y: each cost of ``shape`` depends on one element of y, or on the row that stands at
    its place."""
    if dy is None:
        raise RuntimeError("backward: call forward(y, t) first")
    if grad_output is None:
        return dy.copy()
    found = as_number_array("grad_output", grad_output)
    if found.shape != shape:
        raise ValueError(f"grad_output: expected {checks.format_shape(shape) if shape else 'a number'}, as the loss "
                         f"gave, got {checks.format_shape(found.shape)}")
    if 0 < len(shape) < dy.ndim:
        found = found[:, None]
    return (dy * found).astype(dy.dtype)


class LossAccess:
    """What users call of a loss that has ``value_and_gradient``: a user's own, and those of the reference."""

    _loss_pass: tuple[Array | None, Shape] = None, ()      # of the last forward: its gradient, the shape of its value

    def prepare_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        """Targets as arrays for outputs of that shape and dtype: finite values in y's shape."""
        return as_value_targets(t, shape, dtype)

    def _checked_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        """What ``prepare_targets`` returns; checked, if it is a user's."""
        return self.prepare_targets(t, shape, dtype)

    def value_and_gradient(self, y: Array, t: Array, weights: Array) -> tuple[Any, Array]:
        """The loss of the batch and its gradient with respect to ``y``, in y's shape; ``weights`` (n,) of the rows."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method value_and_gradient(y, t, weights)")

    def evaluated(self, y: Array, t: Array, weights: Array | None) -> tuple[Any, Array]:
        """``value_and_gradient`` with weights of 1 where none are given."""
        return self.value_and_gradient(y, t, np.ones(len(y)) if weights is None else weights)

    def forward(self, y: Any, t: Any, sample_weight: object = None) -> Any:
        """The loss of outputs ``y`` (n, …) against targets ``t``, a float; with ``reduction="none"`` the costs, an
        array like y, or, of class numbers and rows, one for each (n, …).

        ``t``: finite values in y's shape, or (n,) for outputs (n, 1), or what the kind of loss says; else ValueError or
        TypeError. ``sample_weight``: n finite numbers >= 0, of which the loss is the weighted mean Σ wᵢ·lᵢ / Σ wᵢ, or
        the sum Σ wᵢ·lᵢ, or the costs wᵢ·lᵢ. A row of weight 0 is left out, whatever y holds there; if all are, the loss
        is 0.
        """
        y = as_outputs("y", y)
        t = self._checked_targets(t, y.shape, y.dtype)
        value, dy = self.evaluated(y, t, as_sample_weight(sample_weight, len(y)))
        self.__dict__["_loss_pass"] = dy, np.shape(value)           # a user's may be a frozen dataclass
        return value

    def __call__(self, y: object, t: object, sample_weight: object = None) -> Any:
        """``forward(y, t, sample_weight)``."""
        return self.forward(y, t, sample_weight)

    def backward(self, grad_output: Any = None) -> Array:
        """∂L/∂y of the last ``forward``, in y's shape and dtype, for a number L that depends on its value by
        ``grad_output`` = ∂L/∂value, in the value's shape; None stands for ones. RuntimeError before any ``forward``."""
        return chain(*self._loss_pass, grad_output)

    def __getstate__(self) -> dict[str, Any]:
        # A copy takes no pass along that is half done.
        return {name: value for name, value in attributes_of(self).items() if name != "_loss_pass"}


class CustomLoss(LossAccess, Custom):
    """A loss of your own: define ``value_and_gradient(y, t, weights)`` → (value, dy).

    All three are copies, which it may change. ``weights`` (n,) belong to the examples and are ones where the user gave
    none. Targets are finite values in y's shape, unless ``prepare_targets`` is defined otherwise. An attribute
    ``reduction`` that is "sum" says that the loss of an epoch is the sum of those of its batches, not their mean.

    >>> import numpy as np, fastnn_ref as nn
    >>> class LogCosh(nn.CustomLoss):
    ...     def value_and_gradient(self, y, t, weights):
    ...         share = (weights / weights.sum()).reshape(-1, 1) / y.shape[1]
    ...         return float((np.log(np.cosh(y - t)) * share).sum()), np.tanh(y - t) * share
    >>> round(LogCosh().forward(np.array([[2.0]]), np.array([[0.0]])), 4)
    1.325
    """

    def _checked_targets(self, t: object, shape: Shape, dtype: npt.DTypeLike) -> Array:
        who = f"{type(self).__name__}.prepare_targets"
        found = as_number_array(who, super()._checked_targets(t, shape, dtype))
        if found.ndim == 0 or len(found) != shape[0]:
            raise ValueError(f"{who}: expected {shape[0]} targets, one for each row of x, "
                             f"got an array of shape {checks.format_shape(found.shape)}")
        return found

    def evaluated(self, y: Array, t: Array, weights: Array | None) -> tuple[float, Array]:
        """The value and gradient that the user's method gives for copies, checked; both are 0 where no row has a
        weight, which the method, that divides by their sum, is not asked about."""
        if weights is not None and not weights.any():
            return 0.0, np.zeros_like(y)
        who, found = f"{type(self).__name__}.value_and_gradient", checks.call_own(
            super().evaluated, y.copy(), t.copy(), None if weights is None else weights.copy())
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise TypeError(f"{who}: expected a pair (value, gradient), got {found!r}")
        value, dy = found
        return (float(as_result(who, "value", value, (), np.float64)),
                as_result(who, "gradient", dy, y.shape, y.dtype))


def check_loss(value: Any, kind: type[Any], reduced: bool = True) -> None:
    """A loss of a package, a ``kind``, or a user's own, which serves both; it gives one number if ``reduced``."""
    if not isinstance(value, CustomLoss):
        check_instance("loss", value, kind)
    if reduced:
        check_reduced(value)


def check_optimizer(value: Any, kind: type[Any]) -> None:
    """An optimizer of a package, a ``kind``, or a user's own, which serves both."""
    if isinstance(value, CustomOptimizer):
        check_has_base(value)
    else:
        check_instance("optimizer", value, kind)


class OptimizerAccess:
    """What users call of an optimizer: its state, and the rate of the next step.

    It rests on ``lr``, ``steps``, ``_slot_arrays()``, the arrays beside the parameters as slot → parameter's name →
    array, and ``_take_slots(arrays)``, which copies such arrays, or keeps them until there is a model.
    """

    lr: Any
    steps: Any

    def _slot_arrays(self) -> dict[str, dict[str, Array]]:
        raise NotImplementedError

    def _take_slots(self, state: dict[str, dict[str, Array]]) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """``{"steps": …, "lr": …, slot: {parameter's name: array}}``: what goes on as if training had never stopped."""
        return {"steps": self.steps, "lr": lr_record(self.lr), **{
            slot: {name: value.copy() for name, value in arrays.items()}
            for slot, arrays in self._slot_arrays().items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a state over; names and shapes are checked against the model, at the latest at the first step."""
        slots = list(self._slot_arrays())
        state = as_optimizer_state(state, slots)
        lr = lr_from_record(state["lr"], self.lr)
        self._take_slots({slot: state[slot] for slot in slots})
        self.lr, self.steps = lr, state["steps"]

    @property
    def current_lr(self) -> float:
        """The rate that the next step takes."""
        return checks.as_number("lr", self.lr(self.steps), 0) if callable(self.lr) else float(self.lr)


NO_SLOTS = "self", "w", "g", "lr", "decay", "steps"     # arguments of update, keys of a state


def without_super(optimizer: Any) -> RuntimeError:
    """The error for an optimizer whose constructor has not called that of its base class."""
    return RuntimeError(f"{type(optimizer).__name__}.__init__: expected a call of super().__init__(lr)")


def check_has_base(optimizer: Any) -> None:
    """A user's optimizer has what all optimizers have; a constructor of its own may have set ``lr`` alone."""
    if not all(hasattr(optimizer, name) for name in ("weight_decay", "maximize", "clip_norm", "clip_value")):
        raise without_super(optimizer)


class CustomOptimizer(Custom, OptimizerAccess):
    """An optimizer of your own: define ``update(w, g, lr, decay, **slots)``, which changes ``w`` and slots in place.

    ``slots`` names the arrays that it keeps beside each parameter; they start from 0. ``steps`` counts the update that
    is being made. Penalties and clipping come before ``update``, and what penalties constrain after it, as for all
    optimizers. ``step_size(lr, **slots)`` tells ``L1`` how far ``update`` moves a weight: define it where that is not
    lr times the gradient.

    >>> import numpy as np, fastnn_ref as nn
    >>> class SignDescent(nn.CustomOptimizer):
    ...     def update(self, w, g, lr, decay):
    ...         w -= lr * (np.sign(g) + decay * w)
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"))
    >>> _ = model.step(np.array([[1.0]]), np.array([[0.0]]), nn.MSELoss(), SignDescent(lr=0.25))
    >>> model.layers[0].weight.tolist()
    [[0.75]]
    """

    slots: tuple[str, ...] = ()
    _changeable = frozenset({"lr"})

    def __init__(
        self, lr: Any = 1e-2, weight_decay: float = 0.0, *, maximize: bool = False, clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        self.lr = lr
        self.weight_decay = checks.as_number("weight_decay", weight_decay, 0)
        self.maximize = checks.as_flag("maximize", maximize)
        self.clip_norm, self.clip_value = as_clipping(clip_norm, clip_value)

    # With *others and Any a type checker takes a method that names its slots, update(…, velocity), as an override.
    def update(self, w: Array, g: Array, lr: float, decay: float, *others: Any, **slots: Any) -> None:
        """Changes ``w`` and the slots in place; ``decay`` is 0 for what weight decay does not apply to."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method update(w, g, lr, decay, **slots)")

    def _checked_update(self, w: Array, g: Array, lr: float, decay: float, slots: Mapping[str, Array]) -> None:
        """``update``; TypeError if it returns new weights, which would be ignored."""
        update: Any = self.update                           # annotated to return nothing
        found = update(w, g, lr, decay, **slots)
        if found is not None and found is not w:
            raise TypeError(f"{type(self).__name__}.update: expected w to be changed in place, w[...] = ..., and no "
                            f"result, got {type(found).__name__}")

    def step_size(self, lr: float, *others: Any, **slots: Any) -> Array | float:
        """What a weight moves by in a step if its gradient stays 1: a number >= 0, or an array with one for each.

        ``L1`` and ``ElasticNet`` shrink weights by this times λ after ``update``, whose slots these are: lr/(√s + ε)
        where ``update`` divides by √s + ε, lr/(1 − μ) with a momentum v ← μ·v + g. By default lr.
        """
        return lr

    def _checked_step_size(self, w: Array, lr: float, slots: Mapping[str, Array]) -> Array:
        """What ``step_size`` returns for the parameter ``w``, checked."""
        who = f"{type(self).__name__}.step_size"
        found = as_number_array(who, self.step_size(lr, **slots))
        if found.shape not in ((), w.shape):
            raise ValueError(f"{who}: expected a number or an array of shape {checks.format_shape(w.shape)}, "
                             f"got {checks.format_shape(found.shape)}")
        if (found < 0).any():
            raise ValueError(f"{who}: expected >= 0, got {found.min():g}")
        return found.astype(w.dtype if found.ndim else np.float64)

    @property
    def lr(self) -> Any:
        """The learning rate: a number, or a schedule from step to number."""
        if "_lr" not in self.__dict__:
            raise without_super(self)
        return self._lr

    @lr.setter
    def lr(self, value: Any) -> None:
        self._lr = as_learning_rate(value)
        if self._host is not None:
            self._host.lr = value

    @property
    def steps(self) -> int:
        """Updates begun."""
        return int((self._pending or {"steps": 0})["steps"] if self._host is None else self._host.steps)

    def step(self, model: Any) -> None:
        """Adds the penalties' gradients, clips, updates ``model``'s parameters, applies what penalties constrain."""
        package_of(model).Optimizer._host_of(self).step(model)

    _pending: Mapping[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """``{"steps": …, "lr": …, slot: {parameter's name: array}}``."""
        if self._host is not None:
            return self._host.state_dict()
        return dict(self._pending or {"steps": 0, "lr": lr_record(self.lr), **{slot: {} for slot in self.slots}})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a state over; names and shapes are checked against the model, at the latest at the first step."""
        if self._host is not None:
            self._host.load_state_dict(state)
            self._lr = self._host.lr
        else:
            found = as_optimizer_state(state, self.slots)
            self._lr, self._pending = lr_from_record(found["lr"], self._lr), found

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_pending": self.state_dict()}


def host_optimizer(value: Any, kind: type[Any], host: type[Any]) -> Any:
    """The optimizer of a package that runs ``value``: the ``host`` of a user's own, old or new, or a ``kind`` as it is.

    A host belongs to the package that made it.
    """
    if not isinstance(value, CustomOptimizer):
        return check_instance("optimizer", value, kind)
    if value._host is None:
        names = value.slots
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"{type(value).__name__}.slots: expected a tuple of names, got {names!r}")
        taken = [name for name in names if name in NO_SLOTS]
        if taken:
            raise ValueError(f"{type(value).__name__}.slots: expected other names than {', '.join(NO_SLOTS)}, which "
                             f"update and the state have already, got {taken[0]!r}")
        check_has_base(value)
        value._host = host(value)
    if not isinstance(value._host, host):
        raise belongs_to_another(value)
    return value._host

"""What users read and set of every layer: parameters, gradients, states, counters.

The layers of the reference derive from ``LayerAccess``, and compiled layers take over its methods. All rests on what a
layer of either package has: ``specs``, ``values``, ``gradients``, ``children()`` and ``network``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import checks
from .arrays import as_parameter_value, as_state
from .parameter import HasParameters

Array = npt.NDArray[Any]
Listed = tuple[str, Array, Array, bool]             # name, value, gradient, does weight decay apply
Trained = tuple[str, Array, Array, bool, float]     # … and lr_scale


def walk(layer: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted prefix, layer) of ``layer`` and of every layer inside it, outer ones first."""
    yield prefix, layer
    for name, child in layer.children():
        yield from walk(child, f"{prefix}{name}.")


def numbered(root: Any) -> Iterator[tuple[str, Any, int]]:
    """What ``walk`` gives of an outermost layer, each with the number of its stream of random numbers."""
    number = 0
    for prefix, layer in walk(root):
        yield prefix, layer, number
        number += layer._numbered


def listed(layer: Any) -> list[Listed]:
    """The trainable parameters of ``layer`` and of the layers inside it."""
    return [(prefix + spec.name, each.values[spec.name], each.gradients[spec.name], spec.decays)
            for prefix, each in walk(layer) for spec in each.specs.values() if spec.trainable]


def tensors(layer: Any) -> dict[str, Array]:
    """Name → array of everything that training changes: parameters and running statistics."""
    layer.network.wake()
    return {prefix + name: each.values[name] for prefix, each in walk(layer) for name in each.specs}


def settable(layer: Any) -> list[tuple[str, Any]]:
    """(dotted prefix, layer) of those that ``trainable`` and ``lr_scale`` belong to: the others are containers."""
    return [(where, each) for where, each in walk(layer) if each.specs or not each.children()]


def check_writable(own: Mapping[str, Array]) -> None:
    """ValueError for an array whose ``flags.writeable`` somebody has taken away."""
    for name, array in own.items():
        if not array.flags.writeable:
            raise ValueError(f"{name}: expected an array that can be written to, got a read-only one; "
                             "flags.writeable = True makes it one, and layer.trainable = False freezes a layer")


def assign(layer: Any, name: str, value: object, awake: bool) -> None:
    """Sets ``trainable`` or ``lr_scale`` of a layer and of all inside, and of the users' objects that they run."""
    if awake:                           # else waking takes arrays over, and copies read-only ones
        check_writable({prefix + key: array for prefix, each in walk(layer) for key, array in each.values.items()})
    for _, each in settable(layer):
        setattr(each, f"_{name}", value)
        if isinstance(user := getattr(each, "custom", None), HasParameters):
            setattr(user, f"_{name}", value)


def copy_into(own: Mapping[str, Array], given: Mapping[str, Array]) -> None:
    """Copies arrays in: all are cast before the first one changes."""
    check_writable({name: own[name] for name in given})
    fitted = {name: value.astype(own[name].dtype) for name, value in given.items()}
    for name, value in fitted.items():
        own[name][...] = value


class Arrays(dict[str, Array]):
    """Name → array of a layer's. Assigning to a name copies values into its array, as ``layer.weight = values`` does.
    """

    def __init__(self, layer: Any, own: Mapping[str, Array]) -> None:
        super().__init__(own)
        self._layer = layer

    def __setitem__(self, name: str, value: object) -> None:
        self.update({name: value})

    def update(self, *given: Any, **named: Any) -> None:
        self._layer.network.check_unused()
        copy_into(self, {name: as_parameter_value(name, value, self.get(name))
                         for name, value in dict(*given, **named).items()})

    def __reduce__(self) -> Any:
        return dict, (dict(self),)                  # a copy belongs to no layer


class LayerAccess(HasParameters):
    """The methods and properties, for the layers of both packages."""

    network: Any
    _assign: Any                            # (name, value): assign, and what the network makes of it

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of parameters and activations, float32 or float64; see ``Sequential``."""
        return self.network.dtype

    @property
    def steps(self) -> int:
        """Training passes so far: the counter of the random masks. Set it back to draw the same masks again."""
        return int(self.network.steps)

    @steps.setter
    def steps(self, value: object) -> None:
        self.network.steps = checks.as_integer("steps", value, 0, 2**62)

    @property
    def trainable(self) -> bool:
        """Does training change this layer? Assign False to freeze it, and all layers inside it; True is the default.

        No optimizer, weight decay, penalty or limit touches the parameters of a frozen layer, or its slots, its
        gradients are 0, and the penalty of its weights is not counted. A frozen BatchNorm normalises by its running
        statistics, as in Keras: it stays the function that it was. Dropout goes on. The layers below a frozen one learn
        through it; where nothing below learns, ``step`` does not go back so far. A layer with layers inside reads True
        if any of them is trainable.

        It may be assigned at any time but inside a pass (RuntimeError); ``backward`` then needs a new ``forward``.
        The record, copies and files of a model keep it.

        >>> import numpy as np, fastnn_ref as nn
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), seed=0)
        >>> model[:1].trainable = False
        >>> before = model.state_dict()
        >>> _ = model.step(np.eye(2), np.ones((2, 1)), nn.MSELoss(), nn.Adam())
        >>> [name for name, value in model.state_dict().items() if (value != before[name]).any()]
        ['1.weight', '1.bias']
        """
        return any(each._trainable for _, each in settable(self))

    @trainable.setter
    def trainable(self, value: object) -> None:
        self._assign("trainable", checks.as_flag("trainable", value))

    @property
    def lr_scale(self) -> float | None:
        """The optimizer's learning rate is multiplied by this number >= 0 for the layer, and all layers inside it.

        1 by default. Schedules, decoupled weight decay and the threshold of L1 take the product for their rate. A layer
        with layers inside reads None if theirs differ. When it may be assigned, and what keeps it, is as for
        ``trainable``.

        >>> import fastnn_ref as nn
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> model[:2].lr_scale = 0.1
        >>> model.lr_scale, model[0].lr_scale, model[2].lr_scale
        (None, 0.1, 1.0)
        """
        scales = {each._lr_scale for _, each in settable(self)}
        return scales.pop() if len(scales) == 1 else None

    @lr_scale.setter
    def lr_scale(self, value: object) -> None:
        self._assign("lr_scale", checks.as_number("lr_scale", value, 0))

    @property
    def params(self) -> dict[str, Array]:
        """Name → parameter, each an array that can be changed in place. ``params[name] = values`` copies values in.

        >>> import fastnn_ref as nn
        >>> {name: value.shape for name, value in nn.Linear(3, 2).params.items()}
        {'weight': (3, 2), 'bias': (2,)}
        """
        return Arrays(self, {name: value for name, value, _, _ in self.parameters()})

    @property
    def grads(self) -> dict[str, Array]:
        """Name → gradient of the last backward pass, in the parameter's shape. It can be changed as ``params`` can."""
        return Arrays(self, {name: gradient for name, _, gradient, _ in self.parameters()})

    def parameters(self) -> list[Listed]:
        """(name, value, gradient, decays) of every parameter, names dotted; weights decay, biases do not."""
        self.network.wake()
        return listed(self)

    def set_parameter(self, name: str, value: object) -> None:
        """Copies values into a parameter or a running statistic; the shape must be its own.

        RuntimeError while another thread uses the model.
        """
        Arrays(self, tensors(self))[name] = value

    def _start_from(self, values: Mapping[str, Array]) -> None:
        """Values of this layer itself, so that the first use draws none; afterwards they change nothing."""
        if not self.network.awake:
            self.values.update(values)

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and running statistics by dotted name, as in PyTorch.

        >>> import fastnn_ref as nn
        >>> sorted(nn.Sequential(nn.Linear(2, 3), seed=0).state_dict())
        ['0.bias', '0.weight']
        """
        return {name: value.copy() for name, value in tensors(self).items()}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Copies a state in. Names and shapes must be just the model's (ValueError); else nothing changes.

        RuntimeError while another thread uses the model.

        >>> import fastnn_ref as nn
        >>> one, two = nn.Sequential(nn.Linear(2, 3), seed=1), nn.Sequential(nn.Linear(2, 3), seed=2)
        >>> two.load_state_dict(one.state_dict())
        >>> bool((one.layers[0].weight == two.layers[0].weight).all())
        True
        """
        self.network.check_unused()
        own = tensors(self)
        copy_into(own, as_state("state", state, own))

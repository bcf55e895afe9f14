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
from .parameter import HasParameters

Array = npt.NDArray[Any]
Listed = tuple[str, Array, Array, bool]             # name, value, gradient, does weight decay apply


def walk(layer: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted prefix, layer) of ``layer`` and of every layer inside it, outer ones first."""
    yield prefix, layer
    for name, child in layer.children():
        yield from walk(child, f"{prefix}{name}.")


def listed(layer: Any) -> list[Listed]:
    """The trainable parameters of ``layer`` and of the layers inside it."""
    return [(prefix + spec.name, each.values[spec.name], each.gradients[spec.name], spec.decays)
            for prefix, each in walk(layer) for spec in each.specs.values() if spec.trainable]


def tensors(layer: Any) -> dict[str, Array]:
    """Name → array of everything that training changes: parameters and running statistics."""
    layer.network.wake()
    return {prefix + name: each.values[name] for prefix, each in walk(layer) for name in each.specs}


def copy_into(own: Mapping[str, Array], given: Mapping[str, Array]) -> None:
    """Copies arrays in: all are cast before the first one changes."""
    fitted = {name: value.astype(own[name].dtype) for name, value in given.items()}
    for name, value in fitted.items():
        own[name][...] = value


class LayerAccess(HasParameters):
    """The methods and properties, for the layers of both packages."""

    network: Any

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
    def params(self) -> dict[str, Array]:
        """Name → parameter, each an array that can be changed in place.

        >>> import fastnn_ref as nn
        >>> {name: value.shape for name, value in nn.Linear(3, 2).params.items()}
        {'weight': (3, 2), 'bias': (2,)}
        """
        return {name: value for name, value, _, _ in self.parameters()}

    @property
    def grads(self) -> dict[str, Array]:
        """Name → gradient of the last backward pass, in the parameter's shape."""
        return {name: gradient for name, _, gradient, _ in self.parameters()}

    def parameters(self) -> list[Listed]:
        """(name, value, gradient, decays) of every parameter, names dotted; weights decay, biases do not."""
        self.network.wake()
        return listed(self)

    def set_parameter(self, name: str, value: object) -> None:
        """Copies values into a parameter or a running statistic; the shape must be its own."""
        own = tensors(self)
        copy_into(own, {name: checks.as_parameter_value(name, value, own.get(name))})

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

        >>> import fastnn_ref as nn
        >>> one, two = nn.Sequential(nn.Linear(2, 3), seed=1), nn.Sequential(nn.Linear(2, 3), seed=2)
        >>> two.load_state_dict(one.state_dict())
        >>> bool((one.layers[0].weight == two.layers[0].weight).all())
        True
        """
        own = tensors(self)
        copy_into(own, checks.as_state("state", state, own))

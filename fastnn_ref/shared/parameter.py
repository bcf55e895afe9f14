"""Parameter: an attribute of a layer that reads an array of the layer's and copies values into it.

    class Linear(Layer):
        weight = Parameter("W, shape (in_features, out_features)")

``layer.weight`` is the array itself, ``layer.weight = values`` copies values in, and a parameter that the layer was
made without is None.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class ParameterSpec(NamedTuple):
    """A parameter before it has values, or a running statistic."""

    name: str
    shape: tuple[int, ...]
    init: str | float               # the initialiser's name, or what all values start from
    decays: bool = False            # do weight decay and penalties apply? To weights they do, to biases not.
    trainable: bool = True          # running statistics are not: the layer itself changes them


class Parameter:
    """The descriptor; ``doc`` says what the array is, with its shape."""

    def __init__(self, doc: str, name: str = "") -> None:
        self.__doc__ = f"{doc}; assigning copies values in."
        self.name = name                            # compiled classes do not call __set_name__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type[Any] | None = None) -> Any:
        if layer is None:
            return self
        layer.network.wake()
        values: dict[str, npt.NDArray[np.floating[Any]]] = layer.values
        return values.get(self.name)

    def __set__(self, layer: Any, value: object) -> None:
        layer.set_parameter(self.name, value)

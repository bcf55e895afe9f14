"""Parameter: an attribute of a layer that reads an array of the layer's and copies values into it.

    class Linear(Layer):
        weight = Parameter("W, shape (in_features, out_features)")

``layer.weight`` is the array itself, ``layer.weight = values`` copies values in, and a parameter that the layer was
made without is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import checks
from .arrays import as_initial

Array = npt.NDArray[Any]


class ParameterSpec(NamedTuple):
    """A parameter before it has values, or a running statistic."""

    name: str
    shape: tuple[int, ...]
    init: Any                       # an initialiser, or what all values start from: what init.as_init returns
    decays: bool = False            # do weight decay and penalties apply? To weights they do, to biases not.
    trainable: bool = True          # running statistics are not: the layer itself changes them


class HasParameters:
    """What a layer of the reference and a user's own layer have: parameters by name, declared by ``add``.

    The dicts are made at their first use, so a subclass need not call ``super().__init__()``.
    """

    @cached_property
    def specs(self) -> dict[str, ParameterSpec]:
        """Name → shape and kind of each parameter and running statistic of this layer itself."""
        return {}

    @cached_property
    def values(self) -> dict[str, Array]:
        """Name → array of each parameter and running statistic of this layer itself; empty until the first use."""
        return {}

    @cached_property
    def gradients(self) -> dict[str, Array]:
        """Name → gradient of each parameter of this layer itself; empty until the first use."""
        return {}

    def add(
        self, name: str, shape: Sequence[int], init: Any = "zeros", *, decays: bool | None = None,
        trainable: bool = True,
    ) -> None:
        """Declares a parameter, or with ``trainable=False`` a running statistic.

        Its values start from ``init``, as for ``Linear``: an initialiser's name, an ``Init``, a number, an array or a
        function. ``decays`` says whether weight decay and penalties apply: by default to matrices.
        """
        dims = checks.as_shape("shape", shape)
        if not isinstance(init, str) and not hasattr(init, "config"):
            init = as_initial("init", init, dims)
        self.specs[name] = ParameterSpec(name, dims, init, len(dims) > 1 if decays is None else decays, trainable)


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

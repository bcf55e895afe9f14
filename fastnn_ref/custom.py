"""Host: the layer of this package that runs a user's ``CustomLayer`` or ``CustomActivation``.

The user's object derives from no class of the package. The host stands for it among the layers: it has the object's
parameters, gives its methods copies of x and dy, and checks what they return.

Engine: fastnn/custom.pyx.
"""

from __future__ import annotations

from typing import Any

from .layer import Layer
from .network import Array, Shape
from .shared import checks
from .shared.custom import CustomLayer


class Host(Layer):
    """A layer that calls the methods of ``custom``; other attributes are the user object's, too."""

    def __init__(self, custom: CustomLayer) -> None:
        self.custom = custom
        self.__dict__.update(specs=custom.specs, values=custom.values, gradients=custom.gradients)
        custom._host = self

    @property
    def changes_shape(self) -> bool:                    # type: ignore[override]
        return bool(self.custom.changes_shape)

    @property
    def input_shape(self) -> Shape | None:
        return self.custom.input_shape

    def output_shape(self, shape: Shape) -> Shape:
        return tuple(self.custom.output_shape(tuple(shape)))

    def min_batch_size(self, shape: Shape) -> int:
        return self.custom.min_batch_size(tuple(shape))

    def returned(self, method: str, value: object, shape: Shape, like: Array) -> Array:
        """What a method returned, as an array of ``shape``."""
        return checks.as_result(f"{type(self.custom).__name__}.{method}", value, shape, like.dtype)

    def forward_pass(self, x: Array, training: bool) -> Array:
        self.saved = x.shape
        y = self.custom.forward_pass(x.copy(), training)
        return self.returned("forward_pass", y, (len(x), *self.output_shape(x.shape[1:])), x)

    def backward_pass(self, dy: Array) -> Array:
        return self.returned("backward_pass", self.custom.backward_pass(dy.copy()), self.saved, dy)

    def act(self, u: Array) -> Array:
        """y, of a ``CustomActivation``."""
        return self.returned("act", self.custom.act(u.copy()), u.shape, u)

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        """du, of a ``CustomActivation``."""
        return self.returned("act_backward", self.custom.act_backward(dy.copy(), u.copy(), y.copy()), u.shape, u)

    def config(self) -> dict[str, Any]:
        return self.custom.config()

    def __repr__(self) -> str:
        return repr(self.custom)

    def __getattr__(self, name: str) -> Any:
        if name == "custom" or name.startswith("__"):               # a copy under way has nothing yet
            raise AttributeError(name)
        return getattr(self.custom, name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.custom._host = self


def as_layer(name: str, value: Any) -> Layer:
    """A layer that stands in no other one; a user's object gets a host. ValueError or TypeError for anything else."""
    if isinstance(value, CustomLayer):
        host = value._host
        if host is not None:
            checks.check_unowned(name, host)
        value = host if isinstance(host, Host) else Host(value)
    checks.check_instance(name, value, Layer)
    checks.check_unowned(name, value)
    layer: Layer = value
    return layer

"""Host: the layer of this package that runs a user's ``CustomLayer`` or ``CustomActivation``.

The user's object derives from no class of the package. The host stands for it among the layers: it has the object's
parameters, gives its methods copies of x and dy, and checks what they return.

Engine: fastnn/custom.pyx.
"""

import weakref
from collections.abc import Sequence
from typing import Any

from .layer import Array, Layer, Shape
from .network import clear_gradients
from .shared import checks
from .shared.arrays import as_result
from .shared.custom import CustomLayer, as_written, check_in_place, check_own_dicts, kept_arrays
from .shared.objects import check_instance, check_unowned


class Host(Layer):
    """A layer that calls the methods of ``custom``; other attributes are the user object's, too."""

    _kept: Any = None                               # the arrays that the network knows

    def __init__(self, custom: CustomLayer) -> None:
        check_own_dicts(custom)
        self.custom = custom
        self.__dict__.update(specs=custom.specs, values=custom.values, gradients=custom.gradients)
        if custom.input_shape is not None:
            self._input_shape = custom.checked_shape("input_shape", custom.input_shape)
        self.__dict__.update(changes_shape=bool(custom.changes_shape))
        self._trainable, self._lr_scale = custom._trainable, custom._lr_scale
        custom._host = weakref.ref(self)

    def output_shape(self, shape: Shape) -> Shape:
        return self.custom.checked_shape("output_shape", self.custom.output_shape(checks.as_example_shape(shape)))

    def min_batch_size(self, shape: Shape) -> int:
        return self.custom.checked_batch_size(tuple(shape))

    def call(self, method: str, name: str, shape: Shape, arrays: Sequence[Array], *others: bool) -> Array:
        """What a method of the user's returns for copies of ``arrays``: an array of ``shape``.

        Beside another thread's prediction the method is that of a copy, so that neither sees what the other one saves.
        """
        custom = self.custom._beside() if self.network.is_beside else self.custom
        found = checks.call_own(getattr(custom, method), *(array.copy() for array in arrays), *others)
        method, name = as_written(custom, method), as_written(custom, name)
        check_in_place(custom, method, self._kept)
        return as_result(f"{type(custom).__name__}.{method}", name, found, shape, arrays[0].dtype)

    def _bind(self) -> None:
        self._kept = kept_arrays(self.values, self.gradients)

    def forward_pass(self, x: Array, training: bool) -> Array:
        self._saved = x.shape
        return self.call("forward_pass", "y", (len(x), *self.output_shape(x.shape[1:])), [x], training)

    def backward_pass(self, dy: Array) -> Array:
        dx = self.call("backward_pass", "dx", self._saved, [dy])
        clear_gradients(self)
        return dx

    def act(self, u: Array) -> Array:
        """y, of a ``CustomActivation``."""
        return self.call("act", "y", u.shape, [u])

    def act_backward(self, dy: Array, u: Array, y: Array) -> Array:
        """du, of a ``CustomActivation``."""
        return self.call("act_backward", "du", u.shape, [dy, u, y])

    def config(self) -> dict[str, Any]:
        return self.custom.config()

    def __repr__(self) -> str:
        return repr(self.custom)

    def __getattr__(self, name: str) -> Any:
        if name == "custom" or name.startswith("__"):   # a copy under way has nothing yet
            raise AttributeError(name)
        return getattr(self.custom, name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.custom._host = weakref.ref(self)


def as_layer(name: str, value: Any) -> Any:
    """A layer that stands in no other one. ValueError or TypeError for anything else.

    Any, as ``model[i]``: no annotation says which class a place holds, and users read ``model.layers[0].weight``.
    A user's object gets a host: a new one if it has none or that one is gone.
    """
    if isinstance(value, CustomLayer):
        host = value._living_host()
        if host is not None:
            check_unowned(name, host)
        value = host if isinstance(host, Host) else Host(value)
    check_unowned(name, check_instance(name, value, Layer))
    return value

"""Layer: one step of a network. It goes forward, and it goes back.

Forward, a layer turns x into y. Backward, it is told dy, how much the loss would change with each element of y, and
answers two questions by the chain rule: how much with each parameter (``grads``), and how much with each element
of x (dx, which is the dy of the layer before).

    forward     y = f(x; parameters)
    backward    dx = (∂y/∂x)ᵀ dy,   grads = (∂y/∂parameters)ᵀ dy

Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).
Twin: fastnn/layer.pyx.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import init, philox
from .shared import checks
from .shared.parameter import ParameterSpec

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

DEFAULT_DTYPE = np.dtype(np.float64)


class Layer:
    """A step of the network: keeps its parameters, goes forward, goes back.

    ``params`` and ``grads`` map names (``"weight"``, ``"bias"``) to arrays. ``forward`` takes ``x`` of shape (n, …)
    and returns y; ``backward`` takes dy, the gradient of the loss with respect to y, sets ``grads`` (it never adds to
    them) and returns dx. ``backward`` belongs to the last ``forward`` in the model, which must have been in training.

    A new kind of layer gives ``output_shape``, ``forward_pass`` and ``backward_pass``, and declares its parameters.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.ReLU()
    >>> layer.forward(np.array([[-1.0, 2.0]]), training=True)
    array([[0., 2.]])
    >>> layer.backward(np.array([[5.0, 5.0]]))
    array([[0., 5.]])
    """

    changes_shape = False                                # does what comes out have another shape than what goes in?

    def __init__(self) -> None:
        if type(self) is Layer:
            raise TypeError("Layer: an abstract class; use Linear, ReLU, ...")
        self.specifications: list[ParameterSpec] = []
        self.input_shape: Shape | None = None       # of one example, where it is known
        self.values: dict[str, Array] = {}          # come into being in `build`
        self.gradients: dict[str, Array] = {}
        self.parent: Layer | None = None            # the model around this layer
        self.penalties: tuple[Any, ...] = ()        # of a Sequential, for the parameters inside
        self.number = 0                             # its place in the model: it draws from a stream of its own
        self._steps = 0                             # training passes so far: the counter of random masks
        self._step = 0                              # its value in the pass under way
        self._seed = 0
        self._dtype: np.dtype[Any] | None = None
        self._built = False
        self._kept: Any = None                      # what backward_pass needs of the last forward_pass
        self._last: tuple[Layer, Shape] | None = None       # of a model: who went forward in training, and y's shape

    # ---- what a kind of layer defines ----

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """The shape of one example's output for one example's input ``shape``; ValueError if that does not fit.

        >>> import fastnn_ref as nn
        >>> nn.Linear(64, 10).output_shape((64,))
        (10,)
        """
        return tuple(shape)

    def forward_pass(self, x: Array, training: bool) -> Array:
        """y, in the words of the formula; ``x`` is known to fit."""
        raise NotImplementedError

    def backward_pass(self, dy: Array) -> Array:
        """Sets ``gradients`` and returns dx; ``dy`` is known to fit, and is not changed."""
        raise NotImplementedError

    def min_batch_size(self, shape: Sequence[int]) -> int:
        """The fewest examples of ``shape`` that a training batch needs."""
        return 1

    def inside(self) -> tuple[Layer, ...]:
        """The layers that this one is made of."""
        return ()

    def leaves(self, prefix: str = "") -> list[tuple[str, Layer]]:
        """(dotted prefix, layer) of every layer that has parameters or random numbers of its own."""
        return [(prefix, self)]

    # ---- for users ----

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of parameters and activations: ``float32`` or ``float64``."""
        return self.outermost().build()

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

    def parameters(self) -> list[tuple[str, Array, Array, bool]]:
        """(name, value, gradient, decays) of every parameter, names dotted; weights decay, biases do not."""
        self.outermost().build()
        return [(prefix + each.name, layer.values[each.name], layer.gradients[each.name], each.decays)
                for prefix, layer in self.leaves() for each in layer.specifications if each.trainable]

    def state(self) -> dict[str, Array]:
        """Name → array of everything that training changes: parameters and running statistics."""
        self.outermost().build()
        return {prefix + each.name: layer.values[each.name]
                for prefix, layer in self.leaves() for each in layer.specifications}

    def restraints(self) -> list[tuple[Any, Array, Array]]:
        """(penalty, value, gradient) for each parameter that a penalty covers."""
        own = [(penalty, value, gradient) for penalty in self.penalties
               for _, value, gradient, decays in self.parameters() if penalty.covers(decays)]
        return own + [each for layer in self.inside() for each in layer.restraints()]

    @property
    def steps(self) -> int:
        """Training passes so far: the counter of the random masks. Set it back to draw the same masks again."""
        return self._steps

    @steps.setter
    def steps(self, value: object) -> None:
        self._steps = checks.as_integer("steps", value, 0, 2**62)

    def assign(self, name: str, value: object) -> None:
        """Copies values into a parameter or a running statistic; the shape must be its own."""
        found = checks.as_parameter_value(name, value, self.state().get(name))
        self.state()[name][...] = found

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and running statistics by dotted name, as in PyTorch.

        >>> import fastnn_ref as nn
        >>> sorted(nn.Sequential(nn.Linear(2, 3), seed=0).state_dict())
        ['0.bias', '0.weight']
        """
        return {name: value.copy() for name, value in self.state().items()}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Copies a state in. Names and shapes must be just the model's (ValueError).

        >>> import fastnn_ref as nn
        >>> one, two = nn.Sequential(nn.Linear(2, 3), seed=1), nn.Sequential(nn.Linear(2, 3), seed=2)
        >>> two.load_state_dict(one.state_dict())
        >>> bool((one.layers[0].weight == two.layers[0].weight).all())
        True
        """
        own = self.state()
        for name, value in checks.as_state("state", state, own).items():
            own[name][...] = value

    def forward(self, x: object, training: bool = False) -> Array:
        """y for ``x`` of shape (n, …), n >= 1; with ``training=True`` keeps what ``backward`` needs.

        Raises ValueError or TypeError for an ``x`` of another shape or that holds no numbers.
        """
        x = checks.as_batch("x", x, self.dtype, self.input_shape)
        self.output_shape(x.shape[1:])              # a shape that does not fit is an error here
        if training:
            checks.check_batch_size(len(x), self.min_batch_size(x.shape[1:]))
        model = self.outermost()
        model._step = self._steps
        y = self.forward_pass(x, training)
        self._steps += bool(training)
        model._last = (self, y.shape) if training else None
        return y.copy()

    def __call__(self, x: object) -> Array:
        """``forward(x)``: a prediction."""
        return self.forward(x)

    def backward(self, dy: object) -> Array:
        """dx for ``dy``, the loss's gradient with respect to the last training forward's y; sets ``grads``.

        Raises RuntimeError when the last forward was not in training, ValueError for a ``dy`` of another shape.
        """
        last = self.outermost()._last
        if last is None or last[0] is not self:
            raise RuntimeError("backward: call forward(x, training=True) first")
        return self.backward_pass(checks.as_output_gradient(dy, self.dtype, last[1])).copy()

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The constructor's arguments that make such a layer again: (positional, by name)."""
        return (), {}

    def __repr__(self) -> str:
        positional, named = self.arguments()
        return checks.format_call(type(self).__name__, positional, named)

    def __getstate__(self) -> dict[str, Any]:
        # A copy takes the values along, but neither the model around the original nor a pass half done.
        if self.parent is not None:
            self.outermost().build()
        return {**self.__dict__, "parent": None, "_kept": None, "_last": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.adopt()

    # ---- what the outermost layer does ----

    def outermost(self) -> Layer:
        """The whole model that this layer is a part of."""
        layer = self
        while layer.parent is not None:
            layer = layer.parent
        return layer

    def adopt(self) -> None:
        """The layers inside now belong to this one."""
        for layer in self.inside():
            layer.parent = self

    def random_words(self, n: int) -> Array:
        """``n`` random words of 32 bits: the same ones as often as this pass asks, others in the next."""
        model = self.outermost()
        return philox.uint32(n, model._seed, model._step, philox.stream(philox.MASK, self.number))

    def build(self) -> np.dtype[Any]:
        """Gives every parameter its values, once; those that a layer already has are kept. Returns the dtype."""
        if self._dtype is None:
            self._dtype = next((value.dtype for value in self.values.values()), DEFAULT_DTYPE)
        if self._built:
            return self._dtype
        self._built = True
        index = 0
        for number, (_, layer) in enumerate(self.leaves()):
            layer.number = number
            for each in layer.specifications:
                if each.name in layer.values:
                    layer.values[each.name] = layer.values[each.name].astype(self._dtype)
                else:
                    layer.values[each.name] = init.create(
                        each.init, each.shape, self._seed, index, self._dtype)
                if each.trainable:
                    layer.gradients[each.name] = np.zeros(each.shape, self._dtype)
                index += 1
        return self._dtype

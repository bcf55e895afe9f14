"""Layer: one step of a network. It computes y from x, and on the way back the gradients from dy.

dy holds how much the loss changes with each element of y. By the chain rule a layer computes from it how much the loss
changes with each parameter (``grads``), and with each element of x (dx, which is the dy of the layer before).

    forward     y = f(x; parameters)
    backward    dx = (∂y/∂x)ᵀ dy,   grads = (∂y/∂parameters)ᵀ dy

This file has first what a kind of layer defines, then what users call: each public method checks its arguments once
and calls the unchecked method of the kind.

Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).
Engine: fastnn/layer.pyx.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from . import philox
from .network import Array as Array
from .network import Network, listed
from .network import Shape as Shape
from .network import walk as walk
from .shared import checks
from .shared.closed import Closed
from .shared.parameter import ParameterSpec


class Layer(Closed):
    """A step of the network: has parameters, computes y from x, and gradients from dy.

    ``params`` and ``grads`` map names (``"weight"``, ``"bias"``) to arrays. ``forward`` takes ``x`` of shape (n, …)
    and returns y; ``backward`` takes dy, the gradient of the loss with respect to y, sets ``grads`` (it never adds to
    them) and returns dx. ``backward`` belongs to the last ``forward`` in the model, which must have been in training.

    The classes of the package are closed: a layer of your own derives from ``CustomLayer``.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.ReLU()
    >>> layer.forward(np.array([[-1.0, 2.0]]), training=True).tolist()
    [[0.0, 2.0]]
    >>> layer.backward(np.array([[5.0, 5.0]])).tolist()
    [[0.0, 5.0]]
    """

    changes_shape = False                   # does y have another shape than x?
    saved: Any = None                       # what backward_pass needs of the last forward_pass

    _contract = """forward backward __call__ forward_pass backward_pass output_shape min_batch_size children bind plan
                   act act_backward step_pass steps_pass network parent"""
    _instead = "CustomLayer"
    _changeable = frozenset(("saved",))
    _numbered = 1                           # does it take a stream of random numbers? A Sequential takes none
    _penalties: tuple[Any, ...] = ()        # of a Sequential: for the parameters inside
    _index = 0                              # its number in the network, hence its stream
    _input_shape: Shape | None = None       # of one example, where it is known
    _around: weakref.ref[Layer] | None = None           # the layer that this one stands in
    _own_network: Network | None = None

    def __init__(self) -> None:
        if type(self).forward_pass is Layer.forward_pass:
            raise TypeError(f"{type(self).__name__}: an abstract class; use Linear, ReLU, ...")

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

    # ---- what a kind of layer defines, and what it calls ----

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one example's output for one example's input ``shape``; ValueError if that does not fit.

        >>> import fastnn_ref as nn
        >>> nn.Linear(64, 10).output_shape((64,))
        (10,)
        """
        return tuple(shape)

    def min_batch_size(self, shape: Shape) -> int:
        """The fewest examples of ``shape`` that a training batch needs."""
        return 1

    def children(self) -> tuple[tuple[str, Layer], ...]:
        """(name, layer) of each layer that stands directly inside this one."""
        return ()

    def forward_pass(self, x: Array, training: bool) -> Array:
        """y; ``x`` is known to fit."""
        raise NotImplementedError

    def backward_pass(self, dy: Array) -> Array:
        """Sets ``gradients`` and returns dx; ``dy`` is known to fit, and is not changed."""
        raise NotImplementedError

    def add(self, name: str, shape: Shape, init: str, decays: bool = False, trainable: bool = True) -> None:
        """Declares a parameter, or with ``trainable=False`` a running statistic."""
        self.specs[name] = ParameterSpec(name, shape, init, decays, trainable)

    def set_gradients(self, *values: Array) -> None:
        """Sets the gradients, in the order of ``add``; a layer made without bias has no place for the last one."""
        for gradient, value in zip(self.gradients.values(), values, strict=False):
            gradient[...] = value

    def random_words(self, n: int) -> Array:
        """``n`` random words of 32 bits: the same ones each time in this pass, others in the next step."""
        network = self.network
        return philox.uint32(n, network.seed, network.pass_step, philox.stream(philox.MASK, self._index))

    def adopt(self) -> None:
        """The layers inside belong to this one from now on: the last line of the constructor."""
        own = [child._own_network for _, child in self.children() if child._own_network is not None]
        for network in own:
            network.check_free()                        # all checks come before the first change
        for network in own:
            network.sleep()
        for _, child in self.children():
            child._around = weakref.ref(self)

    # ---- what users call ----

    @property
    def input_shape(self) -> Shape | None:
        """The shape of one example of x, where the layer knows it."""
        return self._input_shape

    @property
    def parent(self) -> Layer | None:
        """The layer that this one stands in, if that is still in use."""
        return None if self._around is None else self._around()

    @property
    def network(self) -> Network:
        """What the whole model around this layer has once: seed, dtype, counters, the list of parameters."""
        layer: Layer = self
        while layer._around is not None and (around := layer._around()) is not None:
            layer = around
        if layer._own_network is None:
            layer._own_network = Network(layer)
        return layer._own_network

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of parameters and activations, float32 or float64; see ``Sequential``."""
        return self.network.dtype

    @property
    def steps(self) -> int:
        """Training passes so far: the counter of the random masks. Set it back to draw the same masks again."""
        return self.network.steps

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

    def parameters(self) -> list[tuple[str, Array, Array, bool]]:
        """(name, value, gradient, decays) of every parameter, names dotted; weights decay, biases do not."""
        self.network.wake()
        return listed(self)

    def _tensors(self) -> dict[str, Array]:
        """Name → array of everything that training changes: parameters and running statistics."""
        self.network.wake()
        return {prefix + name: layer.values[name] for prefix, layer in walk(self) for name in layer.specs}

    def set_parameter(self, name: str, value: object) -> None:
        """Copies values into a parameter or a running statistic; the shape must be its own."""
        own = self._tensors()
        own[name][...] = checks.as_parameter_value(name, value, own.get(name)).astype(self.dtype)

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
        return {name: value.copy() for name, value in self._tensors().items()}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Copies a state in. Names and shapes must be just the model's (ValueError); else nothing changes.

        >>> import fastnn_ref as nn
        >>> one, two = nn.Sequential(nn.Linear(2, 3), seed=1), nn.Sequential(nn.Linear(2, 3), seed=2)
        >>> two.load_state_dict(one.state_dict())
        >>> bool((one.layers[0].weight == two.layers[0].weight).all())
        True
        """
        own = self._tensors()
        found = {name: value.astype(self.dtype) for name, value in checks.as_state("state", state, own).items()}
        for name, value in found.items():
            own[name][...] = value

    def forward(self, x: object, training: bool = False) -> Array:
        """y for ``x`` of shape (n, …), n >= 1; with ``training=True`` keeps what ``backward`` needs.

        Raises ValueError or TypeError for an ``x`` of another shape or that holds no numbers, RuntimeError while
        another thread uses the model.
        """
        checks.as_flag("training", training)
        with self.network as network:
            if training:
                network.check_not_training()
            network.wake()
            x, _ = checks.as_input("x", x, self, network.dtype)
            if training:
                checks.check_batch_size(len(x), self.min_batch_size(x.shape[1:]))
            network.begin()
            y = self.forward_pass(x, training)
            if training:
                network.steps, network.pending = network.steps + 1, (weakref.ref(self), y.shape)
            return y.copy()

    def __call__(self, x: object) -> Array:
        """``forward(x)``: a prediction."""
        return self.forward(x)

    def backward(self, dy: object) -> Array:
        """dx for ``dy``, the loss's gradient with respect to the last training forward's y; sets ``grads``.

        Raises RuntimeError when the last forward was not in training or an optimizer has changed the parameters since,
        ValueError for a ``dy`` of another shape.
        """
        with self.network as network:
            network.check_not_training()
            if network.pending is None or network.pending[0]() is not self:
                raise RuntimeError("backward: call forward(x, training=True) first")
            return self.backward_pass(checks.as_output_gradient(dy, network.dtype, network.pending[1])).copy()

    def host_optimizer(self, custom: Any) -> Any:
        """The optimizer of this package that runs ``custom``, a ``CustomOptimizer``."""
        from .optimizer import as_optimizer  # optimizers know layers, and not the other way round

        return as_optimizer(custom)

    def __getstate__(self) -> dict[str, Any]:
        # A copy takes values, gradients and counters along, but neither the layer around nor a pass half done.
        if self.parent is not None:
            self.network.wake()
        return {name: value for name, value in self.__dict__.items() if name not in ("_around", "_whole", "saved")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._own_network is not None:
            self._own_network.bind(self)
        self.adopt()

    def __copy__(self) -> Layer:
        return copy.deepcopy(self)

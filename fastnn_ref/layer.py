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

import weakref
from typing import Any

import numpy as np

from . import philox
from .network import MUTEX, Array, Network, Shape
from .shared import checks
from .shared.access import LayerAccess, assign, check_writable
from .shared.arrays import as_input, as_output_gradient
from .shared.closed import Closed
from .shared.network import MAX_DEPTH, check_enough_rows, no_forward, too_deep
from .shared.objects import attributes_of, check_made, owned, put_attributes
from .shared.parameter import Parameter as Parameter


def sum_over(axes: int | tuple[int, ...], values: Array) -> Array:
    """The sum in float64: one over many rows, one after the other, has a rounding error at each."""
    total: Array = values.sum(axis=axes, dtype=np.float64).astype(values.dtype)
    return total


def check_depth(children: tuple[tuple[str, Layer], ...]) -> None:
    """ValueError for too many levels of layers inside these."""
    depth = 0
    while children:
        children, depth = tuple(each for _, child in children for each in child.children()), depth + 1
        if depth > MAX_DEPTH:
            raise too_deep()


# What belongs to one object, and not to its copies.
NOT_COPIED = "_around", "_whole", "_saved", "_executed", "_kept"


class Layer(Closed, LayerAccess):
    """A step of the network: has parameters, computes y from x, and gradients from dy.

    ``params`` and ``grads`` map names (``"weight"``, ``"bias"``) to arrays. ``forward`` takes ``x`` of shape (n, …)
    and returns y; ``backward`` takes dy, the gradient of the loss with respect to y, sets ``grads`` (it never adds to
    them) and returns dx. ``backward`` belongs to the last ``forward`` in the model; after a prediction its gradients
    are those of the function that predicts: without masks and noise, by running statistics.

    The classes of the package are closed: a layer of your own derives from ``CustomLayer``.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.ReLU()
    >>> layer.forward(np.array([[-1.0, 2.0]]), training=True).tolist()
    [[0.0, 2.0]]
    >>> layer.backward(np.array([[5.0, 5.0]])).tolist()
    [[0.0, 5.0]]
    """

    changes_shape = False                   # does y have another shape than x?
    _saved: Any = None                      # what backward_pass needs of the last forward_pass

    _numbered = 1                           # does it take a stream of random numbers? A Sequential takes none
    _penalties: tuple[Any, ...] = ()        # of a Sequential: for the parameters inside
    _trainable, _lr_scale = True, 1.0       # does training change it, and at how many times the learning rate?
    _index = 0                              # its number in the network, hence its stream
    _input_shape: Shape | None = None       # of one example, where it is known
    _around: weakref.ref[Layer] | None = None           # the layer that this one stands in
    _own_network: Network | None = None

    # ---- what a kind of layer defines, and what it calls ----

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one example's output for one example's input ``shape``; ValueError if that does not fit.

        >>> import fastnn_ref as nn
        >>> nn.Linear(64, 10).output_shape((64,))
        (10,)
        """
        return checks.as_example_shape(shape)

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

    def set_gradients(self, *values: Array) -> None:
        """Sets the gradients, in the order of ``add``; a layer made without bias has no place for the last one.

        Those of a frozen layer stay 0.
        """
        if not self._trainable:
            return
        for gradient, value in zip(self.gradients.values(), values, strict=False):
            gradient[...] = value

    def random_words(self, n: int) -> Array:
        """``n`` random words of 32 bits: the same ones each time in this pass, others in the next step."""
        network = self.network
        return philox.uint32(n, network.seeds.masks, network.pass_step, philox.stream(philox.MASK, self._index))

    def _bind(self) -> None:
        """The network knows the layer's arrays from now on."""

    def adopt(self) -> None:
        """The layers inside belong to this one from now on: the last line of the constructor."""
        check_depth(self.children())
        with MUTEX:
            for _, child in self.children():
                check_made(child)
                if child.parent is not None and child.parent is not self:
                    raise owned("layer", child)     # another thread was faster
                if child._own_network is not None:
                    child._own_network.check_free()         # all checks come before the first change
            self.__dict__["_made"] = True               # from the first link on other threads find this layer
            for _, child in self.children():
                if child._own_network is not None:
                    child._own_network.sleep()
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
        check_made(self)
        around = self.parent
        if around is not None:
            return around.network
        if self._own_network is None:
            self.__dict__.setdefault("_own_network", Network(self))     # one, whichever thread comes first
        found: Network = self.__dict__["_own_network"]
        return found

    def _assign(self, name: str, value: object) -> None:
        with self.network.locked() as network:
            network.check_unused()
            assign(self, name, value, network.awake)
            network.regroup()

    def forward(self, x: object, training: bool = False) -> Array:
        """y for ``x`` of shape (n, …), n >= 1; keeps what ``backward`` needs. ``training=True`` draws masks and counts.

        Raises ValueError or TypeError for an ``x`` of another shape or that holds no numbers, RuntimeError while
        another thread trains the model, or in training while another thread uses it. Threads may predict at once; none
        of their forward passes can be followed by ``backward``.
        """
        with self.network.locked(checks.as_flag("training", training)) as network:
            network.wake()
            x, _ = as_input("x", x, self, network.dtype)
            if training:
                check_enough_rows(len(x), self.min_batch_size(x.shape[1:]))
                check_writable(network.statistics)
            network.begin()
            steps, network.steps = network.steps, network.steps + training
            try:
                y = self.forward_pass(x, training)
            except BaseException:
                network.steps = steps
                raise
            network.end(self, y.shape)
            return y.copy()

    def __call__(self, x: object) -> Array:
        """``forward(x)``: a prediction."""
        return self.forward(x)

    def backward(self, dy: object, input_gradient: bool = True) -> Array | None:
        """dx for ``dy``, the loss's gradient with respect to the last forward's y; sets ``grads``.

        With ``input_gradient=False`` it returns None, and the engine saves the work of dx. Raises RuntimeError when
        there was no forward, another thread predicted meanwhile, or an optimizer or an assignment to ``trainable`` has
        come since; ValueError for a ``dy`` of another shape.
        """
        wanted = checks.as_flag("input_gradient", input_gradient)
        with self.network.locked(training=True) as network:
            if network.pending is None or network.pending[0]() is not self:
                raise no_forward()
            network.use.in_pass = True
            dx = self.backward_pass(as_output_gradient(dy, network.dtype, network.pending[1]))
            return dx.copy() if wanted else None

    def __getstate__(self) -> dict[str, Any]:
        # A copy takes values, gradients and counters along, but neither the layer around nor a pass half done.
        if self.parent is not None:
            self.network.wake()
        return {name: value for name, value in attributes_of(self).items() if name not in NOT_COPIED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        put_attributes(self, state)
        if self._own_network is not None:
            self._own_network.bind(self)
        self.adopt()

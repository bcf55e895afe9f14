"""Residual blocks, and stochastic depth: in training a block is left out with probability p.

    residual    y  = x + block(x)                   dx = dy + block's backward of dy
    forward     y  = x + m · block(x) / (1 − p)     m = 0 with probability p, else 1; so E[y] = x + block(x)
    backward    dx = dy + block's backward of m · dy / (1 − p)
    prediction  y  = x + block(x)
    rates       p_l = l / L · p_L                   of blocks l = 1 … L: ``stochastic_depth_rates``

A block learns what to add to x. Because of the identity beside it a gradient reaches the layers before the block even
where the block is left out, and what remains in training is a shorter network. One m for the whole batch saves the
block's work, forward and backward; one m for each example saves nothing, and its gradient is less noisy.

Sources: He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2016); Huang, Sun, Liu, Sedra and
Weinberger, "Deep networks with stochastic depth" (2016), equations 2 and 4, who scale at prediction instead.
Engine: fastnn/stochastic_depth.pyx.
"""

from typing import Any

from . import philox
from .custom import as_layer
from .dropout import dropout
from .layer import Array, Layer, Shape
from .shared import checks
from .shared.closed import Setting
from .shared.shapes import check_residual_shape


class Residual(Layer):
    """y = x + block(x): ``block`` is a layer, or a Sequential of several, that keeps the shape, else ValueError.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Residual(nn.ReLU())(np.array([[-1.0, 2.0]])).tolist()
    [[-1.0, 4.0]]
    """

    _numbered = 0

    def __init__(self, block: Any) -> None:
        self.block = as_layer("block", block)
        self._input_shape = self.block.input_shape
        if self._input_shape is not None:
            self.output_shape(self._input_shape)
        self.adopt()

    def children(self) -> tuple[tuple[str, Layer], ...]:
        return (("block", self.block),)

    def output_shape(self, shape: Shape) -> Shape:
        """The input's own shape, which the block must keep."""
        return check_residual_shape(type(self).__name__, self.block, shape)

    def min_batch_size(self, shape: Shape) -> int:
        return self.block.min_batch_size(shape)

    def forward_pass(self, x: Array, training: bool) -> Array:
        return x + self.block.forward_pass(x, training)

    def backward_pass(self, dy: Array) -> Array:
        return dy + self.block.backward_pass(dy)


class StochasticDepth(Residual):
    """y = x + block(x); in training ``block`` is left out with probability ``p`` and else multiplied by 1 / (1 − p).

    ``block`` as for ``Residual``; 0 <= ``p`` <= 1, and p = 0 is ``Residual``. ``mode="batch"`` decides once for a
    training batch and really skips the block's work: its gradients are then 0; an optimizer's momentum and weight decay
    go on, and running statistics stay. ``"row"`` decides for each example. ``executed`` counts the training passes in
    which the block worked, since the layer was made or the count was set to 0; a copy begins at 0.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.StochasticDepth(nn.Identity(), 0.5, mode="row"), seed=0)
    >>> sorted(set(model.forward(np.ones((100, 1)), training=True).ravel().tolist()))
    [1.0, 3.0]
    >>> model(np.ones((1, 1))).tolist()
    [[2.0]]
    """

    executed = Setting(lambda name, value: checks.as_integer(name, value, 0, 2**62),
                       "Training passes in which the block worked; it may be set.")
    _executed = 0
    _numbered = 1

    def __init__(self, block: Any, p: float, mode: str = "batch") -> None:
        self.p = checks.as_number("p", p, 0, 1)
        self.mode = checks.as_choice("mode", mode, ("batch", "row"))
        super().__init__(block)

    def forward_pass(self, x: Array, training: bool) -> Array:
        if not training:
            self._saved = None
            return super().forward_pass(x, training)
        draws = len(x) if self.mode == "row" else 1
        kept = self._saved = ~philox.bernoulli(self.random_words(draws), self.p).reshape(-1, *[1] * (x.ndim - 1))
        if self.mode == "batch" and not kept.any():
            return x
        self._executed += 1
        return x + dropout(self.block.forward_pass(x, training), kept, self.p)

    def backward_pass(self, dy: Array) -> Array:
        if self._saved is None:
            return super().backward_pass(dy)
        if self.mode == "batch" and not self._saved.any():
            for gradient in self.block.grads.values():
                gradient[...] = 0
            return dy
        return dy + self.block.backward_pass(dropout(dy, self._saved, self.p))

"""Stochastic depth: in training a residual block is left out with probability p; what remains is a shorter network.

    forward     y  = x + m · block(x) / (1 − p)     m = 0 with probability p, else 1; so E[y] = x + block(x)
    backward    dx = dy + block's backward of m · dy / (1 − p)
    prediction  y  = x + block(x)

The identity beside the block is what makes it work: without it nothing would come through. One m for the whole batch
saves the block's work, forward and backward; one m for each example saves nothing, and its gradient is less noisy.

Source: Huang, Sun, Liu, Sedra and Weinberger, "Deep networks with stochastic depth" (2016), equations 2 and 4; they
scale at prediction instead. Twin: fastnn/stochastic_depth.pyx.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import philox
from .layer import Array, Layer, Shape
from .shared import checks


def stochastic_depth_rates(depth: int, p_last: float = 0.5) -> list[float]:
    """p of each of ``depth`` blocks: p_l = l / depth · p_last, l = 1 … depth; the first ones are hardly ever left out.

    >>> stochastic_depth_rates(4, 0.5)
    [0.125, 0.25, 0.375, 0.5]
    """
    depth, p_last = checks.as_integer("depth", depth, 1), checks.as_number("p_last", p_last, 0, 1)
    return [block / depth * p_last for block in range(1, depth + 1)]


class StochasticDepth(Layer):
    """y = x + block(x); in training ``block`` is left out with probability ``p`` and else multiplied by 1 / (1 − p).

    ``block`` is a layer, or a Sequential of several, that keeps the shape (else ValueError); 0 <= ``p`` <= 1, with
    p = 0 a plain residual block. ``mode="batch"`` decides once for a training batch and really skips the block's work:
    its gradients are then 0; an optimizer's momentum and weight decay go on, and running statistics stay. ``"row"``
    decides for each example.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.StochasticDepth(nn.Identity(), 0.5, mode="row"), seed=0)
    >>> sorted(set(model.forward(np.ones((100, 1)), training=True).ravel().tolist()))
    [1.0, 3.0]
    >>> model(np.ones((1, 1))).tolist()
    [[2.0]]
    """

    def __init__(self, block: Layer, p: float, mode: str = "batch") -> None:
        super().__init__()
        self.block = checks.check_instance("block", block, Layer)
        checks.check_unowned("block", block)
        self.p = checks.as_number("p", p, 0, 1)
        self.mode = checks.as_choice("mode", mode, ("batch", "row"))
        self.input_shape = block.input_shape
        if self.input_shape is not None:
            self.output_shape(self.input_shape)
        self.adopt()

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.block, self.p), {"mode": self.mode}

    def inside(self) -> tuple[Layer, ...]:
        return (self.block,)

    def leaves(self, prefix: str = "") -> list[tuple[str, Layer]]:
        return [(prefix, self), *self.block.leaves(f"{prefix}block.")]

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """The input's own shape, which the block must keep."""
        return checks.check_residual_shape(type(self).__name__, self.block, shape)

    def min_batch_size(self, shape: Sequence[int]) -> int:
        return self.block.min_batch_size(shape)

    def masked(self, values: Array) -> Array:
        """m · values / (1 − p)."""
        if self._kept is None:
            return values
        kept = self._kept.reshape(-1, *[1] * (values.ndim - 1))
        return np.where(kept, values, 0) * values.dtype.type(philox.scale(self.p))

    def forward_pass(self, x: Array, training: bool) -> Array:
        self._kept = None
        if training:
            draws = len(x) if self.mode == "row" else 1
            self._kept = ~philox.bernoulli(self.random_words(draws), self.p)
            if self.mode == "batch" and not self._kept[0]:
                return x
        return x + self.masked(self.block.forward_pass(x, training))

    def backward_pass(self, dy: Array) -> Array:
        if self.mode == "batch" and not self._kept[0]:
            for _, layer in self.block.leaves():
                for gradient in layer.gradients.values():
                    gradient[...] = 0
            return dy
        return dy + self.block.backward_pass(self.masked(dy))

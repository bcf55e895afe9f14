"""DropConnect: a Linear whose weights, not its units, are thrown away at random in training.

    forward     u = x @ (W∘m / (1 − p)) + b,  y = act(u)        m = 0 with probability p, else 1, for each weight
    backward    du = dy · act'(u)
                dW = (xᵀ @ du)∘m / (1 − p)                      summed over the examples, each with its own m
                db = Σ_rows du,  dx = du @ (W∘m / (1 − p))ᵀ
    prediction  u is a sum of many independent terms, so nearly normal, with the mean and the variance of that sum:
                u ~ N(x @ W + b, p/(1 − p) · (x∘x) @ (W∘W)), and y = E[act(u)]
                    identity    E = mean
                    relu        E = mean · Φ(mean/σ) + σ · φ(mean/σ)
                    others      the mean of act over draws of u

Source: Wan, Zeiler, Zhang, LeCun and Fergus, "Regularization of neural networks using DropConnect" (2013), algorithms 1
and 2; they scale at prediction instead, and sample for relu, too. Twin: fastnn/dropconnect.pyx.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import philox
from .activation import Activation, normal_distribution
from .layer import Array
from .linear import Linear
from .shared import checks

PREDICTION = 2**32 - 1          # the step that prediction's draws belong to: no training gets there


class DropConnect(Linear):
    """``Linear`` whose weights are zeroed with probability ``p`` in training and otherwise multiplied by 1 / (1 − p).

    0 <= ``p`` <= 1; p = 0 is ``Linear``. ``mask="example"`` draws a mask for each example, ``"batch"`` one for a whole
    training batch, which is much faster. ``inference="gaussian"`` predicts the mean output over all masks, matching
    mean and variance (p < 1): in closed form without an activation and for relu, else as the mean of ``samples`` >= 1
    draws, the same ones each time; ``"mean"`` uses the weights as they are. Other arguments as for ``Linear``.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.DropConnect(2, 1, 0.5, activation="relu", init="ones")
    >>> print(layer(np.array([[1.0, -1.0]])).round(4))      # relu(0) is 0, the mean of relu over N(0, 2) is not
    [[0.5642]]
    >>> print(nn.DropConnect(2, 1, 0.5, inference="mean", activation="relu", init="ones")(np.array([[1.0, -1.0]])))
    [[0.]]
    """

    def __init__(
        self, in_features: int, out_features: int, p: float = 0.5, mask: str = "example", inference: str = "gaussian",
        activation: str | Activation | None = None, bias: bool = True, *, init: str | None = None, samples: int = 100,
    ) -> None:
        super().__init__(in_features, out_features, activation, bias, init=init)
        self.mask = checks.as_choice("mask", mask, ("example", "batch"))
        self.inference = checks.as_choice("inference", inference, ("gaussian", "mean"))
        self.p = checks.check_dropconnect(checks.as_number("p", p, 0, 1), inference)
        self.samples = checks.as_integer("samples", samples, 1, 2**20)
        checks.check_size("samples", samples, out_features)

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        positional, named = super().arguments()
        named = {"mask": self.mask, "inference": self.inference, **named, "samples": self.samples}
        return (*positional, self.p), named

    def masked(self, values: Array) -> Array:
        """values∘m / (1 − p)."""
        return np.where(self._mask, values, 0) * values.dtype.type(philox.scale(self.p))

    def forward_pass(self, x: Array, training: bool) -> Array:
        if self.p == 0 or (not training and self.inference == "mean"):
            self._mask: Any = None
            return super().forward_pass(x, training)
        if not training:
            return self.expectation(x)
        w = self.values["weight"]
        shape = (len(x), *w.shape) if self.mask == "example" else w.shape
        self._mask = ~philox.bernoulli(self.random_words(math.prod(shape)), self.p).reshape(shape)
        u = np.einsum("ni,nio->no", x, self.masked(w)) if self.mask == "example" else x @ self.masked(w)
        if "bias" in self.values:
            u = u + self.values["bias"]
        y = self.activation.act(u)
        self._kept = x, u, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        if self._mask is None:
            return super().backward_pass(dy)
        x, u, y = self._kept
        du = self.activation.act_back(dy, u, y)
        if "bias" in self.values:
            self.gradients["bias"][...] = du.sum(axis=0)
        w = self.masked(self.values["weight"])
        if self.mask == "batch":
            self.gradients["weight"][...] = self.masked(x.T @ du)
            return du @ w.T
        self.gradients["weight"][...] = self.masked(x[:, :, None] * du[:, None, :]).sum(axis=0)
        return np.einsum("no,nio->ni", du, w)

    def expectation(self, x: Array) -> Array:
        """E[act(u)]."""
        w = self.values["weight"]
        mean = x @ w + self.values.get("bias", x.dtype.type(0))
        if self.activation.name == "identity":
            return mean
        sigma = np.sqrt(x.dtype.type(self.p / (1 - self.p)) * (x**2 @ w**2))
        if self.activation.name == "relu":
            t = np.divide(mean, sigma, out=np.zeros_like(mean), where=sigma > 0)
            density = np.exp(-0.5 * t**2) / math.sqrt(2 * math.pi)
            return np.where(sigma > 0, mean * normal_distribution(t) + sigma * density, np.maximum(mean, 0))
        shape = self.samples, self.out_features
        draws = philox.normal(shape, self.outermost()._seed, PREDICTION, philox.stream(philox.MASK, self.number))
        total = np.zeros_like(mean)
        for z in draws.astype(x.dtype):                             # the same for every example and batch
            total += self.activation.act(mean + sigma * z)
        return total / x.dtype.type(self.samples)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_mask": None}

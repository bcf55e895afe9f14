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
    its backward    dx = dmean @ Wᵀ + 2x∘(dv @ (W∘W)ᵀ),  dW = xᵀ @ dmean + 2W∘((x∘x)ᵀ @ dv),  db = Σ_rows dmean
                    dv = p/(1 − p) · dσ / 2σ, and 0 where σ is
                    relu        dmean = dy · Φ(mean/σ),  dσ = dy · φ(mean/σ)
                    others      the means of dy · act'(u), and of that times the draw

Source: Wan, Zeiler, Zhang, LeCun and Fergus, "Regularization of neural networks using DropConnect" (2013), algorithms 1
and 2; they scale at prediction instead, and sample for relu, too. Engine: fastnn/dropconnect.pyx.
"""

import math
from typing import Any

import numpy as np

from . import philox
from .activation import ActivationLike, normal_distribution
from .dropout import dropout
from .init import InitLike
from .layer import Array, Shape, sum_over
from .linear import Linear, linear_backward, linear_forward
from .shared import checks
from .shared.shapes import check_input_shape

PREDICTION = 2**32 - 1          # the step that prediction's draws belong to: no training gets there


def masked_forward(x: Array, w: Array, b: Array | None) -> Array:
    """u (n, out) for x (n, in), with a W for each example, w (n, in, out), or one for all, (1, in, out)."""
    u = np.einsum("ni,nio->no", x, w)
    return u if b is None else u + b


def masked_backward(du: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """dx, dW for each example, db."""
    return np.einsum("no,nio->ni", du, w), x[:, :, None] * du[:, None, :], sum_over(0, du)


def moments(x: Array, w: Array, b: Array, p: float) -> tuple[Array, Array]:
    """Mean and standard deviation of u over all masks."""
    return linear_forward(x, w, b), np.sqrt(x.dtype.type(p / (1 - p)) * linear_forward(x**2, w**2, None))


def moments_backward(dmean: Array, dsigma: Array, x: Array, w: Array, sigma: Array,
                     p: float) -> tuple[Array, Array, Array]:
    """dx, dW, db."""
    dv = x.dtype.type(p / (1 - p)) * np.divide(dsigma, 2 * sigma, out=np.zeros_like(sigma), where=sigma > 0)
    dx, dw, db = linear_backward(dmean, x, w)
    dx_squares, dw_squares, _ = linear_backward(dv, x**2, w**2)
    return dx + 2 * x * dx_squares, dw + 2 * w * dw_squares, db


def expected_relu(mean: Array, sigma: Array) -> Array:
    """E[max(u, 0)] for u ~ N(mean, sigma²)."""
    t = np.divide(mean, sigma, out=np.zeros_like(mean), where=sigma > 0)
    density = np.exp(-0.5 * t**2) / math.sqrt(2 * math.pi)
    return np.where(sigma > 0, mean * normal_distribution(t) + sigma * density, np.maximum(mean, 0))


def expected_relu_backward(dy: Array, mean: Array, sigma: Array) -> tuple[Array, Array]:
    """dmean, dσ."""
    t = np.divide(mean, sigma, out=np.zeros_like(mean), where=sigma > 0)
    density = np.exp(-0.5 * t**2) / math.sqrt(2 * math.pi)
    return dy * np.where(sigma > 0, normal_distribution(t), mean > 0), dy * density


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

    def __init__(self, in_features: int, out_features: int, p: float = 0.5, mask: str = "example",
                 inference: str = "gaussian", activation: ActivationLike = None, bias: bool = True, *,
                 init: InitLike | None = None, samples: int = 100) -> None:
        self.mask = checks.as_choice("mask", mask, ("example", "batch"))
        self.inference = checks.as_choice("inference", inference, ("gaussian", "mean"))
        self.p = checks.check_dropconnect(checks.as_number("p", p, 0, 1), inference)
        self.samples = checks.as_integer("samples", samples, 1, 2**20)
        checks.check_size("samples", samples, checks.as_integer("out_features", out_features, 1))
        super().__init__(in_features, out_features, activation, bias, init=init)

    def output_shape(self, shape: Shape) -> Shape:
        """(out_features,) for (in_features,)."""
        return check_input_shape(type(self).__name__, shape, (self.in_features,), (self.out_features,))

    def forward_pass(self, x: Array, training: bool) -> Array:
        if self.p == 0 or (not training and self.averages_weights):
            return super().forward_pass(x, training)
        if not training:
            return self.expectation(x)
        w, masks = self.values["weight"], len(x) if self.mask == "example" else 1
        mask = ~philox.bernoulli(self.random_words(masks * w.size), self.p).reshape(masks, *w.shape)
        u = masked_forward(x, dropout(w, mask, self.p), self.values.get("bias"))
        y = self.activation.act(u)
        self._saved = x, u, y, mask
        return y

    def backward_pass(self, dy: Array) -> Array:
        if len(self._saved) == 3:                                   # what Linear's forward saved
            return super().backward_pass(dy)
        x, u, y, mask = self._saved
        if mask is None:
            return self.expectation_backward(dy, x, u, y)
        du = self.activation.act_backward(dy, u, y)
        dx, dw, db = masked_backward(du, x, dropout(self.values["weight"], mask, self.p))
        self.set_gradients(sum_over(0, dropout(dw, mask, self.p)), db)
        return dx

    @property
    def averages_weights(self) -> bool:
        """Is the prediction that of the weights as they are? E[u] is."""
        return self.inference == "mean" or self.activation.name == "identity"

    def expectation(self, x: Array) -> Array:
        """E[act(u)]."""
        zero = np.zeros(1, x.dtype)
        mean, sigma = moments(x, self.values["weight"], self.values.get("bias", zero), self.p)
        self._saved = x, mean, sigma, None
        if self.activation.name == "relu":
            return expected_relu(mean, sigma)
        total = np.zeros_like(mean)
        for z in self.draws(x.dtype):
            total += self.activation.act(mean + sigma * z)
        return total / x.dtype.type(self.samples)

    def expectation_backward(self, dy: Array, x: Array, mean: Array, sigma: Array) -> Array:
        """dx; sets the gradients."""
        if self.activation.name == "relu":
            dmean, dsigma = expected_relu_backward(dy, mean, sigma)
        else:
            dmean, dsigma = np.zeros_like(mean), np.zeros_like(mean)
            for z in self.draws(x.dtype):
                u = mean + sigma * z
                du = self.activation.act_backward(dy, u, self.activation.act(u)) / x.dtype.type(self.samples)
                dmean, dsigma = dmean + du, dsigma + du * z
        dx, *gradients = moments_backward(dmean, dsigma, x, self.values["weight"], sigma, self.p)
        self.set_gradients(*gradients)
        return dx

    def draws(self, dtype: np.dtype[Any]) -> Array:
        """Normal numbers (samples, out): the same for every example and batch."""
        found: Array = philox.normal((self.samples, self.out_features), self.network.seeds.masks, PREDICTION,
                                     philox.stream(philox.MASK, self._index)).astype(dtype)
        return found

"""What one would write in NumPy by hand: a multilayer perceptron's step, and relu(x @ W + b) there and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.nets import Array, Net, package


def step(net: Net) -> Any:
    """A training step of Linear layers with relu between them; the larger temporaries are avoided."""
    (x, t), model = net.data(), net.build(package("fastnn_ref"))
    weights, biases = ([getattr(layer, name).copy() for layer in model.layers] for name in ("weight", "bias"))
    values = [*weights, *biases]
    means, squares = ([np.zeros_like(value) for value in values] for _ in range(2))
    rows, steps = np.arange(len(t)), 0

    def work() -> float:
        nonlocal steps
        kept = [x]
        for w, b in zip(weights, biases, strict=True):
            u = kept[-1] @ w
            u += b
            kept.append(np.maximum(u, 0, out=u) if len(kept) < len(weights) else u)
        p = kept.pop()
        p -= p.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(p).sum(axis=1))
        loss = float(np.mean(log_sum - p[rows, t]))
        d = np.exp(p - log_sum[:, None])
        d[rows, t] -= 1
        d /= len(t)
        gradients: list[Array] = []
        db: list[Array] = []
        for y, w in zip(reversed(kept), reversed(weights), strict=True):
            gradients.insert(0, y.T @ d)
            db.insert(0, d.sum(axis=0))
            if y is not x:
                d = d @ w.T
                d *= y > 0
        steps += 1
        c1, c2 = 1 - 0.9**steps, 1 - 0.999**steps
        for value, g, m, v in zip(values, gradients + db, means, squares, strict=True):
            m *= 0.9
            m += 0.1 * g
            v *= 0.999
            v += 0.001 * (g * g)
            value -= 1e-3 / c1 * m / (np.sqrt(v / c2) + 1e-8)
        return loss

    return work


def product(x: Array, w: Array, b: Array) -> Any:
    """relu(x @ W + b) without temporaries."""
    y = np.empty((len(x), w.shape[1]), x.dtype)

    def work() -> Array:
        np.matmul(x, w, out=y)
        np.add(y, b, out=y)
        return np.maximum(y, 0, out=y)

    return work


def product_and_back(x: Array, w: Array, b: Array, dy: Array) -> Any:
    """The same, then dx, dW and db."""
    forward, du, dx, dw = product(x, w, b), np.empty_like(dy), np.empty_like(x), np.empty_like(w)

    def work() -> tuple[Array, Array, Array, Array]:
        y = forward()
        np.multiply(dy, y > 0, out=du)
        np.matmul(x.T, du, out=dw)
        np.matmul(du, w.T, out=dx)
        return y, dx, dw, du.sum(axis=0)

    return work

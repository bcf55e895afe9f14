"""What one would write in NumPy by hand: a multilayer perceptron's step, and relu(x @ W + b) with its gradients."""

from typing import Any

import numpy as np

from bench.nets import Net, Work, package
from bench.peers.ours import Size, operands
from tests.cases import Array


def step(net: Net) -> Work | None:
    """A training step of Linear layers with relu between them; the larger temporaries are avoided."""
    if not net.is_plain():
        return None
    (x, t), model = net.data(), net.build(package("fastnn_ref"))
    weights, biases = ([getattr(layer, name).copy() for layer in model.layers] for name in ("weight", "bias"))
    values = [*weights, *biases]
    means, squares = ([np.zeros_like(value) for value in values] for _ in range(2))
    rows, steps = np.arange(len(t)), 0

    def work() -> float:
        nonlocal steps
        inputs = [x]
        for w, b in zip(weights, biases, strict=True):
            u = inputs[-1] @ w
            u += b
            inputs.append(np.maximum(u, 0, out=u) if len(inputs) < len(weights) else u)
        p = inputs.pop()
        p -= p.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(p).sum(axis=1))
        loss = float(np.mean(log_sum - p[rows, t]))
        d = np.exp(p - log_sum[:, None])
        d[rows, t] -= 1
        d /= len(t)
        dw: list[Array] = []
        db: list[Array] = []
        for y, w in zip(reversed(inputs), reversed(weights), strict=True):
            dw.insert(0, y.T @ d)
            db.insert(0, d.sum(axis=0))
            if y is not x:
                d = d @ w.T
                d *= y > 0
        steps += 1
        c1, c2 = 1 - 0.9**steps, 1 - 0.999**steps
        for value, g, m, v in zip(values, dw + db, means, squares, strict=True):
            m *= 0.9
            m += 0.1 * g
            v *= 0.999
            v += 0.001 * (g * g)
            value -= 1e-3 / c1 * m / (np.sqrt(v / c2) + 1e-8)
        return loss

    return work


def product(size: Size, dtype: str, back: bool) -> Work:
    """Without temporaries."""
    x, w, b, dy = operands(size, dtype)
    y, du, dx, dw = np.empty_like(dy), np.empty_like(dy), np.empty_like(x), np.empty_like(w)

    def forward() -> Array:
        np.matmul(x, w, out=y)
        np.add(y, b, out=y)
        return np.maximum(y, 0, out=y)

    def work() -> tuple[Array, ...]:
        forward()
        np.multiply(dy, y > 0, out=du)
        np.matmul(x.T, du, out=dw)
        np.matmul(du, w.T, out=dx)
        return y, dx, dw, du.sum(axis=0)

    return work if back else forward


CANDIDATES: dict[str, Any] = {"step": {"numpy": step}, "product": {"numpy": product}}

"""JAX's twin of a multilayer perceptron's step: one jitted function, its state donated. It uses every core."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.nets import Net, package

jax: Any = package("jax")           # not `import`: the types are checked where it is missing, too
jnp: Any = package("jax.numpy")
State = tuple[Any, Any, Any, Any]           # parameters, Adam's two means, steps


def loss(params: list[tuple[Any, Any]], x: Any, t: Any) -> Any:
    """Cross-entropy of Linear layers with relu between them."""
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x @ w + b), t[:, None], axis=1))


def update(state: State, x: Any, t: Any) -> tuple[Any, State]:
    """The loss, and the state after a step of Adam."""
    params, m, v, steps = state
    value, g = jax.value_and_grad(loss)(params, x, t)
    steps = steps + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    c1, c2 = 1 - 0.9**steps, 1 - 0.999**steps
    params = jax.tree.map(lambda p, m, v: p - 1e-3 / c1 * m / (jnp.sqrt(v / c2) + 1e-8), params, m, v)
    return value, (params, m, v, steps)


def step(net: Net) -> Any:
    """A training step, waited for."""
    layers = net.build(package("fastnn_ref")).layers
    params = [tuple(jnp.asarray(np.array(each.params[name])) for name in ("weight", "bias")) for each in layers]
    x, t = (jnp.asarray(part) for part in net.data())
    zeros = jax.tree.map(jnp.zeros_like, params)
    state: State = (params, zeros, jax.tree.map(jnp.zeros_like, params), jnp.float32(0))
    jitted = jax.jit(update, donate_argnums=0)

    def work() -> Any:
        nonlocal state
        value, state = jitted(state, x, t)
        return value.block_until_ready()

    return work

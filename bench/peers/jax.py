"""JAX: a multilayer perceptron's step as one jitted function, its state donated. It uses every core."""

from typing import Any

import numpy as np

from bench.nets import Net, Work, package

jax: Any = package("jax")           # not `import`: the types are checked where it is missing, too
jnp: Any = package("jax.numpy")


def loss(params: list[tuple[Any, Any]], x: Any, t: Any) -> Any:
    """Cross-entropy of Linear layers with relu between them."""
    *hidden, (w, b) = params
    for v, c in hidden:
        x = jax.nn.relu(x @ v + c)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x @ w + b), t[:, None], axis=1))


def update(params: Any, m: Any, v: Any, steps: Any, x: Any, t: Any) -> tuple[Any, ...]:
    """The loss, and parameters, Adam's two means and the number of steps after a step."""
    value, g = jax.value_and_grad(loss)(params, x, t)
    steps = steps + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    c1, c2 = 1 - 0.9**steps, 1 - 0.999**steps
    params = jax.tree.map(lambda p, m, v: p - 1e-3 / c1 * m / (jnp.sqrt(v / c2) + 1e-8), params, m, v)
    return value, params, m, v, steps


def step(net: Net) -> Work | None:
    """A training step; the call returns when the loss is there."""
    if not net.is_plain():
        return None
    layers, (x, t) = net.build(package("fastnn_ref")).layers, map(jnp.asarray, net.data())
    params = [tuple(jnp.asarray(np.array(each.params[name])) for name in ("weight", "bias")) for each in layers]
    state = [params, *(jax.tree.map(jnp.zeros_like, params) for _ in range(2)), jnp.float32(0)]
    jitted = jax.jit(update, donate_argnums=(0, 1, 2, 3))

    def work() -> Any:
        value, *state[:] = jitted(*state, x, t)
        return value.block_until_ready()

    return work


CANDIDATES: dict[str, Any] = {"step": {"jax": step}}

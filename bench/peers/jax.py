"""JAX: a step as one jitted function, its state donated; and many models at once, by vmap. It uses every core."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.nets import Net, Work, package
from bench.peers.ours import SEEDS, epochs_of, whole_batches

jax: Any = package("jax")           # not `import`: the types are checked where it is missing, too
jnp: Any = package("jax.numpy")
KNOWN = {"Linear", "Conv2d", "MaxPool2d", "Flatten"}


def outputs(layers: Sequence[Any], params: Sequence[dict[str, Any]], x: Any) -> Any:
    """The network's outputs: what each layer of the reference computes, in JAX's words."""
    for layer, own in zip(layers, params, strict=True):
        kind = type(layer).__name__
        if kind == "Linear":
            x = x @ own["weight"] + own["bias"]
        elif kind == "Conv2d":
            x = jax.lax.conv_general_dilated(x, own["weight"], layer.stride, [(each, each) for each in layer.padding],
                                             dimension_numbers=("NCHW", "OIHW", "NCHW")) + own["bias"][:, None, None]
        elif kind == "MaxPool2d":
            window = 1, 1, *layer.kernel_size
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        else:
            x = x.reshape(len(x), -1)
        if type(getattr(layer, "activation", None)).__name__ == "ReLU":
            x = jax.nn.relu(x)
    return x


def known_layers(net: Net) -> Sequence[Any] | None:
    """The network's layers, if it has no others than ``outputs`` knows."""
    layers: list[Any] = net.build(package("fastnn_ref")).layers
    return layers if {type(layer).__name__ for layer in layers} <= KNOWN else None


def updater(layers: Sequence[Any]) -> Any:
    """A function of (state, batch) that gives the next state, parameters, Adam's means and the step, and the loss."""

    def loss(params: Any, x: Any, t: Any) -> Any:
        scores = jax.nn.log_softmax(outputs(layers, params, x))
        return -jnp.mean(jnp.take_along_axis(scores, t[:, None], axis=1))

    def update(state: Any, batch: Any) -> tuple[Any, Any]:
        params, m, v, steps = state
        value, g = jax.value_and_grad(loss)(params, *batch)
        steps = steps + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        c1, c2 = 1 - 0.9**steps, 1 - 0.999**steps
        params = jax.tree.map(lambda p, m, v: p - 1e-3 / c1 * m / (jnp.sqrt(v / c2) + 1e-8), params, m, v)
        return (params, m, v, steps), value

    return update


def first_state(params: Any, steps: Any) -> Any:
    """The state before the first step."""
    return params, jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params), steps


def values_of(model: Any) -> list[dict[str, Any]]:
    """The parameters of each layer."""
    return [{name: np.array(value) for name, value in layer.params.items()} for layer in model.layers]


def step(net: Net) -> Work | None:
    """A training step; the call returns when the loss is there."""
    layers = known_layers(net)
    if layers is None:
        return None
    batch = tuple(map(jnp.asarray, net.data()))
    state = [first_state(jax.tree.map(jnp.asarray, values_of(net.build(package("fastnn_ref")))), jnp.float32(0))]
    jitted = jax.jit(updater(layers), donate_argnums=0)

    def work() -> Any:
        state[0], value = jitted(state[0], batch)
        return value.block_until_ready()

    return work


def seeds(net: Net) -> Work | None:
    """SEEDS models train in one call: their parameters lie in one array each, scans go over epochs and batches."""
    layers = known_layers(net)
    if layers is None:
        return None
    x, t = whole_batches(net)
    batches = tuple(jnp.asarray(part.reshape(-1, net.batch, *part.shape[1:])) for part in (x, t))
    models = [values_of(net.build(package("fastnn_ref"), seed)) for seed in range(SEEDS)]
    params = jax.tree.map(lambda *parts: jnp.asarray(np.stack(parts)), *models)
    state = [first_state(params, jnp.zeros(SEEDS, jnp.float32))]
    update = updater(layers)

    def train(state: Any, batches: Any) -> Any:
        def epoch(state: Any, _: None) -> Any:
            return jax.lax.scan(update, state, batches)

        state, losses = jax.lax.scan(epoch, state, length=epochs_of(net))
        return state, losses[-1].mean()

    jitted = jax.jit(jax.vmap(train, in_axes=(0, None)), donate_argnums=0)

    def work() -> Any:
        state[0], losses = jitted(state[0], batches)
        return losses.block_until_ready()

    return work


CANDIDATES: dict[str, Any] = {"step": {"jax": step}, "seeds": {"jax": seeds}}

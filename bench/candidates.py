"""Who takes part, and how each does one piece of work: a builder returns a function of no arguments.

A library that is missing is left out, loudly (`missing`). What a call returns is compared before anything is timed.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.nets import LARGE, Array, Net, package
from bench.timing import Work

PEERS = ["torch", "jax", "sklearn"]


def nothing() -> None:
    """What has to be done ahead of most turns."""


class Candidate(NamedTuple):
    """``build`` makes the work; ``before`` is called ahead of building and of every turn."""

    build: Callable[[], Work]
    before: Callable[[], object] = nothing
    every_core: bool = False        # its threads cannot be limited within a process
    optional: bool = False          # may fail here (no compiler): it is then skipped, loudly


Candidates = dict[str, Candidate]


@functools.cache
def installed(name: str) -> bool:
    """Whether a peer can run here."""
    return importlib.util.find_spec(name) is not None


def missing() -> list[str]:
    """The peers that are not installed."""
    return [name for name in PEERS if not installed(name)]


@functools.cache
def pools() -> Any:
    """The thread pools of all libraries; asked for once they are loaded."""
    for name in filter(installed, ["torch", "scipy.linalg", "sklearn.neural_network"]):
        package(name)
    return package("threadpoolctl").ThreadpoolController()


def use_threads(n: int) -> None:
    """The same number for every candidate that lets itself be told."""
    pools().limit(limits=n)
    package("fastnn").set_num_threads(n)
    if installed("torch"):
        package("torch").set_num_threads(n)


# ---- whole training steps ----


def step(name: str, net: Net) -> Work:
    """``model.step`` of one of the two packages: one call."""
    nn, (x, t) = package(name), net.data()
    model, loss, optimizer = net.build(nn), nn.CrossEntropyLoss(), nn.Adam()
    return lambda: model.step(x, t, loss, optimizer)


def by_hand(name: str, net: Net) -> Work:
    """The same step, written out."""
    nn, (x, t) = package(name), net.data()
    model, loss, optimizer = net.build(nn), nn.CrossEntropyLoss(), nn.Adam()

    def work() -> float:
        y = model.forward(x, training=True)
        value: float = loss.forward(y, t)
        model.backward(loss.backward())
        optimizer.step(model)
        return value

    return work


def peer_step(module: str, net: Net, **options: bool) -> Work:
    """A peer's step; its module is imported only where it is installed."""
    work: Work = package(f"bench.{module}").step(net, **options)
    return work


def sklearn_mlp(net: Net) -> Any:
    """A classifier with the hidden layers of ``net``."""
    widths = tuple(layer.out_features for layer in net.build(package("fastnn_ref")).layers[:-1])
    return package("sklearn.neural_network").MLPClassifier(widths, alpha=0.0, batch_size=net.batch)


def plain(net: Net) -> bool:
    """Nothing but Linear layers and relu: what the peers written by hand can do."""
    return all(hasattr(layer, "in_features") for layer in net.layers(package("fastnn_ref"), 0.0))


def steps(net: Net) -> Candidates:
    """Whole steps; PyTorch in both layouts where there are images."""
    found = {name: Candidate(functools.partial(step, name, net)) for name in ("fastnn_ref", "fastnn")}
    peer = functools.partial(functools.partial, peer_step)
    if plain(net):
        found["numpy"] = Candidate(peer("peer_numpy", net))
    if installed("torch"):
        found["torch"] = Candidate(peer("peer_torch", net))
        if len(net.shape) > 1:
            found["torch channels_last"] = Candidate(peer("peer_torch", net, channels_last=True))
        if net.name in LARGE:
            found["torch.compile"] = Candidate(peer("peer_torch", net, compiled=True), optional=True)
    if installed("jax") and plain(net):
        found["jax"] = Candidate(peer("peer_jax", net), every_core=True)
    return found


def loops(net: Net) -> Candidates:
    """The loop written by hand; PyTorch's is its step."""
    found = {name: Candidate(functools.partial(by_hand, name, net)) for name in ("fastnn_ref", "fastnn")}
    if installed("torch"):
        found["torch"] = Candidate(functools.partial(peer_step, "peer_torch", net))
    return found


def instruction_sets(net: Net) -> Candidates:
    """The engine's step on each instruction set that this machine runs."""
    kernels = package("fastnn._kernels")
    return {f"fastnn {isa}": Candidate(functools.partial(step, "fastnn", net), functools.partial(kernels.use_isa, isa))
            for isa in kernels.available()}


# ---- an epoch of 20 batches ----


def epoch_data(net: Net) -> tuple[Array, Array]:
    """Twenty batches in one array, x and class numbers."""
    x, t = net.data()
    return np.concatenate([x] * 20), np.tile(t, 20)


def epoch(name: str, net: Net) -> Work:
    """What ``fit`` runs once an epoch: shuffle, gather, step."""
    nn, (x, t) = package(name), epoch_data(net)
    model, loss, optimizer = net.build(nn), nn.CrossEntropyLoss(), nn.Adam()
    return lambda: model.run_epoch(x, t, loss, optimizer, batch_size=net.batch)


def sklearn_epoch(net: Net) -> Work:
    """scikit-learn's: a call of partial_fit is one epoch, and binarizes its targets once."""
    x, t = epoch_data(net)
    model, classes = sklearn_mlp(net), np.arange(net.classes)
    return lambda: model.partial_fit(x, t, classes=classes)


def epochs(net: Net) -> Candidates:
    """Epochs; PyTorch has no word for one, and a call of scikit-learn's costs too much for a single step."""
    found = {name: Candidate(functools.partial(epoch, name, net)) for name in ("fastnn_ref", "fastnn")}
    if installed("sklearn"):
        found["scikit-learn"] = Candidate(functools.partial(sklearn_epoch, net))
    return found


# ---- relu(x @ W + b) ----

Size = tuple[int, int, int]


def operands(size: Size, dtype: str) -> tuple[Array, ...]:
    """x (n, k), W (k, m), b (m,) and dy (n, m)."""
    n, k, m = size
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=shape).astype(dtype) for shape in ((n, k), (k, m), (m,), (n, m)))


def product(name: str, size: Size, dtype: str, back: bool) -> Work:
    """Linear of one of the two packages, from call to returned array."""
    nn, (x, w, b, dy) = package(name), operands(size, dtype)
    model = nn.Sequential(nn.Linear(size[1], size[2], activation="relu"), dtype=dtype)
    layer = model.layers[0]
    layer.weight, layer.bias = w, b

    def work() -> tuple[Array, ...]:
        y = model.forward(x, training=True)
        dx = model.backward(dy)
        return y, dx, layer.grads["weight"], layer.grads["bias"]

    return work if back else lambda: (model.forward(x),)


def numpy_product(size: Size, dtype: str, back: bool) -> Work:
    """NumPy, every temporary avoided that can be."""
    x, w, b, dy = operands(size, dtype)
    peer = package("bench.peer_numpy")
    work: Work = peer.product_and_back(x, w, b, dy) if back else peer.product(x, w, b)
    return work


def torch_product(size: Size, dtype: str, back: bool) -> Work:
    """PyTorch's addmm and relu; the gradients from autograd."""
    torch = package("torch")
    x, w, b, dy = (torch.from_numpy(part) for part in operands(size, dtype))
    leaves = [part.requires_grad_(back) for part in (x, w, b)]

    def forward() -> Any:
        with torch.inference_mode():
            return (torch.addmm(b, x, w).relu_(),)

    def work() -> Any:
        y = torch.addmm(b, x, w).relu_()
        dx, dw, db = torch.autograd.grad(y, leaves, dy)
        return y, dx, dw, db

    return work if back else forward


def products(size: Size, dtype: str, back: bool) -> Candidates:
    """The engine, NumPy and PyTorch; the reference is NumPy."""
    found = {"numpy": Candidate(functools.partial(numpy_product, size, dtype, back)),
             "fastnn": Candidate(functools.partial(product, "fastnn", size, dtype, back))}
    if installed("torch"):
        found["torch"] = Candidate(functools.partial(torch_product, size, dtype, back))
    return found

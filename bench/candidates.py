"""What is timed against what: each candidate builds a function of no arguments that does the same work.

Equality comes first: `bench/` asserts it before it times. Sizes are those of the docs, small to large.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Work = Callable[[], Any]


class Net(NamedTuple):
    """A multilayer perceptron with relu, cross-entropy and Adam, and a batch for it."""

    widths: tuple[int, ...]
    batch: int

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.widths))} B{self.batch}"

    def data(self) -> tuple[Array, Array]:
        """x in float32 and class numbers."""
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.batch, self.widths[0])).astype(np.float32)
        return x, rng.integers(self.widths[-1], size=self.batch)

    def build(self, nn: Any) -> Any:
        """The network in one of the two packages."""
        pairs = list(zip(self.widths, self.widths[1:], strict=False))
        layers = [nn.Linear(a, b, activation="relu") for a, b in pairs[:-1]]
        return nn.Sequential(*layers, nn.Linear(*pairs[-1]), seed=0, dtype="float32")


NETS = [
    Net((2, 8, 8, 2), 32), Net((64, 32, 10), 32), Net((64, 128, 10), 64), Net((784, 128, 10), 64),
    Net((784, 256, 128, 10), 128),
]
PRODUCTS = [(1, 784, 128), (32, 64, 32), (64, 784, 128), (256, 784, 512), (512, 512, 512), (1024, 1024, 1024)]


def package(name: str) -> Any:
    """``fastnn_ref`` or ``fastnn``."""
    return importlib.import_module(name)


def installed(name: str) -> bool:
    """Whether a candidate can run here."""
    return importlib.util.find_spec(name) is not None


# ---- a whole training step ----


def step(name: str) -> Callable[[Net], Work]:
    """``model.step``: one call."""

    def build(net: Net) -> Work:
        nn, (x, t) = package(name), net.data()
        model, loss, optimizer = net.build(nn), nn.CrossEntropyLoss(), nn.Adam()
        return lambda: model.step(x, t, loss, optimizer)

    return build


def by_hand(name: str) -> Callable[[Net], Work]:
    """The same step, written out."""

    def build(net: Net) -> Work:
        nn, (x, t) = package(name), net.data()
        model, loss, optimizer = net.build(nn), nn.CrossEntropyLoss(), nn.Adam()

        def work() -> float:
            y = model.forward(x, training=True)
            value: float = loss.forward(y, t)
            model.backward(loss.backward())
            optimizer.step(model)
            return value

        return work

    return build


def torch_step(net: Net) -> Work:
    """PyTorch, eager, with its fused Adam."""
    torch = importlib.import_module("torch")
    x, t = (torch.from_numpy(part) for part in net.data())
    layers: list[Any] = []
    for a, b in zip(net.widths, net.widths[1:], strict=False):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    model, loss = torch.nn.Sequential(*layers[:-1]), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def work() -> Any:
        optimizer.zero_grad(set_to_none=True)
        value = loss(model(x), t)
        value.backward()
        optimizer.step()
        return value

    return work


def step_candidates() -> dict[str, Callable[[Net], Work]]:
    """Those that can run here; the reference first, then the engine."""
    found: dict[str, Callable[[Net], Work]] = {"fastnn_ref": step("fastnn_ref"), "fastnn": step("fastnn")}
    if installed("torch"):
        found["torch"] = torch_step
    return found


# ---- an epoch of 20 batches ----


def epoch_data(net: Net) -> tuple[Array, Array]:
    """Twenty batches in one array, x and class numbers."""
    x, t = net.data()
    return np.tile(x, (20, 1)), np.tile(t, 20)


def epoch(name: str) -> Callable[[Net], Work]:
    """What ``fit`` runs once an epoch: shuffle, gather, step."""

    def build(net: Net) -> Work:
        nn, (x, t) = package(name), epoch_data(net)
        model, loss, optimizer = net.build(nn), nn.CrossEntropyLoss(), nn.Adam()
        return lambda: model.run_epoch(x, t, loss, optimizer, batch_size=net.batch)

    return build


def sklearn_epoch(net: Net) -> Work:
    """scikit-learn's MLPClassifier: a call of partial_fit is one epoch, and binarizes its targets once."""
    neural = importlib.import_module("sklearn.neural_network")
    x, t = epoch_data(net)
    model = neural.MLPClassifier(net.widths[1:-1], alpha=0.0, batch_size=net.batch)
    classes = np.arange(net.widths[-1])
    return lambda: model.partial_fit(x, t, classes=classes)


def epoch_candidates() -> dict[str, Callable[[Net], Work]]:
    """Those that can run here; the reference first, then the engine."""
    found: dict[str, Callable[[Net], Work]] = {"fastnn_ref": epoch("fastnn_ref"), "fastnn": epoch("fastnn")}
    if installed("sklearn"):
        found["scikit-learn"] = sklearn_epoch
    return found


# ---- relu(x @ W + b) ----


def product_operands(size: tuple[int, int, int]) -> tuple[Array, Array, Array]:
    """x (n, k), W (k, m) and b (m,)."""
    n, k, m = size
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=shape).astype(np.float32) for shape in ((n, k), (k, m), (m,)))  # type: ignore[return-value]


def numpy_product(size: tuple[int, int, int]) -> Work:
    """NumPy, every temporary avoided that can be."""
    x, w, b = product_operands(size)
    y = np.empty((size[0], size[2]), np.float32)

    def work() -> Array:
        np.matmul(x, w, out=y)
        np.add(y, b, out=y)
        return np.maximum(y, 0, out=y)

    return work


def fastnn_product(size: tuple[int, int, int]) -> Work:
    """The engine's Linear, from call to returned array."""
    nn, (x, w, b) = package("fastnn"), product_operands(size)
    model = nn.Sequential(nn.Linear(size[1], size[2], activation="relu"), dtype="float32")
    model.layers[0].weight, model.layers[0].bias = w, b
    return lambda: model.forward(x)


def torch_product(size: tuple[int, int, int]) -> Work:
    """PyTorch's addmm and an in-place relu."""
    torch = importlib.import_module("torch")
    x, w, b = (torch.from_numpy(part) for part in product_operands(size))

    def work() -> Any:
        with torch.inference_mode():
            return torch.addmm(b, x, w).relu_()

    return work


def product_candidates() -> dict[str, Callable[[tuple[int, int, int]], Work]]:
    """Those that can run here."""
    found: dict[str, Callable[[tuple[int, int, int]], Work]] = {"numpy": numpy_product, "fastnn": fastnn_product}
    if installed("torch"):
        found["torch"] = torch_product
    return found


# ---- threads ----


def set_threads(n: int) -> None:
    """The same number for every candidate."""
    importlib.import_module("threadpoolctl").threadpool_limits(n)
    package("fastnn").set_num_threads(n)
    if installed("torch"):
        importlib.import_module("torch").set_num_threads(n)

"""The networks that are timed, each defined once for all candidates, and what a step of one costs at least.

A network is a list of layers in either package's words; the peers' twins are made by walking over those layers
(`peer_torch`, `peer_jax`). Every step is forward, cross-entropy, backward and Adam, in float32.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Layers = Callable[[Any, float], list[Any]]      # of a package and the dropout probability


def package(name: str) -> Any:
    """``fastnn_ref``, ``fastnn`` or any other module."""
    return importlib.import_module(name)


class Net(NamedTuple):
    """A network and a batch for it: ``shape`` is that of one example."""

    name: str
    shape: tuple[int, ...]
    classes: int
    batch: int
    layers: Layers
    dropout: float = 0.0

    def __str__(self) -> str:
        return f"{self.name} B{self.batch}"

    def data(self) -> tuple[Array, Array]:
        """x in float32 and class numbers."""
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.batch, *self.shape)).astype(np.float32)
        return x, rng.integers(self.classes, size=self.batch)

    def build(self, nn: Any) -> Any:
        """The network in one of the two packages, the same initial values in both, which are drawn now."""
        model = nn.Sequential(*self.layers(nn, self.dropout), seed=0, dtype="float32")
        model.state_dict()              # parameters come into being at first use
        return model

    def calm(self) -> Net:
        """The same without dropout: what can be compared with a library that draws other masks."""
        return self._replace(dropout=0.0)

    def flops(self) -> float:
        """Floating-point operations of one step's products: forward, dW, and dx for all but the first layer."""
        total, shape = 0.0, self.shape
        for layer in self.layers(package("fastnn_ref"), self.dropout):
            after = layer.output_shape(shape)
            if hasattr(layer, "weight") and layer.weight.ndim > 1:
                each = 2 * self.batch * layer.weight.size * math.prod(after[1:])
                total += each * (3 if total else 2)
            shape = after
        return total

    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(value.size for value in self.build(package("fastnn_ref")).params.values())


def mlp(widths: tuple[int, ...], batch: int, name: str = "") -> Net:
    """Linear layers with relu between them."""

    def layers(nn: Any, _dropout: float) -> list[Any]:
        pairs = list(itertools.pairwise(widths))
        return [*(nn.Linear(a, b, activation="relu") for a, b in pairs[:-1]), nn.Linear(*pairs[-1])]

    return Net(name or "-".join(map(str, widths)), widths[:1], widths[-1], batch, layers)


def regularised(widths: tuple[int, ...], batch: int, dropout: float) -> Net:
    """Linear, BatchNorm, relu and dropout, again and again; a Linear layer at the end."""

    def layers(nn: Any, p: float) -> list[Any]:
        pairs = list(itertools.pairwise(widths))
        hidden = [
            [nn.Linear(a, b, bias=False, init="he_uniform"), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(p)]
            for a, b in pairs[:-1]
        ]
        return [*itertools.chain(*hidden), nn.Linear(*pairs[-1])]

    name = f"{'-'.join(map(str, widths))} BatchNorm dropout"
    return Net(name, widths[:1], widths[-1], batch, layers, dropout)


def digits(nn: Any, _dropout: float) -> list[Any]:
    """For the 8×8 digits of scikit-learn."""
    return [
        nn.Conv2d(1, 8, 3, padding=1, activation="relu"), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, activation="relu"), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    ]  # fmt: skip


def lenet(nn: Any, _dropout: float) -> list[Any]:
    """In the manner of LeNet-5, for 28×28."""
    return [
        nn.Conv2d(1, 16, 5, padding=2, activation="relu"), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2, activation="relu"), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1568, 128, activation="relu"), nn.Linear(128, 10),
    ]  # fmt: skip


def vgg(nn: Any, dropout: float) -> list[Any]:
    """In the manner of VGG, for 32×32 in three colours: two 3×3 convolutions, then a pool, three times."""

    def block(inside: int, outside: int) -> list[Any]:
        return [nn.Conv2d(inside, outside, 3, padding=1, bias=False, init="he_uniform"), nn.BatchNorm2d(outside),
                nn.ReLU()]

    channels = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    layers: list[Any] = []
    for index, pair in enumerate(channels):
        layers += block(*pair) + [nn.MaxPool2d(2)] * (index % 2)
    return [*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(128 * 4 * 4, 10)]


MLPS = [
    mlp((2, 8, 8, 2), 32),
    mlp((64, 32, 10), 32),
    mlp((64, 128, 10), 64),
    mlp((784, 128, 10), 64),
    mlp((784, 256, 128, 10), 128),
    mlp((784, 512, 512, 10), 256),
    mlp((784, 1024, 1024, 10), 512),
    regularised((784, 256, 128, 10), 128, 0.5),
]
CONVOLUTIONAL = [
    Net("digits", (1, 8, 8), 10, 32, digits),
    Net("LeNet-like", (1, 28, 28), 10, 64, lenet),
    Net("VGG-like", (3, 32, 32), 10, 64, vgg, 0.5),
]
COMPILED_FROM = MLPS[5]         # torch.compile takes part in the larger Linear nets: it costs half a minute each
LARGE = [net.name for net in MLPS[5:7]]

BATCHES = [mlp((256, 256, 10), batch) for batch in (8, 16, 32, 64, 128, 256, 512, 1024)]
WIDTHS = [mlp((width, width, width, width), 64) for width in (16, 32, 64, 128, 256, 512, 1024)]
DEPTHS = [mlp((128,) * (depth + 1), 64, f"{depth} × 128") for depth in (1, 2, 4, 8, 16, 32)]

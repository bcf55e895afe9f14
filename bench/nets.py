"""The networks that are timed, each defined once for all libraries, and how many operations a step of one takes.

A network is a list of layers in the words of either package; the peers convert those layers. Every step is forward,
cross-entropy, backward and Adam, in float32.
"""

import functools
import importlib
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.cases import Array

Work = Callable[[], Any]                        # one call of it is timed
Layers = Callable[[Any, float], list[Any]]      # of a package and the dropout probability


class Turn(NamedTuple):
    """A candidate's work, and what is called before each round of it (to set threads and instruction set)."""

    work: Work
    before: Work = lambda: None


def package(name: str) -> Any:
    """``fastnn_ref``, ``fastnn`` or any other module."""
    return importlib.import_module(name)


class Net(NamedTuple):
    """A network and a batch for it; ``shape`` is that of one example."""

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

    def build(self, nn: Any, seed: int = 0, **options: Any) -> Any:
        """The network in one of the two packages, with the same initial values in both."""
        model = nn.Sequential(*self.layers(nn, self.dropout), seed=seed, dtype="float32", **options)
        model.state_dict()              # the initial values are drawn at first use: this is it
        return model

    def is_plain(self) -> bool:
        """Has it Linear layers with relu between them and nothing else? A peer written by hand can do no more."""
        return all(hasattr(layer, "in_features") for layer in self.layers(package("fastnn_ref"), 0.0))

    def flops(self, training: bool = True) -> float:
        """Floating-point operations of products: forward, and in training dW, and dx for all but the first layer."""
        total, shape = 0.0, self.shape
        for layer in self.layers(package("fastnn"), self.dropout):
            if hasattr(layer, "weight") and layer.weight.ndim > 1:
                passes = (3 if total else 2) if training else 1
                total += 2 * self.batch * multiply_adds(layer, shape) * passes
            shape = layer.output_shape(shape)
        return total


def multiply_adds(layer: Any, shape: tuple[int, ...]) -> float:
    """Of one example through a Linear or Conv2d layer; not those with the zeros of the padding."""
    layer.weight = np.ones_like(layer.weight)
    return float(layer(np.ones((1, *shape))).sum(dtype=np.float64))     # biases are 0; relu changes no positive number


def mlp(widths: tuple[int, ...], batch: int, name: str = "") -> Net:
    """Linear layers with relu between them."""

    def layers(nn: Any, _dropout: float) -> list[Any]:
        pairs = list(itertools.pairwise(widths))
        return [*(nn.Linear(a, b, activation="relu") for a, b in pairs[:-1]), nn.Linear(*pairs[-1])]

    return Net(name or "-".join(map(str, widths)), widths[:1], widths[-1], batch, layers)


def regularized(nn: Any, p: float) -> list[Any]:
    """784-256-128-10 with BatchNorm and dropout."""
    layers: list[Any] = []
    for a, b in ((784, 256), (256, 128)):
        layers += [nn.Linear(a, b, bias=False, init="he_uniform"), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(p)]
    return [*layers, nn.Linear(128, 10)]


def digits(nn: Any, _dropout: float) -> list[Any]:
    """For the 8×8 digits of scikit-learn."""
    return [
        nn.Conv2d(1, 8, 3, padding=1, activation="relu"), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, activation="relu"), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    ]  # fmt: skip


def lenet(nn: Any, _dropout: float, algorithm: str = "direct") -> list[Any]:
    """Like LeNet-5, for images of 28×28; the algorithm is that of the second convolution."""
    return [
        nn.Conv2d(1, 16, 5, padding=2, activation="relu"), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2, activation="relu", algorithm=algorithm), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1568, 128, activation="relu"), nn.Linear(128, 10),
    ]  # fmt: skip


def vgg(nn: Any, dropout: float, algorithm: str = "direct") -> list[Any]:
    """Like VGG, for 32×32 in three colours: two 3×3 convolutions, then a pool, three times.

    The algorithm is that of all convolutions but the first, whose few channels give Winograd's formulas little to save.
    """
    layers: list[Any] = []
    for index, (a, b) in enumerate([(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]):
        layers += [nn.Conv2d(a, b, 3, padding=1, bias=False, init="he_uniform",
                             algorithm=algorithm if index else "direct"), nn.BatchNorm2d(b), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] * (index % 2)
    return [*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(128 * 4 * 4, 10)]


def mobilenet(nn: Any, _dropout: float) -> list[Any]:
    """Like MobileNet, for 32×32 in three colours: pairs of a 3×3 convolution of each channel and one of 1×1."""

    def normalized(*arguments: Any, **options: Any) -> list[Any]:
        convolution = nn.Conv2d(*arguments, bias=False, init="he_uniform", **options)
        return [convolution, nn.BatchNorm2d(arguments[1]), nn.ReLU()]

    layers = normalized(3, 32, 3, padding=1)
    for a, b, stride in [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]:
        layers += [*normalized(a, a, 3, padding=1, stride=stride, groups=a), *normalized(a, b, 1)]
    return [*layers, nn.GlobalAvgPool2d(), nn.Linear(256, 10)]


MLPS = [
    mlp((2, 8, 8, 2), 32),
    mlp((64, 32, 10), 32),
    mlp((64, 128, 10), 64),
    mlp((784, 128, 10), 64),
    mlp((784, 256, 128, 10), 128),
    mlp((784, 512, 512, 10), 256),
    mlp((784, 1024, 1024, 10), 512),
    Net("784-256-128-10 BatchNorm dropout", (784,), 10, 128, regularized, 0.5),
]
CONVOLUTIONAL = [
    Net("digits", (1, 8, 8), 10, 32, digits),
    Net("LeNet-like", (1, 28, 28), 10, 64, lenet),
    Net("VGG-like", (3, 32, 32), 10, 64, vgg, 0.5),
    Net("MobileNet-like", (3, 32, 32), 10, 64, mobilenet),
]
WINOGRAD = [
    CONVOLUTIONAL[1]._replace(name="LeNet-like winograd", layers=functools.partial(lenet, algorithm="winograd")),
    CONVOLUTIONAL[2]._replace(name="VGG-like winograd", layers=functools.partial(vgg, algorithm="winograd")),
]
COMPILED = [net.name for net in MLPS[5:7]]      # torch.compile takes half a minute a network: only the large ones

GROWTH = {                                      # group: [(size, network)]
    "batch": [(batch, mlp((256, 256, 10), batch)) for batch in (8, 16, 32, 64, 128, 256, 512, 1024)],
    "width": [(width, mlp((width,) * 4, 64)) for width in (16, 32, 64, 128, 256, 512, 1024)],
    "depth": [(depth, mlp((128,) * (depth + 1), 64, f"{depth} × 128")) for depth in (1, 2, 4, 8, 16, 32)],
}

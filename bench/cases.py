"""What is timed, in groups: each case has a kind of work (`bench.peers`), arguments for it, and its flops or bytes.

``bytes`` is the least traffic, every operand once, though a kernel may need a second look (a mean before a variance).
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bench.nets import CONVOLUTIONAL, GROWTH, MLPS, Net, Work, multiply_adds, package
from bench.peers import Build, builders
from bench.peers.ours import EXAMPLES, PARAMETERS, Make, Size, loss_data
from tests.cases import ACTIVATIONS, ALL_CHANGES, CASES, LOSSES, OPTIMIZERS, PENALTIES, Array, Named

SIZES: list[Size] = [(1, 784, 128), (32, 64, 32), (64, 784, 128), (256, 784, 512), (512, 512, 512), (1024, 1024, 1024)]
WIDE, IMAGES = (256, 1024), (64, 32, 16, 16)
CONVOLUTIONS = [            # channels in, channels out, height and width, kernel
    (1, 8, 8, 3), (1, 16, 28, 5), (16, 32, 14, 5),
    (3, 32, 32, 3), (32, 32, 32, 3), (32, 64, 16, 3), (64, 64, 16, 3), (64, 128, 8, 3), (128, 128, 8, 3),
]  # fmt: skip
SLOTS = {"SGD": 0, "RMSprop": 1, "Adam": 2, "AdamW": 2}     # numbers an optimizer keeps for each weight
FORWARD_AND_BACK, MASKED = 20, 16       # bytes a value: x read, y written; x (or y) and dy read, dx written; no x


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of a table; ``flops`` and ``bytes`` are those of one call."""

    group: str
    name: str
    kind: str
    args: tuple[Any, ...]
    compared: tuple[Any, ...] | None = None     # these instead, where libraries draw random numbers of their own
    flops: float = 0.0
    bytes: float = 0.0
    dtype: str = "float32"
    calls: int = 1                              # the results of so many calls are compared
    tolerance: float = 1e-4                     # relative to the largest value; seen: 1e-5
    apart: tuple[str, ...] = ()                 # candidates whose results cannot be compared
    only: tuple[str, ...] = ()                  # candidates; empty: all

    def __str__(self) -> str:
        return f"{self.group} {self.name}"

    def candidates(self, args: tuple[Any, ...]) -> dict[str, Build]:
        """Functions without arguments, by the candidate's name."""
        return {name: functools.partial(build, *args) for name, build in builders(self.kind).items()
                if not self.only or name in self.only}

    def check(self, works: dict[str, Work]) -> None:
        """AssertionError unless works that were just built return what the first one returns."""
        want: list[list[Array]] = []
        for name, work in works.items():
            got = [arrays(work()) for _ in range(self.calls)]
            want = want or got
            for a, b in ((a, b) for call in zip(got, want, strict=True) for a, b in zip(*call, strict=True)):
                error, scale = np.abs(a - b).max(), np.abs(b).max()
                assert a.shape == b.shape, f"{self}: {name} gives an array of shape {a.shape}, expected {b.shape}"
                assert error <= self.tolerance * scale, f"{self}: {name} differs by {error / scale:.1e}"


def arrays(result: Any) -> list[Array]:
    """Copies of what a call returned."""
    parts = result if isinstance(result, tuple) else (result,)
    return [np.array(part.detach().numpy() if hasattr(part, "detach") else part) for part in parts]


def of_net(group: str, net: Net, kind: str = "step", only: tuple[str, ...] = ()) -> Case:
    """Steps of a network; three are compared, without dropout."""
    case = Case(group, str(net), kind, (net,), flops=net.flops(), calls=3, only=only)
    if not net.dropout:
        return case
    return dataclasses.replace(case, compared=(net._replace(dropout=0.0),), tolerance=1e-3)    # BatchNorm; seen: 1e-4


def products(group: str) -> Iterable[Case]:
    """relu(x @ W + b), alone or with its gradients: every size in float32, the two largest in float64, too."""
    back = group == "backward"
    for size, dtype in [(size, "float32") for size in SIZES] + [(size, "float64") for size in SIZES[-2:]]:
        n, k, m = size
        passes, real = 3 if back else 1, np.finfo(dtype)
        yield Case(group, "×".join(map(str, size)) + " float64" * (dtype == "float64"), "product", (size, dtype, back),
                   flops=2.0 * n * k * m * passes, bytes=passes * (n * k + k * m + n * m) * real.bits / 8,
                   dtype=dtype, tolerance=8 * k * float(real.eps), only=("numpy", "fastnn", "torch"))


def of_layer(group: str, name: str, make: Make, shape: tuple[int, ...], each: float = FORWARD_AND_BACK,
             **options: Any) -> Case:
    """A layer forward and backward, ``each`` bytes for each value of x."""
    return Case(group, f"{name} {'×'.join(map(str, shape))}", "layer", (make, shape), bytes=each * math.prod(shape),
                **options)


def norms() -> Iterable[Case]:
    """Over the batch, over images, over an example."""
    yield of_layer("norms", "BatchNorm1d", lambda nn: nn.BatchNorm1d(WIDE[1]), WIDE)
    yield of_layer("norms", "BatchNorm2d", lambda nn: nn.BatchNorm2d(IMAGES[1]), IMAGES)
    yield of_layer("norms", "LayerNorm", lambda nn: nn.LayerNorm(WIDE[1]), WIDE)


def noises() -> Iterable[Case]:
    """Masks, noise, augmentation; PyTorch draws other masks."""
    yield of_layer("noise", "Dropout", lambda nn: nn.Dropout(0.5), WIDE, MASKED, apart=("torch",))
    yield of_layer("noise", "GaussianNoise", lambda nn: nn.GaussianNoise(0.1), WIDE, MASKED)
    for name, changes in [*((name, {name: value}) for name, value in ALL_CHANGES.items()), ("all nine", ALL_CHANGES)]:
        augment = Named(f"Augment {name}", "Augment", changes)
        yield of_layer("noise", augment.name, augment.make, (64, 1, 28, 28), MASKED)


def pools() -> Iterable[Case]:
    """Windows of 2×2: y is a quarter of x."""
    yield of_layer("pools", "MaxPool2d", lambda nn: nn.MaxPool2d(2), IMAGES, 14)
    yield of_layer("pools", "AvgPool2d", lambda nn: nn.AvgPool2d(2), IMAGES, 10)


def convolutions() -> Iterable[Case]:
    """The layers of the networks: forward, dW and dx."""
    for inside, outside, side, kernel in CONVOLUTIONS:
        def make(nn: Any, args: tuple[int, ...] = (inside, outside, kernel)) -> Any:
            return nn.Conv2d(*args, padding=args[-1] // 2)

        shape = (64, inside, side, side)
        yield of_layer("convolutions", f"{outside} of {kernel}×{kernel} on", make, shape, 0.0,
                       flops=6 * 64 * multiply_adds(make(package("fastnn_ref")), shape[1:]))


def losses() -> Iterable[Case]:
    """y read and dy written, and a target for each value unless it is a class number."""
    for case in LOSSES:
        y, t = loss_data(case)
        yield Case("losses", f"{case.name} {'×'.join(map(str, EXAMPLES))}", "loss", (case,),
                   bytes=y.size * (8 if t.dtype.kind == "i" else 12))


def optimizers() -> Iterable[Case]:
    """One pass over weights, gradients and slots."""
    for case in OPTIMIZERS:
        slots = SLOTS[case.cls] + ("momentum" in case.arguments)
        yield Case("optimizers", f"{case.name} {PARAMETERS:,}", "optimizer", (case,), calls=3,
                   bytes=(12 + 8 * slots) * PARAMETERS)


def small() -> Iterable[Case]:
    """Every case of the tests: small shapes, so this is what a call costs; then penalties, and mixup."""
    for case in CASES:
        yield Case("small", case.name, "layer", (case.make, case.shape), only=("fastnn_ref", "fastnn"))
    for penalty in PENALTIES:
        yield Case("small", f"step with {penalty.name}", "step", (MLPS[2], penalty), only=("fastnn_ref", "fastnn"))
    yield Case("small", "epoch with mixup", "mixup", (MLPS[2],))


def of_growth(group: str) -> Iterable[Case]:
    """One size after the other."""
    return (of_net(group, net, only=("fastnn", "torch")) for _, net in GROWTH[group])


GROUPS: dict[str, Callable[[], Iterable[Case]]] = {
    "steps": lambda: (of_net("steps", net) for net in MLPS),
    "conv": lambda: (of_net("conv", net) for net in CONVOLUTIONAL),
    "hand": lambda: (of_net("hand", net, "hand") for net in [*MLPS[:5], CONVOLUTIONAL[0]]),
    "epochs": lambda: (Case("epochs", str(net), "epoch", (net,), flops=20 * net.flops(), apart=("scikit-learn",))
                       for net in MLPS[:5]),
    "predict": lambda: (Case("predict", str(net), "predict", (net,), flops=net.flops() / 3, apart=("scikit-learn",))
                        for net in [MLPS[1]._replace(batch=1), MLPS[3]._replace(batch=1), MLPS[3]]),
    "products": lambda: products("products"),
    "backward": lambda: products("backward"),
    "isa": lambda: (of_net("isa", net, "isa") for net in [*MLPS[1:6], *CONVOLUTIONAL]),
    "optimizers": optimizers,
    "activations": lambda: (of_layer("activations", each.name, each.make, WIDE) for each in ACTIVATIONS[1:]),
    "losses": losses,
    "norms": norms,
    "noise": noises,
    "pools": pools,
    "convolutions": convolutions,
    **{group: functools.partial(of_growth, group) for group in GROWTH},
    "small": small,
}

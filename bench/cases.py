"""What is timed, in groups: each case has a kind of work (`bench.peers`), arguments for it, and its flops or bytes.

``bytes`` is the least traffic, every operand once, though a kernel may need a second look (a mean before a variance).
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bench.nets import CONVOLUTIONAL, GROWTH, MLPS, WINOGRAD, Net, Turn, multiply_adds, package
from bench.peers import Build, builders
from bench.peers.ours import EXAMPLES, PARAMETERS, ROWS, SEEDS, Size, epochs_of, loss_data, served
from fastnn_ref.shared.config import signature
from tests.cases import (
    ACTIVATIONS,
    ALL_CHANGES,
    CASES,
    LOSSES,
    MASKS,
    NOISES,
    NORMS,
    OPTIMIZERS,
    PENALTIES,
    POOLS,
    Array,
    Named,
)
from tests.cases import Case as LayerCase

SIZES: list[Size] = [(1, 784, 128), (32, 64, 32), (64, 784, 128), (256, 784, 512), (512, 512, 512), (1024, 1024, 1024)]
WIDE, IMAGES, DIGITS = (256, 1024), (64, 32, 16, 16), (64, 1, 28, 28)
REQUIRED = {"normalized_shape": WIDE[1], "kernel_size": 2, "output_size": 8, "std": 0.1, "num_groups": 4}


def plain(cases: Iterable[LayerCase]) -> Iterable[tuple[Named, tuple[int, ...]]]:
    """Each class among cases of layers, with the arguments that it requires and the shape of a batch for it."""
    nn = package("fastnn_ref")
    for cls in dict.fromkeys(type(case.make(nn)).__name__ for case in cases):
        required = [each.name for each in signature(getattr(nn, cls)) if each.default is each.empty]
        shape = IMAGES if "2d" in cls or cls == "GroupNorm" else WIDE
        given = {name: shape[1] if name in ("num_features", "num_channels") else REQUIRED[name] for name in required}
        yield Named(cls, cls, given), shape


LAYERS: list[tuple[Named, tuple[int, ...], int]] = [        # and bytes for each value of x: read or written once, where
    *((each, WIDE, 20) for each in ACTIVATIONS[1:]),        # x (or y) is read again in the backward pass
    *((each, shape, 20) for each, shape in plain(NORMS)),
    *((each, shape, 16) for each, shape in plain(MASKS + NOISES)),              # here it is not
    *((Named(f"Augment {name}", "Augment", {name: value}), DIGITS, 16) for name, value in ALL_CHANGES.items()),
    (Named("Augment all nine", "Augment", ALL_CHANGES), DIGITS, 16),
    *((each, shape, {"MaxPool2d": 14, "AvgPool2d": 10}.get(each.cls, 8)) for each, shape in plain(POOLS)),  # y is small
    *((Named(f"Upsample {mode}", "Upsample", {"scale_factor": 2, "mode": mode}), IMAGES, 40)         # y is large
      for mode in ("nearest", "bilinear")),
]
CONVOLUTIONS = [            # those of the networks: channels in, channels out, height and width, kernel
    (1, 8, 8, 3), (1, 16, 28, 5), (16, 32, 14, 5),
    (3, 32, 32, 3), (32, 32, 32, 3), (32, 64, 16, 3), (64, 64, 16, 3), (64, 128, 8, 3), (128, 128, 8, 3),
]  # fmt: skip


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

    def check(self, turns: dict[str, Turn]) -> None:
        """AssertionError unless works that were just built return what the first one returns."""
        want: list[list[Array]] = []
        for name, turn in turns.items():
            if name.rpartition(", ")[0] in self.apart:
                continue
            turn.before()
            got = [arrays(turn.work()) for _ in range(self.calls)]
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


def layers() -> Iterable[Case]:
    """Each forward and backward; only fastnn's two packages draw the same random numbers."""
    for layer, shape, each in LAYERS:
        yield Case("layers", f"{layer.name} {'×'.join(map(str, shape))}", "layer", (layer.make, shape),
                   bytes=each * math.prod(shape), apart=("torch",) if layer.cls == "Dropout" else ())
    for inside, outside, side, kernel in CONVOLUTIONS:
        arguments = {"in_channels": inside, "out_channels": outside, "kernel_size": kernel, "padding": kernel // 2}
        convolution, shape = Named("", "Conv2d", arguments), (64, inside, side, side)
        yield Case("layers", f"{outside} of {kernel}×{kernel} on {'×'.join(map(str, shape))}", "layer",
                   (convolution.make, shape),
                   flops=6 * 64 * multiply_adds(convolution.make(package("fastnn")), shape[1:]))
    transposed = Named("", "ConvTranspose2d", {"in_channels": 64, "out_channels": 32, "kernel_size": 2, "stride": 2})
    shape = 64, 64, 8, 8
    yield Case("layers", f"32 of 2×2, transposed, on {'×'.join(map(str, shape))}", "layer", (transposed.make, shape),
               flops=6 * 64 * multiply_adds(transposed.make(package("fastnn")), shape[1:]))


def predictions() -> Iterable[Case]:
    """One example, few, some and many; without the reference, and torch.compile, where they would take long."""
    nets = [MLPS[1], *MLPS[3:5], MLPS[6], *CONVOLUTIONAL, WINOGRAD[1]]
    for net in (net._replace(batch=batch) for net in nets for batch in (1, 4, 32, 1024)):
        compiled = net.batch != 4 and net.name != MLPS[6].name
        many = not compiled or (len(net.shape) == 3 and net.batch > 32)
        yield Case("predict", str(net), "predict", (net,), flops=net.flops(False), apart=("scikit-learn",),
                   only=("fastnn", "torch", *(("torch.compile",) if compiled else ()), "onnxruntime") if many else ())


def losses() -> Iterable[Case]:
    """y read and dy written, and a target for each value unless it is a class number."""
    for case in LOSSES:
        y, t = loss_data(case)
        yield Case("losses", f"{case.name} {'×'.join(map(str, EXAMPLES))}", "loss", (case,),
                   bytes=y.size * (8 if t.dtype.kind == "i" else 12))


def optimizers() -> Iterable[Case]:
    """One pass over weights, gradients and slots; not ``maximize``, which turns one gradient round at each call."""
    for case in OPTIMIZERS:
        if case.arguments.get("maximize"):
            continue
        slots = len(case.make(package("fastnn_ref")).slots)
        yield Case("optimizers", f"{case.name} {PARAMETERS:,}", "optimizer", (case,), calls=3,
                   bytes=(12 + 8 * slots) * PARAMETERS)


def small() -> Iterable[Case]:
    """Every case of the tests with normal inputs: small shapes, so this is what a call costs; then penalties, mixup."""
    for case in (case for case in CASES if not case.numbers):
        yield Case("small", case.name, "layer", (case.make, case.shape), only=("fastnn_ref", "fastnn"))
    for penalty in PENALTIES:
        yield Case("small", f"step with {penalty.name}", "step", (MLPS[2], penalty), only=("fastnn_ref", "fastnn"))
    yield Case("small", "epoch with mixup", "mixup", (MLPS[2],))


GROUPS: dict[str, Callable[[], Iterable[Case]]] = {
    "steps": lambda: (of_net("steps", net) for net in MLPS),
    "conv": lambda: (of_net("conv", net) for net in [*CONVOLUTIONAL, *WINOGRAD]),
    "hand": lambda: (of_net("hand", net, "hand") for net in [*MLPS[:5], CONVOLUTIONAL[0]]),
    "epochs": lambda: (Case("epochs", str(net), "epoch", (net,), flops=20 * net.flops(), apart=("scikit-learn",))
                       for net in MLPS[:5]),
    "seeds": lambda: (Case("seeds", f"{SEEDS} × {net}, epochs: {epochs_of(net)}", "seeds", (net,), calls=2,
                           tolerance=1e-3,              # seen: 1e-4
                           flops=SEEDS * epochs_of(net) * (ROWS // net.batch) * net.flops())
                      for net in [*MLPS[:2], CONVOLUTIONAL[0]]),
    "predict": predictions,
    "serve": lambda: (Case("serve", str(net), "serve", (net,), flops=served(net) * net.flops(False))
                      for net in [MLPS[1]._replace(batch=1), MLPS[4], CONVOLUTIONAL[0]]),
    "products": lambda: products("products"),
    "backward": lambda: products("backward"),
    "isa": lambda: (of_net("isa", net, "isa") for net in [*MLPS[1:6], *CONVOLUTIONAL]),
    "optimizers": optimizers,
    "losses": losses,
    "layers": layers,
    "batch": lambda: (of_net("batch", net, only=("fastnn", "torch")) for _, net in GROWTH["batch"]),
    "width": lambda: (of_net("width", net, only=("fastnn", "torch")) for _, net in GROWTH["width"]),
    "depth": lambda: (of_net("depth", net, only=("fastnn", "torch")) for _, net in GROWTH["depth"]),
    "small": small,
}

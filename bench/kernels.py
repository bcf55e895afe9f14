"""What a network is made of, piece by piece: activations, losses, norms, noise, pools, convolutions, optimizers.

The figures are for a call from Python, forward and backward, arrays in and out. ``bytes`` is the least traffic: every
operand once, though a kernel may need a second look at it (a mean comes before a variance).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bench.candidates import Candidate, Candidates, installed
from bench.cases import Case
from bench.nets import Array, package
from bench.timing import Work
from tests.cases import ACTIVATIONS, ALL_CHANGES, LOSSES, OPTIMIZERS, LossCase, Named

PACKAGES = ("fastnn_ref", "fastnn")
WIDE, IMAGES, EXAMPLES = (256, 1024), (64, 32, 16, 16), (1024, 100)
CONVOLUTIONS = [            # channels in, channels out, height and width, kernel
    (1, 8, 8, 3), (1, 16, 28, 5), (16, 32, 14, 5),
    (3, 32, 32, 3), (32, 32, 32, 3), (32, 64, 16, 3), (64, 64, 16, 3), (64, 128, 8, 3), (128, 128, 8, 3),
]  # fmt: skip
PARAMETERS = 512 * 512                          # 1 MB in each of up to four arrays
TRAFFIC = {"sgd": 12, "momentum": 20, "nesterov": 20, "rmsprop": 20, "adam": 28, "adamw": 28}    # bytes a parameter
THERE_AND_BACK = 20                             # bytes a value: x read, y written; x (or y) and dy read, dx written
MASKED = 16                                     # bytes a value: backward needs no x

Make = Callable[[Any], Any]


def layer(name: str, make: Make, shape: tuple[int, ...]) -> Work:
    """A layer of one of the two packages alone in a model, forward and backward."""
    nn = package(name)
    model, x, dy = alone(nn, make, shape)

    def work() -> tuple[Array, Array]:
        model.steps = 0                         # the same masks each time
        y = model.forward(x, training=True)
        return y, model.backward(dy)

    return work


def alone(nn: Any, make: Make, shape: tuple[int, ...]) -> tuple[Any, Array, Array]:
    """A model of one layer, x and dy."""
    rng, model = np.random.default_rng(0), nn.Sequential(make(nn), seed=0, dtype="float32")
    x = rng.normal(size=shape).astype(np.float32)
    return model, x, rng.normal(size=(shape[0], *model.output_shape(shape[1:]))).astype(np.float32)


def torch_layer(make: Make, shape: tuple[int, ...]) -> Work:
    """PyTorch's, with the same values."""
    model, x, dy = alone(package("fastnn_ref"), make, shape)
    work: Work = package("bench.peer_torch").there_and_back(model.layers[0], x, dy)
    return work


def of_layer(
    group: str, name: str, make: Make, shape: tuple[int, ...], each: float = 0.0, flops: float = 0.0,
    apart: tuple[str, ...] = (), torch: bool = True,
) -> Case:
    """A case for a layer, ``each`` bytes for each value of x."""
    found: Candidates = {key: Candidate(functools.partial(layer, key, make, shape)) for key in PACKAGES}
    if torch and installed("torch"):
        found["torch"] = Candidate(functools.partial(torch_layer, make, shape))
    return Case(group, f"{name} {'×'.join(map(str, shape))}", found, bytes=each * math.prod(shape), flops=flops,
                apart=apart)


def activations() -> Iterable[Case]:
    """Each on its own, not fused into a product."""
    for each in ACTIVATIONS[1:]:
        yield of_layer("activations", each.name, each.make, WIDE, THERE_AND_BACK)


def norms() -> Iterable[Case]:
    """Over the batch, over images, over an example."""
    yield of_layer("norms", "BatchNorm1d", lambda nn: nn.BatchNorm1d(WIDE[1]), WIDE, THERE_AND_BACK)
    yield of_layer("norms", "BatchNorm2d", lambda nn: nn.BatchNorm2d(IMAGES[1]), IMAGES, THERE_AND_BACK)
    yield of_layer("norms", "LayerNorm", lambda nn: nn.LayerNorm(WIDE[1]), WIDE, THERE_AND_BACK)


def noises() -> Iterable[Case]:
    """Masks, noise, augmentation: each library draws its own, so PyTorch is not compared."""
    yield of_layer("noise", "Dropout", lambda nn: nn.Dropout(0.5), WIDE, MASKED, apart=("torch",))
    yield of_layer("noise", "GaussianNoise", lambda nn: nn.GaussianNoise(0.1), WIDE, MASKED, torch=False)
    for name, value in ALL_CHANGES.items():
        yield augmentation(name, {name: value})
    yield augmentation("all nine", ALL_CHANGES)


def augmentation(name: str, changes: dict[str, Any]) -> Case:
    """Of 28×28 images; images read and written, then gradients."""
    return of_layer("noise", f"Augment {name}", lambda nn: nn.Augment(**changes), (64, 1, 28, 28), MASKED, torch=False)


def pools() -> Iterable[Case]:
    """Windows of 2×2: y is a quarter of x."""
    yield of_layer("pools", "MaxPool2d", lambda nn: nn.MaxPool2d(2), IMAGES, 14)
    yield of_layer("pools", "AvgPool2d", lambda nn: nn.AvgPool2d(2), IMAGES, 10)


def convolutions() -> Iterable[Case]:
    """The layers of the networks: forward, dW and dx."""
    for inside, outside, side, kernel in CONVOLUTIONS:
        def make(nn: Any, arguments: tuple[int, ...] = (inside, outside, kernel), padding: int = kernel // 2) -> Any:
            return nn.Conv2d(*arguments, padding=padding)

        flops = 6.0 * 64 * outside * side * side * inside * kernel * kernel
        name = f"{outside} of {kernel}×{kernel} on"
        yield of_layer("convolutions", name, make, (64, inside, side, side), flops=flops)


def loss(name: str, case: LossCase) -> Work:
    """Value and gradient of one of the two packages."""
    found, (y, t) = case.make(package(name)), loss_data(case)
    return lambda: (found.forward(y, t), found.backward())


def loss_data(case: LossCase) -> tuple[Array, Array]:
    """Outputs and targets."""
    rng = np.random.default_rng(0)
    y, t = rng.normal(size=EXAMPLES).astype(np.float32), case.targets(rng, *EXAMPLES)
    return y, t if t.dtype.kind == "i" else t.astype(np.float32)


def losses() -> Iterable[Case]:
    """y read and dy written, and a target a value where there is one."""
    for case in LOSSES:
        found: Candidates = {name: Candidate(functools.partial(loss, name, case)) for name in PACKAGES}
        y, t = loss_data(case)
        ours = case.make(package("fastnn_ref"))
        if installed("torch") and package("bench.peer_torch").loss(ours, y, t):
            found["torch"] = Candidate(functools.partial(package("bench.peer_torch").loss, ours, y, t))
        size = y.size * (8 if t.dtype.kind == "i" else 12)
        yield Case("losses", f"{case.name} {'×'.join(map(str, EXAMPLES))}", found, bytes=size)


def optimizer(name: str, case: Named) -> Work:
    """A step over one large weight, returned."""
    nn = package(name)
    side = math.isqrt(PARAMETERS)
    model, found = nn.Sequential(nn.Linear(side, side, bias=False), seed=0, dtype="float32"), case.make(nn)
    model.layers[0].grads["weight"][...] = 0.01

    def work() -> Array:
        found.step(model)
        weight: Array = model.layers[0].weight
        return weight

    return work


def torch_optimizer(case: Named) -> Work:
    """PyTorch's, fused where there is one; it starts from the same weight."""
    nn, side = package("fastnn_ref"), math.isqrt(PARAMETERS)
    weight = nn.Sequential(nn.Linear(side, side, bias=False), seed=0, dtype="float32").layers[0].weight
    work: Work = package("bench.peer_torch").optimizer(case.make(nn), weight, np.full_like(weight, 0.01))
    return work


def optimizers() -> Iterable[Case]:
    """One pass over weights, gradients and whatever is remembered."""
    for case in OPTIMIZERS:
        found: Candidates = {name: Candidate(functools.partial(optimizer, name, case)) for name in PACKAGES}
        if installed("torch"):
            found["torch"] = Candidate(functools.partial(torch_optimizer, case))
        traffic = TRAFFIC[case.name.split()[0]] * PARAMETERS
        yield Case("optimizers", f"{case.name} {PARAMETERS:,}", found, bytes=traffic, calls=3)

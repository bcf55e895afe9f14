"""What is tested and timed: one list of each kind, imported by the tests and by bench/, simple before hard.

`make(nn)` builds a fresh object of either package. Shapes are ugly on purpose: 1, primes, one beside a tile.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn_ref.activation import NAMES

Array = npt.NDArray[Any]


class Case(NamedTuple):
    """A layer and the shape of a batch for it."""

    name: str
    make: Callable[[Any], Any]
    shape: tuple[int, ...]
    numbers: int = 0        # inputs are whole numbers 0 … numbers − 1; with 0 they are normal numbers


class Named(NamedTuple):
    """A public class and its arguments, of which some may be such objects themselves."""

    name: str
    cls: str
    arguments: dict[str, Any]

    def make(self, nn: Any, **more: Any) -> Any:
        made = {key: value.make(nn) if isinstance(value, Named) else value for key, value in self.arguments.items()}
        return getattr(nn, self.cls)(**made, **more)


class LossCase(NamedTuple):
    """A loss and targets for it: targets(rng, n, k) fit outputs of shape (n, k)."""

    name: str
    cls: str
    arguments: dict[str, Any]
    targets: Callable[[np.random.Generator, int, int], Array]

    def make(self, nn: Any) -> Any:
        return getattr(nn, self.cls)(**self.arguments)


ACTIVATIONS = [                 # every one that has a name
    Named(name, type(make()).__name__, {"approximate": "tanh"} if name == "gelu_tanh" else {})
    for name, make in NAMES.items()
]
OTHER_SHAPES_OF_ACTIVATION = [  # the same functions with a parameter that is not the default
    Named("leaky_relu 0.3", "LeakyReLU", {"negative_slope": 0.3}),
    Named("elu 0.7", "ELU", {"alpha": 0.7}),
    Named("elu 2", "ELU", {"alpha": 2.0}),
    Named("celu 2", "CELU", {"alpha": 2.0}),
    Named("softshrink 1.25", "Softshrink", {"lambd": 1.25}),
    Named("hardshrink 1.25", "Hardshrink", {"lambd": 1.25}),
]
ELEMENTWISE = [a for a in ACTIVATIONS if "softmax" not in a.name]


def linear(n: int, k: int, m: int, **arguments: Any) -> Case:
    return Case(f"linear {n}x{k}x{m}", lambda nn: nn.Linear(k, m, **arguments), (n, k))


def _fused(a: Named) -> Case:
    return Case(f"linear {a.name}", lambda nn: nn.Linear(7, 5, activation=a.make(nn)), (3, 7))


def _alone(a: Named, shape: tuple[int, ...]) -> Case:
    return Case(f"{a.name} {'x'.join(map(str, shape))}", a.make, shape)


LINEAR = [
    linear(1, 1, 1),
    linear(1, 13, 17),
    linear(2, 1, 9),
    linear(5, 3, 1),
    linear(9, 16, 15),
    linear(7, 47, 33),
    linear(17, 31, 49),
    Case("linear without bias", lambda nn: nn.Linear(11, 7, bias=False), (5, 11)),
    Case("linear of three axes", lambda nn: nn.Linear(7, 5, activation="gelu"), (2, 3, 7)),
]
FUSED = [_fused(a) for a in ACTIVATIONS[1:] + OTHER_SHAPES_OF_ACTIVATION]
ALONE = [
    # The one number that is drawn for (1, 1) lies beside the zero of mish', whose two terms cancel there.
    *(_alone(a, (2, 1) if a.name == "mish" else (1, 1)) for a in ACTIVATIONS),
    *(_alone(a, (5, 17)) for a in ACTIVATIONS + OTHER_SHAPES_OF_ACTIVATION),
    *(_alone(a, (2, 3, 5)) for a in ACTIVATIONS),
    _alone(Named("softmax of channels", "Softmax", {"dim": 1}), (2, 5, 3, 7)),
    _alone(Named("log_softmax of an axis between", "LogSoftmax", {"dim": -2}), (3, 2, 7, 33)),
]
def conv(shape: tuple[int, ...], filters: int, kernel: int | tuple[int, int], **arguments: Any) -> Case:
    words = " ".join(f"{name}={value}" for name, value in arguments.items())
    name = f"conv {'x'.join(map(str, shape))} {filters} of {kernel} {words}".strip()
    return Case(name, lambda nn: nn.Conv2d(shape[1], filters, kernel, **arguments), shape)


def pool(cls: str, shape: tuple[int, ...], kernel: int | tuple[int, int], **arguments: Any) -> Case:
    words = " ".join(f"{name}={value}" for name, value in arguments.items())
    name = f"{cls} {'x'.join(map(str, shape))} {kernel} {words}".strip()
    return Case(name, lambda nn: getattr(nn, cls)(kernel, **arguments), shape)


CONVS = [
    conv((1, 1, 1, 1), 1, 1),
    conv((2, 3, 5, 7), 4, 1),
    conv((3, 1, 8, 8), 9, 3, padding=1),
    conv((2, 3, 7, 5), 5, 3),
    conv((2, 2, 3, 2), 3, 5, padding=2),
    conv((1, 2, 9, 11), 3, (2, 4), padding=(1, 2)),
    conv((2, 3, 8, 10), 2, 3, stride=2, padding=1),
    conv((2, 2, 9, 8), 3, (3, 2), stride=(2, 3)),
    conv((1, 1, 11, 13), 2, 2, stride=5, padding=1),
    conv((2, 2, 9, 9), 3, 3, dilation=2),
    conv((1, 3, 12, 11), 2, 3, stride=2, padding=2, dilation=(3, 2)),
    conv((2, 6, 5, 6), 4, 3, groups=2, padding=1),
    conv((2, 5, 6, 4), 5, 3, groups=5, padding=1, stride=2),
    conv((2, 3, 6, 6), 17, 3, bias=False),
    conv((1, 2, 3, 3), 2, 1, padding=2, stride=3),
    conv((2, 1, 4, 5), 2, 2, padding=1, stride=2**20),          # of which no plane for each phase is made
    conv((2, 4, 7, 19), 11, 3, padding=1),
    conv((19, 2, 5, 4), 3, 3, padding=1),                       # from here on whole blocks of images, and some more
    conv((16, 1, 9, 7), 2, (2, 3)),                             # more pixels, then more filters, than one piece has
    conv((17, 2, 3, 3), 67, 2, activation="gelu"),
    conv((18, 4, 5, 6), 4, 3, stride=2, padding=1, groups=2),
    conv((19, 3, 5, 2), 5, (3, 1)),
    conv((8, 2, 4, 3), 3, 2, padding=3, dilation=2, bias=False),
    conv((17, 3, 4, 8), 5, 1, activation="relu"),               # channels a power of two apart
    conv((17, 3, 6, 9), 3, 3, groups=3, padding=1, activation="relu"),      # wide tiles of one filter, then of two
    conv((3, 4, 21, 19), 4, 5, groups=4, padding=2),
    conv((17, 2, 5, 7), 4, 3, groups=2, stride=2, padding=1),
    conv((2, 3, 5, 7), 4, (2, 4), padding="same", dilation=(1, 3)),
    conv((2, 2, 5, 4), 3, 3, padding=((0, 2), (1, 0))),
    conv((19, 2, 4, 5), 3, (3, 2), stride=2, padding=((3, 0), (0, 1)), dilation=(1, 2)),
    *(conv((2, 2, 5, 6), 3, 3, activation=a) for a in ("relu", "gelu", "tanh", "elu", "silu")),
]
WINOGRAD = [
    conv(shape, filters, kernel, **arguments, algorithm="winograd") for shape, filters, kernel, arguments in (
        ((1, 1, 3, 3), 1, 3, {}),
        ((2, 3, 7, 5), 5, 3, {"padding": 1, "activation": "relu"}),
        ((3, 4, 6, 9), 6, 5, {"padding": 2, "groups": 2}),
        ((1, 2, 2, 2), 2, 3, {"padding": ((4, 0), (1, 3)), "bias": False}),     # padding before du is negative
        ((5, 18, 9, 5), 3, 5, {"padding": "same"}),                             # from here on channels fill a line
        ((19, 2, 5, 6), 18, 3, {"padding": 1, "activation": "gelu"}),           # images fill a block
        ((16, 3, 4, 10), 35, 3, {"padding": ((3, 0), (0, 1))}),                 # more filters than a block has
        ((39, 4, 13, 4), 6, 3, {"padding": 1, "groups": 2, "bias": False}),     # more lines than go into dW at once
        ((17, 2, 6, 5), 3, 5, {"activation": "tanh"}),
    )
]  # fmt: skip
def transposed(shape: tuple[int, ...], filters: int, kernel: int | tuple[int, int], **arguments: Any) -> Case:
    words = " ".join(f"{name}={value}" for name, value in arguments.items())
    name = f"transposed {'x'.join(map(str, shape))} {filters} of {kernel} {words}".strip()
    return Case(name, lambda nn: nn.ConvTranspose2d(shape[1], filters, kernel, **arguments), shape)


TRANSPOSED = [
    transposed((1, 1, 1, 1), 1, 1),
    transposed((2, 3, 4, 5), 4, 2, stride=2),
    transposed((2, 3, 4, 3), 2, 3, padding=1),
    transposed((3, 2, 3, 4), 5, 3, stride=2, padding=1, output_padding=1),
    transposed((2, 4, 3, 5), 6, (2, 3), stride=(3, 2), padding=(0, 1), output_padding=(2, 0), groups=2),
    transposed((2, 2, 4, 4), 3, 3, padding=((0, 2), (1, 3)), bias=False),
    transposed((1, 3, 5, 4), 3, 2, output_padding=1, dilation=(3, 2), groups=3),
    transposed((2, 1, 1, 2), 2, 2, padding=(0, 3), stride=2**10),
    transposed((19, 2, 3, 4), 3, 3, stride=2, padding=1, output_padding=(1, 0)),
    transposed((16, 3, 2, 2), 67, 2, stride=2, activation="gelu"),
    transposed((18, 4, 3, 3), 2, (1, 3), groups=2, padding=((0, 0), (1, 0))),
    transposed((2, 3, 3, 4), 4, 2, activation="tanh"),
    Case(                       # whole blocks of images that do not stand interleaved
        "transposed twice",
        lambda nn: nn.Sequential(
            nn.ConvTranspose2d(2, 3, 2, bias=False), nn.LayerNorm(4, eps=0.1), nn.ConvTranspose2d(3, 1, 3, 2)),
        (19, 2, 2, 3),
    ),
]
POOLED: list[tuple[tuple[int, ...], int | tuple[int, int], dict[str, Any]]] = [
    ((2, 3, 8, 6), 2, {}),
    ((1, 2, 7, 9), 2, {}),
    ((2, 1, 7, 5), 3, {"stride": 2, "padding": 1}),
    ((1, 1, 1, 1), 1, {}),
    ((2, 2, 6, 9), (2, 3), {"stride": (1, 2), "padding": (1, 0)}),
    ((1, 3, 5, 5), 3, {"stride": 1}),
    ((1, 1, 9, 8), 2, {"stride": 3}),
    ((2, 2, 2, 1), 5, {"stride": 1, "padding": 2}),
    ((1, 3, 1, 4), (2, 7), {"stride": (3, 2), "padding": (1, 3)}),
    ((19, 2, 4, 6), 2, {}),
    ((17, 1, 5, 4), (3, 2), {"stride": (2, 1), "padding": 1}),
    ((2, 2, 5, 6), 3, {"stride": 1, "padding": ((2, 0), (0, 1))}),
    ((2, 2, 4, 7), 3, {"stride": 2, "padding": 1, "ceil_mode": True}),
    ((3, 1, 5, 4), 2, {"stride": 3, "padding": (1, 0), "ceil_mode": True}),       # no last window behind the image
    ((19, 2, 3, 6), (3, 2), {"stride": 2, "padding": ((0, 2), (1, 1)), "ceil_mode": True}),
    ((3, 2, 4, 4), 3, {"ceil_mode": True}),             # windows of unequal sizes, two pixels on average,
    ((17, 1, 6, 6), 3, {"padding": 1, "ceil_mode": True}),      # which cover the image
]
MAX_POOLED: list[tuple[Any, Any, Any]] = [
    ((2, 2, 7, 9), (3, 2), {"stride": 2, "dilation": (2, 3)}),
    ((2, 1, 5, 6), 3, {"stride": 1, "padding": 2, "dilation": 2}),
    ((1, 2, 4, 23), 2, {"stride": (1, 2), "padding": (0, 1), "dilation": (3, 2), "ceil_mode": True}),
    ((17, 2, 6, 5), (2, 3), {"stride": 2, "padding": 1, "dilation": 2}),
]
AVG_POOLED: list[tuple[Any, Any, Any]] = [
    ((2, 2, 5, 4), 3, {"stride": 2, "padding": 1, "count_include_pad": False}),
    ((2, 1, 4, 7), 3, {"stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
    ((19, 2, 3, 4), 2, {"stride": 1, "padding": ((0, 1), (1, 0)), "count_include_pad": False}),
    ((2, 1, 5, 5), 2, {"divisor_override": 3}),
    ((17, 1, 3, 4), 2, {"ceil_mode": True, "divisor_override": 7}),
]
def adaptive(cls: str, shape: tuple[int, ...], size: Any) -> Case:
    return Case(f"{cls} {'x'.join(map(str, shape))} to {size}", lambda nn: getattr(nn, cls)(size), shape)


ADAPTED: list[tuple[Any, Any]] = [
    ((2, 3, 5, 7), (2, 3)), ((2, 1, 3, 2), 5), ((1, 2, 6, 4), (None, 1)), ((19, 2, 5, 3), (3, 2)), ((17, 1, 4, 6), 2),
]
POOLS = [
    *(pool(cls, *pooled[:2], **pooled[2]) for cls in ("MaxPool2d", "AvgPool2d") for pooled in POOLED),
    *(pool("MaxPool2d", shape, kernel, **arguments) for shape, kernel, arguments in MAX_POOLED),
    *(pool("AvgPool2d", shape, kernel, **arguments) for shape, kernel, arguments in AVG_POOLED),
    *(adaptive(cls, shape, size) for cls in ("AdaptiveMaxPool2d", "AdaptiveAvgPool2d")
      for shape, size in ADAPTED),
    Case("GlobalAvgPool2d 3x5x7x3", lambda nn: nn.GlobalAvgPool2d(), (3, 5, 7, 3)),
]
RESHAPED = [
    Case("flatten 2x3x4x5", lambda nn: nn.Flatten(), (2, 3, 4, 5)),
    Case("flatten the image", lambda nn: nn.Flatten(2), (2, 3, 4, 5)),
    Case("flatten channels and rows", lambda nn: nn.Flatten(1, -2), (2, 3, 4, 5)),
    Case("unflatten 3x12", lambda nn: nn.Unflatten(1, (2, -1, 3)), (3, 12)),
    Case("unflatten the last axis", lambda nn: nn.Unflatten(-1, (7, 1)), (2, 5, 7)),
    Case(                       # convolutions around them: images are interleaved before and after
        "axes in a net",
        lambda nn: nn.Sequential(
            nn.Unflatten(1, (2, 3, 4)), nn.Conv2d(2, 4, 2), nn.Flatten(1, 2), nn.Unflatten(1, (4, 2)),
            nn.Conv2d(4, 3, (1, 2), activation="celu"), nn.Flatten(2), nn.Linear(4, 2)),
        (19, 24),
    ),
]
def upsampled(shape: tuple[int, ...], **arguments: Any) -> Case:
    words = " ".join(f"{name}={value}" for name, value in arguments.items())
    return Case(f"upsample {'x'.join(map(str, shape))} {words}", lambda nn: nn.Upsample(**arguments), shape)


def in_blocks(mode: str) -> Case:
    """Where convolutions stand beside it, images are interleaved."""
    return Case(
        f"upsample in blocks {mode}",
        lambda nn: nn.Sequential(
            nn.Conv2d(1, 3, 2), nn.Upsample((5, 7), mode=mode), nn.ReLU(), nn.Conv2d(3, 2, 2)),
        (19, 1, 4, 4))


UPSAMPLING: list[dict[str, Any]] = [{}, {"mode": "bilinear"}, {"mode": "bilinear", "align_corners": True}]
SCALED: list[tuple[Any, dict[str, Any]]] = [
    ((2, 3, 3, 5), {"scale_factor": 2}), ((2, 1, 5, 7), {"size": (3, 11)}), ((1, 1, 1, 1), {"size": (1, 3)}),
    ((3, 2, 4, 5), {"scale_factor": (1.5, 0.7)}), ((2, 2, 2, 5), {"size": (7, 1)}),
]
UPSAMPLED = [
    *(upsampled(shape, **size, **mode) for mode in UPSAMPLING for shape, size in SCALED),
    *(in_blocks(mode) for mode in ("nearest", "bilinear")),
]
IMAGE_NETS = [
    Case(
        "digits net",
        lambda nn: nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, activation="relu"), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10),
        ),
        (5, 1, 8, 8),
    ),
    Case(
        "residual net",
        lambda nn: nn.Sequential(
            nn.Conv2d(2, 5, 3, padding=1),
            nn.StochasticDepth(nn.Sequential(nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 5, 3, padding=1)), 0.0),
            nn.Dropout(0.2), nn.AvgPool2d(2), nn.GlobalAvgPool2d(), nn.Linear(5, 3),
        ),
        (4, 2, 6, 5),
    ),
    Case(
        "net in blocks",
        lambda nn: nn.Sequential(
            nn.MaxPool2d(2, 1), nn.LeakyReLU(), nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.GELU(),
            nn.AvgPool2d(2, 1, 1), nn.Conv2d(4, 6, 2, stride=2, groups=2, activation="silu"), nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(6, 3, 1), nn.ELU(), nn.Sequential(nn.Tanh(), nn.Conv2d(3, 2, 1)), nn.Dropout(0.3), nn.Flatten(),
            nn.Linear(4, 3),
        ),
        (19, 2, 6, 5),
    ),
    Case(
        "autoencoder in blocks",
        lambda nn: nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.SiLU(),
            nn.AdaptiveMaxPool2d((1, 3)),
            nn.ConvTranspose2d(4, 5, 3, stride=2, padding=1, output_padding=1, bias=False), nn.BatchNorm2d(5),
            nn.Tanh(), nn.Upsample(scale_factor=2, mode="bilinear"), nn.AdaptiveAvgPool2d((4, 3)),
            nn.ConvTranspose2d(5, 2, 3, padding=1, activation="sigmoid"),
        ),
        (19, 2, 6, 5),
    ),
    Case(
        "single pixels in blocks",
        lambda nn: nn.Sequential(
            nn.Conv2d(2, 5, 2, bias=False), nn.BatchNorm2d(5), nn.Softplus(), nn.Conv2d(5, 3, 1, activation="tanh"),
        ),
        (19, 2, 2, 2),
    ),
    Case(
        "other norms in blocks",
        lambda nn: nn.Sequential(
            nn.Conv2d(2, 4, 2, bias=False), nn.BatchNorm2d(4, affine=False), nn.Tanh(), nn.BatchNorm2d(4, bias=False),
            nn.Conv2d(4, 6, 2), nn.GroupNorm(2, 6), nn.SELU(), nn.Conv2d(6, 3, 1), nn.GroupNorm(1, 3), nn.Flatten(),
        ),
        (19, 2, 6, 5),
    ),
    Case(
        "winograd in blocks",
        lambda nn: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, activation="silu", algorithm="winograd"),
            nn.Conv2d(4, 3, 5, padding=2, bias=False, algorithm="winograd"), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1),
        ),
        (19, 2, 6, 5),
    ),
]  # fmt: skip

NORMS = [
    Case("batchnorm1d 7x1", lambda nn: nn.BatchNorm1d(1), (7, 1)),
    Case("batchnorm1d 5x7", lambda nn: nn.BatchNorm1d(7, eps=1e-2, momentum=0.3), (5, 7)),
    Case("batchnorm1d 17x149", lambda nn: nn.BatchNorm1d(149), (17, 149)),
    Case("batchnorm2d 1x1x1x3", lambda nn: nn.BatchNorm2d(1), (1, 1, 1, 3)),
    Case("batchnorm2d 5x3x1x1", lambda nn: nn.BatchNorm2d(3), (5, 3, 1, 1)),
    Case("batchnorm2d 2x3x5x7", lambda nn: nn.BatchNorm2d(3, eps=1e-3, momentum=1.0), (2, 3, 5, 7)),
    Case("batchnorm2d 3x17x4x5", lambda nn: nn.BatchNorm2d(17, momentum=0.0), (3, 17, 4, 5)),
    Case("batchnorm1d without scale 5x7", lambda nn: nn.BatchNorm1d(7, affine=False), (5, 7)),
    Case("batchnorm2d without shift 2x3x5x7", lambda nn: nn.BatchNorm2d(3, bias=False), (2, 3, 5, 7)),
    Case("layernorm 2x1", lambda nn: nn.LayerNorm(1), (2, 1)),
    Case("layernorm 1x3", lambda nn: nn.LayerNorm(3), (1, 3)),
    Case("layernorm 5x67", lambda nn: nn.LayerNorm(67, eps=1e-2), (5, 67)),
    Case("layernorm 3x5x7", lambda nn: nn.LayerNorm(7), (3, 5, 7)),
    Case("layernorm 3x(5x7)", lambda nn: nn.LayerNorm((5, 7)), (3, 5, 7)),
    Case("layernorm without scale 3x5x7", lambda nn: nn.LayerNorm(7, elementwise_affine=False), (3, 5, 7)),
    Case("layernorm without shift 3x(5x7)", lambda nn: nn.LayerNorm((5, 7), bias=False), (3, 5, 7)),
    Case("groupnorm 5x67", lambda nn: nn.GroupNorm(1, 67, eps=1e-2), (5, 67)),
    Case("groupnorm 3x(19 of 2)", lambda nn: nn.GroupNorm(19, 38, eps=0.1), (3, 38)),
    Case("groupnorm 1x3x2x5", lambda nn: nn.GroupNorm(1, 3), (1, 3, 2, 5)),
    Case("groupnorm 2x(3 of 2)x5x7", lambda nn: nn.GroupNorm(3, 6, eps=1e-3), (2, 6, 5, 7)),
    Case("groupnorm of each channel 2x5x3x4", lambda nn: nn.GroupNorm(5, 5), (2, 5, 3, 4)),
    Case("groupnorm without scale 3x(2 of 17)x4x5", lambda nn: nn.GroupNorm(2, 34, affine=False), (3, 34, 4, 5)),
    Case("groupnorm without shift 2x(3 of 3)x17", lambda nn: nn.GroupNorm(3, 9, bias=False), (2, 9, 17)),
    Case("rmsnorm 1x3", lambda nn: nn.RMSNorm(3), (1, 3)),
    Case("rmsnorm 5x67", lambda nn: nn.RMSNorm(67, eps=1e-2), (5, 67)),
    Case("rmsnorm 3x5x7", lambda nn: nn.RMSNorm(7), (3, 5, 7)),
    Case("rmsnorm 3x(5x7)", lambda nn: nn.RMSNorm((5, 7), eps=1e-3), (3, 5, 7)),
    Case("rmsnorm without scale 5x67", lambda nn: nn.RMSNorm(67, elementwise_affine=False), (5, 67)),
]

SLOPES = [
    Case("prelu 1x1", lambda nn: nn.PReLU(), (1, 1)),
    Case("prelu 5x67", lambda nn: nn.PReLU(67, init=-0.5), (5, 67)),
    Case("prelu shared 5x17", lambda nn: nn.PReLU(), (5, 17)),
    Case("prelu 2x3x5x7", lambda nn: nn.PReLU(3), (2, 3, 5, 7)),
    Case("prelu shared 2x3x5x7", lambda nn: nn.PReLU(init=0.1), (2, 3, 5, 7)),
    Case("prelu 3x17x31", lambda nn: nn.PReLU(17), (3, 17, 31)),
    Case(                       # where convolutions stand beside it, images are interleaved
        "prelu in blocks",
        lambda nn: nn.Sequential(nn.Conv2d(1, 3, 2), nn.PReLU(3, init=-0.3), nn.Conv2d(3, 2, 2), nn.PReLU(),
                                 nn.AvgPool2d(2)),
        (19, 1, 7, 6),
    ),
]


def _dropout(p: float) -> Case:
    return Case(f"dropout {p:g}", lambda nn: nn.Dropout(p), (5, 47))


PROBABILITIES = (0.0, 0.1, 0.5, 0.9, 1.0)
MASKS = [
    *map(_dropout, PROBABILITIES),
    Case("dropout images", lambda nn: nn.Dropout(0.3), (2, 3, 5, 7)),
]


def _dropconnect(p: float, k: int, m: int, n: int, **arguments: Any) -> Case:
    name = " ".join([f"dropconnect {p:g} {n}x{k}x{m}", *map(str, arguments.values())])
    return Case(name, lambda nn: nn.DropConnect(k, m, p, **arguments), (n, k))


def _residual(p: float, mode: str, *, deep: bool = False) -> Case:
    def make(nn: Any) -> Any:
        if not deep:
            return nn.StochasticDepth(nn.Linear(7, 7), p, mode=mode)
        block = nn.Sequential(nn.Linear(7, 11, activation="tanh"), nn.Dropout(0.3), nn.Linear(11, 7))
        return nn.Sequential(nn.StochasticDepth(nn.StochasticDepth(block, 0.2, mode="row"), p, mode=mode), nn.Tanh())

    return Case(f"stochastic depth {p:g} {mode}{' deep' if deep else ''}", make, (5, 7))


def _augment(shape: tuple[int, ...], **arguments: Any) -> Case:
    words = " ".join(f"{name}={value}" for name, value in arguments.items())
    return Case(f"augment {'x'.join(map(str, shape))} {words}", lambda nn: nn.Augment(**arguments), shape)


ALL_CHANGES = {
    "rotation": 40.0, "shift": (1.5, 0.5), "zoom": 0.3, "shear": 20.0, "flip": 0.5, "brightness": 0.2, "contrast": 0.5,
    "noise": 0.1, "erase": 0.6,
}  # fmt: skip
NOISES = [
    Case("noise 0", lambda nn: nn.GaussianNoise(0.0), (2, 3)),
    Case("noise 3x7", lambda nn: nn.GaussianNoise(0.3), (3, 7)),
    Case("noise images", lambda nn: nn.GaussianNoise(2.0), (2, 3, 5, 7)),
]
AUGMENTS = [
    *(_augment((3, 2, 5, 6), **{name: value}) for name, value in ALL_CHANGES.items()),
    _augment((1, 1, 1, 1), **ALL_CHANGES),
    _augment((3, 2, 5, 6), **ALL_CHANGES, fill=-1.5),
    _augment((3, 2, 5, 6), shift=(2, 1), whole_shift=True, fill=0.5),
    _augment((4, 3, 7, 4), **ALL_CHANGES),
    _augment((5, 35), **ALL_CHANGES, image_shape=(1, 7, 5)),
    _augment((2, 1, 3, 3)),
]
CONNECTIONS = [
    *(_dropconnect(p, 7, 5, 3, mask=mask, inference="mean") for p in PROBABILITIES for mask in ("example", "batch")),
    *(_dropconnect(0.3, 11, 3, 4, mask=mask, activation=a)
      for mask in ("example", "batch") for a in ("identity", "relu", "gelu", "tanh", "softmax")),
    _dropconnect(0.9, 3, 67, 2, activation="relu", bias=False),
    _dropconnect(0.1, 31, 149, 3),
]
RESIDUALS = [
    Case("residual", lambda nn: nn.Residual(nn.Linear(7, 7, activation="tanh")), (5, 7)),
    Case("residual of three axes", lambda nn: nn.Residual(nn.Sequential(nn.Linear(7, 3), nn.ReLU(), nn.Linear(3, 7))),
         (5, 2, 7)),
]
DEPTHS = [
    *(_residual(p, mode) for p in PROBABILITIES for mode in ("batch", "row")),
    *(_residual(0.4, mode, deep=True) for mode in ("batch", "row")),
]
PARALLEL = [
    Case("one branch", lambda nn: nn.Parallel(nn.Linear(7, 5)), (3, 7)),
    Case("concat", lambda nn: nn.Parallel(nn.Linear(7, 5, activation="tanh"), nn.Identity(), nn.Linear(7, 1)), (5, 7)),
    Case("add", lambda nn: nn.Parallel(
        nn.Linear(7, 3), nn.Linear(7, 3, activation="gelu"), nn.Linear(7, 3), merge="add"), (5, 7)),
    Case("select", lambda nn: nn.Select(2, 5), (3, 7)),
    Case("select channels", lambda nn: nn.Select(1, 3), (2, 4, 3, 5)),
    Case("wide and deep", lambda nn: nn.Sequential(
        nn.Linear(11, 11), nn.Parallel(
            nn.Sequential(nn.Select(0, 7), nn.Linear(7, 2)),
            nn.Sequential(nn.Select(4, 11), nn.Linear(7, 9, activation="silu"), nn.Dropout(0.3), nn.Linear(9, 2)),
            merge="add"), nn.Tanh()), (5, 11)),
    Case("inception", lambda nn: nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.Parallel(
            nn.Conv2d(3, 2, 1, activation="gelu"),
            nn.Sequential(nn.Conv2d(3, 2, 1), nn.ELU(), nn.Conv2d(2, 4, 3, padding=1)),
            nn.AvgPool2d(3, 1, 1), nn.Parallel(nn.Select(2, 3), nn.Residual(nn.Conv2d(3, 3, 1)))),
        nn.Conv2d(13, 3, 2), nn.Flatten()), (19, 2, 5, 4)),
]
ROWS = [
    Case("embedding 1x1", lambda nn: nn.Embedding(1, 1), (1, 1), 1),
    Case("embedding 5 of 7x3", lambda nn: nn.Embedding(7, 3), (5,), 7),
    Case("embedding 19x5 of 11x17", lambda nn: nn.Embedding(11, 17, init="glorot_normal"), (19, 5), 11),
    Case("character mlp", lambda nn: nn.Sequential(
        nn.Embedding(27, 2), nn.Flatten(), nn.Linear(6, 5, activation="tanh"), nn.Linear(5, 27)), (5, 3), 27),
]
MODELS = [
    Case("two layers", lambda nn: nn.Sequential(nn.Linear(7, 5, activation="tanh"), nn.Linear(5, 3)), (3, 7)),
    Case(
        "layers apart",
        lambda nn: nn.Sequential(nn.Linear(5, 17), nn.GELU(), nn.Linear(17, 3, bias=False), nn.LogSoftmax()),
        (9, 5),
    ),
    Case(
        "nested",
        lambda nn: nn.Sequential(
            nn.Linear(3, 7, activation="elu"), nn.Sequential(nn.Linear(7, 5), nn.SiLU()), nn.Linear(5, 1)
        ),
        (4, 3),
    ),
    Case(
        "regularised",
        lambda nn: nn.Sequential(
            nn.Linear(7, 13, bias=False), nn.BatchNorm1d(13), nn.SiLU(), nn.Dropout(0.3),
            nn.Sequential(nn.Linear(13, 11), nn.LayerNorm(11), nn.Tanh(), nn.Dropout(0.1)), nn.Linear(11, 3),
        ),
        (6, 7),
    ),
]  # fmt: skip
CASES = [case for each in list(globals().values()) if isinstance(each, list) for case in each if isinstance(case, Case)]


def numbers(rng: np.random.Generator, n: int, k: int) -> Array:
    return rng.normal(size=(n, k))


def classes(rng: np.random.Generator, n: int, k: int) -> Array:
    return rng.integers(k, size=n)


def rows(rng: np.random.Generator, n: int, k: int) -> Array:
    return rng.dirichlet(np.ones(k), size=n)


def units(rng: np.random.Generator, n: int, k: int) -> Array:
    t = rng.uniform(size=(n, k))
    t.flat[0], t.flat[-1] = 0, 1
    return t


def counts(rng: np.random.Generator, n: int, k: int) -> Array:
    return rng.poisson(2.0, size=(n, k)).astype(np.float64)


def signs(rng: np.random.Generator, n: int, k: int) -> Array:
    return rng.choice([-1.0, 1.0], size=(n, k))


LOSSES = [
    LossCase("mse", "MSELoss", {}, numbers),
    LossCase("l1", "L1Loss", {}, numbers),
    LossCase("huber", "HuberLoss", {}, numbers),
    LossCase("huber 0.3", "HuberLoss", {"delta": 0.3}, numbers),
    LossCase("bce", "BCEWithLogitsLoss", {}, units),
    LossCase("ce", "CrossEntropyLoss", {}, classes),
    LossCase("ce smoothed", "CrossEntropyLoss", {"label_smoothing": 0.1}, classes),
    LossCase("ce flat", "CrossEntropyLoss", {"label_smoothing": 1.0}, classes),
    LossCase("ce rows", "CrossEntropyLoss", {}, rows),
    LossCase("ce rows smoothed", "CrossEntropyLoss", {"label_smoothing": 0.3}, rows),
    LossCase("bce smoothed", "BCEWithLogitsLoss", {"label_smoothing": 0.2}, units),
    LossCase("bce pos_weight", "BCEWithLogitsLoss", {"pos_weight": 3.0}, units),
    LossCase("bce weighted", "BCEWithLogitsLoss", {"label_smoothing": 0.2, "class_weight": (0.3, 1.7)}, units),
    LossCase("ce weighted", "CrossEntropyLoss", {"class_weight": {0: 0.3}}, classes),
    LossCase("ce rows weighted", "CrossEntropyLoss", {"label_smoothing": 0.3, "class_weight": {0: 2.5}}, rows),
    LossCase("nll", "NLLLoss", {}, classes),
    LossCase("nll rows weighted", "NLLLoss", {"class_weight": {0: 2.5}}, rows),
    LossCase("poisson", "PoissonNLLLoss", {}, counts),
    LossCase("poisson of rates", "PoissonNLLLoss", {"log_input": False, "eps": 20.0}, counts),    # log of y + eps
    LossCase("hinge", "HingeLoss", {}, signs),
]

OPTIMIZERS = [
    Named("sgd", "SGD", {"lr": 0.1}),
    Named("sgd decay", "SGD", {"lr": 0.1, "weight_decay": 0.05}),
    Named("momentum", "SGD", {"lr": 0.05, "momentum": 0.9}),
    Named("momentum decay", "SGD", {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1}),
    Named("nesterov", "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    Named("dampening", "SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.1}),
    Named("sgd maximize", "SGD", {"lr": 0.02, "weight_decay": 0.3, "maximize": True}),
    Named("adagrad", "Adagrad", {"lr": 0.05}),
    Named("adagrad decay", "Adagrad", {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1}),
    Named("adagrad all", "Adagrad", {
        "lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "lr_decay": 0.3, "initial_accumulator_value": 0.2,
        "maximize": True}),
    Named("rmsprop", "RMSprop", {"lr": 0.01}),
    Named("rmsprop decay", "RMSprop", {"lr": 0.01, "alpha": 0.7, "eps": 1e-3, "weight_decay": 0.1}),
    Named("rmsprop momentum", "RMSprop", {"lr": 0.003, "eps": 1e-3, "momentum": 0.8}),
    Named("rmsprop centered", "RMSprop", {"lr": 0.01, "alpha": 0.8, "eps": 0.1, "centered": True}),
    Named("rmsprop all", "RMSprop", {
        "lr": 0.01, "alpha": 0.7, "eps": 0.1, "weight_decay": 0.1, "momentum": 0.5, "centered": True}),
    Named("adadelta", "Adadelta", {"lr": 1.0}),
    Named("adadelta decay", "Adadelta", {
        "lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    Named("adam", "Adam", {"lr": 0.02}),
    Named("adam decay", "Adam", {"lr": 0.02, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.1}),
    Named("amsgrad", "Adam", {"lr": 0.02, "betas": (0.5, 0.7), "amsgrad": True}),
    Named("adamw", "AdamW", {"lr": 0.02}),
    Named("adamw decay", "AdamW", {"lr": 0.02, "betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.5}),
    Named("adamw amsgrad", "AdamW", {"lr": 0.02, "betas": (0.6, 0.8), "amsgrad": True, "maximize": True}),
    Named("nadam", "NAdam", {"lr": 0.02}),
    Named("nadam decay", "NAdam", {
        "lr": 0.02, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.5, "maximize": True}),
    Named("nadam decoupled", "NAdam", {"lr": 0.02, "weight_decay": 0.5, "decoupled_weight_decay": True}),
]

PENALTIES = [
    Named("l1", "L1", {"strength": 0.02}),
    Named("l1 subgradient", "L1", {"strength": 0.02, "mode": "subgradient"}),
    Named("l1 with biases", "L1", {"strength": 0.03, "biases": True}),
    Named("l2", "L2", {"strength": 0.1}),
    Named("l2 with biases", "L2", {"strength": 0.1, "biases": True}),
    Named("elastic net", "ElasticNet", {"l1": 0.02, "l2": 0.1}),
    Named("elastic net subgradient", "ElasticNet", {"l1": 0.02, "l2": 0.1, "mode": "subgradient"}),
    Named("max-norm", "MaxNorm", {"limit": 0.8}),
]

SCHEDULES = [
    Named("constant", "ConstantLR", {"lr": 0.3}),
    Named("step", "StepLR", {"lr": 0.3, "step_size": 7}),
    Named("step 0.5", "StepLR", {"lr": 0.3, "step_size": 1, "gamma": 0.5}),
    Named("exponential", "ExponentialLR", {"lr": 0.3, "gamma": 0.93}),
    Named("linear", "LinearLR", {"lr": 0.3, "total_steps": 29}),
    Named("linear decay", "LinearLR", {"lr": 0.3, "total_steps": 17, "start_factor": 1.0, "end_factor": 0.0}),
    Named("cosine", "CosineLR", {"lr": 0.3, "total_steps": 29}),
    Named("cosine floor", "CosineLR", {"lr": 0.3, "total_steps": 29, "min_lr": 0.01}),
    Named("cosine warm-up", "CosineLR", {"lr": 0.3, "total_steps": 29, "warmup_steps": 5, "min_lr": 0.01}),
    Named("one-cycle", "OneCycleLR", {"max_lr": 0.3, "total_steps": 29}),
    Named(
        "one-cycle steep",
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": 31, "pct_start": 0.1, "div_factor": 5.0, "final_div_factor": 100.0},
    ),
    Named("per epoch", "PerEpoch", {
        "schedule": Named("step by epochs", "StepLR", {"lr": 0.3, "step_size": 2, "gamma": 0.5}), "steps_per_epoch": 4,
    }),
]


def one_of_each_kind(nn: Any) -> list[Case]:
    """Of the cases that differ in numbers and fused activations alone the first: for tests of what neither changes."""
    found: dict[str, Case] = {}
    for case in CASES:
        found.setdefault(re.sub(r"\d+(\.\d+)?|(?<=activation=)[^,)]+", "", repr(case.make(nn))), case)
    return list(found.values())


def one_of_each(nn: Any) -> dict[str, Callable[[Any], Any]]:
    """The name of each class that both packages have of their own → what makes an object of it: its first case."""
    found: dict[str, Callable[[Any], Any]] = {}
    cases: list[Any] = [*CASES, *LOSSES, *OPTIMIZERS, *PENALTIES]
    for case in cases:
        found.setdefault(type(case.make(nn)).__name__, case.make)
    return found

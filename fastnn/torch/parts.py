"""What a layer is in PyTorch: the parts of a torch.nn.Sequential, said without PyTorch.

A ``Part`` is one module: its class, its arguments, and the layer whose values it holds. A layer may be several parts in
a row, which stand flat in the Sequential around it, so positions, and with them the names of values, shift:

    ours    0 Linear(…, "relu")  1 Linear           0.weight  1.weight
    theirs  0 Linear  1 ReLU  2 Linear              0.weight  2.weight
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Never

from fastnn_ref.shared import checks
from fastnn_ref.shared.access import walk
from fastnn_ref.shared.config import arguments
from fastnn_ref.shared.objects import class_name, is_ours

# Layers that are one module, with arguments of the same names. The defaults of those that only PyTorch has mean what
# our layers do.
SAME = (
    "Linear", "Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d", "AdaptiveMaxPool2d", "AdaptiveAvgPool2d",
    "Upsample", "Flatten", "Unflatten", "Identity", "ReLU", "ReLU6", "LeakyReLU", "ELU", "CELU", "SELU", "SiLU", "Mish",
    "Hardswish", "GELU", "Softplus", "Tanh", "Sigmoid", "Hardsigmoid", "LogSigmoid", "Softsign", "Softshrink",
    "Hardshrink", "Softmax", "LogSoftmax", "PReLU", "BatchNorm1d", "BatchNorm2d", "LayerNorm", "GroupNorm", "RMSNorm",
    "Dropout",
)
# Layers that PyTorch does not have: fastnn.torch.modules does.
OWN = (
    "Residual", "StochasticDepth", "Parallel", "Select", "Embedding", "GaussianNoise", "DropConnect",
    "FrozenBatchNorm1d", "FrozenBatchNorm2d",
)
OURS_ALONE = ("activation", "init", "samples", "algorithm")      # arguments that are no option of the module
TRANSPOSED = ("Linear", "DropConnect")              # their weight is (in, out), PyTorch's (out, in)


class Part(NamedTuple):
    """One module: the name of its class, its arguments, the layer whose values it has, what stands inside it.

    The parameters of a frozen layer do not require gradients.
    """

    kind: str
    arguments: dict[str, Any]
    layer: Any = None
    inside: tuple[tuple[str, Part], ...] = ()


def fail(path: str, what: str, wanted: str, got: object) -> Never:
    """ValueError about an option of the layer at ``path``, or about the layer."""
    raise misplaced(path, f"{what}: expected {wanted}, got {got!r}")


def misplaced(path: str, text: object) -> ValueError:
    """The error of what stands at ``path``."""
    return checks.value_error("{place}: {text}", place=path or "the outermost module", text=str(text))


def parts_of(layer: Any, path: str = "") -> list[Part]:
    """The parts of one layer, in a row; ``path`` is its place, for messages."""
    kind, named = type(layer).__name__, arguments(layer)
    own = is_ours(type(layer))
    if kind == "Sequential" and own:
        return [Part(kind, {}, None, numbered(layer.layers, path))]
    if kind == "GlobalAvgPool2d" and own:
        return [Part("AdaptiveAvgPool2d", {"output_size": 1}), Part("Flatten", {})]
    if not own or kind not in (*SAME, *OWN):
        fail(path, class_name(layer), "a layer that PyTorch has, or fastnn.torch.modules", layer)
    if kind in ("Residual", "StochasticDepth"):
        block = named.pop("block")
        return [Part(kind, named, None, (("block", single(block, f"{path}.block".lstrip("."))),))]
    if kind == "Parallel":
        branches = enumerate(named.pop("branches"))
        return [Part(kind, named, None, tuple(
            (str(index), single(branch, f"{path}.{index}".lstrip("."))) for index, branch in branches))]
    before, after = padding_of(kind, named, path), []
    if kind == "DropConnect" and named["inference"] == "gaussian" and named["p"] > 0:
        if named["activation"].name not in ("identity", "relu"):
            fail(path, "DropConnect.inference", "'mean', unless the activation is None or 'relu'", "gaussian")
        named["relu"] = named["activation"].name == "relu"      # the expectation takes the activation in
    elif "activation" in named and named["activation"].name != "identity":
        after = parts_of(named["activation"], f"{path}.activation".lstrip("."))
    if "affine" in named and named["bias"] == named["affine"]:
        del named["bias"]                       # older versions have it of LayerNorm alone
    if named.get("mode") == "nearest":
        named["align_corners"] = None
    if "running_var" in layer.specs and not layer.trainable:
        kind = f"Frozen{kind}"                  # PyTorch's own would go on with the statistics of the batch
    return [*before, Part(kind, {key: value for key, value in named.items() if key not in OURS_ALONE},
                          layer if layer.specs else None), *after]


def padding_of(kind: str, named: dict[str, Any], path: str) -> list[Part]:
    """A module for the padding, where PyTorch's layer cannot say it; then the one in ``named`` becomes 0.

    It pads both sides alike, a pool by half of the kernel at most.
    """
    if "padding" not in named:
        return []
    (top, bottom), (left, right) = sides = checks.sides_of(named["padding"])
    alike = top == bottom and left == right
    rows, cols = named["kernel_size"]
    if alike and ("Pool" not in kind or (2 * top <= rows and 2 * left <= cols)):
        return []
    if kind == "ConvTranspose2d":               # fewer rows taken away at the bottom are more output padding there
        more = [extra + before - after for extra, (before, after) in zip(named["output_padding"], sides, strict=True)]
        if all(0 <= each < max(s, d) for each, s, d in zip(more, named["stride"], named["dilation"], strict=True)):
            named["padding"], named["output_padding"] = (top, left), tuple(more)
            return []
    if kind == "ConvTranspose2d" or named.get("ceil_mode") or not named.get("count_include_pad", True):
        fail(path, f"{kind}.padding", "as much on both sides" + ", at most half of the kernel" * ("Pool" in kind),
             named["padding"])
    named["padding"] = 0
    around = {"padding": (left, right, top, bottom)}
    if kind == "MaxPool2d":
        return [Part("ConstantPad2d", {**around, "value": -math.inf})]
    return [Part("ZeroPad2d", around)]


def single(layer: Any, path: str) -> Part:
    """The parts of a layer as one: a Sequential if they are several."""
    parts = parts_of(layer, path)
    return parts[0] if len(parts) == 1 else Part("Sequential", {}, None, tuple(
        (str(index), part) for index, part in enumerate(parts)))


def numbered(layers: Any, path: str) -> tuple[tuple[str, Part], ...]:
    """All parts of a chain of layers, flat, by number."""
    flat = [part for index, layer in enumerate(layers)
            for part in parts_of(layer, f"{path}.{index}".lstrip("."))]
    return tuple((str(index), part) for index, part in enumerate(flat))


def whole(layer: Any) -> Part:
    """The one part that a model, or a layer, is."""
    return single(layer, "")


def values_of(part: Part, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted prefix, layer) of each part that holds values."""
    if part.layer is not None:
        yield prefix, part.layer
    for name, inside in part.inside:
        yield from values_of(inside, f"{prefix}{name}.")


def names(model: Any) -> list[tuple[str, str, bool]]:
    """(our name, PyTorch's name, is it transposed) of every value of a model."""
    prefixes = {id(layer): prefix for prefix, layer in walk(model)}
    return [(prefixes[id(layer)] + name, prefix + name, name == "weight" and type(layer).__name__ in TRANSPOSED)
            for prefix, layer in values_of(whole(model)) for name in layer.specs]

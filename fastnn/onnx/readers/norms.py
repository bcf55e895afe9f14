"""Norms, and the scaling of inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Array, Shape, fail, one_for_each, tidy

if TYPE_CHECKING:
    from ..load import Reader


SMALLEST = 1e-30                        # added to the square of a deviation that is known


def read_InstanceNormalization(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    eps = reader.attributes(node, epsilon=1e-5)["epsilon"]
    reader.check_first(node, x)
    weight, bias = reader.operand(node, 1, "scale"), reader.operand(node, 2, "bias")
    layer = reader.nn.GroupNorm(weight.size, weight.size, tidy(eps))
    return [reader.valued(layer, weight=weight, bias=bias)], node.output[0]


def read_GroupNormalization(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, epsilon=1e-5, num_groups=None, stash_type=1)
    reader.check_first(node, x)
    values = {"weight": reader.operand(node, 1, "scale"), "bias": reader.operand(node, 2, "bias")}
    layer = reader.nn.GroupNorm(named["num_groups"], values["weight"].size, tidy(named["epsilon"]))
    return [reader.valued(layer, **values)], node.output[0]


def groups(reader: Reader, index: int, wanted: tuple[int, ...], x: str, shape: Shape) -> tuple[list[Any], str]:
    """GroupNorm as Reshape, InstanceNormalization, Reshape back, Mul, Add; the last two may be left out."""
    norm = reader.nodes[index]
    eps = reader.attributes(norm, epsilon=1e-5)["epsilon"]
    plain = [reader.operand(norm, 1, "scale") == 1, reader.operand(norm, 2, "bias") == 0]
    back = reader.only_user(norm.output[0])
    if shape is None or not all(map(np.all, plain)) or back is None or reader.nodes[back].op_type != "Reshape" or (
            reader.wanted_shape(reader.nodes[back], norm.output[0], wanted) != shape) or shape[0] % wanted[0]:
        fail(norm, "groups of channels without a scale of their own, and a Reshape back", f"{wanted} of {shape}")
    reader.used |= {index, back}
    y, values = reader.nodes[back].output[0], {}
    for operator, name in ("Mul", "weight"), ("Add", "bias"):
        after = reader.only_user(y)
        value = None if after is None or reader.nodes[after].op_type != operator else next(
            (reader.constants[each] for each in reader.nodes[after].input if each in reader.constants), None)
        if after is None or value is None or value.shape[-len(shape):] != (shape[0], *[1] * (len(shape) - 1)):
            break
        values[name], y = value.reshape(-1), reader.nodes[after].output[0]
        reader.used.add(after)
    layer = reader.nn.GroupNorm(wanted[0], shape[0], tidy(eps), affine="weight" in values, bias="bias" in values)
    return [reader.valued(layer, **values)], y


def read_BatchNormalization(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, epsilon=1e-5, momentum=0.9, training_mode=0, spatial=1)
    reader.fixed(node, named, training_mode=0, spatial=1)
    reader.check_first(node, x)
    names = "weight", "bias", "running_mean", "running_var"
    values = {name: reader.operand(node, 1 + place, name) for place, name in enumerate(names)}
    if shape is None:
        fail(node, "an input whose shape the file tells", "unknown axes")
    kind = reader.nn.BatchNorm1d if len(shape) == 1 else reader.nn.BatchNorm2d
    layer = kind(values["weight"].size, tidy(named["epsilon"]), tidy(1 - tidy(named["momentum"])))
    return [reader.valued(layer, **values)], node.output[0]


def read_Sub(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    """(x − mean) / deviation, as `export` writes input_scaling: a frozen batch normalization."""
    reader.check_first(node, x)
    after = reader.only_user(node.output[0])
    if after is None or reader.nodes[after].op_type != "Div" or reader.nodes[after].input[0] != node.output[0]:
        fail(node, "a Div by a constant behind it", "another operator, or several")
    mean, deviation = reader.operand(node, 1, "mean"), reader.operand(reader.nodes[after], 1, "deviation")
    channels = () if shape is None else shape[:1]
    if channels != shape and not (len(shape or ()) == 3 and mean.size == deviation.size == 1):
        fail(node, "features, or one mean and deviation of all pixels", f"an x of {shape}")
    for name, value in ("mean", mean), ("deviation", deviation):
        if value.size != 1 and not one_for_each(value, math.prod(channels), shape):
            fail(node, f"a {name} that is one number, or one for each feature", value.shape)
    with np.errstate(over="ignore", under="ignore"):
        variance = (deviation.astype(np.float64) ** 2).astype(deviation.dtype)
    if not (np.abs(np.sqrt(variance + SMALLEST) - deviation) <= 1e-6 * deviation).all():
        fail(reader.nodes[after], "deviations > 0 whose squares are numbers of their dtype",
             f"{deviation.min():g} to {deviation.max():g}")
    kind = reader.nn.BatchNorm1d if channels == shape else reader.nn.BatchNorm2d
    layer = kind(*channels, SMALLEST, affine=False)
    layer.trainable = False
    reader.used.add(after)
    values = {"running_mean": mean, "running_var": variance}
    return [reader.valued(layer, **{name: np.broadcast_to(value.reshape(-1), channels)
                                    for name, value in values.items()})], reader.nodes[after].output[0]


def read_LayerNormalization(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, epsilon=1e-5, axis=-1, stash_type=1)
    weight = normed(reader, node, x, shape, named["axis"])
    bias = {"bias": reader.operand(node, 2, "bias")} if reader.has(node, 2) else {}
    layer = reader.nn.LayerNorm(weight.shape, tidy(named["epsilon"]), bias=bool(bias))
    return [reader.valued(layer, weight=weight, **bias)], node.output[0]


def read_RMSNormalization(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, epsilon=1e-5, axis=-1, stash_type=1)
    weight = normed(reader, node, x, shape, named["axis"])
    return [rms_norm(reader, weight, named["epsilon"])], node.output[0]


def normed(reader: Reader, node: Any, x: str, shape: Shape, axis: int) -> Array:
    """The scale of a norm over all axes from ``axis`` on."""
    reader.check_first(node, x)
    weight = reader.operand(node, 1, "scale")
    if axis != -weight.ndim and (shape is None or axis != len(shape) + 1 - weight.ndim):
        fail(node, f"the last {weight.ndim} axes, which the scale has", f"axis = {axis}")
    return weight


def rms_norm(reader: Reader, weight: Array, eps: float) -> Any:
    return reader.valued(reader.nn.RMSNorm(weight.shape, tidy(eps)), weight=weight)

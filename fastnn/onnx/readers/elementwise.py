"""Activations that have arguments or several operators, PReLU, softmax, Dropout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..graph import Shape, fail, tidy

if TYPE_CHECKING:
    from ..load import Reader


def read_Dropout(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    p = reader.attributes(node, ratio=0.5, seed=0)["ratio"]
    if reader.has(node, 1):
        p = float(reader.operand(node, 1, "ratio").reshape(-1)[0])
    if reader.has(node, 2) and reader.operand(node, 2, "training_mode").any():
        fail(node, "training_mode = False", True)
    return [reader.nn.Dropout(tidy(p))], node.output[0]


def read_Softmax(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    axis = reader.attributes(node, axis=-1 if reader.opset >= 13 else 1)["axis"]
    last = axis == -1 or (shape is not None and axis == len(shape))
    if reader.opset < 13 and not last:            # over all axes from this one on
        fail(node, "the last axis", f"axis = {axis}")
    if axis == 0 or (shape is not None and not -len(shape) <= axis <= len(shape)):
        fail(node, "an axis of an example", f"axis = {axis}")
    return [getattr(reader.nn, node.op_type)(-1 if last else axis)], node.output[0]


read_LogSoftmax = read_Softmax


def read_PRelu(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    reader.attributes(node)
    reader.check_first(node, x)
    slope = reader.operand(node, 1, "slope")
    if slope.size > 1 and (shape is None or slope.shape[-len(shape):] != (slope.size, *[1] * (len(shape) - 1))):
        fail(node, "one slope, or one for each channel", slope.shape)
    return [reader.valued(reader.nn.PReLU(slope.size), weight=slope.reshape(-1))], node.output[0]


def read_Selu(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, alpha=1.6732632, gamma=1.050701)
    if not (math.isclose(named["alpha"], 1.6732632, rel_tol=1e-4)
            and math.isclose(named["gamma"], 1.050701, rel_tol=1e-4)):
        fail(node, "alpha = 1.6733, gamma = 1.0507", f"{named['alpha']:.5g} and {named['gamma']:.5g}")
    return [reader.nn.SELU()], node.output[0]


def read_HardSigmoid(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, alpha=0.2, beta=0.5)
    if not math.isclose(named["alpha"], 1 / 6, rel_tol=1e-4) or named["beta"] != 0.5:
        fail(node, "alpha = 1/6, beta = 0.5", f"{named['alpha']:.5g} and {named['beta']:.5g}")
    return [reader.nn.Hardsigmoid()], node.output[0]


def read_Clip(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, min=None, max=None)
    reader.check_first(node, x)
    low, high = (float(reader.operand(node, place, name).reshape(-1)[0]) if reader.has(node, place) else named[name]
                 for place, name in enumerate(("min", "max"), 1))
    if (low, high) not in ((0, 6), (0, None)):
        fail(node, "min = 0, and max = 6 or none", f"{low} and {high}")
    return [reader.nn.ReLU6() if high else reader.nn.ReLU()], node.output[0]


def read_Shrink(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, lambd=0.5, bias=0.0)
    if named["bias"] not in (0, named["lambd"]):
        fail(node, "bias = 0 or lambd", f"{named['bias']} and {named['lambd']}")
    kind = reader.nn.Softshrink if named["bias"] else reader.nn.Hardshrink
    return [kind(tidy(named["lambd"]))], node.output[0]


def read_Neg(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    """log σ(x) = −softplus(−x)."""
    nodes, y = [], node.output[0]
    for wanted in "Softplus", "Neg":
        after = reader.only_user(y)
        if after is None or reader.nodes[after].op_type != wanted:
            fail(node, f"{wanted} behind it, for log σ", "none" if after is None else reader.nodes[after].op_type)
        nodes.append(after)
        y = reader.nodes[after].output[0]
    reader.used |= set(nodes)
    return [reader.nn.LogSigmoid()], y


def read_Gelu(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    return [reader.nn.GELU(reader.attributes(node, approximate="none")["approximate"])], node.output[0]


def read_Mish(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    reader.attributes(node)
    return [reader.nn.Mish()], node.output[0]


def read_Swish(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    reader.fixed(node, reader.attributes(node, alpha=1.0), alpha=1.0)
    return [reader.nn.SiLU()], node.output[0]

"""Other axes of the same values: Flatten, Unflatten, Select."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..graph import Shape, fail
from .norms import groups

if TYPE_CHECKING:
    from ..load import Reader


def read_Flatten(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    axis = reader.attributes(node, axis=1)["axis"]
    if axis != 1 and (shape is None or axis != -len(shape)):
        fail(node, "axis = 1", axis)
    return [reader.nn.Flatten()], node.output[0]


def read_Reshape(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    wanted = reader.wanted_shape(node, x, shape)
    after = reader.only_user(node.output[0])
    if after is not None and reader.nodes[after].op_type == "InstanceNormalization" and len(wanted) == 2:
        return groups(reader, after, wanted, node.output[0], shape)
    return reshaping(reader, shape, wanted), node.output[0]


def reshaping(reader: Reader, shape: Shape, wanted: tuple[int, ...]) -> list[Any]:
    """Flatten, Unflatten, or both, that make examples of the shape ``wanted`` of those of ``shape``."""
    if len(wanted) == 1 or not shape:
        return [reader.nn.Flatten()] if len(wanted) == 1 else [reader.nn.Flatten(), reader.nn.Unflatten(1, wanted)]
    most = min(len(shape), len(wanted)) - 1
    start = next((at for at in range(most) if shape[at] != wanted[at]), most)
    end = next((at for at in range(most - start) if shape[-1 - at] != wanted[-1 - at]), most - start)
    before, after = shape[start:len(shape) - end], wanted[start:len(wanted) - end]
    if len(after) == 1:
        return [reader.nn.Flatten(start + 1, start + len(before))] if len(before) > 1 else []
    if len(before) == 1:
        return [reader.nn.Unflatten(start + 1, after)]
    return [reader.nn.Flatten(), reader.nn.Unflatten(1, wanted)]


def read_Unsqueeze(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    axes = reader.axes(node)
    if shape is None or not axes:
        fail(node, "constant axes, and an input whose shape the file tells", f"axes {axes} of {shape}")
    rank = 1 + len(shape) + len(axes)
    places = sorted(axis % rank for axis in axes)
    wanted = [0, *shape]
    for place in places:
        wanted.insert(place, 1)
    if 0 in places:
        fail(node, "axes of the example", axes)
    return reshaping(reader, shape, tuple(wanted[1:])), node.output[0]


def read_Squeeze(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    places = [] if shape is None else [axis % (1 + len(shape)) for axis in reader.axes(node)]
    if shape is None or not places or any(not place or shape[place - 1] != 1 for place in places):
        fail(node, "axes of the example of size 1, which the file tells", reader.axes(node))
    wanted = tuple(size for place, size in enumerate(shape, 1) if place not in places)
    if not wanted:
        fail(node, "an axis that remains", reader.axes(node))
    return reshaping(reader, shape, wanted), node.output[0]


def read_Slice(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    if reader.opset < 10:
        named = reader.attributes(node, starts=None, ends=None, axes=None)
        starts, ends, axes, steps = named["starts"], named["ends"], named["axes"], [1]
    else:
        reader.attributes(node)
        reader.check_first(node, x)
        starts, ends, axes = (reader.operand(node, place, what).reshape(-1).tolist()
                              for place, what in enumerate(("starts", "ends", "axes"), 1))
        steps = reader.operand(node, 4, "steps").reshape(-1).tolist() if reader.has(node, 4) else [1]
    if axes != [1] or steps != [1]:
        fail(node, "axis 1 in steps of 1", f"axes {axes} in steps of {steps}")
    start, stop = int(starts[0]), int(ends[0])
    if shape:
        start, stop, _ = slice(start, stop).indices(shape[0])
    return [reader.nn.Select(start, stop)], node.output[0]

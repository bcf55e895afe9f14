"""Layers of images: convolutions, pools, Pad before them, Upsample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn_ref.shared import checks, config

from ... import image_tables
from ..graph import Array, Shape, fail, tidy

if TYPE_CHECKING:
    from ..load import Reader


ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor, "ceil": np.ceil, "round_prefer_floor": lambda place: np.ceil(place - 0.5),
    "round_prefer_ceil": lambda place: np.floor(place + 0.5),
}
LARGEST_SIDE = 2**24                    # of an enlarged image, whose places are compared one by one


def window_of(node: Any, named: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """kernel_size, stride, padding and dilation of a convolution or a pool."""
    kernel = tuple(named["kernel_shape"] or ())
    if len(kernel) != 2:
        fail(node, "kernel_shape of two axes", list(kernel) or "none")
    stride, dilation = steps(node, named)
    totals: list[int] | None = None
    if shape is not None and len(shape) == 3:
        totals = [max((math.ceil(side / s) - 1) * s + k - side, 0) for side, s, k in zip(
            shape[1:], stride, checks.extent(kernel, dilation), strict=True)]
    elif stride == (1, 1):                          # the same for images of any size
        totals = [k - 1 for k in checks.extent(kernel, dilation)]
    return {"kernel_size": kernel, "stride": stride, "padding": padding(node, named, totals),
            "dilation": dilation}


def steps(node: Any, named: dict[str, Any]) -> Iterator[tuple[int, ...]]:
    """The stride, then the dilation."""
    for key in ("strides", "dilations"):
        found = tuple(named[key] or (1, 1))
        if len(found) != 2 or min(found) < 1:
            fail(node, f"{key} >= 1 of two axes", list(found))
        yield found


def padding(node: Any, named: dict[str, Any], totals: list[int] | None) -> tuple[Any, Any]:
    """((top, bottom), (left, right)); ``totals`` is what SAME means, where it is known."""
    word = named["auto_pad"] or "NOTSET"
    if word in ("SAME_UPPER", "SAME_LOWER"):
        if totals is None:
            fail(node, f"an input whose shape the file tells, with auto_pad = {word!r}", "unknown axes")
        first, second = ((total // 2, total - total // 2)[::-1 if word == "SAME_LOWER" else 1] for total in totals)
        return first, second
    if word not in ("NOTSET", "VALID"):
        fail(node, "auto_pad = 'NOTSET', 'VALID', 'SAME_UPPER' or 'SAME_LOWER'", repr(word))
    pads = list(named["pads"] or [0] * 4) if word == "NOTSET" else [0] * 4
    if len(pads) != 4:
        fail(node, "pads of two axes", pads)
    return (pads[0], pads[2]), (pads[1], pads[3])


def read_Conv(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, kernel_shape=None, strides=None, pads=None, dilations=None, group=1,
                              auto_pad=None)
    weight, bias = filters(reader, node, x, named)
    layer = reader.nn.Conv2d(weight.shape[1] * named["group"], weight.shape[0], **window_of(node, named, shape),
                             groups=named["group"], bias=bool(bias))
    return [reader.valued(layer, weight=weight, **bias)], node.output[0]


def filters(reader: Reader, node: Any, x: str, named: dict[str, Any]) -> tuple[Array, dict[str, Array]]:
    """Weight and bias of a convolution, whose kernel_shape they say if the node does not."""
    reader.check_first(node, x)
    weight = reader.operand(node, 1, "weight")
    if weight.ndim != 4:
        fail(node, "a weight of four axes: images of two", weight.shape)
    named["kernel_shape"] = named["kernel_shape"] or weight.shape[2:]
    return weight, {"bias": reader.operand(node, 2, "bias")} if reader.has(node, 2) else {}


def read_ConvTranspose(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, kernel_shape=None, strides=None, pads=None, dilations=None, group=1,
                              auto_pad=None, output_padding=None, output_shape=None)
    weight, bias = filters(reader, node, x, named)
    kernel = tuple(named["kernel_shape"])
    stride, dilation = steps(node, named)
    more, totals = list(named["output_padding"] or (0, 0)), None
    if shape is not None and len(shape) == 3:
        wanted = (named["output_shape"] or [side * s for side, s in zip(shape[1:], stride, strict=True)])[-2:]
        totals = [(side - 1) * s + k + extra - new for side, s, k, extra, new in zip(
            shape[1:], stride, checks.extent(kernel, dilation), more, wanted, strict=True)]
        if named["output_shape"]:
            named["auto_pad"] = named["auto_pad"] if named["auto_pad"] == "SAME_UPPER" else "SAME_LOWER"
        if (named["auto_pad"] or "").startswith("SAME"):        # less than nothing is more rows at the bottom
            more = [extra - min(total, 0) for extra, total in zip(more, totals, strict=True)]
            totals = [max(total, 0) for total in totals]
    elif named["output_shape"]:
        fail(node, "an input whose shape the file tells, with output_shape", "unknown axes")
    layer = reader.nn.ConvTranspose2d(
        weight.shape[0], weight.shape[1] * named["group"], kernel, stride, padding(node, named, totals),
        tuple(more), named["group"], bool(bias), dilation)
    return [reader.valued(layer, weight=weight, **bias)], node.output[0]


def read_MaxPool(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, kernel_shape=None, strides=None, pads=None, dilations=None, ceil_mode=0,
                              storage_order=0, auto_pad=None)
    window = window_of(node, named, shape)
    return [reader.nn.MaxPool2d(**window, ceil_mode=bool(named["ceil_mode"]))], node.output[0]


def read_AveragePool(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, kernel_shape=None, strides=None, pads=None, dilations=None, ceil_mode=0,
                              count_include_pad=0, auto_pad=None)
    window = window_of(node, named, shape)
    reader.fixed(node, named, dilations=[1, 1])
    del window["dilation"]
    counts = bool(named["count_include_pad"]) or not any(map(sum, window["padding"]))
    layer = reader.nn.AvgPool2d(**window, ceil_mode=bool(named["ceil_mode"]), count_include_pad=counts)
    return [layer], node.output[0]


def read_Pad(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    """Padding in a node of its own: that of the convolution or pool behind it."""
    named = reader.attributes(node, mode="constant", pads=None, value=0.0)
    reader.fixed(node, named, mode="constant")
    reader.check_first(node, x)
    pads, value = named["pads"], named["value"]
    if reader.opset >= 11:
        pads = reader.operand(node, 1, "pads").reshape(-1).tolist()
        value = float(reader.operand(node, 2, "value").reshape(())) if reader.has(node, 2) else 0.0
        axes = reader.operand(node, 3, "axes").reshape(-1).tolist() if reader.has(node, 3) else [0, 1, 2, 3]
        if len(axes) != 4:
            halves = [dict(zip([axis % 4 for axis in axes], half, strict=True))
                      for half in (pads[:len(axes)], pads[len(axes):])]
            pads = [half.get(axis, 0) for half in halves for axis in range(4)]
    images = shape is None or len(shape) == 3
    if not images or len(pads) != 8 or pads[:2] + pads[4:6] != [0] * 4 or min(pads) < 0:
        fail(node, "pads >= 0 of height and width", pads if images else f"{pads} of {shape}")
    top, left, bottom, right = pads[2], pads[3], pads[6], pads[7]
    after = reader.only_user(node.output[0])
    kind = "none" if after is None else reader.nodes[after].op_type
    if after is None or kind not in ("Conv", "AveragePool", "MaxPool"):
        fail(node, "Conv, AveragePool or MaxPool behind it", kind)
    if value != (-math.inf if kind == "MaxPool" else 0):
        fail(node, "padding with -inf before MaxPool, or 0", value)
    padded = shape and (shape[0], shape[1] + top + bottom, shape[2] + left + right)
    (layer,), y = reader.single(after, node.output[0], padded)
    named = config.arguments(layer)
    if shape and kind == "AveragePool" and not named["count_include_pad"]:
        # What counts, and behind it what does not: the last windows of ceil_mode.
        again = reader.nn.AvgPool2d(layer.kernel_size, layer.stride, ((top, bottom), (left, right)), ceil_mode=True)
        own = checks.sides_of(layer.padding)
        if own[0][0] == own[1][0] == 0 and again.output_shape(shape) == layer.output_shape(padded):
            return [again], y
    if named.get("ceil_mode") or not named.get("count_include_pad", True):
        fail(reader.nodes[after], "ceil_mode = 0 and count_include_pad = 1 behind Pad", repr(layer))
    own = checks.sides_of(layer.padding)
    named["padding"] = tuple((a + c, b + d) for (a, b), (c, d) in zip(
        own, ((top, bottom), (left, right)), strict=True))
    again = type(layer)(**named)
    reader.values = [(again if each is layer else each, values) for each, values in reader.values]
    return [again], y


def read_Upsample(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, mode="nearest", scales=None)
    scales = named["scales"] or reader.operand(node, 1, "scales").reshape(-1).tolist()
    return [upsample(reader, node, shape, named["mode"], "asymmetric", "floor", scales, None)], node.output[0]


def read_Resize(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    reader.check_first(node, x)
    if reader.opset < 11:
        return read_Upsample(reader, node, x, shape)
    named = reader.attributes(
        node, mode="nearest", coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_floor",
        antialias=0, axes=None, cubic_coeff_a=None, exclude_outside=0, extrapolation_value=0.0,
        keep_aspect_ratio_policy="stretch")
    reader.fixed(node, named, antialias=0, keep_aspect_ratio_policy="stretch")
    axes = [axis % 4 for axis in named["axes"] or range(4)]

    def of_all_axes(place: int, what: str) -> list[Any]:
        given = dict(zip(axes, reader.operand(node, place, what).reshape(-1).tolist(), strict=True))
        return [given.get(axis) for axis in range(4)]

    scales = of_all_axes(2, "scales") if reader.has(node, 2) and reader.operand(node, 2, "scales").size else None
    sizes = of_all_axes(3, "sizes") if reader.has(node, 3) else None
    layer = upsample(reader, node, shape, named["mode"], named["coordinate_transformation_mode"],
                     named["nearest_mode"], scales, sizes)
    return [layer], node.output[0]


def upsample(reader: Reader, node: Any, shape: Shape, mode: str, places: str, rounding: str, scales: list[Any] | None,
             sizes: list[Any] | None) -> Any:
    """An Upsample that looks at the places that ONNX says, for all four axes; None is an axis that stays."""
    if shape is None or len(shape) != 3:
        fail(node, "images whose shape the file tells", "unknown axes")
    if (scales and (scales[0] or 1, scales[1] or 1) != (1, 1)) or (sizes and sizes[1] not in (None, shape[0])):
        fail(node, "another height and width, not another batch or channels", scales or sizes)
    image = shape[1:]
    if scales:
        factors = [1.0 if each is None else float(each) for each in scales[2:]]
        if not all(1 <= side * factor <= LARGEST_SIDE for side, factor in zip(image, factors, strict=True)):
            fail(node, f"scales that give 1 to {LARGEST_SIDE} pixels", factors)
        counts = [math.floor(side * factor) for side, factor in zip(image, factors, strict=True)]
        nice = [tidy(factor) for factor in factors]
        if [math.floor(side * factor) for side, factor in zip(image, nice, strict=True)] == counts:
            factors = nice
        size: dict[str, Any] = {"scale_factor": tuple(factors)}
    else:
        counts = [side if each is None else int(each) for side, each in zip(image, (sizes or [None] * 4)[2:],
                                                                           strict=True)]
        if not all(1 <= new <= LARGEST_SIDE for new in counts):
            fail(node, f"sizes from 1 to {LARGEST_SIDE}", counts)
        factors, size = [new / side for side, new in zip(image, counts, strict=True)], {"size": tuple(counts)}
    if places == "pytorch_half_pixel" and min(counts) > 1:
        places = "half_pixel"
    if places == "align_corners" and any(abs(side * factor - new) > 1e-3 for side, factor, new in zip(
            image, factors, counts, strict=True)):
        fail(node, "scales that give whole sizes, with 'align_corners'", factors)     # runtimes differ about others
    if mode == "linear" and places in ("half_pixel", "align_corners"):
        return reader.nn.Upsample(**size, mode="bilinear", align_corners=places == "align_corners")
    if mode == "nearest" and places in ("half_pixel", "align_corners", "asymmetric") and rounding in ROUNDINGS:
        ours = (image_tables.places(side, new, factor if scales else None, mode, False).low
                for side, new, factor in zip(image, counts, factors, strict=True))
        theirs = (nearest_places(side, new, factor, places, rounding)
                  for side, new, factor in zip(image, counts, factors, strict=True))
        if all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True)):
            return reader.nn.Upsample(**size)
    fail(node, "the pixels that Upsample looks at", f"mode {mode!r}, {places!r}, {rounding!r}, to {counts} from "
         f"{list(image)}")


def nearest_places(side: int, count: int, factor: float, places: str, rounding: str) -> Array:
    """Which of ``side`` pixels ONNX takes for each of ``count`` new ones."""
    i = np.arange(count)
    place = {"half_pixel": (i + 0.5) / factor - 0.5, "asymmetric": i / factor,
             "align_corners": i * (side - 1) / max(count - 1, 1)}[places]
    return np.clip(ROUNDINGS[rounding](place), 0, side - 1).astype(np.int64)


def read_GlobalAveragePool(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    reader.attributes(node)
    return flattened(reader, node, shape)


def read_GlobalMaxPool(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    reader.attributes(node)
    return [reader.nn.AdaptiveMaxPool2d(1)], node.output[0]


def flattened(reader: Reader, node: Any, shape: Shape) -> tuple[list[Any], str]:
    """The means of whole images (n, c, 1, 1), and what the node behind makes of them: rows, or other axes."""
    means, y = reader.nn.AdaptiveAvgPool2d(1), node.output[0]
    after = reader.only_user(y)
    behind = None if after is None else reader.nodes[after]
    if after is None or behind is None or behind.op_type not in ("Flatten", "Reshape", "Squeeze"):
        return [means], y
    reader.used.add(after)
    if behind.op_type == "Squeeze" and sorted(axis % 4 for axis in reader.axes(behind)) == [2, 3]:
        return [reader.nn.GlobalAvgPool2d()], behind.output[0]
    layers, y = reader.read(behind, y, shape and (shape[0], 1, 1))
    if len(layers) == 1 and type(layers[0]) is reader.nn.Flatten and (shape is None or (
            layers[0].output_shape((shape[0], 1, 1)) == (shape[0],))):
        return [reader.nn.GlobalAvgPool2d()], y
    return [means, *layers], y


def read_ReduceMean(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    keeps = reader.attributes(node, axes=None, keepdims=1, noop_with_empty_axes=0)["keepdims"]
    if sorted(axis % 4 for axis in reader.axes(node)) != [2, 3] or (shape is not None and len(shape) != 3):
        fail(node, "the mean of whole images, axes 2 and 3", reader.axes(node))
    return flattened(reader, node, shape) if keeps else ([reader.nn.GlobalAvgPool2d()], node.output[0])

"""Checks of axes, and the shapes that layers give: of one example, without the batch, as ``output_shape`` has them.

A shape that a layer cannot take is a ValueError that says which one it can. Images have shapes of their own, in
`checks`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import checks
from .checks import format_shape
from .objects import check_layers, class_name

# ---- arguments: axes, sizes, columns ----


def as_axis(name: str, value: object) -> int:
    """An axis of one example: 1 is the first one, because 0 is the batch's, and −1 the last."""
    found = checks.as_integer(name, value)
    if found == 0:
        raise ValueError(f"{name}: expected an axis from 1 on, or a negative one from the end, got 0, the batch's")
    return found


def as_dim(value: object) -> int:
    """An axis: −1 is the last one, 1 the first one of an example."""
    found = checks.as_integer("dim", value)
    if not 1 <= abs(found) <= 8:
        raise ValueError("dim: expected an axis of an example, from 1 to 8 or from −1 to −8, got "
                         f"{found}{', the batch' if found == 0 else ''}")
    return found


def as_sizes(name: str, value: object) -> tuple[int, ...]:
    """Sizes of axes: an integer >= 1, or a tuple of such, of which one may be −1: what is left."""
    sizes = checks.as_integers(name, value, -1)
    if 0 in sizes or sizes.count(-1) > 1:
        raise ValueError(f"{name}: expected sizes >= 1, and -1 at most once, got {value!r}")
    checks.check_size(name, *(size for size in sizes if size > 0))
    return sizes


def as_slice(start: object, stop: object) -> tuple[int, int]:
    """Which columns or channels: 0 <= start < stop."""
    first = checks.as_integer("start", start, 0, checks.LARGEST)
    return first, checks.as_integer("stop", stop, first + 1, checks.LARGEST + 1)


def as_table_shape(num_embeddings: object, embedding_dim: object) -> tuple[int, int]:
    """Rows and columns of an embedding; float32 holds the numbers of the rows exactly."""
    rows = checks.as_integer("num_embeddings", num_embeddings, 1, 2**24)
    columns = checks.as_integer("embedding_dim", embedding_dim, 1)
    checks.check_size("weight", rows, columns)
    return rows, columns


# ---- what one layer takes and gives ----


def check_input_shape(
    who: str, shape: Sequence[int], expected: tuple[int, ...], out: tuple[int, ...],
) -> tuple[int, ...]:
    """``out``, if the input has the one shape that the layer takes."""
    shape = checks.as_example_shape(shape)
    if shape != expected:
        raise ValueError(f"{who}: expected {format_shape(expected)} per example, got {format_shape(shape)}")
    return out


def check_last_axes(who: str, shape: Sequence[int], end: tuple[int, ...]) -> tuple[int, ...]:
    """``shape``, if its last axes are ``end``."""
    shape = checks.as_example_shape(shape)
    if shape[len(shape) - len(end):] != end:
        raise ValueError(f"{who}: expected {format_shape(('...', *end))} per example, got {format_shape(shape)}")
    return shape


def check_has_last_axis(who: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The output shape of a layer that works on whole rows: there must be rows."""
    shape = checks.as_example_shape(shape)
    if not shape:
        raise ValueError(f"x: expected (n, ..., k) for {who}, got (n,)")
    return shape


def check_has_axis(who: str, shape: Sequence[int], dim: int) -> tuple[int, ...]:
    """The output shape of a layer that works along the axis ``dim`` of a batch, which must be one of an example."""
    if dim == -1:
        return check_has_last_axis(who, shape)
    shape = checks.as_example_shape(shape)
    if not -len(shape) <= dim <= len(shape):
        raise ValueError(f"x: expected at least {abs(dim) + 1} axes, the batch among them, for {who}(dim={dim}), got "
                         f"{format_shape(('n', *shape))}")
    return shape


def check_first_axis(who: str, shape: Sequence[int], channels: int) -> tuple[int, ...]:
    """``shape``, if its first axis has so many channels."""
    shape = checks.as_example_shape(shape)
    if shape[:1] != (channels,):
        raise ValueError(f"{who}: expected {format_shape((channels, '...'))} per example, got {format_shape(shape)}")
    return shape


def check_channels(who: str, shape: Sequence[int], channels: int) -> tuple[int, ...]:
    """``shape``, if its first axis has so many channels; 1 fits any shape."""
    return checks.as_example_shape(shape) if channels == 1 else check_first_axis(who, shape, channels)


def place_of_axis(who: str, name: str, axis: int, shape: tuple[int, ...]) -> int:
    """Where an axis, counted with the batch's, stands in the shape of one example."""
    place = axis - 1 if axis > 0 else axis + len(shape)
    if not 0 <= place < len(shape):
        raise ValueError(f"{who}.{name}: expected an axis of {format_shape(('n', *shape))}, got {axis}")
    return place


def flattened_shape(who: str, shape: Sequence[int], start_dim: int, end_dim: int) -> tuple[int, ...]:
    """``shape`` with one axis in place of those from ``start_dim`` to ``end_dim``; () has its one value as an axis."""
    shape = checks.as_example_shape(shape)
    if not shape and start_dim == 1 and end_dim == -1:
        return (1,)
    start, end = place_of_axis(who, "start_dim", start_dim, shape), place_of_axis(who, "end_dim", end_dim, shape)
    if start > end:
        raise ValueError(f"{who}: expected start_dim up to end_dim in {format_shape(('n', *shape))}, got "
                         f"{start_dim} to {end_dim}")
    return (*shape[:start], checks.check_size("y", *shape[start:end + 1]), *shape[end + 1:])


def unflattened_shape(who: str, shape: Sequence[int], dim: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` with axes of these sizes in place of ``dim``; −1 stands for the size that is left."""
    shape = checks.as_example_shape(shape)
    place = place_of_axis(who, "dim", dim, shape)
    known = math.prod(size for size in sizes if size > 0)
    if shape[place] % known or (-1 not in sizes and shape[place] != known):
        raise ValueError(f"{who}: expected unflattened_size to fit the {shape[place]} values of axis {dim}, got "
                         f"{format_shape(sizes)}")
    return (*shape[:place], *(shape[place] // known if size < 0 else size for size in sizes), *shape[place + 1:])


def selected_shape(shape: Sequence[int], start: int, stop: int) -> tuple[int, ...]:
    """The shape of what ``Select`` takes of one example."""
    shape = checks.as_example_shape(shape)
    if not shape or shape[0] < stop:
        raise ValueError(f"Select: expected at least {stop} features or channels per example, "
                         f"got {format_shape(shape)}")
    return (stop - start, *shape[1:])


# ---- layers that fit together ----


def no_fit(text: str, layer: Any, before: Sequence[Any], given: bool) -> ValueError:
    """The error with this text, of a layer that does not fit those before it; where examples may have more axes than
    these say, because the model's shape is not ``given``, it says who does: its part ``teller``."""
    moved = any(each.changes_shape and each.input_shape is None for each in before)         # as Flatten, not Linear
    if given or (layer.input_shape is not None and not moved):
        return ValueError(text)
    return checks.value_error("{text}; where examples have more axes, {teller} says so", text=text,
                              teller="input_shape=")


def check_chain(
    layers: Sequence[Any], kind: type[Any], given: tuple[int, ...] | None = None,
) -> tuple[int, ...] | None:
    """Layers, at least one, each only once; each fits the one before it, as far as shapes are known.

    ``given`` is the model's input shape, where the user says it. Returns that shape, where it is known.
    """
    check_layers(layers, kind)
    shape, first = given, given
    unchanged = True                                # so far a layer got what the model was given
    told = 0                                        # the layer that said a shape, maybe of the last axes alone
    for index, layer in enumerate(layers):
        expected = layer.input_shape
        if shape is None and expected is not None:
            shape, told = expected, index
            first = expected if unchanged and all(keeps(each, expected) for each in layers[:index]) else None
        if shape is not None:
            try:
                shape = tuple(layer.output_shape(shape))
            except ValueError as error:
                text = str(error)
                if expected is not None:
                    text = (f"layers[{index}]: {class_name(layer)} expects {format_shape(expected)} per example, gets "
                            f"{format_shape(shape)} from {f'layers[{index - 1}]' if index else 'input_shape'}")
                raise no_fit(text, layer, layers[told:index], given is not None) from None
        unchanged = unchanged and not layer.changes_shape
    return first


def keeps(layer: Any, shape: tuple[int, ...]) -> bool:
    """Does the layer take examples of ``shape``, and leave them of it? A LayerNorm over two axes takes no rows."""
    try:
        return tuple(layer.output_shape(shape)) == tuple(shape)
    except Exception:                               # whatever a user's layer raises of a shape that it does not expect
        return False


def check_part(
    layers: Sequence[Any], kind: type[Any], whole: Any, index: slice,
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """As ``check_chain``, for the layers ``whole[index]``: (its input shape, the same where the layers alone would be
    taken for those of another one, else None)."""
    try:
        return check_chain(layers, kind), None
    except ValueError:
        start, _, step = index.indices(len(whole))
        if whole.input_shape is None or step != 1:
            raise
    shape = tuple(whole.input_shape)
    for layer in whole.layers[:start]:
        shape = tuple(layer.output_shape(shape))
    return check_chain(layers, kind, shape), shape


def inner_chain(sequential: Any, layers: Sequence[Any], shape: Sequence[int] | None) -> Any:
    """A ``sequential`` of these layers for examples of ``shape``, if that is known; it is told the shape where it would
    take its first Linear for one that gets a row."""
    try:
        return sequential(*layers)
    except ValueError:
        if shape is None:
            raise
    return sequential(*layers, input_shape=tuple(shape))


def check_residual_shape(who: str, block: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """``shape``, if the block keeps it: what is added must fit."""
    shape = checks.as_example_shape(shape)
    found = block.output_shape(shape)
    if tuple(found) != shape:
        raise ValueError(f"{who}: expected a block that keeps the shape {format_shape(shape)}, "
                         f"got {format_shape(found)} from {class_name(block)}")
    return shape


def check_branches(branches: Sequence[Any], kind: type[Any], merge: str) -> tuple[int, ...] | None:
    """Branches, at least one, each only once; what they make of the same input fits together, as far as it is known.

    Returns the shape of one example of that input, where a branch knows it: a Linear beside a layer of images, which
    take no rows, does not.
    """
    check_layers(branches, kind, "branches")
    shapes = [branch.input_shape for branch in branches if branch.input_shape is not None]
    if not shapes:
        return None
    shape = max(map(tuple, shapes), key=len)        # what takes one axis, as Linear, takes several
    try:
        merged_shape(branches, shape, merge)
    except ValueError:
        if len(shape) > 1 or len(shapes) == len(branches):
            raise
        return None
    return shape


def merged_shape(branches: Sequence[Any], shape: Sequence[int], merge: str) -> tuple[int, ...]:
    """The shape that the outputs of ``branches`` make together, for one example of ``shape``."""
    shape = checks.as_example_shape(shape)
    return joined([tuple(branch.output_shape(shape)) for branch in branches], merge)


def joined(found: Sequence[tuple[int, ...]], merge: str) -> tuple[int, ...]:
    """The shape that outputs of these shapes make together."""
    alike = found if merge == "add" else [each[1:] for each in found]
    for index, each in enumerate(found):
        if alike[index] != alike[0] or (merge == "concat" and not each):
            wanted = format_shape(found[0] if merge == "add" else ("...", *found[0][1:]))
            raise ValueError(f"branches[{index}]: expected {wanted} per example, as branches[0] gives, "
                             f"got {format_shape(each)}")
    return found[0] if merge == "add" else (sum(each[0] for each in found), *found[0][1:])


def check_announced(found: Sequence[int], announced: Sequence[int]) -> None:
    """A user's output_shape must say the same whenever it is asked."""
    if found != announced:
        raise ValueError(f"output_shape: expected {format_shape(announced)} again, got {format_shape(found)}")

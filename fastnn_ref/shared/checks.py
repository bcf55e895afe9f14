"""Checks of plain values, and their messages, for both packages: who, wanted, got.

Every check of an argument stands in the shared room once, so that both packages say the same: plain values and images
here; `objects`, `shapes`, `arrays`, `targets`, `network` and `optimizer` have those of one subject. A value of the
wrong type is a TypeError, one of the right type out of its range a ValueError.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from . import words

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

BOOLS, INTEGERS = (bool, np.bool_), (int, np.integer)           # as tuples: every constructor asks many times
NUMBERS = (*INTEGERS, float, np.floating)
LARGEST = 2**40                     # values in one array; more is a mistake, and must not overflow in C


# ---- errors whose parts somebody else knows better ----


def told(error: type[E], text: str, /, **parts: Any) -> E:
    """An error of this class with the ``text``, whose fields are the ``parts``; ``Retold`` tells it anew."""
    found = error(text.format(**parts))
    vars(found)["told"] = text, parts
    return found


value_error = functools.partial(told, ValueError)


def has_part(error: BaseException, name: str) -> bool:
    """Does the error tell such a part?"""
    return name in vars(error).get("told", ("", {}))[1]


def finish(error: BaseException) -> None:
    """Nobody tells this error anew: it comes from a user's own code, which knows its parts best."""
    vars(error).pop("told", None)


def call_own(method: Callable[..., T], *arguments: Any) -> T:
    """What a method of a user's own returns."""
    try:
        return method(*arguments)
    except BaseException as error:
        finish(error)
        raise


class Retold:
    """A context in which what ``value_error`` made tells, of its parts with these names, what the functions make of
    them. ``fit`` enters one in every epoch, so it is no generator.

    >>> from fastnn_ref.shared.checks import Retold, value_error
    >>> with Retold(row=lambda row: row + 100):
    ...     raise value_error("{name}: expected finite values, got nan at row {row}", name="t", row=7)
    Traceback (most recent call last):
    ValueError: t: expected finite values, got nan at row 107
    """

    def __init__(self, **changes: Callable[[Any], Any]) -> None:
        self.changes = changes

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        text, parts = vars(error).get("told", ("", {}))
        if changed := self.changes.keys() & parts:
            raise told(type(error), text, **parts | {key: self.changes[key](parts[key]) for key in changed}) from None


# ---- choices, numbers and flags ----


def as_choice(name: str, value: object, options: Iterable[str]) -> str:
    """``value`` if it is one of ``options``; a near miss is named in the error.

    >>> from fastnn_ref.shared.checks import as_choice
    >>> as_choice("activation", "rleu", ("relu", "tanh"))
    Traceback (most recent call last):
    ValueError: activation: unknown name 'rleu', did you mean 'relu'? known: relu, tanh
    """
    options = list(options)
    if not isinstance(value, str):
        kind = value.__name__ if isinstance(value, type) else None
        found = repr(value) if kind is None else f"the class {kind}; pass an object: {kind}()"
        raise TypeError(f"{name}: expected one of {', '.join(options)}, got {found}")
    if value in options:
        return value
    word = words.CHOICES.get(value.lower(), "")
    near = [word] if word in options else words.nearest(value.lower(), options)
    hint = f", did you mean {near[0]!r}?" if near else ","
    raise ValueError(f"{name}: unknown name {value!r}{hint} known: {', '.join(options)}")


def as_integer(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """A whole number from ``low`` to ``high``; bools are none.

    >>> from fastnn_ref.shared.checks import as_integer
    >>> as_integer("in_features", 0, 1)
    Traceback (most recent call last):
    ValueError: in_features: expected an integer >= 1, got 0
    """
    if isinstance(value, BOOLS) or not isinstance(value, INTEGERS):
        raise TypeError(f"{name}: expected an integer{between(low, high)}, got {value!r}")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name}: expected an integer{between(low, high)}, got {value}")
    return int(value)


def as_number(
    name: str, value: object, low: float | None = None, high: float | None = None,
    *, low_open: bool = False, high_open: bool = False,
) -> float:
    """A finite number between ``low`` and ``high``; an open end is not itself allowed.

    >>> from fastnn_ref.shared.checks import as_number
    >>> as_number("momentum", 1, 0, 1, high_open=True)
    Traceback (most recent call last):
    ValueError: momentum: expected a finite number >= 0 and < 1, got 1
    """
    if isinstance(value, BOOLS) or not isinstance(value, NUMBERS):
        raise TypeError(f"{name}: expected a finite number{between(low, high, low_open, high_open)}, got {value!r}")
    try:
        found = float(value)
    except OverflowError:                           # an integer beyond every float
        found = math.inf
    too_low = low is not None and (found < low or (low_open and found == low))
    too_high = high is not None and (found > high or (high_open and found == high))
    if not math.isfinite(found) or too_low or too_high:
        raise ValueError(f"{name}: expected a finite number{between(low, high, low_open, high_open)}, got {value}")
    return found


def between(low: float | None, high: float | None, low_open: bool = False, high_open: bool = False) -> str:
    """The bounds of a number, in words: `` >= 0 and < 1``; nothing without any."""
    signs = (">" if low_open else ">=", low), ("<" if high_open else "<=", high)
    bounds = [f"{sign} {bound}" for sign, bound in signs if bound is not None]
    return " " + " and ".join(bounds) if bounds else ""


def as_flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def as_path(name: str, value: object) -> Path:
    """``value``, a text or what has one for a path, as a path."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name}: expected a path, got {value!r}")
    if "\0" in os.fspath(value):
        raise ValueError(f"{name}: expected a path, in which no null byte is, got {value!r}")
    from pathlib import Path  # of use where there are files alone

    return Path(value)


def as_divisor(name: str, value: object, of: str, whole: int) -> int:
    """A whole number that divides ``whole``, which is the argument ``of``."""
    found = as_integer(name, value, 1)
    if whole % found:
        raise ValueError(f"{name}: expected a divisor of {of} = {whole}, got {found}")
    return found


def check_dropconnect(p: float, inference: str) -> float:
    """DropConnect's p: with p = 1 there is no variance to match."""
    if p == 1 and inference == "gaussian":
        raise ValueError("p: expected < 1 for inference='gaussian', got 1")
    return p


# ---- keys, sizes and shapes ----


def format_keys(value: object) -> str:
    """What came in place of a dict with certain keys, as text."""
    return ", ".join(map(str, value)) or "(none)" if isinstance(value, Mapping) else type(value).__name__


def check_keys(name: str, value: object, wanted: Sequence[str], optional: Sequence[str] = ()) -> None:
    """A dict with just these keys, the optional ones or not."""
    if not isinstance(value, Mapping) or not set(wanted) <= set(value) <= {*wanted, *optional}:
        raise ValueError(f"{name}: expected the keys {', '.join((*wanted, *optional))}, got {format_keys(value)}")


def check_size(name: str, *dims: int) -> int:
    """The product of ``dims``, at most 2**40: checked in Python's integers, before C multiplies."""
    product = math.prod(int(dim) for dim in dims)
    if product > LARGEST:
        shape = "" if len(dims) == 1 else " x ".join(str(dim) for dim in dims) + " = "
        raise ValueError(f"{name}: expected at most 2**40 values, got {shape}{product}")
    return product


def check_memory(size: int) -> int:
    """The bytes of one block, at most 2**40: what no machine here has is a MemoryError, as NumPy's own."""
    if size > LARGEST:
        raise MemoryError(f"memory: expected to need at most 2**40 bytes, got {size}")
    return size


def format_shape(shape: Iterable[object]) -> str:
    """A shape as text: ``(n, 64)``."""
    parts = [str(part) for part in shape]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def as_integers(name: str, value: object, low: int) -> tuple[int, ...]:
    """An integer >= ``low``, or a tuple of such, at least one; as a tuple."""
    found = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not found:
        raise ValueError(f"{name}: expected an integer or a tuple of integers, got {value!r}")
    return tuple(as_integer(name, each, low) for each in found)


def as_shape(name: str, value: object) -> tuple[int, ...]:
    """A shape: an integer >= 1, or a tuple of such."""
    dims = as_integers(name, value, 1)
    check_size(name, *dims)
    return dims


def as_example_shape(value: Any) -> tuple[int, ...]:
    """The shape of one example, as ``output_shape`` takes it: integers >= 1, as many as there are axes."""
    if type(value) is tuple and {int}.issuperset(map(type, value)) and min(value, default=1) >= 1:
        return value
    return as_shape("shape", value)


# ---- activations inside of layers ----


def check_elementwise(activation: Any) -> Any:
    """An activation that does not look at whole rows."""
    if activation.name in ("softmax", "log_softmax"):
        raise ValueError(f"activation: expected one that works element by element, got {activation.name!r}")
    return activation


def check_fused(activation: T) -> T:
    """An activation that a layer's product can compute: of its last axis, if of rows."""
    if getattr(activation, "dim", -1) != -1:
        raise ValueError(f"activation: expected dim=-1 inside a layer, got {activation!r}; put it behind the layer")
    return activation


# ---- arguments of layers of images ----


def pair_of(name: str, value: Any, kind: str) -> tuple[Any, Any]:
    """The two of a pair; anything else stands for both height and width."""
    if not isinstance(value, tuple | list):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name}: expected {kind} or a pair of {kind.split()[-1]}s, got {value!r}")
    return value[0], value[1]


def as_pair(name: str, value: object, low: int) -> tuple[int, int]:
    """A whole number for both height and width, or a pair of them; at most 2**20."""
    rows, cols = pair_of(name, value, "an integer")
    return as_integer(name, rows, low, 2**20), as_integer(name, cols, low, 2**20)


def as_number_pair(name: str, value: object, low: float) -> tuple[float, float]:
    """A number for both height and width, or a pair of them."""
    rows, cols = pair_of(name, value, "a number")
    return as_number(name, rows, low), as_number(name, cols, low)


def as_image_shape(name: str, value: Any) -> tuple[int, int, int] | None:
    """None, or (channels, height, width)."""
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise ValueError(f"{name}: expected (channels, height, width), got {value!r}")
    channels, height, width = (as_integer(name, side, 1) for side in value)
    check_size(name, channels, height, width)
    return channels, height, width


def as_padding(value: Any, seen: tuple[int, int] | None = None, stride: tuple[int, int] = (1, 1)) -> Any:
    """(height, width) of padding, on both sides, or ((top, bottom), (left, right)) where the two sides differ.

    ``seen`` is the extent of a kernel that "same" and "valid" mean something for.
    """
    if isinstance(value, str) and seen is not None:
        if as_choice("padding", value, ("same", "valid")) == "valid":
            return 0, 0
        if stride != (1, 1):
            raise ValueError(f"padding: expected numbers beside stride {stride}, got 'same', which needs stride 1")
        sides = tuple(((k - 1) // 2, k // 2) for k in seen)
    else:
        axes = value if isinstance(value, tuple | list) else (value, value)
        if len(axes) != 2:
            raise ValueError("padding: expected an integer, a pair (height, width) or two pairs ((top, bottom), (left, "
                             f"right)), got {value!r}")
        sides = tuple(as_pair("padding", axis, 0) for axis in axes)
    (top, bottom), (left, right) = sides
    return (top, left) if (top, left) == (bottom, right) else sides


def sides_of(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)) of what ``as_padding`` returned."""
    rows, cols = (side if isinstance(side, tuple) else (side, side) for side in padding)
    return rows, cols


def extent(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, int]:
    """Rows and columns from a kernel's first tap to its last."""
    rows, cols = (d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    return rows, cols


def as_pool_padding(value: Any, seen: tuple[int, int]) -> Any:
    """Padding of a pool, as ``as_padding`` returns it: no window lies outside."""
    found = as_padding(value)
    if any(max(side) >= k for side, k in zip(sides_of(found), seen, strict=True)):
        raise ValueError(f"padding: expected less than the kernel's extent {seen}, got {value!r}")
    return found


def as_output_padding(value: Any, stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns more of a transposed convolution: fewer than the stride or the dilation."""
    found = as_pair("output_padding", value, 0)
    if any(more >= max(s, d) for more, s, d in zip(found, stride, dilation, strict=True)):
        raise ValueError(f"output_padding: expected less than stride {stride} or dilation {dilation}, got {found}")
    return found


def as_output_size(value: Any) -> tuple[int | None, int | None]:
    """Whole numbers for height and width, or None where the image's own remains."""
    rows, cols = (None if side is None else as_integer("output_size", side, 1, 2**20)
                  for side in pair_of("output_size", value, "an integer"))
    return rows, cols


def as_groups(value: object, inside: int, outside: int) -> int:
    """A number that divides both numbers of channels."""
    found = as_integer("groups", value, 1)
    if inside % found or outside % found:
        raise ValueError(f"groups: expected a divisor of in_channels {inside} and out_channels {outside}, got {found}")
    return found


def as_algorithm(value: object, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> str:
    """"direct", or "winograd" where Winograd's formulas can do it."""
    found = as_choice("algorithm", value, ("direct", "winograd"))
    if found == "winograd" and not (kernel in ((3, 3), (5, 5)) and stride == dilation == (1, 1)):
        raise ValueError("algorithm: expected kernel_size 3 or 5, stride and dilation 1 for 'winograd', got "
                         f"{kernel}, {stride}, {dilation}; 'direct' takes them")
    return found


def as_new_size(
    size: Any, scale_factor: Any,
) -> tuple[tuple[int, int] | None, tuple[float, float] | None]:
    """Either height and width, or what they are multiplied by."""
    if (size is None) == (scale_factor is None):
        raise ValueError("size: expected either size or scale_factor, got "
                         f"{'neither' if size is None else f'{size!r} and {scale_factor!r}'}")
    if size is not None:
        return as_pair("size", size, 1), None
    rows, cols = as_number_pair("scale_factor", scale_factor, 0)
    if rows == 0 or cols == 0:
        raise ValueError(f"scale_factor: expected numbers > 0, got {scale_factor!r}")
    return None, (rows, cols)


def as_align_corners(value: object, mode: str) -> bool:
    """A flag, which the nearest pixel does not know."""
    found = as_flag("align_corners", value)
    if found and mode == "nearest":
        raise ValueError("align_corners: expected False beside mode 'nearest', got True")
    return found


def as_shift(value: Any, whole: bool) -> tuple[float, float]:
    """The largest shift down and across, whole pixels if need be."""
    down, across = as_number_pair("shift", value, 0)
    if whole and not (down.is_integer() and across.is_integer()):
        raise ValueError(f"shift: expected whole numbers beside whole_shift=True, got {value!r}")
    return down, across


# ---- shapes of images ----


def check_image_shape(who: str, shape: Sequence[int], channels: int | None = None) -> tuple[int, ...]:
    """``shape``, if it is an image's of so many channels, or of any number."""
    shape = as_example_shape(shape)
    if len(shape) != 3 or channels not in (None, shape[0]):
        wanted = format_shape(("channels" if channels is None else channels, "h", "w"))
        hint = ("; channels come first: x.transpose(0, 3, 1, 2)" if len(shape) == 3 and shape[2] == channels else
                "; x[:, None] adds the axis" if len(shape) == 2 and channels in (None, 1) else "")
        raise ValueError(f"{who}: expected {wanted} per example, got {format_shape(shape)}{hint}")
    return shape


def window_counts(
    who: str, image: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Any, dilation: Sequence[int],
    ceil_mode: bool = False,
) -> tuple[int, int]:
    """How many windows there are down and across an image; at least one.

    With ``ceil_mode`` the last one may stick out of the padded image, as long as it does not begin behind the image.
    """
    seen = extent(kernel, dilation)
    room = [side + sum(around) for side, around in zip(image, sides_of(padding), strict=True)]
    least = [k - (s - 1) * ceil_mode for k, s in zip(seen, stride, strict=True)]
    if least[0] > room[0] or least[1] > room[1]:
        what = "the kernel's extent" + " - stride + 1" * ceil_mode
        raise ValueError(f"{who}: expected a padded image of at least {format_shape(least)}, {what}, "
                         f"got {format_shape(room)}")
    rows, cols = ((whole - k) // s + 1 for whole, k, s in zip(room, least, stride, strict=True))
    if ceil_mode:
        (top, _), (left, _) = sides_of(padding)
        rows -= (rows - 1) * stride[0] >= image[0] + top
        cols -= (cols - 1) * stride[1] >= image[1] + left
    return rows, cols


def check_windows_meet(
    who: str, image: Sequence[int], counts: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Any,
    dilation: Sequence[int],
) -> None:
    """ValueError if a dilated window of a pool has no pixel: it has no maximum."""
    for side, n, k, s, (before, _), d in zip(image, counts, kernel, stride, sides_of(padding), dilation, strict=True):
        for start in range(-before, n * s - before, s) if d > 1 else ():
            missed = -(min(start, 0) // d)                  # taps before the image
            if missed >= k or start + missed * d >= side:
                raise ValueError(f"{who}: expected windows that all meet the image, got none of its {side} rows or "
                                 f"columns with dilation {d} from {start} on")


def transposed_shape(
    who: str, image: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Any,
    output_padding: Sequence[int], dilation: Sequence[int],
) -> tuple[int, int]:
    """Height and width that a transposed convolution gives; at least 1."""
    rows, cols = ((side - 1) * s + k - sum(around) + more for side, s, k, around, more in zip(
        image, stride, extent(kernel, dilation), sides_of(padding), output_padding, strict=True))
    if rows < 1 or cols < 1:
        raise ValueError(f"{who}: expected an image that gives at least (1, 1), got ({rows}, {cols}) for "
                         f"{format_shape(image)}: less padding, or a larger image")
    return rows, cols


def scaled_shape(
    who: str, image: Sequence[int], size: tuple[int, int] | None, scale_factor: tuple[float, float] | None,
) -> tuple[int, int]:
    """Height and width of an image made larger or smaller; at least 1."""
    if size is not None:
        return size
    rows, cols = (math.floor(side * scale) for side, scale in zip(image, scale_factor or (), strict=True))
    if rows < 1 or cols < 1:
        raise ValueError(f"{who}: expected an image that gives at least (1, 1), got ({rows}, {cols}) for "
                         f"{format_shape(image)}: a larger scale_factor, or a larger image")
    check_size("y", rows, cols)
    return rows, cols

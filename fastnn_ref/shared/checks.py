"""Every check of an argument and every message about one, for both packages: who, wanted, got.

Not a concept and not hot, so it stands here once. The engine looks at a well-formed array in passing and comes here
for everything else, to convert it or to hear what is wrong. A value of the wrong type is a TypeError, one of the right
type out of its range a ValueError.

Order: plain values, arrays, targets, states, layers.
"""

from __future__ import annotations

import importlib
import math
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from . import foreign, words

if TYPE_CHECKING:                   # a part of `import fastnn` that only annotations need
    import numpy.typing as npt

    Array = npt.NDArray[Any]

T = TypeVar("T")

REDUCTIONS = ("mean", "sum", "none")            # of losses
BOOLS, INTEGERS = (bool, np.bool_), (int, np.integer)           # as tuples: every constructor asks many times
NUMBERS = (*INTEGERS, float, np.floating)
LARGEST = 2**40                     # values in one array; more is a mistake, and must not overflow in C


# ---- plain values ----


def as_choice(name: str, value: object, options: Iterable[str]) -> str:
    """``value`` if it is one of ``options``; a near miss is named in the error.

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


def as_integer(name: str, value: object, low: int, high: int | None = None) -> int:
    """A whole number from ``low`` to ``high``; bools are none.

    >>> as_integer("in_features", 0, 1)
    Traceback (most recent call last):
    ValueError: in_features: expected an integer >= 1, got 0
    """
    upper = "" if high is None else f" and <= {high}"
    if isinstance(value, BOOLS) or not isinstance(value, INTEGERS):
        raise TypeError(f"{name}: expected an integer >= {low}{upper}, got {value!r}")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name}: expected an integer >= {low}{upper}, got {value}")
    return int(value)


def as_number(
    name: str, value: object, low: float | None = None, high: float | None = None,
    *, low_open: bool = False, high_open: bool = False,
) -> float:
    """A finite number between ``low`` and ``high``; an open end is not itself allowed.

    >>> as_number("momentum", 1, 0, 1, high_open=True)
    Traceback (most recent call last):
    ValueError: momentum: expected a finite number >= 0 and < 1, got 1
    """
    if isinstance(value, BOOLS) or not isinstance(value, NUMBERS):
        raise TypeError(f"{name}: expected {number_between(low, high, low_open, high_open)}, got {value!r}")
    try:
        found = float(value)
    except OverflowError:                           # an integer beyond every float
        found = math.inf
    too_low = low is not None and (found < low or (low_open and found == low))
    too_high = high is not None and (found > high or (high_open and found == high))
    if not math.isfinite(found) or too_low or too_high:
        raise ValueError(f"{name}: expected {number_between(low, high, low_open, high_open)}, got {value}")
    return found


def number_between(low: float | None, high: float | None, low_open: bool, high_open: bool) -> str:
    """What ``as_number`` expects, in words."""
    bounds = []
    if low is not None:
        bounds.append(f"{'>' if low_open else '>='} {low:g}")
    if high is not None:
        bounds.append(f"{'<' if high_open else '<='} {high:g}")
    return "a finite number" + (" " + " and ".join(bounds) if bounds else "")


def as_flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def as_betas(value: object) -> tuple[float, float]:
    """Adam's pair of decay rates."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"betas: expected a pair of numbers, got {value!r}")
    first, second = (as_number(f"betas[{i}]", beta, 0, 1, high_open=True) for i, beta in enumerate(value))
    return first, second


def as_dampening(value: object, momentum: float, nesterov: bool) -> float:
    """SGD's dampening, which only momentum has, and Nesterov's has not; that needs a momentum, too."""
    if nesterov and momentum == 0:
        raise ValueError("nesterov: expected momentum > 0, got 0")
    found = as_number("dampening", value, 0, 1, high_open=True)
    if found and (nesterov or not momentum):
        raise ValueError(f"dampening: expected 0 {'with nesterov' if nesterov else 'without momentum'}, got {found:g}")
    return found


def as_learning_rate(value: object) -> Any:
    """A number >= 0 as a float, or a schedule as it is."""
    return value if callable(value) else as_number("lr", value, 0)


def as_clipping(clip_norm: object, clip_value: object) -> tuple[float | None, float | None]:
    """The two limits of an optimizer's gradients, each a number > 0, or None."""
    norm = None if clip_norm is None else as_number("clip_norm", clip_norm, 0, low_open=True)
    return norm, None if clip_value is None else as_number("clip_value", clip_value, 0, low_open=True)


def is_a(thing: object, name: str) -> bool:
    """Is it of a class of that name, of either package, or of one that derives from it?"""
    return any(kind.__name__ == name and kind.__module__.partition(".")[0] in ("fastnn", "fastnn_ref")
               for kind in type(thing).__mro__)


def is_container(layer: object) -> bool:
    """Does it run other layers? A user's layer may have an attribute ``layers``, ``block`` or ``branches``, too."""
    return any(is_a(layer, name) for name in ("Sequential", "Residual", "Parallel"))


def as_seed(value: object, name: str = "seed") -> int:
    """A seed fits in 64 bits."""
    return as_integer(name, value, 0, 2**64 - 1)


class Seeds(NamedTuple):
    """A model's seeds, by what is drawn from them."""

    init: int       # initial values
    order: int      # the order of the examples
    masks: int      # masks, noise, augmentation, mixup


def as_model_seed(value: object) -> int | dict[str, int]:
    """One seed, or a dict with one for each purpose, 0 where it has none; three equal ones are one."""
    if not isinstance(value, Mapping):
        return as_seed(value)
    if not value or not set(value) <= set(Seeds._fields):
        raise ValueError(f"seed: expected an integer, or a dict with keys of {', '.join(Seeds._fields)}, "
                         f"got the keys {format_keys(value)}")
    found = {name: as_seed(value.get(name, 0), f"seed[{name!r}]") for name in Seeds._fields}
    return found if len(set(found.values())) > 1 else found["init"]


def as_seeds(seed: int | Mapping[str, int]) -> Seeds:
    """The seed of each purpose."""
    return Seeds(**seed) if isinstance(seed, Mapping) else Seeds(seed, seed, seed)


def as_dtype(value: npt.DTypeLike | None, default: npt.DTypeLike) -> np.dtype[Any]:
    """float32 or float64; None means ``default``."""
    wrong = ValueError(f"dtype: expected float32 or float64, got {value!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)     # of letters that are no name of these two
            found: np.dtype[Any] = np.dtype(default if value is None else value)
    except TypeError:
        raise wrong from None
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise wrong
    return found


def as_common_dtype(found: set[np.dtype[Any]]) -> np.dtype[Any] | None:
    """The one dtype among those of a model's contents; None if they have none."""
    if len(found) > 1:
        raise ValueError("dtype: expected one, as the layers already have float32 and float64; say dtype=")
    return next(iter(found), None)


def as_shape(name: str, value: object) -> tuple[int, ...]:
    """A shape: an integer >= 1, or a tuple of such."""
    found = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not found:
        raise ValueError(f"{name}: expected an integer or a tuple of integers, got {value!r}")
    dims = tuple(as_integer(name, dim, 1) for dim in found)
    check_size(name, *dims)
    return dims


def as_pair(name: str, value: object, low: int) -> tuple[int, int]:
    """A whole number for both height and width, or a pair of them; at most 2**20."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{name}: expected an integer or a pair of integers, got {value!r}")
        return as_integer(name, value[0], low, 2**20), as_integer(name, value[1], low, 2**20)
    side = as_integer(name, value, low, 2**20)
    return side, side


def as_number_pair(name: str, value: Any, low: float) -> tuple[float, float]:
    """A number for both height and width, or a pair of them."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{name}: expected a number or a pair of numbers, got {value!r}")
        return as_number(name, value[0], low), as_number(name, value[1], low)
    side = as_number(name, value, low)
    return side, side


def as_shift(value: Any, whole: bool) -> tuple[float, float]:
    """The largest shift down and across, whole pixels if need be."""
    down, across = as_number_pair("shift", value, 0)
    if whole and not (down.is_integer() and across.is_integer()):
        raise ValueError(f"shift: expected whole numbers beside whole_shift=True, got {value!r}")
    return down, across


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


def as_output_size(value: Any) -> tuple[int | None, int | None]:
    """Whole numbers for height and width, or None where the image's own remains."""
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"output_size: expected an integer or a pair of integers, got {value!r}")
    rows, cols = (None if side is None else as_integer("output_size", side, 1, 2**20) for side in pair)
    return rows, cols


def as_output_padding(value: Any, stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns more of a transposed convolution: fewer than the stride or the dilation."""
    found = as_pair("output_padding", value, 0)
    if any(more >= max(s, d) for more, s, d in zip(found, stride, dilation, strict=True)):
        raise ValueError(f"output_padding: expected less than stride {stride} or dilation {dilation}, got {found}")
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


def as_divisor(name: str, value: object, of: str, whole: int) -> int:
    """A whole number that divides ``whole``, which is the argument ``of``."""
    found = as_integer(name, value, 1)
    if whole % found:
        raise ValueError(f"{name}: expected a divisor of {of} = {whole}, got {found}")
    return found


def as_axis(name: str, value: object) -> int:
    """An axis of one example: 1 is the first one, because 0 is the batch's, and −1 the last."""
    found = as_integer(name, value, -LARGEST)
    if found == 0:
        raise ValueError(f"{name}: expected an axis from 1 on, or a negative one from the end, got 0, the batch's")
    return found


def as_sizes(name: str, value: object) -> tuple[int, ...]:
    """Sizes of axes: an integer >= 1, or a tuple of such, of which one may be −1: what is left."""
    found = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not found:
        raise ValueError(f"{name}: expected an integer or a tuple of integers, got {value!r}")
    sizes = tuple(as_integer(name, size, -1) for size in found)
    if 0 in sizes or sizes.count(-1) > 1:
        raise ValueError(f"{name}: expected sizes >= 1, and -1 at most once, got {value!r}")
    check_size(name, *(size for size in sizes if size > 0))
    return sizes


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


def as_dim(value: object) -> int:
    """An axis: −1 is the last one, 1 the first one of an example."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"dim: expected an integer, got {value!r}")
    if not 1 <= abs(int(value)) <= 8:
        raise ValueError("dim: expected an axis of an example, from 1 to 8 or from −1 to −8, got "
                         f"{int(value)}{', the batch' if value == 0 else ''}")
    return int(value)


def check_instance(name: str, value: T, kind: type[T]) -> T:
    """An object of that class, and of that package: the two do not mix."""
    if not isinstance(value, kind):
        package = kind.__module__.partition(".")[0]
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{name}: expected {article} {kind.__name__} of {package}, got "
                        f"{format_kind(value)}{hint_for(value, kind)}")
    return value


def format_kind(value: object) -> str:
    """What sort of thing came, as text: a class, or an object of one."""
    what, found = ("the class ", value) if isinstance(value, type) else ("", type(value))
    home = "" if found.__module__ == "builtins" else f"{found.__module__}."
    return f"{what}{home}{found.__qualname__}"


def check_model(name: str, value: Any, or_layer: bool = False) -> Any:
    """A model of either package; a single layer, too, if ``or_layer``.

    >>> check_model("model", "mlp")
    Traceback (most recent call last):
    TypeError: model: expected a model, got str
    """
    if not is_a(value, "Layer" if or_layer else "Model"):
        hint = "; a predictor is a copy of a model: pass the model itself" if is_a(value, "Predictor") else ""
        raise TypeError(f"{name}: expected a model{' or a layer' if or_layer else ''}, got {format_kind(value)}{hint}")
    return value


def as_function(name: str, value: Any) -> Any:
    """None, or something that can be called."""
    if value is not None and not callable(value):
        raise TypeError(f"{name}: expected a function or None, got {format_kind(value)}")
    return value


def as_package(value: Any, default: str) -> Any:
    """One of the two packages; the ``default`` one for None."""
    if value is None:
        return importlib.import_module(default)
    if not isinstance(value, ModuleType) or value.__name__ not in ("fastnn", "fastnn_ref"):
        raise TypeError(f"package: expected fastnn or fastnn_ref, got {value!r}")
    return value


def as_classes(value: Any) -> dict[str, type[Any]]:
    """None, or a dict from the names of a user's own classes to the classes."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(each, type) for each in value.values()):
        raise TypeError(f"classes: expected a dict from name to class, got {value!r}")
    return dict(value)


def hint_for(value: object, kind: type[Any]) -> str:
    """What to write in place of a class, of the name of one, or of a list of objects, where there is such a thing."""
    package = kind.__module__.partition(".")[0]
    if isinstance(value, list | tuple) and value and all(isinstance(each, kind) for each in value):
        return "; pass them one by one, or with a star before the list"
    name = value.__name__ if isinstance(value, type) else value if isinstance(value, str) else ""
    public = {each.lower(): each for each in sys.modules[package].__all__}
    plain = name.lower().replace("_", "")
    word = public.get(plain) or public.get(f"{plain}loss")
    found = getattr(sys.modules[package], word) if word else None
    usable = isinstance(found, type) and issubclass(found, kind) and found is not kind     # that one is abstract
    return f"; pass an object: {word}()" if usable else ""


def as_tuple_of(name: str, value: Any, kind: type[Any]) -> tuple[Any, ...]:
    """None, one object of that class, or a sequence of them, as a tuple."""
    if value is None:
        return ()
    found = tuple(value) if isinstance(value, tuple | list) else (value,)
    for each in found:
        check_instance(name, each, kind)
    return found


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


# ---- arrays ----


def format_shape(shape: Iterable[object]) -> str:
    """A shape as text: ``(n, 64)``."""
    parts = [str(part) for part in shape]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def format_keys(value: object) -> str:
    """What came in place of a dict with certain keys, as text."""
    return ", ".join(map(str, value)) or "(none)" if isinstance(value, Mapping) else type(value).__name__


def check_keys(name: str, value: object, wanted: Sequence[str], optional: Sequence[str] = ()) -> None:
    """A dict with just these keys, the optional ones or not."""
    if not isinstance(value, Mapping) or not set(wanted) <= set(value) <= {*wanted, *optional}:
        raise ValueError(f"{name}: expected the keys {', '.join(wanted)}, got {format_keys(value)}")


def as_number_array(name: str, value: object) -> Array:
    """``value`` as an array of bools, integers or floats."""
    array = value if type(value) is np.ndarray else foreign.as_numpy(name, value)
    if array.dtype.kind not in "biuf":
        raise foreign.not_numbers(name, value, array)
    return array


def as_initial(name: str, value: Any, shape: Sequence[int]) -> Any:
    """What a parameter of ``shape`` starts from: a function as it is, a number for all values, or a copy of an array,
    which cannot be changed."""
    if callable(value) and not isinstance(value, type):
        return value
    if isinstance(value, int | float | np.number):
        return as_number(name, value)
    if not hasattr(value, "__array__") and not isinstance(value, list | tuple):
        raise TypeError(f"{name}: expected a name, an Init, a number, an array or a function, got {value!r}")
    return as_initial_values(name, value, shape)


def as_initial_values(name: str, value: Any, shape: Sequence[int]) -> Array:
    """A copy of finite numbers in just this shape, which cannot be changed."""
    found = np.array(as_number_array(name, value), np.float64)
    if found.shape != tuple(shape):
        raise ValueError(f"{name}: expected {format_shape(tuple(shape))}, got {format_shape(found.shape)}")
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    found.flags.writeable = False
    return found


def as_contiguous(array: Array, dtype: npt.DTypeLike) -> Array:
    """As C reads it: contiguous, aligned, in the machine's byte order; the same object if it is so already."""
    return np.require(array, np.dtype(dtype), ["C", "A"])


def as_batch(name: str, value: object, dtype: npt.DTypeLike, shape: Sequence[int] | None) -> Array:
    """``value`` as a C-contiguous (n, *shape) array of ``dtype`` with n >= 1; the same object if it is one already.

    With ``shape`` None any (n, ...) will do.

    >>> as_batch("x", [[1, 2, 3]], "float32", (2,))
    Traceback (most recent call last):
    ValueError: x: expected (n, 2), got (1, 3)
    """
    found = as_number_array(name, value)
    wanted = "(n, ...)" if shape is None else format_shape(("n", *shape))
    if found.ndim == 0 or (shape is not None and found.shape[1:] != tuple(shape)):
        raise ValueError(f"{name}: expected {wanted}, got {format_shape(found.shape)}"
                         f"{shape_hint(name, found.shape, shape)}")
    if found.size == 0:
        raise ValueError(f"{name}: expected at least one row, got {format_shape(found.shape)}")
    return as_contiguous(found, dtype)


def shape_hint(name: str, shape: tuple[int, ...], wanted: Sequence[int] | None) -> str:
    """What makes a batch of ``wanted`` examples of an array of ``shape``, where one line does."""
    if wanted is None or not shape:
        return ""
    wanted = tuple(wanted)
    if shape == wanted:
        return f"; {name}[None] is a batch of one"
    if wanted[:1] == (1,) and shape[1:] == wanted[1:]:
        return f"; {name}[:, None] adds the axis"
    if len(wanted) == 3 and len(shape) == 4 and shape[3] == wanted[0] != shape[1]:
        return f"; channels come first: {name}.transpose(0, 3, 1, 2)"
    if len(wanted) == 1 and len(shape) > 2 and math.prod(shape[1:]) == wanted[0]:
        return f"; {name}.reshape(len({name}), -1) or a Flatten in front makes rows"
    return ""


def as_input(name: str, value: object, layer: Any, dtype: npt.DTypeLike) -> tuple[Array, tuple[int, ...]]:
    """``value`` as a C-contiguous batch (n, ...) of ``dtype`` that ``layer`` takes, and the shape of its outputs.

    The layer's ``output_shape`` decides; where ``input_shape`` is known, the error names it.
    """
    found = as_number_array(name, value)
    if found.ndim and (found.size or layer.input_shape is not None):
        try:
            shape = layer.output_shape(found.shape[1:])
        except ValueError:
            if layer.input_shape is not None:
                as_batch(name, found, dtype, layer.input_shape)     # says it in the words of x, where it can
            raise
        else:
            if found.size == 0:
                raise ValueError(f"{name}: expected at least one row, got {format_shape(found.shape)}")
            return as_contiguous(found, dtype), tuple(shape)
    return as_batch(name, found, dtype, layer.input_shape), ()


def as_result(who: str, name: str, value: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """What a method of a user's own returned: numbers in that shape."""
    found = as_number_array(f"{who}: {name}", value)
    if found.shape != tuple(shape):
        raise ValueError(f"{who}: expected {name} of shape {format_shape(shape)}, got {format_shape(found.shape)}")
    return as_contiguous(found, dtype)


def float_dtype(array: Array) -> np.dtype[Any]:
    """The array's own dtype if it is float32 or float64, else float64."""
    return array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(np.float64)


def as_outputs(name: str, value: object) -> Array:
    """A loss's y: as it is in float32 and float64, anything else in float64."""
    found = as_number_array(name, value)
    return as_batch(name, found, float_dtype(found), None)


def as_output_gradient(dy: object, dtype: npt.DTypeLike, shape: Sequence[int]) -> Array:
    """dy, in just y's ``shape``."""
    found = as_number_array("dy", dy)
    if found.shape != tuple(shape):
        raise ValueError(f"dy: expected {format_shape(shape)}, got {format_shape(found.shape)}")
    return as_contiguous(found, dtype)


def as_parameter_value(name: str, value: object, like: Array | None) -> Array:
    """Values to copy into the parameter ``like``; None stands for a parameter that the layer does not have."""
    if like is None:
        raise ValueError(f"{name}: expected a layer that has one, got one without")
    found = as_number_array(name, value)
    if found.shape != like.shape:
        raise ValueError(f"{name}: expected {format_shape(like.shape)}, got {format_shape(found.shape)}")
    return found


# ---- targets ----


def first_row(bad: Array) -> int:
    """The first row with a True in it."""
    return int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))


def check_finite(t: Array) -> None:
    """No NaN and no infinity."""
    if t.dtype.kind == "f" and not np.isfinite(t).all():
        bad = ~np.isfinite(t)
        raise ValueError(f"t: expected finite values, got {t[bad][0]} at row {first_row(bad)}")


def check_target_count(t: Array, n: int, of: str = "x") -> None:
    """One target for each row of the argument ``of``."""
    if t.ndim == 0:
        raise ValueError(f"t: expected {n} targets, one for each row of {of}, got a single number")
    if len(t) != n:
        raise ValueError(f"t: expected {n} targets, one for each row of {of}, got {len(t)}")


def as_class_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike, ignore_index: int | None = None) -> Array:
    """For outputs of ``shape`` (n, k, ...), class numbers as int64 (n, ...), or rows of probabilities as ``dtype`` in
    that shape, whose axis 1 has the classes."""
    found, k, places = as_number_array("t", t), shape[1], (shape[0], *shape[2:])
    check_target_count(found, shape[0])
    if found.shape == places:
        return as_class_numbers(found, k, ignore_index)
    if found.shape != tuple(shape):
        hint = "; t[..., 0] has that shape" if found.shape == (*places, 1) else ""
        raise ValueError(f"t: expected class numbers {format_shape(places)} or probabilities {format_shape(shape)}, "
                         f"got {format_shape(found.shape)}{hint}")
    if ignore_index is not None:
        raise ValueError(f"t: expected class numbers {format_shape(places)} beside ignore_index, got probabilities "
                         f"{format_shape(shape)}")
    check_finite(found)
    rows = as_contiguous(found, dtype)
    bad = rows < 0
    if bad.any():
        raise ValueError(f"t: expected probabilities >= 0, got {rows[bad][0]} at row {first_row(bad)}")
    sums = rows.sum(axis=1, dtype=np.float64)
    # Rounding k probabilities to float32, or to their own dtype, moves their sum by no more than this.
    own = np.finfo(found.dtype).eps if found.dtype.kind == "f" else 0.0
    off = np.abs(sums - 1) > max(1e-6 + k * np.finfo(np.float32).eps, own)
    if off.any():
        raise ValueError(f"t: expected rows that sum to 1, got {sums[off][0]:.7g} at row {first_row(off)}")
    return rows


def as_class_numbers(t: Array, k: int, ignore_index: int | None = None) -> Array:
    """Whole numbers from 0 to k − 1, or ``ignore_index``, as int64."""
    bad = ~((t >= 0) & (t < k))                     # NaN is bad, too
    if t.dtype.kind == "f":
        bad |= t != np.floor(t)
    if ignore_index is not None:
        bad &= t != ignore_index
    if bad.any():
        got, beside = t[bad][0], "" if ignore_index is None else f", or {ignore_index}"
        hint = "; a loss with ignore_index=-100 leaves such targets out" if ignore_index is None and got == -100 else ""
        raise ValueError(
            f"t: expected class numbers from 0 to {k - 1}{beside}, got {got} at row {first_row(bad)}{hint}")
    return as_contiguous(t, np.int64)


def as_value_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Finite values in y's ``shape``; (n,) will do for (n, 1)."""
    found = as_number_array("t", t)
    check_target_count(found, shape[0])
    if found.ndim == 1 and tuple(shape) == (len(found), 1):
        found = found[:, None]
    if found.shape != tuple(shape):
        raise ValueError(f"t: expected {format_shape(shape)}, got {format_shape(found.shape)}")
    check_finite(found)
    with np.errstate(over="ignore"):
        fitted = as_contiguous(found, dtype)
    if fitted.dtype != found.dtype and not np.isfinite(fitted).all():
        bad = ~np.isfinite(fitted)
        raise ValueError(f"t: expected values within the range of {fitted.dtype}, got {found[bad][0]} "
                         f"at row {first_row(bad)}")
    return fitted


def as_probability_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Values from 0 to 1 in y's ``shape``."""
    found = as_value_targets(t, shape, dtype)
    bad = (found < 0) | (found > 1)
    if bad.any():
        raise ValueError(f"t: expected values from 0 to 1, got {found[bad][0]} at row {first_row(bad)}")
    return found


def as_count_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Values >= 0 in y's ``shape``."""
    found = as_value_targets(t, shape, dtype)
    bad = found < 0
    if bad.any():
        raise ValueError(f"t: expected values >= 0, got {found[bad][0]} at row {first_row(bad)}")
    return found


def as_sign_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Labels −1 and 1, or 0 and 1, in y's ``shape``; as −1 and 1."""
    found = as_value_targets(t, shape, dtype)
    bad = (found != 1) & (found != (-1 if (found == -1).any() else 0))
    if bad.any():
        raise ValueError(f"t: expected labels −1 and 1, or 0 and 1, got {found[bad][0]:g} at row {first_row(bad)}")
    return np.where(found == 0, -1, found).astype(found.dtype)


# ---- states ----


def as_state(name: str, value: object, wanted: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays to copy into the ``wanted`` ones: just their names and shapes."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a dict from name to array, got {type(value).__name__}")
    if tensors := [key for key in value if type(value[key]).__module__.partition(".")[0] == "torch"]:
        raise TypeError(f"{name}: expected arrays in fastnn's layouts, got a tensor of PyTorch under {tensors[0]!r}, "
                        "whose Linear.weight is the transpose; fastnn.torch.load_torch_state converts it")
    missing = [key for key in wanted if key not in value]
    unexpected = [key for key in value if key not in wanted]
    if missing or unexpected:
        parts = [f"{word} {', '.join(map(repr, keys))}"
                 for word, keys in (("missing", missing), ("unexpected", unexpected)) if keys]
        raise ValueError(f"{name}: expected the names of the model's parameters, got {'; '.join(parts)}")
    return {key: as_parameter_value(f"{name}[{key!r}]", value[key], wanted[key]) for key in wanted}


def as_optimizer_state(value: object, slots: Sequence[str]) -> dict[str, Any]:
    """An optimizer's ``steps`` and slots."""
    wanted = ("steps", "lr", *slots)
    if not isinstance(value, Mapping):
        raise TypeError(f"state: expected a dict, got {type(value).__name__}")
    if set(value) != set(wanted):
        raise ValueError(f"state: expected the keys {', '.join(wanted)}, got {', '.join(map(str, value))}")
    for slot in slots:
        if not isinstance(value[slot], Mapping):
            raise TypeError(
                f"state[{slot!r}]: expected a dict from name to array, got {type(value[slot]).__name__}")
    copies = {slot: {name: np.array(as_number_array(f"state[{slot!r}][{name!r}]", array))
                     for name, array in value[slot].items()} for slot in slots}
    return {**value, **copies, "steps": as_integer("state['steps']", value["steps"], 0)}


def as_counters(value: object) -> dict[str, Any]:
    """A network's counters: training passes, epochs, batches of the epoch under way, and its sums so far."""
    wanted = ("steps", "epochs", "batch", "sums")
    if not isinstance(value, Mapping):
        raise TypeError(f"state['counters']: expected a dict, got {type(value).__name__}")
    if set(value) != set(wanted):
        raise ValueError(f"state['counters']: expected the keys {', '.join(wanted)}, got {', '.join(map(str, value))}")
    sums = value["sums"]
    if not isinstance(sums, list | tuple) or len(sums) != 3 or not all(isinstance(each, float) for each in sums):
        raise ValueError(f"state['counters']['sums']: expected three floats, got {sums!r}")
    return {**{name: as_integer(f"state['counters'][{name!r}]", value[name], 0, 2**62) for name in wanted[:3]},
            "sums": [float(each) for each in sums]}


# ---- layers and models ----


def class_name(layer: Any) -> str:
    """The name of the class of a layer or an optimizer; a host stands for a user's object."""
    return (layer.custom if type(layer).__name__.endswith("Host") else layer).__class__.__name__


def belongs_to_another(optimizer: Any) -> ValueError:
    """An optimizer serves one model, whose momentum it has."""
    return ValueError(f"optimizer: this {class_name(optimizer)} already belongs to another model; make a new one")


NO_FORWARD = "backward: call forward(x) first, with training=True for the gradients of training"
BUSY = {
    "thread": "in use by another thread; copy.deepcopy makes one for each",
    "pass": "in a pass; a layer must not call its own model",
    "training": "in training; a callback may predict, but not train",
    "adoption": "in use; build it into another model afterwards, or copy it",
    "fork": "in use when this process was forked, by a thread that is not here; copy.deepcopy makes one that is free",
}


def busy(root: Any, why: str, user: int | None = None) -> RuntimeError:
    """The error of a model that the thread ``user`` uses; ``why`` is a key of ``BUSY``."""
    if user is not None and user not in sys._current_frames():
        why = "fork"
    return RuntimeError(f"{class_name(root)}: {BUSY[why]}")


def package_of(thing: Any) -> Any:
    """The package that a layer belongs to."""
    names = (kind.__module__.partition(".")[0] for kind in type(thing).__mro__)
    return sys.modules[next(name for name in names if name in ("fastnn", "fastnn_ref"))]


def check_layers(value: Sequence[Any], kind: type[Any], name: str = "layers") -> None:
    """At least one layer, each only once."""
    if not value:
        raise ValueError(f"{name}: expected at least one layer, got none")
    seen: dict[int, int] = {}
    for index, layer in enumerate(value):
        check_instance(f"{name}[{index}]", layer, kind)
        if id(layer) in seen:
            raise ValueError(f"{name}[{index}]: this {class_name(layer)} already stands at "
                             f"{name}[{seen[id(layer)]}]")
        seen[id(layer)] = index


def check_unowned(name: str, layer: Any) -> None:
    """A layer that no model has yet."""
    if layer.parent is not None:
        raise ValueError(f"{name}: this {class_name(layer)} already belongs to a model; "
                         "copy.deepcopy(layer) makes one of its own")


def as_settings(what: str, name: str, value: Any) -> dict[str, Any]:
    """``trainable`` and ``lr_scale`` of the layer ``name``, as far as they are given."""
    if not isinstance(value, Mapping) or set(value) - {"trainable", "lr_scale"}:
        raise ValueError(f"{what}[{name!r}]: expected a dict with trainable and lr_scale, got {value!r}")
    found: dict[str, Any] = {}
    if "trainable" in value:
        found["trainable"] = as_flag(f"{what}[{name!r}].trainable", value["trainable"])
    if "lr_scale" in value:
        found["lr_scale"] = as_number(f"{what}[{name!r}].lr_scale", value["lr_scale"], 0)
    return found


def check_branches(branches: Sequence[Any], kind: type[Any], merge: str) -> tuple[int, ...] | None:
    """Branches, at least one, each only once; what they make of the same input fits together, as far as it is known.

    Returns the shape of one example of that input, where a branch knows it.
    """
    check_layers(branches, kind, "branches")
    shapes = [branch.input_shape for branch in branches if branch.input_shape is not None]
    if not shapes:
        return None
    merged_shape(branches, shapes[0], merge)
    return tuple(shapes[0])


def merged_shape(branches: Sequence[Any], shape: Sequence[int], merge: str) -> tuple[int, ...]:
    """The shape that the outputs of ``branches`` make together, for one example of ``shape``."""
    shape = as_example_shape(shape)
    found = [tuple(branch.output_shape(shape)) for branch in branches]
    alike = found if merge == "add" else [each[1:] for each in found]
    for index, each in enumerate(found):
        if alike[index] != alike[0] or (merge == "concat" and not each):
            wanted = format_shape(found[0] if merge == "add" else ("...", *found[0][1:]))
            raise ValueError(f"branches[{index}]: expected {wanted} per example, as branches[0] gives, "
                             f"got {format_shape(each)}")
    return found[0] if merge == "add" else (sum(each[0] for each in found), *found[0][1:])


def as_slice(start: object, stop: object) -> tuple[int, int]:
    """Which columns or channels: 0 <= start < stop."""
    first = as_integer("start", start, 0, LARGEST)
    return first, as_integer("stop", stop, first + 1, LARGEST + 1)


def selected_shape(shape: Sequence[int], start: int, stop: int) -> tuple[int, ...]:
    """The shape of what ``Select`` takes of one example."""
    shape = as_example_shape(shape)
    if not shape or shape[0] < stop:
        raise ValueError(f"Select: expected at least {stop} features or channels per example, "
                         f"got {format_shape(shape)}")
    return (stop - start, *shape[1:])


def as_table_shape(num_embeddings: object, embedding_dim: object) -> tuple[int, int]:
    """Rows and columns of an embedding; float32 holds the numbers of the rows exactly."""
    shape = as_integer("num_embeddings", num_embeddings, 1, 2**24), as_integer("embedding_dim", embedding_dim, 1)
    check_size("weight", *shape)
    return shape


def no_row(count: int, value: float) -> ValueError:
    """The error of an embedding that is asked for a row it has not."""
    digits = 6 if abs(value) < 1e5 else 17              # a large number is told to its last digit
    return ValueError(f"Embedding: expected whole numbers from 0 to {count - 1}, got {value:.{digits}g}")


def check_residual_shape(who: str, block: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """``shape``, if the block keeps it: what is added must fit."""
    shape = as_example_shape(shape)
    found = block.output_shape(shape)
    if tuple(found) != shape:
        raise ValueError(f"{who}: expected a block that keeps the shape {format_shape(shape)}, "
                         f"got {format_shape(found)} from {class_name(block)}")
    return shape


def check_dropconnect(p: float, inference: str) -> float:
    """DropConnect's p: with p = 1 there is no variance to match."""
    if p == 1 and inference == "gaussian":
        raise ValueError("p: expected < 1 for inference='gaussian', got 1")
    return p


def check_chain(
    layers: Sequence[Any], kind: type[Any], given: tuple[int, ...] | None = None,
) -> tuple[int, ...] | None:
    """Layers, at least one, each only once; each fits the one before it, as far as shapes are known.

    ``given`` is the model's input shape, where the user says it. Returns that shape, where it is known.
    """
    check_layers(layers, kind)
    shape, first = given, given
    unchanged = True                                # so far a layer got what the model was given
    for index, layer in enumerate(layers):
        expected = layer.input_shape
        if shape is None and expected is not None:
            shape = expected
            first = expected if unchanged else None
        if shape is not None:
            try:
                shape = tuple(layer.output_shape(shape))
            except ValueError:
                if expected is None:
                    raise
                raise ValueError(f"layers[{index}]: {class_name(layer)} expects {format_shape(expected)} per example, "
                                 f"gets {format_shape(shape)} from "
                                 f"{f'layers[{index - 1}]' if index else 'input_shape'}") from None
        unchanged = unchanged and not layer.changes_shape
    return first


def check_logits(shape: Sequence[int]) -> None:
    """Cross-entropy wants a number for each class, on axis 1."""
    if len(shape) < 2:
        raise ValueError(f"y: expected logits (n, K, ...), got {format_shape(shape)}")


def check_reduced(loss: Any) -> None:
    """Training and evaluation need one number; a user's own loss gives one."""
    if getattr(loss, "reduction", "mean") == "none":
        raise ValueError(f"loss: expected reduction 'mean' or 'sum', which give one number, got {loss!r}")


def as_ignore_index(value: object) -> int | None:
    """A class number, which may be one that no class has, or None."""
    if value is None:
        return None
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or not abs(int(value)) < 2**62:
        raise TypeError(f"ignore_index: expected an integer or None, got {value!r}")
    return int(value)


def as_mixup(value: Any, sample_weight: Any, loss: Any, model: Any) -> float:
    """α of mixup: a finite number >= 0, and 0 beside weights of the examples, or targets that are left out, as none
    lies between such a one and a class, or in a model with an Embedding, as no row lies between two numbers."""
    alpha = as_number("mixup", value, 0)
    if alpha and sample_weight is not None:
        raise ValueError(f"mixup: expected 0 beside sample_weight, got {alpha}")
    if alpha and getattr(loss, "ignore_index", None) is not None:
        raise ValueError(f"mixup: expected 0 beside ignore_index, got {alpha}")
    if alpha and has_table(model):
        raise ValueError(f"mixup: expected 0 in a model with Embedding, which reads whole numbers, got {alpha}")
    return alpha


def has_table(layer: Any) -> bool:
    """Is the layer an ``Embedding`` of either package, or is one inside it?"""
    return is_a(layer, "Embedding") or any(has_table(child) for _, child in layer.children())


def as_sample_weight(value: Any, n: int) -> Array | None:
    """None, or a finite number >= 0 for each of n examples, in float64. Ones are None, so that they give its bits."""
    if value is None:
        return None
    found = as_number_array("sample_weight", value)
    if found.shape != (n,):
        raise ValueError(
            f"sample_weight: expected ({n},), one number for each row of x, got {format_shape(found.shape)}")
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        raise ValueError(f"sample_weight: expected finite numbers >= 0, got {found[bad][0]} at row {first_row(bad)}")
    return None if (found == 1).all() else as_contiguous(found, np.float64)


def as_example_shape(value: Any) -> tuple[int, ...]:
    """The shape of one example, as ``output_shape`` takes it: integers >= 1, as many as there are axes."""
    if type(value) is tuple and {int}.issuperset(map(type, value)) and min(value, default=1) >= 1:
        return value
    return as_shape("shape", value)


def check_has_last_axis(who: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The output shape of a layer that works on whole rows: there must be rows."""
    shape = as_example_shape(shape)
    if not shape:
        raise ValueError(f"x: expected (n, ..., k) for {who}, got (n,)")
    return shape


def check_has_axis(who: str, shape: Sequence[int], dim: int) -> tuple[int, ...]:
    """The output shape of a layer that works along the axis ``dim`` of a batch, which must be one of an example."""
    if dim == -1:
        return check_has_last_axis(who, shape)
    shape = as_example_shape(shape)
    if not -len(shape) <= dim <= len(shape):
        raise ValueError(f"x: expected at least {abs(dim) + 1} axes, the batch among them, for {who}(dim={dim}), got "
                         f"{format_shape(('n', *shape))}")
    return shape


def check_input_shape(
    who: str, shape: Sequence[int], expected: tuple[int, ...], out: tuple[int, ...],
) -> tuple[int, ...]:
    """``out``, if the input has the one shape that the layer takes."""
    shape = as_example_shape(shape)
    if shape != expected:
        raise ValueError(f"{who}: expected {format_shape(expected)} per example, got {format_shape(shape)}")
    return out


def check_last_axes(who: str, shape: Sequence[int], end: tuple[int, ...]) -> tuple[int, ...]:
    """``shape``, if its last axes are ``end``."""
    shape = as_example_shape(shape)
    if shape[len(shape) - len(end):] != end:
        raise ValueError(f"{who}: expected {format_shape(('...', *end))} per example, got {format_shape(shape)}")
    return shape


def check_image_shape(who: str, shape: Sequence[int], channels: int | None = None) -> tuple[int, ...]:
    """``shape``, if it is an image's of so many channels, or of any number."""
    shape = as_example_shape(shape)
    if len(shape) != 3 or channels not in (None, shape[0]):
        wanted = format_shape(("channels" if channels is None else channels, "h", "w"))
        hint = ("; channels come first: x.transpose(0, 3, 1, 2)" if len(shape) == 3 and shape[2] == channels else
                "; x[:, None] adds the axis" if len(shape) == 2 and channels in (None, 1) else "")
        raise ValueError(f"{who}: expected {wanted} per example, got {format_shape(shape)}{hint}")
    return shape


def place_of_axis(who: str, name: str, axis: int, shape: tuple[int, ...]) -> int:
    """Where an axis, counted with the batch's, stands in the shape of one example."""
    place = axis - 1 if axis > 0 else axis + len(shape)
    if not 0 <= place < len(shape):
        raise ValueError(f"{who}.{name}: expected an axis of {format_shape(('n', *shape))}, got {axis}")
    return place


def flattened_shape(who: str, shape: Sequence[int], start_dim: int, end_dim: int) -> tuple[int, ...]:
    """``shape`` with one axis in place of those from ``start_dim`` to ``end_dim``; () has its one value as an axis."""
    shape = as_example_shape(shape)
    if not shape and start_dim == 1 and end_dim == -1:
        return (1,)
    start, end = place_of_axis(who, "start_dim", start_dim, shape), place_of_axis(who, "end_dim", end_dim, shape)
    if start > end:
        raise ValueError(f"{who}: expected start_dim up to end_dim in {format_shape(('n', *shape))}, got "
                         f"{start_dim} to {end_dim}")
    return (*shape[:start], check_size("y", *shape[start:end + 1]), *shape[end + 1:])


def unflattened_shape(who: str, shape: Sequence[int], dim: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` with axes of these sizes in place of ``dim``; −1 stands for the size that is left."""
    shape = as_example_shape(shape)
    place = place_of_axis(who, "dim", dim, shape)
    known = math.prod(size for size in sizes if size > 0)
    if shape[place] % known or (-1 not in sizes and shape[place] != known):
        raise ValueError(f"{who}: expected unflattened_size to fit the {shape[place]} values of axis {dim}, got "
                         f"{format_shape(sizes)}")
    return (*shape[:place], *(shape[place] // known if size < 0 else size for size in sizes), *shape[place + 1:])


def check_first_axis(who: str, shape: Sequence[int], channels: int) -> tuple[int, ...]:
    """``shape``, if its first axis has so many channels."""
    shape = as_example_shape(shape)
    if shape[:1] != (channels,):
        raise ValueError(f"{who}: expected {format_shape((channels, '...'))} per example, got {format_shape(shape)}")
    return shape


def check_channels(who: str, shape: Sequence[int], channels: int) -> tuple[int, ...]:
    """``shape``, if its first axis has so many channels; 1 fits any shape."""
    return as_example_shape(shape) if channels == 1 else check_first_axis(who, shape, channels)


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


def format_call(name: str, positional: Iterable[Any], named: Mapping[str, Any]) -> str:
    """The call that makes an object again, as text."""
    parts = [repr(value) for value in positional] + [f"{key}={value!r}" for key, value in named.items()]
    return f"{name}({', '.join(parts)})"


def as_targets(t: object, n: int) -> Array:
    """Any targets, one for each row of x; the loss looks at the values."""
    found = as_number_array("t", t)
    check_target_count(found, n)
    return found


def check_batch_size(rows: int, least: int) -> None:
    """Rows to normalise over, in a training batch."""
    if rows < least:
        raise ValueError(f"x: expected at least {least} rows in a training batch, to normalise over, got {rows}")


def rows_used(n: int, batch_size: int, drop_last: bool) -> int:
    """How many of n rows an epoch trains with: without those of a last, shorter batch if ``drop_last``."""
    if drop_last and n < batch_size:
        raise ValueError(f"batch_size: expected at most {n}, the rows of x, with drop_last, got {batch_size}")
    return n - n % batch_size if drop_last else n


def check_resume(done: int, steps: int) -> None:
    """An epoch goes on behind batches that it has."""
    if done > steps:
        raise ValueError(f"resume: expected at most {steps} batches done, got {done}")


def check_is_root(model: Any) -> None:
    """Training needs the whole model, not a part of one."""
    if model.parent is not None:
        raise ValueError(f"step: this {class_name(model)} stands inside another model; train that one")

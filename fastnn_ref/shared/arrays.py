"""Checks of arrays: numbers in the dtype, the shape and the order that C reads.

The engine looks at a well-formed array in passing (`_kernels.ready`) and comes here for everything else, to convert it
or to hear what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import checks, foreign
from .checks import format_shape

Array = npt.NDArray[Any]


# ---- any array ----


def as_number_array(name: str, value: object, role: str = "") -> Array:
    """``value`` as an array of bools, integers or floats; its ``role`` is "x" or "t" where it goes by another name."""
    array = value if type(value) is np.ndarray else foreign.as_numpy(name, value, role or name)
    if array.dtype.kind not in "biuf":
        raise foreign.not_numbers(name, value, array, role or name)
    return array


def as_contiguous(array: Array, dtype: npt.DTypeLike) -> Array:
    """As C reads it: contiguous, aligned, in the machine's byte order; the same object if it is so already."""
    return np.require(array, np.dtype(dtype), ["C", "A"])


def float_dtype(array: Array) -> np.dtype[Any]:
    """The array's own dtype if it is float32 or float64, else float64."""
    return array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(np.float64)


def first_row(bad: Array) -> int:
    """The first row with a True in it."""
    return int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))


def check_values(name: str, values: Array, bad: Array, wanted: str) -> None:
    """ValueError that says the first value that is ``bad``, and its row."""
    if bad.any():
        raise checks.value_error("{name}: expected {wanted}, got {got} at row {row}",
                                 name=name, wanted=wanted, got=values[bad][0], row=first_row(bad))


# ---- what a pass is given, and what a user's own code gives it ----


def as_batch(name: str, value: object, dtype: npt.DTypeLike, shape: Sequence[int] | None) -> Array:
    """``value`` as a C-contiguous (n, *shape) array of ``dtype`` with n >= 1; the same object if it is one already.

    With ``shape`` None any (n, ...) will do.

    >>> from fastnn_ref.shared.arrays import as_batch
    >>> as_batch("x", [[1, 2, 3]], "float32", (2,))
    Traceback (most recent call last):
    ValueError: x: expected (n, 2), got (1, 3)
    """
    found = as_number_array(name, value)
    check_batch(name, found, shape)
    return as_contiguous(found, dtype)


def check_batch(name: str, found: Array, shape: Sequence[int] | None) -> None:
    """The shape of an array that ``as_batch`` would convert."""
    wanted = "(n, ...)" if shape is None else format_shape(("n", *shape))
    if found.ndim == 0 or (shape is not None and found.shape[1:] != tuple(shape)):
        raise ValueError(f"{name}: expected {wanted}, got {format_shape(found.shape)}"
                         f"{shape_hint(name, found.shape, shape)}")
    if found.size == 0:
        raise ValueError(f"{name}: expected at least one {'number in a row' if len(found) else 'row'}, got "
                         f"{format_shape(found.shape)}")


def shape_hint(name: str, shape: tuple[int, ...], wanted: Sequence[int] | None) -> str:
    """What makes a batch of ``wanted`` examples of an array of ``shape``, where one line does."""
    if wanted is None or not shape:
        return ""
    wanted = tuple(wanted)
    if shape == wanted:
        return f"; numpy.expand_dims({name}, 0) is a batch of one"
    if wanted[:1] == (1,) and shape[1:] == wanted[1:]:
        return f"; numpy.expand_dims({name}, 1) adds the axis"
    if len(wanted) == 3 and len(shape) == 4 and shape[3] == wanted[0] != shape[1]:
        return f"; channels come first: {name}.transpose(0, 3, 1, 2)"
    if len(wanted) == 1 and len(shape) > 2 and math.prod(shape[1:]) == wanted[0]:
        return f"; {name}.reshape(len({name}), -1) or a Flatten in front makes rows"
    return ""


def as_input(name: str, value: object, layer: Any, dtype: npt.DTypeLike) -> tuple[Array, tuple[int, ...]]:
    """``value`` as a C-contiguous batch (n, ...) of ``dtype`` that ``layer`` takes, and the shape of its outputs."""
    found = as_number_array(name, value)
    shape = check_input(name, found, layer)
    return as_contiguous(found, dtype), shape


def check_input(name: str, found: Array, layer: Any) -> tuple[int, ...]:
    """Does ``layer`` take this array, once it is converted? Returns the shape of its outputs.

    The layer's ``output_shape`` decides; where ``input_shape`` is known, the error names it.
    """
    if found.ndim and (found.size or layer.input_shape is not None):
        try:
            shape = layer.output_shape(found.shape[1:])
        except ValueError:
            if layer.input_shape is not None:
                check_batch(name, found, layer.input_shape)         # says it in the words of x, where it can
            raise
        else:
            check_batch(name, found, None)
            return tuple(shape)
    check_batch(name, found, layer.input_shape)
    return ()


def as_output_gradient(dy: object, dtype: npt.DTypeLike, shape: Sequence[int]) -> Array:
    """dy, in just y's ``shape``."""
    found = as_number_array("dy", dy)
    if found.shape != tuple(shape):
        raise ValueError(f"dy: expected {format_shape(shape)}, got {format_shape(found.shape)}")
    return as_contiguous(found, dtype)


def as_result(who: str, name: str, value: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """What a method of a user's own returned: numbers in that shape."""
    found = as_number_array(f"{who}: {name}", value)
    if found.shape != tuple(shape):
        raise ValueError(f"{who}: expected {name} of shape {format_shape(shape)}, got {format_shape(found.shape)}")
    return as_contiguous(found, dtype)


def no_row(count: int, value: float, row: int, name: str = "x") -> ValueError:
    """The error of an embedding that is asked, in this row of x, for a row it has not."""
    digits = 6 if abs(value) < 1e5 else 17              # a large number is told to its last digit
    return checks.value_error("{name}: Embedding: expected whole numbers from 0 to {last}, got {got} at row {row}",
                              name=name, last=count - 1, got=f"{value:.{digits}g}", row=row)


# ---- values of parameters ----


def as_initial(name: str, value: Any, shape: Sequence[int]) -> Any:
    """What a parameter of ``shape`` starts from: a function as it is, a number for all values, or a copy of an array,
    which cannot be changed."""
    if callable(value) and not isinstance(value, type):
        return value
    if isinstance(value, int | float | np.number):
        return checks.as_number(name, value)
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


def as_parameter_value(name: str, value: object, like: Array | None) -> Array:
    """Values to copy into the parameter ``like``; None stands for a parameter that the layer does not have."""
    if like is None:
        raise ValueError(f"{name}: expected a layer that has one, got one without")
    found = as_number_array(name, value)
    if found.shape != like.shape:
        raise ValueError(f"{name}: expected {format_shape(like.shape)}, got {format_shape(found.shape)}")
    return found


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

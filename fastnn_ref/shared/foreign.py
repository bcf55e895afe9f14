"""Arrays as other libraries have them, as NumPy's: data frames, tensors, sparse matrices; no library is imported.

What cannot be an array of numbers is a TypeError that names the argument, of a data frame the column, and says what
makes numbers of it.
"""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:                   # a part of `import fastnn` that only annotations need
    import numpy.typing as npt

    Array = npt.NDArray[Any]

MOST = 1000                         # values that are looked at, to say what is wrong with them
MAKE_NUMBERS = {                    # by the role of the argument
    "x": "; pandas.get_dummies makes columns of 0 and 1",
    "t": "; sklearn.preprocessing.LabelEncoder or numpy.unique(..., return_inverse=True) makes class numbers",
}


def check_unmasked(name: str, value: Any) -> None:
    """TypeError for a masked array, whose mask nobody would read."""
    if np.ma.isMaskedArray(value):
        raise TypeError(f"{name}: expected an array without a mask, got a masked array; fill it, or leave rows out")


def as_numpy(name: str, value: Any, role: str = "") -> Array:
    """``value`` as an array, of numbers or not."""
    check_unmasked(name, value)
    if hasattr(value, "toarray") and not hasattr(value, "__array__"):
        raise TypeError(f"{name}: expected a dense array, got a {type(value).__name__}; {name}.toarray() makes one")
    if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        return from_tensor(name, value)
    if is_frame(value):
        return from_frame(name, value, role)
    if role == "x" and isinstance(value, list | tuple):
        check_is_one_input(name, value)
    try:
        return np.asarray(value)
    except ValueError as error:
        ragged = any(word in str(error) for word in ("inhomogeneous", "broadcast"))     # what NumPy says of such lists
        found = "rows of different lengths" if ragged else f"a {type(value).__name__} that cannot be read: {error}"
        raise ValueError(f"{name}: expected an array of numbers, got {found}") from error


def check_is_one_input(name: str, value: list[Any] | tuple[Any, ...]) -> None:
    """(n, f) arrays in a list are several inputs, or examples of two axes: nobody can know which."""
    if value and all(getattr(each, "ndim", 0) == 2 for each in value[:MOST]):
        raise ValueError(f"{name}: expected one array, got a {type(value).__name__} of {len(value)}; np.hstack puts "
                         "several inputs side by side, for branches that begin with a Select; np.stack makes a batch "
                         "of examples")


def from_tensor(name: str, value: Any) -> Array:
    """A tensor's values, without a copy where there can be none; gradients are not followed."""
    if hasattr(value, "detach"):                    # PyTorch
        value = value.detach()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        if hasattr(value, "__array__") and not hasattr(value, "is_sparse"):
            return np.asarray(value)
        device = getattr(value, "device", "")
        found = f"{value.dtype}, {value.layout}, on {device}" if hasattr(value, "layout") else str(error)
        raise TypeError(f"{name}: expected a dense tensor of numbers in main memory, got a {type(value).__name__} "
                        f"({found})") from error


def is_frame(value: Any) -> bool:
    """A data frame of pandas, polars or their kind."""
    return hasattr(value, "columns") and hasattr(value, "dtypes") and hasattr(value, "__array__")


def columns_of(value: Any) -> tuple[Any, ...]:
    """The names of a data frame's columns; none of anything else."""
    return tuple(value.columns) if is_frame(value) else ()


def check_undated(name: str, value: Any) -> None:
    """TypeError for dates or durations in an array or a data frame, whose ticks NumPy would take for numbers."""
    dtypes = value.dtypes if is_frame(value) else [getattr(value, "dtype", None)]
    if any(getattr(each, "kind", "") in ("m", "M") or getattr(each, "is_temporal", bool)() for each in dtypes):
        raise TypeError(f"{name}: expected numbers, got dates or durations")


def from_frame(name: str, value: Any, role: str) -> Array:
    """Rows × columns; where the columns have no dtype in common that NumPy has, column by column.

    Among numbers polars makes dates and durations numbers, too, which they are not by themselves.
    """
    found = np.asarray(value)
    if found.dtype.kind in "biuf" and not any(getattr(dtype, "is_temporal", bool)() for dtype in value.dtypes):
        return found
    columns = list(value.columns)
    if len(set(columns)) < len(columns):
        raise TypeError(f"{name}: expected a name of its own for each column, got {columns}")
    return np.column_stack([numbers_of(f"{name}[{column!r}]", value[column], role) for column in columns])


def numbers_of(name: str, column: Any, role: str) -> Array:
    """The numbers of one column, or a TypeError; pandas keeps nullable ones as objects."""
    array = np.asarray(column)
    if array.dtype == object and all(isinstance(each, Real | np.bool_) for each in array.flat):
        array = np.array(array.tolist())
    if array.dtype.kind not in "biuf":
        raise not_numbers(name, column, array, role)
    if array.ndim != 1:
        raise TypeError(f"{name}: expected a number in each row, got {column.dtype}")
    return array


def not_numbers(name: str, value: Any, array: Array, role: str) -> TypeError:
    """The error of something without numbers, with what would make numbers of it."""
    values = list(array.flat[:MOST]) if array.dtype == object else []
    gap = next((row for row, each in enumerate(values) if each is None or type(each).__name__ == "NAType"), None)
    found, hint = f"dtype {array.dtype}", ""
    if array.ndim == 0 and array.dtype == object:
        found = "None" if value is None else f"a {type(value).__name__}"
    elif str(getattr(value, "dtype", "")) == "category":
        found, hint = "categories", MAKE_NUMBERS.get(role, "")
    elif array.dtype.kind in "SU" or any(isinstance(each, str) for each in values):
        found, hint = "text", MAKE_NUMBERS.get(role, "")
    elif gap is not None:
        found = "a missing value" + (f" at row {gap}" if array.ndim == 1 else "")
    elif array.dtype == object:
        hint = "; .astype(float) converts what can be read as a number"
    return TypeError(f"{name}: expected numbers, got {found}{hint}")

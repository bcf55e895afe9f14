"""The data of a training: arrays that fit the model and each other, with the names that the user knows them by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import checks, foreign

Array = npt.NDArray[Any]

AS_ARGUMENTS = ("x", "t", "sample_weight")
AS_VALIDATION_DATA = ("validation_data[0]", "validation_data[1]", "validation_data[2]")


class Data(NamedTuple):
    """Arrays that fit the model and each other, and what the user calls them."""

    x: Array
    t: Array
    weights: Array | None
    names: tuple[str, str, str] = AS_ARGUMENTS
    columns: tuple[Any, ...] = ()   # the names that a data frame has for them


@contextmanager
def named_as(names: tuple[str, str, str]) -> Iterator[None]:
    """Errors about x, t and sample_weight name what the user passed."""
    try:
        yield
    except (TypeError, ValueError) as error:
        argument, colon, rest = str(error).partition(":")
        argument, bracket, column = argument.partition("[")         # of a data frame
        if type(error) not in (TypeError, ValueError) or argument not in AS_ARGUMENTS or names == AS_ARGUMENTS:
            raise
        name = names[AS_ARGUMENTS.index(argument)]
        raise type(error)(name + bracket + column + colon + rest.replace("row of x", f"row of {names[0]}")) from None


def is_mapped(array: Array) -> bool:
    """Does the array lie in a file (``numpy.memmap``), so that only what is read of it takes memory?"""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False


def prepare_inputs(model: Any, x: object, convert: bool = True) -> Array:
    """``x`` as an array that the model takes; one that lies in a file stays there, and is converted batch by batch."""
    found = checks.as_number_array("x", x)
    if (convert and not is_mapped(found)) or not found.size:
        found = checks.as_batch("x", found, model.dtype, None)
    try:
        model.output_shape(found.shape[1:])
    except ValueError as error:
        if found.shape[1:] != model.input_shape:
            checks.as_batch("x", found, model.dtype, model.input_shape)     # says it in the words of x, where it can
        raise ValueError(f"x: {error}") from None
    return found


def prepare_data(
    model: Any, x: object, t: object, sample_weight: object = None, names: tuple[str, str, str] = AS_ARGUMENTS,
    convert: bool = True,
) -> Data:
    """Arrays that fit the model and each other, converted so that no epoch need do it again."""
    with named_as(names):
        columns = foreign.columns_of(x)
        x = prepare_inputs(model, x, convert)
        t = checks.as_targets(t, len(x))
        return Data(x, t, checks.as_sample_weight(sample_weight, len(x)), names, columns)


def as_validation_data(model: Any, held_out: Any) -> Data:
    """``(x, t)`` or ``(x, t, sample_weight)``, in the user's words."""
    if not isinstance(held_out, tuple | list) or len(held_out) not in (2, 3):
        raise TypeError(f"validation_data: expected (x, t) or (x, t, sample_weight), got "
                        f"{type(held_out).__name__}{f' of {len(held_out)}' if isinstance(held_out, tuple) else ''}")
    xv, tv, weights = (*held_out, None)[:3]
    return prepare_data(model, xv, tv, weights, AS_VALIDATION_DATA)


def split_data(
    model: Any, x: object, t: object, sample_weight: object, held_out: Any, share: object,
) -> tuple[Data, Data | None]:
    """The data to train with and to validate with: what is given, or, as in Keras, the last ``share`` of the rows."""
    share = checks.as_number("validation_split", share, 0, 1, high_open=True)
    if held_out is not None:
        if share:
            raise ValueError(f"validation_split: expected 0 beside validation_data, got {share}")
        return prepare_data(model, x, t, sample_weight), as_validation_data(model, held_out)
    data = prepare_data(model, x, t, sample_weight)
    if share == 0:
        return data, None
    n = len(data.x) - int(len(data.x) * share)
    if not 0 < n < len(data.x):
        raise ValueError(f"validation_split: expected to leave rows on both sides, got {share} of {len(data.x)} rows")
    first, last = (data._replace(x=data.x[part], t=data.t[part],
                                 weights=None if data.weights is None else data.weights[part])
                   for part in (slice(n), slice(n, None)))
    return first, last


def largest_value(values: Array) -> float:
    """max |values|; NaN or ∞ if one of them is."""
    with np.errstate(invalid="ignore"):
        return max(abs(float(values.min())), abs(float(values.max()))) if values.dtype.kind != "b" else 1.0


def check_inputs(model: Any, data: Data) -> float:
    """The largest |x|, which must be finite: NaN and ∞ become NaN gradients. Only a first layer without parameters that
    makes finite numbers of them, such as one that fills gaps, may get them."""
    largest = largest_value(data.x)
    if not np.isfinite(largest):
        row = next(i for i, each in enumerate(data.x) if not np.isfinite(each).all())
        first = model.layers[0]
        if first.params or not np.isfinite(first(data.x[row:row + 1])).all():
            bad = ~np.isfinite(data.x[row])
            column = int(np.argmax(bad)) if data.columns else 0
            where = f", column {data.columns[column]!r}" if data.columns else ""
            raise ValueError(f"{data.names[0]}: expected finite values, got {data.x[row][bad][0]} at row {row}{where}")
    return largest


def check_last_batch(model: Any, x: Array, used: int, batch_size: int) -> None:
    """Batch normalization needs several rows, in the last batch of the ``used`` rows, too."""
    rows, least = (used - 1) % batch_size + 1, model.min_batch_size(x.shape[1:])
    if rows < least:
        raise ValueError(f"batch_size: expected at least {least} rows in a training batch, to normalise over, got "
                         f"{batch_size}, which leaves {rows} of {used} for the last one")

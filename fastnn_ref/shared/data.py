"""The data of a training: arrays that fit the model and each other, with the names that the user knows them by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import philox
from . import checks, foreign
from .arrays import as_batch, as_number_array, first_row, no_row
from .objects import PASS_THROUGH, is_a
from .targets import as_sample_weight, as_targets

Array = npt.NDArray[Any]

AS_ARGUMENTS = ("x", "t", "sample_weight")
AS_VALIDATION_DATA = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
VALIDATION_ROWS = ("end", "random", "stratified")
READ = 1024                             # rows of a file that are read at a time
VALUES = 2**14                          # numbers for an Embedding that are looked at together


class Data(NamedTuple):
    """Arrays that fit the model and each other, what the user calls them, and which of the user's rows they are."""

    x: Array
    t: Array
    weights: Array | None
    names: tuple[str, str, str] = AS_ARGUMENTS
    columns: tuple[Any, ...] = ()   # the names that a data frame has for them
    rows: Array | None = None       # None: all of them
    given: int | None = None        # how many the user passed, where these are some of them

    def row(self, index: int) -> int:
        """Which of the user's rows it is."""
        return int(self.rows[index]) if self.rows is not None and index < len(self.rows) else index

    def name(self, argument: str) -> str:
        """What the user calls this argument."""
        return self.names[AS_ARGUMENTS.index(argument)] if argument in AS_ARGUMENTS else argument

    def as_given(self) -> checks.Retold:
        """Errors name what the user passed, have its shapes, and count rows as the user does."""
        return checks.Retold(name=self.name, row=self.row, n=lambda n: self.given or n)

    def part(self, rows: slice) -> checks.Retold:
        """Errors about these rows, taken by themselves, count them from the first of all, and have shapes of all."""
        return checks.Retold(row=lambda row: row + rows.start, n=lambda _: len(self.x))


class FileRows:
    """Some ``rows`` of an array, as one that lies in a file: they are read when they are asked for.

    >>> import numpy as np
    >>> from fastnn_ref.shared.data import FileRows
    >>> FileRows(np.arange(10), np.array([1, 4, 8]))[1:].tolist()
    [4, 8]
    """

    def __init__(self, array: Array, rows: Array) -> None:
        self.array, self.rows = array, rows
        self.dtype, self.ndim, self.shape = array.dtype, array.ndim, (len(rows), *array.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        return self.array[self.rows[key]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.array[self.rows], dtype)

    def min(self) -> Any:
        """The smallest value, or NaN if there is one."""
        return np.min([self[start:start + READ].min() for start in range(0, len(self), READ)])

    def max(self) -> Any:
        """The largest one, or NaN."""
        return np.max([self[start:start + READ].max() for start in range(0, len(self), READ)])


def take(array: Array | None, rows: Any) -> Any:
    """These rows of an array: a slice is a view, chosen ones are copied, or stay in the file."""
    if array is None or isinstance(rows, slice) or not is_mapped(array):
        return None if array is None else array[rows]
    return FileRows(array, rows)


def is_mapped(array: Any) -> bool:
    """Does the array lie in a file (``numpy.memmap``), so that only what is read of it takes memory?"""
    base: Any = array
    if isinstance(array, FileRows):
        return True
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False


def prepare_inputs(
    model: Any, x: object, convert: bool = True, columns: tuple[Any, ...] = (), name: str = "x",
) -> Array:
    """``x`` as an array that the model takes; one that lies in a file stays there, and is converted batch by batch."""
    found = given = as_number_array(name, x, "x")
    if (convert and not is_mapped(found)) or not found.size:
        with np.errstate(over="ignore"):
            found = as_batch(name, found, model.dtype, None)
        check_range(model, name, given, columns)
    try:
        model.output_shape(found.shape[1:])
    except ValueError as error:
        if found.shape[1:] != model.input_shape:
            as_batch(name, found, model.dtype, model.input_shape)    # says it in the words of x, where it can
        raise ValueError(f"{name}: {error}") from None
    return found


def prepare_data(
    model: Any, x: object, t: object, sample_weight: object = None, names: tuple[str, str, str] = AS_ARGUMENTS,
    convert: bool = True,
) -> Data:
    """Arrays that fit the model and each other, converted so that no epoch need do it again."""
    columns = foreign.columns_of(x)
    inputs = prepare_inputs(model, x, convert, columns, names[0])
    targets = as_targets(t, len(inputs), names[1], names[0])
    weights = as_sample_weight(sample_weight, len(inputs), names[2], names[0])
    return Data(inputs, targets, weights, names, columns)


def as_validation_data(model: Any, held_out: Any) -> Data:
    """``(x, t)`` or ``(x, t, sample_weight)``, in the user's words."""
    if not isinstance(held_out, tuple | list) or len(held_out) not in (2, 3):
        raise TypeError(f"validation_data: expected (x, t) or (x, t, sample_weight), got "
                        f"{type(held_out).__name__}{f' of {len(held_out)}' if isinstance(held_out, tuple) else ''}")
    xv, tv, weights = (*held_out, None)[:3]
    return prepare_data(model, xv, tv, weights, AS_VALIDATION_DATA)


def class_of_each_row(t: Array) -> Array:
    """The number of each row's class: of labels, or of rows that have one 1 each."""
    values = np.asarray(t)
    if values.ndim == 1 or values.shape[1:] == (1,):
        return np.unique(values.ravel(), return_inverse=True)[1].ravel()
    if values.ndim != 2 or not (np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()):
        raise ValueError("t: expected a class for each row, as a number (n,) or as rows with one 1 (n, K), for "
                         f"validation_rows='stratified', got {checks.format_shape(values.shape)} of another kind")
    return values.argmax(axis=1)


def rows_of_classes(counts: Array, total: int) -> Array:
    """How many rows of each class make ``total``: in proportion, the remainders largest first, and never all of a
    class.

    >>> import numpy as np
    >>> from fastnn_ref.shared.data import rows_of_classes
    >>> rows_of_classes(np.array([50, 30, 19, 1]), 10).tolist()
    [5, 3, 2, 0]
    """
    exact = counts * (total / counts.sum())
    taken = np.minimum(np.floor(exact).astype(np.int64), counts - 1)
    while taken.sum() < total:
        open_ones = np.flatnonzero(taken < counts - 1)
        if not len(open_ones):
            raise ValueError(f"validation_split: expected to leave a row of each class, got {total} of {counts.sum()} "
                             f"rows of {len(counts)} classes")
        taken[open_ones[np.argmax((exact - taken)[open_ones])]] += 1
    return taken


def choose_rows(n: int, total: int, which: str, t: Array, seed: int) -> tuple[Any, Any]:
    """The rows to train with and the ``total`` rows to validate with, each in the order of the data.

    What is chosen depends on the seed alone, so that a second ``fit`` does not train on what the first one held out.
    """
    if which == "end":
        return slice(n - total), slice(n - total, None)
    order = philox.permutation(n, seed, 0, philox.stream(philox.SPLIT, 0))
    if which == "stratified":
        classes = class_of_each_row(t)[order]
        counts = np.bincount(classes)
        by_class = np.argsort(classes, kind="stable")               # places in `order`, class by class
        rank = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
        order = order[by_class[rank < np.repeat(rows_of_classes(counts, total), counts)]]
    held = np.zeros(n, bool)
    held[order[:total]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def split_data(
    model: Any, x: object, t: object, sample_weight: object, held_out: Any, share: object, which: object,
) -> tuple[Data, Data | None]:
    """The data to train with and to validate with: what is given, or ``share`` of the rows, from the end as in Keras,
    or chosen."""
    share = checks.as_number("validation_split", share, 0, 1, high_open=True)
    which = checks.as_choice("validation_rows", which, VALIDATION_ROWS)
    if which != "end" and not share:
        raise ValueError(f"validation_rows: expected 'end' without validation_split, got {which!r}")
    if held_out is not None and share:
        raise ValueError(f"validation_split: expected 0 beside validation_data, got {share}")
    data = prepare_data(model, x, t, sample_weight)
    if share == 0:
        return data, None if held_out is None else as_validation_data(model, held_out)
    total = int(len(data.x) * share)
    if not 0 < total < len(data.x):
        raise ValueError(f"validation_split: expected to leave rows on both sides, got {share} of {len(data.x)} rows")
    chosen = choose_rows(len(data.x), total, which, data.t, model.network.seeds.order)
    first, last = (data._replace(x=take(data.x, rows), t=take(data.t, rows), weights=take(data.weights, rows),
                                 rows=np.arange(len(data.x))[rows], given=len(data.x)) for rows in chosen)
    return first, last


def largest_value(values: Array) -> float:
    """max |values|; NaN or ∞ if one of them is."""
    with np.errstate(invalid="ignore"):
        return max(abs(float(values.min())), abs(float(values.max()))) if values.dtype.kind != "b" else 1.0


def bad_value(name: str, wanted: str, values: Array, bad: Array, row: int, columns: tuple[Any, ...]) -> ValueError:
    """The error of the first bad one of a row's ``values``."""
    column = f", column {columns[int(np.argmax(bad))]!r}" if columns else ""
    return checks.value_error("{name}: expected {wanted}, got {got} at row {row}{column}",
                              name=name, wanted=wanted, got=values[bad][0], row=row, column=column)


def is_bounded(model: Any, row: Array) -> bool:
    """Does a first layer without parameters make finite numbers of a row (1, …) with NaN or ∞?"""
    first = model.layers[0]
    return not first.params and bool(np.isfinite(first(row)).all())


def check_range(model: Any, name: str, x: Array, columns: tuple[Any, ...], largest: float | None = None) -> None:
    """No finite value of x becomes ∞ in the model's dtype; ``largest`` is x's ``largest_value``, if it is known."""
    dtype = model.dtype
    if x.dtype.kind != "f" or x.dtype.itemsize <= dtype.itemsize:
        return
    if (largest_value(x) if largest is None else largest) <= float(np.finfo(dtype).max):
        return
    for start in range(0, len(x), READ):
        rows = x[start:start + READ]
        with np.errstate(over="ignore"):
            fitted = rows.astype(dtype)
        bad = np.isfinite(rows) & ~np.isfinite(fitted)
        if bad.any():
            row = first_row(bad)
            if is_bounded(model, fitted[row:row + 1]):
                return
            raise bad_value(name, f"values within the range of {dtype}", rows[row], bad[row], start + row, columns)


def check_inputs(model: Any, data: Data) -> float:
    """The largest |x|, which must be finite: NaN and ∞ become NaN gradients. Only a first layer without parameters that
    makes finite numbers of them, such as one that fills gaps, may get them."""
    largest = largest_value(data.x)
    check_range(model, data.names[0], data.x, data.columns, largest)
    if not np.isfinite(largest):
        row = next(i for i, each in enumerate(data.x) if not np.isfinite(each).all())
        if not is_bounded(model, data.x[row:row + 1]):
            values = data.x[row]
            raise bad_value(data.names[0], "finite values", values, ~np.isfinite(values), row, data.columns)
    if any(True for _ in looked_up(model, data.x[:1])):
        check_numbers(model, data)
    return largest


def looked_up(layer: Any, x: Array) -> Iterator[tuple[int, Array]]:
    """How many rows each ``Embedding`` has that reads x, or columns of it, and what it reads."""
    for each in layer.layers if is_a(layer, "Sequential") else [layer]:
        if is_a(each, "Select"):
            x = x[:, each.start:each.stop]
            continue
        if is_a(each, *PASS_THROUGH):
            x = x.reshape(len(x), *each.output_shape(x.shape[1:]))
            continue
        if is_a(each, "Embedding"):
            yield each.num_embeddings, x
        elif is_a(each, "Sequential"):
            yield from looked_up(each, x)
        elif is_a(each, "Parallel"):
            for branch in each.branches:
                yield from looked_up(branch, x)
        return


def check_numbers(model: Any, data: Data) -> None:
    """ValueError for a number without a row in an ``Embedding``, which would else end an epoch in its midst."""
    many = max(READ, VALUES // math.prod(data.x.shape[1:]))
    for start in range(0, len(data.x), many):
        for count, numbers in looked_up(model, np.asarray(data.x[start:start + many])):
            whole = np.rint(numbers)
            if (whole == numbers).all() and numbers.min() >= 0 and numbers.max() < count:
                continue                                # as nearly always
            with np.errstate(invalid="ignore"):         # ∞ − ∞; NaN is bad, too
                bad = ~((np.abs(numbers - whole) <= 1e-3) & (whole >= 0) & (whole < count))
            if bad.any():
                row = first_row(bad)
                raise no_row(count, float(numbers[row][bad[row]][0]), start + row, data.names[0])


def check_last_batch(model: Any, x: Array, used: int, batch_size: int, shards: int = 1) -> None:
    """Batch normalization needs several rows, in each of the ``shards`` of the last batch of the ``used`` rows, too."""
    rows, least = (used - 1) % batch_size + 1, model.min_batch_size(x.shape[1:])
    if max(rows // shards, 1) < least:
        where = "a training batch" if shards == 1 else f"each of the {shards} shards of a training batch"
        raise ValueError(f"batch_size: expected at least {least} rows in {where}, to normalise over, got "
                         f"{batch_size}, which leaves {rows} of {used} for the last one")

"""Checks of what a loss is given: outputs, targets, weights of examples; and of its arguments about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import checks
from .arrays import as_batch, as_contiguous, as_number_array, check_values, first_row, float_dtype
from .checks import format_shape, value_error
from .objects import is_a

Array = npt.NDArray[Any]

ROWS = 1024         # targets of a file that are read at a time


# ---- arguments of losses ----


def as_reduction(value: object) -> str:
    """What becomes of the losses of the examples."""
    return checks.as_choice("reduction", value, ("mean", "sum", "none"))


def as_ignore_index(value: object) -> int | None:
    """A class number, which may be one that no class has, or None."""
    if value is None:
        return None
    if isinstance(value, checks.BOOLS) or not isinstance(value, checks.INTEGERS):
        raise TypeError(f"ignore_index: expected an integer or None, got {value!r}")
    return checks.as_integer("ignore_index", value, -2**62, 2**62)


def check_reduced(loss: Any) -> None:
    """Training and evaluation need one number; a user's own loss gives one, and may say of which kind it is."""
    reduction = getattr(loss, "reduction", "mean")
    if not isinstance(reduction, str) or reduction not in ("mean", "sum"):
        raise ValueError(f"loss: expected reduction 'mean' or 'sum', which give one number, got {loss!r} with "
                         f"{reduction!r}")


# ---- outputs and weights ----


def as_outputs(name: str, value: object) -> Array:
    """A loss's y: as it is in float32 and float64, anything else in float64."""
    found = as_number_array(name, value)
    return as_batch(name, found, float_dtype(found), None)


def check_logits(shape: Sequence[int]) -> None:
    """Cross-entropy wants a number for each class, on axis 1."""
    if len(shape) < 2:
        raise ValueError(f"y: expected logits (n, K, ...), got {format_shape(shape)}")


def as_sample_weight(value: Any, n: int, name: str = "sample_weight", of: str = "x") -> Array | None:
    """None, or a finite number >= 0 for each of n examples, in float64, as their sum is, too. Ones are None, so that
    they give its bits."""
    if value is None:
        return None
    found = as_number_array(name, value)
    if found.shape != (n,):
        raise ValueError(f"{name}: expected ({n},), one number for each row of {of}, got {format_shape(found.shape)}")
    with np.errstate(over="ignore"):
        weights = as_contiguous(found, np.float64)
        total = weights.sum()
    check_values(name, found, ~(np.isfinite(weights) & (weights >= 0)), "finite numbers >= 0")
    if not np.isfinite(total):
        raise ValueError(f"{name}: expected numbers with a finite sum, got {total}")
    return None if (weights == 1).all() else weights


# ---- targets ----


def as_targets(t: object, n: int, name: str = "t", of: str = "x") -> Array:
    """Any targets, one for each row of x; the loss looks at the values."""
    found = as_number_array(name, t, "t")
    check_target_count(found, n, of, name)
    return found


def check_target_count(t: Array, n: int, of: str = "x", name: str = "t") -> None:
    """One target for each row of the argument ``of``."""
    if t.ndim == 0 or len(t) != n:
        raise ValueError(f"{name}: expected {n} targets, one for each row of {of}, got "
                         f"{len(t) if t.ndim else 'a single number'}")


def rows_of(shape: Sequence[int]) -> str:
    """A shape as the text of an error that has the number of rows as its part ``n``."""
    return format_shape(("{n}", *shape[1:]))


def check_finite(t: Array) -> None:
    """No NaN and no infinity."""
    if t.dtype.kind == "f" and not np.isfinite(t).all():
        check_values("t", t, ~np.isfinite(t), "finite values")


def as_class_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike, ignore_index: int | None = None) -> Array:
    """For outputs of ``shape`` (n, k, ...), class numbers as int64 (n, ...), or rows of probabilities as ``dtype`` in
    that shape, whose axis 1 has the classes."""
    found, k, places = as_number_array("t", t), shape[1], (shape[0], *shape[2:])
    check_target_count(found, shape[0])
    if found.shape == places:
        return as_class_numbers(found, k, ignore_index)
    if found.shape != tuple(shape):
        less = "{name}[..., 0]" if len(places) > 1 else "numpy.ravel({name})"       # pandas, too, knows the second
        hint = f"; {less} has that shape" if found.shape == (*places, 1) else ""
        raise value_error(f"{{name}}: expected class numbers {rows_of(places)} or probabilities {rows_of(shape)}, "
                          f"got {rows_of(found.shape)}{hint}", name="t", n=shape[0])
    if ignore_index is not None:
        raise value_error(f"{{name}}: expected class numbers {rows_of(places)} beside ignore_index, got probabilities "
                          f"{rows_of(shape)}", name="t", n=shape[0])
    check_finite(found)
    rows = as_contiguous(found, dtype)
    check_values("t", rows, rows < 0, "probabilities >= 0")
    sums = rows.sum(axis=1, dtype=np.float64)
    # Rounding k probabilities to float32, or to their own dtype, moves their sum by no more than this.
    own = np.finfo(found.dtype).eps if found.dtype.kind == "f" else 0.0
    off = np.abs(sums - 1) > max(1e-6 + k * np.finfo(np.float32).eps, own)
    if off.any():
        raise value_error("{name}: expected rows that sum to 1, got {got:.7g} at row {row}",
                          name="t", got=sums[off][0], row=first_row(off))
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
        raise value_error(f"{{name}}: expected class numbers from 0 to {k - 1}{beside}, got {got} at row {{row}}{hint}",
                          name="t", row=first_row(bad))
    return as_contiguous(t, np.int64)


def as_value_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Finite values in y's ``shape``; (n,) will do for (n, 1)."""
    found = as_number_array("t", t)
    check_target_count(found, shape[0])
    if found.ndim == 1 and tuple(shape) == (len(found), 1):
        found = found[:, None]
    if found.shape != tuple(shape):
        raise value_error(f"{{name}}: expected {rows_of(shape)}, got {rows_of(found.shape)}", name="t", n=shape[0])
    check_finite(found)
    with np.errstate(over="ignore"):
        fitted = as_contiguous(found, dtype)
    if fitted.dtype != found.dtype and not np.isfinite(fitted).all():
        check_values("t", found, ~np.isfinite(fitted), f"values within the range of {fitted.dtype}")
    return fitted


def as_probability_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Values from 0 to 1 in y's ``shape``."""
    found = as_value_targets(t, shape, dtype)
    check_values("t", found, (found < 0) | (found > 1), "values from 0 to 1")
    return found


def as_count_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Values >= 0 in y's ``shape``."""
    found = as_value_targets(t, shape, dtype)
    check_values("t", found, found < 0, "values >= 0")
    return found


def as_sign_targets(t: object, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Labels −1 and 1, or 0 and 1, in y's ``shape``; as −1 and 1."""
    found = as_value_targets(t, shape, dtype)
    bad = (found != 1) & (found != (-1 if (found == -1).any() else 0))
    if bad.any():
        raise bad_label(found[bad][0], first_row(bad))
    return np.where(found == 0, -1, found).astype(found.dtype)


def check_signs_agree(loss: Any, t: Any) -> None:
    """What a ``HingeLoss`` cannot see of some rows: −1 among these, and 0 among others."""
    for start in range(0, len(t) if is_a(loss, "HingeLoss") and t.min() < 0 else 0, ROWS):
        if (bad := t[start:start + ROWS] == 0).any():
            raise bad_label(0, start + first_row(bad))


def bad_label(got: float, row: int) -> ValueError:
    """The error of a target that is none of two labels."""
    return value_error("{name}: expected labels −1 and 1, or 0 and 1, got {got:g} at row {row}",
                       name="t", got=got, row=row)

"""Checks of what a network has once: seeds, dtype, the lock, and the counters that say where training stands."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import checks
from .objects import class_name

MAX_DEPTH = 64                  # passes, copies and records go through layers inside layers by recursion
FLOATS = frozenset("f d f4 f8 float float32 float64 single double".split())      # NumPy's names of the two dtypes


# ---- seeds and dtype ----


def as_seed(value: object, name: str = "seed") -> int:
    """A seed fits in 64 bits."""
    return checks.as_integer(name, value, 0, 2**64 - 1)


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
                         f"got the keys {checks.format_keys(value)}")
    found = {name: as_seed(value.get(name, 0), f"seed[{name!r}]") for name in Seeds._fields}
    return found if len(set(found.values())) > 1 else found["init"]


def as_seeds(seed: int | Mapping[str, int]) -> Seeds:
    """The seed of each purpose."""
    return Seeds(**seed) if isinstance(seed, Mapping) else Seeds(seed, seed, seed)


def as_dtype(value: npt.DTypeLike | None, default: npt.DTypeLike) -> np.dtype[Any]:
    """float32 or float64; None means ``default``."""
    wrong = ValueError(f"dtype: expected float32 or float64, got {value!r}")
    if isinstance(value, str) and value.lstrip("<=|") not in FLOATS:        # NumPy warns of some that it knows
        raise wrong
    try:
        found: np.dtype[Any] = np.dtype(default if value is None else value)
    except (TypeError, DeprecationWarning):
        raise wrong from None
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise wrong
    return found


def as_common_dtype(found: set[np.dtype[Any]]) -> np.dtype[Any] | None:
    """The one dtype among those of a model's contents; None if they have none."""
    if len(found) > 1:
        raise ValueError("dtype: expected one, as the layers already have float32 and float64; say dtype=")
    return next(iter(found), None)


# ---- the lock ----


def process_lock() -> threading.RLock:
    """A lock of the process; in a forked child, where the thread that has it is missing, it is free."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):                 # not on Windows, which has no fork
        os.register_at_fork(after_in_child=lock._at_fork_reinit)    # type: ignore[attr-defined]    # not in typeshed
    return lock


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


def no_forward() -> RuntimeError:
    """The error of a backward pass that belongs to no forward pass."""
    return RuntimeError("backward: call forward(x) first, with training=True for the gradients of training")


# ---- where training stands ----


def as_counters(value: object) -> dict[str, Any]:
    """A network's counters: training passes, epochs, batches of the epoch under way, and its sums so far."""
    wanted = ("steps", "epochs", "batch", "sums")
    if not isinstance(value, Mapping):
        raise TypeError(f"state['counters']: expected a dict, got {type(value).__name__}")
    checks.check_keys("state['counters']", value, wanted)
    sums = value["sums"]
    if not isinstance(sums, list | tuple) or len(sums) != 3 or not all(isinstance(each, float) for each in sums):
        raise ValueError(f"state['counters']['sums']: expected three floats, got {sums!r}")
    return {**{name: checks.as_integer(f"state['counters'][{name!r}]", value[name], 0, 2**62) for name in wanted[:3]},
            "sums": [float(each) for each in sums]}


def too_deep() -> ValueError:
    """The error for more than MAX_DEPTH levels of layers."""
    return ValueError(f"layers: expected at most {MAX_DEPTH} levels of layers inside layers, got more")


def check_resume(done: int, steps: int) -> None:
    """An epoch goes on behind batches that it has."""
    if done > steps:
        raise ValueError(f"resume: expected at most {steps} batches done, got {done}")


def rows_used(n: int, batch_size: int, drop_last: bool) -> int:
    """How many of n rows an epoch trains with: without those of a last, shorter batch if ``drop_last``."""
    if drop_last and n < batch_size:
        raise ValueError(f"batch_size: expected at most {n}, the rows of x, with drop_last, got {batch_size}")
    return n - n % batch_size if drop_last else n


def check_enough_rows(rows: int, least: int) -> None:
    """Rows to normalise over, in a training batch."""
    if rows < least:
        raise checks.value_error("{name}: expected at least {least} rows in a training batch, to normalise over, got "
                                 "{rows}", name="x", least=least, rows=rows)

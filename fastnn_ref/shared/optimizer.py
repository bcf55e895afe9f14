"""Checks of optimizers: their arguments, their state, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import checks
from .arrays import as_number_array
from .objects import class_name


def as_learning_rate(value: object) -> Any:
    """A number >= 0 as a float, or a schedule as it is."""
    return value if callable(value) else checks.as_number("lr", value, 0)


def as_betas(value: object) -> tuple[float, float]:
    """Adam's pair of decay rates."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"betas: expected a pair of numbers, got {value!r}")
    first, second = (checks.as_number(f"betas[{i}]", beta, 0, 1, high_open=True) for i, beta in enumerate(value))
    return first, second


def as_dampening(value: object, momentum: float, nesterov: bool) -> float:
    """SGD's dampening, which only momentum has, and Nesterov's has not; that needs a momentum, too."""
    if nesterov and momentum == 0:
        raise ValueError("nesterov: expected momentum > 0, got 0")
    found = checks.as_number("dampening", value, 0, 1, high_open=True)
    if found and (nesterov or not momentum):
        raise ValueError(f"dampening: expected 0 {'with nesterov' if nesterov else 'without momentum'}, got {found:g}")
    return found


def as_clipping(clip_norm: object, clip_value: object) -> tuple[float | None, float | None]:
    """The two limits of an optimizer's gradients, each a number > 0, or None."""
    norm = None if clip_norm is None else checks.as_number("clip_norm", clip_norm, 0, low_open=True)
    return norm, None if clip_value is None else checks.as_number("clip_value", clip_value, 0, low_open=True)


def as_optimizer_state(value: object, slots: Sequence[str]) -> dict[str, Any]:
    """An optimizer's ``steps`` and slots."""
    wanted = ("steps", "lr", *slots)
    if not isinstance(value, Mapping):
        raise TypeError(f"state: expected a dict, got {type(value).__name__}")
    checks.check_keys("state", value, wanted)
    for slot in slots:
        if not isinstance(value[slot], Mapping):
            raise TypeError(
                f"state[{slot!r}]: expected a dict from name to array, got {type(value[slot]).__name__}")
    copies = {slot: {name: np.array(as_number_array(f"state[{slot!r}][{name!r}]", array))
                     for name, array in value[slot].items()} for slot in slots}
    return {**value, **copies, "steps": checks.as_integer("state['steps']", value["steps"], 0)}


def belongs_to_another(optimizer: Any) -> ValueError:
    """An optimizer serves one model, whose momentum it has."""
    return ValueError(f"optimizer: this {class_name(optimizer)} already belongs to another model; make a new one")

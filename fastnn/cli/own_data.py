"""``--data FILE``: a data set of one's own, split into rows to train on and rows held out, and its encoding."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from .. import datasets
from ..extras import extra
from . import rows
from .encoding import Encoding, fitted, fitted_targets

ROWS = 2  # of each class at least: one to train on, one held out; of a regression on both sides


def load(config: Any) -> tuple[datasets.Dataset, Encoding]:
    """The file that ``--data`` names; inputs, and the targets of a regression, are scaled as its training part needs
    it."""
    with extra("train"):
        from sklearn.model_selection import train_test_split
    size = rows.as_size("image_size", config.image_size)
    regression = config.task == "regression"
    found = rows.read(Path(config.data), True, config.target, config.targets, regression=regression,
                      images=rows.Images(config.colors, size, size is not None))
    n = len(found.x)
    out = math.ceil(config.held_out * n)
    labels: tuple[str, ...] = ()
    if found.values is None:
        labels, t = classes(config, found.labels or [], out)
    else:
        t = found.values
        check_values(config, t, out, found)
    train, test = train_test_split(np.arange(n), test_size=out, random_state=0, stratify=None if regression else t)
    absent = sorted(set(labels) - {labels[number] for number in t[train]}) if labels else []
    if absent:
        raise ValueError(f"held_out: expected a share that leaves rows of each class to train on, got "
                         f"{config.held_out} and none of {absent[0]!r}")
    x = found.x.reshape(n, -1)
    scaling = fitted(x[train], config.scale == "standard") | (fitted_targets(t[train]) if regression else {})
    encoding = Encoding(
        labels, x.shape[1], columns=found.columns, targets=found.targets, image_shape=image_shape(found.x),
        resized=size is not None, **scaling,
    )  # fmt: skip
    if regression:
        t = encoding.scaled(t)
    x_train, x_test = (encoding.inputs(x, config.data, chosen) for chosen in (train, test))
    data = datasets.Dataset(
        Path(config.data).name, x_train, t[train], x_test, t[test],
        encoding.image_shape,
    )  # fmt: skip
    return data, encoding


def image_shape(x: Any) -> tuple[int, int, int] | None:
    """(channels, height, width) if rows are pictures, of one channel or of three."""
    if x.ndim == 3 or (x.ndim == 4 and x.shape[1] in (1, 3)):
        return (1 if x.ndim == 3 else x.shape[1]), int(x.shape[-2]), int(x.shape[-1])
    return None


def check_values(config: Any, t: Any, out: int, found: rows.Rows) -> None:
    """Targets (n, targets) that differ, and enough rows on both sides."""
    if min(out, len(t) - out) < ROWS:
        raise ValueError(f"held_out: expected a share of {ROWS} rows or more that leaves as many, got {out} of "
                         f"{len(t)} rows")
    for number, constant in enumerate((t == t[0]).all(axis=0)):
        if constant:
            where = f" of column {found.targets[number]}" if found.targets and t.shape[1] > 1 else ""
            raise ValueError(f"{config.data}: expected targets that differ, got {t[0, number]:g} in each row{where}")


def classes(config: Any, found: list[str], out: int) -> tuple[tuple[str, ...], Any]:
    """(labels, class number of each row), checked."""
    check_classes(config.data, found)
    labels = ordered(found)
    numbers = {label: number for number, label in enumerate(labels)}
    if min(out, len(found) - out) < len(labels):
        raise ValueError(f"held_out: expected a share of {len(labels)} rows or more, one of each class, that leaves as "
                         f"many, got {out} of {len(found)} rows")
    return labels, np.array([numbers[label] for label in found])


def ordered(labels: list[str]) -> tuple[str, ...]:
    """Each label once, by number if all are numbers, else by letter."""
    found = set(labels)
    numbers = all(map(rows.is_number, found))
    return tuple(sorted(found, key=lambda label: (float(label) if numbers else 0.0, label)))     # 1 and 1.0 differ


def check_classes(name: str, labels: list[str]) -> None:
    """At least two classes, and enough rows of each."""
    count = Counter(labels)
    if len(count) < 2:
        raise ValueError(f"{name}: expected two classes or more, got {len(count)}: {', '.join(count)}")
    rare = [label for label, n in count.items() if n < ROWS]
    if rare:
        hint = rows.NUMBERS if all(map(rows.is_number, count)) else ""
        raise ValueError(f"{name}: expected {ROWS} rows of each class or more, got 1 of {rare[0]!r}"
                         + (f" and {len(rare) - 1} others" if rare[1:] else "") + hint)

"""``--data FILE``: a data set of one's own, split into rows to train on and rows held out, and its encoding."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from .. import datasets
from ..extras import extra
from . import rows
from .encoding import Encoding, fitted

ROWS = 2  # of each class at least: one to train on, one held out


def load(config: Any) -> tuple[datasets.Dataset, Encoding]:
    """The file that ``--data`` names; inputs are scaled as its training part needs it."""
    with extra("train"):
        from sklearn.model_selection import train_test_split
    found = rows.read(Path(config.data), True, config.target, config.targets)
    assert found.labels is not None
    check_classes(config.data, found.labels)
    labels = ordered(found.labels)
    numbers = {label: number for number, label in enumerate(labels)}
    t = np.array([numbers[label] for label in found.labels])
    out = math.ceil(config.held_out * len(t))
    if min(out, len(t) - out) < len(labels):
        raise ValueError(f"held_out: expected a share of {len(labels)} rows or more, one of each class, that leaves as "
                         f"many, got {out} of {len(t)} rows")
    train, test = train_test_split(np.arange(len(t)), test_size=out, random_state=0, stratify=t)
    absent = sorted(set(labels) - {labels[number] for number in t[train]})
    if absent:
        raise ValueError(f"held_out: expected a share that leaves rows of each class to train on, got "
                         f"{config.held_out} and none of {absent[0]!r}")
    x = found.x.reshape(len(found.x), -1)
    encoding = Encoding(
        labels, x.shape[1], columns=found.columns, target=found.target, image_shape=image_shape(found.x),
        **fitted(x[train], config.scale == "standard"),
    )  # fmt: skip
    data = datasets.Dataset(
        Path(config.data).name, encoding.inputs(x[train]), t[train], encoding.inputs(x[test]), t[test],
        encoding.image_shape,
    )  # fmt: skip
    return data, encoding


def image_shape(x: Any) -> tuple[int, int] | None:
    """(height, width) if rows are pictures of one channel."""
    if x.ndim == 3 or (x.ndim == 4 and x.shape[1] == 1):
        return int(x.shape[-2]), int(x.shape[-1])
    return None


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
        hint = "; a classifier is trained, no regression" if all(map(rows.is_number, count)) else ""
        raise ValueError(f"{name}: expected {ROWS} rows of each class or more, got 1 of {rare[0]!r}"
                         + (f" and {len(rare) - 1} others" if rare[1:] else "") + hint)

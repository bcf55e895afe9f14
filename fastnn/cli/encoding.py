"""How the rows of a file become inputs, and labels become class numbers: what a run keeps to predict with later."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import arrays, checks, metrics

from . import rows

Array = npt.NDArray[Any]
BLOCK = 256                             # rows that are scaled at once


@dataclass(frozen=True)
class Encoding:
    """What training data was like.

    >>> import numpy as np
    >>> from fastnn.cli.encoding import Encoding
    >>> encoding = Encoding(("no", "yes"), 1, mean=(1.0,), deviation=(2.0,))
    >>> encoding.inputs(np.array([[5.0]])).tolist()
    [[2.0]]
    """

    labels: tuple[str, ...]  # of each class number; none of a regression
    features: int  # numbers per row
    columns: tuple[str, ...] | None = None  # names of the inputs, where a file has some
    targets: tuple[str, ...] | None = None  # the targets' columns, by name or by number from 1
    image_shape: tuple[int, int, int] | None = None  # (channels, height, width)
    resized: bool = False  # images are made as large as that
    from_bytes: bool = False  # the training's images were bytes, or bytes divided by 255
    mean: tuple[float, ...] | None = None  # subtracted from each input, which is then divided by its deviation
    deviation: tuple[float, ...] | None = None
    target_mean: tuple[float, ...] | None = None  # of a regression: subtracted from each target, which …
    target_deviation: tuple[float, ...] | None = None  # … is then divided by its deviation

    @property
    def regression(self) -> bool:
        """Are the targets numbers, not classes?"""
        return self.target_mean is not None

    @property
    def target_names(self) -> tuple[str, ...]:
        """What the targets of a regression are called: their columns, where these have names."""
        if self.targets is not None and self.columns is not None:
            return self.targets
        n = len(self.target_mean or ())
        return ("value",) if n == 1 else tuple(f"value {number}" for number in range(1, n + 1))

    def reading(self) -> dict[str, Any]:
        """How ``rows.read`` is to read a file like the training's."""
        images = rows.Images()
        if self.image_shape is not None:
            channels, height, width = self.image_shape
            images = rows.Images("grey" if channels == 1 else "rgb", (width, height), self.resized)
        return {"target": self.targets, "columns": self.columns, "width": self.features, "images": images}

    def scaled(self, t: Array) -> Array:
        """Targets of a regression (n, targets), each in its own unit -> as the network learns them."""
        return np.asarray((t - np.array(self.target_mean)) / np.array(self.target_deviation))

    def values(self, y: Array) -> Array:
        """Outputs (n, targets) of a regression -> values (n, targets) float64, each in the unit of its target."""
        return np.asarray(y.astype(np.float64) * np.array(self.target_deviation) + np.array(self.target_mean))

    def inputs(self, x: Array, source: str = "x", chosen: Array | None = None) -> Array:
        """Rows (n, …) as they are read from ``source``, or the ``chosen`` of them -> inputs (n, features) float32,
        scaled as those of the training; without another copy of them all."""
        x = x.reshape(len(x), -1)
        chosen = np.arange(len(x)) if chosen is None else chosen
        inputs = np.empty((len(chosen), x.shape[1]), np.float32)
        for first in range(0, len(chosen), BLOCK):
            here = slice(first, first + BLOCK)
            inputs[here] = self._scaled(x[chosen[here]], chosen[here], source)
        return inputs

    def _scaled(self, x: Array, numbers: Array, source: str) -> Array:
        """A block of rows, and the number of each in ``source``."""
        if x.dtype == np.uint8 and self.from_bytes:
            return x.astype(np.float32) / np.float32(255)
        if self.mean is not None:
            x = (x - np.array(self.mean)) / np.array(self.deviation)
        with np.errstate(over="ignore"):
            found = x.astype(np.float32)
        if not np.isfinite(found).all():
            row = arrays.first_row(np.asarray(~np.isfinite(found).all(axis=1)))
            raise ValueError(f"{source}: row {numbers[row]}: expected inputs in the range of float32"
                             f"{'' if self.mean is None else ', less the mean and divided by the deviation'}, got "
                             f"{x[row][~np.isfinite(found[row])][0]:g}")
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain lists and texts."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Any) -> Self:
        """What ``to_json`` gave; ValueError or TypeError for anything else."""
        checks.check_keys("encoding", found, (), [field.name for field in fields(cls)])
        values: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in found.items()}
        encoding = cls(**values)
        encoding.check()
        return encoding

    def check(self) -> None:
        """Every field is of its kind, and as long as the others say; ValueError names the one that is not."""
        n = self.features
        for name, good in (
            ("labels", is_tuple(self.labels, str)),
            ("features", type(n) is int and n >= 1),
            ("columns", self.columns is None or is_tuple(self.columns, str, n)),
            ("targets", self.targets is None or is_tuple(self.targets, str)),
            ("image_shape", self.image_shape is None or (
                is_tuple(self.image_shape, int, 3) and math.prod(self.image_shape) == n and min(self.image_shape) > 0)),
            ("resized", isinstance(self.resized, bool)),
            ("from_bytes", isinstance(self.from_bytes, bool)),
            ("mean", self.mean is None or is_tuple(self.mean, float, n)),
            ("deviation", (self.deviation is None) == (self.mean is None)
             and (self.deviation is None or is_tuple(self.deviation, float, n))),
            ("target_mean", self.target_mean is None or (
                is_tuple(self.target_mean, float) and bool(self.target_mean) and not self.labels
                and (self.targets is None or len(self.targets) == len(self.target_mean)))),
            ("target_deviation", (self.target_deviation is None) == (self.target_mean is None) and (
                self.target_deviation is None or is_tuple(self.target_deviation, float, len(self.target_mean or ())))),
        ):  # fmt: skip
            if not good:
                raise ValueError(f"encoding: {name}: expected what fastnn train writes, got {getattr(self, name)!r}")


def is_tuple(value: Any, kind: type, length: int | None = None) -> bool:
    """Does it hold values of the kind alone, so many of them?"""
    return (isinstance(value, tuple) and length in (None, len(value))
            and all(type(each) is kind for each in value))


def fitted(x: Array, scale: bool) -> dict[str, Any]:
    """How training rows (n, features) are scaled: bytes by 255, else, if to ``scale``, by the mean and the deviation of
    each input; a constant one has the deviation 1."""
    if not scale or x.dtype == np.uint8:
        return {"from_bytes": x.dtype == np.uint8}
    mean, deviation = mean_and_deviation(x, "inputs")
    return {"mean": mean, "deviation": deviation}


def fitted_targets(t: Array) -> dict[str, Any]:
    """The means and the deviations of training targets (n, targets) of a regression; of constant ones the deviation
    is 1."""
    mean, deviation = mean_and_deviation(t, "targets")
    return {"target_mean": mean, "target_deviation": deviation}


def mean_and_deviation(x: Array, kind: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each column of (n, columns); ValueError where float64 cannot hold the square of a number.

    The deviation of equal numbers, which need not be computed as 0, is 1: of 90 times 0.1 it comes out as 2e-16.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    bad = ~(np.isfinite(mean) & np.isfinite(deviation))
    if bad.any():
        raise ValueError(f"scale: expected {kind} whose squares float64 can hold, got up to "
                         f"{np.abs(x[:, bad]).max():g}")
    constant = (x == x[:1]).all(axis=0) | (deviation == 0)
    return tuple(mean.tolist()), tuple(np.where(constant, 1.0, deviation).tolist())


def in_unit(name: str, encoding: Encoding) -> metrics.Metric:
    """The metric of that name for scaled outputs and targets (n, 1) of a regression of one, in the target's unit."""
    function = metrics.METRICS[name]
    return metrics.Metric(name, lambda y, t: function(encoding.values(y), encoding.values(t)))

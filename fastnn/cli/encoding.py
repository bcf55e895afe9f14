"""How the rows of a file become inputs, and labels become class numbers: what a run keeps to predict with later."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Encoding:
    """What training data was like.

    >>> encoding = Encoding(("no", "yes"), 1, mean=(1.0,), deviation=(2.0,))
    >>> encoding.inputs(np.array([[5.0]])).tolist()
    [[2.0]]
    """

    labels: tuple[str, ...]  # of each class number
    features: int  # numbers per row
    columns: tuple[str, ...] | None = None  # names of the inputs, where a file has some
    target: str | None = None  # the target's column, by name or by its number from 1
    image_shape: tuple[int, int] | None = None
    from_bytes: bool = False  # the training's images were bytes, or bytes divided by 255
    mean: tuple[float, ...] | None = None  # subtracted from each input, which is then divided by its deviation
    deviation: tuple[float, ...] | None = None

    def inputs(self, x: Array) -> Array:
        """Rows (n, …) as they are read -> inputs (n, features) float32, scaled as those of the training."""
        x = x.reshape(len(x), -1)
        if x.dtype == np.uint8 and self.from_bytes:
            return x.astype(np.float32) / np.float32(255)
        if self.mean is not None:
            x = (x - np.array(self.mean)) / np.array(self.deviation)
        return x.astype(np.float32)

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
            ("target", self.target is None or isinstance(self.target, str)),
            ("image_shape", self.image_shape is None or is_tuple(self.image_shape, int, 2)),
            ("from_bytes", isinstance(self.from_bytes, bool)),
            ("mean", self.mean is None or is_tuple(self.mean, float, n)),
            ("deviation", (self.deviation is None) == (self.mean is None)
             and (self.deviation is None or is_tuple(self.deviation, float, n))),
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
    deviation = x.std(axis=0, dtype=np.float64)
    return {"mean": tuple(x.mean(axis=0, dtype=np.float64).tolist()),
            "deviation": tuple(np.where(deviation > 0, deviation, 1.0).tolist())}

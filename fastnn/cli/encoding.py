"""How the rows of a file become inputs, and labels become class numbers: what a run keeps to predict with later."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

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
    def from_json(cls, found: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        values: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in found.items()}
        return cls(**values)


def fitted(x: Array, scale: bool) -> dict[str, Any]:
    """How training rows (n, features) are scaled: bytes by 255, else, if to ``scale``, by the mean and the deviation of
    each input; a constant one has the deviation 1."""
    if not scale or x.dtype == np.uint8:
        return {"from_bytes": x.dtype == np.uint8}
    deviation = x.std(axis=0, dtype=np.float64)
    return {"mean": tuple(x.mean(axis=0, dtype=np.float64).tolist()),
            "deviation": tuple(np.where(deviation > 0, deviation, 1.0).tolist())}

"""What is timed: groups of cases, and for each its candidates, its flops or bytes, and how equality is shown first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bench.candidates import Candidates, epochs, products, steps
from bench.nets import Array, Net
from bench.timing import Work

SIZES = [(1, 784, 128), (32, 64, 32), (64, 784, 128), (256, 784, 512), (512, 512, 512), (1024, 1024, 1024)]


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of a table; ``flops`` or ``bytes`` are those of one call."""

    group: str
    name: str
    candidates: Candidates
    flops: float = 0.0
    bytes: float = 0.0
    dtype: str = "float32"
    calls: int = 1                          # what each of so many calls returns is compared
    tolerance: float = 1e-4                 # relative to the largest value; seen: 1e-5
    calm: Case | None = None                # compared instead, where random numbers differ by library
    apart: tuple[str, ...] = ()             # candidates that return nothing comparable

    def only(self, without: Iterable[str]) -> Case:
        """The same case without some candidates."""
        left = {name: found for name, found in self.candidates.items() if name not in without}
        return dataclasses.replace(self, candidates=left, calm=self.calm and self.calm.only(without))

    def check(self, works: dict[str, Work]) -> None:
        """AssertionError unless the works, fresh from their builders, return the same as the first one."""
        names = [name for name in works if name.split(" (")[0] not in self.apart]
        want = [values(works[names[0]]()) for _ in range(self.calls)] if names else []
        for name in names[1:]:
            for got, expected in zip((values(works[name]()) for _ in range(self.calls)), want, strict=True):
                for a, b in zip(got, expected, strict=True):
                    error, scale = np.abs(a - b).max(), np.abs(b).max()
                    assert a.shape == b.shape and error <= self.tolerance * scale, (
                        f"{self.group}, {self.name}: {name} differs from {names[0]} by {error / scale:.1e}")


def values(result: Any) -> list[Array]:
    """What a call returned, as arrays of our own."""
    parts = result if isinstance(result, tuple) else (result,)
    return [np.array(part.detach().numpy() if hasattr(part, "detach") else part) for part in parts]


def of_net(group: str, candidates: Callable[[Net], Candidates], net: Net) -> Case:
    """A case for a network; three steps are compared, without dropout."""
    case = Case(group, str(net), candidates(net), flops=net.flops(), calls=3)
    if not net.dropout:
        return case
    calm = dataclasses.replace(case, candidates=candidates(net.calm()), tolerance=1e-3)   # BatchNorm; seen: 1e-4
    return dataclasses.replace(case, calm=calm)


def of_product(size: tuple[int, int, int], dtype: str, back: bool) -> Case:
    """relu(x @ W + b), forward or there and back."""
    n, k, m = size
    candidates = products(size, dtype, back)
    tolerance = 8 * k * float(np.finfo(dtype).eps)
    passes = 3 if back else 1
    traffic = passes * (n * k + k * m + n * m) * np.dtype(dtype).itemsize
    name = "×".join(map(str, size)) + (" float64" if dtype == "float64" else "")
    return Case("backward" if back else "products", name, candidates,
                flops=2.0 * n * k * m * passes, bytes=traffic, dtype=dtype, tolerance=tolerance)


def product_cases(back: bool) -> Iterable[Case]:
    """Every size in float32, the two largest in float64, too."""
    for size in SIZES:
        yield of_product(size, "float32", back)
    for size in SIZES[-2:]:
        yield of_product(size, "float64", back)


def of_epoch(net: Net) -> Case:
    """Twenty steps and a shuffle; scikit-learn's has other initial values."""
    return Case("epochs", str(net), epochs(net), flops=20 * net.flops(), apart=("scikit-learn",))


def fastnn_and_torch(net: Net) -> Candidates:
    """Who takes part where times grow."""
    return {name: found for name, found in steps(net).items() if name in ("fastnn", "torch")}

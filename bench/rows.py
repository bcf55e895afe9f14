"""Results as they are asked for: by group, case, candidate and threads."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
LIMITS = ("peak", "copy")               # candidates that are the machine itself


class Rows:
    """The rows of one result; a figure that was not measured is None."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.all = list(rows)
        self.found = {(row["group"], row["case"], row["candidate"], row["threads"]): row for row in self.all}

    def groups(self) -> list[str]:
        """In the order measured."""
        return list(dict.fromkeys(row["group"] for row in self.all))

    def cases(self, group: str) -> list[str]:
        """Of a group."""
        return list(dict.fromkeys(row["case"] for row in self.all if row["group"] == group))

    def candidates(self, group: str, threads: int) -> list[str]:
        """Of a group, the machine's limits left out."""
        rows = (row for row in self.all if (row["group"], row["threads"]) == (group, threads))
        return [name for name in dict.fromkeys(row["candidate"] for row in rows) if name.split()[0] not in LIMITS]

    def threads(self, group: str) -> list[int]:
        """The numbers of threads that a group was measured with."""
        return sorted({row["threads"] for row in self.all if row["group"] == group})

    def get(self, group: str, case: str, candidate: str, threads: int = 1) -> Row | None:
        """A row."""
        return self.found.get((group, case, candidate, threads))

    def time(self, group: str, case: str, candidate: str, threads: int = 1) -> float | None:
        """The median in microseconds."""
        row = self.get(group, case, candidate, threads)
        return row["median_us"] if row else None

    def ratio(self, group: str, case: str, slow: str, fast: str = "fastnn", threads: int = 1) -> float | None:
        """How often ``fast`` fits into the time of ``slow``."""
        a, b = self.time(group, case, slow, threads), self.time(group, case, fast, threads)
        return a / b if a and b else None

    def rate(self, group: str, case: str, candidate: str, threads: int = 1, of: str = "flops") -> float | None:
        """GFLOP/s, or GB/s for ``of="bytes"``."""
        row = self.get(group, case, candidate, threads)
        return row[of] / row["median_us"] / 1e3 if row and row[of] else None

    def share(
        self, group: str, case: str, candidate: str = "fastnn", threads: int = 1, of: str = "flops",
    ) -> float | None:
        """Of the peak measured in the same turns; for bytes of the copy's, on one thread."""
        limit = ("peak " + candidate.partition(" ")[2]) if group == "isa" else "peak" if of == "flops" else "copy"
        own = self.rate(group, case, candidate, threads, of)
        most = self.rate(group, case, limit, threads if of == "flops" else 1, of)
        return own / most if own and most else None


def exponent(sizes: list[float], times: list[float]) -> float:
    """p of time ~ size^p by least squares in logarithms, over the larger half of the sizes."""
    half = len(sizes) // 2
    x, y = ([math.log(value) for value in values[half:]] for values in (sizes, times))
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)

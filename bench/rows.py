"""Results: rows that are found by group, case, candidate and threads; made from pytest-benchmark's JSON file."""

import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
LIMITS = {"peak": "flops", "copy": "bytes"}         # candidates that are the machine itself
PEERS = {"PyTorch": ["torch", "torch channels_last"], "torch.compile": ["torch.compile"], "JAX": ["jax"],
         "NumPy": ["numpy"], "scikit-learn": ["scikit-learn"], "fastnn_ref": ["fastnn_ref"]}
PREDICTING = {"onnxruntime": ["onnxruntime"], **{name: PEERS[name] for name in (
    "PyTorch", "torch.compile", "scikit-learn", "fastnn_ref")}}


def load(path: Path) -> dict[str, Any]:
    """{"machine": …, "rows": […]}, from a kept result or from a file of ``pytest --benchmark-json``."""
    found: dict[str, Any] = json.loads(path.read_text())
    if "rows" in found:
        return found
    rows = [{**each["extra_info"], **microseconds(each["stats"]["data"])} for each in found["benchmarks"]]
    return {"machine": found["machine_info"]["fastnn"], "rows": rows}


def microseconds(seconds: list[float], calls: int = 1) -> Row:
    """Median, quartiles and minimum of the times of rounds of so many calls."""
    q1, median, q3 = statistics.quantiles(seconds, method="inclusive")
    times = {"median_us": median, "q1_us": q1, "q3_us": q3, "min_us": min(seconds)}
    return {**{key: round(1e6 * time / calls, 3) for key, time in times.items()}, "rounds": len(seconds)}


def keep(result: dict[str, Any], path: Path) -> None:
    """A line for each row."""
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in result["rows"])
    path.write_text(f'{{"machine": {json.dumps(result["machine"])},\n"rows": [\n{rows}\n]}}\n')


class Rows:
    """The rows of one result; a figure that was not measured is None."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.all = list(rows)
        self.found = {(row["group"], row["case"], row["candidate"], row["threads"]): row for row in self.all}

    def of(self, key: str, group: str) -> list[Any]:
        """The different values of a key in a group, in the order measured."""
        return list(dict.fromkeys(row[key] for row in self.all if row["group"] == group))

    def get(self, group: str, case: str, candidate: str = "fastnn", threads: int = 1) -> Row | None:
        """A row."""
        return self.found.get((group, case, candidate, threads))

    def time(self, group: str, case: str, candidate: str = "fastnn", threads: int = 1) -> float | None:
        """The median in microseconds."""
        row = self.get(group, case, candidate, threads)
        return row["median_us"] if row else None

    def speed_up(self, group: str, case: str, over: Iterable[str], threads: int = 1) -> float | None:
        """The time of the fastest of some candidates over that of fastnn."""
        times = [time for name in over if (time := self.time(group, case, name, threads))]
        own = self.time(group, case, "fastnn", threads)
        return min(times) / own if times and own else None

    def rate(self, group: str, case: str, candidate: str = "fastnn", threads: int = 1, of: str = "flops",
             ) -> float | None:
        """GFLOP/s, or GB/s for ``of="bytes"``."""
        row = self.get(group, case, candidate, threads)
        return row[of] / row["median_us"] / 1e3 if row and row.get(of) else None

    def limits(self, name: str, dtype: str, threads: int = 1) -> list[float]:
        """The rates of the best rounds of "peak" or "copy" in all cases, from the least to the most."""
        return sorted(row[LIMITS[name]] / row["min_us"] / 1e3 for row in self.all
                      if row["candidate"] == name and row["dtype"] == dtype and row["threads"] == threads)

    def others(self) -> dict[str, float]:
        """The cores that other programs kept busy during each case where that was measured."""
        return {f"{row['group']} {row['case']}": row["others"] for row in self.all if row.get("others") is not None}

    def apart(self) -> dict[str, float]:
        """Nanoseconds of a round trip between two cores before each case where that was measured."""
        return {f"{row['group']} {row['case']}": row["round_trip_ns"] for row in self.all if row.get("round_trip_ns")}

    def share(self, group: str, case: str, candidate: str = "fastnn", threads: int = 1, of: str = "flops",
              ) -> float | None:
        """Of the peak of so many threads in its best round; for bytes of a copy of the same size."""
        row, own = self.get(group, case, candidate, threads), self.rate(group, case, candidate, threads, of)
        copy = self.rate(group, case, "copy", of="bytes")
        peaks = self.limits("peak", row["dtype"], threads) if row else []
        limit = copy if of == "bytes" else peaks[-1] if peaks else None
        return own / limit if own and limit else None


def exponent(sizes: list[float], times: list[float]) -> float:
    """p of time ~ size^p by least squares in logarithms, over the larger half of the sizes."""
    half = len(sizes) // 2
    x, y = ([math.log(value) for value in values[half:]] for values in (sizes, times))
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def times(ratio: float | None) -> str:
    """A speed-up with two or three digits."""
    return f"{ratio:.{0 if ratio >= 9.95 else 1 if ratio >= 2.95 else 2}f}×" if ratio else ""

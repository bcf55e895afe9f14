"""Figures that are kept: ``python -m bench.report`` writes bench/results/<date>-<commit>.json and prints its table.

Candidates take turns, A B C A B C …, so that a machine whose speed drifts is fair to all; medians and ratios are what
counts. ``python -m bench.report --table FILE`` only prints.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from bench.candidates import (
    NETS,
    PRODUCTS,
    Work,
    by_hand,
    epoch_candidates,
    installed,
    package,
    product_candidates,
    set_threads,
    step_candidates,
)

RESULTS = Path(__file__).parent / "results"
ROUNDS, ROUND_SECONDS = 25, 0.01


def turns(works: dict[str, Work]) -> dict[str, list[float]]:
    """Microseconds a call, one figure a round for each candidate, the candidates in turn."""
    repeats = {}
    for name, work in works.items():
        work()
        start = time.perf_counter()
        work()
        repeats[name] = max(1, int(ROUND_SECONDS / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                work()
            times[name].append((time.perf_counter() - start) / repeats[name] * 1e6)
    return times


def measure(kind: str, cases: Iterable[Any], candidates: dict[str, Callable[[Any], Work]], threads: int) -> list[Any]:
    """A row for each case and candidate."""
    rows = []
    for case in cases:
        for name, times in turns({name: build(case) for name, build in candidates.items()}).items():
            rows.append({"kind": kind, "case": str(case), "threads": threads, "candidate": name,
                         "median_us": statistics.median(times), "min_us": min(times)})
    return rows


def machine() -> dict[str, Any]:
    """Where and with what this was measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    kernels = package("fastnn._kernels")

    def found(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "commit": commit.stdout.strip() or "unknown",
        "cpu": names[0] if names else platform.processor(), "cores": os.cpu_count(),
        "python": platform.python_version(), "isa": kernels.isa(), "compiler": kernels.compiler(),
        "numpy": np.__version__, "torch": found("torch"), "scikit-learn": found("scikit-learn"),
    }


def table(result: dict[str, Any]) -> str:
    """The rows as Markdown: microseconds (medians), and how often fastnn fits into each other candidate's time."""
    about = result["machine"]
    names = ("python", "numpy", "scikit-learn", "torch")
    versions = ", ".join(f"{name} {about[name]}" for name in names if about[name])
    lines = [f"{about['cpu']}, {about['cores']} cores, {about['isa']}, {about['compiler']}; {versions}; commit "
             f"{about['commit']}, {about['date']}. Medians in µs; in brackets the ratio to fastnn.", ""]
    groups: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
    for row in result["rows"]:
        cases = groups.setdefault((row["kind"], row["threads"]), {})
        cases.setdefault(row["case"], {})[row["candidate"]] = row["median_us"]
    for (kind, threads), cases in groups.items():
        columns = list(next(iter(cases.values())))
        lines += [f"| {kind}, {threads} thread{'s' * (threads > 1)} | {' | '.join(columns)} |",
                  "|---|" + "---:|" * len(columns)]
        for case, medians in cases.items():
            cells = [f"{us:,.1f}" + (f" ({us / medians['fastnn']:.1f}×)" if name != "fastnn" else "")
                     for name, us in medians.items()]
            lines.append(f"| {case} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the table of an existing file")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    result: dict[str, Any] = {"machine": machine(), "rows": []}
    hand = {name: by_hand(name) for name in ("fastnn_ref", "fastnn")}
    for threads in sorted({1, min(2, os.cpu_count() or 1)}):
        set_threads(threads)
        result["rows"] += measure("training step", NETS, step_candidates(), threads)
        result["rows"] += measure("step by hand", NETS, hand, threads)
        result["rows"] += measure("epoch of 20 batches", NETS, epoch_candidates(), threads)
        result["rows"] += measure("relu(x @ W + b)", PRODUCTS, product_candidates(), threads)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{result['machine']['date']}-{result['machine']['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    if not installed("torch"):
        print("PyTorch is not installed: it was not a candidate.")


if __name__ == "__main__":
    main()

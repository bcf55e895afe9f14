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
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from bench.candidates import missing
from bench.cases import GROUPS
from bench.measure import measure
from bench.nets import package

RESULTS = Path(__file__).parent / "results"


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
        cases = groups.setdefault((row["group"], row["threads"]), {})
        cases.setdefault(row["case"], {})[row["candidate"]] = row["median_us"]
    for (kind, threads), cases in groups.items():
        columns = list(dict.fromkeys(name for medians in cases.values() for name in medians))
        lines += [f"| {kind}, {threads} thread{'s' * (threads > 1)} | {' | '.join(columns)} |",
                  "|---|" + "---:|" * len(columns)]
        for case, medians in cases.items():
            own = medians.get("fastnn")
            cells = [f"{us:,.1f}" + (f" ({us / own:.1f}×)" if own and name != "fastnn" else "")
                     for us, name in ((medians.get(name, float("nan")), name) for name in columns)]
            lines.append(f"| {case} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the table of an existing file")
    parser.add_argument("--only", default=",".join(GROUPS), metavar="GROUPS", help="some of %(default)s")
    parser.add_argument("--match", default="", metavar="TEXT", help="only cases whose name holds TEXT")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", default="1,2" if cores > 1 else "1", help="default %(default)s")
    parser.add_argument("--without", default="", metavar="CANDIDATES", help="some to leave out")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    threads = [int(n) for n in options.threads.split(",")]
    result: dict[str, Any] = {"machine": machine(), "rows": []}
    for group in options.only.split(","):
        for case in GROUPS[group]():
            if options.match in case.name:
                for name in options.without.split(","):
                    case.candidates.pop(name, None)
                result["rows"] += measure(case, threads)
    if options.only == parser.get_default("only") and not options.match:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{result['machine']['date']}-{result['machine']['commit']}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    for name in missing():
        print(f"{name} is not installed: it was not a candidate.")


if __name__ == "__main__":
    main()

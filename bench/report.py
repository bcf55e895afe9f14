"""Figures that are kept: ``python -m bench.report`` writes bench/results/<date>-<commit>.json and prints its tables.

The whole of it also draws docs/peak.png and docs/growth.png and renews README's table.

    python -m bench.report --only steps,conv --threads 1        # a part: printed, not kept
    python -m bench.report --only steps --match 784- --without torch.compile,jax --seconds 1
    python -m bench.report --table FILE [--pictures FOLDER] [--readme]      # what is kept, again
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import machine, memory, pictures, tables, timing
from bench.candidates import missing
from bench.groups import GROUPS
from bench.measure import measure, warn
from bench.rows import Row

ROOT = Path(__file__).parent.parent
RESULTS, DOCS, README = ROOT / "bench" / "results", ROOT / "docs", ROOT / "README.md"
PROCESSES: dict[str, Callable[[], list[Row]]] = {
    "import": memory.imports, "memory": lambda: memory.rows("memory"), "allocation": lambda: memory.rows("allocation"),
}
NAMES = [*GROUPS, *PROCESSES]


def run(names: list[str], threads: list[int], match: str, without: list[str]) -> dict[str, Any]:
    """A result: the machine and the rows."""
    for name in missing():
        warn(f"{name} is not installed")
    result: dict[str, Any] = {"machine": machine.about(), "rows": []}
    for group in names:
        start = time.perf_counter()
        if group in PROCESSES:
            result["rows"] += PROCESSES[group]()
        else:
            for case in GROUPS[group]():
                if match in case.name:
                    result["rows"] += measure(case.only(without), threads)
        print(f"{group}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return result


def draw(result: dict[str, Any], folder: Path) -> None:
    """The pictures that the result has figures for."""
    groups = {row["group"] for row in result["rows"]}
    if "products" in groups:
        pictures.peak(result, folder / "peak.png")
    if {"batch", "width", "depth"} <= groups:
        pictures.growth(result, folder / "growth.png")


def renew(result: dict[str, Any]) -> None:
    """The table between README's two marks."""
    text = f"<!-- bench -->\n{tables.readme(result)}\n<!-- /bench -->"
    README.write_text(re.sub("<!-- bench -->.*<!-- /bench -->", lambda _: text, README.read_text(), flags=re.DOTALL))


def arguments() -> argparse.Namespace:
    """The command line's."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--only", metavar="GROUPS", help=f"some of {','.join(NAMES)}")
    parser.add_argument("--match", default="", metavar="TEXT", help="only cases whose name holds TEXT")
    parser.add_argument("--without", default="", metavar="CANDIDATES", help="some to leave out")
    parser.add_argument("--threads", default="1,2" if cores > 1 else "1", help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=timing.CASE_SECONDS, help="a case (default %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep a part, too")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the tables of a kept result")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw them there")
    parser.add_argument("--readme", action="store_true", help="renew README's table")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    whole = not (options.only or options.match or options.without or options.table)
    if options.table:
        result = json.loads(options.table.read_text())
    else:
        timing.CASE_SECONDS = options.seconds
        names = options.only.split(",") if options.only else NAMES
        threads = [int(n) for n in options.threads.split(",")]
        result = run(names, threads, options.match, options.without.split(","))
    out = options.out
    if whole:
        about = result["machine"]
        out = out or RESULTS / f"{about['date']}-{about['commit']}.json"
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")
    if whole or options.pictures:
        draw(result, options.pictures or DOCS)
    if whole or options.readme:
        renew(result)
    print(tables.everything(result))


if __name__ == "__main__":
    main()

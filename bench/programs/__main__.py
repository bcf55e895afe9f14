"""Runs the programs, all sides of one in turns, and prints a table; see the package's docstring."""

import argparse
import contextlib
import io
import os
import statistics
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench import machine, rows
from bench.nets import package
from bench.peers import installed, use_threads
from bench.programs.table import PROGRAMS, Program, count_lines
from bench.report import about, markdown


def seed(value: int) -> None:
    """Seeds the peers; fastnn's programs have seeds of their own."""
    if installed("torch"):
        package("torch").manual_seed(value)
    if installed("keras"):
        package("bench.programs.keras").keras.utils.set_random_seed(value)


def run(program: Program, size: str, rounds: int) -> Iterable[rows.Row]:
    """A row for each side: median score and seconds of ``rounds``, after one of test size that is not counted."""
    sides = program.candidates()
    for each in sides.values():
        each(program.data(program.sizes["test"].rows), 1)
    n, epochs = program.sizes[size]
    data = program.data(n)
    scores: dict[str, list[float]] = {name: [] for name in sides}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for index in range(rounds):
        for name, side in sides.items():
            seed(index)
            start = time.perf_counter()
            found = side(data, epochs)
            seconds[name].append(time.perf_counter() - start)
            scores[name].append(program.value(found))
    for name, side in sides.items():
        yield {"program": program.name, "candidate": name, "size": size, "epochs": epochs, "lines": count_lines(side),
               "score_of": program.score, "score": round(statistics.median(scores[name]), 4),
               "seconds": round(statistics.median(seconds[name]), 4), "rounds": rounds}


def table(result: dict[str, Any]) -> str:
    """A line for each program and peer: fastnn beside it."""
    by_program: dict[str, dict[str, rows.Row]] = {}
    for row in result["rows"]:
        by_program.setdefault(row["program"], {})[row["candidate"]] = row
    lines = []
    for name, found in by_program.items():
        own = found.pop("fastnn")
        for peer in found.values() or ({},):
            lines.append([
                name, peer.get("candidate", ""), str(own["epochs"]), str(own["lines"]), str(peer.get("lines", "")),
                f"{own['seconds']:.2f}", f"{peer['seconds']:.2f} ({rows.times(peer['seconds'] / own['seconds'])})"
                if peer else "", own["score_of"], f"{own['score']:.3f}", f"{peer['score']:.3f}" if peer else ""])
    head = ["program", "peer", "epochs", "lines", "peer's", "seconds", "peer's", "score", "fastnn", "peer's"]
    return "\n".join([about(result), "", *markdown(head, lines)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.programs", description=sys.modules["bench.programs"].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the originals' rows and epochs")
    parser.add_argument("-k", default="", metavar="TEXT", help="only programs whose name has it")
    parser.add_argument("--without", metavar="TEXT", help="not the programs whose name has it")
    parser.add_argument("--rounds", type=int, default=3, help="of each program (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of each side (default %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print those of a kept result")
    options = parser.parse_args()
    if options.table:
        print(table(rows.load(options.table)))
        return
    use_threads(options.threads)
    result: dict[str, Any] = {"machine": {**machine.about(), "threads": options.threads}, "rows": []}
    for program in PROGRAMS:
        left_out = options.without is not None and options.without in program.name
        if left_out or options.k not in program.name or (program.mnist and "FASTNN_DATA" not in os.environ):
            continue
        print(program.name, file=sys.stderr, flush=True)
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result["rows"] += run(program, "full" if options.full else "small", options.rounds)
    if options.out:
        rows.keep(result, options.out)
    print(table(result))


if __name__ == "__main__":
    main()

"""One case measured: every candidate with every number of threads, found equal, then timed in turns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from bench import machine
from bench.candidates import Candidate, use_threads
from bench.cases import Case
from bench.nets import package
from bench.rows import Row
from bench.timing import Turn, Work, turns

KERNELS = package("fastnn._kernels")
ISA = KERNELS.isa()                     # what the engine chose; only the group "isa" uses another


def warn(text: str) -> None:
    """What is skipped is said aloud."""
    print(f"SKIPPED: {text}", file=sys.stderr, flush=True)


def prepare(candidate: Candidate, threads: int) -> Callable[[], None]:
    """What must hold before each turn."""

    def before() -> None:
        use_threads(threads)
        KERNELS.use_isa(ISA)
        candidate.before()

    return before


def built(case: Case, threads: Sequence[int]) -> dict[tuple[str, int], Turn]:
    """A turn for each candidate and number of threads; they have been found equal."""
    found: dict[tuple[str, int], Turn] = {}
    for name, candidate in case.candidates.items():
        for n in threads[-1:] if candidate.every_core else threads:
            before = prepare(candidate, n)
            before()
            try:
                work = candidate.build()
            except Exception as error:              # whatever a compiler may raise
                if not candidate.optional:
                    raise
                warn(f"{name} in {case.group}, {case.name}: {type(error).__name__}: {str(error)[:200]}")
                continue
            found[name, n] = Turn(work, before)
    if case.calm is None:
        case.check({f"{name} ({n})": ready(turn) for (name, n), turn in found.items()})
    else:
        built(case.calm, threads)
    return found


def limits(case: Case, threads: Sequence[int]) -> dict[tuple[str, int], Turn]:
    """The machine's own turns: the peak where flops count, a copy where bytes do."""
    found: dict[tuple[str, int], Turn] = {}
    names = {f"peak {isa}": isa for isa in KERNELS.available()} if case.group == "isa" else {"peak": ISA}
    for name, isa in names.items():
        for n in threads:
            if case.flops and isa in machine.FLAGS and machine.loop(isa, case.dtype):
                found[name, n] = Turn(machine.peak(isa, case.dtype, n))
    if case.bytes:
        found["copy", 1] = Turn(machine.copy(case.bytes))
    return found


def ready(turn: Turn) -> Work:
    """The work behind what must hold before it."""

    def work() -> Any:
        turn.before()
        return turn.work()

    return work


def measure(case: Case, threads: Sequence[int]) -> list[Row]:
    """A row for each candidate and number of threads."""
    found = built(case, threads) | limits(case, threads)
    times = turns({f"{name}\0{n}": turn for (name, n), turn in found.items()})
    rows = []
    for (name, n), each in zip(found, times.values(), strict=True):
        rows.append({"group": case.group, "case": case.name, "candidate": name, "threads": n,
                     "median_us": round(each.median, 3), "min_us": round(each.minimum, 3), "rounds": each.rounds,
                     "flops": machine.PEAK_FLOPS * n if name.startswith("peak") else case.flops, "bytes": case.bytes,
                     "dtype": case.dtype})
    return rows

"""How it is timed: all candidates of a case are found equal, then take turns, A B C A B C …, in one process.

A machine whose speed drifts is fair to all of them so. One after the other, as pytest-benchmark's own loop does it, the
same work twice differed by 39 % (median of 12 tries, on a shared machine of two cores); in turns by 3 %.
"""

import os
import threading
import time
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench import machine
from bench.cases import Case
from bench.nets import Turn, package
from bench.peers import EVERY_CORE, OPTIONAL, use_threads
from bench.rows import LIMITS

ROUNDS, FEWEST_ROUNDS, ROUND_SECONDS = 25, 9, 0.01
SLOW, SLOW_ROUNDS = 12, 3       # a candidate that takes so many times the fastest one's time gets fewer rounds
PAUSE = 0.003                   # before every round
LONGEST_PAUSE = 0.5             # where a thread never sleeps
CLOCK = time.perf_counter       # time.process_time: for one thread on a machine with other work
KERNELS = package("fastnn._kernels")
ISA = KERNELS.isa()             # the instruction set that was chosen at import


class Timed(NamedTuple):
    """Seconds a call, one figure for each round of so many ``calls``."""

    calls: int
    seconds: list[float]


def others_run() -> bool:
    """Whether another thread of this process runs or waits for a core; False where Linux does not tell."""
    tasks, own = Path("/proc/self/task"), str(threading.get_native_id())
    if not tasks.exists():
        return False
    for name in os.listdir(tasks):
        try:
            state = (tasks / name / "stat").read_text().rpartition(") ")[2][:1]
        except OSError:                             # the thread has ended
            continue
        if state == "R" and name != own:
            return True
    return False


def pause() -> None:
    """Waits until the threads of the candidate before sleep.

    After a call they spin, and keep a core from the next candidate: those of PyTorch for 7 ms, of onnxruntime for 32,
    of NumPy's OpenBLAS for 103.
    """
    end = time.perf_counter() + LONGEST_PAUSE
    time.sleep(PAUSE)
    while others_run() and time.perf_counter() < end:
        time.sleep(PAUSE)


def one_round(turn: Turn, calls: int = 1) -> float:
    """Seconds a call, after one call that is not counted."""
    turn.before()
    pause()
    turn.work()
    start = CLOCK()
    for _ in range(calls):
        turn.work()
    return (CLOCK() - start) / calls


def in_turns(turns: Mapping[str, Turn], seconds: float) -> dict[str, Timed]:
    """Rounds of every candidate: ROUNDS, or as many as fit into ``seconds``, but at least FEWEST_ROUNDS."""
    first = {name: min(one_round(turn), one_round(turn)) for name, turn in turns.items()}
    timed = {name: Timed(max(1, int(ROUND_SECONDS / once)), []) for name, once in first.items()}
    fastest = min([once for name, once in first.items() if name.partition(",")[0] not in LIMITS], default=0.0)
    slow = {name for name, once in first.items() if once > max(ROUND_SECONDS, SLOW * fastest)}
    start = time.perf_counter()
    for index in range(ROUNDS):
        if index >= FEWEST_ROUNDS and time.perf_counter() - start > seconds:
            break
        for name, turn in turns.items():
            if index < SLOW_ROUNDS or name not in slow:
                timed[name].seconds.append(one_round(turn, timed[name].calls))
    return timed


def build(case: Case, args: tuple[Any, ...], threads: list[int], without: Collection[str]) -> dict[str, Turn]:
    """"fastnn, 2" and so on: a turn for each candidate and number of threads; they give equal results."""
    turns: dict[str, Turn] = {}
    for name, make in case.candidates(args).items():
        for n in (threads[-1:] if name in EVERY_CORE else threads) if name not in without else ():
            def before(n: int = n, isa: str = name.split()[-1] if case.kind == "isa" else ISA) -> None:
                use_threads(n)
                KERNELS.use_isa(isa)

            before()
            try:
                work = make()
            except Exception as error:              # whatever a compiler may raise
                if name not in OPTIONAL:
                    raise
                warnings.warn(f"{case}: no {name}: {type(error).__name__}: {str(error)[:200]}", stacklevel=2)
                continue
            if work:
                turns[f"{name}, {n}"] = Turn(work, before)
    return turns


def measure(case: Case, threads: list[int], without: Collection[str] = (), seconds: float = 3.0) -> dict[str, Timed]:
    """Times by "candidate, threads", and those of the machine's limits, which take turns with them."""
    turns = build(case, case.args, threads, without)
    case.check(turns if case.compared is None else build(case, case.compared, threads, {*without, *OPTIONAL}))
    for n in threads if case.flops and machine.loop(ISA, case.dtype) else ():
        turns[f"peak, {n}"] = Turn(machine.peak(ISA, case.dtype, n))
    if case.bytes:
        turns["copy, 1"] = Turn(machine.copy(case.bytes))
    return in_turns(turns, seconds) if seconds else {}

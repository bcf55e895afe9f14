"""How it is timed: candidates take turns, A B C A B C …, so that a machine whose speed drifts is fair to all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Work = Callable[[], Any]

ROUNDS, FEWEST_ROUNDS, ROUND_SECONDS, CASE_SECONDS = 25, 5, 0.01, 3.0
SLOW, SLOW_ROUNDS = 12, 3       # who takes so many times the fastest's time gets fewer turns
PAUSE = 0.003                   # the threads of the one before go to sleep
CLOCK = time.perf_counter       # time.process_time counts what a busy machine left to one thread


class Turn(NamedTuple):
    """A candidate: what it does, and what must hold each time before it does it (threads, instruction set)."""

    work: Work
    before: Callable[[], object] = lambda: None


class Times(NamedTuple):
    """Microseconds a call: one figure a round, so the minimum is that of a round."""

    median: float
    minimum: float
    rounds: int


def once(turn: Turn, repeats: int = 1) -> float:
    """Seconds a call, after one call that is not counted."""
    turn.before()
    time.sleep(PAUSE)
    turn.work()
    start = CLOCK()
    for _ in range(repeats):
        turn.work()
    return (CLOCK() - start) / repeats


def turns(candidates: Mapping[str, Turn]) -> dict[str, Times]:
    """Every candidate's times; rounds as many as fit into CASE_SECONDS, at least FEWEST_ROUNDS."""
    first = {name: once(turn) for name, turn in candidates.items()}
    first = {name: min(seconds, once(candidates[name])) if seconds < ROUND_SECONDS else seconds
             for name, seconds in first.items()}
    repeats = {name: max(1, int(ROUND_SECONDS / seconds)) for name, seconds in first.items()}
    slow = {name for name, seconds in first.items() if seconds > SLOW * min(first.values()) and seconds > ROUND_SECONDS}
    round_seconds = sum(seconds * (repeats[name] + 1) for name, seconds in first.items() if name not in slow)
    rounds = max(FEWEST_ROUNDS, min(ROUNDS, int(CASE_SECONDS / round_seconds)))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for index in range(rounds):
        for name, turn in candidates.items():
            if index < SLOW_ROUNDS or name not in slow:
                times[name].append(once(turn, repeats[name]) * 1e6)
    return {name: Times(statistics.median(found), min(found), len(found)) for name, found in times.items()}

"""What the report makes of results, on results made up: nothing is timed here."""

import json
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Thread
from time import perf_counter, sleep
from typing import Any

import pytest

from bench import machine, report, targets
from bench.cases import GROUPS
from bench.machine import Others
from bench.nets import CONVOLUTIONAL, MLPS, Turn
from bench.rows import Rows, exponent, load
from bench.timing import FEWEST_ROUNDS, SLOW_ROUNDS, in_turns

LADDER = Path(__file__).parents[1] / "docs" / "ladder"


def row(candidate: str, us: float, threads: int = 1, case: str = "c", group: str = "g", **more: Any) -> dict[str, Any]:
    return {"group": group, "case": case, "candidate": candidate, "threads": threads, "median_us": us, "min_us": us,
            "flops": 0.0, "bytes": 0.0, "dtype": "float32", **more}


def test_exponent_of_the_larger_half() -> None:
    sizes = [1.0, 2.0, 5.0, 7.0, 20.0, 50.0]
    assert exponent(sizes, [1e6, 1e6, 1e6] + [3 * size**2 for size in sizes[3:]]) == pytest.approx(2)


def test_rates_and_shares() -> None:
    rows = Rows([row("fastnn", 2.0, flops=1e5, bytes=4e4), row("fastnn", 1.0, 2, flops=1e5), row("torch", 5.0),
                 row("peak", 12.0, flops=1e6, min_us=10.0), row("peak", 12.0, 2, flops=2e6, min_us=10.0),
                 row("copy", 1.0, bytes=4e4), row("numpy", 4.0)])
    assert rows.rate("g", "c") == pytest.approx(50)                             # 1e5 flops in 2 µs
    assert rows.share("g", "c") == rows.share("g", "c", threads=2) == pytest.approx(0.5)    # of 100 and 200 GFLOP/s
    assert rows.share("g", "c", of="bytes") == pytest.approx(0.5)
    assert rows.speed_up("g", "c", ["torch", "numpy"]) == pytest.approx(2)
    assert rows.time("g", "c", "jax") is None and rows.share("g", "c", "jax") is None


def test_targets_are_met_or_missed_and_name_cases_that_exist() -> None:
    names = {group: {case.name for case in cases()} for group, cases in GROUPS.items()}
    timed = [each for each in targets.TARGETS if "case" in each and each["group"] not in report.PROCESSES]
    assert timed and all(each["case"] in names[each["group"]] for each in timed)
    assert len(targets.table(Rows([]))) == 2                                    # a head and no line
    for time, word in ((18.1, "met"), (17.9, "**missed**")):
        rows = [row(name, us, case="digits B32", group="conv") for name, us in
                (("fastnn", 1.0), ("torch", 90.0), ("torch channels_last", time))]
        assert targets.table(Rows(rows))[-1].split(" | ")[1:] == ["≥ 18×", f"{time}×", f"{word} |"]


def test_the_machine_s_own_second_thread_stands_beside() -> None:
    target = {"figure": "second_thread", "groups": ["g"], "flops": 5}
    rows = [row("fastnn", 30.0, flops=9), row("fastnn", 20.0, 2, flops=9), row("fastnn", 1.0, case="small", flops=1),
            row("fastnn", 1.0, 2, case="small", flops=1)]
    assert targets.second_thread(Rows(rows), target) == [(1.5, "c")]
    rows += [row("peak", 10.0, flops=1e6), row("peak", 12.5, 2, flops=2e6)]
    assert targets.second_thread(Rows(rows), target) == [(1.5, "c (the peak: 1.60×)")]
    callers = [row("fastnn 1 caller", 9.0), row("fastnn 2 callers", 6.0), row("fastnn 1 caller", 9.0, case="alone")]
    assert targets.second_caller(Rows(callers), {"group": "g"}) == [(1.5, "c")]


def test_flops_leave_out_the_padding() -> None:
    assert MLPS[1].flops() == 2 * 32 * (2 * 64 * 32 + 3 * 32 * 10)
    first, second, last = 8 * 22**2, 8 * 16 * 10**2, 64 * 10        # 3 taps in each of 8 places, but 2 at either end
    assert CONVOLUTIONAL[0].flops() == 2 * 32 * (2 * first + 3 * second + 3 * last)


def test_turns_and_what_is_called_before_them() -> None:
    said: list[str] = []
    turns = {name: Turn(partial(said.append, name), partial(said.append, f"before {name}")) for name in "ab"}
    timed = in_turns(turns, 0.0)
    order = [text[-1] for text in said if text.startswith("before")]
    assert order[4:] == ["a", "b"] * len(timed["a"].seconds)                    # four: how long does a call take?


def test_a_candidate_is_slow_beside_another_one_not_beside_a_limit() -> None:
    turns = {name: Turn(partial(sleep, seconds)) for name, seconds in
             (("fastnn, 1", 0.02), ("reference, 1", 0.3), ("copy, 1", 1e-4))}
    rounds = {name: len(timed.seconds) for name, timed in in_turns(turns, 0.0).items()}
    assert rounds == {"fastnn, 1": FEWEST_ROUNDS, "reference, 1": SLOW_ROUNDS, "copy, 1": FEWEST_ROUNDS}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells which threads run")
def test_a_round_begins_when_the_threads_of_the_one_before_sleep() -> None:
    ended: list[float] = []

    def spin() -> None:
        end = perf_counter() + 0.1
        while perf_counter() < end:
            pass
        ended.append(perf_counter())

    other = Thread(target=spin)
    other.start()
    turns = {"a": Turn(partial(ended.append, 0.0))}
    in_turns(turns, 0.0)
    other.join()
    assert ended[0] > 0                                         # the thread that spins has ended before the first call


def test_a_file_of_pytest_benchmark(tmp_path: Any) -> None:
    stats = {"data": [5e-6, 1e-6, 2e-6, 4e-6, 3e-6]}
    found = {"machine_info": {"fastnn": {"isa": "x"}}, "benchmarks": [{"extra_info": {"group": "g"}, "stats": stats}]}
    (tmp_path / "a.json").write_text(json.dumps(found))
    assert load(tmp_path / "a.json") == {"machine": {"isa": "x"}, "rows": [
        {"group": "g", "median_us": 3.0, "q1_us": 2.0, "q3_us": 4.0, "min_us": 1.0, "rounds": 5}]}


def test_a_busy_core_beside_the_run_is_reported() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with Others() as others:
            sleep(1)
    finally:
        busy.kill()
        busy.wait()
    assert others.cores is None or others.cores > 0.4           # at least what one of several programs gets
    assert not report.disturbance(Rows([row("fastnn", 1.0, others=0.03)]))
    assert "kept 0.8 cores busy" in report.disturbance(Rows([row("fastnn", 1.0, others=0.8)]))
    some = [row("fastnn", 1.0, case=name, others=cores) for name, cores in (("a", 0.03), ("b", 0.3), ("c", 0.04))]
    assert report.disturbance(Rows(some)) == "Other programs kept cores busy during some cases: g b (0.3)."


def test_how_far_cores_are_apart_is_reported() -> None:
    trip = machine.round_trip()
    assert trip is None or 5 < trip < 1e6
    near, far = (row("fastnn", 1.0, case=name, round_trip_ns=trip) for name, trip in (("a", 90), ("b", 420)))
    assert report.limits(Rows([near])).endswith(" From one core to the other and back: 90 to 90 ns.")
    assert report.limits(Rows([near, far])).endswith(" 90 to 420 ns. Two threads shared no cache during g b.")
    assert report.limits(Rows([far])).endswith(" Two threads shared no cache during all cases.")
    assert "core" not in report.limits(Rows([row("fastnn", 1.0, round_trip_ns=None)]))


def test_own_work_is_not_another_program_s(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(10.0, 2.0, 0.0), (13.0, 4.0, 2.0)])          # of 3 seconds of work 2 are our own, within 2 seconds
    monkeypatch.setattr(Others, "now", staticmethod(lambda: next(times)))
    with Others() as others:
        pass
    assert others.cores == pytest.approx(0.5)


def test_readme_has_two_machines_side_by_side() -> None:
    about: dict[str, Any] = {"cpu": "A", "cores": 2, "isa": "x86_v3", "compiler": "c", "commit": "1", "date": "d"}
    found = {isa: [row("fastnn", 2.0, case="n", group="steps"), row("torch", us, case="n", group="steps")]
             for isa, us in (("x86_v3", 8.0), ("x86_v4", 12.0))}
    results = [{"machine": about | {"isa": isa}, "rows": rows} for isa, rows in found.items()]
    text = report.readme(results)
    assert "prediction" not in text
    some = [row("fastnn", 2.0, case="n B1", group="predict"), row("onnxruntime", 5.0, case="n B1", group="predict")]
    found["x86_v3"] += [*some, row("fastnn", 9.0, case="n B4", group="predict")]
    alone = report.readme(results)
    assert "| n B1 | 2 µs | 2.50× |" in alone and "n B4" not in alone
    assert "| n | 2 µs / 2 µs | 4.0× / 6.0× |" in text and "First figure: A" in text and "x86_v4" in text


def test_the_ladders_page_shows_its_result() -> None:
    ladder = runpy.run_path(str(LADDER / "run.py"))
    page = (LADDER / "README.md").read_text("utf-8")
    assert f"<!-- ladder -->\n{ladder['table'](load(LADDER / 'result.json'))}\n<!-- /ladder -->" in page

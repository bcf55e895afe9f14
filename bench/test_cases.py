"""Every case: equality first, then time, all candidates in turns. ``pytest bench/ --only steps -k 64-32-10``."""

from typing import Any

import pytest

from bench.cases import Case
from bench.machine import PEAK_FLOPS, Others, round_trip
from bench.timing import measure


@pytest.mark.filterwarnings("default")              # other libraries' warnings are no errors here
def test_case(benchmark: Any, case: Case, request: pytest.FixtureRequest) -> None:
    option = request.config.getoption
    threads = [int(n) for n in option("--threads").split(",")]
    trip = None if benchmark.disabled or threads == [1] else round_trip()
    with Others() as others:
        times = measure(case, threads, option("--without").split(","),
                        0.0 if benchmark.disabled else option("--seconds"))
    benchmark.group, benchmark._mode, nodeid = str(case), "in turns", benchmark.fullname
    for name, timed in times.items():               # pytest-benchmark's own loop would time one after the other
        candidate, _, n = name.rpartition(", ")
        benchmark.name, benchmark.fullname = f"{candidate}, {n} thread{'s' * (n != '1')}", f"{nodeid} {name}"
        benchmark.extra_info = {
            "group": case.group, "case": case.name, "candidate": candidate, "threads": int(n), "bytes": case.bytes,
            "flops": PEAK_FLOPS * int(n) if candidate == "peak" else case.flops, "dtype": case.dtype,
            "others": others.cores, "round_trip_ns": trip}
        stats = benchmark._make_stats(timed.calls)
        for seconds in timed.seconds:
            stats.update(seconds * timed.calls)

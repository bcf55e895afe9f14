"""Short rounds, one thread by default, and a last table with the ratio of every group."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from bench.candidates import use_threads


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--threads", type=int, default=1, help="threads for every candidate (default 1)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_max_time = 0.05
    config.option.benchmark_disable_gc = True
    config.option.benchmark_columns = ["min", "median", "iqr", "rounds"]
    config.option.benchmark_sort = "name"


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> int:
    n: int = request.config.getoption("--threads")
    use_threads(n)
    return n


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The others' median over that of fastnn, for every group that has one."""
    groups: dict[str, dict[str, float]] = defaultdict(dict)
    for found in getattr(config, "_benchmarksession").benchmarks:      # noqa: B009 — the plugin's own name
        groups[found.group][found.extra_info["candidate"]] = found.stats.median
    if not groups:
        return
    terminalreporter.section("medians; in brackets how often fastnn fits in")
    for group, medians in groups.items():
        own = medians.get("fastnn")
        cells = (f"{name} {value * 1e6:.1f} µs" + (f" ({value / own:.1f}×)" if own and name != "fastnn" else "")
                 for name, value in medians.items())
        terminalreporter.write_line(f"{group:36} {', '.join(cells)}")

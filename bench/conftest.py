"""Short rounds, one thread by default, and a last table with the ratio of every group."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from bench.candidates import set_threads


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--threads", type=int, default=1, help="threads for every candidate (default 1)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_max_time = 0.05
    config.option.benchmark_disable_gc = True
    config.option.benchmark_columns = ["min", "median", "iqr", "rounds"]
    config.option.benchmark_sort = "name"


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> None:
    set_threads(request.config.getoption("--threads"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Slow over fast, by medians: the reference (or else NumPy) against every other candidate of the group."""
    groups: dict[str, dict[str, float]] = defaultdict(dict)
    for found in getattr(config, "_benchmarksession").benchmarks:      # noqa: B009 — the plugin's own name
        groups[found.group][found.extra_info["candidate"]] = found.stats.median
    if not groups:
        return
    terminalreporter.section("ratio of medians, reference (or NumPy) / fastnn")
    for group, medians in groups.items():
        base = next(name for name in ("fastnn_ref", "numpy") if name in medians)
        others = ", ".join(f"{name} {value * 1e6:.1f} µs" for name, value in medians.items())
        terminalreporter.write_line(f"{medians[base] / medians['fastnn']:7.1f}  {group:32} {others}")

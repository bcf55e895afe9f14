"""Every case of every group: equality first, then time. ``pytest bench/ -k "steps and 64-32-10"`` picks some."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.cases import Case
from bench.groups import GROUPS
from bench.measure import built, ready


def each() -> Iterator[Any]:
    """(case, candidate), named by group, case and candidate."""
    for group, cases in GROUPS.items():
        for case in cases():
            for name in case.candidates:
                yield pytest.param(case, name, id=f"{group}-{case.name}-{name}".replace(" ", "_"))


@pytest.mark.parametrize(("case", "name"), list(each()))
def test_case(benchmark: Any, case: Case, name: str, threads: int) -> None:
    first = next(iter(case.candidates))
    found = built(case.only(set(case.candidates) - {first, name}), [threads])
    if (name, threads) not in found:
        pytest.skip(f"{name} does not run here")
    benchmark.group, benchmark.extra_info["candidate"] = f"{case.group} {case.name}", name
    work = ready(found[name, threads])
    work()
    benchmark(found[name, threads].work)

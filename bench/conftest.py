"""Options of ``pytest bench/``, and how a case's times get into the tables and the JSON file of pytest-benchmark."""

from typing import Any

import pytest

from bench import machine
from bench.cases import GROUPS
from bench.peers import PEERS, installed


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bench")
    group.addoption("--only", default=",".join(GROUPS), metavar="GROUPS", help=f"some of {','.join(GROUPS)}")
    group.addoption("--threads", default="1", help="of every candidate, as 1,2 (default %(default)s)")
    group.addoption("--without", default="", metavar="CANDIDATES", help="as torch.compile,jax")
    group.addoption("--seconds", type=float, default=0.3, help="of a case (default %(default)s); 0: only compare")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_columns = ["median", "iqr", "min", "rounds"]


def pytest_report_header() -> list[str]:
    return [f"bench: {name} is not installed, its columns are missing" for name in PEERS if not installed(name)]


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["fastnn"] = machine.about()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        groups = metafunc.config.getoption("--only").split(",")
        cases = [case for name, group in GROUPS.items() if name in groups for case in group()]
        metafunc.parametrize("case", cases, ids=lambda case: str(case).replace(" ", "_"))

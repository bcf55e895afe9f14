"""A table of how far apart, class by class, from the comparisons that the tests make: ``pytest -q -p tests.agreement``.

Each figure is the worst error of a class's tests as a share of what tests/check.py allows:

    float64, float32    by dtype, of either package: against formulas, against the reference, against exact sums
    differences         gradients against central differences
    PyTorch             against PyTorch's layers, losses and optimizers
"""

from collections import defaultdict
from typing import Any

import pytest

import fastnn_ref
from tests import check

COLUMNS = ("float64", "float32", "differences", "PyTorch")
found: dict[str, dict[str, float]] = defaultdict(dict)


def class_of(case: Any) -> str | None:
    """The class that a case is about."""
    return getattr(case, "cls", None) or type(case.make(fastnn_ref)).__name__


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Takes down what the comparisons of one test saw; check.py keeps only the worst of all."""
    before = check._worst.copy()
    check._worst.update(dict.fromkeys(before, 0.0))
    try:
        return (yield)
    finally:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        for kind, (limit, worst) in check.seen().items():
            by_dtype = str(parameters.get("dtype", ""))
            column = ("PyTorch" if item.path.stem == "test_torch" else
                      "differences" if kind == "difference" else by_dtype.rpartition(".")[2])
            if worst and column in COLUMNS and hasattr(parameters.get("case"), "make"):
                row = found[str(class_of(parameters["case"]))]
                row[column] = max(row.get(column, 0.0), worst / limit)
            check._worst[kind] = max(before[kind], worst)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section("worst error as a share of what is allowed")
    terminalreporter.write_line("\n".join([f"{'':18}" + "".join(f"{name:>13}" for name in COLUMNS)] + [
        f"{name:18}" + "".join(f"{row[key]:13.0%}" if key in row else f"{'–':>13}" for key in COLUMNS)
        for name, row in sorted(found.items())]))

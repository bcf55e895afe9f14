"""Fewer rows than the full product: any two values of two factors meet in a test, once at least; and fewer tests.

A fault that needs one value of one factor, or two values of two factors, shows; most do. Factors that meet in one
piece of code (a kernel, its dtype and its instruction set) stay a product: ``"isa*dtype"`` is one factor here.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from tests.cases import CASES, Case, one_of_each_kind

PACKAGES = ("fastnn_ref", "fastnn")
DTYPES = ("float64", "float32")


def instruction_sets() -> list[str]:
    """What this machine runs of what is built."""
    try:
        from fastnn import _kernels
    except ImportError:  # not built: the tests that need it fail by themselves, the reference's still run
        return ["portable"]
    return list(_kernels.available())


def pairs(*sizes: int) -> list[list[int]]:
    """Rows of indices, row[f] < sizes[f], that hold every pair of two factors: greedy, the same ones every time."""
    pair = list(combinations(range(len(sizes)), 2))
    missing = dict.fromkeys((f, a, g, b) for f, g in pair for a in range(sizes[f]) for b in range(sizes[g]))
    used = [[0] * size for size in sizes]
    rows = []
    while missing:
        f, a, g, b = next(iter(missing))
        row = {f: a, g: b}

        def gain(h: int, c: int, row: dict[int, int] = row) -> tuple[int, int, int]:
            met = sum(((f, a, h, c) if f < h else (h, c, f, a)) in missing for f, a in row.items())
            return met, -used[h][c], -c

        for h in range(len(sizes)):
            if h not in row:
                row[h] = max(range(sizes[h]), key=lambda c, h=h: gain(h, c))
        rows.append([row[h] for h in range(len(sizes))])
        for h, c in enumerate(rows[-1]):
            used[h][c] += 1
        for f, g in pair:
            missing.pop((f, row[f], g, row[g]), None)
    return rows


def label(value: Any) -> str:
    """A value in a test's id: a case has a name."""
    if isinstance(value, Path):
        return f"{value.parent.name}/{value.name}"
    return str(getattr(value, "name", value)).replace(" ", "")


def pairwise(*fixtures: str, **factors: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrises a test: ``fixtures`` are "nn", "dtype", "isa" or a product of them, ``factors`` its own arguments.

    @pairwise("nn", "isa*dtype", loss=LOSSES, optimizer=OPTIMIZERS)
    """
    known = {"nn": PACKAGES, "dtype": DTYPES, "isa": instruction_sets()}
    groups = [tuple(each.split("*")) for each in fixtures] + [(name,) for name in factors]
    values = [list(product(*(known.get(name) or factors[name] for name in group))) for group in groups]
    names = [name for group in groups for name in group]
    rows = [sum((values[f][i] for f, i in enumerate(row)), ()) for row in pairs(*map(len, values))]
    return pytest.mark.parametrize(
        names, rows, ids=["-".join(map(label, row)) for row in rows], indirect=[n for n in names if n in known])


def beside(*factors: Sequence[Any]) -> list[Any]:
    """Rows of factors that meet in no piece of code: each value of each factor once at least."""
    count = max(map(len, factors))
    rows = [tuple(values[i % len(values)] for values in factors) for i in range(count)]
    return [pytest.param(*row, id="-".join(map(label, row))) for row in rows]


def every(**factors: Sequence[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The full product in one test: for checks that take less time than what pytest does around a test.

    All rows are tried, and each that fails is named. What a fixture gives is the same one for all.
    """
    rows = [dict(zip(factors, row, strict=True)) for row in product(*factors.values())]
    assert rows, factors

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def test(**fixtures: Any) -> None:
            failed = []
            for row in rows:
                try:
                    function(**fixtures, **row)
                except Exception as error:      # raised below, with all others
                    error.add_note(", ".join(f"{name}: {label(value)}" for name, value in row.items()))
                    failed.append(error)
            if failed:
                raise ExceptionGroup(f"{len(failed)} of {len(rows)} fail", failed)

        before = inspect.signature(function)
        fixtures = [parameter for parameter in before.parameters.values() if parameter.name not in factors]
        test.__signature__ = before.replace(parameters=fixtures)    # type: ignore[attr-defined]  # pytest reads it
        return test

    return decorate


@functools.cache
def kinds() -> list[Case]:
    import fastnn_ref
    return one_of_each_kind(fastnn_ref)


def others() -> list[Case]:
    return [case for case in CASES if case not in kinds()]


# Tests that go through all cases take ``cases``, which gives one of each kind; those that differ in numbers are slow.
of_each_kind = pytest.mark.parametrize("cases", [
    pytest.param(kinds, id="kinds"), pytest.param(others, id="others", marks=pytest.mark.slow)])

# The full product as a chessboard: the fields of one colour by default, the others are slow (conftest.py marks them).
# So each value of a factor meets each of another one by default, too, wherever a third factor has two values or more.
chequered = pytest.mark.chequered

# Of code that stands once, in fastnn_ref/shared: test_mirror proves that both packages show the same object.
once = pytest.mark.parametrize("nn", PACKAGES[:1], indirect=True)

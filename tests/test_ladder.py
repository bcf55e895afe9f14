"""The ladder of docs/kernels.md: every rung is relu(x @ w + b), and the last ones have the engine's bits."""

import re
from pathlib import Path

import pytest

from bench import ladder
from tests.check import same

SIZES = [(1, 1, 1), (2, 5, 15), (8, 256, 48), (37, 521, 131), (19, 263, 1201)]
AS_THE_ENGINE = ("6 fused", "6 fused, w in place", "7 threaded", "fastnn")


@pytest.fixture(params=SIZES, ids=str)
def size(request):
    return request.param


@pytest.fixture
def calls(isa, size):
    """(arrays, calls) with one thread and with two; skipped without a C compiler."""
    for vectors in (False, True):
        if ladder.library(isa, vectors) is None:
            pytest.skip("the ladder needs a C compiler (cc or $CC) that takes GCC's vectors")
    arrays = ladder.operands(size)
    return arrays, ladder.calls([*ladder.RUNGS, *ladder.PACKING], isa, arrays, [1, 2])


def test_every_rung_is_the_product(calls):
    arrays, found = calls
    assert {rung.name for rung in [*ladder.RUNGS, *ladder.PACKING]} - {name for name, _ in found} <= {"fastnn"}
    for (name, threads), call in found.items():
        ladder.check(f"{name}, {threads} threads", call(), arrays)


def test_the_last_rungs_have_the_bits_of_the_engine(fast, calls):
    (x, w, b), found = calls
    want = fast._kernels.gemm(x, w, b, "relu")
    for (name, threads), call in found.items():
        if name in AS_THE_ENGINE:
            same(call(), want, f"{name}, {threads} threads")


def test_the_page_shows_every_rung():
    page = (Path(ladder.__file__).parents[1] / "docs" / "kernels.md").read_text()
    table = re.search("<!-- ladder -->(.*)<!-- /ladder -->", page, re.DOTALL)
    for rung in ladder.RUNGS:
        assert f"| {rung.name} |" in table[1], rung.name
        assert f"`{rung.function}`" in page, rung.function

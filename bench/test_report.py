"""What the report makes of rows, on rows made up: nothing is timed here."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench.nets import CONVOLUTIONAL, MLPS
from bench.rows import Rows, exponent
from bench.targets import LINES, TORCH, ahead
from bench.timing import Turn, turns


def row(candidate: str, us: float, threads: int = 1, case: str = "c", group: str = "g", **more: Any) -> dict[str, Any]:
    """A row of one case."""
    return {"group": group, "case": case, "candidate": candidate, "threads": threads, "median_us": us, "flops": 0.0,
            "bytes": 0.0, "dtype": "float32", **more}


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0])
def test_exponent(p: float) -> None:
    sizes = [1.0, 2.0, 5.0, 7.0, 20.0, 50.0]
    assert exponent(sizes, [3 * size**p for size in sizes]) == pytest.approx(p)
    assert exponent(sizes, [1e6, 1e6, 1e6] + [3 * size**p for size in sizes[3:]]) == pytest.approx(p)


def test_rates_and_shares() -> None:
    rows = Rows([row("fastnn", 2.0, flops=1e5, bytes=4e4), row("peak", 10.0, flops=1e6), row("copy", 1.0, bytes=4e4),
                 row("torch", 5.0, flops=1e5)])
    assert rows.candidates("g", 1) == ["fastnn", "torch"]
    assert rows.rate("g", "c", "fastnn") == pytest.approx(50)              # 1e5 flops in 2 µs
    assert rows.share("g", "c") == pytest.approx(0.5)                      # of 100 GFLOP/s
    assert rows.share("g", "c", of="bytes") == pytest.approx(0.5)
    assert rows.ratio("g", "c", "torch") == pytest.approx(2.5)
    assert rows.time("g", "c", "numpy") is None and rows.share("g", "c", "numpy") is None


def test_a_target_takes_the_better_peer_and_is_missed_by_less() -> None:
    net = CONVOLUTIONAL[0]
    line = ahead("conv", net, TORCH, "PyTorch", 20)

    def figure(other: float) -> Any:
        return line.figure(Rows([row("fastnn", 1.0, case=str(net), group="conv"),
                                 row("torch", 90.0, case=str(net), group="conv"),
                                 row("torch channels_last", other, case=str(net), group="conv")]), 1)

    assert figure(20.0).met and figure(20.0).value == pytest.approx(20)
    assert not figure(19.9).met
    assert line.figure(Rows([]), 1) is None


def test_every_line_says_nothing_of_no_rows() -> None:
    assert all(line.figure(Rows([]), threads) is None for line in LINES for threads in (1, 2))


def test_flops_of_a_step() -> None:
    assert MLPS[1].flops() == 2 * 32 * (2 * 64 * 32 + 3 * 32 * 10)
    conv = [(8, 1 * 9, 64), (16, 8 * 9, 16)]                                # filters, taps, pixels
    forward = [2 * 32 * math.prod(each) for each in conv] + [2 * 32 * 64 * 10]
    assert CONVOLUTIONAL[0].flops() == 3 * sum(forward) - forward[0]


def test_turns_are_taken_in_order_after_what_must_hold() -> None:
    said: list[str] = []

    def turn(name: str) -> Turn:
        return Turn(lambda: said.append(name), lambda: said.append(f"before {name}"))

    found = turns({name: turn(name) for name in "ab"})
    order = [text[-1] for text in said if text.startswith("before")]
    assert order[4:] == ["a", "b"] * found["a"].rounds                     # four: how long does each take?
    assert found["a"].minimum <= found["a"].median

"""Whole training steps: in one call, by hand, and a whole epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.candidates import NETS, Net, by_hand, epoch, epoch_candidates, step, step_candidates
from bench.test_kernels import PACKAGES, timed


def equal(net: Net) -> None:
    """Five steps of both packages end at the same loss."""
    reference, engine = (step(name)(net) for name in PACKAGES)
    for _ in range(5):
        np.testing.assert_allclose(engine(), reference(), rtol=1e-3)


@pytest.mark.parametrize("net", NETS, ids=str)
@pytest.mark.parametrize("candidate", step_candidates())
def test_step(benchmark: Any, candidate: str, net: Net) -> None:
    equal(net)
    work = step_candidates()[candidate](net)
    work()
    timed(benchmark, f"step {net}", candidate, work)


@pytest.mark.parametrize("net", NETS, ids=str)
@pytest.mark.parametrize("name", PACKAGES)
def test_by_hand(benchmark: Any, name: str, net: Net) -> None:
    one, two = by_hand(name)(net), step(name)(net)
    for _ in range(5):
        assert one() == two()
    timed(benchmark, f"by hand {net}", name, one)


@pytest.mark.parametrize("net", NETS, ids=str)
@pytest.mark.parametrize("candidate", epoch_candidates())
def test_epoch(benchmark: Any, candidate: str, net: Net) -> None:
    one, two = (epoch(name)(net) for name in PACKAGES)
    np.testing.assert_allclose(one(), two(), rtol=1e-3)
    timed(benchmark, f"epoch of 20 {net}", candidate, epoch_candidates()[candidate](net))

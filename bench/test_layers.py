"""Every case of the tests, forward and backward, reference and engine: small shapes, so this is what a call costs.

Then a step under each penalty, and an epoch with mixup: what they do is a part of those.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.nets import Array, package
from bench.timing import Work
from tests.cases import CASES, PENALTIES

PACKAGES = ["fastnn_ref", "fastnn"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", PACKAGES)
def test_layer(benchmark: Any, name: str, case: Any) -> None:
    x = np.random.default_rng(0).normal(size=case.shape).astype(np.float32)
    models = {key: package(key).Sequential(case.make(package(key)), seed=0, dtype="float32") for key in PACKAGES}
    dy = np.ones_like(models["fastnn"].forward(x))

    def work(model: Any = models[name]) -> Any:
        model.steps = 0                 # the same masks each time
        model.forward(x, training=True)
        return model.backward(dy)

    np.testing.assert_allclose(work(), work(models["fastnn_ref"]), rtol=1e-4, atol=1e-4)
    benchmark.group, benchmark.extra_info["candidate"] = case.name, name
    benchmark(work)


def step(name: str, case: Any) -> Work:
    """A step of either package under a penalty."""
    nn, (x, t) = package(name), data(64)
    model = nn.Sequential(*layers(nn), seed=0, dtype="float32", penalty=case.make(nn))
    loss, optimizer = nn.CrossEntropyLoss(), nn.SGD(lr=0.01)
    return lambda: model.step(x, t, loss, optimizer)


def epoch(name: str) -> Work:
    """An epoch of ten batches with mixup."""
    nn, (x, t) = package(name), data(640)
    model = nn.Sequential(*layers(nn), seed=0, dtype="float32")
    loss, optimizer = nn.CrossEntropyLoss(), nn.SGD(lr=0.01)
    return lambda: model.run_epoch(x, t, loss, optimizer, batch_size=64, mixup=0.4)


def layers(nn: Any) -> tuple[Any, ...]:
    return nn.Linear(64, 128, activation="relu"), nn.Linear(128, 10)


def data(rows: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 64)).astype(np.float32), rng.integers(10, size=rows)


def timed(benchmark: Any, group: str, name: str, work: Work, reference: Work) -> None:
    """Three calls of both give the same losses; then it is timed."""
    np.testing.assert_allclose([work() for _ in range(3)], [reference() for _ in range(3)], rtol=1e-4)
    benchmark.group, benchmark.extra_info["candidate"] = group, name
    benchmark(work)


@pytest.mark.parametrize("case", PENALTIES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", PACKAGES)
def test_penalty(benchmark: Any, name: str, case: Any) -> None:
    timed(benchmark, f"step with {case.name} 64-128-10 B64", name, step(name, case), step("fastnn_ref", case))


@pytest.mark.parametrize("name", PACKAGES)
def test_mixup(benchmark: Any, name: str) -> None:
    timed(benchmark, "epoch of 10 with mixup 64-128-10 B64", name, epoch(name), epoch("fastnn_ref"))

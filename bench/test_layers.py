"""Every case of the tests, forward and backward, reference and engine: small shapes, so this is what a call costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.nets import package
from tests.cases import CASES

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

"""Products, activations, losses and optimizers, reference and engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.candidates import PRODUCTS, package, product_candidates, product_operands
from tests.cases import ACTIVATIONS, LOSSES, OPTIMIZERS

PACKAGES = ["fastnn_ref", "fastnn"]


def timed(benchmark: Any, group: str, candidate: str, work: Any) -> None:
    """Times ``work`` beside the others of its group."""
    benchmark.group, benchmark.extra_info["candidate"] = group, candidate
    benchmark(work)


@pytest.mark.parametrize("size", PRODUCTS, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("candidate", product_candidates())
def test_product(benchmark: Any, candidate: str, size: tuple[int, int, int]) -> None:
    work = product_candidates()[candidate](size)
    x, w, b = product_operands(size)
    bound = 4 * size[1] * np.finfo(np.float32).eps * (np.abs(x) @ np.abs(w) + np.abs(b))
    assert (np.abs(np.asarray(work()) - np.maximum(x @ w + b, 0)) <= bound).all()
    timed(benchmark, f"relu(x @ W + b) {size}", candidate, work)


@pytest.mark.parametrize("case", ACTIVATIONS, ids=lambda case: case.name)
@pytest.mark.parametrize("name", PACKAGES)
def test_activation(benchmark: Any, name: str, case: Any) -> None:
    x = np.random.default_rng(0).normal(size=(64, 512)).astype(np.float32)
    models = {key: package(key).Sequential(case.make(package(key)), dtype="float32") for key in PACKAGES}
    dy = np.ones_like(x)

    def work(model: Any = models[name]) -> Any:
        model.forward(x, training=True)
        return model.backward(dy)

    np.testing.assert_allclose(work(), work(models["fastnn_ref"]), rtol=1e-5, atol=1e-5)
    timed(benchmark, f"{case.name} 64x512", name, work)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", PACKAGES)
def test_loss(benchmark: Any, name: str, case: Any) -> None:
    rng = np.random.default_rng(0)
    y, t = rng.normal(size=(64, 10)).astype(np.float32), case.targets(rng, 64, 10)
    t = t if t.dtype.kind == "i" else t.astype(np.float32)
    loss, reference = case.make(package(name)), case.make(package("fastnn_ref"))
    np.testing.assert_allclose(loss(y, t), reference(y, t), rtol=1e-5)
    timed(benchmark, f"loss {case.name} 64x10", name, lambda: (loss.forward(y, t), loss.backward()))


@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)
@pytest.mark.parametrize("name", PACKAGES)
def test_optimizer(benchmark: Any, name: str, case: Any) -> None:
    after = {}
    for key in {name, "fastnn_ref"}:
        nn = package(key)
        model, optimizer = nn.Sequential(nn.Linear(512, 512), seed=0, dtype="float32"), case.make(package(key))
        model.layers[0].grads["weight"][...] = 0.01
        optimizer.step(model)
        after[key] = model, optimizer, model.layers[0].weight.copy()
    np.testing.assert_allclose(after[name][2], after["fastnn_ref"][2], rtol=1e-5, atol=1e-6)
    model, optimizer, _ = after[name]
    timed(benchmark, f"optimizer {case.name} 262,656", name, lambda: optimizer.step(model))

"""NaN and infinity: they come out of the engine where they come out of the book, and nowhere else."""

import itertools

import numpy as np
import pytest

from tests.cases import CASES, LOSSES
from tests.check import normal, randomise_biases
from tests.pairwise import pairwise

VALUES = (np.nan, np.inf, -np.inf)


def kinds(values):
    """0 for a finite number, else which of the three it is."""
    return np.select([np.isnan(values), np.isposinf(values), np.isneginf(values)], [1, 2, 3], 0)


def spoilt(values, value):
    """A copy with one such element, in the middle."""
    values = np.array(values)
    values.flat[values.size // 2] = value
    return values


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=[case.name for case in CASES])
def test_layer(ref, fast, number, case):
    """In x, and in dy; one dtype for NaN and the other one for the infinities, in turn."""
    models = {}
    for dtype in ("float64", "float32"):
        engine = fast.Sequential(case.make(fast), seed=5, dtype=dtype)
        book = ref.Sequential(case.make(ref), seed=5, dtype="float64")
        randomise_biases(engine)
        models[dtype] = engine, book, engine.state_dict()
    pairs = {}
    for value, where in itertools.product(VALUES, ("x", "dy")):
        dtype = ("float64", "float32")[(number + np.isnan(value)) % 2]
        x, found = normal(case.shape, dtype), []
        for model in models[dtype][:2]:
            model.load_state_dict(models[dtype][2])
            y = model.forward(spoilt(x, value) if where == "x" else x, training=True)
            dy = normal(y.shape, dtype, seed=1)
            dx = model.backward(spoilt(dy, value) if where == "dy" else dy)
            found.append({"y": y, "dx": dx} | {name: g.copy() for name, g in model.grads.items()} | {
                f"state {name}": values for name, values in model.state_dict().items()} | {"prediction": model(x)})
        pairs |= {f"{name}, {value} in {where}": (got, found[1][name]) for name, got in found[0].items()}
    for note, (got, want) in pairs.items():
        got, want = kinds(got), kinds(want)
        assert (got == want).all(), note


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
@pairwise("dtype", case=LOSSES, value=VALUES)
def test_loss(ref, fast, dtype, case, value):
    t = case.targets(np.random.default_rng(3), 5, 4)
    y = spoilt(normal((5, 4), dtype), value)
    engine, book = case.make(fast), case.make(ref)
    t = t.astype(dtype) if t.dtype.kind == "f" and case.targets.__name__ != "rows" else t
    assert kinds(engine(y, t)) == kinds(book(y.astype(float), t))
    assert (kinds(engine.backward()) == kinds(book.backward())).all()

"""Initial weights: each initialiser's distribution, and that a seed means the same for ever."""

import math

import numpy as np
import pytest

from tests import oracle
from tests.cases import ACTIVATIONS
from tests.check import C, close, same
from tests.pairwise import once

SHAPE = (211, 97)  # fan_in, fan_out
SPREAD = {  # name -> standard deviation (LeCun 1998, Glorot 2010, He 2015)
    "he_uniform": math.sqrt(2 / 211),
    "he_normal": math.sqrt(2 / 211),
    "glorot_uniform": math.sqrt(2 / (211 + 97)),
    "glorot_normal": math.sqrt(2 / (211 + 97)),
    "lecun_uniform": math.sqrt(1 / 211),
    "lecun_normal": math.sqrt(1 / 211),
}


@once
@pytest.mark.parametrize("name", SPREAD)
def test_spread(nn, name):
    w = nn.init.create(name, SHAPE, 1, 0, np.float64)
    n, sigma = w.size, SPREAD[name]
    kurtosis = 1.8 if "uniform" in name else 3.0
    assert w.shape == SHAPE
    assert abs(w.mean()) < 5 * sigma / n**0.5
    assert abs(w.var() / sigma**2 - 1) < 5 * ((kurtosis - 1) / n) ** 0.5
    assert abs(np.mean((w / sigma) ** 4) - kurtosis) < 0.2
    if "uniform" in name:
        assert np.abs(w).max() <= math.sqrt(3) * sigma


@once
@pytest.mark.parametrize("name", ["he_uniform", "glorot_uniform", "lecun_uniform"])
def test_uniform_weights_are_these(nn, name):
    got = nn.init.create(name, (5, 3), 7, 4, np.float64)
    fans = {"he_uniform": 6 / 5, "glorot_uniform": 6 / 8, "lecun_uniform": 3 / 5}
    want = np.reshape([(2 * u - 1) * math.sqrt(fans[name]) for u in oracle.uniform(15, 7, 0, 4)], (5, 3))
    close("elementwise", got, want, np.full((5, 3), math.sqrt(fans[name])))


@once
@pytest.mark.parametrize(("name", "value"), [("zeros", 0.0), ("ones", 1.0)])
def test_constant(nn, dtype, name, value):
    same(nn.init.create(name, (3, 5), 0, 0, dtype), np.full((3, 5), value, dtype))


@once
@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (31, 17), (17, 31), (1, 5)])
def test_orthogonal(nn, shape):
    w = nn.init.create("orthogonal", shape, 3, 0, np.float64)
    assert w.shape == shape
    gram = w @ w.T if shape[0] < shape[1] else w.T @ w
    close("product", gram, np.eye(min(shape)), np.full(gram.shape, 10.0 * max(shape)))


@once
def test_float32_is_the_rounded_float64(nn):
    for name in SPREAD:
        same(
            nn.init.create(name, (5, 7), 1, 2, np.float32),
            nn.init.create(name, (5, 7), 1, 2, np.float64).astype(np.float32),
        )


GLOROT = ["identity", "tanh", "sigmoid", "softplus", "softmax", "log_softmax"]


@pytest.mark.parametrize("activation", [case.name for case in ACTIVATIONS if case.name not in GLOROT])
def test_he_before_the_relu_family(nn, activation):
    layer = nn.Linear(50, 30, activation=activation)
    nn.Sequential(layer)
    assert 0.98 * math.sqrt(6 / 50) < np.abs(layer.weight).max() <= math.sqrt(6 / 50) * (1 + 1e-6)


@pytest.mark.parametrize("activation", [None, *GLOROT])
def test_glorot_otherwise(nn, activation):
    layer = nn.Linear(50, 30, activation=activation)
    nn.Sequential(layer)
    assert 0.98 * math.sqrt(6 / 80) < np.abs(layer.weight).max() <= math.sqrt(6 / 80) * (1 + 1e-6)


def test_named_initialiser(nn):
    layer = nn.Linear(5, 5, init="orthogonal")
    model = nn.Sequential(layer, dtype="float64")           # a model that nobody keeps is gone at once
    assert model.layers == (layer,)
    assert np.abs(layer.weight.T @ layer.weight - np.eye(5)).max() < C["product"] * 1e-13


def test_biases_are_zero(nn):
    for activation in (None, "relu", "tanh"):
        model = nn.Sequential(nn.Linear(3, 7, activation=activation))
        same(model.state_dict()["0.bias"], np.zeros(7, model.dtype))


def test_each_parameter_has_its_stream(nn):
    """Depth first, biases count: the second weight below is parameter 2, the one after the missing bias 5."""
    inner = nn.Sequential(nn.Linear(4, 2, init="he_uniform"), nn.Tanh())
    model = nn.Sequential(
        nn.Linear(3, 4, init="he_uniform"),
        inner,
        nn.Linear(2, 5, bias=False, init="he_uniform"),
        nn.Linear(5, 3, init="he_uniform"),
        seed=11,
        dtype="float64",
    )
    got = model.state_dict()
    for name, stream in [("0.weight", 0), ("1.0.weight", 2), ("2.weight", 4), ("3.weight", 5)]:
        w = got[name]
        want = np.reshape([(2 * u - 1) * math.sqrt(6 / len(w)) for u in oracle.uniform(w.size, 11, 0, stream)], w.shape)
        close("elementwise", w, want, np.full(w.shape, math.sqrt(6 / len(w))), name)


def test_seed_decides(nn):
    def weights(seed):
        return nn.Sequential(nn.Linear(3, 5), seed=seed).state_dict()["0.weight"]

    same(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))
    assert not np.array_equal(weights(1), weights(1 + 2**32))

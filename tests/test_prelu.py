"""PReLU: the formula, by NumPy's maximum and minimum; one slope for all values, or one for each channel."""

import numpy as np
import pytest

from tests.cases import SLOPES, Case
from tests.check import check_against_reference, check_gradient, close, normal, same
from tests.pairwise import chequered

LARGE = [                   # sums in several blocks, and more channels than a vector holds
    Case("prelu 300x203", lambda nn: nn.PReLU(203), (300, 203)),
    Case("prelu shared 19x1031", lambda nn: nn.PReLU(), (19, 1031)),
    Case("prelu 5x3x29x31", lambda nn: nn.PReLU(3), (5, 3, 29, 31)),
]


def name_of(case):
    return case.name


@pytest.mark.parametrize("case", SLOPES, ids=name_of)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", SLOPES + LARGE, ids=name_of)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2), (2, 3, 5, 7)])
def test_formula(nn, shape, channels):
    """max(0, x) + a · min(0, x), and da = Σ dy · min(0, x) over all axes but the channels'."""
    layer = nn.PReLU(channels, init=0.3)
    model = nn.Sequential(layer, dtype="float64")
    same(layer.weight, np.full(channels, 0.3))
    layer.weight = normal((channels,), seed=3)
    x, dy = normal(shape), normal(shape, seed=1)
    a = layer.weight.reshape(-1, *(1,) * (len(shape) - 2))
    y = np.maximum(x, 0) + a * np.minimum(x, 0)
    close("elementwise", model.forward(x, training=True), y, np.abs(y))
    close("elementwise", model.backward(dy), dy * np.where(x > 0, 1, a), np.abs(dy))
    terms = np.moveaxis(dy * np.minimum(x, 0), 1, 0).reshape(channels, -1)      # (channels or 1, all others)
    close("sum", layer.grads["weight"], terms.sum(axis=1), np.abs(terms).sum(axis=1))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_infinite_gradient_where_x_is_positive(nn, dtype, channels):
    """Such a value has no part in the slope's gradient: ∞ · 0 would make it NaN."""
    model = nn.Sequential(nn.PReLU(channels), dtype=dtype)
    model.forward(np.array([[1.0, -2.0, 3.0]]), training=True)
    dx = model.backward(np.array([[np.inf, 1.0, np.inf]]))
    assert dx.tolist() == [[np.inf, 0.25, np.inf]]
    assert model.grads["0.weight"].tolist() == ([-2.0] if channels == 1 else [0.0, -2.0, 0.0])


def test_weight_decay_leaves_the_slope(nn):
    """With a gradient of 0 the slope stays 0.25, as its paper wants it."""
    model = nn.Sequential(nn.PReLU(), dtype="float64", penalty=nn.L2(0.5))
    model.step(np.ones((2, 3)), np.ones((2, 3)), nn.MSELoss(), nn.SGD(lr=0.1, weight_decay=0.5))
    assert model.layers[0].weight.tolist() == [0.25]

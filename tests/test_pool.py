"""Pooling and Flatten: which pixels a window sees, who gets the gradient, ties, padding, NaN."""

import numpy as np
import pytest

from tests.cases import POOLS
from tests.check import check_against_reference, check_gradient, normal, same
from tests.pairwise import pairwise


@pytest.mark.parametrize("case", POOLS, ids=lambda case: case.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@pytest.mark.parametrize("case", POOLS, ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@pairwise(
    "nn", "dtype", cls=["MaxPool2d", "AvgPool2d"],
    window=[(2, 2, 0), (3, 2, 1), (3, 1, 1), ((1, 4), (2, 3), (0, 2))],
)  # fmt: skip
def test_formula(nn, dtype, cls, window):
    kernel, stride, padding = window
    x = normal((2, 3, 7, 9), dtype)
    y = nn.Sequential(getattr(nn, cls)(kernel, stride, padding), dtype=dtype)(x)
    (kh, kw), (sh, sw), (ph, pw) = (v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, padding))
    assert y.shape == (2, 3, (7 + 2 * ph - kh) // sh + 1, (9 + 2 * pw - kw) // sw + 1)
    for i, j in np.ndindex(y.shape[2:]):
        top, left = i * sh - ph, j * sw - pw
        window = x[:, :, max(top, 0):top + kh, max(left, 0):left + kw].astype(np.float64)
        want = window.max(axis=(2, 3)) if cls == "MaxPool2d" else window.sum(axis=(2, 3)) / (kh * kw)
        assert np.abs(y[:, :, i, j] - want).max() < 1e-6


def test_the_first_of_equals_gets_the_gradient(nn, dtype):
    """All of it, once: a gradient shared or counted twice would not be one of the maximum's."""
    model = nn.Sequential(nn.MaxPool2d(2), dtype=dtype)
    model.forward(np.ones((1, 1, 4, 4)), training=True)
    dx = model.backward(np.arange(1.0, 5.0).reshape(1, 1, 2, 2))
    same(dx[0, 0], np.array([[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]], dtype))


def test_padding_never_wins(nn, dtype):
    x = -5 - np.abs(normal((1, 2, 3, 3), dtype))
    y = nn.Sequential(nn.MaxPool2d(3, 1, 1), dtype=dtype)(x)
    assert (y < -4).all()
    low = np.full((1, 1, 3, 3), -np.inf, dtype)
    same(nn.Sequential(nn.MaxPool2d(3, 1, 1), dtype=dtype)(low), low)


def test_nan_and_infinity(nn, dtype):
    x = np.array(normal((1, 1, 4, 6), dtype))
    x[0, 0, 1, 1], x[0, 0, 0, 0] = np.nan, np.inf
    x[0, 0, 2, 3] = -np.inf
    model = nn.Sequential(nn.MaxPool2d(2), dtype=dtype)
    y = model.forward(x, training=True)
    assert np.isnan(y[0, 0, 0, 0])
    assert np.isfinite(y[0, 0].ravel()[1:]).all()
    dx = model.backward(np.ones((1, 1, 2, 3)))
    assert dx[0, 0, 1, 1] == 1
    assert dx.sum() == 6


def test_overlapping_windows_add_up(nn, dtype):
    x = np.zeros((1, 1, 3, 3), dtype)
    x[0, 0, 1, 1] = 1
    model = nn.Sequential(nn.MaxPool2d(2, stride=1), dtype=dtype)
    model.forward(x, training=True)
    same(model.backward(np.ones((1, 1, 2, 2))), 4 * x)


def test_flatten_and_back(nn, dtype):
    x = normal((3, 2, 4, 5), dtype)
    model = nn.Sequential(nn.Flatten(), dtype=dtype)
    same(model.forward(x, training=True), x.reshape(3, 40))
    same(model.backward(x.reshape(3, 40)), x)
    assert nn.Sequential(nn.Flatten())(normal((3, 4))).shape == (3, 4)
    assert nn.Sequential(nn.Flatten())(normal((3,))).shape == (3, 1)

"""Upsample: which pixels a new one looks at; sizes; the transpose."""

import numpy as np
import pytest

from tests.cases import UPSAMPLED
from tests.check import check_against_reference, check_gradient, normal, same
from tests.pairwise import chequered


@pytest.mark.parametrize("case", UPSAMPLED, ids=lambda case: case.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", UPSAMPLED, ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


def test_nearest_repeats_pixels(nn, dtype):
    x = normal((17, 2, 3, 4), dtype)
    model = nn.Sequential(nn.Upsample(scale_factor=(2, 3)), dtype=dtype)
    same(model.forward(x, training=True), x.repeat(2, axis=2).repeat(3, axis=3))
    same(model.backward(np.ones((17, 2, 6, 12), dtype)), np.full(x.shape, 6, dtype))


@pytest.mark.parametrize(("old", "new"), [(3, 7), (7, 3), (1, 4), (4, 1), (5, 5)])
def test_nearest_between_sizes(nn, old, new):
    x = np.arange(old, dtype=float).reshape(1, 1, old, 1)
    assert nn.Upsample((new, 1))(x).ravel().tolist() == [i * old // new for i in range(new)]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("old", "new"), [(3, 7), (7, 3), (2, 4), (1, 4), (6, 1)])
def test_bilinear_is_the_line_through_the_pixels(nn, old, new, align_corners):
    """Centres of pixels at i + ½ of their width, or first and last pixel in place; outside, the last pixel."""
    x = normal((old,), "float64")
    model = nn.Sequential(nn.Upsample((1, new), mode="bilinear", align_corners=align_corners), dtype="float64")
    i = np.arange(new)
    places = i * (old - 1) / max(new - 1, 1) if align_corners else (i + 0.5) * old / new - 0.5
    want = np.interp(places, np.arange(old), x)
    assert np.abs(model(x.reshape(1, 1, 1, old)).ravel() - want).max() < 1e-14


def test_rows_and_columns_apart(nn):
    """A plane of a·row + b·column stays one."""
    rows, cols = np.mgrid[:4, :5].astype(float)
    model = nn.Sequential(nn.Upsample((7, 9), mode="bilinear", align_corners=True), dtype="float64")
    more_rows, more_cols = np.mgrid[:7, :9] / 2
    got = model((2 * rows - 3 * cols).reshape(1, 1, 4, 5))[0, 0]
    assert np.abs(got - (2 * more_rows - 3 * more_cols)).max() < 1e-13


def test_a_factor_is_kept_as_it_is(nn):
    """3 · 1.5 is 4 pixels, but they are 1 / 1.5 apart, not 3 / 4: PyTorch's rule."""
    x = np.array([[[[0.0, 1.0, 2.0]]]])
    assert nn.Upsample(scale_factor=(1, 1.5), mode="bilinear")(x).ravel() == pytest.approx([0, 0.5, 7 / 6, 11 / 6])

"""Flatten and Unflatten: the same values in the same order, and no copy in the engine."""

import tracemalloc

import pytest

from tests.cases import RESHAPED
from tests.check import check_against_reference, check_gradient, normal, same
from tests.pairwise import chequered


@pytest.mark.parametrize("case", RESHAPED, ids=lambda case: case.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@pytest.mark.parametrize("case", RESHAPED, ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@chequered
@pytest.mark.parametrize(("cls", "arguments", "shape", "wanted"), [
    ("Flatten", (), (2, 3, 4, 5), (2, 60)),
    ("Flatten", (2,), (2, 3, 4, 5), (2, 3, 20)),
    ("Flatten", (-2, -1), (2, 3, 4, 5), (2, 3, 20)),
    ("Flatten", (1, 2), (2, 3, 4, 5), (2, 12, 5)),
    ("Flatten", (2, 2), (2, 3, 4, 5), (2, 3, 4, 5)),
    ("Flatten", (), (2,), (2, 1)),
    ("Unflatten", (1, (3, 4)), (2, 12, 5), (2, 3, 4, 5)),
    ("Unflatten", (-1, (-1, 2)), (2, 3, 8), (2, 3, 4, 2)),
    ("Unflatten", (2, 8), (2, 3, 8), (2, 3, 8)),
    ("Unflatten", (1, (-1, 6, 1)), (2, 6), (2, 1, 6, 1)),
])  # fmt: skip
def test_shape_and_order(nn, dtype, cls, arguments, shape, wanted):
    layer = nn.Sequential(getattr(nn, cls)(*arguments), dtype=dtype)
    x = normal(shape, dtype)
    same(layer.forward(x, training=True), x.reshape(wanted))
    dy = normal(wanted, dtype, seed=1)
    same(layer.backward(dy), dy.reshape(shape))
    assert layer.output_shape(shape[1:]) == wanted[1:]


def test_they_undo_each_other(nn):
    x = normal((3, 4, 5, 2))
    same(nn.Sequential(nn.Flatten(1, 2), nn.Unflatten(1, (4, 5)), dtype="float64")(x), x)


def test_no_copy(fast):
    """A training pass takes as much memory with them as without."""
    def peak(*between):
        model = fast.Sequential(fast.Linear(64, 48), *between, fast.Linear(48, 5), dtype="float32")
        x = normal((2000, 64), "float32")
        model(x[:1])
        tracemalloc.start()
        model.forward(x, training=True)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert abs(peak(fast.Unflatten(1, (2, 24)), fast.Flatten()) - peak()) < 2000 * 48 * 4 / 10

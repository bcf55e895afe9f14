"""compare: it rebuilds any model in the book, finds what differs and touches nothing."""

import copy
import re

import numpy as np
import pytest

from fastnn.comparison import Comparison, Row, row, ulps
from tests.cases import ALL_CHANGES, LOSSES, OPTIMIZERS
from tests.check import normal, same_parameters

X, T = normal((7, 1, 8, 6)), np.arange(7) % 3


def net(nn, dtype="float64"):
    """Every kind of layer there is."""
    return nn.Sequential(
        nn.Augment(**ALL_CHANGES), nn.Conv2d(1, 4, 3, padding=1, activation=nn.LeakyReLU(0.2)), nn.BatchNorm2d(4),
        nn.StochasticDepth(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.ReLU()), 0.3), nn.MaxPool2d(2),
        nn.AvgPool2d(2, 1), nn.GaussianNoise(0.1), nn.Flatten(), nn.LayerNorm(24),
        nn.Sequential(nn.DropConnect(24, 9, 0.3, activation="tanh"), nn.Dropout(0.2), penalty=nn.L1(1e-3)),
        nn.BatchNorm1d(9), nn.Linear(9, 3, init="he_normal"), seed=3, dtype=dtype, penalty=(nn.L2(0.1), nn.MaxNorm(2)),
    )  # fmt: skip


def short(nn):
    """For optimizers, which know of no layer."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, activation="tanh"), nn.BatchNorm2d(2), nn.Flatten(),
        nn.Sequential(nn.Linear(48, 3), penalty=nn.L1(1e-3)), seed=3, dtype="float64",
        penalty=(nn.L2(0.1), nn.MaxNorm(2)))


@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)
def test_everything_at_once(fast, case):
    model = net(fast) if case in OPTIMIZERS[::5] else short(fast)
    before, steps = copy.deepcopy(model), model.steps
    optimizer = case.make(fast)
    report = fast.compare(model, X, T, fast.CrossEntropyLoss(0.1, class_weight=[1, 2, 3]), optimizer, steps=3)
    assert report.worst < 1e-9
    assert {row.what for row in report.rows} == {"output", "training", "gradient", "loss", "value"}
    outputs = [row for row in report.rows if row.what in ("output", "training")]
    assert [row.name.split()[-1] for row in outputs] == 2 * [type(layer).__name__ for layer in model.layers]
    assert [row.name for row in report.rows if row.what == "gradient"] == list(model.params)
    assert "fastnn beside fastnn_ref, float64, 3 steps" in repr(report)
    same_parameters(model, before)
    assert (model.steps, optimizer.steps) == (steps, 0)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_every_loss(fast, case):
    model = fast.Sequential(fast.Linear(5, 4), fast.GELU("tanh"), fast.ELU(0.5), dtype="float32")
    t = case.targets(np.random.default_rng(0), 6, 4)
    report = fast.compare(model, normal((6, 5)), t, case.make(fast), fast.SGD(lr=fast.StepLR(0.1, 2)), steps=4)
    assert report.worst < 1e-4


def test_a_difference_is_found(fast, ref, monkeypatch):
    monkeypatch.setattr(ref.ReLU, "act", lambda self, u: np.maximum(u, 0.01))
    model = fast.Sequential(fast.Linear(5, 4, activation="relu"), fast.Linear(4, 3), dtype="float64")
    report = fast.compare(model, normal((6, 5)), np.arange(6) % 3, fast.CrossEntropyLoss(), fast.SGD(), steps=0)
    assert report.worst > 1e-3
    assert report.rows[0].difference == pytest.approx(0.01)
    assert report.rows[0].ulps > 1e6
    assert {row.what for row in report.rows} == {"output", "training", "gradient"}


def test_the_masks_of_the_layers_are_those_of_the_model(fast, ref, monkeypatch):
    """A twin that drops other values is found in the training rows, and predicts the same."""
    model = fast.Sequential(fast.Linear(5, 40), fast.Dropout(0.5), fast.Linear(40, 3), seed=2, dtype="float64")
    loss, optimizer = fast.CrossEntropyLoss(), fast.SGD()
    for _ in range(3):
        model.step(normal((6, 5)), np.arange(6) % 3, loss, optimizer)
    before, arguments = model.steps, (normal((6, 5)), np.arange(6) % 3, loss, optimizer)
    apart, whole = copy.deepcopy(model), model.forward(normal((6, 5)), training=True)
    model.steps = before
    y = normal((6, 5))
    for layer in apart.layers:
        layer.steps = before
        y = layer.forward(y, training=True)
    assert np.abs(y - whole).max() < 1e-14
    assert fast.compare(model, *arguments, steps=0).worst < 1e-14
    words = ref.Dropout.random_words

    def as_at_the_first_step(layer, n):
        layer.network.pass_step = 0
        return words(layer, n)

    monkeypatch.setattr(ref.Dropout, "random_words", as_at_the_first_step)
    far = {(row.what, row.name[0]) for row in fast.compare(model, *arguments, steps=0).rows if row.relative > 0.1}
    assert {("training", "1"), ("training", "2"), ("gradient", "0")} <= far
    assert not any(what == "output" for what, _ in far)
    assert model.steps == before


def test_a_wide_cell_keeps_its_distance(fast):
    """Names, shapes and counts of any length: a column is as wide as its widest cell, and two spaces stand between."""
    shape = (1_000, 1_000, 1_000, 1_000)
    report = Comparison([Row("gradient", "0.weight", shape, 1.5, 4.4e-8, 2**64), Row("value", "1", (3,), 0.0, 0.0, 0)],
                        20, "float64")
    head, *rows = str(report).splitlines()[1:]
    assert [re.split(" {2,}", line.strip()) for line in (head, *rows)] == [
        ["tensor", "shape", "difference", "relative", "ulps"],
        ["gradient", "0.weight", "(1000, 1000, 1000, 1000)", "1.5e+00", "4.4e-08", "18,446,744,073,709,551,616"],
        ["value", "1", "(3,)", "0.0e+00", "0.0e+00", "0"]]
    assert len({len(line) for line in (head, *rows)}) == 1


@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)
def test_an_optimizer_that_has_trained(fast, case):
    """Both packages go on from its slots, its steps and its rate."""
    model, optimizer, loss = short(fast), case.make(fast), fast.CrossEntropyLoss()
    model.fit(X, T, loss=loss, optimizer=optimizer, epochs=3)
    steps = optimizer.steps
    assert fast.compare(model, X, T, loss, optimizer, steps=3).worst < 1e-9
    assert optimizer.steps == steps


def test_values_that_are_none_in_both():
    """NaN in both is no difference, whatever its bits; what stands beside it is related to finite values."""
    one, other = np.array([np.nan, np.inf, 2.0]), np.array([-np.nan, np.inf, 1.0])
    found = row("value", "0.weight", one, other)
    assert (found.difference, found.relative, found.ulps) == (1.0, 1.0, 2**52)
    assert ulps(one[:1], other[:1]) == ulps(np.float32(one[:2]), np.float32(other[:2])) == 0
    assert np.isnan(row("value", "0.weight", one, np.zeros(3)).difference)


def test_units_in_the_last_place():
    one = np.array([1, -1, 0.0, 5e-324])
    assert ulps(one, one) == 0
    assert ulps(one, np.nextafter(np.nextafter(one, 9), 9)) == 2
    assert ulps(np.array([-5e-324]), np.array([5e-324])) == 2
    assert ulps(np.float32([1]), np.nextafter(np.float32([1]), np.float32(2))) == 1


def test_mistakes(fast, ref):
    class Mine(fast.ReLU):
        pass

    arguments = normal((6, 5)), np.arange(6) % 3, fast.CrossEntropyLoss(), fast.SGD()
    with pytest.raises(TypeError, match=r"compare: expected classes of fastnn, got .*Mine"):
        fast.compare(fast.Sequential(fast.Linear(5, 3), Mine()), *arguments)
    with pytest.raises(TypeError, match="model: expected a Sequential of fastnn, got fastnn_ref"):
        fast.compare(ref.Sequential(ref.Linear(5, 3)), *arguments)
    with pytest.raises(ValueError, match="steps: expected an integer >= 0, got -1"):
        fast.compare(fast.Sequential(fast.Linear(5, 3)), *arguments, steps=-1)


def test_a_class_of_models(fast):
    """One of a user's own is compared by its layers, with its penalty; no package has that class."""
    class Mine(fast.Sequential):
        def __init__(self, n_out=3):
            super().__init__(fast.Linear(5, 4, activation="tanh"), fast.Dropout(0.4), fast.BatchNorm1d(4),
                             fast.Linear(4, n_out), seed=7, penalty=fast.L2(0.5))
            self.n_out = n_out

    model, x, t = Mine(), normal((6, 5)), np.arange(6) % 3
    layers = fast.Sequential(*copy.deepcopy(model[:]).layers, seed=7, penalty=fast.L2(0.5))
    for each in (model, layers):
        each.step(x, t, fast.CrossEntropyLoss(), fast.SGD())
    found, wanted = (fast.compare(each, x, t, fast.CrossEntropyLoss(), fast.Adam()) for each in (model, layers))
    assert found.rows == wanted.rows and found.worst < 1e-4

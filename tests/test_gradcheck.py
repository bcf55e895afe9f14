"""gradcheck as a user has it: passes for every layer, random ones too, says what is wrong, leaves the model alone."""

import numpy as np
import pytest

from tests.cases import (
    AUGMENTS,
    CONNECTIONS,
    CONVS,
    DEPTHS,
    IMAGE_NETS,
    LOSSES,
    MASKS,
    MODELS,
    NOISES,
    NORMS,
    PARALLEL,
    POOLS,
    ROWS,
)  # fmt: skip
from tests.check import inputs, normal, same

LAYERS = [*CONVS[::4], *POOLS[::4], *IMAGE_NETS, *NORMS[::2], *MASKS[:5], *NOISES[1:], *AUGMENTS[-4:-1],
          *CONNECTIONS[::4], *DEPTHS[2:8], *PARALLEL, *ROWS, *MODELS]


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_every_layer(fast, case):
    """Of the engine: the reference's layers are checked by differences in the tests of each."""
    nn = fast
    model = nn.Sequential(case.make(nn), seed=1, dtype="float64")
    x = inputs(case)
    t = normal(model(x).shape, seed=3)
    report = nn.gradcheck(model, x, t, nn.MSELoss(), samples=25)
    assert report.passed, report
    assert [row.name for row in report.rows] == ["x", *model.params]


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_every_loss(fast, case):
    nn = fast
    model = nn.Sequential(nn.Linear(5, 4), seed=1, dtype="float64")
    report = nn.gradcheck(model, normal((6, 5)), case.targets(np.random.default_rng(0), 6, 4), case.make(nn))
    assert report.passed, report
    assert report.worst < 1e-6


def net(nn, dtype="float64"):
    return nn.Sequential(
        nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Dropout(0.3), nn.Linear(7, 3), seed=1, dtype=dtype)


def test_the_model_is_left_as_it_was(nn, dtype):
    model = net(nn, dtype)
    x, t = normal((6, 5)), np.arange(6) % 3
    model.step(x, t, nn.CrossEntropyLoss(), nn.SGD())
    before, gradients, steps = model.state_dict(), {k: g.copy() for k, g in model.grads.items()}, model.steps
    report = nn.gradcheck(model, x, t, nn.CrossEntropyLoss())
    assert report
    assert model.steps == steps
    for name, value in before.items():
        same(model.state_dict()[name], value, name)
    for name, value in gradients.items():
        same(model.grads[name], value, name)


def test_a_class_of_models_that_takes_no_dtype(nn):
    """It is a Sequential: checked in float64, by its layers, with the masks that it draws."""
    class Mine(nn.Sequential):
        def __init__(self, n_out=3):
            super().__init__(nn.Linear(5, 4, activation="tanh"), nn.Dropout(0.4), nn.Linear(4, n_out), seed=7,
                             dtype="float32")
            self.n_out = n_out

    x, t = normal((6, 5)), np.arange(6) % 3
    model, layers = Mine(), nn.Sequential(*Mine().layers, seed=7, dtype="float32")
    for each in (model, layers):
        each.step(x, t, nn.CrossEntropyLoss(), nn.SGD())
    report = nn.gradcheck(model, x, t, nn.CrossEntropyLoss())
    assert report and model.dtype == np.float32
    assert report.rows == nn.gradcheck(layers, x, t, nn.CrossEntropyLoss()).rows


def test_a_wrong_gradient_is_found(nn):
    class Halved(nn.CustomLayer):
        """Forgets half of dW."""

        changes_shape = True

        def __init__(self):
            self.add("weight", (5, 3), "he_uniform")
            self.add("bias", (3,))

        def output_shape(self, shape):
            return (3,)

        def forward_pass(self, x, training):
            self.saved = x
            return x @ self.values["weight"] + self.values["bias"]

        def backward_pass(self, dy):
            self.set_gradients(0.5 * self.saved.T @ dy, dy.sum(axis=0))
            return dy @ self.values["weight"].T

    class Greedy(nn.CustomLayer):
        """Dropout that does not use the mask on the way back."""

        def forward_pass(self, x, training):
            if training:
                x = np.where(self.random_words(x.size).reshape(x.shape) < 2**31, 2 * x, 0)
            return x

        def backward_pass(self, dy):
            return dy

    x, t = normal((6, 5)), np.arange(6) % 3
    report = nn.gradcheck(nn.Sequential(Halved()), x, t, nn.CrossEntropyLoss())
    assert not report
    assert [row.passed for row in report.rows] == [True, False, True]
    assert "WRONG" in repr(report)
    assert report.worst > 0.3
    model = nn.Sequential(nn.Linear(5, 4), Greedy(), nn.Linear(4, 3))
    assert [row.passed for row in nn.gradcheck(model, x, t, nn.CrossEntropyLoss()).rows] == [
        False, False, False, True, True]


def test_a_true_zero_is_shown_as_zero(nn):
    """The bias before a batch norm has the gradient 0, and its differences are rounding: no relative error of 1."""
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3), seed=1, dtype="float64")
    report = nn.gradcheck(model, normal((6, 5)), np.arange(6) % 3, nn.CrossEntropyLoss())
    rows = {row.name: row for row in report.rows}
    assert rows["0.bias"].error == 0
    assert report
    assert all(0 < row.error < 1e-6 for name, row in rows.items() if name != "0.bias")


def test_differences_that_are_nan_are_wrong(nn):
    """Also beside a gradient of 0: nothing was compared."""
    class Corner(nn.CustomLoss):
        """NaN everywhere but at y = 0."""

        def value_and_gradient(self, y, t, weights):
            return (0.0 if (y == 0).all() else np.nan), np.zeros_like(y)

    model = nn.Sequential(nn.Linear(2, 1, init="zeros"), dtype="float64")
    report = nn.gradcheck(model, np.ones((1, 2)), np.zeros((1, 1)), Corner())
    assert not report.rows[1].passed
    assert np.isnan(report.worst)


def test_samples(nn):
    model = nn.Sequential(nn.Linear(20, 15), dtype="float64")
    x, t = normal((3, 20)), normal((3, 15))
    few = nn.gradcheck(model, x, t, nn.MSELoss(), samples=10)
    assert all(row.checked <= 10 for row in few.rows)
    assert few
    assert nn.gradcheck(model, x, t, nn.MSELoss(), samples=None).rows[1].checked == 300


def test_mistakes(nn):
    inner = nn.Sequential(nn.Linear(5, 3))
    outer = nn.Sequential(inner, nn.Identity())
    x, t = normal((6, 5)), np.arange(6) % 3
    with pytest.raises(ValueError, match="model: this Sequential stands inside another model"):
        nn.gradcheck(outer.layers[0], x, t, nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="tolerance: expected a finite number > 0"):
        nn.gradcheck(net(nn), x, t, nn.CrossEntropyLoss(), tolerance=0)
    with pytest.raises(ValueError, match="samples: expected an integer >= 1"):
        nn.gradcheck(net(nn), x, t, nn.CrossEntropyLoss(), samples=0)

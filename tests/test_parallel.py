"""Parallel and Select: each branch by itself, and what they make together; dx is the sum of the branches' dx."""

import numpy as np
import pytest

from tests.cases import PARALLEL
from tests.check import check_against_reference, check_gradient, close, normal, same
from tests.pairwise import chequered


def name_of(case):
    return case.name


@pytest.mark.parametrize("case", PARALLEL, ids=name_of)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", PARALLEL, ids=name_of)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@pytest.mark.parametrize("merge", ["concat", "add"])
def test_formula(nn, dtype, merge):
    """Branches of their own give the parts of y, and for their parts of dy the dx that are added."""
    layer = nn.Parallel(nn.Linear(5, 3), nn.Linear(5, 3, activation="tanh"), nn.Linear(5, 3), merge=merge)
    model = nn.Sequential(layer, dtype=dtype, seed=3)
    alone = [nn.Sequential(nn.Linear(5, 3, activation=a), dtype=dtype) for a in (None, "tanh", None)]
    for one, branch in zip(alone, layer.branches, strict=True):
        one[0].load_state_dict(branch.state_dict())
    x = normal((4, 5), dtype)
    y = model.forward(x, training=True)
    parts = [one.forward(x, training=True) for one in alone]
    same(y, np.concatenate(parts, axis=1) if merge == "concat" else (parts[0] + parts[1]) + parts[2])
    dy = normal(y.shape, dtype, seed=1)
    dx = model.backward(dy)
    back = [one.backward(np.ascontiguousarray(each)) for one, each in zip(
        alone, np.split(dy, 3, axis=1) if merge == "concat" else [dy] * 3, strict=True)]
    same(dx, (back[0] + back[1]) + back[2])
    for one, branch in zip(alone, layer.branches, strict=True):
        for name, gradient in branch.grads.items():
            same(gradient, one[0].grads[name])


def test_residual_is_a_parallel(nn):
    model = nn.Sequential(nn.Residual(nn.Linear(5, 5, activation="tanh")), dtype="float64")
    other = nn.Sequential(nn.Parallel(nn.Identity(), nn.Linear(5, 5, activation="tanh"), merge="add"), dtype="float64")
    other[0].branches[1].load_state_dict(model[0].block.state_dict())
    x = normal((3, 5))
    same(model.forward(x, training=True), other.forward(x, training=True))
    close("layer", model.backward(x), other.backward(x), 20 * np.ones((3, 5)))


def test_two_inputs_train(nn):
    """A part of the input decides together with the other one; each alone knows half."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 7))
    t = (x[:, 0] * x[:, 6] > 0).astype(int)
    model = nn.Sequential(
        nn.Parallel(nn.Sequential(nn.Select(0, 3), nn.Linear(3, 8, activation="tanh")),
                    nn.Sequential(nn.Select(3, 7), nn.Linear(4, 8, activation="tanh"))),
        nn.Linear(16, 16, activation="relu"), nn.Linear(16, 2), seed=0)
    model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.02), epochs=60)
    assert (model.predict_classes(x) == t).mean() > 0.9


def test_the_dx_of_a_first_layer_is_not_asked_for(nn, dtype):
    """A step gives the gradients that forward and backward by hand give."""
    def make():
        branches = nn.Linear(5, 3), nn.Sequential(nn.Select(1, 4), nn.Linear(3, 3)), nn.Select(0, 1)
        return nn.Sequential(nn.Parallel(*branches), nn.Linear(7, 2), seed=0, dtype=dtype)

    x, t, loss = normal((4, 5), dtype), normal((4, 2), dtype, seed=1), nn.MSELoss()
    one, other = make(), make()
    one.step(x, t, loss, nn.SGD(lr=0.0))
    loss.forward(other.forward(x, training=True), t)
    other.backward(loss.backward())
    for name, gradient in one.grads.items():
        same(gradient, other.grads[name], name)


def test_errors(nn):
    with pytest.raises(ValueError, match=r"branches: expected at least one layer, got none"):
        nn.Parallel()
    with pytest.raises(ValueError, match=r"branches\[1\]: expected \(\.\.\., 3, 3\) per example, as branches\[0\] "
                                         r"gives, got \(2, 2, 2\)"):
        nn.Parallel(nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 4)).output_shape((1, 5, 5))
    with pytest.raises(ValueError, match=r"branches\[1\]: expected \(3,\) per example, .*, got \(2,\)"):
        nn.Parallel(nn.Linear(5, 3), nn.Linear(5, 2), merge="add")
    with pytest.raises(ValueError, match="merge: unknown name 'sum'"):
        nn.Parallel(nn.ReLU(), merge="sum")
    with pytest.raises(ValueError, match="stop: expected"):
        nn.Select(3, 3)
    with pytest.raises(ValueError, match=r"Select: expected at least 3 features or channels per example, got \(2,\)"):
        nn.Select(0, 3)(np.ones((1, 2)))
    layer = nn.ReLU()
    with pytest.raises(ValueError, match=r"branches\[1\]: this ReLU already stands at branches\[0\]"):
        nn.Parallel(layer, layer)


@pytest.mark.parametrize("at", range(7))
@pytest.mark.parametrize("merge", ["concat", "add"])
def test_a_branch_that_changes_its_mind(fast, merge, at):
    """Its output_shape says one thing at one call and another one later: an error, or what it said last."""
    class Growing(fast.CustomLayer):
        changes_shape, asked, size = True, 0, 2

        def output_shape(self, shape):
            self.asked += 1
            self.size = 300 if self.asked > at else 2
            return (self.size,)

        def forward_pass(self, x, training):
            return np.ones((len(x), self.size), x.dtype)

    branches = Growing(), fast.Linear(4, 2), Growing()
    try:
        y = fast.Sequential(fast.Parallel(*branches, merge=merge))(normal((1, 4)))
    except ValueError:
        return
    assert y.shape == (1, 2 if merge == "add" else branches[0].size + 2 + branches[2].size)


def test_a_branch_may_say_that_examples_have_several_axes(nn):
    """A Linear in another branch takes them, too."""
    model = nn.Parallel(nn.Linear(3, 4), nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 2), input_shape=(2, 3)))
    assert model.input_shape == (2, 3)
    assert model(normal((5, 2, 3))).shape == (5, 4, 4)


@pytest.mark.parametrize("given", [None, (1, 6, 6)])
def test_a_linear_beside_a_layer_of_images(nn, given):
    """The Linear gets images, too, along their last axis; alone it would tell that examples are rows."""
    layer = nn.Parallel(nn.Linear(6, 6), nn.Conv2d(1, 2, 3, padding=1))
    assert layer.input_shape is None
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(108, 2), input_shape=given, dtype="float64")
    x = normal((4, 1, 6, 6))
    same(model[0](x), np.concatenate([branch(x) for branch in layer.branches], axis=1))
    y = model.forward(x, training=True)
    assert model.backward(normal(y.shape, seed=1)).shape == x.shape
    with pytest.raises(ValueError, match=r"expected \((1, h, w\) per example|n, 1, 6, 6\)), got \((4, )?6,?\)"):
        model(normal((4, 6)))


def test_summary_has_the_branches(nn):
    model = nn.Sequential(nn.Parallel(nn.Linear(4, 2), nn.Sequential(nn.Select(0, 2), nn.Linear(2, 3))))
    rows = [(row.layer, row.output) for row in model.summary().rows]
    assert rows[1:6] == [("0  Parallel", "(n, 5)"), ("0.0  Linear(4, 2)", "(n, 2)"), ("0.1  Sequential", "(n, 3)"),
                         ("0.1.0  Select(0, 2)", "(n, 2)"), ("0.1.1  Linear(2, 3)", "(n, 3)")]


def test_units_inside_branches_are_measured(fast):
    """By the name of the branch; each sees the input of all."""
    plot = pytest.importorskip("fastnn.plot")
    model = fast.Sequential(fast.Linear(3, 3), fast.Parallel(
        fast.Linear(3, 4, activation="relu"), fast.Sequential(fast.Select(0, 2), fast.Linear(2, 5), fast.Tanh())))
    found = plot.measure_units(model, normal((20, 3)))
    assert {name: each.units for name, each in found.items()} == {"1.0  relu": 4, "1.1.2  tanh": 5}

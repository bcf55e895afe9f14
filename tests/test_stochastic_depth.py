"""StochasticDepth: x + block(x), the block left out now and then; the work really saved, the gradients really 0."""

import copy

import numpy as np
import pytest

from tests.cases import DEPTHS
from tests.check import check_against_reference, check_gradient, normal, same, same_parameters
from tests.pairwise import chequered


@pytest.mark.parametrize("case", DEPTHS, ids=lambda case: case.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", DEPTHS, ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


def test_gradients_at_every_step(ref, nn):
    """At the first step in which the block is kept, and the first in which it is left out."""
    kept = [int(ref.philox.uint32(1, 3, step, 1 << 24)[0]) >= 2**31 for step in range(10)]
    block = nn.Sequential(nn.Linear(5, 5, activation="tanh"), nn.Linear(5, 5))
    model = nn.Sequential(nn.StochasticDepth(block, 0.5), nn.Linear(5, 2), seed=3, dtype="float64")
    for step in (kept.index(True), kept.index(False)):
        model.steps = step
        check_gradient(model, normal((3, 5)))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_formula_by_batch(ref, nn, dtype, p):
    block = nn.Linear(5, 5)
    model = nn.Sequential(nn.StochasticDepth(block, p), seed=3, dtype=dtype)
    x, dy = normal((4, 5), dtype), normal((4, 5), dtype, seed=1)
    alone = nn.Sequential(copy.deepcopy(block), dtype=dtype)
    z, seen = alone.forward(x, training=True).astype(np.float64), set()
    for step in range(25):
        keep = int(ref.philox.uint32(1, 3, step, 1 << 24)[0]) >= round(p * 2**32)
        seen.add(keep)
        y = model.forward(x, training=True)
        dx = model.backward(dy)
        if keep:
            assert np.abs(y - (x + z / (1 - p))).max() < 1e-5
            alone.forward(x, training=True)
            assert np.abs(dx - (dy + alone.backward(dy / (1 - p)))).max() < 1e-5
            assert np.abs(model.grads["0.block.weight"] - alone.grads["0.weight"]).max() < 1e-5
        else:
            same(y, x)
            same(dx, dy)
            assert not any(g.any() for g in model.grads.values())
    assert seen == {True, False}
    assert np.abs(model(x) - (x + z)).max() < 1e-6


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_formula_by_row(ref, nn, p):
    model = nn.Sequential(nn.StochasticDepth(nn.Identity(), p, mode="row"), seed=3, dtype="float64")
    x, dy = normal((40, 3)), normal((40, 3), seed=1)
    keep = ref.philox.uint32(40, 3, 0, 1 << 24).astype(np.int64) >= round(p * 2**32)
    factor = np.where(keep, 1 + 1 / (1 - p), 1)[:, None]
    assert np.abs(model.forward(x, training=True) - x * factor).max() < 1e-14
    assert np.abs(model.backward(dy) - dy * factor).max() < 1e-14


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["batch", "row"])
def test_mean(nn, mode):
    """E[y] = x + block(x): at p = 0.5 a swap of p and 1 − p would not show."""
    model = nn.Sequential(nn.StochasticDepth(nn.Identity(), 0.2, mode=mode), dtype="float64")
    y = np.array([model.forward(np.ones((7, 1)), training=True) for _ in range(1000)])
    draws = y.size if mode == "row" else len(y)
    assert abs(y.mean() - 2) < 5 * np.sqrt(0.2 / 0.8 / draws)
    assert abs((y == 1).mean() - 0.2) < 5 * np.sqrt(0.2 * 0.8 / draws)


def test_left_out_means_no_work(nn):
    """A block full of NaN does no harm when it is left out, its running statistics stay, its weights do not move."""
    block = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3))
    model = nn.Sequential(nn.StochasticDepth(block, 1.0), nn.Linear(3, 2), seed=0, dtype="float64")
    block.layers[1].weight = np.full((3, 3), np.nan)
    before = block.state_dict()
    x = normal((5, 3))
    assert np.isfinite(model.step(x, np.zeros(5, int), nn.CrossEntropyLoss(), nn.SGD(lr=0.1)))
    for name, value in block.state_dict().items():
        same(value, before[name], name)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_block_runs_as_often_as_it_is_kept(ref, nn, p):
    """Counted by what each run leaves behind: a running mean of ones becomes 1 − 0.5ᵏ, at either end of the block."""
    first, last = nn.BatchNorm1d(3, momentum=0.5), nn.BatchNorm1d(3, momentum=0.5)
    model = nn.Sequential(nn.StochasticDepth(nn.Sequential(first, nn.Linear(3, 3), last), p), seed=6, dtype="float64")
    last_layer = model.layers[0].block.layers[1]
    last_layer.weight, last_layer.bias = np.zeros((3, 3)), np.ones(3)
    kept = 0
    for step in range(20):
        kept += int(ref.philox.uint32(1, 6, step, 1 << 24)[0]) >= round(p * 2**32)
        model.forward(np.ones((4, 3)), training=True)
        model.backward(np.ones((4, 3)))
        for norm in (first, last):
            same(norm.running_mean, np.full(3, 1 - 0.5**kept))
    assert 0 < kept < 20


def test_names_nesting_and_copies(nn):
    block = nn.Sequential(nn.Linear(3, 3), nn.StochasticDepth(nn.Linear(3, 3), 0.2))
    model = nn.Sequential(nn.StochasticDepth(block, 0.3, mode="row"), nn.Linear(3, 2), seed=3)
    assert list(model.params) == """
        0.block.0.weight 0.block.0.bias 0.block.1.block.weight 0.block.1.block.bias 1.weight 1.bias""".split()
    twin = copy.deepcopy(model)
    same_parameters(twin, model)
    x, t = normal((6, 3)), np.arange(6) % 2
    for each in (model, twin):
        optimizer = nn.Adam()
        for _ in range(5):
            each.step(x, t, nn.CrossEntropyLoss(), optimizer)
    same_parameters(twin, model)
    assert repr(block.layers[1]) == "StochasticDepth(Linear(3, 3), 0.2)"


def test_alone(nn):
    """Outside a model, too."""
    layer = nn.StochasticDepth(nn.Linear(3, 3), 0.0)
    x = normal((2, 3))
    y = layer.forward(x, training=True)
    assert y.shape == (2, 3)
    assert layer.backward(normal((2, 3))).shape == (2, 3)
    assert np.abs(layer(x) - y).max() == 0


def test_linear_decay(nn):
    assert nn.stochastic_depth_rates(4, 0.5) == [0.125, 0.25, 0.375, 0.5]
    assert nn.stochastic_depth_rates(1, 0.2) == [0.2]


@pytest.mark.parametrize("mode", ["batch", "row"])
def test_step_and_a_loop_by_hand_draw_the_same(nn, dtype, mode):
    def net():
        blocks = [nn.StochasticDepth(nn.Sequential(nn.Linear(5, 5), nn.ReLU()), p, mode)
                  for p in nn.stochastic_depth_rates(4)]
        return nn.Sequential(*blocks, nn.Linear(5, 3), seed=3, dtype=dtype)

    x, t = normal((7, 5), dtype), np.arange(7) % 3
    one, other = net(), net()
    loss, optimizer, another = nn.CrossEntropyLoss(), nn.Adam(), nn.Adam()
    for _ in range(6):
        value = one.step(x, t, loss, optimizer)
        assert loss.forward(other.forward(x, training=True), t) == value
        other.backward(loss.backward())
        another.step(other)
    same_parameters(one, other)


def test_executed_blocks(ref, nn):
    """What the formula of the draws says: once for each training pass whose batch keeps the block."""
    model = nn.Sequential(*(nn.StochasticDepth(nn.Linear(5, 5), p) for p in (0.3, 0.8)), seed=3)
    x, steps = normal((4, 5)), 40
    for _ in range(steps):
        model.forward(x, training=True)
        model(x)                                            # a prediction does not count
    wanted = [sum(int(ref.philox.uint32(1, 3, step, 1 << 24 | 2 * index)[0]) >= round(p * 2**32)
                  for step in range(steps)) for index, p in enumerate((0.3, 0.8))]
    assert [layer.executed for layer in model] == wanted
    assert model.executed_blocks == sum(wanted)
    assert copy.deepcopy(model).executed_blocks == 0
    model[0].executed = 0
    assert model.executed_blocks == wanted[1]


def test_executed_blocks_after_fit(nn):
    rows = nn.StochasticDepth(nn.Linear(5, 5), 0.5, mode="row")
    model = nn.Sequential(rows, nn.Sequential(nn.StochasticDepth(nn.Linear(5, 5), 0.0)), nn.Linear(5, 1))
    model.fit(normal((10, 5)), normal((10, 1)), loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=3, batch_size=4)
    assert (rows.executed, model.executed_blocks) == (9, 18)        # of rows, some are kept in nearly every batch
    with pytest.raises(ValueError, match="executed: expected an integer >= 0"):
        rows.executed = -1

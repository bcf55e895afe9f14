"""Seeds of initial values, order and masks: each decides its own part alone, and one seed is all three."""

import copy

import numpy as np
import pytest

from tests.check import normal, same, same_parameters

SEEDS = {"init": 5, "order": 2**40 + 3, "masks": 7}


def net(nn, seed, dtype="float64"):
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 4), nn.DropConnect(4, 3, activation="tanh"), seed=seed,
                         dtype=dtype)


def order_of(nn, seed):
    """The rows in the order in which an epoch sees them."""
    seen = []

    class Look(nn.CustomLayer):
        def forward_pass(self, x, training):
            seen.extend(x[:, 0].tolist() if training else ())
            return x

        def backward_pass(self, dy):
            return dy

    x = np.arange(11.0)[:, None]
    model = nn.Sequential(Look(), nn.Linear(1, 1, init="zeros"), seed=seed, dtype="float64")
    model.run_epoch(x, x, nn.MSELoss(), nn.SGD(), batch_size=4)
    return seen


def test_initial_values(nn):
    same_parameters(net(nn, SEEDS), net(nn, 5))
    one, other = (net(nn, seed).state_dict() for seed in (SEEDS, {**SEEDS, "init": 6}))
    assert not np.array_equal(one["1.weight"], other["1.weight"])


def test_order(nn, ref):
    want = ref.philox.permutation(11, SEEDS["order"], 0).tolist()
    assert order_of(nn, SEEDS) == order_of(nn, SEEDS["order"]) == want
    assert order_of(nn, {"init": SEEDS["order"]}) == ref.philox.permutation(11, 0, 0).tolist()


def test_masks(nn):
    """A step's masks, and the draws of a prediction: those of a model with this one seed and the same weights."""
    apart, one = net(nn, SEEDS), net(nn, 7)
    one.load_state_dict(apart.state_dict())
    x = normal((5, 6))
    same(apart.forward(x, training=True), one.forward(x, training=True))
    same(apart.forward(x, training=True), one.forward(x, training=True), "the second step")
    same(apart(x), one(x), "draws of DropConnect's prediction")
    apart.steps = one.steps = 0
    assert not np.array_equal(net(nn, {**SEEDS, "masks": 8}).forward(x, training=True), one.forward(x, training=True))


def test_mixup_belongs_to_masks(nn):
    x, t = normal((8, 6)), np.eye(3)[np.arange(8) % 3]

    def loss(seed):
        model = nn.Sequential(nn.Linear(6, 3, init="zeros"), seed=seed, dtype="float64")
        model.run_epoch(x, t, nn.CrossEntropyLoss(), nn.SGD(), batch_size=4, mixup=0.5, shuffle=False)
        return model.state_dict()["0.weight"]

    same(loss({"masks": 7}), loss(7))
    assert not np.array_equal(loss({"order": 7}), loss(7))


def test_blocks_and_range_test_take_the_order(nn):
    x, t = normal((200, 6)), np.arange(200) % 3

    def trained(seed):
        model = nn.Sequential(nn.Linear(6, 3, init="zeros"), seed=seed, dtype="float64")
        model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), batch_size=1, shuffle="blocks")
        return model.state_dict()["0.weight"]

    def losses(seed):
        model = nn.Sequential(nn.Linear(6, 3, init="zeros"), seed=seed, dtype="float64")
        return nn.find_lr(model, x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), steps=5).losses

    for found in (trained, losses):
        same(found({"order": 7}), found(7))
        assert not np.array_equal(found({"masks": 7}), found(7))


def test_three_equal_seeds_are_one(nn):
    assert net(nn, {"init": 4, "order": 4, "masks": 4}).seed == 4
    assert net(nn, {"order": 4}).seed == {"init": 0, "order": 4, "masks": 0}


def test_records_copies_and_files(nn, ref, fast, tmp_path):
    model = net(nn, SEEDS)
    x, t = normal((8, 6)), np.arange(8) % 3
    model.save(path := tmp_path / "model.safetensors")
    given = model.seed
    given["init"] = 9                                       # the record is the reader's own
    twins = [copy.deepcopy(model), nn.from_config(model.config()), nn.load(path)]
    for each in (model, *twins):
        assert each.seed == SEEDS
        each.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(lr=0.1), epochs=2, batch_size=3)
    for each in twins:
        same_parameters(each, model)
    assert (ref if nn is fast else fast).load(path).seed == SEEDS
    assert f"seed={SEEDS}" in repr(model)


def test_compare_takes_seeds_along(fast):
    report = fast.compare(net(fast, SEEDS), normal((5, 6)), np.arange(5) % 3, fast.CrossEntropyLoss(), fast.SGD())
    assert report.worst < 1e-8


@pytest.mark.parametrize("seed", [{}, {"weights": 1}, {"init": 1, 2: 3}])
def test_unknown_purposes(nn, seed):
    with pytest.raises(ValueError, match="seed: expected an integer, or a dict with keys of init, order, masks, got"):
        net(nn, seed)


def test_bad_seeds(nn):
    with pytest.raises(ValueError, match=r"seed\['order'\]: expected an integer >= 0"):
        net(nn, {"order": -1})
    with pytest.raises(TypeError, match=r"seed\['masks'\]: expected an integer"):
        net(nn, {"masks": 0.5})

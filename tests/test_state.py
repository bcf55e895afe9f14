"""state_dict, deepcopy and pickle: what was saved goes on as if nothing had happened."""

import copy
import pickle

import numpy as np
import pytest

from tests.cases import ACTIVATIONS, LOSSES, OPTIMIZERS, OTHER_SHAPES_OF_ACTIVATION, SCHEDULES
from tests.check import normal, same, same_parameters
from tests.pairwise import chequered

WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}


@pytest.fixture(params=WAYS)
def again(request):
    return WAYS[request.param]


def net(nn, seed=0, dtype="float64"):
    return nn.Sequential(
        nn.Linear(5, 7, activation="gelu"),
        nn.Sequential(nn.Linear(7, 4), nn.ELU(alpha=0.7)),
        nn.Linear(4, 2),
        seed=seed,
        dtype=dtype,
    )


def train(nn, model, optimizer, steps=3, first=0):
    for seed in range(first, first + steps):
        model.step(normal((6, 5), seed=seed), normal((6, 2), seed=seed + 100), nn.HuberLoss(), optimizer)


def test_state_dict_is_a_copy(nn):
    model = net(nn)
    kept = model.state_dict()
    state = model.state_dict()
    for value in state.values():
        value[...] = 0
    for name, value in model.state_dict().items():
        same(value, kept[name])


def test_loading_copies(nn, dtype):
    a, b = net(nn, 0, dtype), net(nn, 1, dtype)
    state = a.state_dict()
    b.load_state_dict(state)
    same_parameters(a, b)
    state["0.weight"][...] = 0
    same_parameters(a, b)
    same(a(normal((3, 5), dtype)), b(normal((3, 5), dtype)))


def test_either_package_loads_from_either(ref, fast):
    a, b = net(ref), net(fast, seed=1)
    b.load_state_dict(a.state_dict())
    same_parameters(a, b)
    c = net(ref, seed=2)
    c.load_state_dict(b.state_dict())
    same_parameters(c, b)


def test_a_layer_has_a_state_too(nn):
    layer = nn.Linear(3, 2)
    state = layer.state_dict()
    assert list(state) == ["weight", "bias"]
    layer.load_state_dict({"weight": np.ones((3, 2)), "bias": [1, 2]})
    assert layer.bias.tolist() == [1, 2]


def test_a_refused_state_changes_nothing(nn):
    model = net(nn)
    kept = model.state_dict()
    bad = {name: value + 1 for name, value in kept.items()}
    bad["2.bias"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"2\.bias"):
        model.load_state_dict(bad)
    for name, value in model.state_dict().items():
        same(value, kept[name])


def test_model(nn, dtype, again):
    model = net(nn, 4, dtype)
    train(nn, model, nn.Adam())
    twin = again(model)
    same_parameters(model, twin)
    assert (twin.seed, twin.dtype, twin.steps, twin.epochs) == (4, dtype, 3, 0)
    same(twin(normal((3, 5), dtype)), model(normal((3, 5), dtype)))
    train(nn, twin, nn.SGD(lr=1.0))
    assert not np.array_equal(twin.state_dict()["0.weight"], model.state_dict()["0.weight"])


def test_epochs_go_on(nn, again):
    """The copy shuffles the next epoch as the original does."""
    x, t = normal((20, 5)), normal((20, 2), seed=1)
    model = net(nn)
    model.run_epoch(x, t, nn.MSELoss(), nn.SGD(), batch_size=3)
    twin = again(model)
    model.run_epoch(x, t, nn.MSELoss(), nn.SGD(), batch_size=3)
    twin.run_epoch(x, t, nn.MSELoss(), nn.SGD(), batch_size=3)
    assert twin.epochs == 2
    same_parameters(model, twin)


@chequered
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda c: c.name)
def test_model_and_optimizer_together(nn, again, case):
    model, optimizer = net(nn), case.make(nn)
    train(nn, model, optimizer)
    twin, twin_optimizer = again((model, optimizer))
    train(nn, model, optimizer, first=3)
    train(nn, twin, twin_optimizer, first=3)
    assert twin_optimizer.steps == 6
    same_parameters(model, twin)


@chequered
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda c: c.name)
def test_optimizer_state_moves_to_a_new_one(nn, case):
    model, optimizer = net(nn), case.make(nn)
    train(nn, model, optimizer)
    twin, new = net(nn, seed=9), case.make(nn)
    twin.load_state_dict(model.state_dict())
    new.load_state_dict(optimizer.state_dict())
    assert new.steps == 3
    train(nn, model, optimizer, first=3)
    train(nn, twin, new, first=3)
    same_parameters(model, twin)


@chequered
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda c: c.name)
def test_optimizer_state(ref, nn, again, case):
    model, optimizer = net(nn), case.make(nn)
    train(nn, model, optimizer)
    state = optimizer.state_dict()
    slots = list(case.make(ref).slots)
    assert list(state) == ["steps", "lr", *slots]
    assert state["steps"] == 3
    twin = again(optimizer).state_dict()
    for slot in slots:
        assert [(name, value.shape) for name, value in state[slot].items()] == [
            (name, value.shape) for name, value in model.params.items()]
        for name in state[slot]:
            same(twin[slot][name], state[slot][name])
        state[slot]["0.weight"][...] = 0
        assert np.any(optimizer.state_dict()[slot]["0.weight"] != 0)


@chequered
@pytest.mark.parametrize("case", ACTIVATIONS + OTHER_SHAPES_OF_ACTIVATION, ids=lambda c: c.name)
def test_layer(nn, again, case):
    layer = nn.Linear(5, 3, activation=case.make(nn))
    x = normal((4, 5))
    y = layer.forward(x)
    twin = again(layer)
    same(twin.forward(x), y)
    assert (twin.in_features, twin.out_features) == (5, 3)


def test_layer_of_a_model_comes_out_free(nn, again):
    model = net(nn)
    layer = again(model.layers[0])
    other = nn.Sequential(layer, seed=9, dtype="float64")
    same(other.state_dict()["0.weight"], model.state_dict()["0.weight"])
    other.layers[0].weight[...] = 0
    assert np.any(model.layers[0].weight != 0)


def test_layer_without_values(nn, again):
    same_parameters(nn.Sequential(again(nn.Linear(5, 3)), seed=7), nn.Sequential(nn.Linear(5, 3), seed=7))


@chequered
@pytest.mark.parametrize("case", LOSSES, ids=lambda c: c.name)
def test_loss(nn, again, case):
    loss = case.make(nn)
    y, t = normal((4, 3)), case.targets(np.random.default_rng(0), 4, 3)
    assert again(loss)(y, t) == loss(y, t)


@chequered
@pytest.mark.parametrize("case", SCHEDULES, ids=lambda c: c.name)
def test_schedule(nn, again, case):
    schedule = case.make(nn)
    assert [again(schedule)(s) for s in range(20)] == [schedule(s) for s in range(20)]
    assert again(nn.SGD(lr=schedule)).current_lr == schedule(0)


def test_history(nn, again):
    x, t = normal((6, 5)), normal((6, 2), seed=1)
    history = net(nn).fit(x, t, loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=2)
    assert again(history).history == history.history

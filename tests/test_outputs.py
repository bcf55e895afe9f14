"""Outputs of inner layers, with and without some of their units; weights carried from one architecture to another."""

import numpy as np
import pytest

from tests.check import close, normal, same

X = normal((11, 6))


def tower(nn):
    """Every kind of nesting: fused activations, a Sequential inside, a residual block, dropout."""
    return nn.Sequential(
        nn.Linear(6, 5, activation="sigmoid"), nn.Dropout(0.5),
        nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 4, activation="tanh")),
        nn.Residual(nn.Sequential(nn.Linear(4, 3, activation="relu"), nn.Linear(3, 4))),
        nn.Linear(4, 2), seed=3, dtype="float64")


NAMES = ["0", "1", "2.0", "2.1", "2", "3.block.0", "3.block.1", "3.block", "3", "4"]


@pytest.mark.parametrize("size", [1, 4, 1024])
def test_outputs(nn, size):
    model = tower(nn)
    before = model.network.counters()
    found = model.outputs(X, batch_size=size)
    assert list(found) == NAMES
    w = model.state_dict()
    h = 1 / (1 + np.exp(-(X @ w["0.weight"] + w["0.bias"])))
    z = np.tanh(h / np.sqrt(1 + 1e-5) @ w["2.1.weight"] + w["2.1.bias"])
    u = np.maximum(z @ w["3.block.0.weight"] + w["3.block.0.bias"], 0)
    b = u @ w["3.block.1.weight"] + w["3.block.1.bias"]
    wanted = {"0": h, "1": h, "2.1": z, "2": z, "3.block.0": u, "3.block.1": b, "3.block": b, "3": z + b,
              "4": (z + b) @ w["4.weight"] + w["4.bias"]}
    for name, y in wanted.items():
        close("product", found[name], y, np.full(y.shape, 30.0), name)
    same(found["4"], model.predict(X, batch_size=size))
    assert model.network.counters() == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_last_one_is_the_prediction(nn, dtype):
    """To the bit, also where images stand interleaved in the whole model's pass."""
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, activation="relu"), nn.MaxPool2d(2), nn.BatchNorm2d(5), nn.Flatten(),
        nn.DropConnect(20, 7, activation="tanh"), nn.Linear(7, 3), seed=1, dtype=dtype)
    x = normal((19, 2, 6, 6), dtype)
    found = model.outputs(x)
    same(found["5"], model.predict(x))
    assert found["0"].shape == (19, 5, 4, 4)
    same(model[:3].predict(x), found["2"])


def test_removed_units(nn):
    """They are 0 for what comes behind, whatever the activation makes of 0; the weights stay as they are."""
    model = tower(nn)
    before = model.state_dict()
    found = model.outputs(X, removed={"0": [1, 4], "3.block.0": np.array([True, False, False])})
    assert not found["0"][:, [1, 4]].any() and not found["3.block.0"][:, 0].any()
    assert (found["0"][:, [0, 2, 3]] > 0).all()
    w = model.state_dict()
    w["2.1.weight"][[1, 4]] = 0                             # the same by what the next layer makes of them
    w["3.block.1.weight"][0] = 0
    other = tower(nn)
    other.load_state_dict(w)
    close("product", found["4"], other.predict(X), np.full((11, 2), 30.0))
    for name, value in model.state_dict().items():
        same(value, before[name])
    same(model.outputs(X, removed={"0": []})["4"], model.predict(X))


def test_removed_channels(nn):
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Sigmoid(), nn.GlobalAvgPool2d(), nn.Linear(3, 1), seed=1)
    y = model.outputs(normal((4, 1, 5, 5)), removed={"1": [2]})
    assert not y["1"][:, 2].any() and y["1"][:, :2].all() and not y["2"][:, 2].any()


@pytest.mark.parametrize(("removed", "message"), [
    ({"5": [0]}, "removed: expected names of 0, 1, 2.0, 2.1, 2, 3.block.0, 3.block.1, 3.block, 3, 4, got '5'"),
    ({"0": [5]}, r"removed\['0'\]: expected numbers of units, 0 … 4, or a mask of 5, got \[5\]"),
    ({"0": [-1]}, r"removed\['0'\]: expected numbers of units"),
    ({"0": [True, False]}, r"removed\['0'\]: expected numbers of units"),
    ({"0": [0.5]}, r"removed\['0'\]: expected numbers of units"),
])
def test_bad_units(nn, removed, message):
    with pytest.raises(ValueError, match=message):
        tower(nn).outputs(X, removed=removed)


def test_bad_arguments(nn):
    with pytest.raises(TypeError, match=r"removed: expected a dict from a layer's name to units, got \[0\]"):
        tower(nn).outputs(X, removed=[0])
    with pytest.raises(ValueError, match=r"x: expected \(n, 6\), got \(3, 5\)"):
        tower(nn).outputs(np.ones((3, 5)))


# ---- weights of another architecture ----


def deep(nn, dtype="float64"):
    return nn.Sequential(
        nn.Augment(shift=1), nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
        nn.Sequential(nn.DropConnect(12, 4, activation="relu")), nn.PReLU(), nn.Linear(4, 2), seed=9, dtype=dtype)


def plain(nn, dtype="float64"):
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, activation="relu"), nn.Flatten(), nn.Linear(12, 4, activation="relu"), nn.Linear(4, 2),
        seed=1, dtype=dtype)
    for index in (0, 2, 3):
        model[index].bias = normal(model[index].bias.shape, seed=index)
    return model


PLACES = {"1": "0", "6.0": "2", "8": "3"}


@pytest.mark.parametrize("names", [("ref", "ref"), ("fast", "fast"), ("ref", "fast"), ("fast", "ref")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copy_parameters(ref, fast, names, dtype):
    one, other = ({"ref": ref, "fast": fast}[name] for name in names)
    source, target = plain(one), deep(other, dtype)
    before = target.state_dict()
    assert one.copy_parameters(source, target) == PLACES
    after = target.state_dict()
    for name, place in PLACES.items():
        for key in ("weight", "bias"):
            same(after[f"{name}.{key}"], source.state_dict()[f"{place}.{key}"].astype(dtype))
    for name in set(after) - {f"{name}.{key}" for name in PLACES for key in ("weight", "bias")}:
        same(after[name], before[name])
    target[1].weight[:] = 7                                 # copies, not the same arrays
    assert not (source[0].weight == 7).any()


def test_what_does_not_fit(nn):
    """The layer is named, and nothing has changed."""
    def refused(target, message):
        before = target.state_dict()
        with pytest.raises(ValueError, match=message):
            nn.copy_parameters(source, target)
        for name, value in target.state_dict().items():
            same(value, before[name])

    source = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    refused(nn.Sequential(nn.Linear(3, 4)), "target: expected 2 Linear and Conv2d layers, as source has, got 1")
    refused(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 5)),
            r"target layer 2 \(Linear\(4, 5\)\): expected weight \(4, 2\), as source layer 1 \(Linear\(4, 2\)\) has, "
            r"got \(4, 5\)")
    refused(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False)),
            r"target layer 1 \(Linear\(4, 2, bias=False\)\): expected a bias, as source layer 1")
    with pytest.raises(TypeError, match="source: expected a model or a layer, got dict"):
        nn.copy_parameters({}, source)

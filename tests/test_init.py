"""Initial weights: each initialiser's distribution, and that a seed means the same for ever."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

from tests import oracle
from tests.cases import ACTIVATIONS
from tests.check import C, close, same, same_parameters
from tests.pairwise import once

SHAPE = (211, 97)  # fan_in, fan_out
SPREAD = {  # name -> standard deviation (LeCun 1998, Glorot 2010, He 2015)
    "he_uniform": math.sqrt(2 / 211),
    "he_normal": math.sqrt(2 / 211),
    "glorot_uniform": math.sqrt(2 / (211 + 97)),
    "glorot_normal": math.sqrt(2 / (211 + 97)),
    "lecun_uniform": math.sqrt(1 / 211),
    "lecun_normal": math.sqrt(1 / 211),
}


@once
@pytest.mark.parametrize("name", SPREAD)
def test_spread(nn, name):
    w = nn.init.create(name, SHAPE, 1, 0, np.float64)
    n, sigma = w.size, SPREAD[name]
    kurtosis = 1.8 if "uniform" in name else 3.0
    assert w.shape == SHAPE
    assert abs(w.mean()) < 5 * sigma / n**0.5
    assert abs(w.var() / sigma**2 - 1) < 5 * ((kurtosis - 1) / n) ** 0.5
    assert abs(np.mean((w / sigma) ** 4) - kurtosis) < 0.2
    if "uniform" in name:
        assert np.abs(w).max() <= math.sqrt(3) * sigma


@once
@pytest.mark.parametrize("name", ["he_uniform", "glorot_uniform", "lecun_uniform"])
def test_uniform_weights_are_these(nn, name):
    got = nn.init.create(name, (5, 3), 7, 4, np.float64)
    fans = {"he_uniform": 6 / 5, "glorot_uniform": 6 / 8, "lecun_uniform": 3 / 5}
    want = np.reshape([(2 * u - 1) * math.sqrt(fans[name]) for u in oracle.uniform(15, 7, 0, 4)], (5, 3))
    close("elementwise", got, want, np.full((5, 3), math.sqrt(fans[name])))


@once
@pytest.mark.parametrize(("name", "value"), [("zeros", 0.0), ("ones", 1.0)])
def test_constant(nn, dtype, name, value):
    same(nn.init.create(name, (3, 5), 0, 0, dtype), np.full((3, 5), value, dtype))


@once
@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (31, 17), (17, 31), (1, 5)])
def test_orthogonal(nn, shape):
    w = nn.init.create("orthogonal", shape, 3, 0, np.float64)
    assert w.shape == shape
    gram = w @ w.T if shape[0] < shape[1] else w.T @ w
    close("product", gram, np.eye(min(shape)), np.full(gram.shape, 10.0 * max(shape)))


@once
@pytest.mark.parametrize("shape", [(7, 7), (31, 17), (17, 31)])
def test_orthogonal_is_the_one_with_a_positive_diagonal(nn, shape):
    """Of all Q with Q·R = Z, Z the normal numbers of the stream: the same weights from every LAPACK."""
    w = nn.init.create("orthogonal", shape, 3, 5, np.float64)
    z = nn.philox.normal((max(shape), min(shape)), 3, 0, 5)
    r = (w if shape[0] >= shape[1] else w.T).T @ z
    assert (np.diagonal(r) > 0).all()
    close("product", np.tril(r, -1), np.zeros(r.shape), np.full(r.shape, 10.0 * max(shape)))


@once
def test_float32_is_the_rounded_float64(nn):
    for name in SPREAD:
        same(
            nn.init.create(name, (5, 7), 1, 2, np.float32),
            nn.init.create(name, (5, 7), 1, 2, np.float64).astype(np.float32),
        )


GLOROT = ["identity", "tanh", "sigmoid", "hardsigmoid", "log_sigmoid", "softsign", "softshrink", "hardshrink",
          "softplus", "softmax", "log_softmax"]


@pytest.mark.parametrize("activation", [case.name for case in ACTIVATIONS if case.name not in (*GLOROT, "selu")])
def test_he_before_the_relu_family(nn, activation):
    layer = nn.Linear(50, 30, activation=activation)
    nn.Sequential(layer)
    assert 0.98 * math.sqrt(6 / 50) < np.abs(layer.weight).max() <= math.sqrt(6 / 50) * (1 + 1e-6)


@pytest.mark.parametrize("activation", [None, *GLOROT])
def test_glorot_otherwise(nn, activation):
    layer = nn.Linear(50, 30, activation=activation)
    nn.Sequential(layer)
    assert 0.98 * math.sqrt(6 / 80) < np.abs(layer.weight).max() <= math.sqrt(6 / 80) * (1 + 1e-6)


def test_selu_keeps_mean_0_and_variance_1(nn):
    """Through eight layers, by the initial weights that go with it: Klambauer et al. (2017), theorem 1."""
    model = nn.Sequential(*[nn.Linear(400, 400, activation="selu") for _ in range(8)], seed=3)
    y = model(np.random.default_rng(0).normal(size=(300, 400)))
    assert abs(y.mean()) < 0.1
    assert 0.85 < y.var() < 1.15
    again = nn.Sequential(nn.Linear(400, 400, activation="selu", init="lecun_normal"), seed=3)
    same(again.layers[0].weight, model.layers[0].weight)


def test_named_initialiser(nn):
    layer = nn.Linear(5, 5, init="orthogonal")
    model = nn.Sequential(layer, dtype="float64")           # a model that nobody keeps is gone at once
    assert model.layers == (layer,)
    assert np.abs(layer.weight.T @ layer.weight - np.eye(5)).max() < C["product"] * 1e-13


def test_biases_are_zero(nn):
    for activation in (None, "relu", "tanh"):
        model = nn.Sequential(nn.Linear(3, 7, activation=activation))
        same(model.state_dict()["0.bias"], np.zeros(7, model.dtype))


def test_each_parameter_has_its_stream(nn):
    """Depth first, biases count: the second weight below is parameter 2, the one after the missing bias 5."""
    inner = nn.Sequential(nn.Linear(4, 2, init="he_uniform"), nn.Tanh())
    model = nn.Sequential(
        nn.Linear(3, 4, init="he_uniform"),
        inner,
        nn.Linear(2, 5, bias=False, init="he_uniform"),
        nn.Linear(5, 3, init="he_uniform"),
        seed=11,
        dtype="float64",
    )
    got = model.state_dict()
    for name, stream in [("0.weight", 0), ("1.0.weight", 2), ("2.weight", 4), ("3.weight", 5)]:
        w = got[name]
        want = np.reshape([(2 * u - 1) * math.sqrt(6 / len(w)) for u in oracle.uniform(w.size, 11, 0, stream)], w.shape)
        close("elementwise", w, want, np.full(w.shape, math.sqrt(6 / len(w))), name)


def test_seed_decides(nn):
    def weights(seed):
        return nn.Sequential(nn.Linear(3, 5), seed=seed).state_dict()["0.weight"]

    same(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))
    assert not np.array_equal(weights(1), weights(1 + 2**32))


KINDS = [("Linear", (6, 4), (6, 4)), ("DropConnect", (6, 4), (6, 4)), ("Conv2d", (2, 3, 2), (3, 2, 2, 2))]


def weight(nn, kind, arguments, **named):
    model = nn.Sequential(getattr(nn, kind)(*arguments, **named), seed=3, dtype="float64")
    return model.state_dict()["0.weight"]


@pytest.mark.parametrize(("kind", "arguments", "shape"), KINDS)
def test_gain_number_array_function(nn, kind, arguments, shape):
    he = weight(nn, kind, arguments, init="he_normal")
    close("elementwise", weight(nn, kind, arguments, init=nn.Init("he_normal", 0.1)), 0.1 * he, np.abs(he))
    same(weight(nn, kind, arguments, init=nn.Init("he_normal")), he)
    same(weight(nn, kind, arguments, init=-0.25), np.full(shape, -0.25))
    values = np.arange(24.0).reshape(shape)
    same(weight(nn, kind, arguments, init=values), values)
    same(weight(nn, kind, arguments, init=values.astype(np.float32).tolist()), values)
    seen = []

    def function(shape, seed):
        seen.append((shape, seed))
        return np.random.default_rng(seed).normal(size=shape)

    drawn = weight(nn, kind, arguments, init=function)
    low, high = oracle.words(2, 3, 0, 0)
    assert seen == [(shape, low + 2**32 * high)]
    same(drawn, np.random.default_rng(seen[0][1]).normal(size=shape))


def test_functions_get_seeds_apart(nn):
    def make(seed):
        seeds = []
        layers = [nn.Linear(2, 2, init=lambda shape, seed: [seeds.append(seed)] and np.zeros(shape)) for _ in range(2)]
        _ = nn.Sequential(*layers, seed=seed).params
        return seeds

    assert len({*make(1), *make(2)}) == 4


def test_an_array_is_copied(nn):
    values = np.ones((2, 1))
    model = nn.Sequential(nn.Linear(2, 1, init=values))
    values[:] = 5
    assert model[0].weight.tolist() == [[1.0], [1.0]]
    with pytest.raises(ValueError, match="read-only"):
        model[0].init[:] = 5


def made_from(nn, init):
    return nn.Sequential(nn.Linear(3, 2, init=init), nn.Linear(2, 2, init=nn.Init("orthogonal", 0.5)), seed=1)


def double(shape, seed):
    return np.full(shape, 2.0)


@pytest.mark.parametrize(
    "init", [np.array([[1.0, -2], [0.1, 4], [5, 6]]), 0.5, double], ids=["array", "number", "function"])
def test_records_and_files(nn, ref, fast, tmp_path, init):
    """A file has the weights, so what they once started from does not matter; a record must make it again."""
    model = made_from(nn, init)
    same_parameters(copy.deepcopy(model), model)
    same_parameters(pickle.loads(pickle.dumps(model)), model)
    if init is double:
        with pytest.raises(TypeError, match=r"Linear\.init: expected a value that a record can hold"):
            model.config()
    else:
        again = nn.from_config(json.loads(json.dumps(model.config())))
        same_parameters(again, model)
        assert again[1].init.gain == 0.5
    model.save(path := tmp_path / "model.safetensors")
    for package in (ref, fast):
        found = package.load(path)
        for name, value in model.state_dict().items():
            same(found.state_dict()[name], value)
    x, t = np.ones((4, 3)), np.zeros(4, int)
    given = {"loss": nn.CrossEntropyLoss(), "optimizer": nn.SGD(), "batch_size": 2}
    model.fit(x, t, **given, callbacks=[nn.ModelCheckpoint(tmp_path / "run.safetensors")])
    other = made_from(nn, init)
    other.fit(x, t, **given | {"optimizer": nn.SGD()}, epochs=1, resume=tmp_path / "run.safetensors",
              callbacks=[nn.ModelCheckpoint(tmp_path / "other.safetensors")])
    same_parameters(other, model)


def test_compare_builds_all_of_them(fast):
    layers = [fast.Linear(3, 3, init=each) for each in (double, np.eye(3), 0.5, fast.Init("he_normal", 3))]
    model = fast.Sequential(*layers, dtype="float64")
    report = fast.compare(model, np.eye(3) / 10, np.arange(3), fast.CrossEntropyLoss(), fast.SGD())
    assert report.worst < 1e-9


def test_a_layer_of_ones_own_takes_all_of_them(nn):
    class Scale(nn.CustomLayer):
        def __init__(self, init):
            self.init = init
            self.add("weight", (2,), init)

        def forward_pass(self, x, training):
            return x * self.values["weight"]

    for init, want in [([1, 2], [1, 2]), (3, [3, 3]), (double, [2, 2]), (nn.Init("ones", 4), [4, 4])]:
        assert nn.Sequential(Scale(init))(np.ones((1, 2))).tolist() == [want]


@pytest.mark.parametrize(("init", "error", "message"), [
    (np.ones((2, 3)), ValueError, r"init: expected \(3, 2\), got \(2, 3\)"),
    (math.nan, ValueError, "init: expected a finite number, got nan"),
    ([[1, 2], [3, 4], [5, math.inf]], ValueError, "init: expected finite numbers, got NaN or infinity"),
    ([[1, 2], [3]], ValueError, "init: expected an array of numbers, got rows of different lengths"),
    (True, TypeError, "init: expected a finite number, got True"),
    ({"gain": 2}, TypeError, "init: expected a name, an Init, a number, an array or a function, got {'gain': 2}"),
    (float, TypeError, "init: expected a name, an Init, a number, an array or a function, got <class 'float'>"),
])
def test_bad_initialisers(nn, init, error, message):
    with pytest.raises(error, match=message):
        nn.Linear(3, 2, init=init)


def test_bad_values_of_a_function(nn):
    layer = nn.Linear(3, 2, init=lambda shape, seed: np.ones(3))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"init\(shape, seed\): expected \(3, 2\), got \(3,\)"):
            layer(np.ones((1, 3)))
    for returned in (0, None, double):
        with pytest.raises((ValueError, TypeError), match=r"init\(shape, seed\): expected (\(3, 2\)|numbers), got"):
            nn.Linear(3, 2, init=lambda shape, seed, returned=returned: returned)(np.ones((1, 3)))
    with pytest.raises(ValueError, match="name: unknown name 'he'"):
        nn.Init("he")
    with pytest.raises(ValueError, match="gain: expected a finite number, got inf"):
        nn.Init("ones", math.inf)

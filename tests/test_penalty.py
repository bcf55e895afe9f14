"""L1, L2, elastic net, max-norm: what they add to the loss and the gradient, what they do after the update, to whom."""

import copy
import pickle

import numpy as np
import pytest

from tests import cases
from tests.check import close, normal, same, same_parameters
from tests.pairwise import chequered, pairwise

OPTIMIZERS = {case.name: case.make for case in cases.OPTIMIZERS if "weight_decay" not in case.arguments}
PENALTIES = {case.name: case.make for case in cases.PENALTIES} | {
    "several": lambda nn: (nn.ElasticNet(0.01, 0.02), nn.MaxNorm(0.9))}


def net(nn, penalty=None, dtype="float64", inner=None):
    """Weights of two kinds, biases away from 0, and parameters of normalisation, which no penalty touches."""
    model = nn.Sequential(
        nn.Linear(12, 27, activation="tanh"), nn.BatchNorm1d(27),
        nn.Sequential(nn.DropConnect(27, 32, 0.2, mask="batch", inference="mean"), penalty=inner),
        nn.Dropout(0.1), nn.Linear(32, 3), seed=2, dtype=dtype, penalty=penalty,
    )  # fmt: skip
    for layer in (model.layers[0], model.layers[-1]):
        layer.bias = 0.5 + 0.1 * normal(layer.bias.shape, seed=5)
    return model


def images(nn, penalty=None, dtype="float64"):
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1, activation="relu"), nn.Flatten(), nn.Linear(60, 3), seed=2, dtype=dtype,
        penalty=penalty,
    )  # fmt: skip


def wide(nn, penalty=None, dtype="float64"):
    return nn.Sequential(nn.Linear(12, 149, activation="relu"), nn.Linear(149, 3), seed=2, dtype=dtype, penalty=penalty)


X, T = normal((9, 12)), np.arange(9) % 3


def train(nn, model, optimizer, steps=20, x=X):
    return [model.step(x, T, nn.CrossEntropyLoss(), optimizer) for _ in range(steps)]


@pairwise("isa", penalty=list(PENALTIES), optimizer=list(OPTIMIZERS))
def test_engine_agrees(ref, fast, isa, penalty, optimizer):
    losses, models = [], []
    for nn in (ref, fast):
        models.append(net(nn, PENALTIES[penalty](nn)))
        losses.append(train(nn, models[-1], OPTIMIZERS[optimizer](nn, clip_norm=2.0), 6))
    assert np.abs(np.subtract(*losses)).max() < 1e-10
    for name, value in models[0].state_dict().items():
        assert np.abs(value - models[1].state_dict()[name]).max() < 1e-9, name


@pytest.mark.parametrize("penalty", PENALTIES)
def test_engine_agrees_on_images(ref, fast, dtype, penalty):
    models = [images(nn, PENALTIES[penalty](nn), dtype) for nn in (ref, fast)]
    models[0].load_state_dict(models[1].state_dict())
    for nn, model in zip((ref, fast), models, strict=True):
        train(nn, model, nn.SGD(lr=0.1), 5, X.reshape(9, 1, 4, 3))
    for name, value in models[0].state_dict().items():
        assert np.abs(value - models[1].state_dict()[name]).max() < 100 * np.finfo(dtype).eps, name


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_l2_is_weight_decay_for_sgd(nn, momentum):
    one, other = net(nn, nn.L2(0.1)), net(nn)
    train(nn, one, nn.SGD(lr=0.1, momentum=momentum))
    train(nn, other, nn.SGD(lr=0.1, momentum=momentum, weight_decay=0.1))
    for name, value in one.state_dict().items():
        assert np.abs(value - other.state_dict()[name]).max() < 1e-14, name


def test_l2_is_not_adamw(nn):
    one, other = net(nn, nn.L2(0.1)), net(nn)
    train(nn, one, nn.Adam(lr=0.02))
    train(nn, other, nn.AdamW(lr=0.02, weight_decay=0.1))
    assert max(np.abs(value - other.params[name]).max() for name, value in one.params.items()) > 0.01


def test_value(nn, dtype):
    """λ₁·Σ|w| + ½λ₂·Σw² over weights; biases and BatchNorm's parameters when asked."""
    for biases in (False, True):
        model = net(nn, nn.ElasticNet(0.3, 0.7, biases=biases), dtype)
        covered = [value.astype(float) for _, value, _, decays in model.parameters() if decays or biases]
        assert len(covered) == (8 if biases else 3)
        want = sum(0.3 * np.abs(w).sum() + 0.35 * (w**2).sum() for w in covered)
        assert model.penalty_value() == pytest.approx(want, rel=1e-12)
        plain = net(nn, None, dtype)
        total = model.step(X, T, nn.CrossEntropyLoss(), nn.SGD())
        assert total == pytest.approx(plain.step(X, T, nn.CrossEntropyLoss(), nn.SGD()) + want, rel=1e-12)
        assert model.penalty_loss == pytest.approx(want, rel=1e-12)
        assert plain.penalty_loss == plain.penalty_value() == 0


def test_proximal_step(nn, dtype):
    """w' = sign(v)·max(|v| − lr·λ, 0), v what gradient descent gives; a threshold of λ would be ten times that."""
    lr, strength = 0.1, 0.5
    plain, sparse = net(nn, None, dtype), net(nn, nn.L1(strength), dtype)
    train(nn, plain, nn.SGD(lr=lr), 1)
    train(nn, sparse, nn.SGD(lr=lr), 1)
    for (name, v, _, decays), (_, w, _, _) in zip(plain.parameters(), sparse.parameters(), strict=True):
        v = v.astype(float)
        want = np.sign(v) * np.maximum(np.abs(v) - lr * strength, 0) if decays else v
        close("elementwise", w, want, np.abs(v) + lr * strength, name)
        if decays:
            assert ((w == 0) == (np.abs(v) <= np.asarray(lr * strength, dtype))).all()


def test_zeros(nn):
    """The soft threshold makes exact zeros, the subgradient makes none; a zero may come back."""
    proximal, subgradient = net(nn, nn.L1(0.05)), net(nn, nn.L1(0.05, mode="subgradient"))
    train(nn, proximal, nn.SGD(lr=0.1), 60)
    train(nn, subgradient, nn.SGD(lr=0.1), 60)

    def zeros(model):
        return sum(int((value == 0).sum()) for _, value, _, decays in model.parameters() if decays)

    assert zeros(proximal) > 300
    assert zeros(subgradient) == 0
    assert f"{zeros(proximal):,}" in proximal.summary()
    assert "exact zeros" not in subgradient.summary()


def test_a_zero_may_come_back(nn, dtype):
    layer = nn.Linear(1, 1, bias=False, init="zeros")
    model = nn.Sequential(layer, dtype=dtype, penalty=nn.L1(0.5))
    model.step(np.ones((1, 1)), np.ones((1, 1)), nn.MSELoss(), nn.SGD(lr=1.0))          # 0 + 2, less 0.5
    assert layer.weight == 1.5


def test_subgradient(nn, dtype):
    """g + λ·sign(w) with sign(0) = 0."""
    layer = nn.Linear(3, 1, bias=False)
    model = nn.Sequential(layer, dtype=dtype, penalty=nn.L1(0.5, mode="subgradient"))
    layer.weight = np.array([[1.0], [0.0], [-2.0]])
    model.step(np.zeros((1, 3)), np.zeros((1, 1)), nn.MSELoss(), nn.SGD(lr=1.0))
    same(layer.weight.ravel(), np.array([0.5, 0, -1.5], dtype))


@pytest.mark.parametrize("make", [net, images, wide])
def test_max_norm(nn, dtype, make):
    limit = 0.7
    model, plain = make(nn, nn.MaxNorm(limit), dtype), make(nn, None, dtype)
    x = X.reshape(9, 1, 4, 3) if make is images else X
    for each in (model, plain):
        train(nn, each, nn.SGD(lr=0.05), 1, x)
    cut = 0
    for (name, w, _, decays), (_, v, _, _) in zip(model.parameters(), plain.parameters(), strict=True):
        if not decays:
            same(w, v, name)
            continue
        axes = 0 if w.ndim == 2 else (1, 2, 3)
        before = np.sqrt((v.astype(float) ** 2).sum(axis=axes, keepdims=True))
        close("elementwise", w, v * np.minimum(1, limit / before), np.abs(v), name)
        norm = np.sqrt((w.astype(float) ** 2).sum(axis=axes))
        assert (norm <= limit * (1 + 4 * np.finfo(dtype).eps)).all()
        cut += int((before > limit).sum())
    assert cut > 5


@pytest.mark.parametrize("layer", [("Linear", 5, 70), ("Conv2d", 5, 7, 3)], ids=lambda layer: layer[0])
@pytest.mark.parametrize("limit", [2.0, 1e170, 1e250])
def test_max_norm_where_the_square_overflows(nn, layer, limit):
    """In float64: all weights of the unit became 0, also where the limit is above the norm."""
    model = nn.Sequential(getattr(nn, layer[0])(*layer[1:]), seed=0, dtype="float64", penalty=nn.MaxNorm(limit))
    weight = model.layers[0].weight
    units = weight.T if weight.ndim == 2 else weight
    before = units.copy()
    units[::2] *= 1e200
    x = np.zeros((2, 5) if weight.ndim == 2 else (2, 5, 3, 3))
    model.step(x, np.zeros_like(model.predict(x)), nn.MSELoss(), nn.SGD())
    for i, (unit, old) in enumerate(zip(units, before, strict=True)):
        size = 1.0 if i % 2 else 1e200
        length = np.sqrt((old**2).sum())
        want = old * min(size, limit / length)
        close("elementwise", unit, want, 8 * np.abs(want), str(i))


@pytest.mark.parametrize(("layer", "shape", "axes"), [
    (("Embedding", 6, 4), (3, 2), 0), (("ConvTranspose2d", 3, 5, 2), (2, 3, 4, 4), (1, 2, 3)),
    (("ConvTranspose2d", 4, 6, 2, 1, 0, 0, 2), (2, 4, 3, 3), (1, 2, 3))])
def test_max_norm_of_other_weights(nn, dtype, layer, shape, axes):
    """A column of Embedding's table; what leads from one channel of x in ConvTranspose2d."""
    model = nn.Sequential(getattr(nn, layer[0])(*layer[1:]), dtype=dtype, penalty=nn.MaxNorm(0.1))
    before = model[0].weight.astype(float)
    x = np.zeros(shape, dtype)
    model.step(x, np.zeros_like(model(x)), nn.MSELoss(), nn.SGD(lr=0.0))
    norm = np.sqrt((before**2).sum(axis=axes, keepdims=True))
    assert (norm > 0.1).all()
    close("elementwise", model[0].weight, before * (0.1 / norm), np.abs(before))


def test_a_part_of_a_model(nn):
    """A Sequential's penalty covers what is inside it, besides what the outer one's does."""
    inner = net(nn, inner=nn.L1(10.0))
    train(nn, inner, nn.SGD(lr=0.1), 3)
    assert not inner.layers[2].layers[0].weight.any()
    assert inner.layers[0].weight.all()
    both = net(nn, nn.L2(1.0), inner=nn.L2(2.0))
    squares = {name: float((w**2).sum()) for name, w in both.params.items() if name.endswith("weight")}
    assert both.penalty_value() == pytest.approx(
        0.5 * (squares["0.weight"] + squares["4.weight"]) + 1.5 * squares["2.0.weight"], rel=1e-12)


@chequered
@pairwise("nn", "dtype", penalty=list(PENALTIES))
def test_step_and_a_loop_by_hand(nn, dtype, penalty):
    one, other = (net(nn, PENALTIES[penalty](nn), dtype) for _ in range(2))
    optimizer, another, loss = (nn.Adam(clip_norm=0.5), nn.Adam(clip_norm=0.5), nn.CrossEntropyLoss())
    for _ in range(5):
        total = one.step(X, T, loss, optimizer)
        value = loss.forward(other.forward(X, training=True), T)
        assert total == value + other.penalty_value()
        other.backward(loss.backward())
        another.step(other)
    same_parameters(one, other)


def test_clipping_comes_after_the_penalty(nn):
    """The norm that is clipped is that of the whole gradient."""
    model = net(nn, nn.L2(100.0))
    before = model.state_dict()
    train(nn, model, nn.SGD(lr=1.0, clip_norm=0.5), 1)
    moved = sum(((value - before[name]) ** 2).sum() for name, value in model.params.items())
    assert np.sqrt(moved) == pytest.approx(0.5)


def test_history_tells_the_parts(nn):
    model = net(nn, nn.L2(0.1))
    history = model.fit(X, T, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=2, batch_size=5,
                        validation_data=(X, T)).history
    assert list(history) == ["loss", "data_loss", "penalty", "val_loss"]
    assert history["loss"][0] == pytest.approx(history["data_loss"][0] + history["penalty"][0])
    assert history["penalty"][1] < history["penalty"][0]
    still = net(nn, nn.L2(0.1))
    told = still.fit(X, T, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(lr=0), epochs=1, batch_size=5).history
    assert told["penalty"][0] == pytest.approx(still.penalty_value())       # the mean over the batches, not their sum
    assert history["val_loss"][1] == pytest.approx(model.evaluate(X, T, nn.CrossEntropyLoss())["loss"])
    gone = nn.Sequential(nn.Linear(12, 3), penalty=nn.L1(1e3)).fit(
        X, T, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(lr=0.1), epochs=4).history
    assert gone["penalty"][1:] == [0, 0, 0]                 # all weights are 0, and still there is a value an epoch
    limited = nn.Sequential(nn.Linear(12, 3), penalty=nn.MaxNorm(1)).fit(
        X, T, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD()).history
    assert list(limited) == ["loss"]
    plain = net(nn).fit(X, T, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD()).history
    assert list(plain) == ["loss"]


@chequered
@pytest.mark.parametrize("penalty", PENALTIES)
def test_copies(nn, penalty):
    model = net(nn, PENALTIES[penalty](nn), inner=nn.L2(0.5))
    train(nn, model, nn.SGD(), 2)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert repr(twin) == repr(model)
        assert repr(twin.penalty) == repr(model.penalty)
        again = copy.deepcopy(model)
        train(nn, twin, nn.SGD(), 2)
        train(nn, again, nn.SGD(), 2)
        same_parameters(twin, again)


def test_strength_zero_is_the_plain_net(nn, dtype):
    plain, zero = net(nn, None, dtype), net(nn, (nn.ElasticNet(0, 0), nn.MaxNorm(1e9)), dtype)
    assert train(nn, plain, nn.Adam()) == train(nn, zero, nn.Adam())
    same_parameters(plain, zero)


def test_threads(fast, threads):
    models = []
    for count in (1, 3):
        threads(count)
        models.append(fast.Sequential(fast.Linear(193, 521, activation="relu"), fast.Linear(521, 3), dtype="float32",
                                      penalty=(fast.ElasticNet(1e-3, 1e-2), fast.MaxNorm(0.9))))
        optimizer = fast.SGD(lr=0.1)
        for _ in range(3):
            models[-1].step(normal((50, 193), "float32"), np.arange(50) % 3, fast.CrossEntropyLoss(), optimizer)
    same_parameters(*models)

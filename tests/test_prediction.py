"""Probabilities and classes, by the rule of what a model ends in; the mean loss in parts; memory stays bounded."""

import tracemalloc

import numpy as np
import pytest

from tests.check import normal
from tests.pairwise import chequered

X = normal((11, 4))


def softmax(y):
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(y):
    return 1 / (1 + np.exp(-y))


def net(nn, outputs, *end, **arguments):
    return nn.Sequential(nn.Linear(4, outputs, **arguments), *end, seed=3, dtype="float64")


@pytest.mark.parametrize("size", [1, 4, 11, 1024])
def test_logits(nn, size):
    """K outputs compete; of one output the columns are no and yes."""
    model = net(nn, 3)
    y = model.predict(X)
    assert np.allclose(model.predict_proba(X, size), softmax(y), rtol=1e-13)
    assert model.predict_classes(X, size).tolist() == y.argmax(axis=1).tolist()
    model = net(nn, 1)
    y = model.predict(X)
    assert np.allclose(model.predict_proba(X, size), np.hstack([sigmoid(-y), sigmoid(y)]), rtol=1e-13)
    found = model.predict_classes(X, size)
    assert found.dtype == np.int64
    assert found.tolist() == (y[:, 0] > 0).astype(int).tolist()
    assert 0 < found.sum() < len(X)


ENDS = {
    "Softmax": (3, lambda y: y), "LogSoftmax": (3, np.exp), "Sigmoid": (3, lambda y: y),
    "Softmax of one": (1, lambda y: y), "LogSoftmax of one": (1, np.exp),
    "Sigmoid of one": (1, lambda y: np.hstack([1 - y, y])),
}


@chequered
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_probabilities_already(nn, end, fused):
    outputs, wanted = ENDS[end]
    last = getattr(nn, end.split()[0])()
    model = net(nn, outputs, activation=last) if fused else net(nn, outputs, nn.Sequential(last, nn.Identity()))
    y = model.predict(X)
    assert np.allclose(model.predict_proba(X, 3), wanted(y), rtol=1e-14)
    classes = model.predict_classes(X, 3)
    if end == "Sigmoid":
        assert classes.tolist() == (y > 0.5).astype(int).tolist()
    else:
        assert classes.tolist() == wanted(y).argmax(axis=1).tolist()


def test_labels(nn):
    """multilabel: each output for itself, as BCEWithLogitsLoss trains them."""
    for outputs in (1, 3):
        model = net(nn, outputs, nn.Dropout(0.5))
        y = model.predict(X)
        assert np.allclose(model.predict_proba(X, 4, multilabel=True), sigmoid(y), rtol=1e-13)
        assert model.predict_classes(X, 4, multilabel=True).tolist() == (y > 0).astype(int).tolist()


def test_dtype_and_extremes(nn, dtype):
    """In the model's dtype; large logits neither overflow nor become NaN."""
    model = nn.Sequential(nn.Identity(), dtype=dtype)
    found = model.predict_proba(np.array([[1000.0], [-1000.0]]))
    assert found.dtype == dtype
    assert found.tolist() == [[0, 1], [1, 0]]


def test_what_a_users_layer_calls_its_activation_is_its_own(nn):
    class Own(nn.CustomLayer):
        def __init__(self):
            self.activation = nn.ReLU()

        def forward_pass(self, x, training):
            return x

    assert np.array_equal(net(nn, 3, Own()).predict_proba(X), net(nn, 3).predict_proba(X))


def test_refused(nn):
    class Clip(nn.CustomActivation):
        def act(self, u):
            return np.clip(u, 0, 1)

        def act_backward(self, dy, u, y):
            return dy * (u == y)

    for model, found in ((net(nn, 3, activation="relu"), "ReLU"), (net(nn, 1, nn.Tanh()), "Tanh"),
                         (net(nn, 3, Clip()), "Clip"), (net(nn, 3, activation=Clip()), "Clip")):
        for method in ("predict_proba", "predict_classes"):
            with pytest.raises(ValueError, match=f"{method}: expected a model that ends in logits, a Softmax, "
                                                 f"LogSoftmax or Sigmoid, got one that ends in a {found}"):
                getattr(model, method)(X)
    with pytest.raises(ValueError, match=r"predict_proba: expected outputs \(n, K\), got \(n, 2, 3, 3\)"):
        nn.Sequential(nn.Conv2d(1, 2, 1)).predict_proba(np.zeros((2, 1, 3, 3)))
    with pytest.raises(ValueError, match="multilabel: expected False for a model that ends in a Softmax"):
        net(nn, 3, nn.Softmax()).predict_proba(X, multilabel=True)
    with pytest.raises(ValueError, match=r"x: expected \(n, 4\), got \(2, 3\)"):
        net(nn, 3).predict_classes(np.zeros((2, 3)), batch_size=1)
    with pytest.raises(ValueError, match=r"x: expected \(n, 4\), got \(2, 3\)"):
        net(nn, 3).outputs(np.zeros((2, 3)), batch_size=1)
    with pytest.raises(ValueError, match=r"x: expected at least one number in a row, got \(5, 0\)"):
        nn.Sequential(nn.ReLU()).predict(np.zeros((5, 0)), batch_size=2)
    with pytest.raises(ValueError, match=r"x: expected at least one row, got \(0, 4\)"):
        net(nn, 3).predict_proba(np.zeros((0, 4)))
    with pytest.raises(ValueError, match="batch_size: expected an integer >= 1, got 0"):
        net(nn, 3).predict_proba(X, batch_size=0)


# ---- evaluate ----


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "MSELoss"])
def test_evaluate_in_parts(nn, name, weighted):
    """The mean of all, put together from those of parts of any size: also where classes and examples weigh."""
    model, w = net(nn, 3), np.arange(11.0) if weighted else None
    t = np.arange(11) % 3 if name == "CrossEntropyLoss" else normal((11, 3), seed=1)
    loss = nn.CrossEntropyLoss(0.1, class_weight=[0.5, 3, 1]) if name == "CrossEntropyLoss" else nn.MSELoss()
    want = loss(model.predict(X), t, w)
    for size in (1, 2, 7, 11, 100):
        assert model.evaluate(X, t, loss, batch_size=size, sample_weight=w)["loss"] == pytest.approx(want, rel=1e-13)


def test_evaluate_names_the_row(nn):
    t = np.arange(11) % 3
    t[9] = 3
    with pytest.raises(ValueError, match="t: expected class numbers from 0 to 2, got 3 at row 9"):
        net(nn, 3).evaluate(X, t, nn.CrossEntropyLoss(), batch_size=4)


def test_a_loss_of_ones_own_sees_everything(nn):
    class Largest(nn.CustomLoss):
        def value_and_gradient(self, y, t, weights):
            return float(np.abs(y - t).max()), np.zeros_like(y)

    model, t = net(nn, 1), normal((11, 1), seed=1)
    want = np.abs(model.predict(X) - t).max()
    assert model.evaluate(X, t, Largest(), batch_size=2)["loss"] == want


@pytest.mark.parametrize("whole", [
    np.arange(-44, 44, 2).reshape(11, 4).astype(np.int8), np.asfortranarray(X), X[::-1], X.astype(">f8"),
    np.broadcast_to(X[:1], (11, 4)), X.tolist()], ids=["bytes", "columns", "backwards", "swapped", "repeated", "lists"])
def test_predict_converts_by_batches(nn, whole):
    """To the same numbers."""
    model = net(nn, 3)
    want = model.predict(np.array(whole, float))
    for size in (1, 4, 10, 11, 12):
        for predict in (model.predict, model.predictor().predict):
            np.testing.assert_allclose(predict(whole, size), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["model", "predictor"])
def test_a_prediction_needs_the_memory_of_a_batch(nn, kind):
    """26 MB if they were converted at once."""
    model = nn.Sequential(nn.Linear(64, 1), dtype="float64")
    predict = (model if kind == "model" else model.predictor()).predict
    x = np.zeros((50_000, 64), np.int8)
    tracemalloc.start()
    predict(x, batch_size=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


@pytest.mark.slow
def test_memory_stays_bounded(ref):
    """4 MB of inputs in another dtype, and hidden layers 50 times as wide: neither is in memory as a whole."""
    model = ref.Sequential(ref.Linear(8, 400, activation="relu"), ref.Linear(400, 1), dtype="float64")
    x, t = np.zeros((500_000, 8), np.int8), np.zeros(500_000, np.int8)
    for call in (lambda: model.predict_classes(x, 100), lambda: model.evaluate(x[:60_000], t[:60_000], ref.MSELoss())):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6

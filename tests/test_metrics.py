"""Metrics: each from its definition, beside scikit-learn's, at the edges, and as fit and evaluate use them."""

import functools
import importlib
import math
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as sk

from fastnn_ref.shared import metrics
from fastnn_ref.shared.custom import CustomLoss
from fastnn_ref.shared.fit import fit
from fastnn_ref.shared.metrics import Metric
from tests.check import close, normal

INTO = st.integers(0, 2**32 - 1)


def classes(seed, n, k, ties=False):
    """Outputs (n, k), with or without equal ones among them, and class numbers."""
    rng = np.random.default_rng(seed)
    y = rng.integers(-2, 3, (n, k)).astype(float) if ties else rng.normal(size=(n, k))
    return y, rng.integers(0, k, n)


def softmax(y):
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(y):
    return 1 / (1 + np.exp(-y))


# ---- decisions ----


@pytest.mark.slow
@given(INTO, st.integers(1, 40), st.integers(2, 5), st.booleans())
def test_classes_as_scikit_learn_counts_them(seed, n, k, ties):
    """Also where a class is never predicted, never true, or the only one."""
    y, t = classes(seed, n, k, ties)
    predicted = y.argmax(axis=1)
    for name, theirs in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        want = theirs(t, predicted, average="macro", zero_division=0)
        close("sum", np.float64(getattr(metrics, name)(y, t)), want, k)
    assert metrics.accuracy(y, t) == sk.accuracy_score(t, predicted)
    assert metrics.accuracy(y, np.eye(k)[t]) == metrics.accuracy(y, t)


@pytest.mark.slow
@given(INTO, st.integers(1, 40), st.integers(1, 4), st.sampled_from([0.0, 0.5]))
def test_labels_as_scikit_learn_counts_them(seed, n, k, threshold):
    """One output: the positive class. Several: each on its own, the mean over them."""
    rng = np.random.default_rng(seed)
    y, t = rng.normal(size=(n, k)), rng.integers(0, 2, (n, k))
    predicted, average = (y > threshold).astype(int), "binary" if k == 1 else "macro"
    for name, theirs in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        want = theirs(t, predicted, average=average, zero_division=0)
        close("sum", np.float64(getattr(metrics, name)(y, t, threshold)), want, k)
        assert getattr(metrics, name)(y, 2 * t - 1, threshold) == getattr(metrics, name)(y, t, threshold)
    assert metrics.accuracy(y, t, threshold) == np.mean(predicted == t)


def test_a_counted_example():
    """Class 0: TP 2, FP 1, FN 0; class 1: TP 1, FP 0, FN 1; class 2 is neither predicted nor true."""
    y, t = np.eye(3)[[0, 0, 0, 1]], np.array([0, 0, 1, 1])
    assert metrics.precision(y, t) == (2 / 3 + 1) / 2
    assert metrics.recall(y, t) == (1 + 1 / 2) / 2
    assert math.isclose(metrics.f1(y, t), (4 / 5 + 2 / 3) / 2)
    assert metrics.accuracy(y, t) == 3 / 4


@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1"])
def test_one_output_is_read_by_a_threshold(name):
    function = getattr(metrics, name)
    logits, t = np.array([[2.0], [0.3], [0.2], [0.1], [-0.3]]), np.array([1, 1, 0, 0, 1])
    assert function(logits, t, 0) == function(sigmoid(logits), t, 0.5) == function(logits[:, 0], t[:, None], 0)
    assert function(logits, t, 0.5) != function(logits, t, 0)
    with pytest.raises(ValueError, match=f"{name}: expected a threshold for outputs that do not compete"):
        function(logits, t)


@pytest.mark.parametrize(
    "y", [[[math.nan, 1.0], [0.0, math.nan]], [[math.nan, math.nan], [math.nan, math.nan]]], ids=["some", "all"]
)
def test_a_nan_is_a_wrong_decision(y):
    y = np.array(y)
    for t in ([0, 1], [1, 0], [0, 0]):
        t = np.array(t)
        assert metrics.accuracy(y, t) == metrics.top_k_accuracy(y, t, 1) == metrics.f1(y, t) == 0
        assert metrics.precision(y, t) == metrics.recall(y, t) == 0
        assert math.isnan(metrics.roc_auc(y, t))
        assert math.isnan(metrics.expected_calibration_error(y, t))
    assert metrics.accuracy(np.full((2, 1), math.nan), np.array([0, 1]), 0) == 0


@given(INTO, st.integers(1, 20), st.integers(2, 6), st.booleans(), st.data())
def test_top_k(seed, n, k, ties, data):
    """The target is among the first of all classes, sorted by output, the first of equal ones first."""
    y, t = classes(seed, n, k, ties)
    top = data.draw(st.integers(1, k - 1))
    order = [sorted(range(k), key=lambda each, row=row: -row[each]) for row in y]
    want = np.mean([target in row[:top] for target, row in zip(t, order, strict=True)])
    assert metrics.top_k_accuracy(y, t, top) == want
    assert metrics.top_k_accuracy(y, t, 1) == metrics.accuracy(y, t)
    if not ties and k > 2:
        assert math.isclose(want, sk.top_k_accuracy_score(t, y, k=top, labels=range(k)))


# ---- ranks ----


def auc(score, answer):
    """P(a yes scores higher than a no), half of the ties."""
    difference = score[answer][:, None] - score[~answer][None, :]
    return ((difference > 0) + (difference == 0) / 2).mean()


def average_precision(score, answer):
    """Σ (recallᵢ − recallᵢ₋₁) precisionᵢ, a threshold at each score from the highest on."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        chosen = score >= threshold
        recall = (chosen & answer).sum() / answer.sum()
        total += (recall - before) * (chosen & answer).sum() / chosen.sum()
        before = recall
    return total


@pytest.mark.slow
@given(INTO, st.integers(1, 25), st.integers(1, 3), st.booleans())
def test_ranks_of_labels(seed, n, k, ties):
    rng = np.random.default_rng(seed)
    y = rng.integers(-2, 3, (n, k)).astype(float) if ties else rng.normal(size=(n, k))
    answers = rng.random((n, k)) < 0.4
    both = [i for i in range(k) if 0 < answers[:, i].sum() < n]
    some = [i for i in range(k) if answers[:, i].any()]
    threshold = None if k == 1 else 0.0
    got = metrics.roc_auc(y, answers, threshold), metrics.average_precision(y, answers, threshold)
    want = (np.mean([auc(y[:, i], answers[:, i]) for i in both]) if both else math.nan,
            np.mean([average_precision(y[:, i], answers[:, i]) for i in some]) if some else math.nan)  # fmt: skip
    close("sum", np.array(got), np.array(want), 10 * n)


@pytest.mark.slow
@given(INTO, st.integers(3, 25), st.integers(2, 4))
def test_ranks_of_classes(seed, n, k):
    """One against the rest, by probabilities: softmax of logits, or what is given as such."""
    y, t = classes(seed, n, k)
    t[:k] = np.arange(k)[:n]
    p = softmax(y)
    present = [c for c in range(k) if 0 < (t == c).sum() < n]
    for outputs in (y, p):
        close("sum", np.float64(metrics.roc_auc(outputs, t)), np.mean([auc(p[:, c], t == c) for c in present]), 10 * n)
        want = np.mean([average_precision(p[:, c], t == c) for c in set(t.tolist())])
        close("sum", np.float64(metrics.average_precision(outputs, t)), want, 10 * n)
    if k > 2 and len(present) == k:
        assert math.isclose(metrics.roc_auc(y, t), sk.roc_auc_score(t, p, multi_class="ovr"))


def test_one_kind_of_target_has_no_rank():
    y = normal((6, 1))
    for t in (np.zeros(6), np.ones(6)):
        assert math.isnan(metrics.roc_auc(y, t))
    assert math.isnan(metrics.average_precision(y, np.zeros(6)))
    assert metrics.average_precision(y, np.ones(6)) == 1
    assert math.isnan(metrics.roc_auc(normal((6, 3)), np.zeros(6, int)))


# ---- calibration ----


def calibration(confidence, right, bins):
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@given(INTO, st.integers(1, 40), st.integers(2, 4), st.sampled_from([1, 7, 15]))
def test_calibration_of_classes(seed, n, k, bins):
    y, t = classes(seed, n, k)
    p = softmax(y)
    want = calibration(p.max(axis=1), y.argmax(axis=1) == t, bins)
    for outputs in (y, p):
        assert math.isclose(metrics.expected_calibration_error(outputs, t, bins=bins), want, abs_tol=1e-12)


@given(INTO, st.integers(1, 40))
def test_calibration_of_one_output(seed, n):
    """A logit y is a softmax over (0, y)."""
    y, t = classes(seed, n, 1)[0], np.random.default_rng(seed).integers(0, 2, n)
    two = np.hstack([np.zeros_like(y), y])
    want = metrics.expected_calibration_error(two, t)
    assert math.isclose(metrics.expected_calibration_error(y, t, 0), want, abs_tol=1e-12)
    assert math.isclose(metrics.expected_calibration_error(sigmoid(y), t, 0.5), want, abs_tol=1e-12)


def test_the_right_edge_belongs_to_a_bin():
    """(0, ½] has the first row, (½, 1] the second."""
    y, t = np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([0, 1])
    assert metrics.expected_calibration_error(y, t, bins=2) == (0.5 + 0.75) / 2


def test_calibration_refuses_what_are_no_probabilities():
    with pytest.raises(ValueError, match="expected_calibration_error: expected logits and a threshold of 0"):
        metrics.expected_calibration_error(np.array([[2.0], [0.1]]), np.array([0, 1]), 0.5)
    assert metrics.expected_calibration_error(np.array([[800.0, 0], [0, 800.0]]), np.array([0, 1])) == 0


# ---- values ----

FLOATS = st.floats(-1e3, 1e3)


@given(arrays.arrays(float, st.tuples(st.integers(2, 20), st.integers(1, 3)), elements=FLOATS), INTO)
def test_values_as_scikit_learn(t, seed):
    y = t + np.random.default_rng(seed).normal(size=t.shape)
    scale = np.abs(y - t).sum() + 1
    close("sum", np.float64(metrics.mae(y, t)), sk.mean_absolute_error(t, y), scale)
    close("sum", np.float64(metrics.mse(y, t)), sk.mean_squared_error(t, y), scale**2)
    if (np.ptp(t, axis=0) > 1e-3).all():
        assert math.isclose(metrics.r2(y, t), sk.r2_score(t, y), rel_tol=1e-6, abs_tol=1e-6)


@given(arrays.arrays(float, arrays.array_shapes(max_dims=2, max_side=6), elements=st.floats(width=64)), INTO)
def test_values_never_warn(t, seed):
    """Whatever numbers come: infinite, NaN, so large that squares overflow, constant."""
    y = np.random.default_rng(seed).permutation(t.ravel()).reshape(t.shape)
    for name in ("mae", "mse", "r2"):
        assert isinstance(getattr(metrics, name)(y, t), float)


def test_constant_targets():
    t = np.full((3, 1), 0.1)
    assert metrics.r2(t, t) == 1
    assert metrics.r2(t + np.array([[0], [0], [1e-9]]), t) == 0
    assert metrics.r2(np.ones((1, 1)), np.zeros((1, 1))) == 0
    assert math.isnan(metrics.r2(np.full((3, 1), math.nan), t))


@given(INTO, st.integers(1, 4), st.integers(2, 4))
def test_decisions_never_warn(seed, n, k):
    """One class, one row, ties, classes without predictions: a number between 0 and 1."""
    y, t = classes(seed, n, k, ties=True)
    for name in ("accuracy", "precision", "recall", "f1", "expected_calibration_error", "average_precision"):
        assert 0 <= getattr(metrics, name)(y, t) <= 1, name
        assert 0 <= getattr(metrics, name)(y[:, :1], (t > 0) * np.ones(n), 0) <= 1 or name == "average_precision"


# ---- mistakes ----


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy(np.zeros((3, 2)), np.zeros((3, 1))), "accuracy: expected outputs (n, K) and targets"),
        (lambda: metrics.accuracy(np.zeros((3, 2)), [0, 1, 2]), "t: expected class numbers from 0 to 1, got 2 at"),
        (lambda: metrics.top_k_accuracy(np.zeros((3, 2)), [0, 1, 0], 2),
         "metrics: top_2_accuracy needs more than 2 classes, got 2"),
        (lambda: metrics.top_k_accuracy(np.zeros((3, 2)), [0, 1, 0], np.int64(3)),
         "metrics: top_3_accuracy needs more than 3 classes, got 2"),
        (lambda: metrics.top_k_accuracy(np.zeros((3, 2)), [0, 1, 0], 0), "k: expected an integer >= 1, got 0"),
        (lambda: metrics.accuracy(np.zeros((3, 2)), [0, 1]), "t: expected 3 targets, one for each row of y, got 2"),
        (lambda: metrics.accuracy(np.zeros((0, 2)), []), "y: expected at least one row, got (0, 2)"),
        (lambda: metrics.accuracy(np.zeros((3, 1)), [0, 0.5, 3.5], 0), "accuracy: expected targets from 0 to 1, or −1"),
        (lambda: metrics.f1(np.zeros((3, 1)), [0, -1, 1], 0), "f1: expected targets from 0 to 1, or −1 and 1, got 0 "),
        (lambda: metrics.top_k_accuracy(np.zeros((3, 4)), [0, 1, 2], 4),
         "metrics: top_4_accuracy needs more than 4 classes, got 4"),
        (lambda: metrics.top_k_accuracy(np.zeros((3, 1)), [0, 1, 2]), "top_k_accuracy: expected outputs (n, K)"),
        (lambda: metrics.mae(np.zeros((3, 2)), [0, 1, 2]), "mae: expected outputs and targets of one shape, got"),
        (lambda: metrics.roc_auc(np.zeros((3, 2)), [0, 1, 7]), "t: expected class numbers from 0 to 1, got 7"),
        (lambda: Metric("val_x", max), "name: expected a name that does not begin with 'val_'"),
        (lambda: Metric("x", max, "mni"), "mode: unknown name 'mni', did you mean 'min'?"),
    ],
)  # fmt: skip
def test_message(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value).startswith(message)


def test_types():
    for call, message in (
        (lambda: Metric(3, max), "name: expected a text, got 3"),
        (lambda: Metric("x", 3), "function: expected a function"),
        (lambda: metrics.resolve_metrics("accuracy"), "metrics: expected a sequence"),
        (lambda: metrics.resolve_metrics([float]), "metrics: expected names or functions"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_names():
    found = metrics.resolve_metrics(["accuracy", "top_2_accuracy", "top_12_accuracy", "mae", Metric("odd", max, "max")])
    assert {name: each.direction for name, each in found.items()} == {
        "accuracy": "max", "top_2_accuracy": "max", "top_12_accuracy": "max", "mae": "min", "odd": "max",
    }  # fmt: skip
    assert all(metrics.known_mode(name) for name in metrics.METRICS)
    ways = {name: metrics.known_mode(f"val_{name}") for name in ("loss", "mse", "auc", "share")}
    assert ways == {"loss": "min", "mse": "min", "auc": "max", "share": None}
    with pytest.raises(ValueError, match="did you mean 'recall'"):
        metrics.resolve_metrics(["recal"])
    with pytest.raises(ValueError, match="metrics: unknown name 'top_0_accuracy'"):
        metrics.resolve_metrics(["top_0_accuracy"])


def test_the_record():
    metric = Metric("share", max, mode="max")
    assert repr(metric) == "Metric('share', <built-in function max>, mode='max')"
    with pytest.raises(AttributeError, match="an argument of the constructor cannot be changed"):
        metric.mode = "min"


# ---- in fit and evaluate ----


def classifier(nn, outputs, last=None):
    return nn.Sequential(nn.Linear(4, outputs, activation=last), seed=1, dtype="float64")


X = normal((30, 4))
BINARY = (X[:, 0] > 0.2).astype(int)


@pytest.mark.parametrize("shape", [(30,), (30, 1)])
def test_binary_logits(nn, shape):
    """BCEWithLogitsLoss: yes if the logit is positive."""
    model = classifier(nn, 1)
    names = ["accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "expected_calibration_error"]
    found = model.evaluate(X, BINARY.reshape(shape), nn.BCEWithLogitsLoss(), names)
    logits = model.predict(X)[:, 0]
    assert found["accuracy"] == np.mean((logits > 0) == BINARY)
    assert found["f1"] == sk.f1_score(BINARY, logits > 0)
    assert math.isclose(found["roc_auc"], sk.roc_auc_score(BINARY, logits))
    assert list(found) == ["loss", *names]


@pytest.mark.parametrize(("low", "high", "threshold"), [(0, 1, 0.5), (-1, 1, 0.0)])
def test_binary_values(nn, low, high, threshold):
    """MSELoss: the middle of the two targets."""
    model, x = classifier(nn, 1), normal((400, 4), seed=2)
    answers = x[:, 1] > 0.1
    found = model.evaluate(x, np.where(answers, high, low), nn.MSELoss(), ["accuracy", "recall"])
    assert found["accuracy"] == np.mean((model.predict(x)[:, 0] > threshold) == answers)
    assert math.isclose(found["recall"], np.mean(model.predict(x)[answers, 0] > threshold))
    with pytest.raises(ValueError, match="accuracy: expected targets from 0 to 1, or −1 and 1"):
        model.evaluate(X, 3 * X[:, 0], nn.MSELoss(), ["accuracy"])


def test_labels_are_decided_one_by_one(nn):
    """BCEWithLogitsLoss over several outputs: not the largest."""
    model, t = classifier(nn, 3), (X[:, :3] > 0).astype(int)
    found = model.evaluate(X, t, nn.BCEWithLogitsLoss(), ["accuracy", "recall"])
    predicted = model.predict(X) > 0
    assert found["accuracy"] == np.mean(predicted == t)
    assert math.isclose(found["recall"], sk.recall_score(t, predicted, average="macro"))


def test_one_hot_rows_compete(nn):
    model, t = classifier(nn, 3), np.arange(30) % 3
    want = np.mean(model.predict(X).argmax(axis=1) == t)
    for loss in (nn.MSELoss(), nn.CrossEntropyLoss()):
        assert model.evaluate(X, np.eye(3)[t], loss, ["accuracy"])["accuracy"] == want


class Squares(CustomLoss):
    def value_and_gradient(self, y, t, weights):
        return float(((y - t) ** 2).mean()), 2 * (y - t) / y.size


def test_a_loss_of_ones_own_says_the_threshold():
    """Of one output nobody else knows whether it is a logit."""
    y, t = np.array([[0.3], [0.7]]), np.array([0, 1])
    loss = Squares()
    with pytest.raises(ValueError, match="decision_threshold"):
        metrics.compute_metrics(metrics.resolve_metrics(["accuracy"]), y, t, loss)
    loss.decision_threshold = 0.5
    assert metrics.compute_metrics(metrics.resolve_metrics(["accuracy"]), y, t, loss) == {"accuracy": 1.0}
    explicit = Metric("accuracy", functools.partial(metrics.accuracy, threshold=0), "max")
    assert metrics.compute_metrics({"accuracy": explicit}, y, t, loss) == {"accuracy": 0.5}


def test_targets_have_the_losss_shape(nn):
    """(n,) against (n, 1) would broadcast to (n, n): a mean square of 9.7 where it is 0.004."""
    seen = []

    def square(y, t):
        seen.append((y.shape, t.shape))
        return np.mean((y - t) ** 2)

    model, t = classifier(nn, 1), 3 * X[:, 1]
    found = model.evaluate(X, t, nn.MSELoss(), [square, "mse", "mae", "r2"])
    assert set(seen) == {((30, 1), (30, 1))}
    assert math.isclose(found["square"], found["loss"])
    assert math.isclose(found["mse"], found["loss"])
    assert math.isclose(found["r2"], 1 - found["loss"] / t.var())
    history = model.fit(X, t, loss=nn.MSELoss(), optimizer=nn.SGD(), metrics=[square], validation_data=(X, t))
    assert set(seen) == {((30, 1), (30, 1))}
    assert math.isclose(history.history["val_square"][0], history.history["val_loss"][0])


@pytest.mark.parametrize(("name", "outputs", "t", "want"), [
    ("CrossEntropyLoss", 3, (np.arange(30) % 3).astype(np.uint8), "int64 (30,)"),
    ("CrossEntropyLoss", 3, np.arange(30.0) % 3, "int64 (30,)"),
    ("CrossEntropyLoss", 1, np.zeros(30, int), "int64 (30,)"),
    ("CrossEntropyLoss", 3, np.eye(3, dtype=int)[np.arange(30) % 3], "float64 (30, 3)"),
    ("BCEWithLogitsLoss", 1, X[:, 1] > 0, "float64 (30, 1)"),
    ("MSELoss", 1, np.arange(30, dtype=np.int8), "float64 (30, 1)"),
])
def test_targets_have_the_losss_dtype(nn, name, outputs, t, want):
    """2 t − 1 of bytes would be 255 for no; class numbers are an index."""
    seen = set()
    own = Metric("seen", lambda y, t: seen.add(f"{t.dtype} {t.shape}") or 0)
    model, loss = nn.Sequential(nn.Linear(X.shape[1], outputs), dtype="float64"), getattr(nn, name)()
    model.evaluate(X, t, loss, [own])
    model.fit(X, t, loss=loss, optimizer=nn.SGD(), metrics=[own], validation_data=(X, t))
    assert seen == {want}


def test_any_number_will_do(nn):
    model = classifier(nn, 1)
    values = {"int": 3, "bool": True, "numpy": np.float32(0.5), "zero_dim": np.array(2.0), "count": np.int64(7)}
    own = [Metric(name, lambda y, t, value=value: value) for name, value in values.items()]
    found = model.evaluate(X, X[:, 0], nn.MSELoss(), own)
    assert [found[name] for name in values] == [3.0, 1.0, 0.5, 2.0, 7.0]
    assert all(type(found[name]) is float for name in values)
    for wrong in (np.array([1.0]), None, "0.5", 1j):
        with pytest.raises(TypeError, match="metrics: expected a number from odd, got"):
            model.evaluate(X, X[:, 0], nn.MSELoss(), [Metric("odd", lambda y, t, wrong=wrong: wrong)])


class Began(Exception):
    pass


def fits(nn, model, t, loss, **arguments):
    """The error that comes before the first step, and before the first hook of a callback."""
    class Begun(nn.Callback):
        def on_train_begin(self, logs=None):
            raise Began

    optimizer = nn.SGD()
    before = {name: value.copy() for name, value in model.state_dict().items()}
    with pytest.raises(Exception) as caught:
        fit(model, X, t, loss=loss, optimizer=optimizer, callbacks=[Begun()], **arguments)
    assert not isinstance(caught.value, Began)
    assert model.steps == optimizer.steps == 0
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())
    return caught.value


def test_a_metric_that_does_not_fit_is_told_before_the_first_step(nn):
    def broken(y, t):
        return (y - np.zeros((7, 3))).mean()

    def missing(y, t):
        return {}["key"]

    error = fits(nn, classifier(nn, 3), np.arange(30) % 3, nn.CrossEntropyLoss(), metrics=["mae"])
    assert str(error) == "mae: expected outputs and targets of one shape, got (30, 3) and (30,)"
    error = fits(nn, classifier(nn, 3), np.arange(30) % 3, nn.CrossEntropyLoss(), metrics=[broken])
    assert str(error).startswith("metrics: broken fails for outputs (30, 3) and targets (30,): ValueError: operands")
    error = fits(nn, classifier(nn, 3), np.arange(30) % 3, nn.CrossEntropyLoss(), metrics=[missing])
    assert str(error).endswith("KeyError: 'key'") and isinstance(error, ValueError)
    error = fits(nn, classifier(nn, 1), X[:, 0], nn.MSELoss(), metrics=["top_2_accuracy"])
    assert str(error).startswith("top_k_accuracy: expected outputs (n, K)")
    error = fits(nn, classifier(nn, 1), X[:, 0], nn.MSELoss(), metrics=[lambda y, t: y])
    assert str(error).startswith("metrics: expected a number from <lambda>, got array")


def test_without_scikit_learn(nn, monkeypatch):
    """Told before the first step, with what to type."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("roc_auc", "average_precision"):
        error = fits(nn, classifier(nn, 1), BINARY, nn.BCEWithLogitsLoss(), metrics=[name])
        assert isinstance(error, ModuleNotFoundError)
        assert str(error) == 'scikit-learn is missing: pip install "fastnn[train]"'
    model = classifier(nn, 1)
    assert 0 <= model.evaluate(X, BINARY, nn.BCEWithLogitsLoss(), ["f1", "accuracy"])["f1"] <= 1


def test_a_metric_that_warns_for_what_is_not_yet_predicted(nn):
    """The look before the first step repeats a few predictions; what a metric thinks of those is not shown."""
    calls = []

    def fussy(y, t):
        calls.append(len(y))
        if len(calls) == 1:
            warnings.warn("no rows of class 2", RuntimeWarning, stacklevel=2)
        return 0.0

    fit(classifier(nn, 3), X, np.arange(30) % 3, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), metrics=[fussy])
    assert calls == [30, 30]


def test_weighted_validation(nn):
    """Σ w·l / Σ w, as for the training loss; metrics count each row once."""
    weights, t = np.arange(30.0), np.arange(30) % 3
    model, loss = classifier(nn, 3), nn.CrossEntropyLoss()
    history = fit(model, X, t, loss=loss, optimizer=nn.SGD(), validation_data=(X, t, weights), metrics=["accuracy"])
    assert history.history["val_loss"] == [loss.forward(model.predict(X), t, weights)]
    assert history.history["val_loss"] != [loss.forward(model.predict(X), t)]
    assert history.history["val_accuracy"] == history.history["accuracy"]


def test_weights_go_with_the_split(nn):
    weights, t = np.arange(30.0) ** 2, np.arange(30) % 3
    one, two = classifier(nn, 3), classifier(nn, 3)
    split = fit(one, X, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), validation_split=0.2, sample_weight=weights,
                epochs=2)  # fmt: skip
    given = fit(two, X[:24], t[:24], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), sample_weight=weights[:24],
                validation_data=(X[24:], t[24:], weights[24:]), epochs=2)  # fmt: skip
    assert split.history == given.history


def test_both_packages_agree(ref, fast):
    names = list(metrics.METRICS)
    names.remove("top_5_accuracy")
    found = []
    for nn in (ref, fast):
        model = classifier(nn, 1, "sigmoid")
        found.append(model.evaluate(X, BINARY, nn.MSELoss(), names))
    for name in ("loss", *names):
        assert math.isclose(found[0][name], found[1][name], rel_tol=1e-12), name


def test_the_module_needs_no_scikit_learn():
    assert "sklearn" not in importlib.import_module("fastnn_ref.shared.metrics").__dict__

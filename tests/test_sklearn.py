"""fastnn.sklearn: scikit-learn's own checks of estimators, its numbers, its tools, and what is there besides."""

import copy
import math
import os
import pickle
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn
import fastnn_ref
from tests.check import python
from tests.pairwise import chequered

pytest.importorskip("sklearn")
import scipy.sparse as sp
import sklearn
from joblib import parallel_config
from sklearn import neural_network as their
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.sklearn import ConvClassifier, MLPClassifier, MLPRegressor
from fastnn.sklearn.base import threads
from fastnn.sklearn.training import r2

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
WEIGHTS = np.random.default_rng(0).uniform(0.1, 3, len(Y))
LABELS = (X[:, [0, 2, 3]] > 0).astype(int)
NUMBERS = X[:, 1:]
CLASSIFIERS = MLPClassifier, ConvClassifier
EVERY = MLPClassifier, MLPRegressor, ConvClassifier


def short(kind, **arguments):
    """An estimator that trains for a few epochs."""
    return kind(**{"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0} | arguments)


# ---- scikit-learn's checks ----


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([
    MLPClassifier(max_iter=50), MLPRegressor(max_iter=50), ConvClassifier(channels=(4,), max_iter=50),
])
def test_estimator_check(estimator, check):
    """None is excused. scikit-learn's MLP passes with ``max_iter=100``, too."""
    check(estimator)


# ---- scikit-learn's numbers: the same weights at first, so the same ones at last if nothing is shuffled ----


SGD = {"solver": "sgd", "learning_rate_init": 0.02}
TWO = Y > 0
CASES = {
    "K classes": (MLPClassifier, Y, SGD),
    "two classes": (MLPClassifier, TWO, SGD),
    "labels": (MLPClassifier, LABELS, SGD),
    "logistic": (MLPClassifier, Y, SGD | {"activation": "logistic"}),
    "tanh, identity": (MLPClassifier, Y, SGD | {"activation": "tanh", "hidden_layer_sizes": (5, 4)}),
    "no momentum": (MLPClassifier, Y, SGD | {"momentum": 0.0}),
    "plain momentum": (MLPClassifier, Y, SGD | {"nesterovs_momentum": False}),
    "whole batches": (MLPClassifier, Y, SGD | {"batch_size": 50}),
    "invscaling": (MLPClassifier, Y, SGD | {"learning_rate": "invscaling", "momentum": 0.0, "power_t": 0.1}),
    "adaptive": (MLPClassifier, Y, SGD | {"learning_rate": "adaptive", "momentum": 0.0, "tol": 0.05, "max_iter": 60,
                                         "n_iter_no_change": 2}),
    "invscaling, momentum": (MLPClassifier, Y, SGD | {"learning_rate": "invscaling", "power_t": 0.1}),
    "adaptive, momentum": (MLPRegressor, NUMBERS, SGD | {"learning_rate": "adaptive", "tol": 0.05, "max_iter": 60,
                                                         "n_iter_no_change": 2, "nesterovs_momentum": False}),
    "stops": (MLPClassifier, Y, SGD | {"tol": 0.01, "n_iter_no_change": 3, "max_iter": 100}),
    "early stopping": (MLPClassifier, TWO, SGD | {"early_stopping": True, "max_iter": 30, "n_iter_no_change": 3}),
    "early stopping of labels": (MLPClassifier, LABELS, SGD | {"early_stopping": True, "max_iter": 30}),
    "early stopping of numbers": (MLPRegressor, NUMBERS, SGD | {"early_stopping": True, "max_iter": 30}),
    "one number": (MLPRegressor, NUMBERS[:, 0], SGD),
    "three numbers": (MLPRegressor, NUMBERS, SGD),
    "poisson": (MLPRegressor, np.exp(NUMBERS[:, 0]), SGD | {"loss": "poisson", "learning_rate_init": 1e-3}),
    "adam": (MLPClassifier, Y, {"epsilon": 1e-12}),
    "adam, labels": (MLPClassifier, LABELS, {"epsilon": 1e-12}),
    "adam, three numbers": (MLPRegressor, NUMBERS, {"epsilon": 1e-12}),
    "adam's epsilon": (MLPRegressor, NUMBERS[:, 0], {"epsilon": 1e3, "learning_rate_init": 1.0, "beta_2": 0.0}),
}


@chequered
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("name", CASES)
def test_trains_as_scikit_learn(name, weighted):
    kind, y, arguments = CASES[name]
    arguments = {"hidden_layer_sizes": (6,), "max_iter": 20, "random_state": 0, "shuffle": False, "alpha": 0.3,
                 **arguments}
    batch = arguments.get("batch_size")
    weights = np.tile(WEIGHTS[:batch], len(Y) // batch) if batch else WEIGHTS       # the same sum in each batch
    weights = weights if weighted else None
    one = getattr(their, kind.__name__)(**arguments).fit(X, y, weights)
    two = kind(**arguments).fit(X, y, weights)
    assert two.n_iter_ == one.n_iter_
    np.testing.assert_allclose(two.loss_curve_, one.loss_curve_, rtol=1e-7)
    assert two.best_loss_ == pytest.approx(one.best_loss_)
    for a, b in zip(two.coefs_ + two.intercepts_, one.coefs_ + one.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    assert (two.n_layers_, two.n_outputs_, two.out_activation_, two.t_) == (
        one.n_layers_, one.n_outputs_, one.out_activation_, one.t_)
    np.testing.assert_allclose(two.predict(X), one.predict(X), rtol=1e-6)
    assert two.score(X, y, weights) == pytest.approx(one.score(X, y, weights))
    if arguments.get("early_stopping"):
        np.testing.assert_allclose(two.validation_scores_, one.validation_scores_)
        assert two.best_validation_score_ == pytest.approx(one.best_validation_score_)
    if kind is MLPClassifier:
        np.testing.assert_allclose(two.predict_proba(X), one.predict_proba(X), rtol=1e-6)
        np.testing.assert_allclose(two.predict_log_proba(X), one.predict_log_proba(X), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("kind", "y", "more"), [
    (MLPClassifier, Y, {}), (MLPClassifier, LABELS, {}), (MLPRegressor, X[:, 3], {}),
    (MLPRegressor, np.exp(X[:, 2:4]), {"loss": "poisson"})])
def test_lbfgs_ends_where_scikit_learns_does(kind, y, more):
    arguments = {"solver": "lbfgs", "hidden_layer_sizes": (4,), "max_iter": 12, "random_state": 0, "alpha": 0.1} | more
    one = getattr(their, kind.__name__)(**arguments).fit(X[:, :3], y)
    two = kind(**arguments).fit(X[:, :3], y)
    assert two.loss_ == pytest.approx(one.loss_, rel=1e-6)
    assert two.n_iter_ == one.n_iter_
    with pytest.raises(AttributeError, match="partial_fit"):
        _ = two.partial_fit


def test_lbfgs_reports_the_loss_that_the_others_do():
    """Of several numbers the mean of their squared errors; it was the sum, which is what is minimised."""
    y, weights = X[:, 2:4], np.arange(1.0, len(X) + 1)
    model = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=12, random_state=0, alpha=0.1)
    for given in None, weights:
        errors = ((model.fit(X[:, :2], y, sample_weight=given).predict(X[:, :2]) - y) ** 2).mean(axis=1)
        squares = sum((w**2).sum() for w in model.coefs_)
        penalty = 0.05 * squares / (len(X) if given is None else weights.sum())
        assert model.loss_ == pytest.approx(np.average(errors, weights=given) / 2 + penalty)
        assert model.loss_curve_[-1] == model.best_loss_ == model.loss_


def test_lbfgs_goes_on_with_another_penalty():
    """As scikit-learn's: warm_start keeps the weights."""
    arguments = {"solver": "lbfgs", "hidden_layer_sizes": (4,), "max_iter": 6, "random_state": 0, "warm_start": True}
    one, two = their.MLPRegressor(**arguments), MLPRegressor(**arguments)
    for alpha in (0.1, 1.0):
        for each in (one, two):
            each.set_params(alpha=alpha).fit(X[:, :3], X[:, 3])
        assert two.loss_ == pytest.approx(one.loss_, rel=1e-6)


def test_an_optimizer_as_solver():
    """It is made anew for each fit, in either package, and stays as it was."""
    solver = fastnn.NAdam(lr=0.01)
    fast, ref = (MLPClassifier((4,), solver=solver, max_iter=5, tol=0, n_iter_no_change=9, random_state=0,
                               backend=backend).fit(X, Y) for backend in ("fast", "ref"))
    np.testing.assert_allclose(fast.loss_curve_, ref.loss_curve_, rtol=1e-6)
    assert fast.loss_curve_[-1] < fast.loss_curve_[0]
    assert solver.steps == 0
    first = fast.loss_curve_[-1]
    assert fast.set_params(warm_start=True).fit(X, Y).loss_curve_[-1] < first


def test_signatures_begin_as_scikit_learns():
    """Every argument of scikit-learn's is there, with its default and its place."""
    for kind in MLPClassifier, MLPRegressor:
        theirs, own = getattr(their, kind.__name__)().get_params(), kind().get_params()
        assert {name: own[name] for name in theirs} == theirs


@pytest.mark.parametrize("kind", EVERY)
def test_the_reference_gives_the_same(kind):
    """``backend="ref"``; dropout draws the same masks."""
    fast, ref = (short(kind, backend=backend, dropout=0.2, batch_norm=True).fit(X, Y) for backend in ("fast", "ref"))
    assert type(ref.model_).__module__.startswith("fastnn_ref")
    np.testing.assert_allclose(fast.loss_curve_, ref.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose(fast.predict(X), ref.predict(X), rtol=1e-5)


# ---- data ----


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_string_labels(kind):
    names = np.array(["setosa", "versicolor", "virginica"])
    model = short(kind, max_iter=60, learning_rate_init=0.02).fit(X, names[Y])
    assert model.classes_.tolist() == names.tolist()
    assert model.score(X, names[Y]) > 0.9
    assert short(kind).fit(X, names[TWO.astype(int)]).predict_proba(X).shape == (150, 2)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_array])
def test_sparse(kind, form):
    dense, sparse = short(kind).fit(X, Y), short(kind).fit(form(X), Y)
    assert sparse.loss_curve_ == dense.loss_curve_
    many = form(np.vstack([X] * 8))                     # more than are made dense at a time
    assert (sparse.predict(many) == np.concatenate([dense.predict(X)] * 8)).all()


def test_dataframes():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = short(MLPClassifier).fit(frame, pd.Series(Y))
    assert model.feature_names_in_.tolist() == list("abcd")
    assert (model.predict(frame) == short(MLPClassifier).fit(X, Y).predict(X)).all()
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("badc")])


def test_dtype_is_that_of_the_data():
    model = short(MLPRegressor).fit(X, NUMBERS)
    assert model.model_.dtype == model.predict(X).dtype == "float64"
    assert short(MLPRegressor).fit(X.astype("float32"), NUMBERS).model_.dtype == "float32"
    assert short(MLPRegressor, dtype="float32").fit(X, NUMBERS).predict(X).dtype == "float64"


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_numbers_beyond_float32_are_named(form):
    """They were said to be infinite, and predicted with NaN."""
    big = form(X * 1e300)
    model = short(MLPClassifier, dtype="float32").fit(X, Y)
    before = model.predict_proba(X)
    for call in (model.predict, model.predict_proba, lambda x: model.fit(x, Y), lambda x: model.partial_fit(x, Y),
                 lambda x: short(MLPClassifier, dtype="float32", solver="lbfgs").fit(x, Y)):
        with pytest.raises(ValueError, match=r"^X: expected values within the range of float32, got \d\.\d+e\+300$"):
            call(big)
    with pytest.raises(ValueError, match=r"^X_val: expected values within the range of float32"):
        model.fit(X, Y, X_val=big, y_val=Y)
    assert (model.predict_proba(X) == before).all()
    assert short(MLPClassifier).fit(big, Y).model_.dtype == "float64"


@pytest.mark.parametrize("arguments", [
    {}, {"early_stopping": True}, {"solver": "lbfgs"}, {"loss": fastnn.PoissonNLLLoss()}])
def test_targets_that_a_loss_does_not_take_are_named(arguments):
    """They were named t, or validation_data[1], in a row of those that early_stopping left."""
    x, numbers = X.astype("float32"), abs(NUMBERS)
    numbers[70] = 1e60 if "loss" not in arguments else -1
    with pytest.raises(ValueError, match=r"^y: expected values .* at row 70$"):
        short(MLPRegressor, **arguments).fit(x, numbers)
    if "solver" not in arguments:
        with pytest.raises(ValueError, match=r"^y_val: expected values .* at row 70$"):
            short(MLPRegressor, **arguments).fit(x, abs(NUMBERS), X_val=x, y_val=numbers)


def test_a_loss_that_balances_classes():
    """By the training rows, of which validation data may lack a class."""
    weights = 140 / (3 * np.bincount(Y[:140]))
    balanced, given = (
        short(MLPClassifier, loss=fastnn.CrossEntropyLoss(class_weight=each)).fit(
            X[:140], Y[:140], X_val=X[:90], y_val=Y[:90])
        for each in ("balanced", weights.tolist()))
    assert balanced.loss_curve_ == pytest.approx(given.loss_curve_)
    balanced, given = (
        short(MLPClassifier, loss=fastnn.CrossEntropyLoss(class_weight=each), solver="lbfgs").fit(X[:140], Y[:140])
        for each in ("balanced", weights.tolist()))
    assert balanced.loss_ == pytest.approx(given.loss_)


def test_errors_about_validation_data_say_so():
    """Those of scikit-learn's functions named X, y and sample_weight, in which nothing was wrong."""
    for data in ({"X_val": X * np.nan, "y_val": Y}, {"X_val": X[:, :3], "y_val": Y}, {"X_val": X, "y_val": Y + 5},
                 {"X_val": X, "y_val": Y, "sample_weight_val": -WEIGHTS}):
        with pytest.raises(ValueError, match=r"^X_val, y_val: "):
            short(MLPClassifier).fit(X, Y, **data)


# ---- going on ----


@pytest.mark.parametrize("kind", EVERY)
def test_partial_fit_after_pickle_and_copy(kind):
    model = short(kind, dropout=0.3)
    first = {} if kind is MLPRegressor else {"classes": [0, 1, 2]}
    model.partial_fit(X[:40], Y[:40], **first)
    others = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for each in (model, *others):
        each.partial_fit(X[40:90], Y[40:90])
        assert (each.n_iter_, each.t_, len(each.loss_curve_)) == (1, 90, 2)
    for each in others:
        assert all((a == b).all() for a, b in zip(each.coefs_, model.coefs_, strict=True))


def test_partial_fit_keeps_the_optimizer():
    """Whole epochs one by one are a fit, also where another batch changes the penalty in between."""
    whole = MLPClassifier((4,), **SGD, max_iter=4, random_state=0, shuffle=False, alpha=0.5).fit(X, Y)
    model = MLPClassifier((4,), **SGD, random_state=0, shuffle=False, alpha=0.5)
    theirs = their.MLPClassifier((4,), **SGD, random_state=0, shuffle=False, alpha=0.5)
    for _ in range(4):
        model.partial_fit(X, Y, classes=[0, 1, 2])
    assert model.loss_curve_ == whole.loss_curve_
    for each in model, theirs:
        each.set_params(random_state=0)
    for _ in range(4):
        theirs.partial_fit(X, Y, classes=[0, 1, 2])
    for rows in slice(0, 30), slice(30, 37), slice(0, 150):
        for each in model, theirs:
            each.partial_fit(X[rows], Y[rows])
    np.testing.assert_allclose(model.loss_curve_, theirs.loss_curve_, rtol=1e-9)


def test_warm_start():
    model = short(MLPClassifier, warm_start=True).fit(X, Y)
    before = model.loss_curve_[-1]
    model.fit(X, Y)
    assert len(model.loss_curve_) == 10
    assert model.loss_curve_[5] < before
    model.set_params(early_stopping=True).fit(X, Y)
    assert len(model.validation_scores_) == 5
    with pytest.raises(ValueError, match="same classes"):
        model.fit(X[:100], Y[:100])
    fresh = short(MLPClassifier).fit(X, Y)
    assert len(fresh.fit(X, Y).loss_curve_) == 5


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_another_activation_when_it_goes_on(solver):
    """From then on, as in scikit-learn, whether batches are as large as before or not."""
    arguments = {"solver": solver, "hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0, "shuffle": False,
                 "warm_start": True, "epsilon": 1e-12}
    one, two = their.MLPClassifier(**arguments), MLPClassifier(**arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in one, two:
            each.fit(X, Y).set_params(activation="tanh").fit(X, Y)
            if solver != "lbfgs":
                each.partial_fit(X, Y).set_params(activation="logistic").partial_fit(X[::2], Y[::2])
    assert two.loss_ == pytest.approx(one.loss_, rel=1e-6)
    np.testing.assert_allclose(two.predict_proba(X), one.predict_proba(X), rtol=1e-5)


def test_dropout_may_come_and_go():
    """The optimizer goes on with the layers that move to other places."""
    model = short(MLPClassifier, hidden_layer_sizes=(8, 4)).partial_fit(X, Y, classes=np.unique(Y))
    first = [each.copy() for each in model.coefs_]
    model.model_.layers[0].trainable = False
    model.set_params(dropout=0.5).partial_fit(X, Y)
    nn = fastnn
    assert [type(layer) for layer in model.model_.layers] == [nn.Linear, nn.Dropout, nn.Linear, nn.Dropout, nn.Linear]
    assert (model.coefs_[0] == first[0]).all() and (model.coefs_[2] != first[2]).any()
    steps = model._optimizer.steps
    slots = model._optimizer.state_dict()["mean"]
    model.set_params(dropout=0.0)._change_model([8, 4], model.model_.penalty[0].l2)
    assert model._optimizer.steps == steps and len(model.model_.layers) == 3
    for name, slot in zip(slots, model._optimizer.state_dict()["mean"].values(), strict=True):
        assert (slots[name] == slot).all()


@pytest.mark.parametrize(("change", "message"), [
    ({"hidden_layer_sizes": (5,)}, r"hidden_layer_sizes: expected \(8,\), as when the model was made"),
    ({"hidden_layer_sizes": [8], "alpha": 0.5}, None), ({"hidden_layer_sizes": 8}, None),
    ({"batch_norm": True}, "batch_norm: expected False, as when"), ({"backend": "ref"}, "backend: expected 'fast', as"),
    ({"dtype": "float32"}, "dtype: expected 'float64', as when"), ({"dtype": np.float64}, None),
    ({"channels": (3,)}, r"channels: expected \(2,\), as when"),
    ({"loss": fastnn.CrossEntropyLoss()}, "loss: expected one for the 1 output that the model was made with"),
])
def test_what_cannot_change_when_it_goes_on(change, message):
    kind, more = (ConvClassifier, {"channels": (2,)}) if "channels" in change else (MLPClassifier, {})
    model = short(kind, warm_start=True, image_shape=(2, 2), **more) if more else short(kind, warm_start=True)
    model.fit(X, Y > 0)
    before = model.model_.state_dict()
    model.set_params(**change)
    for call in model.fit, model.partial_fit:
        if message is None:
            call(X[::2], (Y > 0)[::2])
            continue
        with pytest.raises(ValueError, match=message):
            call(X[::2], (Y > 0)[::2])
        assert all((value == before[name]).all() for name, value in model.model_.state_dict().items())


@pytest.mark.parametrize(("arguments", "data"), [
    ({}, {"sample_weight": -WEIGHTS}), ({}, {"X_val": X, "y_val": Y > 3}), ({"loss": "hinge"}, {}),
    ({"activation": "relo"}, {}), ({"callbacks": [3]}, {}), ({"random_state": "one"}, {}),
], ids=["sample_weight", "y_val", "loss", "activation", "callbacks", "random_state"])
@pytest.mark.parametrize("goes_on", [False, True])
def test_a_refused_fit_changes_nothing(arguments, data, goes_on):
    """Neither labels, nor how many features there are: the old weights would say something else."""
    first, second = np.array(["a", "b", "c"])[Y], np.array(["x", "y", "z"])[Y]
    model = short(MLPClassifier).fit(X, first)
    want, before = model.predict(X), dict(vars(model))
    changed = arguments | {"warm_start": goes_on, "alpha": 1.0}
    with pytest.raises((ValueError, TypeError)):
        model.set_params(**changed).fit(X if goes_on else X[:, :3], first if goes_on else second, **data)
    assert all(vars(model)[name] is value for name, value in (before | changed).items())
    assert vars(model).keys() == before.keys() and (model.predict(X) == want).all()


def test_a_refused_fit_of_another_loss():
    """Of a Poisson deviance predictions are exp of the outputs."""
    y = np.exp(X[:, 0])
    model = short(MLPRegressor).fit(X, y)
    want = model.predict(X)
    with pytest.raises(ValueError, match="Negative values"):
        model.set_params(loss="poisson").partial_fit(X, y, sample_weight=-WEIGHTS)
    assert (model.predict(X) == want).all()


def test_an_error_after_the_first_step_keeps_what_was_trained():
    model = short(MLPClassifier).fit(X, Y)

    def stop(epoch, logs):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        model.set_params(callbacks=[fastnn.LambdaCallback(on_epoch_end=stop)]).fit(X, Y > 0)
    assert len(model.loss_curve_) == 1 and model.classes_.dtype == bool


def test_views_are_read_only_and_live():
    model = short(MLPClassifier).fit(X, Y)
    with pytest.raises(ValueError, match="read-only"):
        model.coefs_[0][0, 0] = 1.0
    model.model_.layers[0].bias = np.full(8, 7.0)
    assert (model.intercepts_[0] == 7).all()
    with pytest.raises(AttributeError):
        _ = MLPClassifier().coefs_
    with pytest.raises(NotFittedError):
        MLPClassifier().predict(X)


# ---- scikit-learn's tools ----


def test_search_in_two_processes(monkeypatch):
    """Each worker has its share of the cores, and finds what one process finds."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    def count_threads(estimator, x, y):                 # inside, so that no worker has to import this file
        estimator.predict(x)
        return fastnn.get_num_threads()

    pipeline = make_pipeline(StandardScaler(), short(MLPClassifier))
    grid = {"mlpclassifier__dropout": [0.0, 0.5]}
    scoring = {"score": "accuracy", "threads": count_threads}
    two, one = (GridSearchCV(pipeline, grid, cv=2, n_jobs=n, scoring=scoring, refit="score").fit(X, Y) for n in (2, 1))
    assert (two.cv_results_["mean_test_score"] == one.cv_results_["mean_test_score"]).all()
    assert two.cv_results_["mean_test_threads"].max() <= max(1, os.cpu_count() // 2)


def test_search_in_two_threads():
    """Two models train at the same time, each as alone."""
    model = short(MLPClassifier, batch_norm=True)
    with parallel_config("threading", n_jobs=2):
        two = cross_val_score(model, X, Y, cv=4)
    assert two.tolist() == cross_val_score(model, X, Y, cv=4).tolist()


def test_cross_validation_and_calibration():
    model = make_pipeline(StandardScaler(), short(MLPClassifier, max_iter=60, learning_rate_init=0.02))
    assert cross_val_score(model, X, Y, cv=3).mean() > 0.9
    p = CalibratedClassifierCV(model, cv=3).fit(X, Y).predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_metadata_routing():
    """Weights, and validation data through the steps before."""
    with sklearn.config_context(enable_metadata_routing=True):
        last = short(MLPClassifier).set_fit_request(sample_weight=True, X_val=True, y_val=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = make_pipeline(scaler, last, transform_input=["X_val"])
        model.fit(X, Y, sample_weight=WEIGHTS, X_val=X[::3], y_val=Y[::3])
        scaled = StandardScaler().fit(X)
        alone = short(MLPClassifier).fit(scaled.transform(X), Y, WEIGHTS, X_val=scaled.transform(X[::3]), y_val=Y[::3])
        np.testing.assert_allclose(model[-1].loss_curve_, alone.loss_curve_)
        np.testing.assert_allclose(model[-1].validation_loss_curve_, alone.validation_loss_curve_)


def test_threads_are_set_back():
    class See(fastnn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(fastnn.get_num_threads())

    seen, before = [], fastnn.get_num_threads()
    short(MLPClassifier, n_threads=1, callbacks=[See()]).fit(X, Y)
    assert seen == [1] * 5
    assert fastnn.get_num_threads() == before


def test_a_limit_of_threads_is_that_of_one_python_thread(fast):
    """Two trainings at once, of which each ends after the other has begun: nothing is left of their limits."""
    def count(pool):
        return pool.submit(fastnn.get_num_threads).result()

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        before = count(one), count(two)
        limits = threads(1), threads(1)
        one.submit(limits[0].__enter__).result()
        assert (count(one), count(two)) == (1, before[1])
        two.submit(limits[1].__enter__).result()
        one.submit(limits[0].__exit__, None, None, None).result()
        assert (count(one), count(two)) == (before[0], 1)
        two.submit(limits[1].__exit__, None, None, None).result()
        assert (count(one), count(two)) == before


# ---- what is there besides ----


def test_layers():
    model = short(MLPClassifier, hidden_layer_sizes=(8, 4), activation="gelu", dropout=0.25, batch_norm=True).fit(X, Y)
    assert [type(layer).__name__ for layer in model.model_.layers] == [
        "Linear", "BatchNorm1d", "GELU", "Dropout", "Linear", "BatchNorm1d", "GELU", "Dropout", "Linear"]
    leaky = short(MLPClassifier, activation=fastnn_ref.LeakyReLU(0.3)).fit(X, Y)        # of the other package
    assert isinstance(leaky.model_.layers[0].activation, fastnn.LeakyReLU)
    again = clone(leaky).fit(X, Y)
    assert again.loss_curve_ == pickle.loads(pickle.dumps(leaky)).loss_curve_
    odd = short(MLPClassifier, batch_norm=True, batch_size=149).fit(X, Y)               # would leave a batch of one
    assert np.isfinite(odd.loss_curve_).all()


def test_one_sample_cannot_be_normalised_over():
    """One image can, unless a hidden layer follows."""
    model = short(MLPClassifier, batch_norm=True).fit(X, Y)
    before = model.predict_proba(X)
    for again in model.fit, lambda x, y: model.partial_fit(x, y, classes=[0, 1, 2]):
        with pytest.raises(ValueError, match=r"^X: expected at least 2 samples to train with, .*, got 1 sample$"):
            again(X[:1], Y[:1])
        np.testing.assert_array_equal(model.predict_proba(X), before)
    with pytest.raises(ValueError, match=r"^X: expected at least 2 samples"):
        ConvClassifier((2,), (3,), batch_norm=True, max_iter=1).fit(X[:1], Y[:1])
    ConvClassifier((2,), (), batch_norm=True, max_iter=1).fit(X[:1], Y[:1])


def test_validation_data():
    """The loss without penalty and the score of the model after each epoch."""
    model = short(MLPClassifier, alpha=1.0).fit(X[::2], Y[::2], X_val=X[1::2], y_val=Y[1::2])
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == 5
    p = model.predict_proba(X[1::2])[np.arange(75), Y[1::2]]
    assert model.validation_loss_curve_[-1] == pytest.approx(-np.log(p).mean())
    assert model.validation_scores_[-1] == model.score(X[1::2], Y[1::2])
    with pytest.raises(ValueError, match="X_val, y_val: expected both"):
        short(MLPClassifier).fit(X, Y, X_val=X)
    stopped = short(MLPRegressor, early_stopping=True, max_iter=30, learning_rate_init=0.1, batch_size=8)
    stopped.fit(X[::2], X[::2, 0], X_val=X[1::2, ::-1], y_val=X[1::2, 0])           # which it gets worse at
    assert stopped.validation_scores_[-1] < max(stopped.validation_scores_) == stopped.best_validation_score_
    assert stopped.score(X[1::2, ::-1], X[1::2, 0]) == pytest.approx(stopped.best_validation_score_)
    poisson = short(MLPRegressor, loss="poisson").fit(X, np.exp(X[:, 0]), X_val=X, y_val=np.exp(X[:, 0]))
    t, found = np.exp(X[:, 0]), poisson.predict(X)
    assert poisson.validation_loss_curve_[-1] == pytest.approx((t * np.log(t / found) - t + found).mean())


@pytest.mark.parametrize(("kind", "arguments"), [
    (MLPClassifier, {}), (MLPRegressor, {}), (MLPRegressor, {"loss": "poisson"})])  # fmt: skip
@pytest.mark.parametrize("what", ["trains with", "sets apart"])
def test_rows_set_apart_of_weight_0(kind, arguments, what):
    """Said before the first epoch, and by the name of the argument."""
    model = short(kind, early_stopping=True, **arguments)
    for row in range(20):
        try:
            model.fit(X, Y, np.arange(len(X)) == row)
        except ValueError as error:
            if what in str(error):
                assert "sample_weight: expected one above 0" in str(error) and not hasattr(model, "model_")
                return
    raise AssertionError(what)


def test_score_of_equal_targets():
    """As scikit-learn's r2_score: 1 for those who hit them, else 0."""
    t, weights = np.array([[2.0, 2.0, 1.0], [2.0, 2.0, 3.0]]), np.array([1.0, 3.0])
    found = t + np.array([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]])
    assert r2(t, found, weights) == pytest.approx(r2_score(t, found, sample_weight=weights))


def test_class_weight():
    """As sample weights; "balanced" by scikit-learn's formula; labels as the user has them."""
    few, y = np.r_[0:50, 50:60], np.array(["a"] * 50 + ["b"] * 10)
    x = X[few]
    one = short(MLPClassifier, class_weight={"b": 5.0}).fit(x, y)
    assert one.loss_curve_ == short(MLPClassifier).fit(x, y, np.where(y == "b", 5.0, 1.0)).loss_curve_
    balanced = short(MLPClassifier, class_weight="balanced").fit(x, y, WEIGHTS[:60])
    given = short(MLPClassifier).fit(x, y, np.where(y == "b", 60 / 20, 60 / 100) * WEIGHTS[:60])
    np.testing.assert_allclose(balanced.loss_curve_, given.loss_curve_)


@pytest.mark.parametrize("y", [Y, TWO, LABELS], ids=["classes", "two", "labels"])
@pytest.mark.parametrize("loss", [fastnn.BCEWithLogitsLoss(), fastnn.HingeLoss(), fastnn.MSELoss(),
                                  fastnn_ref.HuberLoss()], ids=repr)
def test_losses_of_classes(loss, y):
    model = short(MLPClassifier, loss=loss, max_iter=150, learning_rate_init=0.02).fit(X, y)
    assert (model.predict(X) == y).mean() > 0.9
    assert hasattr(model, "predict_proba") == isinstance(loss, fastnn.BCEWithLogitsLoss)
    if hasattr(model, "predict_proba") and y is not LABELS:
        np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_cross_entropy_of_an_indicator_matrix():
    """One label in each row: the likeliest, also where several outputs are above 0, or none is."""
    one = short(MLPClassifier, loss=fastnn.CrossEntropyLoss(), max_iter=60, learning_rate_init=0.02)
    model = clone(one).fit(X, np.eye(3, dtype=int)[Y])
    found = model.predict(X)
    np.testing.assert_array_equal(found.argmax(axis=1), clone(one).fit(X, Y).predict(X))
    assert (found.sum(axis=1) == 1).all() and model.score(X, np.eye(3)[Y]) > 0.8
    with pytest.raises(ValueError, match=r"^y: expected one label in each row for loss=Cro.*, got \d in row \d+;"):
        one.fit(X, LABELS)


def test_poisson_deviance_of_labels():
    """Yes is a rate above 1/2."""
    model = short(MLPClassifier, loss=fastnn.PoissonNLLLoss(), max_iter=200, learning_rate_init=0.02).fit(X, Y > 0)
    assert model.score(X, Y > 0) > 0.95


def test_cross_entropy_of_two_classes():
    """Two outputs with an object, the same probabilities in the same order."""
    model = short(MLPClassifier, loss=fastnn.CrossEntropyLoss(), max_iter=60, learning_rate_init=0.02).fit(X, TWO)
    assert model.n_outputs_ == 2
    assert (model.predict_proba(X).argmax(axis=1) == TWO).mean() > 0.9


def test_label_smoothing():
    """ε of each label goes to all classes, so certainty costs."""
    sure, smooth = (short(MLPClassifier, label_smoothing=e, max_iter=200, learning_rate_init=0.05).fit(X, TWO)
                    for e in (0.0, 0.2))
    assert sure.predict_proba(X).max() > 0.99 > 0.93 > np.median(smooth.predict_proba(X).max(axis=1))


@pytest.mark.parametrize("loss", ["absolute_error", "huber", fastnn.L1Loss()], ids=repr)
def test_losses_of_numbers(loss):
    x, y = load_diabetes(return_X_y=True)
    x, y = x / x.std(axis=0), y / 100
    model = short(MLPRegressor, loss=loss, max_iter=60, learning_rate_init=0.02).fit(x, y)
    assert model.score(x, y) > 0.3


def test_a_user_stops_training():
    class Stop(fastnn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = short(MLPClassifier, callbacks=[Stop()]).fit(X, Y)
    assert model.n_iter_ == 3
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(5\)"):
        short(MLPClassifier).fit(X, Y)


def test_ctrl_c_keeps_what_there_is():
    class Press(fastnn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)       # a job in the background ignores it
    try:
        with pytest.warns(UserWarning, match="interrupted by user"):
            model = short(MLPClassifier, callbacks=[Press()]).fit(X, Y)
    finally:
        signal.signal(signal.SIGINT, before)
    assert model.n_iter_ == 2


def test_numbers_of_numpy():
    """What a search over np.logspace and np.arange gives."""
    model = short(MLPClassifier, alpha=np.float32(0.5), hidden_layer_sizes=np.array([4]), max_iter=np.int64(2),
                  batch_norm=np.True_, batch_size=np.int32(30), dropout=np.float64(0.1))
    assert model.fit(X, Y).n_iter_ == 2


def test_warnings_are_about_the_users_line():
    column = Y[:, None]
    cases = [({"batch_size": 500}, Y, {}, "batch_size: 500 is more"), ({}, column, {}, "A column-vector y was passed"),
             ({}, Y, {"X_val": X, "y_val": column}, "A column-vector y was passed"),
             ({}, Y, {}, "Stochastic Optimizer: Maximum"), ({"solver": "lbfgs"}, Y, {}, "lbfgs has not converged")]
    for arguments, y, more, message in cases:
        with pytest.warns(UserWarning, match=message) as found:
            MLPClassifier(max_iter=1, **arguments).fit(X, y, **more)
        assert {each.filename for each in found} == {__file__}


def test_verbose(capsys):
    short(MLPClassifier, verbose=True, tol=10.0, n_iter_no_change=1).fit(X, Y)
    assert capsys.readouterr().out.splitlines()[-1].endswith("for 1 consecutive epochs. Stopping.")


# ---- images ----


def test_images():
    """(n, height, width), (n, 1, height, width) and rows of pixels are the same."""
    x, y = load_digits(return_X_y=True)
    x = x[:300] / 16
    forms = [x, x.reshape(-1, 8, 8), x.reshape(-1, 1, 8, 8), x.reshape(-1, 8, 8).tolist()]
    models = [short(ConvClassifier, channels=(8,), learning_rate_init=0.02).fit(form, y[:300]) for form in forms]
    assert all(model.loss_curve_ == models[0].loss_curve_ for model in models)
    assert all((models[0].predict(form) == models[3].predict(x)).all() for form in forms)
    assert [w.shape for w in models[0].coefs_] == [(8, 1, 3, 3), (128, 8), (8, 10)]
    colours = np.random.default_rng(0).random((20, 3, 6, 5))
    two = np.arange(20) % 2
    one = short(ConvClassifier, image_shape=(3, 6, 5)).fit(colours.reshape(20, -1), two)
    assert one.predict_proba(colours).shape == (20, 2)
    with pytest.raises(ValueError, match=r"X\.transpose\(0, 3, 1, 2\)"):
        short(ConvClassifier).fit(colours.transpose(0, 2, 3, 1), two)
    with pytest.raises(ValueError, match=r"X\.transpose\(0, 3, 1, 2\)"):
        one.predict(colours.transpose(0, 2, 3, 1))
    with pytest.warns(UserWarning, match="90 features are no square image"):
        short(ConvClassifier).fit(colours.reshape(20, -1), two)


# ---- errors ----


@pytest.mark.parametrize(("arguments", "message"), [
    ({"solver": "lbgfs"}, "solver: unknown name"),
    ({"backend": "torch"}, "backend: unknown name"),
    ({"learning_rate": "fast"}, "learning_rate: unknown name"),
    ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes: expected"),
    ({"activation": "rleu"}, "activation: unknown name 'rleu', did you mean 'relu'"),
    ({"activation": fastnn.ReLU}, "activation: expected"),
    ({"alpha": -1.0}, "alpha: expected"),
    ({"tol": math.nan}, "tol: expected"),
    ({"batch_size": 0}, "batch_size: expected"),
    ({"max_iter": 2.5}, "max_iter: expected"),
    ({"momentum": 1.0}, "momentum: expected"),
    ({"dropout": 1.5}, "dropout: expected"),
    ({"n_threads": 0}, "n_threads: expected"),
    ({"dtype": "float16"}, "dtype: expected"),
    ({"loss": "cross_entropy"}, "loss: expected 'log_loss'"),
    ({"loss": fastnn.Adam()}, "loss: expected"),
    ({"loss": fastnn.NLLLoss()}, r"loss: expected one that takes any numbers, .*got NLLLoss\(\), which wants log-prob"),
    ({"loss": fastnn.CrossEntropyLoss(), "label_smoothing": 0.1}, "label_smoothing: expected 0"),
    ({"solver": fastnn.MSELoss()}, "solver: expected a name, an Optimizer or a CustomOptimizer, got fastnn.loss"),
    ({"solver": [fastnn.Adam()]}, "got list$"),
    ({"solver": fastnn.Adam}, r"got the class fastnn\.optim\.Adam; pass an object: Adam\(\)"),
    ({"solver": "lbfgs", "dropout": 0.5}, "dropout: expected 0 beside solver='lbfgs'"),
    ({"solver": "lbfgs", "callbacks": [fastnn.EarlyStopping()]}, "callbacks: expected none"),
])
def test_bad_arguments(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MLPClassifier(**arguments).fit(X, Y)


def test_bad_targets():
    with pytest.raises(ValueError, match="several classes"):
        MLPClassifier().fit(X, np.column_stack([Y, Y]))
    with pytest.raises(ValueError, match="y: expected values >= 0 for loss='poisson'"):
        MLPRegressor("poisson").fit(X, X[:, 0])
    with pytest.raises(ValueError, match="classes must be passed"):
        MLPClassifier().partial_fit(X, Y)
    with pytest.raises(ValueError, match="class_weight: expected a dict or None for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"`y` has classes not in"):
        short(MLPClassifier).partial_fit(X[:100], Y[:100], classes=[0, 1]).partial_fit(X, Y)


@pytest.mark.parametrize("kind", ["M8[us]", "m8[ms]"])
def test_dates_are_no_numbers(kind):
    """NumPy takes their ticks for numbers; as labels of classes they are good."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    dates = np.arange(len(X)).astype(kind)
    for x in (dates[:, None], pandas.DataFrame({"a": dates}), pandas.DataFrame({"a": X[:, 0], "b": dates}),
              polars.DataFrame({"a": dates})):
        for model in (short(MLPClassifier), short(MLPRegressor), ConvClassifier()):
            with pytest.raises(TypeError, match="X: expected numbers, got dates or durations"):
                model.fit(x, Y)
    for y in (dates, pandas.Series(dates), polars.Series(dates), np.column_stack([dates, dates])):
        with pytest.raises(TypeError, match="y: expected numbers, got dates or durations"):
            short(MLPRegressor).fit(X, y)
    model = short(MLPClassifier).fit(X, dates[Y])
    assert model.predict(X).dtype == kind
    with pytest.raises(TypeError, match="X: expected numbers"):
        model.predict(np.broadcast_to(dates[:, None], X.shape))


def test_masked_arrays_are_refused():
    def masked(values):
        return np.ma.array(values, mask=np.arange(len(X)) % 2 if np.ndim(values) == 1 else X > 1)

    for model, t in ((short(MLPClassifier), Y), (short(MLPClassifier, class_weight="balanced"), Y),
                     (short(MLPRegressor), X[:, 0])):
        wrong = {"X": (masked(X), t), "y": (X, masked(t)), "sample_weight": (X, t, masked(np.ones(len(t))))}
        for name, given in wrong.items():
            with pytest.raises(TypeError, match=rf"^{name}: expected an array without a mask"):
                model.fit(*given)
        with pytest.raises(TypeError, match=r"^X: expected an array without a mask"):
            model.fit(X, t).predict(masked(X))


def test_parameters_set_after_fit_wait_for_the_next_one():
    model = short(MLPClassifier).fit(X, Y)
    before = model.predict_proba(X)
    model.set_params(loss=fastnn.MSELoss(), backend="ref", hidden_layer_sizes=(3,))
    assert (model.predict(X) == model.classes_[before.argmax(axis=1)]).all()
    assert model.out_activation_ == "softmax"
    assert len(model.coefs_) == 2


def test_without_scikit_learn():
    said = python("""
        import sys
        sys.modules["sklearn"] = None
        try:
            import fastnn.sklearn
        except ModuleNotFoundError as error:
            print(error)
    """)
    assert said.strip() == 'scikit-learn is missing: pip install "fastnn[sklearn]"'

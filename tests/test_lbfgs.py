"""fit_lbfgs: where it ends, what it minimises, what it refuses, and that both packages take the same way."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from tests.check import normal, same, same_parameters
from tests.test_batches import in_file

X = normal((60, 5), seed=3)
T = X @ normal((5, 2), seed=1) + 0.3 * normal((60, 2), seed=4)
CLASSES = np.repeat([0, 1, 2], 20)
Z = X + CLASSES[:, None] * np.array([0.8, -0.5, 0.3, 0.0, 0.0])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """SciPy's small products take a hundred times as long where threads wait for each other."""
    with threadpool_limits(1, "blas"):
        yield


def net(nn, *behind, dtype="float64", penalty=None, seed=0):
    return nn.Sequential(nn.Linear(5, 7, activation="tanh"), *behind, nn.Linear(7, 3), seed=seed, dtype=dtype,
                         penalty=penalty)


def fit(nn, model, **arguments):
    return model.fit_lbfgs(Z, CLASSES, **({"loss": nn.CrossEntropyLoss(), "max_iter": 30} | arguments))


def test_ridge(nn):
    """(1/nK)·Σ(t − y)² + ½λ·Σw² is scikit-learn's ‖t − y‖² + α·‖w‖² with α = nKλ/2."""
    model = nn.Sequential(nn.Linear(5, 2), dtype="float64", penalty=nn.L2(0.1))
    history = model.fit_lbfgs(X, T, loss=nn.MSELoss(), tol=1e-10)
    want = Ridge(alpha=60 * 2 * 0.1 / 2).fit(X, T)
    np.testing.assert_allclose(model.layers[0].weight, want.coef_.T, atol=1e-7)
    np.testing.assert_allclose(model.layers[0].bias, want.intercept_, atol=1e-7)
    assert "CONVERGENCE" in history.message


def test_weighted_logistic_regression(nn):
    """Σwᵢ·lᵢ/Σw + ½λ·Σw², where scikit-learn has C·Σwᵢ·lᵢ + ½·Σw²; in parts of 7 rows as in one."""
    weights = np.random.default_rng(0).uniform(0.2, 2, size=60)
    want = LogisticRegression(C=1 / (0.05 * weights.sum()), tol=1e-9).fit(Z, CLASSES, weights)
    for size in (None, 7):
        model = nn.Sequential(nn.Linear(5, 3), dtype="float64", penalty=nn.L2(0.05))
        fit(nn, model, tol=1e-9, max_iter=200, sample_weight=weights, batch_size=size)
        np.testing.assert_allclose(model.layers[0].weight, want.coef_.T, atol=1e-6)


def test_a_file_is_read_by_parts(nn, tmp_path):
    """The bits of arrays in memory, chosen rows too."""
    x = in_file(tmp_path, Z.astype(np.float32))
    given = {"batch_size": 7, "validation_split": 0.2, "validation_rows": "stratified", "max_iter": 5}
    one, two = net(nn), net(nn)
    want = one.fit_lbfgs(Z.astype(np.float32), CLASSES, loss=nn.CrossEntropyLoss(), **given)
    assert two.fit_lbfgs(x, CLASSES, loss=nn.CrossEntropyLoss(), **given).history == want.history
    same_parameters(one, two)


def test_it_ends_below_what_adam_reaches(nn):
    one, two = net(nn, penalty=nn.L2(1e-3)), net(nn, penalty=nn.L2(1e-3))
    history = fit(nn, one, max_iter=60)
    other = two.fit(Z, CLASSES, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(0.01), epochs=60)
    assert history.history["loss"][-1] < other.history["loss"][-1]
    assert (np.diff(history.history["loss"]) <= 0).all()


def test_both_packages_take_the_same_way(ref, fast):
    """With a batch norm, inner penalties and validation."""
    found = []
    for nn in (ref, fast):
        model = nn.Sequential(nn.Linear(5, 4, activation="tanh"), nn.BatchNorm1d(4), nn.Sequential(
            nn.Linear(4, 3), penalty=nn.L2(0.3)), dtype="float64", penalty=nn.L2(0.1))
        history = fit(nn, model, validation_split=0.2, validation_rows="stratified", metrics=["accuracy"])
        found.append((history.history, model.state_dict()))
    (one, state), (two, other) = found
    assert list(one) == list(two) == ["loss", "data_loss", "penalty", "accuracy", "val_loss", "val_accuracy"]
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-6)
    for name, value in state.items():
        np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-7)


def test_the_history_is_what_evaluate_says(nn):
    model = net(nn, penalty=nn.L2(0.01))
    history = fit(nn, model, validation_data=(X, CLASSES))
    got = {name: values[-1] for name, values in history.history.items()}
    assert got["data_loss"] == pytest.approx(model.evaluate(Z, CLASSES, nn.CrossEntropyLoss())["loss"], rel=1e-12)
    assert got["loss"] == pytest.approx(got["data_loss"] + model.penalty_value(), rel=1e-12)
    assert got["val_loss"] == pytest.approx(model.evaluate(X, CLASSES, nn.CrossEntropyLoss())["loss"], rel=1e-12)
    assert history.epoch == list(range(len(history.epoch)))
    assert len(history.seconds) == len(history.epoch)


def test_frozen_layers_stay(nn):
    model = net(nn, penalty=nn.L2(0.1))
    model.layers[0].trainable = False
    before = model.state_dict()
    fit(nn, model)
    same(model.state_dict()["0.weight"], before["0.weight"])
    assert (model.state_dict()["1.weight"] != before["1.weight"]).all()


def test_callbacks(nn):
    """An iteration is an epoch; early stopping brings the best weights back; a stop leaves those of an iteration."""
    model, seen = net(nn), []
    stopping = nn.EarlyStopping(patience=3)
    look = nn.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["val_loss"]))
    fit(nn, model, max_iter=300, validation_data=(X[::-1], CLASSES), callbacks=[look, stopping])
    assert len(seen) < 300
    assert model.evaluate(X[::-1], CLASSES, nn.CrossEntropyLoss())["loss"] == pytest.approx(min(seen), rel=1e-12)

    class Third(nn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                self.loss = logs["loss"]
                raise nn.StopTraining

    model, third = net(nn), Third()
    history = fit(nn, model, callbacks=[third])
    assert (history.epoch, history.message) == ([0, 1, 2], "stopped by a callback")
    assert model.evaluate(Z, CLASSES, nn.CrossEntropyLoss())["loss"] == pytest.approx(third.loss, rel=1e-12)


def test_an_error_leaves_the_weights_of_an_iteration(nn):
    class Fails(nn.CustomLoss):
        calls, values = 0, ()

        def value_and_gradient(self, y, t, weights):
            type(self).calls += 1
            if self.calls == 9:
                raise KeyError("mine")
            return float(((y - t) ** 2).mean()), 2 * (y - t) / y.size

    model = nn.Sequential(nn.Linear(5, 7, activation="tanh"), nn.Linear(7, 2), dtype="float64")
    losses = []
    look = nn.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
    with pytest.raises(KeyError, match="mine"):
        model.fit_lbfgs(X, T, loss=Fails(), callbacks=[look])
    assert model.evaluate(X, T, nn.MSELoss())["loss"] == pytest.approx(losses[-1], rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_failed_line_search_is_told(nn, dtype):
    class Wrong(nn.CustomLoss):
        def value_and_gradient(self, y, t, weights):
            return float(((y - t) ** 2).mean()), np.full_like(y, 0.3)

    model = nn.Sequential(nn.Linear(5, 2), dtype=dtype)
    with pytest.warns(nn.TrainingWarning, match="its line search finds no smaller loss") as found:
        model.fit_lbfgs(X, T, loss=Wrong())
    assert ("dtype='float64' would go on" in str(found[0].message)) == (dtype == "float32")


@pytest.mark.parametrize("make", [
    lambda nn: nn.Dropout(0.5), lambda nn: nn.GaussianNoise(0.1), lambda nn: nn.DropConnect(7, 7),
    lambda nn: nn.StochasticDepth(nn.Linear(7, 7), 0.5),
])
def test_random_layers_are_refused(nn, make):
    model = net(nn, make(nn))
    before, counters = model.state_dict(), model.network.counters()
    with pytest.raises(ValueError, match=r"model: expected no layer that draws random numbers, .*, got [DGS]"):
        fit(nn, model)
    assert model.network.counters() == counters
    for name, value in model.state_dict().items():
        same(value, before[name])
    fit(nn, net(nn, nn.Dropout(0.0)), max_iter=1)


@pytest.mark.parametrize(("penalty", "text"), [
    (lambda nn: nn.L1(0.1), r"penalty: expected L2 for L-BFGS, .*, got L1\(0.1\)"),
    (lambda nn: nn.ElasticNet(0.1, 0.1, mode="subgradient"), "got ElasticNet"),
    (lambda nn: nn.MaxNorm(1.0), "got MaxNorm"),
])
def test_what_has_no_gradient_is_refused(nn, penalty, text):
    with pytest.raises(ValueError, match=text):
        fit(nn, net(nn, penalty=penalty(nn)))


@pytest.mark.parametrize(("arguments", "error", "text"), [
    (lambda nn: {"max_iter": 0}, ValueError, "max_iter: expected an integer >= 1, got 0"),
    (lambda nn: {"tol": -1}, ValueError, "tol: expected a finite number >= 0"),
    (lambda nn: {"history_size": 0}, ValueError, "history_size: expected an integer >= 1"),
    (lambda nn: {"batch_size": 0}, ValueError, "batch_size: expected an integer >= 1"),
    (lambda nn: {"loss": "mse"}, TypeError, "loss: expected a Loss"),
    (lambda nn: {"callbacks": [nn.ReduceLROnPlateau(monitor="loss")]}, ValueError,
     "callbacks: expected none that needs an optimizer, got ReduceLROnPlateau"),
    (lambda nn: {"callbacks": [nn.EarlyStopping()]}, ValueError, "monitor: .*val_loss"),
])
def test_arguments(nn, arguments, error, text):
    with pytest.raises(error, match=text):
        fit(nn, net(nn), **arguments(nn))


def test_without_scipy(nn, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.optimize", None)
    with pytest.raises(ModuleNotFoundError, match=r'scipy is missing: pip install "fastnn\[scipy\]"'):
        fit(nn, net(nn))


def test_loggers_have_no_rate(nn, tmp_path):
    fit(nn, net(nn), max_iter=2, callbacks=[nn.CSVLogger(tmp_path / "log.csv")])
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "epoch,loss"


def test_an_error_in_what_is_tried_first_changes_nothing(nn):
    class Fails(nn.CustomLayer):
        calls = 0

        def forward_pass(self, x, training):
            self.calls += training
            if self.calls == 2:
                raise ZeroDivisionError
            return x

        def backward_pass(self, dy):
            return dy

    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), Fails(), dtype="float64")
    before = model.state_dict()
    with pytest.raises(ZeroDivisionError):
        model.fit_lbfgs(normal((8, 2)), normal((8, 3)), loss=nn.MSELoss())
    assert model.steps == 0
    assert all((value == before[name]).all() for name, value in model.state_dict().items())


@pytest.mark.parametrize("size", [None, 8])
def test_a_target_that_the_loss_does_not_take_changes_nothing(nn, size):
    """The model had counted a pass, and its running statistics had changed; the row was that of a part."""
    model, t = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)), np.arange(60) % 3
    t[50], before = 3, model.state_dict()
    for split in {}, {"validation_split": 0.1}:
        with pytest.raises(ValueError, match=r"^t: expected class numbers from 0 to 2, got 3 at row 50$"):
            model.fit_lbfgs(X, t, loss=nn.CrossEntropyLoss(), batch_size=size, **split)
    assert model.steps == 0
    for name, array in model.state_dict().items():
        assert (array == before[name]).all(), name


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end"])
def test_no_hook_may_train(nn, hook):
    """The call itself is refused, before it changes anything."""
    model, refused, x, t = nn.Sequential(nn.Linear(2, 1), dtype="float64"), [], normal((8, 2)), normal((8, 1))

    def tries(self, epoch, logs=None):
        optimizer = nn.SGD()
        for train in (lambda: model.step(x, t, nn.MSELoss(), optimizer), lambda: optimizer.step(model)):
            with pytest.raises(RuntimeError, match="in training; a callback may predict, but not train"):
                train()
            refused.append(epoch)

    model.fit_lbfgs(x, t, loss=nn.MSELoss(), max_iter=2, callbacks=[type("Hook", (nn.Callback,), {hook: tries})()])
    assert refused

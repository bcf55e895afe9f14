"""A user's own layer, activation, loss and optimizer: the same class runs in both packages, beside compiled layers."""

import copy
import dataclasses
import pickle
import re
import threading
import time
import typing
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn_ref as shared
from tests.check import normal, same, same_parameters

X, T = normal((6, 4)), np.arange(6) % 3


class Scale(shared.CustomLayer):
    def __init__(self, size):
        self.size = size
        self.add("weight", (size,), "ones")

    def forward_pass(self, x, training):
        self.saved = x
        return x * self.values["weight"]

    def backward_pass(self, dy):
        self.set_gradients((dy * self.saved).sum(axis=0))
        return dy * self.values["weight"]


class Pairs(shared.CustomLayer):
    """The sum of each pair: another shape."""

    changes_shape = True

    def output_shape(self, shape):
        if shape[-1] % 2:
            raise ValueError(f"Pairs: expected an even width, got {shape[-1]}")
        return (*shape[:-1], shape[-1] // 2)

    def forward_pass(self, x, training):
        return x[:, ::2] + x[:, 1::2]

    def backward_pass(self, dy):
        return np.repeat(dy, 2, axis=1)


class Half(shared.CustomLayer):
    """A random mask of its own."""

    def keep(self, shape):
        return (self.random_words(int(np.prod(shape))) >= 2**31).reshape(shape)

    def forward_pass(self, x, training):
        return np.where(self.keep(x.shape), 2 * x, 0) if training else x

    def backward_pass(self, dy):
        return np.where(self.keep(dy.shape), 2 * dy, 0)


class Swish(shared.CustomActivation):
    def __init__(self, beta=1.0):
        self.beta = beta

    def act(self, u):
        return u / (1 + np.exp(-self.beta * u))

    def act_backward(self, dy, u, y):
        s = 1 / (1 + np.exp(-self.beta * u))
        return dy * (s + self.beta * u * s * (1 - s))


class LogCosh(shared.CustomLoss):
    def value_and_gradient(self, y, t, weights):
        share = (weights / weights.sum()).reshape(-1, 1) / y.shape[1]
        return float((np.log(np.cosh(y - t)) * share).sum()), np.tanh(y - t) * share


class Momentum(shared.CustomOptimizer):
    """SGD with momentum, once more."""

    slots = ("momentum",)

    def update(self, w, g, lr, decay, momentum):
        momentum[...] = 0.9 * momentum + g + decay * w
        w -= lr * momentum

    def step_size(self, lr, momentum):
        return lr / (1 - 0.9)


class Failing(shared.CustomLayer):
    """An identity that raises in the pass that was asked for."""

    def __init__(self, where, after=0):
        self.where, self.after, self.calls, self.off = where, after, 0, False

    def at(self, where, values):
        if where == self.where and not self.off:
            self.calls += 1
            if self.calls > self.after:
                raise ZeroDivisionError("the user's own")
        return values

    def forward_pass(self, x, training):
        return self.at("forward", x) if training else x

    def backward_pass(self, dy):
        return self.at("backward", dy)


def net(nn, dtype="float64", **more):
    return nn.Sequential(nn.Linear(4, 8, activation=Swish(1.5)), Pairs(), Scale(4), nn.Dropout(0.3), Half(),
                         nn.Residual(Scale(4)), nn.StochasticDepth(nn.Sequential(nn.Linear(4, 4), Swish()), 0.2, "row"),
                         nn.Linear(4, 3), seed=5, dtype=dtype, **more)


def test_both_packages_train_alike(ref, fast):
    models = [net(nn, penalty=nn.L2(0.01)) for nn in (ref, fast)]
    for nn, model in zip((ref, fast), models, strict=True):
        optimizer = nn.Adam(lr=0.01)
        model.fit(X, T, loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=5, batch_size=4)
    one, two = (model.state_dict() for model in models)
    assert list(one) == list(two)
    for name in one:
        assert np.abs(one[name] - two[name]).max() < 1e-12, name


def test_gradients(nn):
    assert nn.gradcheck(net(nn), X, T, nn.CrossEntropyLoss())


def test_names_records_and_summary(nn):
    model = net(nn)
    assert [name for name in model.params if "weight" in name] == [
        "0.weight", "2.weight", "5.block.weight", "6.block.0.weight", "7.weight"]
    assert repr(model[2]) == "Scale(4)"
    assert repr(model[0]) == "Linear(4, 8, activation=Swish(beta=1.5))"
    assert model[2].size == 4
    assert "Scale(4)" in model.summary()
    classes = {kind.__name__: kind for kind in (Scale, Pairs, Half, Swish)}
    same_parameters(nn.from_config(model.config(), classes), net(nn))
    with pytest.raises(ValueError, match=r"expected a class of fastnn\w* or one in classes, got 'S"):
        nn.from_config(model.config())


@pytest.mark.parametrize("way", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_copies_go_on(nn, way):
    model, optimizer = net(nn), Momentum(lr=0.05)
    model.run_epoch(X, T, nn.CrossEntropyLoss(), optimizer, 4)
    twin, other = way(model), way(optimizer)
    for each, how in ((model, optimizer), (twin, other)):
        each.run_epoch(X, T, nn.CrossEntropyLoss(), how, 4)
    same_parameters(model, twin)
    assert twin[2].custom is not model[2].custom


def test_training_state(nn):
    model, optimizer = net(nn), Momentum(lr=0.05)
    model.run_epoch(X, T, nn.CrossEntropyLoss(), optimizer, 4)
    again, other = net(nn), Momentum(lr=0.1)
    nn.load_training_state(nn.training_state(model, optimizer), again, other)
    assert (other.steps, other.lr) == (2, 0.05)
    for each, how in ((model, optimizer), (again, other)):
        each.run_epoch(X, T, nn.CrossEntropyLoss(), how, 4)
    same_parameters(model, again)


def test_own_optimizer_is_sgd(nn, dtype):
    one, two = net(nn, dtype, penalty=nn.L1(0.01)), net(nn, dtype, penalty=nn.L1(0.01))
    own = Momentum(lr=0.05, weight_decay=0.1, clip_norm=1.0)
    theirs = nn.SGD(lr=0.05, momentum=0.9, weight_decay=0.1, clip_norm=1.0)
    for model, optimizer in ((one, own), (two, theirs)):
        for _ in range(5):
            model.step(X, T, nn.CrossEntropyLoss(), optimizer)
    for name, value in one.state_dict().items():
        assert np.abs(value - two.state_dict()[name]).max() < (1e-5 if dtype == np.float32 else 1e-13)
    assert own.steps == 5
    assert net(nn).step(X, T, nn.CrossEntropyLoss(), Momentum()) > 0        # kept by nobody but the call
    assert list(own.state_dict()) == ["steps", "lr", "momentum"]
    own.lr = 0.0
    before = one.state_dict()
    one.forward(X, training=True)
    one.backward(np.zeros((6, 3)))
    own.weight_decay_is = None                      # a user's object is the user's
    own.step(one)
    assert set(before) == set(one.state_dict())
    with pytest.raises(ValueError, match="optimizer: this Momentum already belongs to another model; make a new one"):
        two.step(X, T, nn.CrossEntropyLoss(), own)


def test_own_loss(nn):
    model, t = nn.Sequential(nn.Linear(4, 3), seed=0, dtype="float64"), normal((6, 3), seed=1)
    assert nn.gradcheck(model, X, t, LogCosh())
    history = model.fit(X, t, loss=LogCosh(), optimizer=nn.SGD(lr=0.5), epochs=20, batch_size=3,
                        sample_weight=np.arange(1.0, 7.0), validation_data=(X, t))
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.evaluate(X, t, LogCosh())["loss"] == pytest.approx(history.history["val_loss"][-1])


@pytest.mark.parametrize("by", ["step", "run_epoch", "hand"])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_an_exception_leaves_the_parameters(nn, where, by):
    model = nn.Sequential(nn.Linear(4, 4), Failing(where, after=1 if by == "run_epoch" else 0), nn.Linear(4, 3), seed=0)
    optimizer, loss, before = nn.Adam(), nn.CrossEntropyLoss(), model.state_dict()
    with pytest.raises(ZeroDivisionError, match="the user's own") as caught:
        if by == "step":
            model.step(X, T, loss, optimizer)
        elif by == "run_epoch":
            model.run_epoch(X, T, loss, optimizer, 2)
        else:
            loss(model.forward(X, training=True), T)
            model.backward(loss.backward())
    assert "at" in [entry.name for entry in caught.traceback]           # the user's own lines are in the traceback
    if by == "run_epoch":
        assert (model.steps, model.network.batch, optimizer.steps) == (1, 1, 1)
    else:
        assert optimizer.steps == 0
        for name, value in model.state_dict().items():
            same(value, before[name])
    model[1].custom.off = True
    assert model.step(X, T, loss, optimizer) > 0


def test_an_optimizer_that_raises_leaves_the_parameters(nn):
    class Second(shared.CustomOptimizer):
        def update(self, w, g, lr, decay):
            w -= lr * g
            if w.ndim == 1:
                raise ZeroDivisionError("the user's own")

    model, optimizer = nn.Sequential(nn.Linear(4, 3), seed=0), Second()
    before = model.state_dict()
    with pytest.raises(ZeroDivisionError):
        model.step(X, T, nn.CrossEntropyLoss(), optimizer)
    for name, value in model.state_dict().items():
        same(value, before[name])
    assert (model.steps, optimizer.steps) == (0, 0)


def test_what_comes_back_is_checked(nn):
    class Wrong(shared.CustomLayer):
        def forward_pass(self, x, training):
            return x[:, :1]

    class Words(shared.CustomLayer):
        def forward_pass(self, x, training):
            return np.full(x.shape, "a")

    with pytest.raises(ValueError, match=r"Wrong.forward_pass: expected y of shape \(6, 4\), got \(6, 1\)"):
        nn.Sequential(Wrong(), nn.Linear(4, 3)).predict(X)
    with pytest.raises(TypeError, match=r"Words\.forward_pass: y: expected numbers, got text"):
        nn.Sequential(Words()).predict(X)
    with pytest.raises(NotImplementedError, match=r"CustomLayer: expected a method forward_pass\(x, training\)"):
        nn.Sequential(shared.CustomLayer()).predict(X)
    with pytest.raises(ValueError, match="Pairs: expected an even width, got 5"):
        nn.Sequential(nn.Linear(4, 5), Pairs())


def test_a_parameter_that_starts_from_a_number(nn, dtype):
    class Slope(Scale):
        def __init__(self, start):
            self.start = start
            self.add("weight", (4,), start)

    model = nn.Sequential(Slope(0.25), Slope(-3), dtype=dtype)
    same(model.state_dict()["0.weight"], np.full(4, 0.25, dtype))
    same(model.state_dict()["1.weight"], np.full(4, -3.0, dtype))
    assert model.config()["layers"][0] == {"class": "Slope", "start": 0.25}
    for start, wanted in [(float("nan"), "a finite number"), (None, "a name, an Init"), ([1.0] * 3, r"\(4,\)")]:
        with pytest.raises((TypeError, ValueError), match=f"init: expected {wanted}"):
            Slope(start)


def test_an_optimizer_without_a_learning_rate(nn):
    class Plain(shared.CustomOptimizer):
        def __init__(self, lr=0.1, power=2.0):
            self.power = power

    model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(RuntimeError, match=r"Plain.__init__: expected a call of super\(\).__init__\(lr\)"):
        model.step(X, T, nn.CrossEntropyLoss(), Plain())


def test_compare_names_the_users_class(fast):
    report = fast.compare(fast.Sequential(Scale(4), dtype="float64"), X, X, fast.MSELoss(), fast.SGD(), steps=1)
    assert report.rows[0].name == "0  Scale"


def test_one_object_stands_in_one_model(nn):
    scale = Scale(4)
    model = nn.Sequential(scale)
    with pytest.raises(ValueError, match=r"layers\[0\]: this Scale already belongs to a model"):
        nn.Sequential(scale)
    with pytest.raises(ValueError, match=r"layers\[1\]: this Scale already stands at layers\[0\]"):
        other = Scale(4)
        nn.Sequential(other, other)
    swish = Swish()
    layer = nn.Linear(4, 4, activation=swish)
    with pytest.raises(ValueError, match="activation: this Swish already belongs to a model"):
        nn.Linear(4, 4, activation=swish)
    assert layer.activation.custom is swish
    del model
    assert nn.Sequential(scale).predict(X).shape == (6, 4)


def test_a_user_may_keep_and_change_what_came(nn):
    class Greedy(shared.CustomLayer):
        def forward_pass(self, x, training):
            x *= 2
            self.saved = x
            return x

        def backward_pass(self, dy):
            dy *= 2
            return dy

    model = nn.Sequential(nn.Linear(4, 4, activation="tanh"), Greedy(), nn.Tanh(), seed=1, dtype="float64")
    y = model.forward(X, training=True)
    same(model.predict(X), y)
    assert nn.gradcheck(model, X, normal((6, 4), seed=3), nn.MSELoss())


def forgetful(nn):
    """A name for each kind of class, and an object of one whose constructor has not kept its argument ``size``."""
    class Model(nn.Sequential):
        def __init__(self, size=8):
            super().__init__(nn.Linear(4, size), nn.Linear(size, 3))

    class Within(nn.Linear):
        def __init__(self, size=3):
            super().__init__(4, size)

    class Layer(shared.CustomLayer):
        def __init__(self, size=4):
            pass

        def forward_pass(self, x, training):
            return x

        def backward_pass(self, dy):
            return dy

    class Act(shared.CustomActivation):
        def __init__(self, size=4):
            pass

        def act(self, u):
            return u

        def act_backward(self, dy, u, y):
            return dy

    class Loss(LogCosh):
        def __init__(self, size=4):
            pass

    class Optimizer(Momentum):
        def __init__(self, size=4):
            super().__init__(0.1)

    return {each.__name__: each() for each in (Model, Within, Layer, Act, Loss, Optimizer)}


def training_with(nn, thing):
    """A model, and what else ``fit`` takes, with ``thing`` in its place."""
    name = type(thing).__name__
    models = {"Model": lambda: thing, "Within": lambda: nn.Sequential(thing),
              "Layer": lambda: nn.Sequential(nn.Linear(4, 3), thing),
              "Act": lambda: nn.Sequential(nn.Linear(4, 3, activation=thing))}
    t = np.zeros((len(X), 3)) if name == "Loss" else T
    return models.get(name, lambda: nn.Sequential(nn.Linear(4, 3)))(), {
        "x": X, "t": t, "loss": thing if name == "Loss" else nn.CrossEntropyLoss(),
        "optimizer": thing if name == "Optimizer" else nn.SGD()}


@pytest.mark.parametrize("name", ["Model", "Within", "Layer", "Act", "Loss", "Optimizer"])
def test_a_constructor_that_keeps_no_argument(nn, name, tmp_path):
    """It is said with its remedy, and by a checkpoint before the first step."""
    text = (rf"^{name}\.__init__: expected to keep every argument under its own name, got no self\.size; "
            r"add self\.size = size$")
    thing = forgetful(nn)[name]
    model, given = training_with(nn, thing)
    model.fit(**given)
    for call in (repr, lambda thing: thing.config()):
        with pytest.raises(AttributeError, match=text):
            call(thing)
    if name not in ("Loss", "Optimizer"):
        with pytest.raises(AttributeError, match=text):
            model.save(tmp_path / "model.safetensors")
    before, steps = model.state_dict(), model.steps
    with pytest.raises(AttributeError, match=text):
        model.fit(**given, epochs=3, callbacks=[nn.ModelCheckpoint(tmp_path / "run.safetensors", every=2)])
    assert model.steps == steps and not list(tmp_path.iterdir())
    for key, value in model.state_dict().items():
        same(value, before[key])


def test_the_error_of_a_users_property_comes_through(nn):
    class Own(shared.CustomLayer):
        def __init__(self, size=4):
            pass

        @property
        def size(self):
            return self.inside.size

    with pytest.raises(AttributeError, match=r"no attribute 'inside'$"):
        repr(Own())


class Locked(shared.CustomLayer):
    """A lock for each object, which no copy can have."""

    def __init__(self):
        self.lock, self.rows = threading.Lock(), [0]

    def forward_pass(self, x, training):
        with self.lock:
            self.rows[0] += len(x)
        return x

    def backward_pass(self, dy):
        return dy


class Relocked(Locked):
    """A lock for each object, and a new one for each copy."""

    def __getstate__(self):
        return {**super().__getstate__(), "lock": None}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.__dict__["lock"] = threading.Lock()


def test_what_cannot_be_copied_is_named(nn):
    model = nn.Sequential(nn.Linear(4, 3), nn.Residual(Locked()))
    loss, optimizer = nn.CrossEntropyLoss(), nn.SGD()
    calls = [lambda: copy.deepcopy(model), model.predictor,
             lambda: nn.find_lr(model, X, T, loss=loss, optimizer=optimizer)]
    for call in calls + ([lambda: nn.compare(model, X, T, loss, optimizer)] if nn.__name__ == "fastnn" else []):
        with pytest.raises(TypeError, match=r"^Locked\.lock: expected a value that copy\.deepcopy can copy, got .*lock"
                                            r".*; make it an attribute of the class, or drop it in __getstate__$"):
            call()
    assert model.predict(X).shape == (len(X), 3)


def test_a_lock_for_each_object(nn):
    model = nn.Sequential(nn.Linear(4, 3), Relocked())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin[1].lock is not model[1].lock
        twin.predict(X)
        assert (twin[1].rows, model[1].rows) == ([len(X)], [0])
    same(model.predictor()(X), model.predict(X))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_what_an_exception_leaves_changed(nn, where, accumulate):
    """What docs/extending.md says: running statistics, unless a step has several parts; the state brings them back."""
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), Failing(where, after=accumulate - 1), nn.Linear(4, 3))
    optimizer, before = nn.SGD(momentum=0.9), model.state_dict()
    state = nn.training_state(model, optimizer)
    with pytest.raises(ZeroDivisionError):
        model.fit(X, T, loss=nn.CrossEntropyLoss(), optimizer=optimizer, batch_size=3,
                  gradient_accumulation_steps=accumulate)
    assert (model.steps, optimizer.steps) == (0, 0)
    after, changed = model.state_dict(), ["1.running_mean", "1.running_var"] if accumulate == 1 else []
    assert [name for name in before if (after[name] != before[name]).any()] == changed
    assert all((slot == 0).all() for slot in optimizer.state_dict().get("momentum", {}).values())
    nn.load_training_state(state, model, optimizer)
    assert nn.training_state(model, optimizer)["counters"] == state["counters"]
    for name, value in model.state_dict().items():
        same(value, before[name])


def has_own_name(name, value):
    """A layer that keeps its one argument under ``name``."""
    def start(self, given=None):
        setattr(self, name, given)

    made = {"forward_pass": lambda self, x, training: 2 * x, "backward_pass": lambda self, dy: 2 * dy}
    source = f"def __init__(self, {name}=None):\n    start(self, {name})"
    exec(source, {"start": start}, made)
    return type("Own", (shared.CustomLayer,), made)(value)


@pytest.mark.parametrize("value", [3, "text", None, (1, 2)])
@pytest.mark.parametrize("name", ["layers", "block", "branches", "p", "activation", "network", "penalty"])
def test_a_users_attribute_is_no_part_of_a_model(nn, name, value):
    """A layer that calls something its layers is no Sequential: not in a table, nor at the end of a classifier."""
    model = nn.Sequential(nn.Linear(4, 3), has_own_name(name, value), dtype="float64", seed=0)
    assert "1  Own(" in model.summary()
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict_classes(X), model.predict(X).argmax(axis=1))
    for loss in (nn.CrossEntropyLoss(), nn.NLLLoss()):          # both look at what a model ends in
        model.fit(X, T, loss=loss, optimizer=nn.SGD(), epochs=1)


def test_an_attribute_named_custom(nn, tmp_path):
    """A host has its user's object under this name; a user may have anything else there."""
    class Loss(LogCosh):
        def __init__(self, custom=3):
            self.custom = custom

    class Optimizer(shared.CustomOptimizer):
        def __init__(self, lr=0.1, custom=3):
            super().__init__(lr)
            self.custom = custom

        def update(self, w, g, lr, decay):
            w -= lr * g

    class Activation(Swish):
        def __init__(self, beta=1.0, custom=3):
            super().__init__(beta)
            self.custom = custom

    model = nn.Sequential(nn.Linear(4, 3, activation=Activation()), has_own_name("custom", 3), dtype="float64", seed=0)
    loss, optimizer, path = Loss(), Optimizer(), tmp_path / "run.safetensors"
    model.fit(X, np.eye(3)[T], loss=loss, optimizer=optimizer, epochs=1, callbacks=[nn.ModelCheckpoint(path)])
    kinds = {kind.__name__: kind for kind in (Loss, Optimizer, Activation, type(has_own_name("custom", 3)))}
    run = nn.load_training(path, classes=kinds)
    same(run.model.predict(X), model.predict(X))
    assert (repr(run.loss), repr(run.optimizer)) == (repr(loss), repr(optimizer))


@pytest.mark.parametrize("name", ["specs", "values", "gradients"])
def test_the_dicts_of_parameters_are_dicts(nn, name):
    with pytest.raises(TypeError, match=f"Own.{name}: expected the dict that add fills, got 3; give the attribute ano"):
        nn.Sequential(has_own_name(name, 3))


def test_an_array_beside_a_default_that_is_a_number(nn):
    """repr and the table ask whether an argument is the default; an array is not one truth value."""
    class Times(Half):
        def __init__(self, factor=0.5):
            self.factor = factor

    model = nn.Sequential(Times(np.array([1.0, 2.0])), Times(np.full(2, 0.5)), Times())
    assert repr(model).startswith("Sequential(Times(factor=<array (2,)>), Times(factor=<array (2,)>), Times()")
    assert "Times(factor=<array (2,)>)" in model.summary()


@pytest.mark.parametrize(("base", "name", "said"), [
    ("CustomLayer", "trainable", "is an attribute of each object"),
    ("CustomLayer", "lr_scale", "is an attribute of each object"),
    ("CustomActivation", "forward_pass", "is not called where a layer has the activation"),
    ("CustomActivation", "output_shape", "is not called where a layer has the activation"),
    ("CustomLoss", "forward", "is not called in training .*; define value_and_gradient$"),
    ("CustomLoss", "__call__", "is not called in training"),
    ("CustomOptimizer", "step", "is not called in training .*; define update$"),
    ("CustomOptimizer", "current_lr", "is not called in training"),
    ("CustomOptimizer", "weight_decay", "is an argument of the constructor .*; pass it to super"),
    ("CustomOptimizer", "lr", "is an argument of the constructor"),
])
def test_what_training_would_not_see_is_refused(nn, base, name, said):
    """Else it would be shown, or work when it is called by hand, and training would do something else."""
    kind = getattr(nn, base)
    mixin = type("Mixin", (), {name: None})
    for bases, body in (((kind,), {name: None}), ((type("Base", (kind,), {}),), {name: None}), ((mixin, kind), {})):
        with pytest.raises(TypeError, match=rf"^{base}: {name} {said}"):
            type("Mine", bases, body)
    type("Mine", (kind, mixin), {f"{name}_too": None})          # the library's comes first


@pytest.mark.parametrize("reduction", ["Sum", "none", None, np.array([1, 2])])
def test_the_reduction_of_a_users_loss_is_checked(nn, reduction):
    """Anything but "sum" was taken as a mean."""
    model, loss = nn.Sequential(nn.Linear(4, 2)), LogCosh()
    loss.reduction = reduction
    for attempt in (lambda: model.step(np.ones((3, 4)), np.ones((3, 2)), loss, nn.SGD()),
                    lambda: model.fit(np.ones((3, 4)), np.ones((3, 2)), loss=loss, optimizer=nn.SGD()),
                    lambda: model.evaluate(np.ones((3, 4)), np.ones((3, 2)), loss)):
        with pytest.raises(ValueError, match=r"^loss: expected reduction 'mean' or 'sum'"):
            attempt()


# ---- what a method does with the arrays that it gets; where an object keeps what it has ----


class SquaredInPlace(shared.CustomLoss):
    """The mean squared error, by a method that changes all that it gets."""

    def value_and_gradient(self, y, t, weights):
        y -= t
        t *= 0
        weights /= weights.sum()
        weights = weights[:, None] / y.shape[1]
        return float((y**2 * weights).sum()), 2 * y * weights


class SquareInPlace(shared.CustomActivation):
    def act(self, u):
        u *= u
        return u

    def act_backward(self, dy, u, y):
        y += 1
        u *= 2
        dy *= u
        return dy


def test_a_loss_may_change_what_it_gets(nn):
    """Nothing of the user's: not the targets, the outputs that metrics measure, the weights."""
    x, t, weight = normal((30, 4)), normal((30, 3), seed=1).copy(), np.linspace(1, 2, 30)
    kept, trained = (t.copy(), weight.copy()), []
    for loss in SquaredInPlace(), nn.MSELoss():
        model = nn.Sequential(nn.Linear(4, 3), dtype="float64")
        history = model.fit(x, t, loss=loss, optimizer=nn.SGD(0.1), epochs=2, sample_weight=weight, metrics=["mse"],
                            validation_data=(x, t))
        trained.append([*history.history.values(), *model.evaluate(x, t, loss, ["mse"]).values()])
        y = normal((30, 3), seed=2).copy()
        loss.forward(y, t, weight)
        same(y, normal((30, 3), seed=2))
    for own, built_in in zip(*trained, strict=True):
        np.testing.assert_allclose(own, built_in, rtol=1e-12)
    same(t, kept[0])
    same(weight, kept[1])


@pytest.mark.parametrize("where", ["alone", "inside"])
def test_an_activation_may_change_what_it_gets(nn, where):
    layers = [nn.Linear(4, 5), SquareInPlace()] if where == "alone" else [nn.Linear(4, 5, activation=SquareInPlace())]
    model = nn.Sequential(*layers, nn.Linear(5, 2), dtype="float64")
    assert nn.gradcheck(model, normal((6, 4)), normal((6, 2), seed=1), nn.MSELoss())
    model.forward(normal((6, 4)), training=True)
    same(model.backward(normal((6, 2), seed=2)), model.backward(normal((6, 2), seed=2)))


def test_a_metric_may_change_what_it_gets(nn):
    def forgetful(y, t):
        y[...] = t[...] = 0
        return 1.0

    x, t = normal((30, 4)), normal((30, 3), seed=1).copy()
    model, kept = nn.Sequential(nn.Linear(4, 3)), t.copy()
    found = model.evaluate(x, t, nn.MSELoss(), [forgetful, nn.Metric("again", forgetful), "mse"])
    assert found["mse"] == pytest.approx(found["loss"])
    same(t, kept)


class Slotted(shared.CustomLayer):
    """y = k · x, with k in a slot."""

    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k

    def forward_pass(self, x, training):
        time.sleep(0.01)
        return x * self.k

    def backward_pass(self, dy):
        return dy * self.k


class SlottedLoss(SquaredInPlace):
    __slots__ = ("k",)


class SlottedStop(shared.EarlyStopping):
    __slots__ = ("k",)


def test_slots_are_copied(nn):
    """``__slots__`` of a class of one's own, or of a subclass of one of the library's."""
    kinds = {name: type(name, (getattr(nn, name),), {"__slots__": ("k",)})
             for name in ("Linear", "Sequential", "SGD", "L2", "MSELoss", "Predictor")}
    layer = kinds["Linear"](4, 3)
    model = kinds["Sequential"](layer, Slotted(2))
    things = [layer, model, kinds["SGD"](), kinds["L2"](0.1), kinds["MSELoss"](), kinds["Predictor"](model),
              SlottedLoss(), SlottedStop()]
    for thing in things:
        thing.k = [1]
        copied = copy.deepcopy(thing)
        assert copied.k == [1] and copied.k is not thing.k
    assert copy.deepcopy(model)[1].k == 2
    assert [pickle.loads(pickle.dumps(each)).k for each in (Slotted(2), things[-2], things[-1])] == [2, [1], [1]]


def test_slots_in_threads(nn):
    x, model = normal((5, 4)), nn.Sequential(nn.Linear(4, 3), Slotted(2))
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(lambda _: model.predict(x), range(8)):
            same(y, model.predict(x))


@dataclasses.dataclass(frozen=True)
class FrozenLoss(shared.CustomLoss):
    """k times the mean squared error."""

    k: float

    def value_and_gradient(self, y, t, weights):
        weights = self.k * (weights / weights.sum())[:, None] / y.shape[1]
        return float(((y - t)**2 * weights).sum()), 2 * (y - t) * weights


def test_a_loss_may_be_a_frozen_dataclass(nn):
    x, t = normal((6, 4)), normal((6, 3), seed=1)
    model = nn.Sequential(nn.Linear(4, 3), dtype="float64")
    assert nn.gradcheck(model, x, t, FrozenLoss(2.0))
    model.fit(x, t, loss=FrozenLoss(2.0), optimizer=nn.SGD(), epochs=1)
    assert copy.deepcopy(FrozenLoss(2.0)) == FrozenLoss(2.0)


# ---- arguments of every kind ----


class Pair(typing.NamedTuple):
    a: int
    b: int = 2


class Given(shared.CustomLayer):
    """Arguments by place, as many as there are, by name, and any others."""

    def __init__(self, first, /, second, *rest, named, **options):
        self.first, self.second, self.rest, self.named, self.options = first, second, rest, named, options

    def forward_pass(self, x, training):
        return x

    def backward_pass(self, dy):
        return dy


def test_arguments_of_every_kind(nn, tmp_path):
    """A record keeps ``**options``, ``*rest`` and what has no name, so that files, copies and ``compare`` do."""
    class Net(nn.Sequential):
        def __init__(self, size, **options):
            given = Given(1, Pair(1), 3, 4, named={"act": nn.ReLU(), "sizes": [1, 2]}, more=5)
            super().__init__(nn.Linear(4, size), given, **options)
            self.size, self.options = size, options

    model, classes = Net(3, seed=1, penalty=nn.L2(0.1)), {"Net": Net, "Given": Given}
    assert repr(model) == "Net(3, seed=1, penalty=L2(0.1))"
    text = "Given(1, {}, 3, 4, named={{'act': ReLU(), 'sizes': [1, 2]}}, more=5)"
    assert repr(model[1]) == text.format("Pair(a=1, b=2)")
    assert repr(nn.from_config(model[1].config(), classes)) == text.format("(1, 2)")
    model.save(tmp_path / "model.safetensors")
    for made in nn.from_config(model.config(), classes), nn.load(tmp_path / "model.safetensors", classes):
        assert repr(made) == repr(model) and repr(made[1]) == repr(model[1])
    assert repr(Given(0, 1, named=2)) == "Given(0, 1, named=2)"


def test_arguments_of_every_kind_in_the_other_package(fast):
    given = Given(1, Pair(1), 3, named={"act": fast.ReLU()}, more=5)
    model = fast.Sequential(fast.Linear(4, 3), given, fast.Linear(3, 3), dtype="float64")
    assert fast.compare(model, X, T, fast.CrossEntropyLoss(), fast.SGD())


@pytest.mark.parametrize("name", [3, None, "", (2,)])
def test_a_parameter_has_a_name(name):
    with pytest.raises(TypeError, match=r"^CustomLayer\.add: expected a name for the parameter, got "):
        shared.CustomLayer().add(name, (2,))


@pytest.mark.parametrize(("give", "error"), [
    (lambda t: t.astype(str), "expected numbers, got text"),
    (lambda t: t[:3], r"expected 6 targets, one for each row of x, got an array of shape \(3,\)$"),
    (lambda t: t.sum(), r"expected 6 targets, one for each row of x, got an array of shape \(\)$")])
def test_prepared_targets_are_checked(nn, give, error):
    class Odd(shared.CustomLoss):
        def prepare_targets(self, t, shape, dtype):
            return give(np.asarray(t))

        def value_and_gradient(self, y, t, weights):
            return 0.0, y

    model, optimizer = nn.Sequential(nn.Linear(4, 3)), nn.SGD()
    for call in (lambda: model.step(X, T, Odd(), optimizer), lambda: model.run_epoch(X, T, Odd(), optimizer),
                 lambda: Odd()(model.predict(X), T), lambda: model.evaluate(X, T, Odd())):
        with pytest.raises((TypeError, ValueError), match=rf"^Odd\.prepare_targets: {error}"):
            call()
    assert model.steps == 0


def test_private_names_of_ones_own(nn):
    """Names that come to mind are free for a user's class."""
    class Loss(shared.CustomLoss):
        def __init__(self):
            self._shape, self._dy, self._prepared = (3,), 0.5, True

        def value_and_gradient(self, y, t, weights):
            assert (self._shape, self._dy, self._prepared) == ((3,), 0.5, True)
            return float((y**2).mean()), 2 * y / y.size

    class Optimizer(shared.CustomOptimizer):
        def __init__(self):
            super().__init__()
            self._step_size, self._update = 2.0, None

        def update(self, w, g, lr, decay):
            w -= self._step_size * lr * g

    loss = Loss()
    model = nn.Sequential(nn.Linear(4, 3), penalty=nn.L1(0.1))
    model.fit(X, np.zeros((6, 3)), loss=loss, optimizer=Optimizer(), epochs=2)
    loss.forward(model.predict(X), np.zeros((6, 3)))
    assert copy.deepcopy(loss)._dy == 0.5
    loss.forward(model.predict(X), np.zeros((6, 3)))


def test_a_dataclass_of_the_librarys(nn):
    """The decorator gives the class its constructor when it has been made."""
    @dataclasses.dataclass(eq=False, repr=False)
    class Square(nn.Linear):
        size: int

        def __post_init__(self):
            super().__init__(self.size, self.size, activation="relu")

    model = nn.Sequential(Square(4), nn.Linear(4, 3))
    model.step(X, T, nn.CrossEntropyLoss(), nn.SGD())
    assert repr(nn.from_config(model.config(), {"Square": Square})[0]) == repr(copy.deepcopy(model)[0]) == "Square(4)"
    with pytest.raises(TypeError, match=r"^Square: unexpected argument 'width': Square\(size\)$"):
        Square(width=4)


@pytest.mark.parametrize(("value", "said"), [
    ({1: 2}, r"keys that a record can hold, text other than 'class', got 1"),
    ({"a": [{None: 2}]}, r"keys that a record can hold, text other than 'class', got None"),
    ({"class": "Linear"}, r"keys that a record can hold, text other than 'class', got 'class'"),
    (np.array([1j]), "a value that a record can hold"), (np.array([b"a"]), "a value that a record can hold"),
    (np.datetime64("2020-01-01"), "a value that a record can hold"),
])
def test_what_a_record_cannot_hold(nn, value, said, tmp_path):
    """Keys that were no text came back as text, "class" as an object, and the others were an error of JSON's, in `fit`
    after the first epoch."""
    class Holder(nn.CustomLayer):
        def __init__(self, value):
            self.value = value

        def forward_pass(self, x, training):
            return x

        def backward_pass(self, dy):
            return dy

    model = nn.Sequential(nn.Linear(2, 2), Holder(value))
    with pytest.raises(TypeError, match=rf"Holder\.value.*: expected {said}"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    model.fit(np.eye(2), np.eye(2), loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=1,
              callbacks=[nn.ModelCheckpoint(tmp_path / "run")])
    with pytest.raises(ValueError, match=rf"Holder\.value.*: expected {said}"):
        nn.load_training(tmp_path / "run", {"Holder": Holder})


def test_a_layer_that_nobody_trains(nn):
    """One that a user's object holds and calls itself: its weights stayed as they were, without a word."""
    class Block(nn.CustomLayer):
        def __init__(self, size, held):
            self.size, self.held = size, held

        def forward_pass(self, x, training):
            return x

        def backward_pass(self, dy):
            return dy

    def said(held, *others):
        model = nn.Sequential(*others, nn.Linear(2, 3), Block(3, held))
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            model.fit(np.eye(2), np.eye(2, 3), loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=1)
        return [str(each.message) for each in found]

    frozen, tied = nn.Linear(3, 3), nn.Linear(2, 2)
    frozen.trainable = False
    for held in (nn.Linear(3, 3), [nn.ReLU(), nn.Linear(3, 3)], {"fc": nn.Sequential(nn.Linear(3, 3))}):
        (text,) = said(held)
        assert re.match(r"Block\.held has a (Linear|Sequential) that is not trained: training knows the layers", text)
    for held in (frozen, nn.ReLU(), nn.Linear, None, 3, [tied]):
        assert said(held, *[tied] * (held == [tied])) == []


@pytest.mark.parametrize("cls", ["Linear", "BatchNorm1d", "ReLU", "Dropout"])
def test_a_subclass_may_call_its_own_saved(nn, cls):
    """What the library keeps for a backward pass has a name of the library's."""
    class Own(getattr(nn, cls)):
        saved = None

        def keep(self, value):
            self.saved = value

    layer = Own(*{"Linear": (4, 4), "BatchNorm1d": (4,)}.get(cls, ()))
    layer.keep("mine")
    model = nn.Sequential(layer, nn.Linear(4, 3))
    model.step(X, T, nn.CrossEntropyLoss(), nn.SGD())
    model.predict(X)
    assert (layer.saved, copy.deepcopy(model)[0].saved) == ("mine", "mine")


class Saves(shared.CustomLayer):
    def forward_pass(self, x, training):
        self.saved = x
        return x

    def backward_pass(self, dy):
        return dy


def test_a_layer_of_ones_own_shows_its_own_saved(nn):
    model = nn.Sequential(Saves(), nn.Linear(4, 3))
    model.step(X, T, nn.CrossEntropyLoss(), nn.SGD())
    assert model[0].saved.shape == X.shape


@pytest.mark.parametrize(("cls", "name"), [
    ("Linear", "forward_pass"), ("Linear", "add"), ("ReLU", "act"), ("Adam", "slots"), ("MSELoss", "costs"),
    ("L1", "value"), ("Linear", "state_dict"),
])  # fmt: skip
def test_a_subclass_cannot_assign_what_is_not_called(nn, cls, name):
    made = {}
    exec(f"def start(self):\n    self.{name} = 1", made)
    with pytest.raises(TypeError, match=f"{cls}: {name} .* cannot be overridden"):
        type("Own", (getattr(nn, cls),), {"start": made["start"]})


@pytest.mark.parametrize("where", ["update", "loss"])
def test_a_rate_that_ones_own_code_assigns_holds_from_the_next_step_on(nn, where):
    """In an epoch, too, which the engine runs in one piece: it took effect whenever the engine next looked."""
    def slow(name):
        if name == where:
            optimizer.lr = optimizer.lr * 0.9

    class Optimizer(nn.CustomOptimizer):
        def update(self, w, g, lr, decay):
            slow("update")
            w -= lr * g

    class Loss(nn.CustomLoss):
        def value_and_gradient(self, y, t, weights):
            slow("loss")
            return float(((y - t) ** 2).mean()), 2 * (y - t) / y.size

    x, t, models = normal((64, 4)), normal((64, 3), seed=1), []
    for in_epoch in (False, True):
        models.append(nn.Sequential(nn.Linear(4, 3), dtype="float64"))
        optimizer = Optimizer(0.1)
        if in_epoch:
            models[-1].run_epoch(x, t, Loss(), optimizer, batch_size=4, shuffle=False)
        else:
            for start in range(0, 64, 4):
                models[-1].step(x[start:start + 4], t[start:start + 4], Loss(), optimizer)
    same_parameters(*models)

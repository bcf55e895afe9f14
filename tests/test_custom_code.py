"""A user's own layers, activations, losses and optimizers: one class for both packages, at work and when it fails."""

import copy
import pickle
import traceback

import numpy as np
import pytest

from fastnn_ref.shared.custom import CustomActivation, CustomLayer, CustomLoss, CustomOptimizer
from tests import ranks
from tests.check import close, normal, same, same_parameters
from tests.pairwise import chequered


class Scale(CustomLayer):
    """y = x · w, a weight for each column."""

    def __init__(self, size, start="ones"):
        self.size, self.start = size, start
        self.add("weight", (size,), start)

    def forward_pass(self, x, training):
        self.saved = x
        return x * self.values["weight"]

    def backward_pass(self, dy):
        self.set_gradients((dy * self.saved).reshape(-1, self.size).sum(axis=0))
        return dy * self.values["weight"]


class Dense(CustomLayer):
    """Linear once more: another shape comes out, and a matrix that decays."""

    changes_shape = True

    def __init__(self, inside, outside):
        self.inside, self.outside = inside, outside
        self.input_shape = (inside,)
        self.add("weight", (inside, outside), "glorot_uniform")
        self.add("bias", (outside,))

    def output_shape(self, shape):
        return (self.outside,)

    def forward_pass(self, x, training):
        self.saved = x
        return x @ self.values["weight"] + self.values["bias"]

    def backward_pass(self, dy):
        self.set_gradients(self.saved.T @ dy, dy.sum(axis=0))
        return dy @ self.values["weight"].T


class Noise(CustomLayer):
    """Random in training: other words in each step, the same in forward and backward."""

    def forward_pass(self, x, training):
        if not training:
            return x
        words = self.random_words(x.size)
        return x * (1 + (words.reshape(x.shape) % 3).astype(x.dtype) / 4)

    def backward_pass(self, dy):
        return dy * (1 + (self.random_words(dy.size).reshape(dy.shape) % 3).astype(dy.dtype) / 4)


class Square(CustomActivation):
    def act(self, u):
        return u**2 / 4

    def act_backward(self, dy, u, y):
        return dy * u / 2


class Power(CustomActivation):
    """An activation with a parameter of its own."""

    def __init__(self, size):
        self.size = size
        self.add("slope", (size,), "ones")

    def act(self, u):
        return np.where(u > 0, u, self.values["slope"] * u)

    def act_backward(self, dy, u, y):
        self.set_gradients(np.where(u > 0, 0, dy * u).sum(axis=0))
        return dy * np.where(u > 0, 1, self.values["slope"])


class Quartic(CustomLoss):
    def value_and_gradient(self, y, t, weights):
        share = (weights / weights.sum()).reshape(-1, 1) / y.shape[1]
        return float(((y - t) ** 4 * share).sum()), 4 * (y - t) ** 3 * share


class Heavy(CustomOptimizer):
    """Momentum, by hand."""

    slots = ("velocity",)

    def update(self, w, g, lr, decay, velocity):
        velocity *= 0.5
        velocity += g + decay * w
        w -= lr * velocity


def net(nn, dtype="float64", seed=2, **named):
    return nn.Sequential(
        nn.Linear(4, 6, activation=Square()), Scale(6), Noise(), nn.Residual(Scale(6)), Dense(6, 5),
        nn.StochasticDepth(nn.Sequential(Scale(5), nn.Tanh()), 0.3, mode="row"), nn.Linear(5, 3),
        seed=seed, dtype=dtype, **named)


def data(n=10):
    return normal((n, 4)), normal((n, 3), seed=1)


def trained(nn, dtype, epochs=2):
    model, optimizer = net(nn, dtype, penalty=nn.L2(0.01)), Heavy(lr=0.01, weight_decay=0.1, clip_norm=2.0)
    x, t = data()
    history = model.fit(
        x, t, loss=Quartic(), optimizer=optimizer, epochs=epochs, batch_size=4, sample_weight=np.arange(10.0))
    return model, optimizer, history.history["loss"]


def test_both_packages_agree(ref, fast, dtype):
    one, a, values = trained(fast, dtype)
    two, b, wanted = trained(ref, dtype)
    close("training", np.array(values, dtype), np.array(wanted), 60 * np.abs(wanted))
    for name, value in two.state_dict().items():
        close("training", one.state_dict()[name], value, 60 * np.abs(value).max() * np.ones_like(value), name)
    for name, value in b.state_dict()["velocity"].items():
        scale = 60 * max(np.abs(value).max(), 0.1) * np.ones_like(value)
        close("training", a.state_dict()["velocity"][name], value, scale)
    assert a.steps == b.steps == one.steps == two.steps == 6


def test_they_count_as_layers(nn):
    model = net(nn)
    assert [name for name, *_ in model.parameters()] == [
        "0.weight", "0.bias", "1.weight", "3.block.weight", "4.weight", "4.bias", "5.block.0.weight", "6.weight",
        "6.bias"]
    assert {name: decays for name, _, _, decays in model.parameters()}["4.weight"]
    assert repr(model.layers[1]) == "Scale(6)"
    assert model.layers[1].size == 6
    assert model.layers[1].config() == {"class": "Scale", "size": 6, "start": "ones"}
    assert "Scale(6)" in model.summary()
    assert model.layers[4].input_shape == (6,)
    assert model.output_shape((4,)) == (3,)


def test_gradcheck(nn):
    x, t = data(6)
    assert nn.gradcheck(net(nn), x, t, Quartic()).passed
    assert nn.gradcheck(nn.Sequential(nn.Linear(4, 3, activation=Power(3))), x, t, nn.MSELoss()).passed
    assert nn.gradcheck(nn.Sequential(Power(4), nn.DropConnect(4, 3, activation=Square())), x, t, nn.MSELoss()).passed
    images = normal((2, 2, 5, 5))
    conv = nn.Sequential(nn.Conv2d(2, 3, 3, activation=Square()), nn.GlobalAvgPool2d())
    assert nn.gradcheck(conv, images, normal((2, 3)), nn.MSELoss()).passed


def test_compare(fast):
    x, t = data()
    report = fast.compare(net(fast), x, t, Quartic(), Heavy(lr=0.01), steps=5)
    assert report.worst < 1e-9
    assert {row.name for row in report.rows} >= {"1.weight", "3.block.weight"}


@pytest.mark.parametrize("inference", ["mean", "gaussian"])
@pytest.mark.parametrize("mask", ["batch", "example"])
def test_dropconnect_with_an_own_activation(ref, fast, mask, inference):
    found = []
    for nn in (fast, ref):
        layer = nn.DropConnect(4, 3, 0.4, mask=mask, inference=inference, activation=Square(), samples=7)
        model = nn.Sequential(layer, seed=4, dtype="float64")
        x = normal((6, 4))
        found.append((model.predict(x), model.forward(x, training=True), model.backward(normal((6, 3)))))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))], ids=["copy", "pickle"])
def test_copies_go_on_to_the_same_bits(nn, again):
    model, optimizer, _ = trained(nn, "float64", epochs=1)
    twin, other = again((model, optimizer))
    x, t = data()
    for _ in range(3):
        assert model.step(x, t, Quartic(), optimizer) == twin.step(x, t, Quartic(), other)
    for name, value in model.state_dict().items():
        same(value, twin.state_dict()[name])


def test_training_state(nn):
    model, optimizer, _ = trained(nn, "float64", epochs=1)
    state = nn.training_state(model, optimizer)
    twin, other = net(nn, penalty=nn.L2(0.01), seed=2), Heavy(lr=0.5, weight_decay=0.1, clip_norm=2.0)
    nn.load_training_state(state, twin, other)
    x, t = data()
    for _ in range(2):
        assert (model.run_epoch(x, t, Quartic(), optimizer, batch_size=3)
                == twin.run_epoch(x, t, Quartic(), other, batch_size=3))


def test_from_config(nn):
    classes = {each.__name__: each for each in (Scale, Noise, Dense, Square)}
    assert repr(nn.from_config(net(nn).config(), classes)) == repr(net(nn))


def test_one_object_one_model(nn):
    own = Scale(3)
    model = nn.Sequential(own)
    with pytest.raises(ValueError, match=r"layers\[0\]: this Scale already belongs to a model"):
        nn.Sequential(own)
    with pytest.raises(ValueError, match="already belongs to a model"):
        nn.Residual(own)
    with pytest.raises(ValueError, match=r"layers\[1\]: this .* already stands at layers\[0\]"):
        free = Scale(3)
        nn.Sequential(free, free)
    del model
    model = nn.Sequential(own, nn.ReLU())
    assert model.predict(normal((2, 3))).shape == (2, 3)
    optimizer = Heavy()
    model.step(normal((2, 3)), normal((2, 3)), Quartic(), optimizer)
    with pytest.raises(ValueError, match="this Heavy already belongs to another model"):
        net(nn).step(*data(), Quartic(), optimizer)


def test_one_object_one_package(ref, fast):
    """The other one says the same of a layer that stands in a model; afterwards either may have it."""
    for one, other in ((ref, fast), (fast, ref)):
        own, act = Scale(3), Square()
        models = [one.Sequential(own), one.Sequential(act)]
        for make, name in ((lambda nn, own=own: nn.Sequential(own), r"layers\[0\]: this Scale"),
                           (lambda nn, own=own: nn.Residual(own), "block: this Scale"),
                           (lambda nn, own=own: nn.Parallel(own), r"branches\[0\]: this Scale"),
                           (lambda nn, act=act: nn.Linear(3, 3, activation=act), "activation: this Square")):
            for nn in (one, other):
                with pytest.raises(ValueError, match=f"{name} already belongs to a model"):
                    make(nn)
        del models
        assert other.Sequential(own).predict(normal((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("slots", ["velocity", ["velocity"], (1,)])
def test_slots_are_a_tuple_of_names(nn, slots):
    class Mine(nn.CustomOptimizer):
        def update(self, w, g, lr, decay, velocity):
            raise AssertionError

    Mine.slots = slots
    with pytest.raises(TypeError, match=r"Mine\.slots: expected a tuple of names, got"):
        net(nn).step(*data(), Quartic(), Mine())


@pytest.mark.parametrize("name", ["steps", "lr", "w"])
def test_a_slot_has_a_name_of_its_own(nn, name):
    """One called steps took the place of the count in the state, and a file with it could not be read."""
    class Mine(nn.CustomOptimizer):
        slots = ("m", name)

        def update(self, w, g, lr, decay, **slots):
            raise AssertionError

    model, optimizer = net(nn), Mine()
    for call in (lambda: model.step(*data(), Quartic(), optimizer),
                 lambda: model.fit(*data(), loss=Quartic(), optimizer=optimizer)):
        with pytest.raises(ValueError, match=rf"Mine\.slots: expected other names than .*, got '{name}'"):
            call()


def test_an_optimizer_that_does_not_call_super_is_told_so(nn):
    """Also where it sets lr, as every constructor sets its arguments."""
    class Mine(nn.CustomOptimizer):
        def __init__(self, lr):
            self.lr = lr

        def update(self, w, g, lr, decay):
            raise AssertionError

    model, optimizer = net(nn), Mine(0.1)
    for call in (lambda: model.step(*data(), Quartic(), optimizer), lambda: optimizer.step(model),
                 lambda: model.fit(*data(), loss=Quartic(), optimizer=optimizer)):
        with pytest.raises(RuntimeError, match=r"Mine\.__init__: expected a call of super\(\)\.__init__\(lr\)"):
            call()


@pytest.mark.parametrize("place", ["output_shape", "forward_pass"])
def test_parameters_are_declared_in_the_constructor(nn, place):
    """Later ones were neither trained nor saved; in output_shape the reference had them, and the engine did not."""
    class Mine(nn.CustomLayer):
        def output_shape(self, shape):
            if place == "output_shape":
                self.add("weight", shape, "ones")
            return shape

        def forward_pass(self, x, training):
            self.add("weight", x.shape[1:], "ones")
            return x

        def backward_pass(self, dy):
            return dy

    with pytest.raises(RuntimeError, match=r"Mine\.add: expected a call in the constructor, got one for 'weight'"):
        nn.Sequential(nn.Linear(4, 3), Mine()).predict(normal((2, 4)))


@pytest.mark.parametrize("how", [{}, {"shards": 2}, {"gradient_accumulation_steps": 2}], ids=str)
def test_a_batch_without_a_weight_changes_nothing(nn, how):
    """The mean over its rows is 0 / 0, and made all parameters NaN."""
    class Mean(nn.CustomLoss):
        def value_and_gradient(self, y, t, weights):
            share = (weights / weights.sum()).reshape(-1, 1) / y.shape[1]
            return float(((y - t) ** 2 * share).sum()), 2 * (y - t) * share

    x, t, weights = normal((12, 3)), normal((12, 2)), np.repeat([0.0, 1.0], [4, 8])
    found = []
    for loss in (Mean(), nn.MSELoss()):
        model = nn.Sequential(nn.Linear(3, 2), seed=1, dtype="float64")
        history = model.fit(x, t, loss=loss, optimizer=nn.SGD(), epochs=2, batch_size=4, shuffle=False,
                            sample_weight=weights, validation_data=(x, t, np.zeros(12)), **how).history
        found.append([*history["loss"], *history["val_loss"], *model[0].weight.ravel()])
        assert model.evaluate(x, t, loss, sample_weight=np.zeros(12))["loss"] == 0
        assert loss(x, x, sample_weight=np.zeros(12)) == 0 and not loss.backward().any()
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_a_loss_gives_a_pair(nn):
    class Mine(nn.CustomLoss):
        def value_and_gradient(self, y, t, weights):
            return 1.0

    with pytest.raises(TypeError, match=r"Mine\.value_and_gradient: expected a pair \(value, gradient\), got 1\.0"):
        net(nn).step(*data(), Mine(), nn.SGD())


def test_by_hand_is_the_step(nn):
    one, two = net(nn), net(nn)
    a, b = Heavy(lr=0.01), Heavy(lr=0.01)
    x, t = data()
    for _ in range(3):
        value = one.step(x, t, Quartic(), a)
        loss = Quartic()
        assert loss.forward(two.forward(x, training=True), t) == value
        two.backward(loss.backward())
        b.step(two)
    for name, array in one.state_dict().items():
        np.testing.assert_allclose(array, two.state_dict()[name], rtol=1e-12)


# ---- code that fails ----


class Trouble(CustomLayer):
    """Does what it is told at a certain call."""

    def __init__(self, where="", what=None, at=0):
        self.where, self.what, self.at = where, what, at
        self.calls, self.is_quiet = 0, False
        self.add("weight", (6,), "ones")

    def trouble(self, where, good):
        if where != self.where or self.is_quiet:
            return good
        self.calls += 1
        return self.what(self, good) if self.calls > self.at else good

    def output_shape(self, shape):
        return self.trouble("output_shape", tuple(shape))

    def min_batch_size(self, shape):
        return self.trouble("min_batch_size", 1)

    def forward_pass(self, x, training):
        return self.trouble("forward_pass", x * self.values["weight"])

    def backward_pass(self, dy):
        self.set_gradients(dy.sum(axis=0))
        return self.trouble("backward_pass", dy * self.values["weight"])


def oops(self, good):
    raise KeyError("oops")


def state(model, optimizer):
    return pickle.dumps((model.state_dict(), model.network.counters(), optimizer.state_dict()))


@pytest.mark.parametrize("where", ["forward_pass", "backward_pass"])
@pytest.mark.parametrize("make", [lambda nn: nn.Adam(lr=0.1), lambda nn: Heavy(lr=0.1)], ids=["adam", "own"])
def test_an_exception_leaves_everything_as_it_was(nn, where, make):
    """With the user's own traceback; parameters, slots and steps are as before, and training goes on."""
    x, t = data()
    own = Trouble(where, oops, at=2)
    model, optimizer = nn.Sequential(nn.Linear(4, 6), own, nn.Linear(6, 3), seed=1), make(nn)
    for _ in range(2):
        model.step(x, t, nn.MSELoss(), optimizer)
    before = state(model, optimizer)
    for call in (lambda: model.step(x, t, nn.MSELoss(), optimizer),
                 lambda: model.run_epoch(x, t, nn.MSELoss(), optimizer, batch_size=3)):
        with pytest.raises(KeyError, match="oops") as caught:
            call()
        assert any(frame.name == "oops" for frame in traceback.extract_tb(caught.value.__traceback__))
        assert state(model, optimizer) == before
    own.is_quiet = True
    model.step(x, t, nn.MSELoss(), optimizer)
    assert model.steps == optimizer.steps == 3


class Assigns:
    """What assigns the third step of a model to be the hundredth, and notes each, from inside of a pass."""

    def note(self):
        self.seen.append(self.model.steps)
        if self.model.steps == 3:
            self.model.steps = 100
            if self.fails:
                raise KeyError("oops")


class AssigningLayer(Assigns, CustomLayer):
    def forward_pass(self, x, training):
        self.note()
        return x

    def backward_pass(self, dy):
        return dy


class AssigningLoss(Assigns, CustomLoss):
    def value_and_gradient(self, y, t, weights):
        self.note()
        return float(((y - t) ** 2).mean()), 2 * (y - t) / y.size


class AssigningOptimizer(Assigns, CustomOptimizer):
    def update(self, w, g, lr, decay):
        if w.ndim == 2:
            self.note()
        w -= lr * g


@pytest.mark.parametrize("kind", [AssigningLayer, AssigningLoss, AssigningOptimizer])
@pytest.mark.parametrize("way", ["step", "run_epoch", "forward"])
def test_steps_assigned_within_one_hold_from_the_next_on(nn, ref, kind, way):
    """Both packages count a step when its forward pass begins, so they draw the same masks behind it, too."""
    weights = []
    for package in (nn, ref):
        own = kind()
        loss = own if kind is AssigningLoss else package.MSELoss()
        optimizer = own if kind is AssigningOptimizer else package.SGD(lr=0.1)
        layers = [own] * (kind is AssigningLayer)
        model = package.Sequential(package.Dropout(0.5), package.Linear(4, 3), *layers, seed=1, dtype="float64")
        own.model, own.seen, own.fails = model, [], False
        x, t = np.tile(normal((2, 4)), (4, 1)), np.tile(normal((2, 3)), (4, 1))
        if way == "run_epoch":
            model.run_epoch(x, t, loss, optimizer, batch_size=2)
        for start in range(0, 8, 2) if way != "run_epoch" else ():
            xs, ts = x[start:start + 2], t[start:start + 2]
            if way == "step":
                model.step(xs, ts, loss, optimizer)
            else:
                y = model.forward(xs, training=True)
                loss.forward(y, ts)
                model.backward(loss.backward())
                optimizer.step(model)
        assert own.seen == [1, 2, 3, 101] and model.steps == 101
        weights.append(model[1].weight)
    np.testing.assert_allclose(*weights, rtol=1e-12)


@pytest.mark.parametrize("kind", [AssigningLayer, AssigningLoss, AssigningOptimizer])
@pytest.mark.parametrize("parts", [{"batch_size": 2, "shards": 2}, {"gradient_accumulation_steps": 2}])
@pytest.mark.parametrize("count", [1, 2])
def test_steps_assigned_in_the_last_part_of_a_step_hold(nn, kind, parts, count):
    """Whichever rank has it."""
    def run(comm):
        own = kind()
        optimizer = own if kind is AssigningOptimizer else nn.SGD(lr=0.1)
        model = nn.Sequential(nn.Linear(4, 3), *[own] * (kind is AssigningLayer), seed=1)
        own.model, own.seen, own.fails, model.steps = model, [], False, 1
        model.fit(normal((4, 4)), normal((4, 3)), loss=own if kind is AssigningLoss else nn.MSELoss(),
                  optimizer=optimizer, **{"epochs": 1, "batch_size": 1} | parts, comm=comm)
        return model.steps, 3 in own.seen

    found = ranks.run(count, run) if "shards" in parts else [run(None)]
    assert {steps for steps, _ in found} == {102} and any(assigned for _, assigned in found)


@pytest.mark.parametrize("kind", [AssigningLayer, AssigningLoss, AssigningOptimizer])
def test_steps_assigned_before_an_error_are_those_before(nn, kind):
    own = kind()
    loss = own if kind is AssigningLoss else nn.MSELoss()
    optimizer = own if kind is AssigningOptimizer else nn.SGD(lr=0.1)
    model = nn.Sequential(nn.Linear(4, 3), *[own] * (kind is AssigningLayer), seed=1)
    own.model, own.seen, own.fails = model, [], True
    x, t = normal((2, 4)), normal((2, 3))
    model.step(x, t, loss, optimizer)
    model.step(x, t, loss, optimizer)
    calls = [lambda: model.step(x, t, loss, optimizer), lambda: model.run_epoch(x, t, loss, optimizer)]
    for call in [*calls, *[lambda: model.forward(x, training=True)] * (kind is AssigningLayer)]:
        with pytest.raises(KeyError, match="oops"):
            call()
        assert model.steps == 2


def test_an_optimizer_that_raises_half_way(nn):
    class Half(CustomOptimizer):
        slots = ("seen",)

        def update(self, w, g, lr, decay, seen):
            w -= lr * g
            seen += 1
            if w.shape == (3,) and self.steps > 1:
                raise ValueError("half way")

    x, t = data()
    model, optimizer = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), Half(lr=0.1)
    model.step(x, t, nn.MSELoss(), optimizer)
    before = state(model, optimizer)
    for call in (lambda: model.step(x, t, nn.MSELoss(), optimizer),
                 lambda: model.run_epoch(x, t, nn.MSELoss(), optimizer)):
        with pytest.raises(ValueError, match="half way"):
            call()
        assert state(model, optimizer) == before


def test_an_optimizer_that_returns_new_weights(nn):
    """They would be ignored; the ones that it has changed may come back."""
    class Returns(CustomOptimizer):
        def __init__(self, in_place):
            super().__init__(0.1)
            self.in_place = in_place

        def update(self, w, g, lr, decay):
            if self.in_place:
                w -= lr * g
                return w
            return w - lr * g

    x, t = data()
    model, optimizer = nn.Sequential(nn.Linear(4, 3)), Returns(False)
    before = state(model, optimizer)
    with pytest.raises(TypeError, match=r"^Returns\.update: expected w to be changed in place, .*, got ndarray$"):
        model.step(x, t, nn.MSELoss(), optimizer)
    assert state(model, optimizer) == before
    assert model.step(x, t, nn.MSELoss(), Returns(True)) > model.step(x, t, nn.MSELoss(), Returns(True))


def test_a_loss_that_raises(nn):
    class Bad(CustomLoss):
        def value_and_gradient(self, y, t, weights):
            raise ZeroDivisionError("bad loss")

    x, t = data()
    model, optimizer = nn.Sequential(nn.Linear(4, 3)), nn.Adam()
    model.step(x, t, nn.MSELoss(), optimizer)
    before = state(model, optimizer)
    with pytest.raises(ZeroDivisionError, match="bad loss"):
        model.step(x, t, Bad(), optimizer)
    assert state(model, optimizer) == before


WRONG = {
    "wrong shape": lambda self, good: good[:, :-1],
    "one row": lambda self, good: good[:1],
    "too much": lambda self, good: np.concatenate([good] * 50),
    "None": lambda self, good: None,
    "text": lambda self, good: np.full(good.shape, "a"),
    "objects": lambda self, good: good.astype(object),
    "complex": lambda self, good: good + 1j,
    "scalar": lambda self, good: 3.0,
}


@chequered
@pytest.mark.parametrize("where", ["forward_pass", "backward_pass"])
@pytest.mark.parametrize("what", WRONG)
def test_wrong_results_are_named(nn, where, what):
    x, t = data()
    model = nn.Sequential(nn.Linear(4, 6), Trouble(where, WRONG[what]), nn.Linear(6, 3))
    name = "y" if where == "forward_pass" else "dx"
    message = f"Trouble.{where}: (expected {name} of shape|{name}: expected numbers)"
    with pytest.raises((ValueError, TypeError), match=message):
        model.step(x, t, nn.MSELoss(), nn.SGD())


@pytest.mark.parametrize("what", [
    np.float32, np.int64, bool, lambda y: y.tolist(), lambda y: y[:, ::-1], lambda y: np.asfortranarray(y)])
def test_other_numbers_are_taken(nn, what):
    model = nn.Sequential(Trouble(
        "forward_pass", lambda self, good: good.astype(what) if isinstance(what, type) else what(good)))
    assert model.predict(normal((4, 6))).dtype == model.dtype


@pytest.mark.parametrize("lie", [(10_000,), (1,), (6, 1), [], None, "ab", (0,), (2**45,), (-6,), 6.5])
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_an_output_shape_that_lies(fast, lie, at):
    """It says one thing at one call and another at the next: an error or a working model, and no other memory."""
    own = Trouble("output_shape", lambda self, good: lie, at=at)
    for last in (fast.ReLU(), None):
        try:
            model = fast.Sequential(own, *[last] * (last is not None))
            model.predict(normal((5, 6)))
            model.step(normal((5, 6)), normal((5, 6)), fast.MSELoss(), fast.SGD())
        except (ValueError, TypeError, MemoryError):
            pass


def test_an_activation_whose_output_shape_lies(fast):
    """Its class may not have one, but an object may."""
    class Half(fast.CustomActivation):
        def act(self, u):
            return u

    half = Half()
    half.output_shape = lambda shape: (2,)
    model = fast.Sequential(fast.Linear(4, 500, activation=half), fast.ReLU())
    with pytest.raises(ValueError, match=r"output_shape: expected \(500,\) again, got \(2,\)"):
        model.predict(normal((5, 4)))


def test_what_is_kept_stays_as_it_was(nn):
    """x and dy are copies: a layer may keep them, and change them."""
    kept = []

    class Keeps(CustomLayer):
        def forward_pass(self, x, training):
            kept.append((x, x.copy()))
            return x

        def backward_pass(self, dy):
            kept.append((dy, dy.copy()))
            dy = dy.copy()
            return dy

    model = nn.Sequential(nn.Linear(4, 4), Keeps(), nn.Linear(4, 3))
    x, t = data()
    for _ in range(3):
        model.step(x, t, nn.MSELoss(), nn.SGD())
    model.predict(normal((200, 4)))
    del model
    for array, copied in kept:
        same(array, copied)


class Replaces(CustomLayer):
    """A scale whose method puts another array, or another dict, in the place of the one that the network knows."""

    fault = ""

    def __init__(self):
        self.add("weight", (3,), "ones")
        self.add("bias", (3,))

    def forward_pass(self, x, training):
        self.saved = x
        if self.fault == "values" and training:
            self.values["weight"] = np.ones(3)
        if self.fault == "dict of values" and training:
            self.values = {"weight": np.ones(3), "bias": np.ones(3)}
        return x * self.values["weight"] + self.values["bias"]

    def backward_pass(self, dy):
        gradient = (dy * self.saved).sum(axis=0)
        if self.fault == "gradients":
            self.gradients["weight"], self.gradients["bias"] = gradient, dy.sum(axis=0)
        elif self.fault == "dict of gradients":
            self.gradients = {"weight": gradient, "bias": dy.sum(axis=0)}
        else:
            self.set_gradients(gradient, dy.sum(axis=0))
        return dy * self.values["weight"]


@pytest.mark.parametrize("which", ["values", "gradients", "dict of values", "dict of gradients"])
def test_arrays_must_be_written_in_place(nn, which):
    """Else nothing of them would be trained. The error leaves the network's own arrays, so that training can go on."""
    layer, right = Replaces(), Replaces()
    layer.fault = which
    model, other = nn.Sequential(layer), nn.Sequential(right)
    x, t, optimizer = normal((2, 3)), normal((2, 3), seed=1), nn.SGD()
    word, method = which.rsplit(maxsplit=1)[-1], "forward_pass" if "values" in which else "backward_pass"
    for _ in range(2):
        with pytest.raises(TypeError, match=rf"^Replaces\.{method}: expected {word}\['weight'\] to be written in "
                                            rf"place, {word}\['weight'\]\[\.\.\.\] = \.\.\., got another array in "
                                            r"its place$"):
            model.step(x, t, nn.MSELoss(), optimizer)
    same_parameters(model, other)
    layer.fault = ""
    for each in (model, other):
        each.step(x, t, nn.MSELoss(), nn.SGD(0.1))
    same_parameters(model, other)
    assert not np.array_equal(layer.values["weight"], np.ones(3))


@pytest.mark.parametrize("place", ["alone", "inside", "expectation"])
@pytest.mark.parametrize("which", ["values", "gradients"])
def test_an_activations_arrays_must_be_written_in_place(nn, which, place):
    """Alone, inside a layer, or where a prediction of DropConnect averages it, a network says the same."""
    class Slope(CustomActivation):
        def __init__(self):
            self.add("slope", (3,), "ones")

        def act(self, u):
            if which == "values":
                self.values["slope"] = np.ones(3)
            return u * self.values["slope"]

        def act_backward(self, dy, u, y):
            self.gradients["slope"] = (dy * u).sum(axis=0)
            return dy * self.values["slope"]

    model = nn.Sequential({"alone": Slope, "inside": lambda: nn.Linear(3, 3, activation=Slope()),
                           "expectation": lambda: nn.DropConnect(3, 3, activation=Slope())}[place]())
    method = "act" if which == "values" else "act_backward"
    with pytest.raises(TypeError, match=rf"^Slope\.{method}: expected {which}\['slope'\] to be written in place"):
        if place == "expectation":
            model(normal((2, 3)))
            model.backward(normal((2, 3)))
        else:
            model.step(normal((2, 3)), normal((2, 3)), nn.MSELoss(), nn.SGD())


@pytest.mark.parametrize("call", ["predict", "step", "wrap"])
def test_a_layer_must_not_call_its_own_model(nn, call):
    class Calls(CustomLayer):
        def forward_pass(self, x, training):
            if call == "predict":
                model.predict(x)
            elif call == "step":
                model.step(x, x, nn.MSELoss(), nn.SGD())
            else:
                nn.Sequential(model)
            return x

        def backward_pass(self, dy):
            return dy

    model = nn.Sequential(nn.Linear(3, 3), Calls())
    with pytest.raises(RuntimeError, match=r"must not call its own model|build it into another model afterwards"):
        model.predict(normal((2, 3)))


def test_abstract_methods_say_what_is_missing(nn):
    with pytest.raises(NotImplementedError, match=r"CustomLayer: expected a method forward_pass\(x, training\)"):
        nn.Sequential(CustomLayer()).predict(normal((2, 3)))


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "ClassLoss", "BCEWithLogitsLoss", "NLLLoss", "HingeLoss"])
@pytest.mark.filterwarnings("error")
def test_a_loss_of_ones_own_with_the_name_of_another(nn, name):
    """Nothing is asked of it, or said of it, that belongs to the library's loss of that name."""
    own = type(name, (CustomLoss,), {"value_and_gradient": Quartic.value_and_gradient})
    x, t = normal((8, 4)), normal((8, 3))
    for layers in ([nn.Linear(4, 3)], [nn.Linear(4, 3), nn.Softmax()]):
        histories = [nn.Sequential(*copy.deepcopy(layers), seed=1).fit(
            x, t, loss=loss, optimizer=nn.SGD(lr=0.01), epochs=2, batch_size=2, metrics=["mae"],
            gradient_accumulation_steps=2).history for loss in (own(), Quartic())]
        assert histories[0] == histories[1]


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
@pytest.mark.filterwarnings("error")
def test_an_optimizer_of_ones_own_with_the_name_of_another(nn, name):
    own = type(name, (CustomOptimizer,), {"update": lambda self, w, g, lr, decay: w.__isub__(lr * g)})
    x, t = normal((8, 4)), normal((8, 3))
    models = [nn.Sequential(nn.Linear(4, 3), seed=1, dtype="float64") for _ in range(2)]
    for model, optimizer in zip(models, (own(lr=0.1, weight_decay=30.0), nn.SGD(lr=0.1)), strict=True):
        model.fit(x, t, loss=nn.MSELoss(), optimizer=optimizer, epochs=2)
    np.testing.assert_allclose(models[0][0].weight, models[1][0].weight, rtol=1e-12)


def test_a_subclass_is_known_by_its_base(nn):
    class Mask(nn.Dropout):
        pass

    class Shares(nn.Softmax):
        pass

    class Bound(nn.MaxNorm):
        pass

    x = normal((5, 4))
    plain = nn.Sequential(nn.Linear(4, 3), nn.Softmax(), nn.Dropout(0.1), seed=1)
    for layers in ([nn.Softmax(), Mask(0.1)], [Shares()]):
        model = nn.Sequential(nn.Linear(4, 3), *layers, seed=1)
        same(model.predict_proba(x), plain.predict_proba(x))
    with pytest.warns(nn.TrainingWarning, match="ends in a Shares, and CrossEntropyLoss applies softmax itself"):
        model.fit(x, np.arange(5) % 3, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD())
    with pytest.raises(ValueError, match="penalty: expected L2 for L-BFGS"):
        nn.Sequential(nn.Linear(4, 3), penalty=Bound(0.1)).fit_lbfgs(x, normal((5, 3)), loss=nn.MSELoss())

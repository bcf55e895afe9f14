"""The life of a layer: alone, taken over, released, in use, copied; the same in both packages."""

import copy
import gc
import inspect
import pickle
import threading
import weakref
from typing import ClassVar

import numpy as np
import pytest

from fastnn_ref.shared.custom import CustomLayer
from tests.cases import LOSSES, OPTIMIZERS, PENALTIES, one_of_each_kind
from tests.check import inputs, normal, same, same_parameters
from tests.pairwise import chequered

WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}
X, T = normal((6, 4)), np.arange(6) % 3


def net(nn, seed=0, dtype="float64", **more):
    return nn.Sequential(nn.Linear(4, 5, activation="tanh"), nn.Dropout(0.4), nn.Linear(5, 3), seed=seed, dtype=dtype,
                         **more)


def train(nn, model, optimizer, steps=2):
    for _ in range(steps):
        model.step(X, T, nn.CrossEntropyLoss(), optimizer)


# ---- taken over ----


def test_a_child_knows_its_parent_and_no_longer_than_that(nn):
    layer = nn.Linear(4, 4)
    assert layer.parent is None
    model = nn.Sequential(layer)
    assert layer.parent is model
    assert layer.network is model.network
    gone = weakref.ref(model)
    del model
    assert gone() is None, "a cycle keeps the model alive"
    assert layer.parent is None


@pytest.mark.parametrize("wrap", [
    lambda nn, layer: nn.Sequential(layer, nn.Softmax()),
    lambda nn, layer: nn.Residual(layer),
    lambda nn, layer: nn.StochasticDepth(layer, 0.5),
], ids=["Sequential", "Residual", "StochasticDepth"])
def test_no_layer_stands_in_two_models(nn, wrap):
    layer = nn.Linear(4, 4)
    first = wrap(nn, layer)
    with pytest.raises(ValueError, match=r"this Linear already belongs to a model; copy.deepcopy\(layer\) makes one"):
        wrap(nn, layer)
    assert layer.parent is first
    wrap(nn, copy.deepcopy(layer))
    del first
    second = wrap(nn, layer)
    assert layer.parent is second


def test_a_constructor_that_fails_takes_nothing(nn):
    free, used = nn.Linear(4, 4), nn.Linear(4, 4)
    model = nn.Sequential(used)
    for attempt in (
        lambda: nn.Sequential(free, used),
        lambda: nn.Sequential(free, nn.Linear(5, 5)),
        lambda: nn.Sequential(free, free),
        lambda: nn.Sequential(free, seed=-1),
        lambda: nn.Sequential(free, dtype="int8"),
        lambda: nn.Sequential(free, penalty=3),
        lambda: nn.StochasticDepth(free, 2.0),
        lambda: nn.Sequential(free, 3),
    ):
        with pytest.raises((ValueError, TypeError)):
            attempt()
        assert free.parent is None
    assert used.parent is model


def test_the_contents_keep_their_values(nn):
    layer = nn.Linear(4, 3)
    before = layer.weight.copy()
    model = nn.Sequential(layer, seed=9)
    same(model.params["0.weight"], before)


def test_the_outer_network_counts(nn):
    inner = net(nn, seed=1)
    train(nn, inner, nn.SGD())
    outer = nn.Sequential(inner, nn.Softmax(), seed=2)
    assert (inner.seed, inner.steps, inner.epochs) == (2, 0, 0)
    outer.forward(X, training=True)
    assert inner.steps == outer.steps == 1
    assert list(outer.params) == ["0." + name for name in inner.params]
    del outer
    gc.collect()
    assert (inner.seed, inner.steps) == (1, 2)


@pytest.mark.parametrize("call", [
    lambda nn, model: model.step(X, T, nn.CrossEntropyLoss(), nn.SGD()),
    lambda nn, model: model.run_epoch(X, T, nn.CrossEntropyLoss(), nn.SGD()),
    lambda nn, model: model.fit(X, T, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD()),
], ids=["step", "run_epoch", "fit"])
def test_a_wrapped_model_predicts_and_does_not_train(nn, call):
    inner = net(nn)
    y = inner.predict(X)
    outer = nn.Sequential(inner)
    same(outer.predict(X), y)
    same(inner.predict(X), y)
    with pytest.raises(ValueError, match="step: this Sequential stands inside another model; train that one"):
        call(nn, inner)
    del outer
    call(nn, inner)


@pytest.mark.parametrize("dtype", [None, "float32", "float64"])
@pytest.mark.parametrize("optimizer", [
    lambda nn: nn.SGD(lr=0.05, momentum=0.9), lambda nn: nn.Adam(lr=0.01), lambda nn: nn.RMSprop(),
], ids=["momentum", "adam", "rmsprop"])
def test_a_wrapper_that_is_gone_leaves_no_trace(nn, dtype, optimizer):
    """Predicting through a wrapper, of its own dtype or not, and dropping it: training goes on to the same bits."""
    model, other = net(nn, seed=4, dtype="float32"), net(nn, seed=4, dtype="float32")
    one, two = optimizer(nn), optimizer(nn)
    train(nn, model, one)
    train(nn, other, two)
    outer = nn.Sequential(nn.Residual(nn.Identity()), model, nn.Softmax(), seed=3, dtype=dtype)
    assert outer.predict(X).dtype == np.dtype(dtype or "float32")
    state, wanted = one.state_dict(), two.state_dict()          # readable while the model is wrapped
    for slot in set(state) - {"steps", "lr"}:
        for name, value in state[slot].items():
            same(value, wanted[slot][name])
    del outer
    train(nn, model, one)
    train(nn, other, two)
    same_parameters(model, other)
    assert model.dtype == np.float32


def test_optimizer_belongs_to_the_network(nn):
    inner, optimizer = net(nn), nn.Adam()
    train(nn, inner, optimizer)
    outer = nn.Sequential(inner, nn.Identity())
    with pytest.raises(ValueError, match="optimizer: this Adam already belongs to another model; make a new one"):
        train(nn, outer, optimizer)


# ---- dtype ----


def test_dtype_is_that_of_the_contents_unless_chosen(nn):
    default = nn.Sequential(nn.Linear(2, 2)).dtype
    other = "float32" if default == np.float64 else "float64"
    inner = nn.Sequential(nn.Linear(2, 2), dtype=other)
    outer = nn.Sequential(inner, nn.Linear(2, 1))
    assert outer.dtype == inner.dtype == np.dtype(other)
    assert outer.predict(np.ones((1, 2))).dtype == np.dtype(other)
    chosen = nn.Sequential(copy.deepcopy(inner), dtype=default)
    assert chosen.dtype == chosen.layers[0].dtype == default
    alone = nn.Linear(2, 2)
    alone(np.ones((1, 2)))
    assert nn.Sequential(alone).dtype == default


def test_two_dtypes_inside_want_a_choice(nn):
    def parts():
        return (nn.Sequential(nn.Linear(2, 2), dtype=dtype) for dtype in ("float32", "float64"))

    one, two = parts()
    with pytest.raises(ValueError, match="dtype: expected one, as the layers already have float32 and float64; say dt"):
        nn.Sequential(one, two)
    assert one.parent is two.parent is None
    model = nn.Sequential(one, two, dtype="float32")
    assert model.predict(np.ones((1, 2))).dtype == np.float32


def test_arrays_stay_where_they_are(nn):
    """Who holds a parameter still holds it after the model was wrapped, used and released."""
    model = net(nn)
    held = {name: value for name, value in model.params.items()}
    outer = nn.Sequential(model)
    outer.predict(X)
    del outer
    train(nn, model, nn.SGD())
    for name, value in model.params.items():
        assert np.shares_memory(held[name], value), name


@pytest.mark.parametrize("which", ["params", "grads"])
def test_assigning_to_a_name_copies_values_in(nn, which):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), seed=0)
    held = getattr(model, which)
    arrays = dict(held)
    getattr(model, which)["0.weight"] = np.full((2, 3), 5)
    getattr(model, which)["0.weight"] -= 1
    getattr(model, which).update({"1.bias": [7.0]})
    for name, value in {"0.weight": np.full((2, 3), 4.0), "1.bias": np.array([7.0])}.items():
        assert (arrays[name] == value).all() and (held[name] == value).all() and arrays[name] is held[name]
    for wrong, said in ({"1.bias": [1.0], "0.weight": np.ones(3)}, r"0.weight: expected \(2, 3\), got \(3,\)"), (
            {"2.weight": 1}, "2.weight: expected a layer that has one"):
        with pytest.raises(ValueError, match=said):
            held.update(wrong)
    assert held["1.bias"] == 7
    for copied in copy.deepcopy(held), pickle.loads(pickle.dumps(held)):    # which belong to no model
        copied["0.weight"] = None
    assert (held["0.weight"] == 4).all()


# ---- in use ----


def in_thread(call):
    found = []

    def run():
        try:
            found.append(call())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


CALLBACKS = {
    "progress": lambda nn, model, call: model.run_epoch(
        X, T, nn.CrossEntropyLoss(), nn.SGD(), 2, progress=lambda done, steps: call()),
    "on_batch_begin": lambda nn, model, call: model.run_epoch(
        X, T, nn.CrossEntropyLoss(), nn.SGD(), 2, on_batch_begin=lambda batch: call()),
    "on_batch_end": lambda nn, model, call: model.run_epoch(
        X, T, nn.CrossEntropyLoss(), nn.SGD(), 2, on_batch_end=lambda batch, logs: call()),
    "schedule of an epoch": lambda nn, model, call: model.run_epoch(
        X, T, nn.CrossEntropyLoss(), nn.SGD(lr=lambda step: call() or 0.1), 2),
    "schedule of a step": lambda nn, model, call: model.step(
        X, T, nn.CrossEntropyLoss(), nn.SGD(lr=lambda step: call() or 0.1)),
}
TRAINERS = {
    "step": lambda nn, model: model.step(X, T, nn.CrossEntropyLoss(), nn.SGD()),
    "run_epoch": lambda nn, model: model.run_epoch(X, T, nn.CrossEntropyLoss(), nn.SGD()),
    "forward": lambda nn, model: model.forward(X, training=True),
    "backward": lambda nn, model: model.backward(np.ones((6, 3))),
    "optimizer.step": lambda nn, model: nn.SGD().step(model),
}


@pytest.mark.parametrize("where", CALLBACKS)
def test_a_callback_may_predict(nn, where):
    model, plain, seen = net(nn), net(nn), []
    CALLBACKS[where](nn, model, lambda: seen.append(model.predict(X)))
    CALLBACKS[where](nn, plain, lambda: None)
    assert seen
    same_parameters(model, plain)


@chequered
@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("where", ["progress", "on_batch_end", "schedule of a step"])
def test_a_callback_may_not_train(nn, where, trainer):
    model, plain, seen = net(nn), net(nn), []

    def call():
        with pytest.raises(RuntimeError, match="Sequential: in training; a callback may predict, but not train"):
            TRAINERS[trainer](nn, model)
        seen.append(1)

    CALLBACKS[where](nn, model, call)
    CALLBACKS[where](nn, plain, lambda: None)
    assert seen
    same_parameters(model, plain)
    TRAINERS["step"](nn, model)             # and afterwards the model is free


@pytest.mark.parametrize("where", ["progress", "on_batch_begin", "schedule of a step"])
def test_another_thread_is_refused(nn, where):
    model, errors = net(nn), []
    CALLBACKS[where](nn, model, lambda: errors.append(in_thread(lambda: model.predict(X))))
    assert errors
    for error in errors:
        assert isinstance(error, RuntimeError)
        assert str(error) == "Sequential: in use by another thread; copy.deepcopy makes one for each"
    assert in_thread(lambda: model.predict(X)).shape == (6, 3)


@pytest.mark.parametrize("wrap", [lambda nn, m: nn.Sequential(m), lambda nn, m: nn.Sequential(nn.Identity(), m),
                                  lambda nn, m: nn.Sequential(m, nn.Softmax(), dtype="float32")])
@pytest.mark.parametrize("other_thread", [False, True])
def test_a_model_in_training_is_not_taken_over(nn, wrap, other_thread):
    model, plain, seen = net(nn), net(nn), []

    def call():
        if other_thread:
            seen.append(in_thread(lambda: wrap(nn, model)))
            assert isinstance(seen[-1], RuntimeError)
            assert "in use; build it into another model afterwards, or copy it" in str(seen[-1])
        else:
            with pytest.raises(RuntimeError, match="Sequential: in use; build it into another model afterwards"):
                wrap(nn, model)
            seen.append(copy.deepcopy(model).predict(X))
        assert model.parent is None

    CALLBACKS["progress"](nn, model, call)
    CALLBACKS["progress"](nn, plain, lambda: None)
    assert seen
    same_parameters(model, plain)
    assert wrap(nn, model).predict(X).shape == (6, 3)


def test_a_layer_does_not_call_its_own_model(nn):
    class Nosy(nn.CustomLayer):
        def forward_pass(self, x, training):
            model().predict(X)
            return x

    net_with = nn.Sequential(nn.Linear(4, 4), Nosy(), seed=0)
    model = weakref.ref(net_with)
    with pytest.raises(RuntimeError, match="in a pass; a layer must not call its own model"):
        net_with.predict(X)
    assert net_with.layers[0](X).shape == (6, 4)


def test_dy_does_not_call_the_model_that_reads_it(nn):
    """The pass that it began would work in the memory that backward is about to read."""
    class Nosy:
        def __array__(self, dtype=None, copy=None):
            model.predict(np.ones((5000, 4)), 5000)
            return np.ones((6, 3))

    model = net(nn)
    model.forward(X, training=True)
    with pytest.raises(RuntimeError, match="in a pass; a layer must not call its own model"):
        model.backward(Nosy())
    model.forward(X, training=True)
    assert model.backward(np.ones((6, 3))).shape == (6, 4)


# ---- an epoch that was interrupted ----


def test_an_epoch_goes_on_where_it_stopped(nn):
    class Stop(Exception):
        pass

    def stop(batch, logs):
        if batch == 1:
            raise Stop

    arguments = X, T, nn.CrossEntropyLoss()
    model, whole = net(nn), net(nn)
    one, two = nn.Adam(), nn.Adam()
    for each, optimizer in ((model, one), (whole, two)):
        each.run_epoch(*arguments, optimizer, 2, mixup=0.3)
    with pytest.raises(Stop):
        model.run_epoch(*arguments, one, 2, mixup=0.3, on_batch_end=stop)
    assert (model.network.batch, model.epochs, model.steps) == (2, 1, 5)
    assert model.network.counters()["sums"][2] == 4
    again, other = net(nn, seed=0), nn.Adam()
    nn.load_training_state(nn.training_state(model, one), again, other)
    value = again.run_epoch(*arguments, other, 2, mixup=0.3, resume=True)
    assert value == whole.run_epoch(*arguments, two, 2, mixup=0.3)
    same_parameters(again, whole)
    assert again.network.counters() == whole.network.counters() == {
        "steps": 6, "epochs": 2, "batch": 0, "sums": [0.0, 0.0, 0.0]}


def test_the_hooks_see_every_batch(nn):
    seen, model = [], net(nn)
    value = model.run_epoch(X, T, nn.CrossEntropyLoss(), nn.SGD(lr=0.0), 4, on_batch_begin=seen.append,
                            on_batch_end=lambda batch, logs: seen.append(dict(logs)))
    assert [each if isinstance(each, int) else (each["batch"], each["size"]) for each in seen] == [0, (0, 4), 1, (1, 2)]
    assert value == pytest.approx((4 * seen[1]["loss"] + 2 * seen[3]["loss"]) / 6)


def test_no_backward_after_the_step(nn):
    model, optimizer = net(nn), nn.SGD()
    loss = nn.CrossEntropyLoss()
    loss(model.forward(X, training=True), T)
    model.backward(loss.backward())
    optimizer.step(model)
    with pytest.raises(RuntimeError, match=r"backward: call forward\(x\) first"):
        model.backward(loss.backward())
    train(nn, model, optimizer)
    with pytest.raises(RuntimeError, match=r"backward: call forward\(x\) first"):
        model.backward(loss.backward())


# ---- copies ----


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_free_and_has_everything(nn, way):
    model, optimizer = net(nn, seed=3, dtype="float32"), nn.Adam()
    model.run_epoch(X, T, nn.CrossEntropyLoss(), optimizer, 4)
    outer = nn.Sequential(model)
    outer.predict(X)
    twin = WAYS[way](model)
    assert twin.parent is None
    for name, gradient in model.grads.items():
        assert gradient.any()
        same(twin.grads[name], gradient)
    del outer
    assert (twin.seed, twin.dtype, twin.steps, twin.epochs) == (3, np.float32, 2, 1)
    train(nn, model, optimizer)
    layer = WAYS[way](model.layers[0])
    assert layer.parent is None
    same(layer.weight, model.layers[0].weight)


class Scaled(CustomLayer):
    """A layer of one's own, where pickle finds it."""

    def __init__(self, n):
        self.n = n
        self.add("w", (n,), "ones")

    def forward_pass(self, x, training):
        self.saved = x
        return x * self.values["w"]

    def backward_pass(self, dy):
        self.set_gradients((dy * self.saved).sum(axis=0))
        return dy * self.values["w"]


def test_a_copy_whose_arrays_are_read_only_trains(nn):
    """As joblib, Dask and Ray hand large arrays to their workers: in memory that all of them share."""
    model, optimizer, buffers = nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5), Scaled(5), nn.Linear(5, 3), seed=1), nn.Adam(), []
    train(nn, model, optimizer)
    data = pickle.dumps((model, optimizer), protocol=5, buffer_callback=buffers.append)
    again, other = pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])
    assert buffers
    train(nn, model, optimizer)
    train(nn, again, other)
    same_parameters(again, model)


def test_a_copy_of_a_subclass_keeps_its_attributes(nn):
    for way in (copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))):
        layer = Named.of(nn)(2, 2)
        layer.note = "kept"
        found = way(layer)
        assert type(found) is type(layer)
        assert found.note == "kept"
        same(found.weight, layer.weight)


class Named:
    """Subclasses that only add a method, of either package, where pickle finds them."""

    made: ClassVar[dict] = {}

    @classmethod
    def of(cls, nn):
        if nn.__name__ not in cls.made:
            name = f"Named_{nn.__name__}"
            kind = type(name, (nn.Linear,), {"shout": lambda self: self.out_features, "__module__": __name__})
            cls.made[nn.__name__] = globals()[name] = kind
        return cls.made[nn.__name__]


def test_a_refused_state_changes_nothing_even_if_a_cast_raises(nn):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), dtype="float32")
    before = model.state_dict()
    state = {name: np.ones(value.shape) for name, value in before.items()}
    state["1.weight"] = np.full((2, 2), 1e300)
    with np.errstate(over="raise"), pytest.raises((FloatingPointError, RuntimeWarning)):
        model.load_state_dict(state)
    for name, value in model.state_dict().items():
        same(value, before[name])


# ---- a part ----


def test_a_model_is_a_row_of_layers(nn):
    model = net(nn)
    assert len(model) == 3
    assert list(model) == list(model.layers)
    assert model[0] is model.layers[0]
    assert model[-1] is model.layers[2]
    with pytest.raises(IndexError):
        model[3]


def test_a_part_has_the_same_arrays_and_predicts(nn):
    model = net(nn)
    first, rest = model[:1], model[1:]
    same(rest.predict(first.predict(X)), model.predict(X))
    assert first.params["0.weight"] is model.params["0.weight"] or np.shares_memory(
        first.params["0.weight"], model.params["0.weight"])
    assert first.network is model.network
    assert len(first) == 1
    for attempt in (lambda: train(nn, first, nn.SGD()), lambda: nn.Sequential(first), lambda: first[1:]):
        with pytest.raises(ValueError):
            attempt()
    y = first.predict(X)
    gone = weakref.ref(model)
    del model, rest
    assert gone() is not None
    same(first.predict(X), y)
    free = copy.deepcopy(first)
    train(nn, nn.Sequential(free, nn.Linear(5, 3)), nn.SGD())
    same(first.predict(X), y)


@pytest.mark.parametrize(("index", "shape"), [
    (slice(1, None), (2, 2)), (slice(3), (4,)), (slice(2, None), None),
], ids=str)
def test_a_part_of_a_model_whose_linear_gets_several_axes(nn, index, shape):
    """Alone, its Linear would be taken for one that gets a row."""
    model = nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 3), nn.GroupNorm(2, 2), nn.Flatten(), nn.Linear(6, 2),
                          input_shape=(4,))
    part, x = model[index], model[:index.start](X) if index.start else X
    assert part.input_shape == shape
    want = part(x)
    same(model[index.stop:](want) if index.stop else want, model(X))
    for way in WAYS.values():
        assert way(part).input_shape == shape
        same(way(part)(x), want)
    assert nn.from_config(part.config()).input_shape == shape
    with pytest.raises(ValueError, match=r"GroupNorm: .*, got \(3,\); where examples have more axes, input_shape="):
        nn.Sequential(nn.Linear(2, 3), nn.GroupNorm(2, 2))
    with pytest.raises(ValueError, match=r"Linear expects \(4,\) per example, gets \(3,\) from layers\[1\]$"):
        nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="Unflatten"):
        model[::-1]


@pytest.mark.parametrize("make", [
    lambda nn: nn.LayerNorm((5, 8)), lambda nn: nn.GroupNorm(1, 3), lambda nn: nn.BatchNorm2d(3),
    lambda nn: nn.PReLU(3), lambda nn: nn.Softmax(dim=2), lambda nn: nn.Residual(nn.LayerNorm((5, 8))),
], ids=range(6))  # fmt: skip
def test_a_linear_does_not_tell_the_shape_before_a_layer_that_takes_no_rows(nn, make):
    x = normal((2, 3, 5, 8))
    model = nn.Sequential(make(nn), nn.Linear(8, 8), dtype="float64")
    assert model.input_shape is None
    y = model(x)
    np.testing.assert_allclose(nn.Residual(nn.Sequential(copy.deepcopy(model)))(x), x + y, atol=1e-12)
    assert "(n, 8)" in str(model.summary())
    with pytest.raises(ValueError, match=rf"{type(make(nn)).__name__}|LayerNorm|for Softmax"):
        model(x[:, 0, 0])


# ---- Residual, and Linear on more axes ----


def test_residual(nn, dtype):
    block = nn.Linear(4, 4)
    model = nn.Sequential(nn.Residual(block), seed=1, dtype=dtype)
    x, dy = normal((3, 4), dtype), normal((3, 4), dtype, seed=1)
    y, dx = model.forward(x, training=True), model.backward(dy)
    w = block.weight.astype(np.float64)
    assert np.abs(y - (x + x @ w)).max() < 1e-5
    assert np.abs(dx - (dy + dy @ w.T)).max() < 1e-5
    assert list(model.params) == ["0.block.weight", "0.block.bias"]
    assert repr(model[0]) == "Residual(Linear(4, 4))"
    with pytest.raises(ValueError, match=r"Residual: expected a block that keeps the shape \(4,\), got \(3,\)"):
        nn.Residual(nn.Linear(4, 3))


def test_residual_takes_no_stream(nn):
    """The masks behind it are those without it."""
    def last(*before):
        model = nn.Sequential(*before, nn.Dropout(0.5), seed=5, dtype="float64")
        return model.forward(np.ones((2, 50)), training=True)

    same(last(nn.Residual(nn.Identity()), nn.Identity()) / 2, last(nn.Identity(), nn.Identity()))


@pytest.mark.parametrize("activation", [None, "gelu", "softmax"])
def test_linear_on_more_axes(nn, dtype, activation):
    x, dy = normal((3, 5, 2, 4), dtype), normal((3, 5, 2, 6), dtype, seed=1)
    model = nn.Sequential(nn.Linear(4, 6, activation=activation), seed=1, dtype=dtype)
    flat = nn.Sequential(nn.Linear(4, 6, activation=activation), seed=1, dtype=dtype)
    y, want = model.forward(x, training=True), flat.forward(x.reshape(-1, 4), training=True)
    same(y, want.reshape(3, 5, 2, 6))
    dx, want = model.backward(dy), flat.backward(dy.reshape(-1, 6))
    same(dx, want.reshape(x.shape))
    for name in model.grads:
        same(model.grads[name], flat.grads[name])
    assert tuple(model.output_shape((5, 2, 4))) == (5, 2, 6)
    with pytest.raises(ValueError, match=r"x: expected \(n, 4\), got \(3, 5, 3\)"):
        model.predict(np.zeros((3, 5, 3)))


# ---- attributes and subclasses ----


def test_arguments_are_read_only_and_names_are_known(nn):
    things = [nn.Dropout(0.5), nn.Linear(2, 3), nn.Adam(), nn.MSELoss(), nn.HuberLoss(), nn.L2(0.1), net(nn),
              nn.Residual(nn.ReLU()), nn.BatchNorm1d(3), nn.MaxPool2d(2), nn.Augment(flip=0.5), nn.GELU()]
    for thing in things:
        with pytest.raises(AttributeError):
            thing.no_such_name = 3
        for name in [name for name in thing.config() if name not in ("class", "lr", "bias")]:
            with pytest.raises(AttributeError):
                setattr(thing, name, getattr(thing, name))
        for name in ("forward", "config", "output_shape", "step"):
            if hasattr(thing, name):
                with pytest.raises(AttributeError):
                    setattr(thing, name, 3)


def test_what_can_be_set_is_checked(nn):
    optimizer, model = nn.Adam(), net(nn)
    optimizer.steps, optimizer.lr, model.steps, model.stop_training = 3, 0.5, 4, True
    assert (optimizer.steps, optimizer.lr, model.steps, model.stop_training) == (3, 0.5, 4, True)
    for attempt, error in (
        (lambda: setattr(optimizer, "steps", -1), ValueError), (lambda: setattr(optimizer, "steps", 1.5), TypeError),
        (lambda: setattr(optimizer, "lr", -1), ValueError), (lambda: setattr(model, "steps", -1), ValueError),
        (lambda: setattr(model, "stop_training", "yes"), TypeError),
        (lambda: setattr(model[0], "weight", np.ones(3)), ValueError),
    ):
        with pytest.raises(error):
            attempt()
    model[0].weight = np.ones((4, 5))
    assert model.params["0.weight"].min() == 1


@pytest.mark.parametrize(("base", "name", "instead"), [
    ("Layer", "forward_pass", "CustomLayer"), ("Linear", "forward_pass", "CustomLayer"),
    ("Sequential", "backward_pass", "CustomLayer"), ("ReLU", "output_shape", "CustomLayer"),
    ("Linear", "forward", "CustomLayer"), ("SGD", "update", "CustomOptimizer"),
    ("MSELoss", "value_and_gradient", "CustomLoss"), ("L2", "value", ""), ("Sequential", "penalty_value", ""),
    ("Sequential", "step", ""), ("Sequential", "run_epoch", ""),
])
def test_an_override_is_refused_when_the_class_is_made(nn, base, name, instead):
    with pytest.raises(TypeError) as caught:
        type("Mine", (getattr(nn, base),), {name: lambda self, *arguments: None})
    message = str(caught.value)
    assert message.startswith(f"{nn.__name__}.{base}: {name} runs in C in fastnn and cannot be overridden")
    assert message.endswith(f"; derive from {nn.__name__}.{instead}" if instead else "overridden")


@pytest.mark.parametrize(("base", "name", "value", "said"), [
    ("Dropout", "p", 0.1, "an argument"), ("SGD", "weight_decay", 1.0, "an argument"),
    ("MSELoss", "reduction", "sum", "an argument"), ("L1", "biases", True, "an argument"),
    ("Sequential", "seed", 3, "an argument"), ("Linear", "activation", property(lambda self: None), "an argument"),
    ("Linear", "trainable", False, "an attribute"), ("ReLU", "name", "mine", "an attribute"),
    ("Linear", "weight", property(lambda self: np.zeros((2, 1))), "an attribute"),
    ("Sequential", "stop_training", True, "an attribute"),
])
def test_what_objects_hold_is_no_attribute_of_a_class(nn, base, name, value, said):
    """What trains does not look at the class: a property or a default of one's own would be shown, and not used."""
    with pytest.raises(TypeError, match=rf"^{nn.__name__}\.{base}: {name} is {said} of .* cannot be overridden"):
        type("Mine", (type("Base", (getattr(nn, base),), {}),), {name: value})
    type("Mine", (getattr(nn, base),), {"tag": value, f"_{name}_of_mine": value})


def refused(base, name):
    try:
        type("Mine", (base,), {name: None})
    except TypeError:
        return True
    return False


def test_a_subclass_may_override_the_same_in_both_packages(ref, fast):
    count = 0
    for name in ref.__all__:
        one, other = getattr(ref, name), getattr(fast, name)
        if one is other or not inspect.isclass(one) or not issubclass(one, (ref.Layer, ref.Loss, ref.Optimizer,
                                                                            ref.Penalty)):
            continue
        for public in {*dir(one), *dir(other), *inspect.signature(one).parameters} - {"saved", "add"}:
            if public[0] != "_":
                assert refused(one, public) == refused(other, public), (name, public)
                count += 1
    assert count > 1000


@pytest.mark.parametrize("name", ["parameters", "set_parameter", "state_dict", "load_state_dict"])
@pytest.mark.parametrize("base", ["Linear", "Sequential", "CustomLayer"])
def test_what_training_files_and_copies_do_not_call_cannot_be_overridden(nn, base, name):
    if (base, name) != ("CustomLayer", "set_parameter"):            # which it does not have
        with pytest.raises(TypeError, match=rf"{base}: {name} is not called by training, files and copies and cannot"):
            type("Mine", (getattr(nn, base),), {name: lambda self: {}})


def assigning(base, name):
    """A class of one's own whose constructor assigns the attribute of that name."""
    made = {}
    exec(f"def __init__(self, *given, **named):\n    Base.__init__(self, *given, **named)\n    self.{name} = 5",
         {"Base": base}, made)
    return type("Mine", (base,), made)


@pytest.mark.parametrize(("base", "name"), [
    ("Linear", "_numbered"), ("Linear", "_input_shape"), ("Sequential", "_own_network"), ("Adam", "_steps"),
    ("Adam", "_network"), ("SGD", "_lr"), ("MSELoss", "_loss_pass"), ("CustomOptimizer", "_lr"),
    ("CustomLayer", "_host"),
    ("CustomLoss", "_loss_pass"), ("CustomActivation", "_host"), ("NAdam", "_product"), ("Conv2d", "_sides")])
def test_private_names_of_the_library(nn, base, name):
    """The reference took a user's self._steps for its own count: another result, without a word."""
    base = getattr(nn, base)
    for make in (assigning, lambda base, name: type("Mine", (base,), {name: None})):
        with pytest.raises(TypeError, match=rf"{base.__name__}: {name} is kept for the library itself; choose another"):
            make(base, name)
        make(base, f"{name}_of_mine")


def test_all_private_names_of_the_library_are_refused(ref, fast):
    """Those of the classes, and those of the objects after a step."""
    count = 0
    for case in [*one_of_each_kind(ref), *LOSSES, *OPTIMIZERS, *PENALTIES]:
        things = [case.make(nn) for nn in (ref, fast)]
        for nn, thing in zip((ref, fast), things, strict=True):
            if isinstance(thing, nn.Layer):
                model = thing if isinstance(thing, nn.Sequential) else nn.Sequential(thing)
                model.backward(model.forward(inputs(case), training=True))
            elif isinstance(thing, nn.Optimizer):
                nn.Sequential(nn.Linear(2, 2)).step(np.eye(2), np.eye(2), nn.MSELoss(), thing)
        names = {name for thing in things for name in (*dir(type(thing)), *getattr(thing, "__dict__", ()))}
        for name in sorted(names - {"_repr_html_"}):
            if name.startswith("_") and not name.startswith("__"):
                assert all(refused(type(thing), name) for thing in things), (type(things[0]), name)
                count += 1
    assert count > 500


@pytest.mark.parametrize("container", ["Sequential", "Residual", "Parallel"])
def test_too_deep(nn, tmp_path, container):
    """What can be made can be used, copied and saved; it was a RecursionError there from 88 levels on."""
    layer = nn.Linear(2, 2)
    for _ in range(63):
        layer = getattr(nn, container)(layer)
    model = nn.Sequential(layer)
    with pytest.raises(ValueError, match="layers: expected at most 64 levels of layers inside layers, got more"):
        nn.Sequential(model)
    assert model.parent is None
    model.step(np.eye(2), np.eye(2), nn.MSELoss(), nn.SGD())
    model.save(tmp_path / "model")
    for other in (nn.load(tmp_path / "model"), *(way(model) for way in WAYS.values()), nn.from_config(model.config())):
        assert repr(other) == repr(model)


def test_an_argument_of_another_class_cannot_be_set(nn):
    layer = nn.AvgPool2d(2)
    with pytest.raises(AttributeError, match="dilation"):
        layer.dilation = 3


def test_abstract_classes(nn):
    for name in ("Layer", "Activation", "Loss", "Penalty"):
        with pytest.raises(TypeError, match=f"{name}: an abstract class; use"):
            getattr(nn, name)()


def test_padding_takes_no_gradient(nn):
    model = nn.Sequential(nn.MaxPool2d(3, 1, 1), dtype="float64")
    y = model.forward(np.full((1, 1, 4, 4), -np.inf), training=True)
    assert (y == -np.inf).all()
    assert model.backward(np.ones((1, 1, 4, 4))).sum() == 16


def test_masked_arrays_are_refused(nn):
    masked = np.ma.masked_greater([1.0, 1e9], 100)
    for attempt in (lambda: nn.MSELoss()(np.zeros((2, 1)), masked), lambda: nn.Linear(2, 2)(masked[None]),
                    lambda: nn.MSELoss()(masked[:, None], np.zeros((2, 1)))):
        with pytest.raises(TypeError, match="expected an array without a mask, got a masked array"):
            attempt()

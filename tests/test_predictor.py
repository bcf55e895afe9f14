"""Predictor: the bits of ``model.predict``, whatever the shapes, the threads and what happens to the model later."""

import copy
import gc
import importlib
import pickle
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn
import fastnn_ref
from tests.check import close, inputs, normal, randomise_biases, randomise_statistics, same
from tests.pairwise import chequered, every, of_each_kind

X = normal((6, 4))


class OfReference(fastnn_ref.Predictor):
    pass


class OfEngine(fastnn.Predictor):
    pass


def net(nn, **arguments):
    return nn.Sequential(nn.Linear(4, 70, activation="tanh"), nn.BatchNorm1d(70), nn.Linear(70, 3),
                         **{"seed": 1, "dtype": "float64", **arguments})


def images(nn, dtype):
    """Layers that prepare their weights, in groups and in branches, and those that do not."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, algorithm="winograd", activation="relu"), nn.MaxPool2d(2),
        nn.Residual(nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=2, algorithm="winograd"), nn.BatchNorm2d(8))),
        nn.ConvTranspose2d(8, 4, 3, stride=2, groups=2), nn.Conv2d(4, 5, 3), nn.GELU(), nn.Flatten(),
        nn.Linear(5 * 15 * 15, 90), nn.LayerNorm(90), nn.Linear(90, 20), seed=2, dtype=dtype)
    model.output_shape((3, 16, 16))
    model.state_dict()
    randomise_biases(model)
    randomise_statistics(model)
    return model


# ---- the same bits ----

@of_each_kind
@every(dtype=["float32", "float64"])
def test_every_layer(nn, cases, dtype):
    for case in cases():
        layer, x = case.make(nn), inputs(case, dtype)
        model = nn.Sequential(layer, seed=3, dtype=dtype)
        model.predict(x)
        randomise_biases(model)
        predictor = model.predictor()
        same(predictor(x), model.predict(x), case.name)
        same(predictor.predict(x, batch_size=2), model.predict(x, batch_size=2), case.name)


@chequered
@pytest.mark.parametrize("count", [1, 2, 3])
@every(
    shape=[(1, 16), (1, 17), (3, 31), (5, 33), (16, 49), (20, 64), (255, 65), (256, 100), (257, 129), (300, 1000),
           (520, 1040), (700, 1101)],
    rows=[1, 2, 3, 4, 5, 7, 12, 19, 40, 97],
    activation=["gelu"],
)
def test_linear_of_every_size(fast, dtype, isa, threads, count, shape, rows, activation):
    """Panels, blocks and what is left over of both; a share of the columns for each thread."""
    threads(count)
    model = fast.Sequential(fast.Linear(*shape, activation=activation), seed=1, dtype=dtype)
    randomise_biases(model)
    x = normal((rows, shape[0]), dtype)
    same(model.predictor()(x), model.predict(x))


@chequered
@pytest.mark.parametrize("count", [1, 2, 3])
@every(
    made=[(3, 16, 3, {}), (2, 17, 5, {"padding": 2}), (30, 33, 3, {"bias": False}), (12, 40, (5, 3), {"stride": 2}),
          (4, 36, 3, {"groups": 2, "dilation": 2, "padding": 1}), (60, 50, 3, {"padding": "same"})],
    side=[(11, 9), (12, 14), (9, 18)],
    behind=["norm", "ReLU", "GELU", "Identity"],
)
def test_convolutions_of_every_size(fast, dtype, isa, threads, count, made, side, behind):
    """Single images whose rows fill no vectors: windows by filters, in blocks of taps, whose last panel is not full."""
    threads(count)
    inside, filters, kernel, arguments = made
    layers = [fast.BatchNorm2d(filters), fast.ReLU()] if behind == "norm" else [getattr(fast, behind)()]
    model = fast.Sequential(fast.Conv2d(inside, filters, kernel, **arguments), *layers, seed=4, dtype=dtype)
    model.output_shape((inside, *side))
    model.state_dict()
    randomise_biases(model)
    randomise_statistics(model)
    x = normal((5, inside, *side), dtype)
    predictor, want = model.predictor(), model.predict(x)
    for rows in (1, 5):
        same(predictor(x[:rows]), want[:rows])


@chequered
@pytest.mark.parametrize("count", [1, 2])
def test_images(fast, dtype, isa, threads, count):
    threads(count)
    model, x = images(fast, dtype), normal((45, 3, 16, 16), dtype)
    predictor, want = model.predictor(), model.predict(x)
    for rows in (1, 2, 5, 16, 17, 45):
        same(predictor(x[:rows]), want[:rows], f"{rows} rows")


def test_as_the_reference_has_them(ref, fast, isa):
    x = normal((5, 3, 16, 16))
    want = images(ref, "float64").predictor()(x)
    close("layer", images(fast, "float64").predictor()(x), want, 10000 * np.abs(want).max())


def test_other_kernels_than_those_it_was_prepared_for(fast, dtype):
    """What is packed fits one instruction set: another one reads the weights as they stand."""
    x, names = normal((6, 3, 16, 16), dtype), fast._kernels.available()
    before = fast.isa()
    try:
        for made_for in names:
            fast._kernels.use_isa(made_for)
            predictor = images(fast, dtype).predictor()
            for name in names:
                fast._kernels.use_isa(name)
                same(predictor(x), images(fast, dtype).predict(x), f"{made_for}, {name}")
    finally:
        fast._kernels.use_isa(before)


def test_probabilities_and_classes(nn):
    for model in (net(nn), nn.Sequential(nn.Linear(4, 1), seed=1), nn.Sequential(nn.Linear(4, 3), nn.Softmax())):
        predictor = model.predictor()
        same(predictor.predict_proba(X), model.predict_proba(X))
        same(predictor.predict_classes(X, batch_size=4), model.predict_classes(X))
        if len(model) != 2:
            same(predictor.predict_proba(X, multilabel=True), model.predict_proba(X, multilabel=True))
            same(predictor.predict_classes(X, multilabel=True), model.predict_classes(X, multilabel=True))
    with pytest.raises(ValueError, match="logits"):
        nn.Sequential(nn.Linear(4, 2), nn.Tanh()).predictor().predict_proba(X)


def sampling(nn):
    """A model whose prediction draws random numbers: which ones, depends on seed and place."""
    block = nn.Sequential(nn.DropConnect(5, 5, p=0.3, activation="tanh", inference="gaussian"))
    return nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Residual(block), nn.Linear(5, 2), seed=7), block


def test_parts_and_models_inside(nn):
    """They have the numbers of their place in the model, and so have their copies."""
    model, block = sampling(nn)
    x = normal((6, 5), model.dtype)
    for part in (model[2:], block):
        want = part.predict(x)
        predictor = part.predictor()
        for found in (predictor, copy.copy(predictor), copy.deepcopy(predictor),
                      pickle.loads(pickle.dumps(predictor)), pickle.loads(pickle.dumps(copy.copy(predictor)))):
            same(found(x), want)
            assert found.dtype == model.dtype
    fresh, _ = sampling(nn)
    with pytest.raises(AssertionError):         # else the test shows nothing
        same(nn.Sequential(copy.deepcopy(fresh[2]), copy.deepcopy(fresh[3]), seed=8).predict(x), fresh[2:].predict(x))


# ---- apart from the model ----

def test_nothing_that_happens_to_the_model_changes_it(nn):
    model, t = net(nn), np.arange(6) % 3
    predictor, want = model.predictor(), model.predict(X)
    changes = [
        lambda m: m.step(X, t, nn.CrossEntropyLoss(), nn.SGD(0.5)),
        lambda m: m[0].weight.fill(0),
        lambda m: setattr(m[1], "running_mean", np.ones(70)),
        lambda m: m.load_state_dict(net(nn, seed=2).state_dict()),
        lambda m: nn.Sequential(m, nn.Linear(3, 2), dtype="float64").predict(X),
    ]
    for change in changes:
        change(model)
        same(predictor(X), want)
    with pytest.raises(AssertionError):
        same(model.predict(X), want)
    del model
    gc.collect()
    same(predictor(X), want)


def test_nothing_that_happens_to_it_changes_the_model(nn):
    model, same_model = net(nn), net(nn)
    for each in (model, same_model):
        each.predict(X)
    predictor = model.predictor()
    predictor(X)
    same(model.forward(X, training=True), same_model.forward(X, training=True))
    model.predictor()                           # between forward and backward
    same(model.backward(np.ones((6, 3))), same_model.backward(np.ones((6, 3))))


def test_it_serves_while_the_model_is_trained(nn):
    model, t, found, stop = net(nn), np.arange(6) % 3, [], threading.Event()
    predictor, want = model.predictor(), model.predict(X)

    def serve():
        while not stop.is_set():
            found.append(predictor(X))

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(serve) for _ in range(3)]
        try:
            model.fit(X, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(0.1), epochs=30, batch_size=2)
        finally:
            stop.set()
        for job in jobs:
            job.result(60)
    assert found
    for y in found:
        same(y, want)


def test_made_in_a_callback(nn):
    """Between two epochs, of the model as it is then."""
    class Keep(nn.Callback):
        def on_epoch_end(self, epoch, logs):
            self.predictor, self.want = self.model.predictor(), self.model.predict(X)

    keep = Keep()
    net(nn).fit(X, np.arange(6) % 3, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(0.1), epochs=2, callbacks=[keep])
    same(keep.predictor(X), keep.want)


def test_a_layer_of_ones_own_is_copied(nn):
    class Scale(nn.CustomLayer):
        def __init__(self):
            self.factor = np.array([2.0])

        def forward_pass(self, x, training):
            return x * self.factor

        def backward_pass(self, dy):
            return dy * self.factor

    scale = Scale()
    model = nn.Sequential(nn.Linear(4, 3), scale, dtype="float64")
    predictor, want = model.predictor(), model.predict(X)
    scale.factor[...] = 5
    same(predictor(X), want)
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(lambda _: predictor(X), range(40)):
            same(y, want)


# ---- what it says and refuses ----

def test_what_it_tells(nn):
    predictor = net(nn, input_shape=(4,)).predictor()
    assert predictor.dtype == np.float64
    assert predictor.input_shape == (4,)
    assert predictor.output_shape((4,)) == (3,)
    assert repr(predictor).startswith("Predictor(Sequential(Linear(4, 70")
    assert not hasattr(predictor, "model")
    assert not hasattr(predictor, "fit")
    assert type(net(nn).predictor()) is nn.Predictor


def test_bad_input(nn):
    for wrong in (nn.Linear(2, 3), nn.Sequential, None, "model"):
        with pytest.raises(TypeError, match="model: expected a Model of"):
            nn.Predictor(wrong)
    predictor = net(nn).predictor()
    for call in (predictor, predictor.predict, predictor.predict_classes):
        with pytest.raises(ValueError, match=r"x: expected \(n, 4\)"):
            call(np.ones((2, 5)))
    for size in (0, -1):
        with pytest.raises(ValueError, match="batch_size"):
            predictor.predict(X, batch_size=size)
    same(predictor.predict(X, batch_size=10**30), predictor(X))


def test_a_model_of_the_other_package(ref, fast):
    for package, other in ((ref, fast), (fast, ref)):
        with pytest.raises(TypeError, match=f"model: expected a Model of {package.__name__}"):
            package.Predictor(net(other))


def test_not_while_another_thread_trains(nn):
    model, inside, go = net(nn), threading.Event(), threading.Event()

    class Hold(nn.Callback):
        def on_epoch_end(self, epoch, logs):
            inside.set()
            assert go.wait(60)

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(model.fit, X, np.arange(6) % 3, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(0.1),
                          epochs=1, callbacks=[Hold()])
        assert inside.wait(60)
        try:
            with pytest.raises(RuntimeError, match="in use by another thread"):
                model.predictor()
        finally:
            go.set()
        job.result(60)
    same(model.predictor()(X), model.predict(X))


def test_made_without_init(nn):
    class Late(nn.Predictor):
        def __init__(self):
            pass

    for call in (lambda p: p(X), lambda p: p.predict(X), lambda p: p.dtype, repr, copy.copy):
        with pytest.raises(RuntimeError, match="Late: made without a call of __init__"):
            call(Late())


def test_a_predict_of_ones_own(nn):
    """The other methods call it."""
    class Scaled(nn.Predictor):
        def predict(self, x, batch_size=1024):
            return super().predict(np.asarray(x) / 255, batch_size)

    model = net(nn)
    own, plain = Scaled(model), model.predictor()
    for name in ("__call__", "predict", "predict_proba", "predict_classes"):
        same(getattr(own, name)(X * 255), getattr(plain, name)(X * 255 / 255))


def test_a_predict_of_the_models_own_class(nn):
    """As ``model.predict`` does where a subclass of Sequential overrides that, also in copies and in threads."""
    class Scaled(nn.Sequential):
        def predict(self, x, batch_size=1024):
            return 10 * super().predict(np.asarray(x) / 255, batch_size)

    model = Scaled(nn.Linear(4, 70, activation="tanh"), nn.Linear(70, 3), seed=1, dtype="float64")
    predictor = model.predictor()
    for found in (predictor, copy.copy(predictor)):
        same(found(X), model.predict(X))
        for name in ("predict", "predict_proba", "predict_classes"):
            same(getattr(found, name)(X, batch_size=2), getattr(model, name)(X, batch_size=2))
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: predictor(X), range(20)):
            same(got, model.predict(X))


@pytest.mark.parametrize("package", ["fastnn_ref", "fastnn"])
def test_a_class_of_ones_own(package):
    nn, kind = importlib.import_module(package), {"fastnn_ref": OfReference, "fastnn": OfEngine}[package]
    predictor = kind(net(nn))
    predictor.name = "mine"
    for found in (copy.copy(predictor), pickle.loads(pickle.dumps(predictor))):
        assert type(found) is kind
        assert found.name == "mine"
        same(found(X), predictor(X))


def test_memory(fast):
    """The weights twice, and what it takes to copy them; no gradients."""
    model = fast.Sequential(fast.Linear(1000, 1000), seed=1)
    model.predict(np.ones((1, 1000)))
    gc.collect()
    tracemalloc.start()
    predictor = model.predictor()
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 3.2 * 4e6
    predictor(np.ones((1, 1000)))


def test_attributes_of_ones_own(nn):
    """A subclass may call them what it likes: the reference kept its copy of the model under such a name."""
    class Scaled(nn.Predictor):
        def __init__(self, model, scale):
            super().__init__(model)
            self._model, self._seed, self.prepared, self.scale = model, 5, "yes", scale

        def _prepare(self, x):
            return np.asarray(x) / self.scale

        def _ready(self):
            return True

        def predict(self, x, batch_size=1024):
            return super().predict(self._prepare(x), batch_size)

    model = net(nn)
    own, plain = Scaled(model, 255), model.predictor()
    want = plain.predict(X)
    model[0].weight[...] = 0
    for each in (own, copy.deepcopy(own)):
        same(each(X * 255), plain(X * 255 / 255))
        assert (each._seed, each.prepared, each._ready()) == (5, "yes", True)
    same(plain.predict(X), want)

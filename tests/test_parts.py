"""Predictions of images go through the layers a part at a time, shared between threads: the same bits, less memory."""

import gc
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.check import close, normal, randomise_biases, randomise_statistics, same
from tests.pairwise import chequered

SHAPE, ROWS = (3, 20, 20), 70           # 16 images are a part, and in double 8: four blocks and a few images behind


def net(nn, dtype="float32", algorithm="direct"):
    """Every kind of layer that images go through, with branches and a model inside."""
    inside = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, algorithm=algorithm), nn.GroupNorm(2, 8), nn.GELU())
    model = nn.Sequential(
        nn.Conv2d(3, 16, 5, padding=2, algorithm=algorithm, activation="relu"), nn.MaxPool2d(2),
        nn.Conv2d(16, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Residual(inside),
        nn.Dropout(0.3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(200, 5), nn.Softmax(), seed=1, dtype=dtype)
    model.output_shape(SHAPE)
    model.state_dict()
    randomise_biases(model)
    randomise_statistics(model)
    return model


@pytest.fixture(params=[1, 2, 3])
def count(request, threads):
    """So many threads."""
    threads(request.param)


def images(dtype="float32", rows=ROWS):
    return normal((rows, *SHAPE), dtype)


def one_by_one(model, x):
    """What no part can change: rows below a block."""
    return np.concatenate([model.predict(x[i:i + 1]) for i in range(len(x))])


@chequered
@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_the_same_bits(fast, dtype, isa, count, algorithm):
    model, x = net(fast, dtype, algorithm), images(dtype)
    want = one_by_one(model, x)
    for rows in (1, 15, 16, 17, 32, 33, 48, ROWS):
        for found in (model.predict(x[:rows]), model(x[:rows]), model.predict(x[:rows], batch_size=40)):
            same(found, want[:rows], f"{rows} rows")


@chequered
def test_as_the_reference_has_them(ref, fast, count):
    x = images("float64")
    want = net(ref, "float64").predict(x)
    close("layer", net(fast, "float64").predict(x), want, 1000 * np.abs(want).max())


def test_from_any_layer_on(fast, count):
    """A layer, a slice and a layer of a layer predict for themselves."""
    model, x = net(fast), images()
    after = model[:2](x)
    same(after, one_by_one(model[:2], x))
    same(model[2:](after), model(x))
    inside, y = model.layers[5], normal((ROWS, 8, 10, 10), "float32")
    same(inside(y), np.concatenate([inside(y[i:i + 1]) for i in range(ROWS)]))


@chequered
@pytest.mark.parametrize("input_gradient", [True, False])
def test_backward_follows(fast, count, input_gradient):
    """A prediction of parts keeps nothing; backward repeats it as a whole."""
    x, dy = images(), normal((ROWS, 5), "float32", seed=1)
    found, want = net(fast), net(fast)
    found(x)
    got = found.backward(dy, input_gradient=input_gradient)
    sums = [np.zeros_like(gradient) for _, _, gradient, _ in want.parameters()]
    for i in range(ROWS):
        want(x[i:i + 1])
        dx = want.backward(dy[i:i + 1])
        if input_gradient:
            same(got[i:i + 1], dx)
        for total, (_, _, gradient, _) in zip(sums, want.parameters(), strict=True):
            total += gradient
    for total, (name, _, gradient, _) in zip(sums, found.parameters(), strict=True):
        close("layer", gradient, total, ROWS * 400 * max(1, np.abs(total).max()), name)
    found.predict(x)
    with pytest.raises(RuntimeError, match="forward"):
        found.backward(dy)


def test_what_changes_between_predictions_counts(fast, count):
    """The threads' layers of their own stand on the model's arrays, whatever happens to these."""
    model, fresh, x, t = net(fast), net(fast), images(), np.arange(ROWS) % 5
    loss, optimizer = fast.CrossEntropyLoss(), fast.SGD(0.1)

    def check():
        fresh.load_state_dict(model.state_dict())
        same(model.predict(x), one_by_one(fresh, x))

    check()
    model.step(x[:40], t[:40], loss, optimizer)
    check()
    model.layers[2].weight = 2 * model.layers[2].weight
    model.layers[3].running_mean = model.layers[3].running_mean + 1
    check()
    model.layers[0].bias[...] = 3
    check()
    model.load_state_dict(net(fast).state_dict())
    check()
    around = fast.Sequential(model, fast.Linear(5, 2), seed=2)
    same(around[:1](x), one_by_one(fresh, x))


@chequered
@pytest.mark.parametrize("call", [lambda m, x: m.predict(x), lambda m, x: m(x)])
def test_memory_is_that_of_parts(fast, count, call):
    model, x = net(fast), images(rows=4000)
    tracemalloc.start()
    call(model, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    whole = 4000 * 16 * 20 * 20 * 4             # what the first layer gives out
    assert peak < whole / 4


def test_a_layer_of_ones_own_sees_the_batch(nn):
    class Rows(nn.CustomLayer):
        seen = ()

        def forward_pass(self, x, training):
            Rows.seen = (*Rows.seen, len(x))
            return x

        def backward_pass(self, dy):
            return dy

    model = nn.Sequential(nn.Conv2d(3, 16, 5, padding=2), Rows(), seed=0)
    model(images())
    model.predict(images(), 60)
    assert Rows.seen == (ROWS, 60, 10)


@chequered
def test_threads_that_predict_at_once(fast, count):
    """Each with threads of its own, and layers for these."""
    model, x = net(fast), images()
    want = one_by_one(model, x)
    start = threading.Barrier(4)

    def predict(_):
        start.wait()
        return [call(x) for _ in range(10) for call in (model.predict, model)]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(predict, range(4)):
            for y in found:
                same(y, want)
    model.step(x, np.arange(ROWS) % 5, fast.CrossEntropyLoss(), fast.SGD(0.1))


def test_nobody_trains_meanwhile(fast, count):
    """While a prediction runs without the GIL, a step in another thread is refused, and nothing changes."""
    model, x, t = net(fast), images(rows=3000), np.arange(ROWS) % 5
    model.predict(x[:64])
    before, refused = model.state_dict(), 0
    thread = threading.Thread(target=model.predict, args=(x,))
    thread.start()
    while thread.is_alive():
        try:
            model.step(x[:ROWS], t, fast.CrossEntropyLoss(), fast.SGD(0.0))
        except RuntimeError as error:
            assert "thread" in str(error)
            refused += 1
    thread.join()
    assert refused
    for name, value in model.state_dict().items():
        if "running" not in name:
            same(value, before[name])


@chequered
def test_nothing_is_left_behind(fast, count):
    def once():
        model = net(fast)
        model.predict(images())

    once()
    gc.collect()
    tracemalloc.start()
    once()
    gc.collect()
    first = tracemalloc.get_traced_memory()[0]
    for _ in range(3):
        once()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert grown < 60_000

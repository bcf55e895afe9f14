"""fit on batches: the last one left out, from an iterator, several for one step, from files larger than memory."""

import copy
import json
import os
import queue
import re
import sys
import threading
import tracemalloc

import numpy as np
import pytest

from fastnn_ref import CustomLoss
from tests.check import close, normal, python, same, same_parameters
from tests.pairwise import chequered, once

X, T = normal((50, 6)), np.arange(50) * 7 % 3
W = np.random.default_rng(0).uniform(size=50)


def net(nn, *middle, dtype="float64"):
    return nn.Sequential(nn.Linear(6, 9, activation="tanh"), *middle, nn.Linear(9, 3), seed=1, dtype=dtype)


def train(nn, *data, model=None, loss=None, optimizer=None, **arguments):
    """(model, history) of a training on X and T, or on other data."""
    model, optimizer = model or net(nn), optimizer or nn.Adam(lr=0.02)
    history = model.fit(*(data or (X, T)), loss=loss or nn.CrossEntropyLoss(), optimizer=optimizer,
                        **{"epochs": 2, "batch_size": 8} | arguments)
    return model, history.history


class Absolute(CustomLoss):
    def value_and_gradient(self, y, t, weights):
        return float(np.abs(y - t).mean()), np.sign(y - t) / y.size


# ---- drop_last ----


@pytest.mark.parametrize("shuffle", [False, True])
def test_drop_last(ref, fast, shuffle):
    """48 of 50 rows in batches of 8; without a shuffle it is the training on the first 48."""
    found = [train(nn, drop_last=True, shuffle=shuffle) for nn in (ref, fast)]
    for name, value in found[0][0].state_dict().items():
        close("training", found[1][0].state_dict()[name], value, 12 * np.abs(value).max())
    for nn, (model, history) in zip((ref, fast), found, strict=True):
        assert (model.steps, model.epochs) == (12, 2)
        if not shuffle:
            other, same_history = train(nn, X[:48], T[:48], shuffle=False)
            same_parameters(model, other)
            assert history == same_history
        sizes = []
        hook = nn.LambdaCallback(on_train_batch_end=lambda batch, logs, sizes=sizes: sizes.append(logs["size"]))
        train(nn, drop_last=True, callbacks=[hook])
        assert sizes == [8] * 12
    assert found[0][1]["loss"] == pytest.approx(found[1][1]["loss"], rel=1e-12)


def test_drop_last_saves_batch_normalization(nn):
    """One row is left for the last batch, which is none to normalise over."""
    model = net(nn, nn.BatchNorm1d(9))
    with pytest.raises(ValueError, match="batch_size: expected at least 2 rows in a training batch"):
        train(nn, model=model, batch_size=7)
    train(nn, model=model, batch_size=7, drop_last=True)
    with pytest.raises(ValueError, match="batch_size: expected at most 50, the rows of x, with drop_last, got 51"):
        train(nn, batch_size=51, drop_last=True)
    with pytest.raises(TypeError, match="drop_last: expected True or False, got 1"):
        train(nn, drop_last=1)


# ---- an iterator ----


def batches(weights=None, size=8):
    for start in range(0, 50, size):
        rows = slice(start, start + size)
        yield (X[rows], T[rows]) if weights is None else (X[rows], T[rows], weights[rows])


@pytest.mark.parametrize("weights", [None, W])
def test_batches_train_as_arrays_do(nn, weights):
    """To the same bits: a list, which begins anew in each epoch, and a generator, which goes on."""
    want, history = train(nn, shuffle=False, sample_weight=weights)
    runs = [train(nn, list(batches(weights))),
            train(nn, (batch for _ in range(2) for batch in batches(weights)), steps_per_epoch=7)]
    for model, found in runs:
        same_parameters(model, want)
        assert model.network.counters() == want.network.counters()
        assert found["loss"] == pytest.approx(history["loss"], rel=1e-14)


def test_history_of_batches(nn):
    """Metrics are those of the validation data; with a penalty its parts add up; hooks see every batch."""
    seen, model = [], nn.Sequential(nn.Linear(6, 3), seed=1, penalty=nn.L2(0.1), dtype="float64")
    hooks = nn.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, logs["size"])))
    _, history = train(nn, list(batches()), model=model, metrics=["accuracy"], validation_data=(X, T, W),
                       callbacks=[hooks, nn.EarlyStopping("val_accuracy", restore_best_weights=False)])
    assert list(history) == ["loss", "data_loss", "penalty", "val_loss", "val_accuracy"]
    assert seen == [*zip(range(7), [8] * 6 + [2], strict=True)] * 2
    assert np.allclose(np.add(history["data_loss"], history["penalty"]), history["loss"])
    assert history["val_loss"][-1] == pytest.approx(nn.CrossEntropyLoss()(model.predict(X), T, W))


@pytest.mark.parametrize("weights", [None, W])
def test_the_penalty_of_batches_is_that_of_arrays(nn, weights):
    """Each batch counts by its rows, whatever they weigh; and on the way on from inside an epoch, or from its end."""
    states = {}

    def run(*data, resume=None, **arguments):
        model = nn.Sequential(nn.Linear(6, 3), seed=1, penalty=nn.L2(0.1), dtype="float64")
        optimizer = nn.SGD(lr=0.5)
        hook = nn.LambdaCallback(on_train_batch_end=lambda batch, logs: states.update(
            {optimizer.steps: nn.training_state(model, optimizer, hook.callbacks)}))
        return train(nn, *data, model=model, optimizer=optimizer, callbacks=[hook], resume=resume, **arguments)[1]

    whole = run(X, T, shuffle=False, sample_weight=weights)
    found = run(list(batches(weights)))
    kept = dict(states)
    for name in ("loss", "data_loss", "penalty"):
        assert found[name] == pytest.approx(whole[name], rel=1e-14)
    for steps in (3, 7, 10, 14):
        assert run(list(batches(weights)), resume=kept[steps]) == found, steps


def test_a_generator_goes_on_behind_the_last_step_of_an_epoch(nn):
    """It is fetched from the epoch's start on, as from inside an epoch; the next epoch has the batches behind them."""
    order = np.random.default_rng(2).permutation(50)

    def both():                                         # epochs of different batches
        yield from batches()
        yield from ((X[order[i:i + 8]], T[order[i:i + 8]]) for i in range(0, 50, 8))

    states = {}

    def run(resume=None):
        model, optimizer = net(nn), nn.SGD(lr=0.5)
        hook = nn.LambdaCallback(on_train_batch_end=lambda batch, logs: states.update(
            {optimizer.steps: nn.training_state(model, optimizer, hook.callbacks)}))
        return train(nn, both(), model=model, optimizer=optimizer, callbacks=[hook], resume=resume, steps_per_epoch=7)

    want, history = run()
    for steps in (3, 7):
        model, found = run(states[steps])
        same_parameters(model, want)
        assert found == history, steps


def test_an_iterator_that_ends_early(nn):
    """An error that says so; the weights are those after the last whole step, and on_train_end comes."""
    ended, model = [], net(nn)
    with pytest.raises(ValueError, match="x: expected 5 batches in an epoch, got 3: its iterator has ended"):
        train(nn, iter(list(batches())[:3]), model=model, steps_per_epoch=5,
              callbacks=[nn.LambdaCallback(on_train_end=lambda logs: ended.append(1))])
    assert ended == [1]
    same_parameters(model, train(nn, list(batches())[:3], epochs=1)[0])


BAD = {
    "width": ((X[:8, :5], T[:8]), ValueError, r"batch 2\[0\]: expected \(n, 6\), got \(8, 5\)"),
    "targets": ((X[:8], T[:7]), ValueError,
                r"batch 2\[1\]: expected 8 targets, one for each row of batch 2\[0\], got 7"),
    "classes": ((X[:8], T[:8] + 3), ValueError, r"batch 2\[1\]: expected class numbers from 0 to 2"),
    "words": ((X[:8].astype(str), T[:8]), TypeError, r"batch 2\[0\]: expected numbers, got text"),
    "nan": ((np.full((8, 6), np.nan), T[:8]), ValueError, r"batch 2\[0\]: expected finite values, got nan at row 0"),
    "weights": ((X[:8], T[:8], W[:8] - 1), ValueError, r"batch 2\[2\]: expected finite numbers >= 0"),
    "alone": (X[:8], TypeError,
              r"batch 2: expected \(x, t\) or \(x, t, sample_weight\) from the iterator, got ndarray"),
    "four": ((X, T, W, W), TypeError, r"batch 2: expected \(x, t\) or .*, got tuple of 4"),
}


@chequered
def test_more_batches_a_step_than_there_can_be(nn):
    optimizer = nn.SGD()
    train(nn, list(batches()), optimizer=optimizer, epochs=1, gradient_accumulation_steps=2**63)
    assert optimizer.steps == 1


@chequered
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_batch_midway(nn, bad, accumulate):
    batch, error, message = BAD[bad]
    given = list(batches())
    given[2] = batch
    model = net(nn)
    with pytest.raises(error, match=message):
        train(nn, given, model=model, epochs=1, gradient_accumulation_steps=accumulate)
    assert model.steps == 2
    same_parameters(model, train(nn, list(batches())[:2], epochs=1, gradient_accumulation_steps=accumulate)[0])


def test_an_error_of_the_iterators_own(nn):
    def broken():
        yield X[:8], T[:8]
        raise OSError("the disk is gone")

    model = net(nn)
    with pytest.raises(OSError, match="the disk is gone"):
        train(nn, broken(), model=model, steps_per_epoch=4)
    assert model.steps == 1


class WithoutLength:
    """As PyTorch's DataLoader over an IterableDataset, which has a __len__ that asks for one that is not there."""

    def __iter__(self):
        return batches()

    def __len__(self):
        return len(object())


REFUSED = [
    ({}, ValueError, "steps_per_epoch: expected the number of batches in an epoch, which x, a generator without len"),
    ({"x": WithoutLength()}, ValueError,
     r"steps_per_epoch: expected the number of batches in an epoch, which x, a WithoutLength without len\(\), does"),
    ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch: expected an integer >= 1, got 0"),
    ({"x": []}, ValueError, r"x: expected at least one batch \(x, t\), got a list of none"),
    ({"steps_per_epoch": 7, "sample_weight": W}, ValueError, "sample_weight: expected None where x yields batches"),
    ({"steps_per_epoch": 7, "validation_split": 0.5}, ValueError, "validation_split: expected 0 where x yields batch"),
    ({"steps_per_epoch": 7, "mixup": 0.5}, ValueError, "mixup: expected 0 where x yields batches, got 0.5"),
    ({"steps_per_epoch": 7, "drop_last": True}, ValueError, "drop_last: expected False where x yields batches"),
    ({"steps_per_epoch": 7, "metrics": ["mae"]}, ValueError, "metrics: expected validation_data to compute them of"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), REFUSED)
def test_refused_before_the_first_batch(nn, arguments, error, message):
    model, arguments = net(nn), dict(arguments)
    with pytest.raises(error, match=message):
        train(nn, arguments.pop("x", batches()), model=model, **arguments)
    assert model.steps == 0


@once
def test_refused(nn):
    for x in (X, 3):
        with pytest.raises(TypeError, match="t: expected targets, one for each row of x; only an iterable"):
            train(nn, x, epochs=1)
    with pytest.raises(ValueError, match="steps_per_epoch: expected None beside t, got 3"):
        train(nn, steps_per_epoch=3)
    with pytest.raises(ValueError, match="class_weight: expected numbers where x yields batches, got 'balanced'"):
        train(nn, list(batches()), loss=nn.CrossEntropyLoss(class_weight="balanced"))
    with pytest.raises(ValueError, match="shuffle: unknown name 'block', did you mean 'blocks'"):
        train(nn, shuffle="block")
    with pytest.raises(ValueError, match="mixup: expected 0 beside arrays in a file, shuffle='blocks', gradient acc"):
        train(nn, mixup=0.2, gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match="gradient_accumulation_steps: expected an integer >= 1, got 0"):
        train(nn, gradient_accumulation_steps=0)


def test_batches_are_fetched_in_the_thread_that_trains(nn):
    """Between two steps, so that the iterator may even predict; a callback may predict and not train."""
    seen, model = [], net(nn)

    def asked():
        for batch in batches():
            seen.append((threading.get_ident(), model.predict(X).shape))
            yield batch

    train(nn, asked(), model=model, epochs=1, steps_per_epoch=7)
    assert seen == [(threading.get_ident(), (50, 3))] * 7
    optimizer = nn.SGD()
    guilty = nn.LambdaCallback(
        on_train_batch_end=lambda batch, logs: model.step(X, T, nn.CrossEntropyLoss(), optimizer))
    with pytest.raises(RuntimeError, match="in training; a callback may predict, but not train"):
        train(nn, list(batches()), model=model, callbacks=[guilty])


@pytest.mark.parametrize("workers", [0, 2])
def test_torch_loader(nn, workers):
    """A DataLoader's tensors, batch by batch; worker processes, and torch's thread that pins memory, change no bit."""
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(T))
    want, _ = train(nn, shuffle=False)
    loader = torch.utils.data.DataLoader(data, batch_size=8, num_workers=workers)
    same_parameters(train(nn, loader)[0], want)


# ---- threads of the iterator ----


def elsewhere(call):
    """What ``call()`` says in a thread of its own: its result, or its error."""
    found = []

    def work():
        try:
            found.append(call())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    return found[0]


MEDDLING = {
    "predict": lambda nn, model: model.predict(X), "call": lambda nn, model: model(X),
    "layer": lambda nn, model: model[0](X), "part": lambda nn, model: model[:2].predict(X),
    "evaluate": lambda nn, model: model.evaluate(X, T, nn.CrossEntropyLoss()),
    "forward": lambda nn, model: model.forward(X, training=True),
    "backward": lambda nn, model: model.backward(np.ones((8, 3))),
    "step": lambda nn, model: model.step(X, T, nn.CrossEntropyLoss(), nn.SGD()),
    "run_epoch": lambda nn, model: model.run_epoch(X, T, nn.CrossEntropyLoss(), nn.SGD()),
    "fit": lambda nn, model: train(nn, model=model), "optimizer": lambda nn, model: nn.SGD().step(model),
    "load_state_dict": lambda nn, model: model.load_state_dict(net(nn).state_dict()),
    "load_state_dict of a layer": lambda nn, model: model[0].load_state_dict(net(nn)[0].state_dict()),
    "set_parameter": lambda nn, model: model.set_parameter("0.bias", np.ones(9)),
    "weight": lambda nn, model: setattr(model[0], "weight", np.ones((6, 9))),
    "copy_parameters": lambda nn, model: nn.copy_parameters(net(nn), model),
    "trainable": lambda nn, model: setattr(model, "trainable", False), "wrap": lambda nn, model: nn.Sequential(model),
}


@chequered
@pytest.mark.parametrize("how", [*MEDDLING, "state_dict"])
def test_a_thread_that_prepares_batches_cannot_meddle(nn, how):
    """Between steps, in a hook of a batch and between epochs: an error there, and the training's bits are the same."""
    model, said = net(nn, nn.Dropout(0.3)), []
    call = MEDDLING.get(how, lambda nn, model: model.state_dict())

    def meddle(*_):
        said.append(elsewhere(lambda: call(nn, model)))

    def asked():
        for _ in range(2):
            for batch in batches():
                meddle()
                yield batch

    hooks = nn.LambdaCallback(on_train_begin=meddle, on_train_batch_end=meddle, on_epoch_end=meddle,
                              on_train_end=meddle)
    _, history = train(nn, asked(), model=model, steps_per_epoch=7, callbacks=[hooks])
    want, wanted = train(nn, list(batches()), model=net(nn, nn.Dropout(0.3)))
    same_parameters(model, want)
    assert history == wanted
    assert len(said) == 14 + 1 + 2 + 14 + 1
    for each in said:
        if how == "state_dict":                             # who reads changes nothing
            assert each.keys() == want.state_dict().keys()
        elif how == "backward":                             # refused for one of two reasons
            assert isinstance(each, RuntimeError)
        else:
            assert re.match(r"Sequential: in use(; build it into| by another thread; copy\.deepcopy makes)", str(each))
    assert not isinstance(elsewhere(lambda: model.predict(X)), Exception)         # afterwards it is free
    model.load_state_dict(want.state_dict())
    assert nn.Sequential(model).predict(X).shape == (50, 3)


def test_the_thread_that_trains_goes_on_using_its_model(nn):
    """Between steps and epochs it predicts; between epochs it may train, wrap, assign, and fit again."""
    model = net(nn)

    def between(epoch, logs):
        model.predict(X)
        if epoch == 0:
            before = model.state_dict()
            train(nn, model=model)
            assert nn.Sequential(model).predict(X).shape == (50, 3)
            model.step(X, T, nn.CrossEntropyLoss(), nn.SGD())
            model.load_state_dict(before)
        assert isinstance(elsewhere(lambda: model.predict(X)), RuntimeError)      # the inner fit has not let it go

    train(nn, list(batches()), model=model, callbacks=[nn.LambdaCallback(on_epoch_end=between)])
    with pytest.raises(ValueError, match="x: expected 8 batches"):
        train(nn, iter(list(batches())), model=model, steps_per_epoch=8)
    assert elsewhere(lambda: model.predict(X)).shape == (50, 3)                   # nor after an error


def test_a_prefetching_thread(nn):
    """NumPy's products in another thread while kernels run; the model that predicts there is a copy."""
    def prefetched(model):
        ready, own = queue.Queue(2), copy.deepcopy(model)

        def work():
            for _ in range(2):
                for x, t in batches():
                    own.predict(x @ np.eye(6))
                    ready.put((x @ np.eye(6), t))
            ready.put(None)

        threading.Thread(target=work).start()
        yield from iter(ready.get, None)

    model = net(nn)
    train(nn, prefetched(model), model=model, steps_per_epoch=7)
    same_parameters(model, train(nn, list(batches()))[0])


def test_fit_lbfgs_keeps_its_model_too(nn):
    pytest.importorskip("scipy")
    said, model = [], net(nn)
    hook = nn.LambdaCallback(on_epoch_end=lambda epoch, logs: said.append(elsewhere(lambda: model.predict(X))))
    model.fit_lbfgs(X, T, loss=nn.CrossEntropyLoss(), max_iter=3, callbacks=[hook])
    assert said
    assert all(isinstance(each, RuntimeError) for each in said)
    assert elsewhere(lambda: model.predict(X)).shape == (50, 3)


# ---- several batches for one step ----


@chequered
@pytest.mark.parametrize("loss", ["classes", "weighted", "rows", "values"])
def test_accumulated_gradients_are_those_of_the_larger_batch(nn, loss):
    """To rounding: also where examples and classes weigh, the last step has fewer parts, and gradients are clipped."""
    make, t, w = {
        "classes": (lambda: nn.CrossEntropyLoss(0.1), T, None),
        "weighted": (lambda: nn.CrossEntropyLoss(class_weight={0: 0.2, 2: 4.0}), T, W),
        "rows": (lambda: nn.CrossEntropyLoss(class_weight={0: 0.2}), np.eye(3)[T], None),
        "values": (lambda: nn.MSELoss(), normal((50, 3), seed=5), W),
    }[loss]

    def run(size, k):
        model = nn.Sequential(nn.Linear(6, 9, activation="tanh"), nn.Linear(9, 3), seed=1, dtype="float64",
                              penalty=nn.L2(0.01))
        return train(nn, X, t, model=model, loss=make(), optimizer=nn.SGD(lr=0.2, momentum=0.9, clip_norm=0.5),
                     batch_size=size, gradient_accumulation_steps=k, sample_weight=w, epochs=3)

    (model, history), (other, want) = run(4, 3), run(12, 1)
    for name, value in other.state_dict().items():
        close("training", model.state_dict()[name], value, 15 * np.abs(value).max())
    for name, values in want.items():
        assert history[name] == pytest.approx(values, rel=1e-12), name
    assert model.epochs == other.epochs == 3


@pytest.mark.parametrize("ways", [{"batch_size": 4, "gradient_accumulation_steps": 4}, {"batch_size": 16, "shards": 4}])
@pytest.mark.parametrize("class_weight", [[1.0, 0.0, 2.0], [0.0, 0.0, 2.0]])
def test_parts_of_classes_that_weigh_0(nn, ways, class_weight):
    """Label smoothing gives the others a share of what they cost, in parts in which nothing else counts, too."""
    t, loss = np.repeat([0, 1], 8), nn.CrossEntropyLoss(0.2, class_weight=class_weight)

    def run(**arguments):
        model = nn.Sequential(nn.Linear(6, 3), seed=1, dtype="float64")
        return train(nn, X[:16], t, model=model, loss=loss, shuffle=False, epochs=2, **arguments)

    (model, history), (other, want) = run(**ways), run(batch_size=16)
    close("training", model.params["0.weight"], other.params["0.weight"], 1.0)
    assert history["loss"] == pytest.approx(want["loss"], rel=1e-12)
    whole, parts = (model.evaluate(X[:16], t, loss, batch_size=size)["loss"] for size in (16, 4))
    assert parts == pytest.approx(whole, rel=1e-12)


def test_accumulated_steps_count_once(nn):
    """Schedules, hooks and optimizers count updates: 50 rows in batches of 4 are 13 parts, 5 steps of up to three."""
    seen, optimizer = [], nn.SGD(lr=nn.PerEpoch(nn.ExponentialLR(0.1, 0.5)))
    hook = nn.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["size"]))
    train(nn, batch_size=4, gradient_accumulation_steps=3, optimizer=optimizer, callbacks=[hook])
    assert seen == [12, 12, 12, 12, 2] * 2
    assert optimizer.steps == 10
    assert optimizer.lr.steps_per_epoch == 5


def test_batch_normalization_normalises_each_part(nn):
    """Two parts move the running mean twice, each from its own rows; as two steps with a learning rate of 0 do."""
    one, two = (nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3), seed=1, dtype="float64") for _ in range(2))
    train(nn, X[:8], T[:8], model=one, batch_size=4, gradient_accumulation_steps=2, shuffle=False, epochs=1)
    train(nn, X[:8], T[:8], model=two, batch_size=4, optimizer=nn.SGD(lr=0.0), shuffle=False, epochs=1)
    same(one.state_dict()["0.running_mean"], two.state_dict()["0.running_mean"])


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("weights", [None, W])
def test_an_iterator_may_fill_the_same_arrays_anew(nn, weights, accumulate):
    """To the bits of arrays of their own, with any number of batches for one step."""
    def refilled():
        buffers = None
        for batch in batches(weights, size=10):
            buffers = buffers or [np.empty_like(each) for each in batch]
            for buffer, each in zip(buffers, batch, strict=True):
                buffer[...] = each
            yield tuple(buffers)
            for buffer in buffers:
                buffer[...] = 0

    want, history = train(nn, list(batches(weights, size=10)), epochs=1, gradient_accumulation_steps=accumulate)
    found, same_history = train(nn, refilled(), epochs=1, steps_per_epoch=5, gradient_accumulation_steps=accumulate)
    same_parameters(found, want)
    assert same_history == history
    if weights is None:
        close("training", found.state_dict()["0.weight"], train(
            nn, shuffle=False, epochs=1, batch_size=10 * accumulate)[0].state_dict()["0.weight"], 50)


@once
def test_a_mapped_array_is_read_part_by_part(nn, tmp_path):
    """A step of 16 batches has no more of them in memory than one of 2, of x and of targets that are as large."""
    rows = np.zeros((256, 5000), np.float32)
    x, t = in_file(tmp_path, rows), in_file(tmp_path, rows, "t.bin")
    model = nn.Sequential(nn.Linear(5000, 1), nn.Linear(1, 5000), seed=0, dtype="float32")

    def peak(accumulate):
        found = []
        hooks = nn.LambdaCallback(
            on_train_batch_begin=lambda batch, logs: tracemalloc.reset_peak(),
            on_train_batch_end=lambda batch, logs: found.append(tracemalloc.get_traced_memory()[1]))
        tracemalloc.start()
        model.fit(x, t, loss=nn.MSELoss(), optimizer=nn.SGD(), batch_size=16, callbacks=[hooks],
                  gradient_accumulation_steps=accumulate)
        tracemalloc.stop()
        return max(found)

    peak(2)
    assert peak(16) - peak(2) < 2 * rows.nbytes / 16


# ---- in files ----


def in_file(folder, values, name="x.bin"):
    found = np.memmap(folder / name, values.dtype, "w+", shape=values.shape)
    found[...] = values
    found.flush()
    return np.memmap(folder / name, values.dtype, "r", shape=values.shape)


@pytest.mark.parametrize("kind", ["float64", "float32", "int8"])
def test_a_mapped_array_trains_as_one_in_memory(nn, tmp_path, kind):
    """To the same bits, whatever its dtype, with x, or t, or both in a file."""
    x, t = np.round(4 * X).astype(kind), normal((50, 3), seed=2).astype(kind)
    want, history = train(nn, x, t, loss=nn.MSELoss(), metrics=["mae"], validation_split=0.2)
    mapped = in_file(tmp_path, x), in_file(tmp_path, t, "t.bin")
    for data in ((mapped[0], t), (x, mapped[1]), mapped):
        model, found = train(nn, *data, loss=nn.MSELoss(), metrics=["mae"], validation_split=0.2)
        same_parameters(model, want)
        assert found["val_loss"] == history["val_loss"]
        assert found["mae"] == history["mae"]


def test_mapped_data_is_looked_at_first(nn, tmp_path):
    x = np.array(X)
    x[33, 2] = np.inf
    model, large = net(nn, dtype="float32"), np.where(x == np.inf, 1e39, x)
    with pytest.raises(ValueError, match=r"^x: expected values within the range of float32, got 1e\+39 at row 33$"):
        train(nn, in_file(tmp_path, large, "large.bin"), T, model=model)
    assert model.steps == 0
    train(nn, in_file(tmp_path, large, "large.bin"), T)
    model = net(nn)
    with pytest.raises(ValueError, match="x: expected finite values, got inf at row 33"):
        train(nn, in_file(tmp_path, x), T, model=model)
    with pytest.raises(ValueError, match=r"x: expected \(n, 6\), got \(50, 5\)"):
        train(nn, in_file(tmp_path, x[:, :5], "y.bin"), T, model=model)
    assert model.steps == 0


@pytest.mark.parametrize("arguments", [
    {}, {"shuffle": "blocks"}, {"gradient_accumulation_steps": 2}, {"batch_size": 16, "shards": 4}])
@pytest.mark.parametrize("value", [3, -1, np.nan])
def test_targets_of_batches_are_looked_at_first(nn, tmp_path, arguments, value):
    """Some batches were trained with before, and the row was that of the batch."""
    x, t = np.resize(X, (2000, 6)), np.resize(T, 2000).astype("f8")
    t[1700] = value
    data = (in_file(tmp_path, x), in_file(tmp_path, t, "t.bin")) if not arguments else (x, t)
    model, optimizer = net(nn), nn.Adam()
    for split in {}, {"validation_split": 0.1, "validation_rows": "random"}:
        with pytest.raises(ValueError, match=r"expected class numbers from 0 to 2, got .* at row 1700$"):
            train(nn, *data, model=model, optimizer=optimizer, **arguments, **split)
    assert (model.steps, optimizer.steps) == (0, 0)
    t = np.resize(normal((50, 3)), (2000, 3))
    t[1700, 1] = np.nan
    with pytest.raises(ValueError, match=r"^t: expected finite values, got nan at row 1700$"):
        train(nn, x, t, model=model, loss=Absolute(), **arguments)
    assert model.steps == 0


@pytest.mark.parametrize("arguments", [
    {}, {"shuffle": "blocks"}, {"gradient_accumulation_steps": 2}, {"batch_size": 16, "shards": 4}])
@pytest.mark.parametrize("metrics", [(), ("accuracy",)])
def test_labels_of_two_kinds_far_apart_are_seen_first(nn, tmp_path, monkeypatch, arguments, metrics):
    """Each batch has −1 and 1, or 0 and 1."""
    monkeypatch.setattr("fastnn_ref.shared.batches.CHECKED", 300)
    monkeypatch.setattr("fastnn_ref.shared.fit.EVALUATED", 100)
    x, signs = np.resize(X, (2000, 6)), np.where(np.resize(normal((50, 3)), (2000, 3)) > 0, 1.0, -1)
    signs[1600:] = signs[1600:] > 0
    signs[1600:1701] = 1
    data = (x, signs) if arguments else (in_file(tmp_path, x), in_file(tmp_path, signs, "t.bin"))
    model, row = net(nn), 1600 + (signs[1600:] == 0).any(axis=1).argmax()
    with pytest.raises(ValueError, match=f"^t: expected labels −1 and 1, or 0 and 1, got 0 at row {row}$"):
        train(nn, *data, model=model, loss=nn.HingeLoss(), metrics=metrics, **arguments)
    with pytest.raises(ValueError, match=f"^t: expected labels .*, got 0 at row {row}$"):
        model.evaluate(*data, nn.HingeLoss(), metrics, batch_size=100)
    with pytest.raises(ValueError, match=rf"^validation_data\[1\]: expected labels .*, got 0 at row {row}$"):
        train(nn, x, np.ones((2000, 3)), model=model, loss=nn.HingeLoss(), validation_data=data, **arguments)
    assert model.steps == 0


@once
def test_blocks_hold_every_row_once(nn):
    """Blocks of 64 batches come in any order, and their rows in any order; the next epoch has another one."""
    seen, x, t = [], np.arange(1000.0)[:, None], np.zeros((1000, 1))

    class Seen(nn.CustomLayer):
        def output_shape(self, shape):
            return shape

        def forward_pass(self, x, training):
            if training:
                seen.append(x[:, 0].astype(int))
            return x

        def backward_pass(self, dy):
            return dy

    def epochs(shuffle, seed=0):
        seen.clear()
        model = nn.Sequential(Seen(), nn.Linear(1, 1), seed=seed)
        train(nn, x, t, model=model, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.0), batch_size=3, shuffle=shuffle)
        rows = np.concatenate(seen)
        assert sorted(rows[:1000]) == sorted(rows[1000:]) == list(range(1000))
        return rows[:1000], rows[1000:]

    first, second = epochs("blocks")
    again, _ = epochs("blocks")
    assert first.tolist() == again.tolist()
    assert first.tolist() != second.tolist() != list(range(1000))
    assert first.tolist() != epochs("blocks", seed=1)[0].tolist()
    assert (np.diff(first) < 0).sum() > 400
    blocks = first // 192
    assert (np.diff(blocks) != 0).sum() == 5                # six blocks, each in one piece
    assert sorted(dict.fromkeys(blocks.tolist())) != list(dict.fromkeys(blocks.tolist()))
    assert [len(rows) for rows in seen[:334]] == [3] * 333 + [1]


@pytest.mark.parametrize("package", ["fastnn_ref", "fastnn"])
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's here")
def test_a_file_larger_than_the_memory_left(package, tmp_path):
    """160 MB of bytes, which would be 640 as float32, and no more than 100 MB of new memory."""
    rows, width = 160_000, 1000
    with open(tmp_path / "x.bin", "wb") as file:
        file.truncate(rows * width)
    found = json.loads(python(f"""
        import json, resource
        import numpy as np
        import {package} as nn

        x = np.memmap({os.fspath(tmp_path / "x.bin")!r}, np.uint8, "r", shape=({rows}, {width}))
        t = np.zeros({rows}, np.int64)
        model = nn.Sequential(nn.Linear({width}, 4), seed=0, dtype="float32")
        model.predict(x[:8])
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + 100_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            np.array(x)
        except MemoryError:
            copied = False
        history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(lr=0.1), batch_size=2000,
                            shuffle="blocks", validation_data=(x[:20_000], t[:20_000]))
        classes = model.predict_classes(x)
        print(json.dumps([copied, history.history["val_loss"][0], int(classes.sum()), len(classes)]))
    """, OMP_NUM_THREADS="1"))
    assert found[0] is False
    assert 0 < found[1] < 1.3
    assert found[2:] == [0, rows]


# ---- resume ----


@pytest.mark.parametrize("source", ["blocks", "accumulated", "list"])
def test_resume_inside_an_epoch(nn, source):
    """From after the third step of the second epoch, to the same bits."""
    arguments = {"blocks": {"shuffle": "blocks"}, "accumulated": {"gradient_accumulation_steps": 2, "batch_size": 4},
                 "list": {}}[source]
    data = (list(batches()),) if source == "list" else (X, T)

    def run(hook=None, resume=None, epochs=3):
        model, optimizer = net(nn, nn.Dropout(0.3)), nn.Adam(lr=0.02)
        callback = nn.LambdaCallback(on_train_batch_end=lambda batch, logs: hook and hook(model, optimizer, callback))
        return train(nn, *data, model=model, optimizer=optimizer, epochs=epochs, callbacks=[callback], resume=resume,
                     **arguments)

    states = []

    def keep(model, optimizer, callback):
        if optimizer.steps == 10:
            states.append(nn.training_state(model, optimizer, callback.callbacks))

    want, history = run(keep)
    model, found = run(resume=states[0])
    same_parameters(model, want)
    assert found == history

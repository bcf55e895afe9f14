"""Threads that predict with one model at once: the same bits, memory that is bounded, nothing trained meanwhile."""

import gc
import os
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn_ref
from tests.cases import one_of_each_kind
from tests.check import inputs, normal, python, same
from tests.pairwise import of_each_kind

X = normal((6, 4))


def gate(nn):
    """A layer that holds the first thread that comes inside a pass, until it is let go; all others pass."""

    class Gate(nn.CustomLayer):
        def __init__(self):
            self.first, self.inside, self.go = threading.Lock(), threading.Event(), threading.Event()

        def forward_pass(self, x, training):
            if self.first.acquire(blocking=False):
                self.inside.set()
                assert self.go.wait(60)
            return x

        def backward_pass(self, dy):
            return dy

    return Gate()


class Held:
    """A thread that is in the middle of ``call``, which goes through the gate, while the block runs."""

    def __init__(self, stop, call):
        self.stop, self.found = stop, []
        self.thread = threading.Thread(target=lambda: self.found.append(call()))

    def __enter__(self):
        self.thread.start()
        assert self.stop.inside.wait(60)
        return self

    def __exit__(self, *_):
        self.stop.go.set()
        self.thread.join(60)


def net(nn, *more, **arguments):
    stop = gate(nn)
    layers = nn.Linear(4, 5, activation="tanh"), stop, *more, nn.Linear(5, 3)
    return nn.Sequential(*layers, seed=1, dtype="float64", **arguments), stop


def fit(nn, model, batch=2):
    model.run_epoch(X, normal((6, 3)), nn.MSELoss(), nn.SGD(), batch)


# ---- the same bits ----


@of_each_kind
def test_every_layer_beside_another_thread(nn, cases):
    """While one thread stands in a pass, another one predicts by every entry: what it gives alone, to the bit.

    Not each in the reference, whose layers are used as they are.
    """
    for case in cases()[::1 if nn.__name__ == "fastnn" else 9]:
        stop = gate(nn)
        model = nn.Sequential(stop, case.make(nn), nn.Sequential(nn.Identity()), seed=3)
        x = inputs(case, model.dtype)
        entries = (model, lambda x, model=model: model.predict(x, 2), model[1], model[1:], model[1:].predict,
                   model[1:][:1], lambda x, model=model: model.forward(x, training=False))
        with stop.first:
            want = [entry(x) for entry in entries]
        with Held(stop, lambda model=model, x=x: model.predict(x)) as held:
            for entry, y in zip(entries, want, strict=True):
                same(entry(x), y, case.name)
        same(held.found[0], want[0], case.name)
        for entry, y in zip(entries, want, strict=True):
            same(entry(x), y, case.name)


def test_many_threads_at_once(nn):
    """All entries from four threads, switched every 10 µs, at batches of all sizes."""
    model = nn.Sequential(
        nn.Linear(4, 9, activation="gelu"), nn.BatchNorm1d(9), nn.Dropout(0.5),
        nn.Residual(nn.Sequential(nn.Linear(9, 9), nn.SiLU())), nn.Linear(9, 3), nn.Softmax(), seed=1)
    x = normal((40, 4), model.dtype)
    whole = model.predict(x)
    calls = [(lambda n=n, size=size: (model.predict(x[:n], size), whole[:n])) for n in (1, 7, 40)
             for size in (1, 3, 64)]
    calls += [lambda n=n: (model(x[:n]), whole[:n]) for n in (1, 5)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            for got, want in pool.map(lambda k: calls[k % len(calls)](), range(200)):
                np.testing.assert_allclose(got, want, atol=1e-6)
    finally:
        sys.setswitchinterval(before)


def passes(fast, width, rows):
    """Each call that runs through a network, of one Linear layer."""
    model, x = fast.Sequential(fast.Linear(width, width), seed=1), normal((rows, width), "float32")
    t = normal((rows, width), "float32", seed=1)
    loss, optimizer, predictor = fast.MSELoss(), fast.SGD(1e-9), model.predictor()
    model.step(x, t, loss, optimizer)

    def hooked():
        model.run_epoch(x, t, loss, optimizer, rows, on_batch_end=lambda *_: None)

    def back():
        model.forward(x, True)
        return model.backward(t)

    return {"predictor": lambda: predictor(x), "predict": lambda: model.predict(x), "forward": lambda: model(x),
            "forward in training": lambda: model.forward(x, True), "backward": back, "loss": lambda: loss(x, t),
            "optimizer": lambda: optimizer.step(model), "step": lambda: model.step(x, t, loss, optimizer),
            "run_epoch": lambda: model.run_epoch(x, t, loss, optimizer, rows), "with a hook": hooked}


def test_only_a_long_pass_releases_the_gil(fast):
    """A thread that always wants the GIL gets it in a pass only where the pass releases it.

    Beside such a thread a pass of microseconds would take several times as long.
    """
    turns, ends, before = [], [], sys.getswitchinterval()

    def want():
        while not ends:
            turns.append(None)
            time.sleep(0)

    def was_released(call):
        known = len(turns)
        call()
        return len(turns) > known

    thread = threading.Thread(target=want)
    short, long = passes(fast, 4, 3), passes(fast, 512, 1024)
    pool, windows = fast.Sequential(fast.GlobalAvgPool2d()), fast.Sequential(fast.AvgPool2d(64, 1))
    masks = fast.Sequential(fast.DropConnect(2, 2, activation="tanh", samples=2**18))
    images, wide, x = (normal(shape, "float32") for shape in ((1, 16, 512, 512), (1, 1, 128, 128), (64, 2)))
    long |= {"a pool of few values": lambda: pool.predict(images), "wide windows": lambda: windows.predict(wide),
             "many samples": lambda: masks.predict(x)}
    sys.setswitchinterval(1000)                     # so nobody has to give it up
    try:
        thread.start()
        time.sleep(0.01)
        for name, call in short.items():
            call()                                  # makes its plan
            assert not any(was_released(call) for _ in range(3000)), name
        for name, call in long.items():
            assert any(was_released(call) for _ in range(1000)), name
    finally:
        ends.append(None)
        sys.setswitchinterval(before)
        thread.join(60)


def test_first_use_by_many_threads(nn):
    """All threads find the same initial values, whoever draws them."""
    x = normal((5, 4))
    want = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.Linear(9, 3), seed=4).predict(x)
    for _ in range(20):
        model, start = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.Linear(9, 3), seed=4), threading.Barrier(4)

        def predict(_, model=model, start=start):
            start.wait(60)
            return model.predict(x)

        with ThreadPoolExecutor(4) as pool:
            for y in pool.map(predict, range(4)):
                same(y, want)
        assert model.step(x, normal((5, 3)), nn.MSELoss(), nn.SGD(lr=0.1)) >= 0
        assert (model.predict(x) != want).any()             # what is trained is what predicts


def test_training_between_shows(nn):
    """What a thread predicts beside another one comes from the parameters as they are now."""
    model, stop = net(nn)
    fresh, other = net(nn)
    other.first.acquire()
    for values in (None, 0.5):
        if values is not None:
            stop.inside.clear()
            stop.go.clear()
            stop.first.release()
            for each in (model, fresh):
                each[0].weight = np.full((4, 5), values)
                each.set_parameter("2.bias", np.ones(3))
        with Held(stop, lambda: model.predict(X)):
            same(model.predict(X), fresh.predict(X))


def test_errors_are_the_threads_own(nn):
    model, stop = net(nn)
    with Held(stop, lambda: model.predict(X)) as held:
        with pytest.raises(ValueError, match=r"x: expected \(n, 4\), got \(6, 3\)"):
            model.predict(X[:, :3])
        with pytest.raises(ValueError, match="batch_size: expected"):
            model.predict(X, 0)
        same(model.predict(X), model(X))
    assert held.found[0].shape == (6, 3)


# ---- users' layers ----


def test_a_users_layer_is_each_threads_own(nn):
    """What forward_pass assigns to self, another thread does not see; parameters and other objects are shared."""
    class Counts(nn.CustomLayer):
        def __init__(self, shared):
            self.shared, self.calls, self.scale = shared, 0, 1.0
            self.add("weight", (5,), "ones")

        def forward_pass(self, x, training):
            self.calls += 1
            self.kept = x
            self.shared.append(threading.get_ident())
            if self.first():
                assert self.stop.go.wait(60)
            return self.kept * self.values["weight"] * self.scale + self.random_words(1)

        def backward_pass(self, dy):
            return dy

        def first(self):
            return False

    shared = []
    mine = Counts(shared)
    model = nn.Sequential(nn.Linear(4, 5), mine, gate(nn), nn.Linear(5, 3), seed=1, dtype="float64")
    stop = model[2].custom
    with stop.first:
        want = model.predict(X)
    assert mine.calls == 1
    with Held(stop, lambda: model.predict(X)) as held:
        assert mine.calls == 2
        same(model.predict(X), want)
        same(model[:2](X), model[:2](X))
        assert mine.calls == 2                              # the others were copies …
        mine.scale = 2.0                                    # … of the object as it was at the call
        assert (model.predict(X) != want).any()
        mine.scale = 1.0
        mine.values["weight"][...] = 0
        assert (model.predict(X) != want).any()
    same(held.found[0], want)
    assert len(shared) == 7
    assert len(set(shared)) == 2


@pytest.mark.parametrize("make", [
    lambda nn, own: nn.Linear(5, 5, activation=own()), lambda nn, own: nn.DropConnect(5, 5, 0.3, activation=own()),
    lambda nn, own: nn.Residual(own()), lambda nn, own: nn.Parallel(own(), nn.Linear(5, 5, activation=own())),
], ids=["Linear", "DropConnect", "Residual", "Parallel"])
def test_a_users_activation(nn, make):
    class Own(nn.CustomActivation):
        def act(self, u):
            self.u = u
            return self.u**2

        def act_backward(self, dy, u, y):
            return 2 * dy * u

    stop = gate(nn)
    model = nn.Sequential(stop, make(nn, Own), seed=1, dtype="float64")
    x = normal((6, 5))
    with stop.first:
        want = model.predict(x)
    with Held(stop, lambda: model.predict(x)):
        same(model.predict(x), want)


def test_a_layer_does_not_call_its_own_model_beside_another_thread_either(nn):
    found = []

    class Nosy(nn.CustomLayer):
        def forward_pass(self, x, training):
            if not found:
                for call in (lambda: model().predict(X), lambda: model().forward(X, training=True),
                             lambda: setattr(model()[0], "trainable", False), lambda: fit(nn, model())):
                    with pytest.raises(RuntimeError, match="in a pass; a layer must not call its own model"):
                        call()
                found.append(1)
            return x

        def backward_pass(self, dy):
            return dy

    strong, stop = net(nn, Nosy())
    model = weakref.ref(strong)
    with Held(stop, lambda: strong.predict(X)):
        strong.predict(X)
    assert found


# ---- nothing is trained meanwhile ----


REFUSED = {
    "step": lambda nn, model: model.step(X, normal((6, 3)), nn.MSELoss(), nn.SGD()),
    "run_epoch": lambda nn, model: fit(nn, model),
    "forward": lambda nn, model: model.forward(X, training=True),
    "backward": lambda nn, model: model.backward(np.ones((6, 3))),
    "optimizer.step": lambda nn, model: nn.SGD().step(model),
    "trainable": lambda nn, model: setattr(model[0], "trainable", False),
    "lr_scale": lambda nn, model: setattr(model, "lr_scale", 0.5),
}


@pytest.mark.parametrize("what", REFUSED)
def test_training_is_refused_while_another_thread_predicts(nn, what):
    """Whichever of two predicting threads came first, and whichever is still there."""
    model, stop = net(nn)
    with Held(stop, lambda: model.predict(X)) as held:
        with pytest.raises(RuntimeError, match=r"^Sequential: in use by another thread; copy\.deepcopy makes one"):
            REFUSED[what](nn, model)
        model.predict(X)
    assert held.found[0].shape == (6, 3)
    inner, stop = net(nn)
    late = gate(nn)
    model = nn.Sequential(inner, late, seed=1, dtype="float64")
    with Held(stop, lambda: model.predict(X)) as first, Held(late, lambda: model.predict(X)):
        stop.go.set()
        first.thread.join(60)                                       # the second thread is still there
        with pytest.raises(RuntimeError, match="in use by another thread"):
            REFUSED[what](nn, model)
        with pytest.raises(RuntimeError, match="in use; build it into another model afterwards, or copy it"):
            nn.Sequential(model)
        same(model.predict(X), first.found[0])
    if what != "backward":
        REFUSED[what](nn, model)                                    # afterwards the model is free


def test_a_model_that_predicts_is_not_taken_over(nn):
    model, stop = net(nn)
    with Held(stop, lambda: model.predict(X)):
        with pytest.raises(RuntimeError, match="in use; build it into another model afterwards, or copy it"):
            nn.Sequential(model)
        assert model.parent is None
    assert nn.Sequential(model).predict(X).shape == (6, 3)


def test_a_wrapper_lives_as_long_as_a_thread_predicts_in_it(nn):
    """Another thread predicts with an inner model, beside one in the wrapper; the wrapper goes after both."""
    inner, stop = net(nn)
    with stop.first:
        want = inner.predict(X)
    late = gate(nn)
    outer = [nn.Sequential(late, inner)]
    gone = weakref.ref(outer[0])
    with Held(late, lambda: outer[0].predict(X)) as first, Held(stop, lambda: inner.predict(X)) as second:
        outer.clear()
        late.go.set()
        first.thread.join(60)                       # the second thread alone keeps it
        assert gone() is not None
        with pytest.raises((ValueError, RuntimeError), match=r"inside another model|in use by another"):
            fit(nn, inner)
    same(second.found[0], want)
    assert gone() is None
    fit(nn, inner)


def test_backward_belongs_to_a_forward_that_was_alone(nn):
    """Two threads' forward passes: neither may go backward, in its thread or in the other one."""
    model, stop = net(nn)
    with Held(stop, lambda: model(X)):
        model(X)
    with pytest.raises(RuntimeError, match="backward: call forward"):
        model.backward(np.ones((6, 3)))
    model(X)
    assert model.backward(np.ones((6, 3))).shape == (6, 4)


def test_a_forward_that_failed_beside_another_thread_leaves_nothing_to_go_back_to(nn):
    """Its x was refused; an older forward's gradients must not be taken for its own."""
    model, stop = net(nn)
    with stop.first:
        model(X)
        inside, go = threading.Event(), threading.Event()

        class Slow:
            def __array__(self, *arguments, **named):
                inside.set()
                assert go.wait(60)
                raise ValueError("no numbers")

        errors = []

        def fails():
            try:
                model.predict(Slow())
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=fails)
        thread.start()
        assert inside.wait(60)
        model(2 * X)
        go.set()
        thread.join(60)
    assert errors
    with pytest.raises(RuntimeError, match="backward: call forward"):
        model.backward(np.ones((6, 3)))


# ---- memory ----


def test_memory_is_bounded(fast):
    """A network keeps buffers for as many threads as there are cores; more threads have theirs for a call only."""
    made, count = [], 9

    class Probe(fast.CustomLayer):
        def output_shape(self, shape):
            made.append(shape)                      # Sequential asks, and a plan does twice
            return shape

        def forward_pass(self, x, training):
            start.wait(60)
            return x

        def backward_pass(self, dy):
            return dy

    model, start = fast.Sequential(fast.Linear(4, 5), Probe(), seed=1), threading.Barrier(1)
    model.predict(X)
    for _ in range(3):
        start = threading.Barrier(count)            # all of them are inside at once
        made.clear()
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda _: model.predict(X), range(count)))
    kept = max(1, (os.cpu_count() or 1) - 1)
    assert len(made) == 3 * max(0, count - 1 - kept)


def test_nothing_waits_for_the_collector(fast):
    """Model, buffers and all go when their last user goes."""
    gc.collect()
    gc.disable()
    try:
        models = list(net(fast))            # the model and its gate
        with Held(models[1], lambda: models[0].predict(X)) as held:
            models[0][:2].predict(X)
            models[0].predict(X)
        del held
        gone = [weakref.ref(each) for each in (models[0], models[0][0], models[0][1])]
        models.clear()
        assert [each() for each in gone] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.parametrize("k", range(1, 40))
def test_allocations_that_fail(fast, k):
    """Beside another thread, whichever allocation fails: a MemoryError, and the next call succeeds."""
    model, stop = net(fast, fast.DropConnect(5, 5, 0.3, activation="tanh"))
    with stop.first:
        want = model.predict(X)
    with Held(stop, lambda: model.predict(X)):
        fast._kernels.fail_allocation(k)
        try:
            same(model.predict(X), want)
        except MemoryError:
            pass
        finally:
            fast._kernels.fail_allocation(None)
        same(model.predict(X), want)
    assert model.step(X, normal((6, 3)), fast.MSELoss(), fast.SGD()) >= 0


# ---- everything at once ----


@pytest.mark.parametrize("trainable", [True, False])
def test_nobody_comes_in_between_while_a_network_wakes(fast, trainable, monkeypatch):
    """Threads change in Python's functions, and where NumPy makes zeros, which releases the GIL for arrays of a
    kilobyte. So none of these runs from the first array that a layer gets to the last address."""
    class Own(fast.CustomLayer):
        def __init__(self):
            self.add("weight", (3,), "ones")

    def look(frame, event, argument):
        if event == "call" and own.values:
            seen.append(frame.f_code.co_name)

    def zeros(*arguments, **named):
        if own.values:
            seen.append("zeros")
        return made_zeros(*arguments, **named)

    made_zeros, seen = np.zeros, []
    monkeypatch.setattr(np, "zeros", zeros)
    layers = [made for case in one_of_each_kind(fast) if isinstance(made := case.make(fast), fast.Layer)]
    assert len(layers) > 50
    for layer in layers:
        own = Own()
        model = fast.Sequential(own, layer, Own())
        model.trainable = trainable
        sys.setprofile(look)
        try:
            model.network.wake()
        finally:
            sys.setprofile(None)
        assert own.values
        assert seen == [], layer


class Between:
    """Does something once, where Python's function ``name`` is called next, as another thread would."""

    def __init__(self, name, action):
        self.name, self.action = name, action

    def look(self, frame, event, argument):
        if event == "call" and frame.f_code.co_name == self.name:
            sys.setprofile(None)
            self.action()

    def __enter__(self):
        sys.setprofile(self.look)

    def __exit__(self, *error):
        sys.setprofile(None)


def test_no_two_models_take_a_layer_at_once(nn):
    """Once a layer was another one's, it is not taken, though that one has gone: a third may be faster yet."""
    class Sly(nn.CustomLayer):
        def output_shape(self, shape):
            if armed:
                armed.clear()
                others.append(nn.Sequential(block))
                sys.setprofile(change)
            return shape

    def change(frame, event, argument):
        if frame.f_code.co_name == "check_unowned" and event == "call":
            others.clear()
        elif frame.f_code.co_name == "check_unowned" and event == "return":
            sys.setprofile(None)
            others.append(nn.Sequential(block))

    armed, others = [], []
    block = nn.Sequential(Sly(), input_shape=(4,))
    armed.append(True)
    try:
        with pytest.raises(ValueError, match="already belongs to a model"):
            nn.Residual(block)
    finally:
        sys.setprofile(None)
    assert block.parent is others[0]


def test_an_optimizer_goes_to_the_faster_one(nn):
    """Another thread's model gets it while a state is fitted to this thread's."""
    loss, t = nn.MSELoss(), normal((6, 3))
    models = [nn.Sequential(nn.Linear(4, 3)) for _ in range(3)]
    trained, optimizer = nn.Adam(), nn.Adam()
    models[2].step(X, t, loss, trained)
    optimizer.load_state_dict(trained.state_dict())
    before = models[0].state_dict()
    with pytest.raises(ValueError, match="already belongs to another model"), Between(
            "as_state", lambda: models[1].step(X, t, loss, optimizer)):
        models[0].step(X, t, loss, optimizer)
    same(models[0].state_dict()["0.weight"], before["0.weight"])
    assert models[1].step(X, t, loss, optimizer) > 0


STORM = """
    import random, sys, threading, time
    import numpy as np, {package} as nn

    sys.setswitchinterval(1e-5)

    class Own(nn.CustomLayer):
        def __init__(self, size):
            self.size = size
            self.add("weight", (size,), "ones")
        def forward_pass(self, x, training):
            self.saved = x
            return self.saved * self.values["weight"]
        def backward_pass(self, dy):
            self.set_gradients((dy * self.saved).sum(axis=0))
            return dy * self.values["weight"]

    inner = nn.Sequential(nn.Linear(6, 7, activation="gelu"), nn.BatchNorm1d(7), nn.Dropout(0.3), Own(7), seed=1)
    model = nn.Sequential(nn.Residual(nn.Linear(6, 6)), inner, nn.Linear(7, 3), seed=2)
    x, t = np.random.default_rng(0).normal(size=(40, 6)).astype(model.dtype), np.arange(40) % 3
    end, wrong, done = time.monotonic() + {seconds}, [], []
    actions = [
        lambda r: model.predict(x[:r.randint(1, 40)], r.randint(1, 50)), lambda r: model(x[:r.randint(1, 40)]),
        lambda r: inner.predict(x), lambda r: model[1:].predict(model[:1].predict(x)), lambda r: inner[0](x[:3]),
        lambda r: model.predict_proba(x), lambda r: model.predict(x.astype("f4" if r.random() < 0.5 else "f8")),
        lambda r: model.step(x, t, nn.CrossEntropyLoss(), nn.SGD(lr=0.0)), lambda r: model.backward(model(x)),
        lambda r: model.run_epoch(x, t, nn.CrossEntropyLoss(), nn.SGD(lr=0.0), 7),
        lambda r: nn.Sequential(model, nn.Linear(3, 2), dtype=r.choice([None, "float32", "float64"])).predict(x),
        lambda r: nn.Sequential(model, dtype="float64").step(x, t, nn.CrossEntropyLoss(), nn.SGD(lr=0.0)),
        lambda r: model.load_state_dict(model.state_dict()), lambda r: setattr(inner, "trainable", r.random() < 0.5),
        lambda r: model.forward(x, training=True), lambda r: model.outputs(x[:2]),
        lambda r: __import__("copy").deepcopy(model).predict(x),
    ]

    def work(seed):
        r = random.Random(seed)
        while time.monotonic() < end:
            k = r.randrange(len(actions))
            try:
                y = actions[k](r)
                done.append(k)
                if isinstance(y, np.ndarray) and not np.isfinite(y).all():
                    wrong.append("not finite")
            except (RuntimeError, ValueError) as error:
                text = str(error)
                if not any(word in text for word in ("in use", "call forward", "already belongs", "inside another",
                                                     "in training", "dy: expected", "dtype: expected",
                                                     "layers are gone")):
                    wrong.append(repr(error))

    crew = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for each in crew: each.start()
    for each in crew: each.join()
    assert not wrong, wrong[:5]
    assert len(set(done)) > 8
    assert np.isfinite(model.predict(x)).all()
    assert model.step(x, t, nn.CrossEntropyLoss(), nn.SGD(lr=0.0)) > 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", ["fastnn", "fastnn_ref"])
def test_storm(package):
    """Four threads predict, train, wrap, freeze and copy one model: clear errors, no crash, and it still works."""
    python(STORM.format(package=package, seconds=os.environ.get("FASTNN_STORM_SECONDS", "10")))


def test_the_packages_say_the_same(fast):
    """What is refused is refused in the same words."""
    said = []
    for nn in (fastnn_ref, fast):
        model, stop = net(nn)
        with Held(stop, lambda model=model: model.predict(X)):
            for call in REFUSED.values():
                with pytest.raises(RuntimeError) as caught:
                    call(nn, model)
                said.append(str(caught.value))
    assert said[:len(REFUSED)] == said[len(REFUSED):]

"""run_epoch, fit, evaluate, History, callbacks; and the whole of it on real digits."""

import itertools
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests import oracle
from tests.check import close, normal, same, same_parameters
from tests.pairwise import chequered


def net(nn, dtype="float64", seed=3):
    return nn.Sequential(nn.Linear(7, 13, activation="tanh"), nn.Linear(13, 3), seed=seed, dtype=dtype)


def data(n=23, dtype="float64"):
    return normal((n, 7), dtype), np.arange(n) * 5 % 3


@chequered
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("n", "batch"), [(23, 5), (20, 5), (3, 5), (1, 1), (7, 1)])
def test_an_epoch_is_its_steps(nn, dtype, n, batch, shuffle):
    """Shuffled by the epoch's number, cut into batches, the short one last; the mean is over the examples."""
    x, t = data(n, dtype)
    whole, by_hand = net(nn, dtype), net(nn, dtype)
    one, two, loss = nn.Adam(), nn.Adam(), nn.CrossEntropyLoss()
    for epoch in range(3):
        mean = whole.run_epoch(x, t, loss, one, batch_size=batch, shuffle=shuffle)
        order = oracle.permutation(n, 3, epoch, 2 << 24) if shuffle else list(range(n))
        total = 0.0
        for i in range(0, n, batch):
            rows = order[i : i + batch]
            total += len(rows) * by_hand.step(x[rows], t[rows], nn.CrossEntropyLoss(), two)
        same_parameters(whole, by_hand)
        close("sum", np.float64(mean), total / n, n * abs(total / n))
    assert (whole.epochs, whole.steps) == (3, by_hand.steps)
    assert one.steps == 3 * -(-n // batch)


@pytest.mark.parametrize("kind", ["class numbers", "probability rows", "columns"])
def test_an_epoch_gathers_targets_of_any_kind(nn, kind):
    x, t = data()
    loss = nn.MSELoss() if kind == "columns" else nn.CrossEntropyLoss(label_smoothing=0.1)
    t = (
        t
        if kind == "class numbers"
        else np.eye(3)[t]
        if kind == "probability rows"
        else np.asfortranarray(np.eye(3)[t])
    )
    a, b = net(nn), net(nn)
    a.run_epoch(x, t, loss, nn.SGD(), batch_size=4)
    one = nn.SGD()
    order = oracle.permutation(23, 3, 0, 2 << 24)
    for i in range(0, 23, 4):
        b.step(x[order[i : i + 4]], t[order[i : i + 4]], loss, one)
    same_parameters(a, b)


def test_an_epoch_leaves_its_data_alone(nn):
    x, t = data()
    t.flags.writeable = False
    kept = x.copy(), t.copy()
    net(nn).run_epoch(x, t, nn.CrossEntropyLoss(), nn.SGD(), batch_size=4)
    same(x, kept[0])
    same(t, kept[1])


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_engine_epochs_agree(ref, fast, isa, name):
    x, t = data(101, name)
    engine, book = net(fast, name), net(ref, name)
    one, two = fast.AdamW(lr=1e-2), ref.AdamW(lr=1e-2)
    for _ in range(3):
        got = engine.run_epoch(x, t, fast.CrossEntropyLoss(), one, batch_size=8)
        want = book.run_epoch(x, t, ref.CrossEntropyLoss(), two, batch_size=8)
        close("training", np.dtype(name).type(got), want, 39 * (want + 1))
    for key, value in book.state_dict().items():
        close("training", engine.state_dict()[key], value, 39 * np.ones_like(value), key)


def test_progress(nn):
    x, t = data(64)
    calls = []
    net(nn).run_epoch(x, t, nn.CrossEntropyLoss(), nn.SGD(), batch_size=8, progress=lambda *c: calls.append(c))
    assert calls
    assert calls[-1] == (8, 8)
    assert calls == sorted(set(calls))


def test_an_error_in_progress_comes_out(nn):
    def stop(done, total):
        raise KeyError("enough")

    x, t = data(64)
    model, optimizer = net(nn), nn.SGD()
    with pytest.raises(KeyError, match="enough"):
        model.run_epoch(x, t, nn.CrossEntropyLoss(), optimizer, batch_size=8, progress=stop)
    assert np.isfinite(model.run_epoch(x, t, nn.CrossEntropyLoss(), optimizer, batch_size=8))


# ---- fit ----


def test_history(nn):
    x, t = data()
    model = net(nn)
    history = model.fit(
        x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(lr=0.1), epochs=3, batch_size=8,
        validation_data=data(11), metrics=["accuracy", wrong],
    )  # fmt: skip
    assert isinstance(history, nn.History)
    assert list(history.history) == ["loss", "accuracy", "wrong", "val_loss", "val_accuracy", "val_wrong"]
    assert all(len(column) == 3 for column in history.history.values())
    assert history.epoch == [0, 1, 2]
    assert history.params["epochs"] == 3
    assert len(history.seconds) == 3
    assert all(s >= 0 for s in history.seconds)
    last = {name: column[-1] for name, column in history.history.items()}
    xv, tv = data(11)
    assert model.evaluate(xv, tv, nn.CrossEntropyLoss(), metrics=["accuracy"]) == {
        "loss": last["val_loss"], "accuracy": last["val_accuracy"],
    }  # fmt: skip
    assert last["accuracy"] == np.mean(model.predict(x).argmax(axis=1) == t)
    assert last["wrong"] == 1 - last["accuracy"]


def wrong(y, t):
    return float(np.mean(np.argmax(y, axis=1) != t))


def test_fit_is_its_epochs(nn):
    x, t = data()
    a, b = net(nn), net(nn)
    one, two = nn.Adam(), nn.Adam()
    history = a.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=one, epochs=2, batch_size=4, shuffle=False)
    losses = [b.run_epoch(x, t, nn.CrossEntropyLoss(), two, batch_size=4, shuffle=False) for _ in range(2)]
    assert history.history == {"loss": losses}
    same_parameters(a, b)


def test_validation_split_is_the_end(nn):
    """As in Keras: the last part, before any shuffling."""
    x, t = data(20)
    a, b = net(nn), net(nn)
    one = a.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=2, validation_split=0.25)
    two = b.fit(
        x[:15],
        t[:15],
        loss=nn.CrossEntropyLoss(),
        optimizer=nn.SGD(),
        epochs=2,
        validation_data=(x[15:], t[15:]),
    )
    assert one.history == two.history
    same_parameters(a, b)


def test_evaluate_does_not_depend_on_the_chunks(nn):
    x, t = data()
    model = net(nn)
    whole = model.evaluate(x, t, nn.CrossEntropyLoss(), metrics=["accuracy"], batch_size=23)
    pieces = model.evaluate(x, t, nn.CrossEntropyLoss(), metrics=["accuracy"], batch_size=4)
    close("sum", np.float64(pieces["loss"]), whole["loss"], 23 * whole["loss"])
    close("sum", np.float64(whole["loss"]), nn.CrossEntropyLoss()(model(x), t), 23 * whole["loss"])
    assert pieces["accuracy"] == whole["accuracy"]


def test_callbacks(nn):
    calls = []

    class RecordingCallback(nn.Callback):
        def on_train_begin(self, logs=None):
            calls.append("begin")
            assert self.model is model
            assert self.optimizer is optimizer
            assert self.params["epochs"] == 5

        def on_epoch_begin(self, epoch, logs=None):
            calls.append(f"epoch {epoch}")

        def on_epoch_end(self, epoch, logs=None):
            calls.append(f"end {epoch} {sorted(logs)}")
            if epoch == 1:
                self.model.stop_training = True

        def on_train_end(self, logs=None):
            calls.append("over")

    x, t = data()
    model, optimizer = net(nn), nn.SGD()
    history = model.fit(
        x,
        t,
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        epochs=5,
        validation_data=(x, t),
        callbacks=[RecordingCallback()],
    )
    end = "['loss', 'val_loss']"
    assert calls == ["begin", "epoch 0", f"end 0 {end}", "epoch 1", f"end 1 {end}", "over"]
    assert history.epoch == [0, 1]
    again = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=1)
    assert again.epoch == [0]


def test_fit_is_silent(nn, capfd):
    x, t = data()
    net(nn).fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=2)
    out = capfd.readouterr()
    assert (out.out, out.err) == ("", "")


def test_training_again_gives_the_same_bits(nn, dtype):
    x, t = data(60, dtype)

    def train():
        model = net(nn, dtype)
        model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(), epochs=3, batch_size=7)
        return model

    same_parameters(train(), train())


# ---- digits ----


@pytest.fixture(scope="session")
def digits():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, t = load_digits(return_X_y=True)
    return train_test_split(x / 16, t, test_size=0.25, random_state=0, stratify=t)


def train_on_digits(nn, digits, dtype, epochs, activation="relu"):
    x, xv, t, tv = digits
    model = nn.Sequential(nn.Linear(64, 128, activation=activation), nn.Linear(128, 10), seed=0, dtype=dtype)
    loss, optimizer = nn.CrossEntropyLoss(label_smoothing=0.1), nn.AdamW(lr=3e-3, weight_decay=1e-2)
    model.fit(x, t, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=64)
    return model, model.evaluate(xv, tv, loss, metrics=["accuracy"])["accuracy"]


@pytest.mark.slow
def test_digits(nn, digits):
    """At least 97 % on a held-out quarter."""
    _, accuracy = train_on_digits(nn, digits, None, epochs=30)
    assert accuracy >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_digits_end_in_the_same_place(ref, fast, digits, activation):
    """Every float64 parameter equal to 1e-10 relative after training."""
    a, _ = train_on_digits(ref, digits, "float64", 10, activation)
    b, _ = train_on_digits(fast, digits, "float64", 10, activation)
    for name, want in a.state_dict().items():
        assert np.abs(b.state_dict()[name] - want).max() <= 1e-10 * np.abs(want).max(), name


# ---- a stop at a step, and evaluation there ----


def stopped(nn, hook, at):
    """A fit of 3 steps an epoch that ``hook`` ends at step ``at``; what the callback saw."""
    seen = []

    class Stop(nn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(f"end {epoch}")

        def on_train_end(self, logs=None):
            seen.append("over")

    def stop(self, *arguments):
        if self.optimizer.steps == at:
            self.model.stop_training = True

    setattr(Stop, hook, stop)
    x, t = data()
    model, optimizer = net(nn), nn.SGD()
    history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=3,
                        batch_size=-(-len(x) // 3), callbacks=[Stop()])
    return optimizer.steps, history.epoch, seen


@pytest.mark.parametrize(("hook", "at", "steps"), [
    ("on_train_batch_end", 4, 4), ("on_train_batch_begin", 4, 5), ("on_train_batch_end", 1, 1)])
def test_stop_training_in_a_batch_hook_ends_after_the_batch(nn, hook, at, steps):
    finished = list(range(steps // 3))
    assert stopped(nn, hook, at) == (steps, finished, [*(f"end {epoch}" for epoch in finished), "over"])


def test_stop_training_at_the_last_batch_ends_the_epoch_as_always(nn):
    assert stopped(nn, "on_train_batch_end", 6) == (6, [0, 1], ["end 0", "end 1", "over"])


def test_stop_training_at_the_begin_of_an_epoch_lets_it_run(nn):
    assert stopped(nn, "on_epoch_begin", 3) == (6, [0, 1], ["end 0", "end 1", "over"])


def test_stop_training_between_batches_of_an_iterator(nn):
    class Stop(nn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    x, t = data()
    model, optimizer = net(nn), nn.SGD()
    model.fit([(x, t)] * 4, loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=2, callbacks=[Stop()])
    assert optimizer.steps == 2


@pytest.mark.parametrize("penalised", [False, True])
def test_evaluation_in_a_batch_hook_changes_nothing(nn, penalised):
    """With the training's own loss, other rows and other targets: the training goes on to the same bits."""
    x, t = data()
    seen = []

    def trained(*callbacks):
        model = nn.Sequential(nn.Linear(x.shape[1], 7, activation="relu"), nn.Dropout(0.3), nn.BatchNorm1d(7),
                              nn.Linear(7, 3), seed=2, penalty=nn.L2(0.1) if penalised else None)
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)
        history = model.fit(x, t, loss=loss, optimizer=nn.Adam(), epochs=2, batch_size=5,
                            callbacks=[each(loss) for each in callbacks])
        return model, history

    def measuring(loss):
        class Measure(nn.Callback):
            def on_train_batch_end(self, batch, logs=None):
                seen.append(self.model.evaluate(x[3:], t[3:], loss, metrics=["accuracy"])["accuracy"])
                self.model.outputs(x[:2])

        return Measure()

    (one, history), (other, wanted) = trained(measuring), trained()
    assert len(seen) == 2 * -(-len(x) // 5)
    for name, value in other.state_dict().items():
        assert (one.state_dict()[name] == value).all(), name
    assert history.history == wanted.history


# ---- warnings ----


def test_fits_in_threads_leave_the_filters_of_warnings(nn):
    """The metric of a user's own is tried without warnings: two fits that try theirs at once put the filters back."""
    before, arrived, counter = [*warnings.filters], [threading.Event() for _ in range(2)], itertools.count()

    def metric(y, t):
        mine = next(counter)
        if mine < 2:                                # the first one leaves while the second one is inside
            arrived[mine].set()
            arrived[1].wait(0.5) if mine == 0 else time.sleep(0.2)
        return 0.0

    def fit():
        model = nn.Sequential(nn.Linear(2, 2))
        model.fit(np.eye(2), [0, 1], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=1, metrics=[metric])

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(fit) for _ in range(2)]:
            each.result()
    assert warnings.filters == before


def test_a_metric_may_wait_for_a_thread_that_fits(nn):
    """While the metric of a user's own is tried, other threads may try theirs."""
    waits = []

    def fit(metric):
        model = nn.Sequential(nn.Linear(2, 2))
        model.fit(np.eye(2), [0, 1], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=1, metrics=[metric])

    def metric(y, t):
        thread = threading.Thread(target=fit, args=(lambda y, t: 0.0,), daemon=True)
        thread.start()
        thread.join(10)
        waits.append(thread.is_alive())
        return 0.0

    fit(metric)
    assert waits == [False, False]                  # in the trial, and behind the epoch


def test_what_threads_do_at_once_sets_no_filter_of_warnings(nn, monkeypatch):
    """Filters are the process's: a thread would leave those of another one in force."""
    def refuse(*args, **kwargs):
        raise AssertionError("a filter is set")

    with monkeypatch.context() as patch:
        patch.setattr(warnings, "catch_warnings", refuse)
        for dtype in (None, "float32", "f8", "<f4", "double", float, np.float32, np.dtype("float64")):
            model = nn.Sequential(nn.Linear(2, 2), dtype=dtype)
        nn.find_lr(model, np.eye(2), [0, 1], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), steps=3)


def test_the_finder_names_the_row_of_a_target(nn):
    """It was that of a batch."""
    t = np.arange(60) % 2
    t[50] = 2
    with pytest.raises(ValueError, match=r"^t: expected class numbers from 0 to 1, got 2 at row 50$"):
        nn.find_lr(nn.Sequential(nn.Linear(5, 2)), np.ones((60, 5)), t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD())

"""Callbacks that steer and record a training, schedules by the epoch, what fit says before and while it runs."""

import contextlib
import copy
import csv
import io
import math
import os
import re
import signal
import struct
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest

from fastnn_ref.shared import batches, progress
from fastnn_ref.shared.callbacks import (
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    StopTraining,
    TerminateOnNaN,
)
from fastnn_ref.shared.diagnosis import LossWatch, TrainingWarning
from fastnn_ref.shared.early_stopping import EarlyStopping
from fastnn_ref.shared.fit import fit
from fastnn_ref.shared.loggers import CSVLogger, TensorBoard
from fastnn_ref.shared.metrics import Metric
from fastnn_ref.shared.model_checkpoint import ModelCheckpoint
from fastnn_ref.shared.schedule import (
    CosineLR,
    ExponentialLR,
    LinearLR,
    PerEpoch,
    Schedule,
    StepLR,
    lr_from_record,
    lr_record,
    rates,
)
from fastnn_ref.shared.state import training_state
from tests.check import normal, same_parameters
from tests.pairwise import chequered

X = normal((20, 4))
CLASSES = np.arange(20) % 3
NAN = math.nan


def net(nn, *middle, seed=1, **arguments):
    return nn.Sequential(nn.Linear(4, 6, activation="tanh"), *middle, nn.Linear(6, 3), seed=seed, dtype="float64",
                         **arguments)  # fmt: skip


def train(nn, model=None, optimizer=None, **arguments):
    """fit with what most tests want; the model, the optimizer and the history."""
    model, optimizer = model or net(nn), optimizer or nn.SGD(lr=0.1)
    given = {"loss": nn.CrossEntropyLoss(), "epochs": 3, "batch_size": 5} | arguments
    return model, optimizer, fit(model, given.pop("x", X), given.pop("t", CLASSES), optimizer=optimizer, **given)


def untouched(nn, error, match, model=None, optimizer=None, **arguments):
    """The error comes before the first step, and before the first hook."""
    begun = []
    callbacks = [LambdaCallback(on_train_begin=begun.append), *arguments.pop("callbacks", ())]
    model, optimizer = model or net(nn), optimizer or nn.SGD(lr=0.1)
    with pytest.raises(error, match=match):
        train(nn, model, optimizer, callbacks=callbacks, **arguments)
    assert (model.steps, optimizer.steps, begun) == (0, 0, [])


def share(y, t):
    return float(np.mean(y.argmax(axis=1) == t))


# ---- what is watched ----


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau])
def test_a_monitor_that_cannot_exist(nn, kind):
    cases = [
        ({}, "val_loss", r"expected one of loss, got 'val_loss'; fit needs validation_data"),
        ({}, "accuracy", "expected one of loss, got 'accuracy'$"),
        ({}, "penalty", "expected one of loss, got 'penalty'"),
        ({"metrics": ["accuracy"]}, "val_accuracy", "expected one of loss, accuracy, got 'val_accuracy'; fit needs"),
        ({"validation_split": 0.5}, "val_acc", "expected one of loss, val_loss, got 'val_acc'$"),
    ]
    for arguments, monitor, message in cases:
        untouched(nn, ValueError, f"monitor: {message}", callbacks=[kind(monitor=monitor)], **arguments)
    model = net(nn, penalty=nn.L2(0.1))
    train(nn, model, callbacks=[kind(monitor="penalty"), kind(monitor="data_loss")])


def test_a_callback_may_add_to_the_logs(nn):
    class Adds(nn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["wrong"] = [3, 2, 2, 2, 2][epoch]

    stopping = EarlyStopping("wrong", mode="min", patience=2)
    _, _, history = train(nn, epochs=5, callbacks=[Adds(), stopping])
    assert (stopping.best_epoch, len(history.epoch)) == (1, 4)
    adds = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(odd=epoch))
    train(nn, callbacks=[adds, EarlyStopping("odd", mode="max")])
    untouched(nn, ValueError, "monitor: expected one of loss, got 'wrong'", callbacks=[stopping, Adds()])
    model, optimizer = net(nn), nn.SGD()
    with pytest.raises(ValueError, match="monitor: expected one of loss, wrong, got 'rwong'"):
        train(nn, model, optimizer, callbacks=[Adds(), EarlyStopping("rwong", mode="min")])
    assert optimizer.steps == 4             # what no other knows comes after the first epoch


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau])
def test_auto_does_not_guess(nn, kind):
    """A name that does not tell needs a mode, of the callback or of the metric."""
    message = "mode: expected 'min' or 'max' for 'share', whose name does not tell which is better, got 'auto'"
    model, optimizer = net(nn), nn.SGD()
    with pytest.raises(ValueError, match=message):
        train(nn, model, optimizer, metrics=[share], callbacks=[kind("share")])
    assert (model.steps, optimizer.steps) == (0, 0)
    train(nn, metrics=[share], callbacks=[kind("share", mode="max")])
    for mode, way in (("max", -1), ("min", 1)):
        callback = kind("val_share")
        train(nn, metrics=[Metric("share", share, mode)], callbacks=[callback], validation_split=0.2)
        assert callback.sign() == way
    metric = Metric("error", share, "max")              # its word counts more than its name
    callback = kind("error")
    train(nn, metrics=[metric], callbacks=[callback])
    assert callback.sign() == -1


def test_criteria_are_for_errors(nn):
    with pytest.raises(ValueError, match="criterion: expected 'patience' for a value that is to rise"):
        train(nn, metrics=[Metric("share", share, "max")], callbacks=[EarlyStopping("share", criterion="GL")])


@pytest.mark.parametrize(
    ("mode", "values", "want"),
    [
        ("min", [3, 2, 2, 2, 2], [1, 1, 1, 0.5, 0.5]),
        ("max", [3, 4, 4, 4, 4], [1, 1, 1, 0.5, 0.5]),
        ("max", [-3, -4, -5, -2, -2], [1, 1, 0.5, 0.5, 0.5]),
        ("max", [3, 3.5, 3.9, 4.5, 5], [1, 1, 0.5, 0.5, 0.5]),          # 1 more than the best, or nothing
        ("min", [NAN, NAN, NAN, 1, 0.5], [1, 0.5, 0.5, 0.5, 0.5]),
        ("max", [NAN, 1, NAN, NAN, 3], [1, 1, 1, 0.5, 0.5]),
    ],
)  # fmt: skip
def test_plateau(nn, mode, values, want):
    """patience 2: the second epoch without an improvement cuts."""
    optimizer, seen = nn.SGD(lr=1.0), []
    callback = ReduceLROnPlateau("x", factor=0.5, patience=2, mode=mode, min_delta=0.99)
    callback.optimizer = optimizer
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"x": value})
        seen.append(optimizer.lr)
    assert seen == want


# ---- the learning rate ----


class Rates(LambdaCallback):
    """The rate of each step of a training."""

    def __init__(self):
        super().__init__(on_train_batch_begin=lambda batch, logs=None: self.seen.append(self.optimizer.current_lr))
        self.seen = []


def test_linear():
    schedule = LinearLR(0.3, total_steps=5, start_factor=0.5, end_factor=2)
    for step in range(9):
        assert math.isclose(schedule(step), 0.3 * (0.5 + 1.5 * min(step, 5) / 5))
    assert LinearLR(1.0, 4, 1, 0)(np.arange(6)).tolist() == [1, 0.75, 0.5, 0.25, 0, 0]


@pytest.mark.slow                       # torch.optim takes seconds to import
def test_linear_is_pytorchs():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    theirs, ours = torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=5), LinearLR(0.3, total_steps=5)
    for step in range(8):
        assert math.isclose(ours(step), optimizer.param_groups[0]["lr"], rel_tol=1e-12)
        optimizer.step()
        theirs.step()


def test_epochs_are_pytorchs(nn):
    """StepLR(step_size=1, gamma=0.7), stepped after each epoch: 0.7¹³ in the 14th, not 0.7^(13·4)."""
    rate = Rates()
    train(nn, optimizer=nn.SGD(lr=PerEpoch(StepLR(1e-3, step_size=1, gamma=0.7))), epochs=14, callbacks=[rate])
    want = [1e-3 * 0.7**epoch for epoch in range(14) for _ in range(4)]
    assert np.allclose(rate.seen, want, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "schedule",
    [StepLR(0.1, 2), ExponentialLR(0.1, 0.5), CosineLR(0.1, 6, warmup_steps=2), LinearLR(0.1, 4),
     lambda epoch: 0.1 / (1 + epoch), lambda epoch: 0.1 if epoch < 2 else 1],
)  # fmt: skip
def test_a_rate_for_each_epoch(schedule):
    """The schedule's, or the function's, at the number of the epoch: asked for one step or for many."""
    by_epoch, steps = PerEpoch(schedule, 7), np.arange(50)
    want = [schedule(step // 7) for step in range(50)]
    assert by_epoch(steps).tolist() == want == [by_epoch(step) for step in range(50)]
    assert rates(by_epoch, 3, 40).tolist() == want[3:43]
    assert by_epoch(np.array([[0, 7], [8, 21]])).tolist() == [[want[0], want[7]], [want[8], want[21]]]


def test_a_schedule_of_ones_own_by_the_epoch():
    """Also one that, against the rules, gives one number for all steps."""

    class Same(Schedule):
        def rate(self, s):
            return 0.25

    assert PerEpoch(Same(), 3)(np.arange(5)).tolist() == [0.25] * 5
    assert rates(PerEpoch(Same(), 3), 0, 5).tolist() == [0.25] * 5


def test_without_fit_the_number_of_steps_must_be_given(nn):
    model, optimizer = net(nn), nn.SGD(lr=PerEpoch(StepLR(0.1, 2)))
    with pytest.raises(ValueError, match="steps_per_epoch: expected the number of steps of an epoch, which only fit"):
        model.run_epoch(X, CLASSES, nn.CrossEntropyLoss(), optimizer, batch_size=5)
    for arguments in ({"schedule": 0.1}, {"schedule": PerEpoch(StepLR(0.1, 2))}, {"schedule": StepLR}):
        with pytest.raises(TypeError, match="schedule: expected a Schedule or a function of the epoch"):
            PerEpoch(**arguments)
    with pytest.raises(ValueError, match="steps_per_epoch: expected an integer >= 1, got 0"):
        PerEpoch(StepLR(0.1, 2), 0)
    with pytest.raises(TypeError, match="start: expected a step and an epoch, got 3"):
        PerEpoch(StepLR(0.1, 2), 4, 3)


def test_epochs_go_on_when_batches_change(nn):
    """Two epochs of 4 steps, then two of 2: four epochs, not 2 and then (8 + …) / 2."""
    rate, model, optimizer = Rates(), net(nn), nn.SGD(lr=PerEpoch(ExponentialLR(0.1, 0.5)))
    train(nn, model, optimizer, epochs=2, callbacks=[rate])
    train(nn, model, optimizer, epochs=2, batch_size=10, callbacks=[rate])
    train(nn, model, optimizer, epochs=1, batch_size=10, callbacks=[rate])
    assert rate.seen == [0.1] * 4 + [0.05] * 4 + [0.025] * 2 + [0.0125] * 2 + [0.00625] * 2
    assert repr(optimizer.lr) == "PerEpoch(ExponentialLR(0.1, 0.5), steps_per_epoch=2, start=(8, 2))"


def test_the_state_has_the_epochs():
    bound = PerEpoch(StepLR(0.1, 2), 4, (8, 2))
    assert repr(lr_from_record(lr_record(bound), None)) == repr(bound)
    for own in (lambda epoch: 0.1, type("Own", (StepLR,), {})(0.1, 2)):
        for lr in (own, PerEpoch(own, 4)):
            assert lr_record(lr) is None                # comes with the optimizer again
            assert lr_from_record(None, lr) is lr


def test_scheduler(nn):
    rate = Rates()
    _, optimizer, _ = train(nn, callbacks=[LearningRateScheduler(lambda epoch: [0.3, 0.2, 0.1][epoch]), rate])
    assert rate.seen == [0.3] * 4 + [0.2] * 4 + [0.1] * 4
    assert optimizer.lr == 0.1
    rate = Rates()
    train(nn, callbacks=[LearningRateScheduler(PerEpoch(StepLR(0.4, 1, gamma=0.5))), rate])
    assert rate.seen == [0.4] * 4 + [0.2] * 4 + [0.1] * 4
    rate = Rates()
    train(nn, callbacks=[LearningRateScheduler(lambda epoch, lr: lr / 2), rate])
    assert rate.seen == [0.05] * 4 + [0.025] * 4 + [0.0125] * 4
    rate = Rates()
    train(nn, callbacks=[LearningRateScheduler(lambda epoch, base=0.5: base / (1 + epoch)), rate])
    assert rate.seen[::4] == [0.5, 0.25, 0.5 / 3]


def test_scheduler_counts_epochs_only():
    message = r"schedule: expected a function of the epoch or PerEpoch\(StepLR\(0.1, 2\)\), got a Schedule"
    with pytest.raises(TypeError, match=message):
        LearningRateScheduler(StepLR(0.1, 2))
    for wrong in (0.1, None, StepLR):
        with pytest.raises(TypeError, match="schedule: expected a function of the epoch"):
            LearningRateScheduler(wrong)


@pytest.mark.parametrize("make", [lambda: LearningRateScheduler(lambda epoch: 0.1), lambda: ReduceLROnPlateau("loss")])
def test_one_rule_for_one_rate(nn, make):
    model, optimizer = net(nn), nn.SGD(lr=StepLR(0.1, 2))
    with pytest.raises(TypeError, match=f"{type(make()).__name__}: expected an optimizer whose lr is a number"):
        train(nn, model, optimizer, callbacks=[make()])
    assert optimizer.steps == 0


def test_a_scheduler_that_gives_no_rate(nn):
    for wrong, error in ((-1, ValueError), (NAN, ValueError), ("0.1", TypeError), (lambda step: 0.1, TypeError)):
        with pytest.raises(error, match="schedule: expected a finite number >= 0"):
            train(nn, callbacks=[LearningRateScheduler(lambda epoch, wrong=wrong: wrong)])


# ---- ends ----


def test_stop_at_a_step(nn):
    """After the batch, not after the epoch: the weights are those of so many steps."""

    class Stop(nn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.optimizer.steps == 6:
                raise StopTraining

    ended = []
    stop, end = Stop(), LambdaCallback(on_train_end=ended.append)
    model, optimizer, history = train(nn, shuffle=False, callbacks=[stop, end])
    by_hand, other = net(nn), nn.SGD(lr=0.1)
    for start in (0, 5, 10, 15, 0, 5):
        by_hand.step(X[start:start + 5], CLASSES[start:start + 5], nn.CrossEntropyLoss(), other)  # fmt: skip
    same_parameters(model, by_hand)
    assert (optimizer.steps, history.epoch, history.interrupted) == (6, [0], False)
    assert ended == [{"loss": history.history["loss"][0]}]


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_progress", "on_train_batch_begin"])
def test_stop_in_any_hook(nn, hook):
    def stop(*arguments):
        raise StopTraining

    _, optimizer, history = train(nn, callbacks=[LambdaCallback(**{hook: stop})])
    assert optimizer.steps == {"on_epoch_end": 4, "on_progress": optimizer.steps}.get(hook, 0)     # now and then
    assert history.epoch == ([0] if hook == "on_epoch_end" else [])


def explosion(nn):
    """A model whose loss is ∞ after a few steps, and data for it."""
    x = normal((40, 2))
    return nn.Sequential(nn.Linear(2, 1), dtype="float64"), {
        "x": x, "t": x[:, :1] * 3, "loss": nn.MSELoss(), "batch_size": 2, "epochs": 40,
    }  # fmt: skip


def test_terminate_on_nan(nn):
    model, arguments = explosion(nn)
    callback, losses = TerminateOnNaN(), []
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    with pytest.warns(TrainingWarning) as caught, np.errstate(all="ignore"):
        _, optimizer, history = train(nn, model, nn.SGD(lr=10.0), callbacks=[watch, callback], **arguments)
    finite = [math.isfinite(loss) for loss in losses]
    assert not finite[-1] and all(finite[:-1])
    assert optimizer.steps == len(losses) == 20 * callback.stopped_epoch + callback.stopped_batch + 1
    assert len(history.epoch) == callback.stopped_epoch
    assert f"the loss of batch {callback.stopped_batch} in epoch {callback.stopped_epoch}" in str(caught[-1].message)
    assert "Likely causes: the learning rate 10 is too large (try 1)" in str(caught[-1].message)
    assert "training ends here" in str(caught[-1].message)
    train(nn, callbacks=[callback])
    assert (callback.stopped_epoch, callback.stopped_batch) == (None, None)


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):        # the handler runs between two instructions of the main thread
        pass


@pytest.fixture
def terminal():
    """Ctrl-C as in a program of one's own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


class Press(LambdaCallback):
    """Ctrl-C in a hook."""

    def __init__(self, hook, when, times=1):
        super().__init__(**{hook: self.press})
        self.when, self.times, self.calls = when, times, 0

    def press(self, *_):
        self.calls += 1
        if self.calls == self.when:
            for _ in range(self.times):
                ctrl_c()


def test_ctrl_c_ends_after_the_batch(nn, terminal):
    ended = []
    end = LambdaCallback(on_train_end=lambda logs: ended.append(True))
    model, optimizer, history = train(nn, epochs=9, callbacks=[Press("on_train_batch_begin", 6), end])
    assert history.interrupted
    assert history.epoch == [0]
    assert len(history.history["loss"]) == 1
    assert optimizer.steps == 6
    assert ended == [True]
    _, _, after = train(nn, model, optimizer)
    assert (after.interrupted, after.epoch) == (False, [0, 1, 2])


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_epoch_begin"])
def test_ctrl_c_between_epochs(nn, terminal, hook):
    _, optimizer, history = train(nn, epochs=9, callbacks=[Press(hook, 2)])
    assert history.interrupted
    assert len(history.epoch) <= 2
    assert optimizer.steps <= 8


def test_ctrl_c_where_there_are_no_batch_hooks(nn, terminal):
    """At the next report of progress, which the engine makes every 50 ms and at the end of an epoch."""
    _, optimizer, history = train(nn, epochs=9, callbacks=[Press("on_progress", 1)])
    assert history.interrupted
    assert (1 <= optimizer.steps < 4 and history.epoch == []) or (optimizer.steps, history.epoch) == (4, [0])


def test_ctrl_c_in_the_last_batch_of_an_epoch(nn, terminal):
    """The epoch ends as always."""
    _, optimizer, history = train(nn, epochs=9, callbacks=[Press("on_train_batch_end", 8)])
    assert (history.interrupted, history.epoch, optimizer.steps) == (True, [0, 1], 8)


def test_ctrl_c_twice(nn, terminal):
    ended = []
    end = LambdaCallback(on_train_end=lambda logs: ended.append(True))
    with pytest.raises(KeyboardInterrupt):
        train(nn, epochs=9, callbacks=[Press("on_train_batch_begin", 6, times=2), end])
    assert ended == [True]


def test_the_best_weights_come_back_after_ctrl_c(nn, terminal):
    stopping = EarlyStopping("loss", patience=50)
    model, _, history = train(nn, epochs=9, callbacks=[stopping, Press("on_epoch_begin", 4)])
    again, _, _ = train(nn, epochs=stopping.best_epoch + 1)
    assert history.interrupted
    same_parameters(model, again)


def test_a_handler_of_the_users_stays(nn, terminal):
    calls = []
    signal.signal(signal.SIGINT, lambda *_: calls.append(True))
    try:
        _, _, history = train(nn, callbacks=[Press("on_train_batch_begin", 6)])
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert (calls, history.interrupted, history.epoch) == ([True], False, [0, 1, 2])


def test_a_second_ctrl_c_while_the_handler_is_put_back(nn, terminal, monkeypatch):
    """It left fit's own handler in place for the rest of the process."""
    put, late = signal.signal, []

    def put_late(number, handler):
        if handler is signal.default_int_handler and not late:
            late.append(True)
            ctrl_c()
        return put(number, handler)

    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", put_late)
        with pytest.raises(KeyboardInterrupt):
            train(nn, callbacks=[Press("on_train_batch_begin", 6)])
    try:
        assert late and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# ---- functions ----


def test_lambda(nn):
    calls = []
    functions = {
        hook: lambda *arguments, hook=hook: calls.append(hook)
        for hook in ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin",
                     "on_train_batch_end")
    }  # fmt: skip
    train(nn, epochs=1, batch_size=10, callbacks=[LambdaCallback(**functions)])
    batch = ["on_train_batch_begin", "on_train_batch_end"]
    assert calls == ["on_train_begin", "on_epoch_begin", *batch, *batch, "on_epoch_end", "on_train_end"]
    with pytest.raises(TypeError, match="on_epoch_end: expected a function, got 3"):
        LambdaCallback(on_epoch_end=3)
    assert repr(LambdaCallback()) == "LambdaCallback()"
    assert repr(LambdaCallback(on_epoch_end=print)) == "LambdaCallback(on_epoch_end=<built-in function print>)"
    assert set(LambdaCallback().config().values()) == {"LambdaCallback", None}
    with pytest.raises(TypeError, match=r"LambdaCallback\.on_epoch_end: expected a value that a record can hold"):
        LambdaCallback(on_epoch_end=print).config()


def test_nobody_pays_for_batch_hooks_that_nobody_has(nn, monkeypatch):
    """An epoch gets them only from a callback that has one."""
    seen = []

    def watched(*arguments, **hooks):
        seen.append((hooks["on_batch_begin"], hooks["on_batch_end"]))
        return batches.train(*arguments, **hooks)

    monkeypatch.setattr("fastnn_ref.shared.fit.train", watched)
    for callback in (LambdaCallback(on_epoch_end=lambda *_: None), EarlyStopping("loss"), ReduceLROnPlateau("loss")):
        train(nn, epochs=1, callbacks=[callback])
    assert seen == [(None, None)] * 3
    train(nn, epochs=1, callbacks=[TerminateOnNaN()])
    assert seen[-1][0] is None and callable(seen[-1][1])


# ---- files ----


def table(path, separator=","):
    return list(csv.reader(io.StringIO(path.read_text()), delimiter=separator))


def test_csv(nn, tmp_path):
    path = tmp_path / "log.csv"
    lines = []
    look = LambdaCallback(on_epoch_end=lambda epoch, logs: lines.append(len(path.read_text().splitlines())))
    optimizer = nn.SGD(lr=PerEpoch(ExponentialLR(0.1, 0.5)))
    _, _, history = train(nn, optimizer=optimizer, callbacks=[CSVLogger(path), look], validation_split=0.2)
    header, *rows = table(path)
    assert header == ["epoch", "loss", "val_loss", "lr"]
    assert [int(row[0]) for row in rows] == [0, 1, 2]
    assert [float(row[1]) for row in rows] == history.history["loss"]               # every digit
    assert [float(row[2]) for row in rows] == history.history["val_loss"]
    assert [float(row[3]) for row in rows] == [0.1, 0.05, 0.025]                    # of the epoch's steps
    assert lines == [2, 3, 4]                                                       # in the file as the epoch ends


@pytest.mark.parametrize("behind", [True, False])
def test_loggers_write_the_rate_that_the_epoch_had(nn, tmp_path, board, monkeypatch, behind):
    """Whatever stands before them has cut the rate for the next epoch already."""
    path, points = tmp_path / "log.csv", []
    monkeypatch.setattr(TensorBoard, "write", lambda self, part, name, value, step: points.append((name, step, value)))
    cuts = [ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e3)]
    loggers = [CSVLogger(path), TensorBoard(tmp_path)]
    callbacks = [*cuts, *loggers] if behind else [*loggers, *cuts]
    _, optimizer, _ = train(nn, optimizer=nn.SGD(lr=0.5), epochs=4, callbacks=callbacks)
    assert optimizer.lr == 0.0625
    assert [float(row[-1]) for row in table(path)[1:]] == [0.5, 0.5, 0.25, 0.125]
    assert [value for name, _, value in points if name == "lr"] == [0.5, 0.5, 0.25, 0.125]


def test_csv_begins_anew_or_goes_on(nn, tmp_path):
    path = tmp_path / "log.csv"
    train(nn, callbacks=[CSVLogger(path, separator=";")])
    first = path.read_text()
    train(nn, callbacks=[CSVLogger(path, separator=";")])
    assert path.read_text() == first
    path.write_text(first + "3;0.5")                    # a kill cut this line short
    train(nn, epochs=1, callbacks=[CSVLogger(path, separator=";", append=True)])
    assert path.read_text() == first + first.splitlines(keepends=True)[1]
    other = tmp_path / "new.csv"
    train(nn, callbacks=[CSVLogger(other, separator=";", append=True)])
    assert other.read_text() == first
    model, optimizer = net(nn), nn.SGD()
    with pytest.raises(ValueError, match=r"log\.csv: expected the columns epoch, loss, lr, got 'val_loss', too"):
        train(nn, model, optimizer, callbacks=[CSVLogger(path, separator=";", append=True)], validation_split=0.2)
    assert optimizer.steps == 0


@pytest.mark.parametrize("where", ["no/folder/log.csv", ""])
def test_csv_that_cannot_be_written(nn, tmp_path, where):
    model, optimizer = net(nn), nn.SGD()
    with pytest.raises(ValueError, match="filename: expected a file that can be written, got"):
        train(nn, model, optimizer, callbacks=[CSVLogger(tmp_path / where)])
    assert optimizer.steps == 0


@pytest.mark.parametrize("append", [False, True])
def test_csv_into_a_pipe(nn, tmp_path, append):
    """As into /dev/stderr: it has no place to go back to."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    train(nn, callbacks=[CSVLogger(tmp_path / "pipe", append=append)])
    lines = os.read(reader, 10_000).decode().splitlines()
    os.close(reader)
    assert [line.split(",")[0] for line in lines] == ["epoch", "0", "1", "2"]


def test_csv_arguments():
    with pytest.raises(TypeError, match="filename: expected a path, got 3"):
        CSVLogger(3)
    with pytest.raises(ValueError, match="filename: expected a path, in which no null byte is, got 'a"):
        CSVLogger("a\0b")
    with pytest.raises(ValueError, match="separator: expected one character"):
        CSVLogger("log.csv", separator="::")
    assert CSVLogger("log.csv", append=True).config() == {
        "class": "CSVLogger", "filename": "log.csv", "separator": ",", "append": True,
    }  # fmt: skip


def records(folder):
    """The events in TensorBoard's files: length, checksum, data, checksum."""
    event = pytest.importorskip("tensorboardX.proto.event_pb2")
    for path in sorted(folder.glob("events*")):
        data = path.read_bytes()
        while data:
            size = struct.unpack("<Q", data[:8])[0]
            yield event.Event.FromString(data[12:12 + size])  # fmt: skip
            data = data[16 + size :]


def points(folder):
    """(tag, step, value)."""
    return [(value.tag, each.step, value.simple_value) for each in records(folder) for value in each.summary.value]


@pytest.mark.filterwarnings("default")
def test_tensorboard(nn, tmp_path):
    pytest.importorskip("tensorboardX")
    _, _, history = train(nn, callbacks=[TensorBoard(tmp_path, update_freq=3)], validation_split=0.2, metrics=[share])
    found = points(tmp_path / "train")
    assert {tag for tag, _, _ in found} == {"epoch_loss", "epoch_share", "lr"}
    losses = [value for tag, _, value in found if tag == "epoch_loss"]
    assert np.allclose(losses, history.history["loss"], rtol=1e-6)
    assert [step for tag, step, _ in found if tag == "lr"] == [0, 1, 2]
    validation = points(tmp_path / "validation")
    assert np.allclose([v for tag, _, v in validation if tag == "epoch_loss"], history.history["val_loss"], rtol=1e-6)
    assert [step for _, step, _ in points(tmp_path / "train" / "batches")] == [1, 4, 5, 8, 9, 12]


@pytest.mark.filterwarnings("default")
def test_tensorboard_keeps_the_files_of_a_training_just_before(nn, tmp_path):
    """Two trainings in one second, in one folder, are two files."""
    pytest.importorskip("tensorboardX")
    for _ in range(3):
        train(nn, callbacks=[TensorBoard(tmp_path)])
    assert [step for tag, step, _ in points(tmp_path / "train") if tag == "lr"] == [0, 1, 2] * 3


@pytest.fixture
def board(monkeypatch):
    """Stands for tensorboardX, which takes seconds to import, and need not be there: writes nothing. The events' file,
    whose methods a test may replace."""
    class Record(dict):
        START = 1

        def __init__(self, **fields):
            super().__init__(fields)

    file = types.SimpleNamespace(write_event=lambda event: None, flush=lambda: None, close=lambda: None)
    for name, more in {
        "": {}, ".proto": {}, ".proto.event_pb2": {"Event": Record, "SessionLog": Record},
        ".summary": {"scalar": lambda name, value: (name, value)},
        ".record_writer": {"directory_check": lambda path: os.makedirs(path, exist_ok=True)},
        ".event_file_writer": {"EventsWriter": lambda prefix, suffix: file},
    }.items():
        module = types.ModuleType(f"tensorboardX{name}")
        vars(module).update(more)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return file


@pytest.mark.parametrize(("there", "update_freq", "more"), [
    (".", "epoch", {}), ("train", "epoch", {}), ("validation", "epoch", {"validation_split": 0.2}),
    ("train/batches", "batch", {}),
])
def test_tensorboard_says_before_the_first_step_that_it_cannot_write(nn, tmp_path, board, there, update_freq, more):
    path = tmp_path / "logs" / there
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("kept")
    model = net(nn)
    arguments = dict(loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=1, **more)
    with pytest.raises(ValueError, match=r"^log_dir: expected a folder that can be written, got '.*logs'"):
        model.fit(X, CLASSES, callbacks=[nn.TensorBoard(tmp_path / "logs", update_freq=update_freq)], **arguments)
    assert model.steps == 0 and path.read_text() == "kept"
    model.fit(X, CLASSES, callbacks=[nn.TensorBoard(tmp_path / "other" / "deep", update_freq=update_freq)], **arguments)


def test_tensorboard_wants_only_the_folders_that_it_fills(nn, tmp_path, board):
    (tmp_path / "validation").write_text("kept")
    train(nn, callbacks=[nn.TensorBoard(tmp_path)])
    assert (tmp_path / "validation").read_text() == "kept"


@pytest.mark.parametrize("method", ["write_event", "flush"])
def test_tensorboard_names_its_folder_on_a_full_disk(nn, tmp_path, board, method):
    def fail(*event):
        raise OSError(28, "No space left on device")

    setattr(board, method, fail)
    closed = []
    board.close = lambda: closed.append(1)
    with pytest.raises(OSError, match=r"No space left on device: '.*logs'"):
        train(nn, callbacks=[nn.TensorBoard(tmp_path / "logs")], validation_split=0.2)
    assert len(closed) == (2 if method == "flush" else 1)       # all that were opened


def test_tensorboard_does_not_wait_for_a_full_disk(tmp_path):
    """tensorboardX's own thread would die, and nobody empty the queue."""
    pytest.importorskip("tensorboardX")
    code = """if True:
        import resource, numpy as np, fastnn as nn
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        nn.Sequential(nn.Linear(2, 2)).fit(
            np.ones((4000, 2)), np.arange(4000) % 2, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), batch_size=4,
            callbacks=[nn.TensorBoard("logs", update_freq="batch")])"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stderr.endswith("OSError: [Errno 27] File too large: 'logs'\n")


def test_tensorboard_arguments(monkeypatch, board):
    with pytest.raises(ValueError, match="update_freq: unknown name 'epohc', did you mean 'epoch'"):
        TensorBoard("logs", update_freq="epohc")
    with pytest.raises(ValueError, match="update_freq: expected an integer >= 1, got 0"):
        TensorBoard("logs", update_freq=0)
    assert repr(TensorBoard("runs", update_freq=np.int64(2))) == "TensorBoard(log_dir='runs', update_freq=2)"
    assert repr(TensorBoard("runs", update_freq="batch")) == "TensorBoard(log_dir='runs', update_freq='batch')"


def test_without_tensorboard(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        TensorBoard()
    assert str(caught.value) == 'tensorboardX is missing: pip install "fastnn[tensorboard]"'


# ---- resume ----


def watchers(nn, path):
    return [
        EarlyStopping("val_loss", patience=4),
        ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05),
        TerminateOnNaN(),
        CSVLogger(path),
    ]


def schedulers(nn, path):
    return [LearningRateScheduler(lambda epoch, lr: lr * 0.9), CSVLogger(path)]


@chequered
@pytest.mark.parametrize("make", [watchers, schedulers])
@pytest.mark.parametrize("step", [1, 7, 12, 16, 21])
def test_every_callback_resumes(nn, tmp_path, make, step):
    """Stopped after any step, inside an epoch or between two, and gone on with: the same bits, history and file."""

    class Keep(nn.Callback):
        state = None

        def on_train_batch_end(self, batch, logs=None):
            if self.optimizer.steps == step and self.state is None:
                self.state = training_state(self.model, self.optimizer, self.callbacks)

    def run(name, model, **arguments):
        keep = Keep()
        callbacks = [*make(nn, tmp_path / name), keep]
        _, _, history = train(nn, model, nn.Adam(lr=0.05), epochs=8, validation_split=0.2, callbacks=callbacks,
                              **arguments)  # fmt: skip
        return history, callbacks, keep.state

    whole = net(nn, nn.Dropout(0.2))
    history, callbacks, state = run("whole.csv", whole)
    text = (tmp_path / "whole.csv").read_text()
    (tmp_path / "again.csv").write_text(text)           # the killed training had come farther than its state
    again = net(nn, nn.Dropout(0.2), seed=1)
    resumed, others, _ = run("again.csv", again, resume=state)
    same_parameters(whole, again)
    assert resumed.history == history.history
    assert (tmp_path / "again.csv").read_text() == text
    for one, two in zip(callbacks[:-1], others[:-1], strict=True):
        mine, theirs = one.state_dict(), two.state_dict()
        assert mine.pop("weights", None) == theirs.pop("weights", None)
        assert mine == theirs


def test_what_the_state_does_not_know_leaves_the_file(nn, tmp_path):
    """The killed training had written three epochs behind its state; resumed, it ends one behind it."""
    path, states = tmp_path / "log.csv", []
    model, optimizer = net(nn), nn.SGD(lr=0.1)
    look = LambdaCallback(
        on_epoch_end=lambda epoch, logs: states.append(training_state(model, optimizer, look.callbacks)))  # fmt: skip
    train(nn, model, optimizer, epochs=5, callbacks=[CSVLogger(path), look])
    text = path.read_text().splitlines(keepends=True)
    train(nn, net(nn), nn.SGD(lr=0.1), epochs=3, callbacks=[CSVLogger(path), LambdaCallback()], resume=states[1])
    assert path.read_text() == "".join(text[:4])


def test_a_csv_file_that_became_shorter(nn, tmp_path):
    path = tmp_path / "log.csv"
    model, optimizer, keep = net(nn), nn.SGD(lr=0.1), {}

    def save(epoch, logs):
        keep["state"] = training_state(model, optimizer, look.callbacks)

    look = LambdaCallback(on_epoch_end=save)
    train(nn, model, optimizer, callbacks=[CSVLogger(path), look])
    for spoil in (lambda: path.write_text("epoch"), path.unlink):
        spoil()
        other = net(nn)
        with pytest.raises(ValueError, match=r"log\.csv: expected at least [0-9]+ bytes, .* got (5|no file)$"):
            train(nn, other, nn.SGD(lr=0.1), callbacks=[CSVLogger(path), look], resume=keep["state"], epochs=5)
        assert other.steps == 0
        same_parameters(other, net(nn))


def test_a_checkpoint_follows_the_lines_that_it_counts(nn, tmp_path, monkeypatch):
    """They are on the disk before it is: after a power cut the file would be shorter than its position."""
    path, saved, on_disk, counted = tmp_path / "log.csv", tmp_path / "run.safetensors", {}, []
    fsync, replace = os.fsync, os.replace

    def keep(descriptor):
        found = os.fstat(descriptor)
        on_disk[found.st_ino] = found.st_size
        fsync(descriptor)

    def take_place(one, other):
        counted.append(on_disk.get(os.stat(path).st_ino))
        replace(one, other)

    monkeypatch.setattr(os, "fsync", keep)
    monkeypatch.setattr(os, "replace", take_place)
    train(nn, net(nn), nn.SGD(lr=0.1), epochs=2, callbacks=[CSVLogger(path), ModelCheckpoint(saved)])
    lines = path.read_bytes().splitlines(keepends=True)
    assert counted == [len(b"".join(lines[:2])), len(b"".join(lines))]


def test_interrupted_and_resumed(nn, terminal):
    """What Ctrl-C leaves goes on to the bits of a training that was never interrupted."""
    model, optimizer, keep = net(nn), nn.Adam(lr=0.05), {}

    def save(logs):
        keep["state"] = training_state(model, optimizer, press.callbacks)

    press = Press("on_train_batch_begin", 6)
    end = LambdaCallback(on_train_end=save)
    train(nn, model, optimizer, callbacks=[press, end])
    again = net(nn)
    _, _, history = train(nn, again, nn.Adam(lr=0.05), callbacks=[press, LambdaCallback()], resume=keep["state"])
    whole, _, want = train(nn, optimizer=nn.Adam(lr=0.05))
    same_parameters(again, whole)
    assert history.history == want.history
    assert not history.interrupted


def test_a_new_training_does_not_go_on_with_an_old_epoch(nn):
    """Only resume does: fit after a training that stopped in mid-epoch begins an epoch of its own."""
    model, optimizer = net(nn), nn.SGD(lr=0.1)

    def stop(batch, logs=None):
        raise StopTraining

    train(nn, model, optimizer, callbacks=[LambdaCallback(on_train_batch_end=stop)])
    assert optimizer.steps == 1
    train(nn, model, optimizer, epochs=2)
    assert optimizer.steps == 9


def test_callbacks_are_copied_without_the_model(nn):
    callbacks = [EarlyStopping("loss"), ReduceLROnPlateau("loss"), TerminateOnNaN(), CSVLogger("x.csv")]
    for callback in callbacks:
        callback.model = callback.optimizer = object()
        copied = copy.deepcopy(callback)
        assert copied.model is None and copied.optimizer is None
        assert copied.config() == callback.config()
        assert copied.state_dict() == callback.state_dict()


# ---- what is shown ----


def test_silent_unless_asked(nn, capfd):
    train(nn)
    train(nn, verbose=0)
    train(nn, verbose=False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [1, 2, True, "auto"])
def test_a_line_for_each_epoch_without_a_terminal(nn, capsys, verbose):
    train(nn, verbose=verbose, validation_split=0.2, metrics=[share])
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert [line.split()[:2] for line in lines] == [["epoch", f"{epoch}/3"] for epoch in (1, 2, 3)]
    assert all(word in lines[0] for word in (" s  loss ", "  share ", "  val_loss ", "  val_share "))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_in_a_terminal(nn, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    train(nn, verbose=1)
    text = screen.getvalue()
    assert re.findall(r"epoch (\d)/3", text)[0] == "1"             # while it runs, not rounded
    assert "epoch 3/3" in text
    assert "100% |" in text
    assert "loss=" in text
    screen.truncate(0)
    train(nn, verbose=2)
    assert "|" not in screen.getvalue()


def test_a_bar_is_not_drawn_for_every_epoch(nn, monkeypatch):
    """A drawing is a message to a notebook, 1 ms or more; the last epoch's values are shown all the same."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "INTERVAL", 3600.0)
    _, _, history = train(nn, verbose=1, epochs=200)
    assert screen.getvalue().count("\r") < 100
    assert screen.getvalue().rstrip().endswith(f"loss={history.history['loss'][-1]:.4g}")


def test_a_bar_in_a_notebook_without_widgets(nn, monkeypatch):
    """It is text then, and tqdm.auto, which warns that ipywidgets are missing, is not asked."""
    screen = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    train(nn, verbose=1)
    assert "100% |" in screen.getvalue() and "epoch 3/3" in screen.getvalue()


def test_lines_where_there_is_no_tqdm(nn, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    train(nn, verbose=1)
    assert len(screen.getvalue().splitlines()) == 3
    with pytest.raises(ModuleNotFoundError, match=r'tqdm is missing: pip install "fastnn\[train\]"'):
        progress.ProgressBar(epochs=1, style="bar")


def test_verbose_says_that_it_was_interrupted(nn, capsys, terminal):
    train(nn, verbose=2, epochs=9, callbacks=[Press("on_epoch_end", 2)])
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted after 2 of 9 epochs"


def test_the_display_is_no_part_of_the_state(nn):
    states = []
    for verbose in (0, 2):
        model, optimizer = net(nn), nn.SGD(lr=0.1)
        _, _, history = train(nn, model, optimizer, verbose=verbose)
        states.append(history.state_dict().keys())
    assert states[0] == states[1]


@pytest.mark.parametrize("wrong", [3, -1, "yes", None, 0.5])
def test_verbose_mistyped(nn, wrong):
    untouched(nn, ValueError, "verbose: expected 0, 1, 2 or 'auto', got", verbose=wrong)


def test_progress_in_a_loop_of_ones_own(nn, capsys):
    with progress.ProgressBar("mine", epochs=1, style="lines") as bar:
        net(nn).run_epoch(X, CLASSES, nn.CrossEntropyLoss(), nn.SGD(), batch_size=5, progress=bar.on_progress)
        assert bar.done == 1
    train(nn, callbacks=[progress.ProgressBar("label", show=("loss",), style="lines")], metrics=[share])
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("label epoch ") and "share" not in line for line in lines)
    train(nn, callbacks=[progress.ProgressBar(disable=True)])
    assert capsys.readouterr().err == ""


# ---- told before the first step, by the name of what was passed ----


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ((X[:, :3], CLASSES), ValueError, r"validation_data\[0\]: expected \(n, 4\), got \(20, 3\)"),
        ((X[:0], CLASSES[:0]), ValueError, r"validation_data\[0\]: expected at least one row, got \(0, 4\)"),
        ((X, CLASSES[:7]), ValueError,
         r"validation_data\[1\]: expected 20 targets, one for each row of validation_data\[0\], got 7"),
        ((X, CLASSES + 1), ValueError, r"validation_data\[1\]: expected class numbers from 0 to 2, got 3 at row 2"),
        ((X, X), ValueError, r"validation_data\[1\]: expected class numbers \(20,\) or probabilities \(20, 3\), got"),
        ((X, ["a"] * 20), TypeError, r"validation_data\[1\]: expected numbers, got text; sklearn"),
        ((X, CLASSES, np.ones(3)), ValueError,
         r"validation_data\[2\]: expected \(20,\), one number for each row of validation_data\[0\], got \(3,\)"),
        ((X, CLASSES, -np.ones(20)), ValueError, r"validation_data\[2\]: expected finite numbers >= 0, got -1"),
        ((X,), TypeError, r"validation_data: expected \(x, t\) or \(x, t, sample_weight\), got tuple of 1"),
        (X, TypeError, r"validation_data: expected \(x, t\) or \(x, t, sample_weight\), got ndarray"),
        ((np.where(np.arange(80).reshape(20, 4) == 30, NAN, X), CLASSES), ValueError,
         r"validation_data\[0\]: expected finite values, got nan at row 7"),
    ],
)  # fmt: skip
def test_validation_data(nn, data, error, message):
    untouched(nn, error, message, validation_data=data)


def test_values_of_x(nn):
    for value, name in ((NAN, "nan"), (math.inf, "inf"), (-math.inf, "-inf")):
        x = X.copy()
        x[13, 2] = value
        untouched(nn, ValueError, f"x: expected finite values, got {name} at row 13", x=x)
    untouched(nn, ValueError, r"x: expected \(n, 4\), got \(20, 3\)", x=X[:, :3])
    untouched(nn, ValueError, "sample_weight: expected finite numbers >= 0, got -1", sample_weight=-np.ones(20))


@pytest.mark.parametrize(("dtype", "value"), [("float64", math.inf), ("float32", math.inf), ("float32", 1e39)])
def test_an_infinity_that_the_first_layer_bounds(nn, dtype, value):
    """tanh(∞) = 1, with the derivative 0; a weight's gradient would be ∞·0."""
    x = X.copy()
    x[3] = value
    model, _, history = train(nn, nn.Sequential(nn.Tanh(), nn.Linear(4, 3), dtype=dtype), x=x)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(model.layers[1].weight).all()


def test_values_beyond_float32(nn):
    """They would be infinite in the model: x has none, so the message says what they are, where, and of which array."""
    x = X.copy()
    x[13, 2], x[17] = -1e39, math.inf
    message = "expected values within the range of float32, got -1e+39 at row 13"
    model = nn.Sequential(nn.Linear(4, 3), dtype="float32")
    for arguments, name in [({"x": x}, "x"), ({"validation_data": (x, CLASSES)}, "validation_data[0]"),
                            ({"x": x, "validation_split": 0.5, "validation_rows": "random"}, "x")]:
        with pytest.raises(ValueError, match=f"^{re.escape(f'{name}: {message}')}$"):
            train(nn, model, **arguments)
    with pytest.raises(ValueError, match=f"^{re.escape(f'batch 0[0]: {message}')}$"):
        model.fit([(x, CLASSES)], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD())
    assert model.steps == 0
    largest = float(np.finfo(np.float32).max)
    train(nn, model, x=np.where(X == X[0, 0], largest * (1 + 1e-9), 0 * X), optimizer=nn.SGD(lr=0.0))     # it rounds


def test_the_last_batch(nn):
    """Batch normalization needs two rows, in the last batch as well."""
    model = net(nn, nn.BatchNorm1d(6))
    message = "batch_size: expected at least 2 rows in a training batch, .* got 19, which leaves 1 of 20 for the last"
    untouched(nn, ValueError, message, model, batch_size=19)
    train(nn, net(nn, nn.BatchNorm1d(6)), batch_size=18)


def test_objects(nn, ref, fast):
    other = fast if nn is ref else ref
    untouched(nn, TypeError, f"loss: expected a Loss of {nn.__name__}, got str", loss="mse")
    untouched(nn, TypeError, f"loss: expected a Loss of {nn.__name__}, got {other.__name__}", loss=other.MSELoss())
    with pytest.raises(TypeError, match=f"optimizer: expected an Optimizer of {nn.__name__}, got str"):
        fit(net(nn), X, CLASSES, loss=nn.CrossEntropyLoss(), optimizer="adam")


# ---- warnings ----


def told(nn, *arguments, **named):
    """The texts of the TrainingWarnings of a training."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(nn, *arguments, **named)
    assert all(each.category is TrainingWarning for each in caught)
    return [str(each.message) for each in caught]


def test_a_warning_names_the_users_line(nn):
    with pytest.warns(TrainingWarning) as caught:
        fit(nn.Sequential(nn.Linear(4, 3), nn.Softmax()), X, CLASSES, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD())
    assert caught[0].filename == __file__


@chequered
@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "BCEWithLogitsLoss", "MSELoss"])
@pytest.mark.parametrize("last", ["Softmax", "LogSoftmax", "Sigmoid", "Tanh", "ReLU", None])
def test_twice(nn, loss, last):
    t = np.eye(3)[CLASSES]
    wanted = last in ("Softmax", "LogSoftmax", "Sigmoid") and loss != "MSELoss"
    ends = [
        lambda: [nn.Linear(4, 3), *([getattr(nn, last)()] if last else [])],
        lambda: [nn.Linear(4, 3, activation=last and getattr(nn, last)())],
        lambda: [nn.Sequential(nn.Linear(4, 3), *([getattr(nn, last)()] if last else [])), nn.Identity(), nn.Flatten()],
        lambda: [nn.Linear(4, 3), *([getattr(nn, last)()] if last else []), nn.Dropout(0.5)],
    ]
    for end in ends:
        texts = told(nn, nn.Sequential(*end(), dtype="float64"), t=t, loss=getattr(nn, loss)(), epochs=1)
        assert len(texts) == wanted
        if wanted:
            assert texts[0].startswith(f"the model ends in a {last}, and {loss} ")
            assert f"Leave the {last} out" in texts[0]
    inside = nn.Sequential(nn.Linear(4, 3), nn.Softmax(), nn.Linear(3, 3), dtype="float64")
    assert told(nn, inside, t=t, loss=getattr(nn, loss)(), epochs=1) == []


@pytest.mark.parametrize(("last", "advice"), [
    ("Softmax", "put a LogSoftmax in its place"), ("Sigmoid", "behind it"), ("Linear", "behind it"),
    ("ReLU", "behind it"), ("LogSoftmax", None),
])  # fmt: skip
def test_log_probabilities_that_are_none(nn, last, advice):
    """NLLLoss wants a LogSoftmax before it; a layer of one's own may be one."""
    ends = [] if last == "Linear" else [getattr(nn, last)()]
    for layers in ([nn.Linear(4, 3), *ends], [nn.Linear(4, 3, activation=ends[0] if ends else None), nn.Identity()],
                   [nn.Linear(4, 3), *copy.deepcopy(ends), nn.Dropout(0.5)]):
        texts = told(nn, nn.Sequential(*layers, dtype="float64"), loss=nn.NLLLoss(), epochs=1)
        assert len(texts) == (advice is not None)
        if advice is not None:
            assert texts[0].startswith(f"the model ends in a {last}, and NLLLoss takes log-probabilities: ")
            assert f"{advice}, or leave it to CrossEntropyLoss" in texts[0]

    class Mine(nn.CustomActivation):
        def act(self, u):
            return u - np.log(np.exp(u).sum(axis=1, keepdims=True))

        def act_backward(self, dy, u, y):
            return dy - np.exp(y) * dy.sum(axis=1, keepdims=True)

    assert told(nn, nn.Sequential(nn.Linear(4, 3), Mine(), dtype="float64"), loss=nn.NLLLoss(), epochs=1) == []


@pytest.mark.parametrize(
    ("make", "penalty", "warns"),
    [
        (lambda nn: nn.SGD(lr=0.5, weight_decay=4.1), None, True),
        (lambda nn: nn.SGD(lr=0.5, weight_decay=3.9), None, False),
        (lambda nn: nn.SGD(lr=0.5, momentum=0.5, weight_decay=5.9), None, False),
        (lambda nn: nn.SGD(lr=0.5, momentum=0.5, weight_decay=6.1), None, True),
        (lambda nn: nn.SGD(lr=0.5, momentum=0.5, nesterov=True, weight_decay=2.9), None, False),
        (lambda nn: nn.SGD(lr=0.5, momentum=0.5, nesterov=True, weight_decay=3.1), None, True),
        (lambda nn: nn.SGD(lr=0.5), lambda nn: nn.L2(4.1), True),
        (lambda nn: nn.SGD(lr=0.5, weight_decay=2.0), lambda nn: nn.ElasticNet(0.1, 2.1), True),
        (lambda nn: nn.SGD(lr=0.5), lambda nn: nn.L2(3.9), False),
        (lambda nn: nn.SGD(lr=0.5), lambda nn: nn.L1(9.0), False),
        (lambda nn: nn.AdamW(lr=0.5, weight_decay=4.1), None, True),
        (lambda nn: nn.AdamW(lr=0.5, weight_decay=3.9), None, False),
        (lambda nn: nn.Adam(lr=0.5, weight_decay=4.1), None, False),
    ],
)  # fmt: skip
def test_strong_decay(nn, make, penalty, warns):
    """Just where a weight that only decays begins to grow."""
    model = net(nn, penalty=penalty and penalty(nn))
    texts = [text for text in told(nn, model, make(nn), epochs=1, batch_size=20) if text.startswith("weight decay")]
    assert len(texts) == warns
    if penalty is None and isinstance(make(nn), nn.SGD):            # and the limit is the formula's
        optimizer, w, v = make(nn), 1.0, 0.0
        for _ in range(400):
            g = optimizer.weight_decay * w
            v = optimizer.momentum * v + g
            w -= optimizer.lr * (g + optimizer.momentum * v if optimizer.nesterov else v)
        assert (abs(w) > 1) == warns


def test_a_schedule_that_vanishes(nn):
    """PyTorch's StepLR(step_size=1, gamma=0.7) is by the epoch; by the step it ends near 1e-34."""
    texts = told(nn, optimizer=nn.SGD(lr=StepLR(1.0, step_size=1, gamma=0.7)), epochs=60)
    assert len(texts) == 1
    assert texts[0].startswith("StepLR(1.0, 1, gamma=0.7) falls from 1 to ")
    assert texts[0].endswith("It counts steps; PerEpoch(StepLR(1.0, 1, gamma=0.7)) counts epochs")
    assert told(nn, optimizer=nn.SGD(lr=PerEpoch(StepLR(0.1, step_size=1, gamma=0.7))), epochs=14) == []
    assert told(nn, optimizer=nn.SGD(lr=CosineLR(0.1, total_steps=12))) == []
    assert "PerEpoch" not in told(nn, optimizer=nn.SGD(lr=PerEpoch(ExponentialLR(0.1, 1e-4))), epochs=9)[0][-40:]
    asked, wanted = [], []                  # a function of the user's own is asked for the steps that are made
    told(nn, optimizer=nn.SGD(lr=lambda step: asked.append(step) or 0.1), epochs=1)
    optimizer = nn.SGD(lr=lambda step: wanted.append(step) or 0.1)
    net(nn).run_epoch(X, CLASSES, nn.CrossEntropyLoss(), optimizer, batch_size=5)
    assert asked == wanted


def test_a_loss_that_explodes_is_told_once(nn):
    model, arguments = explosion(nn)
    with np.errstate(all="ignore"):
        texts = told(nn, model, nn.SGD(lr=10.0), **arguments)
    assert [text[:18] for text in texts] == ["the loss of epoch ", "the parameter 0.we", "training ends afte"]
    assert "Likely causes: the learning rate 10 is too large (try 1)" in texts[0]
    assert not any("Likely causes" in text for text in texts[1:])


def broken(nn):
    """A network with two parameters that are not finite."""
    model = net(nn)
    model.layers[0].weight = np.where(np.arange(24).reshape(4, 6) % 5, model.layers[0].weight, NAN)
    model.layers[-1].bias = np.array([1.0, -math.inf, 2.0])
    return model


def test_parameters_that_are_not_finite(nn):
    """Told by name, and not trained on."""
    text = "model: expected finite parameters, but the parameter 0.weight is NaN or infinite in 5 of its 24 values"
    untouched(nn, ValueError, f"{text}, and 1 other parameter as well$", broken(nn))
    loss, optimizer = nn.CrossEntropyLoss(), nn.SGD()
    for call in ("step", "run_epoch"):
        with pytest.warns(TrainingWarning, match="^the parameter 0.weight is NaN or infinite in 24 of its ") as caught:
            getattr(broken(nn), call)(X, CLASSES, nn.CrossEntropyLoss(), nn.SGD())
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = net(nn)
        model.step(X, CLASSES, loss, optimizer)
        model.run_epoch(X, CLASSES, loss, optimizer)


def test_training_ends_when_a_parameter_is_infinite(nn):
    """One step beyond the largest number: the loss is told with its causes, the epochs that remain are not trained."""
    x = np.full((4, 1), 1e200)
    model = nn.Sequential(nn.Linear(1, 1, bias=False, init="zeros"), dtype="float64")
    with np.errstate(all="ignore"), pytest.warns(TrainingWarning) as caught:
        history = model.fit(x, x, loss=nn.MSELoss(), optimizer=nn.SGD(lr=1.0), epochs=9)
    assert history.epoch == [0]
    texts = [str(each.message) for each in caught]
    assert texts[0].startswith("the parameter 0.weight is NaN or infinite in 1 of its 1 values: nothing more can be")
    assert texts[1].startswith("training ends after epoch 0 (the first is 0) with a loss of inf")
    assert "Likely causes: x is not scaled" in texts[1]
    assert len(texts) == 2


def test_a_loss_that_rises_and_rises(nn):
    """lr·curvature slightly over 2: the loss grows, and no number is infinite yet."""
    x = np.ones((4, 1))
    arguments = {"x": x, "t": 3 * x, "loss": nn.MSELoss(), "epochs": 8}

    def model():
        return nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"), dtype="float64")

    texts = told(nn, model(), nn.SGD(lr=1.2), **arguments)      # w − 3 is multiplied by 1 − 2·1.2 = −1.4
    assert len(texts) == 1                                      # 4·1.4¹⁰ > 10·9 is the first; 9 is for w = 0
    assert texts[0].startswith("the loss of epoch 5 (the first is 0) is 116, where 9 is what a model ")
    assert "that knows nothing has: training diverges. Likely causes: the learning rate 1.2 is too large" in texts[0]
    assert told(nn, model(), nn.SGD(lr=0.9), **arguments) == []


def test_a_loss_that_jumps(nn):
    """Within the first epoch, and finite: no rise can be seen from one epoch to the next."""
    x = np.ones((40, 1))
    model = nn.Sequential(nn.Linear(1, 1, bias=False, init="ones"), dtype="float64")
    texts = told(nn, model, nn.SGD(lr=1.2), x=x, t=3 * x, loss=nn.MSELoss(), batch_size=1, epochs=1)
    mean = np.mean([4 * 1.4 ** (2 * step) for step in range(40)])
    assert len(texts) == 1
    assert texts[0].startswith(f"the loss of epoch 0 (the first is 0) is {mean:.3g}, where 9 is what a model")


def test_a_large_penalty_is_no_divergence(nn):
    """Weights that cost a lot are not yet a loss that grows."""
    model = nn.Sequential(nn.Linear(4, 3), penalty=nn.L1(1e4), dtype="float64")
    assert told(nn, model) == []


def test_a_spike_is_no_divergence():
    """10 times the usual loss, and back again."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch = LossWatch(None, None, {}, usual=1.0)
        for epoch, loss in enumerate([2.0, 1.0, 15.0, 0.5, 0.4, 30.0, 20.0, 25.0, 0.3]):
            watch.see(epoch, loss)


def test_what_dropout_adds_is_no_divergence(nn):
    """A trained model has next to no loss without dropout, and much with it."""
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 1, init="zeros", bias=False), dtype="float64")
    model.layers[1].weight = np.ones((4, 1))
    t = X.sum(axis=1, keepdims=True) + 1e-6
    assert told(nn, model, nn.SGD(lr=1e-9), t=t, loss=nn.MSELoss()) == []


def test_the_likely_cause(nn):
    """Unscaled data come first, then what decays too strongly; a learning rate is always suspected."""
    x = 1e5 * X
    with np.errstate(all="ignore"):
        texts = told(nn, nn.Sequential(nn.Linear(4, 1), dtype="float64"), nn.SGD(lr=0.01), x=x, t=X[:, :1],
                     loss=nn.MSELoss(), epochs=60)  # fmt: skip
    largest = f"{np.abs(x).max():.3g}"
    assert f"Likely causes: x is not scaled, with values up to {largest} (bring them to about 1); the learn" in texts[0]
    with np.errstate(all="ignore"):
        texts = told(nn, nn.Sequential(nn.Linear(4, 1), dtype="float64"), nn.SGD(lr=1.0, weight_decay=5.0), t=X[:, :1],
                     loss=nn.MSELoss(), epochs=200)  # fmt: skip
    assert texts[0].startswith("weight decay makes the weights grow: lr·λ = 1 · 5 = 5, and beyond 2 each step")
    assert "Likely causes: weight decay makes the weights grow" in texts[1]
    assert not any("Likely causes" in text for text in texts[2:])


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end"])
def test_a_hook_may_be_chosen_when_training_begins(nn, hook):
    """A callback may assign its hooks, as late as at the beginning of the training."""
    called = []

    class Chooser(nn.Callback):
        def on_train_begin(self, logs=None):
            setattr(self, hook, lambda number, logs=None: called.append(number))

    model = nn.Sequential(nn.Linear(2, 2), seed=0)
    model.fit(normal((4, 2)), np.zeros(4, int), loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(0.1), epochs=2,
              batch_size=4, callbacks=[Chooser()])
    assert len(called) == 2


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_progress"])
def test_a_hook_may_be_chosen_between_epochs(nn, hook):
    """It is called from the next epoch on."""
    called = []

    class Chooser(nn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                setattr(self, hook, lambda *given: called.append(given))

    model = nn.Sequential(nn.Linear(2, 2), seed=0)
    model.fit(normal((4, 2)), np.zeros(4, int), loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(0.1), epochs=4,
              batch_size=4, callbacks=[Chooser()])
    assert len(called) == 2


@pytest.mark.parametrize("run", ["fit", "fit_lbfgs"])
def test_a_training_stopped_before_it_begins(nn, run):
    """StopTraining in on_train_begin: no step, and every callback begins and ends."""
    called, model = [], net(nn)

    def stop(logs):
        called.append("stop")
        raise StopTraining

    callbacks = [LambdaCallback(on_train_begin=stop, on_epoch_begin=lambda epoch, logs: called.append(epoch)),
                 LambdaCallback(on_train_begin=lambda logs: called.append("begin"),
                                on_train_end=lambda logs: called.append("end"))]
    arguments = {"optimizer": nn.SGD()} if run == "fit" else {}
    history = getattr(model, run)(X, CLASSES, loss=nn.CrossEntropyLoss(), callbacks=callbacks, **arguments)
    assert called == ["stop", "begin", "end"] and history.epoch == []
    same_parameters(model, net(nn))


def test_a_resumed_training_stopped_before_it_begins(nn):
    """It is where the state was taken, not at its beginning."""
    def stop(logs):
        raise StopTraining

    model, optimizer, history = train(nn, callbacks=[LambdaCallback()])
    again, other = net(nn), nn.SGD(lr=0.1)
    found = train(nn, again, other, callbacks=[LambdaCallback(on_train_begin=stop)], epochs=9,
                  resume=training_state(model, optimizer, [history, LambdaCallback()]))[2]
    assert found.history == history.history and other.steps == optimizer.steps
    same_parameters(again, model)


@pytest.mark.parametrize("error", [StopTraining, ZeroDivisionError])
def test_an_error_at_the_end_waits_for_the_others(nn, error):
    """EarlyStopping brings the best weights back, whatever a callback before it raises."""
    def end(logs):
        raise error

    best, worse = net(nn), net(nn)
    train(nn, best, nn.SGD(lr=0.1), epochs=1, shuffle=False)
    ending = LambdaCallback(on_train_end=end)
    stopping = EarlyStopping("loss", patience=2, min_delta=9.0)
    if error is StopTraining:
        assert len(train(nn, worse, callbacks=[ending, stopping], epochs=9, shuffle=False)[2].epoch) == 3
    else:
        with pytest.raises(error):
            train(nn, worse, callbacks=[ending, stopping], epochs=9, shuffle=False)
    assert (stopping.best_epoch, stopping.callbacks) == (0, ())
    same_parameters(worse, best)


@pytest.mark.parametrize(("name", "instead"), [
    ("on_batch_end", "; define on_train_batch_end$"),
    ("on_test_end", "; define on_epoch_end, whose logs have val_loss$"), ("on_predict_begin", "$")])
def test_a_hook_of_keras_that_is_none_here(nn, name, instead):
    """It would never be called."""
    with pytest.raises(TypeError, match=f"^Mine.{name}: fit calls no hook of that name{instead}"):
        type("Mine", (nn.EarlyStopping,), {name: lambda self, *given: None})


@pytest.mark.parametrize("make", [lambda nn: nn.EarlyStopping("loss", patience=2), lambda nn: nn.Callback()])
def test_an_object_twice(nn, make):
    """EarlyStopping counted each epoch twice, and ended after one without a word."""
    model, callback = nn.Sequential(nn.Linear(2, 2)), make(nn)
    given = dict(loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.1), epochs=2)
    with pytest.raises(ValueError, match=r"callbacks: expected each object once, got .*\(.*\) twice"):
        model.fit(np.eye(2), np.eye(2), callbacks=[callback, callback], **given)
    assert model.steps == 0
    assert len(model.fit(np.eye(2), np.eye(2), callbacks=[callback, make(nn)], **given).history["loss"]) == 2


def test_a_training_that_goes_on_with_other_metrics(nn, tmp_path):
    """A value for each epoch, so that lists and epochs belong together: they were shorter, without a hint of where."""
    def fit(epochs, **more):
        model = nn.Sequential(nn.Linear(2, 2))
        return model.fit(np.eye(2), [0, 1], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=epochs,
                         callbacks=[nn.ModelCheckpoint(tmp_path / "run")], **more).history

    fit(2, metrics=["accuracy"])
    found = fit(5, resume=tmp_path / "run", validation_data=(np.eye(2), [0, 1]))
    assert list(found) == ["loss", "accuracy", "val_loss"]
    assert {name: np.isnan(values).tolist() for name, values in found.items()} == {
        "loss": [False] * 5, "accuracy": [False] * 2 + [True] * 3, "val_loss": [True] * 2 + [False] * 3}


def test_a_csv_file_that_has_no_column_for_a_new_metric(nn, tmp_path):
    """It was an error after the first epoch of the training that goes on."""
    def fit(epochs, **more):
        model = nn.Sequential(nn.Linear(2, 2))
        saving = [nn.ModelCheckpoint(tmp_path / "run"), nn.CSVLogger(tmp_path / "run.csv")]
        with pytest.raises(ValueError, match="expected the columns epoch, loss, lr, got 'accuracy', too") if more else (
                contextlib.nullcontext()):
            model.fit(np.eye(2), [0, 1], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=epochs,
                      callbacks=saving, **more)
        return model.steps

    assert fit(2) == 2
    before = (tmp_path / "run.csv").read_bytes()
    assert fit(5, resume=tmp_path / "run", metrics=["accuracy"]) == 0
    assert (tmp_path / "run.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["loss", "epoch", "lr"])
def test_names_that_metrics_cannot_have(nn, name):
    """A metric called epoch stood in the place of the epoch's number in a CSVLogger's file."""
    with pytest.raises(ValueError, match=rf"metrics: expected a name for each, got '{name}' twice"):
        nn.Sequential(nn.Linear(2, 2)).fit(
            np.eye(2), [0, 1], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=1,
            metrics=[nn.Metric(name, lambda y, t: 0.0)])


def test_private_names_of_the_library(nn):
    """A ModelCheckpoint's file had the number of another epoch where a subclass had a count of its own so called."""
    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    with pytest.raises(TypeError, match="ModelCheckpoint: _epoch is kept for the library itself; choose another name"):
        type("Mine", (nn.ModelCheckpoint,), {"on_epoch_begin": on_epoch_begin})
    with pytest.raises(TypeError, match="CSVLogger: _write_due is kept for the library itself; choose another name"):
        type("Mine", (nn.CSVLogger,), {"_write_due": lambda self: None})
    type("Mine", (nn.Callback,), {"on_epoch_begin": on_epoch_begin, "_note": 1})


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_progress"])
@pytest.mark.parametrize("source", ["arrays", "iterator", "accumulation", "shards"])
def test_a_batch_hook_may_predict_but_not_train(nn, source, hook):
    """What refuses it is the call itself, before it changes anything, wherever the batches come from."""
    x, t = normal((16, 4)), normal((16, 2), seed=1)
    loss, optimizer, refused = nn.MSELoss(), nn.SGD(), []
    model, plain = (nn.Sequential(nn.Linear(4, 2), dtype="float64", seed=0) for _ in range(2))

    def tries(self, *arguments):
        model.predict(x)
        for train in (lambda: model.step(x, t, loss, optimizer), lambda: optimizer.step(model),
                      lambda: model.forward(x, training=True), lambda: model.run_epoch(x, t, loss, optimizer)):
            with pytest.raises(RuntimeError, match="in training; a callback may predict, but not train"):
                train()
            refused.append(train)

    arguments = {"arrays": {"batch_size": 8}, "iterator": {}, "shards": {"batch_size": 8, "shards": 2},
                 "accumulation": {"batch_size": 4, "gradient_accumulation_steps": 2}}[source]
    data = ([(x[:8], t[:8]), (x[8:], t[8:])],) if source == "iterator" else (x, t)
    hooks = type("Hook", (nn.Callback,), {hook: tries})()
    model.fit(*data, loss=loss, optimizer=optimizer, callbacks=[hooks], **arguments)
    plain.fit(*data, loss=nn.MSELoss(), optimizer=nn.SGD(), **arguments)
    assert refused
    same_parameters(model, plain)

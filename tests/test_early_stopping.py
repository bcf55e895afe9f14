"""EarlyStopping: when it stops, by each criterion, and that the best weights come back."""

import math

import numpy as np
import pytest

from tests.check import normal, same
from tests.pairwise import once

NAN = math.nan


class Model:
    """What the callback needs of one: a state that tells which epoch it is of."""

    def __init__(self):
        self.epoch = None
        self.stop_training = False

    def state_dict(self):
        return {"epoch": self.epoch}

    def load_state_dict(self, state):
        self.epoch = state["epoch"]


def run_callback(nn, values, losses=None, **arguments):
    """The callback after these values, one an epoch, or as many as it let pass; and the model."""
    stopping, model = nn.EarlyStopping(**arguments), Model()
    stopping.set_model(model)
    stopping.on_train_begin()
    for epoch, value in enumerate(values):
        model.epoch = epoch
        loss = losses[epoch] if losses else 1.0
        stopping.on_epoch_end(epoch, {"loss": loss, arguments.get("monitor", "val_loss"): value})
        if model.stop_training:
            break
    stopping.on_train_end()
    return stopping, model


@once
@pytest.mark.parametrize(
    ("values", "arguments", "best", "stopped"),
    [
        ([5, 4, 3, 3, 3], {"patience": 2}, 2, 4),
        ([5, 4, 3, 3, 2, 3, 3], {"patience": 2}, 4, 6),
        ([5, 4, 3, 2, 1], {"patience": 1}, 4, None),
        ([5, 6, 4], {"patience": 1}, 0, 1),
        ([5, 6, 4], {"patience": 0}, 0, 1),
        ([5, 4.9, 4.8, 4.7, 4.6], {"patience": 3, "min_delta": 0.25}, 3, None),
        ([5, 4.9, 4.8, 4.8, 4.8], {"patience": 2, "min_delta": 0.25}, 0, 2),
        ([5, 4.75, 4.75], {"patience": 2, "min_delta": 0.25}, 0, 2),
        ([0.5, 0.6, 0.7, 0.6, 0.6], {"patience": 2, "monitor": "val_accuracy"}, 2, 4),
        ([0.5, 0.6, 0.7, 0.6, 0.6], {"patience": 2, "mode": "max"}, 2, 4),
        ([0.7, 0.6, 0.5, 0.6, 0.6], {"patience": 2, "monitor": "val_accuracy", "mode": "min"}, 2, 4),
        ([NAN, NAN, NAN], {"patience": 2}, None, 1),
        ([3, NAN, NAN, 1], {"patience": 2}, 0, 2),
        ([NAN, 3, 2], {"patience": 2}, 2, None),
        ([1, 9, 8, 9, 9], {"patience": 2, "start_from_epoch": 1}, 2, 4),
        ([1, 1, 1, 1], {"patience": 2, "start_from_epoch": 9}, None, None),
    ],
)  # fmt: skip
def test_patience(nn, values, arguments, best, stopped):
    stopping, model = run_callback(nn, values, **arguments)
    assert (stopping.best_epoch, stopping.stopped_epoch) == (best, stopped)
    assert model.epoch == (best if best is not None else len(values) - 1 if stopped is None else stopped)
    if best is not None:
        assert stopping.best == values[best]


@once
def test_generalization_loss(nn):
    """GL = 100·(E / E_opt − 1) > 6: 2.115 is less than 6 % above 2, 2.125 is more."""
    stopping, model = run_callback(nn, [3, 2, 2.115, 2.05, 2.125, 1], criterion="GL", threshold=6)
    assert (stopping.best_epoch, stopping.stopped_epoch, model.epoch) == (1, 4, 1)
    assert run_callback(nn, [3, 2, 2.09, 2.05], criterion="GL")[0].stopped_epoch is None


@once
def test_progress_quotient(nn):
    """At the end of strips of 2: GL / P with P = 1000·(mean / min − 1) of the training loss."""
    losses = [4.0, 2.0, 1.0, 0.9, 0.85, 0.84]           # P of the strips: 500, 55.6, 5.95
    errors = [4.0, 2.0, 2.2, 2.2, 2.2, 2.2]             # GL: 0, 10, 10; quotient 0, 0.18, 1.68
    assert run_callback(nn, errors, losses, criterion="PQ", threshold=0.75, strip=2)[0].stopped_epoch == 5
    assert run_callback(nn, errors, losses, criterion="PQ", threshold=0.17, strip=2)[0].stopped_epoch == 3
    assert run_callback(nn, errors, losses, criterion="PQ", threshold=1.7, strip=2)[0].stopped_epoch is None
    flat = run_callback(nn, errors, [1.0] * 6, criterion="PQ", strip=2)[0]
    assert flat.stopped_epoch == 3                      # no progress at all, and a loss


@once
def test_progress_is_that_of_the_data_loss(nn):
    """A penalty that falls is no progress: 2 of the loss is data, the rest melts away."""
    model, stopping = Model(), nn.EarlyStopping(criterion="PQ", strip=2)
    stopping.set_model(model)
    stopping.on_train_begin()
    for epoch, penalty in enumerate((8.0, 4.0, 2.0, 1.0)):
        stopping.on_epoch_end(epoch, {"loss": 2 + penalty, "data_loss": 2.0, "penalty": penalty,
                                      "val_loss": 1.0 if epoch == 0 else 1.01})
        if model.stop_training:
            break
    assert stopping.stopped_epoch == 1


@once
def test_successive_rises(nn):
    """At the ends of strips of 2: 3, 4, 5 rise twice in a row."""
    errors = [9, 3, 9, 4, 0, 5, 9, 6]
    assert run_callback(nn, errors, criterion="UP", threshold=2, strip=2)[0].stopped_epoch == 5
    assert run_callback(nn, errors, criterion="UP", threshold=3, strip=2)[0].stopped_epoch == 7
    assert run_callback(nn, errors, criterion="UP", threshold=4, strip=2)[0].stopped_epoch is None
    assert run_callback(nn, [9, 3, 9, 4, 9, 4, 9, 5], criterion="UP", threshold=2, strip=2)[0].stopped_epoch is None


def net(nn, dtype):
    return nn.Sequential(nn.Linear(5, 31), nn.BatchNorm1d(31), nn.ReLU(), nn.Dropout(0.3), nn.Linear(31, 3), seed=3,
                         dtype=dtype)


X, T = normal((40, 5)), np.arange(40) % 3


def fit(nn, model, *callbacks, epochs):
    return model.fit(X[:30], T[:30], loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.05), epochs=epochs,
                     batch_size=10, validation_data=(X[30:], T[30:]), callbacks=callbacks)


def test_the_best_weights_come_back(nn, dtype):
    """Bit by bit those of a training that ended at the best epoch, running statistics included."""
    model, stopping = net(nn, dtype), nn.EarlyStopping(patience=4)
    history = fit(nn, model, stopping, epochs=100)
    assert stopping.stopped_epoch == stopping.best_epoch + 4 == len(history.epoch) - 1
    assert stopping.best == min(history.history["val_loss"])
    again = net(nn, dtype)
    fit(nn, again, epochs=stopping.best_epoch + 1)
    for name, value in again.state_dict().items():
        same(model.state_dict()[name], value, name)


def test_the_last_weights_stay(nn):
    model, stopping = net(nn, "float64"), nn.EarlyStopping(patience=4, restore_best_weights=False)
    fit(nn, model, stopping, epochs=100)
    again = net(nn, "float64")
    fit(nn, again, epochs=stopping.stopped_epoch + 1)
    for name, value in again.state_dict().items():
        same(model.state_dict()[name], value, name)


def test_after_an_interruption(nn):
    class Interrupt(nn.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 6:
                raise KeyboardInterrupt

    model, stopping = net(nn, "float64"), nn.EarlyStopping(monitor="val_loss", patience=50)
    with pytest.raises(KeyboardInterrupt):
        fit(nn, model, stopping, Interrupt(), epochs=100)
    again = net(nn, "float64")
    fit(nn, again, epochs=stopping.best_epoch + 1)
    for name, value in again.state_dict().items():
        same(model.state_dict()[name], value, name)


def test_used_again(nn):
    stopping = nn.EarlyStopping(patience=3)
    first = fit(nn, net(nn, "float64"), stopping, epochs=100).history
    assert fit(nn, net(nn, "float64"), stopping, epochs=100).history == first

"""UpdateRecorder: gradients and updates by layer; find_lr: the range test of the learning rate."""

import math

import numpy as np
import pytest

from fastnn_ref.shared.lr_finder import RangeTest
from tests.check import normal, same

X, T = normal((12, 3)), normal((12, 1), seed=1)


def net(nn):
    layers = nn.Linear(3, 4, activation="tanh"), nn.BatchNorm1d(4), nn.Linear(4, 1)
    return nn.Sequential(*layers, seed=0, dtype="float64")


def fit(nn, recorder, epochs=2, **more):
    model = net(nn)
    model.fit(X, T, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.1), epochs=epochs, batch_size=4, callbacks=[recorder],
              **more)
    return model


def test_what_is_recorded(nn):
    """SGD moves a weight by lr · gradient: of each step, whose batches are done by hand."""
    recorder, model, loss, optimizer = nn.UpdateRecorder(), net(nn), nn.MSELoss(), nn.SGD(lr=0.1)
    fit(nn, recorder, epochs=1, shuffle=False)
    assert recorder.steps == [1, 2, 3]
    assert set(recorder.gradient_norms) == set(recorder.update_ratios) == {"0.weight", "2.weight"}
    for step in range(3):
        before = model.state_dict()
        model.step(X[4 * step:4 * step + 4], T[4 * step:4 * step + 4], loss, optimizer)
        for name in recorder.gradient_norms:
            size = math.sqrt((model.grads[name] ** 2).sum())
            assert recorder.gradient_norms[name][step] == pytest.approx(size, rel=1e-12)
            wanted = 0.1 * size / math.sqrt((before[name] ** 2).sum())
            assert recorder.update_ratios[name][step] == pytest.approx(wanted, rel=1e-9)


def test_every_third_step_and_a_second_training(nn):
    recorder = nn.UpdateRecorder(every=3)
    fit(nn, recorder)
    assert recorder.steps == [1, 4]
    fit(nn, recorder, epochs=1)
    assert recorder.steps == [1] and len(recorder.gradient_norms["0.weight"]) == 1


def test_recording_changes_nothing(nn):
    watched = fit(nn, nn.UpdateRecorder())
    plain = net(nn)
    plain.fit(X, T, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.1), epochs=2, batch_size=4)
    for got, want in zip(watched.state_dict().values(), plain.state_dict().values(), strict=True):
        same(got, want)


def test_weights_of_zero_have_no_ratio(nn):
    recorder = nn.UpdateRecorder()
    nn.Sequential(nn.Linear(1, 1, init="zeros")).fit(
        [[1.0]], [[1.0]], loss=nn.MSELoss(), optimizer=nn.SGD(), callbacks=[recorder])
    assert recorder.gradient_norms["0.weight"] == [2.0] and math.isnan(recorder.update_ratios["0.weight"][0])


def test_a_resumed_record_goes_on(nn):
    whole, first, second = nn.UpdateRecorder(), nn.UpdateRecorder(), nn.UpdateRecorder()
    fit(nn, whole, epochs=3)
    model, optimizer = net(nn), nn.SGD(lr=0.1)
    history = model.fit(X, T, loss=nn.MSELoss(), optimizer=optimizer, epochs=1, batch_size=4, callbacks=[first])
    state = nn.training_state(model, optimizer, [history, first])
    net(nn).fit(X, T, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.1), epochs=3, batch_size=4, callbacks=[second],
                resume=state)
    assert second.state_dict() == whole.state_dict()


# ---- find_lr ----


def test_rates_and_losses(nn):
    """One batch of all rows, so each loss follows from the step before: w ← w − lr · 2·mean x²·(w − 3)."""
    x = np.linspace(-1, 1, 8)[:, None]
    model = nn.Sequential(nn.Linear(1, 1, bias=False, init="zeros"), dtype="float64")
    found = nn.find_lr(model, x, 3 * x, loss=nn.MSELoss(), optimizer=nn.SGD(), low=1e-3, high=1.0, steps=7,
                       batch_size=99)
    np.testing.assert_allclose(found.lrs, [10 ** (-3 + k / 2) for k in range(7)])
    w, square, wanted = 0.0, float((x**2).mean()), []
    for lr in found.lrs:
        wanted.append(square * (w - 3) ** 2)
        w -= lr * 2 * square * (w - 3)
    np.testing.assert_allclose(found.losses, wanted, rtol=1e-9)


@pytest.mark.parametrize("trained", [False, True])
def test_model_and_optimizer_stay(nn, trained):
    model, optimizer, loss = net(nn), nn.Adam(lr=nn.StepLR(0.1, 2)), nn.MSELoss()
    if trained:
        model.step(X, T, loss, optimizer)
    before = nn.training_state(model, optimizer)
    found = nn.find_lr(model, X, T, loss=loss, optimizer=optimizer, steps=9, batch_size=5)
    after = nn.training_state(model, optimizer)
    assert len(found.losses) == 9 and repr(optimizer.lr) == repr(nn.StepLR(0.1, 2))
    assert after["counters"] == before["counters"] and after["optimizer"]["steps"] == before["optimizer"]["steps"]
    for name, value in before["model"].items():
        same(after["model"][name], value)
    for slot in optimizer.state_dict().keys() - {"steps", "lr"}:
        for name, value in before["optimizer"][slot].items():
            same(after["optimizer"][slot][name], value)


def test_it_starts_from_the_optimizer_as_it_is(nn):
    """Adam's means are those of the steps before: the copy goes on as the model itself would."""
    model, optimizer, loss = net(nn), nn.Adam(lr=0.01), nn.MSELoss()
    for _ in range(3):
        model.step(X, T, loss, optimizer)
    found = nn.find_lr(model, X, T, loss=loss, optimizer=optimizer, low=0.001, high=0.1, steps=3, batch_size=12)
    for lr, wanted in zip(found.lrs, found.losses, strict=True):
        optimizer.lr = float(lr)
        assert model.step(X, T, loss, optimizer) == pytest.approx(wanted, rel=1e-9)


def test_it_ends_when_the_loss_bursts(nn):
    found = nn.find_lr(net(nn), X, T, loss=nn.MSELoss(), optimizer=nn.SGD(), high=1e6)
    assert len(found.losses) < 100 and np.isfinite(found.losses).all()
    assert found.smoothed[-1] > 4 * found.smoothed[0] and (found.smoothed[:-1] < found.smoothed[-1]).all()
    huge = nn.find_lr(net(nn), X, T, loss=nn.MSELoss(), optimizer=nn.SGD(), low=1e-3, high=1e300, steps=2)
    assert np.isfinite(huge.losses).all() and len(huge.lrs) == len(huge.losses)


def test_both_packages_find_the_same(ref, fast):
    one, two = (nn.find_lr(net(nn), X, T, loss=nn.MSELoss(), optimizer=nn.Adam(), batch_size=5) for nn in (ref, fast))
    np.testing.assert_allclose(one.losses, two.losses, rtol=1e-6)


def test_smoothing_and_suggestion():
    """The means of nine losses of which one is 0, of fewer at the ends."""
    found = RangeTest(np.geomspace(1e-5, 1e6, 12), np.array([9.0] * 5 + [0.0] + [9.0] * 6))
    wanted = [9, 9 * 5 / 6, 9 * 6 / 7, 9 * 7 / 8, 8, 8, 8, 8, 9 * 7 / 8, 9 * 6 / 7, 9, 9]
    np.testing.assert_allclose(found.smoothed, wanted)
    falling = RangeTest(np.geomspace(1e-5, 1e6, 12), np.arange(12.0)[::-1])
    assert falling.suggestion == pytest.approx(1e5)


def test_find_lr_says_what_is_wrong(nn):
    def call(**changes):
        arguments = {"x": X, "t": T, "loss": nn.MSELoss(), "optimizer": nn.SGD(), **changes}
        return nn.find_lr(net(nn), arguments.pop("x"), arguments.pop("t"), **arguments)

    for changes, message in [
        ({"low": 0}, "low: expected"), ({"low": 1, "high": 1}, "high: expected"), ({"steps": 1}, "steps: expected"),
        ({"batch_size": 0}, "batch_size: expected"), ({"batch_size": 1}, "batch_size: expected at least 2 rows"),
        ({"x": X * np.nan}, "x: expected finite values"), ({"t": T[:3]}, "t: expected"),
    ]:
        with pytest.raises(ValueError, match=message):
            call(**changes)
    with pytest.raises(TypeError, match="optimizer: expected an Optimizer"):
        call(optimizer="sgd")

"""Learning-rate schedules: the formula at every step, and what an optimizer does with one."""

import math

import numpy as np
import pytest

from fastnn_ref.shared.schedule import rates
from tests.cases import SCHEDULES
from tests.check import close, normal, same, same_parameters
from tests.pairwise import once

STEPS = range(29)


def cosine(start, end, share):
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def formula(case, s):
    """The rate of step s, counted from 0."""
    a = case.arguments
    if case.cls == "ConstantLR":
        return a["lr"]
    if case.cls == "StepLR":
        return a["lr"] * a.get("gamma", 0.1) ** (s // a["step_size"])
    if case.cls == "ExponentialLR":
        return a["lr"] * a["gamma"] ** s
    if case.cls == "LinearLR":
        start, end = a.get("start_factor", 1 / 3), a.get("end_factor", 1.0)
        return a["lr"] * (start + (end - start) * min(s / a["total_steps"], 1))
    if case.cls == "PerEpoch":
        return formula(a["schedule"], s // a["steps_per_epoch"])
    if case.cls == "CosineLR":
        warm, floor = a.get("warmup_steps", 0), a.get("min_lr", 0.0)
        if s < warm:
            return a["lr"] * (s + 1) / warm
        return cosine(a["lr"], floor, (s - warm) / (a["total_steps"] - warm))
    first = a["max_lr"] / a.get("div_factor", 25.0)
    last = first / a.get("final_div_factor", 1e4)
    top = a.get("pct_start", 0.3) * a["total_steps"] - 1
    if s <= top:
        return cosine(first, a["max_lr"], s / top)
    return cosine(a["max_lr"], last, (s - top) / (a["total_steps"] - 1 - top))


def test_every_schedule_has_cases(ref):
    kinds = {name for name in ref.__all__ if isinstance(kind := getattr(ref, name), type) and
             issubclass(kind, ref.Schedule)}
    assert {case.cls for case in SCHEDULES} == kinds - {"Schedule"}


@once
@pytest.mark.parametrize("case", SCHEDULES, ids=lambda c: c.name)
def test_formula(nn, case):
    schedule = case.make(nn)
    for s in STEPS:
        want = formula(case, s)
        assert type(schedule(s)) is float
        close("elementwise", np.float64(schedule(s)), want, want + np.finfo(float).eps)


@once
@pytest.mark.parametrize("case", SCHEDULES, ids=lambda c: c.name)
def test_many_steps_at_once(nn, case):
    """To the same bits as one by one: fit asks for many, a loop of one's own for one."""
    schedule = case.make(nn)
    same(schedule(np.arange(1000)), np.array([schedule(step) for step in range(1000)]))


@once
@pytest.mark.parametrize("case", SCHEDULES, ids=lambda c: c.name)
def test_stays_sane_after_the_end(nn, case):
    rates = case.make(nn)(np.array([29, 30, 31, 100, 10_000]))
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
    assert (np.diff(rates) <= 1e-17).all()


def test_the_optimizer_asks_for_the_next_step(nn):
    schedule = nn.StepLR(0.5, step_size=2, gamma=0.1)
    model = nn.Sequential(nn.Linear(3, 2, bias=False), dtype="float64")
    optimizer = nn.SGD(lr=schedule)
    x, t = normal((4, 3)), normal((4, 2), seed=1)
    for s in range(5):
        assert optimizer.steps == s
        assert optimizer.current_lr == schedule(s)
        before = model.state_dict()["0.weight"]
        model.step(x, t, nn.MSELoss(), optimizer)
        step = schedule(s) * model.layers[0].grads["weight"]
        close("step", model.state_dict()["0.weight"], before - step, np.abs(before) + np.abs(step))
    optimizer.lr = 0.125
    assert optimizer.current_lr == optimizer.lr == 0.125


OWN = {
    "constant": lambda step: 0.125,
    "an integer": lambda step: 1,
    "a branch": lambda step: 0.1 if step < 5 else 0.01,
    "a maximum": lambda step: max(0.02, 0.1 - step / 100),
    "math": lambda step: 0.1 * math.exp(-step / 10),
    "many steps at once": lambda step: 0.1 / (1 + step),
}


@pytest.mark.parametrize("name", OWN)
def test_a_function_is_a_schedule(nn, name):
    """Asked for one step at a time, in an epoch as well: it need not know arrays."""
    x, t = normal((37, 3)), normal((37, 2), seed=1)
    models = [nn.Sequential(nn.Linear(3, 2), seed=1, dtype="float64") for _ in range(2)]
    optimizer, by_hand = nn.SGD(lr=OWN[name]), nn.SGD()
    for _ in range(2):
        models[0].run_epoch(x, t, nn.MSELoss(), optimizer, batch_size=4, shuffle=False)
        for start in range(0, 37, 4):
            by_hand.lr = OWN[name](by_hand.steps)
            models[1].step(x[start : start + 4], t[start : start + 4], nn.MSELoss(), by_hand)
    same_parameters(*models)
    assert optimizer.steps == 20


def test_a_schedule_of_ones_own(nn):
    """A subclass may give an array of rates or, against the rules, one number for all."""

    class Halving(nn.Schedule):
        def rate(self, s):
            return 0.1 * 0.5**s

    class Same(nn.Schedule):
        def rate(self, s):
            return 0.1

    for mine, other in ((Halving(), nn.ExponentialLR(0.1, 0.5)), (Same(), nn.ConstantLR(0.1))):
        x, t = normal((37, 3)), normal((37, 2), seed=1)
        models = [nn.Sequential(nn.Linear(3, 2), seed=1, dtype="float64") for _ in range(2)]
        for model, schedule in zip(models, (mine, other), strict=True):
            model.run_epoch(x, t, nn.MSELoss(), nn.SGD(lr=schedule), batch_size=4)
        same_parameters(*models)


@pytest.mark.parametrize(("result", "kind", "text"), [
    (None, TypeError, "expected numbers, got None"), ("a", TypeError, "expected numbers, got text"),
    (np.full(3, 0.1), ValueError, r"expected a rate for each step, .*, got \(3,\)")])
def test_a_schedule_of_ones_own_that_gives_no_rates(nn, result, kind, text):
    class Mine(nn.Schedule):
        def rate(self, s):
            return result

    model, x, t = nn.Sequential(nn.Linear(2, 1)), np.ones((4, 2)), np.ones((4, 1))
    for call in (lambda: Mine()([1, 2]), lambda: model.step(x, t, nn.MSELoss(), nn.SGD(lr=Mine())),
                 lambda: model.fit(x, t, loss=nn.MSELoss(), optimizer=nn.SGD(lr=Mine()), epochs=2)):
        with pytest.raises(kind, match=rf"Mine\.rate: {text}"):
            call()


def test_one_rate_stands_for_all_steps(nn):
    class Mine(nn.Schedule):
        def rate(self, s):
            return 0.25

    assert Mine()(3) == 0.25 and Mine()([1, 2]).tolist() == [0.25, 0.25]


def test_an_epoch_refuses_a_rate_before_it_starts(fast):
    """The engine asks for all of an epoch's rates first."""
    model = fast.Sequential(fast.Linear(3, 2), seed=1)
    optimizer = fast.SGD(lr=lambda step: 0.1 - step / 20)
    with pytest.raises(ValueError, match=r"lr: expected a finite number >= 0, got -0\.0"):
        model.run_epoch(normal((37, 3)), normal((37, 2)), fast.MSELoss(), optimizer, batch_size=4)
    assert (model.steps, model.epochs, optimizer.steps) == (0, 0, 0)


def test_a_schedule_that_raises_leaves_an_epoch_under_way(nn):
    """A new epoch that does not start forgets nothing of the one that was interrupted."""
    model, optimizer = nn.Sequential(nn.Linear(3, 2), seed=1), nn.SGD()

    def stop(batch):
        if batch == 2:
            raise KeyError

    x, t = normal((8, 3)), normal((8, 2), seed=1)
    with pytest.raises(KeyError):
        model.run_epoch(x, t, nn.MSELoss(), optimizer, batch_size=2, on_batch_begin=stop)
    before = model.network.counters()
    assert before["batch"] == 2
    optimizer.lr = lambda step: -1.0
    with pytest.raises(ValueError, match="lr: expected"):
        model.run_epoch(x, t, nn.MSELoss(), optimizer, batch_size=2)
    assert model.network.counters() == before


def test_rates_of_any_steps(ref):
    """They are worked out many at a time, and kept."""
    schedule = ref.LinearLR(1.0, total_steps=5000, start_factor=1, end_factor=0)
    for first, count in ((0, 3), (3, 4), (0, 0), (1020, 10), (5, 2), (2000, 3000), (4990, 30), (1020, 10)):
        assert rates(schedule, first, count).tolist() == [schedule(step) for step in range(first, first + count)]


def test_rates_of_steps_that_are_never_taken(ref):
    """That one of them would be infinite is nobody's mistake; NumPy does not warn of it, either."""
    schedule = ref.ExponentialLR(1.0, gamma=10.0)
    assert rates(schedule, 0, 3).tolist() == [1, 10, 100]
    with pytest.raises(ValueError, match="lr: expected a finite number >= 0, got inf"), np.errstate(over="ignore"):
        rates(schedule, 300, 20)


def plateau_rates(nn, losses, **arguments):
    """The rate after each epoch, if these are the validation losses."""
    optimizer = nn.SGD(lr=1.0)
    callback = nn.ReduceLROnPlateau(**arguments)
    callback.optimizer = optimizer
    callback.on_train_begin({})
    rates = []
    for epoch, value in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": value, "loss": -value})
        rates.append(optimizer.current_lr)
    return rates


@pytest.mark.parametrize(
    ("arguments", "losses", "rates"),
    [
        ({"factor": 0.5, "patience": 2}, [3, 2, 2, 2, 2, 2, 2], [1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"factor": 0.5, "patience": 2}, [3, 2, 2, 1, 1, 0], [1, 1, 1, 1, 1, 1]),
        ({"factor": 0.5, "patience": 1, "min_delta": 0.5}, [3, 2.6, 2.4, 1], [1, 0.5, 0.5, 0.5]),
        ({"factor": 0.5, "patience": 1, "min_lr": 0.4}, [1, 1, 1, 1], [1, 0.5, 0.4, 0.4]),
        ({"factor": 0.5, "patience": 1, "monitor": "loss"}, [1, 2, 3, 3, 3], [1, 1, 1, 0.5, 0.25]),
    ],
    ids=["twice", "improving", "min_delta", "min_lr", "monitor"],
)
def test_plateau(nn, arguments, losses, rates):
    assert plateau_rates(nn, losses, **arguments) == rates


def test_plateau_cools_down(nn):
    """After a cut the next `cooldown` epochs do not count as waiting."""
    plain = plateau_rates(nn, [1] * 8, factor=0.5, patience=1)
    cool = plateau_rates(nn, [1] * 8, factor=0.5, patience=1, cooldown=2)
    assert plain == [1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125]
    assert len(set(cool)) < len(set(plain))
    cuts = [i for i in range(1, 8) if cool[i] < cool[i - 1]]
    assert cuts[0] == 1
    assert np.diff(cuts).min() >= 2


def test_plateau_in_fit(nn):
    model = nn.Sequential(nn.Linear(3, 1), dtype="float64")
    optimizer = nn.SGD(lr=1e-12)
    plateau = nn.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1)
    x, t = normal((8, 3)), normal((8, 1), seed=1)
    model.fit(x, t, loss=nn.MSELoss(), optimizer=optimizer, epochs=3, callbacks=[plateau])
    assert optimizer.lr == 0.25e-12


# ---- schedules of a whole training ----


def rates_of(nn, schedule):
    """The rates of the steps of a fit: 3 epochs of 4 steps."""
    found = []

    class Look(nn.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            found.append(self.optimizer.current_lr)

    x = normal((8, 2))
    model, optimizer = nn.Sequential(nn.Linear(2, 1)), nn.SGD(lr=schedule)
    model.fit(x, x[:, :1], loss=nn.MSELoss(), optimizer=optimizer, epochs=3, batch_size=2, callbacks=[Look()])
    return found, optimizer, model


@pytest.mark.parametrize(("cls", "arguments"), [
    ("LinearLR", {"start_factor": 1, "end_factor": 0}), ("CosineLR", {"warmup_steps": 2}), ("OneCycleLR", {})])
def test_fit_fills_total_steps_in(nn, cls, arguments):
    kind = getattr(nn, cls)
    found, optimizer, model = rates_of(nn, kind(0.5, **arguments))
    assert found == kind(0.5, 12, **arguments)(np.arange(12)).tolist()
    assert optimizer.lr.total_steps == 12
    again = nn.SGD(lr=kind(0.5, **arguments))
    nn.load_training_state(nn.training_state(model, optimizer), model, again)
    assert again.lr.total_steps == 12                       # it is part of the state, so a resumed training keeps it


@pytest.mark.parametrize("wrong", ["callback", "targets", "late targets", "resume", "own"])
@pytest.mark.parametrize("cls", ["CosineLR", "PerEpoch"])
def test_a_training_that_never_began_fills_nothing_in(nn, tmp_path, cls, wrong):
    """An error before the first step leaves the schedule open: the corrected call may have other epochs."""
    def raising(logs):
        raise ZeroDivisionError

    x, t = normal((300, 2)), np.arange(300) % 2
    model, loss = nn.Sequential(nn.Linear(2, 2), seed=0, dtype="float64"), nn.CrossEntropyLoss()
    done = nn.SGD()
    history = model.fit(x, t, loss=loss, optimizer=done)
    state = nn.training_state(model, done, [history])
    state["model"]["0.weight"] = np.zeros((3, 3))
    arguments = {
        "callback": {"callbacks": [nn.ModelCheckpoint(tmp_path / "none" / "run")]},
        "own": {"callbacks": [nn.LambdaCallback(on_train_begin=raising)]},
        "targets": {"t": t + 7}, "late targets": {"t": np.where(np.arange(300) == 299, 7, t)},
        "resume": {"resume": state},
    }[wrong]
    schedule = nn.CosineLR(0.1) if cls == "CosineLR" else nn.PerEpoch(nn.CosineLR(0.1))
    optimizer = nn.SGD(lr=schedule)
    with pytest.raises((ValueError, ZeroDivisionError)):
        model.fit(x, **{"t": t, "loss": loss, "optimizer": optimizer, "epochs": 2, "batch_size": 50} | arguments)
    assert optimizer.lr is schedule
    model.fit(x, t, loss=loss, optimizer=optimizer, epochs=5, batch_size=50)
    assert optimizer.lr.total_steps == 30 if cls == "CosineLR" else optimizer.lr.schedule.total_steps == 5


@pytest.mark.parametrize("how", ["epochs", "stopped"])
def test_a_training_without_steps_fills_nothing_in(nn, how):
    def stop(logs):
        raise nn.StopTraining

    x, optimizer = np.ones((8, 2)), nn.SGD(lr=nn.CosineLR(0.1))
    model = nn.Sequential(nn.Linear(2, 2))
    arguments = {"epochs": 0} if how == "epochs" else {"callbacks": [nn.LambdaCallback(on_train_begin=stop)]}
    for more in (arguments, {"epochs": 5}):
        model.fit(x, x, loss=nn.MSELoss(), optimizer=optimizer, batch_size=2, **more)
        assert optimizer.lr.total_steps == (20 if more != arguments else None)


def test_linear_decay_over_a_training(nn):
    found, _, _ = rates_of(nn, nn.LinearLR(0.12, start_factor=1, end_factor=0))
    assert np.abs(np.array(found) - [0.12 * (1 - s / 12) for s in range(12)]).max() < 1e-15


def test_epochs_are_filled_in(nn):
    found, _, _ = rates_of(nn, nn.PerEpoch(nn.LinearLR(0.3, start_factor=1, end_factor=0)))
    assert np.abs(np.array(found) - np.repeat([0.3, 0.2, 0.1], 4)).max() < 1e-15


def test_total_steps_must_be_known_elsewhere(nn):
    model, optimizer = nn.Sequential(nn.Linear(2, 1)), nn.SGD(lr=nn.LinearLR(0.1))
    before = model.state_dict()
    for call in (lambda: model.step(np.ones((2, 2)), np.ones((2, 1)), nn.MSELoss(), optimizer),
                 lambda: model.run_epoch(np.ones((2, 2)), np.ones((2, 1)), nn.MSELoss(), optimizer),
                 lambda: optimizer.lr(0)):
        with pytest.raises(ValueError, match=r"total_steps: expected the number of steps, which only fit knows by "
                                             r"itself, got None in LinearLR\(0.1\)"):
            call()
    assert (model.steps, model.network.counters()["batch"]) == (0, 0)
    for name, value in model.state_dict().items():
        assert (value == before[name]).all()
    with pytest.raises(ValueError, match="warmup_steps: expected an integer >= 0 and <= 11, got 12"):
        rates_of(nn, nn.CosineLR(0.1, warmup_steps=12))

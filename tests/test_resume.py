"""A training that is gone on with from a file, in another process, ends with the bits of one that was never stopped.

Over every optimizer, schedule and callback, with every option, at a random step, in an epoch or between two; with
--thorough at 10 steps. What is public and has no job here makes a test fail. The other process knows nothing of the
model: the file makes model, loss and optimizer, where they have records.
"""

import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

from tests.cases import OPTIMIZERS, SCHEDULES
from tests.check import normal, python, sign_descent

ROOT = Path(__file__).parents[1]
X = normal((25, 4))            # 20 of them are trained with, in 4 steps
CLASSES = np.arange(25) % 3
STEPS = 12


def net(nn):
    return nn.Sequential(
        nn.Linear(4, 6, activation="tanh"), nn.BatchNorm1d(6), nn.Dropout(0.2), nn.Linear(6, 3),
        seed=1, dtype="float64", penalty=[nn.L1(0.01), nn.MaxNorm(2.0)],
    )  # fmt: skip


# A value of each option of an optimizer, other than the default; and options that exclude one another.
OPTIONS = {
    "lr": 0.02, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1, "dampening": 0.4, "maximize": True, "eps": 1e-3,
    "clip_norm": 0.5, "clip_value": 0.3, "lr_decay": 0.3, "initial_accumulator_value": 0.2, "alpha": 0.7,
    "centered": True, "rho": 0.7, "betas": (0.5, 0.7), "amsgrad": True, "momentum_decay": 0.5,
    "decoupled_weight_decay": True,
}  # fmt: skip
APART = {"SGD": ("nesterov", "dampening")}
SHOWS = {"ProgressBar"}                 # its options are about how it looks


def public(nn, *kinds):
    """The public classes of these kinds, without the kinds themselves."""
    found = [getattr(nn, name) for name in nn.__all__]
    return [each for each in found if isinstance(each, type) and issubclass(each, kinds) and each not in kinds]


def with_all_options(nn):
    """Name → each public optimizer with every option at another value than its own."""
    found = {}
    for kind in public(nn, nn.Optimizer):
        names = list(inspect.signature(kind).parameters)
        for without in APART.get(kind.__name__, [None]):
            rest = f" without {without}" if without else ""
            found[f"all options of {kind.__name__}{rest}"] = kind(
                **{name: OPTIONS[name] for name in names if name != without})
    return found


def jobs(nn, folder, tensorboard=False):
    """Name → (optimizer, callbacks, other arguments of fit), all of them new; TensorBoard takes seconds to import."""
    def sgd(lr=0.05):
        return nn.SGD(lr=lr, momentum=0.9)

    def csv():
        return nn.CSVLogger(folder / "log.csv")

    found = {f"optimizer {case.name}": (case.make(nn), [], {}) for case in OPTIMIZERS}
    found |= {f"schedule {case.name}": (nn.SGD(lr=case.make(nn)), [], {}) for case in SCHEDULES}
    found |= {f"per epoch {case.name}": (nn.Adam(lr=nn.PerEpoch(case.make(nn))), [], {}) for case in SCHEDULES[1:3]}
    found |= {name: (optimizer, [], {}) for name, optimizer in with_all_options(nn).items()}
    found |= {f"stopping {criterion}": (
        sgd(), [nn.EarlyStopping("val_loss", patience=2, criterion=criterion, threshold=1.0, strip=1)], {})
        for criterion in ("GL", "PQ", "UP")}
    found |= {
        "stopping, its options": (nn.Adam(lr=0.05), [nn.EarlyStopping(
            "val_accuracy", patience=2, mode="max", min_delta=0.01, start_from_epoch=1, restore_best_weights=False)],
            {"metrics": ["accuracy"]}),
        "plateau, its options": (nn.Adam(lr=0.05), [nn.ReduceLROnPlateau(
            "val_accuracy", factor=0.5, patience=0, min_delta=0.5, mode="max", cooldown=1, min_lr=0.01)],
            {"metrics": ["accuracy"]}),
        "best, its options": (sgd(), [nn.ModelCheckpoint(
            folder / "best", monitor="accuracy", save_best_only=True, mode="max", every=2)], {"metrics": ["accuracy"]}),
        "table, its options": (sgd(), [nn.CSVLogger(folder / "log.csv", separator=";", append=True)], {}),
        "epochs from a later start": (sgd(nn.PerEpoch(nn.StepLR(0.1, 1, 0.5), start=(4, 0))), [], {}),
        "stopping patience": (nn.Adam(lr=0.05), [nn.EarlyStopping("val_loss", patience=2)], {}),
        "schedule of one's own": (sgd(lambda step: 0.1 / (1 + step)), [], {}),
        "schedule of one's own per epoch": (sgd(nn.PerEpoch(lambda epoch: 0.1 / (1 + epoch))), [], {}),
        "optimizer of one's own": (sign_descent(nn)(lr=0.02), [], {}),
        "schedule linear": (sgd(nn.LinearLR(0.1, 10)), [], {}),
        "clipping": (nn.AdamW(lr=0.1, clip_norm=0.5, clip_value=0.3), [], {}),
        "plateau": (sgd(), [nn.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.5)], {}),
        "scheduler": (sgd(), [nn.LearningRateScheduler(lambda epoch, lr: lr * 0.9)], {}),
        "NaN": (sgd(), [nn.TerminateOnNaN()], {}),
        "functions": (sgd(), [nn.LambdaCallback(on_epoch_end=lambda epoch, logs: None)], {}),
        "best": (sgd(), [nn.ModelCheckpoint(folder / "best", monitor="loss", save_best_only=True)], {}),
        "table": (sgd(), [csv()], {}),
        "updates": (sgd(), [nn.UpdateRecorder(every=2)], {}),
        "bar": (sgd(), [nn.ProgressBar(disable=True)], {}),
        "mixup": (sgd(), [], {"mixup": 0.3}),
        "weights, in order": (sgd(), [], {"sample_weight": 1.0 + np.arange(25) % 2, "shuffle": False}),
        "all together": (nn.Adam(lr=0.05), [
            csv(), nn.EarlyStopping("val_loss", patience=2), nn.TerminateOnNaN(),
            nn.ReduceLROnPlateau("loss", patience=1, min_delta=0.5), nn.LambdaCallback()], {"metrics": ["accuracy"]}),
    }  # fmt: skip
    if tensorboard and importlib.util.find_spec("tensorboardX"):
        found["tensorboard"] = sgd(), [nn.TensorBoard(folder / "board", update_freq=1)], {}
    return found


def run(nn, name, folder, model, loss, optimizer, resume=None, every=1):
    """Trains, and returns what has to be the same: the digest of all that training changed, and the file written."""
    _, callbacks, arguments = jobs(nn, folder, name == "tensorboard")[name]
    callbacks = [*callbacks, nn.ModelCheckpoint(folder / "{step}", every=every, unit="step")]
    history = model.fit(X, CLASSES, loss=loss, optimizer=optimizer, epochs=3, batch_size=5, validation_split=0.2,
                        callbacks=callbacks, resume=resume, **arguments)  # fmt: skip
    state = nn.training_state(model, optimizer, [history, *callbacks])
    state["callbacks"][0].pop("seconds")
    digest = hashlib.sha256(repr(without_arrays(state)).encode()).hexdigest()
    table = folder / "log.csv"
    return [digest, optimizer.steps, table.read_text() if table.exists() else ""]


def without_arrays(value):
    """The state with each array as its bytes."""
    if isinstance(value, dict):
        return {key: without_arrays(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_arrays(each) for each in value]
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def go_on(package, folder):
    """In the other process: goes on from each of the files, and prints what came."""
    nn, results, os.fsync = importlib.import_module(package), {}, lambda descriptor: None
    for name, (place, steps) in json.loads((Path(folder) / "jobs.json").read_text()).items():
        make = functools.partial(jobs, nn, Path(folder) / place)
        for step in steps:
            path = Path(folder) / place / f"from {step}"
            if "own" in name and "schedule" in name:
                model, loss, optimizer = net(nn), nn.CrossEntropyLoss(), make()[name][0]
            else:
                saved = nn.load_training(path, classes={"SignDescent": sign_descent(nn)})
                model, loss, optimizer = saved.model, saved.loss, saved.optimizer
            results[f"{name} from step {step}"] = run(nn, name, Path(folder) / place, model, loss, optimizer, path)
    print(json.dumps(results))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fastnn_ref.TrainingWarning")
def test_it_goes_on_to_the_same_bits(request, nn, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    thorough, chance = request.config.getoption("--thorough"), random.Random(nn.__name__)
    wanted, places = {}, {}
    for number, (name, (optimizer, _, _)) in enumerate(jobs(nn, tmp_path, thorough).items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        steps = chance.sample(range(1, STEPS), 10 if thorough else 1)
        result = run(nn, name, folder, net(nn), nn.CrossEntropyLoss(), optimizer, every=1 if thorough else steps[0])
        assert result[1] == STEPS or "stopping" in name or "all" in name
        steps = [step for step in steps if step <= result[1]]
        for step in steps:
            (folder / str(step)).rename(folder / f"from {step}")
        places[name] = str(number), steps
        wanted |= {f"{name} from step {step}": result for step in steps}
    (tmp_path / "jobs.json").write_text(json.dumps(places))
    got = json.loads(python(f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from tests.test_resume import go_on
        go_on({nn.__name__!r}, {str(tmp_path)!r})
    """, timeout=3600 if thorough else 120))
    assert len(wanted) >= (500 if thorough else 50)
    assert {name for name in wanted if got[name] != wanted[name]} == set()
    if thorough:
        print(f"{nn.__name__}: {len(wanted)} resumed trainings of {len(places)} kinds, the same bits")


def test_every_one_is_among_the_jobs(nn, tmp_path):
    """What is public has a job here, and each option of it another value than its own."""
    boards = importlib.util.find_spec("tensorboardX") is not None
    found = set()
    for optimizer, callbacks, _ in jobs(nn, tmp_path, boards).values():
        for part in (optimizer, optimizer.lr, getattr(optimizer.lr, "schedule", None), *callbacks):
            if isinstance(part, (nn.Optimizer, nn.Callback, nn.Schedule)):
                kind = type(part).__name__
                found |= {kind} | {f"{kind}.{each.name}" for each in inspect.signature(type(part)).parameters.values()
                                   if getattr(part, each.name) != each.default}  # fmt: skip
    wanted = set()
    for kind in public(nn, nn.Optimizer, nn.Callback, nn.Schedule):
        wanted |= {kind.__name__} | {f"{kind.__name__}.{name}" for name in inspect.signature(kind).parameters
                                     if kind.__name__ not in SHOWS}  # fmt: skip
    # History is in each; an option of ModelCheckpoint's is how each training is written.
    assert wanted - found <= {"History", "ModelCheckpoint.unit", *([] if boards else [
        name for name in wanted if name.startswith("TensorBoard")])}


@pytest.mark.parametrize("how", ["in an epoch", "between two"])
def test_by_hand(nn, tmp_path, how):
    """A loop of one's own, without fit."""
    def loop(model, optimizer, epochs):
        for _ in range(epochs):
            model.run_epoch(X, CLASSES, nn.CrossEntropyLoss(), optimizer, batch_size=5)

    def stop(batch, logs):
        if how == "in an epoch" and model.epochs == 1 and batch == 2:
            raise KeyError

    whole, other = net(nn), nn.Adam()
    loop(whole, other, 3)
    model, optimizer = net(nn), nn.Adam()
    loop(model, optimizer, 1)
    with pytest.raises(KeyError if how == "in an epoch" else ZeroDivisionError):
        model.run_epoch(X, CLASSES, nn.CrossEntropyLoss(), optimizer, batch_size=5, on_batch_end=stop)
        raise ZeroDivisionError
    nn.save_training(tmp_path / "run", model, optimizer)
    again = nn.load_training(tmp_path / "run")
    if how == "in an epoch":
        again.model.run_epoch(X, CLASSES, nn.CrossEntropyLoss(), again.optimizer, batch_size=5, resume=True)
    loop(again.model, again.optimizer, 1)
    assert repr(without_arrays(nn.training_state(again.model, again.optimizer))) == repr(
        without_arrays(nn.training_state(whole, other)))  # fmt: skip

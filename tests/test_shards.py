"""fit(shards=…, comm=…): the step of the whole batch, one order of adding, the same bits for any number of ranks."""

import csv
import functools
import hashlib
import importlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fastnn_ref.shared import shards
from fastnn_ref.shared.data import FileRows
from tests import ranks
from tests.check import close, normal, same, same_parameters, sign_descent
from tests.conftest import instruction_sets
from tests.pairwise import chequered, once

X, T = normal((50, 6)), np.arange(50) * 7 % 3
W = np.random.default_rng(0).uniform(size=50)
ROOT = Path(__file__).parents[1]


def net(nn, *middle, dtype="float64", **arguments):
    return nn.Sequential(nn.Linear(6, 9, activation="tanh"), *middle, nn.Linear(9, 3), seed=1, dtype=dtype, **arguments)


def train(nn, *data, model=None, loss=None, optimizer=None, **arguments):
    """(model, history) of a training on X and T, or on other data, in 8 shards."""
    model, optimizer = model or net(nn), optimizer or nn.Adam(lr=0.02)
    history = model.fit(*(data or (X, T)), loss=loss or nn.CrossEntropyLoss(), optimizer=optimizer,
                        **{"epochs": 2, "batch_size": 16, "shards": 8} | arguments)
    return model, history.history


def state_of(nn, model, optimizer, history):
    """All that training changed, but for the times."""
    found = nn.training_state(model, optimizer, [history])
    found["callbacks"][0].pop("seconds")
    return json.dumps(found, default=lambda array: [array.dtype.str, array.tobytes().hex()], sort_keys=True)


# ---- the formula ----


@chequered
@pytest.mark.parametrize("loss", ["classes", "weighted", "rows", "values", "sum"])
def test_it_is_the_step_of_the_whole_batch(nn, loss):
    """To rounding: also where examples and classes weigh, parts are unequal or empty, and gradients are clipped."""
    make, t, w = {
        "classes": (lambda: nn.CrossEntropyLoss(0.1), T, None),
        "weighted": (lambda: nn.CrossEntropyLoss(class_weight={0: 0.2, 2: 4.0}), T, W),
        "rows": (lambda: nn.CrossEntropyLoss(class_weight={0: 0.2}), np.eye(3)[T], None),
        "values": (lambda: nn.MSELoss(), normal((50, 3), seed=5), W),
        "sum": (lambda: nn.MSELoss(reduction="sum"), normal((50, 3), seed=5), None),
    }[loss]

    def run(shards):
        return train(nn, X, t, model=net(nn, penalty=nn.L2(0.01)), loss=make(), sample_weight=w, epochs=3,
                     optimizer=nn.SGD(lr=0.2, momentum=0.9, clip_norm=0.5), batch_size=15, shards=shards)

    (model, history), (other, want) = run(8), run(1)                # 15 rows, and 5 in the last batch
    for name, value in other.state_dict().items():
        close("training", model.state_dict()[name], value, 12 * np.abs(value).max())
    for name, values in want.items():
        assert history[name] == pytest.approx(values, rel=1e-12), name
    assert (model.epochs, model.steps) == (3, 12 * 8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_tree(nn, dtype):
    """Gradients of 8 parts of 19 rows, the first three of 3 rows, the others of 2, added by hand in the order promised:
    another order gives other bits."""
    x, t = X[:19].astype(dtype), T[:19]
    model, loss = net(nn, dtype=dtype), nn.CrossEntropyLoss()
    start = model.state_dict()
    cuts = [0, 3, 6, 9, 11, 13, 15, 17, 19]
    terms = []
    for first, last in itertools.pairwise(cuts):
        loss.forward(model.forward(x[first:last], training=True), t[first:last])
        model.backward(loss.backward() * (last - first))
        terms.append({name: value.copy() for name, value in model.grads.items()})
    train(nn, x, t, model=(trained := net(nn, dtype=dtype)), optimizer=nn.SGD(lr=1.0), batch_size=19, epochs=1,
          shuffle=False)
    differs = False
    for name, value in start.items():
        g = [term[name] for term in terms]
        total = ((g[0] + g[1]) + (g[2] + g[3])) + ((g[4] + g[5]) + (g[6] + g[7]))
        same(trained.grads[name], total / 19, name)
        same(trained.state_dict()[name], value - total / 19, name)
        differs |= bool((total != sum(g[1:], g[0])).any())
    assert differs


def test_running_statistics(nn):
    """Each part is normalised by itself, from the same statistics: these move by the mean of what parts do."""
    model = nn.Sequential(nn.BatchNorm1d(6, momentum=0.25), nn.Linear(6, 3), seed=1, dtype="float64")
    start = normal((6,), seed=3)
    model.set_parameter("0.running_mean", start)
    train(nn, X[:19], T[:19], model=model, batch_size=19, epochs=1, shards=4, shuffle=False)
    parts = np.array_split(X[:19], 4)
    assert [len(part) for part in parts] == [5, 5, 5, 4]
    for name, before, statistic in (("mean", start, np.mean), ("var", 1.0, functools.partial(np.var, ddof=1))):
        want = 0.75 * before + 0.25 * sum(len(part) * statistic(part, axis=0) for part in parts) / 19
        close("layer", model.state_dict()[f"0.running_{name}"], want, 19 * np.abs(want).max(), name)


def test_a_frozen_layer_stays(nn):
    """To the bit: its statistics and its weights."""
    model = net(nn, nn.BatchNorm1d(9))
    for name in ("1.running_mean", "1.running_var"):
        model.set_parameter(name, 0.3 + normal((9,), seed=2) ** 2)
    model[:2].trainable = False
    before = model.state_dict()
    train(nn, model=model, drop_last=True, shards=4)
    after = model.state_dict()
    for name, value in before.items():
        assert (after[name] == value).all() == name.startswith(("0.", "1.")), name


def test_masks(nn):
    """Part i of step u draws those of training pass u·S + i, on whichever rank it is computed."""
    def run(comm):
        seen = []

        class Seen(nn.CustomLayer):
            def output_shape(self, shape):
                return shape

            def forward_pass(self, x, training):
                if training:
                    seen.append(np.array(x))
                return x

            def backward_pass(self, dy):
                return dy

        model = nn.Sequential(nn.Dropout(0.5), Seen(), nn.Linear(6, 3), seed=4, dtype="float64")
        train(nn, np.ones((32, 6)), T[:32], model=model, shards=4, epochs=1, comm=comm)
        return np.reshape(seen, (2, -1, 4, 6))              # step, part, row, column

    dropout, want = nn.Sequential(nn.Dropout(0.5), seed=4, dtype="float64"), []
    for step in range(8):
        dropout.steps = step
        want.append(dropout.forward(np.ones((4, 6)), training=True))
    for count in (1, 2, 4):
        same(np.concatenate(ranks.run(count, run), axis=1).reshape(8, 4, 6), np.array(want))


# ---- ranks ----


def distance(nn):
    class Distance(nn.CustomLoss):
        def value_and_gradient(self, y, t, weights):
            return float(np.abs(y - t).mean()), np.sign(y - t) / y.size

    return Distance()


def half(nn):
    class Half(nn.CustomLayer):
        """Counts training passes in a statistic."""

        def __init__(self):
            super().__init__()
            self.add("passes", (1,), trainable=False)

        def output_shape(self, shape):
            return shape

        def forward_pass(self, x, training):
            if training:
                self.values["passes"][...] += 1
            return x / 2

        def backward_pass(self, dy):
            return dy / 2

    return Half()


VALUES = normal((50, 3), seed=5)
TRAININGS = {
    "plain": lambda nn: ((X, T), {}),
    "short last batch": lambda nn: ((X, T), {"batch_size": 9, "epochs": 1}),
    "much at once": lambda nn: ((X, T), {
        "model": net(nn, nn.BatchNorm1d(9), nn.Dropout(0.3), nn.StochasticDepth(nn.Linear(9, 9), 0.5), nn.LayerNorm(9),
                     penalty=[nn.L1(0.01), nn.MaxNorm(2.0)]),
        "loss": nn.CrossEntropyLoss(0.1, class_weight="balanced"), "sample_weight": W, "drop_last": True,
        "validation_split": 0.3, "validation_rows": "stratified", "metrics": ["accuracy"], "epochs": 3,
        "callbacks": [nn.EarlyStopping(patience=1), nn.ReduceLROnPlateau(patience=1)]}),
    "blocks": lambda nn: ((X, T), {"shuffle": "blocks"}),
    "batches": lambda nn: (([(X[start:start + 16], T[start:start + 16], W[start:start + 16])
                             for start in (0, 16, 34)],), {}),
    "own classes": lambda nn: ((X, VALUES), {
        "model": net(nn, half(nn)), "loss": distance(nn), "optimizer": sign_descent(nn)(lr=0.02)}),
    "schedule": lambda nn: ((X, T), {"optimizer": nn.AdamW(lr=nn.CosineLR(0.02, 8))}),
}


@chequered
@pytest.mark.parametrize("name", TRAININGS)
def test_the_same_bits_for_any_number_of_ranks(nn, name):
    """All that training changes, and the history, on every rank."""
    def run(comm=None):
        data, arguments = TRAININGS[name](nn)
        arguments = {"model": net(nn), "loss": nn.CrossEntropyLoss(), "optimizer": nn.Adam(lr=0.02), "batch_size": 16,
                     "epochs": 2, "shards": 8} | arguments
        model = arguments.pop("model")
        history = model.fit(*data, comm=comm, **arguments)
        return state_of(nn, model, arguments["optimizer"], history)

    want = run()
    for count in (1, 2, 4, 8) if name == "short last batch" else (2, 4):
        assert set(ranks.run(count, run)) == {want}, count
    if name == "own classes":
        assert '"1.passes"' in want


@once
def test_messages(nn):
    """2·log₂ P a step, of which the first half takes less and less: together 2·(1 − 1/P) vectors."""
    vector = 40 + 8 * (6 * 9 + 9 + 9 * 3 + 3)                           # five numbers, and the gradients
    for count, levels in ((1, 0), (2, 1), (4, 2), (8, 3)):
        def run(comm):
            train(nn, comm=comm, epochs=1)
            return comm.messages

        for messages in ranks.run(count, run):
            assert len(messages) == 4 * 2 * levels
            assert abs(sum(messages) / 4 - 2 * (1 - 1 / count) * vector) <= 2 * 32 * levels     # pieces of 32 bytes


def in_file(folder, values, name):
    np.save(folder / name, values)
    return np.load(folder / f"{name}.npy", mmap_mode="r")


def test_a_rank_reads_its_own_rows(nn, tmp_path, monkeypatch):
    """Of a file, one part at a time; and the bits are those of arrays in memory."""
    read, take = {}, FileRows.__getitem__

    def note(self, key):
        read.setdefault(threading.get_ident(), []).append(self.rows[key].tolist())
        return take(self, key)

    want, history = train(nn, epochs=1, shards=4)
    data = in_file(tmp_path, X, "x"), in_file(tmp_path, T, "t")
    monkeypatch.setattr(FileRows, "__getitem__", note)

    def run(comm):
        read.pop(threading.get_ident(), None)
        model, found = train(nn, *data, epochs=1, shards=4, comm=comm)
        assert found == history
        return model, read[threading.get_ident()]

    (model, first), (_, second) = ranks.run(2, run)
    same_parameters(model, want)
    assert sorted(itertools.chain(*first[::2], *second[::2])) == list(range(50))             # x and t take turns
    assert [len(rows) for rows in first[::2]] == [4] * 6 + [1, 1]
    assert [len(rows) for rows in second[::2]] == [4] * 6               # two rows are left: parts 2 and 3 are empty


def test_every_rank_begins_as_rank_0(nn):
    """Weights, statistics, counters, and the optimizer's state."""
    def run(comm, other=False):
        model, optimizer = net(nn, nn.BatchNorm1d(9)), nn.Adam(lr=0.02)
        if comm.Get_rank() == 0 or other:
            train(nn, model=model, optimizer=optimizer, drop_last=True, shards=1, epochs=1)
        _, history = train(nn, model=model, optimizer=optimizer, drop_last=True, shards=4, comm=comm)
        return json.dumps([history, {name: value.tolist() for name, value in model.state_dict().items()}])

    wanted = ranks.run(1, functools.partial(run, other=True))
    assert ranks.run(2, run) == wanted * 2
    assert ranks.run(4, run) == wanted * 4


DIFFERENT = {
    r"model\.seed: expected 0, as on rank 0, got 1": lambda nn, rank: {
        "model": nn.Sequential(nn.Linear(6, 3), seed=rank)},
    "model.layers.*: expected 'Tanh', as on rank 0, got 'ReLU'": lambda nn, rank: {"model": nn.Sequential(
        nn.Linear(6, 3, activation=("tanh", "relu")[rank]))},
    r"optimizer\.lr: expected 0.1, as on rank 0, got 0.2": lambda nn, rank: {"optimizer": nn.SGD(lr=0.1 * (rank + 1))},
    r"loss\.label_smoothing: expected 0": lambda nn, rank: {"loss": nn.CrossEntropyLoss(0.1 * rank)},
    "shards: expected 8, as on rank 0, got 4": lambda nn, rank: {"shards": 8 // (rank + 1)},
    "epochs: expected 1, as on rank 0, got 2": lambda nn, rank: {"epochs": rank + 1},
    "rows of x: expected 48, as on rank 0, got 50": lambda nn, rank: {"drop_last": rank == 0},
    r"callbacks: expected \['History'\], as on rank 0, got \['History', 'CSVLogger'\]": lambda nn, rank: {
        "callbacks": [nn.CSVLogger("x.csv")] * rank},
}


@once
@pytest.mark.parametrize("message", DIFFERENT)
def test_what_differs_between_ranks_is_refused(nn, message, capsys):
    with pytest.raises(ValueError, match=message):
        ranks.run(2, lambda comm: train(nn, comm=comm, **{"epochs": 1} | DIFFERENT[message](nn, comm.Get_rank())))
    assert "as on rank 0, got" in capsys.readouterr().err


# ---- callbacks, stopping, errors ----


def test_callbacks_that_write(nn, tmp_path):
    """Of rank 0 alone; all others are called everywhere, with the logs of rank 0."""
    def run(comm):
        seen, folder = [], tmp_path / str(comm.Get_rank())
        folder.mkdir()
        saving = nn.ModelCheckpoint(folder / "{epoch}", monitor="loss", save_best_only=True)
        train(nn, comm=comm, verbose=2, metrics=["accuracy"], callbacks=[
            nn.CSVLogger(folder / "log.csv"), saving,
            nn.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs),
                              on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))])
        return seen, sorted(path.name for path in folder.iterdir())

    (first, written), (second, nothing) = ranks.run(2, run)
    assert written == ["1", "2", "log.csv"]
    assert nothing == []
    assert first == second
    assert len(first) == 2 * (4 + 1)
    assert [float(row["loss"]) for row in csv.DictReader((tmp_path / "0" / "log.csv").read_text().split())] == [
        first[4]["loss"], first[9]["loss"]]


HOOKS = {"on_train_batch_begin": 1, "on_train_batch_end": 2, "on_epoch_begin": 1, "on_epoch_end": 0}    # when it stops


@once
@pytest.mark.parametrize("how", ["raise", "set"])
@pytest.mark.parametrize("hook", HOOKS)
def test_one_rank_stops_all(nn, hook, how):
    """At the same place as one process would, in the second epoch or at the end of the first."""
    def run(comm, guilty):
        model, optimizer = net(nn), nn.Adam(lr=0.02)

        def stop(index, logs):
            if comm.Get_rank() == guilty and index == HOOKS[hook] and model.epochs == 1:
                if how == "raise":
                    raise nn.StopTraining
                model.stop_training = True

        history = model.fit(X, T, loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=4, batch_size=16, shards=4,
                            callbacks=[nn.LambdaCallback(**{hook: stop})], comm=comm)
        state = nn.training_state(model, optimizer)
        return optimizer.steps, len(history.epoch), json.dumps(state, default=lambda array: array.tobytes().hex())

    want = ranks.run(1, functools.partial(run, guilty=0))
    for count, guilty in ((2, 1), (4, 0)):
        assert ranks.run(count, functools.partial(run, guilty=guilty)) == want * count


@once
def test_a_layer_of_one_rank_stops_all(nn):
    """By StopTraining in the last part of the third step, which no rank takes."""
    class Stops(nn.CustomLayer):
        passes, last = 0, None

        def forward_pass(self, x, training):
            self.passes += training
            if training and self.passes == self.last:
                raise nn.StopTraining
            return x

        def backward_pass(self, dy):
            return dy

    def run(comm):
        layer, size = Stops(), comm.Get_size()
        if comm.Get_rank() == size - 1:
            layer.last = 3 * 8 // size
        return train(nn, model=net(nn, layer), comm=comm)[0]

    (want,) = ranks.run(1, run)
    assert (want.steps, want.epochs) == (2 * 8, 0)
    for size in (2, 4):
        for model in ranks.run(size, run):
            assert (model.steps, model.epochs) == (2 * 8, 0)
            same_parameters(model, want)


def test_an_error_on_one_rank_ends_the_job(nn, capsys):
    """It is shown, and the others do not wait."""
    def fails(batch, logs):
        raise OSError("the disk is full")

    def run(comm):
        hooks = nn.LambdaCallback(**({"on_train_batch_end": fails} if comm.Get_rank() == 1 else {}))
        train(nn, comm=comm, callbacks=[hooks])

    with pytest.raises(OSError, match="the disk is full"):
        ranks.run(2, run)
    assert "OSError: the disk is full" in capsys.readouterr().err


def test_a_step_that_fails_has_not_happened(nn):
    """The third part of the second step raises."""
    class Fails(nn.CustomLoss):
        calls, last = 0, None

        def value_and_gradient(self, y, t, weights):
            self.calls += 1
            if self.calls == self.last:
                raise OSError("no")
            return float(((y - t) ** 2).mean()), 2 * (y - t) / y.size

    model, other = net(nn, nn.BatchNorm1d(9)), net(nn, nn.BatchNorm1d(9))
    with pytest.raises(OSError, match="no"):
        loss = Fails()
        loss.last = 1 + 8 + 3                                   # the first call comes before the first step
        train(nn, X[:48], VALUES[:48], model=model, loss=loss)
    assert loss.calls == 12
    train(nn, X[:48], VALUES[:48], model=other, loss=Fails(), callbacks=[
        nn.LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(other, "stop_training", True))])
    assert model.steps == other.steps == 8
    same_parameters(model, other)


# ---- resume ----


def test_resume_on_another_number_of_ranks(nn, tmp_path):
    """From inside the second epoch of a training on two ranks, on one, two and four: the bits of the whole training."""
    def run(comm, resume=None):
        model, optimizer = net(nn, nn.BatchNorm1d(9), nn.Dropout(0.3)), nn.Adam(lr=0.02)
        saving = nn.ModelCheckpoint(tmp_path / "{step}", unit="step")
        history = model.fit(X[:48], T[:48], loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=3, batch_size=16,
                            shards=4, callbacks=[saving], comm=comm, resume=resume)
        return state_of(nn, model, optimizer, history)

    want = ranks.run(2, run)
    shutil.copy(tmp_path / "4", tmp_path / "from")
    for count in (1, 2, 4):
        # a file that only rank 0 can see
        assert set(ranks.run(count, lambda comm: run(comm, None if comm.Get_rank() else tmp_path / "from"))) == {*want}


# ---- what is refused ----


@once
def test_refused(nn):
    refused = [
        ({"shards": 0}, "shards: expected an integer >= 1, got 0"),
        ({"shards": 6}, r"shards: expected a power of two \(1, 2, 4, 8, \.\.\.\), got 6"),
        ({"batch_size": 7}, "batch_size: expected at least shards=8 rows, got 7"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps: expected 1 beside shards, which cut one"),
        ({"mixup": 0.2}, "mixup: expected 0 beside arrays in a file, .* and shards, got 0.2"),
        ({"model": net(nn, nn.BatchNorm1d(9))}, "batch_size: expected at least 2 rows in each of the 8 shards of a trai"
                                                "ning batch, to normalise over, got 16, which leaves 2 of 50"),
    ]
    for arguments, message in refused:
        model = arguments.pop("model", None) or net(nn)
        with pytest.raises(ValueError, match=message):
            train(nn, model=model, **arguments)
        assert model.steps == 0
    with pytest.raises(TypeError, match=r"comm: expected a communicator of mpi4py, such as MPI.COMM_WORLD, got 3"):
        train(nn, comm=3)
    with pytest.raises(ValueError, match="comm: expected a number of ranks that divides shards=1, got 2"):
        ranks.run(2, lambda comm: train(nn, shards=1, comm=comm))
    with pytest.raises(ValueError, match=r"batch 1\[0\]: expected at least 2 rows in a training batch, .* got 1$"):
        train(nn, [(X[:8], T[:8]), (X[:5], T[:5])], model=net(nn, nn.BatchNorm1d(9)), shards=4)


# ---- MPI ----


def mpiexec(count, *arguments, fails=False):
    """(standard output, errors) of ``count`` ranks, each a Python process with these arguments."""
    command = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if command is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("NOT TESTED: ranks of MPI, for which `pip install mpi4py mpich` is needed")
    done = subprocess.run(
        [command, "-n", str(count), sys.executable, *arguments], cwd=ROOT, timeout=300, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
             "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"})
    assert bool(done.returncode) == fails, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def job(package, folder, trouble="", resume=None, comm=None):
    """A training of 24 steps, on whose rank 1 ``trouble`` comes after the 13th: the digest of its end on each rank."""
    nn = importlib.import_module(package)
    model, optimizer = net(nn, nn.BatchNorm1d(9), nn.Dropout(0.3), dtype="float32"), nn.Adam(lr=0.02)

    def come(batch, logs):
        if trouble and optimizer.steps == 13 and comm.Get_rank() == 1:
            if trouble == "error":
                raise OSError("the disk is full")
            os.kill(os.getpid(), {"killed": signal.SIGKILL, "Ctrl-C": signal.SIGINT}[trouble])

    saving = nn.ModelCheckpoint(Path(folder) / "run", unit="step")
    history = model.fit(X[:48], T[:48], loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=8, batch_size=16,
                        shards=4, comm=comm, resume=resume, validation_data=(X, T), metrics=["accuracy"],
                        callbacks=[saving, nn.LambdaCallback(on_train_batch_end=come)])
    found = hashlib.sha256(state_of(nn, model, optimizer, history).encode()).hexdigest()[:16]
    return [found, optimizer.steps, history.interrupted]


def all_threads(package, folder, comm=None):
    """What ``job`` gives on one thread and on two, on each instruction set that has FMA."""
    nn, found = importlib.import_module(package), []
    for isa in instruction_sets():
        if isa == "portable" or package == "fastnn_ref":
            continue
        nn._kernels.use_isa(isa)
        for threads in (1, 2):
            nn.set_num_threads(threads)
            found.append(job(package, folder, comm=comm))
    return found or [job(package, folder, comm=comm)]


def on_ranks(count, function, *arguments, fails=False):
    """What a function of this file returns on each rank, and the errors."""
    out, errors = mpiexec(count, "-c", textwrap.dedent(f"""
        import json
        from mpi4py import MPI
        from tests.test_shards import {function} as function
        found = MPI.COMM_WORLD.gather(function(*{arguments!r}, comm=MPI.COMM_WORLD))
        if MPI.COMM_WORLD.Get_rank() == 0:
            print(json.dumps(found))
    """), fails=fails)
    return out if fails else json.loads(out), errors


@pytest.fixture
def undisturbed(fast):
    """Threads and instruction set are as before after the test."""
    isa, threads = fast.isa(), fast.get_num_threads()
    yield
    fast._kernels.use_isa(isa)
    fast.set_num_threads(threads)


@pytest.mark.slow
def test_processes(nn, tmp_path, undisturbed):
    """One hash: 1, 2 and 4 processes, 1 and 2 threads, each instruction set with FMA, and no MPI at all."""
    (want, *others) = all_threads(nn.__name__, tmp_path)
    assert all(other == want for other in others)
    for count in (1, 2, 4):
        found, _ = on_ranks(count, "all_threads", nn.__name__, str(tmp_path))
        assert found == [[want] * (1 + len(others))] * count


@pytest.mark.slow
@pytest.mark.parametrize(("package", "trouble"), [("fastnn", "killed"), ("fastnn_ref", "error")])
def test_a_rank_dies(package, tmp_path, trouble):
    """The job ends; its last file goes on, on one rank and on four, to the bits of the training that nothing hurt."""
    (tmp_path / "whole").mkdir()
    want = job(package, tmp_path / "whole")
    out, errors = on_ranks(2, "job", package, str(tmp_path), trouble, fails=True)
    if trouble == "error":
        assert "OSError: the disk is full" in errors
    else:
        assert re.search("KILLED|signal 9|Killed", out + errors), out + errors
    last = importlib.import_module(package).load_training(tmp_path / "run").optimizer.steps
    assert 11 <= last <= 13
    for count in (1, 4):
        (tmp_path / str(count)).mkdir()
        found, _ = on_ranks(count, "job", package, str(tmp_path / str(count)), "", str(tmp_path / "run"))
        assert found == [want] * count


def test_what_a_rank_wrote_is_read_before_it_ends_the_job(monkeypatch, capsys):
    """mpiexec, when asked to end a job, drops what it has not read: seen in 3 of 10 jobs whose mpiexec was stopped."""
    happened = []
    comm = SimpleNamespace(Get_size=lambda: 2, Abort=lambda code: happened.append(("Abort", code)))
    monkeypatch.setattr(shards.time, "sleep", lambda seconds: happened.append((capsys.readouterr().err, seconds)))

    @shards.ending_the_job
    def fails(comm):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fails(comm=comm)
    (written, seconds), abort = happened
    assert written.endswith("OSError: the disk is full\n")
    assert seconds >= 1
    assert abort == ("Abort", 1)


@pytest.mark.slow
def test_ctrl_c_on_one_rank(fast, tmp_path):
    """All ranks end at the same step, which may be the one after, and say so."""
    first, second = on_ranks(2, "job", "fastnn", str(tmp_path), "Ctrl-C")[0]
    assert first == second
    assert first[1:] in ([13, True], [14, True])


@pytest.mark.slow
def test_command_line(tmp_path):
    """Rank 0 writes and speaks; the files are those of one process; a rank that fails ends the job."""
    command = ("-m", "fastnn", "train", "--backend", "fast", "--epochs", "2", "--shards", "4", "--run")
    done = subprocess.run([sys.executable, *command, str(tmp_path / "one")], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    out, _ = mpiexec(2, *command, str(tmp_path / "two"), "--mpi")
    assert out.count("test accuracy") == done.stdout.count("test accuracy") == 1
    for name in ("fastnn-model.safetensors", "fastnn-history.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    _, errors = mpiexec(2, *command, str(tmp_path / "two"), "--mpi", fails=True)
    assert errors.count("--run: expected a folder without a run") == 1
    mpiexec(2, "-m", "fastnn", "train", "--resume", str(tmp_path / "two"), "--epochs", "3", "--mpi")
    assert len((tmp_path / "two" / "fastnn-history.csv").read_text().split()) == 1 + 3


@pytest.mark.slow
def test_the_program_of_the_page(tmp_path):
    """docs/shards.md has one with mpi4py: two ranks and one end with the same model."""
    (program,) = re.findall(r"```py\n(.*?)```", (ROOT / "docs" / "shards.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "train.py").write_text(f"import os\nos.chdir({str(tmp_path)!r})\n{program}")
    found = []
    for count in (1, 2):
        _, errors = mpiexec(count, str(tmp_path / "train.py"))
        assert errors.count("epoch 5/5") == 1
        found.append((tmp_path / "model.safetensors").read_bytes())
    assert found[0] == found[1]

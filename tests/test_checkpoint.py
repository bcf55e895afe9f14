"""Checkpoints: what was saved is there, whole, in either package, and a training goes on from it to the same bits."""

import builtins
import errno
import hashlib
import io
import itertools
import json
import os
import random
import re
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastnn_ref.shared import atomic, safetensors
from tests import test_custom
from tests.cases import CASES, IMAGE_NETS, LOSSES, MODELS, OPTIMIZERS
from tests.check import inputs, normal, python, same, same_parameters
from tests.pairwise import chequered

X = normal((25, 4))            # 20 of them are trained with, in 4 steps
CLASSES = np.arange(25) % 3


def net(nn, seed=1, **arguments):
    arguments = {"dtype": "float64", "penalty": nn.L1(0.01), **arguments}
    return nn.Sequential(nn.Linear(4, 6, activation="tanh"), nn.BatchNorm1d(6), nn.Dropout(0.2), nn.Linear(6, 3),
                         seed=seed, **arguments)  # fmt: skip


def train(nn, model, optimizer, **arguments):
    """fit with what most tests want."""
    given = {"loss": nn.CrossEntropyLoss(), "epochs": 3, "batch_size": 5, "validation_split": 0.2} | arguments
    return model.fit(X, CLASSES, optimizer=optimizer, **given)


def flat(value, name=""):
    """Every number, text and array of a state with its place, so that == and the bits can be compared."""
    if isinstance(value, dict):
        return [pair for key, each in value.items() for pair in flat(each, f"{name}.{key}")]
    if isinstance(value, list | tuple):
        inside = (pair for index, each in enumerate(value) for pair in flat(each, f"{name}.{index}"))
        return [(name, type(value)), *inside]
    if isinstance(value, np.ndarray):
        return [(name, value.dtype.str, value.shape, value.tobytes())]
    return [(name, type(value), value if value == value else "NaN")]


def rewrite(path, change, target=None):
    """Changes the content of a file and puts the right sha256 in: what somebody does who means harm."""
    tensors, metadata = safetensors.unpack(path.read_bytes())
    content = json.loads(metadata["content"])
    result = change(content, tensors)
    metadata |= {"content": json.dumps(content if result is None else result), "sha256": "0" * 64}
    content = b"".join(safetensors.pack(tensors, metadata))
    digest = hashlib.sha256(content).hexdigest()
    (target or path).write_bytes(content.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + digest.encode(), 1))


@pytest.fixture
def saved(nn, tmp_path):
    """A file of a training in mid-epoch."""
    path, model, optimizer = tmp_path / "run.safetensors", net(nn), nn.Adam(lr=0.05)
    train(nn, model, optimizer, callbacks=[nn.EarlyStopping(), nn.ModelCheckpoint(path, every=7, unit="step")])
    return path


# ---- a model ----


def test_every_layer(nn, ref, fast, tmp_path, monkeypatch):
    """A file of either package gives the same model in both: record, weights, counters, and in its own the outputs."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    path = tmp_path / "model.safetensors"
    cases = {type(case.make(nn)).__name__: case for case in CASES if case not in IMAGE_NETS + MODELS}
    for case, dtype in zip([*cases.values(), *IMAGE_NETS, *MODELS], itertools.cycle(["float32", "float64"])):
        model = nn.Sequential(case.make(nn), seed=5, dtype=dtype)
        model.forward(inputs(case), training=True)
        model.save(path)
        for package in (ref, fast):
            again = package.load(path)
            assert (again.config(), again.steps) == (model.config(), 1), case.name
            same_parameters(again, model)
        same(nn.load(path).predict(inputs(case)), model.predict(inputs(case)), case.name)


def test_it_goes_on_as_the_model_would(nn, tmp_path):
    """Masks, shuffles and running statistics, too."""
    model = net(nn, seed=3)
    train(nn, model, nn.SGD(lr=0.1))
    model.save(tmp_path / "model")
    again = nn.load(tmp_path / "model")
    assert (again.seed, again.steps, again.epochs) == (3, 12, 3)
    train(nn, model, nn.SGD(lr=0.1))
    train(nn, again, nn.SGD(lr=0.1))
    same_parameters(again, model)


def test_loading_draws_nothing(nn, ref, tmp_path, monkeypatch):
    """Initial values that are written over at once would take longer than all the rest."""
    model = net(nn)
    model.save(tmp_path / "model")
    monkeypatch.setattr(ref.init, "create", lambda *arguments, **named: 1 / 0)
    same_parameters(nn.load(tmp_path / "model"), model)
    with pytest.raises(ZeroDivisionError):
        net(nn).state_dict()


def test_names_in_the_file(nn, tmp_path):
    """Dotted, as in PyTorch; the weights of a training have the same ones."""
    other = pytest.importorskip("safetensors.numpy")
    model, optimizer = net(nn), nn.SGD(lr=0.1, momentum=0.9)
    history = train(nn, model, optimizer)
    model.save(str(tmp_path / "model"))
    found = other.load_file(tmp_path / "model")
    assert found.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        same(found[name], value)
    nn.save_training(tmp_path / "run", model, optimizer, callbacks=[history])
    more = other.load_file(tmp_path / "run")
    assert more.keys() - found.keys() == {f"optimizer.momentum.{name}" for name in model.params}


def test_a_part_of_a_model(nn, tmp_path):
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), nn.Linear(3, 2), seed=4)
    for number, part in enumerate((model.layers[0], model[1:])):
        part.save(tmp_path / str(number))
        x = normal((5, part.input_shape[0]))
        same(nn.load(tmp_path / str(number)).predict(x), part.predict(x))


class Scale(test_custom.Scale):
    """With an argument more."""

    def __init__(self, size, start):
        super().__init__(size)
        self.start = start


def test_a_layer_of_ones_own(nn, ref, fast, tmp_path):
    model = nn.Sequential(nn.Linear(4, 3), Scale(3, np.float32(0.5)), dtype="float64")
    model.save(tmp_path / "model")
    for package in (ref, fast):
        same(package.load(tmp_path / "model", classes={"Scale": Scale}).state_dict()["1.weight"], np.ones(3))
        with pytest.raises(ValueError, match=r"model: config: expected a class of .* or one in classes, got 'Scale'"):
            package.load(tmp_path / "model")
    nn.Sequential(nn.Linear(4, 3), Scale(3, None), dtype="float64").save(tmp_path / "model")
    with pytest.raises(TypeError, match=r"Scale\.start: expected a value that a record can hold"):
        nn.Sequential(Scale(3, print)).save(tmp_path / "model")
    assert nn.load(tmp_path / "model", {"Scale": Scale})[1].custom.start is None


def test_a_file_makes_nothing_else(nn, tmp_path):
    """A file can name what it likes."""
    net(nn).save(tmp_path / "model")
    message = f"model: config: expected a class of {nn.__name__} or one in classes, got"
    for name in ("os.system", "antigravity", "fastnn_ref.shared.fit", "sys", "load", "metrics", "History", "CSVLogger",
                 "TensorBoard"):
        for record in ({"class": name}, {"class": "Sequential", "layers": [{"class": name}]}):
            rewrite(tmp_path / "model", lambda content, _, record=record: content["config"].update(model=record))
            with pytest.raises(ValueError, match=f"{message} {name!r}"):
                nn.load(tmp_path / "model")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("path", [3, None, b"model"])
def test_paths(nn, path):
    for name, use in [
        ("path", net(nn).save), ("path", nn.load), ("path", nn.load_training), ("path", nn.ModelCheckpoint),
        ("path", lambda path: nn.save_training(path, net(nn), nn.SGD())),
    ]:  # fmt: skip
        with pytest.raises(TypeError, match=f"{name}: expected a path, got"):
            use(path)
        with pytest.raises(ValueError, match=f"{name}: expected a path, in which no null byte is, got 'a"):
            use("a\0b")


def test_what_the_system_says(nn, tmp_path):
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "no")
    for save in (net(nn).save, lambda path: nn.save_training(path, net(nn), nn.SGD())):
        with pytest.raises(FileNotFoundError, match=r"^path: expected a file in a folder that is there, got 'no/"):
            save("no/model")
    with pytest.raises(IsADirectoryError):
        net(nn).save(tmp_path)
    with pytest.raises(IsADirectoryError):
        nn.load(tmp_path)
    with pytest.raises(ValueError, match="/dev/zero: expected a file, got a device or a pipe"):
        nn.load("/dev/zero")
    with pytest.raises(OSError, match="No space left on device"):
        net(nn).save("/dev/full")


def test_a_file_that_nobody_could_write_is_told_before_the_first_step(nn, tmp_path, monkeypatch):
    """A link that leads nowhere, or to itself; in /tmp, another user's file; one that is mounted by itself."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("lost").symlink_to("no/file")
    Path("shared").mkdir()
    Path("shared", "file").write_text("another user's")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    model, arguments = net(nn), dict(loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=1)

    def fitted(callback):
        model.fit(np.ones((2, 4)), np.ones((2, 3)), callbacks=[callback], **arguments)

    for path in ("loop", "lost"):
        with pytest.raises(ValueError, match=f"path: expected a file in a folder .* can be written, got '{path}'"):
            fitted(nn.ModelCheckpoint(path))
        with pytest.raises(ValueError, match=f"filename: expected a file that can be written, got '{path}'"):
            fitted(nn.CSVLogger(path))
    assert atomic.can_write(Path("shared/file"))
    Path("shared").chmod(0o1777)
    with pytest.raises(ValueError, match=r"path: expected a file in a folder .* can be written, got 'shared/file'"):
        fitted(nn.ModelCheckpoint("shared/file"))
    Path("a b\\").touch()
    place = os.path.realpath("a b\\").replace("\\", "\\134").replace(" ", "\\040")
    Path("mounts").write_text(f"22 1 8:1 / / rw - ext4 /dev/a rw\n23 22 8:1 /c {place} rw - ext4 /dev/a rw\n")
    assert atomic.can_write(Path("a b\\"))
    monkeypatch.setattr(atomic, "MOUNTS", "mounts")         # as docker run -v FILE:FILE
    with pytest.raises(ValueError, match=r"path: expected a file in a folder .* can be written, got 'a b"):
        fitted(nn.ModelCheckpoint("a b\\"))
    assert model.steps == 0 and atomic.can_write(Path("shared/other"))
    fitted(nn.ModelCheckpoint("shared/other"))


def test_a_file_stays_as_private_as_it_was(nn, tmp_path):
    path = tmp_path / "model"
    for mode in (0o600, 0o640, 0o444):
        net(nn).save(path)
        path.chmod(mode)
        if os.getuid() == 0:
            os.chown(path, 65534, 65534)
        net(nn).save(path)
        assert path.stat().st_mode & 0o777 == mode and path.stat().st_uid == (os.getuid() or 65534)


def test_links(nn, tmp_path, monkeypatch):
    """They stay, and what they lead to is replaced; one that leads to itself is the system's error."""
    monkeypatch.chdir(tmp_path)
    Path("other").mkdir()
    Path("other", "file").write_text("old")
    Path("link").symlink_to("other/file")
    Path("loop").symlink_to("loop")
    net(nn).save("link")
    assert Path("link").is_symlink() and nn.load("other/file").layers and os.listdir("other") == ["file"]
    with pytest.raises(OSError, match="Too many levels of symbolic links: 'loop'"):
        net(nn).save("loop")
    assert Path("loop").is_symlink()


def test_a_temporary_file_is_nobodys_business(nn, tmp_path, monkeypatch):
    """What the system says is about the path that the user gave."""
    def refuse(path, *arguments):
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(atomic.os, "open", refuse)
    with pytest.raises(PermissionError, match=r"^\[Errno 13\] Permission denied: 'model'$"):
        net(nn).save("model")


# ---- a training ----


def test_it_builds_everything_anew(nn, tmp_path):
    for optimizer_case, loss_case in zip(OPTIMIZERS, itertools.cycle(LOSSES), strict=False):
        model, optimizer, loss = net(nn), optimizer_case.make(nn), loss_case.make(nn)
        t = loss_case.targets(np.random.default_rng(0), 25, 3)
        model.step(X, t, loss, optimizer)
        nn.save_training(tmp_path / "run", model, optimizer, loss)
        run = nn.load_training(tmp_path / "run")
        assert repr((run.model, run.optimizer, run.loss)) == repr((model, optimizer, loss))
        model.step(X, t, loss, optimizer)
        run.model.step(X, t, run.loss, run.optimizer)
        same_parameters(run.model, model)
        assert flat(run.optimizer.state_dict()) == flat(optimizer.state_dict())
        same_parameters(nn.load(tmp_path / "run"), nn.load_training(tmp_path / "run").model)


def test_either_package_reads_the_others(ref, fast, tmp_path):
    for one, other in ((ref, fast), (fast, ref)):
        model, optimizer, loss = net(one), one.Adam(lr=0.05), one.CrossEntropyLoss()
        history = train(one, model, optimizer, loss=loss)
        one.save_training(tmp_path / "run", model, optimizer, loss, [history])
        run = other.load_training(tmp_path / "run")
        same_parameters(run.model, model)
        assert type(run.optimizer) is other.Adam and type(run.loss) is other.CrossEntropyLoss
        assert flat(run.state) == flat(one.training_state(model, optimizer, [history]))
        assert train(other, run.model, run.optimizer, epochs=4, resume=tmp_path / "run").epoch == [0, 1, 2, 3]


def test_states_of_callbacks_come_back_as_they_were(nn, tmp_path):
    """Types, too: tuples, whole numbers, NaN, empty lists, arrays of any kind."""

    class Keeps(nn.Callback):
        state_names = ("value",)

    keeps = Keeps()
    keeps.value = {
        "a": (1, 2.5, (None, True)), "b": [np.arange(3), {"c": np.zeros((0, 2), bool)}], "d": float("nan"),
        "e": "ü\ud800", "f": 2**80, "g": [], "h": (), "i": {}, "j": -0.0, "k.l": np.array(3),
    }  # fmt: skip
    nn.save_training(tmp_path / "run", net(nn), nn.SGD(), callbacks=[keeps])
    found = nn.load_training(tmp_path / "run").state["callbacks"][0]["value"]
    assert flat(found) == flat(keeps.value)
    keeps.value = np.float64(0.1)
    nn.save_training(tmp_path / "run", net(nn), nn.SGD(), callbacks=[keeps])
    assert nn.load_training(tmp_path / "run").state["callbacks"][0]["value"] == 0.1
    for wrong in ({1: 2}, {"$tensor": "0.weight"}, {1, 2}, b"x", print, np.array([1j])):
        keeps.value = wrong
        with pytest.raises(TypeError, match=r"callbacks\.0\.value: expected "):
            nn.save_training(tmp_path / "run", net(nn), nn.SGD(), callbacks=[keeps])
    keeps.value = {"a.b": X, "a": {"b": X}}
    with pytest.raises(ValueError, match=r"callbacks\.0\.value\.a\.b: expected one array of this name, got two"):
        nn.save_training(tmp_path / "run", net(nn), nn.SGD(), callbacks=[keeps])
    assert nn.load_training(tmp_path / "run").state["callbacks"][0]["value"] == 0.1


def test_what_has_no_record(nn, tmp_path):
    """An lr that is a function: the file cannot make the optimizer, and fit goes on with one that is made."""
    path, model = tmp_path / "run", net(nn)
    history = train(nn, model, nn.SGD(lr=lambda step: 0.1 / (1 + step)), callbacks=[nn.ModelCheckpoint(path)])
    with pytest.raises(ValueError, match=r"run: the optimizer cannot be made anew from the file \(SGD\.lr: expected"):
        nn.load_training(path)
    same_parameters(nn.load(path), model)
    again = net(nn)
    assert train(nn, again, nn.SGD(lr=lambda step: 0.1 / (1 + step)), callbacks=[nn.ModelCheckpoint(path)],
                 resume=path).history == history.history  # fmt: skip
    same_parameters(again, model)


def test_a_model_is_no_training(nn, tmp_path):
    net(nn).save(tmp_path / "model")
    with pytest.raises(ValueError, match="model: expected a file of save_training, got one of a model's save"):
        nn.load_training(tmp_path / "model")
    with pytest.raises(ValueError, match="model: expected a file of save_training, got one of a model's save"):
        train(nn, net(nn), nn.SGD(), resume=tmp_path / "model")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda nn: net(nn, seed=2), r"run\.safetensors: model\.seed: expected 1, as when the file was written, got 2"),
        (lambda nn: net(nn, dtype="float32"), r"model\.dtype: expected 'float64', as when .*, got 'float32'"),
        (lambda nn: net(nn, penalty=None), r"model\.penalty: expected \[.*\], as when .*, got \[\]"),
        (lambda nn: nn.Sequential(nn.Linear(4, 6, activation="relu"), nn.BatchNorm1d(6), nn.Dropout(0.2),
                                  nn.Linear(6, 3), seed=1, dtype="float64", penalty=nn.L1(0.01)),
         r"model\.layers\[0\]\.activation\.class: expected 'Tanh', as when .*, got 'ReLU'"),
    ],
)  # fmt: skip
def test_another_model(nn, saved, other, message):
    """Shapes alone would not show it."""
    model = other(nn)
    kept = flat(model.state_dict())
    with pytest.raises(ValueError, match=message):
        train(nn, model, nn.Adam(lr=0.05), resume=saved)
    assert flat(model.state_dict()) == kept


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda nn: nn.SGD(), {},
         r"run\.safetensors: optimizer\.class: expected 'Adam', as when the file was written, got 'SGD'"),
        (lambda nn: nn.AdamW(), {}, r"optimizer\.class: expected 'Adam', as when the file was written, got 'AdamW'"),
        (lambda nn: nn.Adam(amsgrad=True), {},
         "optimizer: expected one that keeps steps, lr, mean, square, as when the state was taken, got Adam, which "
         "keeps steps, lr, mean, square, "),
        (lambda nn: nn.Adam(), {"callbacks": ()}, "callbacks: expected 2, as when the state was taken, got 0$"),
        (lambda nn: nn.Adam(), {"callbacks": "one"},
         r"callbacks: expected 2, as when the state was taken, got 1 \(EarlyStopping\)$"),
        (lambda nn: nn.Adam(), {"batch_size": 10}, "resume: expected at most 2 batches done, got 3"),
        (lambda nn: nn.Adam(), {"callbacks": "swapped"},
         "^resume: state: expected the keys best of a ModelCheckpoint, got"),
    ],
)
def test_other_objects(nn, saved, make, arguments, message):
    model = net(nn)
    kept = flat([model.state_dict(), model.network.counters()])
    callbacks = [nn.EarlyStopping(), nn.ModelCheckpoint(saved)]
    if arguments.get("callbacks") == "swapped":
        arguments = {"callbacks": callbacks[::-1]}
    if arguments.get("callbacks") == "one":
        arguments = {"callbacks": callbacks[:1]}
    with pytest.raises(ValueError, match=message):
        train(nn, model, make(nn), resume=saved, **{"callbacks": callbacks, **arguments})
    assert flat([model.state_dict(), model.network.counters()]) == kept


def test_a_state_of_other_objects(nn):
    """A state in memory knows what an optimizer keeps, and how many callbacks there were: fit says it in the words of
    its arguments, before any hook is called."""
    def states(*callbacks):
        model, optimizer = net(nn), nn.SGD(lr=0.1, momentum=0.9)
        history = train(nn, model, optimizer, epochs=1, callbacks=callbacks)
        return nn.training_state(model, optimizer, [history, *callbacks]), nn.training_state(model, optimizer)

    state, without_history = states(nn.EarlyStopping("loss"))
    called = []
    hook = nn.LambdaCallback(on_train_begin=lambda logs: called.append(1))
    for optimizer, resume, message in [
        (nn.Adam(), state, "optimizer: expected one that keeps steps, lr, momentum, as when the state was taken, got "
                           "Adam, which keeps steps, lr, mean, square"),
        (nn.SGD(momentum=0.9), states()[0],
         "callbacks: expected 0, as when the state was taken, got 1 (LambdaCallback)"),
        (nn.SGD(momentum=0.9), without_history,
         "resume: expected a state with that of the history, as of save_training(path, model, optimizer, loss, "
         "callbacks=[history]), got one of a model and an optimizer alone"),
        (nn.SGD(momentum=0.9), {**state, "version": 1}, "resume: state['version']: expected 2, got 1"),
        (nn.SGD(momentum=0.9), {**state, "counters": 3}, "resume: state['counters']: expected a dict, got int"),
    ]:
        model = net(nn)
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            train(nn, model, optimizer, callbacks=[hook], resume=resume)
        assert called == [] and model.steps == 0
    with pytest.raises(ValueError, match=r"^callbacks: expected 2, as when the state was taken, got 0$"):
        nn.load_training_state(state, net(nn), nn.SGD(momentum=0.9))
    with pytest.raises(ValueError, match=r"^optimizer: expected one that keeps steps, lr, momentum, as when"):
        nn.load_training_state(without_history, net(nn), nn.RMSprop())


def test_slots_of_another_shape(nn, saved):
    """Told before the model changes, and not at the optimizer's first step."""
    def swap(content, tensors):
        tensors["optimizer.mean.0.weight"] = np.zeros((6, 4))

    rewrite(saved, swap)
    model = net(nn)
    kept = flat(model.state_dict())
    with pytest.raises(ValueError, match=r"optimizer'\]\['mean'\]\['0\.weight'\]: expected \(4, 6\), got \(6, 4"):
        train(nn, model, nn.Adam(), resume=saved, callbacks=[nn.EarlyStopping(), nn.ModelCheckpoint(saved)])
    assert flat(model.state_dict()) == kept


@pytest.mark.parametrize("resume", [3, b"run", [1]])
def test_resume_is_a_state_or_a_path(nn, resume):
    with pytest.raises(TypeError, match="resume: expected a record of training_state or a path, got"):
        train(nn, net(nn), nn.SGD(), resume=resume)


# ---- damaged, foreign and hostile files ----


def refused(nn, path, kind=ValueError):
    """Every way to read the file is refused by an error that names it."""
    for read in (nn.load, nn.load_training, lambda path: train(nn, net(nn), nn.Adam(), resume=path)):
        with pytest.raises(kind, match=rf"^{path}: "):
            read(path)


def test_every_bit_counts(ref, tmp_path):
    """A bit flipped anywhere: in each byte of the header, in a sample of the values."""
    path = tmp_path / "model"
    model = ref.Sequential(ref.Linear(4, 99), dtype="float32")
    model.save(path)
    content, chance = bytearray(path.read_bytes()), random.Random(0)
    header = 8 + int.from_bytes(content[:8], "little")
    assert header < len(content)
    for place in [*range(header), *chance.sample(range(header, len(content)), 100), len(content) - 1]:
        bit = 1 << chance.randrange(8)
        content[place] ^= bit
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^{path}: "):
            ref.load(path)
        content[place] ^= bit
    path.write_bytes(content)
    same_parameters(ref.load(path), model)


def test_a_flipped_bit_on_the_way_into_a_training(nn, saved):
    content = bytearray(saved.read_bytes())
    content[-5] ^= 1
    saved.write_bytes(content)
    with pytest.raises(ValueError, match="expected the sha256 that is written in it, got another one: the file is dam"):
        nn.load(saved)
    refused(nn, saved)


def test_cut_short_or_longer(ref, saved):
    content = saved.read_bytes()
    for size in [*range(0, len(content), 97), len(content) - 1]:
        saved.write_bytes(content[:size])
        refused(ref, saved)
    saved.write_bytes(content + b"\0")
    refused(ref, saved)


def test_foreign_files(ref, tmp_path):
    path = tmp_path / "foreign"
    plain = b"".join(safetensors.pack(net(ref).state_dict(), {"format": "pt"}))
    for content, message in [
        (plain, "expected a file that fastnn has written, got a safetensors file without its metadata"),
        (b"".join(safetensors.pack({}, {})), "expected a file that fastnn has written"),
        (b"\x80\x02}q\x00.", "expected a safetensors file, got one that does not begin like one"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"foreign: {message}"):
            ref.load(path)
        refused(ref, path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"fastnn": "2"}, "expected format 1, got 2: a later fastnn wrote the file"),
        ({"fastnn": "2", "layout": "new"}, "expected format 1, got 2: a later fastnn wrote the file"),
        ({"fastnn": "01"}, "expected the metadata of format 1, fastnn, content, sha256, got content, fastnn, sha256"),
        ({"fastnn": "9" * 5000}, "expected the metadata of format 1"),
        ({"extra": "x"}, "expected the metadata of format 1, .* got content, extra, fastnn, sha256"),
        ({"sha256": "../../etc/passwd"}, "expected the metadata of format 1"),
        ({"sha256": "0" * 64}, "expected the sha256 that is written in it"),
    ],
)
def test_metadata(ref, tmp_path, metadata, message):
    path = tmp_path / "model"
    net(ref).save(path)
    tensors, before = safetensors.unpack(path.read_bytes())
    path.write_bytes(b"".join(safetensors.pack(tensors, before | metadata)))
    with pytest.raises(ValueError, match=f"model: {message}"):
        ref.load(path)


def wider(content, tensors):
    tensors["0.weight"] = np.zeros((4, 7))


def huge(content, tensors):
    content["config"]["model"]["layers"][0]["out_features"] = 2**35


HOSTILE = {
    "a weight of another shape": (wider, r"state\['0\.weight'\]: expected \(4, 6\), got \(4, 7\)|7"),
    "layers larger than any memory": (huge, "expects|expected"),
    "an array that belongs to nothing": (lambda c, t: t.update({"../x": np.zeros(2)}), r"got '\.\./x', too"),
    "an array that is not there": (lambda c, t: t.pop("0.bias") is None or None, "expected .tensor with the name of"),
    "an array twice": (lambda c, t: c["state"]["model"].update({"0.bias": {"$tensor": "0.weight"}}), "once, or .tuple"),
    "a mark of its own": (lambda c, t: c["state"].update({"$x": 1}), "got {'"),
    "another key": (lambda c, t: c.update(extra=1), "content: expected the keys config, state, got con"),
    "another key in the config": (lambda c, t: c["config"].update(extra=1), "the keys model, optimizer, loss, got"),
    "another key in the state": (lambda c, t: c["state"].update(extra=1), "state: expected the keys version, mod"),
    "another key in a record": (lambda c, t: c["config"]["model"].update(extra=1), "unknown argument of Sequential: "),
    "no model": (lambda c, t: c["config"].pop("model") and None, "the keys model, optimizer, loss, got opt"),
    "a number for a model": (lambda c, t: c["config"].update(model=3), "model: expected the record of one, got 3"),
    "a layer for a model": (lambda c, t: c["config"].update(model=c["config"]["model"]["layers"][0]),
                            "model: expected the record of one"),
    "a list": (lambda c, t: [c], "content: expected the keys config, state, got list"),
    "counters": (lambda c, t: c["state"]["counters"].update(steps=-1), "counters'..'steps'.: expected an integer >= 0"),
    "sums": (lambda c, t: c["state"]["counters"].update(sums=[1, 2]), "sums'.: expected three floats"),
}  # fmt: skip


@chequered
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(nn, saved, name):
    change, message = HOSTILE[name]
    rewrite(saved, change)
    with pytest.raises(ValueError, match=rf"(?s){saved}: .*({message})"):
        nn.load(saved)


def test_nested_without_end(ref, tmp_path):
    path = tmp_path / "model"
    net(ref).save(path)
    _, metadata = safetensors.unpack(path.read_bytes())
    record = json.loads(metadata["content"])["config"]["model"]
    text = json.dumps({**record, "layers": ["HERE"]})
    for depth in (500, 100_000):
        before, after = text.split('"HERE"')
        nested = before * depth + json.dumps(record) + after * depth
        content = f'{{"config": {{"model": {nested}}}, "state": {{"model": {{}}, "counters": {{}}}}}}'
        metadata |= {"content": content, "sha256": "0" * 64}
        file = b"".join(safetensors.pack({}, metadata))
        digest = hashlib.sha256(file).hexdigest().encode()
        path.write_bytes(file.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + digest))
        with pytest.raises(ValueError, match=f"{path}: "):
            ref.load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.sampled_from(["", "Linear", "x", "$tensor"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["class", "$tuple", "lr"]), inner),
    max_leaves=4,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data())
def test_any_change_of_the_content(nn, saved, data):
    """Read, or refused with the model as it was: there is no third."""

    def change(content, tensors):
        place = content
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 4)) == 0:
                break
            place = place[key]
        if data.draw(st.booleans()):
            place[key] = data.draw(JSON)
        else:
            del place[key]

    changed = saved.with_name("changed")
    rewrite(saved, change, changed)
    model, optimizer = net(nn), nn.Adam(lr=0.05)
    kept = flat([model.state_dict(), model.network.counters()])
    for read in (nn.load, nn.load_training):
        try:
            read(changed)
        except ValueError as error:
            assert str(error).startswith(f"{changed}: ")
    try:
        callbacks = [nn.EarlyStopping(), nn.ModelCheckpoint(changed)]
        train(nn, model, optimizer, resume=changed, callbacks=callbacks, epochs=0)
    except (ValueError, TypeError):
        assert flat([model.state_dict(), model.network.counters()]) == kept


# ---- atomic and durable ----


class Disk:
    """The system's calls of a save, counted; one of them fails, or all writes are short."""

    def __init__(self, monkeypatch):
        self.calls, self.fails_at, self.code, self.short = [], None, 0, False
        for name in ("open", "fstat", "fsync", "replace", "listdir"):
            monkeypatch.setattr(os, name, self.counted(name, getattr(os, name)))
        monkeypatch.setattr(atomic, "flock", self.counted("flock", atomic.flock))
        disk = self

        class File(io.FileIO):
            def write(self, data):
                disk.call("write")
                return super().write(bytes(data)[: random.randint(1, 50)] if disk.short else data)

            def close(self):
                if not self.closed:
                    super().close()
                    disk.call("close")

        def opened(file, mode):
            return io.BufferedRandom(File(file, "w+")) if isinstance(file, int) else builtins.open(file, mode)

        monkeypatch.setattr(atomic, "open", opened, raising=False)

    def call(self, name):
        self.calls.append(name)
        if len(self.calls) - 1 == self.fails_at:
            raise OSError(self.code, os.strerror(self.code))

    def counted(self, name, function):
        def run(*arguments, **named):
            self.call(name)
            return function(*arguments, **named)

        return run


def saves(disk, model, path, **how):
    """Does it say that it saved? OSError says that it did not."""
    disk.calls = []
    disk.fails_at, disk.code, disk.short = how.get("at"), how.get("code", 0), how.get("short", False)
    try:
        model.save(path)
    except OSError as error:
        assert error.errno == how["code"]
        return False
    finally:
        disk.fails_at, disk.short = None, False
    return True


@pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_fails_at_any_call(ref, tmp_path, monkeypatch):
    """The old file whole or the new one, the old one until the rename; nothing else in the folder."""
    path = tmp_path / "model"
    first, second = net(ref, seed=1), net(ref, seed=2)
    second.save(path)
    new = path.read_bytes()
    first.save(path)
    old = path.read_bytes()
    kept = flat(second.state_dict())
    disk = Disk(monkeypatch)
    assert saves(disk, second, path)
    calls = list(disk.calls)
    assert calls[-6:] == ["write", "fsync", "replace", "close", "open", "fsync"]        # the file, then its folder
    failed = 0
    for at, code in itertools.product(range(len(calls)), (errno.ENOSPC, errno.EIO)):
        path.write_bytes(old)
        said = saves(disk, second, path, at=at, code=code)
        failed += not said
        assert path.read_bytes() == (new if said or at > calls.index("replace") else old), (calls[at], code)
        assert os.listdir(tmp_path) == ["model"], (calls[at], code)
        assert said == (calls[at] in ("listdir", "flock")), calls[at]
    assert failed == 2 * sum(name not in ("listdir", "flock") for name in calls)
    path.write_bytes(old)
    assert saves(disk, second, path, short=True) and disk.calls.count("write") > 20
    assert path.read_bytes() == new
    assert flat(second.state_dict()) == kept


def test_a_folder_without_fsync(ref, tmp_path, monkeypatch):
    """Some file systems have none; that is no failure."""
    disk = Disk(monkeypatch)
    saves(disk, net(ref), tmp_path / "model")
    assert saves(disk, net(ref), tmp_path / "model", at=len(disk.calls) - 1, code=errno.EINVAL)


def test_killed_while_it_saves(request, ref, tmp_path):
    """0 broken files, and the next save removes what a kill left; with --thorough 200 kills."""
    kills = 200 if request.config.getoption("--thorough") else 20
    done = python(f"""
        import os, random, signal, sys, time
        import fastnn_ref as ref
        path, chance = {str(tmp_path / "model")!r}, random.Random(0)
        models = [ref.Sequential(ref.Linear(64, 512), ref.Linear(512, 64), seed=seed) for seed in range(2)]
        weights = [model.state_dict()["1.weight"].tobytes() for model in models]
        models[0].save(path)
        broken = left = 0
        for _ in range({kills}):
            child = os.fork()
            if child == 0:
                for step in range(10**9):
                    models[step % 2].save(path)
            time.sleep(chance.uniform(0, 0.02))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            left += len(os.listdir({str(tmp_path)!r})) > 1
            assert len(os.listdir({str(tmp_path)!r})) <= 2      # a save removes the leftover of the one before
            try:
                broken += ref.load(path).state_dict()["1.weight"].tobytes() not in weights
            except ValueError:
                broken += 1
        models[1].save(path)
        print(broken, left, os.listdir({str(tmp_path)!r}))
    """)
    broken, left, files = done.split(maxsplit=2)
    assert (int(broken), files.strip()) == (0, "['model']")
    assert int(left) > 0                                    # the kills did come in the middle


def test_a_temporary_file_in_use_stays(tmp_path):
    path = tmp_path / "file"
    with atomic.replacing(path) as slow:
        slow.write(b"slow")
        (tmp_path / ".file.0123456789abcdef.part").write_bytes(b"left by a kill")
        (tmp_path / ".other.0123456789abcdef.part").write_bytes(b"another file's")
        atomic.write(path, b"fast")
        assert path.read_bytes() == b"fast" and len(os.listdir(tmp_path)) == 3
    assert path.read_bytes() == b"slow"
    assert sorted(os.listdir(tmp_path)) == [".other.0123456789abcdef.part", "file"]


# ---- ModelCheckpoint ----


def files(folder):
    return sorted(os.listdir(folder))


def test_when_it_writes(nn, tmp_path):
    for arguments, wanted in [
        ({}, ["1", "2", "3", "4", "5"]),
        ({"every": 2}, ["2", "4"]),
        ({"every": 9}, []),
        ({"save_best_only": True}, ["1", "2", "4"]),
        ({"save_best_only": True, "mode": "max"}, ["1", "5"]),
        ({"save_best_only": True, "every": 2}, ["2", "4"]),
        ({"save_best_only": True, "every": 3}, ["3"]),
    ]:
        for old in files(tmp_path):
            (tmp_path / old).unlink()
        saving = nn.ModelCheckpoint(tmp_path / "{epoch}", monitor="wrong", **({"mode": "min"} | arguments))
        says = nn.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(wrong=[3, 2, 2, 1, 9][epoch]))
        train(nn, net(nn), nn.SGD(), epochs=5, callbacks=[says, saving])
        assert files(tmp_path) == wanted
        assert saving.latest == (str(tmp_path / wanted[-1]) if wanted else None)
        if arguments.get("save_best_only"):
            assert saving.best == (9 if "mode" in arguments else 2 if arguments.get("every") == 3 else 1)


def test_names_of_files(nn, tmp_path):
    saving = nn.ModelCheckpoint(tmp_path / "{epoch:03d}-{step}-{loss:.2f}-{val_accuracy:.1f}")
    history = train(nn, net(nn), nn.SGD(), metrics=["accuracy"], callbacks=[saving])
    assert files(tmp_path) == [
        f"{epoch + 1:03d}-{4 * epoch + 4}-{history.history['loss'][epoch]:.2f}-"
        f"{history.history['val_accuracy'][epoch]:.1f}" for epoch in range(3)]  # fmt: skip


def test_by_the_step(nn, tmp_path):
    saving = nn.ModelCheckpoint(tmp_path / "{step}-{epoch}-{batch}", every=3, unit="step")
    train(nn, net(nn), nn.SGD(), callbacks=[saving])
    assert files(tmp_path) == ["12-3-3", "3-1-2", "6-2-1", "9-3-0"]


def test_it_writes_after_all_others(nn, tmp_path):
    """First in the list or last: what is in the file has seen the whole epoch, or batch, of every callback."""

    class Counts(nn.Callback):
        state_names = ("epochs", "batches")
        epochs = batches = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1

    states = []
    for position in (0, 1, 3):
        best = nn.ModelCheckpoint(tmp_path / "best", monitor="loss", save_best_only=True)
        callbacks = [Counts(), nn.EarlyStopping("loss"), best]
        callbacks.insert(position, nn.ModelCheckpoint(tmp_path / "{epoch}-{step}"))
        callbacks.append(nn.ModelCheckpoint(tmp_path / "{step}", unit="step"))
        train(nn, net(nn), nn.SGD(lr=0.01), callbacks=callbacks, epochs=2)
        found = nn.load_training(tmp_path / "2-8").state["callbacks"]
        assert [state for state in found if "epochs" in state] == [{"epochs": 2, "batches": 8}]
        assert nn.load_training(tmp_path / "7").state["callbacks"][1 + (position == 0)] == {"epochs": 1, "batches": 7}
        assert nn.load_training(tmp_path / "best").state["callbacks"][3 if position == 3 else 4]["best"] == best.best
        states.append(sorted(map(str, ([state for state in found[1:]]))))
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "no/model"}, "path: expected a file in a folder that is there and can be written, got '.*no/model'"),
        ({"path": ""}, "path: expected a file in a folder that is there"),
        ({"path": "{epohc}"}, "path: expected fields of loss, .*, val_loss, epoch, step in '.*{epohc}', got 'epohc'"),
        ({"path": "{epoch:.2q}"}, "path: expected fields of .*, got Invalid format specifier|Unknown format code"),
        ({"path": "{}"}, "path: expected fields of"),
        ({"path": "{epoch[0]}"}, "path: expected fields of"),
        ({"path": "{val_loss}", "unit": "step"}, "path: expected fields of loss, batch, size, epoch, step in"),
        ({"path": "a", "monitor": "accuracy", "save_best_only": True}, "monitor: expected one of loss, .*, got"),
        ({"path": "a", "monitor": "val_acuracy"}, "monitor: expected one of loss, .*, val_loss, got 'val_acuracy'"),
        ({"path": "a", "monitor": "val_acuracy", "unit": "step"}, "monitor: expected one of .*, got 'val_ac"),
    ],
)
def test_told_before_the_first_step(nn, tmp_path, arguments, message):
    model = net(nn)
    arguments = arguments | {"path": os.path.join(tmp_path, arguments["path"])}
    with pytest.raises(ValueError, match=message):
        train(nn, model, nn.SGD(), callbacks=[nn.ModelCheckpoint(**arguments)])
    assert model.steps == 0 and files(tmp_path) == []


def test_arguments(nn):
    for arguments, error, message in [
        ({"every": 0}, ValueError, "every: expected an integer >= 1, got 0"),
        ({"unit": "batch"}, ValueError, "unit: unknown name 'batch', known: epoch, step"),
        ({"mode": "best"}, ValueError, "mode: unknown name 'best'"),
        ({"save_best_only": 1}, TypeError, "save_best_only: expected True or False, got 1"),
        ({"save_best_only": True, "unit": "step"}, ValueError, "unit: expected 'epoch' with save_best_only"),
    ]:
        with pytest.raises(error, match=message):
            nn.ModelCheckpoint("a", **arguments)
    saving = nn.ModelCheckpoint("a", every=3, unit="step")
    assert nn.from_config(saving.config()).config() == saving.config()
    assert repr(saving) == "ModelCheckpoint('a', every=3, unit='step')"


def test_without_validation_data(nn, tmp_path):
    """The default need not be in the logs, except for the best; another name that is there is looked at by nobody."""
    train(nn, net(nn), nn.SGD(), callbacks=[nn.ModelCheckpoint(tmp_path / "run")], validation_split=0)
    assert files(tmp_path) == ["run"]
    train(nn, net(nn), nn.SGD(), callbacks=[nn.ModelCheckpoint(tmp_path / "run", monitor="loss")], validation_split=0)
    with pytest.raises(ValueError, match=r"monitor: expected one of loss.*fit needs validation_data for it"):
        train(nn, net(nn), nn.SGD(), callbacks=[nn.ModelCheckpoint(tmp_path / "run", save_best_only=True)],
              validation_split=0)  # fmt: skip


def test_a_full_disk_ends_the_training(nn, tmp_path, monkeypatch):
    ends, saving = [], nn.ModelCheckpoint(tmp_path / "run")
    model = net(nn)

    def full(epoch, logs):
        if epoch == 1:
            monkeypatch.setattr(atomic.os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left")))

    look = nn.LambdaCallback(on_epoch_end=full, on_train_end=ends.append)
    with pytest.raises(OSError, match="No space left"):
        train(nn, model, nn.SGD(), callbacks=[saving, look])
    monkeypatch.undo()
    assert len(ends) == 1 and model.epochs == 2
    assert nn.load_training(tmp_path / "run").model.epochs == 1 and files(tmp_path) == ["run"]


def test_a_full_disk_is_told_with_the_file(nn, tmp_path):
    """In each kind of file: one does not know otherwise which of them is on the full disk."""
    model, run, log = net(nn), tmp_path / "run", tmp_path / "log"
    calls = {run: lambda: model.save(run), log: lambda: train(nn, model, nn.SGD(), callbacks=[nn.CSVLogger(log)])}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        for path, call in calls.items():
            with pytest.raises(OSError, match="too large") as caught:
                call()
            assert caught.value.filename == str(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(tmp_path) == ["log"]


@pytest.mark.parametrize("letter", ["a", "ж", "字", "🎲"])
def test_the_longest_names(nn, tmp_path, letter):
    """A file system counts bytes: 255 are a name, however many letters these are."""
    path = tmp_path / (letter * (255 // len(letter.encode())))
    net(nn).save(path)
    assert files(tmp_path) == [path.name]


def test_a_training_that_had_ended(nn, tmp_path):
    """Stopped early, then resumed from its last file: it was over, and the best weights come back once more."""
    callbacks = [nn.EarlyStopping("loss", patience=1, min_delta=1.0), nn.ModelCheckpoint(tmp_path / "run")]
    model, again = net(nn), net(nn)
    history = train(nn, model, nn.SGD(lr=0.1), callbacks=callbacks, epochs=9)
    assert len(history.epoch) == 2
    callbacks = [nn.EarlyStopping("loss", patience=1, min_delta=1.0), nn.ModelCheckpoint(tmp_path / "run")]
    resumed = train(nn, again, nn.SGD(lr=0.1), callbacks=callbacks, epochs=9, resume=tmp_path / "run")
    assert resumed.history == history.history
    same_parameters(again, model)

"""Run folders, configuration files, data of one's own, and the commands that use a trained model."""

import gzip
import importlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import cli, datasets, plot
from fastnn.cli import options, own_data, rows, task, train
from fastnn.cli.encoding import Encoding, fitted, fitted_targets
from fastnn.cli.folder import Folder
from fastnn.cli.score import Estimated
from fastnn.cli.session import SIGNALLED, UsageError
from fastnn_ref.shared import metrics, progress

from .test_cli import ASCII, few_digits, python, small_picture  # noqa: F401  (two are fixtures)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_digits", "small_picture")]

TRAINING_REPORT = plot.training_report          # which small_picture replaces


def call(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    code = cli.main(line.split())
    return code, *capsys.readouterr()


def weights(file: str) -> dict[str, bytes]:
    """Every parameter of a model's file, as bytes."""
    return {name: value.tobytes() for name, value in fastnn.load(file).state_dict().items()}


def raise_in(monkeypatch: pytest.MonkeyPatch, number: int, label: str, epoch: int) -> None:
    """The signal comes when the package ``label`` begins that epoch."""
    begin = progress.ProgressBar.on_epoch_begin

    def signalled(self: Any, now: int, logs: Any = None) -> None:
        begin(self, now, logs)
        if (self.label.strip(), now) == (label, epoch):
            signal.raise_signal(number)

    monkeypatch.setattr(progress.ProgressBar, "on_epoch_begin", signalled)


# -- run folders


def test_a_run_folder_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "train --run a --epochs 2 --hidden 9")
    assert code == 0 and out.endswith("Picture: a/picture.png\n")
    each = ("checkpoint.safetensors", "history.csv", "model.safetensors")
    files = {f"{package}-{kind}" for package in ("fastnn", "fastnn_ref") for kind in each}
    assert {path.name for path in Path("a").iterdir()} == files | {"config.toml", "run.json", "picture.png"}
    lines = Path("a/fastnn-history.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,accuracy,val_loss,val_accuracy,lr" and len(lines) == 3
    assert json.loads(Path("a/run.json").read_text())["encoding"]["labels"] == list("0123456789")
    assert options.read_toml(train.Config, "a/config.toml")["hidden"] == (9,)
    assert call(capsys, "train --run a")[::2] == (2, (
        "fastnn train: error: --run: expected a folder without a run, got 'a'; --resume a goes on with it\n"))


def test_a_resume_that_fails_leaves_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing has taken its place."""
    call(capsys, "train --run a --epochs 1 --hidden 9 --backend fast --quiet")
    before = Path("a/fastnn-model.safetensors").read_bytes()
    Path("a/fastnn-history.csv").unlink()
    code, _, err = call(capsys, "train --resume a --epochs 2 --quiet")
    assert code == 1 and re.search(r"error: a/fastnn-history\.csv: expected at least \d+ bytes, .*, got no file$", err)
    assert Path("a/fastnn-model.safetensors").read_bytes() == before


@pytest.mark.parametrize(("options", "code", "message"), [
    ("--batch-norm --batch-size 1", 2, "--batch-size: expected at least 2 rows in a training batch, to normalise over"),
    ("--hidden 1048576,1048576 --backend fast", 1, "not enough memory"),
    ("--data few.csv --early-stopping", 2, "--early-stopping: expected 10 rows to train on or more, of which a tenth "),
])
def test_a_run_that_fails_at_once_leaves_its_folder_free(
    capsys: pytest.CaptureFixture[str], options: str, code: int, message: str
) -> None:
    """The same folder is taken once the option is another one."""
    Path("few.csv").write_text("".join(f"{row},{row % 2}\n" for row in range(8)))
    found, _, err = call(capsys, f"train --run a --epochs 1 {options}")
    assert found == code and message in err and not any(Path("a").iterdir())
    assert call(capsys, "train --run a --epochs 1 --hidden 9 --backend fast --quiet")[0] == 0


def test_a_run_that_fails_later_is_kept(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a checkpoint."""
    def full(self: Any, epoch: int, logs: Any = None) -> None:
        if epoch:
            raise OSError("full")

    with monkeypatch.context() as patched:
        patched.setattr(progress.ProgressBar, "on_epoch_begin", full)
        assert call(capsys, "train --run a --epochs 2 --hidden 9 --backend fast --quiet")[0] == 1
    assert {each.name for each in Path("a").iterdir()} >= {"config.toml", "run.json", "fastnn-history.csv"}


def test_no_folder_is_not_the_one_one_is_in(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a shell variable that is not set there is no text; Path makes . of it."""
    small = "--epochs 1 --hidden 9 --backend fast --quiet".split()
    assert cli.main(["train", "--run", "", *small]) == 2 and not any(Path().iterdir())
    assert capsys.readouterr().err == "fastnn train: error: --run: expected a folder, got ''\n"
    assert cli.main(["train", "--run", ".", *small]) == 0
    capsys.readouterr()
    assert cli.main(["train", "--resume", ""]) == 2
    assert capsys.readouterr().err == "fastnn train: error: --resume: expected a folder, got ''\n"


@pytest.mark.parametrize(("number", "label", "epoch"), [
    (signal.SIGINT, "fastnn_ref", 2), (signal.SIGTERM, "fastnn", 1), (signal.SIGINT, "fastnn_ref", 0),
])  # fmt: skip
def test_an_interrupted_run_goes_on_to_the_same_bits(
    capsys: pytest.CaptureFixture[str], number: int, label: str, epoch: int
) -> None:
    how = "--hidden 8 --dropout 0.3 --batch-norm --early-stopping 2 --lr 0.01"
    assert call(capsys, f"train --run whole --epochs 4 {how}")[0] == 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)    # `&` hands down that it is ignored
    try:
        with pytest.MonkeyPatch.context() as patch:
            raise_in(patch, number, label, epoch)
            code, out, _ = call(capsys, f"train --run a --epochs 4 {how}")
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == SIGNALLED + number and out.endswith("\nTo go on: fastnn train --resume a\n")
    assert not Path("a/fastnn-model.safetensors").exists()
    assert call(capsys, "train --resume a")[0] == 0
    for package in ("fastnn", "fastnn_ref"):
        assert weights(f"a/{package}-model.safetensors") == weights(f"whole/{package}-model.safetensors")
        histories = [Path(run, f"{package}-history.csv").read_text() for run in ("a", "whole")]
        assert histories[0] == histories[1]


def test_a_finished_run_goes_on_for_more_epochs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last epoch is in the checkpoint, however short ago the one before was written."""
    epochs: list[int] = []
    monkeypatch.setattr(progress.ProgressBar, "on_epoch_begin", lambda self, epoch, logs=None: epochs.append(epoch))
    for line in ("--run whole --epochs 4", "--run a --epochs 2", "--resume a --epochs 4"):
        assert call(capsys, f"train {line} {'' if 'resume' in line else '--backend fast --dropout 0.2'}")[0] == 0
    assert epochs == [0, 1, 2, 3, 0, 1, 2, 3] and weights("a/fastnn-model.safetensors") == weights(
        "whole/fastnn-model.safetensors")
    assert options.read_toml(train.Config, "a/config.toml")["epochs"] == 4


def test_a_run_that_early_stopping_ended_stays_ended(capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "train --run a --epochs 50 --backend fast --early-stopping 0 --lr 0")
    lines = Path("a/fastnn-history.csv").read_text()
    assert len(lines.splitlines()) < 10
    assert call(capsys, "train --resume a --epochs 60")[0] == 0
    assert Path("a/fastnn-history.csv").read_text() == lines


KILLED = """
import os, signal, fastnn.datasets as d, fastnn_ref.shared.progress as p
from dataclasses import replace
from fastnn.cli import main
all = d.load_digits()
d.load_digits = lambda: replace(all, x_train=all.x_train[:150], t_train=all.t_train[:150], x_test=all.x_test[:50],
                                t_test=all.t_test[:50])
p.ProgressBar.on_epoch_begin = lambda self, epoch, logs=None: epoch == 2 and os.kill(os.getpid(), signal.SIGKILL)
main('train --run a --backend fast --epochs 4 --quiet'.split())
"""


def test_a_process_that_is_killed_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is cleaned up, and what is there is enough."""
    assert python("-c", KILLED).returncode == -signal.SIGKILL
    assert fastnn.load_training("a/fastnn-checkpoint.safetensors").optimizer.steps in (5, 10)
    for line in ("--resume a", "--run whole --backend fast --epochs 4"):
        assert call(capsys, f"train --quiet {line}")[0] == 0
    assert weights("a/fastnn-model.safetensors") == weights("whole/fastnn-model.safetensors")


@pytest.mark.parametrize("option", ["--run", "--resume"])
def test_one_process_trains_in_a_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, option: str,
) -> None:
    """Two would put the options of one beside the model of the other."""
    more = "--backend fast --epochs 1" if option == "--run" else ""
    if option == "--resume":
        call(capsys, "train --run a --epochs 2 --backend fast")
    with Folder(Path("a")).alone("--resume"):
        before = {path.name: path.read_bytes() for path in Path("a").iterdir()}
        code, out, err = call(capsys, f"train {option} a {more}")
        assert (code, out) == (2, "") and err == (
            f"fastnn train: error: {option}: expected a folder in which no other process trains, got 'a'\n")
        assert before == {path.name: path.read_bytes() for path in Path("a").iterdir()}
    assert call(capsys, f"train {option} a {more}")[0] == 0
    if option == "--run":                       # begun between the two looks
        looks = iter([lambda self: None, Folder.check_is_new])
        monkeypatch.setattr(Folder, "check_is_new", lambda self: next(looks)(self))
        before = {path.name: path.read_bytes() for path in Path("a").iterdir()}
        assert call(capsys, f"train --run a {more} --lr 7")[0] == 2
        assert before == {path.name: path.read_bytes() for path in Path("a").iterdir()}


def test_a_run_goes_on_with_its_own_data_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(capsys, "train --run a --epochs 1 --backend fast")
    data = datasets.load_digits()
    monkeypatch.setattr(datasets, "load_digits", lambda: replace(data, t_train=data.t_train[::-1]))
    code, _, err = call(capsys, "train --resume a --epochs 2")
    assert code == 1 and "expected the data that the run began with" in err


@pytest.mark.parametrize(("line", "message"), [
    ("--resume nowhere", r"--resume: expected the folder of a run \(fastnn train --run\), got 'nowhere'"),
    ("--resume a --lr 0.1", "--lr: has an effect only without --resume"),
    ("--resume a --run b", "--run: has an effect only without --resume"),
    ("--resume a --epochs 1", "--epochs: expected at least 2, which the run has behind it, got 1"),
])  # fmt: skip
def test_mistakes_with_resume(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    call(capsys, "train --run a --epochs 2 --backend fast")
    before = {path.name: path.read_bytes() for path in Path("a").iterdir()}
    code, out, err = call(capsys, f"train {line}")
    assert (code, out) == (2, "") and re.match(f"fastnn train: error: {message}\n", err)
    assert before == {path.name: path.read_bytes() for path in Path("a").iterdir()}


# -- configuration files


def test_a_file_of_options_and_flags_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.toml").write_text("hidden = [7, 5]\nlr = 1e-2\nbatch-norm = true\nearly-stopping = true\nepochs = 9\n")
    typed = {"config": "c.toml", "epochs": 2, "batch_norm": False}
    assert train.configure(typed) == train.Config(hidden=(7, 5), lr=0.01, early_stopping=5, **typed)
    assert "64-7-5-10 relu" in call(capsys, "train --config c.toml --epochs 1 --no-batch-norm --backend ref")[1]


def test_toml_round_trip() -> None:
    config = train.Config(hidden=(), dropout=0.1, batch_norm=True, l1=1e-9, seed=2**63, augment='r"\\\x7f')
    Path("c.toml").write_text(options.to_toml(config))
    assert train.Config(**options.read_toml(train.Config, "c.toml")) == config


@pytest.mark.parametrize(("text", "message"), [
    ("lr 3", "expected a TOML file, Expected '='"),
    ("batch-sise = 3", "key: .*'batch-sise', did you mean 'batch-size'"),
    ("batch_size = 3", "key: .*'batch_size', did you mean 'batch-size'"),
    ("run = 'a'", "key: .*'run'"),
    ("lr = 'x'", "lr: expected a number, got 'x'"),
    ("lr = true", "lr: expected no switch, got true"),
    ("batch-norm = 1", "batch-norm: expected true or false, got 1"),
    ("dropout = 50", "dropout: expected a finite number >= 0 and <= 1, got 50"),
    ("epochs = 1.5", "epochs: expected an integer, got '1.5'"),
    ("[network]\nhidden = 3", "key: .*'network'"),
    ("hidden.a = 3", "hidden: expected a value, got a table"),
])  # fmt: skip
def test_mistakes_in_a_file_of_options(text: str, message: str) -> None:
    Path("c.toml").write_text(text)
    with pytest.raises(UsageError, match=rf"^c\.toml: {message}"):
        options.read_toml(train.Config, "c.toml")


# -- data of one's own


@pytest.fixture
def flowers() -> np.ndarray[Any, Any]:
    """Three well separated kinds: 60 rows of two numbers around (0, 0), (9, 0) and (0, 9), scaled apart."""
    rng = np.random.default_rng(0)
    x = np.array([(0, 0), (9, 0), (0, 9)])[np.arange(60) % 3] + rng.uniform(-1, 1, (60, 2))
    return x * (1, 1000)


KINDS = ("rose", "iris", "lily")


def table(x: Any, header: str = "", first: bool = False, mark: str = ",") -> str:
    """A CSV text, its classes in the last column or in the first one."""
    lines = [header] if header else []
    for row, values in enumerate(x.tolist()):
        cells = [*map(repr, values), KINDS[row % 3]]
        lines.append(mark.join(cells[-1:] + cells[:-1] if first else cells))
    return "\n".join(lines) + "\n"


FIT = "--backend fast --epochs 30 --hidden 8 --lr 0.05 --quiet"


@pytest.mark.parametrize(("header", "first", "mark", "target"), [
    ("a,b,kind", False, ",", ""), ("", False, ";", ""), ("kind\ta\tb", True, "\t", "--target kind"),
    ("", True, ",", "--target 1"),
])  # fmt: skip
def test_a_table_is_learnt_and_predicted_with_its_labels(
    capsys: pytest.CaptureFixture[str], flowers: Any, header: str, first: bool, mark: str, target: str
) -> None:
    Path("f.csv").write_text(table(flowers, header, first, mark))
    code, _, err = call(capsys, f"train --data f.csv {target} --run a {FIT}")
    assert (code, err) == (0, "")
    code, out, _ = call(capsys, "predict a f.csv")                      # the column of the classes is left out
    assert code == 0 and out.split() == ["class", *(KINDS[row % 3] for row in range(60))]
    Path("new.csv").write_text("\n".join(f"{a},{b}" for a, b in flowers.tolist()))
    assert call(capsys, "predict a new.csv")[1] == out
    found = json.loads(call(capsys, "evaluate a --json")[1])
    assert found["rows"] == 15 and found["accuracy"] == 1
    logged = Path("a/fastnn-history.csv").read_text().splitlines()[-1].split(",")
    assert found["loss"] == float(logged[3])
    assert json.loads(call(capsys, "evaluate a --data f.csv --json --metrics f1")[1])["f1"] == 1
    assert call(capsys, "train --resume a --epochs 31 --quiet")[0] == 0
    Path("f.csv").write_text(table(flowers, header, first, mark).replace("lily", "lilly"))
    code, _, err = call(capsys, "evaluate a --data f.csv")
    column = {"--target kind": "'kind'", "--target 1": "1"}.get(target, "'kind'" if header else "3")
    said = f"f.csv: line {4 if header else 3}, column {column}: expected one of iris, lily, rose, got 'lilly'\n"
    assert (code, err) == (1, f"fastnn evaluate: error: {said}")


def test_bytes_and_numbers() -> None:
    """Bytes of a training become 0 to 1; numbers are scaled, also if they come as bytes later, a constant one only
    shifted."""
    scaled = fitted(np.array([[1.0, 5.0], [3.0, 5.0]]), True)
    assert scaled == {"mean": (2.0, 5.0), "deviation": (1.0, 1.0)}
    encoding, row = Encoding(("a", "b"), 2, **scaled), np.array([[4, 5]], np.uint8)
    assert encoding.inputs(row).tolist() == encoding.inputs(row * 1.0).tolist() == [[2, 0]]
    pixels = np.array([[[0, 255]]], np.uint8)
    assert Encoding(("a", "b"), 2, **fitted(pixels, True)).inputs(pixels).tolist() == [[0, 1]]
    plain = Encoding(("a", "b"), 2, **fitted(pixels * 1.0, False))
    assert plain.inputs(pixels).tolist() == plain.inputs(pixels * 1.0).tolist() == [[0, 255]]


def test_probabilities_and_files(capsys: pytest.CaptureFixture[str], flowers: Any) -> None:
    Path("f.csv").write_text(table(flowers, "a,b,kind"))
    call(capsys, f"train --data f.csv --run a {FIT}")
    np.save("x.npy", flowers[:4])
    assert call(capsys, "predict a x.npy --proba --out p.npy")[:2] == (0, "")
    model = fastnn.load("a/fastnn-model.safetensors")
    record = json.loads(Path("a/run.json").read_text())["encoding"]
    rows = np.loadtxt("f.csv", delimiter=",", skiprows=1, usecols=(0, 1))
    assert record["mean"] != rows.mean(axis=0).tolist()                 # of the training rows alone
    x = ((flowers[:4] - record["mean"]) / record["deviation"]).astype(np.float32)
    assert (np.load("p.npy") == model.predict_proba(x)).all()
    call(capsys, "predict a x.npy --proba --out p.csv")
    assert Path("p.csv").read_text().splitlines()[0] == ",".join(sorted(KINDS))
    assert np.allclose(np.loadtxt("p.csv", delimiter=",", skiprows=1), np.load("p.npy"))
    call(capsys, "predict a x.npy --out c.npy --backend ref")
    assert np.load("c.npy").tolist() == ["rose", "iris", "lily", "rose"]


def idx(array: Any) -> bytes:
    """The bytes of an IDX file of bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("kind", ["npz", "npy", "idx", "folder", "parquet"])
def test_every_kind_of_file_gives_the_same(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """Images of 4 x 4 pixels, bright on the left (class 0) or on the right (class 1)."""
    x = np.random.default_rng(1).integers(0, 100, (40, 4, 4)).astype(np.uint8)
    t = np.arange(40) % 2
    x[t == 0, :, :2] += 120
    x[t == 1, :, 2:] += 120
    data, new = f"x.{kind}", f"x.{kind}"
    if kind == "npz":
        np.savez("x.npz", x=x, t=t)
    elif kind == "npy":
        np.save("x.npy", x)
        np.save("t.npy", t)
        data += " --targets t.npy"
    elif kind == "idx":
        Path("x-ubyte.gz").write_bytes(gzip.compress(idx(x)))
        Path("t.idx").write_bytes(idx(t))
        data, new = "x-ubyte.gz --targets t.idx", "x-ubyte.gz"
    elif kind == "folder":
        image = pytest.importorskip("PIL.Image")
        for row, pixels in enumerate(x):
            Path(f"x/{t[row]}").mkdir(parents=True, exist_ok=True)
            image.fromarray(pixels).save(f"x/{t[row]}/{row // 2:02d}.png")
        data = new = "x"
        x, t = np.concatenate([x[t == 0], x[t == 1]]), np.sort(t)       # in the order of their names
    else:
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        frame = pandas.DataFrame(x.reshape(40, 16), columns=[f"p{i}" for i in range(16)])
        frame.assign(kind=t).to_parquet("x.parquet")
    model = "" if kind == "parquet" else "--model cnn --channels 2 "
    code, out, err = call(capsys, f"train --data {data} --run a {model}{FIT}")
    assert (code, err) == (0, "") and "10/10" in out
    assert call(capsys, f"predict a {new}")[1].split() == ["class", *map(str, t)]
    assert "accuracy  1" in call(capsys, "evaluate a")[1]


@pytest.mark.parametrize("names", [("007", "042"), ("7", "42"), ("7", "12345678901234567890123")])
def test_classes_are_written_as_in_the_data(capsys: pytest.CaptureFixture[str], names: tuple[str, str]) -> None:
    """Zeros in front are part of a name, and so are the digits of a long one; else it is a number."""
    rows = [f"{x},{names[x > 0]}" for x in (-3, -2, -1, 1, 2, 3) for _ in range(6)]
    Path("f.csv").write_text("\n".join(["x,kind", *rows]) + "\n")
    assert call(capsys, f"train --data f.csv --run a {FIT}")[0] == 0
    assert call(capsys, "predict a f.csv")[1].split() == ["class", *(row.split(",")[1] for row in rows)]
    assert call(capsys, "predict a f.csv --out p.npy")[0] == 0
    assert np.load("p.npy").dtype.kind == ("i" if names[1] == "42" else "U")


# -- regression


@pytest.fixture
def houses() -> Any:
    """80 houses: two columns, and a price of a large unit, 3 to the first and −2 to the second, with some noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (80, 2))
    price = 1e6 + 1e5 * (3 * x[:, 0] - 2 * x[:, 1]) + rng.normal(0, 1e3, 80)
    found = np.column_stack([x[:, 0], price, x[:, 1]])
    np.savetxt("h.csv", found, "%.17g", ",", header="rooms,price,age", comments="")
    return found


VALUES = "--task regression --target price --hidden 16 --lr 0.02"


def test_a_regression_says_everything_in_the_unit_of_its_target(
    capsys: pytest.CaptureFixture[str], houses: Any
) -> None:
    code, out, _ = call(capsys, f"train --data h.csv {VALUES} --run a --epochs 60")
    assert code == 0 and "Both end the same" in out and "80 rows" not in out
    r2 = re.search(r"test R² +(0\.\d+) +\1 +predictions differ by up to \S+\n", out)
    assert r2 and float(r2[1]) > 0.95
    record = json.loads(Path("a/run.json").read_text())["encoding"]
    x, price = houses[:, [0, 2]], houses[:, 1]
    (mean,), (deviation,) = record["target_mean"], record["target_deviation"]
    assert mean != price.mean() and abs(mean / price.mean() - 1) < 0.1 and record["labels"] == []
    assert f"Target price: mean {mean:.6g}, deviation {deviation:.6g}" in out

    code, out, _ = call(capsys, "predict a h.csv")                  # the column of the prices is left out
    y = fastnn.load("a/fastnn-model.safetensors").predict((x - record["mean"]) / record["deviation"])
    wanted = y[:, 0].astype(float) * deviation + mean
    found = np.array(out.split()[1:], float)
    assert code == 0 and out.startswith("price\n") and np.abs(found - wanted).max() < 1       # of a million
    np.save("x.npy", x)
    assert call(capsys, "predict a x.npy --out p.npy")[0] == 0 and np.abs(np.load("p.npy") - wanted).max() < 1

    found = json.loads(call(capsys, "evaluate a --data h.csv --json --metrics rmse,mae,r2,mse")[1])
    off = wanted - price
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-3)
    assert found["mae"] == pytest.approx(np.abs(off).mean(), rel=1e-3)
    assert found["r2"] == pytest.approx(1 - np.mean(off**2) / price.var(), rel=1e-3)
    held_out = json.loads(call(capsys, "evaluate a --json")[1])
    head, *_, last = (line.split(",") for line in Path("a/fastnn-history.csv").read_text().splitlines())
    logged = dict(zip(head, map(float, last), strict=True))
    assert head == "epoch,loss,rmse,r2,val_loss,val_rmse,val_r2,lr".split(",") and held_out["rows"] == 20
    assert logged["val_rmse"] == pytest.approx(held_out["rmse"]) and logged["val_r2"] == pytest.approx(held_out["r2"])
    assert logged["val_loss"] == pytest.approx((held_out["rmse"] / deviation) ** 2)

    assert f"target    price, mean {mean:.6g}, deviation {deviation:.6g}" in call(capsys, "info a")[1]
    assert json.loads(call(capsys, "info a --json")[1])["targets"][0]["name"] == "price"
    for line, said in (("predict a x.npy --proba", "--proba: has an effect only with a classifier"),
                       ("evaluate a --metrics accuracy", "--metrics: expected any of r2, rmse, mae, mse for a regr")):
        assert call(capsys, line)[2].startswith(f"fastnn {line.split()[0]}: error: {said}")
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    said = call(capsys, "export a m.onnx --dtype float64")[1]
    assert said.endswith("-> y (batch, 1); x: as in the data, not scaled\n")
    exported = runtime.InferenceSession("m.onnx").run(None, {"x": x})[0]
    assert np.abs(exported[:, 0] - wanted).max() < 1


def test_a_regression_outside_of_its_run(capsys: pytest.CaptureFixture[str], houses: Any) -> None:
    """A model of one's own in a file: what comes out of it is a value, in the unit that it was trained in."""
    x, price = houses[:, [0, 2]], houses[:, 1] / 1e6
    model = fastnn.Sequential(fastnn.Linear(2, 1), seed=0)
    model.fit(x, price[:, None], loss=fastnn.MSELoss(), optimizer=fastnn.Adam(0.05), epochs=30)
    model.save("m.safetensors")
    np.savetxt("p.csv", np.column_stack([x, price]), "%.17g", ",", header="rooms,age,price", comments="")
    y = model.predict(x)[:, 0]
    found = json.loads(call(capsys, "evaluate m.safetensors --data p.csv --task regression --json")[1])
    assert found["mae"] == pytest.approx(np.abs(y - price).mean(), rel=1e-4) and found["rows"] == 80
    assert found["r2"] == pytest.approx(1 - np.mean((y - price) ** 2) / price.var(), rel=1e-4)
    np.save("x.npy", x)
    assert call(capsys, "predict m.safetensors x.npy --task regression --out y.npy")[0] == 0
    np.testing.assert_allclose(np.load("y.npy"), y, rtol=1e-6)

    fastnn.Sequential(fastnn.Conv2d(1, 3, 1)).save("image.safetensors")
    fastnn.Sequential(fastnn.Linear(2, 3)).save("three.safetensors")
    np.save("image.npy", np.ones((4, 1, 2, 2)))
    assert call(capsys, "evaluate m.safetensors --data p.csv")[2].endswith("; --task regression takes numbers\n")
    assert call(capsys, "predict three.safetensors x.npy --task regression --out y.npy")[0] == 0
    assert np.load("y.npy").shape == (80, 3)
    call(capsys, f"train --data h.csv {VALUES} --run a --epochs 1 --backend fast")
    for line, said in (
        ("predict image.safetensors image.npy --task regression", "--task: expected a model with outputs (n, targets)"),
        ("evaluate three.safetensors --data p.csv --task regression",
         "--data: expected targets (80, 3) for this model, got (80, 1)"),
        ("evaluate m.safetensors --data digits --task regression", "--task: has an effect only with --data FILE"),
        ("evaluate a --task regression", "--task: has an effect only with a MODEL that is no run's, and a is one"),
        ("predict m.safetensors x.npy --task regression --proba", "--proba: has an effect only with a classifier"),
    ):
        code, out, err = call(capsys, line)
        assert code == 2 and not out and err.startswith(f"fastnn {line.split()[0]}: error: {said}"), err


def test_a_regression_of_several_targets(capsys: pytest.CaptureFixture[str], houses: Any) -> None:
    """Each in its own unit; R² is their mean, too. Trained, interrupted, evaluated, predicted, drawn and exported."""
    rooms, price, age = houses.T
    table = np.column_stack([rooms, price, age, np.sin(3 * rooms)])
    np.savetxt("h.csv", table, "%.17g", ",", header="rooms,price,age,comfort", comments="")
    how = "--data h.csv --task regression --target comfort,price --hidden 16 --lr 0.02 --epochs 60"
    code, out, _ = call(capsys, f"train {how} --run whole")
    assert code == 0 and Path("whole/picture.png").exists() and "Target comfort: mean" in out
    assert re.search(r"test R², mean +(0\.9\d+) +\1 +predictions differ by up to \S+ deviations\n", out)
    call(capsys, f"train {how.replace('--epochs 60', '--epochs 20')} --run a")
    found = json.loads(call(capsys, "train --resume a --epochs 60 --json")[1])["runs"][1]
    assert weights("a/fastnn-model.safetensors") == weights("whole/fastnn-model.safetensors")
    assert found["targets"].keys() == {"comfort", "price"} and found["r2"] == pytest.approx(
        np.mean([each["r2"] for each in found["targets"].values()]))

    assert call(capsys, "predict a h.csv --out p.npy")[0] == 0
    predicted = np.load("p.npy")
    code, out, _ = call(capsys, "predict a h.csv")
    assert np.array_equal(np.array([line.split(",") for line in out.split()[1:]], float), predicted)
    assert out.startswith("comfort,price\n") and predicted.shape == (80, 2)
    found = json.loads(call(capsys, "evaluate a --data h.csv --json --metrics rmse,r2")[1])
    for column, name, true in ((0, "comfort", table[:, 3]), (1, "price", price)):
        off = predicted[:, column] - true
        assert found["targets"][name]["rmse"] == pytest.approx(np.sqrt(np.mean(off**2)))
        assert found["targets"][name]["r2"] == pytest.approx(1 - np.mean(off**2) / true.var())
    code, _, err = call(capsys, "evaluate a --data h.csv --target price,comfort")
    assert code == 2 and "--target: expected the order of the run, comfort, price, got price, comfort" in err
    said = call(capsys, "evaluate a --data h.csv")[1]
    assert re.search(r"\nr2, mean +0\.9\d+\nr2, comfort +0\.\d+\nrmse, comfort +0\.\d+\n", said)
    names = [each["name"] for each in json.loads(call(capsys, "info a --json")[1])["targets"]]
    assert names == ["comfort", "price"]
    assert call(capsys, "train --data h.csv --target comfort,price")[::2] == (2, (
        "fastnn train: error: --target: expected one column of classes, got 'comfort', 'price'; --task regression "
        "learns several columns of numbers\n"))

    np.savez("h.npz", x=table[:, [0, 2]], t=table[:, [3, 1]])           # as arrays, without names
    call(capsys, "train --data h.npz --task regression --run b --epochs 1 --backend fast")
    assert call(capsys, "predict b h.npz")[1].startswith("value 1,value 2\n")
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    code, _, err = call(capsys, "export a m.onnx --input-shape 3")
    assert code == 2 and "--input-shape: expected the shape of an example of 2 numbers, got (3,)" in err
    call(capsys, "export a m.onnx")
    session = runtime.InferenceSession("m.onnx")
    exported = session.run(None, {"x": table[:, [0, 2]].astype(np.float32)})[0]
    np.testing.assert_allclose(exported, predicted, rtol=1e-5, atol=1e-5)
    kept = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in kept.items()} == {
        "fastnn.inputs": ["rooms", "age"], "fastnn.outputs": ["comfort", "price"]}


def test_an_exported_classifier_takes_rows_as_they_stand_in_the_file(
    capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers are scaled inside the graph, and so are bytes; it gives what predict --proba says, before the softmax."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)) * [1, 1e3, 1e-3] + [5, 2000, 0]
    with open("k.csv", "w") as file:
        file.write("a,b,c,kind\n" + "".join(f"{a},{b},{c},{'no' if a > 5 else 'да'}\n" for a, b, c in x.tolist()))
    pixels = rng.integers(0, 256, (60, 1, 4, 5)).astype(np.uint8)
    np.savez("k.npz", x=pixels, t=np.arange(60) % 3)
    for data, more, raw, said in (
        ("k.csv", "", x, "as in the data, not scaled"), ("k.npz", "", pixels.reshape(60, 20), "bytes, 0 to 255"),
        ("k.npz", "--model cnn --channels 2", pixels, "bytes, 0 to 255"),
        ("k.csv", "--scale none", x, None),
    ):
        run = f"r{len(list(Path().iterdir()))}"
        call(capsys, f"train --data {data} {more} --run {run} --epochs 3 --backend fast --hidden 5")
        assert call(capsys, f"predict {run} {data} --proba --out p.npy")[0] == 0
        shape = "--input-shape 20" if raw.shape == (60, 20) else "--input-shape 3" if raw is x else ""
        code, out, _ = call(capsys, f"export {run} m.onnx {shape}")
        assert code == 0 and (out.rstrip().endswith(f"; x: {said}") if said else "; x:" not in out)
        session = runtime.InferenceSession("m.onnx")
        y = session.run(None, {"x": raw.astype(np.float32)})[0].astype(float)
        shares = np.exp(y - y.max(axis=1, keepdims=True))
        np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), np.load("p.npy"), atol=2e-5)
        classes = json.loads(session.get_modelmeta().custom_metadata_map["fastnn.classes"])
        assert classes == (["no", "да"] if raw is x else ["0", "1", "2"])
        again = importlib.import_module("fastnn.onnx").load("m.onnx")
        np.testing.assert_allclose(again.predict(raw.astype(np.float32)), y, atol=2e-4)


def test_an_interrupted_regression_goes_on_to_the_same_bits(
    capsys: pytest.CaptureFixture[str], houses: Any
) -> None:
    how = f"--data h.csv {VALUES} --loss huber --backend fast --early-stopping 3"
    call(capsys, f"train {how} --run whole --epochs 4")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.MonkeyPatch.context() as patch:
            raise_in(patch, signal.SIGINT, "fastnn", 2)
            assert call(capsys, f"train {how} --run a --epochs 4")[0] == SIGNALLED + signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)
    found = json.loads(call(capsys, "train --resume a --json")[1])["runs"][0]
    assert weights("a/fastnn-model.safetensors") == weights("whole/fastnn-model.safetensors")
    assert {"r2", "rmse", "mae"} <= found.keys() and fastnn.load_training(
        "a/fastnn-checkpoint.safetensors").loss.config()["class"] == "HuberLoss"


def test_a_regression_that_learnt_nothing_says_so(capsys: pytest.CaptureFixture[str], houses: Any) -> None:
    said = "is not above that of a guess by more than chance"
    for more, idle in (("--epochs 1 --lr 0", True), ("--epochs 30", False)):
        assert (said in call(capsys, f"train --data h.csv {VALUES} --backend fast {more}")[1]) == idle


@pytest.mark.parametrize(("gains", "idle"), [
    ([1.0] * 4, False), ([-1.0] * 4, True), ([3.0, -1.0] * 2, True), ([3.0, -1.0] * 8, True), ([3.0, -1.0] * 9, False),
])  # fmt: skip
def test_nearer_than_a_guess_is_two_standard_errors(gains: list[float], idle: bool) -> None:
    """The squared errors of the guess are 4; they become smaller by 1 on average, with a deviation of 2."""
    t = np.full(len(gains), 2.0)
    values = t - np.sqrt(4 - np.array(gains))
    for before, found in ((t - 9, idle), (values, True)):           # … or as good before the training
        for many in (1, 3):                                         # targets, each in a unit of its own
            units = np.array([1.0, 1e6, 1e-6])[:many]
            encoding = Encoding((), 1, target_mean=many * (0.0,), target_deviation=tuple(units.tolist()))
            score = Estimated(t=t[:, None] * units, values=values[:, None] * units, before=before[:, None] * units,
                              encoding=encoding)  # fmt: skip
            assert score.learnt_nothing() == found


@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_a_regression_on_images_in_an_array(capsys: pytest.CaptureFixture[str], shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).integers(0, 256, (40, 3, 4, 5)).astype(np.uint8)
    np.savez("x.npz", x=x, t=x[:, 0].mean(axis=(1, 2)).reshape(shape))
    code, out, err = call(capsys, f"train --data x.npz --task regression --run a --model cnn --channels 2 {FIT}")
    assert (code, err) == (0, "")
    code, out, _ = call(capsys, "predict a x.npz")
    assert code == 0 and out.startswith("value\n") and len(out.split()) == 41


@pytest.mark.parametrize(("line", "code", "message"), [
    ("h.csv --label-smoothing 0.1", 2, "--label-smoothing: has an effect only with --task classification"),
    ("h.csv --loss l2", 2, "--loss: unknown name 'l2'"),
    ("h.csv --target rooms,ages", 2, "--target: expected one of rooms, price, age, or a number .* got 'ages'"),
    ("h.csv --target price,2", 2, "--target: expected each column once, got 'price' twice"),
    ("h.csv --target price,age,rooms", 1, "h.csv: expected some columns of inputs, got 0"),
    ("two.csv --target 1,2", 1, "two.csv: expected targets that differ, got 3 in each row of column 2"),
    ("h.csv --held-out 0.99", 2, "--held-out: expected a share of 2 rows or more that leaves as many, got 80 of 80"),
    ("same.csv", 1, "same.csv: expected targets that differ, got 3 in each row"),
    ("text.csv", 1, "text.csv: line 2, column 2: expected a finite number, got 'x'"),
    ("x.npy --targets cube.npy", 1, r"cube.npy: expected targets \(n,\) or \(n, targets\) that are numbers, got"),
    ("x.npy --targets nan.npy", 1, "nan.npy: expected finite targets, got nan at row 0"),
    ("folder", 2, "--task: expected classification for folder, as images in folders have classes, got regression"),
])  # fmt: skip
def test_mistakes_with_a_regression(
    capsys: pytest.CaptureFixture[str], houses: Any, line: str, code: int, message: str
) -> None:
    Path("same.csv").write_text("1,3\n2,3\n" * 5)
    Path("text.csv").write_text("1,3\n2,x\n" * 5)
    Path("two.csv").write_text("1,3,4\n2,3,5\n" * 5)
    Path("folder").mkdir()
    for name, array in (("x", np.ones((4, 3))), ("cube", np.ones((4, 2, 2))), ("nan", np.full(4, np.nan))):
        np.save(f"{name}.npy", array)
    found, out, err = call(capsys, f"train --task regression --data {line}")
    assert re.match(f"fastnn train: error: {message}", err) and (found, out) == (code, "")


def test_loss_is_of_a_regression(capsys: pytest.CaptureFixture[str], houses: Any) -> None:
    for line, said in (("--data h.csv --loss l1", "--loss: has an effect only with --task regression"),
                       ("--task regression", "--task: has an effect only with --data FILE")):
        assert call(capsys, f"train {line}") == (2, "", f"fastnn train: error: {said}\n")


# -- images


def paint(folder: str, size: tuple[int, int] | None, grey: bool = False) -> None:
    """20 images of red (class a) and of blue (class b), as RGB files; None: of many sizes."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for row in range(40):
        width, height = size or rng.integers(4, 12, 2).tolist()
        pixels = rng.integers(0, 100, (height, width, 3)).astype(np.uint8)
        pixels[..., 0 if row % 2 else 2] += 120
        if grey:
            pixels[:] = pixels[..., :1]
        path = Path(folder, "ab"[row % 2 == 0], f"{row:02d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(path)


KINDS_OF_IMAGES = ["class", *["a"] * 20, *["b"] * 20]


@pytest.mark.parametrize("model", ["", "--model cnn --channels 2"])
def test_colours_are_learnt(capsys: pytest.CaptureFixture[str], model: str) -> None:
    """Seen in grey, red and blue of that strength are hard to tell apart; the picture is the real one."""
    paint("c", (5, 4))
    code, out, err = call(capsys, f"train --data c {model} --run a --augment flip {FIT}")
    assert (code, err) == (0, "") and "10/10" in out
    assert json.loads(Path("a/run.json").read_text())["encoding"]["image_shape"] == [3, 4, 5]
    assert call(capsys, "predict a c")[1].split() == KINDS_OF_IMAGES
    assert "accuracy  1" in call(capsys, "evaluate a --data c")[1]
    code, out, _ = call(capsys, f"compare --data c {model} --steps 1 --hidden 3")
    assert code == 0 and ("5x4 rgb conv2-3-2" if model else "60-3-2") in out
    pytest.importorskip("onnx")
    assert ("x (batch, 3, 4, 5)" if model else "x (batch, 60)") in call(capsys, "export a m.onnx")[1]


def test_names_that_are_no_utf8_and_dollars(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, few_digits: None,  # noqa: F811  (the fixture)
) -> None:
    """Folders of an older file system and of prices are classes like others, in the real picture, too."""
    monkeypatch.setattr(plot, "training_report", TRAINING_REPORT)
    paint("c", (5, 4))
    old, price = os.fsdecode(b"caf\xe9"), "$x^$"        # as a formula, an error
    try:
        Path("c", "a").rename(Path("c", old))
    except OSError:
        pytest.skip("this file system wants UTF-8")
    Path("c", "b").rename(Path("c", price))
    code, _, err = call(capsys, f"train --data c --run r {FIT}")
    assert (code, err) == (0, "") and Path("r/picture.png").exists()
    assert call(capsys, "predict r c --out p.csv") == (0, "", "")
    assert set(Path("p.csv").read_bytes().splitlines()) == {b"class", b"caf\xe9", b"$x^$"}
    assert json.loads(call(capsys, "info r --json")[1])["labels"] == [price, old]
    assert call(capsys, "train --resume r --epochs 31 --quiet")[0] == 0
    Path("c").rename(old)
    code, _, err = call(capsys, f"train --data {old} --run r2 {FIT}")
    assert code == 2 and "error: --data: expected UTF-8, which config.toml can hold, got " in err
    assert not Path("r2").exists()
    assert call(capsys, f"train --data {old} {FIT}")[0] == 0
    assert call(capsys, f"evaluate r --data {old}")[0] == 0     # the training's data has another name now
    pytest.importorskip("onnx")
    assert call(capsys, "export r m.onnx")[::2] == (0, "")


def test_names_that_are_long_or_that_the_font_lacks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They leave room for the picture, and are told apart; of letters that are boxes one line says why."""
    drawn: list[Any] = []
    monkeypatch.setattr(plot, "training_report", lambda *given: drawn.append(given) or TRAINING_REPORT(*given))
    long = "a name of a class that goes on and on for 60 letters or more"
    Path("f.csv").write_text("".join(f"{row},{row % 2},{long}{row % 2}\n" for row in range(40)))
    code, _, err = call(capsys, f"train --data f.csv {FIT}")
    assert (code, err) == (0, "")
    assert drawn[0][-1] == tuple(f"a name of a …ers or more{each}" for each in (0, 1))
    Path("f.csv").write_text("".join(f"{row},{row % 2},{'猫狗'[row % 2]}\n" for row in range(40)))
    code, _, err = call(capsys, f"train --data f.csv {FIT}")
    assert code == 0 and err.startswith("fastnn train: the font of the picture lacks") and err.count("\n") == 1


def test_braces_in_the_name_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "train --run {a}{} --epochs 1 --quiet --backend fast")[::2] == (0, "")
    assert call(capsys, "train --resume {a}{} --epochs 2 --quiet")[::2] == (0, "")


def test_a_run_is_utf8_in_every_locale(capsys: pytest.CaptureFixture[str], flowers: Any) -> None:
    Path("ü.csv").write_text(table(flowers))
    assert call(capsys, f"train --data ü.csv --run r {FIT}")[0] == 0
    done = python("-m", "fastnn", "info", "r", stdout=subprocess.PIPE, more=ASCII)
    assert done.returncode == 0 and "\\xfc.csv" in done.stdout


@pytest.mark.parametrize(("grey", "colors", "channels"), [
    (True, "auto", 1), (False, "auto", 3), (True, "rgb", 3), (False, "grey", 1),
])  # fmt: skip
def test_channels_of_images(grey: bool, colors: str, channels: int) -> None:
    """An RGB file without a colour is grey; one image in colour is enough for all."""
    paint("c", (5, 4), grey)
    data, encoding = task.load_data(task.Task(data="c", colors=colors), progress=False)
    assert encoding.image_shape == data.image_shape == (channels, 4, 5) and data.features == 20 * channels
    image = pytest.importorskip("PIL.Image")
    if grey and channels == 3:
        first = data.x_train.reshape(-1, 3, 20)
        assert (first[:, 0] == first[:, 1]).all() and (first[:, 0] == first[:, 2]).all()
    image.new("L", (5, 4), 9).save("c/a/99.png")                # grey among colours
    assert rows.read(Path("c"), True, images=rows.Images(colors)).x.shape[1:] in {(4, 5), (3, 4, 5)}
    read = rows.read(Path("c/a/99.png"), False, **encoding.reading())
    assert (encoding.inputs(read.x) == np.float32(9) / np.float32(255)).all() and read.x.size == 20 * channels


def test_pixels_are_where_they_were() -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    image.fromarray(pixels).save("p.png")
    found = rows.read(Path("p.png"), False).x
    assert (found == pixels.transpose(2, 0, 1)).all()


def test_images_of_many_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    paint("m", None)
    code, out, err = call(capsys, "train --data m --run a")
    assert (code, out) == (1, "") and re.search(
        r"m/a/\d\d.png: expected an image of (\d+x\d+) pixels, like m/a/01.png, got \d+x\d+; fastnn train --image-size "
        r"\1 resizes images\n$", err)
    code, out, err = call(capsys, f"train --data m --image-size 6x5 --run a {FIT}")
    assert (code, err) == (0, "") and "10/10" in out
    assert json.loads(Path("a/run.json").read_text())["encoding"]["image_shape"] == [3, 5, 6]
    assert call(capsys, "predict a m")[1].split() == KINDS_OF_IMAGES            # they are resized, too
    assert call(capsys, "train --resume a --epochs 31 --quiet")[0] == 0
    paint("c", (6, 5))
    call(capsys, f"train --data c --run b {FIT}")
    assert re.search("expected an image of 6x5 pixels, like those of the training, got",
                     call(capsys, "predict b m")[2])


def test_a_header_longer_than_its_file(tmp_path: Path) -> None:
    """NumPy would set as much memory aside as it claims."""
    file = tmp_path / "x.npy"
    file.write_bytes(b"\x93NUMPY\x03\x00v}QD\x8eescr': '\n, 'for")
    with pytest.raises(ValueError, match=r"x\.npy: expected a whole \.npy .*its header has 1146191222 bytes, the "):
        rows.read(file, False)
    with open(file, "wb") as stream:
        np.lib.format.write_array(stream, np.eye(3), version=(3, 0))
    assert rows.read(file, False).x.tolist() == np.eye(3).tolist()


def test_a_table_without_names_for_a_run_that_has_them(tmp_path: Path) -> None:
    """Which of three columns is the target nobody says; the error was about an argument that predict does not have."""
    file, known = tmp_path / "new.csv", {"target": "y", "columns": ("a", "b"), "width": 2}
    file.write_text("1,2,no\n3,4,yes\n")
    with pytest.raises(ValueError, match=r"new\.csv: expected 2 columns of inputs, got 3$"):
        rows.read(file, False, **known)
    file.write_text("1,2\n3,4\n")
    assert rows.read(file, False, **known).x.tolist() == [[1, 2], [3, 4]]


def test_folders_of_classes(tmp_path: Path) -> None:
    """None is left out in silence, and a notebook's copies are no class."""
    image = pytest.importorskip("PIL.Image")
    for name in ("all/b", "c/a", "c/.ipynb_checkpoints"):
        (tmp_path / name).mkdir(parents=True)
        for file in ("1.png", "._1.png"):
            image.new("L", (2, 2), 9).save(tmp_path / name / file)
    folder = tmp_path / "c"
    (folder / "b").symlink_to(tmp_path / "all" / "b")
    (folder / "a" / "1.png").rename(folder / "a" / "2.PNG")
    (folder / "a" / "again").symlink_to(folder)
    assert rows.read_images(folder, True, rows.AS_THEY_ARE).labels == ["a", "b"]
    assert len(rows.read_images(folder, False, rows.AS_THEY_ARE).x) == 2            # a link upwards is no endless way
    (folder / "a" / "deep" / "er").mkdir(parents=True)
    image.new("L", (2, 2), 9).save(folder / "a" / "deep" / "er" / "3.png")
    assert rows.read_images(folder, True, rows.AS_THEY_ARE).labels == ["a", "a", "b"]
    for run in (folder / "run", folder / "a" / "run"):
        run.mkdir()
        image.new("L", (9, 9), 9).save(run / "picture.png")
        (run / "run.json").write_text("{}")
    assert rows.read_images(folder, True, rows.AS_THEY_ARE).labels == ["a", "a", "b"]
    assert len(rows.read_images(folder, False, rows.AS_THEY_ARE).x) == 3
    assert len(rows.read_images(folder, False, rows.AS_THEY_ARE).x) == 3
    (folder / "d").mkdir()
    (folder / "d" / "1.heic").touch()
    with pytest.raises(ValueError, match=r"c/d: expected images of a class \(\.png, .*\), got none"):
        rows.read_images(folder, True, rows.AS_THEY_ARE)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_folder_that_cannot_be_read_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labelled: bool
) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in "ab":
        (tmp_path / name).mkdir()
        image.new("L", (2, 2), 9).save(tmp_path / name / "1.png")
    scandir, listdir = os.scandir, os.listdir

    def refuse(function: Any) -> Any:
        def listed(path: Any) -> Any:
            if Path(path).name == "b":
                raise PermissionError(13, "Permission denied", str(path))
            return function(path)
        return listed

    monkeypatch.setattr(os, "scandir", refuse(scandir))
    monkeypatch.setattr(os, "listdir", refuse(listdir))
    with pytest.raises(PermissionError, match=r"b'$"):
        rows.read_images(tmp_path, labelled, rows.AS_THEY_ARE)


@pytest.mark.parametrize(("size", "wanted"), [("7", (7, 7)), ("8x3", (8, 3)), ("4096x1", (4096, 1))])
def test_a_size_is_width_and_height(size: str, wanted: tuple[int, int]) -> None:
    assert rows.as_size("image_size", size) == wanted


@pytest.mark.parametrize(("line", "message"), [
    *((f"--data c --image-size {size}", "--image-size: expected a size such as 32 or 32x24 .* got")
      for size in ("0", "x8", "8x", "-1", "4097", "8x8x3")),
    ("--data digits --image-size 8", "--image-size: has an effect only with --data FOLDER, of images"),
    ("--data digits --colors rgb", "--colors: has an effect only with --data FOLDER, of images"),
    ("--data c --colors red", "--colors: unknown name 'red'"),
])  # fmt: skip
def test_mistakes_with_images(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    Path("c").mkdir()
    code, out, err = call(capsys, f"train {line}")
    assert (code, out) == (2, "") and re.match(f"fastnn train: error: {message}", err)


def test_a_record_of_another_version_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """One whose images have no channels yet."""
    call(capsys, "train --run a --epochs 1 --backend fast --quiet")
    record = json.loads(Path("a/run.json").read_text())
    record["encoding"]["image_shape"] = [8, 8]
    Path("a/run.json").write_text(json.dumps(record))
    code, _, err = call(capsys, "evaluate a")
    assert code == 1 and re.search(r"run.json: expected the record of a run .*image_shape: .* \(8, 8\)", err)


def test_labels_have_one_order() -> None:
    assert own_data.ordered(["10", "9", "1.0", "1", "10"]) == ("1", "1.0", "9", "10")
    assert own_data.ordered(["b", "10", "9"]) == ("10", "9", "b")


@pytest.mark.parametrize(("content", "options", "message"), [
    ("1,x\n" * 40 + "1,y\n" * 2, "--held-out 0.95", "--held-out: expected a share that leaves rows of each .* of 'y'"),
    ("a,b,k\n1,2,x\n3,?,y\n", "", r"d\.csv: line 3, column 'b': expected a finite number, got '\?'"),
    ("1,2,x\n3,nan,y\n", "", r"d\.csv: line 2, column 2: expected a finite number, got 'nan'"),
    ("a,b,k\n1,2,x\n\n3,y\n", "", r"d\.csv: line 4: expected 3 columns, got 2"),
    ("a,b,k\n1,2,\n3,4,y\n", "", r"d\.csv: line 2, column 'k': expected a label, got an empty cell"),
    ("a,b,k\n1,2,nan\n3,4,y\n", "", r"d\.csv: line 2, column 'k': expected a label, got 'nan'"),
    ("a,a,k\n1,2,x\n", "", r"d\.csv: expected columns with a name each, got one twice: a, a, k"),
    ("", "", r"d\.csv: expected rows, got none"),
    ("1,2,x\n3,4,x\n", "", r"d\.csv: expected two classes or more, got 1: x"),
    ("1,2,0.5\n3,4,0.7\n", "", r"d\.csv: expected 2 rows of each class or more, got 1 of '0.5' and 1 others; --task "),
    ("1,2,x\n3,4,y\n", "--target k", r"--target: expected a number from 1 to 3, a column of d.csv, got 'k'"),
    ("a,b,k\n1,2,x\n", "--target 4", r"--target: expected one of a, b, k, or a number from 1 to 3, .* got '4'"),
    ("1,2,x\n", "--targets t.npy", "--targets: has an effect only with --data FILE, NPY or IDX"),
    ("1,2,x\n", "--download",
     "--download: has an effect only with --data mnist or optdigits or fashion-mnist or cifar10"),
    ("1,2,x\n3,4,x\n5,6,y\n7,8,y\n", "--held-out 0.1", "--held-out: expected a share of 2 rows .* got 1 of 4 rows"),
    ("1,2,x\n3,4,x\n5,6,y\n7,8,y\n", "--held-out 0.5 --model cnn", "--model: expected a data set of images, got d.csv"),
])  # fmt: skip
def test_mistakes_in_a_table(capsys: pytest.CaptureFixture[str], content: str, options: str, message: str) -> None:
    Path("d.csv").write_text(content)
    code, out, err = call(capsys, f"train --data d.csv --run a {options}")
    assert (code, out) == (2 if message.startswith("--") else 1, "")
    assert re.match(f"fastnn train: error: {message}", err) and not Path("a").exists()


@pytest.mark.parametrize(("line", "code", "message"), [
    ("train --data d.cvs", 2, "--data: expected a data set .* or a file that is there, got 'd.cvs'"),
    ("train --data x.npy", 2, "--targets: expected the file with the targets of x.npy, got none"),
    ("train --data x.npy --targets x.npy", 1, r"x.npy: expected targets \(n,\), whole numbers or texts"),
    ("train --data o.npz", 1, "o.npz: expected the arrays x and t, got x"),
    ("train --data bad.npz", 1, "bad.npz: expected a whole .npz file"),
    ("train --data empty", 1, "empty: expected folders with images, one for each class, got none"),
    ("train --target 1", 2, "--target: has an effect only with --data FILE, a table"),
    ("train --held-out 0.5", 2, "--held-out: has an effect only with --data FILE"),
    ("evaluate m.safetensors", 2, "--data: expected what to evaluate on, as MODEL is no run's, got none"),
    ("evaluate m.safetensors --metrics acuracy --data digits", 2, "--metrics: .*'acuracy', did you mean 'accuracy'"),
    ("evaluate empty", 2, "MODEL: expected the folder of a run"),
    ("evaluate x.npy --data digits", 1, "x.npy: "),
    ("predict m.safetensors x.npy", 1, r"x.npy: expected rows that fit the model, \(n, 64\), got \(n, 3\)"),
    ("predict m.safetensors x.npy --out p.txt", 2, "--out: expected a file ending in .csv or .npy, got 'p.txt'"),
    ("predict m.safetensors nothing.csv", 1, "nothing.csv: No such file or directory"),
    ("predict m.safetensors", 2, "the following arguments are required: INPUT"),
    ("info empty", 2, "PATH: expected the folder of a run"),
])  # fmt: skip
def test_mistakes_with_files(capsys: pytest.CaptureFixture[str], line: str, code: int, message: str) -> None:
    fastnn.Sequential(fastnn.Linear(64, 10)).save("m.safetensors")
    np.save("x.npy", np.ones((2, 3)))
    np.savez("o.npz", x=np.ones((2, 3)))
    Path("bad.npz").write_bytes(b"PK")
    Path("empty").mkdir()
    found, out, err = call(capsys, line)
    assert re.match(f"fastnn {line.split()[0]}: error: {message}", err) and (found, out) == (code, "")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("module", "file", "said"), [
    ("PIL", "folder", r'pillow is missing: pip install "fastnn\[images\]"'),
    ("pandas", "d.parquet", r'pandas is missing: pip install "fastnn\[data\]"'),
])  # fmt: skip
def test_a_package_that_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: str, file: str, said: str
) -> None:
    Path("folder").mkdir()
    Path("d.parquet").touch()
    monkeypatch.setitem(sys.modules, module, None)
    fastnn.Sequential(fastnn.Linear(64, 10)).save("m.safetensors")
    code, out, err = call(capsys, f"predict m.safetensors {file}")
    assert (code, out) == (1, "") and re.fullmatch(f"fastnn predict: error: {said}\n", err)


# -- what is printed


def test_a_model_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Its classes are numbers, and its loss is the cross-entropy."""
    model = fastnn.Sequential(fastnn.Linear(64, 10), seed=3)
    model.save("m.safetensors")
    data = datasets.load_digits()
    wanted = model.evaluate(data.x_test, data.t_test, fastnn.CrossEntropyLoss(), ["accuracy"])
    found = json.loads(call(capsys, "evaluate m.safetensors --data digits --json")[1])
    assert {name: found[name] for name in wanted} == wanted and found["rows"] == 50
    np.save("x.npy", data.x_test)
    assert call(capsys, "predict m.safetensors x.npy")[1].split()[1:] == [*map(str, model.predict_classes(data.x_test))]


@pytest.mark.parametrize(("outputs", "activation"), [
    (1, None), (1, "sigmoid"), (2, None), (2, "softmax"), (2, "log_softmax"),
])
def test_a_model_that_ends_in_probabilities(
    capsys: pytest.CaptureFixture[str], outputs: int, activation: str | None
) -> None:
    """Evaluated as it predicts: of a sigmoid all was taken for yes, and softmax was applied twice."""
    model = fastnn.Sequential(fastnn.Linear(64, 5, activation="tanh"), fastnn.Linear(5, outputs, activation=activation),
                              seed=3)
    model.save("m.safetensors")
    x, t = datasets.load_digits().x_test, np.arange(50) % 2
    np.savez("d.npz", x=x, t=t)
    p = model.predict_proba(x)
    found = json.loads(call(capsys, "evaluate m.safetensors --data d.npz --metrics accuracy,roc_auc --json")[1])
    assert found["accuracy"] == np.mean(model.predict_classes(x) == t)
    assert found["loss"] == pytest.approx(-np.log(p[np.arange(50), t]).mean(), rel=1e-5)
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc(p[:, 1:], t))


def test_a_model_of_several_labels_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """It has no class for a row."""
    fastnn.Sequential(fastnn.Linear(2, 3, activation="sigmoid")).save("m.safetensors")
    Path("d.csv").write_text("1,2,0\n3,4,1\n")
    for command in ("predict m.safetensors d.csv", "evaluate m.safetensors --data d.csv"):
        Path("d.csv").write_text("1,2,0\n3,4,1\n" if "evaluate" in command else "1,2\n3,4\n")
        code, _, err = call(capsys, command)
        assert code == 2 and "MODEL: expected a classifier of one label for each row, got m.safetensors" in err
    Path("d.csv").write_text("1,2\n3,4\n")
    assert len(call(capsys, "predict m.safetensors d.csv --proba")[1].splitlines()[1].split(",")) == 3


@pytest.mark.parametrize("line", [
    "train --data", "train --config", "train --targets", "predict m --out", "evaluate m --data", "info", "evaluate",
    "predict", "predict m", "lab run dropout --json", "lab run dropout --html",
])
def test_no_text_is_no_path(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Nor is it the folder one is in, nor that nothing was asked for."""
    assert cli.main([*line.split(), "", *(["x"] if line in ("predict", "predict m --out") else [])]) == 2
    assert re.search(r"(--\w+|[A-Z]+): expected .*, got ''\n$", capsys.readouterr().err)


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "train --run a --epochs 2 --hidden 9 --backend fast --quiet")
    found = json.loads(call(capsys, "info a --json")[1])
    assert found["parameters"] == 64 * 9 + 9 + 9 * 10 + 10 and found["versions"]["fastnn"] == fastnn.__version__
    assert (found["training"]["epochs"], found["training"]["steps"]) == (2, 10)
    out = call(capsys, "info a")[1]
    assert "Linear(64, 9, activation=ReLU())" in out and "training  2 epochs, 10 steps, Adam" in out
    assert json.loads(call(capsys, "info a/fastnn-model.safetensors --json")[1])["training"] is None
    assert "10 steps" in call(capsys, "info a/fastnn-checkpoint.safetensors")[1]


def test_train_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(call(capsys, "train --epochs 2 --json")[1])
    assert [run["package"] for run in found["runs"]] == ["fastnn_ref", "fastnn"] and found["run"] is None
    assert found["difference"]["relative"] < 1e-10 and len(found["runs"][1]["history"]["val_loss"]) == 2
    code, out, _ = call(capsys, "train --epochs 2 --json --backend ref --optimizer sgd --lr 1e200")
    assert code == 1 and json.loads(out)["runs"][0]["diverged"] is True
    assert "NaN" not in out


def cells_in(path, cells, head=("a", "b", "label"), delimiter=","):
    """A file of cells."""
    path.write_text("\n".join(delimiter.join(map(str, row)) for row in [head, *cells]) + "\n")
    return path


def test_equal_numbers_have_the_deviation_1():
    """The computed one of 90 times 0.1 is no 0, and another number in that column would be thousands of millions."""
    x = np.column_stack([np.full(90, 0.1), np.arange(90.0)])
    assert x[:, 0].std() > 0                                        # what this is about
    assert fitted(x, True)["deviation"][0] == 1
    assert abs(Encoding((), 2, **fitted(x, True)).inputs(np.array([[0.2, 0]]))[0, 0] - 0.1) < 1e-6
    assert fitted_targets(x)["target_deviation"][0] == 1


def test_images_are_in_memory_once_beside_their_bytes(tmp_path):
    """5 bytes a pixel: one as it is read, four as float32."""
    shape = 4000, 32, 32
    np.savez(tmp_path / "a.npz", x=np.arange(math.prod(shape)).astype(np.uint8).reshape(shape), t=np.arange(4000) % 4)
    config = train.Config(data=str(tmp_path / "a.npz"))
    own_data.load(config)                                           # what it imports stays
    tracemalloc.start()
    data, encoding = own_data.load(config)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data.x_train) + len(data.x_test) == 4000 and encoding.from_bytes
    assert peak < 6 * math.prod(shape)


@pytest.mark.filterwarnings("error")
def test_numbers_that_cannot_be_scaled_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"scale: expected inputs whose squares float64 can hold, got up to 3e\+200"):
        fitted(np.array([[1e200, 1], [3e200, 2]]), True)
    with pytest.raises(ValueError, match="scale: expected targets"):
        fitted_targets(np.array([[1e308], [1.5e308]]))
    plain = Encoding(("a", "b"), 1)
    with pytest.raises(ValueError, match=r"f.csv: row 1: expected inputs in the range of float32, got 1e\+39"):
        plain.inputs(np.array([[1.0], [1e39]]), "f.csv")
    with pytest.raises(ValueError, match=r"f.csv: row 1: expected inputs in the range of float32, got 1e\+39"):
        plain.inputs(np.array([[1.0], [1e39]]), "f.csv", np.array([0, 0, 1]))      # of the rows to train with, say
    scaled = Encoding(("a", "b"), 1, mean=(0.0,), deviation=(1e-9,))
    with pytest.raises(ValueError, match=r"less the mean and divided by the deviation, got 1e\+39"):
        scaled.inputs(np.array([[1e30]]))


@pytest.mark.parametrize("t", [[0, np.inf], [0, 1e300], [0, np.nan]])
def test_targets_that_are_no_class_numbers(t):
    """Infinities and 1e300 became the same whole number."""
    with pytest.raises(ValueError, match=r"expected classes, whole numbers or texts, got (inf|1e\+300|nan) at row 1"):
        rows.as_labels(np.array(t, float), "t")


def test_a_class_may_be_called_none(tmp_path):
    """In a text it is a word; a cell of a Parquet file that has nothing is no class, of whatever dtype it is."""
    path = cells_in(tmp_path / "a.csv", [["1", "None"], ["2", "NA"]], ["a", "k"])
    assert rows.read_table(path).labels(1) == ["None", "NA"]
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    for dtype, first in (("string", "None"), (object, "None"), ("category", "x"), ("Int64", 1), ("float64", 1.0),
                         ("boolean", True)):
        pandas.DataFrame({"a": [1, 2], "k": pandas.Series([first, None], dtype=dtype)}).to_parquet(path)
        table = rows.read_table(path)
        assert table.cells[0][1] == first
        with pytest.raises(ValueError, match="line 2, column 'k': expected a label, got an empty cell"):
            table.labels(1)
    pandas.DataFrame({"a": pandas.Series([1, None], dtype="Int64"), "k": ["x", "y"]}).to_parquet(path)
    with pytest.raises(ValueError, match="line 2, column 'a': expected a finite number, got None"):
        rows.read_table(path).numbers([0])


def test_texts_of_a_parquet_file_may_be_bytes(tmp_path):
    """As of writers that do not note that they are UTF-8; a label was "b'yes'"."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    pandas.DataFrame({"a": [b"1.5", b"2"], "k": [b"yes", "né ".encode()], "z": [b"\xff", b""]}).to_parquet(path)
    table = rows.read_table(path)
    assert table.labels(1) == ["yes", "né"]
    assert table.numbers([0]).tolist() == [[1.5], [2.0]]
    with pytest.raises(ValueError, match=r"line 1, column 'z': expected a label in UTF-8, got b'\\xff'"):
        table.labels(2)


def test_delimiters_in_quotes_and_lines_of_spaces(tmp_path):
    path = cells_in(tmp_path / "a.csv", [["1", "2", "x"], ["3", "4", "y"]], ['"a;1;2"', '"b;""3;"', "label"])
    assert rows.read_table(path).names == ("a;1;2", 'b;"3;', "label")
    path = cells_in(tmp_path / "b.csv", [["1", "2", "x"], ["  "], ["3", "4", "y"], ["  "]], delimiter=";")
    read = rows.read_table(path)
    assert [list(row) for row in read.cells] == [["1", "2", "x"], ["3", "4", "y"]] and list(read.lines) == [2, 4]
    path = cells_in(tmp_path / "c.csv", [["1", "2", "x"]], ['5"', "b", "label"], delimiter=";")
    assert rows.read_table(path).names == ('5"', "b", "label")
    path.write_text('\n\n"a\nof two, or more, lines";b;label\n1;2;x\n')
    assert rows.read_table(path).names == ("a\nof two, or more, lines", "b", "label")
    with pytest.raises(ValueError, match=r"expected an unpacked file, as only IDX is read from \.gz"):
        rows.kind_of(cells_in(tmp_path / "a.csv.gz", []))


def test_what_python_alone_calls_a_number_is_a_name(tmp_path):
    """float() takes 2020_01 for 202001."""
    path = cells_in(tmp_path / "a.csv", [["1", "2", "3"], ["4", "5_0", "6"]], ["2020_01", "2020_02", "2020_03"])
    assert rows.read_table(path).names == ("2020_01", "2020_02", "2020_03")
    assert rows.read_table(path).numbers([0, 2]).tolist() == [[1, 3], [4, 6]]
    with pytest.raises(ValueError, match=r"line 3, column '2020_02': expected a finite number, got '5_0'"):
        rows.read_table(path).numbers([0, 1])


@pytest.mark.parametrize("colors", ["auto", "grey", "rgb"])
def test_images_of_16_bits(tmp_path, colors):
    """Their upper bytes; Pillow's own conversion makes 255 of all above it. Of other numbers there is no telling."""
    image = pytest.importorskip("PIL.Image")
    pixels = (np.arange(16).reshape(4, 4) * 17 * 257).astype(np.uint16)
    for name, array in (("a.png", pixels), ("b.tif", pixels), ("c.tif", pixels.astype(np.int32))):
        image.fromarray(array).save(tmp_path / name)
        found = rows.read_image(tmp_path / name, rows.Images(colors))
        assert (found.reshape(4, 4, -1) == (pixels >> 8)[:, :, None]).all()
    for name, array in (("d.tif", pixels / np.float32(65535)), ("e.tif", pixels.astype(np.int32) * 2)):
        image.fromarray(array).save(tmp_path / name)
        with pytest.raises(ValueError, match=rf"{name}: expected an image of 8 or 16 bits for each pixel, got"):
            rows.read_image(tmp_path / name, rows.Images(colors))


def test_damaged_images_are_named(tmp_path):
    """Of damage Pillow raises many kinds of errors; what it says of an unknown format names its own memory."""
    pytest.importorskip("PIL")
    file = tmp_path / "a.pgm"
    for content, said in ((b"P5\n1\xff 2\n255\n12", "invalid literal"), (b"", "an unknown format"),
                          (b"P5\n1234567890123 2\n255\n12", "Token too long")):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.pgm: expected an image \(.*{said}") as caught:
            rows.read_image(file, rows.AS_THEY_ARE)
        assert "0x" not in str(caught.value)


def test_small_numbers_of_16_or_32_bits_are_not_read_as_black(tmp_path):
    """Bytes that were saved in wider integers have nothing in the bits that are read."""
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(16).reshape(4, 4)
    image.fromarray(pixels.astype(np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: expected .* got integers up to 15, .* save them with 8 bits"):
        rows.read_image(tmp_path / "a.tif", rows.AS_THEY_ARE)
    folder = tmp_path / "images"
    for name in "no", "yes":
        (folder / name).mkdir(parents=True)
        image.fromarray(pixels.astype(np.uint16)).save(folder / name / "a.png")
    with pytest.raises(ValueError, match=r"images that are not all black, got none; of 16 bits.* transparency is"):
        rows.read_images(folder, True, rows.AS_THEY_ARE)
    assert not rows.read_images(folder / "no", False, rows.AS_THEY_ARE).x.any()        # a black one can be predicted
    image.fromarray(np.full((4, 4), 256, np.uint16)).save(folder / "no" / "b.png")
    assert rows.read_images(folder, True, rows.AS_THEY_ARE).x.max() == 1


def test_predictions_do_not_replace_what_they_are_of(capsys, tmp_path):
    rows = tmp_path / "new.csv"
    rows.write_text("1,2\n")
    (tmp_path / "link.csv").symlink_to(rows)
    assert cli.main(["predict", "model", str(rows), "--out", str(tmp_path / "link.csv")]) == 2
    assert "--out: expected another file, got " in capsys.readouterr().err and rows.read_text() == "1,2\n"


@pytest.mark.parametrize(("change", "message"), [
    (lambda record: record.pop("python"), r"run.json: expected the record of a run \(no python\)"),
    (lambda record: record.pop("data_sha256"), r"run.json: expected the record of a run \(no data_sha256\)"),
    (lambda record: record["encoding"]["labels"].pop(), "expected 10 labels in run.json, got 9"),
])
def test_a_record_that_was_edited(capsys, change, message):
    call(capsys, "train --run a --epochs 1 --hidden 9 --backend fast --quiet")
    record = json.loads(Path("a/run.json").read_text())
    change(record)
    Path("a/run.json").write_text(json.dumps(record))
    Path("x.csv").write_text(",".join(["0"] * 64))
    for command in ("info a", "predict a x.csv"):
        code, _, err = call(capsys, command)
        assert (code == 1 and re.search(message, err)) or (command == "info a" and "labels" in message)

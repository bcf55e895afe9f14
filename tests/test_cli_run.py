"""Run folders, configuration files, data of one's own, and the commands that use a trained model."""

import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn import cli, datasets
from fastnn.cli import options, train
from fastnn.cli.session import SIGNALLED, UsageError
from fastnn_ref.shared import progress

from .test_cli import few_digits, python, small_picture  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_digits", "small_picture")]


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


@pytest.mark.parametrize(("number", "label", "epoch"), [
    (signal.SIGINT, "fastnn_ref", 2), (signal.SIGTERM, "fastnn", 1), (signal.SIGINT, "fastnn_ref", 0),
])  # fmt: skip
def test_an_interrupted_run_goes_on_to_the_same_bits(
    capsys: pytest.CaptureFixture[str], number: int, label: str, epoch: int
) -> None:
    how = "--hidden 8 --dropout 0.3 --batch-norm --early-stopping 2 --lr 0.01"
    assert call(capsys, f"train --run whole --epochs 4 {how}")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        raise_in(patch, number, label, epoch)
        code, out, _ = call(capsys, f"train --run a --epochs 4 {how}")
    assert code == SIGNALLED + number and out.endswith("\nTo go on: fastnn train --resume a\n")
    assert not Path("a/fastnn-model.safetensors").exists()
    assert call(capsys, "train --resume a")[0] == 0
    for package in ("fastnn", "fastnn_ref"):
        assert weights(f"a/{package}-model.safetensors") == weights(f"whole/{package}-model.safetensors")
        histories = [Path(run, f"{package}-history.csv").read_text() for run in ("a", "whole")]
        assert histories[0] == histories[1]


def test_a_finished_run_goes_on_for_more_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("--run whole --epochs 3", "--run a --epochs 1", "--resume a --epochs 3"):
        assert call(capsys, f"train {line} {'' if 'resume' in line else '--backend fast --dropout 0.2'}")[0] == 0
    assert weights("a/fastnn-model.safetensors") == weights("whole/fastnn-model.safetensors")
    assert options.read_toml(train.Config, "a/config.toml")["epochs"] == 3


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
    assert fastnn.load_training("a/fastnn-checkpoint.safetensors").optimizer.steps == 2 * 5
    for line in ("--resume a", "--run whole --backend fast --epochs 4"):
        assert call(capsys, f"train --quiet {line}")[0] == 0
    assert weights("a/fastnn-model.safetensors") == weights("whole/fastnn-model.safetensors")


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

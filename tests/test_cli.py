"""The command line: what it says, what it saves, what mistakes are answered with, and how a process of it ends."""

import fcntl
import importlib
import os
import re
import resource
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn_ref as nn
from fastnn import cli, datasets, networks, plot
from fastnn.cli import compare, options, report, task, train
from fastnn.cli.score import Classified
from fastnn.cli.session import SIGNALLED, Failure, OutputError, UsageError, attempt, say
from fastnn_ref.shared import atomic, progress, terminal

PNG = b"\x89PNG"
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """200 digits instead of 1,797, no data folder, and pictures go to a folder of the test's own."""
    data = datasets.load_digits()
    x_train, t_train, x_test, t_test = (
        data.x_train[:150],
        data.t_train[:150],
        data.x_test[:50],
        data.t_test[:50],
    )
    few = replace(data, x_train=x_train, t_train=t_train, x_test=x_test, t_test=t_test)
    monkeypatch.setattr(datasets, "load_digits", lambda: few)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the picture is not the point: an empty one, which is drawn in no time."""
    for name in ("training_report", "regression_report"):
        monkeypatch.setattr(plot, name, lambda *args: plot.new_figure(1, 1))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = cli.main(["train", "--epochs", "2", *argv])
    return code, *capsys.readouterr()


def python(*argv: str, more: dict[str, str] | None = None, **how: Any) -> subprocess.CompletedProcess[str]:
    """A Python process of its own that finds the same fastnn."""
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2]), **(more or {})}
    return subprocess.run([sys.executable, *argv], env=env, stderr=subprocess.PIPE, text=True, **how)


# -- what it says and saves


def test_both_agree_and_the_picture_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert code == 0
    first, second, third = out.split("\n\n")[0].splitlines()
    assert first == "scikit-learn's digits: 150 training and 50 test images."
    assert second == "Network 64-128-10 relu: 9,610 parameters, float64, seed 0."
    assert third == "Adam, learning rate 0.001, 2 epochs, batches of 32."
    head, rule, accuracy, parameter, median, fastest, _threads = out.split("\n\n")[1].splitlines()
    assert head.split()[:3] == ["float64", "fastnn_ref", "fastnn"] and set(rule) == {"-"}
    assert re.fullmatch(r"test accuracy +(\d+/50) +\1 +0 of 50 predictions differ", accuracy)
    relative = re.search(r"largest difference \S+, relative (\S+)", parameter)
    assert relative and float(relative[1]) <= 1e-10
    assert re.search(r"ms per epoch, median +[\d.]+ +[\d.]+ +[\d.]+ times as fast", median)
    assert re.search(r"ms per epoch, fastest +[\d.]+ +[\d.]+ +[\d.]+ times as fast", fastest)
    assert "Both end the same" in out and out.endswith("Picture: fastnn-train-digits.png\n")
    assert Path("fastnn-train-digits.png").read_bytes()[:4] == PNG
    assert re.fullmatch(r"fastnn_ref epoch 2/2  .* s  loss \S+  val_accuracy \S+\nfastnn epoch 2/2  .*\n", err)


@pytest.mark.parametrize(
    ("backend", "name", "dtype"), [("ref", "fastnn_ref", "float64"), ("fast", "fastnn", "float32")]
)
def test_one_backend_alone(
    capsys: pytest.CaptureFixture[str], small_picture: None, backend: str, name: str, dtype: str
) -> None:
    code, out, err = run(capsys, "--backend", backend, "--quiet")
    assert (code, err) == (0, "")
    assert out.split()[:2] == [dtype, name] and "between" not in out
    out = run(capsys, "--backend", backend)[1]
    assert re.search(rf"^{name}: accuracy (\d+)/50 \(\d+\.0%\)\.$", out, re.M)


@pytest.mark.parametrize(
    "options",
    [
        "--hidden 7,5 --activation tanh --optimizer sgd --lr 0.1 --momentum 0.5 --batch-size 7",
        "--hidden none --optimizer rmsprop --label-smoothing 0.1 --batch-size 1000",
        "--activation gelu --optimizer adamw --weight-decay 0.1 --seed 3 --threads 1",
        "--dtype float32 --shards 4",
        "--dropout 0.3 --batch-norm --l1 1e-3 --label-smoothing 0.1",
        "--dropconnect 0.5 --l2 1e-2 --max-norm 1.5 --early-stopping",
        "--hidden 16,16,16 --stochastic-depth 0.5 --augment rotate,shift=1,flip --early-stopping 1",
        "--model cnn --channels 3,4 --hidden 9 --dropout 0.1 --dropconnect 0.2 --batch-norm --stochastic-depth 0.3 "
        "--augment noise,erase,contrast,brightness,zoom,shear --l1 1e-4 --l2 1e-3 --max-norm 3 --activation gelu",
        "--model cnn --channels none --hidden none --dropout 0.2",
    ],
)
def test_options_reach_both_packages(
    capsys: pytest.CaptureFixture[str], small_picture: None, options: str
) -> None:
    code, out, _ = run(capsys, *options.split())
    assert code == 0 and "Both end the same" in out


def test_a_seed_says_it_all(capsys: pytest.CaptureFixture[str], small_picture: None) -> None:
    def parameter_row(seed: str) -> str:
        return run(capsys, "--backend", "ref", "--seed", seed)[1].split("largest parameter")[1].split("\n")[0]

    assert parameter_row("1") == parameter_row("1") != parameter_row("2")


@pytest.mark.parametrize("backend", ["ref", "fast", "both"])
def test_a_training_that_ends_in_nan_is_a_failure(
    capsys: pytest.CaptureFixture[str], small_picture: None, backend: str
) -> None:
    """Table and picture are there all the same."""
    code, out, err = run(capsys, "--backend", backend, "--optimizer", "sgd", "--lr", "1e200")
    assert code == 1 and "test accuracy" in out and "Picture: " in out and Path("fastnn-train-digits.png").exists()
    names = {"ref": "fastnn_ref", "fast": "fastnn", "both": "fastnn_ref and fastnn"}[backend]
    assert err.endswith(f"fastnn train: error: the training of {names} diverged: loss or parameters became NaN or "
                        "infinite; try a smaller --lr\n")


def test_weights_that_early_stopping_brings_back_do_not_hide_nan(
    capsys: pytest.CaptureFixture[str], small_picture: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = progress.ProgressBar.on_epoch_begin

    def spoil(self: Any, epoch: int, logs: Any = None) -> None:
        begin(self, epoch, logs)
        if epoch == 1:
            self.model.layers[0].weight = self.model.layers[0].weight * np.nan

    monkeypatch.setattr(progress.ProgressBar, "on_epoch_begin", spoil)
    code, out, err = run(capsys, "--backend", "ref", "--early-stopping", "--epochs", "3")
    assert code == 1 and "the training of fastnn_ref diverged" in err
    assert re.search(r"largest parameter +\d", out)


@pytest.mark.parametrize(
    ("option", "idle"),
    [("--lr 0", True), ("--lr 1e-9 --hidden 8", True), ("--dropout 1", True), ("--epochs 4 --lr 1e-2", False)],
)
def test_a_run_that_learnt_nothing_says_so(
    capsys: pytest.CaptureFixture[str], small_picture: None, option: str, idle: bool
) -> None:
    code, out, _ = run(capsys, *option.split())
    said = "fastnn_ref and fastnn learnt nothing: the accuracy is not above that of a guess by more than chance"
    assert code == 0 and (said in out) == idle


@pytest.mark.parametrize(
    ("before", "correct", "idle"),
    [(10, 10, True), (10, 60, True), (10, 61, False), (60, 60, True), (60, 69, True), (60, 70, False), (0, 100, False)],
)
def test_more_than_a_guess_is_two_standard_deviations_above_it(before: int, correct: int, idle: bool) -> None:
    """Of 100 in two classes: half are right by chance, give or take 5; 60 with a deviation of 4.9."""
    t = np.arange(100) % 2
    said = np.where(np.arange(100) < correct, t, 1 - t)
    assert Classified(t=t, probabilities=np.eye(2)[said], before=before).learnt_nothing() == idle


@pytest.mark.parametrize(("dtype", "off"), [("float32", 1e-2), ("float64", 1e-9)])
def test_drift_and_unsteady_times_are_said(dtype: str, off: float) -> None:
    models = [nn.Sequential(nn.Linear(2, 2), dtype=dtype) for _ in range(2)]
    models[1].layers[0].weight = models[0].layers[0].weight * (1 + off)
    history = nn.History()
    first, second = (
        report.Run(name=name, model=model, history=history, milliseconds=median, fastest=10.0, threads=1,
                   score=Classified(t=np.array([0, 1] * 10), probabilities=np.eye(2)[[0, 1] * 10], before=0))
        for name, model, median in zip(("slow", "quick"), models, (20.0, 10.0), strict=True)
    )  # fmt: skip
    said = report.verdict([first, second])
    assert f"differ by up to {off:.1e}" in said and "quick was 2.0 times as fast as slow" in said
    assert ("--dtype float64" in said) == (dtype == "float32")
    assert "times of the epochs vary" in said
    same = report.verdict([second, second])
    assert "Both end the same" in same and "vary" not in same


def test_defaults_suit_the_data() -> None:
    assert task.completed(task.Task(data="mnist")).batch_size == 64
    assert task.completed(train.Config(data="mnist", batch_size=5)).batch_size == 5
    assert task.completed(train.Config(data="mnist")).epochs == 10
    assert task.completed(task.Task(model="cnn")).channels == (16, 32) and task.completed(task.Task()).channels is None


# -- where the picture goes


def test_out_is_a_file_or_a_folder(
    capsys: pytest.CaptureFixture[str], small_picture: None, tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    for out, expected in [("my.svg", "my.svg"), ("pictures", "pictures/fastnn-train-digits.png")]:
        code, said, _ = run(capsys, "--backend", "ref", "--out", out)
        assert code == 0 and said.endswith(f"Picture: {expected}\n")
        assert (tmp_path / expected).stat().st_size > 0
    assert not list(tmp_path.rglob("*.part"))


def test_no_room_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*args: object) -> None:
        raise OSError(28, "No space left on device")

    picture = tmp_path / "picture.png"
    picture.write_bytes(b"old")
    monkeypatch.setattr(atomic.os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        plot.save(plot.new_figure(1, 1), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"] and picture.read_bytes() == b"old"


# -- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--data mnits", "--data: .*'mnits', did you mean 'mnist'"),
        ("--backend fats", "--backend: .*'fats', did you mean 'fast'"),
        ("--activation rleu", "--activation: .*'rleu', did you mean 'relu'"),
        ("--optimizer adm", "--optimizer: .*'adm', did you mean 'adam"),
        ("--dtype float16", "--dtype: .*float16"),
        ("--epochs 0", "--epochs: expected an integer >= 1, got 0"),
        ("--epochs two", "--epochs: expected an integer, got 'two'"),
        ("--shards 6", r"--shards: expected a power of two \(1, 2, 4, 8, \.\.\.\), got 6"),
        ("--shards 64 --batch-size 32", "--batch-size: expected at least shards=64 rows, got 32"),
        ("--mpi", "--mpi: has an effect only with --shards"),
        ("--batch-size -1", "--batch-size: expected an integer >= 1, got -1"),
        ("--hidden 128;64", "--hidden: expected widths such as 128,64 or none, got '128;64'"),
        ("--model ccn", "--model: .*'ccn', did you mean 'cnn'"),
        ("--model cnn --channels 2,3,4,5", "--channels: expected at most as many as the image can be halved, got 4"),
        ("--dropout 50", "--dropout: expected a finite number >= 0 and <= 1, got 50"),
        ("--dropconnect 1.5", "--dropconnect: expected a finite number >= 0 and < 1, got 1.5"),
        ("--dropout x", "--dropout: expected a number, got 'x'"),
        ("--lr", "--lr: expected one argument .see fastnn train --help."),
        ("--stochastic-depth 0.5", "--stochastic-depth: expected hidden layers of equal width .* got 128"),
        ("--l1 -1", "--l1: expected a finite number >= 0, got -1"),
        ("--max-norm 0", "--max-norm: expected a finite number > 0, got 0"),
        ("--augment rotte", "--augment: .*'rotte', did you mean 'rotate'"),
        ("--augment rotate=much", "--augment: expected a number for rotate, got 'much'"),
        ("--early-stopping -1", "--early-stopping: expected an integer >= 0, got -1"),
        ("--hidden 0", "--hidden: expected an integer >= 1 and <= 1048576, got 0"),
        ("--hidden 99999999999999", "--hidden: expected an integer >= 1 and <= 1048576, got 99999999999999"),
        ("--lr -1", "--lr: expected a finite number >= 0, got -1"),
        ("--lr nan", "--lr: expected a finite number >= 0, got nan"),
        ("--augment rotate=-5", "--augment: rotate: expected a finite number >= 0, got -5"),
        ("--augment flip,flip", "--augment: expected each name once, got flip twice"),
        ("--augment flip=", "--augment: expected a number for flip, got ''"),
        ("--augment rotate,,flip", "--augment: unknown name ''"),
        ("--label-smoothing 2", "--label-smoothing: .*got 2"),
        ("--seed -1", "--seed: .*got -1"),
        ("--threads 0", "--threads: expected an integer >= 1 and <= 1024, got 0"),
        ("--threads 1025", "--threads: expected an integer >= 1 and <= 1024, got 1025"),
        ("--out nowhere/picture.png", "--out: expected an existing folder, got 'nowhere'"),
        ("--out nowhere", "--out: expected an existing folder, got 'nowhere'"),
        ("--out nowhere/", "--out: expected an existing folder, got 'nowhere'"),
        ("--out picture.xyz", "--out: expected a file ending in .*png.*, got 'picture.xyz'"),
        ("--speed 9", "unknown argument: --speed 9"),
        # what does nothing beside the others
        ("--channels 3", "--channels: has an effect only with --model cnn"),
        ("--download", "--download: has an effect only with --data mnist or optdigits or fashion-mnist or cifar10"),
        ("--momentum 0.9", "--momentum: has an effect only with --optimizer sgd"),
        ("--hidden none --activation tanh", "--activation: has an effect only with hidden layers"),
        ("--hidden none --batch-norm", "--batch-norm: has an effect only with hidden layers"),
        ("--hidden none --dropconnect 0.5", "--dropconnect: has an effect only with hidden layers"),
        ("--model cnn --hidden none --dropconnect 0.5", "--dropconnect: has an effect only with hidden layers"),
        ("--model cnn --channels none --stochastic-depth 0.5", "--stochastic-depth: expected hidden layers of equal"),
    ],
)
def test_mistake_is_one_line_before_any_training(
    capsys: pytest.CaptureFixture[str], options: str, message: str
) -> None:
    code, out, err = run(capsys, "--backend", "ref", *options.split())
    assert (code, out) == (2, "")
    assert err.startswith("fastnn train: error: ") and err.count("\n") == 1
    assert re.search(message, err)


@pytest.mark.parametrize("data", ["mnist", "optdigits"])
def test_missing_data_is_a_failure(capsys: pytest.CaptureFixture[str], data: str) -> None:
    code, out, err = run(capsys, "--data", data)
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert re.search(f"^fastnn train: error: {data}: no file .*--data {data} --download", err)


def test_corrupt_data_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "optdigits.tra").write_text("0,1,2\n")
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    code, _, err = run(capsys, "--data", "optdigits")
    assert code == 1
    assert f"{tmp_path}/optdigits.tra: expected 563,639 bytes of content, found 6; delete it" in err


def test_a_folder_that_cannot_be_written_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.os, "access", lambda path, mode: False)
    code, out, err = run(capsys, "--backend", "ref")
    assert (code, out) == (2, "")
    assert err == "fastnn train: error: --out: expected a folder that can be written to, got '.'\n"


@pytest.mark.parametrize("target", ["none/p.png", "p.png"])
def test_a_picture_behind_a_link_that_leads_nowhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, target: str
) -> None:
    (tmp_path / "p.png").symlink_to(target)
    code, _, err = run(capsys, "--out", "p.png")
    assert code == 2 and re.match(r"fastnn train: error: --out: expected a (file that|folder that) can be written", err)


def test_memory_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr(task, "build", no_memory)
    code, _, err = run(capsys, "--backend", "ref")
    assert (code, err) == (1, "fastnn train: error: not enough memory\n")


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert re.fullmatch("fastnn: error: .*COMMAND.*\n", capsys.readouterr().err)
    assert cli.main(["tran"]) == 2
    assert re.fullmatch("fastnn: error: COMMAND: .*'tran'.*train.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["--version"]])
def test_help_and_version(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert cli.main(argv) == 0
    assert "fastnn" in capsys.readouterr().out


def test_the_description_is_the_summary_with_its_capitals(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lab", "--help"]) == 0
    assert "\nRun an experiment on a claim of the textbooks: PASS or FAIL.\n" in capsys.readouterr().out
    assert cli.main(["export", "--help"]) == 0
    assert "\nA trained model as an ONNX file.\n" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["sklearn", "matplotlib", "pooch", "threadpoolctl"])
def test_missing_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    class Absent:
        def find_spec(self, name: str, *rest: Any) -> None:
            if name.partition(".")[0] == missing:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("fastnn.plot")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["fastnn"], "plot")
    importlib.reload(datasets)  # the fixture's few digits would hide that scikit-learn is missing
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    code, _, err = run(capsys, "--data", "mnist" if missing == "pooch" else "digits", "--backend", "ref")
    name = {"sklearn": "scikit-learn"}.get(missing, missing)
    assert (code, err.splitlines()[-1]) == (
        1,
        f'fastnn train: error: {name} is missing: pip install "fastnn[train]"',
    )


def test_mpi_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    code, _, err = run(capsys, "--shards", "4", "--mpi")
    assert (code, err) == (1, 'fastnn train: error: mpi4py is missing: pip install "fastnn[mpi]"\n')


# -- options


def test_an_option_is_one_field() -> None:
    """A field is enough: for the flag, its help, what it reads, its check and what is said of the run."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        width: float = options.option(0.5, options.number(0, 1), "how wide, in %", "training")
        deep: bool = options.option(False, None, "deep", "training", only=("with --width 1", lambda c: c.width == 1))

    parser = options.Parser(prog="x")
    options.add(parser, Config)
    assert re.search(r"--width X +how wide, in % \(default 0.5\)", parser.format_help())
    config = Config(**vars(parser.parse_args(["--width", "1", "--deep"])))
    options.check(config)
    assert config == Config(width=1, deep=True) and options.given(config, "training") == "width 1, deep"
    with pytest.raises(UsageError, match=r"^--width: expected a finite number >= 0 and <= 1, got 7$"):
        options.check(Config(width=7))
    with pytest.raises(UsageError, match=r"^--deep: has an effect only with --width 1$"):
        options.check(Config(deep=True))
    with pytest.raises(UsageError, match=r"^--width: expected more$"), options.usage(config):
        raise ValueError("width: expected more")


@pytest.mark.parametrize("command", cli.COMMANDS.values())
def test_every_field_is_an_option_with_a_known_group(command: Any) -> None:
    for name, default, what in options.declared(command.Config):
        assert what.group in options.GROUPS and what.help, name
        if what.kind is not None and default is not None:
            what.kind.check(name, default)


def test_a_recipe_takes_its_fields_from_options() -> None:
    assert {each.name for each in fields(networks.Recipe)} <= {each.name for each in fields(task.NetworkOptions)}


def test_each_optimizer_of_the_package_can_be_chosen() -> None:
    assert {"sgd", "rmsprop", "adam", "adamw"} <= set(task.OPTIMIZERS)
    for name in task.OPTIMIZERS:
        task.build_optimizer(nn, task.Task(optimizer=name, lr=0.1))


# -- signals and broken streams, in this process


def test_ctrl_c(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.ProgressBar, "on_epoch_end", interrupt)
    code, out, err = run(capsys, "--backend", "ref")
    assert code == 130 and err == "fastnn train: interrupted\n" and "test accuracy" not in out


def test_what_is_finished_is_kept_when_a_signal_comes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = progress.ProgressBar.on_train_begin

    def interrupt(self: Any, logs: Any = None) -> None:
        begin(self, logs)
        if self.label.strip() == "fastnn":
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(progress.ProgressBar, "on_train_begin", interrupt)
    before = signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL
    code, out, err = run(capsys)
    assert code == SIGNALLED + signal.SIGTERM and err.endswith("fastnn train: stopped by SIGTERM\n")
    assert re.search(r"float64 +fastnn_ref\n", out) and "test accuracy" in out
    assert signal.getsignal(signal.SIGTERM) is before


def test_every_step_is_taken_and_every_failure_said(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    def fail(text: str) -> None:
        raise Failure(text)

    def steps(config: Any) -> None:
        attempt(lambda: fail("one"), lambda: say("two"), lambda: fail("three"), lambda: fail("one"))

    monkeypatch.setattr(compare, "run", steps)
    assert cli.main(["compare"]) == 1
    assert capsys.readouterr() == ("two\n", "fastnn compare: error: one\nfastnn compare: error: three\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(config: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(compare, "run", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["compare"])


def test_a_closed_stream_is_an_output_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(OutputError, match="standard output: Bad file descriptor"):
        say("text")


def test_a_name_that_ascii_cannot_write(tmp_path: Path) -> None:
    done = python("-m", "fastnn", "train", *QUICK, "--out", "путь.png", stdout=subprocess.PIPE, cwd=tmp_path,
                  more={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stdout.endswith("Picture: \\u043f\\u0443\\u0442\\u044c.png\n")


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


def test_a_locale_of_ascii_alone(tmp_path: Path) -> None:
    """Its streams let bytes of names through, and nothing else; its paths take no other letters."""
    done = python("-m", "fastnn", "lab", "list", "--lang", "ru", stdout=subprocess.PIPE, cwd=tmp_path, more=ASCII)
    assert (done.returncode, done.stderr) == (0, "") and "\\u043f\\u0440" in done.stdout
    done = python("-m", "fastnn", "train", *QUICK, "--run", "путь", stdout=subprocess.PIPE, cwd=tmp_path, more=ASCII)
    assert done.returncode == 0 and os.path.exists(os.fsencode(tmp_path) + "/путь/picture.png".encode())


def test_ctrl_c_while_modules_are_imported() -> None:
    code = """if True:
        import sys
        class Interrupted:
            def find_spec(self, name, *more):
                if name == "fastnn.cli.info":
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Interrupted())
        from fastnn.__main__ import main
        sys.exit(main())"""
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (SIGNALLED + signal.SIGINT, "fastnn: interrupted\n")


# -- as a process of its own

QUICK = ["--backend", "ref", "--epochs", "1", "--quiet"]
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
NO_ROOM = "error: standard output: No space left on device\n"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A shell line, in which `fastnn` is the command; the exit code is that of the command."""
    command = f"{shlex.quote(sys.executable)} -m fastnn"
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("fastnn", command)],
        cwd=folder, env=env, text=True, capture_output=True, timeout=300,
    )  # fmt: skip


@needs_full
@pytest.mark.parametrize("what", ["--help", "--version", "train --help", "compare --hidden 4 --steps 1"])
def test_output_onto_a_full_disk(tmp_path: Path, what: str) -> None:
    done = shell(f"fastnn {what} > /dev/full", tmp_path)
    assert done.returncode == 1 and done.stderr.endswith(NO_ROOM) and done.stderr.count("\n") == 1


@needs_full
def test_a_full_disk_is_noticed_before_training(tmp_path: Path) -> None:
    done = shell("fastnn train --epochs 100000 > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"fastnn train: {NO_ROOM}")


@needs_full
def test_a_table_that_cannot_be_printed_is_not_lost(tmp_path: Path) -> None:
    """It goes to stderr, and the picture is written."""
    done = shell(f"fastnn train {' '.join(QUICK)} --out p.png > /dev/full", tmp_path)
    assert done.returncode == 1 and (tmp_path / "p.png").read_bytes()[:4] == PNG
    assert done.stderr.endswith(f"Picture: p.png\nfastnn train: {NO_ROOM}") and "test accuracy" in done.stderr
    assert done.stderr.count("error") == 1


def test_nobody_reads(tmp_path: Path) -> None:
    """As by SIGPIPE; the picture is written. `| true` is gone before the table is printed."""
    done = shell(f"fastnn train {' '.join(QUICK)} --out p.png | true", tmp_path)
    assert done.returncode == SIGNALLED + signal.SIGPIPE and (tmp_path / "p.png").read_bytes()[:4] == PNG
    assert done.stderr == "fastnn train: error: standard output: Broken pipe\n"


def test_closed_stdout(tmp_path: Path) -> None:
    done = shell("fastnn train --epochs 100000 >&-", tmp_path)
    said = "fastnn: error: standard output is closed; to discard what is printed, use > /dev/null\n"
    assert (done.returncode, done.stderr) == (1, said) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("stream", ["2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_stderr_that_takes_nothing(tmp_path: Path, stream: str) -> None:
    """The work is done; what goes wrong is told by the exit code."""
    done = shell(f"fastnn train --backend ref --epochs 2 --out p.png {stream}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("Picture: p.png\n")
    assert (tmp_path / "p.png").read_bytes()[:4] == PNG
    assert shell(f"fastnn train --dropout 50 {stream}", tmp_path).returncode == 2


def test_a_closed_stream_leaves_its_number_to_no_file(tmp_path: Path) -> None:
    """Or what some library prints to stderr would be written into the picture."""
    (tmp_path / "code.py").write_text(
        "import os\nfrom fastnn.cli.session import Session\nwith Session('x'):\n    print(os.dup(1))\n")
    done = shell(f"{shlex.quote(sys.executable)} code.py <&- 2>&-", tmp_path)
    assert int(done.stdout) > 2


def test_all_streams_closed(tmp_path: Path) -> None:
    assert shell("fastnn --version <&- >&- 2>&-", tmp_path).returncode == 1
    assert shell("fastnn --version <&- >/dev/null 2>&-", tmp_path).returncode == 0


@needs_full
def test_a_picture_onto_a_full_device(tmp_path: Path) -> None:
    done = shell(f"fastnn train {' '.join(QUICK)} --out /dev/full", tmp_path)
    assert done.returncode == 1 and "test accuracy" in done.stdout
    assert done.stderr == "fastnn train: error: could not save the picture /dev/full: No space left on device\n"


def test_a_picture_that_does_not_fit(tmp_path: Path) -> None:
    """The old one stays, and nothing half written beside it."""
    (tmp_path / "p.png").write_bytes(b"old")
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "fastnn", "train", *QUICK, "--out", "p.png"], cwd=tmp_path, env=env, text=True,
        capture_output=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert done.returncode == 1 and "test accuracy" in done.stdout
    assert done.stderr == "fastnn train: error: could not save the picture p.png: File too large\n"
    assert os.listdir(tmp_path) == ["p.png"] and (tmp_path / "p.png").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("backend", "number", "said"),
    [
        ("ref", signal.SIGTERM, "stopped by SIGTERM"),
        ("fast", signal.SIGTERM, "stopped by SIGTERM"),
        ("ref", signal.SIGHUP, "stopped by SIGHUP"),
        ("fast", signal.SIGINT, "interrupted"),
    ],
)
def test_a_signal_ends_a_training(tmp_path: Path, backend: str, number: int, said: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    line = [sys.executable, "-m", "fastnn", "train", "--backend", backend, "--epochs", "1000000"]
    with subprocess.Popen(
        line, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),       # nohup and `&` hand down that it is ignored
    ) as it:  # fmt: skip
        try:
            assert it.stdout is not None
            while "batches" not in it.stdout.readline():
                assert it.poll() is None
            time.sleep(0.5)
            it.send_signal(number)
            _, err = it.communicate(timeout=120)
        finally:
            it.kill()
    assert it.returncode == SIGNALLED + number and err.splitlines()[-1] == f"fastnn train: {said}"
    assert "Traceback" not in err and not list(tmp_path.iterdir())


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As under nohup."""
    line = f"fastnn train {' '.join(QUICK)}"
    done = shell(f"trap '' TERM; {line} & sleep 2; kill -TERM $!; wait $!", tmp_path)
    assert done.returncode == 0 and "test accuracy" in done.stdout


# -- progress and plot, which work with any model


def test_bar_follows_run_epoch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.Steady, "isatty", lambda self: True)
    with progress.ProgressBar("mine", epochs=1) as bar:
        for step in range(1, 5):
            bar.on_progress(step, 4)
        assert bar.done == 1
    assert "mine 100%" in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 80, 0])
def test_a_bar_has_one_line_of_the_terminal(width: int) -> None:
    """On a terminal of 80 columns each drawing of it left a line behind. One of width 0 does not say how wide it is."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    program = "from fastnn_ref import ProgressBar as B\nwith B('fastnn_ref', epochs=60, style='bar') as bar:\n" \
              " for i in range(60): bar.on_epoch_begin(i); bar.on_epoch_end(i, {'loss': .5432, 'val_accuracy': .9844})"
    with open(master, "rb", buffering=0) as screen:
        subprocess.run([sys.executable, "-c", program], stderr=slave, check=True, cwd=Path(cli.__file__).parents[2])
        os.close(slave)
        shown = screen.read(100_000).decode().strip()
    drawn = re.split(r"[\r\n]+", shown)
    assert "|" in drawn[-1] and len(drawn[-1]) > 35 and max(map(len, drawn)) < (width or 100)


def test_a_log_file_gets_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One at the end, and before that one for each pause."""
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.ProgressBar("mine", epochs=7, show=("loss",), pause=30) as bar:
        for epoch in range(7):
            bar.on_epoch_begin(epoch)
            bar.on_progress(4, 4)
            bar.on_epoch_end(epoch, {"loss": 0.5, "other": 1.0})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "mine epoch 4/7  4.00 s  loss 0.5" and lines[-1] == "mine epoch 7/7  4.00 s  loss 0.5"
    assert len(lines) == 2


class Broken:
    """A stream that takes nothing."""

    encoding, errors = "utf-8", "strict"

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2


@pytest.mark.parametrize("stream", [None, Broken()])
def test_a_bar_that_cannot_be_drawn_does_not_stop_training(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    x = np.eye(4)
    model = nn.Sequential(nn.Linear(4, 2))
    with progress.ProgressBar("mine") as bar:
        history = model.fit(x, [0, 1, 0, 1], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=3, callbacks=[bar])
    assert len(history.epoch) == 3


def test_plot_needs_no_pyplot() -> None:
    code = "import sys, fastnn.plot as p; p.new_figure(1, 1); sys.exit('matplotlib.pyplot' in sys.modules)"
    assert python("-c", code).returncode == 0


@pytest.mark.parametrize("mistakes", [0, 1, 20])
def test_report_with_few_and_many_mistakes(mistakes: int) -> None:
    t = np.arange(30) % 3
    said = np.where(np.arange(30) < mistakes, (t + 1) % 3, t)
    history = {"loss": [1.0], "accuracy": [0.5], "val_loss": [1.0], "val_accuracy": [0.5]}
    figure = plot.training_report(
        "Toy", {"a": history, "b": history}, t, np.eye(3)[said], np.zeros((30, 8, 8))
    )
    titles = [axes.get_title() for axes in figure.axes]
    assert sum(title.startswith("true") for title in titles) == min(mistakes, 12)
    assert "Confusion matrix of b, 30 held out" in titles


def test_compare(capsys: pytest.CaptureFixture[str]) -> None:
    options = "compare --model cnn --channels 2 --hidden 5 --dropout 0.2 --batch-norm --l1 1e-3 --steps 3"
    assert cli.main(options.split()) == 0
    out = capsys.readouterr().out
    assert "fastnn beside fastnn_ref, float64, 3 steps" in out
    differences = [float(line.split()[-2]) for line in out.splitlines() if line.startswith(("output", "value", "loss"))]
    assert len(differences) > 10 and max(differences) < 1e-9
    assert cli.main(["compare", "--steps", "-1"]) == 2
    assert "--steps: expected an integer >= 0, got -1" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--lr 1", "--optimizer sgd", "--weight-decay 0.1"])
def test_no_steps_need_no_optimizer(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert cli.main(["compare", "--steps", "0", *option.split()]) == 2
    assert re.search(f"{option.split()[0]}: has an effect only with --steps of 1 or more", capsys.readouterr().err)


@pytest.mark.parametrize("option", ["--epochs 3", "--backend ref", "--out x.png", "--early-stopping", "--quiet"])
def test_compare_refuses_what_it_has_no_use_for(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert cli.main(["compare", *option.split()]) == 2
    assert f"fastnn compare: error: unknown argument: {option}" in capsys.readouterr().err

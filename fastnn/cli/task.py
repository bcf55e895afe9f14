"""What commands have in common: which data, which network, how it is trained; and all of it built from the options."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy.typing as npt

import fastnn_ref
from fastnn_ref import optim
from fastnn_ref.shared import checks

from .. import datasets, networks
from . import own_data, rows
from .encoding import Encoding
from .options import REGULARIZERS, Kind, choice, integer, number, option, path, text, text_of, usage, widths

DATA: dict[str, dict[str, Any]] = {  # enough for 97 % of the test images, 95 % of optdigits' new writers
    "digits": {"epochs": 30, "batch_size": 32, "channels": (16, 32)},
    "mnist": {"epochs": 10, "batch_size": 64, "channels": (32, 64)},
    "optdigits": {"epochs": 20, "batch_size": 32, "channels": (16, 32)},
    "fashion-mnist": {"epochs": 10, "batch_size": 64, "channels": (32, 64)},
    "cifar10": {"epochs": 20, "batch_size": 64, "channels": (32, 64)},
}
PUBLISHED = tuple(name for name in DATA if name != "digits")       # in files that are looked for, or fetched
OWN_DEFAULTS = DATA["digits"]  # for files of the user's
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
OPTIMIZERS = {
    name.lower(): name for name, kind in vars(optim).items()
    if isinstance(kind, type) and issubclass(kind, fastnn_ref.Optimizer) and kind is not fastnn_ref.Optimizer
}
MOMENTUM = 0.9  # of sgd, where none is given
WIDEST = 2**20  # units of a layer
LOSSES = {"mse": "MSELoss", "l1": "L1Loss", "huber": "HuberLoss"}  # of a regression


def suits(name: str) -> str:
    """What the data sets' own defaults of an option are, for its help."""
    return "default: " + ", ".join(f"{data} {text_of(values[name])}" for data, values in DATA.items())


def takes(optimizer: str, argument: str) -> bool:
    """Does the optimizer of that name have that argument?"""
    found = OPTIMIZERS.get(optimizer)
    return found is None or argument in inspect.signature(getattr(fastnn_ref, found)).parameters


def with_optimizers(argument: str) -> tuple[str, Any]:
    """Where an option does something that only some optimizers take."""
    able = " or ".join(name for name in OPTIMIZERS if takes(name, argument))
    return f"with --optimizer {able}", lambda config: takes(config.optimizer, argument)


def has_activations(config: Any) -> bool:
    """Has the network a layer before the last one?"""
    return bool(config.hidden or (config.model == "cnn" and config.channels))


WITH_HIDDEN = "with hidden layers", has_activations


def is_folder(config: Any) -> bool:
    """Is the data a folder of the user's images?"""
    return is_own(config) and Path(config.data).is_dir()


def is_own(config: Any) -> bool:
    """Is the data a file of the user's?"""
    return config.data is not None and config.data not in DATA


def endings(*wanted: str) -> Callable[[Any], bool]:
    """Is it a file of the user's with one of these endings?"""
    return lambda config: is_own(config) and config.data.lower().endswith(wanted)


def data_source() -> Kind:
    """The name of a data set, or a path: something that is there, or looks like one."""

    def check(name: str, value: Any) -> None:
        file = Path(value)
        if value in DATA or (value and file.exists()):
            return
        if not value or file.suffix or file.parent != Path("."):
            raise ValueError(f"{name}: expected a data set ({', '.join(DATA)}) or a file that is there, got {value!r}")
        checks.as_choice(name, value, tuple(DATA))

    return Kind(str, check, "NAME|FILE")


def image_size() -> Kind:
    """WIDTHxHEIGHT, or one number for both."""
    return Kind(str, rows.as_size, "WxH")


OWN = "with --data FILE", is_own
FOLDER = "with --data FOLDER, of images", is_folder
CLASSES = "with --task classification", lambda config: config.task == "classification"
VALUES = "with --task regression", lambda config: config.task == "regression"
FILES = "CSV, Parquet, NPY, NPZ (x, t), IDX, or a folder with a folder of images for each class"


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Which data, and what a file of the user's own needs beside it."""

    data: str | None = option(None, data_source(), f"{', '.join(DATA)}; or {FILES}", "data")
    target: str | None = option(
        None, text("COLUMN,..."), "the targets' column in a table, by name or number from 1 (default: the last); of a "
        "regression, one or several", "data",
        only=("with --data FILE, a table", endings(*rows.TABLES)),
    )  # fmt: skip
    targets: str | None = option(
        None, path("FILE", "a file"), "the targets of an NPY or IDX file: another one", "data",
        only=("with --data FILE, NPY or IDX", endings(".npy", ".idx", ".gz", "ubyte")),
    )  # fmt: skip
    download: bool = option(
        False, None, "fetch missing data files, checked by sha256", "data",
        only=(f"with --data {' or '.join(PUBLISHED)}", lambda config: config.data in PUBLISHED),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DataOptions(FileOptions):
    """Which data."""

    data: str = option("digits", data_source(), f"{', '.join(DATA)}; digits need no download; or {FILES}", "data")
    task: str = option(
        "classification", choice(("classification", "regression")),
        "classification, or regression: the targets are numbers", "data", only=OWN,
    )  # fmt: skip
    held_out: float = option(
        0.25, number(0, 1, low_open=True), "share of the rows that is held out, each class in proportion", "data",
        only=OWN,
    )  # fmt: skip
    scale: str = option(
        "standard", choice(("standard", "none")),
        "input numbers to mean 0 and deviation 1, or none: as they are; bytes become 0 to 1", "data", only=OWN,
    )  # fmt: skip
    image_size: str | None = option(
        None, image_size(), "resize the images to 32x24 (width x height), or 32 for both", "data", only=FOLDER
    )
    colors: str = option(
        "auto", choice(("auto", "grey", "rgb")), "of the images; auto: rgb if any pixel has a colour", "data",
        only=FOLDER,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Which network."""

    hidden: tuple[int, ...] = option(
        (128,), widths(WIDEST), "widths of the hidden layers: 128,64 or none", "network"
    )
    model: str = option(
        "mlp", choice(("mlp", "cnn")), "mlp, or cnn: a convolution and a pool for each of --channels first", "network"
    )
    channels: tuple[int, ...] | None = option(
        None, widths(WIDEST), f"of the convolutions ({suits('channels')})", "network",
        only=("with --model cnn", lambda config: config.model == "cnn"),
    )  # fmt: skip
    activation: str = option(
        "relu", text("NAME"), "after each hidden layer: relu, tanh, gelu, ...", "network", only=WITH_HIDDEN
    )
    dtype: str | None = option(
        None, choice(("float32", "float64")), "float32 or float64 (default: float64; train with fastnn alone: float32)",
        "network",
    )  # fmt: skip
    seed: int = option(0, integer(0, 2**64 - 1), "of the initial weights, the masks and the shuffling", "network")

    dropout: float = option(0.0, number(0, 1), "probability of zeroing a hidden value", REGULARIZERS)
    dropconnect: float = option(
        0.0, number(0, 1, high_open=True), "probability of zeroing a hidden layer's weight", REGULARIZERS,
        only=("with hidden layers (--hidden)", lambda config: bool(config.hidden)),
    )  # fmt: skip
    batch_norm: bool = option(
        False, None, "normalise before each hidden activation", REGULARIZERS, only=WITH_HIDDEN
    )
    stochastic_depth: float = option(
        0.0, number(0, 1), "probability of leaving the last residual layer out", REGULARIZERS
    )
    l1: float = option(0.0, number(0), "strength of L1: exact zeros", REGULARIZERS)
    l2: float = option(0.0, number(0), "strength of L2", REGULARIZERS)
    max_norm: float | None = option(
        None, number(0, low_open=True), "largest norm of a unit's weights", REGULARIZERS
    )
    augment: str | None = option(
        None, text("NAME,..."), f"change the images: any of {','.join(AUGMENT)}; rotate=30 says how much",
        REGULARIZERS,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """How one step of training is made."""

    label_smoothing: float = option(
        0.0, number(0, 1), "share of a target spread over all classes", REGULARIZERS, only=CLASSES
    )
    loss: str | None = option(
        None, choice(tuple(LOSSES)), "of a regression: mse (default), l1 (less for outliers) or huber, between them",
        "training", only=VALUES,
    )  # fmt: skip
    optimizer: str = option("adam", choice(tuple(OPTIMIZERS)), ", ".join(OPTIMIZERS), "training")
    lr: float | None = option(None, number(0), "learning rate (default: the optimizer's)", "training")
    momentum: float | None = option(
        None, number(0, 1), f"of sgd (default {MOMENTUM}) or rmsprop (default 0)", "training",
        only=with_optimizers("momentum"),
    )
    weight_decay: float | None = option(
        None, number(0), "of weights, not biases (default: the optimizer's)", "training",
        only=with_optimizers("weight_decay"),
    )  # fmt: skip
    batch_size: int | None = option(None, integer(1), f"examples per step ({suits('batch_size')})", "training")


@dataclass(frozen=True, kw_only=True)
class Task(OptimizerOptions, NetworkOptions, DataOptions):
    """A network, the data it learns, and how."""

    config: str | None = option(
        None, path("FILE", "a file"),
        "TOML file of options, each named as its flag: batch-size = 64; flags override it", "running",
    )  # fmt: skip


def completed(config: Any) -> Any:
    """The same, with the data set's own values where a command has such an option and none is given.

    >>> from fastnn.cli.task import completed, Task
    >>> completed(Task(data="mnist")).batch_size, completed(Task(batch_size=5)).batch_size
    (64, 5)
    """
    values = DATA.get(config.data, OWN_DEFAULTS)
    missing = {name: value for name, value in values.items() if getattr(config, name, 0) is None}
    if config.model != "cnn":
        missing.pop("channels", None)
    return replace(config, **missing)


def load_data(config: DataOptions, progress: bool) -> tuple[datasets.Dataset, Encoding]:
    """The data set that ``--data`` names, and how its inputs and labels are coded."""
    if is_own(config):
        with usage(config, others=False):
            return own_data.load(config)
    load: Any = getattr(datasets, f"load_{config.data.replace('-', '_')}")
    data: datasets.Dataset = load() if config.data == "digits" else load(download=config.download, progress=progress)
    return data, Encoding(tuple(map(str, range(data.outputs))), data.features, image_shape=data.image_shape,
                          from_bytes=data.image_shape is not None)


def build(nn: ModuleType, config: Task, data: datasets.Dataset, dtype: str) -> tuple[Any, Any, Any]:
    """Model, loss and optimizer, made by the package ``nn``; UsageError for options that do not fit together."""
    with usage(config):
        return build_model(nn, config, data, dtype), build_loss(nn, config), build_optimizer(nn, config)


def build_loss(nn: ModuleType, config: Task) -> Any:
    """The loss of ``--loss`` or, of a classifier, the cross-entropy."""
    if config.task == "regression":
        return getattr(nn, LOSSES[config.loss or "mse"])()
    return nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)


def build_model(nn: ModuleType, config: NetworkOptions, data: datasets.Dataset, dtype: str) -> Any:
    """The network of ``--model``, ``--hidden`` and so on, made by the package ``nn``; ``dtype`` if none is given."""
    recipe = networks.Recipe(**{each.name: getattr(config, each.name) for each in fields(networks.Recipe)})
    layer_widths = (*config.hidden, data.outputs)
    changes: dict[str, Any] = augmentation(config, data)
    if config.model == "cnn":
        layers = networks.cnn(nn, image_of("model", data), config.channels or (), layer_widths, recipe)
    else:
        layers = networks.mlp(nn, (data.features, *layer_widths), recipe)
        if changes:
            changes["image_shape"] = image_of("augment", data)
    if changes:
        layers = [nn.Augment(**changes), *layers]
    penalty = [nn.ElasticNet(config.l1, config.l2)] if config.l1 or config.l2 else []
    if config.max_norm is not None:
        penalty.append(nn.MaxNorm(config.max_norm))
    return nn.Sequential(*layers, seed=config.seed, dtype=config.dtype or dtype, penalty=penalty)


def image_of(name: str, data: datasets.Dataset) -> tuple[int, int, int]:
    """(channels, height, width) of the images that the option ``name`` needs."""
    if data.image_shape is None:
        raise ValueError(f"{name}: expected a data set of images, got {data.title}")
    return data.image_shape


def augmentation(config: NetworkOptions, data: datasets.Dataset) -> dict[str, float]:
    """What ``--augment`` asks of ``Augment``: names, each with its usual amount or one of its own.

    >>> from fastnn import datasets
    >>> from fastnn.cli.task import augmentation, Task
    >>> augmentation(Task(augment="rotate=30,flip"), datasets.make_moons())
    {'rotation': 30.0, 'flip': 0.5}
    """
    found: dict[str, float] = {}
    for part in config.augment.split(",") if config.augment is not None else ():
        name, equals, amount = part.strip().partition("=")
        argument, usual = AUGMENT[checks.as_choice("augment", name, tuple(AUGMENT))]
        if argument in found:
            raise ValueError(f"augment: expected each name once, got {name} twice")
        if name == "shift":
            usual *= min(image_of("augment", data)[1:])
        try:
            found[argument] = float(amount) if equals else usual
        except ValueError:
            raise ValueError(f"augment: expected a number for {name}, got {amount!r}") from None
        try:
            amount_of: dict[str, Any] = {argument: found[argument]}
            fastnn_ref.Augment(**amount_of)
        except ValueError as error:
            raise ValueError(f"augment: {name}: {str(error).partition(': ')[2]}") from error
    return found


def build_optimizer(nn: ModuleType, config: OptimizerOptions) -> Any:
    """The optimizer of ``--optimizer``, with the package's own defaults for what is not given."""
    given = {"lr": config.lr, "momentum": config.momentum, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd" and config.momentum is None:
        given["momentum"] = MOMENTUM
    given = {key: value for key, value in given.items() if value is not None}
    return getattr(nn, OPTIMIZERS[config.optimizer])(**given)


def inputs(config: NetworkOptions, data: datasets.Dataset, x: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """Rows as the network takes them: as they are, or as images."""
    x = x.astype(dtype, copy=False)
    return x.reshape(-1, *image_of("model", data)) if config.model == "cnn" else x


def describe_network(model: Any, config: NetworkOptions, data: datasets.Dataset) -> str:
    """Its widths, its activation, its size, its dtype and its seed: ``64-128-10``, ``8x8 conv16-conv32-128-10``,
    ``32x32 rgb …``."""
    first = [str(data.features)]
    if config.model == "cnn":
        channels, height, width = image_of("model", data)
        image = f"{width}x{height}" + (" rgb" if channels == 3 else "")
        first = [f"{image} " + "-".join(f"conv{c}" for c in config.channels or ())]
    shape = "-".join([*first, *map(str, (*config.hidden, data.outputs))])
    if has_activations(config):
        shape += f" {config.activation}"
    parameters = sum(value.size for _, value, _, _ in model.parameters())
    return f"Network {shape}: {parameters:,} parameters, {model.dtype}, seed {config.seed}."

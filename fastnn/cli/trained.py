"""What ``evaluate`` and ``predict`` begin with: the model of a run or of a file, and rows as it takes them."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks

from .encoding import Encoding
from .folder import Folder
from .options import argument, choice, option, path
from .rows import Rows, is_number
from .session import UsageError

BACKENDS = {"fast": "fastnn", "ref": "fastnn_ref"}


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, and which package runs it."""

    model: str = argument(
        path("MODEL", "a folder or a file"), "folder of a run (train --run), or a file of model.save or save_training")
    backend: str = option("fast", choice(tuple(BACKENDS)), "fast (fastnn, C) or ref (fastnn_ref, NumPy)", "running")


@dataclass(frozen=True, kw_only=True)
class TaskOptions(ModelOptions):
    """What a run knows of its model, and a file does not."""

    task: str | None = option(
        None, choice(("classification", "regression")),
        "of a MODEL that is no run's: classification (default), or regression, whose outputs are values", "data",
    )  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A model, and how rows are coded for it: as in its run, or as they are, with classes from 0."""

    nn: ModuleType
    model: Any
    file: Path
    folder: Folder | None
    encoding: Encoding | None
    task: str | None = None

    @property
    def regression(self) -> bool:
        """Are outputs values, not classes?"""
        return self.task == "regression" if self.encoding is None else self.encoding.regression

    def targets(self, x: npt.NDArray[Any]) -> Encoding:
        """How the outputs for inputs are scaled: as in the run, else not at all; UsageError for outputs of a shape."""
        if self.encoding is not None:
            return self.encoding
        shape = tuple(self.model.output_shape(x.shape[1:]))
        if len(shape) != 1:
            raise UsageError(f"--task: expected a model with outputs (n, targets) for a regression, got "
                             f"{checks.format_shape(('n', *shape))}")
        return Encoding((), 1, target_mean=shape[0] * (0.0,), target_deviation=shape[0] * (1.0,))

    def values(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What a regression says of inputs (n, …): (n, targets), each in its unit."""
        return self.targets(x).values(self.model.predict(x))

    def inputs(self, rows: Rows, source: str) -> npt.NDArray[Any]:
        """The rows of the file ``source`` in the shape and dtype of the model."""
        encoding = self.encoding
        if encoding is None:
            x = rows.x / np.float32(255) if rows.x.dtype == np.uint8 else rows.x
            return self.shaped(x, None, source)
        features = int(np.prod(rows.x.shape[1:]))
        if features != encoding.features:
            raise ValueError(f"{source}: expected rows of {encoding.features} numbers, got "
                             f"{checks.format_shape(('n', *rows.x.shape[1:]))}")
        return self.shaped(encoding.inputs(rows.x, source), encoding.image_shape, source)

    def shaped(self, x: npt.NDArray[Any], image: tuple[int, int, int] | None, source: str) -> npt.NDArray[Any]:
        """``x`` (n, …) as it is, as rows, or as images: the first that the model takes."""
        if image is None and x.ndim == 3:
            image = (1, *x.shape[1:])
        shapes = [x.shape[1:], (int(np.prod(x.shape[1:])),), *([image] if image else [])]
        for shape in shapes:
            try:
                self.model.output_shape(shape)
            except ValueError:
                continue
            return x.reshape(len(x), *shape).astype(self.model.dtype, copy=False)
        wanted = f", {checks.format_shape(('n', *self.model.input_shape))}" if self.model.input_shape else ""
        raise ValueError(f"{source}: expected rows that fit the model{wanted}, got "
                         f"{checks.format_shape(('n', *x.shape[1:]))}")

    def labels(self, x: npt.NDArray[Any]) -> tuple[str, ...]:
        """Of each class: those of the run, or 0, 1, …"""
        classes = max(2, self.model.output_shape(x.shape[1:])[-1])
        if self.encoding is None:
            return tuple(map(str, range(classes)))
        if len(self.encoding.labels) != classes:
            raise ValueError(f"{self.file}: expected {classes} labels in run.json, got {len(self.encoding.labels)}")
        return self.encoding.labels


def load(config: ModelOptions) -> Trained:
    """The model that MODEL names; a file inside a run's folder goes with that run."""
    path = Path(config.model)
    folder = Folder(path if path.is_dir() else path.parent)
    if path.is_dir():
        folder.check_is_run("MODEL")
    file = folder.latest() if path.is_dir() else path
    nn = importlib.import_module(BACKENDS[config.backend])
    model = nn.load(file)
    task = config.task if isinstance(config, TaskOptions) else None
    if folder.config.is_file() and folder.record.is_file():
        if task is not None:
            raise UsageError(f"--task: has an effect only with a MODEL that is no run's, and {config.model} is one")
        return Trained(nn, model, file, folder, folder.read()["encoding"])
    return Trained(nn, model, file, None, None, task)


def class_numbers(found: Trained, rows: Rows, labels: tuple[str, ...], source: str) -> npt.NDArray[np.int64]:
    """The labels of the rows as class numbers; ValueError for one that the model does not know."""
    given = rows.labels or []
    numbers = {label: number for number, label in enumerate(labels)}
    for row, label in enumerate(given):
        if label not in numbers:
            place = rows.places[row] if rows.places else f"row {row}"
            hint = "; --task regression takes numbers" if found.encoding is None and is_number(label) else ""
            raise ValueError(f"{source}: {place}: expected one of {', '.join(labels)}, got {label!r}{hint}")
    return np.array([numbers[label] for label in given], np.int64)

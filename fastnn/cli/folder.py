"""A run folder: what ``fastnn train --run DIR`` keeps, so that ``--resume DIR`` goes on and others use the model.

    config.toml                     the options, as ``--config`` takes them
    run.json                        versions, the data's encoding (labels, scaling) and its sha256
    PACKAGE-history.csv             a line for each epoch
    PACKAGE-checkpoint.safetensors  the training after its last epoch, or while it runs, one about a second ago
    PACKAGE-model.safetensors       the model, once its training has ended
    picture.png                     as ``fastnn train`` draws it

PACKAGE is fastnn or fastnn_ref, or both are there.
"""

import contextlib
import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

import numpy as np

from fastnn_ref.shared import atomic, checkpoint
from fastnn_ref.shared.model_checkpoint import ModelCheckpoint

from .. import __version__, datasets
from . import options, task
from .encoding import Encoding
from .session import Failure, UsageError

PAUSE = 1.0  # seconds between two checkpoints: to write one may take longer than an epoch of a small network
RECORD = "fastnn", "python", "numpy", "data_sha256", "encoding"
PACKAGES = ("fastnn", "fastnn_ref")     # the first that a run has is the one that is used


def as_json(value: Any, indent: int | None = None) -> str:
    r"""JSON; what is no UTF-8 in the name of a folder is escaped.

    >>> from fastnn.cli.folder import as_json
    >>> print(as_json("ü caf\udce9"))
    "ü caf\udce9"
    """
    return json.dumps(value, indent=indent, ensure_ascii=False).encode(errors="backslashreplace").decode()


@dataclass(frozen=True)
class Folder:
    """The files of a run.

    >>> from pathlib import Path
    >>> from fastnn.cli.folder import Folder
    >>> str(Folder(Path("a")).checkpoint("fastnn"))
    'a/fastnn-checkpoint.safetensors'
    """

    path: Path

    @property
    def config(self) -> Path:
        """The options."""
        return self.path / "config.toml"

    @property
    def record(self) -> Path:
        """What else is known of the run."""
        return self.path / "run.json"

    @property
    def picture(self) -> Path:
        """The picture."""
        return self.path / "picture.png"

    def history(self, package: str) -> Path:
        """A line for each epoch."""
        return self.path / f"{package}-history.csv"

    def checkpoint(self, package: str) -> Path:
        """The whole training."""
        return self.path / f"{package}-checkpoint.safetensors"

    def model(self, package: str) -> Path:
        """The model that a training ended with."""
        return self.path / f"{package}-model.safetensors"

    def latest(self) -> Path:
        """The file with the model of the run: that of a training that has ended, else the checkpoint."""
        for package in PACKAGES:
            for file in (self.model(package), self.checkpoint(package)):
                if file.is_file():
                    return file
        raise Failure(f"{self.path}: expected a run with a model, but its first epoch has not ended")

    def check_is_new(self) -> None:
        """No run stands here yet."""
        if self.config.exists():
            raise UsageError(f"--run: expected a folder without a run, got {str(self.path)!r}; "
                             f"--resume {self.path} goes on with it")

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """While the block runs, this process alone trains here; ``name`` is what the user typed the folder for. The
        folder is made."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):              # some file systems have no locks
                try:
                    flock(descriptor, LOCK_EX | LOCK_NB)
                except BlockingIOError:
                    raise UsageError(f"{name}: expected a folder in which no other process trains, got "
                                     f"{str(self.path)!r}") from None
            yield
        finally:
            os.close(descriptor)

    def check_is_run(self, name: str) -> None:
        """A run stands here; ``name`` is what the user typed it for."""
        if not self.config.is_file() or not self.record.is_file():
            raise UsageError(f"{name}: expected the folder of a run (fastnn train --run), got {str(self.path)!r}")

    def write(self, config: Any, encoding: Encoding, data: datasets.Dataset) -> None:
        """Begin the folder: the options, and what is known of the data."""
        record = dict(zip(RECORD, (__version__, platform.python_version(), np.__version__, digest(data),
                                   encoding.to_json()), strict=True))
        atomic.write(self.record, as_json(record, indent=1).encode())
        atomic.write(self.config, self.toml(config).encode())

    def withdraw(self) -> None:
        """Take the beginning of a new run back whose training has failed before there was anything to go on with."""
        if not any(map(Path.exists, map(self.checkpoint, PACKAGES))):
            for file in (self.config, self.record, *map(self.history, PACKAGES)):
                file.unlink(missing_ok=True)

    @staticmethod
    def toml(config: Any) -> str:
        """The options as config.toml has them, with absolute paths."""
        paths = {name: str(Path(value).absolute()) for name in ("data", "targets")
                 if (value := getattr(config, name)) is not None and (name != "data" or value not in task.DATA)}
        return options.to_toml(replace(config, **paths))

    def read(self) -> dict[str, Any]:
        """The content of run.json."""
        try:
            found: dict[str, Any] = json.loads(self.record.read_bytes())
            if missing := [name for name in RECORD if name not in found]:
                raise ValueError(f"no {', '.join(missing)}")
            found["encoding"] = Encoding.from_json(found["encoding"])
        except (ValueError, TypeError, RecursionError) as error:
            raise Failure(f"{self.record}: expected the record of a run ({error})") from error
        return found

    def check_data(self, data: datasets.Dataset) -> None:
        """The data is what the run began with."""
        if digest(data) != self.read()["data_sha256"]:
            raise Failure(f"{self.path}: expected the data that the run began with, but {data.title} has changed")

    def epochs_done(self, package: str) -> int:
        """Epochs in the checkpoint, 0 if there is none."""
        file = self.checkpoint(package)
        if not file.exists():
            return 0
        return len(checkpoint.read_training(file)["state"]["callbacks"][0]["epoch"])


class Checkpoint(ModelCheckpoint):
    """Writes the training at the end of an epoch, ``PAUSE`` seconds apart, and at the end of the last epoch; ``model``,
    the file of a shorter training that has ended, is gone by then."""

    def __init__(self, path: Path, model: Path) -> None:
        super().__init__(str(path).replace("{", "{{").replace("}", "}}"))       # braces would be fields
        self.ended, self.written = model, -math.inf

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        now = time.monotonic()
        if epoch + 1 == self.params["epochs"] or self.model.stop_training or now - self.written >= PAUSE:
            self.ended.unlink(missing_ok=True)
            super().on_epoch_end(epoch, logs)
            self.written = now


def digest(data: datasets.Dataset) -> str:
    """The sha256 of all rows and targets."""
    found = hashlib.sha256()
    for array in (data.x_train, data.t_train, data.x_test, data.t_test):
        found.update(str((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()

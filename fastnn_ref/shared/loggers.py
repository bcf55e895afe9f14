"""Callbacks that write a training down: a CSV file, TensorBoard."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import checks
from .atomic import about, can_write_in, remember
from .callbacks import Callback, Logs
from .optional import optional
from .schedule import latest_rate


class RateLogger(Callback):
    """What both share: the rate of the epoch's last step, which a callback that stands before them may have changed."""

    _rates: dict[str, float] | None = None

    def _epoch_trained(self) -> None:
        self._rates = self.rates()

    def rates(self) -> dict[str, float]:
        """The rate of the last step, as ``lr``; nothing where there is no optimizer."""
        found, self._rates = self._rates, None
        if found is not None:
            return found
        return {} if self.optimizer is None else {"lr": latest_rate(self.optimizer)}


class CSVLogger(RateLogger):
    """Writes a line for each epoch: ``epoch``, everything in the logs, and ``lr``, the rate of the last step.

    The line is in the file when the epoch ends, in one write. A new training begins the file anew, with
    ``append=True`` at its end, where the columns must be the same. A training that is resumed (``fit(resume=…)``) goes
    on behind the last epoch of its state: lines that were written after that was taken give way. ``separator`` is one
    character. Raises ValueError before the first step for a ``filename`` that cannot be written or has other columns.

    >>> import tempfile, numpy as np, fastnn_ref as nn
    >>> from pathlib import Path
    >>> path = f"{tempfile.mkdtemp()}/log.csv"
    >>> _ = nn.Sequential(nn.Linear(1, 1, init="zeros")).fit(
    ...     np.ones((4, 1)), np.ones((4, 1)), loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.25), epochs=2,
    ...     callbacks=[nn.CSVLogger(path)])
    >>> print(Path(path).read_text().strip())
    epoch,loss,lr
    0,1.0,0.25
    1,0.0,0.25
    """

    state_names = ("position", "columns")
    writes = True

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        checks.as_path("filename", filename)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ValueError(f"separator: expected one character, no quote and no line end, got {separator!r}")
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = checks.as_flag("append", append)
        self.position = 0                           # bytes of the file that belong to this training, and before it
        self.columns: list[str] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        path = Path(self.filename)
        if not path.exists():                       # a link leads to where the file will be
            path = Path(os.path.realpath(path))
        there = path.exists() or path.is_symlink()  # one that leads to itself is no file
        if path.is_dir() or not path.parent.is_dir() or not os.access(path if there else path.parent, os.W_OK):
            raise ValueError(f"filename: expected a file that can be written, got {self.filename!r}")
        self.position, self.columns = 0, None
        if self.append and path.is_file():
            whole = path.read_bytes()
            self.position = whole.rfind(b"\n") + 1              # a line that a kill cut short is none
            lines = whole[:self.position].decode().splitlines()
            self.columns = next(csv.reader(lines, delimiter=self.separator), None)
            self.check_columns(["epoch", *self.params.get("monitors", ()), "lr"])

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        values = {"epoch": epoch, **(logs or {}), **self.rates()}
        lines: list[Sequence[object]] = [] if self.columns else [list(values)]
        self.columns = self.columns or list(values)
        self.check_columns(values)
        lines.append([values.get(column, "") for column in self.columns])
        self.write(self.encode(lines))

    def check_columns(self, names: Any) -> None:
        """Every value needs a column."""
        missing = [name for name in names if self.columns and name not in self.columns]
        if missing:
            raise ValueError(f"{self.filename}: expected the columns {', '.join(self.columns or ())}, "
                             f"got {', '.join(map(repr, missing))}, too")

    def state_dict(self) -> dict[str, Any]:
        """As of every callback; the lines that it counts are on the disk first, as a checkpoint will be: after a power
        cut it could not be resumed from without them."""
        path = Path(self.filename)
        if self.position and path.is_file():
            with about(self.filename):
                remember(path)
        return super().state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As of every callback; ValueError if lines are gone that the state counts, or a value would have no column."""
        super().load_state_dict(state)
        self.check_columns(self.params.get("monitors", ()))
        path = Path(self.filename)
        if path.is_file() or not os.path.exists(path):          # a device or a pipe has no lines
            self.check_size(path.stat().st_size if path.is_file() else None)

    def check_size(self, size: int | None) -> None:
        """The file, None for no file, holds what belongs to this training."""
        if (size or 0) < self.position:
            raise checks.value_error("{path}: expected at least {position} bytes, as when the state of the training "
                                     "was taken, got {got}", path=self.filename, position=self.position,
                                     got="no file" if size is None else size)

    def encode(self, lines: Sequence[Sequence[object]]) -> bytes:
        """Lines as they stand in the file."""
        text = io.StringIO()
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerows(lines)
        return text.getvalue().encode()

    def write(self, data: bytes) -> None:
        """Puts ``data`` at ``position`` and ends the file there; a device or a pipe takes it as it comes."""
        with about(self.filename):
            if not Path(self.filename).is_file() and os.path.exists(self.filename):
                with open(self.filename, "wb") as stream:
                    stream.write(data)
                return
            with open(self.filename, "r+b" if self.position else "wb") as file:
                self.check_size(file.seek(0, os.SEEK_END))
                file.truncate(self.position)
                file.seek(self.position)
                file.write(data)
        self.position += len(data)


def is_validation(name: str) -> bool:
    """Is the value of that name in an epoch's logs one of the validation data?"""
    return name.startswith("val_")


class Events:
    """A file of tensorboardX's, written by whoever adds a point; from ``step`` on it replaces those of other files.

    tensorboardX's ``SummaryWriter`` gives what is added to a thread. That dies where the disk is full, and then nobody
    empties the queue: ``add_scalar`` waits for ever.
    """

    def __init__(self, folder: str, step: int) -> None:
        self.kinds = optional("tensorboardX.proto.event_pb2", extra="tensorboard")
        self.scalar = optional("tensorboardX.summary", extra="tensorboard").scalar
        optional("tensorboardX.record_writer", extra="tensorboard").directory_check(folder)
        own = f".{os.getpid()}.{os.urandom(4).hex()}"       # tensorboardX tells files apart by seconds
        self.file = optional("tensorboardX.event_file_writer", extra="tensorboard").EventsWriter(
            os.path.join(folder, "events"), own)
        if step:
            self.put(step=step, file_version="brain.Event:2")
            self.put(step=step, session_log=self.kinds.SessionLog(status=self.kinds.SessionLog.START))

    def put(self, **fields: Any) -> None:
        """Writes an event."""
        self.file.write_event(self.kinds.Event(wall_time=time.time(), **fields))

    def add(self, name: str, value: float, step: int) -> None:
        """Adds a point to a curve."""
        self.put(step=step, summary=self.scalar(name, value))

    def flush(self) -> None:
        """Puts everything on the disk."""
        self.file.flush()

    def close(self) -> None:
        """Puts everything on the disk and ends the file."""
        self.file.close()


class TensorBoard(RateLogger):
    """Writes an epoch's logs and the learning rate for TensorBoard, by tensorboardX.

    ``log_dir`` gets a folder ``train`` and, with validation data, ``validation``, so that both curves stand in one
    picture: ``epoch_loss``, ``epoch_…`` over epochs, ``lr`` beside them. ``update_freq`` is ``"epoch"``, ``"batch"`` or
    a number k >= 1: then every k-th batch's ``batch_loss`` is written, too, over steps, to ``train/batches``, which
    needs the hook of every batch. Without tensorboardX the constructor raises ModuleNotFoundError. Raises ValueError
    before the first step for a ``log_dir`` that cannot be written; OSError where the disk is full, which ends training.
    """

    writes = True

    def __init__(self, log_dir: str | os.PathLike[str] = "logs", update_freq: str | int = "epoch") -> None:
        checks.as_path("log_dir", log_dir)
        optional("tensorboardX", extra="tensorboard")
        self.log_dir = os.fspath(log_dir)
        self.update_freq = (
            checks.as_choice("update_freq", update_freq, ("epoch", "batch")) if isinstance(update_freq, str)
            else checks.as_integer("update_freq", update_freq, 1))
        if update_freq != "epoch":
            self.on_train_batch_end = self.write_batch          # type: ignore[method-assign]
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs: Logs = None) -> None:
        parts = ["train", *(["validation"] if any(map(is_validation, self.params.get("monitors", ()))) else []),
                 *(["train/batches"] if self.update_freq != "epoch" else [])]
        for part in parts:
            if not can_write_in(Path(self.log_dir, part), made=True):
                raise ValueError(f"log_dir: expected a folder that can be written, got {self.log_dir!r}")

    def write(self, part: str, name: str, value: float, step: int) -> None:
        """Adds a point to a curve; a training that is resumed replaces the points from ``step`` on."""
        with about(self.log_dir):
            if part not in self._writers:
                self._writers[part] = Events(os.path.join(self.log_dir, part), step)
            self._writers[part].add(name, value, step)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        for name, value in (logs or {}).items():
            part = "validation" if is_validation(name) else "train"
            self.write(part, f"epoch_{name.removeprefix('val_')}", value, epoch)
        for name, rate in self.rates().items():
            self.write("train", name, rate, epoch)
        with about(self.log_dir):
            for writer in self._writers.values():
                writer.flush()

    def write_batch(self, batch: int, logs: Logs = None) -> None:
        """The loss of a batch, in place of ``on_train_batch_end``."""
        if logs and (self.update_freq == "batch" or batch % int(self.update_freq) == 0):
            self.write("train/batches", "batch_loss", logs["loss"], self.optimizer.steps)

    def on_train_end(self, logs: Logs = None) -> None:
        writers, self._writers = self._writers, {}
        with about(self.log_dir), ExitStack() as stack:        # each is closed, whatever happens to the others
            for writer in writers.values():
                stack.callback(writer.close)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_writers": {}}

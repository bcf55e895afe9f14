"""ModelCheckpoint: keeps a training in a file while it runs, so that a crash costs little. For both packages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from . import checks
from .atomic import can_write
from .callbacks import Logs, MonitorCallback, may_add_logs, monitored
from .checkpoint import record_of, save_training

UNITS = ("epoch", "step")
MONITOR = "val_loss"


class ModelCheckpoint(MonitorCallback):
    """Writes the whole training to ``path`` at the end of an epoch: ``fit(resume=path)``, ``load_training``, ``load``.

    ``path`` may have fields of ``str.format``: ``{epoch}``, the number of the epoch, where the first is 1, as in Keras;
    ``{step}``, the optimizer's steps; and what the logs have: ``"run-{epoch:03d}-{val_loss:.3f}.safetensors"``. Without
    fields each file takes the place of the one before. The folder must be there.

    ``every`` >= 1 says how often: each so many epochs, or with ``unit="step"`` steps, which is for long epochs and
    needs the hook of every batch. With ``save_best_only`` it writes where ``monitor`` is better than at all those
    epochs before, as ``mode`` says (``"min"``, ``"max"``, or ``"auto"`` for losses, common errors and scores, and a
    ``Metric`` with a mode); ``best`` is that value. ``latest`` is the file written last, None before.

    It writes after the hooks of all callbacks, wherever it stands among them, so that a resumed training has missed
    nothing. Before the first step: ValueError for a ``path`` that cannot be written or has a field that will not be
    known, and for a ``monitor`` as with ``EarlyStopping`` (the default may be missing without ``save_best_only``);
    AttributeError for a class of your own whose constructor has not kept an argument under its own name. OSError where
    a file cannot be written, which ends training.

    >>> import tempfile, numpy as np, fastnn_ref as nn
    >>> x, t, path = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]]), f"{tempfile.mkdtemp()}/{{epoch}}.safetensors"
    >>> saving = nn.ModelCheckpoint(path, monitor="loss", save_best_only=True)
    >>> history = nn.Sequential(nn.Linear(1, 1, init="zeros")).fit(
    ...     x, t, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.8), epochs=4, callbacks=[saving])
    >>> saving.latest == path.format(epoch=1), saving.best
    (True, 2.0)
    """

    state_names = ("best",)
    needs_optimizer = True
    writes = True

    def __init__(
        self, path: str | os.PathLike[str], monitor: str = MONITOR, mode: str = "auto",
        save_best_only: bool = False, every: int = 1, unit: str = "epoch",
    ) -> None:
        super().__init__(monitor, mode, 0.0)
        self.path = str(checks.as_path("path", path))
        self.save_best_only = checks.as_flag("save_best_only", save_best_only)
        self.every = checks.as_integer("every", every, 1)
        self.unit = checks.as_choice("unit", unit, UNITS)
        if self.save_best_only and self.unit == "step":
            raise ValueError("unit: expected 'epoch' with save_best_only, as only an epoch's end knows what is better, "
                             "got 'step'")
        self.watches = self.save_best_only
        self.expects = self.save_best_only or monitor != MONITOR         # what nobody gave may be missing
        self.latest: str | None = None
        self._due: str | None = None                # what _write_due is to write
        self._epoch = 0
        if self.unit == "step":
            self.on_train_batch_end = self.look_at_step         # type: ignore[method-assign]

    def on_train_begin(self, logs: Logs = None) -> None:
        super().on_train_begin(logs)
        self._due = None
        for part in (self.model, self.optimizer, self.params.get("loss")):
            record_of(part)                         # a class that has not kept an argument says so now
        if not any(may_add_logs(each) for each in self.callbacks) or self.unit == "step":
            names = ("loss", "batch", "size") if self.unit == "step" else self.params.get("monitors", ())
            self.fill(1, dict.fromkeys(names, 0.0))
        place = self.path.replace("{{", "{").replace("}}", "}")         # with fields: the folder is the right one
        if not can_write(Path(place)):
            raise ValueError(f"path: expected a file in a folder that is there and can be written, got {self.path!r}")

    def fill(self, epoch: int, logs: Mapping[str, float]) -> str:
        """The path of a file."""
        values = {**logs, "epoch": epoch, "step": self.optimizer.steps}
        try:
            return self.path.format(**values)
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"path: expected fields of {', '.join(values)} in {self.path!r}, got {error}") from None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.unit == "step" or (epoch + 1) % self.every:
            return
        if self.save_best_only:
            value = monitored(self.monitor, logs)
            if not self.improves(value):
                return
            self.best = value
        self._due = self.fill(epoch + 1, logs or {})

    def look_at_step(self, batch: int, logs: Logs = None) -> None:
        """Is a file due after this batch? In place of ``on_train_batch_end``."""
        if self.optimizer.steps % self.every == 0:
            self._due = self.fill(self._epoch + 1, logs or {})

    def _write_due(self) -> None:
        if self._due is not None:
            path, self._due = self._due, None
            save_training(path, self.model, self.optimizer, self.params.get("loss"), self.callbacks)
            self.latest = path

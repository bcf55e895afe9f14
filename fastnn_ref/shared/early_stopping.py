"""Early stopping: train until the validation error stops falling, and go back to where it was best.

    patience    no improvement by more than min_delta for so many epochs
    GL          the generalization loss 100·(E_va / E_opt − 1) exceeds the threshold, E_opt the lowest E_va so far
    PQ          GL / P exceeds it; P = 1000·(mean of E_tr / min of E_tr − 1) over the last strip of epochs is the
                progress that training still makes
    UP          at the end of `threshold` strips in a row E_va was higher than at the end of the one before

E_va is what is monitored, E_tr the training loss, without what penalties add.

Source: Prechelt, "Early stopping – but when?" (1998), section 2. Written once, for both packages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from . import checks
from .arrays import as_state
from .callbacks import MonitorCallback, StopTraining, monitored

CRITERIA = ("patience", "GL", "PQ", "UP")
DEFAULT_THRESHOLDS = {"GL": 5.0, "PQ": 0.75, "UP": 3.0}      # thresholds in the middle of those that Prechelt compares


class EarlyStopping(MonitorCallback):
    """Stops ``fit`` when ``monitor`` no longer improves, and brings the best epoch's weights back.

    An improvement is a change by more than ``min_delta`` >= 0 beyond the best value so far, downwards with
    ``mode="min"`` and upwards with ``"max"``; ``"auto"`` knows losses, common errors and scores by their names, and
    each ``Metric`` with a mode, and is a ValueError before the first step for others. NaN never is an improvement.
    Training ends after ``patience`` >= 0 epochs in a row without one (0 is as 1, as in Keras); those before
    ``start_from_epoch`` (the first is 0) do not count. With ``restore_best_weights`` the state of the best epoch,
    running statistics included, comes back bit by bit however training ended, by Ctrl-C, too. Resumed from a state in
    which it had stopped, training ends at once.

    ``criterion`` is ``"patience"``, or one of Prechelt's ``"GL"``, ``"PQ"`` and ``"UP"`` (for a positive error that is
    to fall), which use ``threshold`` (> 0; by default 5, 0.75 and 3) and, the last two, strips of ``strip`` epochs.

    Afterwards ``best``, ``best_epoch`` (None if no epoch counted) and ``stopped_epoch`` (None if nothing stopped it)
    say what happened.

    >>> import numpy as np, fastnn_ref as nn
    >>> x, t = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
    >>> model, stopping = nn.Sequential(nn.Linear(1, 1, init="zeros")), nn.EarlyStopping(monitor="loss", patience=2)
    >>> history = model.fit(x, t, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.8), epochs=50, callbacks=[stopping])
    >>> len(history.epoch), stopping.best_epoch, stopping.stopped_epoch
    (3, 0, 2)
    """

    state_names = ("best", "best_epoch", "stopped_epoch", "wait", "weights", "errors", "losses")

    def __init__(
        self, monitor: str = "val_loss", patience: int = 5, min_delta: float = 0.0, mode: str = "auto",
        restore_best_weights: bool = True, start_from_epoch: int = 0, criterion: str = "patience",
        threshold: float | None = None, strip: int = 5,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = checks.as_integer("patience", patience, 0)
        self.restore_best_weights = checks.as_flag("restore_best_weights", restore_best_weights)
        self.start_from_epoch = checks.as_integer("start_from_epoch", start_from_epoch, 0)
        self.criterion = checks.as_choice("criterion", criterion, CRITERIA)
        self.threshold = None if threshold is None else checks.as_number("threshold", threshold, 0, low_open=True)
        self.strip = checks.as_integer("strip", strip, 1)
        self.check_criterion()
        self.reset()

    def check_criterion(self) -> None:
        """Prechelt's criteria are for errors."""
        if self.criterion != "patience" and self.direction() == "max":
            raise ValueError(f"criterion: expected 'patience' for a value that is to rise, got {self.criterion!r}")

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self.check_criterion()
        super().on_train_begin(logs)

    def reset(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.wait = 0
        self.weights: dict[str, Any] | None = None
        self.errors: list[float] = []               # of validation, at the end of each epoch that counts
        self.losses: list[float] = []               # of training

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if isinstance(state, Mapping) and state.get("weights") is not None and self.model is not None:
            as_state("state['weights']", state["weights"], self.model.state_dict())
        super().load_state_dict(state)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if self.stopped_epoch is not None:          # resumed from a state in which training was over
            raise StopTraining

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        value = monitored(self.monitor, logs)
        if epoch < self.start_from_epoch:
            return
        self.errors.append(value)
        self.losses.append(next((logs[name] for name in ("data_loss", "loss") if logs and name in logs), math.nan))
        self.wait += 1
        if self.improves(value):
            self.best, self.best_epoch, self.wait = value, epoch, 0
            self.weights = self.model.state_dict() if self.restore_best_weights else None
        if self.should_stop():
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        if self.weights is not None:
            self.model.load_state_dict(self.weights)
            self.weights = None

    def should_stop(self) -> bool:
        """What the criterion says at the end of this epoch."""
        if self.criterion == "patience":
            return self.wait >= max(self.patience, 1)
        threshold = DEFAULT_THRESHOLDS[self.criterion] if self.threshold is None else self.threshold
        if self.criterion == "GL":
            return self.generalization_loss() > threshold
        if len(self.errors) % self.strip:
            return False                            # the others look at the end of a strip
        if self.criterion == "PQ":
            last = self.losses[-self.strip:]
            progress = 1000 * (sum(last) / (len(last) * min(last)) - 1) if min(last) > 0 else 0.0
            loss = self.generalization_loss()
            return loss > threshold * progress if progress > 0 else loss > 0
        ends = self.errors[self.strip - 1::self.strip]
        rises = math.ceil(threshold)
        return len(ends) > rises and all(a < b for a, b in zip(ends[-rises - 1:], ends[-rises:], strict=False))

    def generalization_loss(self) -> float:
        """100·(E_va / E_opt − 1), in percent."""
        lowest = min((error for error in self.errors if not math.isnan(error)), default=math.nan)
        return 100 * (self.errors[-1] / lowest - 1) if lowest > 0 else 0.0

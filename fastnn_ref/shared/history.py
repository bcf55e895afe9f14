"""History: the record of a training, one value an epoch for each name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .callbacks import Callback


class History(Callback):
    """The record of a training: ``history`` (name → value for each epoch), ``epoch``, ``params``, ``seconds``.

    A name that a training has only since it was resumed, or no longer, has NaN for the other epochs.

    ``seconds`` is the time of each epoch's training alone, without validation. ``interrupted`` says whether Ctrl-C
    ended the training; ``message`` is what ``fit_lbfgs`` says of its end.

    >>> import fastnn_ref as nn
    >>> history = nn.History()
    >>> history.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.75})
    >>> history.history, history.epoch
    ({'loss': [0.5], 'val_loss': [0.75]}, [0])
    """

    state_names = ("history", "epoch", "seconds")

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds: list[float] = []
        self.interrupted = False
        self.message = ""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, kind in ("history", dict), ("epoch", list), ("seconds", list):
            if isinstance(state, Mapping) and not isinstance(state.get(name, kind()), kind):
                raise ValueError(f"state[{name!r}]: expected a {kind.__name__}, got {type(state[name]).__name__}")
        super().load_state_dict(state)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Keeps a value of each name: NaN where a training that goes on measures more than before, or less."""
        logs = logs or {}
        for name in logs:
            self.history.setdefault(name, [math.nan] * len(self.epoch))
        for name, values in self.history.items():
            values.append(logs.get(name, math.nan))
        self.epoch.append(epoch)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self.epoch)} epochs{': ' if last else ''}{last})"

"""What can be seen while ``fit`` runs: a bar in a terminal or a notebook, else a line for each epoch, on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any

from . import checks
from .callbacks import Callback, Logs
from .optional import optional

BAR = "{desc} {percentage:3.0f}% |{bar:30}| epoch {n:.0f} of {total_fmt}, [{elapsed}<{remaining}]{postfix}"
STYLES = ("auto", "bar", "lines")


def in_notebook() -> bool:
    """Does this code run in a notebook's kernel?"""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return shell is not None and "IPKernelApp" in shell.config


def default_style() -> str:
    """``"bar"`` if there is tqdm, and somebody to see it draw; else ``"lines"``."""
    if not (in_notebook() or (sys.stderr is not None and sys.stderr.isatty())):
        return "lines"
    try:
        optional("tqdm.auto", extra="train")
    except ModuleNotFoundError:
        return "lines"
    return "bar"


class ProgressBar(Callback):
    """Shows how far a training is: ``fit(verbose=1)`` adds one, ``callbacks=[ProgressBar("mine")]`` does as well.

    ``label`` stands in front, behind it the latest values of the logs, or those of them that ``show`` names. ``style``
    is ``"bar"``, drawn by tqdm (ModuleNotFoundError without), ``"lines"``, one for each epoch, or ``"auto"``: a bar in
    a terminal or a notebook where tqdm is installed, else lines. ``disable=True`` shows nothing. Everything goes to
    stderr.

    In a loop written by hand, ``ProgressBar(epochs=1)`` with ``model.run_epoch(…, progress=bar.on_progress)`` does it.
    As a context manager it is closed however the training ends.

    >>> with ProgressBar("digits", epochs=2, style="lines") as bar:
    ...     bar.on_progress(5, 10)
    ...     bar.done
    0.5
    """

    def __init__(
        self, label: str = "", epochs: int | None = None, show: tuple[str, ...] | None = None, disable: bool = False,
        style: str = "auto",
    ) -> None:
        self.label, self.show = label, show
        self.disable = checks.as_flag("disable", disable)
        self.style = checks.as_choice("style", style, STYLES)
        self.epochs = None if epochs is None else checks.as_integer("epochs", epochs, 0)
        self.done = 0.0                             # epochs, whole and begun
        self._epoch = 0
        self._bar: Any = None
        if epochs is not None:
            self.open(epochs)

    def open(self, epochs: int) -> None:
        """Begins to show a training of so many epochs."""
        self._total, self._epoch, self.done, self._start = epochs, 0, 0.0, time.perf_counter()
        if not self.disable and (default_style() if self.style == "auto" else self.style) == "bar":
            self._bar = optional("tqdm.auto", extra="train").tqdm(total=epochs, desc=self.label, bar_format=BAR)

    def close(self) -> None:
        """Leaves what is shown as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self.open(self.params["epochs"])

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch, self._start = epoch, time.perf_counter()
        self.on_progress(0, 1)                      # a training that is resumed does not begin with 0

    def on_progress(self, done: int, steps: int) -> None:
        before, self.done = self.done, self._epoch + done / steps
        if self._bar is not None:
            self._bar.update(self.done - before)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        shown = {name: f"{value:.4g}" for name, value in (logs or {}).items() if self.show is None or name in self.show}
        if self._bar is not None:
            self._bar.set_postfix(shown)
        elif not self.disable:
            values = "".join(f"  {name} {value}" for name, value in shown.items())
            print(f"{self.label + ' ' if self.label else ''}epoch {epoch + 1}/{self._total}"
                  f"  {time.perf_counter() - self._start:.2f} s{values}", file=sys.stderr, flush=True)

    def on_train_end(self, logs: Logs = None) -> None:
        self.close()
        history = self.callbacks[0] if self.callbacks else None
        if getattr(history, "interrupted", False) and not self.disable:
            print(f"{self.label + ' ' if self.label else ''}interrupted after {self.done:.4g} of {self._total} epochs",
                  file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_bar": None}

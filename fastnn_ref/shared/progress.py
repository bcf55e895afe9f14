"""What can be seen while ``fit`` runs: a bar in a terminal or a notebook, else a line for each epoch, on stderr."""

from __future__ import annotations

import time
from typing import Any

from . import checks, terminal
from .callbacks import Callback, Logs
from .optional import optional

BAR = "{desc} {percentage:3.0f}% |{bar}| epoch {unit}/{total_fmt} [{elapsed}<{remaining}]{postfix}"
STYLES = ("auto", "bar", "lines")
INTERVAL = 0.1          # seconds at least between two drawings of a bar: each is a message to the notebook


def default_style() -> str:
    """``"bar"`` if there is tqdm, and a terminal or a notebook to draw it in; else ``"lines"``."""
    try:
        tqdm = bars()
    except ModuleNotFoundError:
        return "lines"
    shown = terminal.in_notebook(tqdm) or terminal.in_kernel() or terminal.Steady().isatty()
    return "bar" if shown else "lines"


def bars() -> Any:
    """The class of tqdm's bars: widgets in a notebook with ipywidgets, else text; ModuleNotFoundError without tqdm."""
    from importlib.util import find_spec

    widgets = find_spec("ipywidgets")    # without them, tqdm.auto warns in a notebook
    return optional("tqdm.auto" if widgets else "tqdm", extra="train").tqdm


class ProgressBar(Callback):
    """Shows how far a training is: ``fit(verbose=1)`` adds one, ``callbacks=[ProgressBar("mine")]`` does as well.

    ``label`` stands in front, behind it the latest values of the logs, or those of them that ``show`` names. ``style``
    is ``"bar"``, drawn by tqdm (ModuleNotFoundError without), ``"lines"``, one for each epoch, or ``"auto"``: a bar in
    a terminal or a notebook where tqdm is installed, else lines, at least ``pause`` >= 0 seconds apart; the last one is
    always written. ``disable=True`` shows nothing. Everything goes to stderr; where stderr is closed or full, nothing
    is shown, and training goes on.

    In a loop written by hand, ``ProgressBar(epochs=1)`` with ``model.run_epoch(…, progress=bar.on_progress)`` does it.
    As a context manager it is closed however the training ends.

    >>> import fastnn_ref as nn
    >>> with nn.ProgressBar("digits", epochs=2, style="lines") as bar:
    ...     bar.on_progress(5, 10)
    ...     bar.done
    0.5
    """

    writes = True

    def __init__(
        self, label: str = "", epochs: int | None = None, show: tuple[str, ...] | None = None, disable: bool = False,
        style: str = "auto", pause: float = 0.0,
    ) -> None:
        self.label, self.show = label, show
        self.disable = checks.as_flag("disable", disable)
        self.style = checks.as_choice("style", style, STYLES)
        self.pause = checks.as_number("pause", pause, 0)
        self.epochs = None if epochs is None else checks.as_integer("epochs", epochs, 0)
        self.done = 0.0                             # epochs, whole and begun
        self._epoch = 0
        self._bar: Any = None
        self._line = ""                             # the last epoch's, where it is not written yet
        if epochs is not None:
            self.open(epochs)

    def open(self, epochs: int) -> None:
        """Begins to show a training of so many epochs."""
        self._total, self._epoch, self.done = epochs, 0, 0.0
        self._start = self._written = time.monotonic()
        if not self.disable and (default_style() if self.style == "auto" else self.style) == "bar":
            self._bar = terminal.bar(bars(), total=epochs, desc=self.label, bar_format=BAR, unit="1")

    def close(self) -> None:
        """Leaves what is shown as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self.write()

    def write(self) -> None:
        """Writes the line that is not written yet."""
        if self._line:
            terminal.Steady().write(f"{self.label.strip()} {self._line}\n".lstrip())
            self._line, self._written = "", time.monotonic()

    def on_train_begin(self, logs: Logs = None) -> None:
        self.open(self.params["epochs"])

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch, self._start = epoch, time.monotonic()
        if self._bar is not None:
            self._bar.unit = str(epoch + 1)         # the one under way; tqdm's own count is rounded
        self.on_progress(0, 1)                      # a training that is resumed does not begin with 0

    def on_progress(self, done: int, steps: int) -> None:
        before, self.done = self.done, self._epoch + done / steps
        if self._bar is not None:
            self._bar.update(self.done - before)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        shown = {name: f"{value:.4g}" for name, value in (logs or {}).items() if self.show is None or name in self.show}
        now = time.monotonic()
        if self._bar is not None:
            draw = now - self._written >= INTERVAL
            self._bar.set_postfix(shown, refresh=draw)              # close draws the last one anyway
            self._written = now if draw else self._written
        elif not self.disable:
            values = "".join(f"  {name} {value}" for name, value in shown.items())
            self._line = f"epoch {epoch + 1}/{self._total}  {now - self._start:.2f} s{values}"
            if now - self._written >= self.pause:
                self.write()

    def on_train_end(self, logs: Logs = None) -> None:
        self.close()
        history = self.callbacks[0] if self.callbacks else None
        if getattr(history, "interrupted", False) and not self.disable:
            self._line = f"interrupted after {self.done:.4g} of {self._total} epochs"
            self.write()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_bar": None}

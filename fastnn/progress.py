"""A progress bar for ``fit`` and ``run_epoch``, drawn by tqdm, for models of either package."""

import time
from collections.abc import Mapping
from typing import Any, Self

from fastnn_ref.shared.callbacks import Callback

from . import terminal
from .extras import extra

with extra("train"):
    from tqdm.auto import tqdm

BAR = "{desc} {percentage:3.0f}% |{bar:30}| epoch {n:.0f} of {total_fmt}, [{elapsed}<{remaining}]{postfix}"
PAUSE = 10.0                    # seconds at least between two lines where there is no terminal


class ProgressBar(Callback):
    """A bar that fills epoch by epoch: ``model.fit(..., callbacks=[ProgressBar()])``.

    ``label`` stands before the bar, the latest values of the logs named in ``show`` after it. In a loop
    written by hand, ``ProgressBar(epochs=1)`` with ``model.run_epoch(..., progress=bar.on_progress)`` does it.
    As a context manager it is closed however the training ends. ``disable=True`` draws nothing.

    It is drawn on stderr: a bar on a terminal and in a notebook, elsewhere (in a log file) a line now and then and
    one at the end. Where stderr is closed or full, nothing is drawn; training goes on.

    >>> with ProgressBar("digits", epochs=2) as bar:
    ...     bar.on_progress(5, 10)
    ...     bar.done
    0.5
    """

    def __init__(
        self,
        label: str = "",
        epochs: int | None = None,
        show: tuple[str, ...] = ("loss", "val_accuracy"),
        disable: bool = False,
    ) -> None:
        super().__init__()
        self.label, self.show, self.disable = label, show, disable
        self._bar: Any = None
        self._line = ""         # what is known and not yet said, where there is no terminal
        self._epochs = self._epoch = 0
        self._done = self._said = 0.0
        if epochs is not None:
            self._open(epochs)

    @property
    def done(self) -> float:
        """Epochs done, whole and begun."""
        return self._done

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
        self._say()

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._open(self.params["epochs"])

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_progress(self, done: int, steps: int) -> None:
        self._done = self._epoch + done / steps
        if self._bar is not None:
            self._bar.update(self._done - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        values = {name: f"{value:.4g}" for name, value in (logs or {}).items() if name in self.show}
        if self._bar is not None:
            self._bar.set_postfix(values)
        elif not self.disable:
            shown = "".join(f", {name}={value}" for name, value in values.items())
            self._line = f"{self.label.strip()} epoch {epoch + 1} of {self._epochs}{shown}".lstrip()
            if time.monotonic() - self._said >= PAUSE:
                self._say()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self, epochs: int) -> None:
        self._epochs, self._epoch, self._done = epochs, 0, 0.0
        self._line, self._said = "", time.monotonic()
        self._bar = None
        if not self.disable and (terminal.in_notebook(tqdm) or terminal.Steady().isatty()):
            self._bar = terminal.bar(tqdm, total=epochs, desc=self.label, bar_format=BAR)

    def _say(self) -> None:
        """Write the line that waits."""
        if self._line:
            terminal.Steady().write(f"{self._line}\n")
            self._line, self._said = "", time.monotonic()

"""A progress bar for ``fit`` and ``run_epoch``, drawn by tqdm, for models of either package."""

from collections.abc import Mapping
from typing import Any, Self

from fastnn_ref.shared.callbacks import Callback

from .extras import extra

with extra("train"):
    from tqdm.auto import tqdm


class ProgressBar(Callback):
    """A bar that fills epoch by epoch: ``model.fit(..., callbacks=[ProgressBar()])``.

    ``label`` stands before the bar, the latest values of the logs named in ``show`` after it. In a loop
    written by hand, ``ProgressBar(epochs=1)`` with ``model.run_epoch(..., progress=bar.on_progress)`` does it.
    As a context manager it is closed however the training ends. ``disable=True`` draws nothing.

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
        self._epoch = 0
        if epochs is not None:
            self._open(epochs)

    @property
    def done(self) -> float:
        """Epochs done, whole and begun."""
        return float(self._bar.n)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._open(self.params["epochs"])

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_progress(self, done: int, steps: int) -> None:
        self._bar.update(self._epoch + done / steps - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        values = {name: f"{value:.4g}" for name, value in (logs or {}).items() if name in self.show}
        self._bar.set_postfix(values)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self, epochs: int) -> None:
        self._bar = tqdm(total=epochs, desc=self.label, bar_format=BAR, disable=self.disable)
        self._epoch = 0


BAR = "{desc} {percentage:3.0f}% |{bar:30}| epoch {n:.0f} of {total_fmt}, [{elapsed}<{remaining}]{postfix}"

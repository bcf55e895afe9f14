"""Pictures of a training: curves, confusion matrix, mistakes; for models of either package.

Every function draws into the axes or the figure it is given. Nothing here touches pyplot: no window, no
global state. The colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import atomic

from .extras import extra

with extra("train"):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

TRAINING, HELD_OUT = "#0072B2", "#D55E00"
QUIET = "#555555"
Curves = Mapping[str, Sequence[float]]  # the `history` of a History


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches that lays itself out.

    >>> new_figure(4, 3).get_size_inches().tolist()
    [4.0, 3.0]
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def curves(axes: "Axes", histories: Mapping[str, Curves], key: str, title: str) -> None:
    """``key`` and ``val_key`` of each named history over the epochs.

    Of two histories the first is drawn broad and pale, the second thin and dark on top of it: where they
    agree, the thin line runs inside the broad one.

    >>> axes = new_figure(4, 3).add_subplot()
    >>> curves(axes, {"fastnn": {"loss": [2.0, 1.0], "val_loss": [2.1, 1.2]}}, "loss", "Loss")
    >>> len(axes.lines)
    2
    """
    styles: list[dict[str, Any]] = [{"linewidth": 1.5}]
    if len(histories) > 1:
        styles.insert(0, {"linewidth": 7, "alpha": 0.3, "solid_capstyle": "round"})
    for (name, history), style in zip(histories.items(), styles, strict=True):
        for measure, data, colour in ((key, "training", TRAINING), (f"val_{key}", "held out", HELD_OUT)):
            if values := history.get(measure):
                style["marker"] = "o" if len(values) == 1 else None  # one point makes no line
                epochs = range(1, len(values) + 1)
                axes.plot(epochs, values, color=colour, label=f"{data}, {name}", **style)
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.set_xlim(0, 1.04 * max(len(history[key]) for history in histories.values()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def confusion(
    axes: "Axes", t: npt.ArrayLike, predicted: npt.ArrayLike, title: str = "Confusion matrix"
) -> None:
    """How often each class t was taken for each class: a row is what it was, a column what was said.

    Colours show the share of the row, on a scale that makes single mistakes visible.

    >>> axes = new_figure(4, 3).add_subplot()
    >>> confusion(axes, [0, 1, 1], [0, 1, 0])
    >>> [text.get_text() for text in axes.texts]
    ['1', '1', '1']
    """
    with extra("train"):
        from sklearn.metrics import confusion_matrix
    counts = confusion_matrix(t, predicted, labels=range(int(np.max([t, predicted])) + 1))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        colour = "white" if share[row, column] > 0.3 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)
    classes = range(len(counts))
    axes.set(title=title, xlabel="predicted", ylabel="true", xticks=classes, yticks=classes)
    axes.tick_params(length=0)


def mistakes(
    figure: "FigureBase",
    images: npt.NDArray[Any],
    t: npt.NDArray[Any],
    probabilities: npt.NDArray[Any],
    rows: int = 3,
    columns: int = 4,
) -> None:
    """The misclassified images, the most confident mistake first, each with its true and its predicted class.

    images (n, height, width), class numbers t (n,), probabilities (n, classes).

    >>> figure = new_figure(4, 3)
    >>> mistakes(figure, np.zeros((2, 8, 8)), np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    >>> figure.axes[0].get_title()
    'true 1, said 0\\n80 % sure'
    """
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != t)
    shown = wrong[np.argsort(-sure[wrong], kind="stable")][: rows * columns]
    order = ", the surest first" if len(wrong) > 1 else ""
    figure.suptitle(f"Mistakes: {len(wrong):,} of {len(t):,}{order}")
    for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if place < len(shown):
            i = shown[place]
            axes.imshow(images[i], cmap="gray_r", vmin=0, vmax=1)
            axes.set_title(f"true {t[i]}, said {predicted[i]}\n{100 * sure[i]:.0f} % sure", fontsize=9)


def training_report(
    title: str,
    histories: Mapping[str, Curves],
    t: npt.NDArray[Any],
    probabilities: npt.NDArray[Any],
    images: npt.NDArray[Any] | None = None,
) -> Figure:
    """One page: loss and accuracy of each named history, confusion matrix and mistakes of the last one.

    t (n,) are the true classes of the held-out examples, probabilities (n, classes) what that model says.

    >>> history = {"loss": [1.0], "accuracy": [0.5], "val_loss": [1.0], "val_accuracy": [0.5]}
    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2]])
    >>> figure = training_report("Toy", {"fastnn": history}, np.array([0, 1]), probabilities)
    >>> len(figure.axes)
    3
    """
    figure = new_figure(11, 9)
    figure.suptitle(title, fontsize=14)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(4, 5)).flat
    loss, accuracy = top.subplots(1, 2)
    curves(loss, histories, "loss", "Loss")
    loss.set_ylabel("cross-entropy")
    curves(accuracy, histories, "accuracy", "Accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    left, right = bottom.subfigures(1, 2, squeeze=False).flat
    name = list(histories)[-1]
    title = f"Confusion matrix of {name}, {len(t):,} held out"
    confusion(left.subplots(), t, probabilities.argmax(axis=1), title)
    if images is not None:
        mistakes(right, images, t, probabilities)
    return figure


def picture_formats() -> list[str]:
    """The file endings ``save`` knows.

    >>> "png" in picture_formats()
    True
    """
    return sorted(FigureCanvasAgg.get_supported_filetypes())


def save(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write the figure to ``path`` in the format its ending names, PNG without one; OSError if it cannot.

    A file appears whole or not at all: what stood at ``path`` stays until the new picture is complete.

    >>> save(new_figure(4, 3), Path("no such folder", "picture.png"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:] or "png", dpi=dpi)
    atomic.write(path, picture.getbuffer())

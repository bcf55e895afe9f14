"""Figures, axes, colours and files: what all pictures share."""

import io
import os
from typing import Any

import numpy.typing as npt

import fastnn_ref
from fastnn_ref.shared import atomic, checks

from ..extras import extra
from ..sequential import Sequential

with extra("plot"):
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure, FigureBase
    from matplotlib.transforms import offset_copy

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, PINK, "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = "os^DvP*X"
QUIET = "#555555"
LONGEST = 24                            # letters of a name
Array = npt.NDArray[Any]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches that lays itself out, without pyplot: no window, no global state.

    >>> from fastnn import plot
    >>> plot.new_figure(4, 3).get_size_inches().tolist()
    [4.0, 3.0]
    """
    width, height = (checks.as_number(name, side, 0, low_open=True)
                     for name, side in (("width", width), ("height", height)))
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def as_axes(ax: object) -> Axes:
    """``ax``, or the Axes of a new figure of pyplot's; TypeError for anything else."""
    if ax is None:
        from matplotlib import pyplot

        return pyplot.figure(layout="constrained").add_subplot()
    if not isinstance(ax, Axes):
        raise TypeError(f"ax: expected an Axes of matplotlib, got {type(ax).__name__}")
    return ax


def as_figure(figure: object) -> FigureBase:
    """A figure, or a part of one; TypeError for anything else."""
    if not isinstance(figure, FigureBase):
        raise TypeError(f"figure: expected a Figure of matplotlib, got {type(figure).__name__}")
    return figure


def as_model(model: object) -> Any:
    """A model of either package; TypeError for anything else."""
    if not isinstance(model, Sequential | fastnn_ref.Sequential):
        raise TypeError(f"model: expected a Sequential of fastnn or fastnn_ref, got {type(model).__name__}")
    return model


def tidy(ax: Axes, legend: bool = True) -> Axes:
    """A pale grid, no frame at the top and right, a legend."""
    ax.grid(alpha=0.25)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return add_legend(ax) if legend else ax


def add_legend(ax: Axes) -> Axes:
    """A legend; one of many entries stands on the right, outside."""
    entries = len(ax.get_legend_handles_labels()[1])
    outside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if entries > 5 else {}
    ax.legend(framealpha=0.9, edgecolor="none", fontsize=small(entries, 110), **outside)
    return ax


def small(entries: int, space: float = 150) -> float:
    """A font size in points at which so many lines of text fit beside each other into ``space`` points, at most 9."""
    return min(9, space / max(entries, 1))


def shortened(name: str) -> str:
    """A name that leaves room for the picture: the middle of a long one is left out.

    >>> from fastnn.plot.figure import shortened
    >>> shortened("mean concave points"), shortened("the mean of all the concave points")
    ('mean concave points', 'the mean of …ncave points')
    """
    return name if len(name) <= LONGEST else f"{name[:LONGEST // 2]}…{name[-LONGEST // 2:]}"


def legend_below(ax: Axes, columns: int = 2) -> Axes:
    """The legend below the axes, where bars cannot stand behind it."""
    # The axis has its numbers and its label above the legend; a SubFigure has the scale that matters here, too.
    below = offset_copy(ax.transAxes, ax.figure, y=-36, units="points")  # type: ignore[arg-type]
    ax.legend(frameon=False, fontsize=9, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, 0),
              bbox_transform=below)
    return ax


def picture_formats() -> list[str]:
    """The file endings ``save`` knows.

    >>> from fastnn import plot
    >>> "png" in plot.picture_formats()
    True
    """
    return sorted(FigureCanvasAgg.get_supported_filetypes())


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = 120) -> None:
    """Write the figure to ``path`` in the format its ending names, PNG without one; OSError if it cannot.

    ``dpi`` is pixels an inch. A file appears whole or not at all: what stood at ``path`` stays until the new picture is
    complete.

    >>> from pathlib import Path
    >>> from fastnn import plot
    >>> plot.save(plot.new_figure(4, 3), Path("no such folder", "picture.png"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    if not isinstance(figure, Figure):
        raise TypeError(f"figure: expected a Figure of matplotlib, got {type(figure).__name__}")
    place, dots = checks.as_path("path", path), checks.as_number("dpi", dpi, 0, low_open=True)
    picture = io.BytesIO()
    figure.savefig(picture, format=place.suffix[1:] or "png", dpi=dots)
    atomic.write(place, picture.getvalue())

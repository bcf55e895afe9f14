"""Pictures of a classifier: confusion matrix, reliability diagram, decision boundary, mistakes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks, metrics
from fastnn_ref.shared.arrays import as_batch, as_number_array
from fastnn_ref.shared.targets import as_class_numbers, check_target_count

from ..extras import extra
from .figure import (
    BLUE,
    COLOURS,
    MARKERS,
    ORANGE,
    QUIET,
    add_legend,
    as_axes,
    as_figure,
    as_model,
    legend_below,
    shortened,
    small,
    tidy,
)

with extra("plot"):
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import FigureBase

READABLE = 50                           # classes at most whose numbers can be read in a matrix


def confusion_matrix(
    y: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    threshold: float | None = None,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """How often each class was taken for each class: a row is what it was, a column what was said.

    Outputs ``y`` (n, K), of which the largest wins, and targets ``t`` (n,) as class numbers or (n, K) as rows; or one
    output, (n,) or (n, 1), and a ``threshold``: 0 for logits, 0.5 for probabilities. ``names`` of the classes, K or 2;
    of a long one the middle is left out. Rows with a NaN stand in a column of their own. Colours show the share of the
    row, on a scale (a square root) that makes single mistakes visible. Of more than 50 classes numbers would be dots:
    they are left out, and every second, third, … class is named. ValueError for shapes that do not fit.

    >>> from fastnn import plot
    >>> y, t = [[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]], [0, 1, 1]
    >>> ax = plot.confusion_matrix(y, t, ax=plot.new_figure(4, 3).add_subplot())
    >>> [(text.get_text(), text.get_position()) for text in ax.texts]        # (column, row)
    [('1', (0, 0)), ('1', (0, 1)), ('1', (1, 1))]
    """
    predicted, actual = metrics.decisions("confusion_matrix", np.asarray(y), np.asarray(t), threshold)
    if actual.ndim == 2 and actual.shape[1] != 1:
        raise ValueError(f"y: expected one output or outputs that compete, got {actual.shape[1]} labels; pass one "
                         "column at a time")
    classes = 2 if actual.ndim == 2 else np.shape(y)[1]
    named = names_of(names, classes)
    predicted, actual = predicted.ravel().astype(int), actual.ravel().astype(int)
    columns = [*named, "NaN"] if (predicted < 0).any() else named
    counts = np.zeros((classes, len(columns)), int)
    np.add.at(counts, (actual, predicted), 1)               # column −1 is that of the NaN
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = as_axes(ax)
    ax.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts).tolist() if classes <= READABLE else ():
        colour = "white" if share[row, column] > 0.3 else "black"
        ax.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour,
                fontsize=small(classes))
    ax.set(title="Confusion matrix", xlabel="predicted", ylabel="true")
    turned = names is not None and max(map(len, named)) * classes > 30
    every, size = -(-classes // READABLE), small(min(classes, READABLE))
    ax.set_xticks([*range(0, classes, every), *range(classes, len(columns))], named[::every] + columns[classes:],
                  rotation=45 if turned else 0, ha="right" if turned else "center", fontsize=size)
    ax.set_yticks(range(0, classes, every), named[::every], fontsize=size)
    ax.tick_params(length=0)
    return ax


def names_of(names: Sequence[str] | None, classes: int) -> list[str]:
    """A name for each class, by default its number; shortened, unless dollars may enclose a formula."""
    if not isinstance(names, Iterable | None):
        raise TypeError(f"names: expected a name for each of {classes} classes, got {names!r}")
    said = [str(each) for each in (range(classes) if names is None else names)]
    named = [each if "$" in each else shortened(each) for each in said]
    if len(named) != classes:
        raise ValueError(f"names: expected {classes}, got {len(named)}")
    return named


def reliability_diagram(
    y: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    threshold: float | None = None,
    bins: int = 15,
    ax: Axes | None = None,
) -> Axes:
    """How often decisions of each confidence are right, and the expected calibration error; both axes from 0 to 1.

    ``y``, ``t`` and ``threshold`` as for ``confusion_matrix``; ``y`` are logits or probabilities. A bar is the share of
    right decisions among those whose confidence lies in one of ``bins`` (>= 1) of equal width, the hatched part its
    distance to their mean confidence; the step line is the share of all decisions that lie there. ValueError for
    shapes that do not fit or a NaN in ``y``. Source: Guo et al., "On calibration of modern neural networks" (2017).

    >>> from fastnn import plot
    >>> ax = plot.reliability_diagram([[0.75, 0.25]] * 4, [0, 0, 1, 1], bins=2, ax=plot.new_figure(4, 3).add_subplot())
    >>> ax.get_title()
    'Reliability (expected calibration error 0.250)'
    """
    found = metrics.calibration(np.asarray(y), np.asarray(t), threshold, bins, "reliability_diagram")
    if found is None:
        raise ValueError("y: expected no NaN")
    ax = as_axes(ax)
    edges = np.linspace(0, 1, len(found.counts) + 1)
    middle, width = (edges[:-1] + edges[1:]) / 2, 1 / len(found.counts)
    right, sure = np.nan_to_num(found.accuracy), np.nan_to_num(found.confidence)
    ax.bar(middle, right, width, color=BLUE, alpha=0.5, edgecolor="white", label="accuracy")
    ax.bar(middle, np.abs(sure - right), width, np.minimum(sure, right), facecolor="none", edgecolor=ORANGE,
           hatch="////", linewidth=0.8, label="gap to the confidence")
    ax.stairs(found.counts / found.counts.sum(), edges, color="black", label="share of all decisions")
    ax.plot([0, 1], [0, 1], "--", color=QUIET, linewidth=1, label="perfect")
    ax.set(title=f"Reliability (expected calibration error {found.error:.3f})", xlabel="confidence",
           ylabel="accuracy, share", xlim=(0, 1), ylim=(0, 1.02))
    return legend_below(tidy(ax, legend=False))


def decision_boundary(
    model: Any,
    x: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    threshold: float = 0.0,
    resolution: int = 200,
    margin: float = 0.1,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The plane as ``model`` divides it into classes, with the examples ``x`` (n, 2) of class ``t`` (n,).

    A model with K >= 2 outputs decides for the largest, one with a single output for class 1 above ``threshold`` (0 for
    logits, 0.5 for probabilities). Regions are asked for at ``resolution`` >= 2 points along each axis, ``margin`` >= 0
    times the range of the examples beyond them; classes differ by marker, too. ValueError for other shapes.

    >>> import fastnn as nn
    >>> from fastnn import plot
    >>> model = nn.Sequential(nn.Linear(2, 2, init="ones"))
    >>> ax = plot.new_figure(4, 3).add_subplot()
    >>> _ = plot.decision_boundary(model, [[0, 0], [1, 1]], [0, 1], resolution=9, ax=ax)
    >>> ax.images[0].get_array().shape, len(ax.collections[0].get_offsets())
    ((9, 9), 1)
    """
    as_model(model)
    points = as_batch("x", x, model.dtype, (2,)).astype(float)
    if not np.isfinite(points).all():
        raise ValueError("x: expected finite numbers, got NaN or infinity")
    resolution, margin = checks.as_integer("resolution", resolution, 2), checks.as_number("margin", margin, 0)
    threshold = checks.as_number("threshold", threshold)
    spread = np.ptp(points, axis=0)
    beyond = margin * np.where(spread > 0, spread, 1)
    (left, bottom), (right, top) = points.min(axis=0) - beyond, points.max(axis=0) + beyond
    across, up = np.meshgrid(np.linspace(left, right, resolution), np.linspace(bottom, top, resolution))
    y = model.predict(np.stack([across.ravel(), up.ravel()], axis=1)).astype(float)
    if y.ndim != 2:
        raise ValueError(f"model: expected outputs (n, K), got {checks.format_shape(y.shape)}")
    scores = y if y.shape[1] > 1 else np.hstack([np.full_like(y, threshold), y])
    classes = scores.shape[1]
    targets = as_number_array("t", t)
    check_target_count(targets, len(points))
    if targets.size != len(points):
        raise ValueError(f"t: expected class numbers ({len(points)},), got {checks.format_shape(targets.shape)}")
    targets = as_class_numbers(targets.ravel(), classes)
    named = [f"class {each}" for each in range(classes)] if names is None else names_of(names, classes)
    ax = as_axes(ax)
    colours = [COLOURS[each % len(COLOURS)] for each in range(classes)]
    pixel = (right - left) / (resolution - 1) / 2, (top - bottom) / (resolution - 1) / 2
    ax.imshow(
        scores.argmax(axis=1).reshape(resolution, resolution), cmap=ListedColormap(colours), vmin=-0.5,
        vmax=classes - 0.5, alpha=0.25, origin="lower", aspect="auto", interpolation="nearest",
        extent=(left - pixel[0], right + pixel[0], bottom - pixel[1], top + pixel[1]))
    for each, colour in enumerate(colours):
        rows = targets == each
        if rows.any():
            marker = MARKERS[(each + each // len(COLOURS)) % len(MARKERS)]      # another where a colour comes again
            ax.scatter(points[rows, 0], points[rows, 1], s=22, color=colour, marker=marker, edgecolor="white",
                       linewidth=0.5, label=named[each])
    for each in range(classes if classes > 2 else 1):
        lead = scores[:, each] - np.delete(scores, each, axis=1).max(axis=1)
        if (lead > 0).any() and (lead < 0).any():
            ax.contour(across, up, lead.reshape(across.shape), [0], colors="black", linewidths=0.8)
    ax.set(title="Decision boundary", xlabel="x[:, 0]", ylabel="x[:, 1]")
    return add_legend(ax)


def mistakes(
    images: npt.ArrayLike,
    y: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    names: Sequence[str] | None = None,
    rows: int = 3,
    columns: int = 4,
    figure: FigureBase | None = None,
) -> FigureBase:
    """The misclassified images, the surest mistake first, each with its true and its predicted class; returns a figure.

    ``images`` (n, height, width), or (n, channels, height, width) with one channel or RGB, from 0 to 1; outputs ``y``
    (n, K), as logits or probabilities, class numbers ``t`` (n,), ``names`` of the K classes. A row with a NaN is a
    mistake. At most ``rows`` · ``columns`` of them are shown, in ``figure`` or a new one. ValueError for shapes that do
    not fit.

    >>> import numpy as np
    >>> from fastnn import plot
    >>> figure = plot.new_figure(4, 3)
    >>> _ = plot.mistakes(np.zeros((2, 8, 8)), [[0.9, 0.1], [0.8, 0.2]], [0, 1], figure=figure)
    >>> figure.axes[0].get_title()
    'true 1, said 0\\n80 % sure'
    """
    outputs, targets = metrics.arrays(y, t)
    shown_images = as_number_array("images", images)
    fits = shown_images.ndim == 3 or (shown_images.ndim == 4 and shown_images.shape[1] in (1, 3))
    if not fits or len(shown_images) != len(outputs) or not metrics.compete(outputs, None):
        raise ValueError(f"images: expected (n, height, width) or (n, 3, height, width) with outputs (n, K), got "
                         f"{checks.format_shape(shown_images.shape)} with {checks.format_shape(outputs.shape)}")
    targets = metrics.class_numbers("mistakes", outputs, targets)
    named = names_of(names, outputs.shape[1])
    longest = max(map(len, named))
    between = "\n" if longest > 2 else ", "
    rows, columns = checks.as_integer("rows", rows, 1), checks.as_integer("columns", columns, 1)
    probabilities = metrics.probabilities("mistakes", outputs, None)
    predicted, sure = metrics.largest(outputs), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != targets)
    shown = wrong[np.argsort(-sure[wrong], kind="stable")][: rows * columns]
    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(1.3 * columns, 1.6 * rows), layout="constrained")
    as_figure(figure)
    order = ", the surest first" if len(wrong) > 1 else ""
    figure.suptitle(f"Mistakes: {len(wrong):,} of {len(targets):,}{order}")
    for place, ax in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        ax.set_axis_off()
        if place < len(shown):
            i = shown[place]
            image = shown_images[i]
            if image.ndim == 3:
                image = image[0] if len(image) == 1 else np.clip(image.transpose(1, 2, 0), 0, 1)
            ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            how = "" if np.isnan(sure[i]) else f"\n{100 * sure[i]:.0f} % sure"
            ax.set_title(f"true {named[targets[i]]}{between}said {[*named, 'NaN'][predicted[i]]}{how}",
                         fontsize=small(longest + 5))
    return figure

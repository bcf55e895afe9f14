"""Pictures of a training: learning curves, range test of the learning rate, gradients and updates by layer; a page."""

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn_ref.shared import checks
from fastnn_ref.shared.arrays import as_number_array
from fastnn_ref.shared.early_stopping import EarlyStopping
from fastnn_ref.shared.history import History
from fastnn_ref.shared.lr_finder import RangeTest
from fastnn_ref.shared.objects import check_instance
from fastnn_ref.shared.recorder import UpdateRecorder

from ..extras import extra
from .classifier import confusion_matrix, mistakes
from .figure import BLUE, COLOURS, ORANGE, QUIET, Array, as_axes, new_figure, tidy
from .regression import predicted_values

with extra("plot"):
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

Curves = Mapping[str, Sequence[float]]  # the `history` of a History
USUAL_RATIO = 1e-3
SHOWN = 6                               # targets of a regression at most that a page shows


def learning_curves(
    history: History | Curves | Mapping[str, History | Curves],
    name: str = "loss",
    *,
    early_stopping: EarlyStopping | None = None,
    ax: Axes | None = None,
) -> Axes:
    """``name`` and ``val_name`` of a history over its epochs, 1, 2, …, and where early stopping found the best epoch.

    ``history`` is what ``fit`` returned, or its ``history``, or several of either by a label. Of two the first is drawn
    broad and pale, the second thin and dark on top of it, so where they agree the thin line runs inside the broad one;
    three and more have a colour each, held-out data dashed. ``early_stopping`` is the callback of the training, or of
    one of them. ValueError for a ``name`` that no history has.

    >>> from fastnn import plot
    >>> curves = {"loss": [2.0, 1.0], "val_loss": [2.1, 1.2]}
    >>> ax = plot.learning_curves(curves, ax=plot.new_figure(4, 3).add_subplot())
    >>> [line.get_label() for line in ax.lines]
    ['training', 'held out']
    """
    if early_stopping is not None:
        check_instance("early_stopping", early_stopping, EarlyStopping)
    histories = by_label(history)
    known = {key.removeprefix("val_") for curves in histories.values() for key in curves}
    checks.as_choice("name", name, sorted(known))
    ax = as_axes(ax)
    for place, (label, curves) in enumerate(histories.items()):
        for measure, data, held_out in ((name, "training", False), (f"val_{name}", "held out", True)):
            if values := curves.get(measure):
                text = f"{data}, {label}" if label else data
                style = curve_style(place, len(histories), held_out)
                if places := alone(values):
                    style |= {"marker": "o", "markevery": places}
                ax.plot(range(1, len(values) + 1), values, label=text, **style)
    if early_stopping is not None and early_stopping.best_epoch is not None:
        text = f"best epoch: {early_stopping.best_epoch + 1}"
        if early_stopping.stopped_epoch is not None:
            text += f", stopped after {early_stopping.stopped_epoch + 1}"
        ax.axvline(early_stopping.best_epoch + 1, color=QUIET, linestyle=":", label=text)
    ax.set(title=name.replace("_", " ").capitalize(), xlabel="epoch", ylabel=name.replace("_", " "))
    ax.set_xlim(0, 1.04 * max(len(values) for curves in histories.values() for values in curves.values()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    return tidy(ax)


def by_label(history: Any) -> dict[str, Curves]:
    """Label → curves; a single history has no label."""
    found = getattr(history, "history", history)
    if not isinstance(found, Mapping) or not found:
        raise TypeError(f"history: expected a History with epochs, or a mapping, got {history!r}")
    several: list[Any] = [getattr(each, "history", each) for each in found.values()]
    return dict(zip(found, several, strict=True)) if all(isinstance(each, Mapping) for each in several) else {"": found}


def alone(values: Sequence[float]) -> list[int]:
    """The places of numbers that make no line, as those beside them are NaN or infinite, or there are none."""
    known = np.isfinite(np.array([np.nan, *values, np.nan], float))
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:]).tolist()


def curve_style(place: int, histories: int, held_out: bool) -> dict[str, Any]:
    """How a curve is drawn: see ``learning_curves``."""
    if histories > 2:
        style = "--" if held_out else "-"
        return {"color": COLOURS[place % len(COLOURS)], "linestyle": style, "linewidth": 1.5}
    broad = {"linewidth": 7, "alpha": 0.3, "solid_capstyle": "round"} if place < histories - 1 else {"linewidth": 1.5}
    return {"color": ORANGE if held_out else BLUE, **broad}


def lr_range(found: RangeTest, *, ax: Axes | None = None) -> Axes:
    """The result of ``find_lr``: loss against learning rate (logarithmic), each batch and smoothed, and a rate to take.

    The suggestion is a tenth of the rate with the lowest smoothed loss. TypeError for another object.

    >>> import fastnn as nn
    >>> from fastnn import plot
    >>> model, optimizer, loss = nn.Sequential(nn.Linear(1, 1)), nn.SGD(), nn.MSELoss()
    >>> found = nn.find_lr(model, [[1.0], [2.0]], [[1.0], [3.0]], loss=loss, optimizer=optimizer, steps=20)
    >>> ax = plot.lr_range(found, ax=plot.new_figure(4, 3).add_subplot())
    >>> ax.get_xlabel(), ax.get_xscale()
    ('learning rate', 'log')
    """
    check_instance("found", found, RangeTest)
    ax = as_axes(ax)
    ax.plot(found.lrs, found.losses, ".", color=BLUE, alpha=0.35, markersize=4, label="each batch")
    ax.plot(found.lrs, found.smoothed, color=BLUE, linewidth=2, label="smoothed")
    ax.axvline(found.suggestion, color=ORANGE, linestyle="--", label=f"suggestion: {found.suggestion:.2g}")
    low, high = found.losses.min(), min(found.smoothed.max(), 2 * found.smoothed[0])  # not the last burst
    ax.set_ylim(low - 0.1 * (high - low) - 1e-12, high + 0.1 * (high - low) + 1e-12)
    ax.set(title="Range test of the learning rate", xlabel="learning rate", ylabel="loss", xscale="log")
    return tidy(ax)


def gradient_norms(recorder: UpdateRecorder, *, ax: Axes | None = None) -> Axes:
    """‖gradient‖ of each weight over the steps, from an ``UpdateRecorder``; light lines are the first layers.

    Lines that drift apart by powers of ten show gradients that vanish or explode on the way back (Glorot and Bengio,
    2010). ValueError for a recorder that has recorded nothing.

    >>> import fastnn as nn
    >>> from fastnn import plot
    >>> recorder, model = nn.UpdateRecorder(), nn.Sequential(nn.Linear(1, 1))
    >>> _ = model.fit([[1.0]], [[3.0]], loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=2, callbacks=[recorder])
    >>> ax = plot.gradient_norms(recorder, ax=plot.new_figure(4, 3).add_subplot())
    >>> [line.get_label() for line in ax.lines], ax.get_yscale()
    (['0.weight'], 'log')
    """
    ax = weight_lines(recorder, recorder_values(recorder, "gradient_norms"), ax)
    ax.set(title="Gradients", ylabel="‖gradient‖")
    return tidy(ax)


def update_ratios(recorder: UpdateRecorder, *, ax: Axes | None = None) -> Axes:
    """‖Δw‖ / ‖w‖ of each weight over the steps, from an ``UpdateRecorder``; light lines are the first layers.

    The dotted line is 0.001, which is usual (Karpathy, CS231n). ValueError for a recorder that has recorded nothing.

    >>> import fastnn as nn
    >>> from fastnn import plot
    >>> recorder, model = nn.UpdateRecorder(), nn.Sequential(nn.Linear(1, 1))
    >>> _ = model.fit([[1.0]], [[3.0]], loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=2, callbacks=[recorder])
    >>> ax = plot.update_ratios(recorder, ax=plot.new_figure(4, 3).add_subplot())
    >>> [line.get_label() for line in ax.lines]
    ['0.weight', 'usual: 0.001']
    """
    ax = weight_lines(recorder, recorder_values(recorder, "update_ratios"), ax)
    ax.axhline(USUAL_RATIO, color=QUIET, linestyle=":", label="usual: 0.001")
    ax.set(title="Updates", ylabel="update ratio  ‖Δw‖ / ‖w‖")
    return tidy(ax)


def recorder_values(recorder: object, name: str) -> dict[str, list[float]]:
    """What a recorder has under ``name``, checked."""
    check_instance("recorder", recorder, UpdateRecorder)
    values: dict[str, list[float]] = getattr(recorder, name)
    if not values:
        raise ValueError("recorder: expected one that was in fit's callbacks, got one without recorded steps")
    return values


def weight_lines(recorder: UpdateRecorder, values: Mapping[str, Sequence[float]], ax: Axes | None) -> Axes:
    """A line for each weight over the recorded steps, on a logarithmic axis, darker from layer to layer."""
    ax = as_axes(ax)
    shades = colormaps["viridis_r"]
    styles = itertools.cycle(("-", "--", "-."))
    for place, ((name, line), style) in enumerate(zip(values.items(), styles, strict=False)):
        colour = shades(0.2 + 0.8 * place / max(len(values) - 1, 1))
        ax.plot(recorder.steps, line, style, color=colour, linewidth=1.3, label=name)
    ax.set_xlabel("step")
    ax.set_yscale("log")
    return ax


def on_the_page(title: str) -> str:
    """A title in lines that are not wider than the page."""
    if not isinstance(title, str):
        raise TypeError(f"title: expected a text, got {title!r}")
    return "\n".join(textwrap.fill(line, 95) for line in title.split("\n"))


def training_report(
    title: str,
    histories: Mapping[str, Curves],
    t: Array,
    probabilities: Array,
    images: Array | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """One page: loss and accuracy of each named history, confusion matrix and mistakes of the last one.

    t (n,) are the true classes of the held-out examples, probabilities (n, classes) what that model says, ``names``
    those of the classes. ``images`` as for ``mistakes``.

    >>> import numpy as np
    >>> from fastnn import plot
    >>> history = {"loss": [1.0], "accuracy": [0.5], "val_loss": [1.0], "val_accuracy": [0.5]}
    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2]])
    >>> figure = plot.training_report("Toy", {"fastnn": history}, np.array([0, 1]), probabilities)
    >>> len(figure.axes)
    3
    """
    figure = new_figure(11, 9)
    figure.suptitle(on_the_page(title), fontsize=14)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(4, 5)).flat
    loss, accuracy = top.subplots(1, 2)
    learning_curves(histories, "loss", ax=loss).set_ylabel("cross-entropy")
    learning_curves(histories, "accuracy", ax=accuracy).yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    left, right = bottom.subfigures(1, 2, squeeze=False).flat
    matrix = confusion_matrix(probabilities, t, names=names, ax=left.subplots())
    matrix.set_title(f"Confusion matrix of {list(histories)[-1]}, {len(t):,} held out")
    if images is not None:
        mistakes(images, probabilities, t, names=names, figure=right)
    return figure


def regression_report(
    title: str, histories: Mapping[str, Curves], t: Array, y: Array, name: str | Sequence[str] = "value"
) -> Figure:
    """One page of a regression: RMSE and R² of each named history, predictions and errors of the last one.

    t (n,) are the true values of the held-out examples, y (n,) what that model predicts; both have the unit that the
    histories' ``rmse`` has. ``name`` is the target's. Of several targets, (n, targets) and a name each, the curves are
    those of the loss and of ``r2``, their mean R²; below stand predictions and errors of each of the first six, in its
    own unit.

    >>> import numpy as np
    >>> from fastnn import plot
    >>> history = {"rmse": [2.0], "r2": [0.1], "val_rmse": [2.5], "val_r2": [0.0]}
    >>> figure = plot.regression_report("Toy", {"fastnn": history}, np.array([1.0, 2.0]), np.array([1.5, 1.5]), "price")
    >>> len(figure.axes)
    4
    """
    if not isinstance(name, Iterable) or isinstance(name, Mapping):
        raise TypeError(f"name: expected a name, or one for each target, got {name!r}")
    names = [name] if isinstance(name, str) else [str(each) for each in name]
    y, t = (as_number_array(what, values) for what, values in (("y", y), ("t", t)))
    y, t = (values.reshape(len(values) if values.ndim else 1, -1) for values in (y, t))
    if not y.shape == t.shape == (len(y), len(names)):
        raise ValueError(f"y, t: expected values of {len(names)} targets, one for each name, got "
                         f"{checks.format_shape(y.shape)} and {checks.format_shape(t.shape)}")
    shown = min(len(names), SHOWN)
    figure = new_figure(11, 4 + 5 * shown)
    figure.suptitle(on_the_page(title), fontsize=14)
    top, *others = figure.subfigures(1 + shown, 1, squeeze=False, height_ratios=(4, *[5] * shown)).flat
    first, r2 = top.subplots(1, 2)
    if len(names) == 1:
        learning_curves(histories, "rmse", ax=first).set(title=f"RMSE of {names[0]}", ylabel="RMSE")
    else:
        learning_curves(histories, ax=first).set(title="Loss")
    learning_curves(histories, "r2", ax=r2).set(title="R²" + ", mean of the targets" * (len(names) > 1), ylabel="R²")
    for column, (each, part) in enumerate(zip(names[:shown], others, strict=True)):
        values, errors = part.subplots(1, 2)
        predicted_values(y[:, column], t[:, column], name=each, ax=values)
        values.set_title(f"Predictions of {list(histories)[-1]}, {len(t):,} held out")
        off = y[:, column] - t[:, column]
        off = off[np.isfinite(off)]
        largest = np.abs(off).max(initial=0)
        alike = np.ptp(off) <= 1e-9 * largest if len(off) else False     # bins between them would have no width
        errors.hist(off, bins=int(np.clip(np.sqrt(len(off)), 10, 100)), color=BLUE, alpha=0.8,
                    range=(off.min() - 0.1 * largest, off.max() + 0.1 * largest) if alike and largest else None)
        errors.axvline(0, color=QUIET, linestyle=":")
        errors.set(title="Errors", xlabel=f"predicted − true {each}", ylabel="examples")
        tidy(errors, legend=False)
    return figure

"""Pictures of what is inside a model: weights, filters, activations and their slopes, dead and saturated units."""

import copy
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import fastnn_ref
from fastnn_ref.shared import checks
from fastnn_ref.shared.arrays import as_batch
from fastnn_ref.shared.config import rebuild
from fastnn_ref.shared.custom import CustomActivation
from fastnn_ref.shared.objects import is_a, is_container, package_of

from ..extras import extra
from ..layer import Layer
from .figure import BLUE, ORANGE, QUIET, Array, as_axes, as_model, legend_below, small, tidy

with extra("plot"):
    from matplotlib.axes import Axes
    from matplotlib.ticker import PercentFormatter

OF_A_ROW = ("softmax", "log_softmax")   # activations of a row have no slope at a single value
FLAT = 0.1  # of the largest slope
OFTEN = 0.95  # of the examples
SPAN = np.linspace(-10, 10, 2001)[:, None]  # where an activation's largest slope is looked for


def weight_histograms(model: Any, *, bins: int = 60, ax: Axes | None = None) -> Axes:
    """A histogram of each weight's entries, the first layer on top, on one axis; biases are left out.

    Each has ``bins`` (>= 1) over the range of all weights, is as high as the others, and stands beside its name and
    its standard deviation σ. ValueError for a model without weights or with weights that are not finite.

    >>> import fastnn as nn
    >>> from fastnn import plot
    >>> model = nn.Sequential(nn.Linear(9, 5), nn.Linear(5, 2))
    >>> ax = plot.weight_histograms(model, ax=plot.new_figure(4, 3).add_subplot())
    >>> [text.get_text().split()[0] for text in ax.get_yticklabels()]
    ['0.weight', '1.weight']
    """
    bins = checks.as_integer("bins", bins, 1)
    weights = weights_of(model)
    for name, w in weights.items():
        if not np.isfinite(w).all():
            raise ValueError(f"model: expected finite weights, got {w[~np.isfinite(w)][0]} in {name}")
    low, high = min(w.min() for w in weights.values()), max(w.max() for w in weights.values())
    edges = np.linspace(low, high, bins + 1) if low < high else np.linspace(low - 1, high + 1, bins + 1)
    ax = as_axes(ax)
    for place, w in enumerate(weights.values()):
        count, _ = np.histogram(w, edges)
        ax.stairs(0.85 * count / count.max() - place, edges, baseline=-place, fill=True, color=BLUE, alpha=0.35)
        ax.stairs(0.85 * count / count.max() - place, edges, baseline=-place, color=BLUE, linewidth=1)
    labels = [f"{name}  σ = {w.std():.3g}" for name, w in weights.items()]
    ax.set_yticks([-place for place in range(len(weights))], labels, va="bottom", fontsize=small(len(weights)))
    ax.set(title="Weights", xlabel="weight", ylim=(0.9 - len(weights), 1))
    ax.axvline(0, color=QUIET, linestyle=":", linewidth=1)
    tidy(ax, legend=False).spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def weights_of(model: Any) -> dict[str, Array]:
    """Name → weight of everything that weight decay applies to, in float64."""
    found = {name: w.astype(float) for name, w, _, decays in as_model(model).parameters() if decays}
    if not found:
        raise ValueError("model: expected at least one layer with weights")
    return found


def filters(
    model: Any,
    *,
    image_shape: tuple[int, int] | None = None,
    limit: int = 64,
    ax: Axes | None = None,
) -> Axes:
    """What the units of the first layer with weights look for: each one's weights as an image, 0 in white.

    A ``Conv2d`` shows its kernels: those of a single channel, or of three as red, green and blue (0 is grey); with
    another number of channels a row of tiles is one filter, a column one channel. A ``Linear`` over images needs their
    ``image_shape``, (height, width). At most ``limit`` (>= 1) filters are drawn. ValueError for a shape that does not
    fit, or weights that are no filters.

    >>> import fastnn as nn
    >>> from fastnn import plot
    >>> ax = plot.filters(nn.Sequential(nn.Conv2d(1, 6, 3)), ax=plot.new_figure(4, 3).add_subplot())
    >>> ax.images[0].get_array().shape          # 2 rows and 3 columns of 3 x 3, with a gap around each
    (9, 13)
    """
    limit = checks.as_integer("limit", limit, 1)
    name, w = next(iter(weights_of(model).items()))
    if w.ndim == 2:
        shape = None if image_shape is None else checks.as_shape("image_shape", image_shape)
        if shape is None or len(shape) != 2 or math.prod(shape) != len(w):
            raise ValueError(f"image_shape: expected (height, width) of {len(w)} pixels, the first layer's inputs, got "
                             f"{image_shape}")
        w = w.T.reshape(-1, 1, *shape)
    elif w.ndim != 4:
        raise ValueError(f"model: expected a Linear or a Conv2d first, got {name} of shape "
                         f"{checks.format_shape(w.shape)}")
    elif image_shape is not None:
        raise ValueError(f"image_shape: expected None for a first layer of kernels, got {image_shape}")
    units = len(w)
    w, largest = w[:limit], np.abs(w[:limit]).max() or 1.0
    ax = as_axes(ax)
    if w.shape[1] == 3:
        ax.imshow(mosaic(np.moveaxis(w / largest, 1, -1) / 2 + 0.5, columns(len(w)), 1.0), interpolation="nearest")
    else:
        tiles = w.reshape(-1, *w.shape[2:])
        across = w.shape[1] if w.shape[1] > 1 else columns(len(w))
        image = ax.imshow(mosaic(tiles, across, math.nan), cmap="RdBu_r", vmin=-largest, vmax=largest,
                          interpolation="nearest")
        ax.figure.colorbar(image, ax=ax, label="weight", shrink=0.8)
    shown = f"{units}" if units == len(w) else f"{len(w)} of {units}"
    ax.set(title=f"{name}: {shown} filters", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def columns(tiles: int) -> int:
    """How many stand in a row: as many as rows, or one or two more."""
    return math.ceil(math.sqrt(tiles))


def mosaic(tiles: Array, across: int, gap: float) -> Array:
    """One image of all tiles (n, height, width, …), ``across`` in a row, a pixel of ``gap`` around each."""
    n, height, width, *rest = tiles.shape
    whole = np.full((-(-n // across) * (height + 1) + 1, across * (width + 1) + 1, *rest), gap)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, across)
        top, left = row * (height + 1) + 1, column * (width + 1) + 1
        whole[top:top + height, left:left + width] = tile
    return whole


def activation(
    kind: Any,
    *,
    low: float = -4.0,
    high: float = 4.0,
    ax: Axes | None = None,
) -> Axes:
    """An activation y = act(u) and its slope act'(u) for u from ``low`` to ``high`` (> ``low``).

    ``kind`` is a name, an activation of either package or a ``CustomActivation``. Both curves come from its own forward
    and backward. ValueError for softmax and log_softmax, which depend on a whole row.

    >>> from fastnn import plot
    >>> ax = plot.activation("relu", ax=plot.new_figure(4, 3).add_subplot())
    >>> [line.get_label() for line in ax.lines[:2]], ax.get_title()
    (['y = act(u)', "slope act'(u)"], 'ReLU()')
    """
    low = checks.as_number("low", low)
    high = checks.as_number("high", high, low, low_open=True)
    if not isinstance(kind, Layer | fastnn_ref.Layer):
        kind = fastnn_ref.Linear(1, 1, activation=kind).activation
    if not is_activation(kind) or kind.name in OF_A_ROW:
        raise ValueError(f"kind: expected an activation of single values, got {kind!r}")
    u = np.linspace(low, high, 801)
    y, slope = value_and_slope(kind, u[:, None], np.float64)
    ax = as_axes(ax)
    ax.plot(u, y[:, 0], color=BLUE, linewidth=2, label="y = act(u)")
    ax.plot(u, slope[:, 0], "--", color=ORANGE, linewidth=1.6, label="slope act'(u)")
    ax.axhline(0, color=QUIET, linewidth=0.6)
    ax.axvline(0, color=QUIET, linewidth=0.6)
    ax.set(title=repr(kind), xlabel="u")
    return tidy(ax)


def is_activation(layer: Any) -> bool:
    """Is this layer an activation, a user's own included?"""
    own = isinstance(getattr(layer, "custom", None), CustomActivation)
    return own or (layer is not None and isinstance(layer, package_of(layer).Activation))


def value_and_slope(kind: Any, u: Array, dtype: npt.DTypeLike) -> tuple[Array, Array]:
    """act(u) and act'(u), by a copy of the activation."""
    model = package_of(kind).Sequential(copy.deepcopy(kind), dtype=dtype)
    y = model.forward(u, training=True)
    return y, model.backward(np.ones_like(y))


class UnitActivity(NamedTuple):
    """Of a layer's ``units``: how many are ``dead`` and how many ``saturated``; see ``measure_units``."""

    units: int
    dead: int
    saturated: int


def measure_units(model: Any, x: npt.ArrayLike) -> dict[str, UnitActivity]:
    """Name → units, dead units and saturated units of each layer with an activation, over the examples ``x`` (n, …).

    A unit is a feature, or a channel of images, whose pixels count as examples. It is dead if the slope act'(u) is 0 at
    every example, so that nothing trains it; saturated if it is not dead and the slope is below a tenth of its largest
    at 95 % of them or more. Softmax and identity are left out, and so is what stands inside a layer of a user's own.
    The model predicts, layer by layer, and is not changed; some hundred examples do. ValueError for an ``x`` that does
    not fit or a model without activations. Sources: Glorot and Bengio (2010), Lu et al., "Dying ReLU" (2020).

    >>> import numpy as np, fastnn as nn
    >>> from fastnn import plot
    >>> model = nn.Sequential(nn.Linear(1, 2, activation="relu", init="ones"))
    >>> model.set_parameter("0.bias", [0.0, -9.0])
    >>> plot.measure_units(model, np.array([[1.0], [2.0]]))
    {'0  relu': UnitActivity(units=2, dead=1, saturated=0)}
    """
    found: list[tuple[str, Any, Array]] = []
    visit_activations(as_model(model), as_batch("x", x, model.dtype, model.input_shape), "", found)
    if not found:
        raise ValueError("model: expected at least one layer with an activation")
    return {f"{name}  {kind.name}": count_units(kind, u) for name, kind, u in found}


def visit_activations(layer: Any, x: Array, name: str, found: list[tuple[str, Any, Array]]) -> Array:
    """y of a layer for x; ``found`` gets (name, activation, u) of every activation inside."""
    dot = f"{name}." if name else ""
    if is_a(layer, "Sequential"):
        for index, each in enumerate(layer.layers):
            x = visit_activations(each, x, f"{dot}{index}", found)
        return x
    if is_container(layer):                        # what is inside gets the same x
        for inner, each in layer.children():
            visit_activations(each, x, f"{dot}{inner}", found)
        return layer(x)
    users = hasattr(layer, "custom")        # what such a layer calls its activation is its own
    kind: Any = layer if is_activation(layer) else None if users else getattr(layer, "activation", None)
    if is_activation(kind) and kind.name not in (*OF_A_ROW, "identity"):
        found.append((name, kind, x if kind is layer else without_activation(layer)(x)))
    return layer(x)


def without_activation(layer: Any) -> Any:
    """A copy of a ``Linear`` or another layer with an activation that gives u."""
    bare = package_of(layer).Sequential(rebuild(layer, activation=None), dtype=layer.dtype)
    own, state = bare.state_dict(), layer.state_dict()
    bare.load_state_dict({name: state[name.removeprefix("0.")] for name in own})
    return bare


def count_units(kind: Any, u: Array) -> UnitActivity:
    """How many units of u (n, …, units), or (n, channels, height, width), are dead and saturated."""
    _, slope = value_and_slope(kind, u, u.dtype)
    if slope.ndim == 4:
        slope = np.moveaxis(slope, 1, -1)
    slope = np.abs(slope.reshape(-1, slope.shape[-1]))
    largest = np.abs(value_and_slope(kind, SPAN, np.float64)[1]).max()
    dead = (slope == 0).all(axis=0)
    flat = (slope < FLAT * largest).mean(axis=0) >= OFTEN
    return UnitActivity(len(dead), int(dead.sum()), int((flat & ~dead).sum()))


def unit_activity(model: Any, x: npt.ArrayLike, *, ax: Axes | None = None) -> Axes:
    """The shares of dead and saturated units of each layer with an activation, over the examples ``x`` (n, …).

    See ``measure_units`` for what the words mean, for the numbers and for the errors.

    >>> import numpy as np, fastnn as nn
    >>> from fastnn import plot
    >>> model = nn.Sequential(nn.Linear(1, 2, activation="relu", init="ones"))
    >>> model.set_parameter("0.bias", [0.0, -9.0])
    >>> ax = plot.unit_activity(model, np.array([[1.0], [2.0]]), ax=plot.new_figure(4, 3).add_subplot())
    >>> [float(bar.get_width()) for bar in ax.containers[0]]
    [0.5]
    """
    found = measure_units(model, x)
    ax = as_axes(ax)
    places = range(len(found))
    dead = np.array([each.dead / each.units for each in found.values()])
    saturated = np.array([each.saturated / each.units for each in found.values()])
    ax.barh(places, dead, color=ORANGE, hatch="///", edgecolor="white", label="dead: slope 0 at every example")
    ax.barh(places, saturated, left=dead, color=BLUE, label="saturated: slope below a tenth at 95 %")
    ax.set_yticks(places, [f"{name}:  {each.dead} dead, {each.saturated} saturated of {each.units}"
                           for name, each in found.items()], fontsize=small(len(found)))
    ax.set(title="Units", xlabel="share of the units", xlim=(0, max(1.05 * float((dead + saturated).max()), 0.1)),
           ylim=(len(found) - 0.4, -0.6))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    return legend_below(tidy(ax, legend=False), columns=1)

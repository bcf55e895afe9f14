"""Pictures of a regression: predicted against true values."""

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks, metrics

from ..extras import extra
from .figure import BLUE, QUIET, as_axes, tidy

with extra("plot"):
    from matplotlib.axes import Axes


def predicted_values(
    y: npt.ArrayLike, t: npt.ArrayLike, *, name: str = "value", ax: Axes | None = None
) -> Axes:
    """Predicted against true values, a point an example; on the dotted line they are equal. The legend has R².

    Outputs ``y`` and targets ``t``, both (n,) or (n, 1); ``name`` is what they are, for the labels. Points that are no
    finite numbers are left out. ValueError for shapes that do not fit.

    >>> from fastnn import plot
    >>> ax = plot.predicted_values([1.0, 2.5], [1.0, 2.0], name="price", ax=plot.new_figure(4, 3).add_subplot())
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.collections[0].get_label()
    ('true price', 'predicted price', 'R² = 0.50')
    """
    outputs, targets = metrics.pair("predicted_values", np.asarray(y), np.asarray(t))
    if outputs.size != len(outputs):
        raise ValueError(f"y: expected one output, (n,) or (n, 1), got {checks.format_shape(outputs.shape)}; pass one "
                         "column at a time")
    outputs, targets = outputs.ravel(), targets.ravel()
    ax = as_axes(ax)
    shown = np.isfinite(outputs) & np.isfinite(targets)
    alpha = float(np.clip(30 / max(len(outputs), 1) ** 0.5, 0.15, 0.8))    # so that a crowd has darker places
    ax.scatter(targets[shown], outputs[shown], s=14, color=BLUE, alpha=alpha, linewidth=0,
               label=f"R² = {metrics.r2(outputs, targets):.2f}")
    ax.axline((targets[shown].mean() if shown.any() else 0,) * 2, slope=1, color=QUIET, linestyle=":",
              label="predicted = true")
    ax.set(title="Predicted and true values", xlabel=f"true {name}", ylabel=f"predicted {name}")
    return tidy(ax)

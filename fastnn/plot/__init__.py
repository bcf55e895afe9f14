"""Pictures of trainings and models, of either package, by matplotlib: ``pip install "fastnn[plot]"``.

One rule: a function draws into one Axes and returns it: into ``ax``, or into that of a new figure of pyplot's, which a
notebook shows. Only ``mistakes`` and the reports have many panels: they return a Figure. Whatever a function
set can be set again on what it returns: ``ax.set_title``, ``ax.set_xlim``. Colours are Okabe and Ito's, or maps that
are ordered by lightness, so that they can be told apart without colour vision.

    a training      learning_curves lr_range gradient_norms update_ratios
    a classifier    confusion_matrix reliability_diagram decision_boundary mistakes
    a regression    predicted_values
    inside a model  weight_histograms filters activation unit_activity
    pages, files    training_report regression_report new_figure save picture_formats

docs/plots.md shows them. pyplot is only imported where no ``ax`` is given.
"""

from .classifier import confusion_matrix, decision_boundary, mistakes, reliability_diagram
from .figure import new_figure, picture_formats, save
from .inside import UnitActivity, activation, filters, measure_units, unit_activity, weight_histograms
from .regression import predicted_values
from .training import gradient_norms, learning_curves, lr_range, regression_report, training_report, update_ratios

__all__ = [
    "UnitActivity", "activation", "confusion_matrix", "decision_boundary", "filters", "gradient_norms",
    "learning_curves", "lr_range", "measure_units", "mistakes", "new_figure", "picture_formats", "predicted_values",
    "regression_report", "reliability_diagram", "save", "training_report", "unit_activity", "update_ratios",
    "weight_histograms",
]

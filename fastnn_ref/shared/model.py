"""What users call and read of every model: ``fit``, ``evaluate``, ``summary``, counters.

The models of the reference derive from ``ModelAccess``, and compiled models take over its methods.
"""

from __future__ import annotations

from typing import Any

from .access import walk
from .checkpoint import save
from .fit import evaluate, fit
from .lbfgs import fit_lbfgs
from .objects import is_a, package_of
from .prediction import outputs, predict_classes, predict_proba
from .summary import summary, summary_html


class ModelAccess:
    """The methods and properties, for the models of both packages."""

    network: Any
    fit, fit_lbfgs, evaluate, summary, save = fit, fit_lbfgs, evaluate, summary, save
    predict_proba, predict_classes, outputs = predict_proba, predict_classes, outputs
    _repr_html_ = summary_html

    def predictor(self) -> Any:
        """A ``Predictor``: predicts as the model does now, whatever happens to the model, and small batches faster.

        >>> import numpy as np, fastnn_ref as nn
        >>> predictor = nn.Sequential(nn.Linear(2, 1, init="ones")).predictor()
        >>> predictor([[1.0, 2.0]]).tolist()
        [[3.0]]
        """
        return package_of(self).Predictor(self)

    @property
    def seed(self) -> int | dict[str, int]:
        """What the random numbers of this model start from: the outermost model's. Different seeds are a dict."""
        seed: int | dict[str, int] = self.network.seed
        return dict(seed) if isinstance(seed, dict) else seed

    @property
    def epochs(self) -> int:
        """Finished epochs: each next one has an order of its own."""
        return int(self.network.epochs)

    @property
    def executed_blocks(self) -> int:
        """Blocks of ``StochasticDepth`` inside that worked in a training pass, all passes together: each one's
        ``executed``."""
        return sum(layer.executed for _, layer in walk(self) if is_a(layer, "StochasticDepth"))

    @property
    def has_penalty(self) -> bool:
        """Does a penalty add to the loss?"""
        return any(penalty.adds_to_loss for penalty, _, _ in self.network.constraints)

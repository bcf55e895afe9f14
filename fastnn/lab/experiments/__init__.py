"""The experiments, a file each; ``NAMES`` is their order, from simple to hard.

A file makes one ``Experiment`` and calls it ``experiment``: docs/lab.md says how to write one.
"""

import importlib
import importlib.util
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

from fastnn_ref.shared import checks

from ..experiment import Experiment

NAMES = (
    "forward_by_hand", "backpropagation", "nonlinearity", "gradient_descent", "vanishing_gradient", "l1_sparsity",
    "l1_features", "l2", "weight_decay", "dropout", "batchnorm_initialisation", "batchnorm_speed", "early_stopping",
    "augmentation_images", "augmentation_text", "dropconnect", "weight_sharing", "stochastic_depth", "label_smoothing",
    "double_descent",
)  # fmt: skip


def find(what: str | os.PathLike[str] | Experiment) -> Experiment:
    """The experiment of that name, or the one in a Python file, which is run; ValueError if there is none.

    >>> from fastnn import lab
    >>> lab.find("nonlinearity").name
    'nonlinearity'
    """
    if isinstance(what, Experiment):
        return what
    if str(what).endswith(".py"):
        return from_file(Path(what))
    name = checks.as_choice("experiment", str(what).replace("-", "_"), NAMES)
    found: Experiment = importlib.import_module(f"{__name__}.{name}").experiment
    return found


def from_file(path: Path) -> Experiment:
    """The ``experiment`` that a file of the user's own makes; FileNotFoundError, ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a Python file with an experiment, found no file")
    spec = importlib.util.spec_from_file_location(f"fastnn_lab_{path.stem}", path)      # no module that there is
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: expected a Python file")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)     # its dataclasses look for it there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        error.add_note(f"in the experiment of {path}{place(error, str(path))}")
        raise
    found = getattr(module, "experiment", None)
    if not isinstance(found, Experiment):
        raise ValueError(f"{path}: expected `experiment = lab.Experiment(...)`, got {type(found).__name__}")
    return replace(found, source=str(path))


def place(error: BaseException, source: str | None) -> str:
    """Where in the file of a user's own an error came from, as the end of a note; "" if it did not."""
    file = source and os.path.abspath(source)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", line {lines[-1]}" if lines else ""

"""fastnn: small neural networks, trained fast on a CPU. The engine; the readable reference is ``fastnn_ref``.

The public names are those of ``fastnn_ref``, in the same reading order: swap ``import fastnn_ref as nn`` for
``import fastnn as nn``. The default dtype is float32 here and float64 there; with the same ``dtype=`` the numbers are
the same up to rounding.

>>> import numpy as np, fastnn as nn
>>> model = nn.Sequential(nn.Linear(2, 16, activation="relu"), nn.Linear(16, 2), seed=0)
>>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
>>> history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.05), epochs=100)
>>> model.predict(x).argmax(axis=1).tolist()
[0, 1, 1, 0]
"""

import importlib
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from fastnn_ref.shared import checkpoint
from fastnn_ref.shared.config import build
from fastnn_ref.shared.words import missing

from ._kernels import get_num_threads, isa, set_num_threads
from ._version import __version__ as __version__
from .compare import compare
from .config import show_config
from .docs import attach

if not getattr(sys, "_is_gil_enabled", lambda: True)():
    raise ImportError("fastnn: expected an interpreter with the GIL, which its locks rely on; this one is "
                      "free-threaded and leaves it off (PYTHON_GIL=0 or -X gil=0)")

reference = importlib.import_module("fastnn_ref")


def from_config(record: Mapping[str, Any], classes: Mapping[str, type[Any]] | None = None) -> Any:
    return build(sys.modules[__name__], record, classes)


def load(path: str | os.PathLike[str], classes: Mapping[str, type[Any]] | None = None) -> Any:
    return checkpoint.load_model(sys.modules[__name__], path, classes)


def load_training(
    path: str | os.PathLike[str], classes: Mapping[str, type[Any]] | None = None,
) -> checkpoint.Training:
    return checkpoint.load_training(sys.modules[__name__], path, classes)


def __getattr__(name: str) -> Any:
    raise missing(__name__, name)


def own(name: str) -> Any:
    """What this package has under a public name of the reference: an object that is written once, or its own.

    Its own stands in the module of the same name: if it is missing, there is an ImportError or an AttributeError here.
    """
    thing = getattr(reference, name)
    _, _, module = getattr(thing, "__module__", "").partition(".")
    if isinstance(thing, ModuleType) or module.startswith("shared.") or module == "init":
        return thing
    if not module:
        return globals()[name]
    # The reference has what all optimizers share in a file of its own.
    return getattr(importlib.import_module(f"{__name__}.{module.replace('optimizer', 'optim')}"), name)


globals().update({name: own(name) for name in reference.__all__})
__all__ = [*reference.__all__, "compare", "get_num_threads", "set_num_threads", "show_config", "isa"]
attach(sys.modules[__name__], reference)

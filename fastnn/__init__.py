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
from typing import TYPE_CHECKING, Any

try:
    from ._kernels import get_num_threads as get_num_threads
    from ._kernels import isa as isa
    from ._kernels import set_num_threads as set_num_threads
except ModuleNotFoundError as error:
    if error.name != "fastnn._kernels":
        raise
    raise ImportError("fastnn: expected compiled modules, got a folder of sources; leave this folder, if fastnn is "
                      "installed, or say pip install -e . in it") from error
from ._version import __version__ as __version__
from .docs import attach, attach_functions

if TYPE_CHECKING:
    from fastnn_ref.shared.checkpoint import Training

if not getattr(sys, "_is_gil_enabled", lambda: True)():
    raise ImportError("fastnn: expected an interpreter with the GIL, which its locks rely on; this one is "
                      "free-threaded and leaves it off (PYTHON_GIL=0 or -X gil=0)")

reference = importlib.import_module("fastnn_ref")
OWN = {"compare": "comparison", "show_config": "config"}       # what only the engine has, and where
WITHIN = {"optimizer": "optim", "winograd": "conv"}            # content of the reference that is in another module here
__all__ = [*reference.__all__, "compare", "get_num_threads", "set_num_threads", "show_config", "isa"]


def from_config(record: Mapping[str, Any], classes: Mapping[str, type[Any]] | None = None) -> Any:
    from fastnn_ref.shared.config import from_record

    return from_record(sys.modules[__name__], record, classes)


def load(path: str | os.PathLike[str], classes: Mapping[str, type[Any]] | None = None) -> Any:
    from fastnn_ref.shared.checkpoint import load_model

    return load_model(sys.modules[__name__], path, classes)


def load_training(path: str | os.PathLike[str], classes: Mapping[str, type[Any]] | None = None) -> "Training":
    from fastnn_ref.shared import checkpoint

    return checkpoint.load_training(sys.modules[__name__], path, classes)


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, or a module that has the name of one of the reference, imported at its first use.

    What is written once is the reference's; the rest stands in the module of the same name here.
    """
    home = OWN.get(name) or reference.HOMES.get(name, name)
    if name == "metrics" or home.startswith("shared.") or home in ("init", "philox"):
        found = getattr(reference, name)
    elif name in OWN or (home in reference.CONTENTS and name not in WITHIN):
        found = importlib.import_module(f"{__name__}.{WITHIN.get(home, home)}")
        if name != home:
            found = getattr(found, name)
        attach(__name__, reference)
    else:
        from fastnn_ref.shared.words import missing

        raise missing(__name__, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


attach_functions(sys.modules[__name__], reference)

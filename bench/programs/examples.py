"""The programs of examples/ as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load(name: str) -> ModuleType:
    """A module of examples/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"examples.{name}", Path(__file__).parents[2] / f"examples/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module             # where inspect looks for a class's source
    spec.loader.exec_module(module)
    return module


autoencoder, character_mlp, gan, imbalanced, mlp_alpha, mnist_cnn, regression, structured, wide_and_deep = map(load, (
    "autoencoder", "character_mlp", "gan", "imbalanced", "mlp_alpha", "mnist_cnn", "regression", "structured",
    "wide_and_deep"))

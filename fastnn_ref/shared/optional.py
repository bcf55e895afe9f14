"""Optional packages: everything here runs on NumPy alone, and what needs another package says so."""

from __future__ import annotations

import importlib
from typing import Any

DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow"}       # import name → pip's name, where they differ


def missing(error: ModuleNotFoundError, extra: str) -> ModuleNotFoundError:
    """The error that says which extra of fastnn brings the package that is missing."""
    package = (error.name or "a package").partition(".")[0]
    message = f'{DISTRIBUTIONS.get(package, package)} is missing: pip install "fastnn[{extra}]"'
    return ModuleNotFoundError(message, name=error.name)


def optional(module: str, extra: str) -> Any:
    """The module, imported; a ModuleNotFoundError says which extra of fastnn brings it.

    >>> from fastnn_ref.shared.optional import optional
    >>> optional("math", extra="train").pi > 3
    True
    >>> optional("no_such_package", extra="train")
    Traceback (most recent call last):
    ModuleNotFoundError: no_such_package is missing: pip install "fastnn[train]"
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing(error, extra) from error

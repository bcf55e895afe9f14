"""Optional packages: what ``pip install fastnn`` leaves out, and the sentence that says how to get it."""

from collections.abc import Iterator
from contextlib import contextmanager

DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # import name -> the name that pip knows, where they differ


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import packages of the extra ``name`` inside this block; a missing one says how to install it.

    Raises ModuleNotFoundError ``scikit-learn is missing: pip install "fastnn[train]"``.

    >>> with extra("train"):
    ...     import matplotlib
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "a package").partition(".")[0]
        message = f'{DISTRIBUTIONS.get(package, package)} is missing: pip install "fastnn[{name}]"'
        raise ModuleNotFoundError(message, name=error.name) from error

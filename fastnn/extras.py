"""Optional packages: what ``pip install fastnn`` leaves out, and the sentence that says how to get it."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastnn_ref.shared.optional import missing


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import packages of the extra ``name`` inside this block; a missing one says how to install it.

    Raises ModuleNotFoundError ``scikit-learn is missing: pip install "fastnn[train]"``.

    >>> from fastnn.extras import extra
    >>> with extra("train"):
    ...     import matplotlib
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(error, name) from error

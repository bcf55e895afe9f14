"""What is said on stderr beside the work: a stream that fails must not stop the work."""

import contextlib
import os
import sys
from typing import Any


class Steady:
    """stderr, for writing: what it does not take (closed, full, nobody reads) is dropped.

    >>> from fastnn_ref.shared.terminal import Steady
    >>> Steady().write("")
    0
    """

    encoding = property(lambda self: getattr(sys.stderr, "encoding", None) or "ascii")

    def write(self, text: str) -> int:
        """Write what can be written; the number of characters of ``text``."""
        with contextlib.suppress(OSError, ValueError, AttributeError):  # no room; closed; None, as it was closed before
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()

    def isatty(self) -> bool:
        """Does somebody look at it?"""
        try:
            return bool(sys.stderr.isatty())
        except (ValueError, AttributeError):
            return False

    def fileno(self) -> int:
        """The descriptor, for the width of the terminal; OSError if there is none."""
        try:
            return int(sys.stderr.fileno())
        except (ValueError, AttributeError) as error:
            raise OSError("stderr has no descriptor") from error


def has_width() -> bool:
    """Is stderr a terminal that says how wide it is? Some say 0."""
    try:
        return os.get_terminal_size(Steady().fileno()).columns > 0
    except OSError:
        return False


def in_notebook(tqdm: Any) -> bool:
    """Does this class of tqdm draw its bars with a notebook's widgets?"""
    return any("notebook" in kind.__module__ for kind in tqdm.__mro__)


def in_kernel() -> bool:
    """Is what is written to stderr shown below a notebook's cell?"""
    return type(sys.stderr).__module__.partition(".")[0] == "ipykernel"


def bar(tqdm: Any, **options: Any) -> Any:
    """A bar of this class of tqdm with these ``options``: in the notebook, or on a steady stderr, in one line of it."""
    return tqdm(**options) if in_notebook(tqdm) else tqdm(file=Steady(), dynamic_ncols=has_width(), **options)

"""One run of a command as a process: its output, its signals, its exit code."""

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self, TextIO

from fastnn_ref.shared import terminal

FAILURE, USAGE, SIGNALLED = 1, 2, 128


class UsageError(Exception):
    """The arguments are wrong: exit code 2. ``prog`` is the command, where that is not known otherwise."""

    prog: str | None = None


class Failure(Exception):
    """The arguments are right and it did not work: exit code 1."""


class OutputError(Exception):
    """Standard output does not take what is printed; ``number`` is the errno."""

    def __init__(self, error: OSError | ValueError) -> None:
        self.number = getattr(error, "errno", None) or errno.EBADF
        super().__init__(f"standard output: {os.strerror(self.number)}")


class Several(Exception):
    """More than one thing went wrong: the errors, the first decides the exit code."""

    def __init__(self, errors: list[Exception]) -> None:
        super().__init__(*errors)
        self.errors = errors


class Stopped(BaseException):
    """A signal that ends the process came; what is half done is cleaned up on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def say(text: str = "", also_on_stderr: bool = False) -> None:
    """Print to standard output; OutputError if it does not take it.

    ``also_on_stderr`` is for what cost much to find out: if the output is broken, the text goes to stderr instead, but
    not if a reader of the output has closed it.
    """
    try:
        print(text, flush=True)
    except (OSError, ValueError) as error:      # ValueError: the stream was closed in this process
        failed = OutputError(error)
        if also_on_stderr and failed.number != errno.EPIPE:
            terminal.Steady().write(f"{text}\n")
        raise failed from error


def require_output() -> None:
    """Failure where standard output is closed: better before the work than after it."""
    if sys.stdout is None:
        raise Failure("standard output is closed; to discard what is printed, use > /dev/null")


def attempt(*steps: Callable[[], object]) -> None:
    """Take every step, whatever happens to those before it; then raise what they raised."""
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except Several as several:
            errors += several.errors
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else Several(errors)


class Session:
    """The frame around a command: ``with session: …``; then ``session.code`` is the exit code.

    ``prog`` stands before each message. Exceptions that are no fault of the program end in a message and a code; others
    come through with their traceback.
    """

    def __init__(self, prog: str) -> None:
        self.prog, self.code = prog, 0
        self.handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        fill_descriptors()
        for stream in (sys.stdout, sys.stderr):
            errors, utf8 = getattr(stream, "errors", None), getattr(stream, "encoding", "") == "utf-8"
            if (errors == "strict" or (errors == "surrogateescape" and not utf8)) and hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")   # a name that ASCII cannot write is no failure
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                    self.handlers[number] = signal.signal(number, stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if error is None or isinstance(error, SystemExit):
            try:
                if sys.stdout is not None:
                    sys.stdout.flush()
            except (OSError, ValueError) as broken:
                error = OutputError(broken)
        code, lines = outcome(error)
        lines = list(dict.fromkeys(lines))      # output that fails twice is one failure
        if isinstance(error, KeyboardInterrupt) and terminal.Steady().isatty():
            terminal.Steady().write("\n")       # behind the ^C
        for line in lines:
            terminal.Steady().write(f"{getattr(error, 'prog', None) or self.prog}: {line}\n")
        for stream in (sys.stdout, sys.stderr):
            settle(stream)
        self.code = FAILURE if code is None else code
        return code is not None


def outcome(error: BaseException | None) -> tuple[int | None, list[str]]:
    """(exit code, lines to say); the code is None for what deserves a traceback."""
    if error is None:
        return 0, []
    if isinstance(error, SystemExit):           # argparse, after --help and --version
        return int(error.code or 0), []
    if isinstance(error, KeyboardInterrupt):
        return SIGNALLED + signal.SIGINT, ["interrupted"]
    if isinstance(error, Stopped):
        return SIGNALLED + error.number, [f"stopped by {signal.Signals(error.number).name}"]
    if isinstance(error, Several):
        several = [outcome(each) for each in error.errors]
        unknown = any(code is None for code, _ in several)
        return None if unknown else several[0][0], [line for _, lines in several for line in lines]
    if isinstance(error, UsageError):
        return USAGE, [f"error: {one_line(error)}"]
    if isinstance(error, OutputError) and error.number == errno.EPIPE:
        return SIGNALLED + getattr(signal, "SIGPIPE", 13), [f"error: {one_line(error)}"]
    if isinstance(error, MemoryError):
        return FAILURE, [f"error: not enough memory {one_line(error)}".rstrip()]
    if isinstance(error, OutputError | Failure | OSError | ImportError | ValueError | FloatingPointError):
        return FAILURE, [f"error: {one_line(error)}"]
    return None, []


def one_line(error: BaseException) -> str:
    """What the error says, in one line, and the notes on where it came from."""
    said = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        said = f"{error.filename}: {error.strerror}"
    notes = "; ".join(getattr(error, "__notes__", ()))
    return " ".join(f"{said} ({notes})".split() if notes else said.split())


def stop(number: int, frame: FrameType | None) -> None:
    """The handler of signals that end the process."""
    raise Stopped(number)


def fill_descriptors() -> None:
    """Where standard input, output or error is closed, no file that is opened later may take its number."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)


def settle(stream: TextIO | None) -> None:
    """Write what waits, or drop it: Python would complain once more as it ends, and change the exit code."""
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)

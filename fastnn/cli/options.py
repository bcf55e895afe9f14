"""Options, each declared once: as a field of a command's configuration.

    dropout: float = option(0.0, number(0, 1), "probability of zeroing a hidden value", REGULARIZERS)

From that come the flag ``--dropout``, its help with the default, the check of what is given, the message that names the
flag, the key ``dropout`` of a TOML file, and, where the group asks for it, what is said about the run.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from fastnn_ref.shared import checks

from .session import UsageError, say

REGULARIZERS = "regularizers, in any combination"
NOT_IN_FILES = ("config", "run", "resume", "out", "json", "quiet", "download")     # options of one call
GROUPS = ("data", "network", REGULARIZERS, "training", "running")       # in the order of the help


@dataclass(frozen=True)
class Kind:
    """What an option takes: how it is read and what is allowed (else ValueError), what stands for it in the help."""

    read: Callable[[str], Any]
    check: Callable[[str, Any], object]
    metavar: str


@dataclass(frozen=True)
class Option:
    """What is known of an option beside its name and its default."""

    kind: Kind | None  # None: a switch
    help: str
    group: str
    const: Any = None  # what the flag alone means, where a value may follow
    only: tuple[str, Callable[[Any], bool]] | None = None  # where it does something: in words, and asked of a config
    positional: bool = False  # it has no flag, and must be given
    nargs: str | None = None  # of a positional argument: how many, as argparse says it


def option(default: Any, kind: Kind | None, help: str, group: str, **more: Any) -> Any:
    """A field of a configuration that is an option of the command line; ``more`` are fields of ``Option``."""
    return field(default=default, metadata={"option": Option(kind, help, group, **more)})


def argument(kind: Kind, help: str, **more: Any) -> Any:
    """A field of a configuration that is a positional argument; ``more`` are fields of ``Option``."""
    return field(metadata={"option": Option(kind, help, GROUPS[0], positional=True, **more)})


def flag(name: str) -> str:
    """The flag of a field; one whose name is a word of Python's ends in an underscore.

    >>> from fastnn.cli.options import flag
    >>> flag("max_norm"), flag("break_")
    ('--max-norm', '--break')
    """
    return "--" + name.rstrip("_").replace("_", "-")


def text_of(value: Any) -> str:
    """A value as it is typed."""
    if value == ():
        return "none"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def shown(name: str, what: Option) -> str:
    """What messages call an option or a positional argument."""
    return name.upper() if what.positional else flag(name)


# -- kinds


def number(
    low: float | None = None, high: float | None = None, *, low_open: bool = False, high_open: bool = False
) -> Kind:
    """A finite number from ``low`` to ``high``."""

    def convert(typed: str) -> float:
        return int(typed) if typed.lstrip("+-").isdecimal() else float(typed)   # so that a message shows 50, not 50.0

    return Kind(
        reader(convert, "a number"),
        lambda name, value: checks.as_number(name, value, low, high, low_open=low_open, high_open=high_open),
        "X",
    )


def integer(low: int, high: int | None = None) -> Kind:
    """A whole number from ``low`` to ``high``."""
    return Kind(reader(int, "an integer"), lambda name, value: checks.as_integer(name, value, low, high), "N")


def choice(names: Sequence[str]) -> Kind:
    """One of these names; a near miss is named in the message."""
    return Kind(str, lambda name, value: checks.as_choice(name, value, names), "NAME")


def text(metavar: str) -> Kind:
    """Any text; the command looks at it."""
    return Kind(str, lambda name, value: value, metavar)


def path(metavar: str, wanted: str) -> Kind:
    """A path of what is ``wanted``; an empty text, as of a shell variable that is not set, is none, though Python makes
    of it the folder one is in."""

    def read(typed: str) -> str:
        if not typed:
            raise ValueError(f"expected {wanted}, got ''")
        return typed

    def check(name: str, value: Any) -> None:
        if not value:
            raise ValueError(f"{name}: expected {wanted}, got ''")

    return Kind(read, check, metavar)


def check_apart(name: str, typed: str | None, *others: str | None) -> None:
    """UsageError where a file that will be written is one of the others, which it would replace."""
    if typed is None or (Path(typed).exists() and not Path(typed).is_file()):   # a device takes whatever is written
        return
    if os.path.realpath(typed) in {os.path.realpath(each) for each in others if each is not None}:
        raise UsageError(f"{name}: expected another file, got {typed!r} for both")


def widths(high: int) -> Kind:
    """Whole numbers from 1 to ``high``, between commas, or none."""

    def read(typed: str) -> tuple[int, ...]:
        try:
            return () if typed == "none" else tuple(int(width) for width in typed.split(","))
        except ValueError:
            raise ValueError(f"expected widths such as 128,64 or none, got {typed!r}") from None

    def check(name: str, value: Any) -> None:
        for width in value:
            checks.as_integer(name, width, 1, high)

    return Kind(read, check, "N,N")


def reader(convert: Callable[[str], Any], wanted: str) -> Callable[[str], Any]:
    """``convert``, with a message of ours."""

    def read(typed: str) -> Any:
        try:
            return convert(typed)
        except ValueError:
            raise ValueError(f"expected {wanted}, got {typed!r}") from None

    return read


# -- from a configuration to a parser and back


class Parser(argparse.ArgumentParser):
    """Errors are UsageErrors, and output that cannot be written is an error."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; a UsageError is told which command it concerns."""
        try:
            return super().parse_known_args(args, namespace)
        except UsageError as error:
            error.prog = error.prog or self.prog
            raise

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')} (see {self.prog} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        say(message.rstrip("\n"))               # --help and --version; errors do not come here


def declared(config: Any) -> Iterator[tuple[str, Any, Option]]:
    """(name, default, option) of each option of a configuration or its class."""
    for each in dataclasses.fields(config):
        yield each.name, each.default, each.metadata["option"]


def add(parser: argparse.ArgumentParser, config: type) -> None:
    """Give the parser the options of a configuration, group by group; it returns those that were typed, no defaults."""
    known = list(declared(config))
    for title in GROUPS:
        inside = [each for each in known if each[2].group == title]
        group = parser.add_argument_group(title) if inside else parser
        for name, default, what in inside:
            if what.kind is None:
                from_file = hasattr(config, "config") and name not in NOT_IN_FILES      # which a flag can undo
                action: Any = argparse.BooleanOptionalAction if from_file else "store_true"
                group.add_argument(flag(name), help=what.help, default=argparse.SUPPRESS, action=action)
                continue
            if what.positional:
                group.add_argument(name, help=what.help, metavar=shown(name, what), nargs=what.nargs)
                continue
            usual = "" if default is None else f" (default {text_of(default)})"
            how: dict[str, Any] = {} if what.const is None else {"nargs": "?", "const": what.const}
            group.add_argument(
                flag(name), dest=name, help=(what.help + usual).replace("%", "%%"), default=argparse.SUPPRESS,
                metavar=what.kind.metavar, type=naming(flag(name), what.kind.read), **how,
            )  # fmt: skip


def naming(name: str, read: Callable[[str], Any]) -> Callable[[str], Any]:
    """``read`` for argparse, whose own message would not say what was expected."""

    def typed(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from None

    return typed


def check(config: Any) -> None:
    """UsageError for an option whose value is not allowed, or that does nothing beside the others."""
    for name, _, what in declared(config):
        value = getattr(config, name)
        if what.kind is not None and value is not None:
            try:
                what.kind.check(shown(name, what), value)
            except (ValueError, TypeError) as error:
                raise UsageError(str(error)) from None
    for name, default, what in declared(config):
        if what.only is not None and getattr(config, name) != default and not what.only[1](config):
            raise UsageError(f"{flag(name)}: has an effect only {what.only[0]}")


def given(config: Any, group: str) -> str:
    """The options of a group that are not at their defaults: ``dropout 0.5, batch norm``."""
    said = []
    for name, default, what in declared(config):
        value = getattr(config, name)
        if what.group == group and value != default:
            said.append(name.replace("_", " ") + ("" if value is True else f" {text_of(value)}"))
    return ", ".join(said)


@contextlib.contextmanager
def usage(config: Any, others: bool = True) -> Iterator[None]:
    """What the library says of an argument inside the block, with the name of the flag: a UsageError.

    ``others``: errors that name no option become one, too.
    """
    try:
        yield
    except ValueError as error:
        name, colon, rest = str(error).partition(": ")
        known = {each: what for each, _, what in declared(config)}
        if not others and name not in known:
            raise
        raise UsageError(f"{shown(name, known[name])}: {rest}" if colon and name in known else str(error)) from error


# -- TOML files


def configured(config: type, typed: dict[str, Any]) -> Any:
    """The configuration of what was typed; ``--config`` gives what was not."""
    path = typed.get("config")
    return config(**({} if path is None else read_toml(config, path)) | typed)


def read_toml(config: type, path: str | Path, unchecked: Sequence[str] = ()) -> dict[str, Any]:
    """The options in a TOML file, each named as its flag; UsageError names the file and the key.

    What is ``unchecked``, such as data that nobody will read, may be what it could not be now.
    """
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a TOML file, {error}") from None
    known = {flag(name)[2:]: (name, what) for name, _, what in declared(config)
             if name not in NOT_IN_FILES and not what.positional}
    values: dict[str, Any] = {}
    for key, value in found.items():
        try:
            name, what = known[checks.as_choice("key", key, tuple(known))]
            values[name] = value_of(key, value, what, name not in unchecked)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{path}: {error}") from None
    return values


def value_of(key: str, value: Any, what: Option, checked: bool = True) -> Any:
    """What a value of a TOML file means: the same as if it were typed."""
    if what.kind is None or isinstance(value, bool):
        if not isinstance(value, bool) or (what.kind is not None and (what.const is None or not value)):
            wanted = "true or false" if what.kind is None else "no switch"
            raise ValueError(f"{key}: expected {wanted}, got {json.dumps(value, default=str)}")
        return value if what.kind is None else what.const
    if isinstance(value, dict):
        raise ValueError(f"{key}: expected a value, got a table")
    typed = ",".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
    try:
        found = what.kind.read(typed)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if checked:
        what.kind.check(key, found)
    return found


def is_utf8(text: str) -> bool:
    """Is it text that UTF-8 can hold? Of a file's name Python keeps the other bytes in a way of its own."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def to_toml(config: Any) -> str:
    """The options of a configuration as ``read_toml`` takes them; UsageError for one that no TOML file can hold."""
    lines = []
    for name, _, what in declared(config):
        value = getattr(config, name)
        if value is not None and name not in NOT_IN_FILES and not what.positional:
            text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")     # TOML has JSON's values
            if not is_utf8(text):
                raise UsageError(f"{flag(name)}: expected UTF-8, which config.toml can hold, got {value!r}")
            lines.append(f"{flag(name)[2:]} = {text}\n")
    return "".join(lines)

"""Runs a program in both packages, compares what each line gave, and makes a finding shorter.

Compared are types of exceptions, shapes, dtypes where the program chose one, and numbers, as long as the program has
kept away from what is chaotic: numbers that are not finite, or large, and models in float32.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import fastnn
import fastnn_ref
from tests.fuzz.tools import namespace

LARGE = 1e6         # beyond, and after a number that is not finite, numbers are not compared
Result = tuple[str, Any]
ALIKE = [{"ValueError", "TypeError"}]   # either is an answer to an argument that nobody meant


def describe(value: Any) -> Any:
    """What of a value can be compared: arrays, numbers, containers of them; of other objects the type's name."""
    if value is None or isinstance(value, bool | str | bytes):
        return value
    if isinstance(value, int | float | np.number):
        return np.asarray(np.inf if abs(value) >= 1e300 else float(value))
    if isinstance(value, np.ndarray):
        return value.astype(np.float64) if value.dtype.kind in "biuf" else (str(value.dtype.kind), value.shape)
    if isinstance(value, Mapping):
        return {str(name): describe(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [describe(each) for each in value]
    return type(value).__name__


def run(nn: Any, lines: list[str]) -> list[Result]:
    """What each line gave: ("value", …) of an expression, ("done", None), or ("error", (type, message))."""
    scope, results = namespace(nn), []
    for line in lines:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                try:
                    code = compile(line, "<program>", "eval")
                except SyntaxError:
                    exec(line, scope)
                    results.append(("done", None))
                else:
                    results.append(("value", describe(eval(code, scope))))
        except Exception as error:
            results.append(("error", (type(error).__name__, str(error).replace("fastnn_ref", "fastnn"))))
            if isinstance(error, NameError):
                break
    return results


def numbers(value: Any) -> list[Any]:
    """The arrays in a described value."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, dict | list):
        return [found for each in ([value[name] for name in sorted(value)] if isinstance(value, dict) else value)
                for found in numbers(each)]
    return []


def outline(value: Any) -> Any:
    """A described value without its numbers."""
    if isinstance(value, np.ndarray):
        return value.shape
    if isinstance(value, str):
        return re.sub(" at 0x[0-9a-f]+", "", value)         # where an object lies, in its repr
    if isinstance(value, dict):
        return {name: outline(each) for name, each in value.items() if name != "seconds"}
    return [outline(each) for each in value] if isinstance(value, list) else value


def difference(lines: list[str], got: list[Result], want: list[Result]) -> str | None:
    """Where the engine's results differ from the reference's, in words; None if nowhere."""
    tolerance = 1e-6 if not any("float32" in line or "'f" in line for line in lines) else np.inf
    for line, mine, book in zip(lines, got, want, strict=False):
        if "'resizes'" in line:             # the user's own damage, to which the reference is open
            return None
        if "__init__()" in line:            # the engine refuses a second call; the reference refuses new values
            return None
        if mine[0] == "error" or book[0] == "error":
            kinds = [each[1][0] if each[0] == "error" else each[0] for each in (mine, book)]
            if "MemoryError" in kinds:      # the packages need memory at different times
                return None
            if any("expected finite parameters" in each[1][1] for each in (mine, book) if each[0] == "error"):
                return None                 # 1e308 overflows in one order of additions, and not in the other
            if mine[0] == "value" and any(".trainable" in each for each in lines) and re.search(
                    "backward_pass|the user's own", book[1][1]):
                return None                 # where nothing learns the engine does not call it
            if mine[0] == book[0] == "error" and any("the user's own" in each[1][1] for each in (mine, book)):
                return None                 # two mistakes at once: either may be told first
            if kinds[0] != kinds[1] and set(kinds) not in ALIKE:
                return f"{line}\n    engine: {mine}\n    reference: {book}"
            continue
        if outline(mine[1]) != outline(book[1]):
            if any("1e308" in each for each in lines):      # training ends when a parameter has become infinite
                return None
            return f"{line}\n    engine: {outline(mine[1])}\n    reference: {outline(book[1])}"
        for a, b in zip(numbers(mine[1]), numbers(book[1]), strict=True):
            both = np.concatenate([a.ravel(), b.ravel()])
            if not (np.isfinite(both).all() and np.abs(both).max(initial=0.0) < LARGE):
                tolerance = np.inf
            elif np.abs(a - b).max(initial=0.0) > tolerance * max(1.0, np.abs(b).max(initial=0.0)):
                return f"{line}\n    engine: {a}\n    reference: {b}"
    return None if len(got) == len(want) else f"{len(got)} lines ran in the engine, {len(want)} in the reference"


def check(lines: list[str]) -> str | None:
    """Runs a program in both packages."""
    return difference(lines, run(fastnn, lines), run(fastnn_ref, lines))


def reduce(lines: list[str], fails: Callable[[list[str]], bool]) -> list[str]:
    """The shortest program found, line after line left out, that still fails."""
    changed = True
    while changed:
        changed = False
        for at in reversed(range(len(lines))):
            shorter = lines[:at] + lines[at + 1:]
            if fails(shorter):
                lines, changed = shorter, True
    return lines

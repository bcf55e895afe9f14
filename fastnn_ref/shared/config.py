"""Configuration: a plain record of a public object, from which the object can be built again.

Rule: a constructor keeps every argument as an attribute of the same name. Then the constructor's signature says
everything that is needed here, for the classes of both packages and for a user's own. Three arguments are special:
``*layers`` is a tuple, ``**options`` of a user's class a dict, and an argument that names a parameter (``bias=``) says
whether the layer has that parameter.

    record      {"class": "Linear", "in_features": 64, "out_features": 10, "activation": {"class": "ReLU"}, ...}

A record holds None, booleans, numbers, strings, lists and other records, nothing else, so JSON can store it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from . import checks, words
from .objects import as_classes, attributes_of, hosted, is_ours, put_attributes
from .parameter import Parameter

VARIADIC, OPTIONS = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
BY_NAME = inspect.Parameter.KEYWORD_ONLY
REQUIRED = inspect.Parameter.empty
SETTINGS = {"trainable": True, "lr_scale": 1.0}      # of layers, and their defaults: not arguments, but in the record
SIGNATURES: WeakKeyDictionary[type[Any], inspect.Signature] = WeakKeyDictionary()       # read once a class
BOUND: WeakKeyDictionary[type[Any], set[tuple[Any, ...]]] = WeakKeyDictionary()     # calls that fit: count, names


def signature(kind: type[Any]) -> tuple[inspect.Parameter, ...]:
    """The constructor's parameters; a compiled class has them in its docstring."""
    if kind not in SIGNATURES:
        SIGNATURES[kind] = inspect.signature(kind)
    return tuple(SIGNATURES[kind].parameters.values())


def is_argument(kind: type[Any], name: str) -> bool:
    """Does the constructor have a parameter of that name?"""
    return bool(signature(kind)) and name in SIGNATURES[kind].parameters


def check_arguments(kind: type[Any], given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """TypeError for arguments that the constructor does not take, or a required one that is missing.

    >>> import fastnn_ref as nn
    >>> nn.Dropout(rate=0.2)
    Traceback (most recent call last):
    TypeError: Dropout: unexpected argument 'rate', which is p here: Dropout(p=0.5)
    """
    parameters, form, known = signature(kind), (len(given), *named), BOUND.setdefault(kind, set())
    if form in known:
        return
    try:
        SIGNATURES[kind].bind(*given, **named)
        known.add(form)
    except TypeError as error:
        plain = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
        usage = f"{kind.__name__}{inspect.Signature(plain)}"
        names = [each.name for each in parameters if each.kind is not VARIADIC]
        wrong = next((name for name in named if name not in names), None)
        if wrong is not None:
            found = [*words.ARGUMENTS.get(wrong, "").split(), *words.nearest(wrong, names)]
            word = next((f", which is {each} here" for each in found if each in names), "")
            raise TypeError(f"{kind.__name__}: unexpected argument {wrong!r}{word}: {usage}") from None
        raise TypeError(f"{kind.__name__}: {error}: {usage}") from None


def argument(thing: Any, name: str) -> Any:
    """The value that ``thing`` was made with; AttributeError if a user's constructor has not kept it."""
    if isinstance(getattr(type(thing), name, None), Parameter):
        return name in thing.specs                  # to look at the value would draw it
    if name == "input_shape" and hasattr(type(thing), "_given_shape"):
        return thing._given_shape                   # the attribute may be what the layers say
    try:
        value = getattr(thing, name)
    except AttributeError:
        if hasattr(type(thing), name):              # a property of the user's, whose own error it is
            raise
        raise AttributeError(f"{type(thing).__name__}.__init__: expected to keep every argument under its own name, "
                             f"got no self.{name}; add self.{name} = {name}") from None
    return str(value) if isinstance(value, np.dtype) else value


def arguments(thing: Any) -> dict[str, Any]:
    """Name → value of every argument of the constructor."""
    return {each.name: argument(thing, each.name) for each in signature(type(thing))}


def call(kind: Callable[..., Any], given: Mapping[str, Any], parameters: tuple[inspect.Parameter, ...]) -> Any:
    """``kind(...)`` with each argument where the signature puts it."""
    bound = inspect.BoundArguments(inspect.Signature(parameters), dict(given))
    return kind(*bound.args, **bound.kwargs)


def config(thing: Any, with_values: bool = True) -> dict[str, Any]:
    """The record of ``thing``; TypeError for an argument that no record can hold, such as a function.

    ``with_values=False`` is for a file, which has the parameters anyway: an ``init`` that is an array or a function is
    None then.
    """
    given = arguments(thing)
    if not with_values and hasattr(thing, "specs") and (
            callable(given.get("init")) or isinstance(given.get("init"), np.ndarray)):
        given["init"] = None
    return {"class": type(thing).__name__,
            **{name: plain(f"{type(thing).__name__}.{name}", value, with_values) for name, value in given.items()},
            **{name: value for name, value in settings(thing).items() if value != SETTINGS[name]}}


def settings(thing: Any) -> dict[str, Any]:
    """What was assigned to a layer after it was made: whether it is trainable, and its lr_scale."""
    return {name: getattr(thing, f"_{name}") for name in SETTINGS if is_setting(type(thing), name)}


def is_setting(kind: type[Any], name: str) -> bool:
    """Do the objects of a class have this setting? A user's own may have an argument of that name instead."""
    return name in SETTINGS and hasattr(kind, f"_{name}") and not is_argument(kind, name)


def as_settings(what: str, name: str, value: Any) -> dict[str, Any]:
    """``trainable`` and ``lr_scale`` of the layer ``name``, as far as they are given."""
    if not isinstance(value, Mapping) or set(value) - {"trainable", "lr_scale"}:
        raise ValueError(f"{what}[{name!r}]: expected a dict with trainable and lr_scale, got {value!r}")
    found: dict[str, Any] = {}
    if "trainable" in value:
        found["trainable"] = checks.as_flag(f"{what}[{name!r}].trainable", value["trainable"])
    if "lr_scale" in value:
        found["lr_scale"] = checks.as_number(f"{what}[{name!r}].lr_scale", value["lr_scale"], 0)
    return found


def file_config(thing: Any) -> dict[str, Any]:
    """The record of ``thing`` for a file that has the values of parameters beside it."""
    thing = hosted(thing)
    home = next(each for each in type(thing).__mro__ if "config" in vars(each))
    record: dict[str, Any] = config(thing, with_values=False) if is_ours(home) else thing.config()
    return record


class Labels(dict[int, Any]):
    """A dict whose keys are texts in a record, which its owner makes numbers again."""


def plain(name: str, value: Any, with_values: bool = True) -> Any:
    """``value`` as a record holds it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "config"):
        return file_config(value) if not with_values else value.config()
    if isinstance(value, tuple | list):
        return [plain(f"{name}[{index}]", each, with_values) for index, each in enumerate(value)]
    if isinstance(value, Mapping):
        for key in () if isinstance(value, Labels) else value:
            if not isinstance(key, str) or key == "class":          # which says in a record what an object is
                raise TypeError(f"{name}: expected keys that a record can hold, text other than 'class', got {key!r}")
        return {str(key): plain(f"{name}[{key!r}]", each, with_values) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic) and (value.dtype.kind == "U" or np.can_cast(value.dtype, np.float64)):
        return value.tolist()
    raise TypeError(f"{name}: expected a value that a record can hold, such as a number or a Schedule, got {value!r}")


def from_record(package: ModuleType, record: Any, classes: Mapping[str, type[Any]] | None = None) -> Any:
    """``build``, of what a user gave.

    >>> import fastnn_ref as nn
    >>> nn.from_config("Linear")
    Traceback (most recent call last):
    TypeError: record: expected a dict, as config() returns it, got 'Linear'
    """
    classes = as_classes(classes)
    if not isinstance(record, Mapping):
        raise TypeError(f"record: expected a dict, as config() returns it, got {record!r}")
    return build(package, record, classes)


def build(package: ModuleType, record: Any, classes: Mapping[str, type[Any]] | None = None) -> Any:
    """The object that ``record`` describes, of ``package`` (``fastnn`` or ``fastnn_ref``).

    ``classes`` maps the names of a user's own classes to the classes. TypeError for something that is no record,
    ValueError for an unknown class or an argument that the class does not have.

    >>> import fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 3, activation="relu"), nn.Linear(3, 1), seed=1)
    >>> nn.from_config(model.config())
    Sequential(Linear(2, 3, activation=ReLU()), Linear(3, 1), seed=1, dtype='float64')
    """
    if isinstance(record, list | tuple):
        return tuple(build(package, each, classes) for each in record)
    if not isinstance(record, Mapping):
        return record
    name = record.get("class")
    if not isinstance(name, str):
        raise TypeError(f"config: expected a record with the name of a class under 'class', got {name!r}")
    kind = (classes or {}).get(name) or (getattr(package, name, None) if name in package.__all__ else None)
    if not isinstance(kind, type) or not hasattr(kind, "config"):
        raise ValueError(f"config: expected a class of {package.__name__} or one in classes, got {name!r}")
    parameters = signature(kind)
    known = {each.name for each in parameters}
    required = {each.name for each in parameters if each.default is REQUIRED and each.kind not in (VARIADIC, OPTIONS)}
    given = {key for key in record if key != "class" and not is_setting(kind, key)}
    if given - known or required - given:
        wrong = ", ".join(map(repr, sorted(given - known, key=str) or sorted(required - given)))
        raise ValueError(f"config: {'unknown' if given - known else 'missing'} argument of {name}: {wrong}")
    made = call(kind, {key: build_argument(package, record[key], classes) for key in given}, parameters)
    found = {key: record[key] for key in record if is_setting(kind, key)}
    return set_up(made, as_settings("config", name, found))


def set_up(made: Any, found: Mapping[str, Any]) -> Any:
    """A new object with these settings."""
    for name, value in found.items():
        setattr(made, f"_{name}", value)
    return made


def build_argument(package: ModuleType, value: Any, classes: Mapping[str, type[Any]] | None) -> Any:
    """The value of an argument; a dict without a class is a dict."""
    if isinstance(value, list | tuple):
        return tuple(build_argument(package, each, classes) for each in value)
    if isinstance(value, Mapping) and "class" not in value:
        found = {key: build_argument(package, each, classes) for key, each in value.items()}
        return {key: list(each) if isinstance(value[key], list) else each for key, each in found.items()}
    return build(package, value, classes)


def rebuild(value: Any, package: ModuleType | None = None, **changes: Any) -> Any:
    """A new object with the arguments of ``value``, those objects made anew, too; ``changes`` replace arguments.

    With ``package``, a class of ``fastnn`` or ``fastnn_ref`` becomes the class of the same name there. Classes that
    both packages share stay as they are, and so do a user's own.
    """
    if isinstance(value, tuple | list):
        made = [rebuild(each, package) for each in value]
        return getattr(type(value), "_make", type(value))(made)         # a named tuple has _make
    if isinstance(value, dict):
        return {key: rebuild(each, package) for key, each in value.items()}
    if not hasattr(value, "config") or isinstance(value, type):
        return value
    value = hosted(value)
    kind = type(value)
    if package is not None and is_ours(kind):
        kind = getattr(package, kind.__name__, kind)
    given = {**{name: rebuild(each, package) for name, each in arguments(value).items()}, **changes}
    return set_up(call(kind, given, signature(type(value))), settings(value))


def is_default(value: Any, default: Any) -> bool:
    """Is ``value`` what the constructor makes of the default? One side stands for both; nothing is an empty tuple."""
    if default is None:
        return value is None or (isinstance(value, tuple) and not value) or type(value).__name__ == "Identity"
    if isinstance(value, np.ndarray) or isinstance(default, np.ndarray):
        return np.array_equal(value, default)
    try:
        return bool(value == default or value == (default, default))
    except Exception:                               # data frames and tensors have no one answer
        return False


def text_of(value: Any) -> str:
    """``repr``, but of an array its shape alone."""
    return f"<array {value.shape}>" if isinstance(value, np.ndarray) else repr(value)


def format_config(thing: Any) -> str:
    """The call that makes ``thing`` again: required arguments by position, others where they are not the default."""
    parts = []
    for each in signature(type(thing)):
        value = argument(thing, each.name)
        if each.kind is VARIADIC:
            parts += [repr(one) for one in value]
        elif each.kind is OPTIONS:
            parts += [f"{name}={text_of(one)}" for name, one in value.items()]
        elif each.default is REQUIRED and each.kind is not BY_NAME:
            parts.append(repr(value))
        elif each.default is REQUIRED or not is_default(value, each.default):
            parts.append(f"{each.name}={text_of(value)}")
    return f"{type(thing).__name__}({', '.join(parts)})"


def format_call(name: str, positional: Iterable[Any], named: Mapping[str, Any]) -> str:
    """The call that makes an object again, as text."""
    parts = [repr(value) for value in positional] + [f"{key}={value!r}" for key, value in named.items()]
    return f"{name}({', '.join(parts)})"


class Configured:
    """An object with a record: ``config()``, a ``repr`` that is the call, and arguments that cannot be changed."""

    _changeable: frozenset[str] = frozenset()       # arguments that may be assigned after construction

    def config(self) -> dict[str, Any]:
        """A plain record of this object, from which ``from_config`` builds it again."""
        return config(self)

    def __repr__(self) -> str:
        return format_config(self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ and name not in self._changeable and is_argument(type(self), name):
            raise AttributeError(f"{type(self).__name__}.{name}: an argument of the constructor cannot be changed; "
                                 f"make a new {type(self).__name__}")
        object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        return attributes_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        put_attributes(self, state)

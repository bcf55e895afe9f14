"""Copies of compiled objects: how copy and pickle make a loss, a penalty, an optimizer or a layer again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastnn_ref.shared.closed import library_class
from fastnn_ref.shared.config import argument, call, signature
from fastnn_ref.shared.objects import attributes_of, check_made, put_attributes


def recipe(thing: Any) -> tuple[type[Any], type[Any], dict[str, Any]]:
    """Its class, the class of this package that it derives from, and the arguments of that one's constructor."""
    base = library_class(type(check_made(thing)))
    return type(thing), base, {each.name: argument(thing, each.name) for each in signature(base)}


def make(kind: type[Any], base: type[Any], given: Mapping[str, Any]) -> Any:
    """A new object of ``kind``, made by the constructor of ``base``."""
    thing = kind.__new__(kind)  # type: ignore[call-overload]
    call(lambda *positional, **named: base.__init__(thing, *positional, **named), given, signature(base))
    return thing


def reduce(thing: Any, state: Any = None) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What ``__reduce__`` returns; ``state`` is loaded into the copy."""
    return rebuild, (recipe(thing), state, attributes_of(thing))


def rebuild(made_of: tuple[Any, ...], state: Any, attributes: Mapping[str, Any] | None) -> Any:
    """What copy and pickle call."""
    thing = make(*made_of)
    if state is not None:
        thing.load_state_dict(state)
    put_attributes(thing, attributes or {})
    return thing

"""Closed: classes of the reference whose attributes behave as those of the engine's compiled classes do."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

from .config import Configured

PACKAGE = __name__.partition(".")[0]


class Setting:
    """An attribute that may be assigned at any time: ``check(name, value)`` is what it becomes, or raises."""

    def __init__(self, check: Callable[[str, Any], Any], doc: str) -> None:
        self.check, self.__doc__ = check, doc

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __get__(self, thing: Any, owner: type[Any] | None = None) -> Any:
        return self if thing is None else getattr(thing, f"_{self.name}")

    def __set__(self, thing: Any, value: Any) -> None:
        thing.__dict__[f"_{self.name}"] = self.check(self.name, value)


class Closed(Configured):
    """Public attributes are the constructor's arguments, assigned once, and what a descriptor of the class assigns.

    Any other public name is an AttributeError. A subclass outside the package may add attributes, and may not override
    the methods in ``_contract``, which are compiled in the engine.
    """

    _arguments: frozenset[str] = frozenset()        # of the constructor, and of those that it overrides
    _contract = ""                                  # names of methods
    _instead = ""                                   # the class that may define them

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if "__init__" in vars(cls):
            cls._arguments = cls._arguments.union(list(inspect.signature(vars(cls)["__init__"]).parameters)[1:])
        base = next(each for each in cls.__mro__ if each.__module__.partition(".")[0] == PACKAGE)
        own = {name for each in cls.__mro__[:cls.__mro__.index(base)] for name in vars(each)}
        for name in cls._contract.split():
            if name in own:
                advice = f"; derive from {PACKAGE}.{cls._instead}" if cls._instead else ""
                who = f"{PACKAGE}.{base.__name__}"
                raise TypeError(f"{who}: {name} runs in C in fastnn and cannot be overridden{advice}")

    def __setattr__(self, name: str, value: Any) -> None:
        kind = type(self)
        if name[0] != "_" and name not in self._changeable and not hasattr(getattr(kind, name, None), "__set__"):
            if name in self._arguments:
                if name in self.__dict__:
                    raise AttributeError(f"{kind.__name__}.{name}: an argument of the constructor cannot be changed; "
                                         f"make a new {kind.__name__}")
            elif kind.__module__.partition(".")[0] == PACKAGE:
                raise AttributeError(f"{kind.__name__}.{name}: expected an attribute that can be assigned")
        object.__setattr__(self, name, value)

    def __copy__(self) -> Any:
        return copy.deepcopy(self)                  # two that shared arrays would change each other

"""Closed: what a user's subclass may do with a class of the library, and attributes that behave as compiled ones do.

The rules hold for both packages: what runs in C in the engine cannot be overridden, nor what kernels read, such as
arguments and parameters; and an abstract class makes no object. ``Closed`` gives the classes of the reference the
attributes of the engine's compiled classes.
"""

from __future__ import annotations

import copy
import dis
import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .config import Configured, check_arguments
from .objects import home_of, is_ours, unmade

PACKAGE = __name__.partition(".")[0]

# What runs in C, by the class that has it, and the class that a user's own derives from instead.
COMPILED = {
    "Layer": ("forward backward __call__ forward_pass backward_pass output_shape min_batch_size children bind plan act "
              "act_backward step_pass steps_pass network parent adopt add set_gradients random_words", "CustomLayer"),
    "Model": ("step run_epoch penalty_value checked", ""),
    "Augment": ("draw", "CustomLayer"),
    "DropConnect": ("averages_weights draws expectation expectation_backward", "CustomLayer"),
    "Loss": ("forward backward __call__ prepare_targets value_and_gradient value forward_pass value_pass costs counts "
             "each kept weighed evaluated", "CustomLoss"),
    "Optimizer": ("update step_size step step_pass update_pass update_run update_all bind slot_names current_lr attach "
                  "check_owner slots", "CustomOptimizer"),
    "Penalty": ("value gradient constrain applies_to _coefficients adds_to_loss", ""),
}
# What is said of a name that a class may not have.
KEPT = "is kept for the library itself; choose another name"
NOT_CALLED = "is not called by training, files and copies and cannot be overridden"
ARGUMENT = "is an argument of the constructor and cannot be overridden; pass it to super().__init__"
OF_OBJECTS = "is an attribute of each object and cannot be overridden"
# What the library would not call, and its own attributes, of either package: class → names, and what is said of them.
POOL = {"_dilation _extent _fill _overhang _set_window _sides": KEPT}
NORM = {"_add_affine _affine_shape _scale_and_shift": KEPT}
FIXED = {
    "Layer": {"parameters set_parameter state_dict load_state_dict": NOT_CALLED,
              "_around _assign _bind _index _input_shape _lr_scale _numbered _own_network _penalties _saved "
              "_start_from _trainable": KEPT},
    "Sequential": {"_given_shape _penalty_loss _stop_training _whole": KEPT},
    "Linear": {"_add_weights": KEPT}, "Conv2d": {"_add_weights _sides _tiling": KEPT},
    "ConvTranspose2d": {"_add_weights _sides": KEPT}, "StochasticDepth": {"_executed": KEPT},
    "MaxPool2d": POOL, "AvgPool2d": POOL,
    "BatchNorm1d": NORM, "BatchNorm2d": NORM, "LayerNorm": NORM, "GroupNorm": NORM, "RMSNorm": NORM,
    "Loss": {"_checked_targets _loss_pass": KEPT},
    "Optimizer": {"_fitted _host_of _kept _listed _lr _network _slot_arrays _slots_of _starts _step_size _steps "
                  "_take_slots": KEPT},
    "Adagrad": {"_rate_now": KEPT}, "RMSprop": {"_spread": KEPT}, "NAdam": {"_momentum _product _rates": KEPT},
    "Closed": {"_arguments _changeable _made": KEPT},
}
# Abstract classes, and what to use.
ABSTRACT = {
    "Layer": "Linear, ReLU, ...", "Activation": "ReLU, Tanh, ...", "Model": "Sequential",
    "Loss": "MSELoss, CrossEntropyLoss, ...", "Optimizer": "SGD, Adam, ...", "Penalty": "L1, L2, ElasticNet or MaxNorm",
}


def library_class(kind: type[Any]) -> type[Any]:
    """The nearest class of either package that a class derives from."""
    return next(filter(is_ours, kind.__mro__))


def held_by_objects(base: type[Any]) -> tuple[set[str], set[str]]:
    """The public names of a class of the library that are not methods: arguments of its constructors, and others."""
    arguments = {*getattr(base, "_arguments", ()), *inspect.signature(base).parameters}
    found = {name: inspect.getattr_static(base, name) for name in dir(base) if name[0] != "_"}
    others = {name for name, value in found.items() if not callable(value)}
    return arguments, others


def own_names(classes: Iterable[type[Any]]) -> set[str]:
    """The names that classes define, and the private ones of the attributes that their methods assign."""
    own = [vars(each) for each in classes]
    steps = [each for names in own for value in names.values() if inspect.isfunction(value)
             for each in dis.get_instructions(value)]
    return {*itertools.chain(*own), *(each.argval for each in steps
                                      if each.opname == "STORE_ATTR" and each.argval.startswith("_"))}


def assigned_names(classes: Iterable[type[Any]]) -> set[str]:
    """The names of the attributes that their methods assign to their own object."""
    found = set()
    for method in (value for each in classes for value in vars(each).values() if inspect.isfunction(value)):
        for before, step in itertools.pairwise(dis.get_instructions(method)):
            loaded: Any = before.argval
            loaded = loaded[-1] if isinstance(loaded, tuple) else loaded        # two at once, from Python 3.13 on
            if step.opname == "STORE_ATTR" and loaded in method.__code__.co_varnames[:1]:
                found.add(step.argval)
    return found


def check_class(kind: type[Any], **named: Any) -> None:
    """TypeError for a user's subclass that defines what runs in C in the engine, or what objects hold and C reads: it
    would be ignored there; and for one that defines or assigns what the library keeps for itself."""
    base = library_class(kind)
    package = home_of(base)
    classes = kind.__mro__[:kind.__mro__.index(base)]
    own, assigned = own_names(classes), assigned_names(classes)
    for names, instead in (COMPILED[each.__name__] for each in base.__mro__ if each.__name__ in COMPILED):
        for name in names.split():
            if name in own | assigned:
                advice = f"; derive from {package}.{instead}" if instead else ""
                raise TypeError(
                    f"{package}.{base.__name__}: {name} runs in C in fastnn and cannot be overridden{advice}")
    for names, said in (each for one in base.__mro__ for each in FIXED.get(one.__name__, {}).items()):
        for name in sorted((own | assigned).intersection(names.split())):
            raise TypeError(f"{package}.{base.__name__}: {name} {said}")
    arguments, others = held_by_objects(base)
    fixed = {name for name in others if not hasattr(inspect.getattr_static(base, name), "__set__")}
    for name in sorted((own & (arguments | others)) | (assigned & fixed)):
        raise TypeError(f"{package}.{base.__name__}: {name} {ARGUMENT if name in arguments else OF_OBJECTS}")


def check_concrete(kind: type[Any]) -> None:
    """TypeError for an abstract class, and for a subclass that adds nothing which could run."""
    name = library_class(kind).__name__
    if name in ABSTRACT:
        raise TypeError(f"{kind.__name__}: an abstract class; use {ABSTRACT[name]}")


def noting_the_end(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that notes that it came to its end, if it is that of the object's class of the library."""

    @functools.wraps(init)
    def __init__(self: Any, *given: Any, **named: Any) -> None:
        init(self, *given, **named)
        if library_class(type(self)).__init__ is __init__:
            self.__dict__["_made"] = True

    return __init__


def check_call(kind: type[Any], given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """TypeError for arguments that the constructor of a class of the library, or of one that derives from it, does not
    take."""
    if (given or named) and library_class(kind).__name__ not in ABSTRACT:
        check_arguments(kind, given, named)


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


class OwnSignature:
    """The signature of a class's ``__init__``, not that of ``__new__``, which takes anything. It is looked at when it
    is wanted: a decorator, as ``dataclass``, may give the class another ``__init__`` after it was made."""

    def __get__(self, thing: Any, owner: type[Any]) -> inspect.Signature:
        own = inspect.signature(owner.__init__)
        return own.replace(parameters=list(own.parameters.values())[1:])


class Closed(Configured):
    """Public attributes are the constructor's arguments, assigned once, and what a descriptor of the class assigns.

    Any other public name is an AttributeError. A subclass outside the package may add attributes and methods;
    ``check_class`` says what it may not override.
    """

    __signature__ = OwnSignature()
    _arguments: frozenset[str] = frozenset()        # of the constructor, and of those that it overrides
    _made = False                                   # did the constructor come to its end?

    def __new__(cls, *given: Any, **named: Any) -> Any:
        check_call(cls, given, named)
        return super().__new__(cls)

    @noting_the_end
    def __init__(self) -> None:
        check_concrete(type(self))

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        check_class(cls)
        if "__init__" in vars(cls):
            cls._arguments = cls._arguments.union(list(inspect.signature(vars(cls)["__init__"]).parameters)[1:])
            if home_of(cls) == PACKAGE:
                cls.__init__ = noting_the_end(cls.__init__)     # type: ignore[method-assign]

    def __getattr__(self, name: str) -> Any:
        if name in self._arguments and not self._made:
            raise unmade(self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        kind = type(self)
        if name[0] != "_" and not hasattr(getattr(kind, name, None), "__set__"):
            if name in self._arguments:
                if name in self.__dict__:
                    raise AttributeError(f"{kind.__name__}.{name}: an argument of the constructor cannot be changed; "
                                         f"make a new {kind.__name__}")
            elif home_of(kind) == PACKAGE:
                raise AttributeError(f"{kind.__name__}.{name}: expected an attribute that can be assigned")
        object.__setattr__(self, name, value)

    def __copy__(self) -> Any:
        return copy.deepcopy(self)                  # two that shared arrays would change each other

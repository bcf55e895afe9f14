"""Checks of objects: of which class, and of which of the two packages; what a user wrote instead.

A class is known by its name where the object may be of either package, and by itself where the two must not mix.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import MemberDescriptorType, ModuleType
from typing import Any, TypeVar

T = TypeVar("T")

PACKAGES = ("fastnn", "fastnn_ref")
PASS_THROUGH = ("Identity", "Flatten", "Unflatten", "Dropout", "GaussianNoise", "Augment")      # in a prediction
PROBABILITIES = ("Sigmoid", "Softmax", "LogSoftmax")        # what gives them, or their logarithms


def home_of(kind: type[Any]) -> str:
    """The package that a class is of."""
    return kind.__module__.partition(".")[0]


def is_ours(kind: type[Any]) -> bool:
    """Is it a class of one of the two packages, and not a user's?"""
    return home_of(kind) in PACKAGES


def is_a(thing: object, *names: str) -> bool:
    """Is it of a class of one of these names, of either package, or of one that derives from it? A user's own class may
    have such a name, too."""
    for kind in type(thing).__mro__:                # a generator takes twice as long, and fit asks twenty times
        if kind.__name__ in names and is_ours(kind):
            return True
    return False


def is_container(layer: object) -> bool:
    """Does it run other layers? A user's layer may have an attribute ``layers``, ``block`` or ``branches``, too."""
    return is_a(layer, "Sequential", "Residual", "Parallel")


def hosted(thing: Any) -> Any:
    """The user's object that a host stands for; anything else as it is, whatever its own ``custom`` may be."""
    return getattr(thing, "custom", thing) if is_ours(type(thing)) else thing


def attributes_of(thing: Any) -> dict[str, Any]:
    """Name → value of what an object holds in its ``__dict__`` and in the ``__slots__`` of a user's class."""
    state = object.__getstate__(thing)
    own, slots = state if isinstance(state, tuple) else (state, None)
    return {**(own or {}), **(slots or {})}


def put_attributes(thing: Any, found: Mapping[str, Any]) -> None:
    """Puts each of these where a new object has its place."""
    for name, value in found.items():
        place = getattr(type(thing), name, None)
        if isinstance(place, MemberDescriptorType):
            place.__set__(thing, value)
        else:
            thing.__dict__[name] = value


def class_name(layer: Any) -> str:
    """The name of the class of a layer or an optimizer; a host stands for a user's object."""
    return str(hosted(layer).__class__.__name__)        # of a weak link, too


def package_of(thing: Any) -> Any:
    """The package that a layer belongs to."""
    return sys.modules[next(home_of(kind) for kind in type(thing).__mro__ if is_ours(kind))]


def format_kind(value: object) -> str:
    """What sort of thing came, as text: a class, or an object of one."""
    what, found = ("the class ", value) if isinstance(value, type) else ("", type(value))
    home = "" if found.__module__ == "builtins" else f"{found.__module__}."
    return f"{what}{home}{found.__qualname__}"


def unmade(thing: Any) -> RuntimeError:
    """The error of an object that lacks what its constructor would have given it."""
    return RuntimeError(f"{type(thing).__name__}: made without a call of __init__ that came to its end")


def check_made(thing: T) -> T:
    """RuntimeError for an object of the library whose constructor was not called, or whose error was swallowed."""
    if not getattr(thing, "_made", True):
        raise unmade(thing)
    return thing


def check_instance(name: str, value: T, kind: type[T]) -> T:
    """An object of that class, whose constructor came to its end, and of that package: the two do not mix."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected {one_of_kind(kind)} of {home_of(kind)}, got {format_kind(value)}"
                        f"{hint_for(value, kind)}")
    return check_made(value)


def one_of_kind(kind: type[Any]) -> str:
    """An object of that class, as text: "an Optimizer"."""
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def hint_for(value: object, kind: type[Any]) -> str:
    """What to write in place of a class, of the name of one, or of a list of objects, where there is such a thing."""
    package = home_of(kind)
    is_layer = kind.__name__ == "Layer"             # of these one argument each
    if is_layer and isinstance(value, list | tuple) and value and all(isinstance(each, kind) for each in value):
        return "; pass them one by one, or with a star before the list"
    name = value.__name__ if isinstance(value, type) else value if isinstance(value, str) else ""
    public = {each.lower(): each for each in sys.modules[package].__all__}
    plain = name.lower().replace("_", "")
    word = public.get(plain) or public.get(f"{plain}loss")
    found = getattr(sys.modules[package], word) if word else None
    usable = isinstance(found, type) and issubclass(found, kind) and found is not kind     # that one is abstract
    return f"; pass an object: {word}()" if usable else ""


def as_tuple_of(name: str, value: Any, kind: type[Any]) -> tuple[Any, ...]:
    """None, one object of that class, or a sequence of them, as a tuple."""
    if value is None:
        return ()
    found = tuple(value) if isinstance(value, tuple | list) else (value,)
    for each in found:
        check_instance(name, each, kind)
    return found


def check_model(name: str, value: Any, or_layer: bool = False) -> Any:
    """A model of either package; a single layer, too, if ``or_layer``.

    >>> from fastnn_ref.shared.objects import check_model
    >>> check_model("model", "mlp")
    Traceback (most recent call last):
    TypeError: model: expected a model, got str
    """
    if not is_a(value, "Layer" if or_layer else "Model"):
        hint = "; a predictor is a copy of a model: pass the model itself" if is_a(value, "Predictor") else ""
        raise TypeError(f"{name}: expected a model{' or a layer' if or_layer else ''}, got {format_kind(value)}{hint}")
    return value


def check_layers(value: Sequence[Any], kind: type[Any], name: str = "layers") -> None:
    """At least one layer, each only once."""
    if not value:
        raise ValueError(f"{name}: expected at least one layer, got none")
    seen: dict[int, int] = {}
    for index, layer in enumerate(value):
        check_instance(f"{name}[{index}]", layer, kind)
        if id(layer) in seen:
            raise ValueError(f"{name}[{index}]: this {class_name(layer)} already stands at "
                             f"{name}[{seen[id(layer)]}]")
        seen[id(layer)] = index


def check_unowned(name: str, layer: Any) -> None:
    """A layer that no model has yet."""
    if layer.parent is not None:
        raise owned(name, layer)


def owned(name: str, layer: Any) -> ValueError:
    """The error of a layer that a model has."""
    return ValueError(f"{name}: this {class_name(layer)} already belongs to a model; "
                      "copy.deepcopy(layer) makes one of its own")


def check_is_root(model: Any) -> None:
    """Training needs the whole model, not a part of one."""
    if model.parent is not None:
        raise ValueError(f"step: this {class_name(model)} stands inside another model; train that one")


def as_function(name: str, value: Any) -> Any:
    """None, or something that can be called."""
    if value is not None and not callable(value):
        raise TypeError(f"{name}: expected a function or None, got {format_kind(value)}")
    return value


def as_package(value: Any, default: str) -> Any:
    """One of the two packages; the ``default`` one for None."""
    if value is None:
        return importlib.import_module(default)
    if not isinstance(value, ModuleType) or value.__name__ not in PACKAGES:
        raise TypeError(f"package: expected fastnn or fastnn_ref, got {value!r}")
    return value


def as_classes(value: Any) -> dict[str, type[Any]]:
    """None, or a dict from the names of a user's own classes to the classes."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(each, type) for each in value.values()):
        raise TypeError(f"classes: expected a dict from name to class, got {value!r}")
    return dict(value)

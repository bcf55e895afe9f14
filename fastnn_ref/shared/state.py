"""The whole state of a training in one record: what has to be kept so that it goes on to the same bits.

Everything random is a function of the seed and of counters, so no generator has a state of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .access import settable
from .arrays import as_state
from .config import SETTINGS, as_settings, settings
from .custom import check_optimizer
from .network import as_counters
from .objects import check_model, package_of

VERSION = 2
KEYS = ("version", "model", "settings", "counters", "optimizer", "callbacks")


def training_state(model: Any, optimizer: Any, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
    """Everything that training has changed, as dicts, lists, numbers and arrays.

    ``model``: parameters and running statistics by dotted name. ``settings``: ``trainable`` and ``lr_scale`` of the
    layers that were given other ones than the defaults. ``counters``: training passes, epochs, and the position
    inside an epoch. ``optimizer``: its steps, its learning rate or schedule, its slots. ``callbacks``: a state each;
    for ``fit(resume=…)`` the history comes first, as in ``Callback.callbacks``.

    >>> import numpy as np, fastnn_ref as nn
    >>> def make():
    ...     return nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 2), seed=0), nn.Adam()
    >>> x, t = np.eye(2), np.array([0, 1])
    >>> model, optimizer = make()
    >>> _ = model.step(x, t, nn.CrossEntropyLoss(), optimizer)
    >>> again, other = make()
    >>> nn.load_training_state(nn.training_state(model, optimizer), again, other)
    >>> model.step(x, t, nn.CrossEntropyLoss(), optimizer) == again.step(x, t, nn.CrossEntropyLoss(), other)
    True
    """
    check_trained(model, optimizer, callbacks)
    return {
        "version": VERSION, "model": model.state_dict(), "settings": settings_of(model),
        "counters": model.network.counters(), "optimizer": optimizer.state_dict(),
        "callbacks": [each.state_dict() for each in callbacks],
    }


def load_training_state(state: Mapping[str, Any], model: Any, optimizer: Any, callbacks: Sequence[Any] = ()) -> None:
    """Puts a state back into objects made with the same arguments; all of it is checked before anything changes."""
    check_training_state(state)
    check_trained(model, optimizer, callbacks)
    check_callbacks(state["callbacks"], callbacks)
    check_optimizer_state(state["optimizer"], optimizer)
    before = training_state(model, optimizer, callbacks)
    try:
        put(state, model, optimizer, callbacks)
    except BaseException:
        put(before, model, optimizer, callbacks)
        raise


def check_trained(model: Any, optimizer: Any, callbacks: Any) -> None:
    """A model or a layer, an optimizer of its package or a user's own, and objects with a state."""
    package = package_of(check_model("model", model, or_layer=True))
    check_optimizer(optimizer, package.Optimizer)
    if not isinstance(callbacks, list | tuple):
        raise TypeError(f"callbacks: expected a list of Callback objects, got {callbacks!r}")
    for each in callbacks:
        if isinstance(each, type) or not hasattr(each, "load_state_dict"):
            raise TypeError(f"callbacks: expected Callback objects, got {each!r}")


def check_training_state(state: Any) -> None:
    """It has the keys of this version."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected a dict, got {type(state).__name__}")
    if set(state) != set(KEYS):
        raise ValueError(f"state: expected the keys {', '.join(KEYS)}, got {', '.join(map(str, state))}")
    if state["version"] != VERSION:
        raise ValueError(f"state['version']: expected {VERSION}, got {state['version']!r}")
    if not isinstance(state["callbacks"], list | tuple):
        raise TypeError(f"state['callbacks']: expected a list, got {type(state['callbacks']).__name__}")


def check_callbacks(states: Sequence[Any], callbacks: Sequence[Any], own: int = 0) -> None:
    """As many as there are states; the first ``own`` are not the user's: ``fit`` adds the history."""
    if len(states) != len(callbacks):
        kinds = ", ".join(type(each).__name__ for each in callbacks[own:])
        raise ValueError(f"callbacks: expected {len(states) - own}, as when the state was taken, "
                         f"got {len(callbacks) - own}{f' ({kinds})' if kinds else ''}")


def check_resumed(state: Mapping[str, Any], callbacks: Sequence[Any]) -> None:
    """``fit`` can go on from the state with these callbacks, the history first."""
    if not state["callbacks"]:
        raise ValueError("resume: expected a state with that of the history, as of save_training(path, model, "
                         "optimizer, loss, callbacks=[history]), got one of a model and an optimizer alone")
    check_callbacks(state["callbacks"], callbacks, own=1)


def check_optimizer_state(state: Any, optimizer: Any) -> None:
    """It keeps what the one did that the state is of."""
    own = list(optimizer.state_dict())
    if isinstance(state, Mapping) and set(state) != set(own):
        raise ValueError(f"optimizer: expected one that keeps {', '.join(map(str, state))}, as when the state was "
                         f"taken, got {type(optimizer).__name__}, which keeps {', '.join(own)}")


def settings_of(model: Any) -> dict[str, dict[str, Any]]:
    """The layer's dotted name → its settings, where they are not the defaults."""
    return {name: found for name, layer in named_layers(model).items() if (found := settings(layer)) != SETTINGS}


def named_layers(model: Any) -> dict[str, Any]:
    """Dotted name → layer, of those that have settings."""
    return {prefix.rstrip("."): layer for prefix, layer in settable(model)}


def checked_settings(state: Any, model: Any) -> dict[str, dict[str, Any]]:
    """The settings of every layer, of a state that fits the model."""
    known = named_layers(model)
    if not isinstance(state, Mapping) or set(state) - set(known):
        raise ValueError(f"state['settings']: expected a dict by the names of layers, {', '.join(known)}, "
                         f"got {state!r}")
    return {name: SETTINGS | as_settings("state['settings']", name, state.get(name, {})) for name in known}


def check_slots(state: Any, model: Any) -> None:
    """The slots fit the model, which a new optimizer would only see at its first step."""
    wanted = {name: w for name, w, _, _ in model.parameters()}
    for slot, values in state.items() if isinstance(state, Mapping) else ():
        if isinstance(values, Mapping) and values and slot != "lr":
            as_state(f"state['optimizer'][{slot!r}]", values, wanted)


def put(state: Mapping[str, Any], model: Any, optimizer: Any, callbacks: Sequence[Any]) -> None:
    """Loads each part into its object."""
    counters = as_counters(state["counters"])
    check_slots(state["optimizer"], model)
    wanted = checked_settings(state["settings"], model)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for each, record in zip(callbacks, state["callbacks"], strict=True):
        each.load_state_dict(record)
    for name, layer in named_layers(model).items():
        for setting, value in wanted[name].items():
            if settings(layer)[setting] != value:
                layer._assign(setting, value)
    model.network.set_counters(counters)
